"""BFD as users have it: a BFDProfile, a BGPPeer that names it, and what the router sees of both."""

import os
import subprocess
import time

import pytest

from tests.bgp.routers import ASN, Bird, Frr
from tests.e2e.lab import SYSTEM, pod_ready
from tests.e2e.test_bgp_speaker import (
    MY_ASN,
    POOL4,
    RouteWatch,
    check_metric,
    host_prefix,
    kernel_hops,
    paths,
    peer,
    serve,
    speakers,
    state,
)

SOAK = bool(os.environ.get("METALLB_SOAK"))
PROFILE = {"receiveInterval": 100, "transmitInterval": 100}
FRR_PROFILE = " profile fast\n  receive-interval 100\n  transmit-interval 100\n !\n"


@pytest.fixture
def router(lab):
    """FRR with bgpd and bfdd on a machine of the LAN."""
    machine = lab.cluster.client("bfd-router")
    made = []

    def start(**neighbor):
        neighbors = [
            {"address": n.plan.ip4, "local": machine.ip4, "asn": MY_ASN, "families": "4", "hold": 90,
             "bfd": "fast", **neighbor}
            for n in lab.cluster.nodes
        ]
        frr = Frr(machine.ns, neighbors, asn=ASN, bfd=FRR_PROFILE)
        made.append(frr)
        frr.machine = machine
        frr.start()
        return frr

    yield start
    for frr in made:
        frr.close()


def watched(lab, router, neighbor=None, **spec):
    """A Service announced to FRR from all nodes, every session and its BFD up."""
    frr = router(**(neighbor or {}))
    lab.custom("BFDProfile", "fast", PROFILE)
    peer(lab, frr.machine.ip4, bfdProfile="fast", connectTime="1s", **spec)
    (address,) = serve(lab, [POOL4], "SingleStack")
    wait_all(lab, frr)
    lab.wait(lambda: len(paths(frr, host_prefix(address))) == 3, 10, "three paths")
    return frr, address


def bfd_status(frr, node):
    return frr.bfd_session(node.plan.ip4).get("status")


def wait_all(lab, frr):
    for node in lab.cluster.nodes:
        lab.wait(lambda: state(frr, node) == "Established", 20, f"session: {frr.logs()}")
        lab.wait(lambda: bfd_status(frr, node) == "up", 10, f"BFD: {frr.bfd_session(node.plan.ip4)}")


def established(frr, node):
    return frr.neighbor(node.plan.ip4)["connectionsEstablished"]


def told(lab, event, peer_name="tor"):
    """Lines of the speakers' logs about that event."""
    lines = [line for _, line in lab.log_lines("speaker-") if isinstance(line, dict)]
    return [line for line in lines if line.get("event") == event and line.get("peer") == peer_name]


def own_ends(lab):
    """How many sessions went down for another reason than that the router said so because of BFD."""
    said = "the peer sent NOTIFICATION Cease/BFD Down"
    return sum(line["error"] != said for line in told(lab, "sessionDown"))


def lose(ns, rule):
    table = "table inet lossy { chain in { type filter hook input priority 0; %s drop; }; }"
    ns.run(["nft", "-f", "-"], input=table % rule)
    return lambda: ns.run(["nft", "delete", "table", "inet", "lossy"])


