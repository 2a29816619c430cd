"""The metrics endpoint: HTTPS, for whom the API server allows it, in a form that Prometheus takes."""

import subprocess
import time

import pytest

from tests.e2e.lab import SYSTEM

READER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: scraper, namespace: %(ns)s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %(ns)s-scraper}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %(ns)s-scraper}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %(ns)s-scraper}
subjects: [{kind: ServiceAccount, name: scraper, namespace: %(ns)s}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: %(ns)s}
"""


@pytest.fixture
def accounts(lab):
    text = READER % {"ns": lab.namespace}
    lab.cluster.kubectl("apply", "-f", "-", stdin=text)
    yield lab
    lab.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=text)


def scrape(cluster, address, *words):
    """HTTP status and body."""
    url = f"https://{address}:9120/metrics"
    done = cluster.nodes[0].ns.run(["curl", "-sk", "-m", "10", "-w", "\n%{http_code}", *words, url])
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body + "\n"


def bearer(lab, account):
    return ("-H", "Authorization: Bearer " + lab.cluster.kubectl("create", "token", account, "-n", lab.namespace).strip())


@pytest.mark.parametrize("component", ["controller", "speaker"])
def test_only_with_permission(accounts, component):
    cluster = accounts.cluster
    (pod, *_) = cluster.pods(SYSTEM, app="metallb", component=component)
    address = pod["status"]["podIP"]
    assert scrape(cluster, address)[0] == 401
    assert scrape(cluster, address, "-H", "Authorization: Bearer nonsense")[0] == 401
    assert scrape(cluster, address, *bearer(accounts, "nobody"))[0] == 403
    words = bearer(accounts, "scraper")
    status, body = scrape(cluster, address, *words)
    assert status == 200, body
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, text=True, capture_output=True, check=False)
    # 3 is lint: names that are MetalLB's, not ours to choose
    assert checked.returncode in (0, 3), checked.stderr
    assert "metallb_k8s_client_updates_total" in body
    # remembered: no question to the API server for each scrape
    began = time.monotonic()
    assert all(scrape(cluster, address, *words)[0] == 200 for _ in range(20))
    assert time.monotonic() - began < 5
