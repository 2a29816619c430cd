"""One imitation server for a test: certificates, process, a small client, kubectl. Owns: its process and directory."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from tests.cluster.pki import Pki

PROJECT = pathlib.Path(__file__).resolve().parents[3]
START_SECONDS = 10


class Refused(Exception):
    """An answer of 400 and more."""

    def __init__(self, code, status):
        super().__init__("%d: %s" % (code, status.get("message")))
        self.code = code
        self.status = status


class Server:
    """A server on 127.0.0.1; its port stays the same over restarts."""

    def __init__(self, directory, **flags):
        self.directory = pathlib.Path(directory)
        self.pki = Pki(self.directory / "pki")
        self.pki.issue("server", "kube-apiserver", hosts=["127.0.0.1", "localhost"])
        self.pki.issue("admin", "admin", groups=["system:masters"])
        self.tokens = self.directory / "tokens"
        self.tokens.write_text('bobtoken,bob,7,"devs,testers"\n')
        self.flags, self.port, self.process = flags, 0, None

    def start(self):
        ready, path = self.directory / "ready", self.pki.path
        ready.unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-m",
            "tests.cluster.apiserver",
            "--listen",
            "127.0.0.1:%d" % self.port,
            "--tls-cert",
            path("server.crt"),
            "--tls-key",
            path("server.key"),
            "--client-ca",
            path("ca.crt"),
            "--sa-key",
            path("sa.key"),
            "--token-file",
            self.tokens,
            "--ready-file",
            ready,
        ]
        for key, value in self.flags.items():
            argv += ["--" + key.replace("_", "-"), str(value)]
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(a) for a in argv], cwd=PROJECT, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, "the server does not get ready"
            time.sleep(0.01)
        self.port = int(ready.read_text().strip().rpartition(":")[2])
        self.url = "https://127.0.0.1:%d" % self.port
        self.pki.kubeconfig(self.directory / "kubeconfig", self.url, "admin")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log()

    def log(self):
        return (self.directory / "log").read_text()

    def context(self, certificate="admin"):
        context = ssl.create_default_context(cafile=self.pki.path("ca.crt"))
        if certificate:
            context.load_cert_chain(
                self.pki.path(certificate + ".crt"), self.pki.path(certificate + ".key")
            )
        return context

    def client(self, token=None, certificate="admin"):
        return Client(self, token, None if token else certificate)

    def kubectl(self, program, *args, check=True, text=None):
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "KUBECONFIG": str(self.directory / "kubeconfig"),
        }
        done = subprocess.run(
            [program, *args],
            input=text,
            capture_output=True,
            text=True,
            env=env,
            timeout=60,
            cwd=self.directory,
        )
        assert not check or done.returncode == 0, "kubectl %s: %s%s" % (
            " ".join(args),
            done.stdout,
            done.stderr,
        )
        return done


class Client:
    """HTTP with JSON; raises Refused for a failure, keeps the last answer's warnings."""

    def __init__(self, server, token=None, certificate=None):
        self.server, self.token, self.warnings = server, token, []
        self.context = server.context(certificate)
        self.connection = None

    def connect(self, timeout=20):
        return http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.context, timeout=timeout
        )

    def headers(self, **more):
        out = {"Content-Type": "application/json", "Accept": "application/json", **more}
        if self.token:
            out["Authorization"] = "Bearer " + self.token
        return out

    def call(self, method, path, body=None, kind=None, **headers):
        if kind:
            headers["Content-Type"] = kind
        data = json.dumps(body) if body is not None else None
        if self.connection is None:
            self.connection = self.connect()
        try:
            self.connection.request(method, path, data, self.headers(**headers))
            answer = self.connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.connection = self.connect()
            self.connection.request(method, path, data, self.headers(**headers))
            answer = self.connection.getresponse()
        raw = answer.read()
        self.warnings = answer.headers.get_all("Warning") or []
        out = json.loads(raw) if answer.headers.get_content_type() == "application/json" else raw
        if answer.status >= 400:
            raise Refused(answer.status, out)
        return out

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def post(self, path, body):
        return self.call("POST", path, body)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def delete(self, path, body=None):
        return self.call("DELETE", path, body)

    def merge(self, path, body):
        return self.call("PATCH", path, body, kind="application/merge-patch+json")

    def apply(self, path, body, manager, force=False):
        return self.call(
            "PATCH",
            "%s?fieldManager=%s%s" % (path, manager, "&force=true" if force else ""),
            body,
            kind="application/apply-patch+yaml",
        )

    def watch(self, path, seconds=10):
        """Yields the events of a watch until its time is over."""
        connection = self.connect(seconds + 10)
        try:
            connection.request(
                "GET",
                "%s%swatch=true&timeoutSeconds=%d" % (path, "&" if "?" in path else "?", seconds),
                headers=self.headers(),
            )
            for line in connection.getresponse():
                yield json.loads(line)
        finally:
            connection.close()


