"""The HTTP face: paths to resources, who may, and answers. Owns: the aiohttp application and the parsing of requests.

Kubernetes API concepts: "Resource URIs", "Retrieving large results sets in chunks", "Alternate representations".
"""
import asyncio
import json
import logging
import re
import traceback

import yaml
from aiohttp import web

from . import errors, negotiate, protobuf, reviews, subresources
from .authn import ANONYMOUS
from .lists import list_objects, watch_objects
from .rest import Ctx, dumps

BODY_MAX = 3 * 1024 * 1024
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
LOG = logging.getLogger("apiserver")


class Request:
    """One request to a resource, taken apart."""

    def __init__(self, http, verb_path):
        self.http = http
        self.group, self.version, self.ns, self.plural, self.name, self.sub = verb_path
        self.res = None
        self.user = ANONYMOUS
        self.query = http.query

    @property
    def verb(self):
        method = self.http.method
        if method in ("GET", "HEAD"):
            if self.name:
                return "get"
            return "watch" if truth(self.query.get("watch")) else "list"
        if method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())


def truth(text):
    return text in ("1", "true", "True", "t")


def split_path(path):
    """-> (group, version, namespace, plural, name, sub), or None when it is no resource's path."""
    parts = [p for p in path.split("/") if p]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    ns = None
    if (
        rest[0] == "namespaces"
        and len(rest) >= 3
        and not (len(rest) == 3 and rest[2] in ("status", "finalize"))
    ):
        ns, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    rest += [None] * (3 - len(rest))
    return group, version, ns, rest[0], rest[1], rest[2]


async def read_body(http):
    """The decoded body, by its content type; YAML only where Kubernetes takes it."""
    ctype = http.headers.get("Content-Type", "application/json").split(";")[0].strip()
    raw = await http.read()
    if not raw:
        return {}
    if ctype == "application/vnd.kubernetes.protobuf":
        return protobuf.decode_request(raw)
    if ctype not in PATCHES and ctype not in ("application/json", "application/yaml"):
        raise errors.ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - "
            "accepted media types include: application/json, application/yaml",
        )
    try:
        if ctype.endswith("yaml") and raw.lstrip()[:1] != b"{":
            return yaml.safe_load(raw)
        return json.loads(raw)
    except (ValueError, yaml.YAMLError, RecursionError) as err:
        raise errors.bad_request("error decoding the body: %s" % err) from None