def test_dead_path_takes_the_routes_at_once(lab, router):
    """A node whose packets are lost on the way to it: its session and routes go, those of others stay."""
    frr, address = watched(lab, router)
    node, other = lab.cluster.nodes[0], lab.cluster.nodes[1]
    before, others = established(frr, node), established(frr, other)
    heal = lose(node.ns, f"ip saddr {frr.machine.ip4} udp dport 3784")
    try:
        began = time.monotonic()
        lab.wait(lambda: len(paths(frr, host_prefix(address))) == 2, 10, "the path gone")
        assert time.monotonic() - began < 10  # far below the hold time of 90 s
        line = lab.wait(lambda: told(lab, "bfdDown"), 5, "the reason in the log")[-1]
        assert line["reason"] == "detection time expired"
        assert "control detection time expired" in line["diagnostic"]
        lab.wait(
            lambda: [
                e
                for e in lab.api.list("Event", SYSTEM)
                if e["reason"] == "bfdDown" and frr.machine.ip4 in e["message"] and node.name in e["message"]
            ],
            10,
            "an event on the BGPPeer",
        )
        status = lab.speaker_status(node)
        (bfd,), (bgp,) = status["bfd"], status["bgp"]
        assert bfd["address"] == bgp["address"] == frr.machine.ip4 and bfd["timesDown"] >= 1
        assert bfd["state"] != "up" and bfd["lastDiagnostic"] == line["diagnostic"]
        assert bgp["peer"] == "tor" and "BFD" in bgp["lastError"] + bgp["lastNotification"]
    finally:
        heal()
    wait_all(lab, frr)
    lab.wait(lambda: len(paths(frr, host_prefix(address))) == 3, 10, "three paths again")
    assert established(frr, node) > before
    assert established(frr, other) == others
    status = lab.speaker_status(node)
    assert (status["bfd"][0]["state"], status["bfd"][0]["remoteState"]) == ("up", "up")
    assert (status["bgp"][0]["state"], status["bgp"][0]["announcedPrefixes"]) == ("Established", 1)
    check_metric(lab, f'metallb_bfd_session_up{{peer="{frr.machine.ip4}",vrf="default"}} 1')


def test_bird(lab):
    """The same with BIRD: a path that dies and lives again."""
    node, machine = lab.cluster.nodes[1], lab.cluster.client("bfd-bird")
    neighbor = {"address": node.plan.ip4, "local": machine.ip4, "asn": MY_ASN, "families": "4", "hold": 90, "bfd": ""}
    bird = Bird(machine.ns, [neighbor], bfd='interface "*" { interval 100 ms; multiplier 3; };')
    bird.start()
    try:
        lab.custom("BFDProfile", "fast", PROFILE)
        selector = [{"matchLabels": {"kubernetes.io/hostname": node.name}}]
        peer(lab, machine.ip4, name="bird", bfdProfile="fast", connectTime="1s", nodeSelectors=selector)
        (address,) = serve(lab, [POOL4], "SingleStack")
        bird.wait_route(host_prefix(address))
        lab.wait(lambda: bird.bfd_session(node.plan.ip4).get("status") == "up", 10, "BFD")
        heal = lose(machine.ns, f"ip saddr {node.plan.ip4} udp dport 3784")
        try:
            bird.wait_no_route(host_prefix(address))
            lab.wait(lambda: told(lab, "bfdDown", "bird"), 5, "the reason in the log")
        finally:
            heal()
        bird.wait_route(host_prefix(address))
        lab.wait(lambda: bird.bfd_session(node.plan.ip4).get("status") == "up", 10, "BFD again")
    finally:
        bird.close()


def test_unnumbered(lab):
    """A peer that is only named by the interface: BFD between the link-local addresses, found and lost and found."""
    node, machine = lab.cluster.nodes[2], lab.cluster.client("bfd-unnumbered")
    neighbor = {"address": "", "interface": "eth0", "asn": MY_ASN, "families": "46", "hold": 90, "bfd": "fast"}
    frr = Frr(machine.ns, [neighbor], asn=ASN, bfd=FRR_PROFILE)
    frr.start()
    ours, theirs = node.ns.link_local("eth0"), machine.ns.link_local("eth0")
    try:
        lab.custom("BFDProfile", "fast", PROFILE)
        spec = {"myASN": MY_ASN, "peerASN": ASN, "interface": "eth0", "bfdProfile": "fast", "connectTime": "1s"}
        selector = [{"matchLabels": {"kubernetes.io/hostname": node.name}}]
        lab.custom("BGPPeer", "link", {**spec, "nodeSelectors": selector}, "v1beta2")
        (address,) = serve(lab, [POOL4], "SingleStack")
        frr.wait_route(host_prefix(address), 30)
        lab.wait(lambda: frr.bfd_session(ours).get("status") == "up", 10, "BFD")
        before = frr.neighbor("eth0")["connectionsEstablished"]
        heal = lose(machine.ns, f"ip6 saddr {ours} udp dport 3784")
        try:
            line = lab.wait(lambda: told(lab, "bfdDown", "link"), 5, "the reason in the log")[-1]
            assert line["address"] == theirs
            # TCP still gets through, so that it begins anew
            lab.wait(lambda: frr.neighbor("eth0")["connectionsEstablished"] > before, 10, "another session")
        finally:
            heal()
        frr.wait_route(host_prefix(address), 30)
        lab.wait(lambda: frr.bfd_session(ours).get("status") == "up", 10, "BFD again")
    finally:
        frr.close()


