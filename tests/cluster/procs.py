"""Long-lived child processes: started inside a namespace, logged to a file, never outliving us.

Each child gets PR_SET_PDEATHSIG, so that even kill -9 of this process leaves none behind. The kernel ties
that signal to the *thread* that forked: start processes from a thread that lives as long as they should.
"""

import os
import pathlib
import signal
import subprocess
import time


class ProcessError(RuntimeError):
    """A process could not be started or ended when it should not have."""


def setpriv_prefix():
    return ["setpriv", "--pdeathsig", "KILL", "--"]


class Process:
    """A child that can be stopped, crashed, frozen and started again with the same arguments."""

    def __init__(self, name, argv, ns=None, log=None, env=None, cwd=None):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.ns = ns
        self.log = pathlib.Path(log) if log else None
        self.env = env
        self.cwd = cwd
        self._popen = None

    @property
    def pid(self):
        return self._popen.pid

    def start(self):
        # nsenter and setpriv replace themselves, so the pid is the program's own.
        argv = (self.ns.prefix() if self.ns else []) + setpriv_prefix() + self.argv
        output = open(self.log, "ab") if self.log else subprocess.DEVNULL
        try:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        finally:
            if self.log:
                output.close()
        return self

    def alive(self):
        return self._popen is not None and self._popen.poll() is None

    def check(self):
        """Raises with the end of the log when the process has ended."""
        if not self.alive():
            code = self._popen.returncode if self._popen else "never started"
            raise ProcessError(f"{self.name} is not running (exit {code})\n{self.tail()}")

    def tail(self, lines=20):
        if not self.log or not self.log.exists():
            return ""
        with open(self.log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def signal(self, number):
        """Sends a signal to the process and all it started in its session's group."""
        if self.alive():
            os.killpg(self.pid, number)

    def stop(self, grace=5.0):
        """SIGTERM, and SIGKILL when that was not heard within `grace` seconds."""
        if not self.alive():
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        if self.alive():
            self.signal(signal.SIGKILL)
            self._popen.wait()


def wait_until(condition, timeout, what, interval=0.05):
    """Polls condition() until it is true; its value is returned. Raises TimeoutError naming `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)
