"""The cluster as tests see it: a context manager with everything in it."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from . import api, builtin, client, netns, node, pki, procs, real
from .images import PROJECT, product_image, helper_images
from .plan import Plan

STATE_PREFIX = "metallb-c-cluster-"


def chosen_control_plane():
    """"real" or "builtin": $CLUSTER says, or whether $KUBEBUILDER_ASSETS is set."""
    kind = os.environ.get("CLUSTER") or ("real" if os.environ.get("KUBEBUILDER_ASSETS") else "builtin")
    if kind not in ("real", "builtin"):
        raise ValueError(f"CLUSTER={kind}: neither real nor builtin")
    if kind == "real" and not os.environ.get("KUBEBUILDER_ASSETS"):
        raise ValueError("CLUSTER=real needs KUBEBUILDER_ASSETS, a directory with the control plane's programs")
    return kind


def remove_stale_states():
    """Directories of clusters whose process was killed before it could remove them."""
    for path in pathlib.Path(tempfile.gettempdir()).glob(STATE_PREFIX + "*"):
        pid = path.name[len(STATE_PREFIX) :].split("-")[0]
        if pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


class Faults:
    """The fault proxy's rules; see faults.py for what a rule may say."""

    def __init__(self, socket):
        self._socket = socket

    def set(self, *rules):
        """Replaces all rules, and cuts every connection so that they apply at once."""
        node.unix_request(self._socket, "PUT", "/rules", list(rules))

    def clear(self):
        self.set()

    def cut(self):
        """Cuts every connection between Pods and the API server, once."""
        node.unix_request(self._socket, "POST", "/cut", {})

    def state(self):
        """{"requests", "applied": how often each rule was, "connections"}."""
        return node.unix_request(self._socket, "GET", "/state")


