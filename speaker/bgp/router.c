/*
 * The set of peers. See router.h.
 */
#include "speaker/bgp/router.h"

#include <assert.h>
#include <stdlib.h>

#include "metallb/xalloc.h"

uint32_t bgp_router_id_of_name(const char *name)
{
	uint32_t crc = 0xFFFFFFFF;

	for (; *name; name++) {
		crc ^= (uint8_t)*name;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
	}
	crc = ~crc;
	return (crc & 0xFF) << 24 | (crc >> 8 & 0xFF) << 16 | (crc >> 16 & 0xFF) << 8 | crc >> 24;
}

void bgp_router_init(struct bgp_router *r, const struct random_source *random,
		     const char *node_name, bool restarted)
{
	*r = (struct bgp_router){0};
	r->shared.random = random;
	r->shared.restarted = restarted;
	r->shared.fallback_id = bgp_router_id_of_name(node_name ? node_name : "");
	if (r->shared.fallback_id == 0)
		r->shared.fallback_id = 1;
}

void bgp_router_fini(struct bgp_router *r)
{
	for (size_t i = 0; i < r->n_peers; i++)
		bgp_peer_free(r->peers[i]);
	for (size_t i = 0; i < r->n_dying; i++)
		bgp_peer_free(r->dying[i]);
	free(r->peers);
	free(r->dying);
	free(r->drain_reason);
	free(r->shared.events.items);
	*r = (struct bgp_router){0};
}

static int config_ptr_cmp(const void *a, const void *b)
{
	const struct bgp_peer_config *x = *(const struct bgp_peer_config *const *)a;
	const struct bgp_peer_config *y = *(const struct bgp_peer_config *const *)b;

	return strcmp(x->name, y->name);
}

static bool check_peers(const struct bgp_peer_config *peers, size_t n,
			const struct bgp_peer_config **sorted, struct err *err)
{
	if (n > BGP_PEERS_MAX)
		return err_set(err, "%zu BGP peers are more than %d", n, BGP_PEERS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!bgp_peer_config_check(&peers[i], err))
			return false;
		sorted[i] = &peers[i];
	}
	qsort(sorted, n, sizeof(*sorted), config_ptr_cmp);
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			return err_set(err, "BGPPeer %s: given twice", sorted[i]->name);
	return true;
}

static void remove_peer(struct bgp_router *r, struct bgp_peer *p, uint8_t subcode,
			const char *reason, usec_t now)
{
	bgp_peer_stop(p, subcode, reason, now);
	ARRAY_GROW(r->dying, r->n_dying, r->cap_dying);
	r->dying[r->n_dying++] = p;
}

static struct bgp_peer *add_peer(struct bgp_router *r, const struct bgp_peer_config *cfg,
				 usec_t now)
{
	struct bgp_peer *p = bgp_peer_new(&r->shared, cfg, now);

	if (r->draining)
		bgp_peer_drain(p, 0, r->drain_end, r->drain_reason, now);
	return p;
}

/* The same peer under a new configuration: kept, or replaced and its routes carried over. */
static struct bgp_peer *change_peer(struct bgp_router *r, struct bgp_peer *old,
				    const struct bgp_peer_config *cfg, usec_t now)
{
	struct bgp_peer *p;

	if (bgp_peer_config_same_session(&old->cfg, cfg)) {
		bgp_peer_update_config(old, cfg, now);
		return old;
	}
	p = add_peer(r, cfg, now);
	p->was_up = old->was_up;
	p->counters = old->counters;
	remove_peer(r, old, BGP_CEASE_CONFIG, "the peer's configuration changed", now);
	if (!r->draining) {
		bgp_rib_fini(&p->rib);
		bgp_rib_move(&p->rib, &old->rib);
	}
	return p;
}

bool bgp_router_set_peers(struct bgp_router *r, const struct bgp_peer_config *peers, size_t n,
			  usec_t now, struct err *err)
{
	_cleanup_free_ const struct bgp_peer_config **sorted =
		xreallocarray(NULL, n ? n : 1, sizeof(*sorted));
	struct bgp_peer **fresh;
	size_t old = 0;

	if (!check_peers(peers, n, sorted, err))
		return false;
	fresh = xreallocarray(NULL, n ? n : 1, sizeof(*fresh));
	for (size_t i = 0; i < n; i++) {
		while (old < r->n_peers && strcmp(r->peers[old]->cfg.name, sorted[i]->name) < 0)
			remove_peer(r, r->peers[old++], BGP_CEASE_DECONFIGURED,
				    "the peer was removed from the configuration", now);
		if (old < r->n_peers && strcmp(r->peers[old]->cfg.name, sorted[i]->name) == 0)
			fresh[i] = change_peer(r, r->peers[old++], sorted[i], now);
		else
			fresh[i] = add_peer(r, sorted[i], now);
	}
	while (old < r->n_peers)
		remove_peer(r, r->peers[old++], BGP_CEASE_DECONFIGURED,
			    "the peer was removed from the configuration", now);
	free(r->peers);
	r->peers = fresh;
	r->n_peers = n;
	return true;
}

struct bgp_peer *bgp_router_find(const struct bgp_router *r, const char *peer)
{
	size_t lo = 0, hi = r->n_peers;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(r->peers[mid]->cfg.name, peer);

