"""The MetalLB resource: what the operator makes of it, keeps so, says about it, and takes away."""

import json
import time

import pytest

from tests.cluster.kube import ApiError
from tests.e2e.lab import SYSTEM, pod_ready, program_ready, wait_installed
from tests.e2e.test_layer2_moves import announced

REGISTRATION = "metallb-webhook-configuration"
CONDITIONS = ["Available", "Upgradeable", "Progressing", "Degraded"]


def speaker_set(cluster):
    return cluster.get("DaemonSet", "speaker", SYSTEM)


def speaker_spec(cluster):
    return speaker_set(cluster)["spec"]["template"]["spec"]


def conditions(cluster, name="metallb"):
    """{type: condition} of a MetalLB resource."""
    found = ((cluster.get("MetalLB", name, SYSTEM) or {}).get("status") or {}).get("conditions") or []
    return {item["type"]: item for item in found}


def is_state(cluster, kind, reason=None):
    """The condition `kind` when it is the one that is True, with this reason if one is given."""
    found = conditions(cluster).get(kind)
    return found if found and found["status"] == "True" and reason in (None, found["reason"]) else None


def wait_available(cluster, timeout=60):
    generation = cluster.get("MetalLB", "metallb", SYSTEM)["metadata"]["generation"]

    def available():
        found = is_state(cluster, "Available")
        return found and found["observedGeneration"] == generation

    cluster.wait_for(available, timeout, "the MetalLB resource Available")


def patch(cluster, spec=None, annotations=None):
    body = {"spec": spec or {}, "metadata": {"annotations": annotations or {}}}
    cluster.api.patch("MetalLB", "metallb", body, SYSTEM)


@pytest.fixture
def installed(cluster):
    """The shared cluster; afterwards the resource says nothing again, and all is as that wants it."""
    try:
        yield cluster
    finally:
        found = cluster.get("MetalLB", "metallb", SYSTEM)
        keys = (found["metadata"].get("annotations") or {}) if found else {}
        if found and (found.get("spec") or keys):
            patch(cluster, dict.fromkeys(found.get("spec") or {}), dict.fromkeys(keys))
        wait_installed(cluster)
        wait_available(cluster)


