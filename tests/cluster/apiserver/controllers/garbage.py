"""The garbage collector: what happens to dependents when an owner goes, and to objects whose owner never was.

Owns: the finalizers orphan and foregroundDeletion, and the deletion of Pods whose node is gone.
"""
from .base import Controller


class Garbage(Controller):
    name = "generic-garbage-collector"

    def heard(self, table, event):
        meta = event.entry.obj["metadata"]
        ref = (table, meta.get("namespace", ""), meta["name"])
        if event.type == "DELETED":
            for dependent in self.store.dependents.get(meta["uid"], ()):
                self.add(dependent)
            for owner in meta.get("ownerReferences") or ():
                if owner["uid"] in self.store.by_uid:
                    self.add(self.store.by_uid[owner["uid"]])
            if table == "/nodes":
                self.add(("node", "", meta["name"]))
        elif meta.get("deletionTimestamp") and meta.get("finalizers"):
            self.add(ref)
        elif meta.get("ownerReferences") and (
            event.old is None
            or event.old.obj["metadata"].get("ownerReferences") != meta["ownerReferences"]
        ):
            self.add(ref)

    def prime(self):
        for table in list(self.store.tables.values()):
            for ident, entry in table.objects.items():
                meta = entry.obj["metadata"]
                if meta.get("ownerReferences") or meta.get("deletionTimestamp"):
                    self.add((table.key,) + ident)

    async def reconcile(self, key):
        if key[0] == "node":
            await self._node_gone(key[2])
            return
        entry = self.store.get(*key)
        res = self.parts.registry.storage.get(key[0])
        if entry is None or res is None:
            return
        meta = entry.obj["metadata"]
        if meta.get("deletionTimestamp"):
            await self._finalizers(res, entry.obj)
        elif meta.get("ownerReferences"):
            await self._owners(res, entry.obj)

    async def _node_gone(self, name):
        if self.store.get("/nodes", "", name) is not None:
            return
        for entry in self.store.table("/pods").values():
            if entry.obj["spec"].get("nodeName") == name:
                await self.remove(self.res("", "pods"), entry.obj, gracePeriodSeconds=0)

    def _exists(self, ref, namespace):
        found = self.store.by_uid.get(ref["uid"])
        return found is not None and found[2] == ref["name"] and found[1] in ("", namespace)

    async def _owners(self, res, obj):
        meta = obj["metadata"]
        refs = meta["ownerReferences"]
        alive = [r for r in refs if self._exists(r, meta.get("namespace", ""))]
        waiting = [r for r in alive if self._foreground(r)]
        if len(alive) == len(refs) and not waiting:
            return
        solid = [r for r in alive if r not in waiting]
        if solid:
            await self._rewrite(res, obj, solid)
        elif waiting:
            await self.remove(
                res,
                obj,
                propagationPolicy="Foreground"
                if meta["uid"] in self.store.dependents
                else "Background",
            )
        else:
            await self.remove(res, obj, propagationPolicy="Background")

    def _foreground(self, ref):
        entry = self.store.get(*self.store.by_uid[ref["uid"]])
        return bool(entry.obj["metadata"].get("deletionTimestamp")) and "foregroundDeletion" in (
            entry.obj["metadata"].get("finalizers") or ()
        )

    async def _rewrite(self, res, obj, refs):
        def change(cur):
            if refs:
                cur["metadata"]["ownerReferences"] = refs
            else:
                cur["metadata"].pop("ownerReferences", None)
            return cur

        meta = obj["metadata"]
        await self.rest.change(
            res, meta.get("namespace"), meta["name"], "", change, self.ctx(), True
        )

    async def _finalizers(self, res, obj):
        meta = obj["metadata"]
        fins = meta.get("finalizers") or []
        dependents = sorted(self.store.dependents.get(meta["uid"], ()))
        if "orphan" in fins:
            for ref in dependents:
                entry = self.store.get(*ref)
                other = self.parts.registry.storage.get(ref[0])
                if entry is not None and other is not None:
                    refs = [
                        r
                        for r in entry.obj["metadata"]["ownerReferences"]
                        if r["uid"] != meta["uid"]
                    ]
                    await self._rewrite(other, entry.obj, refs)
            await self._drop(res, obj, "orphan")
        elif "foregroundDeletion" in fins:
            for ref in dependents:
                self.add(ref)
            blocking = [
                r
                for r in dependents
                if any(
                    o["uid"] == meta["uid"] and o.get("blockOwnerDeletion")
                    for o in self.store.get(*r).obj["metadata"]["ownerReferences"]
                )
            ]
            if not blocking:
                await self._drop(res, obj, "foregroundDeletion")

    async def _drop(self, res, obj, finalizer):
        def change(cur):
            left = [f for f in cur["metadata"].get("finalizers") or () if f != finalizer]
            cur["metadata"]["finalizers"] = left
            if not left:
                del cur["metadata"]["finalizers"]
            return cur

        meta = obj["metadata"]
        await self.rest.change(
            res, meta.get("namespace"), meta["name"], "", change, self.ctx(), True
        )
