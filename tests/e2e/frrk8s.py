"""What stands in for frr-k8s on a node: FRR, configured from the spec of an FRRConfiguration.

Only as far as frr-k8s's documentation says what a field means: what may be advertised to whom, and with
which attributes; nothing is accepted from a neighbour.
"""

from tests.bgp.routers import Frr

FAMILIES = (("ip", "ipv4", "."), ("ipv6", "ipv6", ":"))


class NodeFrr(Frr):
    """bgpd of one node."""

    def __init__(self, ns, spec, router_id):
        (self.router,) = spec["bgp"]["routers"]
        self.router_id = self.router.get("id", router_id)
        super().__init__(ns, self.router["neighbors"], self.router["asn"])

    def config(self):
        lines = ["hostname node"]
        for neighbor in self.router["neighbors"]:
            lines += _out_filter(neighbor)
        lines += ["route-map in deny 1", "exit", f"router bgp {self.asn}", f" bgp router-id {self.router_id}"]
        lines += [" no bgp ebgp-requires-policy", " no bgp default ipv4-unicast", " no bgp network import-check"]
        for neighbor in self.router["neighbors"]:
            lines += _session(neighbor)
        for _, family, mark in FAMILIES:
            lines.append(f" address-family {family} unicast")
            lines += [f"  network {prefix}" for prefix in self.router.get("prefixes", []) if mark in prefix]
            for neighbor in self.router["neighbors"]:
                who = neighbor["address"]
                if neighbor.get("dualStackAddressFamily") or mark in who:
                    lines += [f"  neighbor {who} {words}" for words in ("activate", "route-map in in")]
                    lines.append(f"  neighbor {who} route-map {who}-out out")
            lines.append(" exit-address-family")
        return "\n".join(lines) + "\n"


def _session(neighbor):
    who = neighbor["address"]
    remote = neighbor.get("asn") or neighbor["dynamicASN"]
    lines = [f" neighbor {who} remote-as {remote}", f" neighbor {who} port {neighbor['port']}"]
    if "localASN" in neighbor:
        lines.append(f" neighbor {who} local-as {neighbor['localASN']} no-prepend replace-as")
    if "password" in neighbor:
        lines.append(f" neighbor {who} password {neighbor['password']}")
    if "sourceaddress" in neighbor:
        lines.append(f" neighbor {who} update-source {neighbor['sourceaddress']}")
    lines.append(f" neighbor {who} timers connect {neighbor.get('connectTime', '120s').rstrip('s')}")
    return lines


def _out_filter(neighbor):
    """A route map: attributes for some prefixes, each entry going on to the next; then those that may go out."""
    told, name = neighbor["toAdvertise"], f"{neighbor['address']}-out"
    entries = []
    for item in told.get("withLocalPref", []):
        entries.append((item["prefixes"], [f"set local-preference {item['localPref']}", "on-match next"]))
    for item in told.get("withCommunity", []):
        kind, value = "community", item["community"]
        if value.startswith("large:"):
            kind, value = "large-community", value.removeprefix("large:")
        entries.append((item["prefixes"], [f"set {kind} {value} additive", "on-match next"]))
    entries.append((told["allowed"].get("prefixes", []), []))
    lines, number = [], 0
    for prefixes, words in entries:
        for match, _, mark in FAMILIES:
            mine = [prefix for prefix in prefixes if mark in prefix]
            if not mine:
                continue
            number += 1
            plist = f"{name}-{number}"
            lines += [f"{match} prefix-list {plist} permit {prefix}" for prefix in mine]
            lines += [f"route-map {name} permit {number}", f" match {match} address prefix-list {plist}"]
            lines += [f" {word}" for word in words] + ["exit"]
    return lines or [f"route-map {name} deny 1", "exit"]