		if (c == 0)
			return r->peers[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct bgp_peer *bgp_router_match(const struct bgp_router *r, const struct ip *addr,
				  const char *ifname, const char *vrf)
{
	for (size_t i = 0; i < r->n_peers; i++) {
		struct bgp_peer *p = r->peers[i];

		if (!ip_eq(&p->remote, addr) || strcmp(p->cfg.vrf, vrf) != 0)
			continue;
		if (addr->family == IP_V6 && ip_is_link_local(addr) &&
		    strcmp(p->cfg.interface, ifname) != 0)
			continue;
		return p;
	}
	return NULL;
}

static bool check_route(const char *peer, const struct bgp_route *route, struct err *err)
{
	const char *why = bgp_route_check(route);
	char buf[PREFIX_STR_MAX];

	return !why || err_set(err, "BGPPeer %s: route %s: %s", peer,
			       prefix_format(&route->prefix, buf), why);
}

bool bgp_router_set_routes(struct bgp_router *r, const char *peer, const struct bgp_route *routes,
			   size_t n, usec_t now, struct err *err)
{
	struct bgp_peer *p = bgp_router_find(r, peer);
	_cleanup_free_ struct bgp_route *good = NULL;
	size_t n_good = 0;
	bool ok = true;

	if (!p)
		return err_set(err, "BGPPeer %s: unknown", peer);
	if (p->drain != BGP_DRAIN_NONE)
		return true;
	if (n > BGP_ROUTES_MAX)
		return err_set(err, "BGPPeer %s: %zu routes are more than %d", peer, n,
			       BGP_ROUTES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (check_route(peer, &routes[i], ok ? err : NULL)) {
			if (good)
				good[n_good] = routes[i];
			n_good++;
			continue;
		}
		ok = false;
		if (good)
			continue;
		good = xreallocarray(NULL, n, sizeof(*good));
		memcpy(good, routes, i * sizeof(*good));
	}
	bgp_rib_set(&p->rib, good ? good : routes, n_good);
	bgp_peer_flush(p, now);
	return ok;
}

bool bgp_router_add_route(struct bgp_router *r, const char *peer, const struct bgp_route *route,
			  usec_t now, struct err *err)
{
	struct bgp_peer *p = bgp_router_find(r, peer);

	if (!p)
		return err_set(err, "BGPPeer %s: unknown", peer);
	if (p->drain != BGP_DRAIN_NONE)
		return true;
	if (!check_route(peer, route, err))
		return false;
	if (p->rib.n_want >= BGP_ROUTES_MAX)
		return err_set(err, "BGPPeer %s: more than %d routes", peer, BGP_ROUTES_MAX);
	bgp_rib_add(&p->rib, route);
	bgp_peer_flush(p, now);
	return true;
}

void bgp_router_del_route(struct bgp_router *r, const char *peer, const struct prefix *prefix,
			  usec_t now)
{
	struct bgp_peer *p = bgp_router_find(r, peer);

	if (!p || p->drain != BGP_DRAIN_NONE)
		return;
	bgp_rib_del(&p->rib, prefix);
	bgp_peer_flush(p, now);
}

void bgp_router_drain(struct bgp_router *r, usec_t wait, bool end, const char *reason, usec_t now)
{
	if (r->draining && (r->drain_end || !end))
		return;
	r->draining = true;
	r->drain_end = end;
	free(r->drain_reason);
	r->drain_reason = xstrdup(reason ? reason : "");
	for (size_t i = 0; i < r->n_peers; i++)
		bgp_peer_drain(r->peers[i], wait, end, r->drain_reason, now);
}

void bgp_router_undrain(struct bgp_router *r, usec_t now)
{
	r->draining = r->drain_end = false;
	free(r->drain_reason);
	r->drain_reason = NULL;
	for (size_t i = 0; i < r->n_peers; i++)
		bgp_peer_undrain(r->peers[i], now);
}

bool bgp_router_is_drained(const struct bgp_router *r)
{
	for (size_t i = 0; i < r->n_peers; i++)
		if (r->peers[i]->drain != BGP_DRAIN_DONE)
			return false;
	return r->draining;
}

void bgp_router_shutdown(struct bgp_router *r, const char *reason, usec_t now)
{
	for (size_t i = 0; i < r->n_peers; i++)
		bgp_peer_shutdown(r->peers[i], reason, now);
}

void bgp_router_tick(struct bgp_router *r, usec_t now)
{
	for (size_t i = 0; i < r->n_peers; i++)
		if (bgp_peer_deadline(r->peers[i]) <= now)
			bgp_peer_tick(r->peers[i], now);
}

usec_t bgp_router_deadline(const struct bgp_router *r)
{
	usec_t t = USEC_NEVER;

	for (size_t i = 0; i < r->n_peers; i++) {
		usec_t d = bgp_peer_deadline(r->peers[i]);

		if (d < t)
			t = d;
	}
	return t;
}

void bgp_router_reap(struct bgp_router *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_dying; i++) {
		bool busy = false;

		for (size_t k = 0; k < BGP_CONNS; k++)
			busy |= r->dying[i]->conn[k].is_open;
		if (busy)
			r->dying[n++] = r->dying[i];
		else
			bgp_peer_free(r->dying[i]);
	}
	r->n_dying = n;
}
