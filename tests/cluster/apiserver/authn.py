"""Who is asking: client certificates, the static token file, ServiceAccount tokens. Owns: the User record, the
token file and the signing of tokens (JWT, HS256 with the service-account key file's bytes; RFC 7519).

The token file is a CSV of token,user,uid,"group1,group2", read once at start.
"""
import base64
import csv
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass
class User:
    name: str
    groups: tuple = ()
    uid: str = ""
    extra: dict = field(default_factory=dict)

    @property
    def info(self):
        out = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            out["uid"] = self.uid
        if self.extra:
            out["extra"] = self.extra
        return out


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def internal(name):
    """The identity of a controller that runs in this process."""
    return User(
        "system:serviceaccount:kube-system:" + name,
        ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    )


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    def __init__(self, store, token_file=None, key_file=None):
        self.store = store
        self.static = {}
        if key_file:
            with open(key_file, "rb") as src:
                self.key = hashlib.sha256(src.read()).digest()
        else:
            self.key = secrets.token_bytes(32)
        if token_file:
            with open(token_file, newline="", encoding="utf-8") as src:
                for row in csv.reader(src):
                    if row:
                        groups = tuple(g for g in row[3].split(",") if g) if len(row) > 3 else ()
                        self.static[row[0]] = User(
                            row[1],
                            groups + ("system:authenticated",),
                            row[2] if len(row) > 2 else "",
                        )

    def sign(self, claims):
        head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = head + "." + _b64(json.dumps(claims).encode())
        return body + "." + _b64(hmac.new(self.key, body.encode(), hashlib.sha256).digest())

    def account_token(self, account, audiences, seconds, bound=None):
        """A token of one ServiceAccount object; `bound` is a Pod or Secret that it dies with."""
        md = account["metadata"]
        issued = int(time.time())
        private = {
            "namespace": md["namespace"],
            "serviceaccount": {"name": md["name"], "uid": md["uid"]},
        }
        if bound:
            private[bound["kind"].lower()] = {
                "name": bound["metadata"]["name"],
                "uid": bound["metadata"]["uid"],
            }
        claims = {
            "iss": ISSUER,
            "aud": audiences,
            "iat": issued,
            "nbf": issued,
            "exp": issued + seconds,
            "sub": "system:serviceaccount:%s:%s" % (md["namespace"], md["name"]),
            "kubernetes.io": private,
        }
        return self.sign(claims), claims["exp"]

    def token(self, token, audiences=None):
        """-> User or None."""
        user = self.static.get(token)
        return user or self._jwt(token, audiences or [ISSUER])

    def _jwt(self, token, audiences):
        try:
            body, _, mac = token.rpartition(".")
            want = hmac.new(self.key, body.encode(), hashlib.sha256).digest()
            if not hmac.compare_digest(want, _unb64(mac)):
                return None
            claims = json.loads(_unb64(body.split(".")[1]))
        except (ValueError, IndexError):
            return None
        if not claims["nbf"] - 5 <= time.time() < claims["exp"]:
            return None
        if not set(audiences) & set(claims["aud"]):
            return None
        return self._bound_user(claims["kubernetes.io"])

    def _bound_user(self, private):
        ns, extra = private["namespace"], {}
        bound = [("/serviceaccounts", private["serviceaccount"])]
        for key in ("pod", "secret"):
            if key in private:
                bound.append(("/%ss" % key, private[key]))
        for table, ref in bound:
            entry = self.store.get(table, ns, ref["name"])
            if entry is None or entry.obj["metadata"]["uid"] != ref["uid"]:
                return None
        if "pod" in private:
            extra = {
                "authentication.kubernetes.io/pod-name": [private["pod"]["name"]],
                "authentication.kubernetes.io/pod-uid": [private["pod"]["uid"]],
            }
        account = private["serviceaccount"]
        return User(
            "system:serviceaccount:%s:%s" % (ns, account["name"]),
            ("system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"),
            account["uid"],
            extra,
        )

    def certificate(self, peer):
        """A verified peer certificate, as ssl.getpeercert() gives it: CN is the user, each O a group."""
        name, groups = "", []
        for rdn in peer.get("subject", ()):
            for key, value in rdn:
                if key == "commonName":
                    name = value
                elif key == "organizationName":
                    groups.append(value)
        return User(name, tuple(groups) + ("system:authenticated",)) if name else None
