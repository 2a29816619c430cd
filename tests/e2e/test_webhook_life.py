"""The webhooks come, change and go without ever being the reason that a call fails."""

import base64
import collections
import contextlib
import datetime
import json
import pathlib
import time

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster import Cluster
from tests.cluster.images import PROJECT
from tests.e2e.lab import SYSTEM, program_ready, wait_installed
from tests.e2e.webhook import CONFIGURATION, ApplyLoop, is_registered, kubectl_try, policies, wait_registered

DEFAULT = pathlib.Path(PROJECT, "config", "default")
SECRET = "metallb-webhook-cert"
POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: %s, namespace: metallb-system}
spec: {addresses: [%s]}
"""


@pytest.fixture
def registered(cluster):
    wait_registered(cluster)
    return cluster


def secret_data(cluster):
    obj = cluster.get("Secret", SECRET, SYSTEM)
    return {key: base64.b64decode(value) for key, value in obj["data"].items()} if obj else {}


def serial(pem):
    return x509.load_pem_x509_certificate(pem).serial_number


def bundle(cluster):
    configuration = cluster.get("ValidatingWebhookConfiguration", CONFIGURATION)
    return {item["clientConfig"].get("caBundle", "") for item in configuration["webhooks"]}


def refuses_bad_pool(cluster):
    code, text = kubectl_try(cluster, "apply", "--dry-run=server", "-f", "-", stdin=POOL % ("bad", "10.0.0.0/33"))
    return code != 0 and "is neither a CIDR nor a range" in text


def test_registration(registered):
    """Writes fail closed, deletions open; all owned by the namespace, so that they go with it."""
    configuration = registered.get("ValidatingWebhookConfiguration", CONFIGURATION)
    (owner,) = configuration["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Namespace", SYSTEM)
    for item in configuration["webhooks"]:
        operations = [operation for rule in item["rules"] for operation in rule["operations"]]
        assert item["failurePolicy"] == ("Ignore" if operations == ["DELETE"] else "Fail")
    assert refuses_bad_pool(registered)


def test_conversion(registered):
    """A BGPPeer written in either version, read in the other and written back loses nothing."""
    old = """
