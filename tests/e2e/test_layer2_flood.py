"""Floods of ARP requests and solicitations: the speaker lives, answers rightly, keeps its size and counts."""

import ipaddress
import pathlib
import socket
import time

import pytest

from tests.cluster import traffic
from tests.e2e.test_webhook_metrics import accounts, bearer, scrape  # noqa: F401 (a fixture)

SECONDS = 3
# Many frames in one call, since a hundred thousand calls a second are too many for one process of Python.
FLOOD = """
import ctypes, os, socket, sys, time

class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]

class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_len", ctypes.c_uint), ("pieces", ctypes.POINTER(Piece)),
                ("n_pieces", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_len", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]

frames = [bytes.fromhex(line) for line in sys.stdin]
frames *= 256 // len(frames)
pieces = [Piece(frame, len(frame)) for frame in frames]
messages = (Message * len(frames))(*(Message(pieces=ctypes.pointer(piece), n_pieces=1) for piece in pieces))
child = os.fork()
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
send = ctypes.CDLL(None, use_errno=True).sendmmsg
sent, until = 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    done = send(sock.fileno(), messages, len(frames), 0)
    if done < 0:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    sent += done
os.write(1, b"%d\\n" % sent)
if child:
    os.waitpid(child, 0)
"""


def own_mac(client):
    def ask():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth0", 0))
            return sock.getsockname()[4]

    return client.ns.call(ask)


def frames_for(client, node, v4s, v6s):
    """To that node alone: a switch that hands each one to everybody would be what is flooded."""
    mac = own_mac(client)
    frames = [traffic.arp_frame(mac, client.ip4, address) for address in v4s] + [
        traffic.solicitation(mac, "fe80::f10d", address) for address in v6s
    ]
    return [bytes.fromhex(node.mac.replace(":", "")) + frame[6:] for frame in frames]


def anonymous_kb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon:")).split()[1])


def counters(accounts, node):
    """The speaker's layer 2 counters: name with labels -> value."""
    status, body = scrape(accounts.cluster, node.plan.ip4, *bearer(accounts, "scraper"))
    assert status == 200
    lines = [line.rsplit(" ", 1) for line in body.splitlines() if line.startswith("metallb_layer2_")]
    return {name: float(value) for name, value in lines}


@pytest.mark.parametrize("whose", ["ours", "others"])
def test_flood(accounts, whose):
    lab = accounts
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=1)
    lab.service("web", ipFamilyPolicy="RequireDualStack")
    v4, v6 = sorted(lab.wait_addresses("web", 2), key=lambda text: ":" in text)
    lab.wait_answering(v4)
    owner, flooder = lab.owner(v4), lab.cluster.client("flooder")
    pid = lab.speaker(owner.name)["pid"]
    others = [ipaddress.ip_address(text) for text in (v4, v6)]
    frames = {
        "ours": frames_for(flooder, owner, [v4], [v6]),
        "others": frames_for(flooder, owner, *([str(text + n) for n in range(1, 33)] for text in others)),
    }[whose]
    before, size = counters(lab, owner), anonymous_kb(pid)
    with traffic.ArpProbe(lab.cluster.client(), [v4]) as probe:
        text = "".join(frame.hex() + "\n" for frame in frames)
        done = flooder.ns.run(["/usr/bin/python3", "-c", FLOOD, str(SECONDS)], input=text)
        flooded = time.monotonic()
        lab.wait(lambda: probe.first_answer_after(v4, flooded + 0.1), 10, "an answer after the flood")
    sent = sum(map(int, done.stdout.split()))
    print(f"{whose}: {sent / SECONDS:.0f} frames/s, {len(probe.answers[v4])} answers to another client")
    assert lab.speaker(owner.name)["pid"] == pid
    assert {mac for _, mac in probe.answers[v4]} == {owner.mac}
    assert [at for at, _ in probe.answers[v4] if at < flooded], "no answer during the flood"
    assert anonymous_kb(pid) < size + 1024
    after = counters(lab, owner)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    taken = 'metallb_layer2_dropped{reason="otherIP"}'
    if whose == "ours":
        counted = grown[f'metallb_layer2_requests_received{{ip="{v4}"}}']
        counted += grown[f'metallb_layer2_requests_received{{ip="{v6}"}}']
    else:
        counted = grown[taken]
    lost = grown.get("metallb_layer2_overruns", 0)
    assert counted > sent / 100 and counted + lost >= sent, (sent, counted, lost)
