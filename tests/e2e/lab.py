"""What the end-to-end tests are written with: installing, and a test's own namespace with its objects."""

import contextlib
import ipaddress
import itertools
import json
import pathlib
import signal
import time

from tests.cluster.images import PROJECT
from tests.cluster.kube import ApiError

SYSTEM = "metallb-system"
CONFIG_KINDS = (
    "IPAddressPool",
    "L2Advertisement",
    "BGPAdvertisement",
    "BGPPeer",
    "BFDProfile",
    "Community",
)
_numbers = itertools.count(1)


def pod_ready(pod):
    conditions = pod.get("status", {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def program_ready(cluster, component, count):
    """Whether `count` Pods of the operator (component controller) or of the speaker are Ready, and no other is there."""
    pods = cluster.pods(SYSTEM, app="metallb", component=component)
    return len(pods) == count and all(map(pod_ready, pods))


def wait_installed(cluster, timeout=60):
    replicas = cluster.get("Deployment", "controller", SYSTEM)["spec"]["replicas"]
    nodes = sum(made.agent.alive() for made in cluster.nodes)
    cluster.wait_for(lambda: program_ready(cluster, "controller", replicas), timeout, "the operator Ready")
    cluster.wait_for(lambda: program_ready(cluster, "speaker", nodes), timeout, "all speakers Ready")


def install(cluster):
    """config/default by kubectl, as a user would."""
    cluster.kubectl("apply", "-k", pathlib.Path(PROJECT, "config", "default"))
    wait_installed(cluster)


def ingress_of(service):
    """The addresses in a Service's status."""
    ingress = ((service or {}).get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    return [item["ip"] for item in ingress if "ip" in item]


def tidy(cluster, lab):
    """After a test: no faults, all nodes up, no configuration, no Services or workloads of its own."""
    if cluster.faults:
        cluster.faults.clear()
    for made in cluster.nodes:
        if not made.agent.alive():
            made.start()
    for kind in ("Service", "Deployment"):
        for obj in cluster.api.list(kind, lab.namespace):
            cluster.api.delete(kind, obj["metadata"]["name"], lab.namespace)
    for kind in CONFIG_KINDS:
        for obj in _list_if_served(cluster, kind):
            cluster.wait_for(lambda: _delete(cluster, kind, obj["metadata"]["name"]), 10, f"{kind} deleted")
    cluster.wait_for(lambda: not cluster.api.list("Service", lab.namespace), 20, "the test's Services gone")
    cluster.api.delete("Namespace", lab.namespace)
    wait_installed(cluster)


def _delete(cluster, kind, name):
    """False when a webhook refuses: it may not have seen yet that what uses the object is gone."""
    try:
        cluster.api.delete(kind, name, SYSTEM)
    except ApiError as error:
        if error.status != 403:
            raise
        return False
    return True


def _list_if_served(cluster, kind):
    try:
        return cluster.api.list(kind, SYSTEM)
    except ApiError as error:
        if error.status == 404:
            return []
        raise


class Lab:
    """One test's namespace. Names are the test's own; addresses come from the LAN's range for Services."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.api = cluster.api
        self.namespace = f"e2e-{next(_numbers)}"
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    # Configuration.

    def custom(self, kind, name, spec, version="v1beta1"):
        """Creates an object of ours; a server may still call a replica whose node an earlier test took away."""
        obj = {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": {"name": name, "namespace": SYSTEM}}
        start = time.monotonic()
        while True:
            try:
                return self.api.create({**obj, "spec": spec})
            except ApiError as error:
                if "failed calling webhook" not in str(error) or time.monotonic() > start + 30:
                    raise
            time.sleep(0.1)

    def pool(self, name="pool", addresses=None, **spec):
        """An IPAddressPool; by default with 64 IPv4 and 64 IPv6 addresses of the LAN."""
        if addresses is None:
            addresses = [self.cluster.plan.pool4(), self.cluster.plan.pool6()]
        return self.custom("IPAddressPool", name, {"addresses": addresses, **spec})

    def l2(self, name="l2", **spec):
        return self.custom("L2Advertisement", name, spec)

    # Services and what stands behind them.

    def service_object(self, name, port=80, **spec):
        wanted = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": port, "targetPort": 8080}]}
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**wanted, **spec}}

    def service(self, name, annotations=None, **spec):
        obj = self.service_object(name, **spec)
        obj["metadata"]["annotations"] = annotations or {}
        return self.api.create(obj)

    def backend(self, name, replicas=2, wait=True, apart=False):
        """HTTP servers that a Service of the same name selects; apart: no two of them on one node."""
        container = {
            "name": "backend",
            "image": "backend",
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        }
        template = {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
        if apart:
            term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": name}}}
            repel = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
            template["spec"]["affinity"] = repel
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        meta = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
        if wait:
            self.wait(lambda: self._ready_backends(name) == replicas, 30, f"{replicas} backends of {name}")

    def _ready_backends(self, name):
        return sum(map(pod_ready, self.cluster.pods(self.namespace, app=name)))

    def wait(self, condition, timeout, what):
        return self.cluster.wait_for(condition, timeout, what)

    def get(self, name):
        return self.api.get("Service", name, self.namespace)

    def addresses(self, name):
        return ingress_of(self.get(name))

    def wait_addresses(self, name, count=1, timeout=30):
        """The Service's addresses, once it has `count` of them."""

        def found():
            addresses = self.addresses(name)
            return addresses if len(addresses) == count else None

        return self.wait(found, timeout, f"{count} address(es) for Service {name}")

    def stays_pending(self, name, seconds=1.0):
        """Whether the Service gets no address for a while."""
        try:
            self.wait(lambda: self.addresses(name), seconds, name)
        except TimeoutError:
            return True
        return False

    def events(self, name, reason=None):
        """The events about a Service of the test."""
        found = self.api.list("Event", self.namespace)
        return [
            event
            for event in found
            if event["involvedObject"].get("name") == name and reason in (None, event["reason"])
        ]

    def wait_event(self, name, reason, timeout=10):
        return self.wait(lambda: self.events(name, reason), timeout, f"event {reason} for {name}")[0]

    # Our programs.

    def operator_containers(self):
        return self.cluster.containers(SYSTEM, "controller-")

    def leader(self):
        """The running container of the replica that leads."""
        for lease in self.api.list("Lease", SYSTEM):
            holder = lease["spec"].get("holderIdentity") or ""
            for item in self.operator_containers():
                if item["pid"] and holder.startswith(item["pod"]):
                    return item
        return None

    def holder(self):
        """Who leads, by the Lease; every start of a program has an identity of its own. "" when nobody does."""
        lease = self.api.get("Lease", "metallb-controller", SYSTEM)
        return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""

    def wait_other_holder(self, old, timeout):
        """Somebody else's identity, and after how many seconds."""
        began = time.monotonic()
        found = self.cluster.wait_for(
            lambda: (now := self.holder()) not in ("", old) and now, timeout, f"a leader after {old}", interval=0.01
        )
        return found, time.monotonic() - began

    @contextlib.contextmanager
    def hand_over(self):
        """SIGTERM to the leader's program at the beginning of the block, which gets the identity that it had.

        At the end its Pod is replaced: its program serves on for some seconds, and starts again later and later;
        meanwhile there would be nobody to take over from the next leader.
        """
        leader, old = self.wait(self.leader, 20, "a leader"), self.holder()
        self.cluster.signal_container(leader, signal.SIGTERM)
        try:
            yield old
        finally:
            self.api.delete("Pod", leader["pod"], SYSTEM)
            self.wait(lambda: not self.api.get("Pod", leader["pod"], SYSTEM), 30, "the old leader's Pod gone")
            wait_installed(self.cluster)

    def speaker(self, node):
        """The running speaker container of a node, by the node's name."""
        return next(
            (i for i in self.cluster.containers(SYSTEM, "speaker-") if i["node"] == node and i["pid"]), None
        )

    def speaker_status(self, node):
        """What the node's speaker answers on /status."""
        return json.loads(node.ns.run(["curl", "-sf", "-m", "5", "http://127.0.0.1:17472/status"]).stdout)

    def log_lines(self, pod_prefix):
        """All log lines of Pods of ours, decoded where they are JSON: [(source, dict or text)]."""
        lines = []
        for source, text in self.cluster.log(SYSTEM, pod_prefix).items():
            for line in text.splitlines():
                try:
                    lines.append((source, json.loads(line)))
                except ValueError:
                    lines.append((source, line))
        return lines

    # On the wire.

    def owner(self, address, client=None):
        """The node that answers for an address, asked once; None if none or several do."""
        client = client or self.cluster.client()
        macs = set(client.ndisc(address) if ":" in address else client.arping(address))
        return self.cluster.node_of_mac(macs.pop()) if len(macs) == 1 else None

    def wait_answering(self, address, timeout=45):
        return self.wait(lambda: self.owner(address), timeout, f"one node answering for {address}")


def in_range(address, text):
    """Whether an address lies in "first-last" or in a CIDR."""
    address = ipaddress.ip_address(address)
    if "/" in text:
        return address in ipaddress.ip_network(text)
    first, last = (ipaddress.ip_address(part.strip()) for part in text.split("-"))
    return address.version == first.version and first <= address <= last
