"""The whole product as a router on the LAN sees it: sessions of all speakers, routes, traffic, reasons."""

import ipaddress
import json
import threading
import time

import pytest

from tests.bgp.routers import ASN, Frr
from tests.e2e.lab import SYSTEM, pod_ready
from tests.e2e.test_webhook_metrics import READER, bearer, scrape

MY_ASN = 4200000001
POOL4, POOL6 = "198.51.100.0/24", "2001:db8:77::/120"
ESTABLISHED = "Established"


def speakers(cluster):
    return cluster.pods(SYSTEM, app="metallb", component="speaker")


def speakers_on(cluster, node):
    """The speaker Pods of a node: while one is replaced, none, one or two. A new one has no node at first."""
    return [pod for pod in speakers(cluster) if pod["spec"].get("nodeName") == node.name]


def replace_speaker(cluster, node):
    """Deletes it and waits until another is Ready."""
    (old,) = speakers_on(cluster, node)

    def replaced():
        pods = [pod for pod in speakers_on(cluster, node) if pod["metadata"]["uid"] != old["metadata"]["uid"]]
        return pods and pod_ready(pods[0])

    cluster.api.delete("Pod", old["metadata"]["name"], SYSTEM)
    cluster.wait_for(replaced, 30, f"another speaker on {node.name}")


def backend_of(pod):
    env = pod["spec"]["containers"][0].get("env") or []
    return next((item["value"] for item in env if item["name"] == "METALLB_BGP_TYPE"), "native")


def set_backend(cluster, value):
    """The MetalLB resource's bgpBackend; waits until all speakers run with it."""
    cluster.api.patch("MetalLB", "metallb", {"spec": {"bgpBackend": value or None}}, SYSTEM)

    def everywhere():
        right = [pod for pod in speakers(cluster) if backend_of(pod) == (value or "native") and pod_ready(pod)]
        return len(right) == len(speakers(cluster)) == len(cluster.nodes)

    cluster.wait_for(everywhere, 60, f"all speakers with bgpBackend {value}")


@pytest.fixture(scope="module")
def frr_backend(cluster):
    set_backend(cluster, "frr")
    yield cluster
    set_backend(cluster, "")


@pytest.fixture
def router(lab):
    """FRR on a machine of the LAN; to be started with the speakers as neighbours."""
    made = []

    def start(my_asn=MY_ASN, families="46", asn=ASN, machine="router", **neighbor):
        machine = lab.cluster.client(machine)
        neighbors = [
            {"address": n.plan.ip4, "local": machine.ip4, "asn": my_asn, "families": families, **neighbor}
            for n in lab.cluster.nodes
        ]
        frr = Frr(machine.ns, neighbors, asn=asn)
        made.append(frr)
        frr.machine = machine
        frr.start()
        return frr

    yield start
    for frr in made:
        frr.close()


def peer(lab, address, name="tor", **spec):
    wanted = {"myASN": MY_ASN, "peerASN": ASN, "peerAddress": address, **spec}
    return lab.custom("BGPPeer", name, wanted, "v1beta2")


def serve(lab, pool=(POOL4, POOL6), policy="RequireDualStack", **advertisement):
    """A Service with a backend on each node, announced so: its addresses, of both families if not told else."""
    lab.pool("routed", list(pool))
    lab.custom("BGPAdvertisement", "routed", {"ipAddressPools": ["routed"], **advertisement})
    lab.backend("web", replicas=3)
    lab.service("web", ipFamilyPolicy=policy)
    return sorted(lab.wait_addresses("web", len(pool)), key=lambda text: ":" in text)


def host_prefix(address):
    return f"{address}/{ipaddress.ip_address(address).max_prefixlen}"


def state(frr, node):
    return frr.neighbor(node.plan.ip4).get("bgpState")


def wait_sessions(lab, frr):
    lab.wait(lambda: all(state(frr, n) == ESTABLISHED for n in lab.cluster.nodes), 20, f"sessions: {frr.logs()}")


def paths(frr, prefix):
    """All paths that FRR has for a prefix."""
    family = "ipv6" if ":" in prefix else "ipv4"
    text = frr.vtysh(f"show bgp {family} unicast {prefix} json").strip()
    return json.loads(text).get("paths", []) if text else []


def global_hops(found):
    """Next hops; with an IPv6 one FRR may show the link-local address besides."""
    return {hop["ip"] for path in found for hop in path["nexthops"] if hop.get("scope") != "link-local"}


def kernel_hops(frr, prefix):
    """The gateways of the route in the router's kernel."""
    option = "-6" if ":" in prefix else "-4"
    routes = json.loads(frr.machine.run(["ip", "-json", option, "route", "show", prefix]).stdout or "[]")
    hops = [hop for route in routes for hop in route.get("nexthops", [route])]
    return {hop["gateway"] for hop in hops if "gateway" in hop}


def statuses(lab):
    found = lab.api.list("ServiceBGPStatus", SYSTEM)
    return {item["status"]["node"]: item for item in found if item.get("status", {}).get("serviceName") == "web"}


