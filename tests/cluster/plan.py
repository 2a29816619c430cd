"""Addresses and ports of one cluster, all in one place.

The LAN is an IPv4 /16 and an IPv6 /64 drawn at random, since the runner's own namespace has a leg in it
and other clusters may run on the same machine. Pod and Service ranges exist only inside the cluster's
namespaces and are always the same.
"""

import dataclasses
import ipaddress
import json
import random
import subprocess


@dataclasses.dataclass
class NodePlan:
    """One node: its name and addresses; `index` counts from 1."""

    name: str
    index: int
    ip4: str
    ip6: str
    pod_cidr4: str
    pod_cidr6: str


class Plan:
    """tag: the two random bytes that make this cluster's addresses its own."""

    api_port = 6443
    proxy_port = 6444
    kubelet_port = 10250
    service_cidr4 = "10.96.0.0/16"
    service_cidr6 = "fd00:96::/112"
    node_grace_s = 4

    def __init__(self, tag=None):
        self.tag = tag if tag is not None else _free_tag()
        self.second_byte = 100 + self.tag % 100
        self.lan4 = f"10.{self.second_byte}.0.0/16"
        self.lan6 = f"fd00:{self.tag:x}::/64"
        self.host4, self.host6 = self._lan(0, 1)
        self.control4, self.control6 = self._lan(0, 2)
        self.mac_prefix = f"02:4d:{self.tag >> 8:02x}:{self.tag & 255:02x}"
        self._clients = 0

    def _lan(self, third, fourth):
        return f"10.{self.second_byte}.{third}.{fourth}", f"fd00:{self.tag:x}::{third:x}:{fourth:x}"

    def node(self, index):
        ip4, ip6 = self._lan(1, index)
        return NodePlan(f"node{index}", index, ip4, ip6, f"10.244.{index}.0/24", f"fd00:244:0:{index:x}::/64")

    def next_client(self):
        """The addresses of one more client or router on the LAN."""
        self._clients += 1
        return self._lan(2 + self._clients // 250, 1 + self._clients % 250)

    def pool4(self, first=0, count=64):
        """A range of `count` LAN addresses for Services, `first` places into the part kept for them."""
        start = ipaddress.ip_address(f"10.{self.second_byte}.64.0") + first
        return f"{start}-{start + count - 1}"

    def pool6(self, first=0, count=64):
        start = ipaddress.ip_address(f"fd00:{self.tag:x}::4d:0") + first
        return f"{start}-{start + count - 1}"

    def control_addresses(self):
        return [self.control4, self.control6]

    def api_service_addresses(self):
        """The ClusterIP of Service kubernetes, in both families."""
        return [str(ipaddress.ip_network(cidr)[1]) for cidr in (self.service_cidr4, self.service_cidr6)]

    def api_url(self):
        return f"https://{self.control4}:{self.api_port}"


def _free_tag():
    """A tag whose IPv4 network no route of the runner's namespace touches."""
    routes = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True).stdout
    taken = []
    for route in json.loads(routes or "[]"):
        if route["dst"] != "default":
            taken.append(ipaddress.ip_network(route["dst"], strict=False))
    chooser = random.SystemRandom()
    for _ in range(1000):
        tag = chooser.randrange(1, 0x10000)
        lan = ipaddress.ip_network(f"10.{100 + tag % 100}.0.0/16")
        if not any(lan.overlaps(net) for net in taken):
            return tag
    raise RuntimeError("no free 10.100-199.0.0/16 network is left on this machine")
