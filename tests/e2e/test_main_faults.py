"""The way to the API server misbehaves; the programs go on, and catch up as soon as they can."""

import time

import pytest

from tests.cluster import traffic
from tests.e2e.lab import SYSTEM, wait_installed


@pytest.fixture(autouse=True)
def _pool(lab):
    lab.pool("faults", [lab.cluster.plan.pool4(400, 100)])
    lab.l2()


def get_one(lab, name, timeout):
    """A new Service's address, and how long it took to come."""
    began = time.monotonic()
    lab.service(name)
    (address,) = lab.wait_addresses(name, timeout=timeout)
    return address, time.monotonic() - began


def test_watch_cut_every_second_for_a_minute(lab):
    """Services come and go all the while; each gets its address, none twice."""
    lab.cluster.faults.set({"match": {"watch": True}, "cut_after": 1})
    until = time.monotonic() + 60
    held, slowest, number = {}, 0.0, 0
    while time.monotonic() < until:
        address, seconds = get_one(lab, f"cut{number}", 10)
        assert address not in held.values()
        held[number] = address
        slowest = max(slowest, seconds)
        if number % 3 == 2:
            lab.api.delete("Service", f"cut{number - 1}", lab.namespace)
            del held[number - 1]
        number += 1
        time.sleep(0.4)
    assert number > 40
    # A cut costs a reconnect after a short back-off, not more.
    assert slowest < 4, f"the slowest Service waited {slowest:.1f} s"
    assert lab.cluster.faults.state()["applied"][0] > 100


@pytest.mark.parametrize("how", ["answer", "event"])
def test_watch_too_old(lab, how):
    """410 as an answer and as an event: listed anew, and nothing that was known is forgotten meanwhile."""
    kept, _ = get_one(lab, "kept", 10)
    if how == "answer":
        lab.cluster.faults.set({"match": {"watch": True}, "count": 40, "answer": {"status": 410}})
    else:
        lab.cluster.faults.set({"match": {"watch": True}, "count": 40, "gone_after": 0.2})
    for number in range(5):
        get_one(lab, f"gone{number}", 15)
    lab.wait(lambda: lab.cluster.faults.state()["applied"][0] > 10, 20, "410 met")
    assert lab.addresses("kept") == [kept]


def test_too_many_requests_with_retry_after(lab):
    """429: asked again when the server said, not before and not much later."""
    before = lab.cluster.faults.state()["requests"]
    lab.cluster.faults.set({"match": {"method": "GET"}, "count": 30, "answer": {"status": 429, "retry_after": 2}})
    began = time.monotonic()
    get_one(lab, "patient", 40)
    assert time.monotonic() - began >= 1.9
    asked = lab.cluster.faults.state()["requests"] - before
    # Five programs with a dozen watches each: every one refused a few times at most, then at its work.
    assert asked < 300, "they kept knocking"


def test_writes_refused_for_a_while(lab):
    lab.cluster.faults.set(
        {"match": {"method": "PATCH|PUT", "path": "services/"}, "count": 5, "answer": {"status": 429, "retry_after": 1}}
    )
    get_one(lab, "refused", 30)
    assert lab.cluster.faults.state()["applied"] == [5]


def test_server_errors(lab):
    pids = {item["pid"] for item in lab.cluster.containers(SYSTEM)}
    lab.cluster.faults.set({"count": 60, "answer": {"status": 500}})
    get_one(lab, "error", 60)
    lab.cluster.faults.set({"count": 30, "hang_up": True})
    get_one(lab, "hangup", 60)
    lab.cluster.faults.set({"match": {"method": "GET"}, "count": 20, "garbage": "{nonsense"})
    get_one(lab, "garbage", 60)
    wait_installed(lab.cluster)
    assert {item["pid"] for item in lab.cluster.containers(SYSTEM)} == pids, "a program ended"


def test_slow_answers(lab):
    lab.cluster.faults.set({"slow": 20000, "delay": 0.3})
    get_one(lab, "slow", 30)


def test_stalled_watch(lab):
    """A watch that says nothing, not even bookmarks, is given up after 75 s."""
    lab.cluster.faults.set({"match": {"watch": True}, "count": 200, "stall_after": 0.1})
    stalled = 0
    while lab.cluster.faults.state()["applied"][0] != stalled or stalled == 0:
        stalled = lab.cluster.faults.state()["applied"][0]
        time.sleep(3)
    _, seconds = get_one(lab, "stalled", 120)
    assert 20 < seconds < 110, f"{stalled} watches stalled"


def test_api_server_restarted_under_both_programs(lab):
    """Announcing goes on while it is away; afterwards work goes on where it stopped."""
    lab.backend("web", replicas=2)
    address, _ = get_one(lab, "web", 10)
    lab.wait_answering(address)
    lab.wait(lambda: lab.cluster.client().curl(address), 10, "an answer over HTTP")
    pids = {item["pid"] for item in lab.cluster.containers(SYSTEM)}
    with traffic.ArpProbe(lab.cluster.client(), [address]) as probe:
        with traffic.Load(lab.cluster.client(), [(address, 80)], rate=20) as load:
            lab.cluster.restart_api(down_s=2)
            get_one(lab, "after", 30)
    assert load.failed() == []
    assert probe.longest_gap(address) < 2
    assert lab.addresses("web") == [address]
    assert {item["pid"] for item in lab.cluster.containers(SYSTEM)} == pids, "a program ended"


def test_rights_too_narrow_are_told(lab):
    """Without the right to list Services the log names verb and resource; with it, work goes on."""
    role = lab.api.get("ClusterRole", "metallb-system:controller")
    rules = [rule for rule in role["rules"] if "services" not in rule.get("resources", [])]
    try:
        lab.api.patch("ClusterRole", "metallb-system:controller", {"rules": rules})
        for item in lab.operator_containers():
            lab.cluster.signal_container(item)

        def told():
            for _, line in lab.log_lines("controller-"):
                text = str(line)
                if "services" in text and "list" in text and ("forbidden" in text.lower() or "may not" in text):
                    return line
            return None

        lab.wait(told, 30, "a log line that names verb and resource")
    finally:
        lab.api.patch("ClusterRole", "metallb-system:controller", {"rules": role["rules"]})
    get_one(lab, "allowed", 60)
