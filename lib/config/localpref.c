/*
 * A route has one local preference: two advertisements that make the same route for the same peers
 * on the same node must agree on it. The younger of two that do not is left out.
 *
 * Advertisements that are alike in all that matters form a class; pairs of classes are compared
 * once, whatever the number of pools.
 */
#include <string.h>

#include "lib/config/build.h"
#include "metallb/xalloc.h"

/* What decides whether two lengths make the same route. */
enum families { ONLY_V4, ONLY_V6, BOTH, FAMILIES_COUNT };

enum known { UNKNOWN, FINE, CONFLICT };

#define CLASSES_MAX 2048 /* pairs are remembered up to here */

struct memory {
	uint8_t *pairs[FAMILIES_COUNT]; /* of enum known; NULL: too many classes */
	size_t n;
};

static bool peers_meet(const struct adv_work *x, const struct adv_work *y)
{
	if (x->peers.n == 0 || y->peers.n == 0)
		return true;
	for (size_t i = 0; i < x->peers.n; i++)
		if (strs_has(&y->peers, x->peers.items[i]))
			return true;
	return false;
}

static bool same_route(const struct adv_work *x, const struct adv_work *y, enum families f)
{
	bool v4 = x->out->aggregation_length == y->out->aggregation_length;
	bool v6 = x->out->aggregation_length_v6 == y->out->aggregation_length_v6;

	if (f == ONLY_V4)
		return v4;
	return f == ONLY_V6 ? v6 : v4 || v6;
}

static bool conflict(const struct build *b, const struct adv_work *x, const struct adv_work *y,
		     enum families f)
{
	return x->out->local_pref != y->out->local_pref && x->in->service_selectors.n == 0 &&
	       y->in->service_selectors.n == 0 && same_route(x, y, f) && peers_meet(x, y) &&
	       node_sets_meet(b, x->nodes, y->nodes);
}

static bool conflict_known(const struct build *b, struct memory *m, const struct adv_work *x,
			   const struct adv_work *y, enum families f)
{
	if (x->class == y->class)
		return false;
	if (!m->pairs[f])
		return conflict(b, x, y, f);
	uint8_t *known = &m->pairs[f][(x->class - 1) * m->n + y->class - 1];

	if (*known == UNKNOWN)
		*known = conflict(b, x, y, f) ? CONFLICT : FINE;
	return *known == CONFLICT;
}

/* One advertisement of each class is enough: the rest of a class says the same. */
static size_t pick_classes(const struct pool_work *p, uint8_t *seen, size_t n_classes,
			   struct adv_work **out)
{
	size_t n = 0;

	memset(seen, 0, n_classes + 1);
	for (size_t i = 0; i < p->n_bgpadvs; i++)
		if (!p->bgpadvs[i]->bad && !seen[p->bgpadvs[i]->class]) {
			seen[p->bgpadvs[i]->class] = 1;
			out[n++] = p->bgpadvs[i];
		}
	return n;
}

/* An older advertisement of the pool that this one contradicts, or NULL. */
static const struct adv_work *find_conflict(const struct build *b, struct memory *m,
					    struct adv_work *const *older, size_t n,
					    const struct adv_work *adv, enum families f)
{
	for (size_t i = 0; i < n && older[i]->in != adv->in; i++)
		if (!older[i]->bad && conflict_known(b, m, older[i], adv, f))
			return older[i];
	return NULL;
}

static void check_pool(struct build *b, struct memory *m, struct pool_work *p, uint8_t *seen,
		       struct adv_work **firsts)
{
	enum families f = p->has_v4 && p->has_v6 ? BOTH : p->has_v6 ? ONLY_V6 : ONLY_V4;
	size_t n = pick_classes(p, seen, b->n_classes, firsts);

	if (n < 2)
		return;
	for (size_t i = 0; i < p->n_bgpadvs; i++) {
		struct adv_work *adv = p->bgpadvs[i];
		const struct adv_work *other =
			adv->bad ? NULL : find_conflict(b, m, firsts, n, adv, f);

		if (!other)
			continue;
		adv->bad = true;
		build_refuse(b, &adv->in->obj, "spec.localPref",
			     "%u contradicts %u of BGPAdvertisement %s for the same routes of "
			     "IPAddressPool %s",
			     adv->out->local_pref, other->out->local_pref, other->out->name,
			     p->out->name);
		/* another one may stand for its class now */
		n = pick_classes(p, seen, b->n_classes, firsts);
	}
}

void check_local_prefs(struct build *b)
{
	struct memory m = {.n = b->n_classes};
	uint8_t *seen = arena_alloc(b->scratch, b->n_classes + 1);
	struct adv_work **firsts = arena_calloc(b->scratch, b->n_advs, sizeof(*firsts));

	if (b->n_classes < 2)
		return;
	for (int f = 0; f < FAMILIES_COUNT && m.n <= CLASSES_MAX; f++)
		m.pairs[f] = xcalloc(m.n * m.n, 1);
	for (size_t i = 0; i < b->n_pools; i++)
		check_pool(b, &m, &b->pools[i], seen, firsts);
	for (int f = 0; f < FAMILIES_COUNT; f++)
		free(m.pairs[f]);
}
