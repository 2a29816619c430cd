/*
 * The allocator takes over a new configuration or new node addresses: pools and their indexes are
 * built anew, bookings that are still covered are moved over.
 */
#include <assert.h>

#include "metallb/xalloc.h"
#include "operator/choose.h"

static int place_cmp(const void *a, const void *b)
{
	return ip_cmp(&((const struct place *)a)->range.first,
		      &((const struct place *)b)->range.first);
}

const struct place *allocator_place_of(const struct allocator *a, const struct ip *ip)
{
	size_t lo = 0, hi = a->n_places; /* the answer is before hi */

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ip_cmp(&a->places[mid].range.first, ip) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || ip_cmp(&a->places[lo - 1].range.last, ip) < 0)
		return NULL;
	return &a->places[lo - 1];
}

static void pool_list_add(struct pool_list *l, struct pool *p)
{
	ARRAY_GROW(l->items, l->n, l->cap);
	l->items[l->n++] = p;
}

void allocator_drop_pools(struct allocator *a)
{
	for (size_t i = 0; i < a->n_pools; i++)
		pool_fini(&a->pools[i]);
	free(a->pools);
	free(a->places);
	free(a->generic.items);
	free(a->selector.items);
	table_for_each (&a->by_ns, e) {
		struct pool_list *l = e->value;

		free(l->items);
		free(l);
	}
	table_fini(&a->by_ns);
	table_init(&a->by_ns);
	a->pools = NULL;
	a->places = NULL;
	a->generic = a->selector = (struct pool_list){0};
	a->n_pools = a->n_places = 0;
}

/* Which pools may serve whom automatically, so that nobody has to look through all of them. */
static void index_pool(struct allocator *a, struct pool *p)
{
	const struct config_pool *c = p->cfg;

	if (!c->auto_assign)
		return;
	if (!c->has_allocation) {
		pool_list_add(&a->generic, p);
		return;
	}
	if (c->namespaces.n == 0 && c->service_selectors.n > 0)
		pool_list_add(&a->selector, p);
	for (size_t i = 0; i < c->namespaces.n; i++) {
		struct pool_list *l = table_find(&a->by_ns, c->namespaces.items[i]);

		if (!l) {
			l = xcalloc(1, sizeof(*l));
			table_set(&a->by_ns, c->namespaces.items[i], l);
		}
		pool_list_add(l, p);
	}
}

static void build_pools(struct allocator *a, const struct config *cfg)
{
	size_t n_places = 0;

	for (size_t i = 0; cfg && i < cfg->n_pools; i++)
		n_places += cfg->pools[i].n_ranges;
	a->n_pools = cfg ? cfg->n_pools : 0;
	a->pools = xcalloc(a->n_pools ? a->n_pools : 1, sizeof(*a->pools));
	a->places = xcalloc(n_places ? n_places : 1, sizeof(*a->places));
	for (size_t i = 0; i < a->n_pools; i++) {
		struct pool *p = &a->pools[i];

		pool_init(p, &cfg->pools[i], &a->nodes, a->opt.avoid_addresses);
		for (size_t j = 0; j < p->cfg->n_ranges; j++)
			a->places[a->n_places++] = (struct place){p->cfg->ranges[j].range, p, j};
		index_pool(a, p);
	}
	qsort(a->places, a->n_places, sizeof(*a->places), place_cmp);
	pool_list_sort(&a->selector);
	table_for_each (&a->by_ns, e) {
		pool_list_sort(e->value);
	}
}

/* The booking's addresses are all in pools, in one unless two are allowed. */
static bool is_covered(const struct allocator *a, const struct booking *b)
{
	const struct pool *first = NULL;

	for (size_t i = 0; i < b->n; i++) {
		const struct ip *ip = &b->users[i].address->ip;
		const struct place *place = allocator_place_of(a, ip);

		if (!place || pool_is_buggy(place->pool, ip))
			return false;
		if (first && first != place->pool && !a->opt.two_pools)
			return false;
		first = place->pool;
	}
	return true;
}

static void rehome(struct allocator *a)
{
	table_for_each (&a->addresses, e) {
		((struct address *)e->value)->pool = NULL;
	}
	table_for_each (&a->bookings, b) {
		if (!is_covered(a, b->value))
			allocator_release(a, b->key);
	}
	table_for_each (&a->addresses, e) {
		struct address *addr = e->value;
		const struct place *place = allocator_place_of(a, &addr->ip);

		assert(place);
		addr->pool = place->pool;
		addr->range = place->number;
		pool_take(addr->pool, &addr->ip);
	}
}

void allocator_set_config(struct allocator *a, const struct config *cfg)
{
	allocator_drop_pools(a);
	build_pools(a, cfg);
	rehome(a);
}

struct named_ip {
	struct ip ip;
	const char *name;
};

static int named_ip_cmp(const void *a, const void *b)
{
	return ip_cmp(&((const struct named_ip *)a)->ip, &((const struct named_ip *)b)->ip);
}

static void nodes_fini(struct node_ips *nodes)
{
	for (size_t i = 0; i < nodes->n; i++)
		free((char *)nodes->names[i]);
	free(nodes->names);
	free(nodes->items);
	*nodes = (struct node_ips){0};
}

void allocator_set_nodes(struct allocator *a, const struct ip *ips, const char *const *names,
			 size_t n)
{
	struct named_ip *sorted = xcalloc(n ? n : 1, sizeof(*sorted));

	nodes_fini(&a->nodes);
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct named_ip){ips[i], names[i]};
	qsort(sorted, n, sizeof(*sorted), named_ip_cmp);
	if (n > 0 && a->opt.avoid_nodes) {
		a->nodes.items = xcalloc(n, sizeof(*a->nodes.items));
		a->nodes.names = xcalloc(n, sizeof(*a->nodes.names));
		for (size_t i = 0; i < n; i++) {
			if (a->nodes.n && ip_eq(&a->nodes.items[a->nodes.n - 1], &sorted[i].ip))
				continue;
			a->nodes.items[a->nodes.n] = sorted[i].ip;
			a->nodes.names[a->nodes.n++] = xstrdup(sorted[i].name);
		}
	}
	free(sorted);
	/* What is excluded has changed, so the runs are built anew. */
	for (size_t i = 0; i < a->n_pools; i++) {
		const struct config_pool *cfg = a->pools[i].cfg;

		pool_fini(&a->pools[i]);
		pool_init(&a->pools[i], cfg, &a->nodes, a->opt.avoid_addresses);
	}
	table_for_each (&a->addresses, e) {
		struct address *addr = e->value;

		pool_take(addr->pool, &addr->ip);
	}
}
