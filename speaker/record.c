/*
 * Deep copies and comparisons of decisions.
 */
#include "speaker/record.h"

#include <string.h>

#include "metallb/xalloc.h"

static struct strs strs_copy(const struct strs *in, struct arena *a)
{
	const char **items = arena_calloc(a, in->n, sizeof(*items));

	for (size_t i = 0; i < in->n; i++)
		items[i] = arena_strdup(a, in->items[i]);
	return (struct strs){items, in->n};
}

static void l2_copy(struct announce_l2 *to, const struct announce_l2 *from, struct arena *a)
{
	struct announce_l2_ip *ips = arena_calloc(a, from->n_ips, sizeof(*ips));

	*to = *from;
	to->ranking = strs_copy(&from->ranking, a);
	for (size_t i = 0; i < from->n_ips; i++) {
		ips[i] = from->ips[i];
		ips[i].interfaces = strs_copy(&from->ips[i].interfaces, a);
	}
	to->ips = ips;
}

static void bgp_copy(struct announce_bgp *to, const struct announce_bgp *from, struct arena *a)
{
	struct announce_route *routes = arena_calloc(a, from->n_routes, sizeof(*routes));

	*to = *from;
	for (size_t i = 0; i < from->n_routes; i++) {
		const struct announce_route *r = &from->routes[i];

		routes[i] = *r;
		routes[i].communities =
			arena_memdup(a, r->communities, r->n_communities * sizeof(*r->communities));
		routes[i].peers = strs_copy(&r->peers, a);
		routes[i].advertisement = arena_strdup(a, r->advertisement);
	}
	to->routes = routes;
}

/* Nearly all records of a node are of one size. */
static size_t expected_size;

struct record *record_new(const struct announce_decision *d)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->arena = arena_new_for(expected_size);
	r->d.gate = d->gate;
	r->d.ips = arena_memdup(r->arena, d->ips, d->n_ips * sizeof(*d->ips));
	r->d.n_ips = d->n_ips;
	l2_copy(&r->d.l2, &d->l2, r->arena);
	bgp_copy(&r->d.bgp, &d->bgp, r->arena);
	expected_size = arena_used(r->arena);
	return r;
}

struct record *record_free(struct record *r)
{
	if (!r)
		return NULL;
	arena_free(r->arena);
	free(r);
	return NULL;
}

bool record_same_ips(const struct announce_decision *a, const struct announce_decision *b)
{
	if (a->n_ips != b->n_ips)
		return false;
	for (size_t i = 0; i < a->n_ips; i++)
		if (!ip_eq(&a->ips[i], &b->ips[i]))
			return false;
	return true;
}

bool record_same_l2(const struct announce_decision *a, const struct announce_decision *b)
{
	const struct announce_l2 *x = &a->l2, *y = &b->l2;

	if (x->reason != y->reason || x->detail != y->detail || x->n_ips != y->n_ips ||
	    x->refuse_conflict != y->refuse_conflict || !strs_equal(&x->ranking, &y->ranking))
		return false;
	for (size_t i = 0; i < x->n_ips; i++)
		if (!ip_eq(&x->ips[i].ip, &y->ips[i].ip) ||
		    x->ips[i].all_interfaces != y->ips[i].all_interfaces ||
		    !strs_equal(&x->ips[i].interfaces, &y->ips[i].interfaces))
			return false;
	return true;
}

static bool route_same(const struct announce_route *a, const struct announce_route *b)
{
	if (prefix_cmp(&a->prefix, &b->prefix) != 0 || a->local_pref != b->local_pref ||
	    a->n_communities != b->n_communities || !strs_equal(&a->peers, &b->peers))
		return false;
	for (size_t i = 0; i < a->n_communities; i++)
		if (announce_community_cmp(&a->communities[i], &b->communities[i]) != 0)
			return false;
	return true;
}

bool record_same_bgp(const struct announce_decision *a, const struct announce_decision *b)
{
	if (a->bgp.reason != b->bgp.reason || a->bgp.n_routes != b->bgp.n_routes)
		return false;
	for (size_t i = 0; i < a->bgp.n_routes; i++)
		if (!route_same(&a->bgp.routes[i], &b->bgp.routes[i]))
			return false;
	return true;
}
