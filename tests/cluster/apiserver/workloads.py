"""Pods and what makes them: defaults and validation. Owns: PodSpec, Deployment, ReplicaSet, DaemonSet rules.

core/v1 PodSpec and apps/v1, as the defaults of a current server are.
"""
from .errors import Cause, f_duplicate, f_forbidden, f_invalid, f_required, f_unsupported
from .meta import DNS_LABEL
from .selectors import match_object

UNREACHABLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def _probe(probe):
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(key):
            probe[key] = value
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _container(box, host_network):
    box.setdefault("resources", {})
    box.setdefault("terminationMessagePath", "/dev/termination-log")
    box.setdefault("terminationMessagePolicy", "File")
    image = box.get("image") or ""
    latest = image.endswith(":latest") or ":" not in image.rpartition("/")[2] and "@" not in image
    box.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    for port in box.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and port.get("containerPort"):
            port.setdefault("hostPort", port["containerPort"])
    for env in box.get("env") or ():
        ref = (env.get("valueFrom") or {}).get("fieldRef")
        if ref:
            ref.setdefault("apiVersion", "v1")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if box.get(key):
            _probe(box[key])
    for hook in (box.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and "httpGet" in hook:
            hook["httpGet"].setdefault("scheme", "HTTP")


def _volume(volume):
    sources = {"secret": 0o644, "configMap": 0o644, "downwardAPI": 0o644, "projected": 0o644}
    for key, mode in sources.items():
        if isinstance(volume.get(key), dict):
            volume[key].setdefault("defaultMode", mode)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        items = (source.get("downwardAPI") or {}).get("items") or ()
        for item in items:
            if "fieldRef" in item:
                item["fieldRef"].setdefault("apiVersion", "v1")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def pod_spec(spec):
    for key, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
    ):
        if not spec.get(key):
            spec[key] = value
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for key in ("initContainers", "containers"):
        for box in spec.get(key) or ():
            _container(box, spec.get("hostNetwork"))
    for volume in spec.get("volumes") or ():
        _volume(volume)


