"""The verbs on resources: create, update, patch, delete and their rules. Owns: the order of the steps of a write
(decode, defaults, validation, admission, commit) and optimistic concurrency. HTTP is in server.py.

Kubernetes API conventions: "Concurrency Control", "Metadata", "Finalizers".
"""
import datetime
import json
import random
import uuid
from dataclasses import dataclass, field

from . import apply, errors, meta, patch, schema, strategy
from .store import clone

PATCH_RETRIES_MAX = 20
GENERATED = "bcdfghjklmnpqrstvwxz2456789"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Ctx:
    """What a request says beside its object."""

    user: object
    warnings: list = field(default_factory=list)
    dry_run: bool = False
    validation: str = "Warn"
    manager: str = "unknown"
    force: bool = False


class Rest:
    def __init__(self, store, registry, admission, converter, network):
        self.store = store
        self.registry = registry
        self.admission = admission
        self.converter = converter
        self.network = network
        self.drops_service_conditions = False

    # reading

    async def get(self, res, ns, name):
        return await self.converter.read(res, self.entry(res, ns, name))

    def entry(self, res, ns, name):
        found = self.store.get(res.table, ns if res.namespaced else "", name)
        if found is None:
            raise errors.not_found(res, name)
        return found

    # creating

    async def create(self, res, ns, obj, ctx):
        try:
            return await self._create(res, ns, obj, ctx)
        finally:
            self.network.release(ctx)

    async def _create(self, res, ns, obj, ctx):
        obj = self.decode(res, ns, None, obj, ctx)
        strategy.prepare_create(self, res, obj)
        self._name(res, obj)
        md = obj["metadata"]
        for key in (
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ):
            md.pop(key, None)
        md["uid"] = str(uuid.uuid4())
        md["creationTimestamp"] = now()
        md.pop("generation", None)
        if meta.has_generation(res):
            md["generation"] = 1
        if res.has_status and not strategy.keeps_status_on_create(res):
            obj.pop("status", None)
        if res.has_status:
            strategy.initial_status(res, obj, now())
        schema.default(res, obj)
        self._namespace_open(res, md.get("namespace"), md["name"])
        apply.track(res, None, obj, ctx.manager, "", now())
        strategy.allocate(self, res, obj, None, ctx)
        obj = await self.admission.mutate(res, "CREATE", "", obj, None, ctx)
        strategy.allocate(self, res, obj, None, ctx)
        self.validate(res, obj, None, "")
        await self.admission.validate(res, "CREATE", "", obj, None, ctx)
        stored = await self.converter.to_storage(res, obj)
        if self.store.get(res.table, md.get("namespace"), md["name"]) is not None:
            raise errors.already_exists(res, md["name"])
        self._namespace_open(res, md.get("namespace"), md["name"])
        if ctx.dry_run:
            return obj
        return await self.converter.read(res, self.store.put(res.table, stored))

    def decode(self, res, ns, name, obj, ctx):
        """Checks who `obj` says it is and prunes it; the result is a private copy."""
        if not isinstance(obj, dict):
            raise errors.bad_request(
                "couldn't get version/kind; json parse error: the body is no object"
            )
        obj = clone(obj)
        kind, version = obj.get("kind") or res.kind, obj.get("apiVersion") or res.api_version
        if (version, kind) != (res.api_version, res.kind):
            raise errors.bad_request(
                "the API version in the data (%s, Kind=%s) does not match the "
                "expected API version (%s, Kind=%s)" % (version, kind, res.api_version, res.kind)
            )
        obj["apiVersion"], obj["kind"] = res.api_version, res.kind
        if self.drops_service_conditions and res.table == "/services":
            (obj.get("status") or {}).pop("conditions", None)
        schema.admit(res, obj, ctx)
        md = obj.setdefault("metadata", {})
        if res.namespaced:
            if md.get("namespace") not in (None, "", ns):
                raise errors.bad_request(
                    "the namespace of the provided object does not match the "
                    "namespace sent on the request"
                )
            md["namespace"] = ns
        else:
            md.pop("namespace", None)
        if name is not None and md.setdefault("name", name) != name:
            raise errors.bad_request(
                "the name of the object (%s) does not match the name on the URL (%s)"
                % (md["name"], name)
            )
        return obj

    @staticmethod
    def _name(res, obj):
        md = obj["metadata"]
        if not md.get("name"):
            if not md.get("generateName"):
                raise errors.invalid(
                    res,
                    "",
                    [errors.f_required("metadata.name", "name or generateName is required")],
                )
            md["name"] = md["generateName"][:58] + "".join(random.choices(GENERATED, k=5))

    def _namespace_open(self, res, ns, name):
        if not res.namespaced:
            return
        space = self.store.get("/namespaces", "", ns)
        if space is None:
            raise errors.not_found(self.registry.path("", "v1", "namespaces"), ns)
        if space.obj["metadata"].get("deletionTimestamp"):
            err = errors.forbidden(
                res,
                name,
                "unable to create new content in namespace %s because it "
                "is being terminated" % ns,
            )
            err.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "field": "metadata.namespace",
                    "message": "namespace %s is being terminated" % ns,
                }
            ]
            raise err

    def validate(self, res, obj, old, sub):
        causes = meta.validate(res, obj, old)
        causes += schema.validate(res, obj)
        if not causes:
            causes += strategy.validate(self, res, obj, old, sub)
        if causes:
            raise errors.invalid(res, obj["metadata"]["name"], causes)

    # changing

    async def update(self, res, ns, name, sub, obj, ctx):
        obj = self.decode(res, ns, name, obj, ctx)

        def change(_old):
            return clone(obj)

        wanted = obj["metadata"].get("resourceVersion")
        if (
            not wanted
            and self.store.get(res.table, ns if res.namespaced else "", name) is not None
            and res.crd
        ):
            raise errors.invalid(
                res,
                name,
                [
                    errors.f_invalid(
                        "metadata.resourceVersion", 0, "must be specified for an update"
                    )
                ],
            )
        return await self.change(res, ns, name, sub, change, ctx, retry=not wanted)

    async def patch(self, res, ns, name, sub, kind, body, ctx):
        """-> (object, created)."""
        if kind == "apply":
            return await self._apply(res, ns, name, sub, body, ctx)

        def change(old):
            out = patch.apply(kind, old, body, res)
            return self.decode(res, ns, name, out, ctx)

        return await self.change(res, ns, name, sub, change, ctx, retry=True), False

    async def _apply(self, res, ns, name, sub, body, ctx):
        body = self.decode(res, ns, name, body, ctx)
        if body["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if self.store.get(res.table, ns if res.namespaced else "", name) is None:
            if sub:
                raise errors.not_found(res, name)
            if body["metadata"].get("uid"):
                raise errors.conflict(
                    res,
                    name,
                    "uid mismatch: the provided object specified uid %s, and "
                    "no existing object was found" % body["metadata"]["uid"],
                )
            made = apply.merge(res, None, body, ctx.manager, sub, ctx.force, now())
            tracked = made["metadata"].pop("managedFields")
            made["metadata"]["managedFields"] = tracked
            return await self.create(res, ns, made, ctx), True

        def change(old):
            return apply.merge(res, old, body, ctx.manager, sub, ctx.force, now())

        return await self.change(res, ns, name, sub, change, ctx, retry=True, applied=True), False

    async def change(self, res, ns, name, sub, fn, ctx, retry, applied=False):
        """Reads, lets `fn` make the new object, admits and commits it; again when somebody was faster."""
        try:
            return await self._change(res, ns, name, sub, fn, ctx, retry, applied)
        finally:
            self.network.release(ctx)

    async def _change(self, res, ns, name, sub, fn, ctx, retry, applied):
        for _ in range(PATCH_RETRIES_MAX):
            entry = self.entry(res, ns, name)
            old = await self.converter.read(res, entry)
            new = fn(clone(old))
            self._precondition(res, name, old, new)
            strategy.prepare_update(self, res, new, old, sub)
            self._carry_metadata(res, new, old)
            schema.default(res, new)
            strategy.allocate(self, res, new, old, ctx)
            if meta.has_generation(res) and meta.spec_changed(res, old, new):
                new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
            if not applied:
                apply.track(res, old, new, ctx.manager, sub, now())
            new = await self.admission.mutate(res, "UPDATE", sub, new, old, ctx)
            self.validate(res, new, old, sub)
            await self.admission.validate(res, "UPDATE", sub, new, old, ctx)
            if meta.same(new, old):
                return old
            stored = await self.converter.to_storage(res, new)
            current = self.store.get(res.table, ns if res.namespaced else "", name)
            if current is entry:
                return new if ctx.dry_run else await self._commit(res, stored)
            if current is None:
                raise errors.not_found(res, name)
            if not retry:
                break
        raise errors.conflict(res, name)

    async def _commit(self, res, stored):
        md = stored["metadata"]
        done = (
            md.get("deletionTimestamp")
            and not md.get("finalizers")
            and not md.get("deletionGracePeriodSeconds")
            and not strategy.held(res, stored)
        )
        entry = self.store.put(res.table, stored)
        if done:
            entry = self.store.remove(res.table, md.get("namespace"), md["name"])
        return await self.converter.read(res, entry)

    @staticmethod
    def _precondition(res, name, old, new):
        want, have = new["metadata"], old["metadata"]
        if want.get("resourceVersion") not in (None, "", have["resourceVersion"]):
            raise errors.conflict(res, name)
        if want.get("uid") not in (None, "", have["uid"]):
            raise errors.conflict(
                res,
                name,
                "Precondition failed: UID in precondition: %s, UID in object "
                "meta: %s" % (want["uid"], have["uid"]),
            )

    @staticmethod
    def _carry_metadata(res, new, old):
        md, was = new["metadata"], old["metadata"]
        for key in (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "resourceVersion",
            "generateName",
        ):
            if key in was:
                md[key] = was[key]
            else:
                md.pop(key, None)
        md["name"] = was["name"]
        if "managedFields" not in md and "managedFields" in was:
            md["managedFields"] = was["managedFields"]
        if md.get("managedFields") == []:
            del md["managedFields"]

    # deleting

    async def delete(self, res, ns, name, options, ctx):
        """-> the object that stays for now, or None when it is gone at once, and its last state."""
        entry = self.entry(res, ns, name)
        self._delete_preconditions(res, name, entry.obj, options)
        old = await self.converter.read(res, entry)
        await self.admission.validate(res, "DELETE", "", None, old, ctx)
        entry = self.entry(res, ns, name)
        self._delete_preconditions(res, name, entry.obj, options)
        obj = entry.copy()
        md = obj["metadata"]
        self._propagation(obj, options)
        grace = strategy.grace(res, obj, options.get("gracePeriodSeconds"))
        if not md.get("finalizers") and not strategy.held(res, obj) and grace == 0:
            if not ctx.dry_run:
                self.store.remove(res.table, md.get("namespace"), name)
            return None, old
        if md.get("deletionTimestamp"):
            if grace >= (md.get("deletionGracePeriodSeconds") or 0):
                return obj, old
        md["deletionTimestamp"] = md.get("deletionTimestamp") or _later(grace)
        md["deletionGracePeriodSeconds"] = grace
        if "generation" in md:
            md["generation"] += 1
        strategy.terminating(res, obj)
        if not ctx.dry_run:
            self.store.put(res.table, obj)
        return obj, old

    @staticmethod
    def _delete_preconditions(res, name, obj, options):
        pre = options.get("preconditions") or {}
        for key, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if pre.get(key) and pre[key] != obj["metadata"][key]:
                raise errors.conflict(
                    res,
                    name,
                    "Precondition failed: %s in precondition: %s, %s in object "
                    "meta: %s" % (label, pre[key], label, obj["metadata"][key]),
                )

    @staticmethod
    def _propagation(obj, options):
        policy = options.get("propagationPolicy")
        if options.get("orphanDependents") is True:
            policy = "Orphan"
        if policy not in (None, "", "Orphan", "Background", "Foreground"):
            raise errors.bad_request("invalid propagationPolicy %r" % policy)
        fins = [f for f in obj["metadata"].get("finalizers") or []]
        if policy:
            fins = [f for f in fins if f not in ("orphan", "foregroundDeletion")]
        if policy == "Orphan":
            fins.append("orphan")
        if policy == "Foreground":
            fins.append("foregroundDeletion")
        if fins:
            obj["metadata"]["finalizers"] = fins
        else:
            obj["metadata"].pop("finalizers", None)

    # for controllers in this process

    async def internal_status(self, res, ns, name, fn, ctx):
        """Changes the stored object's status by `fn(obj)`; absent objects are no error."""
        if self.store.get(res.table, ns if res.namespaced else "", name) is None:
            return None

        def change(old):
            fn(old)
            return old

        return await self.change(res, ns, name, "status", change, ctx, retry=True)


def _later(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def dumps(obj):
    return json.dumps(obj, separators=(",", ":")).encode()
