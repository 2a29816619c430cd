"""Connections to an address in layer 2 while it moves on purpose: none of 200 new ones in a second fails."""

import time

import pytest

from tests.cluster import traffic
from tests.e2e.lab import SYSTEM, wait_installed

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
RATE = 200


@pytest.fixture(name="address")
def _address(lab):
    lab.pool()
    lab.l2()
    lab.backend("web", replicas=3, apart=True)
    lab.service("web")
    (address,) = lab.wait_addresses("web")
    lab.wait_answering(address)
    return address


class Traffic:
    """Requests and ARP questions during a block; afterwards every request must have been answered."""

    def __init__(self, lab, address):
        client = lab.cluster.client()
        self._lab = lab
        self._address = address
        self.load = traffic.Load(client, [(address, 80)], rate=RATE)
        self.probe = traffic.ArpProbe(client, [address])

    def __enter__(self):
        self.load.__enter__()
        self.probe.__enter__()
        time.sleep(0.5)
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            time.sleep(1)
        self.probe.__exit__(*exc)
        self.load.__exit__(*exc)
        if exc[0] is not None:
            return
        failed = self.load.failed()
        print(
            f"{len(self.load.requests)} requests, {len(failed)} failed, longest time without an answer "
            f"{self.probe.longest_gap(self._address):.2f} s"
        )
        assert not failed
        assert len(self.load.requests) > RATE

    def moved_from(self, old):
        """Waits until only another node answers."""
        self._lab.wait(
            lambda: (macs := self.probe.owner(self._address)) and old.mac not in macs, 10, "only another node answering"
        )

    def moved_to(self, node):
        self._lab.wait(lambda: self.probe.owner(self._address) == {node.mac}, 20, f"only {node.name} answering")


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


def test_sigterm_loses_no_request(lab, address):
    owner = lab.owner(address)
    pods = lab.cluster.pods(SYSTEM, component="speaker")
    (pod,) = [pod for pod in pods if pod["spec"].get("nodeName") == owner.name]
    with Traffic(lab, address) as seen:
        lab.api.delete("Pod", pod["metadata"]["name"], SYSTEM)
        seen.moved_from(owner)
        seen.moved_to(owner)  # the new speaker of the node


def test_exclude_label_loses_no_request(lab, address):
    owner = lab.owner(address)
    with Traffic(lab, address) as seen:
        lab.api.patch("Node", owner.name, {"metadata": {"labels": {EXCLUDE: ""}}})
        try:
            seen.moved_from(owner)
        finally:
            lab.api.patch("Node", owner.name, {"metadata": {"labels": {EXCLUDE: None}}})
        seen.moved_to(owner)


def test_rolling_restart_loses_no_request(lab, address):
    with Traffic(lab, address):
        restart_speakers(lab)
