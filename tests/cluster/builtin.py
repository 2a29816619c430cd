"""The built-in control plane: the in-memory imitation of tests/cluster/apiserver, in one process."""

import pathlib
import sys
import time

from . import procs
from .images import PROJECT


class BuiltinControlPlane:
    """The same interface as RealControlPlane."""

    kind = "builtin"
    version = (1, 32)

    def __init__(self, plan, state, pki, service_conditions=True):
        self.service_conditions = service_conditions
        self.plan = plan
        self.state = pathlib.Path(state)
        self.pki = pki
        self._server = None

    def start(self, ns):
        plan, pki = self.plan, self.pki.path
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", "::1"]
        addresses = plan.control_addresses() + plan.api_service_addresses()
        self.pki.issue("apiserver", "kube-apiserver", hosts=names + addresses)
        flags = [
            f"--listen={plan.control4}:{plan.api_port}",
            f"--listen=[{plan.control6}]:{plan.api_port}",
            f"--listen=127.0.0.1:{plan.api_port}",
            f"--tls-cert={pki('apiserver.crt')}",
            f"--tls-key={pki('apiserver.key')}",
            f"--client-ca={pki('ca.crt')}",
            f"--root-ca={pki('ca.crt')}",
            f"--sa-key={pki('sa.key')}",
            f"--data={self.state / 'apiserver.data'}",
            f"--ready-file={self._ready_file()}",
            f"--service-cidr={plan.service_cidr4},{plan.service_cidr6}",
            f"--node-monitor-grace-period={plan.node_grace_s}",
        ]
        if not self.service_conditions:
            flags.append("--drop-service-conditions")
        argv = [sys.executable, "-m", "tests.cluster.apiserver", *flags]
        log = self.state / "apiserver.log"
        self._server = procs.Process("apiserver", argv, ns=ns, log=log, cwd=PROJECT)
        self._start_server()

    def _ready_file(self):
        return self.state / "apiserver.ready"

    def _start_server(self):
        self._ready_file().unlink(missing_ok=True)
        self._server.start()

        def ready():
            self._server.check()
            return self._ready_file().exists()

        procs.wait_until(ready, 20, "the built-in API server ready", interval=0.02)

    def restart_api(self, down_s=0.0, crash=False):
        """A crash loses what was not yet saved, as the imitation keeps its objects in memory: never asked for."""
        if crash:
            raise ValueError("the built-in API server keeps its objects in memory: it cannot crash and go on")
        self._server.stop(grace=10)
        time.sleep(down_s)
        self._start_server()

    def check(self):
        self._server.check()

    def logs(self):
        return [self._server.log]

    def stop(self):
        if self._server:
            self._server.kill()
