"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch. Owns: their semantics.

Strategic merge asks the kind's schema for x-kubernetes-patch-merge-key; lists without one are atomic.
"""

from .errors import ApiError, bad_request
from .schema import child
from .store import clone

OPERATIONS_MAX = 10000


def apply(kind, old, body, res):
    if kind == "json":
        return json_patch(old, body)
    if not isinstance(body, dict):
        raise bad_request("the patch must be a JSON object")
    if kind == "merge":
        return merge_patch(old, body)
    if res.crd:
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted "
            "media types include: application/json-patch+json, application/merge-patch+json, "
            "application/apply-patch+yaml",
        )
    return strategic(old, body, res.schema or {})


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge_patch(out.get(key), value)
    return out


def _unprocessable(message):
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request: " + message
    )


def _pointer(text):
    if text == "":
        return []
    if not isinstance(text, str) or not text.startswith("/"):
        raise _unprocessable("bad JSON pointer %r" % (text,))
    return [p.replace("~1", "/").replace("~0", "~") for p in text[1:].split("/")]


def _index(seq, key, grow):
    if grow and key == "-":
        return len(seq)
    if not key.isdigit() or int(key) >= len(seq) + (1 if grow else 0):
        raise _unprocessable("index %r is out of bounds" % key)
    return int(key)


def _walk(doc, path):
    for key in path:
        if isinstance(doc, list):
            doc = doc[_index(doc, key, False)]
        elif isinstance(doc, dict) and key in doc:
            doc = doc[key]
        else:
            raise _unprocessable("the path /%s does not exist" % "/".join(path))
    return doc


def _add(doc, path, value):
    if not path:
        return value
    parent, key = _walk(doc, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(_index(parent, key, True), value)
    elif isinstance(parent, dict):
        parent[key] = value
    else:
        raise _unprocessable("the path /%s does not exist" % "/".join(path))
    return doc


def _remove(doc, path):
    if not path:
        raise _unprocessable("the whole document cannot be removed")
    value = _walk(doc, path)
    parent = _walk(doc, path[:-1])
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
    return value


def json_patch(doc, ops):
    if not isinstance(ops, list) or len(ops) > OPERATIONS_MAX:
        raise bad_request("a JSON patch is an array of at most %d operations" % OPERATIONS_MAX)
    doc = clone(doc)
    for op in ops:
        if not isinstance(op, dict) or "path" not in op:
            raise bad_request("a JSON patch operation is an object with op and path")
        what, path = op.get("op"), _pointer(op["path"])
        if what == "add":
            doc = _add(doc, path, clone(op.get("value")))
        elif what == "remove":
            _remove(doc, path)
        elif what == "replace":
            _walk(doc, path)
            if path:
                _remove(doc, path)
            doc = _add(doc, path, clone(op.get("value")))
        elif what == "test":
            if _walk(doc, path) != op.get("value"):
                raise _unprocessable("testing path %s value failed" % op["path"])
        elif what == "copy":
            doc = _add(doc, path, clone(_walk(doc, _pointer(op.get("from")))))
        elif what == "move":
            doc = _add(doc, path, _remove(doc, _pointer(op.get("from"))))
        else:
            raise bad_request("unknown JSON patch operation %r" % (what,))
    return doc


def _ordered(items, order, keyof):
    """`items` with those that `order` names in that order, the others kept relative to them."""
    rank = {k: i for i, k in enumerate(order)}
    named = sorted((i for i in items if keyof(i) in rank), key=lambda i: rank[keyof(i)])
    feed = iter(named)
    return [next(feed) if keyof(i) in rank else i for i in items]


def strategic(target, patch, schema):
    """Merges `patch` into a copy of `target`."""
    if patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    out = dict(target) if isinstance(target, dict) else {}
    retain = patch.get("$retainKeys")
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith(
            ("$setElementOrder/", "$deleteFromPrimitiveList/")
        ):
            continue
        sub = child(schema, key) or {}
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = strategic(out.get(key), value, sub)
        elif isinstance(value, list) and sub.get("x-kubernetes-patch-strategy") == "merge":
            out[key] = _merge_list(out.get(key) or [], value, sub)
        else:
            out[key] = clone(value)
    _list_directives(out, patch, schema)
    if retain is not None:
        out = {k: v for k, v in out.items() if k in retain}
    return out


def _list_directives(out, patch, schema):
    for key, value in patch.items():
        directive, _, name = key.partition("/")
        if directive == "$deleteFromPrimitiveList":
            out[name] = [v for v in out.get(name) or [] if v not in value]
    for key, value in patch.items():
        directive, _, name = key.partition("/")
        if directive == "$setElementOrder" and isinstance(out.get(name), list):
            mkey = (child(schema, name) or {}).get("x-kubernetes-patch-merge-key")
            if mkey:
                out[name] = _ordered(out[name], [v.get(mkey) for v in value], lambda i: i.get(mkey))
            else:
                out[name] = _ordered(out[name], value, lambda i: i)


def _merge_list(old, patch, schema):
    mkey = schema.get("x-kubernetes-patch-merge-key")
    if not mkey:
        return old + [v for v in patch if v not in old]
    if any(isinstance(p, dict) and p.get("$patch") == "replace" and len(p) == 1 for p in patch):
        return [p for p in patch if "$patch" not in p]
    out = list(old)
    for item in patch:
        if not isinstance(item, dict) or mkey not in item:
            raise bad_request("map: %r does not contain declared merge key: %s" % (item, mkey))
        at = next((i for i, o in enumerate(out) if o.get(mkey) == item[mkey]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del out[at]
        elif at is None:
            out.append(strategic({}, item, schema.get("items") or {}))
        else:
            out[at] = strategic(out[at], item, schema.get("items") or {})
    return out
