"""The DaemonSet controller: one Pod on each node that takes it. Owns: the Pods of DaemonSets and their status.

apps/v1 DaemonSet with RollingUpdate (maxUnavailable) and OnDelete; ControllerRevisions are left out, so there is no
`rollout undo` for it.
"""
from .base import (
    Controller,
    available_in,
    controller_of,
    is_active,
    key_of,
    owned,
    pod_from,
    portion,
    template_hash,
)
from .placement import affinity_allows, tolerated

HASH = "controller-revision-hash"
_EXTRA = [
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
]


def _tolerations(spec):
    extra = _EXTRA + ([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])
    return (spec.get("tolerations") or []) + [
        {"key": "node.kubernetes.io/" + k, "operator": "Exists", "effect": e} for k, e in extra
    ]


class DaemonSets(Controller):
    name = "daemonset-controller"

    def heard(self, table, event):
        if table == "apps/daemonsets":
            self.add(key_of(event.entry.obj))
        elif table == "/pods":
            ref = controller_of(event.entry.obj)
            if ref and ref["kind"] == "DaemonSet":
                self.add((event.entry.obj["metadata"]["namespace"], ref["name"]))
        elif table == "/nodes" and (
            event.old is None
            or event.type == "DELETED"
            or _shape(event.old.obj) != _shape(event.entry.obj)
        ):
            self.prime()

    def prime(self):
        for entry in self.store.table("apps/daemonsets").values():
            self.add(key_of(entry.obj))

    def _wants(self, ds, node):
        """-> (may run, must stay running)."""
        spec = ds["spec"]["template"]["spec"]
        if not affinity_allows(spec, node):
            return False, False
        taints = (node["spec"] or {}).get("taints") or ()
        have = _tolerations(spec)
        run = tolerated(have, taints, ("NoSchedule", "NoExecute"))
        return run, tolerated(have, taints, ("NoExecute",))

    async def reconcile(self, key):
        entry = self.store.get("apps/daemonsets", *key)
        if entry is None:
            return
        ds = entry.obj
        digest = template_hash(ds["spec"]["template"])
        if not ds["metadata"].get("deletionTimestamp"):
            await self._place(ds, digest)
            if ds["spec"]["updateStrategy"]["type"] == "RollingUpdate":
                await self._roll(ds, digest)
        await self._status(key, digest)

    def _by_node(self, ds):
        out = {}
        for pod in owned(self.store, "/pods", ds):
            out.setdefault(_node_of(pod), []).append(pod)
        return out

    async def _place(self, ds, digest):
        pods, res = self._by_node(ds), self.res("", "pods")
        for entry in self.store.table("/nodes").items():
            node = entry.obj
            name = node["metadata"]["name"]
            here = pods.pop(name, [])
            run, stay = self._wants(ds, node)
            live = [p for p in here if is_active(p)]
            for pod in here:
                if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
                    await self.event(
                        ds,
                        "Warning",
                        "FailedDaemonPod",
                        "Found failed daemon pod %s on node %s, will try to "
                        "kill it" % (pod["metadata"]["name"], name),
                    )
                    await self.remove(res, pod)
            if not stay:
                for pod in live:
                    await self.remove(res, pod)
            elif run and not live and not any(p["metadata"].get("deletionTimestamp") for p in here):
                await self._create(ds, name, digest)
            else:
                for pod in sorted(live, key=lambda p: p["metadata"]["creationTimestamp"])[1:]:
                    await self.remove(res, pod)
        for stray in pods.values():
            for pod in stray:
                await self.remove(res, pod)

    async def _create(self, ds, node, digest):
        pod = pod_from(
            ds["spec"]["template"],
            ds,
            ds["metadata"]["name"],
            {HASH: digest, "pod-template-generation": str(ds["metadata"]["generation"])},
        )
        pod["spec"]["tolerations"] = _tolerations(pod["spec"])
        required = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
        term = {"key": "metadata.name", "operator": "In", "values": [node]}
        required["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [{"matchFields": [term]}]
        }
        made = await self.rest.create(
            self.res("", "pods"), ds["metadata"]["namespace"], pod, self.ctx()
        )
        await self.event(
            ds, "Normal", "SuccessfulCreate", "Created pod: " + made["metadata"]["name"]
        )

    def _runnable(self, ds):
        return [
            e.obj["metadata"]["name"]
            for e in self.store.table("/nodes").items()
            if self._wants(ds, e.obj)[0]
        ]

    async def _roll(self, ds, digest):
        """Deletes Pods of an older template: those not available at once, the others within maxUnavailable."""
        nodes, pods = self._runnable(ds), self._by_node(ds)
        budget = portion(
            ds["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable", 1), len(nodes), True
        )
        stale = []
        for name in nodes:
            live = [p for p in pods.get(name, ()) if is_active(p)]
            up = [p for p in live if available_in(p, ds["spec"].get("minReadySeconds")) == 0]
            if not up:
                budget -= 1
            for pod in live:
                if pod["metadata"]["labels"].get(HASH) != digest:
                    stale.append((bool(up), pod))
        for up, pod in stale:
            if not up or budget > 0:
                budget -= 1 if up else 0
                await self.remove(self.res("", "pods"), pod)
                await self.event(
                    ds, "Normal", "SuccessfulDelete", "Deleted pod: " + pod["metadata"]["name"]
                )

    async def _status(self, key, digest):
        entry = self.store.get("apps/daemonsets", *key)
        if entry is None:
            return
        ds = entry.obj
        nodes, pods = set(self._runnable(ds)), self._by_node(ds)
        status = {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": len(nodes),
            "numberReady": 0,
            "observedGeneration": ds["metadata"]["generation"],
        }
        updated = available = 0
        for name, here in pods.items():
            live = [p for p in here if is_active(p) and p["spec"].get("nodeName")]
            if name not in nodes:
                status["numberMisscheduled"] += bool(live)
            elif live:
                waits = [available_in(p, ds["spec"].get("minReadySeconds")) for p in live]
                later = [w for w in waits if w]
                if later:
                    self.later(key, min(later) + 0.05)
                status["currentNumberScheduled"] += 1
                status["numberReady"] += any(w is not None for w in waits)
                available += any(w == 0 for w in waits)
                updated += live[0]["metadata"]["labels"].get(HASH) == digest
        for field, count in (
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", len(nodes) - available),
        ):
            if count:
                status[field] = count
        await self.status(self.res("apps", "daemonsets"), ds, status)


def _shape(node):
    return node["metadata"].get("labels"), node.get("spec")


def _node_of(pod):
    """The node a daemon Pod runs on or is meant for."""
    if pod["spec"].get("nodeName"):
        return pod["spec"]["nodeName"]
    terms = pod["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    return terms[0]["matchFields"][0]["values"][0]
