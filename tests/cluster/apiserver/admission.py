"""Admission webhooks: which match a write, what they are sent, what their answer means. Owns: AdmissionReview.

admissionregistration.k8s.io/v1 and admission.k8s.io/v1; matchConditions (CEL) are refused when the object is written.
"""
import asyncio
import base64
import binascii
import json
import uuid

from . import patch
from .errors import ApiError
from .selectors import match_object

GROUP = "admissionregistration.k8s.io"


class Admission:
    def __init__(self, store, registry, webhooks):
        self.store = store
        self.registry = registry
        self.webhooks = webhooks
        self.converter = None

    async def mutate(self, res, operation, sub, obj, old, ctx):
        """Runs the mutating webhooks one after the other; -> the object they leave."""
        for hook in self._hooks("mutatingwebhookconfigurations", res):
            target = self._match(hook, res, operation, sub, obj, old)
            if target is None:
                continue
            reply = await self._ask(hook, target, res, operation, sub, obj, old, ctx)
            if reply is not None and reply.get("patch"):
                obj = self._patched(hook, reply, obj)
        return obj

    @staticmethod
    def _patched(hook, reply, obj):
        try:
            ops = json.loads(base64.b64decode(reply["patch"]))
        except (ValueError, binascii.Error) as err:
            raise _failed(hook, "invalid patch: %s" % err) from None
        return patch.json_patch(obj, ops)

    async def validate(self, res, operation, sub, obj, old, ctx):
        """Asks all matching webhooks at once; the first refusal, in their order, is raised."""
        asked = []
        for hook in self._hooks("validatingwebhookconfigurations", res):
            target = self._match(hook, res, operation, sub, obj, old)
            if target is not None:
                asked.append(self._ask(hook, target, res, operation, sub, obj, old, ctx))
        if not asked:
            return
        for result in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _hooks(self, plural, res):
        if res.group == GROUP:
            return
        for entry in self.store.table("%s/%s" % (GROUP, plural)).items():
            yield from entry.obj.get("webhooks") or ()

    def _match(self, hook, res, operation, sub, obj, old):
        """The Resource (version) that the webhook wants this request as, or None."""
        candidates = [res]
        if hook.get("matchPolicy", "Equivalent") == "Equivalent":
            candidates += [
                r for r in self.registry.by_path.values() if r.table == res.table and r is not res
            ]
        target = next(
            (
                c
                for c in candidates
                for rule in hook.get("rules") or ()
                if _rule_matches(rule, c, operation, sub)
            ),
            None,
        )
        if target is None:
            return None
        if not self._namespace_matches(hook, res, obj or old):
            return None
        selector = hook.get("objectSelector")
        if selector and not any(
            o is not None and match_object(selector, o["metadata"].get("labels"))
            for o in (obj, old)
        ):
            return None
        return target

    def _namespace_matches(self, hook, res, obj):
        selector = hook.get("namespaceSelector")
        if not selector:
            return True
        if res.table == "/namespaces":
            return match_object(selector, obj["metadata"].get("labels"))
        if not res.namespaced:
            return True
        entry = self.store.get("/namespaces", "", obj["metadata"]["namespace"])
        return entry is not None and match_object(selector, entry.obj["metadata"].get("labels"))

    async def _review(self, target, res, operation, sub, obj, old, ctx):
        async def as_target(one):
            if one is None or target.version == res.version and target.group == res.group:
                return one
            return await self.converter.read_obj(target, json.loads(json.dumps(one)))

        here = obj or old
        request = {
            "uid": str(uuid.uuid4()),
            "kind": _gvk(target),
            "resource": _gvr(target),
            "requestKind": _gvk(res),
            "requestResource": _gvr(res),
            "name": here["metadata"].get("name", ""),
            "operation": operation,
            "userInfo": ctx.user.info,
            "object": await as_target(obj),
            "oldObject": await as_target(old),
            "dryRun": ctx.dry_run,
            "options": {"kind": operation.capitalize() + "Options", "apiVersion": "meta.k8s.io/v1"},
        }
        if sub:
            request["subResource"] = request["requestSubResource"] = sub
        if here["metadata"].get("namespace"):
            request["namespace"] = here["metadata"]["namespace"]
        if res.table == "/namespaces":
            request["namespace"] = here["metadata"].get("name", "")
        return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}

    async def _ask(self, hook, target, res, operation, sub, obj, old, ctx):
        """-> the response, or None when it failed and may be ignored; raises the refusal."""
        review = await self._review(target, res, operation, sub, obj, old, ctx)
        seconds = hook.get("timeoutSeconds", 10)
        try:
            answer = await self.webhooks.call(hook["clientConfig"], review, seconds)
            reply = answer.get("response")
            if (
                answer.get("kind") != "AdmissionReview"
                or answer.get("apiVersion") != "admission.k8s.io/v1"
            ):
                raise ValueError(
                    "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got %s, Kind=%s"
                    % (answer.get("apiVersion"), answer.get("kind"))
                )
            if not isinstance(reply, dict) or reply.get("uid") != review["request"]["uid"]:
                raise ValueError("expected response.uid=%r" % review["request"]["uid"])
        except asyncio.TimeoutError:
            return self._unanswered(hook, "context deadline exceeded")
        except Exception as err:  # the network's words belong into the answer to the client
            return self._unanswered(hook, str(err) or type(err).__name__)
        ctx.warnings.extend(str(w)[:256] for w in reply.get("warnings") or ())
        if not reply.get("allowed"):
            raise _denied(hook, reply.get("status") or reply.get("result") or {})
        return reply

    @staticmethod
    def _unanswered(hook, why):
        if hook.get("failurePolicy", "Fail") == "Ignore":
            return None
        raise _failed(hook, why)


def _failed(hook, why):
    client = hook.get("clientConfig") or {}
    ref = client.get("service")
    url = client.get("url") or "https://%s.%s.svc:%d%s" % (
        ref["name"],
        ref["namespace"],
        ref.get("port", 443),
        ref.get("path") or "/",
    )
    return ApiError(
        500,
        "InternalError",
        'Internal error occurred: failed calling webhook "%s": failed to call webhook: '
        'Post "%s?timeout=%ds": %s' % (hook["name"], url, hook.get("timeoutSeconds", 10), why),
        {"causes": [{"message": 'failed calling webhook "%s"' % hook["name"]}]},
    )


def _denied(hook, status):
    code = status.get("code") or 0
    text = status.get("message") or status.get("reason") or "without explanation"
    shown = 'admission webhook "%s" denied the request%s' % (
        hook["name"],
        " without explanation" if text == "without explanation" else ": " + text,
    )
    return ApiError(
        code if code >= 400 else 400, status.get("reason") or "", shown, status.get("details") or {}
    )


def _rule_matches(rule, res, operation, sub):
    if not {"*", operation} & set(rule.get("operations") or ()):
        return False
    if not {"*", res.group} & set(rule.get("apiGroups") or ()) or not {"*", res.version} & set(
        rule.get("apiVersions") or ()
    ):
        return False
    scope = rule.get("scope", "*")
    if scope == "Namespaced" and not res.namespaced or scope == "Cluster" and res.namespaced:
        return False
    for pattern in rule.get("resources") or ():
        plural, _, part = pattern.partition("/")
        if plural in ("*", res.plural) and (part == sub or part == "*"):
            return True
    return False


def _gvk(res):
    return {"group": res.group, "version": res.version, "kind": res.kind}


def _gvr(res):
    return {"group": res.group, "version": res.version, "resource": res.plural}
