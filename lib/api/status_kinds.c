/*
 * Tables of the kinds that this system itself writes: ServiceL2Status, ServiceBGPStatus and
 * ConfigurationState. And metav1.Condition as the CRDs describe it.
 */
#include "lib/api/metallb_kinds.h"

#define CONDITION(member) offsetof(struct api_condition, member)

static const char *const statuses[] = {"True", "False", "Unknown", NULL};

static const struct field condition_fields[] = {
	{"lastTransitionTime", FT_TIME, FF_REQUIRED | FF_DATETIME, CONDITION(last_transition)},
	{"message", FT_STRING, FF_REQUIRED | FF_MAX, CONDITION(message), .max = 32768},
	{"observedGeneration", FT_INT, FF_INT64 | FF_MIN, CONDITION(observed_generation), .min = 0},
	{"reason", FT_STRING, FF_REQUIRED | FF_MIN | FF_MAX, CONDITION(reason), .min = 1,
	 .max = 1024, .pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
	{"status", FT_STRING, FF_REQUIRED, CONDITION(status), .enums = statuses},
	{"type", FT_STRING, FF_REQUIRED | FF_MAX, CONDITION(type), .max = 316,
	 .pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
		    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"},
};

const struct shape schema_condition = SHAPE(condition_fields, struct api_condition);

/* ---- ServiceL2Status, ServiceBGPStatus ---- */

#define STATUS(member) offsetof(struct service_status, member)

static bool interface_names(struct decoder *d, json_object *value, void *base)
{
	struct service_status *status = base;
	size_t n;

	if (!decode_list_size(d, value, &n))
		return false;
	const char **items = arena_calloc(d->arena, n, sizeof(*items));

	for (size_t i = 0; i < n; i++) {
		json_object *name = decode_member(json_object_array_get_idx(value, i), "name");
		size_t mark = decode_enter_index(d, i);

		items[i] = name ? decode_string(d, name) : "";
		if (!items[i])
			return false;
		decode_leave(d, mark);
	}
	status->interfaces = (struct strs){items, n};
	return true;
}

struct interface_entry {
	const char *name;
};

static const struct field interface_fields[] = {
	{"name", FT_STRING, 0, offsetof(struct interface_entry, name)},
};
static const struct shape interface_shape = SHAPE(interface_fields, struct interface_entry);

static const struct field l2_status_fields[] = {
	{"interfaces", FT_LIST, FF_CUSTOM, .shape = &interface_shape, .decode = interface_names},
	{"node", FT_STRING, FF_IMMUTABLE, STATUS(node)},
	{"serviceName", FT_STRING, FF_IMMUTABLE, STATUS(service_name)},
	{"serviceNamespace", FT_STRING, FF_IMMUTABLE, STATUS(service_namespace)},
};
static const struct shape l2_status = SHAPE(l2_status_fields, struct service_status);

static const struct field bgp_status_fields[] = {
	{"node", FT_STRING, FF_IMMUTABLE, STATUS(node)},
	{"peers", FT_STRINGS, 0, STATUS(peers)},
	{"serviceName", FT_STRING, FF_IMMUTABLE, STATUS(service_name)},
	{"serviceNamespace", FT_STRING, FF_IMMUTABLE, STATUS(service_namespace)},
};
static const struct shape bgp_status = SHAPE(bgp_status_fields, struct service_status);

static const struct shape empty_shape = {.n_fields = 0};

static const struct field l2_fields[] = {
	{"spec", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
	{"status", FT_OBJECT, .shape = &l2_status},
};
const struct shape service_l2_shape = SHAPE(l2_fields, struct service_status);

static const struct field bgp_fields[] = {
	{"spec", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
	{"status", FT_OBJECT, .shape = &bgp_status},
};
const struct shape service_bgp_shape = SHAPE(bgp_fields, struct service_status);

/* ---- ConfigurationState ---- */

#define STATE(member) offsetof(struct configuration_state, member)

static const char *const results[] = {"Valid", "Invalid", "Unknown", NULL};

static const struct field state_status_fields[] = {
	{"conditions", FT_LIST, FF_LISTMAP, STATE(conditions), .list_key = "type",
	 .shape = &schema_condition},
	{"errorSummary", FT_STRING, 0, STATE(error_summary)},
	{"result", FT_STRING, 0, STATE(result), .enums = results},
};
static const struct shape state_status = SHAPE(state_status_fields, struct configuration_state);
static const struct field state_fields[] = {
	{"status", FT_OBJECT, .shape = &state_status},
};
const struct shape configuration_state_shape = SHAPE(state_fields, struct configuration_state);
