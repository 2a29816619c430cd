"""Custom resources and webhooks on the built-in API server: schemas, versions, conversion, admission."""
import base64
import contextlib
import http.server
import json
import ssl
import threading
import time

import pytest

from tests.cluster.apiserver.testing import Kubelets, Refused, add_node, eventually, gone, running

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
CORE = "/api/v1/namespaces/default/"
SPEC = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
        "port": {"x-kubernetes-int-or-string": True},
        "count": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 2},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "when": {"type": "string", "format": "date-time"},
        "maybe": {"type": "string", "nullable": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "peers": {
            "type": "array",
            "maxItems": 2,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer"},
                    "weight": {"type": "integer", "default": 7},
                },
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def definition(plural, versions=("v1",), **conversion):
    body = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": SPEC,
            "status": {"type": "object", "properties": {"seen": {"type": "integer"}}},
        },
    }
    made = [
        {
            "name": v,
            "served": True,
            "storage": i == 0,
            "schema": {"openAPIV3Schema": body},
            "subresources": {"status": {}},
        }
        for i, v in enumerate(versions)
    ]
    spec = {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": plural, "kind": plural.capitalize()},
        "versions": made,
    }
    if conversion:
        spec["conversion"] = conversion
    return {"metadata": {"name": plural + ".example.org"}, "spec": spec}


def path_of(plural, name="", version="v1"):
    return "/apis/example.org/%s/namespaces/default/%s%s" % (
        version,
        plural,
        "/" + name if name else "",
    )


@pytest.fixture(scope="module")
def server():
    with running() as one:
        yield one


@pytest.fixture
def api(server):
    return server.client()


