"""CustomResourceDefinitions: their rules, and the resources that they bring. Owns: the registry's custom part."""
from .errors import f_forbidden, f_invalid, f_required, f_unsupported
from .meta import DNS1035, DNS_SUBDOMAIN
from .registry import ALL_VERBS, Resource

TABLE = "apiextensions.k8s.io/customresourcedefinitions"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def defaults(crd):
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    spec.setdefault("conversion", {}).setdefault("strategy", "None")
    hook = (spec["conversion"].get("webhook") or {}).get("clientConfig") or {}
    if "service" in hook:
        hook["service"].setdefault("port", 443)


def initial_status(crd, when):
    spec = crd.get("spec") or {}
    fin = crd["metadata"].setdefault("finalizers", [])
    if FINALIZER not in fin:
        fin.append(FINALIZER)
    crd["status"] = {
        "acceptedNames": spec.get("names") or {},
        "storedVersions": [v["name"] for v in spec.get("versions") or () if v.get("storage")],
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": when,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": when,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
    }


def updated_status(crd):
    stored = crd.setdefault("status", {}).setdefault("storedVersions", [])
    for version in crd["spec"].get("versions") or ():
        if version.get("storage") and version["name"] not in stored:
            crd["status"]["storedVersions"] = stored + [version["name"]]
    crd["status"]["acceptedNames"] = crd["spec"].get("names") or {}


