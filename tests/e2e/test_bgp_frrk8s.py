"""The backends frr-k8s: each speaker says in an FRRConfiguration what its node is to announce.

frr-k8s itself is not here. Its CustomResourceDefinition is, with the defaults that it fills in, and FRR
that is configured from the object in its place.
"""

import base64
import pathlib

import pytest

from tests.cluster.kube import ApiError
from tests.e2e.frrk8s import NodeFrr
from tests.e2e.lab import SYSTEM
from tests.e2e.test_bgp_drain import set_mark
from tests.e2e.test_bgp_speaker import (
    MY_ASN,
    POOL4,
    POOL6,
    host_prefix,
    paths,
    peer,
    router,
    serve,
    set_backend,
    statuses,
)

CRD = "frrconfigurations.frrk8s.metallb.io"
KIND = "FRRConfiguration"
OTHER = "frr-k8s-system"
__all__ = ["router"]  # a fixture


def crd_apply(cluster):
    cluster.kubectl("apply", "-f", pathlib.Path(__file__).with_name("frrconfigurations.yaml"))
    cluster.wait_for(lambda: is_served(cluster), 20, "the kind served")


def is_served(cluster):
    try:
        cluster.api.list(KIND)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


@pytest.fixture(scope="module")
def backend(cluster):
    """Speakers with the backend frr-k8s, at first without its CRD."""
    set_backend(cluster, "frr-k8s")
    yield cluster
    set_backend(cluster, "")
    cluster.api.delete("CustomResourceDefinition", CRD)


@pytest.fixture
def served(backend):
    crd_apply(backend)
    return backend


def specs(lab, namespace=SYSTEM):
    """{node: spec} of all objects."""
    found = lab.api.list(KIND, namespace)
    return {item["metadata"]["name"].removeprefix("metallb-"): item["spec"] for item in found}


def wait_specs(lab, condition, what, namespace=SYSTEM, timeout=10):
    """The objects of all nodes once each of them is as wanted."""

    def right():
        found = specs(lab, namespace)
        names = {node.name for node in lab.cluster.nodes}
        return found if set(found) == names and all(map(condition, found.values())) else None

    return lab.wait(right, timeout, what)


def neighbor_of(spec):
    (one,) = spec["bgp"]["routers"]
    (neighbor,) = one["neighbors"]
    return neighbor


def prefixes_of(spec):
    return [one.get("prefixes", []) for one in spec["bgp"]["routers"]]


def wanted_spec(node, address, prefixes, neighbor, advertise):
    """As the server keeps it: with the defaults of the CRD."""
    allowed = {"mode": "filtered", "prefixes": prefixes} if prefixes else {"mode": "filtered"}
    whole = {
        "asn": 65000,
        "address": address,
        "port": 179,
        "passwordSecret": {},
        "disableMP": False,
        "dualStackAddressFamily": False,
        "toAdvertise": {"allowed": allowed, **advertise},
        "toReceive": {"allowed": {"mode": "filtered"}},
        **neighbor,
    }
    one = {"asn": MY_ASN, "neighbors": [whole]}
    if prefixes:
        one["prefixes"] = prefixes
    return {
        "bgp": {"routers": [one]},
        "raw": {},
        "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": node}},
    }


def peer_events(lab, reason):
    found = lab.api.list("Event", SYSTEM)
    return [e for e in found if e["reason"] == reason and e["involvedObject"].get("kind") == "BGPPeer"]


def test_reason_where_frr_k8s_is_missing(backend, lab):
    """No session: each node says so on the BGPPeer. It goes on by itself when the CRD is there."""
    peer(lab, "192.0.2.1")

    def told():
        messages = " ".join(e["message"] for e in peer_events(lab, "frrConfigurationMissing"))
        return all(f'node "{node.name}": no BGP session: ' in messages for node in lab.cluster.nodes)

    lab.wait(told, 20, "an event of each node")
    text = lab.cluster.kubectl("describe", "bgppeer", "tor", "-n", SYSTEM)
    assert "install frr-k8s, or choose the backend native or frr" in text
    lab.wait(lambda: "install frr-k8s, or set spec.bgpBackend" in degraded(lab), 20, "the MetalLB resource says so")
    lines = [line for _, line in lab.log_lines("speaker-") if isinstance(line, dict)]
    assert any(line["msg"] == "FRRConfiguration cannot be written" for line in lines)
    crd_apply(lab.cluster)
    found = wait_specs(lab, neighbor_of, "an object of each node", timeout=50)
    for node, spec in found.items():
        assert spec == wanted_spec(node, "192.0.2.1", [], {}, {})
    lab.wait(lambda: degraded(lab) == "", 20, "the MetalLB resource has nothing to say")