def refused(code, call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    assert caught.value.code == code, caught.value
    return caught.value.status


@contextlib.contextmanager
def webhook(server, answer, name="hook", hosts=("127.0.0.1",)):
    """An HTTPS server that answers each review by `answer(request)`; yields its port and what it was asked."""
    server.pki.issue(name, name, hosts=list(hosts))
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(review["request"])
            reply = {"uid": review["request"]["uid"], **answer(review["request"])}
            body = json.dumps(
                {**{k: review[k] for k in ("apiVersion", "kind")}, "response": reply}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """The test shows what failed; requests are no news."""

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.pki.path(name + ".crt"), server.pki.path(name + ".key"))
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield listener.server_address[1], asked
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def bundle(server):
    return base64.b64encode(server.pki.path("ca.crt").read_bytes()).decode()


@pytest.fixture(scope="module")
def things(server):
    made = server.client().post(CRDS, definition("things"))
    conditions = {c["type"]: c["status"] for c in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    return path_of("things")


@pytest.mark.parametrize(
    "spec, field, text",
    [
        ({}, "spec.name", "Required value"),
        ({"name": "Bad"}, "spec.name", "should match '^[a-z]+$'"),
        ({"name": "waytoolong"}, "spec.name", "at most 8 chars"),
        ({"name": "a", "count": 0}, "spec.count", "greater than or equal to 1"),
        ({"name": "a", "count": 11}, "spec.count", "less than or equal to 10"),
        ({"name": "a", "count": "x"}, "spec.count", "must be of type integer"),
        ({"name": "a", "mode": "odd"}, "spec.mode", 'supported values: "fast", "slow"'),
        ({"name": "a", "when": "today"}, "spec.when", "date-time"),
        ({"name": "a", "port": True}, "spec.port", "integer,string"),
        ({"name": "a", "tags": ["x", "x"]}, "spec.tags[1]", "Duplicate value"),
        ({"name": "a", "peers": [{"id": 1}, {"id": 1}]}, "spec.peers[1]", "Duplicate value"),
        (
            {"name": "a", "peers": [{"id": 1}, {"id": 2}, {"id": 3}]},
            "spec.peers",
            "at most 2 items",
        ),
    ],
)
def test_schema_refuses(api, things, spec, field, text):
    status = refused(422, api.post, things, {"metadata": {"name": "x"}, "spec": spec})
    assert status["reason"] == "Invalid" and [c["field"] for c in status["details"]["causes"]] == [
        field
    ]
    assert text in status["message"]


def test_defaults_pruning_and_generation(api, things):
    made = api.post(
        things,
        {
            "metadata": {"name": "d"},
            "spec": {
                "name": "a",
                "count": None,
                "maybe": None,
                "extra": 1,
                "peers": [{"id": 1}],
                "free": {"any": [1]},
            },
            "status": {"seen": 1},
        },
    )
    assert made["spec"] == {
        "name": "a",
        "count": 2,
        "maybe": None,
        "peers": [{"id": 1, "weight": 7}],
        "free": {"any": [1]},
    }
    assert 'unknown field \\"spec.extra\\"' in api.warnings[0] and "status" not in made
    path = things + "/d"
    assert (
        api.merge(path + "/status", {"status": {"seen": 3}, "spec": {"name": "b"}})["spec"]["name"]
        == "a"
    )
    changed = api.merge(path, {"metadata": {"labels": {"a": "b"}}})
    assert (changed["metadata"]["generation"], changed["status"]["seen"]) == (1, 3)
    assert api.merge(path, {"spec": {"count": 5}})["metadata"]["generation"] == 2
    refused(415, lambda: api.call("PATCH", path, {}, kind="application/strategic-merge-patch+json"))
    without = api.get(path)
    del without["metadata"]["resourceVersion"]
    refused(422, api.put, path, without)


def test_definition_is_checked(api):
    bad = definition("bads")
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = {
        "spec": {"properties": {}}
    }
    assert "must not be empty" in refused(422, api.post, CRDS, bad)["message"]
    twice = definition("twices", ("v1", "v2"))
    twice["spec"]["versions"][1]["storage"] = True
    assert "exactly one version" in refused(422, api.post, CRDS, twice)["message"]
    wrong = definition("wrongs")
    wrong["metadata"]["name"] = "other.example.org"
    refused(422, api.post, CRDS, wrong)


def test_removing_a_definition_removes_its_objects(api):
    api.post(CRDS, definition("fleeting"))
    api.post(
        path_of("fleeting"),
        {"metadata": {"name": "f", "finalizers": ["example.org/f"]}, "spec": {"name": "a"}},
    )
    api.delete(CRDS + "/fleeting.example.org")
    eventually(lambda: api.get(path_of("fleeting", "f"))["metadata"].get("deletionTimestamp"))
    api.merge(path_of("fleeting", "f"), {"metadata": {"finalizers": None}})
    eventually(lambda: gone(api, CRDS + "/fleeting.example.org"))
    assert gone(api, path_of("fleeting"))


def test_versions_without_conversion(api):
    crd = definition("plains", ("v1", "v1beta1"))
    crd["spec"]["versions"][1]["deprecated"] = True
    api.post(CRDS, crd)
    api.post(
        path_of("plains", version="v1beta1"), {"metadata": {"name": "p"}, "spec": {"name": "a"}}
    )
    assert "v1beta1 Plains is deprecated" in api.warnings[0]
    assert api.get(path_of("plains", "p"))["apiVersion"] == "example.org/v1"
    versions = {v["version"] for v in api.get("/apis/example.org")["versions"]}
    assert {"v1", "v1beta1"} <= versions


def test_conversion_webhook(server, api):
    def convert(request):
        done = []
        for obj in request["objects"]:
            suffix = "new" if request["desiredAPIVersion"].endswith("/v2") else "old"
            done.append(
                {
                    **obj,
                    "apiVersion": request["desiredAPIVersion"],
                    "spec": {**obj["spec"], "name": suffix},
                }
            )
        return {"result": {"status": "Success"}, "convertedObjects": done}

    with webhook(server, convert) as (port, asked):
        client = {"url": "https://127.0.0.1:%d/convert" % port, "caBundle": bundle(server)}
        api.post(
            CRDS,
            definition(
                "morphs",
                ("v1", "v2"),
                strategy="Webhook",
                webhook={"clientConfig": client, "conversionReviewVersions": ["v1"]},
            ),
        )
        api.post(path_of("morphs"), {"metadata": {"name": "m"}, "spec": {"name": "a"}})
        assert not asked
        assert api.get(path_of("morphs", "m", "v2"))["spec"]["name"] == "new"
        api.post(
            path_of("morphs", version="v2"), {"metadata": {"name": "n"}, "spec": {"name": "b"}}
        )
        assert api.get(path_of("morphs", "n"))["spec"]["name"] == "old"
        items = api.get(path_of("morphs", version="v2"))["items"]
        assert [i["apiVersion"] for i in items] == ["example.org/v2"] * 2
    assert (
        "conversion webhook for example.org/v2"
        in refused(500, api.get, path_of("morphs", "m", "v2"))["message"]
    )


def hook_config(server, name, port, rules, **more):
    hook = {
        "name": name + ".example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "rules": rules,
        "clientConfig": {"url": "https://127.0.0.1:%d/validate" % port, "caBundle": bundle(server)},
        **more,
    }
    return {"metadata": {"name": name}, "webhooks": [hook]}


def test_validating_webhook(server, api, things):
    def judge(request):
        bad = (request["object"] or {"spec": {}})["spec"].get("mode") == "slow"
        return {
            "allowed": not bad,
            "warnings": ["be careful"],
            "status": {"code": 403, "reason": "Forbidden", "message": "too slow"},
        }

    rules = [
        {
            "operations": ["*"],
            "apiGroups": ["example.org"],
            "apiVersions": ["v1"],
            "resources": ["things"],
        }
    ]
    with webhook(server, judge) as (port, asked):
        api.post(
            HOOKS,
            hook_config(
                server, "judge", port, rules, objectSelector={"matchLabels": {"judged": "yes"}}
            ),
        )
        api.post(things, {"metadata": {"name": "unseen"}, "spec": {"name": "a", "mode": "slow"}})
        assert not asked
        labels = {"labels": {"judged": "yes"}}
        status = refused(
            403,
            api.post,
            things,
            {"metadata": {"name": "j", **labels}, "spec": {"name": "a", "mode": "slow"}},
        )
        assert (
            status["message"]
            == 'admission webhook "judge.example.org" denied the request: too slow'
        )
        api.post(
            things + "?dryRun=All", {"metadata": {"name": "j", **labels}, "spec": {"name": "a"}}
        )
        assert (
            asked[-1]["dryRun"]
            and asked[-1]["operation"] == "CREATE"
            and '299 - "be careful"' in api.warnings
        )
        api.post(things, {"metadata": {"name": "j", **labels}, "spec": {"name": "a"}})
        refused(403, api.merge, things + "/j", {"spec": {"mode": "slow"}})
        assert (
            asked[-1]["oldObject"]["spec"] == {"name": "a", "count": 2}
            and asked[-1]["userInfo"]["username"] == "admin"
        )
        count = len(asked)
        api.merge(things + "/j/status", {"status": {"seen": 1}})
        assert len(asked) == count
        api.delete(things + "/j")
        assert asked[-1]["operation"] == "DELETE" and asked[-1]["object"] is None
    body = {"metadata": {"name": "k", "labels": {"judged": "yes"}}, "spec": {"name": "a"}}
    assert (
        'failed calling webhook "judge.example.org"'
        in refused(500, api.post, things, body)["message"]
    )
    config = api.get(HOOKS + "/judge")
    config["webhooks"][0]["failurePolicy"] = "Ignore"
    api.put(HOOKS + "/judge", config)
    assert api.post(things, body)["metadata"]["name"] == "k"
    api.delete(HOOKS + "/judge")


def test_webhook_timeout_and_foreign_certificate(server, api, things):
    def slow(_request):
        time.sleep(1.5)
        return {"allowed": True}

    rules = [
        {
            "operations": ["CREATE"],
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "resources": ["things"],
        }
    ]
    with webhook(server, slow) as (port, _):
        api.post(HOOKS, hook_config(server, "slow", port, rules, timeoutSeconds=1))
        body = {"metadata": {"name": "t"}, "spec": {"name": "a"}}
        assert "context deadline exceeded" in refused(500, api.post, things, body)["message"]
        config = api.get(HOOKS + "/slow")
        config["webhooks"][0]["clientConfig"].pop("caBundle")
        api.put(HOOKS + "/slow", config)
        assert "certificate" in refused(500, api.post, things, body)["message"].lower()
        api.delete(HOOKS + "/slow")


def test_webhook_behind_a_service(server, api, things):
    with webhook(server, lambda r: {"allowed": False}, "svc", ["gate.default.svc"]) as (
        port,
        asked,
    ):
        api.post(
            CORE + "services",
            {"metadata": {"name": "gate"}, "spec": {"ports": [{"port": 443, "targetPort": port}]}},
        )
        rules = [
            {
                "operations": ["CREATE"],
                "apiGroups": ["example.org"],
                "apiVersions": ["v1"],
                "resources": ["things"],
            }
        ]
        config = hook_config(server, "gate", port, rules)
        config["webhooks"][0]["clientConfig"] = {
            "service": {"namespace": "default", "name": "gate", "path": "/v"},
            "caBundle": bundle(server),
        }
        api.post(HOOKS, config)
        body = {"metadata": {"name": "g"}, "spec": {"name": "a"}}
        assert (
            'no endpoints available for service "gate"'
            in refused(500, api.post, things, body)["message"]
        )
        api.post(
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            {
                "metadata": {"name": "gate", "labels": {"kubernetes.io/service-name": "gate"}},
                "addressType": "IPv4",
                "ports": [{"port": port}],
                "endpoints": [{"addresses": ["127.0.0.1"]}],
            },
        )
        assert "without explanation" in refused(400, api.post, things, body)["message"]
        assert len(asked) == 1
        api.delete(HOOKS + "/gate")


def test_daemonset_and_slices(server, api):
    for name in ("n1", "n2", "n3"):
        add_node(api, name)
    with Kubelets(server.client()):
        template = {
            "metadata": {"labels": {"app": "ds"}},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        }
        api.post(
            "/apis/apps/v1/namespaces/default/daemonsets",
            {
                "metadata": {"name": "ds"},
                "spec": {"selector": {"matchLabels": {"app": "ds"}}, "template": template},
            },
        )
        path = "/apis/apps/v1/namespaces/default/daemonsets/ds"
        eventually(lambda: api.get(path)["status"].get("numberAvailable") == 3)
        api.post(
            CORE + "services",
            {
                "metadata": {"name": "ds"},
                "spec": {
                    "selector": {"app": "ds"},
                    "ports": [{"port": 80}],
                    "ipFamilyPolicy": "RequireDualStack",
                },
            },
        )
        found = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dds"

        def ready():
            return sorted(
                (s["addressType"], sum(e["conditions"]["ready"] for e in s["endpoints"]))
                for s in api.get(found)["items"]
            )

        eventually(lambda: ready() == [("IPv4", 3), ("IPv6", 3)])
        api.merge(
            path, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}}
        )
        eventually(
            lambda: api.get(path)["status"].get("updatedNumberScheduled") == 3
            and api.get(path)["status"].get("numberAvailable") == 3
        )
        api.merge(
            path,
            {
                "spec": {
                    "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
                    "template": {"spec": {"containers": [{"name": "c", "image": "i:3"}]}},
                }
            },
        )
        eventually(
            lambda: api.get(path)["status"]["observedGeneration"]
            == api.get(path)["metadata"]["generation"]
        )
        images = {
            p["spec"]["containers"][0]["image"]
            for p in api.get(CORE + "pods?labelSelector=app%3Dds")["items"]
        }
        assert images == {"i:2"}
        api.delete("/api/v1/nodes/n3")
        eventually(lambda: ready() == [("IPv4", 2), ("IPv6", 2)])
        api.delete(path)
        eventually(lambda: not api.get(CORE + "pods?labelSelector=app%3Dds")["items"])
        eventually(lambda: ready() == [("IPv4", 0), ("IPv6", 0)])
        assert not gone(api, CORE + "endpoints/ds")
        api.delete(CORE + "services/ds")
        eventually(lambda: not api.get(found)["items"] and gone(api, CORE + "endpoints/ds"))


