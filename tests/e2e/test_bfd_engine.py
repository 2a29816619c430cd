"""The BFD engine against FRR's bfdd and BIRD: coming up, staying up, noticing what is dead."""

import time

import pytest

from tests.bfd.wire import FAR_MINE, FAR_THEIRS, MINE, THEIRS, BfdLab
from tests.bgp.probe import wait_for

FAST = {"tx_ms": 100, "rx_ms": 100}
EXPIRED = "control detection time expired"


@pytest.fixture
def lab():
    made = BfdLab()
    try:
        yield made
    finally:
        made.close()


def frr_peer(address, *lines, interface="w"):
    where = f" interface {interface}" if interface else ""
    text = "".join(f"  {line}\n" for line in lines)
    return f" peer {address}{where}\n  receive-interval 100\n  transmit-interval 100\n{text} !\n"


def frr_far(family, *lines):
    text = "".join(f"  {line}\n" for line in lines)
    return (
        f" peer {FAR_MINE[family]} multihop local-address {FAR_THEIRS[family]}\n"
        f"  receive-interval 100\n  transmit-interval 100\n{text} !\n"
    )


def bird_peer(family, far=False):
    mine, theirs = (FAR_MINE, FAR_THEIRS) if far else (MINE, THEIRS)
    where = f"local {theirs[family]} multihop" if far else f'dev "w" local {theirs[family]}'
    return f"neighbor {mine[family]} {where};"


BIRD_FAST = 'interface "*" { interval 100 ms; multiplier 3; }; multihop { interval 100 ms; multiplier 3; };'


def near(family="4", **changes):
    return {"remote": THEIRS[family], **FAST, **changes}


def far(family="4", **changes):
    return {"remote": FAR_THEIRS[family], "local": FAR_MINE[family], "multihop": True, **FAST, **changes}


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_comes_up(lab, kind):
    """Both families over one and over two hops; the pace that both ends agree on; AdminDown at the end."""
    lab.far()
    if kind == "frr":
        lab.frr("".join(frr_peer(MINE[f]) + frr_far(f) for f in "46"))
    else:
        lab.bird(BIRD_FAST + "".join(bird_peer(f) + bird_peer(f, far=True) for f in "46"))
    hops = {} if kind == "frr" else {"min_ttl": 63}  # BIRD sends its multihop packets with 64
    wanted = [near("4"), near("6"), far("4", **hops), far("6", **hops)]
    ours = [MINE["4"], MINE["6"], FAR_MINE["4"], FAR_MINE["6"]]
    lab.probe.sessions(*wanted)
    for session, mine in zip(wanted, ours):
        lab.probe.wait_state(session["remote"])
        lab.wait_peer(mine)
    wait_for("pace", lambda: all(p["tx_us"] == 100000 for p in lab.probe.status()["peers"]))
    assert {p["detection_us"] for p in lab.probe.status()["peers"]} == {300000}
    time.sleep(2)
    assert [p["up"] for p in lab.probe.status()["peers"]] == [1, 1, 1, 1]
    assert [p["down"] for p in lab.probe.status()["peers"]] == [0, 0, 0, 0]
    lab.probe.sessions()
    for mine in ours:
        lab.wait_peer(mine, "down")
    if kind == "frr":
        said = lab.router.bfd_session(ours[0])["remote-diagnostic"]
        assert "administratively" in said or "admin" in said, said


def events(lab, kind):
    return [e for e in lab.probe.events if e["event"] == kind]


