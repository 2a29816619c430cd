"""What a container's environment and arguments become: fieldRef, references to keys, $(NAME)."""

import re

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class FieldError(Exception):
    """Something the Pod refers to is not there; the text is for the container's status."""


def field_value(pod, path, status):
    """The value of a fieldRef. `status` holds what is known before the Pod's own status has been written."""
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match:
        return (pod["metadata"].get(match.group(1)) or {}).get(match.group(2), "")
    if path in ("metadata.labels", "metadata.annotations"):
        items = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(items.items()))
    if path == "status.podIPs":
        return ",".join(item["ip"] for item in status.get("podIPs") or [])
    value = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.hostIP": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
    }.get(path)
    if value is None:
        raise FieldError(f"fieldPath {path!r} is not known to this node agent")
    return value


def expand(text, env):
    """$(NAME) becomes the variable's value; unknown names stay, and $$ is a dollar."""

    def replace(match):
        if match.group(0) == "$$":
            return "$"
        return env.get(match.group(1), match.group(0))

    return re.sub(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)", replace, text)


class Environment:
    """Builds the environment of the containers of one Pod."""

    def __init__(self, pod, status, sources, base):
        self._pod = pod
        self._status = status
        self._sources = sources
        self._base = base

    def build(self, container):
        env = dict(self._base)
        for source in container.get("envFrom") or []:
            env.update(self._from_source(source))
        for variable in container.get("env") or []:
            value = self._value(variable, env)
            if value is not None:
                env[variable["name"]] = value
        return env

    def _content(self, kind, ref):
        namespace = self._pod["metadata"]["namespace"]
        lookup = self._sources.secret if kind == "secret" else self._sources.configmap
        content = lookup(namespace, ref["name"])
        if content is None and not ref.get("optional"):
            raise FieldError(f'{kind} "{ref["name"]}" not found')
        return content or {}

    def _from_source(self, source):
        kind, ref = ("secret", source["secretRef"]) if "secretRef" in source else ("configmap", source["configMapRef"])
        prefix = source.get("prefix", "")
        return {prefix + key: value.decode() for key, value in self._content(kind, ref).items()}

    def _value(self, variable, env):
        source = variable.get("valueFrom")
        if not source:
            return expand(variable.get("value", ""), env)
        if "fieldRef" in source:
            return field_value(self._pod, source["fieldRef"]["fieldPath"], self._status)
        if "secretKeyRef" in source or "configMapKeyRef" in source:
            kind, ref = (
                ("secret", source["secretKeyRef"])
                if "secretKeyRef" in source
                else ("configmap", source["configMapKeyRef"])
            )
            content = self._content(kind, ref)
            if ref["key"] in content:
                return content[ref["key"]].decode()
            if ref.get("optional"):
                return None
            raise FieldError(f"couldn't find key {ref['key']} in {kind} {ref['name']}")
        raise FieldError(f"env {variable['name']}: this node agent has no {', '.join(source)}")
