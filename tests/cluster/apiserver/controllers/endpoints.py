"""The EndpointSlice and Endpoints controllers: who stands behind a Service. Owns: the slices it labelled and the
Endpoints of Services with a selector.

discovery.k8s.io/v1; core/v1 Endpoints (the first family only). At most 100 endpoints a slice; what is placed stays.
"""
import json

from ..errors import ApiError
from ..rest import now
from ..selectors import match_requirements, from_object
from .base import Controller, is_ready, key_of, owned, owner_ref

SLICE_MAX = 100
MANAGED = "endpointslice-controller.k8s.io"
SERVICE, BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"


class Endpoints(Controller):
    name = "endpointslice-controller"

    def heard(self, table, event):
        if table == "/services":
            old, new = event.old and event.old.obj, event.entry.obj
            if (
                not old
                or event.type == "DELETED"
                or old["spec"] != new["spec"]
                or old["metadata"].get("labels") != new["metadata"].get("labels")
            ):
                self.add(key_of(new))
        elif table == "/pods":
            self._pod(event)
        elif table == "discovery.k8s.io/endpointslices" and event.type == "DELETED":
            svc = (event.entry.obj["metadata"].get("labels") or {}).get(SERVICE)
            if svc:
                self.add((event.entry.obj["metadata"]["namespace"], svc))

    def _pod(self, event):
        old = event.old.obj if event.old else None
        new = event.entry.obj
        if old and event.type != "DELETED" and _shape(old) == _shape(new):
            return
        ns = new["metadata"]["namespace"]
        for entry in self.store.table("/services").values(ns):
            selector = entry.obj["spec"].get("selector")
            if not selector:
                continue
            reqs = from_object({"matchLabels": selector})
            if any(p and match_requirements(reqs, p["metadata"].get("labels")) for p in (old, new)):
                self.add(key_of(entry.obj))

    def prime(self):
        for entry in self.store.table("/services").values():
            self.add(key_of(entry.obj))

    async def reconcile(self, key):
        entry = self.store.get("/services", *key)
        if entry is None:
            return
        svc = entry.obj
        if (
            svc["metadata"].get("deletionTimestamp")
            or not svc["spec"].get("selector")
            or svc["spec"]["type"] == "ExternalName"
        ):
            return
        pods = self._pods(svc)
        wanted = {}
        for family in svc["spec"].get("ipFamilies") or ():
            found = False
            for pod in pods:
                ip = _address(pod, family)
                if ip:
                    ports = _ports(svc, pod)
                    wanted.setdefault((family, _ports_key(ports)), []).append(
                        self._endpoint(svc, pod, ip)
                    )
                    found = True
            if not found:
                wanted[(family, _ports_key([]))] = []
        await self._slices(svc, wanted)
        await self._legacy(svc, pods)

    def _pods(self, svc):
        reqs = from_object({"matchLabels": svc["spec"]["selector"]})
        out = []
        for entry in self.store.table("/pods").items(svc["metadata"]["namespace"]):
            pod = entry.obj
            if (pod.get("status") or {}).get("phase") not in (
                "Succeeded",
                "Failed",
            ) and match_requirements(reqs, pod["metadata"].get("labels")):
                out.append(pod)
        return out

    @staticmethod
    def _endpoint(svc, pod, ip):
        serving, leaving = is_ready(pod), bool(pod["metadata"].get("deletionTimestamp"))
        ready = bool(svc["spec"].get("publishNotReadyAddresses")) or serving and not leaving
        out = {
            "addresses": [ip],
            "conditions": {"ready": ready, "serving": serving, "terminating": leaving},
            "nodeName": pod["spec"].get("nodeName"),
            "targetRef": _target(pod),
        }
        if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == svc["metadata"]["name"]:
            out["hostname"] = pod["spec"]["hostname"]
        return out

    async def _slices(self, svc, wanted):
        res = self.res("discovery.k8s.io", "endpointslices")
        have = {}
        for obj in owned(self.store, res.table, svc):
            if (obj["metadata"].get("labels") or {}).get(BY) == MANAGED:
                have.setdefault(
                    (obj["addressType"], json.dumps(obj.get("ports") or [])), []
                ).append(obj)
        for key, endpoints in wanted.items():
            await self._fill(svc, res, key, endpoints, have.pop(key, []))
        for slices in have.values():
            for gone in slices:
                await self.remove(res, gone)

    async def _fill(self, svc, res, key, endpoints, slices):
        """Leaves each endpoint in the slice where it is; the new ones go where there is room."""
        todo = {e["targetRef"]["uid"]: e for e in endpoints}
        plans = []
        for old in slices:
            kept = [
                todo.pop(e["targetRef"]["uid"])
                for e in old.get("endpoints") or ()
                if e.get("targetRef", {}).get("uid") in todo
            ]
            plans.append((old, kept))
        rest = list(todo.values())
        for _, kept in plans:
            room = SLICE_MAX - len(kept)
            kept += rest[:room]
            rest = rest[room:]
        kept_one = False
        for old, kept in plans:
            if not kept and (kept_one or len(plans) > 1 or rest):
                await self.remove(res, old)
                continue
            kept_one = True
            if old.get("endpoints") != kept or _labels(svc) != old["metadata"].get("labels"):
                await self._rewrite(svc, res, old, kept)
        while rest or not kept_one:
            await self._make(svc, res, key, rest[:SLICE_MAX])
            rest, kept_one = rest[SLICE_MAX:], True

    async def _rewrite(self, svc, res, old, endpoints):
        def change(obj):
            obj["endpoints"] = endpoints
            obj["metadata"]["labels"] = _labels(svc)
            obj["metadata"].setdefault("annotations", {})[
                "endpoints.kubernetes.io/last-change-trigger-time"
            ] = now()
            return obj

        md = old["metadata"]
        await self.rest.change(res, md["namespace"], md["name"], "", change, self.ctx(), True)

    async def _make(self, svc, res, key, endpoints):
        ns, name = key_of(svc)
        obj = {
            "metadata": {
                "generateName": name + "-",
                "labels": _labels(svc),
                "ownerReferences": [owner_ref(svc)],
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": now()},
            },
            "addressType": key[0],
            "ports": json.loads(key[1]),
            "endpoints": endpoints,
        }
        await self.rest.create(res, ns, obj, self.ctx())

    async def _legacy(self, svc, pods):
        ns, name = key_of(svc)
        res, subsets = self.res("", "endpoints"), {}
        family = (svc["spec"].get("ipFamilies") or ["IPv4"])[0]
        for pod in pods:
            ip = _address(pod, family)
            leaving = bool(pod["metadata"].get("deletionTimestamp"))
            publish = bool(svc["spec"].get("publishNotReadyAddresses"))
            if not ip or leaving and not publish:
                continue
            subset = subsets.setdefault(
                _ports_key(_ports(svc, pod)), {"addresses": [], "notReadyAddresses": []}
            )
            address = {"ip": ip, "nodeName": pod["spec"].get("nodeName"), "targetRef": _target(pod)}
            subset["addresses" if is_ready(pod) or publish else "notReadyAddresses"].append(address)
        body = [
            {**{k: v for k, v in s.items() if v}, "ports": json.loads(p)}
            for p, s in subsets.items()
        ]
        labels = {k: v for k, v in (svc["metadata"].get("labels") or {}).items()}
        entry = self.store.get(res.table, ns, name)
        if entry is None:
            meta = {"name": name, "labels": labels} if labels else {"name": name}
            await self.rest.create(res, ns, {"metadata": meta, "subsets": body}, self.ctx())
        elif (entry.obj.get("subsets") or []) != body:

            def change(obj):
                obj["subsets"] = body
                return obj

            await self.rest.change(res, ns, name, "", change, self.ctx(), True)

    async def _one(self, key):
        await super()._one(key)
        if (
            self.store.get("/services", *key) is None
            and self.store.get("/endpoints", *key) is not None
        ):
            try:
                await self.rest.delete(self.res("", "endpoints"), key[0], key[1], {}, self.ctx())
            except ApiError as err:
                if err.code != 404:
                    raise


