"""Addresses on the wire: one node answers, and another one when that cannot."""

import socket
import struct
import time

import pytest

from tests.cluster import traffic


@pytest.fixture(name="web")
def _web(lab):
    """A Service with backends on the wire: its address."""
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=3)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    lab.wait_answering(address)
    lab.wait(lambda: lab.cluster.client().curl(address), 10, "an answer over HTTP")
    return address


def test_exactly_one_node_answers(lab, web):
    with traffic.ArpProbe(lab.cluster.client(), [web]) as probe:
        time.sleep(1)
    macs = {mac for _, mac in probe.answers[web]}
    assert len(macs) == 1
    assert lab.cluster.node_of_mac(macs.pop())
    assert len(probe.answers[web]) > 80


def test_requests_flow(lab, web):
    with traffic.Load(lab.cluster.client(), [(web, 80)], rate=100) as load:
        time.sleep(2)
    assert len(load.requests) > 150
    assert load.failed() == []
    assert lab.get("web")["spec"]["type"] == "LoadBalancer"


def test_no_advertisement_no_answer(lab):
    lab.pool()
    lab.backend("web", replicas=1)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    assert lab.cluster.client().arping(address, timeout=0.5) == []
    lab.l2()
    lab.wait_answering(address, 5)
    lab.api.delete("L2Advertisement", "l2", "metallb-system")
    lab.wait(lambda: not lab.cluster.client().arping(address, timeout=0.3), 5, "silence")


def test_no_ready_backend_no_answer(lab):
    lab.pool()
    lab.l2()
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    assert lab.cluster.client().arping(address, timeout=0.5) == []
    lab.backend("web", replicas=1)
    lab.wait_answering(address, 5)


def test_speaker_killed(lab, web):
    """kill -9 of the announcing speaker: it or another one answers again, and requests go on."""
    owner = lab.owner(web)
    item = lab.speaker(owner.name)
    with traffic.ArpProbe(lab.cluster.client(), [web]) as probe:
        with traffic.Load(lab.cluster.client(), [(web, 80)], rate=50) as load:
            time.sleep(0.3)
            killed = time.monotonic()
            lab.cluster.signal_container(item)
            lab.wait(lambda: probe.first_answer_after(web, killed + 0.05), 15, "an answer after the kill")
            time.sleep(1)
    assert probe.first_answer_after(web, killed + 0.05) - killed < 10
    # The client knows the address meanwhile, and the node goes on forwarding.
    assert load.failed() == []


def test_node_killed_moves_the_address_with_gratuitous_arp(lab, web):
    owner = lab.owner(web)
    client = lab.cluster.client()
    with traffic.Sniffer(client.ns, protocol=traffic.ETH_P_ARP) as sniffer:
        killed = time.monotonic()
        owner.kill()
        lab.wait(lambda: lab.owner(web) not in (None, owner), 15, "another node answering")
        lab.wait(lambda: client.curl(web, timeout=1), 15, "HTTP by the new way")
    successor = lab.owner(web)
    announced = [frame for frame in sniffer.arp(web) if frame.gratuitous and frame.at > killed]
    assert announced, "the new owner has not announced itself"
    assert {frame.sender_mac for frame in announced} == {successor.mac}
    assert {frame.destination for frame in announced} == {"ff:ff:ff:ff:ff:ff"}
    assert {frame.operation for frame in announced} == {1, 2}
    assert client.neighbour(web) == successor.mac


def test_client_follows_without_asking(lab, web):
    """A neighbour table that holds the old owner is set right by the announcement alone."""
    owner = lab.owner(web)
    client = lab.cluster.client()
    client.curl(web)
    assert client.neighbour(web) == owner.mac
    owner.kill()
    lab.wait(lambda: client.neighbour(web) not in (owner.mac, None), 15, "the neighbour table following")


