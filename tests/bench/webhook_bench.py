"""What the webhooks cost a client: creating an IPAddressPool with dryRun=All, with and without them.

    python3 -m tests.bench.webhook_bench [--creates N] [--runs N]

KUBEBUILDER_ASSETS chooses the control plane. The operator runs in two Pods from config/default; without webhooks means
scaled to none, which takes the registration away. Prints one JSON object per figure.
"""

import argparse
import json
import statistics
import time

from tests.cluster import Cluster
from tests.cluster.api import path_of
from tests.e2e.lab import SYSTEM, program_ready
from tests.e2e.webhook import policies, wait_registered
from tests.e2e.test_webhook_life import DEFAULT


def create_dry(cluster, number):
    """Seconds that one create takes, on a connection that is kept."""
    meta = {"name": f"dry{number}", "namespace": SYSTEM}
    spec = {"addresses": [f"10.{number % 250}.0.0/24"]}
    obj = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": spec}
    began = time.monotonic()
    cluster.api.request("POST", path_of("IPAddressPool", None, SYSTEM), obj, params={"dryRun": "All"})
    return time.monotonic() - began


def measure(cluster, count):
    """Milliseconds: (p50, p99)"""
    for number in range(20):
        create_dry(cluster, number)
    took = sorted(1000 * create_dry(cluster, number) for number in range(count))
    return took[count // 2], took[count * 99 // 100]


def scale(cluster, replicas):
    cluster.kubectl("scale", "deployment", "controller", "-n", SYSTEM, f"--replicas={replicas}")
    if replicas == 0:
        cluster.wait_for(lambda: not policies(cluster), 60, "the registration taken away")
        return
    cluster.wait_for(lambda: program_ready(cluster, "controller", replicas), 60, "the operator")
    wait_registered(cluster)


def figures(what, pairs):
    for index, name in enumerate(("p50", "p99")):
        values = [pair[index] for pair in pairs]
        line = {"bench": "webhook", "metric": f"dry-run create, {what}: {name}", "unit": "ms", "runs": len(values)}
        spread = {"value": statistics.median(values), "min": min(values), "max": max(values)}
        print(json.dumps({**line, **{key: round(value, 3) for key, value in spread.items()}}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--creates", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    results = {2: [], 0: []}
    with Cluster(nodes=1, faults=False) as cluster:
        cluster.kubectl("apply", "-k", DEFAULT)
        for _ in range(chosen.runs):
            for replicas, pairs in results.items():
                scale(cluster, replicas)
                pairs.append(measure(cluster, chosen.creates))
    figures("with the webhooks", results[2])
    figures("without", results[0])


if __name__ == "__main__":
    main()
