"""Server-side apply and the tracking of field managers. Owns: metadata.managedFields (FieldsV1).

A set of fields is a nested dict as in FieldsV1: "f:name" a field, 'k:{...}' an item of a list map, "v:..." a member of
a list set, "." the thing itself; {} is a leaf. Lists of other kinds are atomic.
"""
import json

from .errors import ApiError, bad_request
from .schema import child, root
from .store import clone

_SYSTEM = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)


def _atomic(schema, value):
    if isinstance(value, dict):
        return schema.get("x-kubernetes-map-type") == "atomic"
    if isinstance(value, list):
        return schema.get("x-kubernetes-list-type") not in ("map", "set")
    return True


def _item_key(schema, item):
    """The path element of one list item."""
    if schema.get("x-kubernetes-list-type") == "set":
        return "v:" + json.dumps(item, separators=(",", ":"))
    defaults = {"protocol": "TCP"}
    keys = {k: item.get(k, defaults.get(k)) for k in schema["x-kubernetes-list-map-keys"]}
    keys = {k: v for k, v in keys.items() if v is not None}
    return "k:" + json.dumps(keys, sort_keys=True, separators=(",", ":"))


def fields_of(schema, value):
    """The set of all fields that `value` has."""
    if _atomic(schema, value):
        return {}
    out = {}
    if isinstance(value, dict):
        for key, item in value.items():
            out["f:" + key] = fields_of(child(schema, key) or {}, item)
        return out
    for item in value:
        sub = fields_of(schema.get("items") or {}, item)
        if isinstance(item, dict):
            sub = {".": {}, **sub}
        out[_item_key(schema, item)] = sub
    return out


def object_fields(res, obj, sub):
    """The fields of an object that managers can own: all but identity and what the server writes."""
    schema = root(res) or {}
    body = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}
    if sub == "status":
        body = {k: v for k, v in body.items() if k == "status"}
    elif res.has_status:
        body.pop("status", None)
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _SYSTEM}
    body.pop("metadata", None)
    if meta and sub != "status":
        body["metadata"] = meta
    return fields_of(schema, body)


def union(a, b):
    out = dict(a)
    for key, sub in b.items():
        out[key] = union(out[key], sub) if key in out else sub
    return out


def minus(a, b):
    """`a` without the leaves that `b` has too."""
    out = {}
    for key, sub in a.items():
        if key not in b:
            out[key] = sub
        elif sub:
            left = minus(sub, b[key])
            if left:
                out[key] = left
    return out


def common(a, b):
    out = {}
    for key, sub in a.items():
        if key in b:
            both = common(sub, b[key])
            if both or not sub or not b[key]:
                out[key] = both
    return out


def only_in(a, keep):
    """`a` cut down to paths that exist in `keep`; a leaf of `keep` ends the path."""
    return {k: only_in(s, keep[k]) if keep[k] else {} for k, s in a.items() if k in keep}


def changed(schema, old, new):
    """The fields of `new` whose values are not those of `old`; None when there is none (fields may have gone)."""
    if old == new:
        return None
    if _atomic(schema, new) or type(old) is not type(new):
        return fields_of(schema, new)
    out = {}
    if isinstance(new, dict):
        for key, item in new.items():
            sub = child(schema, key) or {}
            diff = changed(sub, old[key], item) if key in old else fields_of(sub, item)
            if diff is not None:
                out["f:" + key] = diff
        return out or None
    have = {_item_key(schema, i): i for i in old}
    for item in new:
        key = _item_key(schema, item)
        diff = (
            changed(schema.get("items") or {}, have[key], item)
            if key in have
            else fields_of(schema.get("items") or {}, item)
        )
        if diff is not None:
            if isinstance(item, dict) and key not in have:
                diff = {".": {}, **diff}
            out[key] = diff
    return out or None


