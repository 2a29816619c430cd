"""The run's certificate authority and the kubeconfig files made with it.

Keys are ECDSA P-256, certificates live for a week, and everything is made anew for each cluster.
"""

import base64
import datetime
import ipaddress
import json
import os
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=7)


def _write(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _pem_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _alternative_names(hosts):
    names = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


class Pki:
    """A directory with ca.crt, ca.key and one NAME.crt and NAME.key for each certificate asked for."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-cluster-ca")])
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._store("ca", certificate, self._key)
        self._service_accounts()

    def path(self, name):
        return self.directory / name

    def _builder(self, subject, key):
        now = datetime.datetime.utcnow()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
        )

    def _store(self, name, certificate, key):
        _write(self.path(f"{name}.crt"), certificate.public_bytes(serialization.Encoding.PEM))
        _write(self.path(f"{name}.key"), _pem_key(key))

    def _service_accounts(self):
        """The key pair that signs service account tokens."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # The servers want the traditional form of an EC key.
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        _write(self.path("sa.key"), private)
        _write(self.path("sa.pub"), public)

    def issue(self, name, common_name, hosts=(), groups=()):
        """Writes NAME.crt and NAME.key: a server certificate if hosts are given, a client's otherwise."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(x509.Name(attributes), key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            builder = builder.add_extension(_alternative_names(hosts), critical=False)
        self._store(name, builder.sign(self._key, hashes.SHA256()), key)

    def kubeconfig(self, path, server, client):
        """Writes a kubeconfig for the client certificate `client`; JSON, which is YAML too."""

        def inline(name):
            return base64.b64encode(self.path(name).read_bytes()).decode()

        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": client}}],
            "clusters": [
                {"name": "test", "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")}}
            ],
            "users": [
                {
                    "name": client,
                    "user": {
                        "client-certificate-data": inline(f"{client}.crt"),
                        "client-key-data": inline(f"{client}.key"),
                    },
                }
            ],
        }
        _write(path, json.dumps(config, indent=1).encode())
