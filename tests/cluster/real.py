"""The real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

The binaries come from a KUBEBUILDER_ASSETS directory; flags follow the version they report. Everything
listens inside the control plane's own network namespace, so that fixed ports never collide.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import procs

CONTROLLER_TUNING = ["--kube-api-qps=500", "--kube-api-burst=1000"]
# client-go's informers share one HTTP/2 connection; against a 1.20 server some of its watches fall
# silent after a burst of some thousand events and stay so. Without HTTP/2 each has its own.
CLIENT_ENV = {"DISABLE_HTTP2": "true"}
# Feature gates that 1.20 has to be asked for and that later versions have for good.
OLD_GATES = "--feature-gates=IPv6DualStack=true,MixedProtocolLBService=true"
OLD_GATES_UNTIL = (1, 22)


def server_version(assets):
    """(major, minor) of the kube-apiserver in `assets`."""
    text = subprocess.run(
        [pathlib.Path(assets, "kube-apiserver"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"v(\d+)\.(\d+)\.", text)
    if not match:
        raise procs.ProcessError(f"kube-apiserver --version says {text!r}: no version in it")
    return int(match.group(1)), int(match.group(2))


class RealControlPlane:
    """Started and stopped as a whole; the API server also alone."""

    kind = "real"

    def __init__(self, assets, plan, state, pki):
        self.assets = pathlib.Path(assets)
        self.plan = plan
        self.state = pathlib.Path(state)
        self.pki = pki
        self.version = server_version(assets)
        # etcd syncs each write; in memory that costs nothing, and no test outlives the machine.
        shm = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None
        self._data = tempfile.mkdtemp(prefix="metallb-c-etcd-", dir=shm)
        self._processes = {}

    def start(self, ns):
        self._issue_certificates()
        gates = [OLD_GATES] if self.version < OLD_GATES_UNTIL else []
        self._add("etcd", ns, self._etcd_flags())
        self._add("kube-apiserver", ns, self._apiserver_flags() + gates)
        self._processes["etcd"].start()
        self._processes["kube-apiserver"].start()
        self.wait_ready()
        self._add("kube-controller-manager", ns, self._controller_manager_flags() + gates)
        self._add("kube-scheduler", ns, self._scheduler_flags() + gates)
        self._processes["kube-controller-manager"].start()
        self._processes["kube-scheduler"].start()

    def _add(self, name, ns, flags):
        log = self.state / f"{name}.log"
        env = {**os.environ, **CLIENT_ENV}
        self._processes[name] = procs.Process(name, [self.assets / name, *flags], ns=ns, log=log, env=env)

    def _issue_certificates(self):
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        addresses = ["127.0.0.1", "::1", *self.plan.control_addresses(), *self.plan.api_service_addresses()]
        self.pki.issue("apiserver", "kube-apiserver", hosts=names + addresses)
        self.pki.issue("kubelet-client", "kube-apiserver-kubelet-client", groups=["system:masters"])
        self.pki.issue("controllers", "control-plane", groups=["system:masters"])
        self.pki.kubeconfig(self.state / "controllers.kubeconfig", self.plan.api_url(), "controllers")

    def _etcd_flags(self):
        return [
            f"--data-dir={self._data}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380",
        ]

    def _apiserver_flags(self):
        pki = self.pki.path
        return [
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=::",
            f"--secure-port={self.plan.api_port}",
            f"--advertise-address={self.plan.control4}",
            f"--service-cluster-ip-range={self.plan.service_cidr4},{self.plan.service_cidr6}",
            f"--tls-cert-file={pki('apiserver.crt')}",
            f"--tls-private-key-file={pki('apiserver.key')}",
            f"--client-ca-file={pki('ca.crt')}",
            f"--kubelet-client-certificate={pki('kubelet-client.crt')}",
            f"--kubelet-client-key={pki('kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki('sa.pub')}",
            f"--service-account-signing-key-file={pki('sa.key')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            # Webhooks are called at their pods, since no service proxy runs next to the server.
            "--enable-aggregator-routing=true",
        ]

    def _controller_manager_flags(self):
        return [
            f"--kubeconfig={self.state / 'controllers.kubeconfig'}",
            f"--service-account-private-key-file={self.pki.path('sa.key')}",
            f"--root-ca-file={self.pki.path('ca.crt')}",
            f"--node-monitor-grace-period={self.plan.node_grace_s}s",
            "--node-monitor-period=1s",
            "--leader-elect=false",
            "--allocate-node-cidrs=false",
            "--bind-address=127.0.0.1",
            *CONTROLLER_TUNING,
        ]

    def _scheduler_flags(self):
        return [
            f"--kubeconfig={self.state / 'controllers.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            *CONTROLLER_TUNING,
        ]

    def wait_ready(self, timeout=60):
        """Until the API server says it is ready to an administrator."""
        pki = self.pki.path
        probe = ["curl", "-sf", "-m", "2", "-o", "/dev/null", "--cacert", str(pki("ca.crt"))]
        probe += ["--cert", str(pki("admin.crt")), "--key", str(pki("admin.key"))]
        probe.append(self.plan.api_url() + "/readyz")

        def ready():
            self._processes["etcd"].check()
            self._processes["kube-apiserver"].check()
            return subprocess.run(probe, check=False).returncode == 0

        procs.wait_until(ready, timeout, "kube-apiserver ready", interval=0.1)

    def restart_api(self, down_s=0.0, crash=False):
        """Stops the API server (crash: with SIGKILL), leaves it down for a while, starts it again."""
        server = self._processes["kube-apiserver"]
        if crash:
            server.kill()
        else:
            server.stop(grace=3)
        procs.time.sleep(down_s)
        server.start()
        self.wait_ready()

    def check(self):
        for process in self._processes.values():
            process.check()

    def logs(self):
        return [process.log for process in self._processes.values()]

    def stop(self):
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._processes:
                # Nothing of theirs is kept, so there is no reason to let them finish.
                self._processes[name].kill()
        shutil.rmtree(self._data, ignore_errors=True)
