"""Services get addresses from pools, keep them, and give them back."""

import concurrent.futures
import ipaddress
import threading
import time

import pytest

from tests.cluster.kube import ApiError
from tests.e2e.lab import in_range, ingress_of

POOL_ANNOTATION = "metallb.io/ip-allocated-from-pool"


def test_service_before_and_after_the_pool(lab):
    lab.service("early")
    assert lab.stays_pending("early")
    lab.pool()
    early = lab.wait_addresses("early")
    lab.service("late")
    late = lab.wait_addresses("late")
    assert early != late
    for address in early + late:
        assert in_range(address, lab.cluster.plan.pool4())


def test_address_annotation_and_event(lab):
    lab.pool("origin")
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    lab.wait(lambda: POOL_ANNOTATION in lab.get("web")["metadata"].get("annotations", {}), 5, "the annotation")
    assert lab.get("web")["metadata"]["annotations"][POOL_ANNOTATION] == "origin"
    event = lab.wait_event("web", "IPAllocated")
    assert event["type"] == "Normal"
    assert address in event["message"]


def test_kubectl_shows_the_address(lab):
    lab.pool()
    lab.service("shown")
    (address,) = lab.wait_addresses("shown")
    row = lab.cluster.kubectl("-n", lab.namespace, "get", "service", "shown", "--no-headers").split()
    assert row[1] == "LoadBalancer"
    assert row[3] == address
    waited = lab.cluster.kubectl("-n", "metallb-system", "get", "ipaddresspools")
    assert "pool" in waited


def test_two_pools(lab):
    plan = lab.cluster.plan
    small, large = plan.pool4(0, 2), plan.pool4(100, 8)
    lab.pool("small", [small])
    lab.service("one")
    lab.service("two")
    addresses = lab.wait_addresses("one") + lab.wait_addresses("two")
    assert all(in_range(address, small) for address in addresses)
    lab.service("three")
    assert lab.stays_pending("three", 0.5)
    lab.pool("large", [large])
    (third,) = lab.wait_addresses("three")
    assert in_range(third, large)
    lab.service("pinned", annotations={"metallb.io/address-pool": "large"})
    assert in_range(lab.wait_addresses("pinned")[0], large)


@pytest.mark.parametrize(
    "families, policy",
    [(["IPv4"], "SingleStack"), (["IPv6"], "SingleStack"), (["IPv4", "IPv6"], "RequireDualStack")],
    ids=["ipv4", "ipv6", "dual"],
)
def test_families_from_address_to_answer(lab, families, policy):
    lab.pool()
    lab.l2()
    lab.backend("web")
    lab.service("web", ipFamilies=families, ipFamilyPolicy=policy)
    addresses = lab.wait_addresses("web", len(families))
    versions = {f"IPv{ipaddress.ip_address(address).version}" for address in addresses}
    assert versions == set(families)
    for address in addresses:
        lab.wait_answering(address)
        lab.wait(lambda a=address: lab.cluster.client().curl(a), 10, f"HTTP from {address}")


def test_delete_and_re_create(lab):
    lab.pool("single", [lab.cluster.plan.pool4(5, 1)])
    lab.l2()
    lab.backend("web", replicas=1)
    lab.service("web")
    first = lab.wait_addresses("web")
    lab.wait_answering(first[0])
    lab.api.delete("Service", "web", lab.namespace)
    lab.wait(lambda: not lab.cluster.client().arping(first[0], timeout=0.3), 10, "silence after the delete")
    lab.service("web")
    assert lab.wait_addresses("web") == first
    lab.wait_answering(first[0])


def test_type_change_releases(lab):
    lab.pool("single", [lab.cluster.plan.pool4(5, 1)])
    lab.service("first")
    (address,) = lab.wait_addresses("first")
    lab.service("second")
    assert lab.stays_pending("second", 0.5)
    lab.api.patch("Service", "first", {"spec": {"type": "ClusterIP"}}, lab.namespace)
    assert lab.wait_addresses("second") == [address]
    lab.wait(lambda: not lab.addresses("first"), 5, "the first one's status cleared")


