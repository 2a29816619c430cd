"""OpenAPI v2 (JSON and protobuf) and v3. Owns: these documents, made from the served schemas.

kubectl asks them for three things: the fields of a kind (explain, old client-side validation), and whether PATCH of
a kind knows dryRun and fieldValidation. Strategic merge is not advertised per kind: kubectl has the built-in types.
"""
import hashlib

from aiohttp import web

from . import errors
from .discovery import VERSION
from .negotiate import plain
from .protobuf import field
from .rest import dumps

ACCEPT_PB = "proto-openapi.spec.v2@v1.0+protobuf"
# what is asked for carries an "@", which is no media type: the answer is named with a dot
PB = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PACKAGES = {"core": "io.k8s.api.core.v1", "meta": "io.k8s.apimachinery.pkg.apis.meta.v1"}
_KEEP = (
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "required",
    "nullable",
    "description",
    "default",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
)


def _message_name(name):
    package, _, kind = name.partition(".")
    return "%s.%s" % (_PACKAGES.get(package, "io.k8s.api.%s.v1" % package), kind)


def _gvk(res):
    return {"group": res.group, "version": res.version, "kind": res.kind}


def _public(schema, prefix, found):
    """`schema` with messages as references; what is referred to goes into `found`."""
    if "x-message" in schema and found is not None:
        name = _message_name(schema["x-message"])
        if name not in found:
            found[name] = None
            found[name] = _body(schema, prefix, found)
        return {"$ref": prefix + name}
    return _body(schema, prefix, found)


def _body(schema, prefix, found):
    out = {k: schema[k] for k in _KEEP if k in schema}
    if schema.get("properties"):
        out["properties"] = {k: _public(v, prefix, found) for k, v in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        out["items"] = _public(schema["items"], prefix, found)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        out["additionalProperties"] = _public(extra, prefix, found)
    elif extra is True:
        out["additionalProperties"] = True
    return out


def definitions(resources, prefix):
    from .schema import root

    found = {}
    for res in resources:
        schema = root(res)
        if schema is None:
            continue
        if res.crd or "x-message" not in schema:
            name = "%s.%s.%s" % (".".join(reversed(res.group.split("."))), res.version, res.kind)
            found[name] = _body(schema, prefix, found)
        else:
            name = _message_name(schema["x-message"])
            found[name] = _body(schema, prefix, found)
        found[name]["x-kubernetes-group-version-kind"] = [_gvk(res)]
    return found


def _paths(resources):
    """{path: Resource} of everything that can be patched."""
    out = {}
    for res in resources:
        if "patch" not in res.verbs:
            continue
        base = "/apis/%s/%s" % (res.group, res.version) if res.group else "/api/v1"
        space = "/namespaces/{namespace}" if res.namespaced else ""
        out["%s%s/%s/{name}" % (base, space, res.plural)] = res
    return out


_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")


def _v3(resources):
    types = {
        "application/merge-patch+json": {},
        "application/json-patch+json": {},
        "application/apply-patch+yaml": {},
    }
    paths = {}
    for path, res in _paths(resources).items():
        paths[path] = {
            "patch": {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": _gvk(res),
                "requestBody": {"content": types, "required": True},
                "responses": {"200": {"description": "OK"}},
                "parameters": [
                    {"name": p, "in": "query", "schema": {"type": "string"}} for p in _PARAMETERS
                ],
            }
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": definitions(resources, "#/components/schemas/")},
    }


def _v2(resources):
    paths = {}
    for path, res in _paths(resources).items():
        paths[path] = {
            "patch": {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": _gvk(res),
                "consumes": [
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/apply-patch+yaml",
                ],
                "responses": {"200": {"description": "OK"}},
                "parameters": [{"name": p, "in": "query", "type": "string"} for p in _PARAMETERS],
            }
        }
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "definitions": definitions(resources, "#/definitions/"),
    }


def _named_any(name, value):
    return field(1, name) + field(2, field(2, dumps(value)))  # JSON is YAML