def _body(res, obj, sub):
    body = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
    if sub == "status":
        return {k: v for k, v in body.items() if k == "status"}
    if res.has_status:
        body.pop("status", None)
    body["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in _SYSTEM}
    return body


def _entry(res, manager, operation, sub, when, fields):
    out = {
        "manager": manager,
        "operation": operation,
        "apiVersion": res.api_version,
        "time": when,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if sub:
        out["subresource"] = sub
    return out


def _ident(entry):
    return entry.get("manager"), entry.get("operation"), entry.get("subresource", "")


def track(res, old, new, manager, sub, when):
    """Notes in `new` that `manager` wrote what differs from `old`."""
    if sub not in ("", "status"):
        return
    entries = list(new["metadata"].get("managedFields") or ())
    schema = root(res) or {}
    if old is None:
        if any(e["operation"] == "Apply" for e in entries):
            return
        diff = object_fields(res, new, sub)
        entries = []
    else:
        before, after = _body(res, old, sub), _body(res, new, sub)
        if before == after:
            return
        diff = changed(schema, before, after) or {}
        present = object_fields(res, new, sub)
        entries = [_without(e, diff, present, manager, sub) for e in entries]
        entries = [e for e in entries if e["fieldsV1"]]
    if not diff:
        if entries or old is not None:
            new["metadata"]["managedFields"] = entries
        return
    mine = next((e for e in entries if _ident(e) == (manager, "Update", sub)), None)
    if mine is not None:
        index = entries.index(mine)
        entries[index] = _entry(res, manager, "Update", sub, when, union(mine["fieldsV1"], diff))
    else:
        entries.append(_entry(res, manager, "Update", sub, when, diff))
    new["metadata"]["managedFields"] = entries


def _without(entry, diff, present, manager, sub):
    """Another manager's entry after a write: what was changed or is gone is no longer its own."""
    if entry.get("subresource", "") != sub:
        return entry
    fields = only_in(entry["fieldsV1"], present)
    if _ident(entry) != (manager, "Update", sub):
        fields = minus(fields, diff)
    return {**entry, "fieldsV1": fields}


def merge(res, old, body, manager, sub, force, when):
    """The object after `manager` applied `body` on `old` (None: it is new). Raises 409 with each conflict."""
    schema = root(res) or {}
    mine = object_fields(res, body, sub)
    if old is None:
        out = clone(body)
        out["metadata"]["managedFields"] = [_entry(res, manager, "Apply", sub, when, mine)]
        return out
    entries = [e for e in old["metadata"].get("managedFields") or ()]
    before = next((e for e in entries if _ident(e) == (manager, "Apply", sub)), None)
    out = clone(old)
    source = _body(res, body, sub)
    merged = _overlay(schema, _body(res, old, sub), source)
    others = [e for e in entries if e is not before and e.get("subresource", "") == sub]
    if before is not None:
        dropped = minus(before["fieldsV1"], mine)
        for entry in others:
            dropped = minus(dropped, entry["fieldsV1"])
        merged = _strip(schema, merged, dropped, mine)
    diff = changed(schema, _body(res, old, sub), merged) or {}
    entries = _settle(entries, before, sub, common(diff, mine), manager, force)
    _put_back(res, out, merged, sub)
    time = when
    if before is not None and before["fieldsV1"] == mine and not diff:
        time = before["time"]
    entries.append(_entry(res, manager, "Apply", sub, time, mine))
    for key in ("resourceVersion", "uid"):
        if body["metadata"].get(key):
            out["metadata"][key] = body["metadata"][key]
    out["metadata"]["managedFields"] = sorted(
        entries, key=lambda e: (e["operation"], e.get("time") or "", e["manager"])
    )
    return out


def _settle(entries, before, sub, diff, manager, force):
    """Finds who else owns what is to change; without force that is a conflict."""
    conflicts, out = [], []
    for entry in entries:
        if entry is before:
            continue
        clash = common(entry["fieldsV1"], diff) if entry.get("subresource", "") == sub else {}
        if clash and not force:
            conflicts += [(entry, path) for path in _paths(clash)]
        elif clash:
            left = minus(entry["fieldsV1"], clash)
            if left:
                out.append({**entry, "fieldsV1": left})
            continue
        out.append(entry)
    if conflicts:
        raise _conflict(conflicts)
    return out


def _conflict(conflicts):
    causes, texts = [], []
    for entry, path in conflicts:
        who = 'conflict with "%s"' % entry["manager"]
        if entry["operation"] == "Update":
            who += " using " + entry["apiVersion"]
        causes.append({"reason": "FieldManagerConflict", "message": who, "field": path})
        texts.append("%s: %s" % (who, path))
    head = "Apply failed with %d conflict%s: " % (len(texts), "" if len(texts) == 1 else "s")
    return ApiError(
        409,
        "Conflict",
        head + (texts[0] if len(texts) == 1 else "conflicts: " + "; ".join(texts)),
        {"causes": causes},
    )


def _paths(fields, prefix=""):
    for key, sub in fields.items():
        if key == ".":
            continue
        name = "." + key[2:] if key.startswith("f:") else "[%s]" % key[2:]
        if any(k != "." for k in sub):
            yield from _paths(sub, prefix + name)
        else:
            yield prefix + name


def _overlay(schema, old, new):
    """`old` with everything that `new` says."""
    if _atomic(schema, new) or type(old) is not type(new):
        return clone(new)
    if isinstance(new, dict):
        out = dict(old)
        for key, item in new.items():
            sub = child(schema, key) or {}
            out[key] = _overlay(sub, old[key], item) if key in old else clone(item)
        return out
    items, index = list(old), {_item_key(schema, o): i for i, o in enumerate(old)}
    seen = set()
    for item in new:
        key = _item_key(schema, item)
        if key in seen:
            raise bad_request("duplicate list item %s in the applied object" % key[2:])
        seen.add(key)
        if key in index:
            items[index[key]] = _overlay(schema.get("items") or {}, items[index[key]], item)
        else:
            items.append(clone(item))
    return items


def _strip(schema, value, dropped, mine):
    """`value` without the fields of `dropped`; a container that the manager still owns parts of stays."""
    if isinstance(value, dict):
        out = dict(value)
        for key, sub in dropped.items():
            name = key[2:]
            if not key.startswith("f:") or name not in out:
                continue
            if not sub:
                if key not in mine:
                    del out[name]
                continue
            out[name] = _strip(child(schema, name) or {}, out[name], sub, mine.get(key, {}))
            if out[name] in ({}, []) and key not in mine:
                del out[name]
        return out
    if isinstance(value, list) and not _atomic(schema, value):
        out = []
        for item in value:
            key = _item_key(schema, item)
            if key in dropped and key not in mine and ("." in dropped[key] or not dropped[key]):
                continue
            if key in dropped:
                item = _strip(schema.get("items") or {}, item, dropped[key], mine.get(key, {}))
            out.append(item)
        return out
    return value


def _put_back(res, out, merged, sub):
    if sub == "status":
        if "status" in merged:
            out["status"] = merged["status"]
        else:
            out.pop("status", None)
        return
    meta = merged.pop("metadata", {})
    for key in list(out):
        if key not in ("apiVersion", "kind", "metadata") and not (
            key == "status" and res.has_status
        ):
            del out[key]
    out.update(merged)
    kept = {k: v for k, v in out["metadata"].items() if k in _SYSTEM}
    out["metadata"] = {**meta, **kept}
