"""A node of the cluster: its namespace, its place on the LAN, its agent, and what can befall it."""

import dataclasses
import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import uuid

from . import netns, procs
from .images import PROJECT


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def unix_request(path, method, target, body=None):
    """One request over a unix socket; the JSON answer."""
    connection = UnixConnection(path)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, target, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {target} on {path}: {answer.status} {text}")
        return json.loads(text) if text else None
    finally:
        connection.close()


class Node:
    """Made by Cluster; `plan` is a NodePlan."""

    def __init__(self, cluster, plan, labels=None):
        self.cluster = cluster
        self.plan = plan
        self.name = plan.name
        self.labels = dict(labels or {})
        self.state = pathlib.Path(cluster.state, "nodes", plan.name)
        self.state.mkdir(parents=True)
        self.ns = netns.Netns.create(plan.name)
        self._set_kernel_up()
        addresses = [f"{plan.ip4}/16", f"{plan.ip6}/64"]
        self.port = cluster.lan.plug(self.ns, addresses=addresses)
        self._frozen = []
        self.agent = procs.Process(
            f"agent of {plan.name}",
            [sys.executable, "-m", "tests.cluster.agent", self.state / "agent.json"],
            ns=self.ns,
            log=self.state / "agent.log",
            cwd=PROJECT,
        )

    def _set_kernel_up(self):
        """Before any interface exists, so that all inherit it."""
        self.ns.sysctls(
            {
                "net.ipv4.ip_forward": 1,
                "net.ipv4.conf.all.rp_filter": 0,
                "net.ipv4.conf.default.rp_filter": 0,
                "net.ipv4.conf.all.send_redirects": 0,
                "net.ipv4.conf.default.send_redirects": 0,
                "net.ipv6.conf.all.forwarding": 1,
                "net.ipv6.conf.default.accept_ra": 0,
            }
        )
        # There once something has loaded connection tracking, and 1 is its default.
        if os.path.exists("/proc/sys/net/netfilter/nf_conntrack_tcp_loose"):
            self.ns.sysctls({"net.netfilter.nf_conntrack_tcp_loose": 1})

    @property
    def mac(self):
        links = json.loads(self.ns.run(["ip", "-json", "link", "show", "eth0"]).stdout)
        return links[0]["address"]

    @property
    def _socket(self):
        # Short: the path of a unix socket has at most 107 bytes.
        return pathlib.Path(self.cluster.state, f"{self.name}.sock")

    def agent_config(self):
        cluster, pki = self.cluster, self.cluster.pki.path
        return {
            "node": dataclasses.asdict(self.plan),
            "nodes": [dataclasses.asdict(plan) for plan in cluster.node_plans],
            "labels": self.labels,
            "state": str(self.state),
            "socket": str(self._socket),
            "server": cluster.plan.api_url(),
            "ca": str(pki("ca.crt")),
            "cert": str(pki("agents.crt")),
            "key": str(pki("agents.key")),
            "kubelet_cert": str(pki("kubelets.crt")),
            "kubelet_key": str(pki("kubelets.key")),
            "kubelet_port": cluster.plan.kubelet_port,
            "api_host": cluster.plan.control4,
            "api_port": cluster.pod_api_port,
            "images": cluster.images,
            "proxy": cluster.with_proxy,
            "version": "v%d.%d.0" % cluster.control_plane.version,
            "boot_id": str(uuid.uuid4()),
        }

    def start(self):
        """Switches the node on."""
        (self.state / "agent.json").write_text(json.dumps(self.agent_config()), encoding="utf-8")
        self._socket.unlink(missing_ok=True)
        self.cluster.lan.port_set(self.port, True)
        self.agent.start()

    def kill(self):
        """Pulls the power: everything on it is gone at once, nobody says good-bye."""
        self.cluster.lan.port_set(self.port, False)
        for container in self.containers():
            self._signal(container["pid"], signal.SIGKILL)
        self.agent.kill()
        self.ns.run(["nft", "flush", "ruleset"])
        self._flush_pod_links()

    def _flush_pod_links(self):
        # They end with their Pods' namespaces, too, at a time that the kernel chooses: whichever is first.
        for name in self._pod_links():
            self.ns.run(["ip", "link", "delete", name], check=False)
        procs.wait_until(lambda: not self._pod_links(), 10, f"the Pods' links of {self.name} gone")
        for family, option in ("-4", ""), ("-6", "-6 "):
            rules = json.loads(self.ns.run(["ip", "-json", family, "rule"]).stdout or "[]")
            marks = [rule["fwmark"] for rule in rules if "fwmark" in rule]
            self.ns.ip(*(f"{option}rule delete fwmark {mark}" for mark in marks))

    def _pod_links(self):
        links = json.loads(self.ns.run(["ip", "-json", "link", "show", "type", "veth"]).stdout or "[]")
        return [link["ifname"] for link in links if link["ifname"].startswith("pod")]

    def partition(self):
        """Cuts it off the LAN; its processes go on."""
        self.cluster.lan.port_set(self.port, False)

    def heal(self):
        self.cluster.lan.port_set(self.port, True)

    def isolate(self):
        """The same, but its interface keeps the carrier."""
        self.cluster.lan.port_block(self.port, True)

    def rejoin(self):
        self.cluster.lan.port_block(self.port, False)

    def freeze(self):
        """Stops all its processes as a hung machine would; the network stays up."""
        self._frozen = [container["pid"] for container in self.containers() if container["pid"]]
        self.agent.signal(signal.SIGSTOP)
        for pid in self._frozen:
            self._signal(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self._frozen:
            self._signal(pid, signal.SIGCONT)
        self._frozen = []
        self.agent.signal(signal.SIGCONT)

    @staticmethod
    def _signal(pid, number):
        if pid:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it has ended since we asked

    def containers(self):
        """All containers of the node: namespace, pod, container, pid, restarts, log, netns."""
        return unix_request(self._socket, "GET", "/containers")

    def stop(self):
        if self.agent.alive():
            self.thaw()
            self.agent.stop(grace=3)
        self.ns.close()
