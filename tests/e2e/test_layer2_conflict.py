"""Addresses that somebody else uses before we do: conflictPolicy, proxy ARP, and that taking over does not probe."""

import collections
import contextlib
import select
import socket
import time

from tests.cluster import traffic
from tests.e2e.test_layer2_moves import label_node, statuses

IN_USE = "addressInUse"


@contextlib.contextmanager
def held(client, *addresses):
    """A host has the addresses configured."""
    for address in addresses:
        client.ns.ip(f"-6 addr add {address}/128 dev eth0 nodad" if ":" in address else f"addr add {address}/32 dev eth0")
    try:
        yield
    finally:
        for address in addresses:
            client.ns.ip(f"-6 addr del {address}/128 dev eth0" if ":" in address else f"addr del {address}/32 dev eth0")


def first_addresses(lab):
    plan = lab.cluster.plan
    return [plan.pool4().split("-")[0], plan.pool6().split("-")[0]]


def make(lab, policy, **service):
    """A Service that gets the pool's first addresses."""
    lab.pool()
    lab.l2(**({"conflictPolicy": policy} if policy else {}))
    lab.backend("web", replicas=1)
    lab.service("web", **service)
    return lab.wait_addresses("web", 2 if service.get("ipFamilyPolicy") else 1)


def interface_mac(client):
    return client.ns.call(lambda: _mac_of_eth0())


def _mac_of_eth0():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        return traffic.mac_text(sock.getsockname()[4])


def probes(sniffer, address):
    """When ARP probes for the address were seen, by the station that sent them."""
    seen = collections.defaultdict(list)
    for item in sniffer.arp("0.0.0.0"):
        if item.target_ip == address and item.operation == 1:
            seen[item.sender_mac].append(item.at)
    return seen


def test_refuse_leaves_the_address_to_its_host(lab):
    """Both families; and each is announced once the host has given it up."""
    stranger, client = lab.cluster.client("stranger"), lab.cluster.client()
    mac = interface_mac(stranger)
    v4, v6 = first_addresses(lab)
    with held(stranger, v6):
        with held(stranger, v4):
            assert set(make(lab, "Refuse", ipFamilyPolicy="RequireDualStack")) == {v4, v6}
            for address in (v4, v6):
                lab.wait(
                    lambda a=address: [e for e in lab.events("web", IN_USE) if f"address {a}," in e["message"]],
                    10,
                    f"event about {address}",
                )
            assert all(mac in e["message"] and "interface eth0" in e["message"] for e in lab.events("web", IN_USE))
            time.sleep(1)
            assert set(client.arping(v4)) == {mac}
            assert set(client.ndisc(v6)) == {mac}
            assert statuses(lab) == [] and lab.events("web", "nodeAssigned") == []
        lab.wait_answering(v4, 20)
        assert set(client.ndisc(v6)) == {mac}
    lab.wait_answering(v6, 20)


def test_warn_announces_and_tells_at_once(lab):
    stranger, client = lab.cluster.client("stranger"), lab.cluster.client()
    mac = interface_mac(stranger)
    (v4, _) = first_addresses(lab)
    with held(stranger, v4):
        assert make(lab, None) == [v4]
        event = lab.wait_event("web", "addressConflict")
        assert mac in event["message"] and v4 in event["message"] and "interface eth0" in event["message"]
        lab.wait(lambda: set(client.arping(v4)) - {mac}, 5, "a node that answers, too")
    assert lab.events("web", IN_USE) == []


class Router(traffic.Worker):
    """Answers every ARP request for whatever address, probes too, as a router with proxy ARP may."""

    def body(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(traffic.ETH_P_ARP)) as sock:
            sock.bind(("eth0", traffic.ETH_P_ARP))
            own = sock.getsockname()[4]
            self.answered = 0
            self.ready()
            while not self.stopping.is_set():
                if not select.select([sock], [], [], 0.05)[0]:
                    continue
                ask = traffic.parse_arp(sock.recv(2048), 0)
                if not ask or ask.operation != 1 or ask.gratuitous or ask.source == traffic.mac_text(own):
                    continue
                frame = bytearray(traffic.arp_frame(own, ask.target_ip, ask.sender_ip))
                frame[0:6] = frame[32:38] = bytes.fromhex(ask.source.replace(":", ""))
                frame[21] = 2
                sock.send(frame)
                self.answered += 1


def test_proxy_arp_is_no_conflict(lab):
    """A Linux router with proxy_arp, and one that answers even probes. (A station is known for a minute, so another one.)"""
    stranger = lab.cluster.client("router")
    stranger.ns.sysctl(net__ipv4__conf__eth0__proxy_arp=1, net__ipv4__conf__all__forwarding=1)
    try:
        with Router(stranger.ns) as router:
            (address,) = make(lab, "Refuse")
            lab.wait(lambda: lab.events("web", "nodeAssigned"), 10, "the Service announced")
            assert router.answered > 0
        assert lab.events("web", IN_USE) == []
        lab.wait_answering(address)
    finally:
        stranger.ns.sysctl(net__ipv4__conf__eth0__proxy_arp=0, net__ipv4__conf__all__forwarding=0)


def test_probed_once_and_never_when_taking_over(lab):
    """Three probes before the first announcement; none when another node takes the address, which so takes no longer."""
    client = lab.cluster.client()
    with traffic.Sniffer(client.ns, protocol=traffic.ETH_P_ARP) as sniffer:
        (address,) = make(lab, "Refuse")
        lab.wait_answering(address)
        seen = probes(sniffer, address)
        announced = min(item.at for item in sniffer.arp(address) if item.gratuitous)
        # A second node may have thought for a moment that the address would be its own.
        assert seen and all(len(times) == 3 for times in seen.values()), seen
        assert max(map(max, seen.values())) < announced
        lab.wait(lambda: statuses(lab), 20, "a status")
        owner = lab.owner(address)
        with traffic.ArpProbe(client, [address]) as probe:
            moved = time.monotonic()
            label_node(lab, owner.name, "")
            try:
                lab.wait(lambda: probe.first_answer_after(address, moved, other_than=owner.mac), 20, "another node")
            finally:
                label_node(lab, owner.name, None)
            lab.wait(lambda: lab.owner(address) == owner, 20, "the first one again")
        assert probes(sniffer, address) == seen