def test_applying_the_default_is_the_whole_installation(installed):
    """The resource, the speakers and what they need are there though nobody applied them; each says whose it is."""
    wait_available(installed)
    found = installed.get("MetalLB", "metallb", SYSTEM)
    assert [item["type"] for item in found["status"]["conditions"]] == CONDITIONS
    assert [item["status"] for item in found["status"]["conditions"]] == ["True", "True", "False", "False"]
    uid = found["metadata"]["uid"]
    for kind, name in (("ConfigMap", "metallb-excludel2"), ("NetworkPolicy", "controller")):
        (owner,) = installed.get(kind, name, SYSTEM)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("MetalLB", uid)
    # The collector must not end the speakers before they have withdrawn.
    assert "ownerReferences" not in speaker_set(installed)["metadata"]
    image = installed.get("Deployment", "controller", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert speaker_spec(installed)["containers"][0]["image"] == image
    # Nothing is written when nothing changes.
    before = (found["metadata"]["resourceVersion"], speaker_set(installed)["metadata"]["generation"])
    time.sleep(3)
    found = installed.get("MetalLB", "metallb", SYSTEM)
    assert before == (found["metadata"]["resourceVersion"], speaker_set(installed)["metadata"]["generation"])


def test_drift_is_put_back(installed):
    """What somebody changes, adds or deletes is as before within seconds."""
    spec = speaker_spec(installed)
    installed.kubectl("set", "env", "daemonset/speaker", "METALLB_BGP_TYPE=frr", "-n", SYSTEM)
    installed.wait_for(lambda: speaker_spec(installed) == spec, 5, "the variable gone")
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx"}]
    installed.kubectl("patch", "daemonset", "speaker", "-n", SYSTEM, "--type=json", "-p", json.dumps(change))
    installed.wait_for(lambda: speaker_spec(installed) == spec, 5, "the image as before")
    # A restart on purpose is no drift.
    installed.kubectl("rollout", "restart", "daemonset/speaker", "-n", SYSTEM)
    installed.wait_for(lambda: is_rolled(installed), 60, "all speakers restarted")
    stamp = speaker_set(installed)["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in stamp
    for kind, name in (("ConfigMap", "metallb-excludel2"), ("NetworkPolicy", "controller")):
        old = installed.get(kind, name, SYSTEM)["metadata"]["uid"]
        installed.api.delete(kind, name, SYSTEM)

        def again(kind=kind, name=name, old=old):
            found = installed.get(kind, name, SYSTEM)
            return found and found["metadata"]["uid"] != old

        installed.wait_for(again, 5, f"{kind} {name} made again")
    data = installed.get("ConfigMap", "metallb-excludel2", SYSTEM)["data"]
    installed.api.patch("ConfigMap", "metallb-excludel2", {"data": {"excludel2.yaml": "x"}}, SYSTEM)
    installed.wait_for(
        lambda: installed.get("ConfigMap", "metallb-excludel2", SYSTEM)["data"] == data, 5, "the data as before"
    )


def is_rolled(cluster):
    """Whether all speakers are of the DaemonSet's present template, and ready."""
    found = speaker_set(cluster)
    status, nodes = found.get("status") or {}, len(cluster.nodes)
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedNumberScheduled") == nodes
        and status.get("numberAvailable") == nodes
    )


def test_what_is_marked_is_left_alone(installed):
    """metallb.io/unmanaged on an object: a person looks after it now."""
    mark = {"metadata": {"annotations": {"metallb.io/unmanaged": "true"}}, "data": {"excludel2.yaml": "mine"}}
    data = installed.get("ConfigMap", "metallb-excludel2", SYSTEM)["data"]
    installed.api.patch("ConfigMap", "metallb-excludel2", mark, SYSTEM)
    try:
        patch(installed, {"speakerConfig": {"annotations": {"test": "x"}}})
        installed.wait_for(
            lambda: speaker_set(installed)["spec"]["template"]["metadata"]["annotations"].get("test"), 5, "looked at"
        )
        assert installed.get("ConfigMap", "metallb-excludel2", SYSTEM)["data"] == {"excludel2.yaml": "mine"}
    finally:
        mark = {"metadata": {"annotations": {"metallb.io/unmanaged": None}}}
        installed.api.patch("ConfigMap", "metallb-excludel2", mark, SYSTEM)
    installed.wait_for(
        lambda: installed.get("ConfigMap", "metallb-excludel2", SYSTEM)["data"] == data, 5, "the data as before"
    )


def test_overrides_come_and_go(installed):
    """Each field of the resource reaches its pods, and leaves no trace when it is taken away."""
    before = speaker_spec(installed), operator_spec(installed)
    limits = {"limits": {"memory": "0.25Gi"}, "requests": {"cpu": "0.01"}}
    patch(
        installed,
        {
            "logLevel": "debug",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "speakerTolerations": [{"key": "test", "operator": "Exists"}],
            "speakerConfig": {"resources": limits, "annotations": {"test": "speaker"}},
            "controllerConfig": {"resources": limits, "annotations": {"test": "controller"}},
            "controllerTolerations": [{"key": "test", "operator": "Exists"}],
        },
    )
    installed.wait_for(lambda: "annotations" in template_of(installed, "test"), 10, "the overrides")
    spec = speaker_spec(installed)
    assert "--log-level=debug" in spec["containers"][0]["args"]
    assert {"key": "test", "operator": "Exists"} in spec["tolerations"] and len(spec["tolerations"]) == 3
    assert spec["containers"][0]["resources"]["limits"]["memory"]
    operator = installed.wait_for(lambda: changed_operator(installed, before[1]), 10, "the operator's overrides")
    assert operator["tolerations"] == [{"key": "test", "operator": "Exists"}]
    assert operator["containers"][0]["resources"]["limits"]["memory"]
    assert operator["containers"][0]["image"] == before[1]["containers"][0]["image"]
    # No roll loop: what is said once is not written again.
    generations = generations_of(installed)
    time.sleep(3)
    assert generations_of(installed) == generations
    patch(installed, dict.fromkeys(installed.get("MetalLB", "metallb", SYSTEM)["spec"]))
    installed.wait_for(lambda: (speaker_spec(installed), operator_spec(installed)) == before, 60, "no trace left")
    installed.wait_for(lambda: is_rolled(installed) and operator_rolled(installed), 90, "both at rest")


def operator_spec(cluster):
    return cluster.get("Deployment", "controller", SYSTEM)["spec"]["template"]["spec"]


def changed_operator(cluster, before):
    spec = operator_spec(cluster)
    return spec if spec != before else None


def template_of(cluster, key):
    """{"annotations": value} when the speakers' template has this annotation."""
    value = (speaker_set(cluster)["spec"]["template"]["metadata"].get("annotations") or {}).get(key)
    return {"annotations": value} if value else {}


def generations_of(cluster):
    names = (("DaemonSet", "speaker"), ("Deployment", "controller"), ("MetalLB", "metallb"))
    return [cluster.get(kind, name, SYSTEM)["metadata"]["generation"] for kind, name in names]


def operator_rolled(cluster):
    found = cluster.get("Deployment", "controller", SYSTEM)
    status, wanted = found["status"], found["spec"]["replicas"]
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return current and status.get("updatedReplicas") == wanted and program_ready(cluster, "controller", wanted)


def without_admission(cluster, write):
    """Does a write that the webhooks would refuse, in a moment in which they are not registered."""

    def tried():
        cluster.api.delete("ValidatingWebhookConfiguration", REGISTRATION)
        try:
            return write() or True
        except ApiError as error:
            if "denied the request" not in str(error):
                raise
            return None

    cluster.wait_for(tried, 20, "a write past admission")


def test_what_admission_did_not_see(installed):
    """A resource of another name does nothing and says so; a wrong one changes nothing and says what is wrong."""
    other = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "MetalLB",
        "metadata": {"name": "second", "namespace": SYSTEM},
        "spec": {"logLevel": "debug"},
    }
    before = speaker_spec(installed)
    without_admission(installed, lambda: installed.api.create(other))
    try:
        degraded = installed.wait_for(lambda: conditions(installed, "second").get("Degraded"), 10, "a status")
        assert (degraded["status"], degraded["reason"]) == ("True", "IncorrectMetalLBResourceName")
        assert "Incorrect MetalLB resource name: second" in degraded["message"]
    finally:
        installed.api.delete("MetalLB", "second", SYSTEM)
    wait_available(installed)
    wrong = {"speakerTolerations": [{"key": "x", "effect": "NoSchedule", "tolerationSeconds": 5}], "logLevel": "debug"}
    without_admission(installed, lambda: patch(installed, wrong))
    degraded = installed.wait_for(lambda: is_state(installed, "Degraded", "InvalidSpec"), 10, "the finding")
    assert "tolerationSeconds" in degraded["message"]
    assert speaker_spec(installed) == before
    patch(installed, {"speakerTolerations": None, "logLevel": None})
    wait_available(installed)


