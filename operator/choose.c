/*
 * Choosing addresses: which pools may serve a Service automatically, in which order, and what they
 * offer. First the pools that are pinned to its namespace or labels, by priority; then those open
 * to everybody, by name. In a pool the lowest free address wins, or, for a Service with a sharing
 * key, the lowest that is free or that it may share.
 */
#include <assert.h>

#include "metallb/xalloc.h"
#include "operator/allocator_impl.h"
#include "operator/choose.h"

/* ---- candidates ---- */

/* Priorities count from 1 upwards; without one a pool comes last. */
static bool is_before(const struct pool *a, const struct pool *b)
{
	int64_t pa = a->cfg->priority > 0 ? a->cfg->priority : INT64_MAX;
	int64_t pb = b->cfg->priority > 0 ? b->cfg->priority : INT64_MAX;

	return pa != pb ? pa < pb : a < b; /* the array of pools is in the order of names */
}

static int pool_cmp(const void *a, const void *b)
{
	const struct pool *x = *(struct pool *const *)a, *y = *(struct pool *const *)b;

	return is_before(x, y) ? -1 : is_before(y, x);
}

void pool_list_sort(struct pool_list *l)
{
	if (l->n > 1)
		qsort(l->items, l->n, sizeof(struct pool *), pool_cmp);
}

/* Walks two sorted lists as one. */
struct candidates {
	const struct pool_list *lists[2];
	size_t at[2];
};

static struct candidates candidates_pinned(const struct allocator *a,
					   const struct alloc_service *svc)
{
	return (struct candidates){{table_find(&a->by_ns, svc->ns), &a->selector}, {0}};
}

static struct candidates candidates_generic(const struct allocator *a)
{
	return (struct candidates){{&a->generic, NULL}, {0}};
}

static struct pool *candidates_next(struct candidates *c, const struct alloc_service *svc)
{
	for (;;) {
		struct pool *head[2] = {NULL, NULL};

		for (int i = 0; i < 2; i++)
			if (c->lists[i] && c->at[i] < c->lists[i]->n)
				head[i] = c->lists[i]->items[c->at[i]];
		if (!head[0] && !head[1])
			return NULL;
		int take = !head[0] || (head[1] && is_before(head[1], head[0])) ? 1 : 0;

		c->at[take]++;
		if (allocator_pool_serves(head[take], svc))
			return head[take];
	}
}

bool allocator_is_candidate(const struct pool *p, const struct alloc_service *svc)
{
	if (!p->cfg->auto_assign)
		return false;
	if (!p->cfg->has_allocation)
		return true;
	return allocator_pool_serves(p, svc);
}

struct pool *allocator_find_pool(const struct allocator *a, const char *name)
{
	size_t lo = 0, hi = a->n_pools;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(a->pools[mid].cfg->name, name);

		if (c == 0)
			return &a->pools[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* ---- offers of one pool ---- */

/* The lowest address of the range, up to `last`, that others have and svc may share. */
static bool lowest_shared(const struct allocator *a, const struct alloc_service *svc,
			  const struct pool *p, const struct share *s, const struct ip_range *range,
			  struct ip *out)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ip_cmp(&s->items[mid], &range->first) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->n && ip_cmp(&s->items[lo], &range->last) <= 0; lo++) {
		const struct ip *ip = &s->items[lo];

		if (pool_is_buggy(p, ip) || pool_is_avoided(p, ip) || allocator_node_of(a, ip) ||
		    !allocator_check_sharing(a, svc, ip, NULL))
			continue;
		*out = *ip;
		return true;
	}
	return false;
}

bool allocator_offer(const struct allocator *a, struct pool *p, const struct alloc_service *svc,
		     unsigned fam, struct ip *out)
{
	const struct share *s =
		svc->sharing_key[0] ? table_find(&a->shares, svc->sharing_key) : NULL;

	if (!p->has[fam])
		return false;
	if (!s)
		return pool_lowest(p, fam, out);
	for (size_t i = 0; i < p->cfg->n_ranges; i++) {
		struct ip_range range = p->cfg->ranges[i].range;
		struct ip free_ip;

		if (fam_of(&range.first) != fam)
			continue;
		bool has_free = i >= p->open[fam] && pool_lowest_in_range(p, i, &free_ip);

		if (has_free)
			range.last = free_ip;
		if (lowest_shared(a, svc, p, s, &range, out))
			return true;
		if (has_free) {
			*out = free_ip;
			return true;
		}
	}
	return false;
}

