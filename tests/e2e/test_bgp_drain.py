"""How a node stops announcing: by the exclude label, and by the mark on the speakers' DaemonSet."""

import json
import subprocess
import time

import pytest

from tests.cluster.traffic import Load
from tests.e2e.lab import SYSTEM
from tests.e2e.test_bgp_speaker import (  # noqa: F401: a fixture among them
    ESTABLISHED,
    POOL4,
    host_prefix,
    kernel_hops,
    paths,
    peer,
    router,
    serve,
    state,
    statuses,
    wait_sessions,
)

LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
MARK = "metallb.io/withdraw"
GSHUT = "graceful-shutdown", "gracefulShutdown", "65535:0"


def hops(frr, prefix, shutting_down=False):
    """The nodes' addresses that the router has the prefix from; or of these, those that warn of their leaving."""
    found = {}
    for path in paths(frr, prefix):
        communities = (path.get("community") or {}).get("list", [])
        found[path["nexthops"][0]["ip"]] = any(name in communities for name in GSHUT)
    return {hop for hop, warns in found.items() if warns or not shutting_down}


def announced(lab, router, **spec):  # noqa: F811
    """Three sessions and one Service's route from each of the nodes: the router, the address, the prefix."""
    frr = router(families="4")
    peer(lab, frr.machine.ip4, connectTime="1s", **spec)
    (address,) = serve(lab, [POOL4], "SingleStack")
    wait_sessions(lab, frr)
    prefix = host_prefix(address)
    lab.wait(lambda: len(hops(frr, prefix)) == len(kernel_hops(frr, address)) == 3, 10, f"three paths for {prefix}")
    return frr, address, prefix


def set_label(lab, node, value):
    lab.api.patch("Node", node.name, {"metadata": {"labels": {LABEL: value}}})


def set_mark(lab, value):
    lab.api.patch("DaemonSet", "speaker", {"metadata": {"annotations": {MARK: value}}}, SYSTEM)


def test_exclude_label_drains_the_node(lab, router):  # noqa: F811
    """GRACEFUL_SHUTDOWN, seconds later the withdrawal; no request fails, the session stays, and back again."""
    frr, address, prefix = announced(lab, router)
    leaving, stays = lab.cluster.nodes[0], {node.plan.ip4 for node in lab.cluster.nodes[1:]}
    remote = behind(lab, frr)
    lab.wait(lambda: leaving.name in statuses(lab), 10, "the status of the node")
    try:
        with Load(remote, [(address, 80)], rate=50) as load:
            set_label(lab, leaving, "")
            lab.wait(lambda: hops(frr, prefix, True) == {leaving.plan.ip4}, 4, "GRACEFUL_SHUTDOWN")
            began = time.monotonic()
            assert leaving.name in statuses(lab)  # it is still announced
            lab.wait(lambda: hops(frr, prefix) == stays, 10, "withdrawn")
            assert time.monotonic() - began > 3
            lab.wait(lambda: leaving.name not in statuses(lab), 10, "no status of the node")
            time.sleep(0.5)
        assert state(frr, leaving) == ESTABLISHED
        assert frr.neighbor(leaving.plan.ip4)["connectionsDropped"] == 0
    finally:
        set_label(lab, leaving, None)
    assert len(load.requests) > 100 and load.failed() == []
    lab.wait(lambda: len(hops(frr, prefix)) == 3, 10, "announced again")
    assert hops(frr, prefix, True) == set()


def behind(lab, frr):
    """A client whose way to the Services is the router, which forwards by its BGP routes."""
    frr.machine.ns.sysctls({"net.ipv4.ip_forward": 1, "net.ipv4.fib_multipath_hash_policy": 1})
    remote = lab.cluster.client("behind-router")
    remote.ns.ip(f"route replace {POOL4} via {frr.machine.ip4}")
    return remote


@pytest.fixture
def unmarked(lab):
    """Without the mark again, whatever came."""
    yield lab
    set_mark(lab, None)
    for node in lab.cluster.nodes:
        assert lab.speaker(node.name)


def capture(ns, path):
    process = subprocess.Popen(
        ns.prefix() + ["tshark", "-q", "-i", "eth0", "-w", path, "tcp port 179"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "Capturing on" in line:
            break
    time.sleep(1)
    return process


def first_frame(pcap, source, match):
    """When a speaker first sent such a frame, in seconds."""
    out = subprocess.run(
        ["tshark", "-r", pcap, "-Y", f"ip.src == {source} && {match}", "-T", "fields", "-e", "frame.time_relative"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.split(), f"{source} has sent nothing with {match}"
    return float(out.split()[0])


def check_order(lab, pcap):
    for node in lab.cluster.nodes:
        gshut = first_frame(pcap, node.plan.ip4, "tcp.payload contains ff:ff:00:00")  # 65535:0
        withdraw = first_frame(pcap, node.plan.ip4, "bgp.update.withdrawn_routes.length > 0")
        cease = first_frame(pcap, node.plan.ip4, "bgp.notify.major_error == 6")
        assert gshut + 4 < withdraw <= cease < withdraw + 5


def test_mark_withdraws_everything(unmarked, router, tmp_path):  # noqa: F811
    """Both protocols: warned, withdrawn, ended; gone with it are the statuses. Without the mark all returns."""
    lab = unmarked
    frr, _, prefix = announced(lab, router, enableGracefulRestart=True)
    lab.pool("lan", [lab.cluster.plan.pool4()], autoAssign=False)
    lab.l2("lan", ipAddressPools=["lan"])
    lab.service("near", {"metallb.io/address-pool": "lan"}, selector={"app": "web"})
    (near,) = lab.wait_addresses("near")
    lab.wait_answering(near)
    kinds = "ServiceL2Status", "ServiceBGPStatus"
    lab.wait(lambda: [len(lab.api.list(kind, SYSTEM)) for kind in kinds] == [1, 3], 10, "statuses")
    pcap = str(tmp_path / "mark.pcapng")
    tshark = capture(frr.machine.ns, pcap)
    try:
        set_mark(lab, "the test wants it")
        lab.wait(lambda: len(hops(frr, prefix, True)) == 3, 4, "GRACEFUL_SHUTDOWN")
        assert lab.api.list("ServiceBGPStatus", SYSTEM)  # the confirmation waits for the end
        lab.wait(lambda: not any(lab.api.list(kind, SYSTEM) for kind in kinds), 20, "statuses gone")
        assert hops(frr, prefix) == set()
        assert not lab.cluster.client().arping(near)
        neighbors = [frr.neighbor(node.plan.ip4) for node in lab.cluster.nodes]
        assert all("Administrative Shutdown" in json.dumps(found) for found in neighbors), neighbors
        time.sleep(0.5)
    finally:
        tshark.terminate()
        tshark.wait(timeout=20)
    check_order(lab, pcap)
    set_mark(lab, None)
    wait_sessions(lab, frr)
    lab.wait(lambda: len(hops(frr, prefix)) == 3, 10, "announced again")
    lab.wait_answering(near)
