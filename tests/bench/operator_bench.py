"""The operator on a control plane without nodes: how fast Services get their addresses, and what it costs.

    python3 -m tests.bench.operator_bench [--services N] [--singles N] [--runs N]

KUBEBUILDER_ASSETS chooses the control plane, METALLB_BUILD the program (build/release by default). Prints one
JSON object per figure: {"bench", "metric", "unit", "value", "runs", "min", "max"}.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import ssl
import statistics
import subprocess
import tempfile
import threading
import time

from tests.cluster import Cluster
from tests.cluster.images import PROJECT
from tests.e2e.lab import SYSTEM, ingress_of

HZ = os.sysconf("SC_CLK_TCK")


def figure(metric, unit, values):
    value = statistics.median(values)
    line = {"bench": "operator", "metric": metric, "unit": unit, "value": round(value, 4), "runs": len(values)}
    print(json.dumps({**line, "min": round(min(values), 4), "max": round(max(values), 4)}), flush=True)


class Watcher:
    """Knows when each Service's first address was seen, by a watch of its own."""

    def __init__(self, cluster):
        pki, plan = cluster.pki, cluster.plan
        context = ssl.create_default_context(cafile=pki.path("ca.crt"))
        context.load_cert_chain(pki.path("admin.crt"), pki.path("admin.key"))
        self._connection = http.client.HTTPSConnection(plan.control4, plan.api_port, context=context)
        self._connection.request("GET", "/api/v1/namespaces/default/services?watch=true")
        self._lines = self._connection.getresponse()
        self._seen = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._lines:
            now, item = time.monotonic(), json.loads(line)["object"]
            with self._changed:
                if ingress_of(item):
                    self._seen.setdefault(item["metadata"]["name"], now)
                    self._changed.notify()

    def reset(self):
        with self._changed:
            self._seen.clear()

    def wait(self, names, timeout=120):
        """The times at which the first address of each of `names` was seen, in their order."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._seen.keys() >= set(names), timeout):
                raise TimeoutError(f"{len(self._seen)} of {len(names)} Services have an address")
            return [self._seen[name] for name in names]


class Operator:
    """The program itself, outside of any Pod, with the administrator's kubeconfig or the given one."""

    def __init__(self, cluster, kubeconfig=None):
        build = pathlib.Path(os.environ.get("METALLB_BUILD", pathlib.Path(PROJECT, "build", "release")))
        self.log = tempfile.TemporaryFile()
        argv = [build / "operator" / "operator", f"--kubeconfig={kubeconfig or cluster.kubeconfig}", f"--namespace={SYSTEM}"]
        argv += ["--port=0", "--health-probe-port=0", "--webhook-mode=disabled"]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split()[0]) / 1024


def pool(cluster, addresses="10.200.0.0/16", name="bench"):
    meta = {"name": name, "namespace": SYSTEM}
    spec = {"addresses": [addresses]}
    cluster.api.create({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": spec})


def service(name):
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}}
    spec["allocateLoadBalancerNodePorts"] = False
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def make_services(cluster, names, make=service):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: cluster.api.create(make(name)), names))


def drop_services(cluster):
    names = [item["metadata"]["name"] for item in cluster.api.list("Service", "default")]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: n == "kubernetes" or cluster.api.delete("Service", n, "default"), names))


def bench_waiting(cluster, watcher, count, runs):
    seconds, cpu, rss = [], [], []
    names = [f"s{number}" for number in range(count)]
    for _ in range(runs):
        drop_services(cluster)
        make_services(cluster, names)
        watcher.reset()
        started = time.monotonic()
        with Operator(cluster) as operator:
            seconds.append(max(watcher.wait(names)) - started)
            cpu.append(operator.cpu_s())
            rss.append(operator.peak_mib())
        drop_services(cluster)
    figure(f"{count} waiting Services, start to all assigned", "s", seconds)
    figure(f"{count} waiting Services, CPU", "s", cpu)
    figure(f"{count} waiting Services, peak RSS", "MiB", rss)


def percentiles(what, took):
    took = sorted(value * 1000 for value in took)
    count = len(took)
    figure(f"{what}, p50 of {count}", "ms", [took[count // 2]])
    figure(f"{what}, p99 of {count}", "ms", [took[count * 99 // 100]])


def bench_single(cluster, watcher, count):
    """From just before the request that creates a Service to a watch telling its address."""
    took = []
    with Operator(cluster):
        make_services(cluster, ["warm"])
        watcher.wait(["warm"])
        for number in range(count):
            watcher.reset()
            began = time.monotonic()
            cluster.api.create(service(f"one{number}"))
            took.append(watcher.wait([f"one{number}"])[0] - began)
    percentiles("one Service created to its address", took)
    drop_services(cluster)


def bench_floor(cluster, watcher, count):
    """The same without an operator: the creator itself writes an address into the status."""
    took = []
    for number in range(count):
        watcher.reset()
        name = f"floor{number}"
        began = time.monotonic()
        cluster.api.create(service(name))
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "10.200.0.1"}]}}}
        cluster.api.patch("Service", name, status, "default", "status")
        took.append(watcher.wait([name])[0] - began)
    percentiles("the same, the address written by the creator", took)
    drop_services(cluster)


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
        watcher = Watcher(cluster)
        bench_floor(cluster, watcher, chosen.singles)
        bench_single(cluster, watcher, chosen.singles)
        bench_waiting(cluster, watcher, chosen.services, chosen.runs)


if __name__ == "__main__":
    main()
