/*
 * Endpoints of a Service in all three forms: EndpointSlice of discovery.k8s.io v1 and v1beta1 (node
 * in topology), and the core Endpoints object. All become one struct endpointslice.
 *
 * Items of a list carry no kind, so the form is told by the fields. Node names repeat a lot within
 * a slice: equal ones share one copy.
 */
#include <string.h>

#include "lib/api/core.h"
#include "metallb/xalloc.h"

#define SERVICE_LABEL  "kubernetes.io/service-name"
#define HOSTNAME_LABEL "kubernetes.io/hostname"

/* Look back this far for an equal node name. */
#define NAMES_KEPT 64u

struct names {
	const char *items[NAMES_KEPT];
	size_t n;
};

static const char *names_add(struct decoder *d, struct names *names, json_object *value)
{
	if (!value)
		return "";
	if (!json_object_is_type(value, json_type_string))
		return decode_string(d, value);
	size_t kept = names->n < NAMES_KEPT ? names->n : NAMES_KEPT;
	const char *text = json_object_get_string(value);

	for (size_t i = 0; i < kept; i++)
		if (strcmp(names->items[i], text) == 0)
			return names->items[i];
	const char *copy = decode_string(d, value);

	if (copy)
		names->items[names->n++ % NAMES_KEPT] = copy;
	return copy;
}

static uint8_t tristate_of(json_object *conditions, const char *name)
{
	json_object *v = decode_member(conditions, name);

	if (!json_object_is_type(v, json_type_boolean))
		return TRI_UNSET;
	return json_object_get_boolean(v) ? TRI_TRUE : TRI_FALSE;
}

static bool slice_endpoint(struct decoder *d, struct names *names, json_object *json,
			   struct endpoint *ep)
{
	json_object *conditions = decode_member(json, "conditions");
	json_object *addresses = decode_member(json, "addresses");
	json_object *node = decode_member(json, "nodeName");

	if (!json_object_is_type(json, json_type_object))
		return decode_refuse_type(d, json, "an object");
	if (!node)
		node = decode_member(decode_member(json, "topology"), HOSTNAME_LABEL);
	ep->node_name = names_add(d, names, node);
	ep->ready = tristate_of(conditions, "ready");
	ep->serving = tristate_of(conditions, "serving");
	ep->terminating = tristate_of(conditions, "terminating");
	ep->has_address = json_object_is_type(addresses, json_type_array) &&
			  json_object_array_length(addresses) > 0;
	return ep->node_name != NULL;
}

static bool slice_endpoints(struct decoder *d, json_object *value, void *base)
{
	struct endpointslice *slice = base;
	struct names names = {.n = 0};
	size_t n;

	if (!decode_list_size(d, value, &n))
		return false;
	struct endpoint *eps = arena_calloc(d->arena, n, sizeof(*eps));

	for (size_t i = 0; i < n; i++) {
		size_t mark = decode_enter_index(d, i);

		if (!slice_endpoint(d, &names, json_object_array_get_idx(value, i), &eps[i]))
			return false;
		decode_leave(d, mark);
	}
	slice->endpoints = eps;
	slice->n_endpoints = n;
	return true;
}

static size_t list_length(json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* One address list of a subset: all its endpoints are ready, or none is. */
static bool subset_addresses(struct decoder *d, struct names *names, json_object *list, bool ready,
			     struct endpoint *eps, size_t *n)
{
	for (size_t i = 0; i < list_length(list); i++) {
		json_object *entry = json_object_array_get_idx(list, i);
		struct endpoint *ep = &eps[(*n)++];

		ep->node_name = names_add(d, names, decode_member(entry, "nodeName"));
		ep->ready = ep->serving = ready ? TRI_TRUE : TRI_FALSE;
		ep->has_address = decode_member(entry, "ip") != NULL;
		if (!ep->node_name)
			return false;
	}
	return true;
}

static bool endpoints_subsets(struct decoder *d, json_object *value, void *base)
{
	struct endpointslice *slice = base;
	struct names names = {.n = 0};
	size_t n, total = 0, used = 0;

	if (!decode_list_size(d, value, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		json_object *s = json_object_array_get_idx(value, i);

		total += list_length(decode_member(s, "addresses")) +
			 list_length(decode_member(s, "notReadyAddresses"));
	}
	if (total > API_LIST_MAX)
		return decode_refuse(d, "%zu addresses are more than %u", total, API_LIST_MAX);
	struct endpoint *eps = arena_calloc(d->arena, total, sizeof(*eps));

	for (size_t i = 0; i < n; i++) {
		json_object *s = json_object_array_get_idx(value, i);

		if (!subset_addresses(d, &names, decode_member(s, "addresses"), true, eps, &used) ||
		    !subset_addresses(d, &names, decode_member(s, "notReadyAddresses"), false, eps,
				      &used))
			return false;
	}
	slice->endpoints = eps;
	slice->n_endpoints = used;
	slice->service_name = slice->obj.meta.name;
	return true;
}

static bool is_endpoints(struct decoder *d, json_object *value, void *base)
{
	struct endpointslice *slice = base;
	const char *kind = decode_string(d, value);

	if (!kind)
		return false;
	if (strcmp(kind, "Endpoints") == 0)
		slice->service_name = slice->obj.meta.name;
	return true;
}

static bool slice_finish(struct decoder *d, void *base)
{
	struct endpointslice *slice = base;
	const char *name = labels_get(&slice->obj.meta.labels, SERVICE_LABEL);

	(void)d;
	if (!slice->service_name)
		slice->service_name = name ? name : "";
	return true;
}

static const struct field slice_fields[] = {
	{"endpoints", FT_CUSTOM, .decode = slice_endpoints},
	{"subsets", FT_CUSTOM, .decode = endpoints_subsets},
	{"kind", FT_CUSTOM, .decode = is_endpoints},
};

const struct shape endpointslice_shape =
	SHAPE(slice_fields, struct endpointslice, .finish = slice_finish);
