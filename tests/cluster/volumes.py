"""The volumes of a Pod, as directories that its containers bind-mount.

Secrets, ConfigMaps, tokens and the downward API are written the way a kubelet does: into a new directory,
then one rename of the link ..data makes all files change at once; each file is a link through ..data.
"""

import base64
import os
import pathlib
import shutil
import time

from . import fields

TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access"
TOKEN_SECONDS = 3607


class VolumeError(Exception):
    """A volume cannot be made now; the text is for the Pod's status, and it is tried again."""


class Sources:
    """Where volumes get their content: the agent's informers and its client."""

    def __init__(self, client, secrets, configmaps):
        self.client = client
        self.secrets = secrets
        self.configmaps = configmaps

    def secret(self, namespace, name):
        """Content by key in bytes; None when there is no such Secret."""
        obj = self.secrets.objects.get((namespace, name))
        if obj is None:
            return None
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}

    def configmap(self, namespace, name):
        obj = self.configmaps.objects.get((namespace, name))
        if obj is None:
            return None
        content = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
        for key, value in (obj.get("binaryData") or {}).items():
            content[key] = base64.b64decode(value)
        return content

    async def token(self, namespace, account, pod, source):
        """A fresh token of a service account, bound to the Pod."""
        seconds = source.get("expirationSeconds") or TOKEN_SECONDS
        spec = {
            "audiences": [source["audience"]] if source.get("audience") else [],
            "expirationSeconds": seconds,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
            },
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = await self.client.request("POST", path, body)
        return answer["status"]["token"].encode(), time.monotonic() + 0.8 * seconds


