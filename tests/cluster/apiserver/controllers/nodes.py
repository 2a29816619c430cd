"""The node lifecycle: a node whose Lease is not renewed is not ready, nor are its Pods. Owns: the Ready condition of
silent nodes, the taints of nodes, the Ready condition of their Pods, and evictions by NoExecute taints.

A Lease counts from when this process saw its last change, so that clocks and a restart do not matter.
"""
import asyncio
import time

from ..rest import now
from .base import Controller, condition, is_active
from .placement import tolerates

TICKS_PER_GRACE = 10
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class Nodes(Controller):
    name = "node-controller"

    def __init__(self, parts, grace):
        super().__init__(parts)
        self.grace = grace
        self.seen = {}  # node -> monotonic time of its last sign of life

    def heard(self, table, event):
        obj = event.entry.obj
        if (
            table == "coordination.k8s.io/leases"
            and obj["metadata"]["namespace"] == "kube-node-lease"
        ):
            self.seen[obj["metadata"]["name"]] = time.monotonic()
        elif table == "/nodes":
            name = obj["metadata"]["name"]
            if event.type == "DELETED":
                self.seen.pop(name, None)
            else:
                if self.seen.get(name) is None:
                    self.seen[name] = time.monotonic()
                self.add(("node", name))
        elif table == "/pods" and event.type != "DELETED" and obj["spec"].get("nodeName"):
            old = event.old and event.old.obj
            if not old or old["spec"].get("nodeName") != obj["spec"]["nodeName"]:
                self.add(("node", obj["spec"]["nodeName"]))

    def prime(self):
        for entry in self.store.table("/nodes").values():
            self.seen.setdefault(entry.obj["metadata"]["name"], time.monotonic())
            self.add(("node", entry.obj["metadata"]["name"]))

    async def run(self):
        ticker = asyncio.get_running_loop().create_task(self._tick())
        try:
            await super().run()
        finally:
            ticker.cancel()

    async def _tick(self):
        while True:
            await asyncio.sleep(self.grace / TICKS_PER_GRACE)
            for name, when in list(self.seen.items()):
                if time.monotonic() - when > self.grace:
                    self.add(("node", name))

    async def reconcile(self, key):
        if key[0] == "evict":
            await self._evict(key)
            return
        name = key[1]
        entry = self.store.get("/nodes", "", name)
        if entry is None:
            return
        silent = time.monotonic() - self.seen.get(name, time.monotonic()) > self.grace
        ready = condition(entry.obj, "Ready")
        if silent and (ready is None or ready["status"] != "Unknown"):
            await self._unknown(name)
            entry = self.store.get("/nodes", "", name)
            ready = entry and condition(entry.obj, "Ready")
        if entry is None:
            return
        await self._taint(name, entry.obj, ready)
        if ready is not None and ready["status"] != "True":
            await self._pods_not_ready(name)
        self._plan_evictions(name)

    async def _unknown(self, name):
        when = now()

        def change(node):
            conds = node.setdefault("status", {}).setdefault("conditions", [])
            kinds = {c["type"] for c in conds}
            for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
                if kind not in kinds:
                    conds.append({"type": kind, "status": "", "lastHeartbeatTime": when})
            for cond in conds:
                if (
                    cond["type"] in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
                    and cond["status"] != "Unknown"
                ):
                    cond.update(
                        status="Unknown",
                        reason="NodeStatusUnknown",
                        lastTransitionTime=when,
                        message="Kubelet stopped posting node status.",
                    )

        await self.rest.internal_status(self.res("", "nodes"), None, name, change, self.ctx())
        entry = self.store.get("/nodes", "", name)
        if entry is not None:
            await self.event(
                entry.obj, "Normal", "NodeNotReady", "Node %s status is now: NodeNotReady" % name
            )

    async def _taint(self, name, node, ready):
        key = None
        if ready is None or ready["status"] == "False":
            key = TAINTS[0]
        elif ready["status"] == "Unknown":
            key = TAINTS[1]
        have = [t for t in (node.get("spec") or {}).get("taints") or () if t["key"] in TAINTS]
        wanted = {(key, "NoSchedule"), (key, "NoExecute")} if key else set()
        if {(t["key"], t["effect"]) for t in have} == wanted:
            return

        def change(obj):
            spec = obj.setdefault("spec", {})
            taints = [t for t in spec.get("taints") or () if t["key"] not in TAINTS]
            for kind, effect in sorted(wanted, reverse=True):
                stamp = {"timeAdded": now()} if effect == "NoExecute" else {}
                taints.append({"key": kind, "effect": effect, **stamp})
            spec["taints"] = taints
            if not taints:
                del spec["taints"]
            return obj

        await self.rest.change(self.res("", "nodes"), None, name, "", change, self.ctx(), True)

    def _pods(self, node):
        return [
            e.obj
            for e in self.store.table("/pods").values()
            if e.obj["spec"].get("nodeName") == node
        ]

    async def _pods_not_ready(self, node):
        for pod in self._pods(node):
            cond = condition(pod, "Ready")
            if cond is None or cond["status"] != "True":
                continue

            def change(obj):
                found = condition(obj, "Ready")
                if found and found["status"] == "True":
                    found.update(status="False", lastTransitionTime=now(), reason="NodeNotReady")

            md = pod["metadata"]
            await self.rest.internal_status(
                self.res("", "pods"), md["namespace"], md["name"], change, self.ctx()
            )
            await self.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _plan_evictions(self, node):
        entry = self.store.get("/nodes", "", node)
        taints = [
            t
            for t in ((entry.obj.get("spec") or {}).get("taints") if entry else None) or ()
            if t["effect"] == "NoExecute"
        ]
        for taint in taints:
            for pod in self._pods(node):
                wait = _patience(pod, taint)
                if wait is not None and is_active(pod):
                    key = (
                        "evict",
                        pod["metadata"]["namespace"],
                        pod["metadata"]["name"],
                        pod["metadata"]["uid"],
                        node,
                        taint["key"],
                        taint.get("timeAdded", ""),
                    )
                    if key not in self.tries:
                        self.tries[key] = 0
                        self.later(key, wait)

    async def _evict(self, key):
        _, ns, name, uid, node, taint, added = key
        pod, entry = self.store.get("/pods", ns, name), self.store.get("/nodes", "", node)
        if pod is None or entry is None or pod.obj["metadata"]["uid"] != uid:
            return
        for have in (entry.obj.get("spec") or {}).get("taints") or ():
            if (
                have["key"] == taint
                and have["effect"] == "NoExecute"
                and have.get("timeAdded", "") == added
            ):
                await self.event(
                    pod.obj,
                    "Normal",
                    "TaintManagerEviction",
                    "Marking for deletion Pod %s/%s" % (ns, name),
                )
                await self.remove(self.res("", "pods"), pod.obj)
                return


def _patience(pod, taint):
    """Seconds that the Pod bears the taint; None is for ever."""
    matching = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
    if not matching:
        return 0
    limits = [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    return max(min(limits), 0) if limits else None
