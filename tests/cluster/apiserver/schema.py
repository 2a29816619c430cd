"""Structural schemas: pruning, unknown fields, defaults, validation. Owns: the walk over a value and its schema.

apiextensions.k8s.io/v1 JSONSchemaProps without CEL (x-kubernetes-validations is left to a real server).
"""
import datetime
import re

from . import builtin
from .errors import bad_request, f_duplicate, f_invalid, f_required, f_type, f_unsupported
from .store import clone

WARNINGS_MAX = 50
_BASE = ("apiVersion", "kind", "metadata")


def child(schema, key):
    """The schema of a property; {} where everything is allowed, None where nothing is."""
    props = schema.get("properties") or {}
    if key in props:
        return props[key]
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return extra
    return {} if extra is True or schema.get("x-kubernetes-preserve-unknown-fields") else None


def root(res):
    """The schema of a whole object, metadata included; None when nothing is known."""
    if res.schema is None:
        return None
    if not res.crd:
        return res.schema
    return {
        **res.schema,
        "properties": {
            **(res.schema.get("properties") or {}),
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": builtin.object_meta(),
        },
    }


def admit(res, obj, ctx):
    """Drops nulls and unknown fields of `obj` in place; complains as the request's fieldValidation says."""
    schema = root(res)
    if schema is None:
        if "metadata" in obj:
            _typed(builtin.object_meta(), obj["metadata"], "metadata")
        return
    unknown = []
    if res.crd:
        if not isinstance(obj.get("metadata") or {}, dict):
            raise bad_request("metadata must be an object")
        _typed(builtin.object_meta(), obj.get("metadata") or {}, "metadata")
    else:
        _typed(schema, obj, "")
    _prune(schema, obj, "", unknown)
    if res.crd and res.preserve:
        unknown = []
    if not unknown or ctx.validation == "Ignore":
        return
    texts = ['unknown field "%s"' % u for u in unknown]
    if ctx.validation == "Strict":
        raise bad_request(
            '%s in version "%s" cannot be handled as a %s: strict decoding error: %s'
            % (res.kind, res.version, res.kind, ", ".join(texts))
        )
    ctx.warnings.extend(texts[:WARNINGS_MAX])


def join(path, key):
    return "%s.%s" % (path, key) if path else key


def _prune(schema, value, path, unknown):
    if isinstance(value, list):
        items = schema.get("items") or {}
        for i, item in enumerate(value):
            _prune(items, item, "%s[%d]" % (path, i), unknown)
        return
    if not isinstance(value, dict):
        return
    embedded = schema.get("x-kubernetes-embedded-resource")
    for key in list(value):
        sub = child(schema, key)
        if sub is None and not (embedded and key in _BASE) and schema:
            unknown.append(join(path, key))
            del value[key]
        elif value[key] is None and sub and not sub.get("nullable") and "x-message" in schema:
            del value[key]
        elif sub:
            _prune(sub, value[key], join(path, key), unknown)


def _typed(schema, value, path):
    """The check that decoding into a Go struct makes: a wrong type is a bad request."""
    if value is None or "x-leaf" in schema and schema["x-leaf"] == "any":
        return
    want = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str, float)):
            _mismatch(path, value, "intstr.IntOrString")
    elif want == "object" and not isinstance(value, dict):
        _mismatch(path, value, "struct")
    elif want == "array" and not isinstance(value, list):
        _mismatch(path, value, "slice")
    elif want == "string" and not isinstance(value, str):
        _mismatch(path, value, "string")
    elif want == "boolean" and not isinstance(value, bool):
        _mismatch(path, value, "bool")
    elif want == "integer" and (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not _in_range(value, schema.get("format"))
    ):
        _mismatch(path, value, schema.get("format", "int64"))
    if isinstance(value, dict):
        for key, item in value.items():
            sub = child(schema, key)
            if sub:
                _typed(sub, item, join(path, key))
    elif isinstance(value, list):
        for item in value:
            _typed(schema.get("items") or {}, item, path)


def _mismatch(path, value, want):
    shown = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    raise bad_request(
        "json: cannot unmarshal %s into Go struct field %s of type %s" % (shown, path, want)
    )


def _in_range(value, fmt):
    bits = 31 if fmt == "int32" else 63
    return -(1 << bits) <= value < (1 << bits)


# defaults


def default(res, obj):
    """Fills in what a CRD's schema gives as default; nulls that are not nullable give way to it."""
    if res.crd and res.schema is not None:
        for key, sub in (res.schema.get("properties") or {}).items():
            if key not in _BASE:
                _default_key(obj, key, sub)


def _default_key(value, key, sub):
    if key in value and value[key] is None and not sub.get("nullable"):
        del value[key]
    if key not in value and "default" in sub:
        value[key] = clone(sub["default"])
    if key in value:
        _default(sub, value[key])


def _default(schema, value):
    if isinstance(value, dict):
        for key, sub in (schema.get("properties") or {}).items():
            _default_key(value, key, sub)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for key in value:
                if key not in (schema.get("properties") or {}):
                    _default(extra, value[key])
    elif isinstance(value, list):
        for item in value:
            _default(schema.get("items") or {}, item)


# validation


def validate(res, obj):
    causes = []
    if res.crd and res.schema is not None:
        body = {k: v for k, v in obj.items() if k not in _BASE}
        props = {k: v for k, v in (res.schema.get("properties") or {}).items() if k not in _BASE}
        required = [r for r in res.schema.get("required") or () if r not in _BASE]
        _check({**res.schema, "properties": props, "required": required}, body, "", causes)
    return causes


_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
}