def select_items(content, source, mode):
    """What of `content` becomes which file: {path: (bytes, mode)}."""
    items = source.get("items")
    if not items:
        return {key: (value, mode) for key, value in content.items()}
    chosen = {}
    for item in items:
        if item["key"] in content:
            chosen[item["path"]] = (content[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise VolumeError(f"references non-existent key: {item['key']}")
    return chosen


def write_atomically(directory, files):
    """Makes `directory` show exactly `files`; readers see either all old or all new ones."""
    directory.mkdir(parents=True, exist_ok=True)
    old = os.readlink(directory / "..data") if os.path.lexists(directory / "..data") else None
    fresh = f"..{time.time_ns()}"
    for path, (data, mode) in files.items():
        target = directory / fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
    (directory / fresh).mkdir(exist_ok=True)
    os.symlink(fresh, directory / "..data_tmp")
    os.rename(directory / "..data_tmp", directory / "..data")
    wanted = {pathlib.PurePath(path).parts[0] for path in files}
    for entry in os.listdir(directory):
        # A directory is the place of another volume's mount inside this one.
        if (directory / entry).is_symlink() and not entry.startswith("..") and entry not in wanted:
            (directory / entry).unlink()
    for name in wanted:
        if not os.path.lexists(directory / name):
            os.symlink(f"..data/{name}", directory / name)
    if old:
        shutil.rmtree(directory / old)


class Volumes:
    """The volumes of one Pod under `root`; update() is called again when something may have changed."""

    def __init__(self, pod, root, sources):
        self.pod = pod
        self.root = pathlib.Path(root)
        self._sources = sources
        self._written = {}
        self._tokens = {}

    def definitions(self):
        """The Pod's volumes, with the service account's token added if admission did not."""
        volumes = list(self.pod["spec"].get("volumes") or [])
        if self._wants_token():
            projected = [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
            volumes.append({"name": TOKEN_VOLUME, "projected": {"sources": projected}})
        return volumes

    def _wants_token(self):
        spec = self.pod["spec"]
        if spec.get("automountServiceAccountToken") is False:
            return False
        containers = (spec.get("initContainers") or []) + spec["containers"]
        return not any(
            mount["mountPath"] == TOKEN_DIRECTORY
            for container in containers
            for mount in container.get("volumeMounts") or []
        )

    def refers_to(self, kind, name):
        """Whether the Secret or ConfigMap `name` is the content of one of the volumes."""
        key, field = ("secret", "secretName") if kind == "Secret" else ("configMap", "name")
        for volume in self.definitions():
            if (volume.get(key) or {}).get(field) == name:
                return True
            for source in (volume.get("projected") or {}).get("sources") or []:
                if (source.get(key) or {}).get("name") == name:
                    return True
        return False

    async def update(self):
        for volume in self.definitions():
            try:
                await self._update_one(volume)
            except VolumeError as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}') from None

    def token_due(self):
        """When the first token has to be renewed, on the monotonic clock; None without tokens."""
        return min((due for _, due in self._tokens.values()), default=None)

    async def _update_one(self, volume):
        directory = self.root / volume["name"]
        if "emptyDir" in volume:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o777)
        elif "hostPath" not in volume:
            files = await self._files(volume)
            if self._written.get(volume["name"]) != files:
                write_atomically(directory, files)
                self._written[volume["name"]] = files

    async def _files(self, volume):
        if "secret" in volume:
            source = volume["secret"]
            return self._secret(source, source["secretName"], source.get("defaultMode", 0o644))
        if "configMap" in volume:
            return self._configmap(volume["configMap"], volume["configMap"].get("defaultMode", 0o644))
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644))
        if "projected" in volume:
            return await self._projected(volume["name"], volume["projected"])
        kinds = ", ".join(key for key in volume if key != "name")
        raise VolumeError(f"this node agent has no volumes of the kind {kinds}")

    def _secret(self, source, name, mode):
        content = self._sources.secret(self.pod["metadata"]["namespace"], name)
        if content is None:
            if source.get("optional"):
                return {}
            raise VolumeError(f'secret "{name}" not found')
        return select_items(content, source, mode)

    def _configmap(self, source, mode):
        content = self._sources.configmap(self.pod["metadata"]["namespace"], source["name"])
        if content is None:
            if source.get("optional"):
                return {}
            raise VolumeError(f'configmap "{source["name"]}" not found')
        return select_items(content, source, mode)

    def _downward(self, source, mode):
        files = {}
        for item in source.get("items") or []:
            value = fields.field_value(self.pod, item["fieldRef"]["fieldPath"], {})
            files[item["path"]] = (value.encode(), item.get("mode", mode))
        return files

    async def _projected(self, name, projected):
        mode = projected.get("defaultMode", 0o644)
        files = {}
        for number, source in enumerate(projected.get("sources") or []):
            if "serviceAccountToken" in source:
                token = await self._token((name, number), source["serviceAccountToken"])
                files[source["serviceAccountToken"]["path"]] = (token, mode)
            elif "configMap" in source:
                files.update(self._configmap(source["configMap"], mode))
            elif "secret" in source:
                files.update(self._secret(source["secret"], source["secret"]["name"], mode))
            elif "downwardAPI" in source:
                files.update(self._downward(source["downwardAPI"], mode))
        return files

    async def _token(self, key, source):
        token, due = self._tokens.get(key, (None, 0))
        if time.monotonic() >= due:
            meta, spec = self.pod["metadata"], self.pod["spec"]
            account = spec.get("serviceAccountName") or "default"
            token, due = await self._sources.token(meta["namespace"], account, self.pod, source)
            self._tokens[key] = (token, due)
        return token

    def mounts(self, container):
        """The volumes of one container, for launch.py."""
        by_name = {volume["name"]: volume for volume in self.definitions()}
        wanted = list(container.get("volumeMounts") or [])
        if TOKEN_VOLUME in by_name and not any(mount["name"] == TOKEN_VOLUME for mount in wanted):
            wanted.append({"name": TOKEN_VOLUME, "mountPath": TOKEN_DIRECTORY, "readOnly": True})
        mounts = []
        for mount in wanted:
            volume = by_name[mount["name"]]
            source = pathlib.Path((volume.get("hostPath") or {}).get("path") or self.root / volume["name"])
            if mount.get("subPath"):
                source = (source / mount["subPath"]).resolve()
            read_only = bool(mount.get("readOnly")) or not ("emptyDir" in volume or "hostPath" in volume)
            mounts.append({"source": str(source), "target": mount["mountPath"], "readOnly": read_only})
        return mounts
