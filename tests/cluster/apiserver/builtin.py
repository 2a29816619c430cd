"""The built-in types as structural schemas, from types.txt. Owns: the reading of that file and the fixed schema of a
CustomResourceDefinition. Beside OpenAPI's words a property carries "x-proto", its number in the protobuf form.
"""
import functools
import os

_LEAVES = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "num": {"type": "number"},
    "i32": {"type": "integer", "format": "int32"},
    "i64": {"type": "integer", "format": "int64"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"x-kubernetes-int-or-string": True, "x-leaf": "quantity"},
    "intstr": {"x-kubernetes-int-or-string": True, "x-leaf": "intstr"},
    "time": {"type": "string", "format": "date-time", "x-leaf": "time"},
    "microtime": {"type": "string", "format": "date-time", "x-leaf": "microtime"},
    "strings": {"type": "array", "items": {"type": "string"}, "x-leaf": "strings"},
    "any": {"x-kubernetes-preserve-unknown-fields": True, "x-leaf": "any"},
}

_KINDS = {
    "": "core",
    "apps": "apps",
    "discovery.k8s.io": "disc",
    "coordination.k8s.io": "coord",
    "policy": "pol",
    "networking.k8s.io": "net",
    "rbac.authorization.k8s.io": "rbac",
    "admissionregistration.k8s.io": "adm",
    "authentication.k8s.io": "authn",
    "authorization.k8s.io": "authz",
    "events.k8s.io": "ev",
    "autoscaling": "as",
}


@functools.lru_cache(None)
def _lines():
    out = {}
    with open(os.path.join(os.path.dirname(__file__), "types.txt"), encoding="utf-8") as src:
        for line in src.read().replace("\n\t", " ").splitlines():
            if line and not line.startswith("#"):
                name, _, fields = line.partition(": ")
                out[name.rstrip("*")] = (name.endswith("*"), fields.split())
    return out


def _marks(text):
    """Splits "[T]~key@keys" -> (T-expression, merge key or None, list keys or None)."""
    text, at, keys = text.partition("@")
    text, tilde, mkey = text.partition("~")
    return text, (mkey if tilde else None), (keys if at else None)


def _field(text):
    text, mkey, keys = _marks(text)
    if text.startswith("["):
        out = {"type": "array", "items": _type(text[1:-1])}
        if mkey is not None:
            out["x-kubernetes-patch-strategy"] = "merge"
            if mkey:
                out["x-kubernetes-patch-merge-key"] = mkey
        if keys == "set" or keys is None and mkey == "":
            out["x-kubernetes-list-type"] = "set"
        elif keys or mkey:
            out["x-kubernetes-list-type"] = "map"
            out["x-kubernetes-list-map-keys"] = (keys or mkey).split(",")
        else:
            out["x-kubernetes-list-type"] = "atomic"
        return out
    if text.startswith("{"):
        return {"type": "object", "additionalProperties": _type(text[1:-1])}
    return dict(_type(text))


def _type(name):
    return _LEAVES[name] if name in _LEAVES else message(name)


@functools.lru_cache(None)
def message(name):
    """The schema of one message, such as core.PodSpec."""
    atomic, fields = _lines()[name]
    props, inlined = {}, {}
    for field in fields:
        head, _, kind = field.partition(":")
        key, _, number = head.partition("=")
        if key.startswith("!"):
            inner = message(kind)
            inlined[int(number)] = inner
            props.update({k: {**v, "x-proto": None} for k, v in inner["properties"].items()})
        else:
            props[key] = {**_field(kind), "x-proto": int(number)}
    out = {"type": "object", "properties": props, "x-message": name}
    if inlined:
        out["x-inlined"] = inlined
    if atomic:
        out["x-kubernetes-map-type"] = "atomic"
    return out


def named(group, kind):
    """The schema of a built-in kind, or None when it has no protobuf form here."""
    if (group, kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        return crd_schema()
    name = "%s.%s" % (_KINDS.get(group, "?"), kind)
    return _object(name) if name in _lines() else None


@functools.lru_cache(None)
def _object(name):
    base = message(name)
    return {
        **base,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            **base["properties"],
        },
    }


def object_meta():
    return message("meta.ObjectMeta")


def _obj(**props):
    return {"type": "object", "properties": props}


def _list(items, *keys):
    out = {"type": "array", "items": items, "x-kubernetes-list-type": "map" if keys else "atomic"}
    if keys:
        out["x-kubernetes-list-map-keys"] = list(keys)
    return out


@functools.lru_cache(None)
def crd_schema():
    """CustomResourceDefinition (apiextensions.k8s.io/v1); clients send it as JSON only."""
    text, flag, whole = _LEAVES["string"], _LEAVES["bool"], _LEAVES["i64"]
    any_ = _LEAVES["any"]
    names = _obj(
        plural=text,
        singular=text,
        kind=text,
        listKind=text,
        shortNames=_list(text),
        categories=_list(text),
    )
    service = _obj(namespace=text, name=text, path=text, port=_LEAVES["i32"])
    client = _obj(url=text, service=service, caBundle=_LEAVES["bytes"])
    column = _obj(
        name=text, type=text, format=text, description=text, priority=_LEAVES["i32"], jsonPath=text
    )
    version = _obj(
        name=text,
        served=flag,
        storage=flag,
        deprecated=flag,
        deprecationWarning=text,
        schema=_obj(openAPIV3Schema=any_),
        subresources=_obj(
            status=any_,
            scale=_obj(specReplicasPath=text, statusReplicasPath=text, labelSelectorPath=text),
        ),
        additionalPrinterColumns=_list(column),
        selectableFields=_list(_obj(jsonPath=text)),
    )
    condition = _obj(
        type=text,
        status=text,
        lastTransitionTime=_LEAVES["time"],
        reason=text,
        message=text,
        observedGeneration=whole,
    )
    spec = _obj(
        group=text,
        names=names,
        scope=text,
        versions=_list(version),
        preserveUnknownFields=flag,
        conversion=_obj(
            strategy=text, webhook=_obj(clientConfig=client, conversionReviewVersions=_list(text))
        ),
    )
    status = _obj(
        conditions=_list(condition, "type"),
        acceptedNames=names,
        storedVersions=_list(text),
        observedGeneration=whole,
    )
    return _obj(apiVersion=text, kind=text, metadata=object_meta(), spec=spec, status=status)
