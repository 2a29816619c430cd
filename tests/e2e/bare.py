"""A cluster on which nothing of ours is installed yet, with the image of hack/image; and what MetalLB leaves in one."""

import hashlib
import pathlib
import subprocess

import pytest

from tests.cluster import Cluster
from tests.cluster.images import PROJECT, built_image, helper_images
from tests.e2e.lab import SYSTEM, ingress_of
from tests.gossip.peers import build_mlpeer

ROOT = pathlib.Path(PROJECT)


@pytest.fixture(scope="module")
def bare():
    subprocess.run([ROOT / "hack/image", "metallb-c:latest"], check=True, capture_output=True)
    old = {"/speaker": str(ROOT / "tests/e2e/old_speaker.py"), "/mlpeer": build_mlpeer()}
    images = {
        "metallb-c": built_image(),
        "speaker": {"files": old, "entrypoint": ["/usr/bin/python3", "-I", "/speaker"]},
        "controller": {"files": {}, "entrypoint": ["/usr/bin/sleep", "infinity"]},
        **helper_images(),
    }
    with Cluster(nodes=2, images=images, faults=False) as made:
        yield made


def workload(cluster, name, replicas=2):
    """HTTP servers in the namespace default."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    container = {"name": "backend", "image": "backend", "readinessProbe": probe}
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    meta = {"name": name, "namespace": "default"}
    cluster.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def service(cluster, name, address=None, app="web"):
    """A Service in the namespace default, with an address as MetalLB's controller would have written it."""
    spec = {"type": "LoadBalancer", "selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]}
    meta = {"name": name, "namespace": "default"}
    cluster.api.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    if address:
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        cluster.api.patch("Service", name, status, "default", "status")
        note = {"metadata": {"annotations": {"metallb.universe.tf/ip-allocated-from-pool": "old"}}}
        cluster.api.patch("Service", name, note, "default")


def addresses(cluster, name):
    return ingress_of(cluster.get("Service", name, "default"))


def custom(cluster, kind, name, spec):
    meta = {"name": name, "namespace": SYSTEM}
    cluster.api.create({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": meta, "spec": spec})


def leave_metallbs_objects(cluster, held):
    """Namespace, CRDs, a pool and its advertisement, the gossip Secret, Services that hold `held`."""
    cluster.kubectl("apply", "-k", ROOT / "crds")
    cluster.kubectl("apply", "-f", ROOT / "config/default/namespace.yaml")
    cluster.wait_for(lambda: "IPAddressPool" in cluster.kubectl("api-resources"), 20, "our kinds served", 0.5)
    custom(cluster, "IPAddressPool", "old", {"addresses": [f"{held[0]}-{held[-1]}", cluster.plan.pool4(32, 16)]})
    custom(cluster, "L2Advertisement", "old", {})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "memberlist", "namespace": SYSTEM}}
    cluster.api.create({**secret, "stringData": {"secretkey": "an old key of MetalLB's own"}})
    workload(cluster, "web")
    for i, address in enumerate(held):
        service(cluster, f"old-{i}", address)


def held_addresses(cluster, count):
    """Some from the middle of the LAN's range, so that nobody gives out just these by chance."""
    base, _, last = cluster.plan.pool4(10, count).partition("-")[0].rpartition(".")
    return [f"{base}.{int(last) + i}" for i in range(count)]


def elected(cluster, address):
    """The node that MetalLB's election gives an address to when all nodes have a speaker."""
    names = [made.name for made in cluster.nodes]
    return min(names, key=lambda name: hashlib.sha256(f"{name}#{address}".encode()).digest())