def check_defaults(lab, frr, address, hold_s, local_pref):
    """What a router sees of a BGPPeer that leaves all open: the hold time and iBGP's preference."""
    wait_sessions(lab, frr)
    prefix = host_prefix(address)
    lab.wait(lambda: len(paths(frr, prefix)) == 3, 10, f"three paths for {prefix}")
    assert {path.get("locPrf") for path in paths(frr, prefix)} == {local_pref}
    holds = {frr.neighbor(node.plan.ip4)["bgpTimerHoldTimeMsecs"] for node in lab.cluster.nodes}
    assert holds == {hold_s * 1000}


def test_defaults_of_native(lab, router):
    frr = router(my_asn=ASN, families="4", hold=240)
    peer(lab, frr.machine.ip4, myASN=ASN)
    (address,) = serve(lab, [POOL4], "SingleStack")
    check_defaults(lab, frr, address, 90, 0)


def test_defaults_of_frr(frr_backend, lab, router):
    frr = router(my_asn=ASN, families="4", hold=240)
    peer(lab, frr.machine.ip4, myASN=ASN)
    (address,) = serve(lab, [POOL4], "SingleStack")
    check_defaults(lab, frr, address, 180, 100)


def test_three_speakers_one_router(frr_backend, lab, router):
    """Both families over one session each: attributes, ECMP, HTTP, status, metric, withdrawal."""
    frr = router()
    peer(lab, frr.machine.ip4, dualStackAddressFamily=True, connectTime="1s")
    addresses = serve(lab, communities=["65000:77", "large:65000:1:7"])
    wait_sessions(lab, frr)
    nodes = {node.name for node in lab.cluster.nodes}
    for address, hops in zip(
        addresses,
        ({n.plan.ip4 for n in lab.cluster.nodes}, {n.plan.ip6 for n in lab.cluster.nodes}),
    ):
        prefix = host_prefix(address)
        lab.wait(lambda: len(paths(frr, prefix)) == 3, 10, f"three paths for {prefix}")
        for path in paths(frr, prefix):
            assert path["aspath"]["string"] == str(MY_ASN)
            assert path["community"]["list"] == ["65000:77"]
            assert path["largeCommunity"]["list"] == ["65000:1:7"]
            assert path["origin"] == "IGP"
        assert global_hops(paths(frr, prefix)) == hops
        lab.wait(lambda: len(kernel_hops(frr, address)) == 3, 10, f"ECMP for {prefix} in the kernel")
        assert frr.machine.curl(address) is not None
    check_forwarding(lab, frr.machine, addresses)
    lab.wait(lambda: set(statuses(lab)) == nodes, 10, "a ServiceBGPStatus of each node")
    for item in statuses(lab).values():
        assert item["status"]["peers"] == ["tor"]
        assert item["metadata"]["name"].startswith("bgp-")
    check_metric(lab, f'metallb_bgp_session_up{{peer="{frr.machine.ip4}:179",vrf="default"}} 1')
    lab.api.delete("Service", "web", lab.namespace)
    for address in addresses:
        lab.wait(lambda: not paths(frr, host_prefix(address)), 5, f"{address} withdrawn")
    lab.wait(lambda: not statuses(lab), 5, "no ServiceBGPStatus")
    # an end of the Service is no reason to end a session
    assert all(state(frr, node) == ESTABLISHED for node in lab.cluster.nodes)


