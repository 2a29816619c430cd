/*
 * Tables of the core kinds: Service, Node, Namespace, Pod, Secret, ConfigMap. Lenient: the API
 * server has checked them; only what we read is looked at.
 */
#include <openssl/evp.h>
#include <string.h>

#include "lib/api/core.h"
#include "lib/api/schema.h"
#include "metallb/xalloc.h"

/* ---- conditions, shared by several kinds ---- */

static const struct field condition_fields[] = {
	{"type", FT_STRING, 0, offsetof(struct api_condition, type)},
	{"status", FT_STRING, 0, offsetof(struct api_condition, status)},
	{"reason", FT_STRING, 0, offsetof(struct api_condition, reason)},
	{"message", FT_STRING, 0, offsetof(struct api_condition, message)},
	{"observedGeneration", FT_INT, 0, offsetof(struct api_condition, observed_generation)},
	{"lastTransitionTime", FT_TIME, 0, offsetof(struct api_condition, last_transition)},
};
static const struct shape condition_shape = SHAPE(condition_fields, struct api_condition);

/* Is the condition of this type True? */
static bool condition_is_true(json_object *list, const char *type)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		json_object *c = json_object_array_get_idx(list, i);
		json_object *t = decode_member(c, "type"), *s = decode_member(c, "status");

		if (json_object_is_type(t, json_type_string) &&
		    json_object_is_type(s, json_type_string) &&
		    strcmp(json_object_get_string(t), type) == 0)
			return strcmp(json_object_get_string(s), "True") == 0;
	}
	return false;
}

/* ---- Service ---- */

static bool service_port_number(struct decoder *d, json_object *value, void *base)
{
	int64_t v;

	if (!decode_int(d, value, &v))
		return false;
	if (v < 0 || v > UINT16_MAX)
		return decode_refuse(d, "%lld is not a port", (long long)v);
	((struct service_port *)base)->port = (uint16_t)v;
	return true;
}

static bool service_port_protocol(struct decoder *d, json_object *value, void *base)
{
	static const char *const names[] = {
		[SVC_TCP] = "TCP", [SVC_UDP] = "UDP", [SVC_SCTP] = "SCTP"};
	const char *s = decode_string(d, value);

	if (!s)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], s) == 0) {
			((struct service_port *)base)->protocol = (enum svc_protocol)i;
			return true;
		}
	return decode_refuse(d, "unknown protocol \"%.32s\"", s);
}

static const struct field port_fields[] = {
	{"name", FT_STRING, 0, offsetof(struct service_port, name)},
	{"protocol", FT_CUSTOM, .decode = service_port_protocol},
	{"port", FT_CUSTOM, .decode = service_port_number},
};
static const struct shape port_shape = SHAPE(port_fields, struct service_port);

static bool service_ingress(struct decoder *d, json_object *value, void *base)
{
	struct service *svc = base;
	size_t n;

	if (!decode_list_size(d, value, &n))
		return false;
	const char **ips = arena_calloc(d->arena, n, sizeof(*ips));
	const char **names = arena_calloc(d->arena, n, sizeof(*names));

	for (size_t i = 0; i < n; i++) {
		json_object *entry = json_object_array_get_idx(value, i);
		json_object *ip = decode_member(entry, "ip");
		json_object *name = decode_member(entry, "hostname");
		size_t mark = decode_enter_index(d, i);

		ips[i] = ip ? decode_string(d, ip) : "";
		names[i] = name ? decode_string(d, name) : "";
		if (!ips[i] || !names[i])
			return false;
		decode_leave(d, mark);
	}
	svc->ingress = (struct strs){ips, n};
	svc->ingress_hostnames = (struct strs){names, n};
	return true;
}

#define SVC(member) offsetof(struct service, member)

