/*
 * The checked configuration: all resources compiled into one immutable structure, or reasons. Built
 * by config_build() from decoded objects; the operator, the speaker, the webhook and the command
 * line tool all run this same code.
 *
 * A struct config lives in one arena together with copies of everything it points to, so the
 * objects it was built from may go away. Pure.
 */
#ifndef METALLB_CONFIG_H
#define METALLB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/api.h"

/* Whose limits and defaults hold: METALLB_BGP_TYPE / spec.bgpBackend. */
enum bgp_backend { BACKEND_NATIVE, BACKEND_FRR, BACKEND_FRR_K8S };

struct community_value {
	bool large;
	uint32_t v[3]; /* large: all three; else v[0]:v[1], 16 bits each */
};

struct config_l2adv {
	const char *name;
	bool all_interfaces;
	struct strs interfaces;
	struct strs nodes;                  /* names of the nodes it applies to, sorted */
	struct selectors service_selectors; /* empty: all services */
	/* preference scores per node, only those > 0; parallel arrays */
	struct strs scored_nodes;
	const int64_t *scores;
	bool refuse_conflict; /* conflictPolicy: Refuse */
};

struct config_bgpadv {
	const char *name;
	unsigned aggregation_length, aggregation_length_v6;
	uint32_t local_pref;
	const struct community_value *communities; /* sorted, unique */
	size_t n_communities;
	struct strs nodes; /* sorted */
	struct strs peers; /* BGPPeer names; empty: all */
	struct selectors service_selectors;
};

/* One entry of spec.addresses. */
struct config_range {
	const char *text; /* as written */
	struct ip_range range;
	const struct prefix *prefixes; /* ascending; what the range is made of */
	size_t n_prefixes;
};

struct config_pool {
	const char *name;
	struct labels labels;
	const struct config_range *ranges; /* in the order of spec.addresses */
	size_t n_ranges;
	const struct ip_range *avoid; /* spec.avoidAddresses */
	size_t n_avoid;
	bool auto_assign, avoid_buggy_ips;
	/* serviceAllocation */
	bool has_allocation;
	int64_t priority;
	bool restricts_namespaces; /* namespaces are named or selected, even if none exists */
	struct strs namespaces;    /* named and selected ones, sorted, unique */
	/* one that selects everything where serviceAllocation names neither namespaces nor services
	 */
	struct selectors service_selectors;
	/* the advertisements that select this pool, in the order of their names */
	const struct config_l2adv *const *l2advs;
	size_t n_l2advs;
	const struct config_bgpadv *const *bgpadvs;
	size_t n_bgpadvs;
};

struct config_bfd {
	const char *name;
	int64_t receive_interval, transmit_interval, detect_multiplier, echo_interval, minimum_ttl;
	bool echo_mode, passive_mode;
};

struct config_peer {
	const char *name;
	uint32_t my_asn, peer_asn, local_asn;
	const char *dynamic_asn; /* "", "internal", "external" */
	struct ip address;       /* IP_NONE for an unnumbered peer */
	const char *interface;
	struct ip source_address, router_id; /* IP_NONE when unset */
	uint16_t port;
	int64_t hold_ns, keepalive_ns,
		connect_ns;              /* DURATION_UNSET when unset; derived as MetalLB does */
	struct selectors node_selectors; /* empty: all nodes */
	const char *password;            /* from the peer or its secret */
	const char *secret_name, *secret_namespace;
	bool password_from_secret;
	const char *bfd_profile, *vrf; /* "" when unset */
	bool graceful_restart, ebgp_multihop, disable_mp, dual_stack;
};

struct config {
	struct arena *arena;
	enum bgp_backend backend;
	const struct config_pool *pools; /* by name */
	size_t n_pools;
	const struct config_peer *peers; /* by name */
	size_t n_peers;
	const struct config_bfd *bfds; /* by name */
	size_t n_bfds;
	/* all valid advertisements by name, those that select no pool, too */
	const struct config_l2adv *const *l2advs;
	size_t n_l2advs;
	const struct config_bgpadv *const *bgpadvs;
	size_t n_bgpadvs;
	const char *bgp_extras;
	/* every range of every pool, by its first address */
	const struct config_span {
		struct ip_range range;
		const struct config_pool *pool;
	} * spans;
	size_t n_spans;
};

enum finding_severity { FINDING_ERROR, FINDING_TRANSIENT, FINDING_WARNING };

/* A reason that belongs to one object. */
struct config_finding {
	const struct api_object *obj; /* of the input */
	const char *field;            /* "spec.addresses[1]", or "" */
	const char *message;
	enum finding_severity severity;
	/*
	 * MetalLB's whole-configuration check reports this; false for findings that only our own,
	 * stricter checks make (the conformance runner and mixed clusters care).
	 */
	bool metallb;
};

struct config_report {
	struct arena *arena;
	const struct config_finding *findings; /* in the order of the checks */
	size_t n_findings, n_errors, n_transient;
};

/* Lists of decoded objects; the pointers stay the caller's. Order does not matter. */
struct objects {
	const struct ipaddresspool *const *pools;
	size_t n_pools;
	const struct l2advertisement *const *l2advs;
	size_t n_l2advs;
	const struct bgpadvertisement *const *bgpadvs;
	size_t n_bgpadvs;
	const struct bgppeer *const *peers;
	size_t n_peers;
	const struct bfdprofile *const *bfds;
	size_t n_bfds;
	const struct community *const *communities;
	size_t n_communities;
	const struct node *const *nodes;
	size_t n_nodes;
	const struct namespace_ *const *namespaces;
	size_t n_namespaces;
	const struct secret *const *secrets;
	size_t n_secrets;
	const char *bgp_extras; /* content of the bgpextras ConfigMap, "" when none */
};

struct config_options {
	enum bgp_backend backend;
	/* Admission: references that may come later (profiles, aliases, secrets) are not looked at.
	 */
	bool ignore_references;
	/* A speaker leaves out peers and BGP advertisements that do not select its node; "" = all.
	 */
	const char *node;
	bool secret_passthrough; /* frr-k8s: do not resolve password secrets */
	/* This object gives way where objects contradict each other, whatever its age; or NULL. */
	const struct api_object *newest;
};

/*
 * Build the configuration of every object that is valid, leaving out each bad one with its reason;
 * never fails as a whole. Where objects contradict each other (overlapping pools, a repeated alias)
 * the older one by (creation time, name) stays and the newer one is left out.
 * *out and *report are the caller's to free.
 */
void config_build(const struct objects *objs, const struct config_options *opt, struct config **out,
		  struct config_report **report);
struct config *config_free(struct config *cfg);                         /* returns NULL */
struct config_report *config_report_free(struct config_report *report); /* returns NULL */

/* Same content (so that an unchanged rebuild can be dropped). */
bool config_equal(const struct config *a, const struct config *b);

const struct config_pool *config_find_pool(const struct config *cfg, const char *name);
const struct config_peer *config_find_peer(const struct config *cfg, const char *name);
const struct config_bfd *config_find_bfd(const struct config *cfg, const char *name);
/* The pool whose ranges contain ip, or NULL; avoidBuggyIPs and avoidAddresses not looked at. */
const struct config_pool *config_pool_of(const struct config *cfg, const struct ip *ip);
/* ip ends in .0 or .255 (IPv4). */
bool config_ip_is_buggy(const struct ip *ip);
bool config_parse_community(const char *s, struct community_value *out);

#endif
