"""What is peculiar to a kind: what a write may set, defaults, validation, deletion. Owns: the table of kinds to rules.

The rules of Services are in network.py, of Pods and their makers in workloads.py, of CRDs in crd.py.
"""
import base64
import binascii
import ipaddress

from . import crd, network, workloads
from .errors import f_forbidden, f_invalid, f_required, f_unsupported, invalid

RBAC = "rbac.authorization.k8s.io"
SECRET_MAX = 1 << 20
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _defaults(rest, res, obj, creating):
    table = res.table
    if table == "/services":
        network.service_defaults(obj)
    elif table == "/pods":
        if creating:
            workloads.pod(obj, rest.store)
        else:
            workloads.pod_spec(obj["spec"])
    elif table == "apps/deployments":
        workloads.deployment(obj)
    elif table == "apps/replicasets":
        workloads.replicaset(obj)
    elif table == "apps/daemonsets":
        workloads.daemonset(obj)
    elif table == crd.TABLE:
        crd.defaults(obj)
    elif table == "/secrets":
        _secret(res, obj)
    elif res.group == RBAC and "roleRef" in obj:
        _subjects(obj)
    elif res.group == "admissionregistration.k8s.io":
        _webhooks(obj)
    elif table == "/endpoints":
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")
    elif table == "discovery.k8s.io/endpointslices":
        for port in obj.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("name", "")
    elif table == "networking.k8s.io/networkpolicies":
        _policy(obj)


def _secret(res, obj):
    obj.setdefault("type", "Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _subjects(obj):
    obj["roleRef"].setdefault("apiGroup", RBAC)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)
        if subject.get("apiGroup") == "":
            del subject["apiGroup"]


def _webhooks(obj):
    for hook in obj.get("webhooks") or ():
        for key, value in (
            ("failurePolicy", "Fail"),
            ("matchPolicy", "Equivalent"),
            ("timeoutSeconds", 10),
            ("namespaceSelector", {}),
            ("objectSelector", {}),
        ):
            hook.setdefault(key, value)
        if obj["kind"].startswith("Mutating"):
            hook.setdefault("reinvocationPolicy", "Never")
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _policy(obj):
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress"] + (["Egress"] if spec.get("egress") else [])
    for rule in (spec.get("ingress") or []) + (spec.get("egress") or []):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def prepare_create(rest, res, obj):
    if res.table == "/namespaces":
        obj["spec"] = {"finalizers": ["kubernetes"]}
        if obj["metadata"].get("name"):
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj[
                "metadata"
            ]["name"]
    _defaults(rest, res, obj, True)


def keeps_status_on_create(res):
    """Node agents register their Node with status; the rest starts empty."""
    return res.table == "/nodes"


def initial_status(res, obj, when):
    table = res.table
    if table == "/namespaces":
        obj["status"] = {"phase": "Active"}
    elif table == "/pods":
        obj["status"] = {"phase": "Pending", "qosClass": workloads.qos(obj["spec"])}
    elif table == "/services":
        obj["status"] = {"loadBalancer": {}}
    elif table == crd.TABLE:
        crd.initial_status(obj, when)
    elif table in ("apps/deployments", "apps/replicasets"):
        obj["status"] = {"replicas": 0} if table == "apps/replicasets" else {}
    elif table == "apps/daemonsets":
        obj["status"] = {
            k: 0
            for k in (
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
            )
        }


def allocate(rest, res, obj, old, ctx):
    if res.table == "/services":
        shape = network.service_validate(obj, None) if not old else []
        causes = shape or rest.network.allocate(obj, old, ctx)
        if causes:
            raise invalid(res, obj["metadata"]["name"], causes)


def prepare_update(rest, res, new, old, sub):
    if sub == "status":
        _status_only(res, new, old)
    elif res.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if res.table == "/namespaces" and sub != "finalize":
        new["spec"] = old["spec"]
    if res.table == "/services":
        if sub != "status":
            network.service_update(new, old)
        elif new["spec"]["type"] != "LoadBalancer":
            new.setdefault("status", {})["loadBalancer"] = {}
    if not sub or res.table == "/services":
        _defaults(rest, res, new, False)
    if res.table == crd.TABLE and not sub:
        crd.updated_status(new)


