"""Traffic and probes for tests: threads that enter a namespace, work there, and keep what they saw.

Times are time.monotonic() seconds. Each is a context manager; what it saw is read afterwards or meanwhile.
"""

import asyncio
import dataclasses
import select
import socket
import struct
import threading
import time

ETH_P_ALL, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0806, 0x86DD
ICMP6, SOLICIT, ADVERTISE = 58, 135, 136
BROADCAST = b"\xff" * 6


def mac_text(raw):
    return ":".join(f"{byte:02x}" for byte in raw)


class Worker:
    """A thread inside a namespace; subclasses give body(), which returns when self.stopping is set."""

    def __init__(self, ns):
        self._ns = ns
        self._error = None
        self._ready = threading.Event()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def _main(self):
        try:
            self._ns.enter()
            self.body()
        except BaseException as error:  # handed on by __exit__
            self._error = error
        finally:
            self._ready.set()

    def ready(self):
        """Called by body() once it sees everything that happens from now on."""
        self._ready.set()

    def __enter__(self):
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self._thread.join(30)
        if self._error is not None and exc[0] is None:
            raise self._error


@dataclasses.dataclass
class Request:
    """One new connection and its request: when it began, how long it took, who answered or why not."""

    at: float
    seconds: float
    backend: str
    error: str

    @property
    def ok(self):
        return not self.error


class Load(Worker):
    """HTTP requests, each on a new connection, at `rate` a second in turn to the given (address, port).

    A request fails when it gets no 200 within `patience` seconds; what a machine with too much to do delays
    is not lost, and how long nobody answered is told by longest_gap.
    """

    def __init__(self, client, targets, rate=50, patience=10.0):
        super().__init__(client.ns)
        self._targets = list(targets)
        self._rate = rate
        self._patience = patience
        self.requests = []

    def body(self):
        asyncio.run(self._run())

    async def _run(self):
        self.ready()
        running = set()
        due, number = time.monotonic(), 0
        while not self.stopping.is_set():
            task = asyncio.create_task(self._one(self._targets[number % len(self._targets)]))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
            due += 1 / self._rate
            await asyncio.sleep(max(0, due - time.monotonic()))
        await asyncio.gather(*running)

    async def _one(self, target):
        began = time.monotonic()
        backend, error = "", ""
        try:
            backend = await asyncio.wait_for(self._get(target), self._patience)
        except asyncio.TimeoutError:
            error = "timeout"
        except (OSError, ValueError) as caught:
            error = repr(caught)
        self.requests.append(Request(began, time.monotonic() - began, backend, error))

    @staticmethod
    async def _get(target):
        reader, writer = await asyncio.open_connection(*target)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
        finally:
            writer.close()
        head, _, text = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"no 200: {head[:60]!r}")
        return text.decode().split(" ")[0]

    def failed(self):
        return [request for request in self.requests if not request.ok]

    def longest_gap(self):
        """The longest time between two successes, in seconds."""
        times = sorted(request.at + request.seconds for request in self.requests if request.ok)
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=float("inf"))


def arp_frame(source_mac, source_ip, target_ip):
    """A broadcast ARP request."""
    ethernet = BROADCAST + source_mac + struct.pack("!H", ETH_P_ARP)
    addresses = source_mac + socket.inet_aton(source_ip) + bytes(6) + socket.inet_aton(target_ip)
    return ethernet + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + addresses


@dataclasses.dataclass
class ArpFrame:
    """An ARP frame as seen on the wire."""

    at: float
    source: str
    destination: str
    operation: int
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str

    @property
    def gratuitous(self):
        return self.sender_ip == self.target_ip


