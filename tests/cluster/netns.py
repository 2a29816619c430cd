"""Network namespaces, the links between them, and commands inside them.

A namespace here has no name in the file system: it is held by an open file descriptor, so that it
vanishes with the last process that uses it, however that process ended. Links vanish with their
namespaces, hence nothing needs undoing by hand. Commands enter by `nsenter --net=/proc/PID/fd/N`.

Needs CAP_SYS_ADMIN and CAP_NET_ADMIN in the user namespace it runs in.
"""

import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class NetnsError(RuntimeError):
    """A namespace or link could not be made; the text says which command failed and how."""


def _check(result, what):
    if result != 0:
        errno = ctypes.get_errno()
        raise NetnsError(f"{what}: {os.strerror(errno)}")


def _in_thread(function):
    """Runs function in a thread of its own, whose namespace it may change; hands on what it returns."""
    outcome = {}

    def body():
        try:
            outcome["value"] = function()
        except BaseException as error:  # re-raised in the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


class Netns:
    """One network namespace. `name` is for people only."""

    def __init__(self, name, fd):
        self.name = name
        self._fd = fd

    @classmethod
    def create(cls, name):
        def body():
            _check(_libc.unshare(CLONE_NEWNET), f"unshare(CLONE_NEWNET) for {name}")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        ns = cls(name, _in_thread(body))
        ns.ip("link set lo up")
        return ns

    @classmethod
    def current(cls, name="host"):
        return cls(name, os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @property
    def path(self):
        """A path by which any process of the same user can enter while this one lives."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def enter(self):
        """Moves the calling thread into this namespace, for good."""
        _check(_libc.setns(self._fd, CLONE_NEWNET), f"setns to {self.name}")

    def call(self, function):
        """Runs function in a thread inside this namespace and returns its value."""

        def body():
            self.enter()
            return function()

        return _in_thread(body)

    def prefix(self):
        """What to put before a command so that it runs in here."""
        return ["nsenter", f"--net={self.path}", "--"]

    def run(self, argv, check=True, timeout=60, **kwargs):
        """subprocess.run() in here, with text and captured output by default."""
        kwargs.setdefault("capture_output", True)
        kwargs.setdefault("text", True)
        done = subprocess.run(self.prefix() + list(argv), timeout=timeout, check=False, **kwargs)
        if check and done.returncode != 0:
            raise NetnsError(
                f"{self.name}: {' '.join(argv)}: exit {done.returncode}: "
                f"{(done.stderr or '').strip() or (done.stdout or '').strip()}"
            )
        return done

    def ip(self, *commands):
        """Runs ip(8) commands, one string each, as one batch; then those that begin with -6 as another."""
        plain = [command for command in commands if not command.startswith("-6 ")]
        six = [command[3:] for command in commands if command.startswith("-6 ")]
        for options, lines in ([], plain), (["-6"], six):
            if lines:
                self.run(["ip", *options, "-batch", "-"], input="\n".join(lines) + "\n")

    def link_local(self, ifname):
        """The interface's link-local address."""
        text = self.run(["ip", "-6", "-br", "address", "show", "dev", ifname, "scope", "link"]).stdout
        return next(word for word in text.split() if word.startswith("fe80")).split("/")[0]

    def sysctl(self, **settings):
        """Sets net.* keys; `__` stands for the dot: net__ipv4__ip_forward=1."""
        self.sysctls({key.replace("__", "."): value for key, value in settings.items()})

    def sysctls(self, settings):
        def body():
            for key, value in settings.items():
                with open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as file:
                    file.write(str(value))

        self.call(body)

    def close(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Bridge:
    """A switch in a namespace of its own, to which other namespaces are plugged."""

    def __init__(self, name, mac_prefix):
        self.ns = Netns.create(name)
        self.ns.ip(
            "link add br0 type bridge forward_delay 0 mcast_snooping 0",
            "link set br0 up",
        )
        self._mac_prefix = mac_prefix
        self._ports = 0

    def plug(self, ns, ifname="eth0", addresses=()):
        """Gives ns an interface on this bridge; returns the name of the bridge's port."""
        self._ports += 1
        port = f"port{self._ports}"
        mac = f"{self._mac_prefix}:{self._ports >> 8:02x}:{self._ports & 255:02x}"
        self.ns.ip(f"link add {port} type veth peer name {ifname} address {mac} netns {ns.path}")
        self.ns.ip(f"link set {port} master br0", f"link set {port} up")
        # Settle at once: no duplicate address detection on links that are ours alone.
        ns.ip(
            *(f"address add {address} dev {ifname} nodad" for address in addresses if ":" in address),
            *(f"address add {address} dev {ifname}" for address in addresses if ":" not in address),
            f"link set {ifname} up",
        )
        return port

    def port_set(self, port, up):
        """Pulls the plug of a port, or puts it back."""
        self.ns.ip(f"link set {port} {'up' if up else 'down'}")

    def port_block(self, port, blocked):
        """Lets nothing through a port; its carrier stays, so that nobody notices."""
        self.ns.run(["bridge", "link", "set", "dev", port, "state", "0" if blocked else "3"])

    def unplug(self, port):
        self.ns.ip(f"link delete {port}")

    def close(self):
        self.ns.close()
