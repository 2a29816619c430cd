/*
 * Who announces what, where, with which attributes, and if not, why. Used by the speaker and by
 * `kubectl metallb plan`. Pure.
 *
 * A view holds what all services have in common at one moment (configuration, nodes, live speakers,
 * this node's interfaces); announce_decide() answers for one service. Every speaker comes to the
 * same answer from the same input, so there is no leader. Election, order of the checks and reasons
 * are MetalLB's, so that a cluster may mix both.
 */
#ifndef METALLB_ANNOUNCE_H
#define METALLB_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/api.h"
#include "metallb/arena.h"
#include "metallb/buf.h"
#include "metallb/config.h"
#include "metallb/ip.h"

#define ANNOUNCE_EXCLUDE_LABEL "node.kubernetes.io/exclude-from-external-load-balancers"

enum announce_reason {
	ANNOUNCE_YES,
	/* of the service itself, for both protocols */
	ANNOUNCE_NO_CONFIG,
	ANNOUNCE_OTHER_CLASS,
	ANNOUNCE_NOT_LOADBALANCER,
	ANNOUNCE_NO_IP,
	ANNOUNCE_INVALID_IP,
	ANNOUNCE_IP_NOT_ALLOWED,
	ANNOUNCE_WITHDRAWN,
	/* of a protocol on this node */
	ANNOUNCE_NOT_OWNER,
	ANNOUNCE_NO_ADVERTISEMENT,
	ANNOUNCE_SHARED_IP_SELECTOR,
	ANNOUNCE_CONFLICTING,
	ANNOUNCE_NETWORK_UNAVAILABLE,
	ANNOUNCE_NODE_EXCLUDED,
	ANNOUNCE_NO_LOCAL_ENDPOINTS,
	ANNOUNCE_NO_ENDPOINTS,
	/* conflictPolicy Refuse, decided by the speaker */
	ANNOUNCE_ADDRESS_PROBED,
	ANNOUNCE_ADDRESS_IN_USE,
	ANNOUNCE_REASON_COUNT
};

/* MetalLB's word: "notOwner", ...; "" for ANNOUNCE_YES. */
const char *announce_reason_text(enum announce_reason reason);

struct announce_options {
	const char *node;       /* this node */
	const char *lb_class;   /* "" = services without a class */
	bool ignore_exclude_lb; /* the exclude label does not count */
};

/*
 * Interfaces on which a node cannot be heard, since it has lost the carrier, or not from afar,
 * since the gateway there does not answer it.
 */
#define ANNOUNCE_LOST_WAYS_OUT "*" /* among them: no gateway of the node answers any more */
struct announce_lost {
	const char *node;
	struct strs interfaces;
};

/* The options' strings and the configuration are borrowed for the life of the view, the rest only
 * while it is made. */
struct announce_world {
	const struct config *cfg; /* NULL: none yet */
	const struct node *const *nodes;
	size_t n_nodes;
	const struct strs *speakers;      /* names of nodes with a live speaker; NULL: all nodes */
	struct strs interfaces;           /* names of this node's interfaces that may be used */
	bool withdraw;                    /* all speakers shall withdraw everything */
	const struct announce_lost *lost; /* a node at most once */
	size_t n_lost;
};

struct announce_view;
struct announce_view *announce_view_new(const struct announce_options *opt,
					const struct announce_world *world);
struct announce_view *announce_view_free(struct announce_view *view); /* returns NULL */
/* Both lead to the same decisions; the same nodes are candidates in both. */
bool announce_view_same(const struct announce_view *a, const struct announce_view *b);
bool announce_view_same_nodes(const struct announce_view *a, const struct announce_view *b);
/* This node is kept from announcing by its exclude label. */
bool announce_view_is_excluded(const struct announce_view *view);

/* One service with the slices of its endpoints. */
struct announce_service {
	const struct service *svc;
	const struct endpointslice *const *slices;
	size_t n_slices;
	/* Nodes that announce it in layer 2: the best of these wins before all others. Empty to
	 * elect as MetalLB does. */
	struct strs holders;
};

/* Why layer 2 says ANNOUNCE_NOT_OWNER. */
enum announce_detail {
	ANNOUNCE_DETAIL_NONE,
	ANNOUNCE_DETAIL_NO_ENDPOINTS,  /* no endpoint anywhere can serve */
	ANNOUNCE_DETAIL_NO_CANDIDATES, /* no node passes the filters */
	ANNOUNCE_DETAIL_LOST           /* ranking[0] wins */
};

