"""Which resources are served: the built-in table, and CRDs that come and go.

Owns: the Resource record and lookups by path, by kind and by storage key.
"""
from dataclasses import dataclass, field
from typing import Any

from . import builtin

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass
class Resource:
    """One resource in one served version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short: tuple = ()
    categories: tuple = ()
    subresources: tuple = ()
    verbs: tuple = ALL_VERBS
    table: str = ""  # storage key; two resources may share one (events)
    list_kind: str = ""
    schema: Any = None  # structural schema of this version, or None
    crd: Any = None  # the CRD's name when it is a custom resource
    columns: tuple = ()  # additionalPrinterColumns of this version
    storage_version: str = ""
    preserve: bool = False
    deprecation: str = ""

    def __post_init__(self):
        self.singular = self.singular or self.kind.lower()
        self.list_kind = self.list_kind or self.kind + "List"
        self.table = self.table or "%s/%s" % (self.group, self.plural)
        self.storage_version = self.storage_version or self.version

    @property
    def api_version(self):
        return "%s/%s" % (self.group, self.version) if self.group else self.version

    @property
    def has_status(self):
        return "status" in self.subresources


# group, plural, kind, scope, short names, subresources, category; "-" is none. All are version v1.
_BUILTIN = """
- namespaces Namespace cluster ns status,finalize -
- nodes Node cluster no status -
- pods Pod namespaced po status,binding,eviction all
- services Service namespaced svc status all
- endpoints Endpoints namespaced ep - -
- configmaps ConfigMap namespaced cm - -
- secrets Secret namespaced - - -
- serviceaccounts ServiceAccount namespaced sa token -
- events Event namespaced ev - -
events.k8s.io events Event namespaced ev - -
apps deployments Deployment namespaced deploy status,scale all
apps daemonsets DaemonSet namespaced ds status all
apps replicasets ReplicaSet namespaced rs status,scale all
discovery.k8s.io endpointslices EndpointSlice namespaced - - -
coordination.k8s.io leases Lease namespaced - - -
policy poddisruptionbudgets PodDisruptionBudget namespaced pdb status -
networking.k8s.io networkpolicies NetworkPolicy namespaced netpol - -
rbac.authorization.k8s.io roles Role namespaced - - -
rbac.authorization.k8s.io rolebindings RoleBinding namespaced - - -
rbac.authorization.k8s.io clusterroles ClusterRole cluster - - -
rbac.authorization.k8s.io clusterrolebindings ClusterRoleBinding cluster - - -
admissionregistration.k8s.io validatingwebhookconfigurations ValidatingWebhookConfiguration cluster - - api-extensions
admissionregistration.k8s.io mutatingwebhookconfigurations MutatingWebhookConfiguration cluster - - api-extensions
apiextensions.k8s.io customresourcedefinitions CustomResourceDefinition cluster crd,crds status api-extensions
authentication.k8s.io tokenreviews TokenReview cluster - - -
authentication.k8s.io selfsubjectreviews SelfSubjectReview cluster - - -
authorization.k8s.io subjectaccessreviews SubjectAccessReview cluster - - -
authorization.k8s.io selfsubjectaccessreviews SelfSubjectAccessReview cluster - - -
authorization.k8s.io localsubjectaccessreviews LocalSubjectAccessReview namespaced - - -
authorization.k8s.io selfsubjectrulesreviews SelfSubjectRulesReview cluster - - -
"""
_QUESTIONS = ("authentication.k8s.io", "authorization.k8s.io")


def _names(text):
    return () if text == "-" else tuple(text.split(","))


def _builtin():
    for line in _BUILTIN.strip().splitlines():
        group, plural, kind, scope, short, subresources, category = line.split()
        more = {}
        if group in _QUESTIONS:
            more["verbs"] = ("create",)
        if plural == "namespaces":
            more["verbs"] = tuple(v for v in ALL_VERBS if v != "deletecollection")
        if group == "events.k8s.io":
            more["table"] = "/events"
        if plural == "endpoints":
            more["singular"] = "endpoints"
        yield Resource(
            "" if group == "-" else group,
            "v1",
            plural,
            kind,
            scope == "namespaced",
            short=_names(short),
            subresources=_names(subresources),
            categories=_names(category),
            **more,
        )


@dataclass
class Registry:
    """Every served resource. `order` keeps groups as they came, for discovery."""

    by_path: dict = field(default_factory=dict)
    by_kind: dict = field(default_factory=dict)
    storage: dict = field(default_factory=dict)

    @classmethod
    def builtin(cls):
        reg = cls()
        for res in _builtin():
            res.schema = builtin.named(res.group, res.kind)
            reg.add(res)
        return reg

    def add(self, res):
        self.by_path[(res.group, res.version, res.plural)] = res
        self.by_kind[(res.group, res.version, res.kind)] = res
        if res.version == res.storage_version and res.table == "%s/%s" % (res.group, res.plural):
            self.storage[res.table] = res

    def remove_crd(self, crd_name):
        for index in (self.by_path, self.by_kind, self.storage):
            for key in [k for k, r in index.items() if r.crd == crd_name]:
                del index[key]

    def path(self, group, version, plural):
        return self.by_path.get((group, version, plural))

    def kind(self, api_version, kind):
        group, _, version = api_version.rpartition("/")
        return self.by_kind.get((group, version, kind))

    def group_kind(self, group, kind):
        for res in self.by_path.values():
            if res.group == group and res.kind == kind:
                return res
        return None

    def any_version(self, group, plural):
        for res in self.by_path.values():
            if res.group == group and res.plural == plural:
                return res
        return None

    def groups(self):
        """{group: {version: [Resource]}} in order of registration; the storage version comes first."""
        out = {}
        for res in self.by_path.values():
            out.setdefault(res.group, {}).setdefault(res.version, []).append(res)
        return out