static const struct field service_spec_fields[] = {
	{"type", FT_STRING, 0, SVC(type), .def_text = "ClusterIP"},
	{"loadBalancerClass", FT_STRING, FF_NULL, SVC(load_balancer_class)},
	{"loadBalancerIP", FT_STRING, 0, SVC(load_balancer_ip)},
	{"clusterIP", FT_STRING, 0, SVC(cluster_ip)},
	{"clusterIPs", FT_STRINGS, 0, SVC(cluster_ips)},
	{"ipFamilyPolicy", FT_STRING, 0, SVC(ip_family_policy)},
	{"ipFamilies", FT_STRINGS, 0, SVC(ip_families)},
	{"externalTrafficPolicy", FT_STRING, 0, SVC(external_traffic_policy)},
	{"selector", FT_MAP, 0, SVC(selector)},
	{"ports", FT_LIST, 0, SVC(ports), .shape = &port_shape},
};
static const struct shape service_spec = SHAPE(service_spec_fields, struct service);

static const struct field service_lb_fields[] = {
	{"ingress", FT_CUSTOM, .decode = service_ingress},
};
static const struct shape service_lb = SHAPE(service_lb_fields, struct service);

static const struct field service_status_fields[] = {
	{"loadBalancer", FT_OBJECT, .shape = &service_lb},
	{"conditions", FT_LIST, 0, SVC(conditions), .shape = &condition_shape},
};
static const struct shape service_status_shape = SHAPE(service_status_fields, struct service);

static const struct field service_fields[] = {
	{"spec", FT_OBJECT, .shape = &service_spec},
	{"status", FT_OBJECT, .shape = &service_status_shape},
};
static const struct shape service_shape = SHAPE(service_fields, struct service);

/* ---- Node ---- */

static bool node_conditions(struct decoder *d, json_object *value, void *base)
{
	struct node *node = base;

	(void)d;
	node->network_unavailable = condition_is_true(value, "NetworkUnavailable");
	node->ready = condition_is_true(value, "Ready");
	return true;
}

static bool node_addresses(struct decoder *d, json_object *value, void *base)
{
	struct node *node = base;
	size_t n, m = 0;

	if (!decode_list_size(d, value, &n))
		return false;
	const char **items = arena_calloc(d->arena, n, sizeof(*items));

	for (size_t i = 0; i < n; i++) {
		json_object *entry = json_object_array_get_idx(value, i);
		json_object *type = decode_member(entry, "type");
		json_object *address = decode_member(entry, "address");
		const char *t = type ? json_object_get_string(type) : "";

		if (!address || (strcmp(t, "InternalIP") != 0 && strcmp(t, "ExternalIP") != 0))
			continue;
		items[m] = decode_string(d, address);
		if (!items[m++])
			return false;
	}
	node->addresses = (struct strs){items, m};
	return true;
}

static const struct field node_spec_fields[] = {
	{"unschedulable", FT_BOOL, 0, offsetof(struct node, unschedulable)},
	{"podCIDRs", FT_STRINGS, 0, offsetof(struct node, pod_cidrs)},
};
static const struct shape node_spec = SHAPE(node_spec_fields, struct node);
static const struct field node_status_fields[] = {
	{"conditions", FT_CUSTOM, .decode = node_conditions},
	{"addresses", FT_CUSTOM, .decode = node_addresses},
};
static const struct shape node_status = SHAPE(node_status_fields, struct node);
static const struct field node_fields[] = {
	{"spec", FT_OBJECT, .shape = &node_spec},
	{"status", FT_OBJECT, .shape = &node_status},
};
static const struct shape node_shape = SHAPE(node_fields, struct node);

/* ---- Pod ---- */

static bool pod_conditions(struct decoder *d, json_object *value, void *base)
{
	(void)d;
	((struct pod *)base)->ready = condition_is_true(value, "Ready");
	return true;
}

static bool pod_ips(struct decoder *d, json_object *value, void *base)
{
	struct pod *pod = base;
	size_t n, m = 0;

	if (!decode_list_size(d, value, &n))
		return false;
	const char **items = arena_calloc(d->arena, n, sizeof(*items));

	for (size_t i = 0; i < n; i++) {
		json_object *ip = decode_member(json_object_array_get_idx(value, i), "ip");

		if (!ip)
			continue;
		items[m] = decode_string(d, ip);
		if (!items[m++])
			return false;
	}
	pod->pod_ips = (struct strs){items, m};
	return true;
}