/* ---- among several ---- */

/* What a group of candidates has. */
struct findings {
	bool complete; /* both families of one pool, or the only family that is wanted */
	struct alloc_ips ips;
	bool has[FAM_COUNT]; /* the first offer of each family */
	struct ip first[FAM_COUNT];
};

static bool is_dual(const struct alloc_want *want)
{
	return want->fam[FAM_V4] && want->fam[FAM_V6];
}

/* Look at one pool; true when nothing better can come. */
static bool look_at(struct allocator *a, struct pool *p, const struct alloc_service *svc,
		    const struct alloc_want *want, struct findings *f)
{
	bool got[FAM_COUNT] = {false};
	struct ip ip[FAM_COUNT];

	f->ips.n = 0;
	for (unsigned fam = 0; fam < FAM_COUNT; fam++) {
		got[fam] = want->fam[fam] && allocator_offer(a, p, svc, fam, &ip[fam]);
		if (!got[fam])
			continue;
		f->ips.ip[f->ips.n++] = ip[fam];
		if (!f->has[fam]) {
			f->has[fam] = true;
			f->first[fam] = ip[fam];
		}
	}
	f->complete = f->ips.n == (is_dual(want) ? 2u : 1u);
	return f->complete;
}

static void search(struct allocator *a, struct candidates c, const struct alloc_service *svc,
		   const struct alloc_want *want, struct findings *f)
{
	struct pool *p;

	*f = (struct findings){0};
	while ((p = candidates_next(&c, svc)) != NULL)
		if (look_at(a, p, svc, want, f))
			return;
}

/* The one family to settle for. */
static bool pick_partial(const struct findings *f, const struct alloc_want *want,
			 struct alloc_ips *out)
{
	unsigned primary = want->v6_first ? FAM_V6 : FAM_V4;

	for (unsigned i = 0; i < FAM_COUNT; i++) {
		unsigned fam = i == 0 ? primary : 1 - primary;

		if (f->has[fam]) {
			*out = (struct alloc_ips){.ip = {f->first[fam]}, .n = 1};
			return true;
		}
	}
	return false;
}

/* One address from each of two pools; the pinned ones go first. */
static bool pick_two(const struct findings *pinned, const struct findings *generic,
		     struct alloc_ips *out)
{
	out->n = 0;
	for (unsigned fam = 0; fam < FAM_COUNT; fam++) {
		const struct findings *f = pinned->has[fam] ? pinned : generic;

		if (!f->has[fam])
			return false;
		out->ip[out->n++] = f->first[fam];
	}
	return true;
}

static bool choose_any(struct allocator *a, const struct alloc_service *svc,
		       const struct alloc_want *want, struct alloc_ips *out)
{
	struct findings pinned, generic = {0};
	bool settle = is_dual(want) && want->policy == ALLOC_PREFER_DUAL;

	search(a, candidates_pinned(a, svc), svc, want, &pinned);
	if (pinned.complete) {
		*out = pinned.ips;
		return true;
	}
	bool any_pinned = pinned.has[FAM_V4] || pinned.has[FAM_V6];

	if (!(settle && any_pinned) || a->opt.two_pools)
		search(a, candidates_generic(a), svc, want, &generic);
	if (generic.complete && !(settle && any_pinned)) {
		*out = generic.ips;
		return true;
	}
	if (is_dual(want) && a->opt.two_pools && pick_two(&pinned, &generic, out))
		return true;
	return settle && (pick_partial(&pinned, want, out) || pick_partial(&generic, want, out));
}

