"""The ReplicaSet controller: as many Pods as asked for. Owns: the Pods of ReplicaSets and their status.

apps/v1 ReplicaSet; orphaned Pods are not adopted.
"""
from ..errors import ApiError
from .base import (
    Controller,
    available_in,
    controller_of,
    is_active,
    is_ready,
    key_of,
    owned,
    pod_from,
    set_condition,
)

BURST = 500


class ReplicaSets(Controller):
    name = "replicaset-controller"

    def heard(self, table, event):
        if table == "apps/replicasets":
            self.add(key_of(event.entry.obj))
        elif table == "/pods":
            ref = controller_of(event.entry.obj)
            if ref and ref["kind"] == "ReplicaSet":
                self.add((event.entry.obj["metadata"]["namespace"], ref["name"]))

    def prime(self):
        for entry in self.store.table("apps/replicasets").values():
            self.add(key_of(entry.obj))

    async def reconcile(self, key):
        entry = self.store.get("apps/replicasets", *key)
        if entry is None:
            return
        rs = entry.obj
        failure = None
        if not rs["metadata"].get("deletionTimestamp"):
            failure = await self._scale(
                rs, [p for p in owned(self.store, "/pods", rs) if is_active(p)]
            )
        await self._status(key, failure)
        if failure:
            raise failure

    async def _scale(self, rs, pods):
        want = rs["spec"]["replicas"]
        for _ in range(min(want - len(pods), BURST)):
            try:
                made = await self.rest.create(
                    self.res("", "pods"),
                    rs["metadata"]["namespace"],
                    pod_from(rs["spec"]["template"], rs, rs["metadata"]["name"]),
                    self.ctx(),
                )
            except ApiError as err:
                await self.event(rs, "Warning", "FailedCreate", "Error creating: %s" % err)
                return err
            await self.event(
                rs, "Normal", "SuccessfulCreate", "Created pod: " + made["metadata"]["name"]
            )
        if len(pods) > want:
            pods.sort(key=lambda p: (bool(p["spec"].get("nodeName")), is_ready(p), _age_order(p)))
            for pod in pods[: len(pods) - want]:
                await self.remove(self.res("", "pods"), pod)
                await self.event(
                    rs, "Normal", "SuccessfulDelete", "Deleted pod: " + pod["metadata"]["name"]
                )
        return None

    async def _status(self, key, failure):
        entry = self.store.get("apps/replicasets", *key)
        if entry is None:
            return
        rs = entry.obj
        pods = [p for p in owned(self.store, "/pods", rs) if is_active(p)]
        waits = [available_in(p, rs["spec"].get("minReadySeconds")) for p in pods]
        later = [w for w in waits if w]
        if later:
            self.later(key, min(later) + 0.05)
        status = {"replicas": len(pods), "observedGeneration": rs["metadata"]["generation"]}
        for name, count in (
            ("fullyLabeledReplicas", len(pods)),
            ("readyReplicas", sum(w is not None for w in waits)),
            ("availableReplicas", sum(w == 0 for w in waits)),
        ):
            if count:
                status[name] = count
        conds = [
            c
            for c in (rs.get("status") or {}).get("conditions") or ()
            if c["type"] != "ReplicaFailure"
        ]
        if failure:
            conds = set_condition(conds, "ReplicaFailure", "True", "FailedCreate", str(failure))
        if conds:
            status["conditions"] = conds
        await self.status(self.res("apps", "replicasets"), rs, status)


def _age_order(pod):
    """Newest first, by text: the time's characters turned round."""
    return [-ord(c) for c in pod["metadata"]["creationTimestamp"]]