def _is(value, want):
    if isinstance(value, bool) and want != "boolean":
        return False
    if want == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[want])


def _check(schema, value, path, causes):
    if value is None:
        if not schema.get("nullable") and schema.get("type"):
            causes.append(
                f_type(
                    path, "null", '%s in body must be of type %s: "null"' % (path, schema["type"])
                )
            )
        return
    want = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            causes.append(
                f_type(
                    path,
                    _NAMES[type(value)],
                    "%s in body must be of type integer,string: %r" % (path, _NAMES[type(value)]),
                )
            )
            return
    elif want and not _is(value, want):
        kind = _NAMES[type(value)]
        causes.append(
            f_type(path, kind, '%s in body must be of type %s: "%s"' % (path, want, kind))
        )
        return
    if "enum" in schema and value not in schema["enum"]:
        causes.append(f_unsupported(path, value, schema["enum"]))
    if isinstance(value, dict):
        _check_object(schema, value, path, causes)
    elif isinstance(value, list):
        _check_array(schema, value, path, causes)
    elif isinstance(value, str):
        _check_string(schema, value, path, causes)
    elif not isinstance(value, bool):
        _check_number(schema, value, path, causes)
    _check_logic(schema, value, path, causes)


def _check_object(schema, value, path, causes):
    for key in schema.get("required") or ():
        if key not in value:
            causes.append(f_required(join(path, key)))
    for low, bound in (("minProperties", True), ("maxProperties", False)):
        if low in schema and ((len(value) < schema[low]) if bound else (len(value) > schema[low])):
            causes.append(
                f_invalid(
                    path,
                    len(value),
                    "%s in body should have at %s %d properties"
                    % (path, "least" if bound else "most", schema[low]),
                )
            )
    for key, item in value.items():
        sub = child(schema, key)
        if sub:
            _check(sub, item, join(path, key), causes)


def _check_array(schema, value, path, causes):
    if len(value) < schema.get("minItems", 0):
        causes.append(
            f_invalid(
                path,
                len(value),
                "%s in body should have at least %d items" % (path, schema["minItems"]),
            )
        )
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        causes.append(
            f_invalid(
                path,
                len(value),
                "%s in body should have at most %d items" % (path, schema["maxItems"]),
            )
        )
    for i, item in enumerate(value):
        _check(schema.get("items") or {}, item, "%s[%d]" % (path, i), causes)
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set" or schema.get("uniqueItems"):
        seen = []
        for i, item in enumerate(value):
            if item in seen:
                causes.append(f_duplicate("%s[%d]" % (path, i), item))
            seen.append(item)
    elif kind == "map":
        seen = []
        for i, item in enumerate(value):
            key = (
                {k: item.get(k) for k in schema["x-kubernetes-list-map-keys"]}
                if isinstance(item, dict)
                else item
            )
            if key in seen:
                causes.append(f_duplicate("%s[%d]" % (path, i), key))
            seen.append(key)


def _check_string(schema, value, path, causes):
    if len(value) < schema.get("minLength", 0):
        causes.append(
            f_invalid(
                path,
                value,
                "%s in body should be at least %d chars long" % (path, schema["minLength"]),
            )
        )
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        causes.append(
            f_invalid(
                path,
                value,
                "%s in body should be at most %d chars long" % (path, schema["maxLength"]),
            )
        )
    if "pattern" in schema and not re.search(schema["pattern"], value):
        causes.append(
            f_invalid(path, value, "%s in body should match '%s'" % (path, schema["pattern"]))
        )
    if schema.get("format") == "date-time" and not rfc3339(value):
        causes.append(
            f_invalid(path, value, "%s in body must be of type date-time: %r" % (path, value))
        )


def rfc3339(text):
    if not re.match(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", text):
        return False
    try:
        datetime.datetime.strptime(text[:19].upper(), "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return True


def _check_number(schema, value, path, causes):
    if schema.get("format") in ("int32", "int64") and not _in_range(value, schema["format"]):
        causes.append(
            f_invalid(
                path,
                value,
                "Checked value must be of type integer with format %s in %s"
                % (schema["format"], path),
            )
        )
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value <= low if schema.get("exclusiveMinimum") else value < low):
        causes.append(
            f_invalid(
                path,
                value,
                "%s in body should be greater than %s%s"
                % (path, "" if schema.get("exclusiveMinimum") else "or equal to ", low),
            )
        )
    if high is not None and (value >= high if schema.get("exclusiveMaximum") else value > high):
        causes.append(
            f_invalid(
                path,
                value,
                "%s in body should be less than %s%s"
                % (path, "" if schema.get("exclusiveMaximum") else "or equal to ", high),
            )
        )
    if schema.get("multipleOf") and value % schema["multipleOf"]:
        causes.append(
            f_invalid(
                path, value, "%s in body should be a multiple of %s" % (path, schema["multipleOf"])
            )
        )


def _holds(schema, value, path):
    found = []
    _check(schema, value, path, found)
    return not found


def _check_logic(schema, value, path, causes):
    for sub in schema.get("allOf") or ():
        _check(sub, value, path, causes)
    subs = schema.get("anyOf")
    if subs and not any(_holds(s, value, path) for s in subs):
        causes.append(
            f_invalid(path, "", "%s in body must validate at least one schema (anyOf)" % path)
        )
    subs = schema.get("oneOf")
    if subs and sum(_holds(s, value, path) for s in subs) != 1:
        causes.append(
            f_invalid(path, "", "%s in body must validate one and only one schema (oneOf)" % path)
        )
    if schema.get("not") and _holds(schema["not"], value, path):
        causes.append(f_invalid(path, "", "%s in body must not validate the schema (not)" % path))
