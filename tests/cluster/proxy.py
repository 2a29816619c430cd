"""The service proxy of a node: nftables rules that lead Service addresses to ready endpoints.

A connection's backend is jhash(client address, client port) over the sorted backends, so every node picks
the same one, and a connection that moves to another node goes on. Nothing is source-translated. A
connection from outside is translated on the node that runs its backend: the node that gets it from the
LAN marks it and routes it there as it came, so the reply goes through the translating node.

externalTrafficPolicy Local and sessionAffinity ClientIP are honoured; NodePorts are not offered.
"""

import asyncio
import hashlib
import ipaddress
import logging

from . import kube

LOG = logging.getLogger("proxy")
SEED = "0x6d6c6263"
# fwmark of a connection that node N translates: MARK_BASE + N.
MARK_BASE, MARK_MASK = 0x4D420000, 0xFFFF0000
TABLE_BASE = 100
COALESCE_S = 0.02
# A client soon uses a port again that it used with a backend that is gone since; the default is 120 s.
# A node that only steers a connection sees one direction of it, which is SYN_SENT to the kernel to the end; were
# it remembered when the port is used again for a backend of the node's own, nobody would translate.
REMEMBERED_S = 2
REMEMBERED_STATES = ("time_wait", "syn_sent")
REMEMBERED_PATH = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{}"
# What is steered carries this code point. Nodes learn of a new backend one after another; two that choose
# differently meanwhile would send a packet to and fro until its hops are used up, and the client be told that
# there is no way. So it is steered once; otherwise lost, and the client's next one finds the nodes agreed.
STEERED_DSCP = 1
SERVICE_LABEL = "kubernetes.io/service-name"

SKELETON = """
table {family} mlc {{
	map inside {{
		type {address} . inet_proto . inet_service : verdict
	}}
	map outside {{
		type {address} . inet_proto . inet_service : verdict
	}}
	map steer {{
		type {address} . inet_proto . inet_service : verdict
	}}
	map closed {{
		type {address} . inet_proto . inet_service : verdict
	}}
	chain refuse {{
		meta l4proto tcp reject with tcp reset
		reject
	}}
	chain silent {{
		drop
	}}
	chain before {{
		type filter hook prerouting priority -150; policy accept
		{family} daddr . meta l4proto . th dport vmap @closed
		ct status & dnat == dnat accept
		iifname "eth*" {family} daddr . meta l4proto . th dport vmap @steer
	}}
	chain once {{
		type filter hook forward priority -10; policy accept
		meta mark & {mask:#x} == {base:#x} {family} dscp {dscp} drop
		meta mark & {mask:#x} == {base:#x} {family} dscp set {dscp}
	}}
	chain out {{
		type filter hook output priority -150; policy accept
		{family} daddr . meta l4proto . th dport vmap @closed
		{redirects}
	}}
	chain translate {{
		type nat hook prerouting priority -100; policy accept
		meta mark & {mask:#x} == {base:#x} accept
		iifname "eth*" {family} daddr . meta l4proto . th dport vmap @outside
		{family} daddr . meta l4proto . th dport vmap @inside
	}}
	chain translate_own {{
		type nat hook output priority -100; policy accept
		{family} daddr . meta l4proto . th dport vmap @inside
	}}
}}
"""


def skeleton(family):
    return SKELETON.format(
        family=family,
        address="ipv4_addr" if family == "ip" else "ipv6_addr",
        # The client is not to learn that the backend's node could be reached directly.
        redirects="icmp type redirect drop" if family == "ip" else "icmpv6 type nd-redirect drop",
        dscp=STEERED_DSCP,
        mask=MARK_MASK,
        base=MARK_BASE,
    )


