"""HTTP through a router while everything around it changes: no request fails, no session is reset.

But for a few that find no route at all (beyond_routing).
Other Services come and go (50; 500 with METALLB_SOAK), attributes and prefixes change, a second router is
added and removed, and at last each speaker is replaced, with graceful restart.
"""

import os
import time

from tests.bgp.routers import beyond_routing
from tests.cluster.traffic import Load
from tests.e2e.lab import SYSTEM
from tests.e2e.test_bgp_drain import announced, behind
from tests.e2e.test_bgp_speaker import (  # noqa: F401: a fixture among them
    ESTABLISHED,
    paths,
    peer,
    replace_speaker,
    router,
    state,
    wait_sessions,
)

SOAK = bool(os.environ.get("METALLB_SOAK"))
SERVICES = 500 if SOAK else 50
CHANGES = 100 if SOAK else 10
RATE = 200
# outside the pool's /24 the others are announced, too
OTHERS = "203.0.112.0/22"


def learned(frr, node):
    """How many prefixes the router has from a node."""
    return frr.neighbor(node.plan.ip4)["addressFamilyInfo"]["ipv4Unicast"]["acceptedPrefixCounter"]


def others_come_and_go(lab, frr):
    lab.pool("others", [OTHERS], autoAssign=False)
    lab.custom("BGPAdvertisement", "others", {"ipAddressPools": ["others"]})
    names = [f"other-{i}" for i in range(SERVICES)]
    for name in names:
        lab.service(name, {"metallb.io/address-pool": "others"}, selector={"app": "web"})
    nodes = lab.cluster.nodes
    lab.wait(lambda: all(learned(frr, n) == SERVICES + 1 for n in nodes), 30 + SERVICES / 5, "all others announced")
    for name in names:
        lab.api.delete("Service", name, lab.namespace)
    lab.wait(lambda: all(learned(frr, n) == 1 for n in nodes), 30 + SERVICES / 5, "all others withdrawn")


def attributes_change(lab, frr, prefix):
    def patch(**spec):
        lab.api.patch("BGPAdvertisement", "routed", {"spec": spec}, SYSTEM)

    for i in range(CHANGES):
        patch(communities=[f"65000:{i}"], localPref=100 + i)
        time.sleep(0.1)
    last = f"65000:{CHANGES - 1}"
    lab.wait(lambda: {p.get("community", {}).get("string") for p in paths(frr, prefix)} == {last}, 10, last)
    # both at once: the communities of the two unite
    more = {"ipAddressPools": ["routed"], "communities": ["65000:999"], "localPref": 100 + CHANGES - 1}
    lab.custom("BGPAdvertisement", "more", more)
    both = f"{last} 65000:999"
    lab.wait(lambda: {p.get("community", {}).get("string") for p in paths(frr, prefix)} == {both}, 10, both)
    lab.api.delete("BGPAdvertisement", "more", SYSTEM)
    lab.wait(lambda: {p.get("community", {}).get("string") for p in paths(frr, prefix)} == {last}, 10, last)


def aggregate_comes_and_goes(lab, frr, prefix):
    """From the address to its /24 and back."""
    wide = f"{prefix.rsplit('.', 1)[0]}.0/24"
    lab.api.patch("BGPAdvertisement", "routed", {"spec": {"aggregationLength": 24}}, SYSTEM)
    lab.wait(lambda: len(paths(frr, wide)) == 3 and not paths(frr, prefix), 10, "the aggregate alone")
    lab.api.patch("BGPAdvertisement", "routed", {"spec": {"aggregationLength": 32}}, SYSTEM)
    lab.wait(lambda: len(paths(frr, prefix)) == 3 and not paths(frr, wide), 10, "the address alone")


def second_router_comes_and_goes(lab, router, prefix):  # noqa: F811
    other = router(families="4", machine="second-router")
    peer(lab, other.machine.ip4, "second", connectTime="1s")
    lab.wait(lambda: len(paths(other, prefix)) == 3, 20, "three paths at the second router")
    lab.api.delete("BGPPeer", "second", SYSTEM)
    lab.wait(lambda: not paths(other, prefix), 10, "none after its end")


def replace_speakers(lab, frr, prefix):
    for node in lab.cluster.nodes:
        before = frr.neighbor(node.plan.ip4)["connectionsEstablished"]
        replace_speaker(lab.cluster, node)
        lab.wait(lambda: frr.neighbor(node.plan.ip4)["connectionsEstablished"] > before, 10, "a new session")
        wait_sessions(lab, frr)
        lab.wait(lambda: not any(path.get("stale") for path in paths(frr, prefix)), 10, "no stale path")


def resets(frr):
    """What the router's log says of neighbours that went down."""
    lines = (frr.dir / "bgpd.log").read_text().splitlines()
    return [line for line in lines if "%ADJCHANGE" in line and " Down" in line]


def check(load, phase, since):
    """No request that ended since then failed; returns the time up to which that was looked at."""
    until = time.monotonic()
    seen = [r for r in list(load.requests) if since <= r.at + r.seconds < until]
    assert len(seen) > 20, f"hardly any traffic: {phase}"
    assert beyond_routing([r for r in seen if not r.ok]) == [], phase
    return until


def test_nothing_fails_whatever_changes(lab, router):  # noqa: F811
    frr, address, prefix = announced(lab, router, enableGracefulRestart=True)
    remote = behind(lab, frr)
    assert remote.curl(address)
    at = time.monotonic()
    with Load(remote, [(address, 80)], rate=RATE) as load:
        others_come_and_go(lab, frr)
        at = check(load, "other Services", at)
        attributes_change(lab, frr, prefix)
        at = check(load, "attributes", at)
        second_router_comes_and_goes(lab, router, prefix)
        at = check(load, "a second router", at)
        assert resets(frr) == []
        assert all(state(frr, node) == ESTABLISHED for node in lab.cluster.nodes)
        assert [frr.neighbor(n.plan.ip4)["connectionsEstablished"] for n in lab.cluster.nodes] == [1, 1, 1]
        replace_speakers(lab, frr, prefix)
        time.sleep(1)
        at = check(load, "restarts", at)
        # The speakers tell the new prefix before they take the old one back, but the router may take
        # the old one out of its kernel table some milliseconds before the new one is in.
        aggregate_comes_and_goes(lab, frr, prefix)
        time.sleep(0.5)
    assert len(resets(frr)) == 3  # which shows that the log would have told
    assert beyond_routing([r for r in load.failed() if r.at + r.seconds >= at]) == []
    assert len(load.requests) > 1000
