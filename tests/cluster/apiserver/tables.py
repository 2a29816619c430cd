"""Tables for `kubectl get`: the columns of each kind. Owns: the printers and the additionalPrinterColumns of CRDs.

meta.k8s.io/v1 Table. A printer gives a row's cells; columns of priority 1 are shown with -o wide.
"""
import datetime

from . import jsonpath


def age(stamp):
    """As kubectl writes durations: 5s, 3m12s, 4h, 2d3h."""
    if not stamp:
        return "<unknown>"
    try:
        when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return "<invalid>"
    total = max(int((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()), 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return "%ds" % total
    if minutes < 10:
        return "%dm%ds" % (minutes, total % 60) if total % 60 else "%dm" % minutes
    if hours < 3:
        return "%dm" % minutes
    if hours < 8:
        return "%dh%dm" % (hours, minutes % 60) if minutes % 60 else "%dh" % hours
    if hours < 48:
        return "%dh" % hours
    if days < 8:
        return "%dd%dh" % (days, hours % 24) if hours % 24 else "%dd" % days
    return "%dd" % days if days < 730 else "%dy" % (days // 365)


def _made(obj):
    return age(obj["metadata"].get("creationTimestamp"))


def _status(obj):
    return obj.get("status") or {}


def _selector(sel):
    parts = ["%s=%s" % kv for kv in sorted(((sel or {}).get("matchLabels") or {}).items())]
    for expr in (sel or {}).get("matchExpressions") or ():
        parts.append(
            "%s %s (%s)"
            % (expr["key"], expr["operator"].lower(), ",".join(expr.get("values") or ()))
        )
    return ",".join(parts) or "<none>"


def _boxes(template):
    boxes = (template.get("spec") or {}).get("containers") or ()
    return ",".join(b.get("name", "") for b in boxes), ",".join(b.get("image", "") for b in boxes)


def _pod(pod):
    spec, status = pod["spec"], _status(pod)
    reason = status.get("reason") or status.get("phase") or "Unknown"
    ready = restarts = 0
    for one in status.get("containerStatuses") or ():
        restarts += one.get("restartCount", 0)
        state = one.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            reason = ended.get("reason") or "ExitCode:%d" % ended.get("exitCode", 0)
        elif one.get("ready") and state.get("running") is not None:
            ready += 1
    if pod["metadata"].get("deletionTimestamp"):
        reason = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    gates = spec.get("readinessGates") or ()
    met = sum(
        any(
            c.get("type") == g.get("conditionType") and c.get("status") == "True"
            for c in status.get("conditions") or ()
        )
        for g in gates
    )
    return [
        "%d/%d" % (ready, len(spec["containers"])),
        reason,
        restarts,
        _made(pod),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        "%d/%d" % (met, len(gates)) if gates else "<none>",
    ]


def _service(svc):
    spec = svc["spec"]
    ingress = (_status(svc).get("loadBalancer") or {}).get("ingress") or ()
    outside = [i.get("ip") or i.get("hostname") or "" for i in ingress]
    if spec["type"] == "ExternalName":
        outside = [spec.get("externalName", "")]
    elif spec["type"] == "LoadBalancer":
        outside = outside or list(spec.get("externalIPs") or ()) or ["<pending>"]
    else:
        outside = list(spec.get("externalIPs") or ()) or ["<none>"]
    ports = [
        "%d%s/%s" % (p["port"], ":%d" % p["nodePort"] if p.get("nodePort") else "", p["protocol"])
        for p in spec.get("ports") or ()
    ]
    return [
        spec["type"],
        spec.get("clusterIP") or "<none>",
        ",".join(outside),
        ",".join(ports) or "<none>",
        _made(svc),
        _selector({"matchLabels": spec.get("selector")}),
    ]


def _deployment(dep):
    spec, status = dep["spec"], _status(dep)
    return [
        "%d/%d" % (status.get("readyReplicas", 0), spec["replicas"]),
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _made(dep),
        *_boxes(spec["template"]),
        _selector(spec["selector"]),
    ]


def _replicaset(rs):
    spec, status = rs["spec"], _status(rs)
    return [
        spec["replicas"],
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _made(rs),
        *_boxes(spec["template"]),
        _selector(spec["selector"]),
    ]


def _daemonset(ds):
    spec, status = ds["spec"], _status(ds)
    nodes = ",".join(
        "%s=%s" % kv for kv in sorted((spec["template"]["spec"].get("nodeSelector") or {}).items())
    )
    return [
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        nodes or "<none>",
        _made(ds),
        *_boxes(spec["template"]),
        _selector(spec["selector"]),
    ]


def _node(node):
    status, labels = _status(node), node["metadata"].get("labels") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    if (node.get("spec") or {}).get("unschedulable"):
        text += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k[len(prefix) :] for k in labels if k.startswith(prefix))
    address = {a["type"]: a["address"] for a in reversed(status.get("addresses") or ())}
    info = status.get("nodeInfo") or {}
    return [
        text,
        ",".join(roles) or "<none>",
        _made(node),
        info.get("kubeletVersion", ""),
        address.get("InternalIP", "<none>"),
        address.get("ExternalIP", "<none>"),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _event(event):
    # both API versions come here: core, and events.k8s.io with its other names
    ref = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    first = (
        event.get("firstTimestamp")
        or event.get("deprecatedFirstTimestamp")
        or event.get("eventTime")
    )
    last = (
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("deprecatedLastTimestamp")
        or first
    )
    count = (
        (event.get("series") or {}).get("count")
        or event.get("count")
        or event.get("deprecatedCount")
        or 1
    )
    who = (
        source.get("component")
        or event.get("reportingComponent")
        or event.get("reportingController")
        or ""
    )
    return [
        age(last),
        event.get("type", ""),
        event.get("reason", ""),
        "%s/%s" % (ref.get("kind", "").lower(), ref.get("name")),
        ref.get("fieldPath", ""),
        who + (", " + source["host"] if source.get("host") else ""),
        (event.get("message") or event.get("note") or "").strip(),
        age(first),
        count,
        event["metadata"]["name"],
    ]


def _ports(ports):
    return ",".join(str(p.get("port")) for p in ports or ()) or "<unset>"


def _few(items, most):
    items = list(items)
    return ",".join(items[:most]) + (
        " + %d more..." % (len(items) - most) if len(items) > most else ""
    )


def _endpoints(obj):
    out = [
        "%s:%d" % ("[%s]" % a["ip"] if ":" in a["ip"] else a["ip"], p["port"])
        for s in obj.get("subsets") or ()
        for p in s.get("ports") or ()
        for a in s.get("addresses") or ()
    ]
    return [_few(out, 3) or "<none>", _made(obj)]


def _slice(obj):
    addresses = [a for e in obj.get("endpoints") or () for a in e["addresses"]]
    return [
        obj["addressType"],
        _ports(obj.get("ports")),
        _few(addresses, 3) or "<unset>",
        _made(obj),
    ]


def _binding(obj):
    subjects = {"User": [], "Group": [], "ServiceAccount": []}
    for sub in obj.get("subjects") or ():
        name = (
            sub["name"]
            if sub["kind"] != "ServiceAccount"
            else "%s/%s" % (sub.get("namespace", ""), sub["name"])
        )
        subjects.setdefault(sub["kind"], []).append(name)
    return [
        "%s/%s" % (obj["roleRef"]["kind"], obj["roleRef"]["name"]),
        _made(obj),
        ", ".join(subjects["User"]),
        ", ".join(subjects["Group"]),
        ", ".join(subjects["ServiceAccount"]),
    ]


_NAME = ("Name", "string", 0)
_AGE = ("Age", "string", 0)
_BOXES = [("Containers", "string", 1), ("Images", "string", 1), ("Selector", "string", 1)]


def _cols(*names):
    """Columns from "Name:type", a trailing + puts one into the wide form."""
    out = []
    for text in names:
        name, _, kind = text.rstrip("+").partition(":")
        out.append((name, kind or "string", 1 if text.endswith("+") else 0))
    return out


_WIDE_BINDING = ("Role", "Age", "Users+", "Groups+", "ServiceAccounts+")
_PRINTERS = {
    "/pods": (
        _cols(
            "Ready",
            "Status",
            "Restarts:integer",
            "Age",
            "IP+",
            "Node+",
            "Nominated Node+",
            "Readiness Gates+",
        ),
        _pod,
    ),
    "/services": (
        _cols("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector+"),
        _service,
    ),
    "apps/deployments": (
        _cols("Ready", "Up-to-date:integer", "Available:integer", "Age") + _BOXES,
        _deployment,
    ),
    "apps/replicasets": (
        _cols("Desired:integer", "Current:integer", "Ready:integer", "Age") + _BOXES,
        _replicaset,
    ),
    "apps/daemonsets": (
        _cols(
            "Desired:integer",
            "Current:integer",
            "Ready:integer",
            "Up-to-date:integer",
            "Available:integer",
            "Node Selector",
            "Age",
        )
        + _BOXES,
        _daemonset,
    ),
    "/nodes": (
        _cols(
            "Status",
            "Roles",
            "Age",
            "Version",
            "Internal-IP+",
            "External-IP+",
            "OS-Image+",
            "Kernel-Version+",
            "Container-Runtime+",
        ),
        _node,
    ),
    "/namespaces": (_cols("Status", "Age"), lambda o: [_status(o).get("phase", ""), _made(o)]),
    "/configmaps": (
        _cols("Data:integer", "Age"),
        lambda o: [len(o.get("data") or ()) + len(o.get("binaryData") or ()), _made(o)],
    ),
    "/secrets": (
        _cols("Type", "Data:integer", "Age"),
        lambda o: [o.get("type", ""), len(o.get("data") or ()), _made(o)],
    ),
    "/serviceaccounts": (
        _cols("Secrets:integer", "Age"),
        lambda o: [len(o.get("secrets") or ()), _made(o)],
    ),
    "/endpoints": (_cols("Endpoints", "Age"), _endpoints),
    "discovery.k8s.io/endpointslices": (_cols("AddressType", "Ports", "Endpoints", "Age"), _slice),
    "coordination.k8s.io/leases": (
        _cols("Holder", "Age"),
        lambda o: [(o.get("spec") or {}).get("holderIdentity", ""), _made(o)],
    ),
    "rbac.authorization.k8s.io/roles": (
        _cols("Created At"),
        lambda o: [o["metadata"]["creationTimestamp"]],
    ),
    "rbac.authorization.k8s.io/clusterroles": (
        _cols("Created At"),
        lambda o: [o["metadata"]["creationTimestamp"]],
    ),
    "rbac.authorization.k8s.io/rolebindings": (_cols(*_WIDE_BINDING), _binding),
    "rbac.authorization.k8s.io/clusterrolebindings": (_cols(*_WIDE_BINDING), _binding),
    "admissionregistration.k8s.io/validatingwebhookconfigurations": (
        _cols("Webhooks:integer", "Age"),
        lambda o: [len(o.get("webhooks") or ()), _made(o)],
    ),
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": (
        _cols("Webhooks:integer", "Age"),
        lambda o: [len(o.get("webhooks") or ()), _made(o)],
    ),
    "apiextensions.k8s.io/customresourcedefinitions": (
        _cols("Created At"),
        lambda o: [o["metadata"]["creationTimestamp"]],
    ),
    "networking.k8s.io/networkpolicies": (
        _cols("Pod-Selector", "Age"),
        lambda o: [_selector((o.get("spec") or {}).get("podSelector")), _made(o)],
    ),
    "policy/poddisruptionbudgets": (
        _cols("Min Available", "Max Unavailable", "Allowed Disruptions:integer", "Age"),
        lambda o: [
            str((o.get("spec") or {}).get("minAvailable", "N/A")),
            str((o.get("spec") or {}).get("maxUnavailable", "N/A")),
            _status(o).get("disruptionsAllowed", 0),
            _made(o),
        ],
    ),
}
_EVENT = (
    _cols(
        "Last Seen",
        "Type",
        "Reason",
        "Object",
        "Subobject+",
        "Source+",
        "Message",
        "First Seen+",
        "Count:integer+",
        "Name+",
    ),
    _event,
)


def _custom_cell(column, obj):
    found = jsonpath.find(column["jsonPath"], obj)
    if not found:
        return None
    value, kind = found[0], column.get("type")
    if kind == "date":
        return age(value) if isinstance(value, str) else "<invalid>"
    if kind == "integer":
        return (
            int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        )
    if kind == "number":
        return value if isinstance(value, (int, float)) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, str) and len(found) == 1:
        return value
    return jsonpath.text(found)


def _custom(res):
    columns = res.columns or (
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )
    heads = [(c["name"], c.get("type", "string"), c.get("priority", 0)) for c in columns]
    return heads, lambda obj: [_custom_cell(c, obj) for c in columns]


def _printer(res):
    if res.crd:
        return _custom(res)
    if res.table == "/events":
        return _EVENT
    return _PRINTERS.get(res.table, ([_AGE], lambda o: [_made(o)]))


def table(res, objs, include, version, md, columns=True):
    """A Table of `objs`; `include` is the request's includeObject."""
    heads, cells = _printer(res)
    if heads is not _EVENT[0]:
        heads = [_NAME] + heads
    rows = []
    for obj in objs:
        row = cells(obj)
        if heads[0] is _NAME:
            row = [obj["metadata"]["name"]] + row
        one = {"cells": row}
        if include == "Object":
            one["object"] = obj
        elif include != "None":
            one["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/" + version,
                "metadata": obj["metadata"],
            }
        rows.append(one)
    defs = [
        {
            "name": n,
            "type": t,
            "format": "name" if n == "Name" and i == 0 else "",
            "description": "",
            "priority": p,
        }
        for i, (n, t, p) in enumerate(heads)
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/" + version,
        "metadata": md,
        "columnDefinitions": defs if columns else [],
        "rows": rows,
    }