def test_mutating_webhook_and_equivalent_versions(server, api):
    api.post(CRDS, definition("twins", ("v1", "v1beta1")))
    rule = {"operations": ["CREATE"], "apiGroups": ["example.org"], "resources": ["twins"]}
    rules = [{**rule, "apiVersions": ["v1"]}]

    def change(_request):
        ops = [{"op": "add", "path": "/spec/mode", "value": "fast"}]
        patch = base64.b64encode(json.dumps(ops).encode()).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": patch}

    mutating = HOOKS.replace("validating", "mutating")
    with webhook(server, change, "mutate") as (port, asked):
        api.post(mutating, hook_config(server, "mutate", port, rules))
        made = api.post(path_of("twins"), {"metadata": {"name": "a"}, "spec": {"name": "a"}})
        assert made["spec"]["mode"] == "fast" and len(asked) == 1
        api.delete(mutating + "/mutate")
    body = {"metadata": {"name": "b"}, "spec": {"name": "b"}}
    older = path_of("twins", version="v1beta1")
    with webhook(server, lambda r: {"allowed": True}, "equal") as (port, asked):
        api.post(HOOKS, hook_config(server, "equal", port, rules))
        api.post(older, body)
        assert asked[0]["object"]["apiVersion"] == "example.org/v1"
        assert asked[0]["requestKind"]["version"] == "v1beta1"
        config = api.get(HOOKS + "/equal")
        config["webhooks"][0]["matchPolicy"] = "Exact"
        api.put(HOOKS + "/equal", config)
        api.post(older, {**body, "metadata": {"name": "c"}})
        assert len(asked) == 1
        api.delete(HOOKS + "/equal")
