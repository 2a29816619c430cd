/*
 * The ring, and who is dead by what those on it see.
 */
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/liveness/private.h"

#define REPORTERS_MAX 64

/* FNV-1a, mixed: the same on every node, and names that differ in the end are far apart. */
uint64_t ring_order(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	return h ^ h >> 33;
}

static int order_cmp(uint64_t a, const char *a_name, uint64_t b, const char *b_name)
{
	if (a != b)
		return a < b ? -1 : 1;
	return strcmp(a_name, b_name);
}

static int peer_cmp(const void *pa, const void *pb)
{
	const struct peer *const *a = pa, *const *b = pb;

	return order_cmp((*a)->order, (*a)->name, (*b)->order, (*b)->name);
}

/* The ring has n_ring peers and this node, which stands before ring[own]. */
static size_t ring_size(const struct liveness *l)
{
	return l->n_ring + 1;
}

static size_t own_place(const struct liveness *l)
{
	return l->own;
}

/* How far two places are from each other. */
static size_t ring_distance(const struct liveness *l, size_t a, size_t b)
{
	size_t d = a > b ? a - b : b - a;

	return d <= ring_size(l) - d ? d : ring_size(l) - d;
}

void ring_rebuild(struct liveness *l, usec_t now)
{
	uint64_t order = ring_order(l->cfg.name);

	l->n_ring = 0;
	table_for_each (&l->names, e) {
		struct peer *p = e->value;

		if (!p->usable)
			continue;
		ARRAY_GROW(l->ring, l->n_ring, l->cap_ring);
		l->ring[l->n_ring++] = p;
	}
	if (l->n_ring > 1)
		qsort(l->ring, l->n_ring, sizeof(*l->ring), peer_cmp);
	for (l->own = 0; l->own < l->n_ring; l->own++)
		if (order_cmp(l->ring[l->own]->order, l->ring[l->own]->name, order, l->cfg.name) >
		    0)
			break;
	for (size_t i = 0; i < l->n_ring; i++)
		l->ring[i]->place = i < l->own ? i : i + 1;
	table_for_each (&l->names, e) {
		struct peer *p = e->value;
		bool near = p->usable && ring_distance(l, p->place, own_place(l)) <= LIVENESS_REACH;

		if (near && !p->near)
			p->hello_due = now;
		if (!near)
			peer_session_end(p);
		p->near = near;
	}
}

static bool names_contain(const struct liveness_state *s, const char *name)
{
	for (size_t i = 0; i < s->n_down; i++)
		if (strcmp(s->down[i], name) == 0)
			return true;
	return false;
}

/* Peers whose word on others counts now. */
static size_t reporters_collect(const struct liveness *l, usec_t now,
				const struct peer *out[REPORTERS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_ring && n < REPORTERS_MAX; i++) {
		const struct peer *p = l->ring[i];

		if (p->state && p->state->n_down > 0 && !p->expired &&
		    now - p->answered < LIVENESS_FRESH)
			out[n++] = p;
	}
	return n;
}

static bool session_is_up(const struct peer *p)
{
	return p->session && p->bfd.state == BFD_UP;
}

/*
 * How many must say so: two, or one when this node is the only one that can tell as far as it
 * knows.
 */
static size_t votes_needed(const struct liveness *l, const struct peer *x)
{
	if (!x->near || !x->session)
		return 2;
	for (size_t i = 0; i < l->n_ring; i++) {
		const struct peer *p = l->ring[i];

		if (p != x && session_is_up(p) &&
		    ring_distance(l, p->place, x->place) <= LIVENESS_REACH)
			return 2;
	}
	return 1;
}

static bool is_dead(const struct liveness *l, const struct peer *x,
		    const struct peer *const *reporters, size_t n_reporters)
{
	size_t votes = x->expired ? 1 : 0;

	if (session_is_up(x))
		return false;
	for (size_t i = 0; i < n_reporters; i++)
		if (reporters[i] != x && names_contain(reporters[i]->state, x->name))
			votes++;
	return votes > 0 && votes >= votes_needed(l, x);
}

static enum liveness_verdict verdict_of(const struct peer *p, bool dead, usec_t now)
{
	if (!p->state)
		return LIVENESS_UNKNOWN;
	if (dead)
		return LIVENESS_DEAD;
	if (!p->state->able)
		return LIVENESS_UNABLE;
	if (p->usable)
		return LIVENESS_UP;
	return p->answered > p->unusable_since && now - p->answered < LIVENESS_FRESH
		       ? LIVENESS_PROVEN
		       : LIVENESS_UNKNOWN;
}

static void verdict_set(struct liveness *l, struct peer *p, enum liveness_verdict v, usec_t now)
{
	bool died = v == LIVENESS_DEAD && p->verdict != LIVENESS_DEAD;

	if (p->verdict == v)
		return;
	p->verdict = v;
	if (l->trouble_due > now + ASK_AGAIN)
		l->trouble_due = now + ASK_AGAIN;
	changed(l);
	if (!died)
		return;
	struct liveness_output *o = output_add(l, LIVENESS_OUT_DIED);

	memcpy(o->name, p->name, sizeof(o->name));
	o->silence = p->expired ? now - p->last_heard : 0;
}

void verdicts_update(struct liveness *l, usec_t now)
{
	const struct peer *reporters[REPORTERS_MAX];
	size_t n = reporters_collect(l, now, reporters);

	table_for_each (&l->names, e) {
		struct peer *p = e->value;
		bool dead = p->usable && is_dead(l, p, reporters, n);

		verdict_set(l, p, verdict_of(p, dead, now), now);
	}
}

bool downs_update(struct liveness *l)
{
	struct liveness_state *s = &l->self;
	size_t n = 0;
	bool differs = false;

	for (size_t i = 0; i < l->n_ring && n < LIVENESS_DOWN_MAX; i++) {
		const struct peer *p = l->ring[i];

		if (!p->expired)
			continue;
		if (n >= s->n_down || strcmp(s->down[n], p->name) != 0) {
			memcpy(s->down[n], p->name, sizeof(s->down[n]));
			differs = true;
		}
		n++;
	}
	differs |= n != s->n_down;
	for (size_t i = n; i < LIVENESS_DOWN_MAX; i++)
		memset(s->down[i], 0, sizeof(s->down[i]));
	s->n_down = n;
	return differs;
}
