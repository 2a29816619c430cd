"""Which operator leads: handed over, frozen, cut off. Two never write, and somebody always does soon.

METALLB_SOAK=1: 20 hand-overs, 10 cuts.
"""

import contextlib
import os
import signal
import time

import pytest

from tests.e2e.lab import SYSTEM, wait_installed

SOAK = os.environ.get("METALLB_SOAK") == "1"
EXCLUDE = "metallb-excludel2"
LEASE_S = 15
# A candidate looks every 2 s and a little; a busy machine adds some.
TAKE_OVER_S = LEASE_S + 5


@pytest.fixture
def two(lab):
    """Two operators, one of which leads; ready to give addresses."""
    lab.pool("fence", [lab.cluster.plan.pool4(600, 50)])
    lab.l2("fence", ipAddressPools=["fence"])
    lab.wait(lab.leader, 20, "a leader")
    try:
        yield lab
    finally:
        wait_installed(lab.cluster)


def test_handed_over_on_sigterm(two):
    """The record is as client-go writes it, and the next one leads and gives addresses in well under a second."""
    leads, works = [], []
    before = two.api.get("Lease", "metallb-controller", SYSTEM)["spec"]["leaseTransitions"]
    for number in range(20 if SOAK else 5):
        with two.hand_over() as old:
            began = time.monotonic()
            two.service(f"after{number}")
            two.wait_other_holder(old, 10)
            leads.append(time.monotonic() - began)
            two.wait_addresses(f"after{number}", timeout=10)
            works.append(time.monotonic() - began)
    print(f"hand-over: leads after {[round(s, 3) for s in leads]} s, an address after {[round(s, 3) for s in works]} s")
    spec = two.api.get("Lease", "metallb-controller", SYSTEM)["spec"]
    assert set(spec) == {"holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"}
    assert spec["leaseDurationSeconds"] == LEASE_S and spec["leaseTransitions"] >= before + len(leads)
    # Without the watch on the Lease a candidate looks every 2 s only.
    assert max(leads) < 1, leads


def states(lab, count):
    services = [lab.get(f"fence{number}") for number in range(count)]
    ours = lab.api.get("ConfigMap", EXCLUDE, SYSTEM)
    return [item["metadata"]["resourceVersion"] for item in (*services, ours)]


def wait_unique(lab, count, timeout=20):
    """All Services have addresses, no two the same; {name: address}."""
    found = {f"fence{n}": lab.wait_addresses(f"fence{n}", timeout=timeout)[0] for n in range(count)}
    assert len(set(found.values())) == count
    return found


def test_frozen_leader_writes_nothing(two):
    """Stopped by SIGSTOP with work before it: another takes over, and when it wakes it changes nothing."""
    leader, old = two.wait(two.leader, 20, "a leader"), two.holder()
    os.kill(leader["pid"], signal.SIGSTOP)
    try:
        for number in range(10):
            two.service(f"fence{number}")
        new, seconds = two.wait_other_holder(old, TAKE_OVER_S + 10)
        found = wait_unique(two, 10)
        # The sleeper has seen neither the addresses nor this: it would give others, and put it back once more.
        damage = {"data": {"excludel2.yaml": "damaged"}}
        two.api.patch("ConfigMap", EXCLUDE, damage, SYSTEM)
        two.wait(lambda: two.api.get("ConfigMap", EXCLUDE, SYSTEM)["data"] != damage["data"], 10, "put right")
        two.api.patch("ConfigMap", EXCLUDE, {"metadata": {"annotations": {"metallb.io/unmanaged": "true"}}}, SYSTEM)
        two.api.patch("ConfigMap", EXCLUDE, damage, SYSTEM)
        time.sleep(1)
        before = states(two, 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader["pid"], signal.SIGCONT)
    try:
        time.sleep(4)
        assert states(two, 10) == before
    finally:
        two.api.patch("ConfigMap", EXCLUDE, {"metadata": {"annotations": {"metallb.io/unmanaged": None}}}, SYSTEM)
    assert wait_unique(two, 10) == found and two.holder() == new
    print(f"taken over after {seconds:.1f} s")


def check_cut_off(two, number):
    """The leader's way to the API server is cut: it stops leading before the next one begins."""
    leader, old = two.wait(two.leader, 20, "a leader"), two.holder()
    plan = two.cluster.plan
    inside = ["nsenter", "-t", str(leader["pid"]), "-n", "ip", "route"]
    two.cluster.host.run([*inside, "add", "blackhole", f"{plan.control4}/32"])
    try:
        two.service(f"cut{number}")
        _, seconds = two.wait_other_holder(old, TAKE_OVER_S + 10)
        two.wait_addresses(f"cut{number}")
        lines = [line for source, line in two.log_lines(leader["pod"]) if isinstance(line, dict)]
        assert any(line["msg"] == "not leading any more" for line in lines)
        print(f"taken over after {seconds:.1f} s")
    finally:
        two.cluster.host.run([*inside, "del", "blackhole", f"{plan.control4}/32"], check=False)


if SOAK:

    @pytest.mark.parametrize("number", range(10))
    def test_leader_cut_off(two, number):
        check_cut_off(two, number)
