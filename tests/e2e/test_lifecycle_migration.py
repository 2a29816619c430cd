"""From MetalLB to us, node by node, as docs/migration.md says: each address has one answerer at every step.

MetalLB's speakers are Go memberlist with an ARP responder that elects as MetalLB does (old_speaker.py), run by a
DaemonSet of MetalLB's name and labels; its controller is a Deployment that does nothing, and the test itself
writes what it would have written. With METALLB_SOAK the second half of the way is gone, too: from our own
names beside MetalLB to those of a plain installation.
"""

import os
import re
import time

from tests.cluster import traffic
from tests.e2e.bare import (  # noqa: F401
    ROOT,
    addresses,
    bare,
    elected,
    held_addresses,
    leave_metallbs_objects,
    service,
)
from tests.e2e.lab import SYSTEM, pod_ready, program_ready

LABELS = {"app": "metallb", "component": "speaker"}
SETTLE_S = 40


def metallb(cluster, held):
    """MetalLB as its manifests install it."""
    field = lambda path: {"fieldRef": {"fieldPath": path}}  # noqa: E731
    peers = ",".join(str(plan.ip4) for plan in cluster.node_plans)
    env = [
        {"name": "METALLB_NODE_NAME", "valueFrom": field("spec.nodeName")},
        {"name": "METALLB_HOST", "valueFrom": field("status.hostIP")},
        {"name": "ADDRESSES", "value": ",".join(held)},
        {"name": "PEERS", "value": peers},
    ]
    speaker = {
        "name": "speaker",
        "image": "quay.io/metallb/speaker:v0.14.9",
        "env": env,
        "securityContext": {"capabilities": {"add": ["NET_RAW"]}},
        "volumeMounts": [{"name": "memberlist", "mountPath": "/etc/ml_secret_key"}],
    }
    pod = {
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 2,
        "containers": [speaker],
        "volumes": [{"name": "memberlist", "secret": {"secretName": "memberlist"}}],
    }
    meta = {"name": "speaker", "namespace": SYSTEM, "labels": LABELS}
    spec = {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": pod}}
    cluster.api.create({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": spec})

    labels = {"app": "metallb", "component": "controller"}
    controller = {
        "name": "controller",
        "image": "quay.io/metallb/controller:v0.14.9",
        "env": [{"name": "METALLB_ML_SECRET_NAME", "value": "memberlist"}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [controller], "terminationGracePeriodSeconds": 1}}
    meta = {"name": "controller", "namespace": SYSTEM, "labels": labels}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    cluster.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})

    meta = {"name": "metallb-webhook-configuration"}
    version = "admissionregistration.k8s.io/v1"
    cluster.api.create({"apiVersion": version, "kind": "ValidatingWebhookConfiguration", "metadata": meta, "webhooks": []})


class Step:
    """Watches who answers for the addresses all the time; says when all is as it should be."""

    def __init__(self, cluster, probe, held):
        self.cluster, self.probe, self.held = cluster, probe, held
        self.wanted = {a: {cluster.node(elected(cluster, a)).mac} for a in held}

    def settled(self, step):
        """Waits until each address is answered for by the elected node, and by no other, for a second."""
        end, since = time.monotonic() + SETTLE_S, None
        while since is None or time.monotonic() - since < 1:
            found = {a: set(self.probe.owner(a)) for a in self.held}
            if found != self.wanted:
                since = None
            elif since is None:
                since = time.monotonic()
            assert time.monotonic() < end, (step, found, self.wanted)
            time.sleep(0.05)


def rolled(cluster, name):
    """Whether all pods of a DaemonSet are of its present template, and Ready."""
    obj = cluster.get("DaemonSet", name, SYSTEM)
    status, nodes = obj["status"], len(cluster.nodes)
    seen = status.get("observedGeneration") == obj["metadata"]["generation"]
    return seen and status.get("updatedNumberScheduled") == status.get("numberReady") == nodes


def pods_of(cluster, app):
    return {p["spec"]["nodeName"]: p for p in cluster.pods(SYSTEM, app=app, component="speaker") if pod_ready(p)}


def versions(cluster):
    """What must not be written while MetalLB is in charge."""
    objects = [cluster.get("Secret", "memberlist", SYSTEM)]
    objects.append(cluster.get("ValidatingWebhookConfiguration", "metallb-webhook-configuration"))
    objects += cluster.api.list("CustomResourceDefinition")
    return {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in objects}


def standing_back(cluster):
    """The condition of the MetalLB resource that says so, if it is there."""
    found = (cluster.get("MetalLB", "metallb", SYSTEM).get("status") or {}).get("conditions") or []
    return next((item for item in found if item["type"] == "StandingBack"), None)


def documented(number):
    """The shell lines of step `number` of docs/migration.md."""
    text = (ROOT / "docs/migration.md").read_text()
    part = re.search(rf"^{number}\. (.*?)(?=^\d\. |^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^ {7}(kubectl .*)$", part, re.MULTILINE)


def typed(cluster, number, **names):
    from tests.e2e.test_lifecycle_readme import typed as run

    lines = documented(number)
    assert lines, number
    for line in lines:
        for name, value in names.items():
            line = line.replace(name, value)
        run(cluster, line)


def test_node_by_node(bare):  # noqa: F811
    held = held_addresses(bare, 4)
    leave_metallbs_objects(bare, held)
    metallb(bare, held)
    with traffic.ArpProbe(bare.client(), held) as probe:
        move(bare, held, Step(bare, probe, held))


def move(cluster, held, step):
    step.settled("MetalLB alone")

    # our operator comes, and stands back
    before = versions(cluster)
    cluster.kubectl("apply", "-f", ROOT / "config/migration/metallb.yaml")
    typed(cluster, 1)
    cluster.wait_for(
        lambda: any(e["reason"] == "MetalLBInCharge" for e in cluster.api.list("Event", SYSTEM)), 30, "standing back told")
    told = cluster.wait_for(lambda: standing_back(cluster), 10, "the condition")
    assert (told["status"], told["reason"]) == ("True", "MetalLBInCharge")
    assert f"MetalLB's controller {SYSTEM}/controller is in charge" in told["message"]
    service(cluster, "new")
    time.sleep(2)
    assert addresses(cluster, "new") == [] and versions(cluster) == before
    assert not pods_of(cluster, "metallb-c")
    step.settled("our operator beside")

    typed(cluster, 2)
    cluster.wait_for(lambda: rolled(cluster, "speaker"), 40, "MetalLB's speakers rolled")
    step.settled("MetalLB keeps off the label")

    for made in cluster.nodes:
        typed(cluster, 3, NODE=made.name)
        cluster.wait_for(lambda: made.name in pods_of(cluster, "metallb-c"), 30, f"our speaker on {made.name}")
        cluster.wait_for(lambda: made.name not in pods_of(cluster, "metallb"), 30, f"MetalLB gone from {made.name}")
        step.settled(f"{made.name} is ours")
    assert addresses(cluster, "new") == [] and versions(cluster) == before

    # MetalLB goes: what is held stays, what waits is served
    typed(cluster, 4)
    cluster.wait_for(lambda: addresses(cluster, "new"), 30, "an address for the Service that waited")
    assert addresses(cluster, "new")[0] not in held
    assert [addresses(cluster, f"old-{i}") for i in range(4)] == [[a] for a in held]
    cluster.wait_for(lambda: not standing_back(cluster), 10, "the condition gone")
    step.settled("MetalLB is gone")
    if os.environ.get("METALLB_SOAK"):
        settle(cluster, held, step)


def settle(cluster, held, step):
    """To the names of a plain installation."""
    typed(cluster, 5)
    cluster.wait_for(lambda: program_ready(cluster, "controller", 2), 60, "the operator of the plain installation")
    step.settled("the plain operator")
    for made in cluster.nodes:
        typed(cluster, 6, NODE=made.name)
        cluster.wait_for(lambda: made.name in pods_of(cluster, "metallb"), 60, f"the plain speaker on {made.name}")
        step.settled(f"{made.name} is plain")
    typed(cluster, 7)
    cluster.wait_for(lambda: rolled(cluster, "speaker"), 60, "the speakers without a selector")
    step.settled("done")
    assert [addresses(cluster, f"old-{i}") for i in range(4)] == [[a] for a in held]
    left = cluster.kubectl("get", "all,roles,rolebindings", "-n", SYSTEM, "-o", "name")
    assert "metallb-c-" not in left, left