def validate(crd, old, registry):
    spec, causes = crd.get("spec") or {}, []
    names = spec.get("names") or {}
    for key in ("plural", "kind"):
        if not names.get(key):
            causes.append(f_required("spec.names." + key))
    if not spec.get("group"):
        causes.append(f_required("spec.group"))
    elif not DNS_SUBDOMAIN.match(spec["group"]) or "." not in spec["group"]:
        causes.append(
            f_invalid("spec.group", spec["group"], "should be a domain with at least one dot")
        )
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(f_unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
    if names.get("plural") and crd["metadata"]["name"] != "%s.%s" % (
        names["plural"],
        spec.get("group"),
    ):
        causes.append(
            f_invalid(
                "metadata.name", crd["metadata"]["name"], 'must be spec.names.plural+"."+spec.group'
            )
        )
    versions = spec.get("versions") or []
    if not versions:
        causes.append(f_required("spec.versions", "must have at least one version"))
    elif sum(bool(v.get("storage")) for v in versions) != 1:
        causes.append(
            f_invalid(
                "spec.versions",
                [v.get("name") for v in versions],
                "must have exactly one version marked as " "storage version",
            )
        )
    for i, version in enumerate(versions):
        _version(version, "spec.versions[%d]" % i, spec, causes)
    _conversion(spec.get("conversion") or {}, causes)
    taken = registry.group_kind(spec.get("group"), names.get("kind"))
    if taken is not None and taken.crd != crd["metadata"]["name"]:
        causes.append(
            f_invalid("spec.names.kind", names["kind"], "%s is already in use" % names["kind"])
        )
    if old and old["spec"].get("scope") != spec.get("scope"):
        causes.append(f_invalid("spec.scope", spec.get("scope"), "field is immutable"))
    return causes


def _conversion(conversion, causes):
    strategy = conversion.get("strategy")
    if strategy not in ("None", "Webhook"):
        causes.append(f_unsupported("spec.conversion.strategy", strategy, ("None", "Webhook")))
    hook = conversion.get("webhook") or {}
    if strategy == "Webhook":
        if not hook.get("conversionReviewVersions"):
            causes.append(f_required("spec.conversion.webhook.conversionReviewVersions"))
        elif "v1" not in hook["conversionReviewVersions"]:
            causes.append(
                f_invalid(
                    "spec.conversion.webhook.conversionReviewVersions",
                    hook["conversionReviewVersions"],
                    "must include at least one of v1",
                )
            )
        client = hook.get("clientConfig") or {}
        if bool(client.get("url")) == bool(client.get("service")):
            causes.append(
                f_required(
                    "spec.conversion.webhook.clientConfig",
                    "exactly one of url or service is required",
                )
            )


def _version(version, path, spec, causes):
    if not DNS1035.match(version.get("name") or ""):
        causes.append(
            f_invalid(
                path + ".name",
                version.get("name", ""),
                "a DNS-1035 label must consist of lower case " "alphanumeric characters or '-'",
            )
        )
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = path + ".schema.openAPIV3Schema"
    if not isinstance(schema, dict):
        causes.append(f_required(where, "schemas are required"))
        return
    if schema.get("type") != "object":
        causes.append(
            f_invalid(where + ".type", schema.get("type", ""), "must be object at the root")
        )
    if spec.get("preserveUnknownFields"):
        causes.append(
            f_invalid(
                "spec.preserveUnknownFields",
                True,
                "must be false in order to use defaults in the schema",
            )
        )
    _structural(schema, where, causes)


def _structural(schema, path, causes):
    if not isinstance(schema, dict):
        causes.append(f_invalid(path, str(schema), "must be an object"))
        return
    loose = schema.get("x-kubernetes-int-or-string") or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if not schema.get("type") and not loose:
        causes.append(f_required(path + ".type", "must not be empty for specified object fields"))
    elif schema.get("type") and schema["type"] not in _TYPES:
        causes.append(f_unsupported(path + ".type", schema["type"], _TYPES))
    if schema.get("properties") and schema.get("additionalProperties"):
        causes.append(
            f_forbidden(
                path + ".additionalProperties",
                "additionalProperties and properties are mutual exclusive",
            )
        )
    if schema.get("type") == "array":
        if not isinstance(schema.get("items"), dict):
            causes.append(f_required(path + ".items", "must be specified"))
        else:
            _structural(schema["items"], path + ".items", causes)
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get(
        "x-kubernetes-list-map-keys"
    ):
        causes.append(
            f_required(
                path + ".x-kubernetes-list-map-keys",
                "must not be empty if x-kubernetes-list-type is map",
            )
        )
    if schema.get("uniqueItems"):
        causes.append(
            f_forbidden(
                path + ".uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity "
                "becomes quadratic",
            )
        )
    for key, sub in (schema.get("properties") or {}).items():
        _structural(sub, "%s.properties[%s]" % (path, key), causes)
    if isinstance(schema.get("additionalProperties"), dict):
        _structural(schema["additionalProperties"], path + ".additionalProperties", causes)


def resources(crd):
    """The Resource of each served version."""
    spec, name = crd["spec"], crd["metadata"]["name"]
    names, out = spec["names"], []
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        subs = tuple(s for s in ("status",) if s in (version.get("subresources") or {}))
        out.append(
            Resource(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                spec["scope"] == "Namespaced",
                singular=names.get("singular", ""),
                short=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=subs,
                verbs=ALL_VERBS,
                list_kind=names.get("listKind", ""),
                schema=schema,
                crd=name,
                columns=tuple(version.get("additionalPrinterColumns") or ()),
                storage_version=storage,
            )
        )
        if version.get("deprecated"):
            out[-1].deprecation = version.get("deprecationWarning") or "%s/%s %s is deprecated" % (
                spec["group"],
                version["name"],
                names["kind"],
            )
    return out


def follow(parts):
    """Keeps registry and converter in step with the CRDs in the store."""

    def serve(crd):
        parts.registry.remove_crd(crd["metadata"]["name"])
        for res in resources(crd):
            parts.registry.add(res)
        parts.converter.strategies[crd["metadata"]["name"]] = crd["spec"].get("conversion")

    def heard(table, event):
        if table != TABLE:
            return
        obj = event.entry.obj
        if event.type == "DELETED":
            parts.registry.remove_crd(obj["metadata"]["name"])
            parts.converter.strategies.pop(obj["metadata"]["name"], None)
        elif event.old is None or event.old.obj["spec"] != obj["spec"]:
            serve(obj)

    for entry in parts.store.table(TABLE).values():
        serve(entry.obj)
    parts.store.listeners.append(heard)
