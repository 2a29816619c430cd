"""The fault proxy: stands between the Pods and the API server, and misbehaves on demand.

    python3 -m tests.cluster.faults CONFIG.json

Without rules it hands bytes on as they come, TLS and HTTP/2 untouched. With rules it ends TLS itself,
speaks HTTP/1.1, and applies to each request the first rule that matches. A change of the rules cuts all
connections. Clients must identify themselves by token: a client certificate is not handed on.

A rule: {"match": {"method", "path", "user_agent": regular expressions, "watch": bool}, "count": how often it
applies (absent: always), "skip": let that many pass first} and one action:
  "answer": {"status", "retry_after", "reason"}  answers so instead of asking the server
  "hang_up": true                                closes the connection without an answer
  "delay": seconds                               waits before it asks
  "cut_after": seconds                           ends the answer in its middle, that long after its start
  "gone_after": seconds                          ends a watch with an ERROR event of code 410
  "stall_after": seconds                         hands nothing on any more, but keeps the connection
  "slow": bytes per second                       hands the answer on that slowly
  "garbage": text                                200 with this as the body
"""

import asyncio
import json
import re
import ssl
import sys
import time

import aiohttp
from aiohttp import web

HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "host"}
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
           429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}


def status_object(code, reason=None):
    """The Status object an API server answers an error with."""
    reason = reason or REASONS.get(code, "Unknown")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{reason} (made by the fault proxy)",
        "reason": reason,
        "code": code,
    }


class Rule:
    """One rule of the list, and how often it may still apply."""

    def __init__(self, spec):
        self.spec = spec
        self.skip = spec.get("skip", 0)
        self.left = spec.get("count")
        self.applied = 0

    def applies(self, request):
        match = self.spec.get("match") or {}
        watch = request.query.get("watch") in ("true", "1")
        if "watch" in match and match["watch"] != watch:
            return False
        texts = {
            "method": request.method,
            "path": request.path_qs,
            "user_agent": request.headers.get("User-Agent", ""),
        }
        if not all(re.search(match[key], text) for key, text in texts.items() if key in match):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        self.applied += 1
        return True


class FaultProxy:
    """config: listen [host, port], upstream [host, port], cert, key, ca, socket, inner (a socket's path)."""

    def __init__(self, config):
        self.config = config
        self.rules = []
        self.requests = 0
        self._writers = set()
        self._session = None

    # The front: bytes.

    async def _accept(self, reader, writer):
        try:
            if self.rules:
                there = await asyncio.open_unix_connection(self.config["inner"])
            else:
                there = await asyncio.open_connection(*self.config["upstream"])
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, there[1]}
        self._writers |= pair
        await asyncio.gather(self._splice(reader, there[1]), self._splice(there[0], writer))
        self._writers -= pair

    @staticmethod
    async def _splice(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()

    def _cut_all(self):
        for writer in self._writers:
            writer.transport.abort()

    # The inside: requests.

    async def _handle(self, request):
        self.requests += 1
        rule = next((rule for rule in self.rules if rule.applies(request)), None)
        action = rule.spec if rule else {}
        if action.get("hang_up"):
            request.transport.abort()
            return web.Response()
        if "answer" in action:
            return self._answer(action["answer"])
        if "garbage" in action:
            return web.Response(text=action["garbage"], content_type="application/json")
        await asyncio.sleep(action.get("delay", 0))
        return await self._forward(request, action)

    @staticmethod
    def _answer(answer):
        headers = {}
        if "retry_after" in answer:
            headers["Retry-After"] = str(answer["retry_after"])
        body = status_object(answer["status"], answer.get("reason"))
        return web.json_response(body, status=answer["status"], headers=headers)

    async def _forward(self, request, action):
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_HEADERS | {"accept-encoding"}}
        host, port = self.config["upstream"]
        url = f"https://{host}:{port}{request.raw_path}"
        body = await request.read()
        async with self._session.request(
            request.method, url, data=body, headers=headers, allow_redirects=False
        ) as upstream:
            kept = {k: v for k, v in upstream.headers.items() if k.lower() not in HOP_HEADERS}
            answer = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=kept)
            await answer.prepare(request)
            await self._pump(request, upstream, answer, action)
        return answer

    async def _pump(self, request, upstream, answer, action):
        """Hands the body on, until the action says otherwise."""
        limits = [action[key] for key in ("cut_after", "gone_after", "stall_after") if key in action]
        ends = time.monotonic() + limits[0] if limits else None
        chunks = upstream.content.iter_any().__aiter__()
        while True:
            left = None if ends is None else ends - time.monotonic()
            try:
                if left is not None and left <= 0:
                    raise asyncio.TimeoutError
                chunk = await asyncio.wait_for(chunks.__anext__(), left)
            except StopAsyncIteration:
                await answer.write_eof()
                return
            except asyncio.TimeoutError:
                await self._end(request, answer, action)
                return
            await self._write(answer, chunk, action.get("slow"))

    @staticmethod
    async def _write(answer, chunk, slow):
        if not slow:
            await answer.write(chunk)
            return
        step = max(1, slow // 10)
        for start in range(0, len(chunk), step):
            await answer.write(chunk[start : start + step])
            await asyncio.sleep(0.1)

    @staticmethod
    async def _end(request, answer, action):
        if "gone_after" in action:
            event = {"type": "ERROR", "object": status_object(410)}
            await answer.write(json.dumps(event).encode() + b"\n")
            await answer.write_eof()
        elif "stall_after" in action:
            while request.transport is not None:
                await asyncio.sleep(0.2)
        elif request.transport is not None:
            request.transport.abort()

    # Control.

    async def _set_rules(self, request):
        """PUT /rules: a list of rules; the empty list makes it a mere wire again."""
        before, self.rules = self.rules, [Rule(spec) for spec in await request.json()]
        if before or self.rules:
            self._cut_all()
        return web.json_response({})

    async def _get_state(self, _request):
        applied = [rule.applied for rule in self.rules]
        return web.json_response({"requests": self.requests, "applied": applied, "connections": len(self._writers) // 2})

    async def _cut(self, _request):
        self._cut_all()
        return web.json_response({})

    async def run(self):
        config = self.config
        trust = ssl.create_default_context(cafile=config["ca"])
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        inner = web.Application(client_max_size=1 << 26)
        inner.router.add_route("*", "/{path:.*}", self._handle)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config["cert"], config["key"])
        context.set_alpn_protocols(["http/1.1"])
        inner_runner = web.AppRunner(inner, access_log=None)
        await inner_runner.setup()
        await web.UnixSite(inner_runner, config["inner"], ssl_context=context).start()
        admin = web.Application()
        admin.router.add_put("/rules", self._set_rules)
        admin.router.add_get("/state", self._get_state)
        admin.router.add_post("/cut", self._cut)
        admin_runner = web.AppRunner(admin, access_log=None)
        await admin_runner.setup()
        server = await asyncio.start_server(self._accept, *config["listen"], backlog=1024)
        await web.UnixSite(admin_runner, config["socket"]).start()
        await server.serve_forever()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    asyncio.run(FaultProxy(config).run())


if __name__ == "__main__":
    main()
