"""The demonstration behind hack/demo: python3 -m tests.cluster.demo [--check]

Every step says what it does and how long it took; kubectl and the client's commands are shown as typed.
"""

import argparse
import pathlib
import signal
import sys
import time

from . import Cluster, traffic
from .images import PROJECT, find_program, helper_images, product_image

POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: demo, namespace: metallb-system}}
spec:
  addresses:
  - {addresses}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{name: demo, namespace: metallb-system}}
"""

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: backend
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""


class StepFailed(Exception):
    """A step of the demonstration did not show what it should."""


class Show:
    """Prints steps with the time since the start and how long each took."""

    def __init__(self):
        self._began = self._last = time.monotonic()
        bold = sys.stdout.isatty()
        self._on, self._off = ("\033[1m", "\033[0m") if bold else ("", "")
        self._number = 0

    def step(self, text):
        self._number += 1
        self._last = time.monotonic()
        print(f"\n{self._on}{self._number}. {text}{self._off}", flush=True)

    def done(self, text):
        now = time.monotonic()
        print(f"   {text} ({now - self._last:.2f} s)", flush=True)

    @staticmethod
    def command(line, output=""):
        print(f"   $ {line}")
        for row in output.splitlines():
            print(f"     {row}")
        sys.stdout.flush()

    def total(self):
        return time.monotonic() - self._began


class Demo:
    """The steps, in order; each raises StepFailed or TimeoutError when it does not work."""

    def __init__(self, cluster, show):
        self.cluster = cluster
        self.show = show
        self.address = None

    def kubectl(self, *words, stdin=None):
        output = self.cluster.kubectl(*words, stdin=stdin)
        self.show.command("kubectl " + " ".join(map(str, words)), output)
        return output

    def run(self):
        self.install()
        self.configure()
        self.serve()
        owner = self.answer()
        self.fail_over(owner)

    def install(self):
        self.show.step("Install the product from config/default")
        output = self.cluster.kubectl("apply", "-k", pathlib.Path(PROJECT, "config", "default"))
        self.show.command("kubectl apply -k config/default", f"{len(output.splitlines())} objects")
        self.cluster.wait_for(lambda: self.cluster.get("DaemonSet", "speaker", "metallb-system"), 60, "the speakers made")
        for workload in ("deployment/controller", "daemonset/speaker"):
            self.cluster.kubectl("-n", "metallb-system", "rollout", "status", workload, "--timeout=60s", timeout=70)
        self.kubectl("-n", "metallb-system", "get", "pods", "-o", "wide")
        self.show.done("operator and speakers are ready")

    def configure(self):
        addresses = self.cluster.plan.pool4()
        self.show.step(f"Give it the addresses {addresses} to hand out, announced in layer 2")
        manifest = POOL.format(addresses=addresses)
        self.show.command("kubectl apply -f -", manifest)
        self.cluster.kubectl("apply", "-f", "-", stdin=manifest)

    def serve(self):
        self.show.step("Three web servers behind a Service of type LoadBalancer")
        self.show.command("kubectl apply -f -", WEB)
        self.cluster.kubectl("apply", "-f", "-", stdin=WEB)
        began = time.monotonic()
        self.address = self.cluster.wait_for(self._external_ip, 10, "an address for Service web")
        self.show.done(f"the Service has its address, {time.monotonic() - began:.3f} s after it was created")
        self.cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
        self.kubectl("get", "service", "web")

    def _external_ip(self):
        service = self.cluster.get("Service", "web", "default")
        ingress = (service["status"].get("loadBalancer") or {}).get("ingress") or [{}]
        return ingress[0].get("ip")

    def answer(self):
        self.show.step(f"From the client, a machine on the same network: who has {self.address}?")
        client = self.cluster.client()
        self.cluster.wait_for(lambda: client.curl(self.address, timeout=1), 15, "an answer over HTTP")
        arping = client.run(["arping", "-c", "2", "-W", "0.2", "-I", "eth0", self.address], check=False).stdout
        self.show.command(f"arping -c 2 {self.address}", arping)
        macs = set(client.arping(self.address))
        owner = self.cluster.node_of_mac(macs.pop()) if len(macs) == 1 else None
        if owner is None:
            raise StepFailed(f"not exactly one node answers for {self.address}")
        for _ in range(3):
            text = client.curl(self.address)
            if not text:
                raise StepFailed(f"no HTTP answer from {self.address}")
            self.show.command(f"curl http://{self.address}/", text)
        self.show.done(f"{owner.name} answers for the address")
        return owner

    def fail_over(self, owner):
        self.show.step(f"Pull the plug of {owner.name}")
        client, mac = self.cluster.client(), owner.mac
        with traffic.ArpProbe(client, [self.address]) as probe:
            with traffic.Load(client, [(self.address, 80)], rate=20, patience=1) as load:
                time.sleep(0.5)
                died = time.monotonic()
                owner.kill()
                taken = self.cluster.wait_for(
                    lambda: probe.first_answer_after(self.address, died, other_than=mac), 30, "another node answering"
                )
                print(f"   another node answers ARP {taken - died:.2f} s after the plug was pulled", flush=True)
                self.cluster.wait_for(lambda: self._all_ok(load), 30, "all HTTP requests answered again")
        last = max((request.at for request in load.failed()), default=died)
        print(f"   the last HTTP request without an answer began {last - died:.2f} s after it")
        successor = self.cluster.node_of_mac(probe.answers[self.address][-1][1])
        self.kubectl("get", "nodes")
        self.show.command(f"curl http://{self.address}/", client.curl(self.address) or "")
        if successor is None or successor is owner:
            raise StepFailed(f"{self.address} is not answered for by another node")
        self.show.done(f"{successor.name} answers for {self.address} now")

    @staticmethod
    def _all_ok(load):
        """Whether the last second's requests all got their answer."""
        recent = [request for request in list(load.requests) if request.at > time.monotonic() - 1]
        return len(recent) > 10 and all(request.ok for request in recent)


