/*
 * Kubernetes and metallb.io objects as plain data: only the fields that this system reads. Decoded
 * from JSON by lib/api (one table of fields per kind), each object in an arena of its own,
 * immutable after decoding. Strings are never NULL unless the comment says so; absent text is "".
 *
 * Facts: MetalLB's CRDs (group metallb.io) and the core API of Kubernetes.
 */
#ifndef METALLB_API_H
#define METALLB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/arena.h"
#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/err.h"
#include "metallb/ip.h"

struct json_object; /* json-c */

enum api_kind {
	/* metallb.io */
	API_IPADDRESSPOOL,
	API_L2ADVERTISEMENT,
	API_BGPADVERTISEMENT,
	API_BGPPEER, /* v1beta2; v1beta1 decodes to the same struct */
	API_BFDPROFILE,
	API_COMMUNITY,
	API_SERVICEL2STATUS,
	API_SERVICEBGPSTATUS,
	API_CONFIGURATIONSTATE,
	API_METALLB,
	/* core and friends */
	API_SERVICE,
	API_ENDPOINTSLICE, /* discovery v1 and v1beta1, and core Endpoints, all in one struct */
	API_NODE,
	API_NAMESPACE,
	API_POD,
	API_SECRET,
	API_CONFIGMAP,
	API_DAEMONSET, /* nothing but its metadata */
	API_KIND_COUNT
};

struct kv {
	const char *key, *value;
};

/* Sorted by key, keys unique. */
struct labels {
	const struct kv *items;
	size_t n;
};

struct strs {
	const char *const *items;
	size_t n;
};

struct meta {
	const char *name, *namespace, *uid, *resource_version;
	int64_t generation;
	struct labels labels, annotations;
	usec_t created; /* wall clock, 0 when absent */
	bool deleting;  /* deletionTimestamp is set */
};

/* The head of every decoded object. */
struct api_object {
	enum api_kind kind;
	const char *api_version; /* as it came */
	struct meta meta;
	struct arena *arena; /* owns the object itself and all it points to */
};

/* ---- label selectors (apimachinery labels.Selector) ---- */

enum selector_op { SEL_IN, SEL_NOT_IN, SEL_EXISTS, SEL_DOES_NOT_EXIST, SEL_INVALID };

struct selector_expr {
	const char *key, *op_text;
	enum selector_op op;
	struct strs values;
};

struct selector {
	struct labels match_labels;
	const struct selector_expr *exprs;
	size_t n_exprs;
};

struct selectors {
	const struct selector *items;
	size_t n;
};

bool selector_matches(const struct selector *s, const struct labels *labels);
/* OR of all; an empty list matches nothing (callers decide what empty means). */
bool selectors_match_any(const struct selectors *s, const struct labels *labels);
/* As Kubernetes checks it: known operators, values where they belong, key and value syntax. */
bool selector_check(const struct selector *s, struct err *err);
/* Canonical text in label selector syntax, requirements sorted by key; "" selects everything. */
char *selector_format(const struct selector *s, struct arena *a);

const char *labels_get(const struct labels *l, const char *key); /* NULL when absent */
bool labels_equal(const struct labels *a, const struct labels *b);
bool strs_equal(const struct strs *a, const struct strs *b); /* the order counts */

/* ---- metallb.io ---- */

struct ipaddresspool {
	struct api_object obj;
	struct strs addresses;
	struct strs avoid_addresses; /* ours: never given out automatically or on request */
	bool auto_assign;            /* default true */
	bool avoid_buggy_ips;
	bool has_allocation; /* serviceAllocation is present */
	int64_t priority;
	struct strs namespaces;
	struct selectors namespace_selectors, service_selectors;
	/* status, as stored */
	bool has_status;
	int64_t assigned_v4, assigned_v6, available_v4, available_v6;
};

struct preferred_node {
	int64_t weight;
	struct selector preference;
};

struct l2advertisement {
	struct api_object obj;
	struct strs pools;
	struct selectors pool_selectors, node_selectors, service_selectors;
	struct strs interfaces;
	const struct preferred_node *preferred;
	size_t n_preferred;
	const char *conflict_policy; /* ours: "Warn" (default) or "Refuse" */
};

struct bgpadvertisement {
	struct api_object obj;
	int64_t aggregation_length;    /* default 32 */
	int64_t aggregation_length_v6; /* default 128 */
	int64_t local_pref;
	struct strs communities, pools, peers;
	struct selectors pool_selectors, node_selectors, service_selectors;
};

#define DURATION_UNSET INT64_MIN /* of a nanosecond field that is absent */

struct bgppeer {
	struct api_object obj;
	int64_t my_asn, peer_asn, local_asn; /* 0 when absent */
	const char *dynamic_asn;             /* "internal", "external" or "" */
	const char *peer_address, *interface, *source_address, *router_id;
	int64_t peer_port;                         /* default 179 */
	int64_t hold_ns, keepalive_ns, connect_ns; /* DURATION_UNSET when absent */
	struct selectors node_selectors;
	const char *password, *password_secret_name, *password_secret_namespace;
	const char *bfd_profile, *vrf;
	bool graceful_restart, ebgp_multihop, disable_mp, dual_stack;
};

#define BFD_UNSET (-1)

