/*
 * No address may be in two pools, or twice in one. All ranges are sorted once; pools are then taken
 * in order of age, and each is held against those kept before it. Kept ranges do not overlap, so
 * only the last one that starts at or before a range's end can touch it: a predecessor query on a
 * hierarchy of bit sets.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/config/build.h"

#define LEVELS 5 /* 64^5 ranges */

struct span {
	struct ip first, last;
	struct pool_work *pool;
	const struct config_range *range;
};

struct kept {
	uint64_t *level[LEVELS];
};

static void kept_add(struct kept *k, size_t i)
{
	for (int l = 0; l < LEVELS; l++, i /= 64)
		k->level[l][i / 64] |= UINT64_C(1) << (i % 64);
}

static size_t highest(uint64_t word)
{
	return 63 - (size_t)__builtin_clzll(word);
}

/* The highest member below i, or SIZE_MAX. */
static size_t kept_below(const struct kept *k, size_t i)
{
	for (int l = 0; l < LEVELS; l++, i /= 64) {
		uint64_t below = i % 64 ? k->level[l][i / 64] << (64 - i % 64) >> (64 - i % 64) : 0;

		if (!below)
			continue;
		i = i / 64 * 64 + highest(below);
		while (l-- > 0)
			i = i * 64 + highest(k->level[l][i]);
		return i;
	}
	return SIZE_MAX;
}

static int span_cmp(const void *x, const void *y)
{
	const struct span *a = x, *b = y;

	return ip_cmp(&a->first, &b->first);
}

/* How many spans start at or before ip. */
static size_t count_upto(const struct span *spans, size_t n, const struct ip *ip)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (ip_cmp(&spans[mid].first, ip) <= 0)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

static const struct span *find_overlap(const struct span *spans, size_t n, const struct kept *kept,
				       const struct ip_range *r)
{
	size_t i = kept_below(kept, count_upto(spans, n, &r->last));

	return i != SIZE_MAX && ip_cmp(&spans[i].last, &r->first) >= 0 ? &spans[i] : NULL;
}

struct work {
	struct span *spans;
	size_t n;
	size_t *place; /* of the ranges in order of the pools: index into spans */
	struct kept kept;
};

/* All ranges of all pools, sorted; and where each range went. */
static void work_init(struct build *b, struct work *w)
{
	size_t n = 0, size;

	for (size_t i = 0; i < b->n_pools; i++)
		n += b->pools[i].out->n_ranges;
	w->spans = arena_calloc(b->scratch, n, sizeof(*w->spans));
	w->place = arena_calloc(b->scratch, n, sizeof(*w->place));
	for (size_t i = 0; i < b->n_pools; i++)
		for (size_t j = 0; j < b->pools[i].out->n_ranges; j++) {
			const struct config_range *r = &b->pools[i].out->ranges[j];

			w->spans[w->n++] =
				(struct span){r->range.first, r->range.last, &b->pools[i], r};
		}
	if (n > 1)
		qsort(w->spans, n, sizeof(*w->spans), span_cmp);
	size = n + 1;
	for (int l = 0; l < LEVELS; l++) {
		size = size / 64 + 1;
		w->kept.level[l] = arena_calloc(b->scratch, size, sizeof(uint64_t));
	}
}

static void span_places(struct build *b, struct work *w)
{
	size_t *start = arena_calloc(b->scratch, b->n_pools, sizeof(*start)), n = 0;

	for (size_t i = 0; i < b->n_pools; i++) {
		start[i] = n;
		n += b->pools[i].out->n_ranges;
	}
	for (size_t i = 0; i < w->n; i++) {
		const struct span *s = &w->spans[i];
		size_t pool = (size_t)(s->pool - b->pools);

		w->place[start[pool] + (size_t)(s->range - s->pool->out->ranges)] = i;
	}
}

static bool refuse(struct build *b, const struct pool_work *p, size_t i, const struct span *other)
{
	const char *field = arena_printf(b->scratch, "spec.addresses[%zu]", i);

	if (other->pool == p)
		return build_refuse(b, &p->in->obj, field, "\"%s\" overlaps \"%s\" of this pool",
				    p->out->ranges[i].text, other->range->text);
	return build_refuse(b, &p->in->obj, field, "\"%s\" overlaps \"%s\" of IPAddressPool %s",
			    p->out->ranges[i].text, other->range->text,
			    other->pool->in->obj.meta.name);
}

/* Against itself, by its sorted ranges, then against the older pools. */
static bool check_pool(struct build *b, const struct work *w, const struct pool_work *p,
		       const size_t *place)
{
	size_t n = p->out->n_ranges;

	assert(w->spans && n > 0);
	for (size_t i = 0; i < n; i++) {
		const struct span *other =
			find_overlap(w->spans, w->n, &w->kept, &p->out->ranges[i].range);

		if (other)
			return refuse(b, p, i, other);
	}
	struct span *own = arena_calloc(b->scratch, n, sizeof(*own));

	for (size_t i = 0; i < n; i++)
		own[i] = w->spans[place[i]];
	if (n > 1)
		qsort(own, n, sizeof(*own), span_cmp);
	for (size_t i = 1; i < n; i++)
		if (ip_cmp(&own[i - 1].last, &own[i].first) >= 0)
			return refuse(b, p, (size_t)(own[i].range - p->out->ranges), &own[i - 1]);
	return true;
}

void check_overlaps(struct build *b)
{
	struct work w = {0};
	size_t n = 0, start = 0;

	work_init(b, &w);
	span_places(b, &w);
	/* the pools move while bad ones are dropped; spans of kept ones stay right */
	struct pool_work *old = arena_memdup(b->scratch, b->pools, b->n_pools * sizeof(*old));

	for (size_t i = 0; i < w.n; i++)
		w.spans[i].pool = &old[w.spans[i].pool - b->pools];
	for (size_t i = 0; i < b->n_pools; i++) {
		size_t n_ranges = old[i].out->n_ranges;

		if (check_pool(b, &w, &old[i], &w.place[start])) {
			for (size_t j = 0; j < n_ranges; j++)
				kept_add(&w.kept, w.place[start + j]);
			b->pools[n++] = old[i];
		}
		start += n_ranges;
	}
	b->n_pools = n;
}
