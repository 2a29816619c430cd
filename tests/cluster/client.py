"""A machine on the LAN that is no node: a client, a router."""

import re

from . import netns


class Client:
    """A namespace with one leg on the LAN. `run` runs any command in it."""

    def __init__(self, cluster, name):
        self.name = name
        self.ip4, self.ip6 = cluster.plan.next_client()
        self.ns = netns.Netns.create(name)
        self.ns.sysctls(
            {
                "net.ipv4.conf.all.accept_redirects": 0,
                "net.ipv4.conf.default.accept_redirects": 0,
                "net.ipv6.conf.all.accept_redirects": 0,
                "net.ipv6.conf.default.accept_redirects": 0,
                "net.ipv6.conf.default.accept_ra": 0,
                # Take an unasked-for ARP reply for what it says, as hosts do.
                "net.ipv4.conf.default.arp_accept": 1,
            }
        )
        self.port = cluster.lan.plug(self.ns, addresses=[f"{self.ip4}/16", f"{self.ip6}/64"])
        self.prefix = self.ns.prefix()

    def run(self, argv, **kwargs):
        return self.ns.run(argv, **kwargs)

    def curl(self, address, port=80, path="/", timeout=3.0):
        """The body of a GET, None if there was no 200 within `timeout` seconds."""
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{port}{path}"
        done = self.run(["curl", "-gsf", "-m", str(timeout), url], check=False)
        return done.stdout if done.returncode == 0 else None

    def arping(self, address, timeout=1.0):
        """The MAC addresses that answered one ARP request within `timeout` seconds, duplicates kept."""
        done = self.run(["arping", "-c", "1", "-w", str(timeout), "-I", "eth0", address], check=False)
        return re.findall(r"from ([0-9a-f:]{17})", done.stdout)

    def ndisc(self, address, timeout_ms=1000):
        """The MAC addresses that answered a neighbour solicitation."""
        argv = ["ndisc6", "-m", "-q", "-r", "1", "-w", str(timeout_ms), address, "eth0"]
        done = self.run(argv, check=False)
        return [match.lower() for match in re.findall(r"([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})", done.stdout)]

    def forget_neighbours(self):
        self.ns.ip("neigh flush dev eth0", "-6 neigh flush dev eth0")

    def neighbour(self, address):
        """The MAC address its neighbour table holds; None if none."""
        text = self.run(["ip", "neigh", "show", "to", address, "dev", "eth0"]).stdout
        match = re.search(r"lladdr ([0-9a-f:]{17})", text)
        return match.group(1) if match else None

    def stop(self):
        self.ns.close()