def pod(obj, store):
    """Defaults of a Pod and what the ServiceAccount and toleration admission plugins add."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    spec["serviceAccountName"] = spec["serviceAccount"] = (
        spec.get("serviceAccountName") or "default"
    )
    have = spec.setdefault("tolerations", [])
    for key in UNREACHABLE:
        if not any(
            t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "")
            for t in have
        ):
            have.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    _token_volume(obj, spec, store)


def _token_volume(obj, spec, store):
    account = store.get(
        "/serviceaccounts", obj["metadata"].get("namespace"), spec["serviceAccountName"]
    )
    wants = spec.get("automountServiceAccountToken")
    if wants is None and account is not None:
        wants = account.obj.get("automountServiceAccountToken")
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    boxes = (spec.get("containers") or []) + (spec.get("initContainers") or [])
    if wants is False or all(
        any(m.get("mountPath") == path for m in b.get("volumeMounts") or ()) for b in boxes
    ):
        return
    name = "kube-api-access"
    spec.setdefault("volumes", []).append(
        {
            "name": name,
            "projected": {
                "defaultMode": 0o644,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {
                        "configMap": {
                            "name": "kube-root-ca.crt",
                            "items": [{"key": "ca.crt", "path": "ca.crt"}],
                        }
                    },
                    {
                        "downwardAPI": {
                            "items": [
                                {
                                    "path": "namespace",
                                    "fieldRef": {
                                        "apiVersion": "v1",
                                        "fieldPath": "metadata.namespace",
                                    },
                                }
                            ]
                        }
                    },
                ],
            },
        }
    )
    for box in boxes:
        mounts = box.setdefault("volumeMounts", [])
        if not any(m.get("mountPath") == path for m in mounts):
            mounts.append({"name": name, "mountPath": path, "readOnly": True})


def qos(spec):
    boxes = (spec.get("containers") or []) + (spec.get("initContainers") or [])
    res = [b.get("resources") or {} for b in boxes]
    if not any(r.get("requests") or r.get("limits") for r in res):
        return "BestEffort"
    for r in res:
        limits = r.get("limits") or {}
        requests = r.get("requests") or limits
        if any(
            k not in limits or limits[k] != requests.get(k, limits[k]) for k in ("cpu", "memory")
        ):
            return "Burstable"
    return "Guaranteed"


def deployment(obj):
    spec = obj.setdefault("spec", {})
    for key, value in (
        ("replicas", 1),
        ("revisionHistoryLimit", 10),
        ("progressDeadlineSeconds", 600),
    ):
        spec.setdefault(key, value)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(spec)


def _template(spec):
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
        pod_spec(template.setdefault("spec", {}))


def replicaset(obj):
    obj.setdefault("spec", {}).setdefault("replicas", 1)
    _template(obj["spec"])


def daemonset(obj):
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    _template(spec)


def pod_spec_causes(spec, path):
    causes, names = [], set()
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    if not spec.get("containers"):
        causes.append(f_required(path + ".containers"))
    for group in ("initContainers", "containers"):
        for i, box in enumerate(spec.get(group) or ()):
            where = "%s.%s[%d]" % (path, group, i)
            name = box.get("name")
            if not name:
                causes.append(f_required(where + ".name"))
            elif not DNS_LABEL.match(name) or len(name) > 63:
                causes.append(
                    f_invalid(
                        where + ".name",
                        name,
                        "a lowercase RFC 1123 label must consist of lower case "
                        "alphanumeric characters or '-'",
                    )
                )
            if name in names:
                causes.append(f_duplicate(where + ".name", name))
            names.add(name)
            if not box.get("image"):
                causes.append(f_required(where + ".image"))
            for j, mount in enumerate(box.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    causes.append(
                        Cause(
                            "FieldValueNotFound",
                            "%s.volumeMounts[%d].name" % (where, j),
                            'Not found: "%s"' % mount.get("name"),
                        )
                    )
            _port_causes(box, where, spec.get("hostNetwork"), causes)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        causes.append(
            f_unsupported(
                path + ".restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never")
            )
        )
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        causes.append(
            f_invalid(
                path + ".terminationGracePeriodSeconds",
                spec["terminationGracePeriodSeconds"],
                "must be greater than or equal to 0",
            )
        )
    return causes


def _port_causes(box, where, host_network, causes):
    for j, port in enumerate(box.get("ports") or ()):
        number = port.get("containerPort")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            causes.append(
                f_invalid(
                    "%s.ports[%d].containerPort" % (where, j),
                    number or 0,
                    "must be between 1 and 65535, " "inclusive",
                )
            )
        if host_network and port.get("hostPort") not in (None, 0, number):
            causes.append(
                f_invalid(
                    "%s.ports[%d].containerPort" % (where, j),
                    number,
                    "must match `hostPort` when " "`hostNetwork` is true",
                )
            )


def pod_causes(obj, old):
    causes = pod_spec_causes(obj["spec"], "spec")
    if old and not causes:
        before, after = _frozen(old["spec"]), _frozen(obj["spec"])
        if before != after:
            causes.append(
                f_forbidden(
                    "spec",
                    "pod updates may not change fields other than `spec.containers[*].image`,"
                    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
                    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
                    "set to 1 if it was previously negative)",
                )
            )
    return causes


def _frozen(spec):
    out = {
        k: v
        for k, v in spec.items()
        if k not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    }
    for key in ("containers", "initContainers"):
        if key in out:
            out[key] = [{k: v for k, v in c.items() if k != "image"} for c in out[key]]
    return out


def workload_causes(obj, old):
    spec, causes = obj.get("spec") or {}, []
    selector, template = spec.get("selector"), spec.get("template") or {}
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        causes.append(f_required("spec.selector"))
    elif not match_object(selector, (template.get("metadata") or {}).get("labels")):
        causes.append(
            f_invalid(
                "spec.template.metadata.labels",
                (template.get("metadata") or {}).get("labels") or {},
                "`selector` does not match template `labels`",
            )
        )
    if (spec.get("replicas") or 0) < 0:
        causes.append(
            f_invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
        )
    causes += pod_spec_causes(template.get("spec") or {}, "spec.template.spec")
    if (template.get("spec") or {}).get("restartPolicy", "Always") != "Always":
        causes.append(
            f_unsupported(
                "spec.template.spec.restartPolicy", template["spec"]["restartPolicy"], ("Always",)
            )
        )
    if old and old["spec"].get("selector") != selector:
        causes.append(f_invalid("spec.selector", selector, "field is immutable"))
    return causes