def parse_arp(frame, at):
    """The frame's content; None when it is not an ARP frame of IPv4 over Ethernet."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06" or frame[14:20] != b"\x00\x01\x08\x00\x06\x04":
        return None
    return ArpFrame(
        at,
        mac_text(frame[6:12]),
        mac_text(frame[0:6]),
        struct.unpack("!H", frame[20:22])[0],
        mac_text(frame[22:28]),
        socket.inet_ntoa(frame[28:32]),
        mac_text(frame[32:38]),
        socket.inet_ntoa(frame[38:42]),
    )


class Sniffer(Worker):
    """Everything that an interface of a namespace receives: frames as (time, bytes)."""

    def __init__(self, ns, ifname="eth0", protocol=ETH_P_ALL):
        super().__init__(ns)
        self._ifname = ifname
        self._protocol = protocol
        self.frames = []

    def body(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self._protocol)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((self._ifname, self._protocol))
            self.ready()
            while not self.stopping.is_set():
                if select.select([sock], [], [], 0.05)[0]:
                    frame = sock.recv(65536)
                    self.frames.append((time.monotonic(), frame))

    def arp(self, address=None):
        """The ARP frames, or those with this sender address."""
        parsed = (parse_arp(frame, at) for at, frame in list(self.frames))
        return [item for item in parsed if item and (address is None or item.sender_ip == address)]


class AnswerProbe(Worker):
    """Asks for addresses every `interval` seconds and notes who answers: answers[address] = [(time, mac)].

    Subclasses give the protocol, question() and answer().
    """

    protocol = None

    def __init__(self, client, addresses, interval=0.01, ifname="eth0"):
        super().__init__(client.ns)
        self.client = client
        self._interval = interval
        self._ifname = ifname
        self.answers = {address: [] for address in addresses}

    def question(self, own_mac, address):
        raise NotImplementedError

    def answer(self, frame, at):
        """The address and the MAC that a frame tells; None when it is no answer."""
        raise NotImplementedError

    def body(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self.protocol)) as sock:
            sock.bind((self._ifname, self.protocol))
            own = sock.getsockname()[4]
            frames = [self.question(own, address) for address in self.answers]
            self.ready()
            due = time.monotonic()
            while not self.stopping.is_set():
                for frame in frames:
                    sock.send(frame)
                due += self._interval
                self._listen(sock, due)

    def _listen(self, sock, until):
        while (left := until - time.monotonic()) > 0:
            if not select.select([sock], [], [], left)[0]:
                return
            at = time.monotonic()
            seen = self.answer(sock.recv(2048), at)
            if seen and seen[0] in self.answers:
                self.answers[seen[0]].append((at, seen[1]))

    def owner(self, address, within=0.2):
        """The MACs that answered within the last moments, without duplicates."""
        since = time.monotonic() - within
        return {mac for at, mac in list(self.answers[address]) if at >= since}

    def first_answer_after(self, address, moment, other_than=None):
        """When somebody (other than one MAC) first answered after a moment; None if nobody has."""
        times = [at for at, mac in list(self.answers[address]) if at > moment and mac != other_than]
        return min(times, default=None)

    def longest_gap(self, address):
        times = [at for at, _ in self.answers[address]]
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=float("inf"))

    def together(self, address, since=0.0):
        """The longest time after a moment during which one node's answers came between another's, in seconds."""
        longest, began, last, before = 0.0, None, None, None
        for at, mac in self.answers[address]:
            if at <= since:
                continue
            if before not in (None, mac):
                if last is None or at - last > 10 * self._interval:
                    began = at
                last = at
                longest = max(longest, last - began)
            before = mac
        return longest


class ArpProbe(AnswerProbe):
    """By ARP requests."""

    protocol = ETH_P_ARP

    def question(self, own_mac, address):
        return arp_frame(own_mac, self.client.ip4, address)

    def answer(self, frame, at):
        seen = parse_arp(frame, at)
        if not seen or seen.operation != 2 or seen.gratuitous:
            return None
        return seen.sender_ip, seen.sender_mac


def solicitation(source_mac, source_ip, target_ip):
    """A neighbour solicitation to the target's solicited-node group."""
    target = socket.inet_pton(socket.AF_INET6, target_ip)
    source = socket.inet_pton(socket.AF_INET6, source_ip)
    group = bytes.fromhex("ff0200000000000000000001ff") + target[13:]
    body = target + b"\x01\x01" + source_mac
    pseudo = source + group + struct.pack("!II", 8 + len(body), ICMP6)
    total = sum(struct.unpack(f"!{(len(pseudo) + 8 + len(body)) // 2}H", pseudo + b"\x87" + bytes(7) + body))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    icmp = struct.pack("!BBHI", SOLICIT, 0, ~total & 0xFFFF, 0) + body
    ethernet = b"\x33\x33\xff" + target[13:] + source_mac + struct.pack("!H", ETH_P_IPV6)
    return ethernet + struct.pack("!IHBB", 6 << 28, len(icmp), ICMP6, 255) + source + group + icmp


def advertisement(frame):
    """The destination, target and source MAC of a neighbour advertisement; None when it is none."""
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != ICMP6 or frame[54] != ADVERTISE:
        return None
    return frame[38:54], socket.inet_ntop(socket.AF_INET6, frame[62:78]), mac_text(frame[6:12])


class NdpProbe(AnswerProbe):
    """By neighbour solicitations."""

    protocol = ETH_P_IPV6

    def question(self, own_mac, address):
        return solicitation(own_mac, self.client.ip6, address)

    def answer(self, frame, at):
        seen = advertisement(frame)
        if not seen or seen[0] != socket.inet_pton(socket.AF_INET6, self.client.ip6):
            return None
        return seen[1:]
