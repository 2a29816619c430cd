"""BGP: how fast routes reach a router, after a Service is made, a speaker restarted, a session come up.

    python3 -m tests.bench.bgp_bench [--services N] [--singles N] [--routes N] [--runs N]

The first two run on a control plane (KUBEBUILDER_ASSETS) without nodes: operator and speaker are processes
outside of any Pod, the router is FRR, and what counts is the route in the router's kernel. The third needs none:
the engine alone, and FRR in its place, announce to four peers that only listen. Prints one JSON object per
figure: {"bench", "metric", "unit", "value", "runs", "min", "max"}.
"""

import argparse
import ipaddress
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time

from tests.bench.operator_bench import HZ, Operator, drop_services, make_services, service
from tests.bgp import wire
from tests.bgp.probe import Probe, wait_for
from tests.bgp.routers import ASN, Frr
from tests.cluster import Cluster
from tests.cluster.images import PROJECT
from tests.cluster.kube import ApiError
from tests.cluster.netns import Netns
from tests.e2e.lab import SYSTEM

BUILD = pathlib.Path(os.environ.get("METALLB_BUILD", pathlib.Path(PROJECT, "build", "release")))
MY_ASN = 64512
POOL = "10.200.0.0/16"
PEERS = 4


def figure(metric, unit, values):
    value = statistics.median(values)
    line = {"bench": "bgp", "metric": metric, "unit": unit, "value": round(value, 4), "runs": len(values)}
    print(json.dumps({**line, "min": round(min(values), 4), "max": round(max(values), 4)}), flush=True)


class Usage:
    """CPU time and memory of a process."""

    def __init__(self, pid):
        self._pid = pid
        self._before = self._cpu()

    def _cpu(self):
        fields = pathlib.Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def cpu_s(self):
        return self._cpu() - self._before

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self._pid}/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split()[0]) / 1024


# ---- on a control plane ----


