"""One bad router never delays another: a good one hears of each new route while a bad one does its worst."""

import os
import socket
import struct
import time

import pytest

from tests.bgp import wire
from tests.bgp.probe import Probe, wait_for
from tests.cluster.netns import Netns

SOAK = bool(os.environ.get("METALLB_SOAK"))
ROUTES = 1_000_000 if SOAK else 100_000
FLOOD_S = 20 if SOAK else 2
PATIENCE_S = 5  # for one route, on a machine that does much else
GOOD, BAD = "10.66.0.2", "10.67.0.2"
OURS = {GOOD: "10.66.0.1", BAD: "10.67.0.1"}


def peer(name, address, **fields):
    return {"name": name, "my_asn": 65001, "peer_asn": wire.ASN, "address": address, "port": 179,
            "hold": "9s", "keepalive": "3s", "connect": "1s", **fields}


class Lab:
    """The engine in one namespace, a good and a bad router in two others."""

    def __init__(self):
        self.here, self.good_ns, self.bad_ns = (Netns.create(name) for name in ("probe", "good", "bad"))
        for ns, name, address in ((self.good_ns, "good0", GOOD), (self.bad_ns, "bad0", BAD)):
            self.here.ip(f"link add {name} type veth peer name eth0 netns {ns.path}")
            self.here.ip(f"address add {OURS[address]}/24 dev {name}", f"link set {name} up")
            ns.ip(f"address add {address}/24 dev eth0", "link set eth0 up")
        self.probe = Probe(self.here, "--listen", "179")
        self.routes = 0

    def check_good(self, good, count=5):
        """New routes reach the good router, and its session has never broken."""
        for _ in range(count):
            self.routes += 1
            prefix = f"198.18.{self.routes >> 8}.{self.routes & 255}/32"
            self.probe.ask("add", peer="good", prefix=prefix)
            wait_for(prefix, lambda: prefix in good.heard, PATIENCE_S, every=0.01)
        assert self.probe.status("good")["established"] == 1

    def close(self):
        try:
            self.probe.close()
        finally:
            for ns in (self.here, self.good_ns, self.bad_ns):
                ns.close()


@pytest.fixture
def lab():
    made = Lab()
    yield made
    made.close()


@pytest.fixture
def good(lab):
    with wire.Rogue(lab.good_ns, GOOD, wire.good) as made:
        lab.probe.peers(peer("good", GOOD))
        lab.probe.wait_state("good")
        lab.probe.routes("good")
        yield made


def with_bad(lab, **fields):
    lab.probe.peers(peer("good", GOOD), peer("bad", BAD, **fields))