struct bfdprofile {
	struct api_object obj;
	/* milliseconds, counts; BFD_UNSET when absent */
	int64_t receive_interval, transmit_interval, detect_multiplier, echo_interval, minimum_ttl;
	bool echo_mode, passive_mode;
};

struct community_alias {
	const char *name, *value;
};

struct community {
	struct api_object obj;
	const struct community_alias *aliases;
	size_t n_aliases;
};

/* ServiceL2Status and ServiceBGPStatus. */
struct service_status {
	struct api_object obj;
	const char *node, *service_name, *service_namespace;
	struct strs interfaces; /* layer 2 */
	struct strs peers;      /* BGP */
};

/* One entry of a status.conditions list. */
struct api_condition {
	const char *type, *status, *reason, *message;
	int64_t observed_generation;
	usec_t last_transition; /* wall clock, 0 when absent */
};

/* As one entry of a list in JSON. */
void api_condition_format(const struct api_condition *c, struct buf *out);

struct configuration_state {
	struct api_object obj;
	const char *result; /* "Valid", "Invalid", "Unknown" or "" */
	const char *error_summary;
	const struct api_condition *conditions;
	size_t n_conditions;
};

/* One of controllerConfig and speakerConfig. */
struct metallb_pods {
	const char *priority_class_name, *runtime_class_name;
	struct labels annotations;
	const char *affinity, *resources; /* JSON text, "" when absent */
};

/* The MetalLB resource. JSON text is kept where it only passes through to a pod template. */
struct metallb {
	struct api_object obj;
	const char *log_level, *load_balancer_class, *bgp_backend; /* "" when absent */
	struct labels node_selector, controller_node_selector;
	const char *speaker_tolerations, *controller_tolerations; /* JSON lists, "" when absent */
	struct metallb_pods controller, speaker;
	struct strs always_block;
	const char *frrk8s_namespace;
	bool secret_passthrough;
	const struct api_condition *conditions;
	size_t n_conditions;
};

/* ---- core ---- */

enum svc_protocol { SVC_TCP, SVC_UDP, SVC_SCTP };

struct service_port {
	const char *name;
	enum svc_protocol protocol;
	uint16_t port;
};

struct service {
	struct api_object obj;
	const char *type;                /* "LoadBalancer", ... */
	const char *load_balancer_class; /* NULL when absent */
	const char *load_balancer_ip;    /* "" when absent */
	const char *cluster_ip;          /* "" when absent; may be "None" */
	struct strs cluster_ips;
	const char *ip_family_policy; /* "" when absent */
	struct strs ip_families;      /* "IPv4", "IPv6" */
	const char *external_traffic_policy;
	struct labels selector;
	const struct service_port *ports;
	size_t n_ports;
	struct strs ingress;           /* ingress[].ip, "" where an entry has only a host name */
	struct strs ingress_hostnames; /* parallel to ingress */
	const struct api_condition *conditions;
	size_t n_conditions;
};

enum tristate { TRI_UNSET, TRI_FALSE, TRI_TRUE };

struct endpoint {
	const char *node_name;               /* "" when unknown */
	uint8_t ready, serving, terminating; /* enum tristate */
	bool has_address;
};

struct endpointslice {
	struct api_object obj;
	const char *service_name; /* label kubernetes.io/service-name, or the Endpoints' name */
	const struct endpoint *endpoints;
	size_t n_endpoints;
};

struct node {
	struct api_object obj;
	bool network_unavailable; /* condition NetworkUnavailable is True */
	bool ready;               /* condition Ready is True */
	bool unschedulable;
	struct strs addresses; /* status.addresses of type InternalIP and ExternalIP */
	struct strs pod_cidrs;
};

struct namespace_ {
	struct api_object obj;
};

struct pod {
	struct api_object obj;
	const char *node_name, *pod_ip, *phase;
	struct strs pod_ips;
	bool ready; /* condition Ready is True */
};

struct secret {
	struct api_object obj;
	const char *type;
	/* data, base64 decoded; NUL-terminated copies, length beside */
	const struct secret_item {
		const char *key;
		const uint8_t *value;
		size_t len;
	} * items;
	size_t n_items;
};

struct configmap {
	struct api_object obj;
	struct labels data;
};

/* ---- decoding ---- */

/* Bounds on what one object may hold; beyond them it is refused with a reason. */
#define API_STRING_MAX (2u << 20) /* bytes of one string */
#define API_LIST_MAX   100000u    /* elements of one list */
#define API_DEPTH_MAX  64u

/*
 * Decode an object of `kind`. Unknown fields are ignored; a wrong type, a value out of the schema's
 * bounds or a missing required field refuses it with a reason "Kind namespace/name: field: ...".
 * The result is freed with api_object_free(). NULL on refusal.
 */
struct api_object *api_decode(enum api_kind kind, struct json_object *json, struct err *err);
struct api_object *api_object_free(struct api_object *obj); /* NULL is fine; returns NULL */

/* What a kind is called and where it lives. */
struct api_kind_info {
	const char *kind, *plural;
	const char *group;   /* "" for core */
	const char *version; /* the one that is read and written by default */
	bool namespaced;
};
const struct api_kind_info *api_kind_info(enum api_kind kind);
/* By apiVersion and kind; false when it is none that is known. */
bool api_kind_find(const char *api_version, const char *kind, enum api_kind *out);

/* "namespace/name", or "name" where there is no namespace. */
char *api_key(const struct meta *meta, struct arena *a);

#endif