def eventually(check, seconds=10):
    """What `check` gives once it is true; an absent object counts as not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = check()
        except Refused as err:
            if err.code != 404:
                raise
            found = None
        if found:
            return found
        assert time.monotonic() < end, "it did not happen within %d s" % seconds
        time.sleep(0.02)


def gone(client, path):
    """Whether nothing is left at `path`."""
    try:
        client.get(path)
    except Refused as err:
        return err.code == 404
    return False


@contextlib.contextmanager
def running(**flags):
    with tempfile.TemporaryDirectory(prefix="apiserver-test-") as directory:
        server = Server(directory, **flags).start()
        try:
            yield server
            assert "Traceback" not in server.log(), server.log()
        finally:
            if server.process.poll() is None:
                server.stop()


def add_node(client, name, **spec):
    when = "2026-01-01T00:00:00Z"
    return client.post(
        "/api/v1/nodes",
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": spec,
            "status": {
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "KubeletReady",
                        "lastHeartbeatTime": when,
                        "lastTransitionTime": when,
                    }
                ]
            },
        },
    )


class Kubelets:
    """Makes every bound Pod run and ready, and lets the deleted ones go, as node agents would."""

    def __init__(self, client):
        self.client, self.count, self.stopping = client, 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def _run(self):
        while not self.stopping.wait(0.03):
            for pod in self.client.get("/api/v1/pods")["items"]:
                with contextlib.suppress(Refused):
                    self._serve(pod)

    def _serve(self, pod):
        path = "/api/v1/namespaces/%s/pods/%s" % (
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
        )
        if not pod["spec"].get("nodeName"):
            return
        if pod["metadata"].get("deletionTimestamp"):
            self.client.delete(path, {"gracePeriodSeconds": 0})
        elif pod["status"].get("phase") != "Running":
            self.count += 1
            ips = [{"ip": "10.1.0.%d" % self.count}, {"ip": "fd01::%x" % self.count}]
            self.client.merge(
                path + "/status",
                {
                    "status": {
                        "phase": "Running",
                        "podIP": ips[0]["ip"],
                        "podIPs": ips,
                        "conditions": [
                            {
                                "type": "Ready",
                                "status": "True",
                                "lastTransitionTime": pod["metadata"]["creationTimestamp"],
                            }
                        ],
                        "containerStatuses": [
                            {
                                "name": c["name"],
                                "ready": True,
                                "restartCount": 0,
                                "image": c["image"],
                                "imageID": "",
                                "state": {"running": {}},
                            }
                            for c in pod["spec"]["containers"]
                        ],
                    }
                },
            )


def kubectls():
    """The kubectl programs at hand: on PATH, and the one that was built with the real control plane."""
    found = [shutil.which("kubectl")]
    for directory in (
        os.environ.get("KUBEBUILDER_ASSETS"),
        os.path.expanduser("~/.cache/metallb-c/kube-1.20"),
    ):
        other = directory and os.path.join(directory, "kubectl")
        if other and os.access(other, os.X_OK) and other not in found:
            found.append(other)
    return found
