"""Service addresses and node ports. Owns: which are taken, and the defaults, allocation and validation of Services.

core/v1 ServiceSpec: clusterIPs, ipFamilies, ipFamilyPolicy, nodePort, healthCheckNodePort. A claim holds a value
between its choice and the commit of the object, so that requests that wait for a webhook never share one.
"""
import ipaddress

from .errors import f_duplicate, f_forbidden, f_invalid, f_required, f_unsupported
from .meta import DNS_LABEL, LABEL_NAME

SCAN_MAX = 70000
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def _family(ip):
    return "IPv6" if ":" in ip else "IPv4"


class Network:
    def __init__(self, store, cidrs, node_ports):
        self.nets = {}
        for cidr in cidrs.split(","):
            net = ipaddress.ip_network(cidr)
            self.nets["IPv%d" % net.version] = net
        self.families = list(self.nets)
        low, _, high = node_ports.partition("-")
        self.ports = (int(low), int(high))
        self.taken = {}  # address or (protocol, port) -> set of owners
        self.claims = {}
        self.next_ip = {f: 10 for f in self.families}
        self.next_port = self.ports[0]
        for entry in store.table("/services").values():
            self._note(entry.obj, True)
        store.listeners.append(self._heard)

    def _heard(self, table, event):
        if table == "/services":
            if event.old is not None:
                self._note(event.old.obj, False)
            if event.type != "DELETED":
                self._note(event.entry.obj, True)

    def _note(self, svc, adding):
        for value in _values(svc):
            if adding:
                self.taken[value] = self.taken.get(value, 0) + 1
            elif self.taken.get(value, 0) > 1:
                self.taken[value] -= 1
            else:
                self.taken.pop(value, None)

    def release(self, ctx):
        for value in [v for v, owner in self.claims.items() if owner is ctx]:
            del self.claims[value]

    def _free(self, value, ctx):
        return value not in self.taken and self.claims.get(value, ctx) is ctx

    def _pick_ip(self, family, ctx):
        net = self.nets[family]
        size = min(net.num_addresses - 2, SCAN_MAX)
        for _ in range(size):
            self.next_ip[family] = self.next_ip[family] % size + 1
            ip = str(net[self.next_ip[family]])
            if self._free(ip, ctx):
                self.claims[ip] = ctx
                return ip
        return None

    def _pick_port(self, protocol, ctx):
        low, high = self.ports
        for _ in range(high - low + 1):
            port = self.next_port
            self.next_port = low + (port - low + 1) % (high - low + 1)
            if self._free((protocol, port), ctx):
                self.claims[(protocol, port)] = ctx
                return port
        return None

    def allocate(self, svc, old, ctx):
        """Fills in what the client left open; -> causes."""
        spec, causes = svc["spec"], []
        if spec.get("type") == "ExternalName":
            return causes
        self._addresses(spec, (old or {}).get("spec") or {}, ctx, causes)
        if spec["type"] in ("NodePort", "LoadBalancer") and not causes:
            self._node_ports(spec, (old or {}).get("spec") or {}, ctx, causes)
        return causes

    def _wanted_families(self, spec, causes):
        families = list(spec.get("ipFamilies") or [])
        policy = spec.get("ipFamilyPolicy")
        given = [ip for ip in spec.get("clusterIPs") or [] if ip != "None"]
        for i, ip in enumerate(given):
            if len(families) <= i:
                families.append(_family(ip))
        if not families:
            families = [self.families[0]]
        if policy is None:
            policy = "SingleStack" if len(families) == 1 else "RequireDualStack"
        missing = [f for f in families if f not in self.nets]
        if missing:
            causes.append(
                f_invalid("spec.ipFamilies[0]", missing[0], "not configured on this cluster")
            )
        if policy == "RequireDualStack" and len(self.families) < 2:
            causes.append(
                f_invalid(
                    "spec.ipFamilyPolicy",
                    policy,
                    "this cluster is not configured for dual-stack services",
                )
            )
        if policy != "SingleStack" and len(families) == 1 and len(self.families) == 2:
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        if policy == "SingleStack" and len(families) > 1:
            causes.append(
                f_invalid(
                    "spec.ipFamilyPolicy",
                    policy,
                    "may only hold up to 1 values"
                    if len(given) < 2
                    else "must be RequireDualStack or PreferDualStack when multiple "
                    "clusterIPs are given",
                )
            )
        spec["ipFamilyPolicy"] = policy
        spec["ipFamilies"] = families
        return families

    def _addresses(self, spec, was, ctx, causes):
        families = self._wanted_families(spec, causes)
        if causes:
            return
        if spec.get("clusterIP") == "None":
            spec["clusterIPs"] = ["None"]
            return
        ips = list(spec.get("clusterIPs") or [])
        if spec.get("clusterIP") and not ips:
            ips = [spec["clusterIP"]]
        mine = was.get("clusterIPs") or []
        for i, family in enumerate(families):
            if i < len(ips):
                self._take(ips[i], i, family, mine, ctx, causes)
            else:
                ip = self._pick_ip(family, ctx)
                if ip is None:
                    causes.append(
                        f_invalid(
                            "spec.clusterIPs[%d]" % i, "", "failed to allocate IP: range is full"
                        )
                    )
                    return
                ips.append(ip)
        spec["clusterIPs"], spec["clusterIP"] = ips[: len(families)], ips[0]

    def _take(self, ip, i, family, mine, ctx, causes):
        field = "spec.clusterIPs[%d]" % i
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            causes.append(
                f_invalid(
                    field, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                )
            )
            return
        if _family(ip) != family:
            causes.append(
                f_invalid(
                    field, ip, "expected an %s value as indicated by `ipFamilies[%d]`" % (family, i)
                )
            )
        elif address not in self.nets[family]:
            causes.append(
                f_invalid(
                    field,
                    ip,
                    "failed to allocate IP %s: the provided IP (%s) is not in the valid range. "
                    "The range of valid IPs is %s" % (ip, ip, self.nets[family]),
                )
            )
        elif ip not in mine and not self._free(ip, ctx):
            causes.append(
                f_invalid(
                    field, ip, "failed to allocate IP %s: provided IP is already allocated" % ip
                )
            )
        else:
            self.claims[ip] = ctx

    def _node_ports(self, spec, was, ctx, causes):
        low, high = self.ports
        mine = {(p.get("protocol"), p.get("nodePort")) for p in was.get("ports") or ()}
        here = {}
        wanted = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
        for i, port in enumerate(spec.get("ports") or ()):
            field, protocol, number = (
                "spec.ports[%d].nodePort" % i,
                port["protocol"],
                port.get("nodePort"),
            )
            if number:
                if not low <= number <= high:
                    causes.append(
                        f_invalid(
                            field,
                            number,
                            "provided port is not in the valid range. The range of valid "
                            "ports is %d-%d" % (low, high),
                        )
                    )
                elif (protocol, number) not in mine and not self._free((protocol, number), ctx):
                    causes.append(f_invalid(field, number, "provided port is already allocated"))
                else:
                    self.claims[(protocol, number)] = ctx
            elif wanted:
                shared = here.get(port["port"])
                if shared and self._free((protocol, shared), ctx):
                    port["nodePort"] = shared
                    self.claims[(protocol, shared)] = ctx
                else:
                    port["nodePort"] = self._pick_port(protocol, ctx)
                if port["nodePort"] is None:
                    causes.append(f_invalid(field, 0, "range is full"))
                    del port["nodePort"]
            if port.get("nodePort"):
                here[port["port"]] = port["nodePort"]
        if spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            if not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = was.get("healthCheckNodePort") or self._pick_port(
                    "TCP", ctx
                )