def may_patch_daemonsets(cluster):
    """Whether the server lets the operator; it learns of a changed Role a moment later."""
    who = f"system:serviceaccount:{SYSTEM}:controller"
    answer = cluster.kubectl("auth", "can-i", "patch", "daemonsets.apps/speaker", "-n", SYSTEM, "--as", who, check=False)
    return "yes" in answer


def test_a_missing_right_is_told(installed):
    """Without the right to write DaemonSets the status names verb and resource; with it all goes on."""
    role = installed.get("Role", "controller", SYSTEM)
    rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]}
        if rule["resources"] == ["daemonsets"]
        else rule
        for rule in role["rules"]
    ]
    installed.api.patch("Role", "controller", {"rules": rules}, SYSTEM)
    try:
        installed.wait_for(lambda: not may_patch_daemonsets(installed), 20, "the right gone")
        patch(installed, {"speakerConfig": {"annotations": {"test": "right"}}})
        degraded = installed.wait_for(lambda: is_state(installed, "Degraded", "Forbidden"), 10, "Degraded")
        assert "patch daemonsets.apps" in degraded["message"] and "config/rbac" in degraded["message"]
        events = installed.api.list("Event", SYSTEM)
        assert any(item["reason"] == "Forbidden" and item["type"] == "Warning" for item in events)
    finally:
        installed.api.patch("Role", "controller", {"rules": role["rules"]}, SYSTEM)
    installed.wait_for(lambda: template_of(installed, "test"), 40, "the override applied after all")


SCHEMA = "metallb.io/schema-version"