def leave_up(cluster):
    prefix = " ".join(cluster.client().prefix)
    print("\nThe cluster stays up until Ctrl-C. To play with it, in another terminal:")
    print(f"   export KUBECONFIG={cluster.kubeconfig}")
    print(f"   kubectl get pods -A; {prefix} curl http://{{ADDRESS}}/", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\ntaking it down")


def leftovers(state):
    """What a cluster that has ended must not have left: its directory, or a process that works in it."""
    found = [str(state)] if state.exists() else []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if any(str(state) in word for word in words):
            found.append(f"process {path.parent.name}: {' '.join(words)}")
    return found


def images():
    release = PROJECT / "build" / "release"
    built = release if find_program(release, "speaker") else None
    return {"metallb-c": product_image(built), **helper_images()}


def main():
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--check", action="store_true", help="do not wait at the end")
    check = parser.parse_args().check
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    show = Show()
    show.step("Raise a cluster: three nodes and a client, each a network namespace")
    cluster = Cluster(nodes=3, images=images(), faults=False)
    try:
        with cluster:
            show.done(f"{cluster.kind} control plane {cluster.control_plane.version}, nodes are Ready")
            try:
                Demo(cluster, show).run()
            except (StepFailed, TimeoutError, RuntimeError):
                for name, text in cluster.log("metallb-system", "").items():
                    print(f"--- the end of the log of {name}", *text.splitlines()[-15:], sep="\n", file=sys.stderr)
                raise
            print(f"\nAll of it in {show.total():.1f} s.", flush=True)
            if not check:
                leave_up(cluster)
    except (StepFailed, TimeoutError, RuntimeError) as error:
        sys.exit(f"hack/demo: FAILED: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    left = leftovers(cluster.state)
    if left:
        sys.exit("hack/demo: FAILED: left behind: " + "; ".join(left))


if __name__ == "__main__":
    main()
