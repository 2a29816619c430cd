"""Addresses in layer 2 that move: on purpose without a gap, and where policy and selectors want them."""

import json
import socket
import time

import pytest

from tests.cluster import traffic
from tests.e2e.lab import SYSTEM

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
# A move without an overlap would cost a fail-over, about 5 s; a busy machine may delay a probe by tenths.
NO_CRASH_S = 1.5


def announced(lab, **service):
    """A Service with three backends that is answered for: its first address."""
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=3)
    lab.service("web", **service)
    address = lab.wait_addresses("web", 2 if service.get("ipFamilyPolicy") else 1)[0]
    lab.wait_answering(address)
    return address


def statuses(lab, name="web"):
    found = lab.api.list("ServiceL2Status", SYSTEM)
    return [item for item in found if item.get("status", {}).get("serviceName") == name]


def label_node(lab, name, value):
    lab.api.patch("Node", name, {"metadata": {"labels": {EXCLUDE: value}}})


def test_drain_by_label_has_no_gap(lab):
    address = announced(lab)
    owner = lab.owner(address)
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        time.sleep(0.3)
        moved = time.monotonic()
        label_node(lab, owner.name, "")
        try:
            lab.wait(
                lambda: probe.first_answer_after(address, moved, other_than=owner.mac), 5, "another node's answer"
            )
            time.sleep(0.5)
            assert owner.mac not in probe.owner(address)
        finally:
            label_node(lab, owner.name, None)
    assert probe.longest_gap(address) < NO_CRASH_S
    assert probe.together(address) < NO_CRASH_S


def test_speaker_deleted_hands_over(lab):
    """SIGTERM: another node answers before the process ends."""
    address = announced(lab)
    owner = lab.owner(address)
    pods = [pod for pod in lab.cluster.pods(SYSTEM, component="speaker") if pod["spec"].get("nodeName") == owner.name]
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        time.sleep(0.3)
        lab.api.delete("Pod", pods[0]["metadata"]["name"], SYSTEM)
        time.sleep(4)
    assert probe.longest_gap(address) < NO_CRASH_S
    assert len({mac for _, mac in probe.answers[address]}) == 2


def test_status_object_follows_the_owner(lab):
    address = announced(lab)
    owner = lab.owner(address)
    lab.wait(lambda: [item["status"]["node"] for item in statuses(lab)] == [owner.name], 5, "the owner's status")
    (item,) = statuses(lab)
    assert item["metadata"]["name"].startswith("l2-")
    assert item["metadata"]["labels"]["metallb.io/node"] == owner.name
    assert item["metadata"]["ownerReferences"][0]["kind"] == "Pod"
    label_node(lab, owner.name, "")
    try:
        lab.wait(lambda: [s["status"]["node"] for s in statuses(lab)] not in ([], [owner.name]), 5, "a new status")
    finally:
        label_node(lab, owner.name, None)
    lab.wait(lambda: [item["status"]["node"] for item in statuses(lab)] == [owner.name], 5, "the owner's again")
    lab.api.delete("Service", "web", lab.namespace)
    lab.wait(lambda: statuses(lab) == [], 5, "no status")


def test_interfaces_of_the_advertisement(lab):
    lab.pool()
    lab.l2(interfaces=["none0"])
    lab.backend("web", replicas=1)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    event = lab.wait_event("web", "announceFailed")
    assert address in event["message"] and event["type"] == "Warning"
    assert lab.cluster.client().arping(address, timeout=0.5) == []
    lab.api.patch("L2Advertisement", "l2", {"spec": {"interfaces": ["none0", "eth0"]}}, SYSTEM)
    lab.wait_answering(address, 5)
    lab.wait(lambda: statuses(lab), 5, "a status")
    assert {"name": "eth0"} in statuses(lab)[0]["status"]["interfaces"]


@pytest.fixture(name="second")
def _second(lab):
    """A second interface of each node: (node, its port on the switch, its MAC)."""
    lan, made = lab.cluster.lan, []
    try:
        for node in lab.cluster.nodes:
            port = lan.plug(node.ns, "eth1")
            links = json.loads(node.ns.run(["ip", "-json", "link", "show", "eth1"]).stdout)
            made.append((node, port, links[0]["address"]))
        yield made
    finally:
        for _, port, _ in made:
            lan.unplug(port)


def test_carrier_lost_where_it_is_announced(lab, second):
    """The node is well and reached by its other interface: another one takes over at once, and gives it back."""
    lab.pool()
    lab.l2(interfaces=["eth1"])
    lab.backend("web", replicas=3)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        mac = lab.wait(lambda: len(found := probe.owner(address)) == 1 and min(found), 30, "one node answering")
        owner, port, _ = next(item for item in second if item[2] == mac)
        cut = time.monotonic()
        lab.cluster.lan.port_set(port, False)
        try:
            at = lab.wait(lambda: probe.first_answer_after(address, cut, other_than=mac), 10, "another node's answer")
            assert probe.owner(address) < {item[2] for item in second}  # by that interface, too
        finally:
            lab.cluster.lan.port_set(port, True)
        lab.wait(lambda: probe.owner(address) == {mac}, 10, f"{owner.name} answering again")
    print(f"carrier lost to another node's answer: {at - cut:.2f} s, at most {probe.longest_gap(address):.2f} s without one")
    assert at - cut < NO_CRASH_S
    assert probe.together(address) < NO_CRASH_S


def test_policy_local_follows_the_backend(lab):
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=1)
    lab.service("web", externalTrafficPolicy="Local")
    (address,) = lab.wait_addresses("web")
    lab.wait_answering(address)
    (pod,) = lab.cluster.pods(lab.namespace, app="web")
    assert lab.owner(address).name == pod["spec"]["nodeName"]


def test_both_families_from_one_node(lab):
    """IPv6 by neighbour discovery, also for one who wants to take the address."""
    announced(lab, ipFamilyPolicy="RequireDualStack")
    v4, v6 = sorted(lab.addresses("web"), key=lambda text: ":" in text)
    client = lab.cluster.client()
    lab.wait(lambda: client.ndisc(v6), 8, "an advertisement")
    assert set(client.ndisc(v6)) == {lab.owner(v4).mac}
    # Duplicate address detection of a host that configures the address must fail.
    client.ns.ip(f"-6 addr add {v6}/64 dev eth0")
    try:
        lab.wait(
            lambda: "dadfailed" in client.run(["ip", "-6", "addr", "show", "dev", "eth0"]).stdout,
            6,
            "the duplicate noticed",
        )
    finally:
        client.ns.ip(f"-6 addr del {v6}/64 dev eth0")


class Claimer(traffic.Worker):
    """Says again and again that an address is its own, as a host that has it configured might."""

    def __init__(self, client, address):
        super().__init__(client.ns)
        self._address = address
        self.mac = None

    def body(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(traffic.ETH_P_ARP)) as sock:
            sock.bind(("eth0", traffic.ETH_P_ARP))
            own = sock.getsockname()[4]
            self.mac = traffic.mac_text(own)
            self.ready()
            while not self.stopping.wait(0.5):
                sock.send(traffic.arp_frame(own, self._address, self._address))


def test_a_station_that_goes_on_claiming_is_told(lab):
    """An event with its hardware address; and the owner does not yield."""
    address = announced(lab)
    owner = lab.owner(address)
    client = lab.cluster.client()
    with traffic.ArpProbe(client, [address]) as probe, Claimer(client, address) as claimer:
        event = lab.wait_event("web", "addressConflict")
    for part in (address, claimer.mac, "eth0", owner.name):
        assert part in event["message"]
    assert {mac for _, mac in probe.answers[address]} == {owner.mac}
