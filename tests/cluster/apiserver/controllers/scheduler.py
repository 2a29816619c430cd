"""The scheduler: binds Pods to nodes. Owns: spec.nodeName of Pods without one.

Filters: taints, unschedulable, nodeSelector, node affinity, required pod anti-affinity, host ports. Of what is left
the node with the fewest Pods of the same controller, then the fewest Pods. Resources are not counted.
"""
from ..errors import ApiError
from ..selectors import match_object
from ..subresources import bind
from .base import Controller, condition, controller_of, is_active, key_of
from .base import set_condition
from .placement import affinity_allows, tolerated


class Scheduler(Controller):
    name = "default-scheduler"

    def heard(self, table, event):
        if table == "/pods":
            if self._waits(event.entry.obj) and event.type != "DELETED":
                self.add(key_of(event.entry.obj))
            elif event.type == "DELETED" or not is_active(event.entry.obj):
                self.prime()
        elif table == "/nodes":
            self.prime()

    @staticmethod
    def _waits(pod):
        spec = pod["spec"]
        return (
            not spec.get("nodeName")
            and is_active(pod)
            and not spec.get("schedulingGates")
            and spec.get("schedulerName") == "default-scheduler"
        )

    def prime(self):
        for entry in self.store.table("/pods").values():
            if self._waits(entry.obj):
                self.add(key_of(entry.obj))

    async def reconcile(self, key):
        entry = self.store.get("/pods", *key)
        if entry is None or not self._waits(entry.obj):
            return
        pod, res = entry.obj, self.res("", "pods")
        nodes = [e.obj for e in self.store.table("/nodes").items()]
        running = {}
        for other in self.store.table("/pods").values():
            if other.obj["spec"].get("nodeName") and (other.obj.get("status") or {}).get(
                "phase"
            ) not in ("Succeeded", "Failed"):
                running.setdefault(other.obj["spec"]["nodeName"], []).append(other.obj)
        reasons, fit = {}, []
        for node in nodes:
            why = self._refusal(pod, node, nodes, running)
            if why:
                reasons[why] = reasons.get(why, 0) + 1
            else:
                fit.append(node)
        if not fit:
            await self._unschedulable(res, pod, len(nodes), reasons)
            return
        owner = (controller_of(pod) or {}).get("uid")

        def score(node):
            here = running.get(node["metadata"]["name"], [])
            same = sum((controller_of(p) or {}).get("uid") == owner for p in here) if owner else 0
            return same, len(here), node["metadata"]["name"]

        chosen = min(fit, key=score)["metadata"]["name"]
        await bind(self.rest, res, key[0], key[1], chosen, self.ctx())
        await self.event(
            pod,
            "Normal",
            "Scheduled",
            "Successfully assigned %s/%s to %s" % (key[0], key[1], chosen),
        )

    def _refusal(self, pod, node, nodes, running):
        spec, name = pod["spec"], node["metadata"]["name"]
        nspec = node.get("spec") or {}
        taints = list(nspec.get("taints") or ())
        if nspec.get("unschedulable"):
            taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
        for taint in taints:
            if not tolerated(spec.get("tolerations"), [taint], ("NoSchedule", "NoExecute")):
                return "node(s) had untolerated taint {%s: %s}" % (
                    taint["key"],
                    taint.get("value") or "",
                )
        if not affinity_allows(spec, node):
            return "node(s) didn't match Pod's node affinity/selector"
        ports = _host_ports(pod)
        if ports and any(ports & _host_ports(p) for p in running.get(name, ())):
            return "node(s) didn't have free ports for the requested pod ports"
        if self._repelled(pod, node, nodes, running):
            return "node(s) didn't match pod anti-affinity rules"
        return None

    @staticmethod
    def _repelled(pod, node, nodes, running):
        anti = ((pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        ) or ()
        for term in anti:
            key = term["topologyKey"]
            value = (node["metadata"].get("labels") or {}).get(key)
            if value is None:
                continue
            spaces = term.get("namespaces") or [pod["metadata"]["namespace"]]
            for other in nodes:
                if (other["metadata"].get("labels") or {}).get(key) != value:
                    continue
                if any(
                    p["metadata"]["namespace"] in spaces
                    and match_object(term.get("labelSelector"), p["metadata"].get("labels"))
                    for p in running.get(other["metadata"]["name"], ())
                ):
                    return True
        return False

    async def _unschedulable(self, res, pod, total, reasons):
        text = "0/%d nodes are available" % total
        if reasons:
            text += ": " + ", ".join("%d %s" % (n, why) for why, n in sorted(reasons.items())) + "."
        cond = condition(pod, "PodScheduled")
        if cond and cond.get("message") == text:
            return

        def change(obj):
            status = obj.setdefault("status", {})
            status["conditions"] = set_condition(
                status.get("conditions"), "PodScheduled", "False", "Unschedulable", text
            )

        md = pod["metadata"]
        try:
            await self.rest.internal_status(res, md["namespace"], md["name"], change, self.ctx())
            await self.event(pod, "Warning", "FailedScheduling", text)
        except ApiError as err:
            if err.code != 404:
                raise


def _host_ports(pod):
    return {
        (p.get("protocol"), p["hostPort"])
        for c in pod["spec"].get("containers") or ()
        for p in c.get("ports") or ()
        if p.get("hostPort")
    }
