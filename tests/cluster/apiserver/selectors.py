"""Label and field selectors: the query-string grammar and LabelSelector objects. Owns: parsing and matching.

Kubernetes API conventions, "Label selectors"; field selectors are the fixed set that a server supports.
"""
import re

from .errors import bad_request

_TERM = re.compile(
    r"^\s*(?:(?P<not>!)\s*(?P<nkey>[^\s!=,()]+)"
    r"|(?P<key>[^\s!=,()]+)\s*(?:(?P<op>==|=|!=)\s*(?P<val>[^\s,()]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<vals>[^()]*)\))?)\s*$"
)


def _split(text):
    parts, depth, cur = [], 0, ""
    for ch in text:
        depth += (ch == "(") - (ch == ")")
        if ch == "," and depth == 0:
            parts.append(cur)
            cur = ""
        else:
            cur += ch
    parts.append(cur)
    return parts


def parse_labels(text):
    """-> [(key, op, values)] with op in in/notin/exists/!."""
    reqs = []
    if not text or not text.strip():
        return reqs
    for part in _split(text):
        m = _TERM.match(part)
        if not m:
            raise bad_request("unable to parse requirement: found %r" % part)
        if m["not"]:
            reqs.append((m["nkey"], "!", ()))
        elif m["op"]:
            reqs.append((m["key"], "notin" if m["op"] == "!=" else "in", (m["val"],)))
        elif m["set"]:
            reqs.append((m["key"], m["set"], tuple(v.strip() for v in m["vals"].split(","))))
        else:
            reqs.append((m["key"], "exists", ()))
    return reqs


def match_requirements(reqs, labels):
    labels = labels or {}
    for key, op, values in reqs:
        has = key in labels
        if op == "in" and not (has and labels[key] in values):
            return False
        if op == "notin" and has and labels[key] in values:
            return False
        if op == "exists" and not has:
            return False
        if op == "!" and has:
            return False
    return True


def from_object(selector):
    """A metav1.LabelSelector as requirements; None selects nothing."""
    if selector is None:
        return [("", "in", ())]
    reqs = [(k, "in", (v,)) for k, v in (selector.get("matchLabels") or {}).items()]
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for expr in selector.get("matchExpressions") or ():
        reqs.append(
            (expr["key"], names.get(expr["operator"], "in"), tuple(expr.get("values") or ()))
        )
    return reqs


def match_object(selector, labels):
    return match_requirements(from_object(selector), labels)


_COMMON = ("metadata.name", "metadata.namespace")
_FIELDS = {
    "/pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "/nodes": ("spec.unschedulable",),
    "/secrets": ("type",),
    "/services": ("spec.clusterIP", "spec.type"),
    "/namespaces": ("status.phase",),
    "/events": tuple(
        "involvedObject." + f
        for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    )
    + ("reason", "reportingComponent", "source", "type"),
}


def parse_fields(text, table):
    """-> [(path, equal, value)]; refuses a field that the table does not support, as the real server does."""
    out = []
    if not text:
        return out
    allowed = _COMMON + _FIELDS.get(table, ())
    for part in text.split(","):
        m = re.match(r"^\s*([^=!]+?)\s*(==|=|!=)(.*)$", part)
        if not m:
            raise bad_request("invalid selector: %r; can't understand %r" % (text, part))
        if m[1] not in allowed:
            raise bad_request("field label not supported: " + m[1])
        out.append((m[1], m[2] != "!=", m[3].strip().replace("\\,", ",").replace("\\=", "=")))
    return out


def field_value(obj, path):
    if path == "source":
        return (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
    cur = obj
    for part in path.split("."):
        if not isinstance(cur, dict):
            return ""
        cur = cur.get(part)
    if cur is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    if isinstance(cur, bool):
        return "true" if cur else "false"
    return str(cur)


class Selection:
    """Label and field selectors of one request."""

    def __init__(self, labels, fields, table):
        self.labels = parse_labels(labels)
        self.fields = parse_fields(fields, table)

    def __bool__(self):
        return bool(self.labels or self.fields)

    def match(self, obj):
        if self.labels and not match_requirements(self.labels, obj["metadata"].get("labels")):
            return False
        return all((field_value(obj, path) == value) == equal for path, equal, value in self.fields)
