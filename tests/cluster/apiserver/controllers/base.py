"""What controllers share: a queue of dirty keys with retry, events, and small questions about Pods. Owns: no object."""
import asyncio
import datetime
import hashlib
import json
import logging
import traceback

from ..authn import internal
from ..errors import ApiError
from ..rest import Ctx, now

LOG = logging.getLogger("apiserver")
RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 5.0


class Controller:
    """Level-based: `heard` marks keys dirty, `reconcile` brings one key's objects to the wanted state."""

    name = ""

    def __init__(self, parts):
        self.parts = parts
        self.store = parts.store
        self.rest = parts.rest
        self.user = internal(self.name)
        self.dirty = {}
        self.wake = asyncio.Event()
        self.tries = {}
        parts.store.listeners.append(self.heard)

    def res(self, group, plural, version="v1"):
        return self.parts.registry.path(group, version, plural)

    def ctx(self):
        return Ctx(self.user, manager=self.name)

    def heard(self, table, event):
        raise NotImplementedError

    async def reconcile(self, key):
        raise NotImplementedError

    def prime(self):
        """Marks what was there before the start."""

    def add(self, key):
        self.dirty[key] = None
        self.wake.set()

    def later(self, key, seconds):
        asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def run(self):
        self.prime()
        while True:
            await self.wake.wait()
            self.wake.clear()
            batch, self.dirty = self.dirty, {}
            for key in batch:
                await self._one(key)

    async def _one(self, key):
        try:
            await self.reconcile(key)
            self.tries.pop(key, None)
            return
        except ApiError as err:
            if err.code not in (404, 409):
                LOG.warning("%s %s: %s", self.name, key, err)
        except Exception:
            LOG.error("%s %s: %s", self.name, key, traceback.format_exc())
        tries = self.tries[key] = self.tries.get(key, 0) + 1
        self.later(key, min(RETRY_SECONDS * 2 ** (tries - 1), RETRY_SECONDS_MAX))

    async def status(self, res, obj, status):
        """Writes `status` over the object's, when it differs."""
        md = obj["metadata"]
        if (obj.get("status") or {}) == status:
            return

        def change(cur):
            cur["status"] = status

        await self.rest.internal_status(res, md.get("namespace"), md["name"], change, self.ctx())

    async def remove(self, res, obj, **options):
        md = obj["metadata"]
        try:
            await self.rest.delete(
                res,
                md.get("namespace"),
                md["name"],
                {"preconditions": {"uid": md["uid"]}, **options},
                self.ctx(),
            )
        except ApiError as err:
            if err.code not in (404, 409):
                raise

    async def event(self, obj, kind, reason, message):
        """An Event about `obj`; the same one again only counts up."""
        md, when = obj["metadata"], now()
        ns = md.get("namespace") or "default"
        text = "%s/%s/%s/%s" % (md["uid"], kind, reason, message)
        name = "%s.%s" % (md["name"][:220], hashlib.sha256(text.encode()).hexdigest()[:16])
        res = self.res("", "events")
        if self.store.get(res.table, ns, name):

            def count(old):
                old["count"] = old.get("count", 1) + 1
                old["lastTimestamp"] = when
                return old

            await self.rest.change(res, ns, name, "", count, self.ctx(), retry=True)
            return
        ref = {
            "kind": obj["kind"],
            "apiVersion": obj["apiVersion"],
            "name": md["name"],
            "uid": md["uid"],
            "resourceVersion": md["resourceVersion"],
        }
        if md.get("namespace"):
            ref["namespace"] = ns
        await self.rest.create(
            res,
            ns,
            {
                "metadata": {"name": name},
                "involvedObject": ref,
                "type": kind,
                "reason": reason,
                "message": message,
                "source": {"component": self.name},
                "reportingComponent": self.name,
                "reportingInstance": "",
                "firstTimestamp": when,
                "lastTimestamp": when,
                "count": 1,
            },
            self.ctx(),
        )


def key_of(obj):
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_of(obj):
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return ref
    return None


def owner_ref(obj):
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned(store, table, owner):
    """The objects of `table` that `owner` controls."""
    uid, out = owner["metadata"]["uid"], []
    for ref in sorted(store.dependents.get(uid, ())):
        if ref[0] == table:
            obj = store.tables[table].objects[ref[1:]].obj
            held_by = controller_of(obj)
            if held_by and held_by["uid"] == uid:
                out.append(obj)
    return out


def condition(obj, kind):
    for cond in (obj.get("status") or {}).get("conditions") or ():
        if cond.get("type") == kind:
            return cond
    return None


def is_ready(pod):
    cond = condition(pod, "Ready")
    return bool(cond) and cond.get("status") == "True"


def is_active(pod):
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") and not pod[
        "metadata"
    ].get("deletionTimestamp")


def seconds_since(stamp):
    when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()


def available_in(pod, min_ready):
    """Seconds until a ready Pod counts as available: 0 is now, None is not ready."""
    if not is_ready(pod):
        return None
    if not min_ready:
        return 0
    stamp = condition(pod, "Ready").get("lastTransitionTime")
    return max(min_ready - seconds_since(stamp), 0) if stamp else 0


def template_hash(template):
    """A short name of a Pod template, without what the controllers add to its labels."""
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    labels.pop("pod-template-hash", None)
    plain = {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}
    digest = int(hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(), 16)
    alphabet, out = "bcdfghjklmnpqrstvwxz2456789", ""
    for _ in range(10):
        digest, index = divmod(digest, len(alphabet))
        out += alphabet[index]
    return out


def portion(value, total, up):
    """An IntOrString of `total`: "25%" rounded up or down, or a plain number."""
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total
        return -(-share // 100) if up else share // 100
    return int(value)


def set_condition(conds, kind, status, reason, message, updates=False):
    """A new list of conditions with this one set; its transition time moves only when the status does."""
    when, out, found = now(), [], False
    for cond in conds or ():
        if cond["type"] == kind:
            found = True
            same = cond["status"] == status
            if same and cond.get("reason") == reason and cond.get("message") == message:
                out.append(cond)
                continue
            cond = {
                **cond,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": cond["lastTransitionTime"] if same else when,
            }
            if updates:
                cond["lastUpdateTime"] = when
        out.append(cond)
    if not found:
        cond = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": when,
        }
        if updates:
            cond["lastUpdateTime"] = when
        out.append(cond)
    return out


def pod_from(template, owner, prefix, labels=None):
    """A Pod of `template`, controlled by `owner`."""
    meta = template.get("metadata") or {}
    out = {
        "metadata": {
            "generateName": prefix + "-",
            "labels": {**(meta.get("labels") or {}), **(labels or {})},
            "ownerReferences": [owner_ref(owner)],
        },
        "spec": json.loads(json.dumps(template["spec"])),
    }
    if meta.get("annotations"):
        out["metadata"]["annotations"] = dict(meta["annotations"])
    if meta.get("finalizers"):
        out["metadata"]["finalizers"] = list(meta["finalizers"])
    return out
