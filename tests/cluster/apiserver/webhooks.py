"""Calls to webhooks: where they are and how they are spoken to. Owns: the HTTP client and the CA check.

A Service reference is resolved to a ready endpoint; the TLS name is <service>.<namespace>.svc.
"""
import base64
import json
import random
import socket
import ssl

import aiohttp
from aiohttp.abc import AbstractResolver

ANSWER_MAX = 10 * 1024 * 1024
SESSIONS_MAX = 64


class WebhookError(Exception):
    """The webhook could not be asked, or its answer is none."""


class _Fixed(AbstractResolver):
    """Leads every name to one address, so that TLS checks the name and the connection goes to the endpoint."""

    def __init__(self, address):
        self.address = address

    async def resolve(self, host, port=0, family=socket.AF_INET):
        kind = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        return [
            {
                "hostname": host,
                "host": self.address,
                "port": port,
                "family": kind,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self):
        """Holds nothing."""


class Webhooks:
    def __init__(self, store):
        self.store = store
        self.sessions = {}  # (caBundle, address) -> ClientSession, its connections kept alive

    async def close(self):
        for session in self.sessions.values():
            await session.close()
        self.sessions.clear()

    async def _session(self, bundle, address):
        key = (bundle, address)
        if key not in self.sessions:
            if len(self.sessions) >= SESSIONS_MAX:
                await self.close()
            context = ssl.create_default_context(
                cadata=base64.b64decode(bundle).decode() if bundle else None
            )
            resolver = _Fixed(address) if address else None
            connector = aiohttp.TCPConnector(
                ssl=context, resolver=resolver, limit=0, use_dns_cache=False
            )
            self.sessions[key] = aiohttp.ClientSession(connector=connector)
        return self.sessions[key]

    def _endpoint(self, ref):
        """-> (address, port) of a ready backend of a Service reference."""
        ns, name, port = ref["namespace"], ref["name"], ref.get("port") or 443
        entry = self.store.get("/services", ns, name)
        if entry is None:
            raise WebhookError('service "%s" not found' % name)
        wanted = [p for p in entry.obj["spec"].get("ports") or () if p["port"] == port]
        if not wanted:
            raise WebhookError('no service port %d found for service "%s"' % (port, name))
        ready = []
        for found in self.store.table("discovery.k8s.io/endpointslices").values(ns):
            slice_ = found.obj
            if (slice_["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            for target in slice_.get("ports") or ():
                if (target.get("name") or "") == (wanted[0].get("name") or ""):
                    ready += [
                        (e["addresses"][0], target["port"])
                        for e in slice_.get("endpoints") or ()
                        if (e.get("conditions") or {}).get("ready", True)
                    ]
        if not ready:
            raise WebhookError('no endpoints available for service "%s"' % name)
        return random.choice(ready)

    async def call(self, config, review, seconds):
        """POSTs `review`; -> the decoded answer. Raises WebhookError or the client's own errors."""
        address = None
        if config.get("url"):
            url = config["url"]
        else:
            ref = config["service"]
            address, port = self._endpoint(ref)
            url = "https://%s.%s.svc:%d%s" % (
                ref["name"],
                ref["namespace"],
                port,
                ref.get("path") or "/",
            )
        session = await self._session(config.get("caBundle"), address)
        body = json.dumps(review).encode()
        try:
            return await self._post(session, url, body, seconds)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            # a kept connection may have been closed meanwhile, by a webhook that was restarted
            return await self._post(session, url, body, seconds)

    @staticmethod
    async def _post(session, url, body, seconds):
        async with session.post(
            url,
            data=body,
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as reply:
            body = b""
            async for chunk in reply.content.iter_any():
                body += chunk
                if len(body) > ANSWER_MAX:
                    raise WebhookError("the answer has more than %d bytes" % ANSWER_MAX)
            if reply.status != 200:
                raise WebhookError(
                    "the server answered %d: %s"
                    % (reply.status, body[:200].decode(errors="replace"))
                )
            answer = json.loads(body)
            if not isinstance(answer, dict):
                raise WebhookError("the answer is no object")
            return answer
