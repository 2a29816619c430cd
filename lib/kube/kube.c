/*
 * Kinds, request paths, keys, and reading common fields of objects. Pure.
 */
#include "metallb/kube.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"

#define RESOURCE(var, g, v, p, k, ns)                                                              \
	const struct kube_resource kube_##var = {                                                  \
		.group = (g), .version = (v), .plural = (p), .kind = (k), .namespaced = (ns)}

RESOURCE(namespaces, "", "v1", "namespaces", "Namespace", false);
RESOURCE(nodes, "", "v1", "nodes", "Node", false);
RESOURCE(pods, "", "v1", "pods", "Pod", true);
RESOURCE(services, "", "v1", "services", "Service", true);
RESOURCE(endpoints, "", "v1", "endpoints", "Endpoints", true);
RESOURCE(secrets, "", "v1", "secrets", "Secret", true);
RESOURCE(configmaps, "", "v1", "configmaps", "ConfigMap", true);
RESOURCE(serviceaccounts, "", "v1", "serviceaccounts", "ServiceAccount", true);
RESOURCE(events, "", "v1", "events", "Event", true);
RESOURCE(endpointslices, "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true);
RESOURCE(endpointslices_v1beta1, "discovery.k8s.io", "v1beta1", "endpointslices", "EndpointSlice",
	 true);
RESOURCE(leases, "coordination.k8s.io", "v1", "leases", "Lease", true);
RESOURCE(deployments, "apps", "v1", "deployments", "Deployment", true);
RESOURCE(daemonsets, "apps", "v1", "daemonsets", "DaemonSet", true);
RESOURCE(crds, "apiextensions.k8s.io", "v1", "customresourcedefinitions",
	 "CustomResourceDefinition", false);
RESOURCE(validating_webhooks, "admissionregistration.k8s.io", "v1",
	 "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false);
RESOURCE(networkpolicies, "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true);
RESOURCE(roles, "rbac.authorization.k8s.io", "v1", "roles", "Role", true);
RESOURCE(rolebindings, "rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true);
RESOURCE(clusterroles, "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false);
RESOURCE(clusterrolebindings, "rbac.authorization.k8s.io", "v1", "clusterrolebindings",
	 "ClusterRoleBinding", false);
RESOURCE(ipaddresspools, "metallb.io", "v1beta1", "ipaddresspools", "IPAddressPool", true);
RESOURCE(l2advertisements, "metallb.io", "v1beta1", "l2advertisements", "L2Advertisement", true);
RESOURCE(bgpadvertisements, "metallb.io", "v1beta1", "bgpadvertisements", "BGPAdvertisement", true);
RESOURCE(bgppeers, "metallb.io", "v1beta2", "bgppeers", "BGPPeer", true);
RESOURCE(bfdprofiles, "metallb.io", "v1beta1", "bfdprofiles", "BFDProfile", true);
RESOURCE(communities, "metallb.io", "v1beta1", "communities", "Community", true);
RESOURCE(servicel2statuses, "metallb.io", "v1beta1", "servicel2statuses", "ServiceL2Status", true);
RESOURCE(servicebgpstatuses, "metallb.io", "v1beta1", "servicebgpstatuses", "ServiceBGPStatus",
	 true);
RESOURCE(configurationstates, "metallb.io", "v1beta1", "configurationstates", "ConfigurationState",
	 true);
RESOURCE(metallbs, "metallb.io", "v1beta1", "metallbs", "MetalLB", true);

void kube_api_version(const struct kube_resource *resource, struct buf *out)
{
	if (resource->group[0])
		buf_printf(out, "%s/", resource->group);
	buf_add_str(out, resource->version);
}

/* RFC 3986, 2.3: what stands for itself. */
static void add_escaped(struct buf *out, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			buf_add_char(out, *s);
		else
			buf_printf(out, "%%%02X", (unsigned char)*s);
	}
}

static void add_segment(struct buf *out, const char *s)
{
	buf_add_char(out, '/');
	/* A dot segment would be resolved away by clients and proxies. */
	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0) {
		buf_add_str(out, s[1] ? "%2E%2E" : "%2E");
		return;
	}
	add_escaped(out, s);
}

void kube_path(const struct kube_ref *ref, struct buf *out)
{
	const struct kube_resource *r = ref->resource;

	buf_add_str(out, r->group[0] ? "/apis" : "/api");
	if (r->group[0])
		add_segment(out, r->group);
	add_segment(out, r->version);
	if (r->namespaced && ref->ns && ref->ns[0]) {
		buf_add_str(out, "/namespaces");
		add_segment(out, ref->ns);
	}
	add_segment(out, r->plural);
	if (!ref->name)
		return;
	add_segment(out, ref->name);
	if (ref->subresource)
		add_segment(out, ref->subresource);
}

void kube_path_query(struct buf *out, const char *name, const char *value)
{
	buf_add_char(out, strchr(buf_str(out), '?') ? '&' : '?');
	add_escaped(out, name);
	buf_add_char(out, '=');
	add_escaped(out, value);
}

char *kube_key(const char *ns, const char *name)
{
	return ns && ns[0] ? xasprintf("%s/%s", ns, name) : xstrdup(name);
}

void kube_key_split(char *key, const char **ns, const char **name)
{
	char *slash = strchr(key, '/');

	*ns = slash ? key : "";
	*name = slash ? slash + 1 : key;
	if (slash)
		*slash = '\0';
}

struct json_object *kube_json_get(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, name, &value);
	return value;
}

const char *kube_json_str(struct json_object *o, const char *name)
{
	struct json_object *value = kube_json_get(o, name);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

const char *kube_meta_str(struct json_object *o, const char *name)
{
	return kube_json_str(kube_json_get(o, "metadata"), name);
}
