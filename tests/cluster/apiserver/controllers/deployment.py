"""The Deployment controller: a ReplicaSet per template, rolled over within maxSurge and maxUnavailable.

Owns: the ReplicaSets of Deployments and their status. apps/v1; collisions of template hashes are left out.
"""
import json

from .base import (
    Controller,
    controller_of,
    is_active,
    key_of,
    owned,
    owner_ref,
    portion,
    seconds_since,
    set_condition,
    template_hash,
)

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"


def _count(rs, field):
    return (rs.get("status") or {}).get(field, 0)


class Deployments(Controller):
    name = "deployment-controller"

    def heard(self, table, event):
        if table == "apps/deployments":
            self.add(key_of(event.entry.obj))
        elif table == "apps/replicasets":
            ref = controller_of(event.entry.obj)
            if ref and ref["kind"] == "Deployment":
                self.add((event.entry.obj["metadata"]["namespace"], ref["name"]))
        elif table == "/pods" and event.type == "DELETED":
            self._pod_gone(event.entry.obj)

    def _pod_gone(self, pod):
        ref = controller_of(pod)
        rs = ref and self.store.get("apps/replicasets", pod["metadata"]["namespace"], ref["name"])
        ref = rs and controller_of(rs.obj)
        if ref:
            self.add((pod["metadata"]["namespace"], ref["name"]))

    def prime(self):
        for entry in self.store.table("apps/deployments").values():
            self.add(key_of(entry.obj))

    async def reconcile(self, key):
        entry = self.store.get("apps/deployments", *key)
        if entry is None:
            return
        dep = entry.obj
        sets = owned(self.store, "apps/replicasets", dep)
        digest = template_hash(dep["spec"]["template"])
        new = next(
            (s for s in sets if s["metadata"]["labels"].get("pod-template-hash") == digest), None
        )
        old = [s for s in sets if s is not new]
        if not dep["metadata"].get("deletionTimestamp"):
            if dep["spec"].get("paused"):
                await self._scale_paused(dep, new, old)
            else:
                new = await self._revision(dep, new, old, digest)
                await self._roll(dep, new, old)
                await self._history(dep, old)
        await self._status(key, digest)

    async def _revision(self, dep, new, old, digest):
        """Makes sure that the newest ReplicaSet exists and has the highest revision."""
        last = max(
            [int((s["metadata"].get("annotations") or {}).get(REVISION, 0)) for s in old] or [0]
        )
        if new is None:
            new = await self._create(dep, digest, last + 1)
        notes = new["metadata"].get("annotations") or {}
        revision = notes.get(REVISION, "0")
        if int(revision) <= last:
            revision = str(last + 1)
            new = await self._patch(
                new,
                lambda o: o["metadata"].setdefault("annotations", {}).update({REVISION: revision}),
            )
        if (dep["metadata"].get("annotations") or {}).get(REVISION) != revision:

            def note(obj):
                obj["metadata"].setdefault("annotations", {})[REVISION] = revision
                return obj

            md = dep["metadata"]
            await self.rest.change(
                self.res("apps", "deployments"),
                md["namespace"],
                md["name"],
                "",
                note,
                self.ctx(),
                True,
            )
        return new

    async def _create(self, dep, digest, revision):
        template = json.loads(json.dumps(dep["spec"]["template"]))
        template["metadata"].setdefault("labels", {})["pod-template-hash"] = digest
        selector = json.loads(json.dumps(dep["spec"]["selector"]))
        selector.setdefault("matchLabels", {})["pod-template-hash"] = digest
        md = dep["metadata"]
        obj = {
            "metadata": {
                "name": "%s-%s" % (md["name"], digest),
                "ownerReferences": [owner_ref(dep)],
                "labels": template["metadata"]["labels"],
                "annotations": {REVISION: str(revision), DESIRED: str(dep["spec"]["replicas"])},
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if dep["spec"].get("minReadySeconds"):
            obj["spec"]["minReadySeconds"] = dep["spec"]["minReadySeconds"]
        return await self.rest.create(
            self.res("apps", "replicasets"), md["namespace"], obj, self.ctx()
        )

    async def _patch(self, rs, fn):
        def change(obj):
            fn(obj)
            return obj

        md = rs["metadata"]
        return await self.rest.change(
            self.res("apps", "replicasets"),
            md["namespace"],
            md["name"],
            "",
            change,
            self.ctx(),
            True,
        )

    async def _set(self, dep, rs, replicas):
        if rs["spec"]["replicas"] == replicas:
            return
        verb = "up" if replicas > rs["spec"]["replicas"] else "down"
        before = rs["spec"]["replicas"]
        await self._patch(rs, lambda o: o["spec"].update(replicas=replicas))
        await self.event(
            dep,
            "Normal",
            "ScalingReplicaSet",
            "Scaled %s replica set %s from %d to %d"
            % (verb, rs["metadata"]["name"], before, replicas),
        )

    async def _scale_paused(self, dep, new, old):
        live = [s for s in ([new] if new else []) + old if s["spec"]["replicas"]]
        if len(live) == 1:
            await self._set(dep, live[0], dep["spec"]["replicas"])

    async def _roll(self, dep, new, old):
        want = dep["spec"]["replicas"]
        active = [s for s in old if s["spec"]["replicas"] or _count(s, "replicas")]
        if dep["spec"]["strategy"]["type"] == "Recreate":
            for rs in active:
                await self._set(dep, rs, 0)
            if not any(
                is_active(p) or p["metadata"].get("deletionTimestamp")
                for s in old
                for p in owned(self.store, "/pods", s)
            ):
                await self._set(dep, new, want)
            return
        rolling = dep["spec"]["strategy"].get("rollingUpdate") or {}
        surge = portion(rolling.get("maxSurge", "25%"), want, True)
        missing = portion(rolling.get("maxUnavailable", "25%"), want, False)
        if not surge and not missing:
            missing = 1
        total = sum(s["spec"]["replicas"] for s in active) + new["spec"]["replicas"]
        if new["spec"]["replicas"] > want:
            await self._set(dep, new, want)
        elif new["spec"]["replicas"] < want and total < want + surge:
            await self._set(dep, new, min(want, new["spec"]["replicas"] + want + surge - total))
            return
        await self._shrink(dep, new, active, want - missing)

    async def _shrink(self, dep, new, active, least):
        """Takes Pods from old ReplicaSets: those that are not available first, then as many as may be missing."""
        total = sum(s["spec"]["replicas"] for s in active) + new["spec"]["replicas"]
        unavailable = new["spec"]["replicas"] - _count(new, "availableReplicas")
        budget = total - least - max(unavailable, 0)
        for rs in active:
            broken = rs["spec"]["replicas"] - _count(rs, "availableReplicas")
            take = min(max(broken, 0), max(budget, 0))
            if take:
                budget -= take
                await self._set(dep, rs, rs["spec"]["replicas"] - take)
                return
        spare = (
            sum(_count(s, "availableReplicas") for s in active)
            + _count(new, "availableReplicas")
            - least
        )
        for rs in active:
            take = min(rs["spec"]["replicas"], max(spare, 0))
            if take:
                spare -= take
                await self._set(dep, rs, rs["spec"]["replicas"] - take)

    async def _history(self, dep, old):
        empty = [s for s in old if not s["spec"]["replicas"] and not _count(s, "replicas")]
        empty.sort(key=lambda s: int((s["metadata"].get("annotations") or {}).get(REVISION, 0)))
        for rs in empty[: max(len(empty) - dep["spec"]["revisionHistoryLimit"], 0)]:
            await self.remove(self.res("apps", "replicasets"), rs)

    async def _status(self, key, digest):
        entry = self.store.get("apps/deployments", *key)
        if entry is None:
            return
        dep = entry.obj
        sets = owned(self.store, "apps/replicasets", dep)
        new = next(
            (s for s in sets if s["metadata"]["labels"].get("pod-template-hash") == digest), None
        )
        want, was = dep["spec"]["replicas"], dep.get("status") or {}
        have = {
            f: sum(_count(s, f) for s in sets)
            for f in ("replicas", "readyReplicas", "availableReplicas")
        }
        have["updatedReplicas"] = _count(new, "replicas") if new else 0
        have["unavailableReplicas"] = max(
            max(have["replicas"], want) - have["availableReplicas"], 0
        )
        status = {k: v for k, v in have.items() if v}
        status["observedGeneration"] = dep["metadata"]["generation"]
        rolling = dep["spec"]["strategy"].get("rollingUpdate") or {}
        missing = portion(rolling.get("maxUnavailable", 0), want, False)
        if have["availableReplicas"] >= want - missing:
            conds = set_condition(
                was.get("conditions"),
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
                True,
            )
        else:
            conds = set_condition(
                was.get("conditions"),
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
                True,
            )
        status["conditions"] = self._progress(key, dep, new, have, conds)
        await self.status(self.res("apps", "deployments"), dep, status)

    def _progress(self, key, dep, new, have, conds):
        want, was = dep["spec"]["replicas"], dep.get("status") or {}
        name = new["metadata"]["name"] if new else dep["metadata"]["name"]
        if have["updatedReplicas"] == have["replicas"] == have["availableReplicas"] == want:
            return set_condition(
                conds,
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                'ReplicaSet "%s" has successfully progressed.' % name,
                True,
            )
        cond = next((c for c in conds if c["type"] == "Progressing"), None)
        moved = (
            any(have[f] != was.get(f, 0) for f in have)
            or was.get("observedGeneration") != dep["metadata"]["generation"]
        )
        if (
            cond is None
            or moved
            and cond["reason"] != "ProgressDeadlineExceeded"
            or cond["reason"] == "NewReplicaSetAvailable"
        ):
            conds = [c for c in conds if c["type"] != "Progressing"]
            cond = None
        limit = dep["spec"]["progressDeadlineSeconds"]
        if cond is not None:
            left = limit - seconds_since(cond["lastUpdateTime"])
            if left <= 0 or cond["reason"] == "ProgressDeadlineExceeded":
                return set_condition(
                    conds,
                    "Progressing",
                    "False",
                    "ProgressDeadlineExceeded",
                    'ReplicaSet "%s" has timed out progressing.' % name,
                    True,
                )
            self.later(key, left + 0.1)
            return conds
        self.later(key, limit + 0.1)
        return set_condition(
            conds,
            "Progressing",
            "True",
            "ReplicaSetUpdated",
            'ReplicaSet "%s" is progressing.' % name,
            True,
        )