def degraded(lab):
    """Why the MetalLB resource is Degraded; "" when it is not."""
    conditions = lab.api.get("MetalLB", "metallb", SYSTEM).get("status", {}).get("conditions", [])
    return next((c["message"] for c in conditions if (c["type"], c["status"]) == ("Degraded", "True")), "")


def test_object_of_each_node(served, lab):
    """Every node's object says what that node announces, is healed, and goes with the last peer."""
    peer(lab, "192.0.2.1", dualStackAddressFamily=True, holdTime="90s", connectTime="10s", sourceAddress="192.0.2.9")
    addresses = serve(lab, communities=["65000:77", "large:65000:1:7"], localPref=150)
    prefixes = sorted(map(host_prefix, addresses))
    timers = {"holdTime": "1m30s", "keepaliveTime": "30s", "connectTime": "10s"}
    fields = {**timers, "dualStackAddressFamily": True, "sourceaddress": "192.0.2.9"}
    advertise = {
        "withLocalPref": [{"localPref": 150, "prefixes": prefixes}],
        "withCommunity": [
            {"community": "65000:77", "prefixes": prefixes},
            {"community": "large:65000:1:7", "prefixes": prefixes},
        ],
    }

    def check(found):
        for node, spec in found.items():
            assert spec == wanted_spec(node, "192.0.2.1", prefixes, fields, advertise)

    check(wait_specs(lab, lambda spec: prefixes_of(spec) == [prefixes], "the prefixes in each object"))
    settled = versions(lab)
    # an edit is taken back, what does not concern us stays
    name = f"metallb-{lab.cluster.nodes[0].name}"
    lab.cluster.kubectl(
        *("patch", "frrconfiguration", name, "-n", SYSTEM, "--type=merge", "-p"),
        '{"metadata": {"labels": {"mine": "yes"}}, "spec": {"raw": {"rawConfig": "log stdout"}, "bgp": {"routers": []}}}',
    )
    check(wait_specs(lab, lambda spec: spec["raw"] == {} and prefixes_of(spec) == [prefixes], "the edit taken back"))
    assert lab.api.get(KIND, name, SYSTEM)["metadata"]["labels"] == {"mine": "yes"}
    lab.api.delete(KIND, name, SYSTEM)
    check(wait_specs(lab, lambda spec: prefixes_of(spec) == [prefixes], "the object made anew"))
    # nobody wrote where nothing had changed
    assert {n: v for n, v in versions(lab).items() if n != name} == {n: v for n, v in settled.items() if n != name}
    # a node that may not announce keeps its session
    last = lab.cluster.nodes[-1].name
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    lab.cluster.kubectl("label", "node", last, f"{label}=yes")
    try:
        lab.wait(lambda: prefixes_of(specs(lab)[last]) == [[]], 10, "no prefixes on an excluded node")
        assert neighbor_of(specs(lab)[last])["address"] == "192.0.2.1"
    finally:
        lab.cluster.kubectl("label", "node", last, f"{label}-")
    lab.api.delete("Service", "web", lab.namespace)
    wait_specs(lab, lambda spec: prefixes_of(spec) == [[]], "no prefixes without the Service")
    lab.api.delete("BGPPeer", "tor", SYSTEM)
    lab.wait(lambda: specs(lab) == {}, 10, "no objects without peers")


def versions(lab):
    found = lab.api.list(KIND, SYSTEM)
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}


def test_peer_of_one_node(served, lab):
    """An object only where a session runs."""
    chosen = lab.cluster.nodes[1].name
    selector = {"matchLabels": {"kubernetes.io/hostname": chosen}}
    peer(lab, "192.0.2.1", nodeSelectors=[selector])
    lab.wait(lambda: set(specs(lab)) == {chosen}, 10, "an object of one node")