def test_pool_too_small(lab):
    """The one that goes without learns why, and gets an address within a second of one being free."""
    lab.pool("tiny", [lab.cluster.plan.pool4(9, 2)])
    for name in ("a", "b"):
        lab.service(name)
        lab.wait_addresses(name)
    lab.service("c")
    event = lab.wait_event("c", "AllocationFailed")
    assert event["type"] == "Warning"
    assert "no available IPs" in event["message"] or "in use" in event["message"], event["message"]
    freed = lab.addresses("a")
    lab.api.delete("Service", "a", lab.namespace)
    began = time.monotonic()
    assert lab.wait_addresses("c", timeout=5) == freed
    assert time.monotonic() - began < 5  # at once, and not at some periodic look


def test_requested_address(lab):
    lab.pool()
    wanted = lab.cluster.plan.pool4(33, 1).split("-", maxsplit=1)[0]
    lab.service("asks", annotations={"metallb.io/loadBalancerIPs": wanted})
    assert lab.wait_addresses("asks") == [wanted]


def wait_all_assigned(lab, names, timeout):
    """{name: address} of all Services of the test, once each has one; raises when an address is there twice."""
    deadline = time.monotonic() + timeout
    while True:
        services = lab.api.list("Service", lab.namespace)
        held = {item["metadata"]["name"]: ingress_of(item) for item in services}
        flat = [address for addresses in held.values() for address in addresses]
        assert len(flat) == len(set(flat)), "an address was given twice"
        if set(held) == set(names) and all(held.values()):
            return {name: addresses[0] for name, addresses in held.items()}
        assert time.monotonic() < deadline, f"{sum(map(bool, held.values()))} of {len(names)} have an address"
        time.sleep(0.2)


def test_operator_killed_while_200_services_come(lab):
    """kill -9 of whichever replica leads, three times: no address twice, none lost, none changed."""
    names = [f"svc{number}" for number in range(200)]
    lab.pool("many", [lab.cluster.plan.pool4(256, 200)])
    lab.wait(lab.leader, 20, "a leader")
    done = threading.Event()
    seen = {}

    def create(name):
        lab.service(name, ports=[{"port": 80}], selector=None)

    def kill():
        while not done.wait(1.0):
            item = lab.leader()
            if item:
                lab.cluster.signal_container(item)
            for service in lab.api.list("Service", lab.namespace):
                for address in ingress_of(service):
                    seen.setdefault(service["metadata"]["name"], set()).add(address)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for number, name in enumerate(names):
                pool.submit(create, name)
                if number % 50 == 49:
                    time.sleep(1)
    finally:
        done.set()
        killer.join()
    held = wait_all_assigned(lab, names, 60)
    for name, addresses in seen.items():
        assert addresses == {held[name]}, f"{name} changed its address: {addresses}"
    assert all(in_range(address, lab.cluster.plan.pool4(256, 200)) for address in held.values())


def test_restart_adopts_before_it_gives(lab):
    """All replicas end at once with every address taken; after it the same Services hold the same addresses."""
    lab.pool("full", [lab.cluster.plan.pool4(300, 10)])
    names = [f"kept{number}" for number in range(10)]
    for name in names:
        lab.service(name)
    before = wait_all_assigned(lab, names, 20)
    for item in lab.operator_containers():
        lab.cluster.signal_container(item)
    lab.service("waits")
    lab.api.delete("Service", names[3], lab.namespace)
    assert lab.wait_addresses("waits", timeout=40) == [before.pop(names[3])]
    after = wait_all_assigned(lab, [*before, "waits"], 20)
    after.pop("waits")
    assert after == before


def test_bad_pool_does_not_hurt_a_good_one(lab):
    """Refused at once where a webhook runs; without one, told in the log and left out."""
    lab.pool("good")
    try:
        lab.pool("bad", ["10.0.0.9-10.0.0.1"])
    except ApiError as error:
        assert "bad" in str(error) or "10.0.0.9" in str(error)
    lab.service("web")
    assert in_range(lab.wait_addresses("web")[0], lab.cluster.plan.pool4())
