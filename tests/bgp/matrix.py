"""One router of a kind with one session of every sort at once, on wires of their own.

A cell is (session, family, auth): session ibgp, ebgp or multihop (through a router in between);
family v4, v6, dual (both over an IPv4 session), v4-over-v6 (both over an IPv6 session, IPv6 next hops
for IPv4), unnumbered (over link-local addresses found by router advertisements).
"""

import itertools

from tests.bgp.probe import Probe
from tests.bgp.routers import ASN, ROUTERS
from tests.cluster.netns import Netns

PASSWORD = "secret-of-the-wire"
NUMBERED = list(
    itertools.product(("ibgp", "ebgp", "multihop"), ("v4", "v6", "dual", "v4-over-v6"), ("plain", "md5"))
)
UNNUMBERED = [("ebgp", "unnumbered", "plain")]
FAMILIES = {"v4": "4", "v6": "6"}


def cells_of(kind):
    return NUMBERED + (UNNUMBERED if kind in ("frr", "bird") else [])


class Cell:
    def __init__(self, number, session, family, auth):
        self.id = number
        self.session, self.family, self.auth = session, family, auth
        self.name = f"{session}-{family}-{auth}"
        self.interface = f"c{number}"
        self.families = FAMILIES.get(family, "46")
        self.over_v6 = family in ("v6", "v4-over-v6", "unnumbered")
        self.my_asn = ASN if session == "ibgp" else 4200000000 + number
        net4, net6 = (10, f"fd66:0:0:{number}") if session != "multihop" else (11, f"fd77:0:0:{number}")
        self.mine4, self.theirs4 = f"{net4}.66.{number}.1", f"{net4}.66.{number}.2"
        self.mine6, self.theirs6 = f"{net6}::1", f"{net6}::2"
        self.mine, self.theirs = (self.mine6, self.theirs6) if self.over_v6 else (self.mine4, self.theirs4)
        self.prefixes = []
        if "4" in self.families:
            self.prefixes.append(f"198.18.{number}.1/32")
        if "6" in self.families:
            self.prefixes.append(f"2001:db8:f:{number}::1/128")
        self.communities = [f"65000:{number}", f"large:65000:1:{number}"]

    def peer(self):
        """For the probe."""
        got = {
            "name": self.name,
            "my_asn": self.my_asn,
            "port": 179,
            "hold": "9s",
            "keepalive": "3s",
            "connect": "1s",
            "router_id": f"10.99.0.{self.id}",
            "password": PASSWORD if self.auth == "md5" else "",
            "dual_stack": len(self.families) == 2,
            "ebgp_multihop": self.session == "multihop",
        }
        if self.family == "unnumbered":
            return {**got, "interface": self.interface, "dynamic_asn": "external"}
        source = {"source": self.mine} if self.session == "multihop" else {}
        return {**got, **source, "address": self.theirs, "peer_asn": ASN}

    def neighbor(self):
        """For the router."""
        return {
            "address": "" if self.family == "unnumbered" else self.mine,
            "interface": self.interface,
            "local": self.theirs,
            "asn": self.my_asn,
            "families": self.families,
            "password": PASSWORD if self.auth == "md5" else "",
            "multihop": self.session == "multihop",
            "enh": self.family in ("v4-over-v6", "unnumbered"),
        }

    def routes(self, local_pref=150):
        return [
            {"prefix": p, "local_pref": local_pref, "communities": self.communities} for p in self.prefixes
        ]


def wire(here, there, name, cell=None):
    """A veth pair of that name on both sides, with the cell's addresses."""
    here.ip(f"link add {name} type veth peer name {name} netns {there.path}")
    for ns, ends in ((here, ("mine4", "mine6")), (there, ("theirs4", "theirs6"))):
        if cell and cell.family != "unnumbered":
            ns.ip(
                f"address add {getattr(cell, ends[0])}/24 dev {name}",
                f"address add {getattr(cell, ends[1])}/64 dev {name} nodad",
            )
        ns.ip(f"link set {name} addrgenmode eui64" if not cell else f"link set {name} up", f"link set {name} up")


class Matrix:
    def __init__(self, kind, cells=None, listen=None):
        self.kind = kind
        self.cells = [Cell(i + 1, *c) for i, c in enumerate(cells or cells_of(kind))]
        self.here, self.middle, self.there = (Netns.create(f"{kind}-{n}") for n in ("probe", "middle", "router"))
        for ns in (self.here, self.middle, self.there):
            # at once usable link-local addresses
            ns.sysctls({"net.ipv6.conf.default.accept_dad": 0, "net.ipv6.conf.all.forwarding": 1 if ns is not self.here else 0})
        self._wires()
        self.router = ROUTERS[kind](self.there, [c.neighbor() for c in self.cells])
        self.probe = Probe(self.here, *(["--listen", str(listen)] if listen else []))

    def _wires(self):
        for cell in self.cells:
            if cell.session != "multihop":
                wire(self.here, self.there, cell.interface, cell)
        if any(c.session == "multihop" for c in self.cells):
            self._multihop()

    def _multihop(self):
        far = [c for c in self.cells if c.session == "multihop"]
        self.middle.sysctls({"net.ipv4.ip_forward": 1})
        for ns, name, host in ((self.here, "left", 1), (self.there, "right", 2)):
            wire(ns, self.middle, name)
            ns.ip(f"address add 10.{78 + host}.0.1/24 dev {name}", f"address add fd78:{host}::1/64 dev {name} nodad")
            self.middle.ip(
                f"address add 10.{78 + host}.0.254/24 dev {name}",
                f"address add fd78:{host}::fe/64 dev {name} nodad",
            )
        for cell in far:
            for ns, name, host, ip4, ip6 in (
                (self.here, "left", 1, cell.mine4, cell.mine6),
                (self.there, "right", 2, cell.theirs4, cell.theirs6),
            ):
                ns.ip(f"address add {ip4}/32 dev {name}", f"address add {ip6}/128 dev {name} nodad")
                self.middle.ip(f"route add {ip4}/32 via 10.{78 + host}.0.1", f"-6 route add {ip6}/128 via fd78:{host}::1")
        for ns, host in ((self.here, 1), (self.there, 2)):
            ns.ip(f"route add 11.66.0.0/16 via 10.{78 + host}.0.254", f"-6 route add fd77::/16 via fd78:{host}::fe")
        # what the routes' next hops of both families resolve by
        self.there.ip("route add 10.79.0.0/24 via 10.80.0.254", "-6 route add fd78:1::/64 via fd78:2::fe")

    def start(self):
        self.router.start()
        self.probe.peers(*(c.peer() for c in self.cells))
        for cell in self.cells:
            self.probe.routes(cell.name, *cell.routes())

    def cell(self, session, family, auth):
        return next(c for c in self.cells if (c.session, c.family, c.auth) == (session, family, auth))

    def close(self):
        try:
            self.probe.close()
        finally:
            self.router.close()
            for ns in (self.here, self.middle, self.there):
                ns.close()
