"""The network of Pods that have one of their own: a namespace, a routed point-to-point link, addresses.

No bridge: everything between Pods passes the node's IP layer, hence its connection tracking and the
service proxy, on the way there and back.
"""

import ipaddress
import itertools

from . import netns

GATEWAY4 = "169.254.1.1"
GATEWAY6 = "fe80::1"


class PodNetwork:
    """The addresses one node gives to its Pods, in turn."""

    def __init__(self, pod_cidr4, pod_cidr6):
        self._net4 = ipaddress.ip_network(pod_cidr4)
        self._net6 = ipaddress.ip_network(pod_cidr6)
        self._used = set()
        # In turn rather than the lowest free one: a dead Pod's address is not soon somebody else's.
        self._turn = itertools.cycle(range(2, 254))
        self._home = netns.Netns.current("node")

    def attach(self, name):
        """Makes the namespace of a Pod; blocking. Returns (namespace, number, [addresses])."""
        number = next(number for number in itertools.islice(self._turn, 252) if number not in self._used)
        self._used.add(number)
        address4, address6 = str(self._net4[number]), str(self._net6[number])
        ns = netns.Netns.create(name)
        link = f"pod{number}"
        self._home.ip(
            f"link add {link} type veth peer name eth0 netns {ns.path}",
            f"address add {GATEWAY4}/32 dev {link}",
            f"address add {GATEWAY6}/64 dev {link} nodad",
            f"link set {link} up",
        )
        ns.ip(
            f"address add {address4}/32 dev eth0",
            f"address add {address6}/128 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {GATEWAY4} dev eth0 onlink",
            f"-6 route add default via {GATEWAY6} dev eth0",
        )
        self._home.ip(f"route add {address4}/32 dev {link}", f"-6 route add {address6}/128 dev {link}")
        return ns, number, [address4, address6]

    def detach(self, ns, number):
        self._home.ip(f"link delete pod{number}")
        ns.close()
        self._used.discard(number)
