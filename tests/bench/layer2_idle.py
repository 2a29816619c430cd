#!/usr/bin/python3
"""What a speaker costs that announces many Services in layer 2 and has nothing to do otherwise.

usage: tests/bench/layer2_idle.py [--services N] [--seconds S] [--json FILE]

A cluster of three nodes; N Services with addresses and endpoints. Once every one is announced: CPU time and
resident memory of each speaker over S seconds; the figures are those of the speaker that announces most.
"""

import argparse
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.cluster import Cluster
from tests.e2e.lab import SYSTEM, install

NAMESPACE = "bench"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def anonymous_mb(pid):
    """What is not a page of a file, as program and libraries are."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no RssAnon")


def make_services(cluster, count):
    api = cluster.api
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    meta = {"name": "bench", "namespace": SYSTEM}
    pool = {"addresses": [cluster.plan.pool4(0, count)]}
    api.create({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": pool})
    api.create({"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": meta, "spec": {}})
    for number in range(count):
        name = f"s{number}"
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        meta = {"name": name, "namespace": NAMESPACE}
        api.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        endpoint = {"addresses": ["10.244.1.9"], "conditions": {"ready": True}, "nodeName": "node1"}
        labels = {"kubernetes.io/service-name": name}
        piece = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-1", "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
        api.request("POST", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", piece)


def owners(cluster):
    """How many Services each node announces, by the status objects."""
    counts = {}
    for item in cluster.api.list("ServiceL2Status", SYSTEM):
        node = item.get("status", {}).get("node")
        counts[node] = counts.get(node, 0) + 1
    return counts


def measure(cluster, count, seconds):
    make_services(cluster, count)
    cluster.wait_for(lambda: sum(owners(cluster).values()) >= count, 180, f"{count} Services announced")
    time.sleep(10)  # the bursts of announcements are over
    pids = {item["node"]: item["pid"] for item in cluster.containers(SYSTEM, "speaker-")}
    before = {node: cpu_seconds(pid) for node, pid in pids.items()}
    time.sleep(seconds)
    busiest = max(owners(cluster).items(), key=lambda item: item[1])
    print("announced:", owners(cluster))
    pid = pids[busiest[0]]
    spent = cpu_seconds(pid) - before[busiest[0]]
    return [("cpu_percent", "%", 100 * spent / seconds), ("rss", "MB", rss_mb(pid)), ("rss_anonymous", "MB", anonymous_mb(pid))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json")
    args = parser.parse_args()
    with Cluster(nodes=3) as cluster:
        install(cluster)
        figures = measure(cluster, args.services, args.seconds)
    for metric, unit, value in figures:
        print(f"layer2_idle {args.services} services: {metric} {value:.2f} {unit}")
    if args.json:
        with open(args.json, "a", encoding="utf-8") as out:
            for metric, unit, value in figures:
                entry = {"bench": "layer2_idle", "metric": metric, "unit": unit, "value": value}
                out.write(json.dumps({**entry, "runs": 1, "min": value, "max": value}) + "\n")


if __name__ == "__main__":
    main()
