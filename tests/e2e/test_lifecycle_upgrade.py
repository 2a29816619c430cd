"""Another operator image brings another speaker, under traffic: no request fails, whatever happens on the way.

METALLB_SOAK=1: 200 requests a second to 20 Services, and the way back to the first version by the same road.
"""

import contextlib
import os
import threading
import time

import pytest

from tests.bgp.routers import beyond_routing
from tests.cluster import traffic
from tests.e2e.conftest import NEXT_VERSION
from tests.e2e.lab import SYSTEM, pod_ready, wait_installed
from tests.e2e.test_bgp_speaker import kernel_hops, peer, router, wait_sessions  # noqa: F401
from tests.e2e.test_lifecycle_resource import (
    conditions,
    is_rolled,
    is_state,
    operator_rolled,
    patch,
    speaker_set,
    wait_available,
)

SOAK = os.environ.get("METALLB_SOAK") == "1"
SERVICES, RATE = (20, 200) if SOAK else (6, 60)
ROUTED = "198.51.100.0/24"
FIRST, NEXT, STUCK = "metallb-c:latest", "metallb-c-next:1", "metallb-c-stuck:1"


def image_of(cluster):
    return speaker_set(cluster)["spec"]["template"]["spec"]["containers"][0]["image"]


def speakers(cluster):
    """{node: (image, uid, ready)}."""
    return {
        pod["spec"].get("nodeName"): (
            pod["spec"]["containers"][0]["image"],
            pod["metadata"]["uid"],
            pod_ready(pod) and not pod["metadata"].get("deletionTimestamp"),
        )
        for pod in cluster.pods(SYSTEM, app="metallb", component="speaker")
    }


VARIABLES = ("METALLB_ROLLOUT_DEADLINE", "DEPLOY_PODMONITORS", "DEPLOY_SERVICEMONITORS")


def set_operator(cluster, image, **variables):
    """The operator's image and these variables of its environment; the others of VARIABLES are taken away."""
    env = [
        {"name": name, "value": str(variables[name])} if name in variables else {"name": name, "$patch": "delete"}
        for name in VARIABLES
    ]
    box = {"name": "controller", "image": image, "env": env}
    body = {"spec": {"template": {"spec": {"containers": [box]}}}}
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/controller"
    cluster.api.request("PATCH", path, body, content_type="application/strategic-merge-patch+json")


def wait_upgraded(cluster, image, timeout=180):
    cluster.wait_for(lambda: operator_rolled(cluster), timeout, f"operators of {image}")
    cluster.wait_for(lambda: image_of(cluster) == image and is_rolled(cluster), timeout, f"speakers of {image}")
    wait_available(cluster)


def monitor_crd(kind):
    """A kind of the Prometheus operator's, as far as is needed here."""
    plural = kind.lower() + "s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": kind, "listKind": kind + "List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture(scope="module")
def monitors(cluster):
    """The kinds of monitors; returns what there is of one."""
    for kind in ("PodMonitor", "ServiceMonitor"):
        cluster.api.create(monitor_crd(kind))

    def names(plural):
        path = f"/apis/monitoring.coreos.com/v1/namespaces/{SYSTEM}/{plural}"
        return sorted(item["metadata"]["name"] for item in cluster.api.request("GET", path)["items"])

    yield names
    for kind in ("podmonitors", "servicemonitors"):
        cluster.api.delete("CustomResourceDefinition", f"{kind}.monitoring.coreos.com")
    for name in ("controller-monitor-service", "speaker-monitor-service"):
        cluster.api.delete("Service", name, SYSTEM)


