"""A BGP speaker in a few lines that does what real routers do not: floods, dribbles, breaks off, stays mute.

It listens in its namespace (or connects, if told to) and hands every connection to a behaviour, a function
that gets the socket and the Rogue; `good` is the well-behaved one and notes when it heard of each prefix.
"""

import ipaddress
import random
import select
import socket
import struct
import time

from tests.cluster.traffic import Worker

ASN = 65000
MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
TCP_MD5SIG = 14


def message(kind, body=b""):
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def open_message(asn=ASN, hold=9, identifier="10.0.0.200", as4=True):
    capabilities = struct.pack("!BBHBB", 1, 4, 1, 0, 1)
    if as4:
        capabilities += struct.pack("!BBI", 65, 4, asn)
    options = struct.pack("!BB", 2, len(capabilities)) + capabilities
    two = asn if asn < 65536 else 23456
    return message(OPEN, struct.pack("!BHH4sB", 4, two, hold, socket.inet_aton(identifier), len(options)) + options)


def greeting(**fields):
    return open_message(**fields) + message(KEEPALIVE)


def update(prefixes, asn=ASN, hop="10.66.0.2"):
    """Announces IPv4 host routes with a four-octet path."""
    attributes = b"\x40\x01\x01\x00" + b"\x40\x02\x06\x02\x01" + struct.pack("!I", asn) + b"\x40\x03\x04" + socket.inet_aton(hop)
    routes = b"".join(b"\x20" + prefix for prefix in prefixes)
    return message(UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes + routes)


def table(count, first="20.0.0.0", per_message=800):
    """UPDATEs that announce `count` host routes."""
    start = int(ipaddress.IPv4Address(first))
    numbers = range(start, start + count)
    return b"".join(
        update([struct.pack("!I", n) for n in numbers[at : at + per_message]]) for at in range(0, count, per_message)
    )


def messages(data):
    """(kind, body) of the whole messages at the front of data, and the rest."""
    found = []
    while len(data) >= 19 and len(data) >= struct.unpack("!H", data[16:18])[0]:
        length = struct.unpack("!H", data[16:18])[0]
        found.append((data[18], data[19:length]))
        data = data[length:]
    return found, data


def announced(body):
    """The IPv4 prefixes of an UPDATE's classic field, as text."""
    at = 2 + struct.unpack("!H", body[:2])[0]
    at += 2 + struct.unpack("!H", body[at : at + 2])[0]
    while at < len(body):
        octets = (body[at] + 7) // 8
        yield f"{socket.inet_ntoa(body[at + 1 : at + 1 + octets].ljust(4, bytes(1)))}/{body[at]}"
        at += 1 + octets


class Rogue(Worker):
    def __init__(self, ns, address, behave, connect=None, port=179):
        super().__init__(ns)
        self.address, self.port = address, port
        self.behave, self.connect = behave, connect
        self.connections = 0
        self.heard = {}  # prefix -> when
        self.got = []  # (kind, body) of everything
        self.rest = b""  # of the stream, not a whole message yet

    def body(self):
        if self.connect:
            self._dial()
        else:
            self._listen()

    def _listen(self):
        with socket.create_server((self.address, self.port), backlog=64) as server:
            server.settimeout(0.1)
            self.ready()
            while not self.stopping.is_set():
                try:
                    sock, _ = server.accept()
                except socket.timeout:
                    continue
                self._serve(sock)

    def _dial(self):
        self.ready()
        while not self.stopping.is_set():
            try:
                sock = socket.create_connection(self.connect, timeout=1, source_address=(self.address, 0))
            except OSError:
                time.sleep(0.05)
                continue
            self._serve(sock)

    def _serve(self, sock):
        self.connections += 1
        self.rest = b""
        with sock:
            sock.settimeout(5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.behave(sock, self)
            except OSError:
                pass  # the other side ended it, as it may

    def take(self, sock, seconds=0.05):
        """Notes what comes within this time; False at the end of the stream."""
        if not select.select([sock], [], [], seconds)[0]:
            return True
        data = sock.recv(65536)
        found, self.rest = messages(self.rest + data)
        for kind, body in found:
            self.got.append((kind, body))
            if kind == UPDATE:
                self.heard.update((prefix, time.monotonic()) for prefix in announced(body))
        return bool(data)


def good(sock, rogue):
    """A router as it should be."""
    sock.sendall(greeting())
    carry_on(sock, rogue)


def carry_on(sock, rogue):
    """Keeps a session that is up."""
    last = time.monotonic()
    while not rogue.stopping.is_set() and rogue.take(sock):
        if time.monotonic() > last + 1:
            sock.sendall(message(KEEPALIVE))
            last = time.monotonic()


def md5_socket(address, peer, password):
    """A TCP socket bound to address that signs what it sends to peer (RFC 2385)."""
    sock = socket.socket()
    sock.bind((address, 0))
    name = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 0) + socket.inet_aton(peer)
    key = password.encode()
    sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, name.ljust(128, b"\0") + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0"))
    return sock


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class SynFlood(Worker):
    """SYNs from addresses of a network where nobody answers; seeded, as fast as one thread can."""

    def __init__(self, ns, network, target, port=179):
        super().__init__(ns)
        self._hosts = ipaddress.ip_network(network)
        self._target, self._port = target, port
        self.sent = 0

    def body(self):
        dice = random.Random(1)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            self.ready()
            while not self.stopping.is_set():
                raw.sendto(self._syn(dice), (self._target, 0))
                self.sent += 1

    def _syn(self, dice):
        source = (self._hosts[dice.randrange(10, 200)]).packed
        target = socket.inet_aton(self._target)
        tcp = struct.pack("!HHIIBBHHH", dice.randrange(1024, 65536), self._port, dice.getrandbits(32), 0, 0x50, 2, 64240, 0, 0)
        pseudo = source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0, source, target) + tcp