def crd_as(cluster, found, version):
    """The CRD with another schema and schema version, and a new leader that looks at it."""
    versions = json.loads(json.dumps(found["spec"]["versions"]))
    versions[0]["schema"]["openAPIV3Schema"]["description"] = f"of {version}"
    body = {"metadata": {"annotations": {SCHEMA: version}}, "spec": {"versions": versions}}
    cluster.api.patch("CustomResourceDefinition", found["metadata"]["name"], body)


def test_crds_are_upgraded_and_never_downgraded(lab, installed):
    """A new leader brings an older CRD up to its own; one of a later operator it leaves alone."""
    name = "communities.metallb.io"
    found = installed.get("CustomResourceDefinition", name)
    own = found["metadata"]["annotations"][SCHEMA]

    def state():
        crd = installed.get("CustomResourceDefinition", name)
        return crd["metadata"]["annotations"][SCHEMA], crd["spec"]["versions"]

    try:
        crd_as(installed, found, "0")
        with lab.hand_over():
            installed.wait_for(lambda: state() == (own, found["spec"]["versions"]), 20, "the CRD upgraded")
        crd_as(installed, found, "99")
        newer = state()
        with lab.hand_over() as old:
            lab.wait_other_holder(old, 20)
        wait_available(installed)
        time.sleep(1)
        assert state() == newer
    finally:
        body = {"metadata": {"annotations": {SCHEMA: own}}, "spec": {"versions": found["spec"]["versions"]}}
        installed.api.patch("CustomResourceDefinition", name, body)


def test_a_missing_crd_is_made(lab, installed):
    """Whoever leads next makes it, as it was, and it is of use again."""
    name = "communities.metallb.io"
    before = installed.get("CustomResourceDefinition", name)
    installed.api.delete("CustomResourceDefinition", name)
    installed.wait_for(lambda: not installed.get("CustomResourceDefinition", name), 20, "the CRD gone")
    with lab.hand_over():
        made = installed.wait_for(lambda: installed.get("CustomResourceDefinition", name), 20, "the CRD made")
    assert made["spec"]["versions"] == before["spec"]["versions"]
    assert made["metadata"]["annotations"][SCHEMA] == before["metadata"]["annotations"][SCHEMA]

    def created():
        try:
            return lab.custom("Community", "again", {"communities": [{"name": "a", "value": "1:2"}]})
        except ApiError as error:
            assert error.status == 404, error
            return None

    installed.wait_for(created, 20, "a Community")
    wait_available(installed)


def test_removed_and_back(lab, installed):
    """Deleting the resource withdraws the addresses, then removes all that was made; making it again brings all back."""
    address = announced(lab)
    client = lab.cluster.client()
    assert client.curl(address)
    installed.api.delete("MetalLB", "metallb", SYSTEM)
    installed.wait_for(lambda: not speaker_set(installed), 25, "the DaemonSet gone")
    assert not installed.api.list("ServiceL2Status", SYSTEM), "removed before all had withdrawn"
    assert not client.arping(address)
    for kind, name in (
        ("ConfigMap", "metallb-excludel2"),
        ("ConfigMap", "metallb-speaker-history"),
        ("NetworkPolicy", "controller"),
    ):
        installed.wait_for(lambda: not installed.get(kind, name, SYSTEM), 10, f"{kind} {name} gone")
    installed.wait_for(
        lambda: not installed.pods(SYSTEM, app="metallb", component="speaker"), 40, "the speakers gone"
    )
    # What is a person's stays, and the deletion is not undone, by another leader neither.
    assert lab.addresses("web") == [address]
    assert installed.api.list("IPAddressPool", SYSTEM)
    installed.kubectl("delete", "pods", "-l", "component=controller", "-n", SYSTEM)
    installed.wait_for(lambda: program_ready(installed, "controller", 2), 60, "new replicas")
    installed.wait_for(lab.leader, 20, "a leader")
    time.sleep(2)
    assert not installed.get("MetalLB", "metallb", SYSTEM) and not speaker_set(installed)
    lab.custom("MetalLB", "metallb", {})
    wait_installed(installed)
    lab.wait_answering(address)
    assert client.curl(address)
    assert all(map(pod_ready, installed.pods(SYSTEM, app="metallb", component="speaker")))
