/*
 * Structural schemas of the pieces of a pod template that the MetalLB resource passes through:
 * affinity, tolerations, resources. Only checked, never decoded.
 */
#include "lib/api/metallb_kinds.h"

struct nothing {
	char unused;
};

#define ATOMIC_STRINGS(name_, flags_)                                                              \
	{                                                                                          \
		name_, FT_STRINGS, FF_SKIP | FF_ATOMIC | (flags_)                                  \
	}

/* ---- node affinity ---- */

static const struct field requirement_fields[] = {
	{"key", FT_STRING, FF_SKIP | FF_REQUIRED},
	{"operator", FT_STRING, FF_SKIP | FF_REQUIRED},
	ATOMIC_STRINGS("values", 0),
};
static const struct shape requirement = SHAPE(requirement_fields, struct nothing);

static const struct field term_fields[] = {
	{"matchExpressions", FT_LIST, FF_SKIP | FF_ATOMIC, .shape = &requirement},
	{"matchFields", FT_LIST, FF_SKIP | FF_ATOMIC, .shape = &requirement},
};
static const struct shape term = SHAPE(term_fields, struct nothing);

static const struct field required_nodes_fields[] = {
	{"nodeSelectorTerms", FT_LIST, FF_SKIP | FF_REQUIRED | FF_ATOMIC, .shape = &term},
};
static const struct shape required_nodes = SHAPE(required_nodes_fields, struct nothing);

static const struct field preferred_nodes_fields[] = {
	{"preference", FT_OBJECT, FF_SKIP | FF_REQUIRED, .shape = &term},
	{"weight", FT_INT, FF_SKIP | FF_REQUIRED | FF_INT32},
};
static const struct shape preferred_nodes = SHAPE(preferred_nodes_fields, struct nothing);

#define REQUIRED_KEY  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED_KEY "preferredDuringSchedulingIgnoredDuringExecution"

static const struct field node_affinity_fields[] = {
	{PREFERRED_KEY, FT_LIST, FF_SKIP | FF_ATOMIC, .shape = &preferred_nodes},
	{REQUIRED_KEY, FT_OBJECT, FF_SKIP, .shape = &required_nodes},
};
static const struct shape node_affinity = SHAPE(node_affinity_fields, struct nothing);

/* ---- pod affinity ---- */

static const struct field pod_term_fields[] = {
	{"labelSelector", FT_OBJECT, FF_SKIP, .shape = &schema_selector},
	ATOMIC_STRINGS("matchLabelKeys", 0),
	ATOMIC_STRINGS("mismatchLabelKeys", 0),
	{"namespaceSelector", FT_OBJECT, FF_SKIP, .shape = &schema_selector},
	ATOMIC_STRINGS("namespaces", 0),
	{"topologyKey", FT_STRING, FF_SKIP | FF_REQUIRED},
};
static const struct shape pod_term = SHAPE(pod_term_fields, struct nothing);

static const struct field weighted_fields[] = {
	{"podAffinityTerm", FT_OBJECT, FF_SKIP | FF_REQUIRED, .shape = &pod_term},
	{"weight", FT_INT, FF_SKIP | FF_REQUIRED | FF_INT32},
};
static const struct shape weighted = SHAPE(weighted_fields, struct nothing);

static const struct field pod_affinity_fields[] = {
	{PREFERRED_KEY, FT_LIST, FF_SKIP | FF_ATOMIC, .shape = &weighted},
	{REQUIRED_KEY, FT_LIST, FF_SKIP | FF_ATOMIC, .shape = &pod_term},
};
static const struct shape pod_affinity = SHAPE(pod_affinity_fields, struct nothing);

static const struct field affinity_fields[] = {
	{"nodeAffinity", FT_OBJECT, FF_SKIP, .shape = &node_affinity},
	{"podAffinity", FT_OBJECT, FF_SKIP, .shape = &pod_affinity},
	{"podAntiAffinity", FT_OBJECT, FF_SKIP, .shape = &pod_affinity},
};
const struct shape schema_affinity = SHAPE(affinity_fields, struct nothing);

/* ---- tolerations and resources ---- */

static const struct field toleration_fields[] = {
	{"effect", FT_STRING, FF_SKIP},   {"key", FT_STRING, FF_SKIP},
	{"operator", FT_STRING, FF_SKIP}, {"tolerationSeconds", FT_INT, FF_SKIP | FF_INT64},
	{"value", FT_STRING, FF_SKIP},
};
const struct shape schema_toleration = SHAPE(toleration_fields, struct nothing);

static const struct field claim_fields[] = {
	{"name", FT_STRING, FF_SKIP | FF_REQUIRED},
	{"request", FT_STRING, FF_SKIP},
};
static const struct shape claim = SHAPE(claim_fields, struct nothing);

static const struct field resources_fields[] = {
	{"claims", FT_LIST, FF_SKIP | FF_LISTMAP, .list_key = "name", .shape = &claim},
	{"limits", FT_INT_OR_STRING_MAP, FF_SKIP},
	{"requests", FT_INT_OR_STRING_MAP, FF_SKIP},
};
const struct shape schema_resources = SHAPE(resources_fields, struct nothing);
