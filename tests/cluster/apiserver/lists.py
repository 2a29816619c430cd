"""List and watch. Owns: paging tokens, the life of a watch, bookmarks.

Kubernetes API concepts: "Efficient detection of changes", "Retrieving large results sets in chunks".
sendInitialEvents is refused as by a server without the WatchList feature.
"""
import asyncio
import base64
import json
import random

from aiohttp import web

from . import errors, negotiate
from .rest import dumps
from .selectors import Selection

BOOKMARK_SECONDS = 5.0
WATCH_SECONDS_MIN = 1800
LIMIT_MAX = 1 << 31


def _number(req, name):
    text = req.query.get(name, "")
    if text == "":
        return 0
    if not text.isdigit() or int(text) > LIMIT_MAX and name == "limit":
        raise errors.bad_request("invalid %s: %r" % (name, text))
    return int(text)


def _selection(req):
    pick = Selection(req.query.get("labelSelector"), req.query.get("fieldSelector"), req.res.table)
    if req.name:
        pick.fields.append(("metadata.name", True, req.name))
    return pick


def _continue(text):
    try:
        token = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return token["rv"], tuple(token["start"])
    except (ValueError, KeyError, TypeError):
        raise errors.bad_request("continue key is not valid: %s" % text) from None


async def list_objects(server, req):
    if "sendInitialEvents" in req.query:
        raise _initial_events("list")
    store, res = server.parts.store, req.res
    wanted = _number(req, "resourceVersion")
    if wanted > store.rv:
        raise errors.ApiError(
            504,
            "Timeout",
            "Too large resource version: %d, current: %d" % (wanted, store.rv),
            {
                "retryAfterSeconds": 1,
                "causes": [
                    {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
                ],
            },
            {"Retry-After": "1"},
        )
    limit, pick = _number(req, "limit"), _selection(req)
    entries = store.table(res.table).items(req.ns if res.namespaced else None)
    rv, more = store.rv, {}
    if req.query.get("continue"):
        rv, start = _continue(req.query["continue"])
        if store.table(res.table).floor > rv:
            raise errors.gone(
                "The provided continue parameter is too old to display a consistent list result."
            )
        entries = [
            e
            for e in entries
            if (e.obj["metadata"].get("namespace", ""), e.obj["metadata"]["name"]) > start
        ]
    if pick:
        entries = [e for e in entries if pick.match(e.obj)]
    if limit and len(entries) > limit:
        md = entries[limit - 1].obj["metadata"]
        token = {"rv": rv, "start": [md.get("namespace", ""), md["name"]]}
        more["continue"] = (
            base64.urlsafe_b64encode(json.dumps(token).encode()).rstrip(b"=").decode()
        )
        if not pick:
            more["remainingItemCount"] = len(entries) - limit
        entries = entries[:limit]
    if _is_plain(server, req):
        md = dumps({"resourceVersion": str(rv), **more})
        body = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[%s]}' % (
            res.list_kind.encode(),
            res.api_version.encode(),
            md,
            b",".join(e.raw for e in entries),
        )
        return web.Response(body=body, content_type="application/json")
    objs = await server.parts.converter.read_many(res, entries)
    return negotiate.many(req, res, objs, rv, more)


def _is_plain(server, req):
    return negotiate.accepted(req.http)[0] == "" and server.parts.converter.is_stored_form(req.res)


def _initial_events(verb):
    return errors.ApiError(
        422,
        "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: '
        "sendInitialEvents is forbidden for %s unless the WatchList feature gate is enabled" % verb,
    )


class _Stream:
    """Encodes events for one watcher."""

    def __init__(self, server, req, pick):
        self.server = server
        self.req = req
        self.pick = pick
        self.plain = _is_plain(server, req)
        self.first = True

    async def line(self, type_, entry):
        if self.plain:
            return b'{"type":"%s","object":%s}\n' % (type_.encode(), entry.raw)
        res = self.req.res
        obj = await self.server.parts.converter.read(res, entry)
        obj = negotiate.watched(self.req, res, obj, self.first)
        self.first = False
        return dumps({"type": type_, "object": obj}) + b"\n"

    async def event(self, event):
        """The line for one event, or b"" when this watcher does not see it."""
        ns, entry = self.req.ns, event.entry
        if ns is not None and self.req.res.namespaced and entry.obj["metadata"]["namespace"] != ns:
            return b""
        if not self.pick:
            return await self.line(event.type, entry)
        is_in = event.type != "DELETED" and self.pick.match(entry.obj)
        was_in = event.old is not None and self.pick.match(event.old.obj)
        if is_in:
            return await self.line("MODIFIED" if was_in else "ADDED", entry)
        return await self.line("DELETED", entry) if was_in else b""

    def bookmark(self, rv):
        res = self.req.res
        obj = {
            "kind": res.kind,
            "apiVersion": res.api_version,
            "metadata": {"resourceVersion": str(rv), "creationTimestamp": None},
        }
        form, version = negotiate.accepted(self.req.http)
        if form == "Table":
            obj = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/" + version,
                "columnDefinitions": [],
                "rows": [],
                "metadata": {"resourceVersion": str(rv)},
            }
        return dumps({"type": "BOOKMARK", "object": obj}) + b"\n"


async def watch_objects(server, req):
    if req.query.get("sendInitialEvents") in ("true", "1"):
        raise _initial_events("watch")
    store, res, pick = server.parts.store, req.res, _selection(req)
    since = _number(req, "resourceVersion")
    seconds = _number(req, "timeoutSeconds") or WATCH_SECONDS_MIN * (1 + random.random())
    stream = _Stream(server, req, pick)
    initial = []
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        watcher = store.watch(res.table, since if since else store.rv)
    except errors.ApiError as err:
        await answer.prepare(req.http)
        await answer.write(dumps({"type": "ERROR", "object": err.status()}) + b"\n")
        return answer
    if not since:
        initial = store.table(res.table).items(req.ns if res.namespaced else None)
    try:
        await answer.prepare(req.http)
        out = [await stream.line("ADDED", e) for e in initial if not pick or pick.match(e.obj)]
        if out:
            await answer.write(b"".join(out))
        await _pump(server, req, watcher, stream, answer, seconds)
    except ConnectionResetError:
        pass  # the reader went away, which is how most watches end
    finally:
        watcher.close()
    return answer


async def _pump(server, req, watcher, stream, answer, seconds):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    bookmarks = req.query.get("allowWatchBookmarks") in ("true", "1")
    next_mark = loop.time() + BOOKMARK_SECONDS
    crd = req.res.crd
    while not server.closing.is_set():
        left = min(end, next_mark) - loop.time()
        try:
            await asyncio.wait_for(watcher.wake.wait(), max(left, 0))
        except asyncio.TimeoutError:
            pass
        rv = server.parts.store.rv
        lines = [await stream.event(e) for e in watcher.drain()]
        if any(lines):
            await answer.write(b"".join(lines))
        transport = req.http.transport
        if transport is None or transport.is_closing():
            return
        if watcher.lost or (
            crd and server.registry.path(req.group, req.version, req.plural) is not req.res
        ):
            return
        if loop.time() >= next_mark:
            if bookmarks and not watcher.queue:
                await answer.write(stream.bookmark(rv))
            next_mark = loop.time() + BOOKMARK_SECONDS
        if loop.time() >= end:
            return
