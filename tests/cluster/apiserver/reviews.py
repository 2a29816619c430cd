"""Resources that are questions, not objects: access reviews, token reviews. Owns: their answers.

authentication.k8s.io/v1 and authorization.k8s.io/v1.
"""
from . import errors
from .authn import User


def impersonated(authz, user, name, groups):
    kind, ns = ("users", None)
    plain = name
    if name.startswith("system:serviceaccount:"):
        _, _, ns, plain = name.split(":", 3)
        kind = "serviceaccounts"
    wanted = [("", kind, ns, plain)] + [("", "groups", None, g) for g in groups]
    for group, plural, space, target in wanted:
        if not authz.allows(user, "impersonate", group, plural, None, space, target):
            from .rbac import denied

            raise denied(user, "impersonate", group, plural, None, space, target)
    if kind == "serviceaccounts" and not groups:
        groups = ("system:serviceaccounts", "system:serviceaccounts:" + ns)
    if "system:authenticated" not in groups:
        groups += ("system:authenticated",)
    return User(name, groups)


async def create(server, req, body):
    if not isinstance(body, dict):
        raise errors.bad_request("the body is no object")
    kind = req.res.kind
    answer = {
        "kind": kind,
        "apiVersion": req.res.api_version,
        "metadata": {**(body.get("metadata") or {}), "creationTimestamp": None},
        "spec": body.get("spec") or {},
    }
    spec = answer["spec"]
    if not isinstance(spec, dict):
        raise errors.bad_request("spec is no object")
    authz = server.parts.authz
    if kind == "TokenReview":
        answer["status"] = _token(server.parts.authn, spec)
    elif kind == "SelfSubjectReview":
        del answer["spec"]
        answer["status"] = {"userInfo": req.user.info}
    elif kind == "SelfSubjectRulesReview":
        answer["status"] = _rules(authz.rules_for(req.user, spec.get("namespace")))
    elif kind == "SelfSubjectAccessReview":
        answer["status"] = _access(authz, req.user, spec)
    else:
        user = User(spec.get("user") or "", tuple(spec.get("groups") or ()))
        if not user.name and not user.groups:
            raise errors.invalid(
                req.res,
                "",
                [
                    errors.f_invalid(
                        "spec.user", "", "at least one of user or group must " "be specified"
                    )
                ],
            )
        answer["status"] = _access(authz, user, spec)
    return answer


def _access(authz, user, spec):
    res, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(res) == bool(path):
        raise errors.bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    if path:
        allowed = authz.allows_path(user, path.get("verb", ""), path.get("path", ""))
    else:
        allowed = authz.allows(
            user,
            res.get("verb", ""),
            res.get("group", ""),
            res.get("resource", ""),
            res.get("subresource"),
            res.get("namespace"),
            res.get("name"),
        )
    return {"allowed": allowed}


def _rules(rules):
    out = {"resourceRules": [], "nonResourceRules": [], "incomplete": False}
    for rule in rules:
        if rule.get("nonResourceURLs"):
            out["nonResourceRules"].append({k: rule[k] for k in ("verbs", "nonResourceURLs")})
        else:
            out["resourceRules"].append(
                {
                    k: rule[k]
                    for k in ("verbs", "apiGroups", "resources", "resourceNames")
                    if k in rule
                }
            )
    return out


def _token(authn, spec):
    user = authn.token(spec.get("token") or "", spec.get("audiences"))
    if user is None:
        return {"authenticated": False, "user": {}}
    out = {"authenticated": True, "user": user.info}
    if spec.get("audiences"):
        out["audiences"] = spec["audiences"]
    return out
