"""Records what routers say, as tests/vectors/bgp/*.hex: python3 -m tests.bgp.record [DIRECTORY]

Each router is started in a namespace with one neighbour, which is this program: it opens a session,
takes down every message, breaks the session with a message of an unknown type, and comes to a
fresh one with a wrong AS number. The router announces one prefix of each family. A line is one message; a comment
before it says which.
"""

import pathlib
import socket
import struct
import sys
import time

from tests.bgp.probe import ROOT
from tests.bgp.routers import Bird, Exabgp, Frr, Gobgp
from tests.cluster.netns import Netns

MY_ASN, WRONG_ASN = 64512, 64999
OURS, THEIRS = "192.0.2.1", "192.0.2.2"
PREFIX4, PREFIX6 = "203.0.113.0/24", "2001:db8:cafe::/48"
NAMES = {1: "OPEN", 2: "UPDATE", 3: "NOTIFICATION", 4: "KEEPALIVE", 5: "ROUTE-REFRESH"}
LISTEN_S = 6


class FrrSource(Frr):
    def config(self):
        text = super().config()
        for family, prefix in (("ipv4", PREFIX4), ("ipv6", PREFIX6)):
            line = f" address-family {family} unicast\n"
            text = text.replace(line, f"{line}  network {prefix}\n")
        return text


class BirdSource(Bird):
    def protocol(self, i, n):
        statics = [
            f"protocol static {{ {family}; route {prefix} blackhole; }}\n"
            for family, prefix in (("ipv4", PREFIX4), ("ipv6", PREFIX6))
        ]
        return "".join(statics) + super().protocol(i, n).replace("export none", "export all")


class GobgpSource(Gobgp):
    def start(self):
        super().start()
        for family, prefix in (("ipv4", PREFIX4), ("ipv6", PREFIX6)):
            done = self.gobgp("global", "rib", "add", prefix, "-a", family)
            if done.returncode != 0:
                raise RuntimeError(f"gobgp: {done.stdout}{done.stderr}")


class ExabgpSource(Exabgp):
    def spawn(self, argv, log, **kwargs):
        config = self.dir / "exabgp.conf"
        statics = f"  static {{ route {PREFIX4} next-hop {THEIRS}; route {PREFIX6} next-hop 2001:db8::2; }}\n"
        config.write_text(config.read_text().replace("  api {", statics + "  api {"))
        return super().spawn(argv, log, **kwargs)


SOURCES = {"frr": FrrSource, "bird": BirdSource, "gobgp": GobgpSource, "exabgp": ExabgpSource}


def message(kind, body=b""):
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def open_message(asn):
    caps = bytes.fromhex("010400010001 010400020001 0200 400a 4078 00010180 00020180".replace(" ", ""))
    caps += struct.pack("!BBI", 65, 4, asn)
    return message(1, struct.pack("!BHH4sBBB", 4, asn, 90, bytes([192, 0, 2, 1]), len(caps) + 2, 2, len(caps)) + caps)


def connect(timeout=20):
    end = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection((THEIRS, 179), timeout=2, source_address=(OURS, 0))
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def read_messages(sock, seconds):
    """Whole messages until the time is over or the connection ends."""
    found, end = [], time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            head = read_exactly(sock, 19)
            found.append(head + read_exactly(sock, struct.unpack("!H", head[16:18])[0] - 19))
    except (OSError, EOFError):
        pass  # the peer has said all that it will
    return found


def session(asn, seconds):
    """What the router says to us; ends with its answer to a message of type 9."""
    with connect() as sock:
        sock.sendall(open_message(asn) + message(4))
        found = read_messages(sock, seconds)
        try:
            sock.sendall(message(9))
            found += read_messages(sock, 2)
        except OSError:
            pass  # it had closed
    return found


def started(kind, here, there, neighbor, function):
    """Calls function against a fresh router: some do not listen for a while after an error."""
    router = SOURCES[kind](there, [neighbor])
    try:
        router.start()
        return here.call(function)
    finally:
        router.close()


def record(kind, directory):
    here, there = Netns.create("recorder"), Netns.create(kind)
    here.ip(f"link add wire type veth peer name wire netns {there.path}")
    for ns, address, last in ((here, OURS, 1), (there, THEIRS, 2)):
        ns.ip(f"address add {address}/24 dev wire", f"address add 2001:db8::{last}/64 dev wire nodad", "link set wire up")
    neighbor = {
        "address": OURS,
        "interface": "wire",
        "local": THEIRS,
        "asn": MY_ASN,
        "families": "46",
        "gr": True,
        "hold": 90,
    }
    found = []
    try:
        for asn, seconds in ((MY_ASN, LISTEN_S), (WRONG_ASN, 2)):
            found += started(kind, here, there, neighbor, lambda: session(asn, seconds))
    finally:
        here.close()
        there.close()
    lines = []
    for data in dict.fromkeys(found):
        lines += [f"# {NAMES.get(data[18], data[18])}", data.hex()]
    pathlib.Path(directory, f"{kind}.hex").write_text("\n".join(lines) + "\n", encoding="ascii")


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "tests" / "vectors" / "bgp")
    directory.mkdir(parents=True, exist_ok=True)
    for kind in SOURCES:
        record(kind, directory)


if __name__ == "__main__":
    main()