apiVersion: metallb.io/v1beta1
kind: BGPPeer
metadata: {name: converted, namespace: metallb-system}
spec: {myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1, holdTime: 90s, keepaliveTime: 30s}
"""

    def get(version):
        text = registered.kubectl("get", f"bgppeers.{version}.metallb.io", "converted", "-n", SYSTEM, "-o", "json")
        return json.loads(text)

    registered.kubectl("apply", "-f", "-", stdin=old)
    try:
        new = get("v1beta2")
        assert new["apiVersion"] == "metallb.io/v1beta2" and new["spec"]["holdTime"] == "90s"
        # what only v1beta2 has survives a write through v1beta1
        patch = {"spec": {"vrf": "red", "passwordSecret": {"name": "s"}, "connectTime": "5s"}}
        registered.kubectl(
            "patch", "bgppeers.v1beta2.metallb.io", "converted", "-n", SYSTEM, "--type=merge", "-p", json.dumps(patch)
        )
        seen = get("v1beta1")
        assert "vrf" not in seen["spec"] and "red" in seen["metadata"]["annotations"]["metallb.io/v1beta2-fields"]
        seen["spec"]["holdTime"] = "60s"
        registered.kubectl("replace", "-f", "-", stdin=json.dumps(seen))
        after = get("v1beta2")["spec"]
        assert after["holdTime"] == "60s" and after["vrf"] == "red" and after["connectTime"] == "5s"
        assert after["passwordSecret"] == {"name": "s"}
    finally:
        registered.api.delete("BGPPeer", "converted", SYSTEM)


@pytest.mark.parametrize("how", ["deleted", "emptied", "garbage"])
def test_secret_is_healed(registered, how):
    """Whoever damages the Secret gets it back within seconds, and no apply fails."""
    before = secret_data(registered)
    with ApplyLoop(registered) as loop:
        loop.run_for(3)
        if how == "deleted":
            registered.kubectl("delete", "secret", SECRET, "-n", SYSTEM)
        else:
            value = "" if how == "emptied" else base64.b64encode(b"nonsense").decode()
            patch = {"data": {"tls.crt": value, "ca.key": value}}
            registered.kubectl("patch", "secret", SECRET, "-n", SYSTEM, "-p", json.dumps(patch))
        registered.wait_for(lambda: secret_data(registered) == before, 10, "the Secret as it was")
        loop.run_for(5)
    assert not loop.failures, loop.failures


def near_expiry(data, days):
    """The serving certificate again, signed by the same CA, with few days left."""
    ca = x509.load_pem_x509_certificate(data["ca.crt"])
    ca_key = serialization.load_pem_private_key(data["ca.key"], None)
    old = x509.load_pem_x509_certificate(data["tls.crt"])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "soon")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return cert.public_bytes(pem), private


def test_renewal(registered):
    """A certificate near its end is replaced, under a loop of applies of which none fails."""
    data = secret_data(registered)
    cert, key = near_expiry(data, 30)
    encoded = {"tls.crt": base64.b64encode(cert).decode(), "tls.key": base64.b64encode(key).decode()}
    with ApplyLoop(registered) as loop:
        loop.run_for(3)
        registered.kubectl("patch", "secret", SECRET, "-n", SYSTEM, "-p", json.dumps({"data": encoded}))

        def renewed():
            now = secret_data(registered).get("tls.crt")
            return now and serial(now) not in (serial(data["tls.crt"]), serial(cert))

        registered.wait_for(renewed, 15, "a new certificate")
        loop.run_for(10)
    assert not loop.failures, loop.failures
    assert secret_data(registered)["ca.crt"] == data["ca.crt"]


def reissue(cert, key, subject=None, issuer=None, names=(), days=30, ca=False):
    """A certificate for a public key, signed by `key`."""
    now = datetime.datetime.utcnow()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or cert.subject)
        .issuer_name(issuer or cert.subject)
        .public_key(cert.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, None), True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return builder.sign(key, hashes.SHA256())


def pem_of(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def encoded(data):
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def signed_by(pem, ca_pem):
    """Whether a CA's key has signed the certificate."""
    cert, ca = x509.load_pem_x509_certificate(pem), x509.load_pem_x509_certificate(ca_pem)
    try:
        ca.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
    except InvalidSignature:
        return False
    return True


def test_ca_renewal(registered):
    """A CA near its end is replaced in steps, under a loop of applies of which none fails."""
    before = secret_data(registered)
    key = serialization.load_pem_private_key(before["ca.key"], None)
    soon = pem_of(reissue(x509.load_pem_x509_certificate(before["ca.crt"]), key, ca=True))
    patch = json.dumps({"data": encoded({"ca.crt": soon})})
    with ApplyLoop(registered) as loop:
        loop.run_for(3)
        registered.kubectl("patch", "secret", SECRET, "-n", SYSTEM, "-p", patch)

        def renewed():
            now = secret_data(registered)
            return now.get("tls.crt") and not signed_by(now["tls.crt"], soon) and now

        after = registered.wait_for(renewed, 60, "a certificate of a new CA")
        loop.run_for(10)
    assert not loop.failures, loop.failures
    # Whoever still serves a certificate of the old one is trusted for an hour.
    assert signed_by(after["tls.crt"], after["ca.crt"]) and soon.strip() in after["ca.crt"]
    assert bundle(registered) == {base64.b64encode(after["ca.crt"]).decode()}


def test_configuration_is_healed(registered):
    """Deleted or changed by hand, the registration is put right."""
    registered.kubectl("delete", "validatingwebhookconfiguration", CONFIGURATION)
    wait_registered(registered, 30)
    # also the CA
    patch = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]
    registered.kubectl(
        "patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", json.dumps(patch), check=False
    )
    registered.wait_for(lambda: len(bundle(registered)) == 1 and all(bundle(registered)), 15, "one CA bundle")
    registered.wait_for(lambda: refuses_bad_pool(registered), 15, "bad pools refused")


