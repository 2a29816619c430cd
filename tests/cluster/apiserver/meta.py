"""Rules for metadata that hold for every kind: names, labels, generation, and when two states are the same.

Kubernetes API conventions, "Metadata"; RFC 1123 and 1035 for names.
"""
import json
import re

from .errors import f_invalid, f_forbidden, f_required

DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
DNS1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
DNS_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
LABEL_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
ANNOTATIONS_MAX = 256 * 1024

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)

_GENERATION = {
    "apps/deployments",
    "apps/daemonsets",
    "apps/replicasets",
    "policy/poddisruptionbudgets",
    "networking.k8s.io/networkpolicies",
    "discovery.k8s.io/endpointslices",
    "admissionregistration.k8s.io/validatingwebhookconfigurations",
    "admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "apiextensions.k8s.io/customresourcedefinitions",
}
_PATH_NAMES = {"roles", "clusterroles", "rolebindings", "clusterrolebindings"}


def has_generation(res):
    return bool(res.crd) or res.table in _GENERATION


def spec_changed(res, old, new):
    """Whether anything changed that is neither metadata nor (with a status subresource) status."""
    skip = {"metadata", "apiVersion", "kind"} | ({"status"} if res.has_status else set())
    keys = (set(old) | set(new)) - skip
    return any(old.get(k) != new.get(k) for k in keys)


def _without_times(obj):
    md = dict(obj["metadata"])
    md["managedFields"] = [
        {k: v for k, v in m.items() if k != "time"} for m in md.get("managedFields") or []
    ]
    return {**obj, "metadata": md}


def same(new, old):
    """Equal but for the times in managedFields: such a write changes nothing."""
    if new == old:
        return True
    return _without_times(new) == _without_times(old)


def _name_causes(res, name):
    if res.group == "rbac.authorization.k8s.io" and res.plural in _PATH_NAMES:
        if name in (".", "..") or "/" in name or "%" in name:
            return [f_invalid("metadata.name", name, "may not contain '/' or '%'")]
        return []
    if res.table == "/services" and not (DNS1035.match(name) and len(name) <= 63):
        return [f_invalid("metadata.name", name, DNS1035_TEXT)]
    if res.table == "/namespaces" and not (DNS_LABEL.match(name) and len(name) <= 63):
        return [f_invalid("metadata.name", name, LABEL_TEXT)]
    if not DNS_SUBDOMAIN.match(name) or len(name) > 253:
        return [f_invalid("metadata.name", name, SUBDOMAIN_TEXT)]
    return []


def qualified_name_ok(key):
    prefix, slash, name = key.rpartition("/")
    if slash and not (prefix and DNS_SUBDOMAIN.match(prefix) and len(prefix) <= 253):
        return False
    return bool(LABEL_NAME.match(name)) and len(name) <= 63


def label_causes(path, labels):
    causes = []
    for key, value in (labels or {}).items():
        if not qualified_name_ok(key):
            causes.append(
                f_invalid(
                    path,
                    key,
                    "name part must consist of alphanumeric characters, '-', "
                    "'_' or '.', and must start and end with an alphanumeric character",
                )
            )
        if value and not (LABEL_NAME.match(value) and len(value) <= 63):
            causes.append(
                f_invalid(
                    path,
                    value,
                    "a valid label must be an empty string or consist of "
                    "alphanumeric characters, '-', '_' or '.', and must start and end with "
                    "an alphanumeric character",
                )
            )
    return causes


def validate(res, obj, old):
    md = obj["metadata"]
    causes = _name_causes(res, md["name"])
    causes += label_causes("metadata.labels", md.get("labels"))
    annotations = md.get("annotations") or {}
    for key in annotations:
        if not qualified_name_ok(key.lower()):
            causes.append(
                f_invalid(
                    "metadata.annotations",
                    key,
                    "name part must consist of alphanumeric " "characters, '-', '_' or '.'",
                )
            )
    if sum(len(k) + len(v) for k, v in annotations.items()) > ANNOTATIONS_MAX:
        causes.append(
            f_invalid("metadata.annotations", "", "Too long: may not be more than 262144 bytes")
        )
    for i, ref in enumerate(md.get("ownerReferences") or ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not ref.get(key):
                causes.append(f_required("metadata.ownerReferences[%d].%s" % (i, key)))
    for fin in md.get("finalizers") or ():
        if not qualified_name_ok(fin):
            causes.append(f_invalid("metadata.finalizers", fin, "name part must be non-empty"))
    if old and old["metadata"].get("deletionTimestamp"):
        extra = set(md.get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if extra:
            causes.append(
                f_forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is "
                    "being deleted, found new finalizers %s" % json.dumps(sorted(extra)),
                )
            )
    return causes
