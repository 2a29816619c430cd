"""Gossip nodes of three makes in one network namespace: ours, Go memberlist's (mlpeer) and serf.

Each is a process that reports JSON lines; all addresses are loopback ones of the namespace.
"""

import collections
import json
import os
import pathlib
import secrets
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(base) / "metallb-c"
    path.mkdir(parents=True, exist_ok=True)
    return path


def build_mlpeer():
    """The Go peer from Debian's packages; built again only when its source is newer."""
    out = cache_dir() / "mlpeer"
    source = HERE / "mlpeer" / "main.go"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        new = out.with_name(f"mlpeer.{os.getpid()}")
        subprocess.run([HERE / "mlpeer" / "build.sh", str(new)], check=True)
        new.rename(out)
    return str(out)


def own_node():
    build = pathlib.Path(os.environ.get("METALLB_DEV_BUILD", ROOT / "build" / "dev"))
    path = build / "tests" / "gossip" / "gossip_node"
    assert path.exists(), f"{path} is missing: build the dev preset first"
    return str(path)


class Net:
    """A network namespace of its own, with loopback up."""

    def __init__(self):
        self.name = f"gsp-{secrets.token_hex(4)}"
        self.peers = []

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.kill()
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def run(self, *args, **kw):
        return subprocess.run(["ip", "netns", "exec", self.name, *args], check=True, **kw)

    def own(self, name, addr, *args):
        return self._start(own_node(), "-name", name, "-bind", addr, *args)

    def go(self, name, addr, *args):
        return self._start(build_mlpeer(), "-name", name, "-bind", addr, *args)

    def _start(self, *args):
        peer = Peer(["ip", "netns", "exec", self.name, *args])
        self.peers.append(peer)
        peer.wait(lambda p: p.count("ready"), 10, "ready")
        return peer


class Peer:
    def __init__(self, args):
        self.args = args
        self.events = []
        self.errors = collections.deque(maxlen=200)
        self.new = threading.Condition()
        self.process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "noise", "text": line}
            with self.new:
                self.events.append(event)
                self.new.notify_all()

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def count(self, event, **fields):
        return sum(
            e.get("event") == event and all(e.get(k) == v for k, v in fields.items())
            for e in self.events
        )

    def wait(self, ok, seconds, what):
        end = time.monotonic() + seconds
        with self.new:
            while not ok(self):
                left = end - time.monotonic()
                assert self.process.poll() is None or left > 0 and ok(self) or self.events, self
                if left <= 0:
                    raise AssertionError(f"{self}: no {what} in {seconds} s: {self.events[-5:]}")
                self.new.wait(left)

    def members(self):
        """name -> state; Go's library reports only those that it does not hold dead or left."""
        before = self.count("members")
        self.say("members")
        self.wait(lambda p: p.count("members") > before, 10, "members")
        last = [e for e in self.events if e.get("event") == "members"][-1]
        return {m["name"]: m.get("state", "alive") for m in last["members"]}

    def alive(self):
        return {n for n, state in self.members().items() if state in ("alive", "suspect", 0, 1, "0")}

    def wait_alive(self, names, seconds):
        end = time.monotonic() + seconds
        while (got := self.alive()) != set(names):
            if time.monotonic() > end:
                raise AssertionError(f"{self}: has {sorted(got)}, wanted {sorted(names)}")
            time.sleep(0.1)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __repr__(self):
        return " ".join(self.args[4:9]) + "".join(list(self.errors)[-5:])
