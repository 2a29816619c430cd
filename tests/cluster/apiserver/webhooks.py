"""Calls to webhooks: where they are and how they are spoken to. Owns: the HTTP client and the CA check.

A Service reference is resolved to a ready endpoint; the TLS name is <service>.<namespace>.svc.
"""
import base64
import json
import random
import ssl
from urllib.parse import urlsplit

import aiohttp

ANSWER_MAX = 10 * 1024 * 1024


class WebhookError(Exception):
    """The webhook could not be asked, or its answer is none."""


class Webhooks:
    def __init__(self, store):
        self.store = store
        self.session = None

    async def close(self):
        if self.session is not None:
            await self.session.close()

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
                    ready += [(e["addresses"][0], target["port"]) for e in slice_.get("endpoints") or ()
                              if (e.get("conditions") or {}).get("ready", True)]
        if not ready:
            raise WebhookError('no endpoints available for service "%s"' % name)
        return random.choice(ready)

    async def call(self, config, review, seconds):
        """POSTs `review`; -> the decoded answer. Raises WebhookError or the client's own errors."""
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=5))
        pem = base64.b64decode(config["caBundle"]).decode() if config.get("caBundle") else None
        context = ssl.create_default_context(cadata=pem)
        if config.get("url"):
            url, host = config["url"], urlsplit(config["url"]).hostname
        else:
            ref = config["service"]
            address, port = self._endpoint(ref)
            host = "%s.%s.svc" % (ref["name"], ref["namespace"])
            shown = "[%s]" % address if ":" in address else address
            url = "https://%s:%d%s" % (shown, port, ref.get("path") or "/")
        async with self.session.post(url, data=json.dumps(review), ssl=context, server_hostname=host,
                                     headers={"Content-Type": "application/json", "Host": host},
                                     timeout=aiohttp.ClientTimeout(total=seconds),
                                     allow_redirects=False) as reply:
            body = await reply.content.read(ANSWER_MAX)
            if reply.status != 200:
                raise WebhookError("the server answered %d: %s" % (reply.status, body[:200].decode(errors="replace")))
            answer = json.loads(body)
            if not isinstance(answer, dict):
                raise WebhookError("the answer is no object")
            return answer