def watched(lab, kind="frr", family="4", **changes):
    """One fast session with FRR or BIRD, up."""
    if kind == "frr":
        lab.frr(frr_peer(MINE[family]))
    else:
        lab.bird(BIRD_FAST + bird_peer(family))
    lab.probe.sessions(near(family, **changes))
    lab.probe.wait_state(THEIRS[family])
    lab.wait_peer(MINE[family])
    wait_for("pace", lambda: lab.probe.status(THEIRS[family])["detection_us"] == 300000)


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_dead_peer_and_its_return(lab, kind):
    """Stopped, its link cut, killed: each time noticed, and back when it is."""
    watched(lab, kind)
    name = "bfdd" if kind == "frr" else "bird"

    def gone(number):
        wait_for("down", lambda: len(events(lab, "down")) == number)
        down = events(lab, "down")[-1]
        assert down["text"] == "detection time expired" and down["diag"] == EXPIRED

    lab.router.process(name).send_signal(19)  # SIGSTOP: neither a word nor an ICMP error
    try:
        gone(1)
    finally:
        lab.router.process(name).send_signal(18)
    lab.probe.wait_state(THEIRS["4"])
    lab.wait_peer(MINE["4"])
    assert lab.probe.status(THEIRS["4"])["last_diag"] == EXPIRED
    lab.there.ip("link set w down")
    gone(2)
    lab.there.ip("link set w up")
    lab.probe.wait_state(THEIRS["4"])
    lab.router.kill()
    gone(3)


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_one_way_loss(lab, kind):
    """The peer hears nothing of us and says so: its word is enough."""
    watched(lab, kind)
    heal = lab.drop(lab.there, "udp dport 3784")
    down = lab.probe.wait_event("down", THEIRS["4"])
    assert down["text"] == "neighbor signaled session down" and down["diag"] == EXPIRED
    heal()
    lab.probe.wait_state(THEIRS["4"])
    lab.wait_peer(MINE["4"])
    heal = lab.drop(lab.here, "udp dport 3784")  # and the other way: we hear nothing
    wait_for("down", lambda: len(events(lab, "down")) == 2)
    assert events(lab, "down")[1]["text"] == "detection time expired"
    lab.wait_peer(MINE["4"], "down")
    heal()
    lab.probe.wait_state(THEIRS["4"])


def test_one_packet_in_five_is_lost(lab):
    """With a multiplier of 10 on both sides ten in a row are lost once in 10 million times."""
    lab.frr(frr_peer(MINE["4"], "detect-multiplier 10"))
    lab.probe.sessions(near(mult=10))
    lab.probe.wait_state(THEIRS["4"])
    heals = [lab.drop(ns, "numgen random mod 5 == 0 udp dport 3784") for ns in (lab.here, lab.there)]
    wait_for("detection", lambda: lab.probe.status(THEIRS["4"])["detection_us"] == 1000000)
    time.sleep(3)
    for heal in heals:
        heal()
    got = lab.probe.status(THEIRS["4"])
    assert (got["state"], got["up"], got["down"]) == ("up", 1, 0)
    assert got["received"] > 20


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_changed_profile_keeps_the_session(lab, kind):
    """Slower, faster, another multiplier: agreed by polls, no flap on either side."""
    watched(lab, kind)
    for tx, rx, mult in ((400, 100, 3), (50, 200, 5), (100, 100, 3)):
        lab.probe.sessions(near(tx_ms=tx, rx_ms=rx, mult=mult))
        pace = max(tx, 100) * 1000
        wait_for("pace", lambda: lab.probe.status(THEIRS["4"])["tx_us"] == pace)
        detection = 3 * max(rx, 100) * 1000
        wait_for("detection", lambda: lab.probe.status(THEIRS["4"])["detection_us"] == detection)
        if kind == "frr":
            wait_for("FRR", lambda: lab.router.bfd_session(MINE["4"])["remote-transmit-interval"] == tx)
            assert lab.router.bfd_session(MINE["4"])["remote-detect-multiplier"] == mult
        else:
            wait_for("BIRD", lambda: lab.router.bfd_session(MINE["4"])["timeout"] == mult * pace / 1e6)
    got = lab.probe.status(THEIRS["4"])
    assert (got["state"], got["up"], got["down"]) == ("up", 1, 0)
    if kind == "frr":
        assert lab.router.bfd_session(MINE["4"])["session-down"] == 0


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_passive(lab, side):
    """The passive end says nothing before the other one speaks."""
    lab.frr(frr_peer(MINE["4"], *(["passive-mode"] if side == "theirs" else ["shutdown"])))
    lab.probe.sessions(near(passive=side == "ours"))
    if side == "ours":
        time.sleep(1.5)
        assert lab.probe.status(THEIRS["4"])["sent"] == 0
        lab.router.vtysh("configure terminal", "bfd", f"peer {MINE['4']} interface w", "no shutdown")
    lab.probe.wait_state(THEIRS["4"])
    lab.wait_peer(MINE["4"])


def test_admin_down_of_the_peer(lab):
    """Told apart from a failure; back when it is taken back."""
    watched(lab)
    lab.router.vtysh("configure terminal", "bfd", f"peer {MINE['4']} interface w", "shutdown")
    down = lab.probe.wait_event("down", THEIRS["4"])
    assert down["text"] == "neighbor is administratively down"
    lab.router.vtysh("configure terminal", "bfd", f"peer {MINE['4']} interface w", "no shutdown")
    lab.probe.wait_state(THEIRS["4"])


