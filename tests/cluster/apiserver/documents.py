"""What is served beside resources: discovery, version, health, OpenAPI. Owns: these paths and their access check."""
from aiohttp import web

from . import discovery, errors, openapi
from .negotiate import plain

HEALTH = ("healthz", "livez", "readyz")


class Documents:
    def __init__(self, registry, authz, address, store):
        self.registry = registry
        self.authz = authz
        self.address = address
        self.store = store

    async def answer(self, http, user):
        self.authz.require_path(user, http.method.lower(), http.path)
        if http.method not in ("GET", "HEAD"):
            if http.method == "POST" and http.path == "/debug/compact":
                self.store.compact()
                return plain(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
            raise errors.method_not_allowed()
        parts = [p for p in http.path.split("/") if p]
        if parts and parts[0] in HEALTH:
            return web.Response(text="ok")
        if parts == ["version"]:
            return plain(200, discovery.VERSION)
        if parts[:1] == ["openapi"]:
            return openapi.answer(self.registry, http, parts[1:])
        found = self._discovery(http, parts)
        if found is None:
            raise errors.no_such_path()
        return found

    def _discovery(self, http, parts):
        groups = self.registry.groups()
        if parts in (["api"], ["apis"]):
            return self._root(http, parts[0] == "api")
        if parts == ["api", "v1"]:
            return plain(200, discovery.resource_list("v1", groups[""]["v1"]))
        if not parts:
            paths = [
                "/api",
                "/api/v1",
                "/apis",
                "/healthz",
                "/livez",
                "/openapi/v2",
                "/openapi/v3",
                "/readyz",
                "/version",
            ]
            paths += ["/apis/%s" % g for g in groups if g] + [
                "/apis/%s/%s" % (g, v) for g in groups if g for v in groups[g]
            ]
            return plain(200, {"paths": sorted(paths)})
        if parts[0] == "apis" and len(parts) == 2 and parts[1] in groups:
            return plain(
                200,
                {
                    "kind": "APIGroup",
                    "apiVersion": "v1",
                    **discovery.group_doc(parts[1], groups[parts[1]]),
                },
            )
        if parts[0] == "apis" and len(parts) == 3 and parts[2] in groups.get(parts[1], {}):
            return plain(
                200, discovery.resource_list("/".join(parts[1:]), groups[parts[1]][parts[2]])
            )
        return None

    def _root(self, http, legacy):
        accept = http.headers.get("Accept", "")
        for part in accept.split(","):
            if "as=APIGroupDiscoveryList" in part and "g=apidiscovery.k8s.io" in part:
                version = "v2beta1" if "v=v2beta1" in part else "v2"
                answer = plain(200, discovery.aggregated(self.registry, legacy, version))
                answer.headers["Content-Type"] = (
                    "application/json;g=apidiscovery.k8s.io;v=%s;"
                    "as=APIGroupDiscoveryList" % version
                )
                return answer
            if part.split(";")[0].strip() in ("application/json", "*/*") and "as=" not in part:
                break
        if legacy:
            return plain(
                200,
                {
                    "kind": "APIVersions",
                    "versions": ["v1"],
                    "serverAddressByClientCIDRs": [
                        {"clientCIDR": "0.0.0.0/0", "serverAddress": self.address}
                    ],
                },
            )
        return plain(200, discovery.group_list(self.registry))
