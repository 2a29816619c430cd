"""Addresses under edits of pools, sharing, pinning, and what the pools' status tells."""

import concurrent.futures

from tests.e2e.lab import SYSTEM, in_range, ingress_of

SHARING = "metallb.io/allow-shared-ip"
FROM = "metallb.io/ip-allocated-from-pool"


def make_many(lab, names):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lab.service, names))


def held(lab):
    return {item["metadata"]["name"]: ingress_of(item) for item in lab.api.list("Service", lab.namespace)}


def all_in(lab, count, *ranges):
    """The addresses of all Services, once each has one and all lie in one of the ranges; else None."""
    found = held(lab)
    inside = [a for (a, *_) in filter(None, found.values()) if any(in_range(a, text) for text in ranges)]
    return found if len(inside) == count else None


def test_pool_edit_under_500_services(lab):
    """A pool shrinks: those inside keep theirs, the others move, no address is there twice."""
    names = [f"svc{number}" for number in range(500)]
    lab.pool("wide", ["10.201.0.0/22"])
    make_many(lab, names)
    before = lab.wait(lambda: all_in(lab, 500, "10.201.0.0/22"), 30, "500 addresses")
    lab.api.patch("IPAddressPool", "wide", {"spec": {"addresses": ["10.201.1.0/24", "10.202.0.0/23"]}}, SYSTEM)
    after = lab.wait(lambda: all_in(lab, 500, "10.201.1.0/24", "10.202.0.0/23"), 30, "all moved")
    assert len({addresses[0] for addresses in after.values()}) == 500
    for name, addresses in before.items():
        if in_range(addresses[0], "10.201.1.0/24"):
            assert after[name] == addresses


def test_dual_stack_from_two_pools(lab):
    lab.pool("four", ["10.203.0.0/30"])
    lab.pool("six", ["fd00:203::/126"])
    lab.service("both", ipFamilyPolicy="RequireDualStack")
    assert lab.wait_addresses("both", 2) == ["10.203.0.0", "fd00:203::"]
    assert lab.get("both")["metadata"]["annotations"][FROM] == "four,six"


def test_dual_stack_partial_has_its_reason(lab):
    lab.pool("four", ["10.203.0.0/30"])
    lab.service("part", ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv4", "IPv6"])
    assert lab.wait_addresses("part") == ["10.203.0.0"]
    event = lab.wait_event("part", "AdditionalAssignFailed")
    assert "IPv6" in event["message"]


def test_sharing(lab):
    lab.pool("one", ["10.204.0.0/31"])
    key = {SHARING: "k"}
    lab.service("web", annotations=key, port=80)
    lab.service("tls", annotations=key, port=443)
    assert lab.wait_addresses("web") == lab.wait_addresses("tls")
    lab.service("again", annotations=key, port=80)
    assert lab.wait_addresses("again") != lab.addresses("web")
    lab.service("alone", port=8080)
    assert lab.stays_pending("alone")
    assert "2 of 2" in lab.wait_event("alone", "AllocationFailed")["message"]


def test_pinning_by_namespace(lab):
    lab.pool("theirs", ["10.205.0.0/30"], serviceAllocation={"namespaces": ["elsewhere"]})
    lab.service("web")
    assert "pool theirs: namespace not selected" in lab.wait_event("web", "AllocationFailed")["message"]
    lab.pool("ours", ["10.205.1.0/30"], serviceAllocation={"namespaces": [lab.namespace], "priority": 1})
    lab.pool("open", ["10.205.2.0/30"])
    lab.wait_addresses("web")
    lab.service("pinned")
    assert in_range(lab.wait_addresses("pinned")[0], "10.205.1.0/30")


def test_counters_in_kubectl_get(lab):
    lab.pool("counted", ["10.206.0.0/29"])
    make_many(lab, ["a", "b", "c"])
    wanted = {"assignedIPv4": 3, "assignedIPv6": 0, "availableIPv4": 5, "availableIPv6": 0}

    def status():
        return lab.api.get("IPAddressPool", "counted", SYSTEM).get("status") == wanted

    lab.wait(status, 5, "the counters")
    shown = lab.cluster.kubectl("-n", SYSTEM, "get", "ipaddresspools", "counted", "-o", "yaml")
    assert "assignedIPv4: 3" in shown
    lab.api.delete("Service", "a", lab.namespace)
    wanted.update(assignedIPv4=2, availableIPv4=6)
    lab.wait(status, 5, "the counters after a delete")


def test_condition_tells_why(lab):
    lab.pool("tiny", ["10.207.0.0/32"])
    lab.service("first")
    lab.wait_addresses("first")
    lab.service("second")
    assert "1 of 1 IPv4 in use" in lab.wait_event("second", "AllocationFailed")["message"]

    def condition(name):
        found = lab.get(name)["status"].get("conditions") or []
        return {item["type"]: item["status"] for item in found}.get("metallb.io/Allocated")

    lab.wait(lambda: condition("first") == "True" and condition("second") == "False", 5, "the conditions")


def test_memory_returns_the_address(lab):
    lab.pool("many", ["10.208.0.0/29"])
    for name in ("a", "b"):
        lab.service(name)
        lab.wait_addresses(name)
    mine = lab.addresses("b")
    lab.api.delete("Service", "b", lab.namespace)
    lab.api.delete("Service", "a", lab.namespace)
    lab.wait(lambda: not held(lab), 5, "both gone")
    lab.service("b")
    assert lab.wait_addresses("b") == mine
