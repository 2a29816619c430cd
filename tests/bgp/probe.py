"""bgp_probe as an object: commands, replies, events."""

import json
import os
import pathlib
import queue
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def probe_path(program):
    build = os.environ.get("METALLB_PROBE_BUILD", str(ROOT / "build" / "dev"))
    return os.path.join(build, "tests", program)


def wait_for(what, check, timeout=15, every=0.05):
    """check() until it is true; fails with what it said last."""
    end = time.monotonic() + timeout
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(every)


class Probe:
    program = "bgp/bgp_probe"

    def __init__(self, ns, *args):
        self.process = subprocess.Popen(
            ns.prefix() + [probe_path(self.program), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events = []
        self._replies = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            got = json.loads(line)
            if "event" in got:
                self.events.append(got)
            elif "reply" in got:
                self._replies.put(got)

    def command(self, cmd, **fields):
        self.process.stdin.write(json.dumps({"cmd": cmd, **fields}) + "\n")
        self.process.stdin.flush()
        return self._replies.get(timeout=20)

    def ask(self, cmd, **fields):
        got = self.command(cmd, **fields)
        assert got.get("ok"), got
        return got

    def peers(self, *peers, backend="frr"):
        return self.ask("peers", backend=backend, peers=list(peers))

    def routes(self, peer, *routes):
        return self.ask("routes", peer=peer, routes=list(routes))

    def status(self, name=None):
        got = self.command("status")
        if name is None:
            return got
        return next(peer for peer in got["peers"] if peer["name"] == name)

    def wait_state(self, name, state="Established", timeout=15):
        try:
            wait_for(name, lambda: self.status(name)["state"] == state, timeout)
        except AssertionError:
            raise AssertionError(f"{name} is not {state}: {self.status(name)}, {self.events[-5:]}") from None

    def wait_event(self, kind, name, contains="", timeout=15):
        def found():
            return next(
                (
                    e
                    for e in list(self.events)
                    if e["event"] == kind and e["peer"] == name and contains in e["text"]
                ),
                None,
            )

        try:
            return wait_for("event", found, timeout)
        except AssertionError:
            raise AssertionError(f"no event {kind} of {name} with {contains!r}: {self.events}") from None

    def kill(self):
        """As a crash: no good-bye."""
        self.process.kill()
        self.process.wait()

    def close(self):
        """Ends it in order; a sanitizer's finding or a leak fails here."""
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        self._reader.join(timeout=5)
        assert self.process.returncode in (0, -9), f"{self.program} ended with {self.process.returncode}"
