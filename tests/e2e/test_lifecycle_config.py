"""config/: overlays that apply, rights that are used, alerts and a dashboard over metrics that exist."""

import collections
import itertools
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

from tests.cluster.images import PROJECT
from tests.e2e.lab import SYSTEM
from tests.e2e.test_webhook_metrics import accounts, bearer, scrape  # noqa: F401

ROOT = pathlib.Path(PROJECT)
CONFIG = ROOT / "config"
OVERLAYS = sorted(path.parent.name for path in CONFIG.glob("*/kustomization.yaml"))

# Of the Prometheus operator, as far as a server must know them to take config/monitoring.
MONITORING_CRDS = "\n---\n".join(
    f"""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {kind.lower()}s.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  names: {{kind: {kind}, plural: {kind.lower()}s}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    for kind in ("PodMonitor", "PrometheusRule")
)


def kustomize(directory):
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=True)
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


# ---- overlays ----


@pytest.fixture(scope="module")
def monitoring_kinds(cluster):
    cluster.kubectl("apply", "-f", "-", stdin=MONITORING_CRDS)
    cluster.wait_for(lambda: "podmonitors" in cluster.kubectl("api-resources", check=False), 20, "monitors served", 0.5)
    yield
    cluster.kubectl("delete", "-f", "-", stdin=MONITORING_CRDS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_applies(cluster, monitoring_kinds, name):
    cluster.kubectl("apply", "--dry-run=server", "-k", CONFIG / name)


def test_the_rendered_file_is_the_default(cluster, tmp_path):
    file = tmp_path / "metallb.yaml"
    subprocess.run([ROOT / "hack/render", "--image", "registry.example.org/lb:1", file], check=True, capture_output=True)
    text = file.read_text()
    assert "metallb-c:latest" not in text
    found = list(yaml.safe_load_all(text.replace("registry.example.org/lb:1", "metallb-c:latest")))
    assert found == kustomize(CONFIG / "default")
    cluster.kubectl("apply", "--dry-run=server", "-f", file)


# ---- rights ----

VERBS = {
    "get": r"kube_client_get\(|SPEAKERS_GET",
    "list": r"kube_client_list\(|kube_informer_new\(",
    "watch": r"kube_informer_new\(",
    "create": r"kube_client_create\(|KUBE_PATCH_APPLY",
    "update": r"kube_client_update\(",
    "patch": r"kube_client_patch\(",
    "delete": r"kube_client_delete\(",
}
# What the programs ask through the library: their Lease, Events, ConfigurationState with the pod that
# owns it, and who may read the metrics.
LIBRARY = {
    ("leases", "get"), ("leases", "list"), ("leases", "watch"), ("leases", "create"), ("leases", "update"),
    ("events", "create"), ("events", "patch"),
    ("pods", "get"), ("configurationstates", "create"), ("configurationstates", "patch"),
    ("tokenreviews", "create"), ("subjectaccessreviews", "create"),
}
MANIFESTS = sorted(ROOT.glob("operator/manifests/*.yaml"))
PLURALS = {"crds": "customresourcedefinitions", "validating_webhooks": "validatingwebhookconfigurations",
           "endpointslices_v1beta1": "endpointslices"}


def used_rights(program):
    """{(resource, verb)} by unit: what files of one name up to '_' name, times what they call."""
    units = collections.defaultdict(str)
    for path in sorted(ROOT.glob(f"{program}/*.c")):
        units[path.stem.partition("_")[0]] += path.read_text()
    used = set(LIBRARY)
    for text in units.values():
        plurals = {PLURALS.get(name, name) for name in re.findall(r"\bkube_([a-z][a-z0-9_]*s|[a-z_]+_v1beta1)\b", text)}
        plurals |= set(re.findall(r'"([a-z]+s)"', text))  # a kube_resource of the file's own
        if "embedded_manifests" in text or "speakers_impl.h" in text:
            kinds = re.findall(r"^kind: (\w+)$", "\n".join(p.read_text() for p in MANIFESTS), re.MULTILINE)
            plurals |= {kind.lower() + "s" for kind in kinds}
        verbs = {verb for verb, pattern in VERBS.items() if re.search(pattern, text)}
        used |= set(itertools.product(plurals, verbs))
    return used


def granted_rights(account):
    objects = kustomize(CONFIG / "rbac")
    for binding in objects:
        names = {s["name"] for s in binding.get("subjects", ())}
        if account not in names:
            continue
        role = next(o for o in objects
                    if o["kind"] == binding["roleRef"]["kind"] and o["metadata"]["name"] == binding["roleRef"]["name"])
        for rule in role["rules"]:
            for resource, verb in itertools.product(rule["resources"], rule["verbs"]):
                assert "*" not in (resource, verb)
                # a status is written by whoever names its kind
                yield resource.partition("/")[0], verb


@pytest.mark.parametrize("account, program", [("controller", "operator"), ("speaker", "speaker")])
def test_no_right_is_granted_that_nothing_uses(account, program):
    unused = set(granted_rights(account)) - used_rights(program)
    assert not unused, sorted(unused)


# ---- monitoring ----


def rule_file(tmp_path):
    (rule,) = [o for o in kustomize(CONFIG / "monitoring") if o["kind"] == "PrometheusRule"]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    return path, [r for group in rule["spec"]["groups"] for r in group["rules"]]


def test_the_rules_are_good(tmp_path):
    path, rules = rule_file(tmp_path)
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = {"MetalLBStaleConfig", "MetalLBConfigNotLoaded", "MetalLBAddressPoolExhausted", "MetalLBBGPSessionDown"}
    theirs |= {f"MetalLBAddressPoolUsage{n}Percent" for n in (75, 85, 95)}
    assert theirs <= {r["alert"] for r in rules}


def test_alerts_fire(tmp_path):
    path, _ = rule_file(tmp_path)
    series = [
        ('metallb_allocator_addresses_total{pool="p"}', "10x20"),
        ('metallb_allocator_addresses_in_use_total{pool="p"}', "9x20"),
        ('metallb_operator_leader_bool{pod="a"}', "0x20"),
        ('metallb_operator_leader_bool{pod="b"}', "0x20"),
        ('metallb_bgp_session_up{peer="192.0.2.1:179",pod="s"}', "1x20"),
    ]
    tests = {
        "rule_files": [str(path)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": [
                    {"expr": 'count(ALERTS{alertstate="firing"}) by (alertname)', "eval_time": "15m", "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": 1}
                        for name in ("MetalLBAddressPoolUsage75Percent", "MetalLBAddressPoolUsage85Percent",
                                     "MetalLBNoLeader")]}],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def named_metrics(tmp_path):
    """Every metric that the rules and the dashboard name."""
    dashboard = json.loads((CONFIG / "monitoring" / "dashboard.json").read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts += [r["expr"] for r in rule_file(tmp_path)[1]]
    assert len(texts) > 20
    found = set(re.findall(r"\b(?:metallb|rest_client)_[a-z0-9_]+\b", "\n".join(texts)))
    return {re.sub(r"_bucket$", "", name) for name in found}


def test_named_metrics_are_served(accounts, tmp_path):  # noqa: F811
    cluster = accounts.cluster
    words = bearer(accounts, "scraper")
    # Some series are there when there is a pool, an announced Service or a session to speak of.
    accounts.pool()
    accounts.l2()
    accounts.backend("web", replicas=1)
    accounts.service("web")
    accounts.wait_answering(accounts.wait_addresses("web")[0])
    accounts.custom("BGPPeer", "nobody", {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1"}, "v1beta2")

    def served():
        found = set()
        for pod in cluster.pods(SYSTEM, app="metallb"):
            status, body = scrape(cluster, pod["status"]["podIP"], *words)
            assert status == 200
            found |= set(re.findall(r"^# TYPE (\S+)", body, re.MULTILINE))
        return found

    # Only with a second machine that has the same address (test_layer2_conflict.py).
    named = named_metrics(tmp_path)
    declared = "".join(p.read_text() for d in ("operator", "speaker", "lib") for p in ROOT.glob(f"{d}/**/*.c"))
    assert all(f'"{name}"' in declared for name in named)
    named -= {"metallb_layer2_conflicts_total"}
    try:
        cluster.wait_for(lambda: named <= served(), 15, "all that is named", 0.5)
    except TimeoutError:
        raise AssertionError(sorted(named - served())) from None