def _status_only(res, new, old):
    """Keeps of `new` the status, and the labels and annotations where the real server lets them through."""
    status, managed = new.get("status"), new["metadata"].get("managedFields")
    meta = dict(old["metadata"])
    if managed is not None:
        meta["managedFields"] = managed
    if not res.crd and res.table in ("/nodes", "/services"):
        for key in ("labels", "annotations"):
            meta.pop(key, None)
            if new["metadata"].get(key):
                meta[key] = new["metadata"][key]
    if "finalizers" in new["metadata"] and res.table in ("/nodes", "/services"):
        meta["finalizers"] = new["metadata"]["finalizers"]
    new.clear()
    new.update({**old, "metadata": meta})
    new.pop("status", None)
    if status is not None:
        new["status"] = status


def validate(rest, res, obj, old, sub):
    table = res.table
    if table == "/services":
        return network.service_validate(obj, old)
    if table == "/pods" and sub not in ("status", "binding"):
        return workloads.pod_causes(obj, old)
    if table == "apps/daemonsets" and (
        (obj["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("maxSurge") or 0
    ) not in (0, "0%"):
        return [
            f_forbidden(
                "spec.updateStrategy.rollingUpdate.maxSurge", "is not supported by this server"
            )
        ]
    if table in ("apps/deployments", "apps/replicasets", "apps/daemonsets") and sub != "status":
        return workloads.workload_causes(obj, old)
    if table == crd.TABLE:
        return crd.validate(obj, old, rest.registry)
    if table == "/secrets":
        return _data_causes(obj, True) + _secret_causes(obj, old)
    if table == "/configmaps":
        return _data_causes(obj, False) + _immutable(obj, old)
    if res.group == RBAC:
        return _rbac_causes(obj, old)
    if res.group == "admissionregistration.k8s.io":
        return _webhook_causes(obj)
    if table == "discovery.k8s.io/endpointslices":
        return _slice_causes(obj, old)
    if table == "coordination.k8s.io/leases":
        return _lease_causes(obj)
    return []


def _secret_causes(obj, old):
    causes = [
        f_required("data[%s]" % k)
        for k in _SECRET_KEYS.get(obj["type"], ())
        if k not in (obj.get("data") or {})
    ]
    if old and old["type"] != obj["type"]:
        causes.append(f_invalid("type", obj["type"], "field is immutable"))
    return causes + _immutable(obj, old)


def _immutable(obj, old):
    if old and old.get("immutable"):
        for key in ("data", "binaryData", "immutable"):
            if old.get(key) != obj.get(key):
                return [f_forbidden(key, "field is immutable when `immutable` is set")]
    return []


def _data_causes(obj, secret):
    causes, total = [], 0
    for part in ("data", "binaryData"):
        for key, value in (obj.get(part) or {}).items():
            total += len(value)
            if (
                not key
                or len(key) > 253
                or not all(c.isalnum() and c.isascii() or c in "-_." for c in key)
            ):
                causes.append(
                    f_invalid(
                        "%s[%s]" % (part, key),
                        key,
                        "a valid config key must consist of alphanumeric "
                        "characters, '-', '_' or '.'",
                    )
                )
            if secret or part == "binaryData":
                try:
                    base64.b64decode(value, validate=True)
                except (binascii.Error, ValueError):
                    causes.append(
                        f_invalid("%s[%s]" % (part, key), "<value>", "illegal base64 data")
                    )
    if total > SECRET_MAX * 4 // 3:
        causes.append(f_invalid("data", "", "Too long: may not be more than 1048576 bytes"))
    return causes


def _rbac_causes(obj, old):
    causes = []
    for i, rule in enumerate(obj.get("rules") or ()):
        path = "rules[%d]" % i
        if not rule.get("verbs"):
            causes.append(f_required(path + ".verbs", "verbs must contain at least one value"))
        if not rule.get("nonResourceURLs"):
            for key in ("apiGroups", "resources"):
                if not rule.get(key):
                    causes.append(
                        f_required(
                            "%s.%s" % (path, key), "resource rules must supply at least one of them"
                        )
                    )
        elif obj["kind"] == "Role":
            causes.append(
                f_invalid(
                    path + ".nonResourceURLs",
                    rule["nonResourceURLs"],
                    "namespaced rules cannot apply to " "non-resource URLs",
                )
            )
    if obj.get("aggregationRule"):
        causes.append(
            f_forbidden("aggregationRule", "aggregated roles are not supported by this server")
        )
    if obj["kind"].endswith("Binding"):
        ref = obj.get("roleRef") or {}
        if not ref.get("name"):
            causes.append(f_required("roleRef.name"))
        if ref.get("kind") not in ("Role", "ClusterRole"):
            causes.append(
                f_unsupported("roleRef.kind", ref.get("kind", ""), ("Role", "ClusterRole"))
            )
        if old and old.get("roleRef") != ref:
            causes.append(f_invalid("roleRef", ref, "cannot change roleRef"))
        for i, subject in enumerate(obj.get("subjects") or ()):
            if subject.get("kind") not in ("ServiceAccount", "User", "Group"):
                causes.append(
                    f_unsupported(
                        "subjects[%d].kind" % i,
                        subject.get("kind", ""),
                        ("ServiceAccount", "User", "Group"),
                    )
                )
            if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
                causes.append(f_required("subjects[%d].namespace" % i))
    return causes


def _webhook_causes(obj):
    causes = []
    for i, hook in enumerate(obj.get("webhooks") or ()):
        path, client = "webhooks[%d]" % i, hook.get("clientConfig") or {}
        if bool(client.get("url")) == bool(client.get("service")):
            causes.append(
                f_required(path + ".clientConfig", "exactly one of url or service is required")
            )
        if client.get("url") and not client["url"].startswith("https://"):
            causes.append(
                f_invalid(
                    path + ".clientConfig.url",
                    client["url"],
                    "'https' is the only allowed URL scheme",
                )
            )
        if not hook.get("admissionReviewVersions"):
            causes.append(
                f_required(path + ".admissionReviewVersions", "must specify one of v1, v1beta1")
            )
        elif "v1" not in hook["admissionReviewVersions"]:
            causes.append(
                f_invalid(
                    path + ".admissionReviewVersions",
                    hook["admissionReviewVersions"],
                    "must include at " "least one of v1",
                )
            )
        if hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            causes.append(
                f_unsupported(
                    path + ".sideEffects", hook.get("sideEffects", ""), ("None", "NoneOnDryRun")
                )
            )
        for key, allowed in (
            ("failurePolicy", ("Fail", "Ignore")),
            ("matchPolicy", ("Equivalent", "Exact")),
        ):
            if hook[key] not in allowed:
                causes.append(f_unsupported("%s.%s" % (path, key), hook[key], allowed))
        if not 1 <= hook["timeoutSeconds"] <= 30:
            causes.append(
                f_invalid(
                    path + ".timeoutSeconds",
                    hook["timeoutSeconds"],
                    "the timeout value must be between 1 " "and 30 seconds",
                )
            )
        if hook.get("matchConditions"):
            causes.append(
                f_forbidden(path + ".matchConditions", "CEL is not supported by this server")
            )
    return causes


def _slice_causes(obj, old):
    kind, causes = obj.get("addressType"), []
    if kind not in ("IPv4", "IPv6", "FQDN"):
        return [f_unsupported("addressType", kind or "", ("FQDN", "IPv4", "IPv6"))]
    if old and old.get("addressType") != kind:
        causes.append(f_invalid("addressType", kind, "field is immutable"))
    for i, endpoint in enumerate(obj.get("endpoints") or ()):
        if not endpoint.get("addresses"):
            causes.append(
                f_required("endpoints[%d].addresses" % i, "must contain at least 1 address")
            )
        for j, address in enumerate(endpoint.get("addresses") or ()):
            if kind == "FQDN":
                continue
            try:
                if ipaddress.ip_address(address).version != int(kind[-1]):
                    raise ValueError
            except ValueError:
                causes.append(
                    f_invalid(
                        "endpoints[%d].addresses[%d]" % (i, j),
                        address,
                        "must be a valid %s address" % kind,
                    )
                )
    return causes


def _lease_causes(obj):
    spec, causes = obj.get("spec") or {}, []
    for key, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        if key in spec and spec[key] < least:
            causes.append(
                f_invalid(
                    "spec." + key,
                    spec[key],
                    "must be greater than %s0" % ("" if least else "or equal to "),
                )
            )
    return causes


def held(res, obj):
    """Kept by something else than metadata.finalizers."""
    return res.table == "/namespaces" and bool((obj.get("spec") or {}).get("finalizers"))


def grace(res, obj, asked):
    """Seconds until the object may go: only a Pod that a node agent runs has any."""
    if res.table != "/pods":
        return 0
    if not obj["spec"].get("nodeName") or (obj.get("status") or {}).get("phase") in (
        "Succeeded",
        "Failed",
    ):
        return 0
    if asked is None:
        asked = obj["spec"].get("terminationGracePeriodSeconds", 30)
    return max(int(asked), 0)


def terminating(res, obj):
    if res.table == "/namespaces":
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