def test_garbage_beside_a_session(lab):
    """What no peer of ours sent is dropped, each for its reason, and the session stays."""
    watched(lab)
    script = """
import socket, sys
def send(ttl, data, port=3784):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    s.sendto(data, (sys.argv[1], port))
good = bytes([0x20, 0x40, 3, 24, 0, 0, 0, 9, 0, 0, 0, 5] + [0, 1, 0, 0] * 3)
for i in range(2000):
    send(254, good)
    send(255, good)
    send(255, good[:10])
    send(255, good, 4784)
"""
    lab.there.run(["/usr/bin/python3", "-c", script, MINE["4"]])
    drops = lab.probe.status()["drops"]
    assert drops["hop limit is not 255"] >= 1000 and drops["short packet"] >= 1000
    assert drops["unknown discriminator"] >= 2000
    time.sleep(0.5)
    got = lab.probe.status(THEIRS["4"])
    assert (got["state"], got["down"]) == ("up", 0)


def test_link_local_and_bound_sockets(lab):
    """Link-local ends, told apart by the interface; sockets of a device, as those of a VRF are."""
    local = {"here": lab.here.link_local("w"), "there": lab.there.link_local("w")}
    lab.frr(frr_peer(MINE["4"]) + frr_peer(local["here"]))
    lab.probe.sessions(near(vrf="w"), near(vrf="w", remote=local["there"], interface="w"))
    for who, ours in ((THEIRS["4"], MINE["4"]), (local["there"], local["here"])):
        lab.probe.wait_state(who)
        lab.wait_peer(ours)
    lab.here.ip("link delete w")
    for who in (THEIRS["4"], local["there"]):
        lab.probe.wait_event("down", who)


FORWARD = {"4": "net.ipv4.ip_forward", "6": "net.ipv6.conf.all.forwarding"}


@pytest.mark.parametrize("family", "46")
def test_echo_of_ours(lab, family):
    """The router's kernel sends our echo packets back; when it no longer does, the session is down for that."""
    lab.there.sysctls({FORWARD[family]: 1})
    watched(lab, family=family, mult=4)
    who = THEIRS[family]
    lab.probe.sessions(near(family, mult=4, echo_ms=50))
    wait_for("echoes", lambda: lab.probe.status(who)["echo_received"] > 10)
    got = lab.probe.status(who)
    assert (got["state"], got["down"]) == ("up", 0)
    heal = lab.drop(lab.there, "udp dport 3785")
    down = lab.probe.wait_event("down", who)
    assert down["text"] == "echo function failed" and down["diag"] == "echo function failed"
    heal()
    lab.probe.wait_state(who)
    before = lab.probe.status(who)["echo_received"]
    wait_for("echoes", lambda: lab.probe.status(who)["echo_received"] > before + 10)


@pytest.mark.parametrize("family", "46")
def test_echo_never_sent_back(lab, family):
    """FRR promises, but its kernel does not forward: found out, and no harm done."""
    watched(lab, family=family)
    who = THEIRS[family]
    lab.probe.sessions(near(family, echo_ms=50))
    wait_for("echoes", lambda: lab.probe.status(who)["echo_sent"] > 20)
    got = lab.probe.status(who)
    assert (got["state"], got["down"], got["echo_received"]) == ("up", 0, 0)


def test_echo_of_the_peer(lab):
    """Our kernel sends FRR's echo packets back; when it does not, FRR says so and we hear it."""
    lab.here.sysctls({"net.ipv4.ip_forward": 1})
    lab.frr(frr_peer(MINE["4"], "echo-mode", "echo transmit-interval 50"))
    lab.probe.sessions(near(echo_rx_ms=50))
    lab.probe.wait_state(THEIRS["4"])

    def echoes():
        return lab.router.bfd_session(MINE["4"]).get("echo-packet-input", 0)

    wait_for("echoes at FRR", lambda: echoes() > 10)
    assert lab.router.bfd_session(MINE["4"])["session-down"] == 0
    heal = lab.drop(lab.here, "udp dport 3785")
    down = lab.probe.wait_event("down", THEIRS["4"])
    assert down["text"] == "neighbor signaled session down" and down["diag"] == "echo function failed"
    heal()
    lab.probe.wait_state(THEIRS["4"])
    lab.wait_peer(MINE["4"])