def test_rolled_under_applies(registered):
    """The operator's replicas are replaced one after the other: no apply fails."""
    with ApplyLoop(registered) as loop:
        loop.run_for(3)
        for number in range(2):
            before = {pod["metadata"]["uid"] for pod in registered.pods(SYSTEM, app="metallb", component="controller")}
            stamp = {"spec": {"template": {"metadata": {"annotations": {"test/roll": f"{time.time()} {number}"}}}}}
            registered.kubectl("patch", "deployment", "controller", "-n", SYSTEM, "-p", json.dumps(stamp))

            def rolled(before=before):
                pods = registered.pods(SYSTEM, app="metallb", component="controller")
                gone = not before & {pod["metadata"]["uid"] for pod in pods}
                return gone and program_ready(registered, "controller", 2)

            registered.wait_for(rolled, 60, "new replicas")
            loop.run_for(10)
    assert not loop.failures, loop.failures


def test_gone_with_the_deployment(registered):
    """Scaled to nothing, the registration goes; scaled up it comes back."""
    registered.kubectl("scale", "deployment", "controller", "-n", SYSTEM, "--replicas=0")
    registered.wait_for(lambda: not policies(registered), 20, "the registration taken away")
    try:
        code, text = kubectl_try(registered, "apply", "-f", "-", stdin=POOL % ("free", "198.18.9.0/24"))
        assert code == 0, text
        registered.kubectl("get", "bgppeers.v1beta1.metallb.io", "-n", SYSTEM)
    finally:
        registered.kubectl("scale", "deployment", "controller", "-n", SYSTEM, "--replicas=2")
        registered.api.delete("IPAddressPool", "free", SYSTEM)
        wait_installed(registered)
    wait_registered(registered)


@pytest.fixture(scope="module")
def own_cluster():
    """One that is installed and removed again and again."""
    with Cluster(nodes=1) as made:
        yield made


def remove_all(cluster):
    cluster.kubectl("delete", "-k", DEFAULT, "--ignore-not-found", "--wait=true", timeout=120)
    cluster.wait_for(lambda: cluster.get("Namespace", SYSTEM) is None, 90, "the namespace gone")
    cluster.wait_for(lambda: not policies(cluster), 60, "the registration gone with it")


def test_fresh_install_ten_times(own_cluster):
    """Everything, configuration included, by one kubectl apply and the next moment: no call fails."""
    for _ in range(10):
        own_cluster.kubectl("apply", "-k", DEFAULT)
        failures, number, until = [], 0, time.monotonic() + 60
        # from the first moment on, and beyond the change to fail closed
        while not is_registered(own_cluster) or number < 5:
            assert time.monotonic() < until, "never registered"
            code, text = kubectl_try(own_cluster, "apply", "-f", "-", stdin=POOL % ("first", f"198.18.{number}.0/24"))
            number += 1
            if code != 0 and "ensure CRDs are installed first" not in text:
                failures.append(text)
        for last in range(5):
            code, text = kubectl_try(own_cluster, "apply", "-f", "-", stdin=POOL % ("first", f"198.19.{last}.0/24"))
            if code != 0:
                failures.append(text)
        assert not failures, failures
        assert refuses_bad_pool(own_cluster)
        remove_all(own_cluster)