def test_changes_without_a_flap(lab, router):
    """Another profile while up and changes of Services: nobody notices. Its removal is no failure to us."""
    frr, address = watched(lab, router)
    before, earlier = [established(frr, n) for n in lab.cluster.nodes], len(told(lab, "bfdDown"))
    ends = own_ends(lab)
    ups = [frr.bfd_session(n.plan.ip4)["session-up"] for n in lab.cluster.nodes]
    lab.api.patch("BFDProfile", "fast", {"spec": {"transmitInterval": 250, "detectMultiplier": 5}}, SYSTEM)

    def has(key, value):
        return all(frr.bfd_session(n.plan.ip4).get(key) == value for n in lab.cluster.nodes)

    lab.wait(lambda: has("remote-transmit-interval", 250), 10, "the new interval at the router")
    assert has("remote-detect-multiplier", 5)
    lab.service("second")
    lab.wait_addresses("second")
    time.sleep(1)
    assert [frr.bfd_session(n.plan.ip4)["session-up"] for n in lab.cluster.nodes] == ups
    assert has("session-down", 0)
    assert [established(frr, n) for n in lab.cluster.nodes] == before
    lab.api.patch("BGPPeer", "tor", {"spec": {"bfdProfile": None}}, SYSTEM)
    lab.wait(lambda: has("status", "down"), 10, "BFD ended")
    # FRR takes AdminDown for a failure; we end nothing
    assert len(told(lab, "bfdDown")) == earlier
    assert own_ends(lab) == ends
    lab.api.patch("BGPPeer", "tor", {"spec": {"bfdProfile": "fast"}}, SYSTEM)
    wait_all(lab, frr)


def test_restart_keeps_the_routes(lab, router):
    """Graceful restart with BFD: the router knows that our BFD ends with the speaker (C bit 0) and waits."""
    frr, address = watched(lab, router, {"gr": True, "bfd_restarts": True}, enableGracefulRestart=True)
    node = lab.cluster.nodes[0]
    (old,) = [pod for pod in speakers(lab.cluster) if pod["spec"].get("nodeName") == node.name]

    def replaced():
        pods = [pod for pod in speakers(lab.cluster) if pod["spec"].get("nodeName") == node.name]
        other = [pod for pod in pods if pod["metadata"]["uid"] != old["metadata"]["uid"]]
        return other and pod_ready(other[0])

    before = established(frr, node)
    lab.wait(lambda: len(kernel_hops(frr, address)) == 3, 10, "ECMP")
    with RouteWatch(frr, address) as watch:
        lab.api.delete("Pod", old["metadata"]["name"], SYSTEM)
        lab.wait(replaced, 30, "another speaker")
        wait_all(lab, frr)
        time.sleep(1)
    assert established(frr, node) == before + 1
    assert len(watch.seen) > 20
    assert all(len(hops) == 3 for hops in watch.seen)


def test_no_false_alarm_under_load(lab, router):
    """All cores busy, Services come and go (METALLB_SOAK: 1,000 in 10 minutes): nothing is taken for dead."""
    frr, _ = watched(lab, router)
    count, seconds = (1000, 600) if SOAK else (12, 3)
    downs = [frr.bfd_session(n.plan.ip4)["session-down"] for n in lab.cluster.nodes]
    earlier = len(told(lab, "bfdDown"))
    burners = [subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        began = time.monotonic()
        for number in range(count):
            lab.service(f"churn{number}")
            if number >= 5:
                lab.api.delete("Service", f"churn{number - 5}", lab.namespace)
            time.sleep(max(0, began + seconds * (number + 1) / count - time.monotonic()))
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert [frr.bfd_session(n.plan.ip4)["session-down"] for n in lab.cluster.nodes] == downs
    assert len(told(lab, "bfdDown")) == earlier