def test_mark_removes_the_objects(served, lab):
    """The mark of a removal: the objects go, then the statuses say that it is done. Without it all returns."""
    peer(lab, "192.0.2.1")
    serve(lab, [POOL4], "SingleStack")
    lab.wait(lambda: len(statuses(lab)) == 3, 10, "a status of each node")
    set_mark(lab, "the test wants it")
    try:
        lab.wait(lambda: not statuses(lab), 10, "no status")
        assert specs(lab) == {}
    finally:
        set_mark(lab, None)
    wait_specs(lab, lambda spec: len(prefixes_of(spec)[0]) == 1, "the prefixes in each object again")


def test_frr_makes_routes_of_it(served, lab, router):
    """FRR on each node, configured from that node's object: the router has what was to be announced."""
    tor = router()
    peer(lab, tor.machine.ip4, dualStackAddressFamily=True, connectTime="1s")
    addresses = serve(lab, (POOL4, POOL6), communities=["65000:77", "large:65000:1:7"])
    found = wait_specs(lab, lambda spec: len(prefixes_of(spec)[0]) == 2, "the prefixes in each object")
    made = []
    try:
        for number, node in enumerate(lab.cluster.nodes):
            frr = NodeFrr(node.ns, found[node.name], f"10.0.0.{number + 1}")
            made.append(frr)
            frr.start()
        for address in addresses:
            prefix = host_prefix(address)
            lab.wait(lambda: len(paths(tor, prefix)) == 3, 20, f"three paths for {prefix}: {made[0].logs()}")
            for path in paths(tor, prefix):
                assert path["aspath"]["string"] == str(MY_ASN)
                assert path["community"]["list"] == ["65000:77"]
                assert path["largeCommunity"]["list"] == ["65000:1:7"]
    except TimeoutError as error:
        shown = [frr.vtysh("show bgp summary", "show running-config") for frr in (tor, *made)]
        raise AssertionError("\n".join([str(error), *shown])) from None
    finally:
        for frr in made:
            frr.close()


def test_external_namespace_and_another_backend(served, lab, router):
    """An frr-k8s of another namespace; what was written elsewhere goes, and all of it with the backend."""
    tor = router(families="4", password="open-sesame")  # a speaker that runs sessions itself is ready with them
    secret = {"name": "md5", "namespace": SYSTEM}
    data = {"password": base64.b64encode(b"open-sesame").decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "type": "kubernetes.io/basic-auth", "data": data}
    lab.api.create(body)
    peer(lab, tor.machine.ip4, passwordSecret={"name": "md5"}, connectTime="1s")
    try:
        found = wait_specs(lab, neighbor_of, "objects in the own namespace")
        assert {neighbor_of(spec)["passwordSecret"]["name"] for spec in found.values()} == {"md5"}
        set_external(lab.cluster, OTHER)
        refused = lab.wait(lambda: peer_events(lab, "frrConfigurationRefused"), 60, "the refusal told")
        assert f'namespaces "{OTHER}" not found' in refused[0]["message"]
        lab.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER}})
        found = wait_specs(lab, neighbor_of, "objects in the other namespace", OTHER, 60)
        # the Secret cannot be read from there
        assert {neighbor_of(spec)["password"] for spec in found.values()} == {"open-sesame"}
        assert all(neighbor_of(spec)["passwordSecret"] == {} for spec in found.values())
        lab.wait(lambda: specs(lab) == {}, 10, "nothing left in the own namespace")
        for _, line in lab.log_lines("speaker-"):
            assert "open-sesame" not in str(line)
        set_internal(lab.cluster)
        set_backend(lab.cluster, "")
        lab.wait(lambda: lab.api.list(KIND) == [], 20, "nothing left of frr-k8s")
    finally:
        set_internal(lab.cluster)
        lab.api.delete("Secret", "md5", SYSTEM)
        lab.api.delete("Namespace", OTHER)


def set_external(cluster, namespace):
    spec = {"bgpBackend": "frr-k8s-external", "frrk8sConfig": {"namespace": namespace}}
    cluster.api.patch("MetalLB", "metallb", {"spec": spec}, SYSTEM)


def set_internal(cluster):
    cluster.api.patch("MetalLB", "metallb", {"spec": {"bgpBackend": None, "frrk8sConfig": None}}, SYSTEM)
