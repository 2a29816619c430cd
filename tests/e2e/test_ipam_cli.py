"""kubectl-metallb from manifests alone: validate and plan. No cluster is needed.

METALLB_BUILD names the build directory, build/release by default.
"""

import json
import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("METALLB_BUILD", ROOT / "build/release")) / "operator/cli/kubectl-metallb"
NS = "metallb-system"


def run(*args, stdin=None):
    """Exit status, standard output, standard error."""
    env = {k: v for k, v in os.environ.items() if k != "METALLB_BGP_TYPE"}
    done = subprocess.run([PROGRAM, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=60, env=env)
    return done.returncode, done.stdout, done.stderr


def obj(kind, name, spec, version="metallb.io/v1beta1", ns=NS, **more):
    meta = {"name": name, **({"namespace": ns} if ns else {})}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec, **more}


def pool(name, *addresses, **spec):
    return obj("IPAddressPool", name, {"addresses": list(addresses), **spec})


def service(name, ip=None, **spec):
    base = {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"]}
    status = {"loadBalancer": {"ingress": [{"ip": ip}]}} if ip else {}
    return obj("Service", name, {**base, "ports": [{"port": 80}], **spec}, "v1", "default", status=status)


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def slice_of(name, *nodes):
    endpoints = [{"addresses": ["10.2.0.1"], "nodeName": n, "conditions": {"ready": True}} for n in nodes]
    meta = {"name": name + "-1", "namespace": "default", "labels": {"kubernetes.io/service-name": name}}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "endpoints": endpoints}


def stream(*objects):
    return yaml.safe_dump_all(objects, sort_keys=False)


def findings(*objects, args=()):
    status, out, err = run("validate", "-o", "json", *args, "-", stdin=stream(*objects))
    assert err == ""
    return status, [(f["severity"], f["kind"], f["name"], f["field"]) for f in json.loads(out)]


def plan(*objects, args=()):
    status, out, err = run("plan", "-o", "json", *args, "-", stdin=stream(*objects))
    assert (status, err) == (0, "")
    made = json.loads(out)
    return {s["name"]: s for s in made["services"]}, made["findings"]


def test_version_and_help():
    assert run("--version")[1].startswith("kubectl-metallb ")
    assert "validate" in run("--help")[1]


@pytest.mark.parametrize("args", [[], ["dance"], ["validate"], ["plan"], ["validate", "-o", "xml", "-"], ["--frob"]])
def test_wrong_use_is_told(args):
    status, out, err = run(*args)
    assert status == 2 and out == "" and "kubectl" in err


def test_a_good_stream_passes():
    status, out, err = run("validate", "-", stdin=stream(pool("a", "10.0.0.0/24"), obj("L2Advertisement", "b", {})))
    assert (status, out, err) == (0, "", "")


@pytest.mark.parametrize(
    "objects, expected",
    [
        ([pool("a", "10.0.0.9-10.0.0.1")], ("error", "IPAddressPool", "a", "spec.addresses[0]")),
        ([pool("a", "10.0.0.0/24"), pool("b", "10.0.0.9/32")], ("error", "IPAddressPool", "b", "spec.addresses[0]")),
        ([pool("b", "10.0.0.0/24"), pool("a", "10.0.0.9/32")], ("error", "IPAddressPool", "a", "spec.addresses[0]")),
        ([obj("IPAddressPool", "a", {})], ("error", "IPAddressPool", "a", "spec.addresses")),
        ([obj("IPAddressPool", "A b", {"addresses": []})], ("error", "IPAddressPool", "A b", "metadata.name")),
        ([obj("IPAddressPool", "a", {"addresses": ["10.0.0.0/24"]}, ns="default")],
         ("error", "IPAddressPool", "a", "metadata.namespace")),
        ([obj("L2Advertisement", "a", {"interfaces": "eth0"})], ("error", "L2Advertisement", "a", "spec.interfaces")),
        ([obj("BGPAdvertisement", "a", {"aggregationLength": 24, "serviceSelectors": [{}]})],
         ("error", "BGPAdvertisement", "a", "spec")),
        ([obj("BGPPeer", "a", {"myASN": 1, "peerASN": 2, "peerAddress": "10.9.9.9", "connectTime": "1.5s"},
              "metallb.io/v1beta2")], ("error", "BGPPeer", "a", "spec.connectTime")),
        ([obj("BGPPeer", "a", {"myASN": 1, "peerASN": 2, "peerAddress": "10.9.9.9", "bfdProfile": "x"},
              "metallb.io/v1beta2")], ("warning", "BGPPeer", "a", "spec.bfdProfile")),
        ([obj("AddressPool", "a", {})], ("error", "AddressPool", "a", "")),
        ([pool("a", "10.0.0.0/24", autoAssing=True)], ("warning", "IPAddressPool", "a", "spec.autoAssing")),
    ],
)
def test_validate_names_object_and_field(objects, expected):
    status, found = findings(*objects)
    assert found == [expected]
    assert status == (1 if expected[0] == "error" else 0)


def test_an_update_is_judged_against_its_former_self():
    peer = {"myASN": 1, "peerASN": 2, "peerAddress": "10.9.9.9", "enableGracefulRestart": True}
    before = obj("BGPPeer", "a", peer, "metallb.io/v1beta2")
    after = obj("BGPPeer", "a", {**peer, "enableGracefulRestart": False}, "metallb.io/v1beta2")
    assert findings(before, after)[1] == [("error", "BGPPeer", "a", "spec.enableGracefulRestart")]
    assert findings(pool("a", "10.0.0.0/24"), pool("a", "10.0.0.0/23"))[0] == 0


