/*
 * Free-address search in a pool. The runs hold the taken addresses; when an excluded segment
 * (x.y.z.0, x.y.z.255, avoidAddresses, a node's own address) borders on a run's end, the run grows
 * over it. So the search jumps over a full stretch in one step however many excluded addresses lie
 * in it, and a pool nobody uses costs nothing.
 */
#include "operator/pool.h"

#include <assert.h>

#include "metallb/xalloc.h"

#define CAPACITY_BITS_MAX 62u /* a prefix with as many host bits counts as unlimited */

static int range_cmp(const void *a, const void *b)
{
	return ip_cmp(&((const struct ip_range *)a)->first, &((const struct ip_range *)b)->first);
}

/* Copy, sort and merge spec.avoidAddresses. */
static void load_avoid(struct pool *p)
{
	const struct config_pool *cfg = p->cfg;
	size_t n = 0;

	if (cfg->n_avoid == 0)
		return;
	p->avoid = xreallocarray(NULL, cfg->n_avoid, sizeof(*p->avoid));
	memcpy(p->avoid, cfg->avoid, cfg->n_avoid * sizeof(*p->avoid));
	qsort(p->avoid, cfg->n_avoid, sizeof(*p->avoid), range_cmp);
	for (size_t i = 1; i < cfg->n_avoid; i++) {
		struct ip_range *last = &p->avoid[n];

		if (last->last.family != p->avoid[i].first.family ||
		    ip_cmp(&last->last, &p->avoid[i].first) < 0)
			p->avoid[++n] = p->avoid[i];
		else if (ip_cmp(&last->last, &p->avoid[i].last) < 0)
			last->last = p->avoid[i].last;
	}
	p->n_avoid = n + 1;
}

