"""The fault proxy does what it is told, and nothing when it is told nothing."""

import json
import time

import pytest

from tests.cluster import workloads

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CURL = f'curl -s --cacert {ACCOUNT}/ca.crt -H "Authorization: Bearer $(cat {ACCOUNT}/token)"'
API = "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module", name="ask", autouse=True)
def _ask(cluster):
    """A Pod that may read ConfigMaps and runs what it is given: ask(options, path) -> what curl printed."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    meta = {"name": "reader", "namespace": "default"}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    cluster.api.create({**role, "metadata": meta, "rules": rules})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    binding = {"apiVersion": role["apiVersion"], "kind": "RoleBinding", "metadata": meta}
    cluster.api.create({**binding, "roleRef": ref, "subjects": subjects})
    cluster.api.create(workloads.pod("asker", "while :; do sleep 1; done"))
    workloads.wait_phase(cluster, "asker", "Running")

    def ask(options, path=CONFIGMAPS):
        item = cluster.containers("default", "asker")[0]
        return cluster.run_inside(item, ["/bin/sh", "-c", f'{CURL} {options} "{API}{path}"'])

    yield ask
    workloads.remove(cluster, "asker")
    cluster.api.delete("RoleBinding", "reader", "default")
    cluster.api.delete("Role", "reader", "default")


@pytest.fixture(autouse=True)
def _no_faults_left(cluster):
    yield
    cluster.faults.clear()


def test_mere_wire(cluster, ask):
    assert json.loads(ask("").stdout)["kind"] == "ConfigMapList"
    assert cluster.faults.state()["applied"] == []


@pytest.mark.parametrize("status", [410, 429, 500])
def test_answers(cluster, ask, status):
    cluster.faults.set({"match": {"path": "configmaps"}, "answer": {"status": status, "retry_after": 7}})
    done = ask("-i").stdout
    head, _, body = done.replace("\r\n", "\n").partition("\n\n")
    assert f" {status} " in head.splitlines()[0]
    assert "Retry-After: 7" in head
    assert json.loads(body)["code"] == status


def test_only_what_matches_and_only_so_often(cluster, ask):
    cluster.faults.set(
        {"match": {"path": "configmaps", "method": "GET"}, "skip": 1, "count": 1, "answer": {"status": 500}}
    )
    codes = [ask("-o /dev/null -w '%{http_code}'").stdout for _ in range(3)]
    assert codes == ["200", "500", "200"]
    assert cluster.faults.state()["applied"] == [1]


def timed(ask, options, path):
    began = time.monotonic()
    done = ask(options, path)
    return done, time.monotonic() - began


def test_watch_cut_stalled_and_gone(cluster, ask):
    path = CONFIGMAPS + "?watch=true&timeoutSeconds=20"
    cluster.faults.set({"match": {"watch": True}, "cut_after": 1})
    done, seconds = timed(ask, "-N -m 10", path)
    assert done.returncode in (18, 56) and 0.8 < seconds < 4, done.returncode
    cluster.faults.set({"match": {"watch": True}, "gone_after": 1})
    done, seconds = timed(ask, "-N -m 10", path)
    assert done.returncode == 0 and seconds < 4
    assert json.loads(done.stdout.splitlines()[-1])["object"]["code"] == 410
    cluster.faults.set({"match": {"watch": True}, "stall_after": 0.5})
    done, seconds = timed(ask, "-N -m 3", path)
    assert done.returncode == 28 and seconds >= 3


def test_slow_delayed_garbage_and_hang_up(cluster, ask):
    whole = len(ask("").stdout)
    cluster.faults.set({"slow": whole})
    assert timed(ask, "", CONFIGMAPS)[1] > 0.7
    cluster.faults.set({"delay": 1})
    assert timed(ask, "", CONFIGMAPS)[1] > 1
    cluster.faults.set({"garbage": "{nonsense"})
    assert ask("").stdout == "{nonsense"
    cluster.faults.set({"hang_up": True})
    assert ask("").returncode == 52


def test_cut_ends_open_connections(cluster, ask):
    item = cluster.containers("default", "asker")[0]
    watch = f'{CURL} -N -m 8 "{API}{CONFIGMAPS}?watch=true"; echo code $?'
    with cluster.background(item, ["/bin/sh", "-c", watch]) as process:
        cluster.wait_for(lambda: cluster.faults.state()["connections"] > 0, 5, "a connection")
        time.sleep(0.5)
        cluster.faults.cut()
        output = process.communicate(timeout=5)[0]
    assert "code 0" not in output
