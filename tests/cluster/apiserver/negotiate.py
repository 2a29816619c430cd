"""Alternate representations: plain JSON, Table and PartialObjectMetadata, by the Accept header. Owns: the choice.

Kubernetes API concepts, "Alternate representations of resources".
"""
from aiohttp import web

from . import tables
from .errors import ApiError
from .rest import dumps


def accepted(http):
    """-> (form, version): form is "", "Table", "PartialObjectMetadata" or "PartialObjectMetadataList"."""
    header = http.headers.get("Accept", "*/*")
    for part in header.split(","):
        params = [p.strip() for p in part.split(";")]
        kind, opts = params[0], dict(p.split("=", 1) for p in params[1:] if "=" in p)
        if kind in ("application/json", "*/*", "application/*", ""):
            form = opts.get("as", "")
            if form in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
                if form and (
                    opts.get("g") != "meta.k8s.io" or opts.get("v") not in ("v1", "v1beta1")
                ):
                    continue
                return form, opts.get("v", "v1")
    raise ApiError(
        406, "NotAcceptable", "only the following media types are accepted: application/json"
    )


def plain(code, body):
    return web.Response(status=code, body=dumps(body), content_type="application/json")


def _include(req):
    return req.query.get("includeObject", "Metadata")


def partial(obj, version="v1"):
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/" + version,
        "metadata": obj["metadata"],
    }


def one(req, res, obj, code=200):
    form, version = accepted(req.http)
    if form == "Table":
        obj = tables.table(
            res,
            [obj],
            _include(req),
            version,
            {"resourceVersion": obj["metadata"]["resourceVersion"]}
            if "resourceVersion" in obj["metadata"]
            else {},
        )
    elif form == "PartialObjectMetadata":
        obj = partial(obj, version)
    return plain(code, obj)


def many(req, res, objs, rv, more):
    form, version = accepted(req.http)
    md = {"resourceVersion": str(rv), **more}
    if form == "Table":
        return plain(200, tables.table(res, objs, _include(req), version, md))
    if form == "PartialObjectMetadataList":
        return plain(
            200,
            {
                "kind": form,
                "apiVersion": "meta.k8s.io/" + version,
                "metadata": md,
                "items": [partial(o, version) for o in objs],
            },
        )
    return plain(
        200, {"kind": res.list_kind, "apiVersion": res.api_version, "metadata": md, "items": objs}
    )


def watched(req, res, obj, first):
    """The `object` of one watch event."""
    form, version = accepted(req.http)
    if form == "Table":
        return tables.table(
            res,
            [obj],
            _include(req),
            version,
            {"resourceVersion": obj["metadata"]["resourceVersion"]},
            columns=first,
        )
    if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return partial(obj, version)
    return obj