static bool choose_named(struct allocator *a, const struct alloc_service *svc,
			 const struct alloc_want *want, struct alloc_ips *out, struct err *err)
{
	struct pool *p = allocator_find_pool(a, want->pool);
	struct findings f = {0};

	if (!p)
		return err_set(err, "pool %s does not exist", want->pool);
	if (!allocator_pool_serves(p, svc))
		return err_set(err, "pool %s: its serviceAllocation does not select the service",
			       want->pool);
	if (look_at(a, p, svc, want, &f)) {
		*out = f.ips;
		return true;
	}
	if (is_dual(want) && want->policy == ALLOC_PREFER_DUAL && pick_partial(&f, want, out))
		return true;
	return err_set(err, "no available IPs in pool %s", want->pool);
}

/* ---- addresses that it had before ---- */

static bool may_prefer(const struct allocator *a, const struct alloc_service *svc,
		       const struct alloc_want *want, const struct ip *ip)
{
	const struct place *place = allocator_place_of(a, ip);

	if (!place || table_find_n(&a->addresses, ip, sizeof(*ip)))
		return false;
	if (pool_is_buggy(place->pool, ip) || pool_is_avoided(place->pool, ip) ||
	    allocator_node_of(a, ip))
		return false;
	if (want->pool[0])
		return strcmp(place->pool->cfg->name, want->pool) == 0 &&
		       allocator_pool_serves(place->pool, svc);
	return allocator_is_candidate(place->pool, svc);
}

/* The remembered addresses serve when there is one of each wanted family and all are free. */
static bool choose_preferred(const struct allocator *a, const struct alloc_service *svc,
			     const struct alloc_want *want, struct alloc_ips *out)
{
	bool fam[FAM_COUNT] = {false};
	const struct place *place = NULL;

	if (want->n_prefer == 0 || want->n_prefer > ALLOC_IPS_MAX)
		return false;
	for (size_t i = 0; i < want->n_prefer; i++) {
		const struct ip *ip = &want->prefer[i];
		const struct place *at = allocator_place_of(a, ip);

		if (fam[fam_of(ip)] || !may_prefer(a, svc, want, ip))
			return false;
		if (place && at->pool != place->pool && !a->opt.two_pools)
			return false;
		place = at;
		fam[fam_of(ip)] = true;
	}
	if (fam[FAM_V4] != want->fam[FAM_V4] || fam[FAM_V6] != want->fam[FAM_V6])
		return false;
	out->n = 0;
	for (unsigned f = 0; f < FAM_COUNT; f++)
		for (size_t i = 0; i < want->n_prefer; i++)
			if (fam_of(&want->prefer[i]) == f)
				out->ip[out->n++] = want->prefer[i];
	return true;
}

bool allocator_allocate(struct allocator *a, const struct alloc_service *svc,
			const struct alloc_want *want, struct alloc_ips *out, struct err *err)
{
	struct alloc_ips ips;

	assert(want->fam[FAM_V4] || want->fam[FAM_V6]);
	if (is_dual(want) && want->policy == ALLOC_SINGLE)
		return err_set(err, "the service has cluster IPs of both families, but its "
				    "ipFamilyPolicy is SingleStack");
	if (choose_preferred(a, svc, want, &ips)) {
		/* it gets what it had */
	} else if (want->pool[0]) {
		if (!choose_named(a, svc, want, &ips, err))
			return false;
	} else if (!choose_any(a, svc, want, &ips)) {
		return err_set(err, "no available IPs");
	}
	allocator_book(a, svc, &ips);
	*out = ips;
	return true;
}

bool allocator_add_family(struct allocator *a, const struct alloc_service *svc,
			  struct alloc_ips *out, struct err *err)
{
	const struct booking *b = allocator_booking(a, svc->key);
	struct alloc_ips ips = {.n = 2};

	assert(b && b->n == 1);
	struct address *held = b->users[0].address;
	unsigned missing = 1 - fam_of(&held->ip);

	if (!allocator_offer(a, held->pool, svc, missing, &ips.ip[missing]))
		return err_set(err, "no %s address available in pool %s", fam_name(missing),
			       held->pool->cfg->name);
	ips.ip[1 - missing] = held->ip;
	if (!allocator_assign(a, svc, &ips, ALLOC_HELD, err))
		return false;
	*out = ips;
	return true;
}
