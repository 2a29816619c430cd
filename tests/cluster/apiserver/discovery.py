"""Discovery: /api, /apis, their groups and versions, and the aggregated form. Owns: these documents.

Kubernetes API concepts, "API discovery"; apidiscovery.k8s.io v2 and v2beta1.
"""
import re

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+imitation",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}

_SUB_KINDS = {
    ("/pods", "binding"): ("", "v1", "Binding"),
    ("/pods", "eviction"): ("policy", "v1", "Eviction"),
    ("/serviceaccounts", "token"): ("authentication.k8s.io", "v1", "TokenRequest"),
}
_SUB_VERBS = {
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
    "finalize": ["update"],
}


def sub_kind(res, sub):
    if sub == "scale":
        return ("autoscaling", "v1", "Scale")
    return _SUB_KINDS.get((res.table, sub), (res.group, res.version, res.kind))


def sub_verbs(sub):
    return _SUB_VERBS.get(sub, ["get", "patch", "update"])


def version_key(version):
    """Sorts v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > others."""
    m = re.match(r"^v(\d+)(?:(alpha|beta)(\d+))?$", version)
    if not m:
        return (0, 0, 0, version)
    stage = {"alpha": 1, "beta": 2, None: 3}[m[2]]
    return (stage, int(m[1]), int(m[3] or 0), "")


def versions(group):
    return sorted(group, key=version_key, reverse=True)


def resource_list(api_version, resources):
    out = []
    for res in resources:
        one = {
            "name": res.plural,
            "singularName": res.singular,
            "namespaced": res.namespaced,
            "kind": res.kind,
            "verbs": list(res.verbs),
        }
        if res.short:
            one["shortNames"] = list(res.short)
        if res.categories:
            one["categories"] = list(res.categories)
        out.append(one)
        for sub in res.subresources:
            group, version, kind = sub_kind(res, sub)
            one = {
                "name": res.plural + "/" + sub,
                "singularName": "",
                "namespaced": res.namespaced,
                "kind": kind,
                "verbs": sub_verbs(sub),
            }
            if (group, version) != (res.group, res.version):
                one["group"], one["version"] = group, version
            out.append(one)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": out,
    }


def group_doc(name, group):
    vers = [{"groupVersion": "%s/%s" % (name, v), "version": v} for v in versions(group)]
    return {"name": name, "versions": vers, "preferredVersion": vers[0]}


def group_list(registry):
    groups = [group_doc(n, g) for n, g in registry.groups().items() if n]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _aggregated_resource(res):
    out = {
        "resource": res.plural,
        "singularResource": res.singular,
        "responseKind": {"group": res.group, "version": res.version, "kind": res.kind},
        "scope": "Namespaced" if res.namespaced else "Cluster",
        "verbs": list(res.verbs),
    }
    if res.short:
        out["shortNames"] = list(res.short)
    if res.categories:
        out["categories"] = list(res.categories)
    subs = []
    for sub in res.subresources:
        group, version, kind = sub_kind(res, sub)
        subs.append(
            {
                "subresource": sub,
                "verbs": sub_verbs(sub),
                "responseKind": {"group": group, "version": version, "kind": kind},
            }
        )
    if subs:
        out["subresources"] = subs
    return out


def aggregated(registry, legacy, api_version):
    items = []
    for name, group in registry.groups().items():
        if (name == "") != legacy:
            continue
        vers = [
            {
                "version": v,
                "freshness": "Current",
                "resources": [_aggregated_resource(r) for r in group[v]],
            }
            for v in versions(group)
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": vers})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/" + api_version,
        "metadata": {},
        "items": items,
    }