class KernelRoutes:
    """When each host route last came into a namespace's kernel, as `ip monitor` tells it."""

    def __init__(self, ns):
        self._process = subprocess.Popen(ns.prefix() + ["ip", "monitor", "route"], stdout=subprocess.PIPE, text=True)
        self._added = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            now, words = time.monotonic(), line.split()
            gone = words and words[0] == "Deleted"
            if not words or not re.match(r"10\.200\.", words[gone]):
                continue
            with self._changed:
                if gone:
                    self._added.pop(words[1], None)
                else:
                    self._added[words[0]] = now
                self._changed.notify()

    def wait_count(self, count, timeout=120):
        """Waits until exactly so many are there; returns when the last came."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._added) == count, timeout):
                raise TimeoutError(f"{len(self._added)} of {count} routes")
            return max(self._added.values(), default=0)

    def close(self):
        self._process.terminate()
        self._process.wait(10)


class Speaker:
    """The program itself as the speaker of node1, in a client's namespace."""

    def __init__(self, cluster, machine):
        self.log = tempfile.TemporaryFile()
        argv = [BUILD / "speaker" / "speaker", f"--kubeconfig={cluster.kubeconfig}", f"--namespace={SYSTEM}"]
        argv += ["--node-name=node1", "--port=0", "--health-probe-port=0"]
        self.process = subprocess.Popen(
            machine.ns.prefix() + list(map(str, argv)), stdout=self.log, stderr=subprocess.STDOUT
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


def custom(cluster, kind, name, spec, version="v1beta1"):
    meta = {"name": name, "namespace": SYSTEM}
    cluster.api.create({"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": meta, "spec": spec})


def make_endpoint(cluster, name):
    """An endpoint for a Service that need not be there yet."""
    piece = {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.9"], "conditions": {"ready": True}}],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    for version in ("v1", "v1beta1"):
        path = f"/apis/discovery.k8s.io/{version}/namespaces/default/endpointslices"
        try:
            cluster.api.request("POST", path, {"apiVersion": f"discovery.k8s.io/{version}", **piece})
            return
        except ApiError as error:
            if error.status != 404:
                raise
    raise RuntimeError("no EndpointSlices on this server")


def bare(name):
    """As a selector would make the control plane add slices of its own, there is none."""
    made = service(name)
    del made["spec"]["selector"]
    return made


def percentiles(what, took):
    took = sorted(value * 1000 for value in took)
    count = len(took)
    figure(f"{what}, p50 of {count}", "ms", [took[count // 2]])
    figure(f"{what}, p99 of {count}", "ms", [took[count * 99 // 100]])


def bench_single(cluster, routes, count):
    """From just before the request that creates a Service to the route in the router's kernel.

    All of them stay: one address that comes and goes would be paced.
    """
    took = []
    for number in range(count + 1):
        name = f"one{number}"
        make_endpoint(cluster, name)
        began = time.monotonic()
        cluster.api.create(bare(name))
        took.append(routes.wait_count(number + 1) - began)
    drop_services(cluster)
    routes.wait_count(0)
    percentiles("Service created to its route in the router", took[1:])


def bench_restart(cluster, machine, speaker, routes, count, runs):
    """From the start of another speaker to all routes back, without graceful restart."""
    names = [f"s{number}" for number in range(count)]
    for name in names:
        make_endpoint(cluster, name)
    make_services(cluster, names, bare)
    routes.wait_count(count)
    seconds, cpu, rss = [], [], []
    for _ in range(runs):
        speaker.stop()
        routes.wait_count(0)
        began = time.monotonic()
        speaker = Speaker(cluster, machine)
        usage = Usage(speaker.process.pid)
        seconds.append(routes.wait_count(count) - began)
        cpu.append(usage.cpu_s())
        rss.append(usage.peak_mib())
    figure(f"speaker started to {count} routes back", "s", seconds)
    figure(f"speaker started to {count} routes back, CPU", "s", cpu)
    figure(f"speaker started to {count} routes back, peak RSS", "MiB", rss)
    return speaker


def bench_cluster(chosen):
    with Cluster(nodes=0, faults=False, images={}) as cluster:
        cluster.kubectl("apply", "-k", pathlib.Path(PROJECT, "crds"))
        cluster.kubectl("create", "namespace", SYSTEM)
        cluster.wait_for(lambda: cluster.api.list("IPAddressPool") is not None, 10, "the kinds")
        cluster.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}})
        here, there = cluster.client("speaker"), cluster.client("router")
        neighbor = {"address": here.ip4, "local": there.ip4, "asn": MY_ASN, "families": "4", "hold": 90}
        frr = Frr(there.ns, [neighbor])
        routes = KernelRoutes(there.ns)
        custom(cluster, "IPAddressPool", "bench", {"addresses": [POOL]})
        custom(cluster, "BGPAdvertisement", "bench", {})
        custom(cluster, "BGPPeer", "bench", {"myASN": MY_ASN, "peerASN": ASN, "peerAddress": there.ip4}, "v1beta2")
        try:
            frr.start()
            with Operator(cluster):
                speaker = Speaker(cluster, here)
                try:
                    wait_for("session", lambda: frr.neighbor(here.ip4).get("bgpState") == "Established", 30)
                    bench_single(cluster, routes, chosen.singles)
                    speaker = bench_restart(cluster, here, speaker, routes, chosen.services, chosen.runs)
                finally:
                    speaker.stop()
            drop_services(cluster)
        finally:
            routes.close()
            frr.close()


# ---- the engine alone ----


class Listener(wire.Rogue):
    """A peer that takes routes: when the session was up, when the last of `wanted` came, in how many UPDATEs."""

    def __init__(self, ns, address, wanted):
        super().__init__(ns, address, self._serve_session)
        self.wanted = wanted
        self.done = threading.Event()
        self.up_at = self.full_at = None
        self.updates = self.prefixes = 0

    def _serve_session(self, sock, _):
        sock.sendall(wire.greeting(hold=90))
        rest = b""
        while not self.stopping.is_set():
            try:
                data = sock.recv(1 << 20)
            except TimeoutError:
                continue
            if not data:
                return
            found, rest = wire.messages(rest + data)
            now = time.monotonic()
            for kind, body in found:
                self._note(kind, body, now)

    def _note(self, kind, body, now):
        if kind == wire.KEEPALIVE and self.up_at is None:
            self.up_at = now
        if kind != wire.UPDATE:
            return
        routes = list(wire.announced(body))
        self.updates += bool(routes)
        self.prefixes += len(routes)
        if self.prefixes >= self.wanted and self.full_at is None:
            self.full_at = now
            self.done.set()


class Wires:
    """One namespace that announces, and four with a listener each."""

    def __init__(self, wanted):
        self.here = Netns.create("announcer")
        self.peers, self.listeners = [], []
        for number in range(PEERS):
            ns = Netns.create(f"peer{number}")
            self.here.ip(f"link add p{number} type veth peer name eth0 netns {ns.path}")
            self.here.ip(f"address add 10.70.{number}.1/24 dev p{number}", f"link set p{number} up")
            ns.ip(f"address add 10.70.{number}.2/24 dev eth0", "link set eth0 up")
            self.peers.append(ns)
            self.listeners.append(Listener(ns, f"10.70.{number}.2", wanted))
        self.here.ip("link set lo up")

    def measure(self, what, usage):
        """Lets the peers listen, and waits until each has everything."""
        for listener in self.listeners:
            listener.__enter__()
        for listener in self.listeners:
            if not listener.done.wait(120):
                raise TimeoutError(f"{what}: {listener.prefixes} of {listener.wanted} routes")
        seconds = max(item.full_at - item.up_at for item in self.listeners)
        return {
            "s": seconds,
            "UPDATEs": sum(item.updates for item in self.listeners),
            "CPU s": usage.cpu_s(),
            "MiB": usage.peak_mib(),
        }

    def close(self):
        for listener in self.listeners:
            listener.__exit__(None, None, None)
        for ns in [self.here, *self.peers]:
            ns.close()


def run_engine(count):
    wires = Wires(count)
    os.environ["METALLB_PROBE_BUILD"] = str(BUILD)
    probe = Probe(wires.here)
    try:
        peer = {"my_asn": MY_ASN, "peer_asn": ASN, "connect": "1s", "hold": "90s", "keepalive": "30s"}
        probe.peers(*({"name": f"p{n}", "address": f"10.70.{n}.2", **peer} for n in range(PEERS)))
        for number in range(PEERS):
            probe.ask("routes", peer=f"p{number}", count=count, first="10.100.0.0")
        pid = probe.process.pid
        return wires.measure("engine", Usage(pid))
    finally:
        probe.close()
        wires.close()


class FrrAnnouncer(Frr):
    def __init__(self, ns, count):
        peers = [
            {"address": f"10.70.{n}.2", "local": f"10.70.{n}.1", "asn": ASN, "families": "4", "hold": 90, "active": True}
            for n in range(PEERS)
        ]
        super().__init__(ns, peers, asn=MY_ASN)
        self._first, self._count = int(ipaddress.IPv4Address("10.100.0.0")), count

    def config(self):
        line = " address-family ipv4 unicast\n"
        numbers = range(self._first, self._first + self._count)
        networks = "".join(f"  network {ipaddress.IPv4Address(n)}/32\n" for n in numbers)
        return super().config().replace(line, line + networks)


def run_frr(count):
    wires = Wires(count)
    frr = FrrAnnouncer(wires.here, count)
    try:
        frr.start()
        pid = next(p.pid for p in frr.processes if "bgpd" in str(p.args))
        wait_for("its own table", lambda: frr.route(str(ipaddress.IPv4Address("10.100.0.0")) + "/32"), 60)
        time.sleep(2)  # so that it has nothing else to do when the peers come
        return wires.measure("FRR", Usage(pid))
    finally:
        frr.kill(signal.SIGTERM)
        frr.close()
        wires.close()


def bench_many(chosen):
    for name, run in (("engine", run_engine), ("FRR as announcer", run_frr)):
        results = [run(chosen.routes) for _ in range(chosen.runs)]
        what = f"{chosen.routes} routes to {PEERS} peers, {name}"
        figure(f"{what}: session up to the last", "s", [r["s"] for r in results])
        figure(f"{what}: UPDATEs", "", [r["UPDATEs"] for r in results])
        figure(f"{what}: CPU", "s", [r["CPU s"] for r in results])
        figure(f"{what}: peak RSS", "MiB", [r["MiB"] for r in results])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--routes", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    bench_many(chosen)
    bench_cluster(chosen)


if __name__ == "__main__":
    main()