def _labels(svc):
    labels = {k: v for k, v in (svc["metadata"].get("labels") or {}).items()}
    labels.update({SERVICE: svc["metadata"]["name"], BY: MANAGED})
    if svc["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    return labels


def _target(pod):
    md = pod["metadata"]
    return {"kind": "Pod", "name": md["name"], "namespace": md["namespace"], "uid": md["uid"]}


def _shape(pod):
    status = pod.get("status") or {}
    return (
        pod["metadata"].get("labels"),
        pod["metadata"].get("deletionTimestamp"),
        pod["spec"].get("nodeName"),
        status.get("podIPs"),
        status.get("podIP"),
        status.get("phase"),
        is_ready(pod),
    )


def _address(pod, family):
    status = pod.get("status") or {}
    ips = [i["ip"] for i in status.get("podIPs") or ()] or (
        [status["podIP"]] if status.get("podIP") else []
    )
    return next((ip for ip in ips if (":" in ip) == (family == "IPv6")), None)


def _ports(svc, pod):
    """The Service's ports as this Pod has them; a named port that it lacks is left out."""
    out = []
    for port in svc["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        if isinstance(target, str):
            target = pod and next(
                (
                    p["containerPort"]
                    for c in pod["spec"]["containers"]
                    for p in c.get("ports") or ()
                    if p.get("name") == target and p.get("protocol", "TCP") == port["protocol"]
                ),
                None,
            )
        if target is not None:
            one = {"name": port.get("name", ""), "port": target, "protocol": port["protocol"]}
            if port.get("appProtocol"):
                one["appProtocol"] = port["appProtocol"]
            out.append(one)
    return out


def _ports_key(ports):
    return json.dumps(ports)
