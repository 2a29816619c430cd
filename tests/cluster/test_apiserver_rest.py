"""The built-in API server's verbs, objects and authorization, request by request."""
import json

import pytest

from tests.cluster.apiserver.testing import Refused, add_node, eventually, gone, running

CORE, APPS = "/api/v1", "/apis/apps/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HERE = CORE + "/namespaces/default/"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture(scope="module")
def server():
    with running(node_monitor_grace_period=1) as one:
        yield one


@pytest.fixture
def api(server):
    return server.client()


def config(name, **data):
    return {"metadata": {"name": name}, "data": data}


def service(name, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def refused(code, call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    assert caught.value.code == code, caught.value
    return caught.value.status


def test_update_needs_the_newest_version(api):
    made = api.post(HERE + "configmaps", config("u", a="1"))
    changed = api.put(HERE + "configmaps/u", {**made, "data": {"a": "2"}})
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    status = refused(409, api.put, HERE + "configmaps/u", {**made, "data": {"a": "3"}})
    assert status["reason"] == "Conflict" and "the object has been modified" in status["message"]
    same = api.put(HERE + "configmaps/u", changed)
    assert same["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
    api.delete(HERE + "configmaps/u")
    refused(404, api.get, HERE + "configmaps/u")


def test_create_twice_and_generated_names(api):
    api.post(HERE + "configmaps", config("twice"))
    assert refused(409, api.post, HERE + "configmaps", config("twice"))["reason"] == "AlreadyExists"
    names = {
        api.post(HERE + "configmaps", {"metadata": {"generateName": "g-"}})["metadata"]["name"]
        for _ in range(3)
    }
    assert len(names) == 3 and all(n.startswith("g-") and len(n) == 7 for n in names)
    refused(422, api.post, HERE + "configmaps", {"metadata": {}})
    refused(422, api.post, HERE + "configmaps", config("Bad_Name"))
    refused(404, api.post, CORE + "/namespaces/nowhere/configmaps", config("x"))


def test_list_in_pages(api):
    made = api.post(CORE + "/namespaces", {"metadata": {"name": "pages"}})
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == "pages"
    path = CORE + "/namespaces/pages/secrets"
    for i in range(7):
        api.post(path, config("s%d" % i))
    seen, token = [], ""
    for expected in (3, 3, 1):
        page = api.get("%s?limit=3&continue=%s" % (path, token))
        assert len(page["items"]) == expected
        seen += [i["metadata"]["name"] for i in page["items"]]
        token = page["metadata"].get("continue", "")
    assert seen == ["s%d" % i for i in range(7)] and not token
    refused(400, api.get, path + "?limit=3&continue=rubbish")


def test_watch_resumes_and_bookmarks(api):
    path = HERE + "configmaps"
    start = api.get(path)["metadata"]["resourceVersion"]
    api.post(path, {"metadata": {"name": "w", "labels": {"in": "yes"}}})
    api.merge(path + "/w", {"metadata": {"labels": {"in": "no"}}})
    api.delete(path + "/w")
    kinds = [e["type"] for e in api.watch(path + "?resourceVersion=" + start, 1)]
    assert kinds == ["ADDED", "MODIFIED", "DELETED"]
    kinds = [
        e["type"]
        for e in api.watch("%s?labelSelector=in%%3Dyes&resourceVersion=%s" % (path, start), 1)
    ]
    assert kinds == ["ADDED", "DELETED"]
    events = api.watch(path + "?allowWatchBookmarks=true&resourceVersion=" + start, 10)
    mark = next(e["object"] for e in events if e["type"] == "BOOKMARK")
    events.close()
    assert int(mark["metadata"]["resourceVersion"]) >= int(start)


def test_watch_from_a_forgotten_version_is_gone(api):
    start = api.get(HERE + "configmaps")["metadata"]["resourceVersion"]
    api.post(HERE + "configmaps", config("old"))
    api.post("/debug/compact", {})
    events = list(api.watch(HERE + "configmaps?resourceVersion=" + start, 1))
    assert [e["type"] for e in events] == ["ERROR"] and events[0]["object"]["code"] == 410
    status = refused(422, lambda: api.get(HERE + "configmaps?watch=true&sendInitialEvents=true"))
    assert "WatchList" in status["message"]


def test_patches(api):
    path = HERE + "services/p"
    api.post(
        HERE + "services",
        service(
            "p", selector={"a": "b"}, ports=[{"name": "x", "port": 80}, {"name": "y", "port": 81}]
        ),
    )
    api.call(
        "PATCH",
        path,
        {"spec": {"ports": [{"port": 81, "targetPort": 9}], "selector": {"a": None, "c": "d"}}},
        kind=STRATEGIC,
    )
    spec = api.get(path)["spec"]
    assert [p["targetPort"] for p in spec["ports"]] == [80, 9] and spec["selector"] == {"c": "d"}
    api.call("PATCH", path, {"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}, kind=STRATEGIC)
    assert [p["port"] for p in api.get(path)["spec"]["ports"]] == [81]
    api.merge(path, {"spec": {"selector": None}})
    assert "selector" not in api.get(path)["spec"]
    ops = [
        {"op": "test", "path": "/spec/type", "value": "ClusterIP"},
        {"op": "add", "path": "/metadata/labels", "value": {"k": "v"}},
    ]
    assert api.call("PATCH", path, ops, kind="application/json-patch+json")["metadata"][
        "labels"
    ] == {"k": "v"}
    ops[0]["value"] = "NodePort"
    refused(422, lambda: api.call("PATCH", path, ops, kind="application/json-patch+json"))
    refused(415, lambda: api.call("PATCH", path, {}, kind="application/json"))


def test_field_validation(api):
    body = service("f", colour="red")
    assert refused(400, api.post, HERE + "services?fieldValidation=Strict", body)[
        "message"
    ].endswith('strict decoding error: unknown field "spec.colour"')
    api.post(HERE + "services?fieldValidation=Warn&dryRun=All", body)
    assert api.warnings == ['299 - "unknown field \\"spec.colour\\""']
    made = api.post(HERE + "services?fieldValidation=Ignore&dryRun=All", body)
    assert not api.warnings and "colour" not in made["spec"]
    refused(404, api.get, HERE + "services/f")
    status = refused(400, api.post, HERE + "services", service("f", ports=[{"port": "80"}]))
    assert "cannot unmarshal string into Go struct field" in status["message"]


def test_service_addresses_and_ports(api):
    one = api.post(HERE + "services", service("s4", type="NodePort"))["spec"]
    assert one["clusterIP"].startswith("10.96.") and one["ipFamilyPolicy"] == "SingleStack"
    assert 30000 <= one["ports"][0]["nodePort"] <= 32767
    status = refused(422, api.post, HERE + "services", service("t", clusterIP=one["clusterIP"]))
    assert "provided IP is already allocated" in status["message"]
    status = refused(
        422,
        api.post,
        HERE + "services",
        service("t", type="NodePort", ports=[{"port": 1, "nodePort": one["ports"][0]["nodePort"]}]),
    )
    assert "provided port is already allocated" in status["message"]
    dual = api.post(
        HERE + "services", service("s46", ipFamilyPolicy="PreferDualStack", type="LoadBalancer")
    )["spec"]
    assert dual["ipFamilies"] == ["IPv4", "IPv6"] and len(dual["clusterIPs"]) == 2
    six = api.post(HERE + "services", service("s6", ipFamilies=["IPv6"]))["spec"]
    assert six["clusterIP"].startswith("fd00:96:")
    assert api.post(HERE + "services", service("h", clusterIP="None"))["spec"]["clusterIPs"] == [
        "None"
    ]
    changed = api.merge(HERE + "services/s4", {"spec": {"type": "ClusterIP"}})["spec"]
    assert changed["clusterIP"] == one["clusterIP"] and "nodePort" not in changed["ports"][0]
    added = api.merge(HERE + "services/s4", {"spec": {"ipFamilyPolicy": "RequireDualStack"}})[
        "spec"
    ]
    assert added["clusterIPs"][0] == one["clusterIP"] and added["ipFamilies"] == ["IPv4", "IPv6"]
    fixed = api.post(
        HERE + "services", service("class", type="LoadBalancer", loadBalancerClass="example.org/x")
    )
    status = refused(
        422,
        api.put,
        HERE + "services/class",
        {**fixed, "spec": {**fixed["spec"], "loadBalancerClass": "b"}},
    )
    assert "may not change once set" in status["message"]
    without = service("none", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in api.post(HERE + "services", without)["spec"]["ports"][0]


def test_status_is_apart_from_spec(api):
    api.post(HERE + "services", service("st", type="LoadBalancer"))
    path, status = HERE + "services/st", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    assert api.merge(path, {"status": status})["status"] == {"loadBalancer": {}}
    made = api.merge(path + "/status", {"status": status, "spec": {"type": "ClusterIP"}})
    assert (
        made["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"
        and made["spec"]["type"] == "LoadBalancer"
    )
    refused(
        422, api.merge, path + "/status", {"status": {"loadBalancer": {"ingress": [{"ip": "no"}]}}}
    )


def test_authorization(server, api):
    bob = server.client(token="bobtoken")
    status = refused(403, bob.get, CORE + "/services")
    assert status["message"] == (
        'services is forbidden: User "bob" cannot list resource "services" in API group "" at the '
        "cluster scope"
    )
    refused(401, server.client(token="nobody").get, CORE + "/services")
    refused(403, server.client(certificate=None).get, CORE + "/services")
    assert server.client(certificate=None).get("/version")["minor"] == "32"
    api.post(
        RBAC + "/clusterroles",
        {
            "metadata": {"name": "narrow"},
            "rules": [
                {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
                {
                    "apiGroups": [""],
                    "resources": ["services"],
                    "verbs": ["get"],
                    "resourceNames": ["mine"],
                },
                {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            ],
        },
    )
    api.post(
        RBAC + "/namespaces/default/rolebindings",
        {
            "metadata": {"name": "narrow"},
            "subjects": [{"kind": "Group", "name": "devs"}],
            "roleRef": {
                "kind": "ClusterRole",
                "name": "narrow",
                "apiGroup": "rbac.authorization.k8s.io",
            },
        },
    )
    api.post(HERE + "services", service("mine"))
    assert bob.get(HERE + "services/mine")["metadata"]["name"] == "mine"
    refused(403, bob.get, HERE + "services/other")
    refused(403, bob.get, CORE + "/namespaces/kube-system/services/mine")
    bob.merge(HERE + "services/mine/status", {"status": {}})
    refused(403, bob.merge, HERE + "services/mine", {"spec": {}})
    assert "cannot get path" in refused(403, bob.get, "/metrics")["message"]


def test_service_account_tokens(server, api):
    account = api.post(HERE + "serviceaccounts", {"metadata": {"name": "robot"}})
    pod = api.post(
        HERE + "pods",
        {
            "metadata": {"name": "carrier"},
            "spec": {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]},
        },
    )
    sources = [v["projected"]["sources"][0] for v in pod["spec"]["volumes"] if "projected" in v]
    assert sources == [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]
    ask = {
        "spec": {
            "expirationSeconds": 600,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": "carrier",
                "uid": pod["metadata"]["uid"],
            },
        }
    }
    token = api.post(HERE + "serviceaccounts/robot/token", ask)["status"]["token"]
    robot = server.client(token=token)
    assert (
        'User "system:serviceaccount:default:robot"'
        in refused(403, robot.get, HERE + "pods")["message"]
    )
    review = api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})[
        "status"
    ]
    assert review["user"]["uid"] == account["metadata"]["uid"]
    assert "system:serviceaccounts:default" in review["user"]["groups"]
    api.delete(HERE + "pods/carrier", {"gracePeriodSeconds": 0})
    refused(401, robot.get, HERE + "pods")
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    assert api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": forged}})[
        "status"
    ] == {"authenticated": False, "user": {}}


def test_access_reviews(api):
    path, allowed = "/apis/authorization.k8s.io/v1/subjectaccessreviews", []
    for user in ("bob", "eve"):
        spec = {
            "user": user,
            "groups": ["system:masters"] if user == "eve" else [],
            "resourceAttributes": {"verb": "delete", "resource": "nodes"},
        }
        allowed.append(api.post(path, {"spec": spec})["status"]["allowed"])
    assert allowed == [False, True]


def test_server_side_apply_owns_and_removes(api):
    path = HERE + "configmaps/ssa"
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}}
    api.apply(path, {**base, "data": {"a": "1", "b": "2"}}, "one")
    api.apply(path, {**base, "data": {"c": "3"}}, "two")
    made = api.apply(path, {**base, "data": {"a": "1"}}, "one")
    assert made["data"] == {"a": "1", "c": "3"}
    status = refused(409, api.apply, path, {**base, "data": {"a": "9"}}, "two")
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    assert api.apply(path, {**base, "data": {"a": "9"}}, "two", True)["data"] == {"a": "9"}
    api.merge(path + "?fieldManager=hand", {"data": {"a": "10"}})
    owners = {e["manager"]: e["fieldsV1"] for e in api.get(path)["metadata"]["managedFields"]}
    assert owners["hand"] == {"f:data": {"f:a": {}}}
    assert "f:a" not in owners.get("two", {}).get("f:data", {})


def test_server_side_apply_of_lists(api):
    path = HERE + "services/ssal"
    base = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ssal"}}
    api.apply(
        path, {**base, "spec": {"ports": [{"name": "x", "port": 1, "protocol": "TCP"}]}}, "one"
    )
    api.apply(
        path, {**base, "spec": {"ports": [{"name": "y", "port": 2, "protocol": "TCP"}]}}, "two"
    )
    made = api.apply(
        path, {**base, "spec": {"ports": [{"name": "z", "port": 3, "protocol": "TCP"}]}}, "one"
    )
    assert sorted(p["port"] for p in made["spec"]["ports"]) == [2, 3]
    again = api.apply(
        path, {**base, "spec": {"ports": [{"name": "z", "port": 3, "protocol": "TCP"}]}}, "one"
    )
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_events_in_both_versions(api):
    api.post(
        HERE + "events",
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Service", "name": "s", "namespace": "default"},
            "reason": "Because",
            "message": "words",
            "type": "Normal",
            "source": {"component": "c"},
        },
    )
    new = api.get("/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (
        new["note"] == "words"
        and new["regarding"]["name"] == "s"
        and new["apiVersion"] == "events.k8s.io/v1"
    )
    found = api.get(HERE + "events?fieldSelector=involvedObject.name%3Ds,type%3DNormal")["items"]
    assert [e["metadata"]["name"] for e in found] == ["e"]
    refused(400, api.get, HERE + "events?fieldSelector=spec.x%3Ds")


def test_what_is_not_served_says_so(api):
    refused(404, api.get, CORE + "/componentstatuses")
    refused(404, api.get, "/apis/batch/v1/jobs")
    refused(405, lambda: api.call("PUT", HERE + "configmaps", {}))
    refused(404, api.get, HERE + "pods/x/log")
    refused(406, lambda: api.get(HERE + "pods", Accept="application/vnd.kubernetes.protobuf"))
    refused(413, api.post, HERE + "configmaps", config("big", a="x" * (4 << 20)))
    refused(400, api.post, HERE + "configmaps?dryRun=Some", config("x"))


def test_namespace_deletion_takes_everything(api):
    api.post(CORE + "/namespaces", {"metadata": {"name": "doomed"}})
    path = CORE + "/namespaces/doomed"
    eventually(lambda: api.get(path + "/configmaps/kube-root-ca.crt"))
    eventually(lambda: api.get(path + "/serviceaccounts/default"))
    api.post(
        path + "/configmaps",
        {**config("held"), "metadata": {"name": "held", "finalizers": ["example.org/f"]}},
    )
    assert api.delete(path)["status"]["phase"] == "Terminating"
    assert (
        refused(403, api.post, path + "/configmaps", config("late"))["details"]["causes"][0][
            "reason"
        ]
        == "NamespaceTerminating"
    )
    eventually(lambda: gone(api, path + "/serviceaccounts/default"))
    assert not gone(api, path)
    api.merge(path + "/configmaps/held", {"metadata": {"finalizers": None}})
    eventually(lambda: gone(api, path))


def test_owner_references(api):
    owner = api.post(HERE + "configmaps", config("owner"))

    def child(name, *owners):
        refs = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": o["metadata"]["name"],
                "uid": o["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            for o in owners
        ]
        return api.post(HERE + "configmaps", {"metadata": {"name": name, "ownerReferences": refs}})

    second = api.post(HERE + "configmaps", config("owner2"))
    child("only", owner)
    child("both", owner, second)
    api.delete(HERE + "configmaps/owner")
    eventually(lambda: gone(api, HERE + "configmaps/only"))
    eventually(lambda: len(api.get(HERE + "configmaps/both")["metadata"]["ownerReferences"]) == 1)
    api.delete(HERE + "configmaps/owner2", {"propagationPolicy": "Orphan"})
    eventually(lambda: gone(api, HERE + "configmaps/owner2"))
    assert "ownerReferences" not in api.get(HERE + "configmaps/both")["metadata"]
    third = api.post(HERE + "configmaps", config("owner3"))
    child("front", third)
    api.delete(HERE + "configmaps/owner3", {"propagationPolicy": "Foreground"})
    eventually(lambda: gone(api, HERE + "configmaps/owner3"))
    assert gone(api, HERE + "configmaps/front")
    lost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "0"}
    api.post(HERE + "configmaps", {"metadata": {"name": "astray", "ownerReferences": [lost]}})
    eventually(lambda: gone(api, HERE + "configmaps/astray"))


