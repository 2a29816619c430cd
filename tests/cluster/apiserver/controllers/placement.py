"""Whether a Pod may run on a node: taints, nodeSelector, node affinity. Owns: these rules (core/v1)."""


def tolerates(toleration, taint):
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (
        taint.get("value") or ""
    )


def tolerated(tolerations, taints, effects):
    return all(
        t["effect"] not in effects or any(tolerates(have, t) for have in tolerations or ())
        for t in taints or ()
    )


def _requirement(req, values):
    key, op, want = req["key"], req["operator"], req.get("values") or ()
    have = values.get(key)
    if op == "In":
        return have in want
    if op == "NotIn":
        return have not in want
    if op == "Exists":
        return have is not None
    if op == "DoesNotExist":
        return have is None
    try:
        return int(have) > int(want[0]) if op == "Gt" else int(have) < int(want[0])
    except (TypeError, ValueError, IndexError):
        return False


def _term(term, node):
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    exprs, by_field = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not exprs and not by_field:
        return False
    return all(_requirement(r, labels) for r in exprs) and all(
        _requirement(r, fields) for r in by_field
    )


def affinity_allows(spec, node):
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    return any(_term(t, node) for t in required.get("nodeSelectorTerms") or ())
