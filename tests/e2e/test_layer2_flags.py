"""Layer 2 with flags that are off by default: --l2-keep and --l2-uplink-check."""

import time

import pytest

from tests.cluster import traffic
from tests.cluster.api import path_of
from tests.e2e.lab import SYSTEM, wait_installed
from tests.e2e.test_layer2_moves import label_node
from tests.e2e.test_lifecycle_resource import is_rolled
from tests.e2e.test_webhook_metrics import accounts, bearer, scrape  # noqa: F401 (a fixture)

FLAGS = {"METALLB_L2_KEEP": "true", "METALLB_L2_UPLINK_CHECK": "600ms"}
UNMANAGED = "metallb.io/unmanaged"


def set_flags(cluster, mark, values):
    """The environment of the speakers' containers; they are replaced one after another."""
    env = [{"name": name, "value": value} for name, value in values.items()]
    template = {"spec": {"containers": [{"name": "speaker", "env": env}]}}
    cluster.api.request(
        "PATCH",
        path_of("DaemonSet", "speaker", SYSTEM),
        {"metadata": {"annotations": {UNMANAGED: mark}}, "spec": {"template": template}},
        content_type="application/strategic-merge-patch+json",
    )
    cluster.wait_for(lambda: is_rolled(cluster), 90, "speakers with other flags")
    wait_installed(cluster)


@pytest.fixture(scope="module", name="flags")
def _flags(cluster):
    """For the tests here; and a gateway on the LAN for all nodes."""
    gateway = cluster.client("gateway")
    for node in cluster.nodes:
        node.ns.ip(f"route replace default via {gateway.ip4} dev eth0", f"-6 route replace default via {gateway.ip6} dev eth0")
    set_flags(cluster, "true", FLAGS)
    yield gateway
    for node in cluster.nodes:
        node.ns.ip("route del default", "-6 route del default")
    cluster.api.patch("DaemonSet", "speaker", {"metadata": {"annotations": {UNMANAGED: None}}}, SYSTEM)
    cluster.wait_for(
        lambda: not set(FLAGS) & environment(cluster) and is_rolled(cluster), 90, "speakers with the flags of before"
    )
    wait_installed(cluster)


def environment(cluster):
    pod = cluster.get("DaemonSet", "speaker", SYSTEM)["spec"]["template"]["spec"]
    return {item["name"] for item in pod["containers"][0]["env"]}


def deaf(gateway, *nodes):
    """The gateway answers those nodes no more; call the return value to end that."""
    text = "table arp deaf { chain in { type filter hook input priority 0; %s }; }\n" % " ".join(
        f"arp saddr ether {node.mac} drop;" for node in nodes
    )
    text += "table ip6 deaf { chain in { type filter hook input priority 0; %s }; }\n" % " ".join(
        f"ether saddr {node.mac} icmpv6 type nd-neighbor-solicit drop;" for node in nodes
    )
    gateway.run(["nft", "-f", "-"], input=text)
    return lambda: gateway.run(["nft", "-f", "-"], input="delete table arp deaf\ndelete table ip6 deaf\n")


@pytest.fixture(name="uplink")
def _uplink(accounts):  # noqa: F811
    """What the metric of a node's speaker says of its gateway; None: it never answered."""
    words = bearer(accounts, "scraper")

    def ask(node):
        status, text = scrape(accounts.cluster, node.plan.ip4, *words)
        assert status == 200, text
        for line in text.splitlines():
            if line.startswith('metallb_layer2_uplink_up{interface="eth0"}'):
                return float(line.split()[-1])
        return None

    return ask


@pytest.fixture(name="address")
def _address(lab, flags, uplink):
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=2, apart=True)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    lab.wait_answering(address)
    lab.wait(lambda: all(uplink(node) == 1 for node in lab.cluster.nodes), 10, "a gateway that answers everywhere")
    return address


def test_dead_uplink_hands_over(lab, flags, address, uplink):
    """The node is Ready and its speaker lives, but the gateway does not answer it: another node answers, and why."""
    owner = lab.wait_answering(address)
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        cut = time.monotonic()
        heal = deaf(flags, owner)
        try:
            at = lab.wait(lambda: probe.first_answer_after(address, cut, owner.mac), 10, "another node")
            lab.wait(lambda: probe.owner(address) and owner.mac not in probe.owner(address), 5, "the owner silent")
            status = lab.speaker_status(owner)
        finally:
            heal()
        other = lab.wait_answering(address)
        event = lab.wait_event("web", "uplinkDead")
        lab.wait(lambda: uplink(owner) == 1, 10, "the gateway answering again")
        time.sleep(1)
        assert probe.owner(address) == {other.mac}  # kept: METALLB_L2_KEEP
    print(f"gateway gone to another node's first answer: {at - cut:.2f} s, longest gap {probe.longest_gap(address):.2f} s")
    for part in (owner.name, flags.ip4, flags.ip6, "eth0"):
        assert part in event["message"]
    assert event["type"] == "Warning"
    assert ["dead"] == [item["uplink"] for item in status["interfaces"] if item["name"] == "eth0"]
    assert [f"node {other.name} is elected"] == [item["layer2"] for item in status["services"]]
    assert {item["node"]: item["heartbeats"] for item in status["speakers"]}[other.name] == "up"
    assert probe.longest_gap(address) < 1


def test_gateway_that_is_dead_for_all_moves_nothing(lab, flags, address, uplink):
    owner = lab.wait_answering(address)
    heal = deaf(flags, *lab.cluster.nodes)
    try:
        lab.wait(lambda: all(uplink(node) == 0 for node in lab.cluster.nodes), 10, "the gateway dead for all")
        time.sleep(1)
        assert lab.owner(address) is owner
    finally:
        heal()
    lab.wait(lambda: all(uplink(node) == 1 for node in lab.cluster.nodes), 10, "the gateway alive for all")
    assert lab.owner(address) is owner


def test_keeper_keeps(lab, address):
    """Whoever took over goes on when the first one is back; and gives way when it must."""
    first = lab.wait_answering(address)
    label_node(lab, first.name, "")
    try:
        second = lab.wait(lambda: (node := lab.owner(address)) and node is not first and node, 10, "another node")
    finally:
        label_node(lab, first.name, None)
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        time.sleep(3)
    assert {mac for _, mac in probe.answers[address]} == {second.mac}
    label_node(lab, second.name, "")
    try:
        lab.wait(lambda: (node := lab.owner(address)) and node is not second, 10, "another node again")
    finally:
        label_node(lab, second.name, None)