class Backends:
    """A sorted tuple of (address, port), and the chains that spread connections over it."""

    def __init__(self, family, protocol, targets, affinity, node_of):
        self.family = family
        self.protocol = protocol
        self.targets = tuple(sorted(targets))
        self.affinity = affinity
        self.node_of = node_of
        text = repr((family, protocol, self.targets, affinity))
        self.chain = "b" + hashlib.sha256(text.encode()).hexdigest()[:16]

    def _hash(self):
        port = "" if self.affinity else f" . {self.protocol} sport"
        return f"jhash {self.family} saddr{port} mod {len(self.targets)} seed {SEED}"

    def definition(self, own_index):
        """The text of both chains: `bX` translates, `mX` marks what another node is to translate."""
        pairs = ", ".join(f"{n} : {address} . {port}" for n, (address, port) in enumerate(self.targets))
        marks = []
        for number, (address, _) in enumerate(self.targets):
            index = self.node_of(address)
            marks.append(f"{number} : {0 if index in (None, own_index) else MARK_BASE + index:#x}")
        return (
            f"\tchain {self.chain} {{\n"
            f"\t\tmeta l4proto {self.protocol} dnat {self.family} to {self._hash()} map {{ {pairs} }}\n\t}}\n"
            f"\tchain m{self.chain} {{\n"
            f"\t\tmeta l4proto {self.protocol} meta mark set {self._hash()} map {{ {', '.join(marks)} }}\n\t}}\n"
        )


class Table:
    """What one family's table should hold: elements of its maps, and the chains they lead to."""

    def __init__(self):
        self.elements = {name: {} for name in ("inside", "outside", "steer", "closed")}
        self.chains = {}

    def lead(self, name, key, backends, prefix=""):
        self.elements[name][key] = f"goto {prefix}{backends.chain}"
        self.chains[backends.chain] = backends


def transaction(family, old, new, own_index):
    """The nft commands that turn `old` into `new`; empty when there is no difference."""
    fresh = [new.chains[name] for name in new.chains if name not in old.chains]
    lines = []
    if fresh:
        body = "".join(backends.definition(own_index) for backends in fresh)
        lines.append(f"table {family} mlc {{\n{body}}}")
    for name, wanted in new.elements.items():
        known = old.elements[name]
        gone = [f"{key}" for key, value in known.items() if wanted.get(key) != value]
        come = [f"{key} : {value}" for key, value in wanted.items() if known.get(key) != value]
        if gone:
            lines.append(f"delete element {family} mlc {name} {{ {', '.join(gone)} }}")
        if come:
            lines.append(f"add element {family} mlc {name} {{ {', '.join(come)} }}")
    for name in old.chains:
        if name not in new.chains:
            lines.append(f"delete chain {family} mlc {name}")
            lines.append(f"delete chain {family} mlc m{name}")
    return "\n".join(lines)