class OneAtATime(threading.Thread):
    """Watches how many nodes were without a ready speaker at once."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.most, self.stopping = cluster, 0, threading.Event()

    def run(self):
        while not self.stopping.wait(0.1):
            ready = sum(one[2] for one in speakers(self.cluster).values())
            self.most = max(self.most, len(self.cluster.nodes) - ready)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.join(10)


@pytest.fixture
def loads(lab, router):  # noqa: F811
    """HTTP traffic to Services in layer 2 and by BGP with graceful restart, each half of it; a context manager."""
    frr = router(families="4")
    peer(lab, frr.machine.ip4, enableGracefulRestart=True, connectTime="1s")
    lab.pool("near")
    lab.l2("near", ipAddressPools=["near"])
    lab.pool("routed", [ROUTED])
    lab.custom("BGPAdvertisement", "routed", {"ipAddressPools": ["routed"]})
    lab.backend("web", replicas=3)
    addresses = {"near": [], "routed": []}
    for number in range(SERVICES):
        pool = ("near", "routed")[number % 2]
        name = f"web{number}"
        lab.service(name, {"metallb.io/address-pool": pool}, selector={"app": "web"})
        addresses[pool] += lab.wait_addresses(name)
    wait_sessions(lab, frr)
    for address in addresses["routed"]:
        lab.wait(lambda a=address: len(kernel_hops(frr, f"{a}/32")) == 3, 20, f"three next hops for {address}")
    for address in addresses["near"]:
        lab.wait_answering(address)

    @contextlib.contextmanager
    def run():
        near = [(address, 80) for address in addresses["near"]]
        routed = [(address, 80) for address in addresses["routed"]]
        with contextlib.ExitStack() as stack:
            made = [
                stack.enter_context(traffic.Load(lab.cluster.client(), near, rate=RATE / 2)),
                stack.enter_context(traffic.Load(frr.machine, routed, rate=RATE / 2)),
            ]
            yield made
        for load in made:
            assert len(load.requests) > RATE, "hardly any traffic"
            failed = beyond_routing(load.failed())
            print(f"{len(load.requests)} requests, longest gap {load.longest_gap():.3f} s")
            assert not failed, f"{len(failed)} of {len(load.requests)} failed, first: {failed[:3]}"

    return run


@pytest.fixture(scope="module")
def upgradable(cluster):
    """The cluster; at the end of all with the first image again, and nothing asked of the resource."""
    try:
        yield cluster
    finally:
        patch(cluster, annotations={"metallb.io/auto-rollback": None, "metallb.io/rollback": None})
        set_operator(cluster, FIRST)
        wait_upgraded(cluster, FIRST)
        wait_installed(cluster)


def test_a_speaker_that_never_gets_ready(lab, monitors, upgradable, loads):
    """The rollout stops after one node and says which and why; by option the old speaker comes back by itself."""
    cluster = upgradable
    set_operator(cluster, FIRST)
    wait_upgraded(cluster, FIRST)
    before = speakers(cluster)
    with loads():
        set_operator(cluster, STUCK, METALLB_ROLLOUT_DEADLINE=4, DEPLOY_SERVICEMONITORS="true")
        degraded = cluster.wait_for(lambda: is_state(cluster, "Degraded", "RolloutStalled"), 90, "RolloutStalled")
        after = speakers(cluster)
        (node,) = [name for name, one in after.items() if one[0] == STUCK]
        assert {name: one for name, one in after.items() if name != node} == {
            name: one for name, one in before.items() if name != node
        }
        assert f"speaker not ready on {node}: it runs but is not ready" in degraded["message"]
        assert conditions(cluster)["Upgradeable"]["status"] == "False"
        assert monitors("servicemonitors") == ["controller-monitor", "speaker-monitor"]
        patch(cluster, annotations={"metallb.io/auto-rollback": "true"})
        cluster.wait_for(lambda: image_of(cluster) == FIRST and is_rolled(cluster), 60, "the old speaker")
        degraded = cluster.wait_for(lambda: is_state(cluster, "Degraded", "RolledBack"), 10, "RolledBack")
        assert STUCK in degraded["message"] and "running again" in degraded["message"]
        time.sleep(2)
        assert image_of(cluster) == FIRST, "tried again"


def test_monitors_go_with_their_setting(monitors, upgradable):
    """Those that were turned off are removed, with their Services; those that a person took over are not."""
    cluster = upgradable
    set_operator(cluster, FIRST, DEPLOY_SERVICEMONITORS="true")
    both = ["controller-monitor", "speaker-monitor"]
    cluster.wait_for(lambda: monitors("servicemonitors") == both, 90, "the ServiceMonitors")
    assert cluster.get("Service", "speaker-monitor-service", SYSTEM)
    set_operator(cluster, FIRST, DEPLOY_PODMONITORS="true")
    cluster.wait_for(lambda: monitors("podmonitors") == ["controller", "speaker"], 90, "the PodMonitors")
    cluster.wait_for(lambda: not monitors("servicemonitors"), 30, "the ServiceMonitors gone")
    for name in ("controller-monitor-service", "speaker-monitor-service"):
        cluster.wait_for(lambda name=name: not cluster.get("Service", name, SYSTEM), 10, f"{name} gone")
    path = f"/apis/monitoring.coreos.com/v1/namespaces/{SYSTEM}/podmonitors/speaker"
    mine = {"metadata": {"annotations": {"metallb.io/unmanaged": "true"}}}
    cluster.api.request("PATCH", path, mine, content_type="application/merge-patch+json")
    set_operator(cluster, FIRST)
    cluster.wait_for(lambda: monitors("podmonitors") == ["speaker"], 90, "the PodMonitor that is ours gone")
    wait_upgraded(cluster, FIRST)
    time.sleep(2)
    assert monitors("podmonitors") == ["speaker"]
    cluster.api.request("DELETE", path)


def new_version_somewhere(cluster):
    return any(image == NEXT for image, _, _ in speakers(cluster).values())


def kill_leader(lab):
    leader = lab.wait(lab.leader, 20, "a leader")
    lab.cluster.signal_container(leader)


def test_upgrade_with_the_operator_killed_and_back(lab, monitors, upgradable, loads):
    """Node by node to the next version, the leader killed in the middle; then back. Zero failed requests."""
    cluster = upgradable
    with loads():
        with OneAtATime(cluster) as watched:
            set_operator(cluster, NEXT, DEPLOY_PODMONITORS="true")
            cluster.wait_for(lambda: new_version_somewhere(cluster), 60, "the first new speaker")
            kill_leader(lab)
            wait_upgraded(cluster, NEXT)
        assert watched.most == 1
        assert monitors("podmonitors") == ["controller", "speaker"]
        starts = [
            line
            for _, line in lab.log_lines("speaker-")
            if isinstance(line, dict) and line.get("msg") == "speaker starting" and line["version"] == NEXT_VERSION
        ]
        assert len(starts) >= 3
        if SOAK:
            set_operator(cluster, FIRST)
            wait_upgraded(cluster, FIRST)
        # The way back on request: the speakers alone.
        patch(cluster, annotations={"metallb.io/rollback": "true"})
        back = NEXT if SOAK else FIRST
        cluster.wait_for(lambda: image_of(cluster) == back and is_rolled(cluster), 90, "the previous speakers")
        cluster.wait_for(lambda: is_state(cluster, "Available", "RolledBackOnRequest"), 10, "the status")
        assert conditions(cluster)["Upgradeable"]["status"] == "False"
