"""Between the stored version and the version asked for. Owns: events.k8s.io <-> core events, and custom resources
by strategy None or Webhook (ConversionReview v1).
"""
import uuid

from . import errors
from .store import clone

_EVENT = (
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
)


def _rename(obj, pairs, version):
    out = {k: v for k, v in obj.items() if k not in {a for a, _ in pairs}}
    for here, there in pairs:
        if here in obj:
            out[there] = obj[here]
    out["apiVersion"] = version
    return out


class Converter:
    def __init__(self, registry, webhooks):
        self.registry = registry
        self.webhooks = webhooks
        self.strategies = {}  # CRD name -> its spec.conversion

    def is_stored_form(self, res):
        return (
            res.version == res.storage_version
            and res.group != "events.k8s.io"
            and (
                not res.crd
                or len([r for r in self.registry.by_path.values() if r.crd == res.crd]) == 1
            )
        )

    async def read(self, res, entry):
        return (await self.read_many(res, [entry]))[0]

    async def read_obj(self, res, obj):
        return (await self._convert(res, [obj], res.api_version))[0]

    async def read_many(self, res, entries):
        if self.is_stored_form(res):
            return [e.obj for e in entries]
        return await self._convert(res, [e.copy() for e in entries], res.api_version)

    async def to_storage(self, res, obj):
        group = res.group + "/" if res.group else ""
        target = "v1" if res.group == "events.k8s.io" else group + res.storage_version
        return (await self._convert(res, [clone(obj)], target))[0]

    async def _convert(self, res, objs, target):
        if res.table == "/events":
            return [self._event(o, target) for o in objs]
        todo = [o for o in objs if o["apiVersion"] != target]
        if not todo:
            return objs
        conversion = self.strategies.get(res.crd) or {}
        if conversion.get("strategy") == "Webhook":
            done = await self._webhook(res, conversion, todo, target)
        else:
            done = [{**o, "apiVersion": target} for o in todo]
        feed = iter(done)
        return [next(feed) if o["apiVersion"] != target else o for o in objs]

    @staticmethod
    def _event(obj, target):
        if obj["apiVersion"] == target:
            return obj
        if target == "v1":
            return _rename(obj, _EVENT, target)
        return _rename(obj, [(b, a) for a, b in _EVENT], target)

    async def _webhook(self, res, conversion, objs, target):
        uid = str(uuid.uuid4())
        hook = conversion.get("webhook") or {}
        review = {
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": uid, "desiredAPIVersion": target, "objects": objs},
        }
        failed = "conversion webhook for %s/%s, Kind=%s failed: %%s" % (
            res.group,
            res.version,
            res.kind,
        )
        try:
            answer = await self.webhooks.call(hook.get("clientConfig") or {}, review, 30)
        except Exception as err:  # whatever the network says belongs into the answer
            raise errors.ApiError(500, "InternalError", failed % ("Post: %s" % err)) from None
        reply = answer.get("response") or {}
        if reply.get("uid") != uid:
            raise errors.ApiError(500, "InternalError", failed % "expected response.uid=%r" % uid)
        result = reply.get("result") or {}
        if result.get("status") != "Success":
            raise errors.ApiError(
                500, "InternalError", failed % (result.get("message") or "no message")
            )
        made = reply.get("convertedObjects")
        if not isinstance(made, list) or len(made) != len(objs):
            raise errors.ApiError(
                500,
                "InternalError",
                failed % ("returned %d objects, expected %d" % (len(made or []), len(objs))),
            )
        return [self._accept(o, n, target, failed) for o, n in zip(objs, made)]

    @staticmethod
    def _accept(old, new, target, failed):
        if (
            not isinstance(new, dict)
            or new.get("apiVersion") != target
            or new.get("kind") != old["kind"]
        ):
            raise errors.ApiError(
                500, "InternalError", failed % "returned an object of another version or kind"
            )
        meta, was = new.get("metadata") or {}, old["metadata"]
        for key in ("name", "namespace", "uid"):
            if meta.get(key) != was.get(key):
                raise errors.ApiError(
                    500, "InternalError", failed % ("must not change metadata." + key)
                )
        kept = dict(was)
        for key in ("labels", "annotations"):
            kept.pop(key, None)
            if meta.get(key):
                kept[key] = meta[key]
        return {**new, "metadata": kept}
