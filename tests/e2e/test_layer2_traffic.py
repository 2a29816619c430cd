"""Connections to addresses in layer 2 while they move on purpose: none of 200 new ones in a second fails.

One run of each in the short form; METALLB_SOAK makes it 20 and prints percentiles.
"""

import os
import time

import pytest

from tests.cluster import traffic
from tests.e2e.lab import SYSTEM, wait_installed
from tests.e2e.test_layer2_failover import settle, show, speaker_pod
from tests.e2e.test_layer2_moves import label_node

RATE = 200
RUNS = 20 if os.environ.get("METALLB_SOAK") else 1


@pytest.fixture(name="addresses")
def _addresses(lab):
    lab.pool()
    lab.l2()
    # Two of them are on nodes that stay.
    lab.backend("web", replicas=3, apart=True)
    lab.service("web", ipFamilyPolicy="RequireDualStack")
    v4, v6 = sorted(lab.wait_addresses("web", 2), key=lambda text: ":" in text)
    lab.wait_answering(v4)
    lab.wait_answering(v6)
    return v4, v6


class Traffic:
    """Requests and questions during a block; afterwards every request must have been answered."""

    def __init__(self, lab, addresses):
        client = lab.cluster.client()
        self._lab = lab
        self.load = traffic.Load(client, [(address, 80) for address in addresses], rate=RATE)
        self.probes = [
            (traffic.NdpProbe if ":" in address else traffic.ArpProbe)(client, [address]) for address in addresses
        ]
        self._addresses = list(zip(self.probes, addresses))

    def __enter__(self):
        for worker in (self.load, *self.probes):
            worker.__enter__()
        time.sleep(0.5)
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            time.sleep(1)
        for worker in (*self.probes, self.load):
            worker.__exit__(*exc)
        if exc[0] is None:
            assert not self.load.failed()
            assert len(self.load.requests) > RATE

    def gaps(self):
        return [probe.longest_gap(address) for probe, address in self._addresses]

    def together(self, since):
        return [probe.together(address, since) for probe, address in self._addresses]

    def moved_from(self, old):
        """Waits until only other nodes answer."""
        for probe, address in self._addresses:
            self._lab.wait(lambda: (macs := probe.owner(address)) and old.mac not in macs, 10, "another node answering")

    def moved_to(self, node):
        for probe, address in self._addresses:
            self._lab.wait(lambda: probe.owner(address) == {node.mac}, 30, f"only {node.name} answering for {address}")


def all_served(lab, addresses):
    """Whether each of a second's requests is answered."""
    targets = [(address, 80) for address in addresses]
    with traffic.Load(lab.cluster.client(), targets, rate=RATE, patience=1) as load:
        time.sleep(1)
    return not load.failed()


def measure(lab, addresses, what, moves, before=None):
    """`moves(owner, seen)` changes who announces, with requests all the time, the steps of a run one after another."""
    requests, gaps, together = 0, [], []
    for _ in range(RUNS):
        owner = lab.wait_answering(addresses[0], 20)
        if before:
            before(owner)
        with Traffic(lab, addresses) as seen:
            for move in moves:
                began = time.monotonic()
                move(owner, seen)
                time.sleep(0.3)
                together += seen.together(began)
        requests += len(seen.load.requests)
        gaps += seen.gaps()
        settle(lab, addresses)
    print(f"{what}: {requests} requests, 0 failed")
    show(f"{what}, longest time without an answer", gaps)
    show(f"{what}, two nodes answering", together)


def restart_speakers(lab):
    """A rolling restart, as kubectl rollout restart makes one."""
    before = {pod["metadata"]["name"] for pod in lab.cluster.pods(SYSTEM, component="speaker")}
    note = {"kubectl.kubernetes.io/restartedAt": str(time.time())}
    lab.api.patch(
        "DaemonSet", "speaker", {"spec": {"template": {"metadata": {"annotations": note}}}}, SYSTEM
    )
    lab.wait(
        lambda: not before & {pod["metadata"]["name"] for pod in lab.cluster.pods(SYSTEM, component="speaker")},
        90,
        "all speakers replaced",
    )
    wait_installed(lab.cluster)


def test_sigterm_loses_no_request(lab, addresses):
    def away(owner, seen):
        lab.api.delete("Pod", speaker_pod(lab, owner.name), SYSTEM)
        seen.moved_from(owner)

    def back(owner, seen):
        seen.moved_to(owner)  # the new speaker of the node

    measure(lab, addresses, "SIGTERM", [away, back])


def test_exclude_label_loses_no_request(lab, addresses):
    def away(owner, seen):
        label_node(lab, owner.name, "")
        try:
            seen.moved_from(owner)
        except BaseException:
            label_node(lab, owner.name, None)
            raise

    def back(owner, seen):
        label_node(lab, owner.name, None)
        seen.moved_to(owner)

    measure(lab, addresses, "exclude label", [away, back])


def test_rolling_restart_loses_no_request(lab, addresses):
    measure(lab, addresses, "rolling restart", [lambda _owner, _seen: restart_speakers(lab)])


def test_node_that_is_back_loses_no_request(lab, addresses):
    """The node that lost its power takes its addresses back from the one that stood in."""

    def off(owner):
        owner.kill()
        for address in addresses:
            lab.wait(lambda: (node := lab.owner(address)) and node is not owner, 20, "another node answering")
        lab.wait(lambda: all_served(lab, addresses), 40, "no connection going to the dead node's backend any more")

    def back(owner, seen):
        owner.start()
        seen.moved_to(owner)

    measure(lab, addresses, "node back", [back], before=off)
