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

ETH_P_ALL, ETH_P_ARP = 0x0003, 0x0806
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


class ArpProbe(Worker):
    """Asks for addresses every `interval` seconds and notes who answers: answers[address] = [(time, mac)]."""

    def __init__(self, client, addresses, interval=0.01, ifname="eth0"):
        super().__init__(client.ns)
        self._client_ip = client.ip4
        self._addresses = list(addresses)
        self._interval = interval
        self._ifname = ifname
        self.answers = {address: [] for address in self._addresses}

    def body(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as sock:
            sock.bind((self._ifname, ETH_P_ARP))
            own = sock.getsockname()[4]
            frames = [arp_frame(own, self._client_ip, address) for address in self._addresses]
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
            seen = parse_arp(sock.recv(2048), time.monotonic())
            if seen and seen.operation == 2 and seen.sender_ip in self.answers and not seen.gratuitous:
                self.answers[seen.sender_ip].append((seen.at, seen.sender_mac))

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
