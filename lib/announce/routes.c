/*
 * BGP: is a service announced from this node, as which routes; and the routes of many services
 * merged into what one peer is told.
 */
#include <stdio.h>
#include <string.h>

#include "lib/announce/view.h"
#include "metallb/xalloc.h"

int announce_community_cmp(const struct community_value *a, const struct community_value *b)
{
	if (a->large != b->large)
		return a->large ? 1 : -1;
	for (size_t i = 0; i < ARRAY_SIZE(a->v); i++)
		if (a->v[i] != b->v[i])
			return a->v[i] < b->v[i] ? -1 : 1;
	return 0;
}

char *announce_community_format(const struct community_value *c, char buf[48])
{
	if (c->large)
		snprintf(buf, 48, "large:%u:%u:%u", c->v[0], c->v[1], c->v[2]);
	else
		snprintf(buf, 48, "%u:%u", c->v[0], c->v[1]);
	return buf;
}

/* ---- one service ---- */

static bool lists_disjoint(const struct strs *a, const struct strs *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			if (strcmp(a->items[i], b->items[j]) == 0)
				return false;
	return true;
}

struct families {
	bool v4, v6;
};

static struct families pool_families(const struct config_pool *pool)
{
	struct families f = {0};

	for (size_t i = 0; i < pool->n_ranges; i++) {
		f.v4 |= pool->ranges[i].range.first.family == IP_V4;
		f.v6 |= pool->ranges[i].range.first.family == IP_V6;
	}
	return f;
}

/* Could both reach one peer with the same prefix but different preferences. */
static bool advs_conflict(const struct config_bgpadv *a, const struct config_bgpadv *b,
			  struct families f)
{
	bool v4_differ = a->aggregation_length != b->aggregation_length;
	bool v6_differ = a->aggregation_length_v6 != b->aggregation_length_v6;

	if (a->local_pref == b->local_pref)
		return false;
	if ((v4_differ || !f.v4) && (v6_differ || !f.v6))
		return false;
	return a->peers.n == 0 || b->peers.n == 0 || !lists_disjoint(&a->peers, &b->peers);
}

static bool any_conflict(const struct config_bgpadv *const *advs, size_t n, struct families f)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (advs_conflict(advs[i], advs[j], f))
				return true;
	return false;
}

static enum announce_reason endpoints_verdict(const struct announce_view *view,
					      const struct announce_service *in)
{
	bool local = strcmp(in->svc->external_traffic_policy, "Local") == 0;

	for (size_t i = 0; i < in->n_slices; i++) {
		for (size_t j = 0; j < in->slices[i]->n_endpoints; j++) {
			const struct endpoint *ep = &in->slices[i]->endpoints[j];

			if (ep->has_address && announce_endpoint_serves(ep) &&
			    (!local || strcmp(ep->node_name, view->opt.node) == 0))
				return ANNOUNCE_YES;
		}
	}
	return local ? ANNOUNCE_NO_LOCAL_ENDPOINTS : ANNOUNCE_NO_ENDPOINTS;
}

static void routes_fill(const struct config_bgpadv *const *advs, size_t n, struct arena *a,
			struct announce_decision *d)
{
	struct announce_route *routes = arena_calloc(a, n * d->n_ips, sizeof(*routes));
	size_t k = 0;

	for (size_t i = 0; i < d->n_ips; i++) {
		for (size_t j = 0; j < n; j++) {
			const struct config_bgpadv *adv = advs[j];
			unsigned len = d->ips[i].family == IP_V4 ? adv->aggregation_length
								 : adv->aggregation_length_v6;

			routes[k++] = (struct announce_route){
				.prefix = prefix_of(&d->ips[i], len),
				.local_pref = adv->local_pref,
				.communities = adv->communities,
				.n_communities = adv->n_communities,
				.peers = adv->peers,
				.advertisement = adv->name,
			};
		}
	}
	d->bgp.routes = routes;
	d->bgp.n_routes = k;
}

void bgp_decide(const struct announce_view *view, const struct announce_service *in,
		struct arena *a, struct announce_decision *d)
{
	const struct config_pool *pool = d->pool;
	const struct config_bgpadv **advs = arena_calloc(a, pool->n_bgpadvs, sizeof(*advs));
	size_t n_node = 0, n = 0;

