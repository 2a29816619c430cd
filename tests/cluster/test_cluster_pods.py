"""The node agent runs Pods as their manifests say."""

import json
import time

import pytest

from tests.cluster import workloads
from tests.cluster.kube import ApiError


def test_environment_and_fields(cluster):
    env = [
        {"name": "PLAIN", "value": "a $(POD) $$(POD) $(NOBODY)"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
    ]
    env.insert(0, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
    script = 'printf "%s|" "$PLAIN" "$NODE" "$IP" "$HOST" "$APP"; hostname'
    node = cluster.node(2)
    text = workloads.run_script(cluster, "env", script, node=node.name, container={"env": env})
    plain, node_name, address, host, app, hostname = text.strip().split("|")
    assert plain == "a env $(POD) $(NOBODY)"
    assert (node_name, host, app, hostname) == (node.name, node.plan.ip4, "env", "env")
    assert address.startswith("10.244.2.")


def test_user_capabilities_and_read_only_root(cluster):
    context = {
        "runAsUser": 65534,
        "runAsGroup": 65534,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    script = "id -u; grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status; touch /etc/x 2>&1; true"
    text = workloads.run_script(cluster, "user", script, container={"securityContext": context})
    lines = text.splitlines()
    assert lines[0] == "65534"
    assert lines[1].split() == ["CapBnd:", "0000000000000000"]
    assert lines[2].split() == ["NoNewPrivs:", "1"]
    assert "Read-only file system" in lines[3]


def test_root_keeps_only_what_is_added(cluster):
    context = {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}
    script = "grep ^CapEff /proc/self/status; ip link add x type veth 2>&1; true"
    text = workloads.run_script(cluster, "raw", script, container={"securityContext": context})
    assert text.split()[1] == "0000000000002000"
    assert "Operation not permitted" in text


def test_volumes_follow_their_objects(cluster):
    meta = {"namespace": "default"}
    cluster.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", **meta}, "data": {"a": "1"}})
    cluster.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec", **meta}, "stringData": {"k": "s"}})
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 256}},
        {"name": "none", "secret": {"secretName": "absent", "optional": True}},
        {"name": "empty", "emptyDir": {}},
    ]
    mounts = [{"name": item["name"], "mountPath": f"/etc/v/{item['name']}"} for item in volumes]
    script = (
        "cd /etc/v; cat conf/a sec/k; stat -Lc %a sec/k; ls none | wc -l; touch empty/x && echo made; "
        "while [ $(cat conf/a) = 1 ]; do sleep 0.05; done; cat conf/a"
    )
    cluster.api.create(workloads.pod("vol", script, container={"volumeMounts": mounts}, volumes=volumes))
    workloads.wait_phase(cluster, "vol", "Running")
    cluster.api.patch("ConfigMap", "conf", {"data": {"a": "2"}}, "default")
    workloads.wait_phase(cluster, "vol", "Succeeded")
    text = next(iter(cluster.log("default", "vol").values()))
    assert text == "1s400\n0\nmade\n2"
    workloads.remove(cluster, "vol")
    cluster.api.delete("ConfigMap", "conf", "default")
    cluster.api.delete("Secret", "sec", "default")


def test_waits_for_a_missing_secret(cluster):
    volumes = [{"name": "s", "secret": {"secretName": "late"}}]
    mounts = [{"name": "s", "mountPath": "/s"}]
    cluster.api.create(workloads.pod("late", "cat /s/k", container={"volumeMounts": mounts}, volumes=volumes))

    def said():
        return 'secret "late" not found' in (cluster.get("Pod", "late", "default")["status"].get("message") or "")

    cluster.wait_for(said, 10, "the reason in the Pod's status")
    meta = {"name": "late", "namespace": "default"}
    cluster.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"k": "now"}})
    workloads.wait_phase(cluster, "late", "Succeeded")
    assert list(cluster.log("default", "late").values()) == ["now"]
    workloads.remove(cluster, "late")
    cluster.api.delete("Secret", "late", "default")


def test_service_account_reaches_the_api_with_its_own_rights(cluster):
    script = (
        "cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; "
        "curl -s --cacert ca.crt -H \"Authorization: Bearer $(cat token)\" "
        "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/default/secrets"
    )
    text = workloads.run_script(cluster, "account", script)
    namespace, answer = text.split("\n", 1)
    assert namespace == "default"
    assert json.loads(answer)["reason"] == "Forbidden"
    assert "system:serviceaccount:default:default" in json.loads(answer)["message"]


