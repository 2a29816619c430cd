/*
 * The set of peers: configurations in, the least of resets. Pure.
 */
#ifndef BGP_ROUTER_H
#define BGP_ROUTER_H

#include "speaker/bgp/peer.h"

struct bgp_router {
	struct bgp_shared_state shared;
	struct bgp_peer **peers; /* ascending by name */
	size_t n_peers;
	struct bgp_peer **dying; /* removed; freed once the shell closed their connections */
	size_t n_dying, cap_dying;
	bool draining, drain_end;
	char *drain_reason;
};

/* Can this session run? */
bool bgp_peer_config_check(const struct bgp_peer_config *c, struct err *err)
	__attribute__((warn_unused_result));

void bgp_router_init(struct bgp_router *r, const struct random_source *random,
		     const char *node_name, bool restarted);
void bgp_router_fini(struct bgp_router *r);

/* See the functions of the same names without "router" in bgp.h. */
bool bgp_router_set_peers(struct bgp_router *r, const struct bgp_peer_config *peers, size_t n,
			  usec_t now, struct err *err) __attribute__((warn_unused_result));
bool bgp_router_set_routes(struct bgp_router *r, const char *peer, const struct bgp_route *routes,
			   size_t n, usec_t now, struct err *err)
	__attribute__((warn_unused_result));
bool bgp_router_add_route(struct bgp_router *r, const char *peer, const struct bgp_route *route,
			  usec_t now, struct err *err) __attribute__((warn_unused_result));
void bgp_router_del_route(struct bgp_router *r, const char *peer, const struct prefix *prefix,
			  usec_t now);
void bgp_router_drain(struct bgp_router *r, usec_t wait, bool end, const char *reason, usec_t now);
void bgp_router_undrain(struct bgp_router *r, usec_t now);
bool bgp_router_is_drained(const struct bgp_router *r);
void bgp_router_shutdown(struct bgp_router *r, const char *reason, usec_t now);

struct bgp_peer *bgp_router_find(const struct bgp_router *r, const char *peer);
/*
 * The peer that a connection from `addr` belongs to, or NULL. ifname: where it came in, for
 * link-local addresses; vrf: of the listening socket.
 */
struct bgp_peer *bgp_router_match(const struct bgp_router *r, const struct ip *addr,
				  const char *ifname, const char *vrf);
void bgp_router_tick(struct bgp_router *r, usec_t now);
usec_t bgp_router_deadline(const struct bgp_router *r);
/* Free removed peers none of whose connections is open. */
void bgp_router_reap(struct bgp_router *r);

/* CRC-32 (IEEE) of the name, its bytes taken in little-endian order as an address. */
uint32_t bgp_router_id_of_name(const char *name);

#endif