class Cluster:
    """See the package's docstring for the parameters and a tour."""

    def __init__(
        self, kind=None, nodes=3, images=None, faults=True, proxy=True, node_labels=None, service_conditions=True
    ):
        self.kind = kind or chosen_control_plane()
        self.node_count = nodes
        self.images = images if images is not None else {"metallb-c": product_image(), **helper_images()}
        self.with_faults = faults
        self.with_proxy = proxy
        self.node_labels = node_labels or {}
        self.service_conditions = service_conditions
        self.plan = Plan()
        self.node_plans = [self.plan.node(index) for index in range(1, nodes + 1)]
        self.nodes = []
        self.clients = {}
        self.faults = None
        self.state = None
        self._undo = []

    # Up and down.

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def start(self):
        remove_stale_states()
        # The prefix keeps unix sockets in it shorter than the kernel's 108 bytes.
        self.state = pathlib.Path(tempfile.mkdtemp(prefix=f"{STATE_PREFIX}{os.getpid()}-"))
        self._undo.append(lambda: shutil.rmtree(self.state))
        self.pki = pki.Pki(self.state / "pki")
        self.pki.issue("admin", "admin", groups=["system:masters"])
        self.pki.issue("agents", "node-agents", groups=["system:masters"])
        self.pki.issue("kubelets", "kubelets", hosts=[plan.ip4 for plan in self.node_plans])
        self._start_lan()
        self._start_control_plane()
        if self.with_faults:
            self._start_faults()
        self._start_nodes()

    def _start_lan(self):
        self.lan = netns.Bridge("lan", self.plan.mac_prefix)
        self._undo.append(self.lan.close)
        self.host = netns.Netns.current()
        self._undo.append(self.host.close)
        self.control = netns.Netns.create("control")
        self._undo.append(self.control.close)
        plan = self.plan
        link = f"mlc{plan.tag:04x}"
        port = self.lan.plug(self.host, link, [f"{plan.host4}/16", f"{plan.host6}/64"])
        self._undo.append(lambda: self.lan.unplug(port))
        self.lan.plug(self.control, addresses=[f"{plan.control4}/16", f"{plan.control6}/64"])
        self._route_pods(self.control, None)

    def _route_pods(self, ns, own):
        """Routes to the Pods of all nodes but `own`."""
        others = [plan for plan in self.node_plans if plan is not own]
        ns.ip(
            *(f"route add {plan.pod_cidr4} via {plan.ip4}" for plan in others),
            *(f"-6 route add {plan.pod_cidr6} via {plan.ip6}" for plan in others),
        )

    def _start_control_plane(self):
        if self.kind == "real":
            assets = os.environ["KUBEBUILDER_ASSETS"]
            self.control_plane = real.RealControlPlane(assets, self.plan, self.state, self.pki)
        else:
            self.control_plane = builtin.BuiltinControlPlane(self.plan, self.state, self.pki, self.service_conditions)
        self._undo.append(self.control_plane.stop)
        self.kubeconfig = self.state / "kubeconfig"
        self.pki.kubeconfig(self.kubeconfig, self.plan.api_url(), "admin")
        self.control_plane.start(self.control)
        self.api = api.Api(self.plan.control4, self.plan.api_port, self.pki)

    def _start_faults(self):
        plan = self.plan
        config = {
            "listen": [plan.control4, plan.proxy_port],
            "upstream": [plan.control4, plan.api_port],
            "cert": str(self.pki.path("apiserver.crt")),
            "key": str(self.pki.path("apiserver.key")),
            "ca": str(self.pki.path("ca.crt")),
            "socket": str(self.state / "faults.sock"),
            "inner": str(self.state / "faults-inner.sock"),
        }
        (self.state / "faults.json").write_text(json.dumps(config), encoding="utf-8")
        argv = [sys.executable, "-m", "tests.cluster.faults", self.state / "faults.json"]
        proxy = procs.Process("fault proxy", argv, ns=self.control, log=self.state / "faults.log", cwd=PROJECT)
        proxy.start()
        self._undo.append(proxy.kill)

        def listening():
            proxy.check()
            return os.path.exists(config["socket"])

        procs.wait_until(listening, 20, "the fault proxy listening")
        self.faults = Faults(config["socket"])

    @property
    def pod_api_port(self):
        """The port of the API server that Pods are told: the fault proxy's, when there is one."""
        return self.plan.proxy_port if self.with_faults else self.plan.api_port

    def _start_nodes(self):
        for plan in self.node_plans:
            made = node.Node(self, plan, self.node_labels.get(plan.name))
            self._undo.append(made.stop)
            self.nodes.append(made)
        for made in self.nodes:
            self._route_pods(made.ns, made.plan)
            # Where to does not matter, the service proxy translates first; but without a route nothing is sent.
            made.ns.ip(*(f"route add {cidr} dev eth0" for cidr in (self.plan.service_cidr4, self.plan.service_cidr6)))
            made.start()
        self.wait_for(lambda: all(map(self.node_ready, self.nodes)), 60, "all nodes Ready")
        self.wait_for(self._default_account_ready, 30, "the default service account")

    def close(self):
        """Ends and removes everything, in reverse order; a failing step does not keep the others from it."""
        failures = []
        # Whoever is impatient meanwhile would leave half of it behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        while self._undo:
            try:
                self._undo.pop()()
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                failures.append(error)
        for made in self.clients.values():
            made.stop()
        self.clients = {}
        for number, handler in before.items():
            signal.signal(number, handler)
        if failures:
            raise failures[0]

    # What is in it.

    def node(self, which):
        """A node by its name or its number from 1."""
        for made in self.nodes:
            if which in (made.name, made.plan.index):
                return made
        raise KeyError(f"no node {which}")

    def client(self, name="client"):
        """A client on the LAN, made when first asked for."""
        if name not in self.clients:
            self.clients[name] = client.Client(self, name)
        return self.clients[name]

    def node_ready(self, which):
        obj = self.api.get("Node", which.name)
        conditions = ((obj or {}).get("status") or {}).get("conditions") or []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def node_of_mac(self, mac):
        """The node whose interface on the LAN has this address; None if none has."""
        return next((made for made in self.nodes if made.mac == mac), None)

    def _default_account_ready(self):
        """Before that, servers refuse Pods; up to 1.23 the account's token has to be there, too."""
        account = self.get("ServiceAccount", "default", "default")
        return account and (account.get("secrets") or self.kind != "real" or self.control_plane.version >= (1, 24))

    def restart_api(self, down_s=0.0, crash=False):
        self.control_plane.restart_api(down_s, crash)

    # kubectl and its shorter ways.

    @property
    def kubectl_path(self):
        """$KUBECTL, or what is on the PATH, or the one next to the control plane's programs."""
        beside = pathlib.Path(os.environ.get("KUBEBUILDER_ASSETS", "/nonexistent"), "kubectl")
        return os.environ.get("KUBECTL") or shutil.which("kubectl") or str(beside)

    def kubectl_env(self):
        cache = {"KUBECACHEDIR": str(self.state / "kubectl-cache"), "HOME": str(self.state)}
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), **cache}

    def kubectl(self, *words, stdin=None, check=True, timeout=60):
        """Runs real kubectl as administrator; returns its standard output."""
        argv = [self.kubectl_path, *map(str, words)]
        done = subprocess.run(
            argv, input=stdin, text=True, capture_output=True, timeout=timeout, env=self.kubectl_env(), check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects):
        """kubectl apply of YAML text or of objects."""
        texts = [obj if isinstance(obj, str) else json.dumps(obj) for obj in objects]
        # The first line says that all of it is YAML, even where a document is JSON.
        return self.kubectl("apply", "-f", "-", stdin="".join(f"---\n{text}\n" for text in texts))

    def get(self, kind, name, namespace=None):
        return self.api.get(kind, name, namespace)

    def wait_for(self, condition, timeout, what, interval=0.05):
        """Polls condition() until its value is true and returns that; raises TimeoutError naming `what`."""

        def checked():
            self.control_plane.check()
            return condition()

        return procs.wait_until(checked, timeout, what, interval)

    # Pods and their processes.

    def pods(self, namespace, **labels):
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.api.list("Pod", namespace, **({"labelSelector": selector} if selector else {}))

    def containers(self, namespace=None, pod_prefix=""):
        """The containers that run on all nodes that are up, with their node's name."""
        found = []
        for made in self.nodes:
            if made.agent.alive():
                found += [dict(item, node=made.name) for item in made.containers()]
        return [
            item
            for item in found
            if (namespace is None or item["namespace"] == namespace) and item["pod"].startswith(pod_prefix)
        ]

    def signal_container(self, item, number=signal.SIGKILL):
        """Sends a signal to a container's main process, by the entry that containers() gave."""
        os.kill(item["pid"], number)

    def _inside(self, item):
        """What to put before a command so that it runs in a container's namespaces."""
        return ["nsenter", "-t", str(item["pid"]), "-m", "-n", "--root", "--wd", "--"]

    def _environment(self, item):
        entries = pathlib.Path("/proc", str(item["pid"]), "environ").read_bytes().split(b"\0")
        return dict(entry.decode().split("=", 1) for entry in entries if b"=" in entry)

    def run_inside(self, item, argv, timeout=30):
        """What kubectl exec would do, by the entry that containers() gave; a CompletedProcess."""
        return subprocess.run(
            self._inside(item) + argv,
            env=self._environment(item),
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    @contextlib.contextmanager
    def background(self, item, argv):
        """The same as a running Popen, killed at the end of the block if it still runs."""
        process = subprocess.Popen(
            self._inside(item) + argv, env=self._environment(item), text=True, stdout=subprocess.PIPE
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self, namespace, pod_prefix):
        """The logs of the Pods whose names begin so, those of ended ones too: {node/pod/container: text}."""
        logs = {}
        for made in self.nodes:
            for path in sorted((made.state / "logs").glob(f"{namespace}_{pod_prefix}*/*.log")):
                pod = path.parent.name.split("_", 1)[1]
                logs[f"{made.name}/{pod}/{path.stem}"] = path.read_text(errors="replace")
        return logs

    def save_logs(self, directory):
        """Copies the logs of everything into a directory that outlives the cluster."""
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for path in self.state.rglob("*.log"):
            target = directory / path.relative_to(self.state)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
