"""bfd_probe on one side, a router on the other, and what can happen to the wire between them."""

from tests.bgp.matrix import wire
from tests.bgp.probe import Probe, wait_for
from tests.bgp.routers import Bird, Frr
from tests.cluster.netns import Netns

MINE = {"4": "10.88.0.1", "6": "fd88::1"}
THEIRS = {"4": "10.88.0.2", "6": "fd88::2"}
FAR_MINE = {"4": "10.90.0.1", "6": "fd90::1"}
FAR_THEIRS = {"4": "10.91.0.2", "6": "fd91::2"}


class BfdProbe(Probe):
    program = "bfd/bfd_probe"

    def sessions(self, *sessions):
        return self.ask("sessions", sessions=list(sessions))

    def wait_state(self, name, state="up", timeout=15):
        super().wait_state(name, state, timeout)


class _Ends:
    """The addresses of a wire as tests.bgp.matrix.wire() wants them."""

    family = "both"
    mine4, mine6, theirs4, theirs6 = MINE["4"], MINE["6"], THEIRS["4"], THEIRS["6"]


class BfdLab:
    """Two namespaces on a wire `w`, and a third between two others for sessions over two hops."""

    def __init__(self):
        self.here, self.middle, self.there = (Netns.create(f"bfd-{n}") for n in ("probe", "middle", "router"))
        for ns in (self.here, self.middle, self.there):
            ns.sysctls({"net.ipv6.conf.default.accept_dad": 0})
        wire(self.here, self.there, "w", _Ends)
        self.probe = BfdProbe(self.here)
        self.router = None

    def far(self):
        """Addresses on both sides that are two hops away from each other."""
        self.middle.sysctls({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        for ns, name, four, six in (
            (self.here, "left", FAR_MINE["4"], FAR_MINE["6"]),
            (self.there, "right", FAR_THEIRS["4"], FAR_THEIRS["6"]),
        ):
            wire(ns, self.middle, name)
            gateway4, gateway6 = four.rsplit(".", 1)[0] + ".254", six.rsplit("::", 1)[0] + "::fe"
            for where, end4, end6 in ((ns, four, six), (self.middle, gateway4, gateway6)):
                where.ip(f"address add {end4}/24 dev {name}", f"address add {end6}/64 dev {name} nodad")
            ns.ip(f"route add default via {gateway4}", f"-6 route add default via {gateway6}")

    def frr(self, text):
        """bfdd with these lines of its configuration."""
        self.router = Frr(self.there, [], bfd=text)
        self.router.start()
        return self.router

    def bird(self, text):
        self.router = Bird(self.there, [], bfd=text)
        self.router.start()
        return self.router

    def wait_peer(self, who, status="up"):
        wait_for(f"{who} {status}", lambda: self.router.bfd_session(who).get("status") == status)

    def drop(self, ns, rule):
        """Packets that come in and match are lost; the return value ends that."""
        table = "table inet lossy { chain in { type filter hook prerouting priority 0; %s drop; }; }"
        ns.run(["nft", "-f", "-"], input=table % rule)
        return lambda: ns.run(["nft", "delete", "table", "inet", "lossy"])

    def close(self):
        try:
            self.probe.close()
        finally:
            if self.router:
                self.router.close()
            for ns in (self.here, self.middle, self.there):
                ns.close()