#define ANNOUNCE_RANKED_MAX 3

/* An address on the interfaces where this node answers for it. */
struct announce_l2_ip {
	struct ip ip;
	bool all_interfaces;
	struct strs interfaces; /* sorted, unique; names of the advertisements, here or not */
};

struct announce_l2 {
	enum announce_reason reason;
	enum announce_detail detail;
	struct strs ranking; /* the election's first nodes, at most ANNOUNCE_RANKED_MAX */
	size_t n_candidates;
	/* With ANNOUNCE_YES: empty when none of the wanted interfaces is here (announceFailed). */
	const struct announce_l2_ip *ips;
	size_t n_ips;
	bool refuse_conflict; /* an advertisement has conflictPolicy: Refuse */
};

/* What one advertisement makes of one address. */
struct announce_route {
	struct prefix prefix;
	uint32_t local_pref;                       /* 0 = not set */
	const struct community_value *communities; /* sorted, unique */
	size_t n_communities;
	struct strs peers; /* BGPPeer names; empty: all */
	const char *advertisement;
};

struct announce_bgp {
	enum announce_reason reason;
	const struct announce_route *routes; /* with ANNOUNCE_YES */
	size_t n_routes;
};

struct announce_decision {
	enum announce_reason gate; /* ANNOUNCE_YES: both protocols below were evaluated */
	const struct ip *ips;      /* of the service, in status order */
	size_t n_ips;
	const struct config_pool *pool;
	struct announce_l2 l2;
	struct announce_bgp bgp;
};

/*
 * All that the result points to lives in `a`, in the view or in its configuration. With a
 * gate other than ANNOUNCE_YES, l2.reason and bgp.reason repeat it.
 */
void announce_decide(const struct announce_view *view, const struct announce_service *in,
		     struct arena *a, struct announce_decision *out);

/*
 * Services that share an address, elected as a group: on their smallest shared address, over the
 * nodes that are candidates for each of them, so that one node answers for the address. Changes
 * l2 of each decision as announce_decide() made it. false when no node is a candidate for all: the
 * decisions stay as they are.
 */
bool announce_decide_group(const struct announce_view *view, const struct announce_service *in,
			   size_t n, const struct ip *shared, struct arena *a,
			   struct announce_decision *decisions);

/* A sentence for a person: why layer 2 / BGP does or does not announce here. */
void announce_l2_explain(const struct announce_decision *d, struct buf *out);
void announce_bgp_explain(const struct announce_decision *d, struct buf *out);

/* ---- election (MetalLB's, byte exact) ---- */

#define ANNOUNCE_HASH_SIZE 32
/* SHA-256 over the node's name, '#', the address as text. */
void announce_elect_hash(const char *node, const struct ip *ip, uint8_t out[ANNOUNCE_HASH_SIZE]);

struct announce_candidate {
	const char *node;
	int64_t score;
	uint8_t hash[ANNOUNCE_HASH_SIZE];
};
/* Fills the hashes and sorts: higher score first, then the smaller hash. */
void announce_elect_rank(struct announce_candidate *candidates, size_t n, const struct ip *ip);

/* Can this endpoint serve: ready absent or true, or serving true. */
bool announce_endpoint_serves(const struct endpoint *ep);

/* ---- routes of one peer ---- */

/* Routes of many services merged for a peer: one per prefix. */
struct announce_path {
	struct prefix prefix;
	uint32_t local_pref;
	const struct community_value *communities; /* sorted, unique: the union */
	size_t n_communities;
};

bool announce_route_is_for(const struct announce_route *route, const char *peer);
/*
 * Merge those of the routes that go to `peer` (order does not matter). Of different local
 * preferences the highest stays. *n gets the count; ascending by prefix.
 */
const struct announce_path *announce_paths_build(const struct announce_route *const *routes,
						 size_t n_routes, const char *peer, struct arena *a,
						 size_t *n);
/* Equal in all that goes over the wire. */
bool announce_path_equal(const struct announce_path *a, const struct announce_path *b);
/*
 * Does this peer's session run on this node (nodeSelectors; none: everywhere). labels NULL: the
 * node is not known yet, only peers without selectors run.
 */
bool announce_peer_runs(const struct config_peer *peer, const struct labels *labels);
/* "65000:1", "large:1:2:3"; buf of 48 bytes; returns buf. */
char *announce_community_format(const struct community_value *c, char buf[48]);
int announce_community_cmp(const struct community_value *a, const struct community_value *b);

#endif
