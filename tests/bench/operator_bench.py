"""The operator on a control plane without nodes: how fast Services get their addresses, and what it costs.

    python3 -m tests.bench.operator_bench [--services N] [--singles N] [--runs N]

KUBEBUILDER_ASSETS chooses the control plane, METALLB_BUILD the program (build/release by default). Prints one
JSON object per figure: {"bench", "metric", "unit", "value", "runs", "min", "max"}.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from tests.cluster import Cluster
from tests.cluster.images import PROJECT
from tests.e2e.lab import SYSTEM, ingress_of

HZ = os.sysconf("SC_CLK_TCK")


def figure(metric, unit, values):
    value = statistics.median(values)
    line = {"bench": "operator", "metric": metric, "unit": unit, "value": round(value, 4), "runs": len(values)}
    print(json.dumps({**line, "min": round(min(values), 4), "max": round(max(values), 4)}), flush=True)


class Operator:
    """The program itself, outside of any Pod, with the administrator's kubeconfig."""

    def __init__(self, cluster):
        build = pathlib.Path(os.environ.get("METALLB_BUILD", pathlib.Path(PROJECT, "build", "release")))
        self.log = tempfile.TemporaryFile()
        argv = [build / "operator" / "operator", f"--kubeconfig={cluster.kubeconfig}", f"--namespace={SYSTEM}"]
        argv += ["--port=0", "--health-probe-port=0", "--webhook-mode=disabled"]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split()[0]) / 1024


def pool(cluster):
    meta = {"name": "bench", "namespace": SYSTEM}
    spec = {"addresses": ["10.200.0.0/16"]}
    cluster.api.create({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": spec})


def service(name):
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}}
    spec["allocateLoadBalancerNodePorts"] = False
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def make_services(cluster, names):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: cluster.api.create(service(name)), names))


def drop_services(cluster):
    names = [item["metadata"]["name"] for item in cluster.api.list("Service", "default")]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: n == "kubernetes" or cluster.api.delete("Service", n, "default"), names))


def wait_listed(cluster, count, started):
    """Seconds from `started` until `count` Services have an address, looked at every 50 ms."""
    while True:
        items = cluster.api.list("Service", "default")
        if sum(bool(ingress_of(item)) for item in items) >= count:
            return time.monotonic() - started
        time.sleep(0.05)


def bench_waiting(cluster, count, runs):
    seconds, cpu, rss = [], [], []
    for _ in range(runs):
        drop_services(cluster)
        make_services(cluster, [f"s{number}" for number in range(count)])
        started = time.monotonic()
        with Operator(cluster) as operator:
            seconds.append(wait_listed(cluster, count, started))
            cpu.append(operator.cpu_s())
            rss.append(operator.peak_mib())
        drop_services(cluster)
    figure(f"{count} waiting Services, start to all assigned", "s", seconds)
    figure(f"{count} waiting Services, CPU", "s", cpu)
    figure(f"{count} waiting Services, peak RSS", "MiB", rss)


def bench_single(cluster, count):
    """From just before the request that creates a Service to its address being readable."""
    took = []
    with Operator(cluster):
        make_services(cluster, ["warm"])
        wait_listed(cluster, 1, time.monotonic())
        for number in range(count):
            name = f"one{number}"
            began = time.monotonic()
            cluster.api.create(service(name))
            while not ingress_of(cluster.api.get("Service", name, "default")):
                time.sleep(0.0005)
            took.append((time.monotonic() - began) * 1000)
    took.sort()
    figure(f"one Service created to its address, p50 of {count}", "ms", [took[count // 2]])
    figure(f"one Service created to its address, p99 of {count}", "ms", [took[count * 99 // 100]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    with Cluster(nodes=0, faults=False, images={}) as cluster:
        cluster.kubectl("apply", "-k", pathlib.Path(PROJECT, "crds"))
        cluster.kubectl("create", "namespace", SYSTEM)
        cluster.wait_for(lambda: cluster.api.list("IPAddressPool") is not None, 10, "the kinds")
        pool(cluster)
        bench_single(cluster, chosen.singles)
        bench_waiting(cluster, chosen.services, chosen.runs)


if __name__ == "__main__":
    main()
