"""kubectl-metallb plan --cluster and why tell what the running programs really do."""

import json
import os
import pathlib
import subprocess

from tests.e2e.lab import SYSTEM

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("METALLB_BUILD", ROOT / "build/release")) / "operator/cli/kubectl-metallb"


def plan(lab, *args, stdin=None):
    command = [PROGRAM, "plan", "--cluster", "--kubeconfig", lab.cluster.kubeconfig, "-o", "json", *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    made = json.loads(done.stdout)
    return {s["name"]: s for s in made["services"] if s["namespace"] == lab.namespace}


def test_plan_agrees_with_the_cluster(lab):
    lab.pool()
    lab.l2()
    lab.backend("web")
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    owner = lab.wait_answering(address)
    planned = plan(lab)["web"]
    assert planned["addresses"] == [address]
    assert planned["pool"] == "pool"
    assert [(x["address"], x["node"], x["interfaces"]) for x in planned["layer2"]] == [(address, owner.name, "all")]


def test_files_on_top_show_what_applying_them_would_do(lab):
    lab.pool()
    lab.service("held")
    (held,) = lab.wait_addresses("held")
    waiting = lab.service_object("waiting", ipFamilies=["IPv4"], clusterIP="10.96.200.9", clusterIPs=["10.96.200.9"])
    planned = plan(lab, "-", stdin=json.dumps(waiting))
    assert planned["held"]["addresses"] == [held]
    assert len(planned["waiting"]["addresses"]) == 1 and planned["waiting"]["addresses"] != [held]


def test_services_that_share_an_address_are_elected_together():
    """As speakers with --shared-address-election=group do it; without it each is elected alone."""
    ready = {"a": ["node1", "node2"], "b": ["node2", "node3"]}
    assert owners(ready) == {"a": ("node1", None), "b": ("node3", None)}
    assert owners(ready, "--shared-address-election=group") == {"a": ("node2", True), "b": ("node2", True)}
    apart = {"a": ["node1"], "b": ["node3"]}
    assert owners(apart, "--shared-address-election=group") == {"a": ("node1", False), "b": ("node3", False)}
    alone = {"a": ["node1"]}
    assert owners(alone, "--shared-address-election=group") == {"a": ("node1", None)}
    done = offline(manifests(ready), "--shared-address-election=group")
    assert "    layer 2: elected together with default/b\n" in done.stdout
    done = offline(manifests(apart), "--shared-address-election=group")
    assert "    layer 2: elected alone, no node could announce default/b, too\n" in done.stdout
    assert offline(manifests(ready), "--shared-address-election=some").returncode == 2


def offline(objects, *args):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return subprocess.run([PROGRAM, "plan", "-", *args], input=text, capture_output=True, text=True, timeout=60, check=False)


def owners(ready, *args):
    """{Service: (its node, elected together?)}"""
    done = offline(manifests(ready), "-o", "json", *args)
    assert done.returncode == 0, done.stderr
    return {s["name"]: (s["layer2"][0]["node"], s.get("electedTogether")) for s in json.loads(done.stdout)["services"]}


def manifests(ready):
    """Services with policy Local and one address, each with endpoints on some nodes: {Service: [node]}."""

    def obj(version, kind, name, namespace=None, **rest):
        meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("meta", {})}
        return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}

    made = [obj("v1", "Node", f"node{n}") for n in (1, 2, 3)]
    made.append(obj("metallb.io/v1beta1", "IPAddressPool", "p", SYSTEM, spec={"addresses": ["192.168.1.240/32"]}))
    made.append(obj("metallb.io/v1beta1", "L2Advertisement", "l", SYSTEM))
    for number, (name, nodes) in enumerate(ready.items()):
        spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80 + number}]}
        spec["selector"] = {"app": "both"}
        meta = {"annotations": {"metallb.io/allow-shared-ip": "k"}}
        made.append(obj("v1", "Service", name, "default", meta=meta, spec=spec))
        endpoints = [{"addresses": ["10.0.0.1"], "nodeName": n, "conditions": {"ready": True}} for n in nodes]
        meta = {"labels": {"kubernetes.io/service-name": name}}
        slice_ = obj("discovery.k8s.io/v1", "EndpointSlice", name, "default", meta=meta)
        made.append({**slice_, "addressType": "IPv4", "endpoints": endpoints})
    return made


def why(lab, *args):
    command = [PROGRAM, "why", "--kubeconfig", lab.cluster.kubeconfig, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_why_of_an_announced_service(lab):
    """The node that answers, what its speaker says, and of each other node the reason."""
    lab.pool()
    lab.l2()
    lab.backend("web")
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    owner = lab.wait_answering(address).name
    others = sorted(node.name for node in lab.cluster.nodes if node.name != owner)
    lab.wait(lambda: lab.api.list("ServiceL2Status", SYSTEM), 10, "the status")
    done = why(lab, "web", "-n", lab.namespace)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        f"{lab.namespace}/web",
        f"    address: {address} from pool pool",
        f"    layer 2: {address} by {owner} on all",
        f"    layer 2: node {owner} says that it announces",
    ]
    assert f"    not by layer 2 elsewhere: node {owner} is elected ({', '.join(others)})" in lines
    assert any(line.startswith("    no bgp: no advertisement of its pool") for line in lines)
    made = json.loads(why(lab, f"{lab.namespace}/web", "-o", "json").stdout)
    assert made["layer2Status"] == [{"node": owner, "interfaces": []}]
    assert [item["node"] for item in made["layer2"]] == [owner]


def test_a_node_without_a_speaker_is_no_candidate(lab):
    """For plan and why alike; its reason says so."""
    lab.pool()
    lab.l2()
    lab.backend("web")
    lab.service("web")
    lab.wait_addresses("web")
    taints = [{"key": "metallb.io/test", "effect": "NoSchedule"}]
    lab.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bare"}, "spec": {"taints": taints}})
    try:
        for made in (json.loads(why(lab, "web", "-n", lab.namespace, "-o", "json").stdout), plan(lab)["web"]):
            assert made["layer2Reasons"]["no Ready speaker runs there"] == ["bare"]
            assert made["bgpReasons"]["no Ready speaker runs there"] == ["bare"]
            assert len(made["layer2"]) == 1
    finally:
        lab.api.delete("Node", "bare")


def test_why_there_is_no_address(lab):
    """The reason of each pool, and of Services that nobody serves."""
    lab.pool("small", ["192.0.2.7/32"])
    lab.pool("manual", ["192.0.2.8/32"], autoAssign=False)
    lab.l2()
    lab.service("first")
    lab.wait_addresses("first")
    lab.service("second")
    done = why(lab, "second", "-n", lab.namespace)
    assert done.returncode == 1
    (reason,) = [line for line in done.stdout.splitlines() if "pending" in line]
    assert "pool small: 1 of 1 IPv4 in use" in reason and "pool manual: autoAssign is false" in reason
    assert "    address: none\n" in done.stdout
    lab.service("inside", type="ClusterIP")
    done = why(lab, "inside", "-n", lab.namespace)
    assert (done.returncode, "is of type ClusterIP" in done.stdout) == (1, True)
    done = why(lab, "nothing", "-n", lab.namespace)
    assert (done.returncode, done.stderr) == (2, f"kubectl-metallb: there is no Service {lab.namespace}/nothing\n")
    done = why(lab, "first", "-n", lab.namespace, "--lb-class", "other")
    assert (done.returncode, 'has the loadBalancerClass ""' in done.stdout) == (1, True)
    assert why(lab).returncode == 2
