"""The protobuf form of requests: kubectl sends built-in kinds so. Owns: the wire format and the way from a message to
the JSON object, by the numbers in types.txt. Answers are JSON, which every client takes too.

Protocol Buffers encoding; Kubernetes' envelope "k8s\\0" + runtime.Unknown.
"""
import base64
import datetime
import json

from . import builtin
from .errors import ApiError, bad_request

MAGIC = b"k8s\x00"
DEPTH_MAX = 40
# pointers in Go: a zero that is sent was meant
_POINTERS = {
    "replicas",
    "terminationGracePeriodSeconds",
    "gracePeriodSeconds",
    "automountServiceAccountToken",
    "revisionHistoryLimit",
    "allowPrivilegeEscalation",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "ready",
    "enableServiceLinks",
    "allocateLoadBalancerNodePorts",
    "tolerationSeconds",
    "exitCode",
    "runAsNonRoot",
    "readOnlyRootFilesystem",
    "privileged",
    "serving",
    "terminating",
    "leaseTransitions",
    "defaultMode",
    "mode",
}
_ALWAYS = {"key", "value", "path"}


def varint(value):
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number, value):
    """One field: bool and int as varint, bytes and str with their length."""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def _read_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("bad varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def fields(data):
    """-> [(number, value)] of one message; value is int or bytes."""
    at, out = 0, []
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError("unknown wire type %d" % kind)
        if at > len(data):
            raise ValueError("truncated message")
        out.append((tag >> 3, value))
    return out


def decode_request(raw):
    """The JSON object of a request body in Kubernetes' protobuf."""
    try:
        if not raw.startswith(MAGIC):
            raise ValueError("the magic is missing")
        unknown = dict(fields(raw[4:]))
        head = dict(fields(unknown.get(1, b"")))
        version, kind = head.get(1, b"").decode(), head.get(2, b"").decode()
        group = version.rpartition("/")[0]
        name = "meta.DeleteOptions" if kind == "DeleteOptions" else None
        schema = builtin.message(name) if name else builtin.named(group, kind)
        if schema is None or "x-message" not in schema:
            raise ApiError(
                415,
                "UnsupportedMediaType",
                "%s, Kind=%s has no protobuf form on this server: send JSON" % (version, kind),
            )
        obj = _message(schema, unknown.get(2, b""), 0)
    except (ValueError, IndexError, TypeError) as err:
        raise bad_request("error decoding protobuf: %s" % err) from None
    return {"kind": kind, "apiVersion": version, **obj}


def _message(schema, data, depth):
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep")
    numbers = {p["x-proto"]: (k, p) for k, p in schema["properties"].items() if p.get("x-proto")}
    out = {}
    for number, value in fields(data):
        if number in schema.get("x-inlined", {}):
            out.update(_message(schema["x-inlined"][number], value, depth + 1))
        elif number in numbers:
            key, prop = numbers[number]
            _put(out, key, prop, value, depth)
    return out


def _put(out, key, prop, value, depth):
    if prop.get("x-leaf") is None and prop.get("type") == "array":
        out.setdefault(key, []).append(_value(prop["items"], value, depth))
    elif prop.get("x-leaf") is None and "additionalProperties" in prop:
        pair = dict(fields(value))
        made = _value(prop["additionalProperties"], pair.get(2, b""), depth)
        out.setdefault(key, {})[pair.get(1, b"").decode()] = "" if made is None else made
    else:
        made = _value(prop, value, depth)
        if (
            made is None
            or made in ("", 0, False)
            and key not in _POINTERS
            and not (made == "" and key in _ALWAYS)
        ):
            return
        out[key] = made


def _value(prop, value, depth):
    leaf, kind = prop.get("x-leaf"), prop.get("type")
    if leaf in ("time", "microtime"):
        return _time(value, leaf)
    if leaf == "quantity":
        return dict(fields(value)).get(1, b"0").decode() or "0"
    if leaf == "intstr":
        pair = dict(fields(value))
        return pair.get(3, b"").decode() if pair.get(1) else _signed(pair.get(2, 0))
    if leaf == "strings":
        return [v.decode() for n, v in fields(value) if n == 1]
    if leaf == "any":
        raw = dict(fields(value)).get(1, b"")
        return json.loads(raw) if raw else None
    if kind == "integer":
        return _signed(value)
    if kind == "boolean":
        return bool(value)
    if kind == "string":
        return base64.b64encode(value).decode() if prop.get("format") == "byte" else value.decode()
    return _message(prop, value, depth + 1)


def _signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(value, leaf):
    pair = dict(fields(value))
    if not pair:
        return None
    when = datetime.datetime.fromtimestamp(_signed(pair.get(1, 0)), datetime.timezone.utc)
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (".%06dZ" % (pair.get(2, 0) // 1000) if leaf == "microtime" else "Z")
