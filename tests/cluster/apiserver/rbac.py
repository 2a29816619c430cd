"""Authorization by RBAC (rbac.authorization.k8s.io/v1). Owns: the evaluation of rules and the text of a refusal."""
from .errors import ApiError


class Authorizer:
    def __init__(self, store):
        self.store = store

    def _roles(self, user, ns):
        """Yields the rules that bind `user` cluster-wide and, with `ns`, in that namespace."""
        for entry in self.store.table("rbac.authorization.k8s.io/clusterrolebindings").values():
            if self._binds(entry.obj, user, ""):
                yield from self._rules(entry.obj["roleRef"], "")
        if ns:
            for entry in self.store.table("rbac.authorization.k8s.io/rolebindings").values(ns):
                if self._binds(entry.obj, user, ns):
                    yield from self._rules(entry.obj["roleRef"], ns)

    @staticmethod
    def _binds(binding, user, ns):
        for subject in binding.get("subjects") or ():
            kind, name = subject.get("kind"), subject.get("name")
            if kind == "User" and name == user.name:
                return True
            if kind == "Group" and name in user.groups:
                return True
            if kind == "ServiceAccount":
                space = subject.get("namespace") or ns
                if user.name == "system:serviceaccount:%s:%s" % (space, name):
                    return True
        return False

    def _rules(self, ref, ns):
        if ref.get("kind") == "ClusterRole":
            entry = self.store.get("rbac.authorization.k8s.io/clusterroles", "", ref["name"])
        else:
            entry = self.store.get("rbac.authorization.k8s.io/roles", ns, ref["name"])
        if entry is None:
            return []
        return entry.obj.get("rules") or []

    def allows(self, user, verb, group, plural, sub, ns, name):
        if "system:masters" in user.groups:
            return True
        wanted = "%s/%s" % (plural, sub) if sub else plural
        return any(
            _rule_allows(rule, verb, group, wanted, sub, name) for rule in self._roles(user, ns)
        )

    def allows_path(self, user, verb, path):
        if "system:masters" in user.groups:
            return True
        for rule in self._roles(user, None):
            verbs = rule.get("verbs") or ()
            if verb not in verbs and "*" not in verbs:
                continue
            for url in rule.get("nonResourceURLs") or ():
                if url in ("*", path) or url.endswith("*") and path.startswith(url[:-1]):
                    return True
        return False

    def rules_for(self, user, ns):
        if "system:masters" in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return list(self._roles(user, ns))

    def require(self, user, verb, req):
        # a watch or list with metadata.name= in its field selector may be granted by resourceNames
        name = req.name or _selected_name(req.query.get("fieldSelector"))
        ns = req.name if req.plural == "namespaces" and not req.ns else req.ns
        if self.allows(user, verb, req.group, req.plural, req.sub, ns, name):
            return
        raise denied(user, verb, req.group, req.plural, req.sub, req.ns, req.name)

    def require_path(self, user, verb, path):
        if not self.allows_path(user, verb, path):
            raise ApiError(
                403,
                "Forbidden",
                'forbidden: User "%s" cannot %s path "%s"' % (user.name, verb, path),
            )


def _selected_name(selector):
    for part in (selector or "").split(","):
        key, _, value = part.partition("=")
        if key == "metadata.name":
            return value.lstrip("=")
    return ""


def _rule_allows(rule, verb, group, wanted, sub, name):
    verbs, groups = rule.get("verbs") or (), rule.get("apiGroups") or ()
    if verb not in verbs and "*" not in verbs:
        return False
    if group not in groups and "*" not in groups:
        return False
    resources = rule.get("resources") or ()
    if wanted not in resources and "*" not in resources and not (sub and "*/" + sub in resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or bool(name) and name in names


def denied(user, verb, group, plural, sub, ns, name):
    shown = "%s/%s" % (plural, sub) if sub else plural
    where = 'in the namespace "%s"' % ns if ns else "at the cluster scope"
    head = plural + ("." + group if group else "")
    if name:
        head += ' "%s"' % name
    details = {"kind": plural}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    return ApiError(
        403,
        "Forbidden",
        '%s is forbidden: User "%s" cannot %s resource "%s" in API group "%s" %s'
        % (head, user.name, verb, shown, group, where),
        details,
    )
