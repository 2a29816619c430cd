"""The built-in API server as real kubectl sees it; each test runs with every kubectl at hand."""
import json
import subprocess
import time

import pytest

from tests.cluster.apiserver.testing import Kubelets, add_node, kubectls, running

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: pools, kind: Pool, shortNames: [pl]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Addresses, type: string, jsonPath: .spec.addresses, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [addresses]
            properties:
              size: {type: integer, default: 3, minimum: 1}
              addresses: {type: array, minItems: 1, items: {type: string}}
          status: {type: object, properties: {used: {type: integer}}}
"""
POOL = """
apiVersion: example.org/v1
kind: Pool
metadata: {name: one, namespace: NS}
spec: {addresses: [192.0.2.0/24]}
"""


@pytest.fixture(scope="module")
def server():
    with running(node_monitor_grace_period=60) as one:
        for name in ("a", "b"):
            add_node(one.client(), name)
        one.kubectl("kubectl", "apply", "-f", "-", text=CRD)
        one.kubectl("kubectl", "wait", "--for=condition=established", "crd/pools.example.org")
        with Kubelets(one.client()):
            yield one


@pytest.fixture(params=kubectls())
def kubectl(request, server):
    """Runs kubectl in a namespace of its own."""
    space = "t%x" % time.monotonic_ns()

    def run(*args, check=True, text=None):
        return server.kubectl(request.param, "-n", space, *args, check=check, text=text)

    run.space, run.program, run.server = space, request.param, server
    run("create", "namespace", space)
    yield run
    run("delete", "namespace", space)


def column(text, name):
    """The cells of one column of a table, by its head."""
    lines = text.splitlines()
    at = lines[0].index(name)
    return [line[at:].split("  ")[0].strip() for line in lines[1:]]


def test_apply_creates_changes_and_leaves_alone(kubectl):
    pool = POOL.replace("NS", kubectl.space)
    assert "created" in kubectl("apply", "-f", "-", text=pool).stdout
    assert "unchanged" in kubectl("apply", "-f", "-", text=pool).stdout
    assert (
        "configured"
        in kubectl("apply", "-f", "-", text=pool.replace("192.0.2", "198.51.100")).stdout
    )
    assert column(kubectl("get", "pl").stdout, "SIZE") == ["3"]
    assert column(kubectl("get", "pools", "-o", "wide").stdout, "ADDRESSES") == [
        '["198.51.100.0/24"]'
    ]
    assert "198.51.100.0/24" in kubectl("describe", "pool", "one").stdout


def test_dry_run_on_the_server_changes_nothing(kubectl):
    pool = POOL.replace("NS", kubectl.space)
    assert (
        "created (server dry run)"
        in kubectl("apply", "--dry-run=server", "-f", "-", text=pool).stdout
    )
    assert kubectl("get", "pools", "-o", "name").stdout == ""
    bad = kubectl(
        "apply",
        "--dry-run=server",
        "-f",
        "-",
        text=pool.replace("[192.0.2.0/24]", "[]"),
        check=False,
    )
    assert (
        bad.returncode == 1 and "spec.addresses in body should have at least 1 items" in bad.stderr
    )


def test_unknown_field_is_refused(kubectl):
    pool = POOL.replace("NS", kubectl.space).replace("spec: {", "spec: {colour: red, ")
    bad = kubectl("create", "-f", "-", text=pool, check=False)
    assert bad.returncode == 1 and "colour" in bad.stderr
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"colour": 1, "ports": [{"port": 1}]},
    }
    bad = kubectl("create", "-f", "-", text=json.dumps(service), check=False)
    assert bad.returncode == 1 and "colour" in bad.stderr


def test_deployment_service_rollout(kubectl):
    kubectl("create", "deployment", "web", "--image=example.org/web:1")
    kubectl("scale", "deployment/web", "--replicas=3")
    assert (
        "successfully rolled out"
        in kubectl("rollout", "status", "deployment/web", "--timeout=20s").stdout
    )
    kubectl("wait", "--for=condition=available", "deployment/web", "--timeout=10s")
    kubectl("expose", "deployment", "web", "--port=80", "--type=LoadBalancer")
    table = kubectl("get", "svc", "-o", "wide").stdout
    assert column(table, "EXTERNAL-IP") == ["<pending>"] and column(table, "SELECTOR") == [
        "app=web"
    ]
    kubectl("set", "image", "deployment/web", "web=example.org/web:2")
    assert (
        "successfully rolled out"
        in kubectl("rollout", "status", "deployment/web", "--timeout=20s").stdout
    )
    pods = kubectl(
        "get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"
    ).stdout.split()
    assert pods.count("example.org/web:2") >= 3
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert "web:1" in kubectl("get", "deployment", "web", "-o", "wide").stdout
    text = kubectl("describe", "service", "web").stdout
    assert "10.1.0." in text and "LoadBalancer" in text
    assert "ScalingReplicaSet" in kubectl("get", "events").stdout
    assert "ScalingReplicaSet" in kubectl("describe", "deployment", "web").stdout


def test_pods_table_and_restart(kubectl):
    kubectl("create", "deployment", "d", "--image=example.org/d:1")
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")
    table = kubectl("get", "pods", "-o", "wide").stdout
    assert column(table, "READY") == ["1/1"] and column(table, "STATUS") == ["Running"]
    assert column(table, "NODE")[0] in ("a", "b")
    before = kubectl("get", "pods", "-o", "name").stdout.split()
    kubectl("rollout", "restart", "deployment/d")
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")
    kubectl("wait", "--for=delete", before[0], "--timeout=10s", check=False)
    assert set(before).isdisjoint(kubectl("get", "pods", "-o", "name").stdout.split())


def test_label_annotate_patch_and_selectors(kubectl):
    for name in ("x", "y"):
        kubectl("create", "configmap", name, "--from-literal=k=" + name)
    kubectl("label", "configmap", "x", "tier=front")
    kubectl("annotate", "configmap", "x", "note=hello")
    assert kubectl("get", "cm", "-l", "tier=front", "-o", "name").stdout == "configmap/x\n"
    assert kubectl("get", "cm", "-l", "tier notin (front)", "-o", "name").stdout.split() == [
        "configmap/kube-root-ca.crt",
        "configmap/y",
    ]
    assert (
        kubectl("get", "cm", "--field-selector", "metadata.name=y", "-o", "name").stdout
        == "configmap/y\n"
    )
    kubectl(
        "patch", "cm", "y", "--type=json", "-p", '[{"op":"replace","path":"/data/k","value":"z"}]'
    )
    kubectl("patch", "cm", "y", "--type=merge", "-p", '{"data":{"m":"n"}}')
    kubectl("patch", "cm", "y", "-p", '{"data":{"s":"t"}}')
    assert json.loads(kubectl("get", "cm", "y", "-o", "json").stdout)["data"] == {
        "k": "z",
        "m": "n",
        "s": "t",
    }
    kubectl("label", "cm", "x", "tier-")
    kubectl("delete", "cm", "-l", "tier!=front", "--field-selector=metadata.name=x")
    assert kubectl("get", "cm", "x", check=False).returncode == 1


def test_replace_and_secret(kubectl):
    kubectl("create", "secret", "generic", "s", "--from-literal=password=hush")
    secret = json.loads(kubectl("get", "secret", "s", "-o", "json").stdout)
    assert secret["data"] == {"password": "aHVzaA=="} and secret["type"] == "Opaque"
    secret["stringData"] = {"user": "me"}
    kubectl("replace", "-f", "-", text=json.dumps(secret))
    assert column(kubectl("get", "secret", "s").stdout, "DATA") == ["2"]
    bad = kubectl("replace", "-f", "-", text=json.dumps(secret), check=False)
    assert bad.returncode == 1 and "the object has been modified" in bad.stderr


def test_kustomize(kubectl):
    directory = kubectl.server.directory / kubectl.space
    directory.mkdir()
    (directory / "pool.yaml").write_text(POOL.replace("namespace: NS", "labels: {a: b}"))
    (directory / "kustomization.yaml").write_text(
        "namespace: %s\nnamePrefix: my-\nresources: [pool.yaml]\n" % kubectl.space
    )
    assert "pool.example.org/my-one created" in kubectl("apply", "-k", str(directory)).stdout
    assert "deleted" in kubectl("delete", "-k", str(directory)).stdout


def test_can_i(kubectl):
    assert kubectl("auth", "can-i", "create", "pools.example.org").stdout.strip() == "yes"
    kubectl("create", "serviceaccount", "robot")
    account = "--as=system:serviceaccount:%s:robot" % kubectl.space
    assert kubectl("auth", "can-i", "list", "services", account, check=False).stdout.strip() == "no"
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=services")
    kubectl(
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--serviceaccount=%s:robot" % kubectl.space,
    )
    assert kubectl("auth", "can-i", "list", "services", account).stdout.strip() == "yes"
    kubectl("get", "services", account)
    bad = kubectl("get", "pods", account, check=False)
    assert bad.returncode == 1
    assert (
        'pods is forbidden: User "system:serviceaccount:%s:robot" cannot list resource "pods" in API group "" in the '
        'namespace "%s"' % (kubectl.space, kubectl.space)
    ) in bad.stderr


def test_watch_shows_changes(kubectl):
    kubectl("create", "configmap", "first")
    argv = [
        kubectl.program,
        "-n",
        kubectl.space,
        "get",
        "cm",
        "-w",
        "--no-headers",
        "-o",
        "custom-columns=N:.metadata.name,L:.metadata.labels.x",
    ]
    env = {
        "KUBECONFIG": str(kubectl.server.directory / "kubeconfig"),
        "HOME": str(kubectl.server.directory),
    }
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as watch:
        try:
            seen = [watch.stdout.readline().split()[0] for _ in range(2)]
            assert sorted(seen) == ["first", "kube-root-ca.crt"]
            kubectl("label", "cm", "first", "x=1")
            assert watch.stdout.readline().split() == ["first", "1"]
            kubectl("create", "configmap", "second")
            assert watch.stdout.readline().split()[0] == "second"
        finally:
            watch.kill()


def test_explain_and_api_resources(kubectl):
    assert "addresses" in kubectl("explain", "pool.spec").stdout
    assert "targetPort" in kubectl("explain", "service.spec.ports").stdout
    assert "endpointslices" in kubectl("api-resources", "--api-group=discovery.k8s.io").stdout
    assert "example.org/v1" in kubectl("api-versions").stdout
    assert "Server Version" in kubectl("version").stdout


def test_delete_waits_for_finalizers(kubectl):
    kubectl(
        "apply",
        "-f",
        "-",
        text=POOL.replace("NS", kubectl.space).replace(
            "name: one", "name: one, finalizers: [example.org/f]"
        ),
    )
    kubectl("delete", "pool", "one", "--wait=false")
    assert kubectl("get", "pool", "one", "-o", "jsonpath={.metadata.deletionTimestamp}").stdout
    kubectl("patch", "pool", "one", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert kubectl("get", "pool", "one", check=False).returncode == 1


def test_server_side_apply(kubectl):
    pool = POOL.replace("NS", kubectl.space)
    kubectl("apply", "--server-side", "-f", "-", text=pool)
    other = pool.replace("192.0.2.0", "203.0.113.0")
    bad = kubectl(
        "apply", "--server-side", "--field-manager=other", "-f", "-", text=other, check=False
    )
    assert bad.returncode == 1 and 'conflict with "kubectl": .spec.addresses' in bad.stderr
    kubectl(
        "apply",
        "--server-side",
        "--field-manager=other",
        "--force-conflicts",
        "-f",
        "-",
        text=other,
    )
    assert "203.0.113.0/24" in kubectl("get", "pool", "one", "-o", "yaml").stdout