def check_forwarding(lab, machine, addresses):
    """HTTP from a machine whose way to the Services is the router; to each node some of the flows."""
    machine.ns.sysctls({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
    remote = lab.cluster.client("behind-router")
    remote.ns.ip(f"route replace {POOL4} via {machine.ip4}", f"-6 route replace {POOL6} via {machine.ip6}")
    for address in addresses:
        # The router's kernel table, the service proxies: all have heard of it once there is an answer.
        lab.wait(lambda where=address: remote.curl(where), 10, f"an answer from {address}")
        answers = [remote.curl(address) for _ in range(10)]
        assert None not in answers


def check_metric(lab, line):
    text = READER % {"ns": lab.namespace}
    lab.cluster.kubectl("apply", "-f", "-", stdin=text)
    try:
        status, body = scrape(lab.cluster, lab.cluster.nodes[0].plan.ip4, *bearer(lab, "scraper"))
    finally:
        lab.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=text)
    assert status == 200
    assert line in body.splitlines()


def test_internal_peer_sees_the_preference(frr_backend, lab, router):
    """iBGP: what the advertisement says, and the backend's own default after it says nothing."""
    frr = router(my_asn=ASN)
    peer(lab, frr.machine.ip4, myASN=ASN, connectTime="1s", dualStackAddressFamily=True)
    addresses = serve(lab, localPref=250)
    wait_sessions(lab, frr)
    prefix = host_prefix(addresses[0])
    lab.wait(lambda: {p.get("locPrf") for p in paths(frr, prefix)} == {250}, 10, "LOCAL_PREF 250")
    lab.api.patch("BGPAdvertisement", "routed", {"spec": {"localPref": None}}, SYSTEM)
    lab.wait(lambda: {p.get("locPrf") for p in paths(frr, prefix)} == {100}, 10, "LOCAL_PREF 100")
    flaps = [frr.neighbor(node.plan.ip4).get("connectionsDropped") for node in lab.cluster.nodes]
    assert flaps == [0, 0, 0]


class RouteWatch(threading.Thread):
    """Looks at a route of the router's kernel again and again; keeps every set of gateways it saw."""

    def __init__(self, frr, address):
        super().__init__(daemon=True)
        self.seen = []
        self._frr, self._address = frr, address
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.is_set():
            self.seen.append(kernel_hops(self._frr, self._address))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self._stopping.set()
        self.join()


def test_restart_of_a_speaker_keeps_its_routes(frr_backend, lab, router):
    """Graceful restart: the router goes on forwarding to the node while its speaker is replaced."""
    frr = router()
    peer(lab, frr.machine.ip4, dualStackAddressFamily=True, connectTime="1s", enableGracefulRestart=True)
    address = serve(lab)[0]
    wait_sessions(lab, frr)
    lab.wait(lambda: len(kernel_hops(frr, address)) == 3, 10, "ECMP")
    node = lab.cluster.nodes[0]
    before = frr.neighbor(node.plan.ip4)["connectionsEstablished"]
    with RouteWatch(frr, address) as watch:
        replace_speaker(lab.cluster, node)
        wait_sessions(lab, frr)
        lab.wait(lambda: not any(path.get("stale") for path in paths(frr, host_prefix(address))), 10, "no stale path")
        time.sleep(1)
    assert frr.neighbor(node.plan.ip4)["connectionsEstablished"] == before + 1
    assert len(watch.seen) > 20
    assert all(len(hops) == 3 for hops in watch.seen)


def test_wrong_as_is_told_with_both_numbers(frr_backend, lab, router):
    """In the speaker's log and as an event on the BGPPeer; right once the peer is right."""
    frr = router(my_asn=MY_ASN)
    peer(lab, frr.machine.ip4, peerASN=64999, connectTime="1s")

    def told():
        lines = [line for _, line in lab.log_lines("speaker-") if isinstance(line, dict)]
        return [line for line in lines if line.get("peer") == "tor" and "64999" in line.get("error", "")]

    line = lab.wait(told, 15, "the reason in the log")[0]
    assert "64999" in line["error"] and str(ASN) in line["error"]
    lab.wait(
        lambda: [
            event
            for event in lab.api.list("Event", SYSTEM)
            if event["involvedObject"].get("kind") == "BGPPeer" and "64999" in event["message"]
        ],
        10,
        "an event on the BGPPeer",
    )
    lab.api.patch("BGPPeer", "tor", {"spec": {"peerASN": ASN}}, SYSTEM)
    began = time.monotonic()
    wait_sessions(lab, frr)
    assert time.monotonic() - began < 10


def peer_events(lab, name, *words):
    """Messages of events on a BGPPeer that have all these words."""
    events = [e for e in lab.api.list("Event", SYSTEM) if e["involvedObject"].get("kind") == "BGPPeer"]
    mine = [e["message"] for e in events if e["involvedObject"]["name"] == name]
    return [message for message in mine if all(word in message for word in words)]


def test_a_peer_that_is_not_up_says_why(lab, router):
    """Each node tells by an event: refused, no route, a wrong password."""
    frr = router(families="4", password="right", machine="guarded")
    nobody = lab.cluster.client("nobody")
    peer(lab, nobody.ip4, "refused", connectTime="1s")
    peer(lab, "203.0.113.77", "no-route", connectTime="1s")
    peer(lab, frr.machine.ip4, "guarded", connectTime="1s", password="wrong")
    for node in lab.cluster.nodes:
        for name, words in (("refused", "connection refused"), ("no-route", "no route"), ("guarded", "MD5 password")):
            lab.wait(lambda: peer_events(lab, name, node.name, words), 40, f"{words} on {node.name}")
    lab.api.patch("BGPPeer", "guarded", {"spec": {"password": "right"}}, SYSTEM)
    wait_sessions(lab, frr)


def test_raw_frr_configuration_is_refused(lab, router):
    """The ConfigMap bgpextras is told to have no effect, on each BGPPeer; the sessions go on."""
    frr = router(families="4")
    peer(lab, frr.machine.ip4, connectTime="1s")
    wait_sessions(lab, frr)
    meta = {"name": "bgpextras", "namespace": SYSTEM}
    lab.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"extras": "router bgp 1"}})
    try:
        for node in lab.cluster.nodes:
            lab.wait(lambda: peer_events(lab, "tor", node.name, "bgpextras"), 10, f"refused on {node.name}")
        assert all(state(frr, node) == ESTABLISHED for node in lab.cluster.nodes)
        assert all(frr.neighbor(node.plan.ip4)["connectionsDropped"] == 0 for node in lab.cluster.nodes)
    finally:
        lab.api.delete("ConfigMap", "bgpextras", SYSTEM)