class ServiceProxy:
    """Follows Services and EndpointSlices; keeps the node's rules equal to them."""

    def __init__(self, client, node, nodes):
        self.client = client
        self.node = node
        self._nodes = nodes
        self._tables = {"ip": Table(), "ip6": Table()}
        self._dirty = asyncio.Event()
        self._services = None
        self._slices = None

    async def informers(self):
        """The informers it needs; the caller runs them."""
        self._services = kube.Informer(self.client, "/api/v1/services", self._on_change)
        version = "v1"
        try:
            await self.client.get("/apis/discovery.k8s.io/v1")
        except kube.ApiError as error:
            if error.status != 404:
                raise
            version = "v1beta1"
        path = f"/apis/discovery.k8s.io/{version}/endpointslices"
        self._slices = kube.Informer(self.client, path, self._on_change)
        return [self._services, self._slices]

    def _on_change(self, _event, _obj):
        self._dirty.set()

    def _node_of(self, address):
        """The index of the node on which an endpoint runs; None if on no node of ours."""
        ip = ipaddress.ip_address(address)
        for node in self._nodes:
            if address in (node["ip4"], node["ip6"]):
                return node["index"]
            if ip in ipaddress.ip_network(node["pod_cidr4" if ip.version == 4 else "pod_cidr6"]):
                return node["index"]
        return None

    async def run(self):
        await self._setup()
        await self._services.synced.wait()
        await self._slices.synced.wait()
        while True:
            await self._dirty.wait()
            await asyncio.sleep(COALESCE_S)
            self._dirty.clear()
            try:
                await self._apply()
            except RuntimeError as error:
                LOG.error("%s", error)
                await asyncio.sleep(1)
                self._dirty.set()

    async def _setup(self):
        await self._nft(skeleton("ip") + skeleton("ip6"))
        # The files are there from the first translating rule on.
        for state in REMEMBERED_STATES:
            with open(REMEMBERED_PATH.format(state), "w", encoding="ascii") as file:
                file.write(str(REMEMBERED_S))
        four, six = [], []
        for node in self._nodes:
            if node["index"] == self.node["index"]:
                continue
            mark, table = MARK_BASE + node["index"], TABLE_BASE + node["index"]
            four.append(f"rule add fwmark {mark:#x} lookup {table}")
            four.append(f"route replace default via {node['ip4']} dev eth0 table {table}")
            six.append(f"rule add fwmark {mark:#x} lookup {table}")
            six.append(f"route replace default via {node['ip6']} dev eth0 table {table}")
        await self._command(["ip", "-batch", "-"], "\n".join(four) + "\n")
        await self._command(["ip", "-6", "-batch", "-"], "\n".join(six) + "\n")

    async def _nft(self, text):
        await self._command(["nft", "-f", "-"], text)

    async def _command(self, argv, text):
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(text.encode())
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {output.decode()[:2000]}")

    async def _apply(self):
        wanted = self._wanted()
        for family, table in wanted.items():
            text = transaction(family, self._tables[family], table, self.node["index"])
            if text:
                await self._nft(text)
                self._tables[family] = table

    # From objects to tables.

    def _endpoints(self):
        """{(namespace, service): {family: {port name: set of (address, port)}}} of the ready endpoints."""
        found = {}
        for item in self._slices.objects.values():
            meta = item["metadata"]
            service = (meta.get("labels") or {}).get(SERVICE_LABEL)
            if not service or item.get("addressType") not in ("IPv4", "IPv6"):
                continue
            family = "ip" if item["addressType"] == "IPv4" else "ip6"
            ports = found.setdefault((meta["namespace"], service), {}).setdefault(family, {})
            addresses = [
                address
                for endpoint in item.get("endpoints") or []
                if (endpoint.get("conditions") or {}).get("ready") is not False
                for address in endpoint["addresses"]
            ]
            for port in item.get("ports") or []:
                targets = ports.setdefault(port.get("name") or "", set())
                targets.update((address, port["port"]) for address in addresses)
        return found

    def _wanted(self):
        tables = {"ip": Table(), "ip6": Table()}
        endpoints = self._endpoints()
        for key, service in self._services.objects.items():
            if service["spec"].get("type") != "ExternalName":
                self._add_service(tables, service, endpoints.get(key, {}))
        return tables

    def _add_service(self, tables, service, endpoints):
        spec = service["spec"]
        cluster = spec.get("clusterIPs") or [spec.get("clusterIP") or "None"]
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        external = [item["ip"] for item in ingress if item.get("ip")]
        affinity = spec.get("sessionAffinity") == "ClientIP"
        local_only = spec.get("externalTrafficPolicy") == "Local"
        for port in spec.get("ports") or []:
            protocol = (port.get("protocol") or "TCP").lower()
            for address in [ip for ip in cluster if ip != "None"] + external:
                family = "ip6" if ":" in address else "ip"
                targets = endpoints.get(family, {}).get(port.get("name") or "", set())
                key = f"{address} . {protocol} . {port['port']}"
                table = tables[family]
                everything = Backends(family, protocol, targets, affinity, self._node_of)
                if not targets:
                    table.elements["closed"][key] = "goto refuse"
                    continue
                table.lead("inside", key, everything)
                if address in external:
                    self._add_external(table, key, everything, local_only)

    def _add_external(self, table, key, everything, local_only):
        if not local_only:
            table.lead("outside", key, everything)
            table.lead("steer", key, everything, prefix="m")
            return
        own = [target for target in everything.targets if self._node_of(target[0]) == self.node["index"]]
        if own:
            here = Backends(everything.family, everything.protocol, own, everything.affinity, self._node_of)
            table.lead("outside", key, here)
        else:
            table.elements["steer"][key] = "goto silent"
