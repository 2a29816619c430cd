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
    table: str = ""             # storage key; two resources may share one (events)
    list_kind: str = ""
    schema: Any = None          # structural schema of this version, or None
    crd: Any = None             # the CRD's name when it is a custom resource
    columns: tuple = ()         # additionalPrinterColumns of this version
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


def _builtin():
    def core(plural, kind, ns=True, **kw):
        return Resource("", "v1", plural, kind, ns, **kw)

    def of(group, plural, kind, ns=True, **kw):
        return Resource(group, "v1", plural, kind, ns, **kw)
    all_ = ("all",)
    create_only = ("create",)
    rbac, adm = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
    authz = "authorization.k8s.io"
    return [
        core("namespaces", "Namespace", False, short=("ns",), subresources=("status", "finalize"),
             verbs=tuple(v for v in ALL_VERBS if v != "deletecollection")),
        core("nodes", "Node", False, short=("no",), subresources=("status",)),
        core("pods", "Pod", short=("po",), categories=all_,
             subresources=("status", "binding", "eviction")),
        core("services", "Service", short=("svc",), categories=all_, subresources=("status",)),
        core("endpoints", "Endpoints", short=("ep",), singular="endpoints", list_kind="EndpointsList"),
        core("configmaps", "ConfigMap", short=("cm",)),
        core("secrets", "Secret"),
        core("serviceaccounts", "ServiceAccount", short=("sa",), subresources=("token",)),
        core("events", "Event", short=("ev",)),
        of("events.k8s.io", "events", "Event", short=("ev",), table="/events"),
        of("apps", "deployments", "Deployment", short=("deploy",), categories=all_,
           subresources=("status", "scale")),
        of("apps", "daemonsets", "DaemonSet", short=("ds",), categories=all_, subresources=("status",)),
        of("apps", "replicasets", "ReplicaSet", short=("rs",), categories=all_,
           subresources=("status", "scale")),
        of("discovery.k8s.io", "endpointslices", "EndpointSlice"),
        of("coordination.k8s.io", "leases", "Lease"),
        of("policy", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",),
           subresources=("status",)),
        of("networking.k8s.io", "networkpolicies", "NetworkPolicy", short=("netpol",)),
        of(rbac, "roles", "Role"), of(rbac, "rolebindings", "RoleBinding"),
        of(rbac, "clusterroles", "ClusterRole", False),
        of(rbac, "clusterrolebindings", "ClusterRoleBinding", False),
        of(adm, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False,
           categories=("api-extensions",)),
        of(adm, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False,
           categories=("api-extensions",)),
        of("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", False,
           short=("crd", "crds"), categories=("api-extensions",), subresources=("status",)),
        of("authentication.k8s.io", "tokenreviews", "TokenReview", False, verbs=create_only),
        of("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", False, verbs=create_only),
        of(authz, "subjectaccessreviews", "SubjectAccessReview", False, verbs=create_only),
        of(authz, "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=create_only),
        of(authz, "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=create_only),
        of(authz, "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=create_only),
    ]


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
