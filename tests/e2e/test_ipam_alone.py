"""The operator alone, outside of any Pod and without webhooks."""

import contextlib
import json
import pathlib
import time

import pytest

from tests.bench.operator_bench import Operator, pool, service
from tests.cluster import Cluster
from tests.cluster.images import PROJECT
from tests.e2e.lab import SYSTEM, in_range, ingress_of


def token_kubeconfig(cluster, path):
    """An administrator's, with a token, by way of the fault proxy."""
    cluster.kubectl("create", "serviceaccount", "root", "-n", SYSTEM)
    cluster.kubectl("create", "clusterrolebinding", "root", "--clusterrole=cluster-admin", f"--serviceaccount={SYSTEM}:root")
    cluster.pki.kubeconfig(path, f"https://{cluster.plan.control4}:{cluster.plan.proxy_port}", "admin")
    config = json.loads(path.read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", "root", "-n", SYSTEM).strip()}
    path.write_text(json.dumps(config))
    return path


@contextlib.contextmanager
def alone(path, **options):
    """A control plane without nodes, and the operator; the fault proxy counts writes of a Service's status."""
    with Cluster(nodes=0, images={}, **options) as made:
        made.kubectl("apply", "-k", pathlib.Path(PROJECT, "crds"))
        made.kubectl("create", "namespace", SYSTEM)
        made.wait_for(lambda: made.api.list("IPAddressPool") is not None, 10, "the kinds")
        made.faults.set({"match": {"method": "PATCH", "path": "/services/.*/status"}, "delay": 0})
        with Operator(made, token_kubeconfig(made, path / "kubeconfig")) as operator:
            yield made, operator


@pytest.mark.only_builtin("servers from 1.20 on keep conditions, whatever their feature gates say")
def test_server_that_drops_conditions(tmp_path):
    """The Events carry the reasons, and nothing is written twice."""
    with alone(tmp_path, service_conditions=False) as (cluster, operator):
        check_without_conditions(cluster, operator)


def check_without_conditions(cluster, operator):
    names = ("first", "second")
    pool(cluster, "10.207.0.0/32")
    for name in names:
        cluster.api.create(service(name))

    def get(name):
        return cluster.api.get("Service", name, "default")

    def reason():
        for event in cluster.api.list("Event", "default"):
            if (event["involvedObject"]["name"], event["reason"]) == (pending, "AllocationFailed"):
                return event["message"]
        return None

    cluster.wait_for(lambda: any(map(ingress_of, map(get, names))), 10, "one with the address")
    pending = "second" if ingress_of(get("first")) else "first"
    assert "pool bench: 1 of 1 IPv4 in use" in cluster.wait_for(reason, 10, "the reason in an Event")
    # Whatever touches the Services afterwards, what the server drops is not sent again and again.
    for number in range(5):
        for name in names:
            cluster.kubectl("annotate", "--overwrite", "service", name, f"touched={number}")
    time.sleep(1)
    assert not any(get(name)["status"].get("conditions") for name in names)
    assert 1 <= cluster.faults.state()["applied"][0] <= 2
    assert operator.log_text().count("this API server drops conditions of Services") == 1


@pytest.mark.only_builtin("asks nothing of the server that others do not, and a real one takes long to start")
def test_pools_that_overlap(tmp_path):
    """Two that got in all the same: the older one counts, and the verdict on the other is told."""
    with alone(tmp_path) as (cluster, _):
        check_overlap(cluster)


def check_overlap(cluster):
    pool(cluster, "10.209.0.0/30", "a-older")
    pool(cluster, "10.209.0.2-10.209.0.9", "b-younger")

    def summary():
        obj = cluster.api.get("ConfigurationState", "controller", SYSTEM)
        return (obj or {}).get("status", {}).get("errorSummary") or ""

    def address(name):
        return ingress_of(cluster.api.get("Service", name, "default"))

    cluster.wait_for(lambda: "IPAddressPool b-younger" in summary() and "overlaps" in summary(), 10, "the verdict")
    pinned = service("pinned")
    pinned["metadata"]["annotations"] = {"metallb.io/address-pool": "b-younger"}
    cluster.api.create(pinned)
    cluster.api.create(service("web"))
    assert cluster.wait_for(lambda: address("web"), 10, "an address of the older") == ["10.209.0.0"]
    assert not address("pinned")
    cluster.api.delete("IPAddressPool", "a-older", SYSTEM)
    for name in ("pinned", "web"):
        cluster.wait_for(lambda name=name: address(name) and in_range(address(name)[0], "10.209.0.2-10.209.0.9"), 10, name)
    cluster.wait_for(lambda: not summary(), 10, "all is well")