def during(seconds):
    """Turns of a loop for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def test_a_million_routes(lab, good):
    """Counted and dropped: 100,000 (1,000,000 with METALLB_SOAK), and the memory does not grow with them."""
    routes = wire.table(ROUTES)

    def behave(sock, rogue):
        sock.sendall(wire.greeting())
        rogue.take(sock, 1)
        sock.settimeout(60)
        sock.sendall(routes)
        wire.carry_on(sock, rogue)

    with_bad(lab)
    before = lab.probe.status()["max_rss_kb"]
    with wire.Rogue(lab.bad_ns, BAD, behave):
        wait_for("bad", lambda: lab.probe.status("bad")["prefixes_received"] > 0)
        lab.check_good(good)
        wait_for("all routes", lambda: lab.probe.status("bad")["prefixes_received"] == ROUTES, 60)
        lab.check_good(good)
        assert lab.probe.status("bad")["state"] == "Established"
    assert lab.probe.status()["max_rss_kb"] - before < 20000


def test_notification_flood(lab, good):
    """A router that answers every connection with a thousand NOTIFICATIONs is tried again, ever more rarely."""
    flood = wire.message(wire.NOTIFICATION, b"\x06\x05") * 1000

    def behave(sock, rogue):
        sock.sendall(flood)
        rogue.take(sock, 1)

    with wire.Rogue(lab.bad_ns, BAD, behave) as bad:
        with_bad(lab)
        for _ in during(FLOOD_S):
            lab.check_good(good)
        wait_for("attempts", lambda: bad.connections > 1)
        assert bad.connections < 10 + 2 * FLOOD_S
    failures = [e for e in lab.probe.events if e["event"] == "failed" and e["peer"] == "bad"]
    assert len({e["text"] for e in failures}) == len(failures)  # each reason is told once


def test_notifications_of_one_who_comes_to_us(lab, good):
    """The same by connections to our port: only some a second are taken, the others refused."""
    lab.bad_ns.ip("route add 10.66.0.0/24 via 10.67.0.1")

    def behave(sock, rogue):
        sock.sendall(wire.message(wire.NOTIFICATION, b"\x06\x05") * 100)
        rogue.take(sock, 1)

    with_bad(lab)
    with wire.Rogue(lab.bad_ns, BAD, behave, connect=(OURS[BAD], 179)) as bad:
        for _ in during(FLOOD_S):
            lab.check_good(good)
        wait_for("refusals", lambda: lab.probe.status("bad")["refused"] > 10)
    status = lab.probe.status("bad")
    assert status["notifications_received"] < 10 + 2 * (FLOOD_S + PATIENCE_S) < bad.connections


def test_syn_flood(lab):
    """SYNs from nowhere on our port; a good router that connects to it comes through."""
    with_bad(lab)
    with wire.SynFlood(lab.bad_ns, "10.67.0.0/24", OURS[BAD]) as flood:
        wait_for("a flood", lambda: flood.sent > 1000)
        with wire.Rogue(lab.good_ns, GOOD, wire.good, connect=(OURS[GOOD], 179)) as good:
            lab.probe.wait_state("good")
            for _ in during(FLOOD_S):
                lab.check_good(good)
    assert flood.sent > 2000


def test_half_open_sessions(lab, good):
    """Connections that say nothing, or half a message: two are held, the others closed."""
    with_bad(lab)

    def pile():
        socks = []
        for i in range(40):
            sock = socket.create_connection((OURS[BAD], 179), source_address=(BAD, 0), timeout=5)
            sock.sendall(wire.open_message()[: i % 30])
            socks.append(sock)
        return socks

    socks = lab.bad_ns.call(pile)
    try:
        wait_for("refusals", lambda: lab.probe.status("bad")["refused"] >= 38)
        lab.check_good(good)
        assert sum(not ended(sock) for sock in socks) <= 2
    finally:
        for sock in socks:
            sock.close()


def ended(sock):
    """Whether the other side has closed it; what it sent before does not count."""
    sock.settimeout(0.05)
    try:
        while sock.recv(4096):
            pass
        return True
    except socket.timeout:
        return False
    except OSError:
        return True


def test_a_stranger_is_turned_away(lab, good):
    """Somebody who is no peer gets nothing but the end."""
    lab.bad_ns.ip("address add 10.67.0.77/24 dev eth0")
    with_bad(lab)
    for _ in range(20):
        sock = lab.bad_ns.call(
            lambda: socket.create_connection((OURS[BAD], 179), source_address=("10.67.0.77", 0), timeout=5)
        )
        with sock:
            assert ended(sock)
    lab.check_good(good)
    assert lab.probe.status("bad")["total_received"] == 0


def test_wrong_password_at_our_port(lab, good):
    """The kernel drops what is not signed, or signed otherwise; with the right password it is a session."""
    with_bad(lab, password="right")

    def connect(password):
        sock = wire.md5_socket(BAD, OURS[BAD], password)
        sock.settimeout(1.5)
        sock.connect((OURS[BAD], 179))
        return sock

    with pytest.raises(OSError):
        lab.bad_ns.call(lambda: connect("wrong"))
    with pytest.raises(OSError):
        lab.bad_ns.call(lambda: socket.create_connection((OURS[BAD], 179), source_address=(BAD, 0), timeout=1.5))
    lab.check_good(good)
    with lab.bad_ns.call(lambda: connect("right")) as sock:
        sock.sendall(wire.greeting())
        lab.probe.wait_state("bad")
    lab.check_good(good)


@pytest.mark.parametrize("as4", [True, False])
def test_octet_by_octet(lab, good, as4):
    """A router that sends every octet alone, with four-octet AS numbers and without."""
    path = struct.pack("!BBI", 2, 1, wire.ASN) if as4 else struct.pack("!BBH", 2, 1, wire.ASN)
    attributes = b"\x40\x01\x01\x00\x40\x02" + bytes([len(path)]) + path + b"\x40\x03\x04" + socket.inet_aton(BAD)
    body = struct.pack("!HH", 0, len(attributes)) + attributes + b"\x20\x14\x00\x00\x01"
    stream = wire.greeting(as4=as4) + wire.message(wire.UPDATE, body) * 3 + wire.message(wire.KEEPALIVE)

    def behave(sock, rogue):
        for at in range(len(stream)):
            sock.sendall(stream[at : at + 1])
            time.sleep(0.001)
        wire.carry_on(sock, rogue)

    with wire.Rogue(lab.bad_ns, BAD, behave):
        with_bad(lab)
        lab.probe.wait_state("bad")
        wait_for("3 routes", lambda: lab.probe.status("bad")["prefixes_received"] == 3)
        lab.check_good(good)
    assert lab.probe.status("bad")["updates_malformed"] == 0