def raw_arp(operation=1, hardware=1, protocol=0x0800, lengths=(6, 4), target=None, destination=None, cut=None):
    """Builds ARP frames, odd ones too; the caller fills in the addresses."""

    def build(source_mac, source_ip):
        head = (destination or traffic.BROADCAST) + source_mac + struct.pack("!H", traffic.ETH_P_ARP)
        body = struct.pack("!HHBBH", hardware, protocol, *lengths, operation)
        body += source_mac + socket.inet_aton(source_ip) + bytes(6) + socket.inet_aton(target)
        return (head + body)[:cut]

    return build


def answers_to(client, address, build):
    """Who answers one raw frame within half a second."""

    def ask():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(traffic.ETH_P_ARP)) as sock:
            sock.bind(("eth0", traffic.ETH_P_ARP))
            sock.settimeout(0.05)
            sock.send(build(sock.getsockname()[4], client.ip4))
            until, seen = time.monotonic() + 0.5, []
            while time.monotonic() < until:
                try:
                    frame = traffic.parse_arp(sock.recv(2048), time.monotonic())
                except TimeoutError:
                    continue
                if frame and frame.operation == 2 and frame.sender_ip == address and not frame.gratuitous:
                    seen.append(frame)
            return seen

    return client.ns.call(ask)


def test_odd_arp_frames(lab, web):
    """Short frames, other hardware, replies, requests to somebody else: never answered, and nothing breaks."""
    client = lab.cluster.client()
    assert len(answers_to(client, web, raw_arp(target=web))) == 1
    odd = [
        raw_arp(target=web, operation=2),
        raw_arp(target=web, operation=0),
        raw_arp(target=web, hardware=6),
        raw_arp(target=web, protocol=0x86DD),
        raw_arp(target=web, lengths=(8, 4)),
        raw_arp(target=web, lengths=(6, 16)),
        raw_arp(target=web, cut=30),
        raw_arp(target=web, destination=bytes.fromhex("02deadbeef00")),
    ]
    for number, build in enumerate(odd):
        assert answers_to(client, web, build) == [], f"odd frame {number} was answered"
    (reply,) = answers_to(client, web, raw_arp(target=web))
    owner = lab.owner(web)
    assert (reply.sender_mac, reply.source) == (owner.mac, owner.mac)
    assert (reply.target_ip, reply.target_mac) == (client.ip4, reply.destination)


def test_somebody_else_claims_the_address(lab, web):
    """Gratuitous ARP of a stranger with our address: the speaker stays up and goes on answering."""
    stranger = lab.cluster.client("stranger")
    owner = lab.owner(web)

    def claim():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(traffic.ETH_P_ARP)) as sock:
            sock.bind(("eth0", traffic.ETH_P_ARP))
            for _ in range(5):
                sock.send(traffic.arp_frame(sock.getsockname()[4], web, web))

    stranger.ns.call(claim)
    pid = lab.speaker(owner.name)["pid"]
    time.sleep(0.5)
    assert lab.speaker(owner.name)["pid"] == pid
    assert lab.owner(web) is not None


def test_each_speaker_says_what_it_thinks_of_the_configuration(lab):
    names = {f"speaker-{node.name}" for node in lab.cluster.nodes}

    def states():
        found = lab.api.list("ConfigurationState", "metallb-system")
        return {obj["metadata"]["name"]: obj for obj in found if obj["metadata"]["name"] in names}

    def all_are(result, text=""):
        found = states()
        return set(found) == names and all(
            obj.get("status", {}).get("result") == result and text in (obj["status"].get("errorSummary") or "")
            for obj in found.values()
        )

    lab.wait(lambda: all_are("Valid"), 15, "all speakers content")
    for name, obj in states().items():
        assert obj["metadata"]["labels"]["metallb.io/component-type"] == "speaker"
        assert obj["metadata"]["labels"]["metallb.io/node-name"] == name.removeprefix("speaker-")
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"][:8]) == ("Pod", "speaker-")
    peer = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1", "bfdProfile": "absent"}
    lab.custom("BGPPeer", "strange", peer, "v1beta2")
    lab.wait(lambda: all_are("Invalid", "BGPPeer strange"), 15, "all speakers naming the peer")
    lab.api.delete("BGPPeer", "strange", "metallb-system")
    lab.wait(lambda: all_are("Valid"), 15, "all speakers content again")