def test_host_network_sees_the_node(cluster):
    node = cluster.node(1)
    text = workloads.run_script(
        cluster, "hostnet", "ip -o -4 addr show eth0; hostname", node=node.name, hostNetwork=True
    )
    assert node.plan.ip4 in text
    assert text.splitlines()[-1] == node.name


def test_init_containers_come_first_and_share_volumes(cluster):
    init = {
        "name": "first",
        "image": "machine",
        "command": ["/bin/sh", "-c", "sleep 0.3; echo hello >/shared/x"],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    }
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    volumes = [{"name": "shared", "emptyDir": {}}]
    cluster.api.create(
        workloads.pod(
            "inits", "cat /shared/x", container={"volumeMounts": mounts}, volumes=volumes, initContainers=[init]
        )
    )
    workloads.wait_phase(cluster, "inits", "Succeeded")
    logs = cluster.log("default", "inits")
    assert [text for name, text in logs.items() if name.endswith("/main")] == ["hello\n"]
    workloads.remove(cluster, "inits")


def test_crashed_container_is_restarted_with_back_off(cluster):
    cluster.api.create(workloads.deployment("crash", replicas=1))
    workloads.wait_ready(cluster, "crash", 1)
    for restarts in (1, 2):
        cluster.signal_container(cluster.containers("default", "crash-")[0])

        def back():
            status = workloads.wait_ready(cluster, "crash", 1)[0]["status"]["containerStatuses"][0]
            return status if status["restartCount"] == restarts else None

        status = cluster.wait_for(back, 20, f"restart {restarts}")
        assert status["lastState"]["terminated"]["exitCode"] == 137
    workloads.remove(cluster, "crash")


def test_failing_liveness_restarts_and_failing_readiness_does_not(cluster):
    live = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
    cluster.api.create(workloads.deployment("alive", replicas=1, livenessProbe=live))
    cluster.api.create(workloads.deployment("steady", replicas=1))
    for name in ("alive", "steady"):
        address = workloads.wait_ready(cluster, name, 1)[0]["status"]["podIP"]
        cluster.node(1).ns.run(["curl", "-s", "-m", "3", f"http://{address}:8080/unready"])

    def counts(name):
        return cluster.pods("default", app=name)[0]["status"]["containerStatuses"][0]

    cluster.wait_for(lambda: counts("alive")["restartCount"] == 1, 20, "liveness restarted it")
    workloads.wait_ready(cluster, "alive", 1)
    assert counts("steady")["ready"] is False
    assert counts("steady")["restartCount"] == 0
    workloads.remove(cluster, "alive", "steady")


def test_termination_grace(cluster):
    stubborn = "trap 'echo asked' TERM; echo up; while :; do sleep 0.1; done"
    obj = workloads.pod("stubborn", stubborn, terminationGracePeriodSeconds=3)
    cluster.api.create(obj)
    workloads.wait_phase(cluster, "stubborn", "Running")
    cluster.wait_for(lambda: "up" in "".join(cluster.log("default", "stubborn").values()), 5, "it runs")
    began = time.monotonic()
    cluster.api.delete("Pod", "stubborn", "default")
    cluster.wait_for(lambda: cluster.get("Pod", "stubborn", "default") is None, 10, "the Pod gone")
    assert 2.5 < time.monotonic() - began < 6
    assert "asked" in "".join(cluster.log("default", "stubborn").values())


def test_unknown_image_and_unbound_names_are_told(cluster):
    cluster.api.create(workloads.pod("noimage", "true", container={"image": "example.org/nothing:1"}))

    def reason():
        statuses = cluster.get("Pod", "noimage", "default")["status"].get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("waiting", {}).get("reason") == "ErrImagePull"

    cluster.wait_for(reason, 10, "ErrImagePull")
    workloads.remove(cluster, "noimage")
    with pytest.raises(ApiError):
        cluster.api.create(workloads.pod("Not-A-Name", "true"))


@pytest.mark.only_real("the imitation does not hand requests on to nodes")
def test_logs_by_kubectl(cluster):
    cluster.api.create(workloads.pod("talk", "for i in 1 2 3; do echo line $i; done; sleep 60"))
    workloads.wait_phase(cluster, "talk", "Running")
    cluster.wait_for(lambda: "line 3" in "".join(cluster.log("default", "talk").values()), 5, "its words")
    assert cluster.kubectl("logs", "talk", "--tail=2") == "line 2\nline 3\n"
    workloads.remove(cluster, "talk")