static const struct field pod_spec_fields[] = {
	{"nodeName", FT_STRING, 0, offsetof(struct pod, node_name)},
};
static const struct shape pod_spec = SHAPE(pod_spec_fields, struct pod);
static const struct field pod_status_fields[] = {
	{"podIP", FT_STRING, 0, offsetof(struct pod, pod_ip)},
	{"phase", FT_STRING, 0, offsetof(struct pod, phase)},
	{"podIPs", FT_CUSTOM, .decode = pod_ips},
	{"conditions", FT_CUSTOM, .decode = pod_conditions},
};
static const struct shape pod_status = SHAPE(pod_status_fields, struct pod);
static const struct field pod_fields[] = {
	{"spec", FT_OBJECT, .shape = &pod_spec},
	{"status", FT_OBJECT, .shape = &pod_status},
};
static const struct shape pod_shape = SHAPE(pod_fields, struct pod);

/* ---- Secret, ConfigMap, Namespace ---- */

/* Standard base64 with padding; false when it is not. */
static bool decode_base64(struct decoder *d, const char *s, size_t len, const uint8_t **out,
			  size_t *out_len)
{
	if (len % 4)
		return false;
	uint8_t *bytes = arena_alloc(d->arena, len / 4 * 3 + 1);
	int n = len ? EVP_DecodeBlock(bytes, (const uint8_t *)s, (int)len) : 0;
	size_t pad = 0;

	if (n < 0)
		return false;
	while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
		pad++;
	*out_len = (size_t)n - pad;
	bytes[*out_len] = '\0';
	*out = bytes;
	return true;
}

/* One value of the map: base64, or (stringData) the text itself. */
static bool secret_value(struct decoder *d, json_object *value, bool plain,
			 struct secret_item *item)
{
	const char *text = value ? decode_string(d, value) : "";

	if (!text)
		return false;
	if (plain) {
		item->value = (const uint8_t *)arena_strdup(d->arena, text);
		item->len = strlen(text);
		return true;
	}
	return decode_base64(d, text, strlen(text), &item->value, &item->len) ||
	       decode_refuse(d, "not base64");
}

/* The entries go before those that are there: stringData wins over data. */
static bool secret_entries(struct decoder *d, json_object *value, bool plain, struct secret *secret)
{
	if (!json_object_is_type(value, json_type_object))
		return decode_refuse_type(d, value, "an object");
	size_t n = (size_t)json_object_object_length(value), i = 0;

	if (n > API_LIST_MAX)
		return decode_refuse(d, "%zu entries are more than %u", n, API_LIST_MAX);
	struct secret_item *items = arena_calloc(d->arena, n + secret->n_items, sizeof(*items));

	json_object_object_foreach(value, key, v)
	{
		size_t mark = decode_enter(d, key);

		items[i].key = arena_strdup(d->arena, key);
		if (!secret_value(d, v, plain, &items[i++]))
			return false;
		decode_leave(d, mark);
	}
	for (size_t k = 0; k < secret->n_items; k++)
		items[n + k] = secret->items[k];
	secret->items = items;
	secret->n_items += n;
	return true;
}

static bool secret_data(struct decoder *d, json_object *value, void *base)
{
	return secret_entries(d, value, false, base);
}

/* A server folds it into data; a manifest that has not been there yet still has it. */
static bool secret_string_data(struct decoder *d, json_object *value, void *base)
{
	return secret_entries(d, value, true, base);
}

static const struct field secret_fields[] = {
	{"type", FT_STRING, 0, offsetof(struct secret, type), .def_text = "Opaque"},
	{"data", FT_CUSTOM, .decode = secret_data},
	{"stringData", FT_CUSTOM, .decode = secret_string_data},
};
static const struct shape secret_shape = SHAPE(secret_fields, struct secret);

static const struct field configmap_fields[] = {
	{"data", FT_MAP, 0, offsetof(struct configmap, data)},
};
static const struct shape configmap_shape = SHAPE(configmap_fields, struct configmap);
static const struct shape namespace_shape = {.size = sizeof(struct namespace_)};

const struct shape *schema_core_shape(enum api_kind kind)
{
	switch (kind) {
	case API_SERVICE:
		return &service_shape;
	case API_ENDPOINTSLICE:
		return &endpointslice_shape;
	case API_NODE:
		return &node_shape;
	case API_POD:
		return &pod_shape;
	case API_SECRET:
		return &secret_shape;
	case API_CONFIGMAP:
		return &configmap_shape;
	default:
		return &namespace_shape;
	}
}
