"""What the tests of the webhooks share."""

import subprocess
import threading
import time

CONFIGURATION = "metallb-webhook-configuration"


def kubectl_try(cluster, *words, stdin=None):
    """Runs kubectl; its exit code and all that it printed."""
    argv = [cluster.kubectl_path, *map(str, words)]
    done = subprocess.run(
        argv, input=stdin, text=True, capture_output=True, timeout=60, env=cluster.kubectl_env(), check=False
    )
    return done.returncode, done.stderr + done.stdout


def policies(cluster):
    configuration = cluster.get("ValidatingWebhookConfiguration", CONFIGURATION) or {}
    return [item["failurePolicy"] for item in configuration.get("webhooks", [])]


def is_registered(cluster):
    """In force: writes are refused when nobody answers, and v1beta1 is converted."""
    crd = cluster.get("CustomResourceDefinition", "bgppeers.metallb.io") or {}
    strategy = crd.get("spec", {}).get("conversion", {}).get("strategy")
    return "Fail" in policies(cluster) and strategy == "Webhook"


def wait_registered(cluster, timeout=60):
    cluster.wait_for(lambda: is_registered(cluster), timeout, "the webhooks registered")


class ApplyLoop:
    """kubectl apply of an ever changing pool, again and again, in a thread of its own."""

    def __init__(self, cluster, name="looped"):
        self.cluster, self.name = cluster, name
        self.count, self.failures = 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        self.cluster.api.delete("IPAddressPool", self.name, "metallb-system")

    def _run(self):
        while not self._stop.is_set():
            text = (
                "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n"
                f"metadata: {{name: {self.name}, namespace: metallb-system}}\n"
                f"spec: {{addresses: [198.18.{self.count % 250}.0/24]}}\n"
            )
            code, output = kubectl_try(self.cluster, "apply", "-f", "-", stdin=text)
            self.count += 1
            if code != 0:
                self.failures.append(f"apply {self.count}: {output.strip()}")

    def run_for(self, count, timeout=60):
        """At least so many more applies."""
        until, limit = self.count + count, time.monotonic() + timeout
        while self.count < until:
            assert time.monotonic() < limit, f"only {self.count} applies in {timeout} s"
            time.sleep(0.05)