class Server:
    def __init__(self, parts):
        self.parts = parts
        self.rest = parts.rest
        self.registry = parts.registry
        self.closing = asyncio.Event()

    def application(self):
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_route("*", "/{tail:.*}", self.handle)
        return app

    async def handle(self, http):
        warnings = []
        try:
            answer = await self._dispatch(http, warnings)
        except errors.ApiError as err:
            answer = web.Response(
                status=err.code,
                body=dumps(err.status()),
                content_type="application/json",
                headers=err.headers,
            )
        except web.HTTPRequestEntityTooLarge:
            err = errors.ApiError(
                413, "RequestEntityTooLarge", "Request entity too large: limit is %d" % BODY_MAX
            )
            answer = web.Response(
                status=413, body=dumps(err.status()), content_type="application/json"
            )
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception:  # a bug here must not look like an answer of Kubernetes
            LOG.error("%s %s: %s", http.method, http.path_qs, traceback.format_exc())
            err = errors.ApiError(
                500, "InternalError", "Internal error occurred: see the server's log"
            )
            answer = web.Response(
                status=500, body=dumps(err.status()), content_type="application/json"
            )
        if not answer.prepared:
            for text in dict.fromkeys(warnings):
                clean = (
                    re.sub(r"[\x00-\x1f\x7f]", " ", text).replace("\\", "\\\\").replace('"', '\\"')
                )
                answer.headers.add("Warning", '299 - "%s"' % clean)
        return answer

    def identify(self, http):
        auth = http.headers.get("Authorization", "")
        if auth.lower().startswith("bearer "):
            user = self.parts.authn.token(auth[7:].strip())
            if user is None:
                raise errors.ApiError(401, "Unauthorized", "Unauthorized")
            return self._impersonate(http, user)
        ssl_object = http.transport.get_extra_info("ssl_object") if http.transport else None
        peer = ssl_object.getpeercert() if ssl_object else None
        user = self.parts.authn.certificate(peer) if peer else None
        return self._impersonate(http, user or ANONYMOUS)

    def _impersonate(self, http, user):
        name = http.headers.get("Impersonate-User")
        if not name:
            return user
        groups = tuple(http.headers.getall("Impersonate-Group", ()))
        target = reviews.impersonated(self.parts.authz, user, name, groups)
        return target

    async def _dispatch(self, http, warnings):
        user = self.identify(http)
        path = split_path(http.path)
        if path is None:
            return await self.parts.documents.answer(http, user)
        req = Request(http, path)
        req.user = user
        verb = req.verb
        self.parts.authz.require(user, verb, req)
        res = self.registry.path(req.group, req.version, req.plural)
        if res is None or (
            req.ns is not None and not res.namespaced and res.table != "/namespaces"
        ):
            raise errors.no_such_path()
        req.res = res
        if res.deprecation:
            warnings.append(res.deprecation)
        if req.sub:
            if req.sub not in res.subresources:
                raise errors.no_such_path()
        elif (
            verb not in res.verbs
            or verb == "create"
            and req.name
            or verb in ("update", "patch")
            and not req.name
        ):
            raise errors.method_not_allowed()
        if res.namespaced and req.ns is None and (req.name or verb == "deletecollection"):
            raise errors.no_such_path()
        return await self._verb(req, verb, self._ctx(req, warnings))

    @staticmethod
    def _ctx(req, warnings):
        query = req.query
        dry = query.getall("dryRun", ())
        if any(d not in ("All", "") for d in dry):
            raise errors.bad_request('invalid dryRun: supported values: "All"')
        validation = query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            raise errors.bad_request("invalid fieldValidation %r" % validation)
        agent = req.http.headers.get("User-Agent", "unknown").split("/")[0] or "unknown"
        return Ctx(
            req.user,
            warnings,
            "All" in dry,
            validation,
            query.get("fieldManager") or agent,
            truth(query.get("force")),
        )

    async def _verb(self, req, verb, ctx):
        res = req.res
        if verb == "watch":
            return await watch_objects(self, req)
        if verb == "list":
            return await list_objects(self, req)
        if req.sub and req.sub != "status":
            return await subresources.handle(self, req, verb, ctx)
        if verb == "get":
            return negotiate.one(req, res, await self.rest.get(res, req.ns, req.name))
        if verb in ("delete", "deletecollection"):
            return await self._delete(req, verb, ctx)
        body = await read_body(req.http)
        if verb == "create":
            if res.verbs == ("create",):
                return negotiate.plain(201, await reviews.create(self, req, body))
            if res.namespaced and req.ns is None:
                raise errors.bad_request("an empty namespace may not be set during creation")
            return negotiate.one(req, res, await self.rest.create(res, req.ns, body, ctx), 201)
        if verb == "update":
            return negotiate.one(
                req, res, await self.rest.update(res, req.ns, req.name, req.sub or "", body, ctx)
            )
        if verb == "patch":
            return await self._patch(req, body, ctx)
        raise errors.method_not_allowed()

    async def _patch(self, req, body, ctx):
        ctype = req.http.headers.get("Content-Type", "").split(";")[0].strip()
        kind = PATCHES.get(ctype)
        if kind is None:
            raise errors.ApiError(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - "
                "accepted media types include: " + ", ".join(PATCHES),
            )
        if kind == "apply" and not req.query.get("fieldManager"):
            raise errors.ApiError(
                422,
                "Invalid",
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required '
                "value: is required for apply patch",
            )
        made, created = await self.rest.patch(
            req.res, req.ns, req.name, req.sub or "", kind, body, ctx
        )
        return negotiate.one(req, req.res, made, 201 if created else 200)

    async def _delete(self, req, verb, ctx):
        options = await read_body(req.http)
        if not isinstance(options, dict):
            raise errors.bad_request("DeleteOptions must be an object")
        for key in ("propagationPolicy", "gracePeriodSeconds"):
            if key in req.query and key not in options:
                options[key] = (
                    int(req.query[key]) if key == "gracePeriodSeconds" else req.query[key]
                )
        if "All" in (options.get("dryRun") or ()):
            ctx.dry_run = True
        res = req.res
        if verb == "delete":
            stays, old = await self.rest.delete(res, req.ns, req.name, options, ctx)
            if stays is not None:
                return negotiate.one(req, res, await self.parts.converter.read_obj(res, stays))
            return negotiate.plain(
                200,
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": {
                        "name": req.name,
                        **({"group": res.group} if res.group else {}),
                        "kind": res.plural,
                        "uid": old["metadata"]["uid"],
                    },
                },
            )
        return await self._delete_collection(req, options, ctx)

    async def _delete_collection(self, req, options, ctx):
        from .selectors import Selection

        res = req.res
        pick = Selection(req.query.get("labelSelector"), req.query.get("fieldSelector"), res.table)
        gone = []
        for entry in self.parts.store.table(res.table).items(req.ns if res.namespaced else None):
            if not pick.match(entry.obj):
                continue
            try:
                _, old = await self.rest.delete(
                    res, req.ns, entry.obj["metadata"]["name"], options, ctx
                )
            except errors.ApiError as err:
                if err.code != 404:
                    raise
                continue
            gone.append(old)
        return negotiate.many(req, res, gone, self.parts.store.rv, {})
