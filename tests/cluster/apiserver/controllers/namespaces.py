"""What comes with a namespace and goes with it; the same for the objects of a CRD. Owns: the default ServiceAccount,
the ConfigMap kube-root-ca.crt, the finalizers of Namespaces and CRDs.
"""
from .. import crd
from ..errors import ApiError
from .base import Controller

AGAIN_SECONDS = 0.2


class Namespaces(Controller):
    name = "namespace-controller"

    def heard(self, table, event):
        meta = event.entry.obj["metadata"]
        if table == "/namespaces":
            self.add(("namespace", meta["name"]))
        elif table == crd.TABLE and meta.get("deletionTimestamp") and event.type != "DELETED":
            self.add(("crd", meta["name"]))
        elif event.type == "DELETED" and meta.get("namespace"):
            space = self.store.get("/namespaces", "", meta["namespace"])
            if space is not None and (
                space.obj["metadata"].get("deletionTimestamp")
                or table in ("/serviceaccounts", "/configmaps")
            ):
                self.add(("namespace", meta["namespace"]))

    def prime(self):
        for entry in self.store.table("/namespaces").values():
            self.add(("namespace", entry.obj["metadata"]["name"]))
        for entry in self.store.table(crd.TABLE).values():
            if entry.obj["metadata"].get("deletionTimestamp"):
                self.add(("crd", entry.obj["metadata"]["name"]))

    async def reconcile(self, key):
        kind, name = key
        if kind == "crd":
            await self._crd(name)
            return
        entry = self.store.get("/namespaces", "", name)
        if entry is None:
            return
        if entry.obj["metadata"].get("deletionTimestamp"):
            await self._empty(name, entry.obj)
        else:
            await self._furnish(name)

    async def _furnish(self, ns):
        wanted = [
            ("serviceaccounts", {"metadata": {"name": "default"}}),
            (
                "configmaps",
                {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self.parts.root_ca}},
            ),
        ]
        for plural, obj in wanted:
            res = self.res("", plural)
            if self.store.get(res.table, ns, obj["metadata"]["name"]) is None:
                try:
                    await self.rest.create(res, ns, obj, self.ctx())
                except ApiError as err:
                    if err.code != 409:
                        raise

    async def _empty(self, ns, space):
        left = 0
        for key, table in list(self.store.tables.items()):
            res = self.parts.registry.storage.get(key)
            for entry in table.values(ns) if res is not None and res.namespaced else ():
                if not entry.obj["metadata"].get("deletionTimestamp"):
                    await self.remove(res, entry.obj, propagationPolicy="Background")
            if res is not None and res.namespaced:
                left += len(table.by_ns.get(ns, {}))
        if left:
            self.later(("namespace", ns), AGAIN_SECONDS)
            return
        if (space["spec"] or {}).get("finalizers"):

            def change(obj):
                obj["spec"]["finalizers"] = []
                return obj

            await self.rest.change(
                self.res("", "namespaces"), None, ns, "finalize", change, self.ctx(), True
            )

    async def _crd(self, name):
        entry = self.store.get(crd.TABLE, "", name)
        if entry is None or crd.FINALIZER not in (entry.obj["metadata"].get("finalizers") or ()):
            return
        spec = entry.obj["spec"]
        key = "%s/%s" % (spec["group"], spec["names"]["plural"])
        res = self.parts.registry.storage.get(key)
        for found in self.store.table(key).values() if res is not None else ():
            if not found.obj["metadata"].get("deletionTimestamp"):
                await self.remove(res, found.obj)
        if self.store.table(key).objects:
            self.later(("crd", name), AGAIN_SECONDS)
            return

        def change(obj):
            obj["metadata"]["finalizers"] = [
                f for f in obj["metadata"]["finalizers"] if f != crd.FINALIZER
            ]
            return obj

        await self.rest.change(
            self.res("apiextensions.k8s.io", "customresourcedefinitions"),
            None,
            name,
            "",
            change,
            self.ctx(),
            True,
        )