	for (size_t i = 0; i < pool->n_bgpadvs; i++) {
		const struct config_bgpadv *adv = pool->bgpadvs[i];

		if (!strs_contains(&adv->nodes, view->opt.node))
			continue;
		n_node++;
		if (adv->service_selectors.n == 0 ||
		    selectors_match_any(&adv->service_selectors, &in->svc->obj.meta.labels))
			advs[n++] = adv;
	}
	if (n_node == 0)
		d->bgp.reason = ANNOUNCE_NOT_OWNER;
	else if (n == 0)
		d->bgp.reason = ANNOUNCE_NO_ADVERTISEMENT;
	else if (any_conflict(advs, n, pool_families(pool)))
		d->bgp.reason = ANNOUNCE_CONFLICTING;
	else
		d->bgp.reason = view->node_says;
	if (d->bgp.reason == ANNOUNCE_YES)
		d->bgp.reason = endpoints_verdict(view, in);
	if (d->bgp.reason == ANNOUNCE_YES)
		routes_fill(advs, n, a, d);
}

/* ---- one peer ---- */

bool announce_peer_runs(const struct config_peer *peer, const struct labels *labels)
{
	if (peer->node_selectors.n == 0)
		return true;
	return labels && selectors_match_any(&peer->node_selectors, labels);
}

bool announce_route_is_for(const struct announce_route *route, const char *peer)
{
	for (size_t i = 0; i < route->peers.n; i++)
		if (strcmp(route->peers.items[i], peer) == 0)
			return true;
	return route->peers.n == 0;
}

static int route_cmp(const void *pa, const void *pb)
{
	const struct announce_route *const *a = pa, *const *b = pb;

	return prefix_cmp(&(*a)->prefix, &(*b)->prefix);
}

static int community_qsort_cmp(const void *a, const void *b)
{
	return announce_community_cmp(a, b);
}

/* The routes of one prefix as one path. */
static struct announce_path path_merge(const struct announce_route *const *routes, size_t n,
				       struct arena *a)
{
	struct announce_path path = {
		.prefix = routes[0]->prefix,
		.local_pref = routes[0]->local_pref,
		.communities = routes[0]->communities,
		.n_communities = routes[0]->n_communities,
	};
	size_t max = 0, kept = 0;

	for (size_t i = 0; i < n; i++) {
		max += routes[i]->n_communities;
		if (routes[i]->local_pref > path.local_pref)
			path.local_pref = routes[i]->local_pref;
	}
	if (n == 1 || max == 0)
		return path;
	struct community_value *all = arena_calloc(a, max, sizeof(*all));

	max = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < routes[i]->n_communities; j++)
			all[max++] = routes[i]->communities[j];
	qsort(all, max, sizeof(*all), community_qsort_cmp);
	for (size_t i = 0; i < max; i++)
		if (kept == 0 || announce_community_cmp(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
	path.communities = all;
	path.n_communities = kept;
	return path;
}

const struct announce_path *announce_paths_build(const struct announce_route *const *routes,
						 size_t n_routes, const char *peer, struct arena *a,
						 size_t *n)
{
	const struct announce_route **mine = arena_calloc(a, n_routes, sizeof(*mine));
	struct announce_path *paths;
	size_t n_mine = 0;

	for (size_t i = 0; i < n_routes; i++)
		if (announce_route_is_for(routes[i], peer))
			mine[n_mine++] = routes[i];
	if (n_mine > 1)
		qsort(mine, n_mine, sizeof(*mine), route_cmp);
	paths = arena_calloc(a, n_mine, sizeof(*paths));
	*n = 0;
	for (size_t i = 0; i < n_mine;) {
		size_t end = i + 1;

		while (end < n_mine && prefix_cmp(&mine[i]->prefix, &mine[end]->prefix) == 0)
			end++;
		paths[(*n)++] = path_merge(&mine[i], end - i, a);
		i = end;
	}
	return paths;
}

bool announce_path_equal(const struct announce_path *a, const struct announce_path *b)
{
	if (prefix_cmp(&a->prefix, &b->prefix) != 0 || a->local_pref != b->local_pref ||
	    a->n_communities != b->n_communities)
		return false;
	for (size_t i = 0; i < a->n_communities; i++)
		if (announce_community_cmp(&a->communities[i], &b->communities[i]) != 0)
			return false;
	return true;
}
