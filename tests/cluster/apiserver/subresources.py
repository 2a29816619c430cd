"""Subresources that are not status: binding, eviction, scale, finalize, token. Owns: their bodies and effects."""
import datetime

from . import errors, negotiate, patch
from .authn import ISSUER

TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX = 600, 1 << 32


async def handle(server, req, verb, ctx):
    from .server import PATCHES, read_body

    handlers = {
        "binding": _binding,
        "eviction": _eviction,
        "token": _token,
        "scale": _scale,
        "finalize": _finalize,
    }
    allowed = {
        "binding": ("create",),
        "eviction": ("create",),
        "token": ("create",),
        "finalize": ("update",),
        "scale": ("get", "update", "patch"),
    }[req.sub]
    if verb not in allowed:
        raise errors.method_not_allowed()
    body = await read_body(req.http)
    if verb == "patch":
        kind = PATCHES.get(req.http.headers.get("Content-Type", "").split(";")[0].strip())
        if kind not in ("merge", "json"):
            raise errors.ApiError(
                415,
                "UnsupportedMediaType",
                "accepted media types for this subresource: "
                "application/merge-patch+json, application/json-patch+json",
            )
        now = _scale_of(await server.rest.get(req.res, req.ns, req.name))
        body = patch.apply(kind, now, body, req.res)
    elif not isinstance(body, dict):
        raise errors.bad_request("the body is no object")
    return await handlers[req.sub](server, req, verb, body, ctx)


async def _binding(server, req, _verb, body, ctx):
    target = (body.get("target") or {}).get("name")
    if not target:
        raise errors.bad_request("target.name is required")
    await bind(server.rest, req.res, req.ns, req.name, target, ctx)
    return negotiate.plain(
        201,
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201},
    )


async def bind(rest, res, ns, name, node, ctx):
    def change(pod):
        if pod["spec"].get("nodeName"):
            raise errors.conflict(
                res,
                name,
                'pod %s is already assigned to node "%s"' % (name, pod["spec"]["nodeName"]),
            )
        if pod["metadata"].get("deletionTimestamp"):
            raise errors.conflict(
                res, name, "pod %s is being deleted, cannot be assigned to a host" % name
            )
        pod["spec"]["nodeName"] = node
        conds = [
            c
            for c in (pod.get("status") or {}).get("conditions") or ()
            if c["type"] != "PodScheduled"
        ]
        conds.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": _now(),
            }
        )
        pod.setdefault("status", {})["conditions"] = conds
        return pod

    return await rest.change(res, ns, name, "binding", change, ctx, retry=True)


async def _eviction(server, req, _verb, body, ctx):
    await server.rest.delete(req.res, req.ns, req.name, body.get("deleteOptions") or {}, ctx)
    return negotiate.plain(
        201,
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201},
    )


async def _token(server, req, _verb, body, _ctx):
    account = server.rest.entry(req.res, req.ns, req.name).obj
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or 3600
    if not isinstance(seconds, int) or not TOKEN_SECONDS_MIN <= seconds <= TOKEN_SECONDS_MAX:
        raise errors.bad_request(
            "spec.expirationSeconds: may not specify a duration less than 10 minutes"
        )
    bound = None
    ref = spec.get("boundObjectRef")
    if ref:
        table = {"Pod": "/pods", "Secret": "/secrets"}.get(ref.get("kind"))
        entry = server.parts.store.get(table, req.ns, ref.get("name")) if table else None
        if entry is None or ref.get("uid") not in (None, "", entry.obj["metadata"]["uid"]):
            raise errors.conflict(
                req.res, req.name, "the bound object %s is not there" % ref.get("name")
            )
        bound = entry.obj
    audiences = spec.get("audiences") or [ISSUER]
    token, expires = server.parts.authn.account_token(account, audiences, seconds, bound)
    stamp = datetime.datetime.fromtimestamp(expires, datetime.timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    return negotiate.plain(
        201,
        {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": req.name, "namespace": req.ns, "creationTimestamp": _now()},
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": stamp},
        },
    )


def _scale_of(obj):
    md = obj["metadata"]
    reqs = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            k: md[k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": obj["spec"].get("replicas", 1)},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join("%s=%s" % kv for kv in reqs.items()),
        },
    }


async def _scale(server, req, verb, body, ctx):
    if verb == "get":
        return negotiate.plain(200, _scale_of(await server.rest.get(req.res, req.ns, req.name)))
    want = (body.get("spec") or {}).get("replicas", 0)
    if not isinstance(want, int) or want < 0:
        raise errors.invalid(
            req.res,
            req.name,
            [errors.f_invalid("spec.replicas", want, "must be greater than or equal " "to 0")],
        )
    wanted_rv = (body.get("metadata") or {}).get("resourceVersion")

    def change(obj):
        if wanted_rv not in (None, "", obj["metadata"]["resourceVersion"]):
            raise errors.conflict(req.res, req.name)
        obj["spec"]["replicas"] = want
        return obj

    made = await server.rest.change(req.res, req.ns, req.name, "", change, ctx, retry=not wanted_rv)
    return negotiate.plain(200, _scale_of(made))


async def _finalize(server, req, _verb, body, ctx):
    wanted = (body.get("spec") or {}).get("finalizers") or []

    def change(obj):
        obj["spec"]["finalizers"] = wanted
        return obj

    made = await server.rest.change(req.res, None, req.name, "finalize", change, ctx, retry=True)
    return negotiate.one(req, req.res, made)


def _now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
