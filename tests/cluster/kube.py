"""A small client of the Kubernetes API for the node agent: requests and informers, on asyncio.

It exists for the test cluster's own parts and knows nothing of the programs under test.
"""

import asyncio
import json
import logging
import ssl

import aiohttp

LOG = logging.getLogger("kube")
MERGE_PATCH = "application/merge-patch+json"
# The server ends a watch after this long; we start the next one.
WATCH_SECONDS = 300


class ApiError(Exception):
    """An answer of the API server that is not a success."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


def object_key(obj):
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Client:
    """Requests with a client certificate; used as an async context manager."""

    def __init__(self, server, ca, cert, key):
        self.server = server
        self._ssl = ssl.create_default_context(cafile=ca)
        self._ssl.load_cert_chain(cert, key)
        self._session = None

    async def __aenter__(self):
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_connect=5)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 20)
        return self

    async def __aexit__(self, *exc):
        await self._session.close()

    async def request(self, method, path, body=None, content_type="application/json", params=None):
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=10)
        async with self._session.request(
            method, self.server + path, data=data, headers=headers, params=params, timeout=timeout
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise ApiError(answer.status, text)
            return json.loads(text) if text else {}

    async def get(self, path, params=None):
        return await self.request("GET", path, params=params)

    async def merge(self, path, patch):
        return await self.request("PATCH", path, patch, content_type=MERGE_PATCH)

    async def watch(self, path, params):
        """Yields the events of one watch request, until the server ends it."""
        params = dict(params, watch="true", allowWatchBookmarks="true", timeoutSeconds=str(WATCH_SECONDS))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=WATCH_SECONDS + 30)
        async with self._session.get(self.server + path, params=params, timeout=timeout) as answer:
            if answer.status >= 300:
                raise ApiError(answer.status, await answer.text())
            pending = b""
            async for chunk in answer.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield json.loads(line)


class Informer:
    """Keeps `objects` ({(namespace, name): object}) equal to a list of the server's.

    on_change(event, obj) is called for each difference, event being "set" or "delete".
    """

    def __init__(self, client, path, on_change, params=None):
        self.client = client
        self.path = path
        self.objects = {}
        self.synced = asyncio.Event()
        self._on_change = on_change
        self._params = params or {}

    async def run(self):
        """Runs until cancelled; lists anew whenever the watch cannot be resumed."""
        version = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                version = await self._watch(version)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
                LOG.info("watch of %s: %r", self.path, error)
                await asyncio.sleep(0.5)
            except ApiError as error:
                LOG.info("watch of %s: %s", self.path, error)
                version = None if error.status in (404, 410) else version
                await asyncio.sleep(0.5)

    async def _list(self):
        listed = await self.client.get(self.path, params=self._params)
        seen = set()
        for obj in listed.get("items") or []:
            seen.add(object_key(obj))
            self._set(obj)
        for key in [key for key in self.objects if key not in seen]:
            self._on_change("delete", self.objects.pop(key))
        self.synced.set()
        return listed["metadata"]["resourceVersion"]

    async def _watch(self, version):
        async for event in self.client.watch(self.path, dict(self._params, resourceVersion=version)):
            obj = event["object"]
            if event["type"] == "ERROR":
                LOG.info("watch of %s: %s", self.path, obj.get("message"))
                return None
            version = obj["metadata"]["resourceVersion"]
            if event["type"] in ("ADDED", "MODIFIED"):
                self._set(obj)
            elif event["type"] == "DELETED":
                self.objects.pop(object_key(obj), None)
                self._on_change("delete", obj)
        return version

    def _set(self, obj):
        key = object_key(obj)
        known = self.objects.get(key)
        self.objects[key] = obj
        if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            self._on_change("set", obj)
