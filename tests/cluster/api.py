"""Requests to the API server from the runner: much quicker than kubectl, for what tests ask often."""

import http.client
import json
import ssl
import threading
from urllib.parse import urlencode

from .kube import ApiError

# Where the kinds that tests use live: kind -> (group and version, plural, namespaced).
KINDS = {
    "Namespace": ("v1", "namespaces", False),
    "Node": ("v1", "nodes", False),
    "Service": ("v1", "services", True),
    "Pod": ("v1", "pods", True),
    "Event": ("v1", "events", True),
    "Secret": ("v1", "secrets", True),
    "ConfigMap": ("v1", "configmaps", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
    "Endpoints": ("v1", "endpoints", True),
    "Deployment": ("apps/v1", "deployments", True),
    "DaemonSet": ("apps/v1", "daemonsets", True),
    "ReplicaSet": ("apps/v1", "replicasets", True),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "Lease": ("coordination.k8s.io/v1", "leases", True),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        False,
    ),
    "IPAddressPool": ("metallb.io/v1beta1", "ipaddresspools", True),
    "L2Advertisement": ("metallb.io/v1beta1", "l2advertisements", True),
    "BGPAdvertisement": ("metallb.io/v1beta1", "bgpadvertisements", True),
    "BGPPeer": ("metallb.io/v1beta2", "bgppeers", True),
    "BFDProfile": ("metallb.io/v1beta1", "bfdprofiles", True),
    "Community": ("metallb.io/v1beta1", "communities", True),
    "ConfigurationState": ("metallb.io/v1beta1", "configurationstates", True),
    "ServiceL2Status": ("metallb.io/v1beta1", "servicel2statuses", True),
    "ServiceBGPStatus": ("metallb.io/v1beta1", "servicebgpstatuses", True),
    "FRRConfiguration": ("frrk8s.metallb.io/v1beta1", "frrconfigurations", True),
    "MetalLB": ("metallb.io/v1beta1", "metallbs", True),
}


def path_of(kind, name=None, namespace=None):
    """The path of an object or of a collection; without a namespace, that of all namespaces."""
    version, plural, namespaced = KINDS[kind]
    path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    if namespaced and namespace:
        path += f"/namespaces/{namespace}"
    return f"{path}/{plural}" + (f"/{name}" if name else "")


class Api:
    """One keep-alive connection per thread, with the administrator's certificate."""

    def __init__(self, host, port, pki):
        self._host, self._port = host, port
        self._context = ssl.create_default_context(cafile=pki.path("ca.crt"))
        self._context.load_cert_chain(pki.path("admin.crt"), pki.path("admin.key"))
        self._local = threading.local()

    def _connection(self):
        if getattr(self._local, "connection", None) is None:
            self._local.connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=20, context=self._context
            )
        return self._local.connection

    def request(self, method, path, body=None, params=None, content_type="application/json"):
        """The decoded answer; raises ApiError. A connection found closed is opened again, once."""
        target = path + ("?" + urlencode(params) if params else "")
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, target, data, headers)
                answer = connection.getresponse()
                text = answer.read().decode()
                break
            except (http.client.HTTPException, OSError):
                connection.close()
                self._local.connection = None
                if attempt == 2:
                    raise
        if answer.status >= 300:
            raise ApiError(answer.status, text)
        return json.loads(text) if text else {}

    def get(self, kind, name, namespace=None):
        """The object; None if there is none."""
        try:
            return self.request("GET", path_of(kind, name, namespace))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind, namespace=None, **params):
        return self.request("GET", path_of(kind, None, namespace), params=params).get("items") or []

    def create(self, obj):
        meta = obj["metadata"]
        return self.request("POST", path_of(obj["kind"], None, meta.get("namespace")), obj)

    def patch(self, kind, name, patch, namespace=None, subresource=None):
        """A JSON merge patch."""
        path = path_of(kind, name, namespace) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, patch, content_type="application/merge-patch+json")

    def delete(self, kind, name, namespace=None, grace_s=None):
        """Deletes it; quietly if it is not there."""
        body = None if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            return self.request("DELETE", path_of(kind, name, namespace), body)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
