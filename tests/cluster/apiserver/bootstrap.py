"""What a fresh cluster holds: namespaces, the usual ClusterRoles and bindings, the kubernetes Service."""
from .authn import User
from .errors import ApiError
from .rest import Ctx

MASTER = User("system:apiserver", ("system:masters",))
RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]


def _ctx():
    return Ctx(MASTER, manager="kube-apiserver")


ROLES = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "system:discovery": [
        {
            "verbs": ["get"],
            "nonResourceURLs": [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
        }
    ],
    "system:public-info-viewer": [
        {
            "verbs": ["get"],
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
        }
    ],
    "system:basic-user": [
        {
            "apiGroups": ["authorization.k8s.io"],
            "verbs": ["create"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
        {
            "apiGroups": ["authentication.k8s.io"],
            "verbs": ["create"],
            "resources": ["selfsubjectreviews"],
        },
    ],
    "system:auth-delegator": [
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["tokenreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        },
    ],
    "system:node": [
        {
            "apiGroups": [""],
            "resources": ["nodes", "nodes/status", "pods", "pods/status", "events"],
            "verbs": ["create", "get", "list", "watch", "update", "patch", "delete"],
        },
        {
            "apiGroups": [""],
            "resources": ["services", "configmaps", "secrets", "serviceaccounts", "namespaces"],
            "verbs": _READ,
        },
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["create", "get", "list", "watch", "update", "patch", "delete"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["tokenreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        },
    ],
}
BINDINGS = {
    "cluster-admin": ["system:masters"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
    "system:basic-user": ["system:authenticated"],
    "system:node": ["system:nodes"],
}
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


async def _ensure(parts, group, plural, ns, obj):
    res = parts.registry.path(group, "v1", plural)
    try:
        await parts.rest.create(res, ns, obj, _ctx())
    except ApiError as err:
        if err.reason != "AlreadyExists":
            raise


async def bootstrap(parts):
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        await _ensure(parts, "", "namespaces", None, {"metadata": {"name": name}})
    for name, rules in ROLES.items():
        await _ensure(
            parts,
            RBAC,
            "clusterroles",
            None,
            {"metadata": {"name": name, "labels": LABELS}, "rules": rules},
        )
    for name, groups in BINDINGS.items():
        subjects = [{"apiGroup": RBAC, "kind": "Group", "name": g} for g in groups]
        await _ensure(
            parts,
            RBAC,
            "clusterrolebindings",
            None,
            {
                "metadata": {"name": name, "labels": LABELS},
                "subjects": subjects,
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            },
        )


async def advertise(parts, host, port):
    """The Service `kubernetes` and where it leads: this server."""
    network, store = parts.network, parts.store
    family = network.families[0]
    # A server that goes on with saved objects has it already, and its address is taken: by itself.
    if store.get(parts.registry.path("", "v1", "services").table, "default", "kubernetes") is None:
        await _ensure(
            parts,
            "",
            "services",
            "default",
            {
                "metadata": {
                    "name": "kubernetes",
                    "labels": {"component": "apiserver", "provider": "kubernetes"},
                },
                "spec": {
                    "clusterIP": str(network.nets[family][1]),
                    "ports": [
                        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}
                    ],
                },
            },
        )
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    kind = "IPv6" if ":" in host else "IPv4"
    wanted = [
        ("", "endpoints", {"subsets": [{"addresses": [{"ip": host}], "ports": ports}]}),
        (
            "discovery.k8s.io",
            "endpointslices",
            {
                "addressType": kind,
                "ports": ports,
                "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            },
        ),
    ]
    for group, plural, body in wanted:
        res = parts.registry.path(group, "v1", plural)
        if store.get(res.table, "default", "kubernetes") is not None:
            await parts.rest.delete(res, "default", "kubernetes", {}, _ctx())
        await parts.rest.create(
            res,
            "default",
            {
                "metadata": {
                    "name": "kubernetes",
                    "labels": {"kubernetes.io/service-name": "kubernetes"},
                },
                **body,
            },
            _ctx(),
        )