/* The first avoided range that ends at or behind ip; n_avoid when there is none. */
static size_t avoid_from(const struct pool *p, const struct ip *ip)
{
	size_t lo = 0, hi = p->n_avoid;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ip_cmp(&p->avoid[mid].last, ip) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- counting ---- */

static int64_t sat_add(int64_t a, int64_t b)
{
	return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/* Addresses of a range, INT64_MAX for 2^62 and more. */
static int64_t range_size(const struct ip_range *r)
{
	uint64_t d = ip_distance(&r->first, &r->last);

	return d >= (uint64_t)1 << CAPACITY_BITS_MAX ? INT64_MAX : (int64_t)d + 1;
}

static uint32_t v4_num(const struct ip *ip)
{
	return (uint32_t)ip->b[0] << 24 | (uint32_t)ip->b[1] << 16 | (uint32_t)ip->b[2] << 8 |
	       ip->b[3];
}

/* How many of 0.0.0.0 .. (n-1) end in .0 or .255. */
static int64_t buggy_below(uint64_t n)
{
	uint64_t rest = n % 256;

	return (int64_t)(n / 256 * 2 + (rest > 0 ? 1 : 0));
}

/* Addresses of a range that could be given out, were avoidAddresses not there. */
static int64_t count_usable(const struct pool *p, const struct ip_range *r)
{
	int64_t n = range_size(r);

	if (p->cfg->avoid_buggy_ips && r->first.family == IP_V4)
		n -= buggy_below((uint64_t)v4_num(&r->last) + 1) - buggy_below(v4_num(&r->first));
	return n;
}

static int64_t count_range(const struct pool *p, const struct ip_range *r)
{
	int64_t n = count_usable(p, r);

	if (n == INT64_MAX)
		return n;
	for (size_t i = avoid_from(p, &r->first); i < p->n_avoid; i++) {
		struct ip_range cut = p->avoid[i];

		if (ip_cmp(&cut.first, &r->last) > 0)
			break;
		if (ip_cmp(&cut.first, &r->first) < 0)
			cut.first = r->first;
		if (ip_cmp(&cut.last, &r->last) > 0)
			cut.last = r->last;
		n -= count_usable(p, &cut);
	}
	return n;
}

static bool is_huge(const struct config_range *r)
{
	for (size_t i = 0; i < r->n_prefixes; i++)
		if (IP_BITS(r->range.first.family) - r->prefixes[i].len >= CAPACITY_BITS_MAX)
			return true;
	return false;
}

void pool_init(struct pool *p, const struct config_pool *cfg, const struct node_ips *nodes,
	       bool avoid)
{
	*p = (struct pool){.cfg = cfg, .nodes = nodes};
	runs_init(&p->taken);
	if (avoid)
		load_avoid(p);
	for (size_t i = 0; i < cfg->n_ranges; i++) {
		const struct config_range *r = &cfg->ranges[i];
		unsigned fam = fam_of(&r->range.first);

		p->has[fam] = true;
		p->capacity[fam] = is_huge(r)
					   ? INT64_MAX
					   : sat_add(p->capacity[fam], count_range(p, &r->range));
	}
}

void pool_fini(struct pool *p)
{
	runs_fini(&p->taken);
	free(p->avoid);
	*p = (struct pool){0};
}

int64_t pool_available(const struct pool *p, unsigned fam)
{
	return p->capacity[fam] > p->in_use[fam] ? p->capacity[fam] - p->in_use[fam] : 0;
}

/* ---- what is excluded ---- */

bool pool_is_buggy(const struct pool *p, const struct ip *ip)
{
	return p->cfg->avoid_buggy_ips && config_ip_is_buggy(ip);
}

bool pool_is_avoided(const struct pool *p, const struct ip *ip)
{
	size_t i = avoid_from(p, ip);

	return i < p->n_avoid && ip_cmp(&p->avoid[i].first, ip) <= 0;
}

const char *node_ips_find(const struct node_ips *nodes, const struct ip *ip)
{
	size_t lo = 0, hi = nodes->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = ip_cmp(&nodes->items[mid], ip);

		if (c == 0)
			return nodes->names[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Is ip excluded, and if so up to which address? */
static bool excluded_until(const struct pool *p, const struct ip *ip, struct ip *last)
{
	size_t i = avoid_from(p, ip);

	if (i < p->n_avoid && ip_cmp(&p->avoid[i].first, ip) <= 0) {
		*last = p->avoid[i].last;
		return true;
	}
	*last = *ip;
	return pool_is_buggy(p, ip) || node_ips_find(p->nodes, ip);
}

/* Every address of the range is excluded. */
static bool all_excluded(const struct pool *p, const struct ip_range *r)
{
	struct ip at = r->first, last;

	while (excluded_until(p, &at, &last)) {
		if (ip_cmp(&last, &r->last) >= 0 || !ip_add(&last, 1, &at))
			return true;
	}
	return false;
}

/* ---- taking and releasing ---- */

void pool_take(struct pool *p, const struct ip *ip)
{
	struct ip_range r = {*ip, *ip};
	struct ip next, last;

	runs_add(&p->taken, &r);
	p->in_use[fam_of(ip)]++;
	/* grow over the excluded segments behind */
	while (runs_find(&p->taken, ip, &r) && ip_add(&r.last, 1, &next) &&
	       excluded_until(p, &next, &last))
		runs_add(&p->taken, &(struct ip_range){next, last});
}

void pool_release(struct pool *p, const struct ip *ip, size_t range)
{
	unsigned fam = fam_of(ip);
	struct ip_range run, side;

	assert(p->in_use[fam] > 0);
	p->in_use[fam]--;
	if (range < p->open[fam])
		p->open[fam] = range;
	/* An excluded address that was asked for by name may have been cut off already. */
	if (!runs_find(&p->taken, ip, &run))
		return;
	runs_del(&p->taken, ip);
	/* Drop what is left beside it when that is only excluded addresses. */
	side = (struct ip_range){.first = run.first};
	if (!ip_eq(&run.first, ip) && ip_sub(ip, 1, &side.last) && all_excluded(p, &side))
		runs_del_run(&p->taken, &side.first);
	side = (struct ip_range){.last = run.last};
	if (!ip_eq(&run.last, ip) && ip_add(ip, 1, &side.first) && all_excluded(p, &side))
		runs_del_run(&p->taken, &side.first);
}

/* ---- searching ---- */

bool pool_lowest_in_range(const struct pool *p, size_t range, struct ip *out)
{
	const struct ip_range *r = &p->cfg->ranges[range].range;
	struct ip at = r->first, last;
	struct ip_range run;

	for (;;) {
		if (runs_find(&p->taken, &at, &run))
			last = run.last;
		else if (!excluded_until(p, &at, &last))
			break;
		if (ip_cmp(&last, &r->last) >= 0 || !ip_add(&last, 1, &at))
			return false;
	}
	*out = at;
	return true;
}

bool pool_lowest(struct pool *p, unsigned fam, struct ip *out)
{
	for (size_t i = p->open[fam]; i < p->cfg->n_ranges; i++) {
		if (fam_of(&p->cfg->ranges[i].range.first) == fam &&
		    pool_lowest_in_range(p, i, out)) {
			p->open[fam] = i;
			return true;
		}
	}
	p->open[fam] = p->cfg->n_ranges;
	return false;
}