def test_silent_node_is_not_ready(api):
    add_node(api, "quiet")
    lease = {
        "metadata": {"name": "quiet"},
        "spec": {"holderIdentity": "quiet", "leaseDurationSeconds": 4},
    }
    api.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
    api.post(
        HERE + "pods",
        {
            "metadata": {"name": "on-quiet"},
            "spec": {"nodeName": "quiet", "containers": [{"name": "c", "image": "i"}]},
        },
    )
    stamp = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    api.merge(
        HERE + "pods/on-quiet/status", {"status": {"phase": "Running", "conditions": [stamp]}}
    )

    def ready(path):
        conds = {c["type"]: c["status"] for c in api.get(path)["status"]["conditions"]}
        return conds.get("Ready")

    assert ready(CORE + "/nodes/quiet") == "True"
    eventually(lambda: ready(CORE + "/nodes/quiet") == "Unknown", 5)
    eventually(lambda: ready(HERE + "pods/on-quiet") == "False", 5)
    keys = {t["key"] for t in api.get(CORE + "/nodes/quiet")["spec"]["taints"]}
    assert keys == {"node.kubernetes.io/unreachable"}
    api.merge(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/quiet",
        {"spec": {"leaseTransitions": 1}},
    )
    api.merge(CORE + "/nodes/quiet/status", {"status": {"conditions": [stamp]}})
    eventually(lambda: not api.get(CORE + "/nodes/quiet")["spec"].get("taints"), 5)
    api.delete(CORE + "/nodes/quiet")
    eventually(lambda: gone(api, HERE + "pods/on-quiet"))


def test_restart_goes_on(tmp_path):
    with running(data=tmp_path / "objects") as server:
        api = server.client()
        made = api.post(HERE + "services", service("kept"))
        token = (
            api.post(HERE + "serviceaccounts/default/token", {})["status"]["token"]
            if eventually(lambda: api.get(HERE + "serviceaccounts/default"))
            else None
        )
        last = api.get(HERE + "services")["metadata"]["resourceVersion"]
        server.stop()
        server.start()
        assert api.get(HERE + "services/kept") == made
        new = api.post(HERE + "services", service("new"))
        assert int(new["metadata"]["resourceVersion"]) > int(last)
        assert new["spec"]["clusterIP"] != made["spec"]["clusterIP"]
        refused(403, server.client(token=token).get, HERE + "services")
        json.loads((tmp_path / "objects").read_text())