def test_limits_of_frr_k8s_hold_only_there():
    peers = [obj("BGPPeer", n, {"myASN": 1, "peerASN": 2, "peerAddress": "10.9.9.9"}, "metallb.io/v1beta2") for n in "ab"]
    assert findings(*peers)[0] == 0
    status, found = findings(*peers, args=["--backend", "frr-k8s"])
    assert status == 1 and found == [("error", "BGPPeer", "b", "spec.peerAddress")]


def test_lines_files_and_directories(tmp_path):
    (tmp_path / "a.yaml").write_text("# nothing\n---\n" + stream(pool("a", "10.0.0.0/24"), pool("b", "10.0.0.1")))
    (tmp_path / "notes.txt").write_text("not YAML: [")
    status, out, _ = run("validate", tmp_path)
    assert status == 1
    where, line, rest = out.split(":", 2)
    assert where.endswith("a.yaml") and rest.startswith(" error: IPAddressPool metallb-system/b: spec.addresses[0]: ")
    assert (tmp_path / "a.yaml").read_text().splitlines()[int(line) - 1].startswith("apiVersion")


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\t- x"])
def test_what_is_no_yaml_is_told(text):
    status, out, err = run("validate", "-", stdin=text)
    assert status == 2 and out == "" and "line" in err


def test_files_that_are_not_there():
    assert run("validate", "/no/such/file")[0] == 2


def test_ten_thousand_pools_in_a_few_seconds():
    many = "".join(
        f"---\n{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: p{i}, namespace: {NS}}},"
        f" spec: {{addresses: [10.{i // 256}.{i % 256}.0/24]}}}}\n"
        for i in range(10_000)
    )
    status, out, _ = run("validate", "-", stdin=many + "---\n" + stream(pool("last", "10.3.4.5/32")))
    assert status == 1 and out.count("\n") == 1 and "overlaps" in out


NODES = [node("n1", rack="a"), node("n2", rack="b")]


def test_plan_gives_addresses_and_tells_why_not():
    services, found = plan(pool("p", "192.0.2.1/32"), obj("L2Advertisement", "l", {}), *NODES,
                           service("one"), service("two"), slice_of("one", "n1"))
    assert found == []
    assert services["one"]["addresses"] == ["192.0.2.1"] and services["one"]["pool"] == "p"
    assert [x["node"] for x in services["one"]["layer2"]] in (["n1"], ["n2"])
    assert services["two"]["addresses"] == [] and "1 of 1 IPv4 in use" in services["two"]["reason"]


def test_plan_keeps_what_services_hold():
    services, _ = plan(pool("p", "192.0.2.0/29"), service("new"), service("old", ip="192.0.2.0"))
    assert services["old"]["addresses"] == ["192.0.2.0"] and services["new"]["addresses"] == ["192.0.2.1"]


def test_plan_shows_routes_with_their_attributes():
    peer = {"myASN": 64512, "peerASN": 64513, "peerAddress": "10.9.9.9", "nodeSelectors": [{"matchLabels": {"rack": "a"}}]}
    services, _ = plan(
        pool("p", "192.0.2.0/28"), *NODES, service("web"), slice_of("web", "n1", "n2"),
        obj("BGPPeer", "tor", peer, "metallb.io/v1beta2"),
        obj("Community", "names", {"communities": [{"name": "gold", "value": "65000:7"}]}),
        obj("BGPAdvertisement", "adv", {"aggregationLength": 28, "localPref": 100, "communities": ["gold"]}),
    )
    assert services["web"]["bgp"] == [
        {"prefix": "192.0.2.0/28", "peer": "tor", "localPref": 100, "communities": ["65000:7"], "nodes": ["n1"]}
    ]
    assert services["web"]["layer2"] == [] and services["web"]["layer2Reasons"]


def test_plan_leaves_bad_objects_out_and_goes_on():
    services, found = plan(pool("bad", "x"), pool("good", "192.0.2.0/28"), service("web"))
    assert services["web"]["pool"] == "good"
    assert [(f["kind"], f["name"], f["field"]) for f in found] == [("IPAddressPool", "bad", "spec.addresses[0]")]


def test_plan_before_shows_what_moves(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    for directory, addresses in ((before, "192.0.2.0/28"), (after, "198.51.100.0/28")):
        directory.mkdir()
        (directory / "all.yaml").write_text(stream(pool("p", addresses), service("web"), *NODES))
    status, out, _ = run("plan", after, "--before", before, "-o", "json")
    assert status == 1
    assert [(c["name"], c["what"], c["before"], c["after"]) for c in json.loads(out)] == [
        ("web", "addresses", "192.0.2.0", "198.51.100.0")
    ]
    status, out, _ = run("plan", after, "--before", after)
    assert (status, out) == (0, "no change\n")


def test_plan_as_yaml_says_the_same_as_json():
    objects = stream(pool("p", "192.0.2.0/28", "2001:db8::/120"), *NODES, service("web"), slice_of("web", "n2"))
    as_json = json.loads(run("plan", "-o", "json", "-", stdin=objects)[1])
    assert yaml.safe_load(run("plan", "-o", "yaml", "-", stdin=objects)[1]) == as_json


def test_plan_of_a_cluster_needs_one(tmp_path):
    status, out, err = run("plan", "--cluster", "--kubeconfig", tmp_path / "none")
    assert status == 2 and out == "" and "none" in err


def test_the_samples_are_good():
    """What config/samples shows is accepted, and the plan gives the Service both families."""
    samples = sorted((ROOT / "config" / "samples").glob("*.yaml"))
    assert len(samples) >= 3
    status, out, err = run("validate", *samples)
    assert status == 0, out + err
    status, out, err = run("plan", *samples)
    assert "192.168.1.240, fd00:1:2:3::240" in out, out + err