def _values(svc):
    spec = svc.get("spec") or {}
    for ip in spec.get("clusterIPs") or ():
        if ip != "None":
            yield ip
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield (port.get("protocol"), port["nodePort"])
    if spec.get("healthCheckNodePort"):
        yield ("TCP", spec["healthCheckNodePort"])


def service_defaults(svc):
    spec = svc.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault(
            "timeoutSeconds", 10800
        )
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, "", 0) and "port" in port:
            port["targetPort"] = port["port"]
        if port.get("nodePort") == 0:
            del port["nodePort"]
    kind = spec["type"]
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    for key in ("clusterIP", "loadBalancerClass", "loadBalancerIP", "externalName"):
        if spec.get(key) == "":
            del spec[key]
    for item in ((svc.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if item.get("ip"):
            item.setdefault("ipMode", "VIP")


def service_update(svc, old):
    """Carries over what was allocated, drops what belongs to the old type only."""
    spec, was = svc.setdefault("spec", {}), old["spec"]
    if spec.get("type", "ClusterIP") != "ExternalName" and was["type"] != "ExternalName":
        if not spec.get("clusterIP"):
            if spec.get("clusterIPs"):
                spec["clusterIP"] = spec["clusterIPs"][0]
            elif was.get("clusterIP"):
                spec["clusterIP"], spec["clusterIPs"] = was["clusterIP"], list(was["clusterIPs"])
        elif not spec.get("clusterIPs"):
            spec["clusterIPs"] = (
                list(was["clusterIPs"])
                if spec["clusterIP"] == was.get("clusterIP")
                else [spec["clusterIP"]]
            )
        for key in ("ipFamilyPolicy", "ipFamilies"):
            if not spec.get(key) and was.get(key):
                spec[key] = was[key]
        if (
            spec.get("ipFamilyPolicy") == "SingleStack"
            and was.get("ipFamilyPolicy") != "SingleStack"
        ):
            spec["ipFamilies"], spec["clusterIPs"] = (
                spec["ipFamilies"][:1],
                (spec.get("clusterIPs") or [])[:1],
            )
    _drop_by_type(spec, was)


def _drop_by_type(spec, was):
    kind = spec.get("type", "ClusterIP")
    ports = {
        (p.get("protocol", "TCP"), p["port"]): p.get("nodePort") for p in was.get("ports") or ()
    }
    needs = kind in ("NodePort", "LoadBalancer")
    for port in spec.get("ports") or ():
        before = ports.get((port.get("protocol", "TCP"), port.get("port")))
        if needs and not port.get("nodePort") and before and kind == was["type"]:
            port["nodePort"] = before
        if (
            not needs
            and was["type"] in ("NodePort", "LoadBalancer")
            and port.get("nodePort") == before
        ):
            port.pop("nodePort", None)
    if not needs and was.get("externalTrafficPolicy") == spec.get("externalTrafficPolicy"):
        spec.pop("externalTrafficPolicy", None)
    local = kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    if not local and spec.get("healthCheckNodePort") == was.get("healthCheckNodePort"):
        spec.pop("healthCheckNodePort", None)
    if kind != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == was.get(key):
                spec.pop(key, None)
    if kind == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(key) == was.get(key):
                spec.pop(key, None)


def service_validate(svc, old):
    spec, causes = svc["spec"], []
    kind = spec["type"]
    if kind not in _TYPES:
        return [f_unsupported("spec.type", kind, _TYPES)]
    ports = spec.get("ports") or []
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(f_required("spec.ports"))
    seen, names = set(), set()
    for i, port in enumerate(ports):
        _port_causes(port, "spec.ports[%d]" % i, len(ports) > 1, seen, names, causes)
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        causes.append(
            f_unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None"))
        )
    if spec.get("ipFamilyPolicy") not in (
        None,
        "SingleStack",
        "PreferDualStack",
        "RequireDualStack",
    ):
        causes.append(
            f_unsupported(
                "spec.ipFamilyPolicy",
                spec["ipFamilyPolicy"],
                ("SingleStack", "PreferDualStack", "RequireDualStack"),
            )
        )
    policy = spec.get("externalTrafficPolicy")
    if (
        policy is not None
        and kind not in ("NodePort", "LoadBalancer")
        and not spec.get("externalIPs")
    ):
        causes.append(
            f_invalid(
                "spec.externalTrafficPolicy",
                policy,
                "may only be set for externally-accessible services",
            )
        )
    if policy not in (None, "Cluster", "Local"):
        causes.append(f_unsupported("spec.externalTrafficPolicy", policy, ("Cluster", "Local")))
    if kind == "ExternalName" and not spec.get("externalName"):
        causes.append(f_required("spec.externalName"))
    if kind != "LoadBalancer":
        for key in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            if key in spec:
                causes.append(
                    f_forbidden("spec." + key, "may only be used when `type` is 'LoadBalancer'")
                )
    for key in ("loadBalancerSourceRanges", "externalIPs"):
        _address_causes(spec.get(key) or (), "spec." + key, causes)
    _status_causes(svc, causes)
    if old:
        _update_causes(spec, old["spec"], causes)
    return causes


def _port_causes(port, path, many, seen, names, causes):
    for key in ("port", "nodePort", "targetPort"):
        value = port.get(key)
        if (
            isinstance(value, int)
            and not (key == "nodePort" and value == 0)
            and not 1 <= value <= 65535
        ):
            causes.append(
                f_invalid("%s.%s" % (path, key), value, "must be between 1 and 65535, inclusive")
            )
    if "port" not in port:
        causes.append(f_invalid(path + ".port", 0, "must be between 1 and 65535, inclusive"))
    if port["protocol"] not in ("SCTP", "TCP", "UDP"):
        causes.append(f_unsupported(path + ".protocol", port["protocol"], ("SCTP", "TCP", "UDP")))
    name = port.get("name")
    if many and not name:
        causes.append(f_required(path + ".name"))
    if name and not (DNS_LABEL.match(name) and len(name) <= 63):
        causes.append(
            f_invalid(
                path + ".name",
                name,
                "a lowercase RFC 1123 label must consist of lower case alphanumeric "
                "characters or '-'",
            )
        )
    target = port.get("targetPort")
    if isinstance(target, str) and not (LABEL_NAME.match(target) and len(target) <= 15):
        causes.append(
            f_invalid(
                path + ".targetPort",
                target,
                "must contain only alpha-numeric characters (a-z, 0-9), and "
                "hyphens (-), no more than 15 characters",
            )
        )
    ident = (port.get("port"), port["protocol"])
    if ident in seen:
        causes.append(f_duplicate(path, {"port": ident[0], "protocol": ident[1]}))
    if name and name in names:
        causes.append(f_duplicate(path + ".name", name))
    seen.add(ident)
    names.add(name)


def _address_causes(values, path, causes):
    for i, value in enumerate(values):
        try:
            if path.endswith("Ranges"):
                if "/" not in value:
                    raise ValueError
                ipaddress.ip_network(value.strip(), strict=False)
            else:
                ipaddress.ip_address(value)
        except ValueError:
            causes.append(
                f_invalid(
                    "%s[%d]" % (path, i),
                    value,
                    "must be a valid %s"
                    % (
                        "CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                        if path.endswith("Ranges")
                        else "IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                    ),
                )
            )


def _status_causes(svc, causes):
    for i, item in enumerate(
        ((svc.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    ):
        path = "status.loadBalancer.ingress[%d]" % i
        if item.get("ip"):
            _address_causes([item["ip"]], path + ".ip", causes)
        if item.get("ipMode") not in (None, "VIP", "Proxy"):
            causes.append(f_unsupported(path + ".ipMode", item["ipMode"], ("Proxy", "VIP")))


def _update_causes(spec, was, causes):
    if (
        was.get("clusterIP")
        and was["type"] != "ExternalName"
        and spec["type"] != "ExternalName"
        and spec.get("clusterIP") != was["clusterIP"]
    ):
        causes.append(
            f_invalid("spec.clusterIPs[0]", spec.get("clusterIPs"), "may not change once set")
        )
    if was["type"] == spec["type"] == "LoadBalancer" and spec.get("loadBalancerClass") != was.get(
        "loadBalancerClass"
    ):
        causes.append(
            f_invalid(
                "spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set"
            )
        )
    if (
        (was.get("ipFamilies") or [None])[0] != (spec.get("ipFamilies") or [None])[0]
        and was["type"] != "ExternalName"
        and spec["type"] != "ExternalName"
    ):
        causes.append(
            f_invalid(
                "spec.ipFamilies[0]",
                (spec.get("ipFamilies") or [None])[0],
                "may not change once set",
            )
        )