def check_orphaned_conversion(cluster):
    """The CRD belongs to nobody: it still wants conversion. What is stored can be read, and one command mends the rest."""
    peer = {"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "metadata": {"name": "left", "namespace": SYSTEM}}
    peer["spec"] = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.apply(peer)
    cluster.kubectl("get", "bgppeers.v1beta2.metallb.io", "left", "-n", SYSTEM)
    code, text = kubectl_try(cluster, "get", "bgppeers.v1beta1.metallb.io", "left", "-n", SYSTEM)
    assert code != 0 and "conversion webhook" in text
    patch = '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'
    cluster.kubectl("patch", "crd", "bgppeers.metallb.io", "--type=merge", "-p", patch)
    reading = ("get", "bgppeers.v1beta1.metallb.io", "left", "-n", SYSTEM)
    cluster.wait_for(lambda: kubectl_try(cluster, *reading)[0] == 0, 20, "the old version readable")
    cluster.kubectl("delete", "bgppeers.v1beta2.metallb.io", "left", "-n", SYSTEM)


def test_killed_and_namespace_deleted(own_cluster):
    """kill -9 of all replicas, then the namespace: nothing is left that blocks anybody."""
    own_cluster.kubectl("apply", "-k", DEFAULT)
    wait_registered(own_cluster)
    own_cluster.kubectl("apply", "-f", "-", stdin=POOL % ("left", "198.18.1.0/24"))

    def kill_all():
        """Restarted ones too: none of them gets to clean up."""
        for item in own_cluster.containers(SYSTEM, "controller"):
            if not item["pid"]:
                continue
            with contextlib.suppress(ProcessLookupError):
                own_cluster.signal_container(item)

    kill_all()
    own_cluster.kubectl("delete", "namespace", SYSTEM, "--wait=false")

    def gone():
        kill_all()
        return own_cluster.get("Namespace", SYSTEM) is None

    own_cluster.wait_for(gone, 90, "the namespace gone")
    own_cluster.wait_for(lambda: not policies(own_cluster), 60, "the registration collected")
    check_orphaned_conversion(own_cluster)
    # the next installation finds a clean cluster
    own_cluster.kubectl("apply", "-k", DEFAULT)
    wait_registered(own_cluster)
    remove_all(own_cluster)


def test_certificates_of_the_administrator(own_cluster):
    """--disable-cert-rotation: files that somebody else mounts and renews; the operator makes none of its own.

    The last of this cluster's tests: it leaves its installation behind.
    """
    names = [f"metallb-webhook-service.{SYSTEM}.svc"]
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ours")])
    holder = collections.namedtuple("Holder", "public_key")
    ca = reissue(holder(ca_key.public_key), ca_key, name, name, ca=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def mounted():
        """The Secret with a new certificate."""
        leaf = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        cert = pem_of(reissue(holder(key.public_key), ca_key, leaf, name, names))
        data = encoded({"ca.crt": pem_of(ca), "tls.crt": cert, "tls.key": private})
        meta = {"name": "own-cert", "namespace": SYSTEM}
        return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta, "data": data}

    def loaded():
        """How many certificates the replicas have loaded."""
        return sum(text.count("serve: certificate loaded") for text in own_cluster.log(SYSTEM, "controller").values())

    objects = list(yaml.safe_load_all(own_cluster.kubectl("kustomize", DEFAULT)))
    pod = next(obj for obj in objects if obj["kind"] == "Deployment")["spec"]["template"]["spec"]
    pod["containers"][0]["args"] += ["--disable-cert-rotation", "--cert-dir=/certs"]
    pod["containers"][0]["volumeMounts"] = [{"name": "certs", "mountPath": "/certs", "readOnly": True}]
    pod["volumes"] = [{"name": "certs", "secret": {"secretName": "own-cert"}}]
    # The namespace first: kubectl takes them in their order.
    own_cluster.apply(*sorted(objects, key=lambda obj: obj["kind"] != "Namespace"), mounted())
    wait_registered(own_cluster)
    assert bundle(own_cluster) == {encoded({"ca": pem_of(ca)})["ca"]}
    own_cluster.wait_for(lambda: refuses_bad_pool(own_cluster), 15, "bad pools refused")
    own_cluster.wait_for(lambda: program_ready(own_cluster, "controller", 2), 30, "both replicas")
    before = loaded()
    with ApplyLoop(own_cluster) as loop:
        loop.run_for(3)
        own_cluster.apply(mounted())
        own_cluster.wait_for(lambda: loaded() >= before + 2, 40, "the new certificate loaded by both replicas")
        loop.run_for(5)
    assert not loop.failures, loop.failures
    assert not secret_data(own_cluster)