def _pb_schema(schema):
    out = b""
    if "$ref" in schema:
        return field(1, schema["$ref"])
    for key, number in (("format", 2), ("description", 4), ("pattern", 13)):
        if schema.get(key):
            out += field(number, schema[key])
    for name in schema.get("required") or ():
        out += field(19, name)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        out += field(21, field(1, _pb_schema(extra)))
    elif extra:
        out += field(21, field(2, True))
    if schema.get("type"):
        out += field(22, field(1, schema["type"]))
    if "items" in schema:
        out += field(23, field(1, _pb_schema(schema["items"])))
    if schema.get("properties"):
        out += field(
            25,
            b"".join(
                field(1, field(1, k) + field(2, _pb_schema(v)))
                for k, v in schema["properties"].items()
            ),
        )
    for key, value in schema.items():
        if key.startswith("x-kubernetes-"):
            out += field(31, _named_any(key, value))
    return out


def _pb_operation(operation):
    out = b""
    for param in operation["parameters"]:
        query = field(2, "query") + field(4, param["name"]) + field(6, "string")
        out += field(8, field(1, field(2, field(3, query))))
    for key in ("x-kubernetes-action", "x-kubernetes-group-version-kind"):
        out += field(13, _named_any(key, operation[key]))
    return out


def v2_protobuf(document):
    out = field(1, "2.0") + field(2, field(1, "Kubernetes") + field(2, VERSION["gitVersion"]))
    out += field(
        8,
        b"".join(
            field(2, field(1, path) + field(2, field(8, _pb_operation(item["patch"]))))
            for path, item in document["paths"].items()
        ),
    )
    return out + field(
        9,
        b"".join(
            field(1, field(1, name) + field(2, _pb_schema(schema)))
            for name, schema in document["definitions"].items()
        ),
    )


def _group_versions(registry):
    for group, versions in registry.groups().items():
        for version, resources in versions.items():
            yield ("apis/%s/%s" % (group, version) if group else "api/v1"), resources


class Documents:
    """Bodies by what they were made from: a CRD's change makes new Resources, so their ids are the key."""

    def __init__(self):
        self.kept = {}

    def body(self, kind, resources, make):
        key = (kind, tuple(id(r) for r in resources))
        if key not in self.kept:
            if len(self.kept) > 256:
                self.kept.clear()
            # the Resources are kept with the body, so that no id is used twice
            self.kept[key] = (make(resources), list(resources))
        return self.kept[key][0]


_BODIES = Documents()


def _everything(registry):
    return list(registry.by_path.values())


def answer(registry, http, parts):
    accept = http.headers.get("Accept", "*/*")
    if parts == ["v2"]:
        resources = _everything(registry)
        if ACCEPT_PB in accept or PB in accept:
            body = _BODIES.body("v2pb", resources, lambda r: v2_protobuf(_v2(r)))
            return web.Response(body=body, headers={"Content-Type": PB})
        return web.Response(
            body=_BODIES.body("v2", resources, lambda r: dumps(_v2(r))),
            content_type="application/json",
        )
    if parts == ["v3"]:
        paths = {}
        for path, resources in _group_versions(registry):
            digest = (
                hashlib.sha256(_BODIES.body("v3", resources, lambda r: dumps(_v3(r))))
                .hexdigest()
                .upper()
            )
            paths[path] = {"serverRelativeURL": "/openapi/v3/%s?hash=%s" % (path, digest)}
        return plain(200, {"paths": paths})
    if parts[:1] == ["v3"]:
        for path, resources in _group_versions(registry):
            if path == "/".join(parts[1:]):
                if "json" not in accept and "*/*" not in accept:
                    raise errors.ApiError(
                        406,
                        "NotAcceptable",
                        "only the following media types are accepted: " "application/json",
                    )
                body = _BODIES.body("v3", resources, lambda r: dumps(_v3(r)))
                return web.Response(body=body, content_type="application/json")
    raise errors.no_such_path()
