"""kubectl metallb doctor against a cluster."""

import json
import os
import subprocess

import pytest

from tests.e2e.lab import SYSTEM
from tests.e2e.test_ipam_cli import PROGRAM
from tests.e2e.test_lifecycle_resource import conditions

PROXY = """\
# written by kubeadm
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
ipvs:
  scheduler: "" # round robin
  strictARP: false
"""


def run_doctor(cluster, *args):
    """Exit status and standard output."""
    done = subprocess.run(
        [PROGRAM, "doctor", "--kubeconfig", cluster.kubeconfig, *args],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def examine(cluster):
    """Exit status and {check: [(verdict, message)]}."""
    status, out = run_doctor(cluster, "-o", "json")
    found = {}
    for item in json.loads(out):
        found.setdefault(item["check"], []).append((item["verdict"], item["message"]))
    assert status == int(any(verdict == "bad" for rows in found.values() for verdict, _ in rows)), out
    return status, found


def workload(kind, name, namespace, image, **spec):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}], **spec}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    if kind == "Deployment":
        spec["replicas"] = 0
    else:
        template["spec"]["nodeSelector"] = {"no-such": "node"}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}


def test_a_good_cluster_is_well(cluster):
    for check in ("webhook", "rollout"):
        cluster.wait_for(lambda c=check: examine(cluster)[1][c][0][0] == "ok", 30, f"{check} well")
    status, found = examine(cluster)
    assert status == 0, found
    for check in ("crds", "programs", "rollout", "leader", "rights", "metallb", "other-controllers", "gossip",
                  "node-addresses", "clocks", "configuration", "services"):
        assert found[check][0][0] == "ok", (check, found[check])
    assert found["kube-proxy"] == [("unknown", "not checked: the server does not have it")]
    status, text = run_doctor(cluster)
    assert status == 0 and "ok    leader             controller-" in text and "BAD" not in text


@pytest.fixture
def proxy_config(cluster):
    meta = {"name": "kube-proxy", "namespace": "kube-system"}
    cluster.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"config.conf": PROXY}})
    yield
    cluster.api.delete("ConfigMap", "kube-proxy", "kube-system")


@pytest.fixture
def taken_right(cluster):
    """The operator may not write Services' status."""
    role = cluster.get("ClusterRole", "metallb-system:controller", None)
    less = {"rules": [r for r in role["rules"] if "services/status" not in r["resources"]]}
    cluster.api.patch("ClusterRole", "metallb-system:controller", less)
    yield
    cluster.api.patch("ClusterRole", "metallb-system:controller", {"rules": role["rules"]})


def test_each_trouble_is_named_and_strict_arp_mended(lab, cluster, proxy_config, taken_right):
    node = cluster.get("Node", "node1", None)
    address = next(a["address"] for a in node["status"]["addresses"] if ":" not in a["address"])
    lab.pool(addresses=[f"{address}/32"], autoAssign=False)
    lab.service("waits")
    cluster.api.create(workload("Deployment", "controller", lab.namespace, "quay.io/metallb/controller:v0.14.9"))
    cluster.api.create(workload("DaemonSet", "svclb-web", lab.namespace, "rancher/klipper-lb:v0.4.9"))
    try:
        lab.wait(lambda: "autoAssign" in str(examine(cluster)[1]["services"]), 20, "the reason of the pending Service")
        status, found = examine(cluster)
        assert status == 1
        said = {check: rows[0][1] for check, rows in found.items() if rows[0][0] == "bad"}
        assert set(said) == {"kube-proxy", "rights", "metallb", "other-controllers", "node-addresses", "services"}, found
        assert "mode ipvs without strictARP" in said["kube-proxy"]
        assert "controller may not patch services/status" in said["rights"]
        assert f"{lab.namespace}/controller with image quay.io/metallb/controller:v0.14.9" in said["metallb"]
        assert f"ServiceLB of k3s ({lab.namespace}/svclb-web)" in said["other-controllers"]
        assert f"address {address} of node node1 is in pool pool" in said["node-addresses"]
        assert f"{lab.namespace}/waits has no address: " in said["services"]
        status, text = run_doctor(cluster)
        assert status == 1 and "-> kubectl metallb doctor --fix strict-arp\n" in text
    finally:
        cluster.api.delete("DaemonSet", "svclb-web", lab.namespace)

    # the operator has seen it by itself
    lab.wait(
        lambda: any(e["reason"] == "KubeProxyStrictARP" for e in cluster.api.list("Event", SYSTEM)), 10, "its event")
    told = lab.wait(lambda: conditions(cluster).get("Layer2Hindered"), 10, "its condition")
    assert (told["status"], told["reason"]) == ("True", "KubeProxyStrictARP")
    assert told["message"].endswith("kubectl metallb doctor --fix strict-arp")
    assert {"Available", "Upgradeable", "Progressing", "Degraded"} < set(conditions(cluster))
    status, text = run_doctor(cluster, "--fix", "strict-arp")
    assert status == 0 and "rollout restart daemonset kube-proxy" in text
    mended = cluster.get("ConfigMap", "kube-proxy", "kube-system")["data"]["config.conf"]
    assert mended == PROXY.replace("strictARP: false", "strictARP: true")
    lab.wait(lambda: "Layer2Hindered" not in conditions(cluster), 10, "the condition gone")
    assert examine(cluster)[1]["kube-proxy"][0] == ("ok", "mode ipvs does not stand in the way")
    status, text = run_doctor(cluster, "--fix", "strict-arp")
    assert status == 0 and "nothing to do" in text


def test_who_may_nothing_is_told_what_was_not_checked(cluster, tmp_path):
    cluster.pki.issue("guest", "guest")
    config = tmp_path / "kubeconfig"
    cluster.pki.kubeconfig(config, cluster.plan.api_url(), "guest")
    done = subprocess.run([PROGRAM, "doctor", "--kubeconfig", config, "-o", "json"], capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert {item["verdict"] for item in found} == {"unknown", "note"}
    said = {item["check"]: item["message"] for item in found}
    assert said["crds"].startswith("not checked: ") and "customresourcedefinitions" in said["crds"]
    notes = [item["message"] for item in found if item["verdict"] == "note"]
    assert notes[0].startswith("you yourself may not create ipaddresspools in " + SYSTEM)


# Two rounds of joining, 15 s each, and as long to find each other again.
if os.environ.get("METALLB_SOAK"):

    def test_blocked_gossip_is_seen(cluster):
        cut = cluster.node("node3").ns
        # both ways: a node that hears nothing but can still speak refutes its death again and again
        for hook in ("input", "output"):
            cut.run(["nft", f"add table inet cut; add chain inet cut {hook} {{ type filter hook {hook} priority -300; }}; "
                            f"add rule inet cut {hook} udp dport 7946 drop; add rule inet cut {hook} tcp dport 7946 drop"])
        try:
            cluster.wait_for(lambda: examine(cluster)[1]["gossip"][0][0] == "bad", 90, "blocked gossip told", 1)
            said = str(examine(cluster)[1]["gossip"])
            assert "does not reach the speaker of node node3" in said and "port 7946" in said
        finally:
            cut.run(["nft", "delete table inet cut"])


def test_without_a_cluster(tmp_path):
    done = subprocess.run(
        [PROGRAM, "doctor", "--kubeconfig", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and "none" in done.stderr
