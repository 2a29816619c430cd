#!/usr/bin/python3
"""How long addresses of many Services are answered by nobody, or by two nodes, while a node goes and comes.

usage: tests/bench/layer2_moves.py [--services N] [--watched N]

A cluster of three nodes and N Services. Of those that one node announces some are asked for every 10 ms while
the node loses its power, comes back, and its speaker is replaced. The figures are the longest of any address.
"""

import argparse
import json
import pathlib
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.bench.layer2_idle import NAMESPACE, make_services, owners
from tests.cluster import Cluster, traffic
from tests.e2e.lab import SYSTEM, ingress_of, install, wait_installed
from tests.e2e.test_layer2_failover import speaker_pod


def addresses_of(cluster, node, count):
    """Addresses that the node answers for."""
    found = []
    for service in cluster.api.list("Service", NAMESPACE):
        (address,) = ingress_of(service)
        if set(cluster.client().arping(address)) == {node.mac}:
            found.append(address)
        if len(found) == count:
            return found
    raise ValueError(f"{node.name} answers for {len(found)} addresses only")


def watch(cluster, what, addresses, change, done):
    with traffic.ArpProbe(cluster.client(), addresses) as probe:
        time.sleep(0.5)
        began = time.monotonic()
        change()
        cluster.wait_for(lambda: all(done(probe, address, began) for address in addresses), 60, what)
        time.sleep(2)
    for metric, values in (
        ("longest time without an answer", [probe.longest_gap(address) for address in addresses]),
        ("two nodes answering", [probe.together(address) for address in addresses]),
    ):
        entry = {"bench": "layer2_moves", "metric": f"{what}: {metric}", "unit": "s", "value": round(max(values), 3)}
        print(json.dumps({**entry, "runs": len(values), "min": round(min(values), 3), "max": round(max(values), 3)}))


def measure(cluster, count, watched):
    make_services(cluster, count)
    cluster.wait_for(lambda: sum(owners(cluster).values()) >= count, 180, f"{count} Services announced")
    time.sleep(10)  # the bursts of announcements are over
    node = cluster.nodes[-1]
    addresses = addresses_of(cluster, node, watched)

    lab = types.SimpleNamespace(cluster=cluster)

    def back(probe, address, began):
        return time.monotonic() > began + 1 and probe.owner(address) == {node.mac}

    def elsewhere(probe, address, began):
        return probe.first_answer_after(address, began, other_than=node.mac)

    watch(cluster, "power off", addresses, node.kill, elsewhere)
    watch(cluster, "node back", addresses, node.start, back)
    wait_installed(cluster)
    watch(
        cluster,
        "SIGTERM and back",
        addresses,
        lambda: cluster.api.delete("Pod", speaker_pod(lab, node.name), SYSTEM),
        lambda *args: elsewhere(*args) and back(*args),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--watched", type=int, default=20)
    args = parser.parse_args()
    with Cluster(nodes=3) as cluster:
        install(cluster)
        measure(cluster, args.services, args.watched)


if __name__ == "__main__":
    main()
