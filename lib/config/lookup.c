/*
 * Questions to a finished configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"

static int span_cmp(const void *x, const void *y)
{
	const struct config_span *a = x, *b = y;

	return ip_cmp(&a->range.first, &b->range.first);
}

void build_spans(struct build *b)
{
	const struct config *cfg = b->cfg;
	size_t n = 0;

	for (size_t i = 0; i < cfg->n_pools; i++)
		n += cfg->pools[i].n_ranges;
	struct config_span *spans = arena_calloc(b->arena, n, sizeof(*spans));

	n = 0;
	for (size_t i = 0; i < cfg->n_pools; i++)
		for (size_t j = 0; j < cfg->pools[i].n_ranges; j++)
			spans[n++] =
				(struct config_span){cfg->pools[i].ranges[j].range, &cfg->pools[i]};
	if (n > 1)
		qsort(spans, n, sizeof(*spans), span_cmp);
	b->cfg->spans = spans;
	b->cfg->n_spans = n;
}

const struct config_pool *config_pool_of(const struct config *cfg, const struct ip *ip)
{
	size_t low = 0, high = cfg->n_spans;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ip_cmp(&cfg->spans[mid].range.first, ip) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 || ip_cmp(ip, &cfg->spans[low - 1].range.last) > 0)
		return NULL;
	return cfg->spans[low - 1].pool;
}

/* All three lists are sorted by a name that is their first member. */
static const void *find(const void *items, size_t n, size_t size, const char *name)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const char *const *at = (const void *)((const char *)items + mid * size);
		int c = strcmp(*at, name);

		if (c == 0)
			return at;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct config_pool *config_find_pool(const struct config *cfg, const char *name)
{
	static_assert(offsetof(struct config_pool, name) == 0, "");
	return find(cfg->pools, cfg->n_pools, sizeof(*cfg->pools), name);
}

const struct config_peer *config_find_peer(const struct config *cfg, const char *name)
{
	static_assert(offsetof(struct config_peer, name) == 0, "");
	return find(cfg->peers, cfg->n_peers, sizeof(*cfg->peers), name);
}

const struct config_bfd *config_find_bfd(const struct config *cfg, const char *name)
{
	static_assert(offsetof(struct config_bfd, name) == 0, "");
	return find(cfg->bfds, cfg->n_bfds, sizeof(*cfg->bfds), name);
}

bool config_ip_is_buggy(const struct ip *ip)
{
	return ip->family == IP_V4 && (ip->b[3] == 0 || ip->b[3] == 255);
}
