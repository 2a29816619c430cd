/*
 * Address pools: their ranges, who may use them, and which of them an advertisement selects.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"

/* Named and selected namespaces, sorted, each once. */
static struct strs resolve_namespaces(struct build *b, const struct ipaddresspool *p)
{
	const struct objects *o = b->objs;
	size_t n = p->namespaces.n;
	const char **names = arena_calloc(b->scratch, n + o->n_namespaces, sizeof(*names));

	for (size_t i = 0; i < n; i++)
		names[i] = p->namespaces.items[i];
	for (size_t i = 0; p->namespace_selectors.n > 0 && i < o->n_namespaces; i++) {
		const struct meta *m = &o->namespaces[i]->obj.meta;

		if (selectors_match_any(&p->namespace_selectors, &m->labels))
			names[n++] = m->name;
	}
	struct strs sorted = sorted_strs(b->scratch, &(struct strs){names, n});

	return copy_strs(b->arena, &sorted);
}

static bool build_allocation(struct build *b, const struct ipaddresspool *p,
			     struct config_pool *out)
{
	if (!p->has_allocation)
		return true;
	if (!check_repeats(b, &p->obj, "spec.serviceAllocation.namespaces", &p->namespaces) ||
	    !check_selectors(b, &p->obj, "spec.serviceAllocation.namespaceSelectors",
			     &p->namespace_selectors) ||
	    !check_selectors(b, &p->obj, "spec.serviceAllocation.serviceSelectors",
			     &p->service_selectors))
		return false;
	out->has_allocation = true;
	out->priority = p->priority;
	out->namespaces = resolve_namespaces(b, p);
	out->restricts_namespaces = p->namespaces.n > 0 || p->namespace_selectors.n > 0;
	out->service_selectors = copy_selectors(b->arena, &p->service_selectors);
	/* nothing but a priority: for every Service */
	if (!out->restricts_namespaces && p->service_selectors.n == 0)
		out->service_selectors =
			(struct selectors){arena_alloc(b->arena, sizeof(struct selector)), 1};
	return true;
}

static bool build_pool(struct build *b, struct pool_work *w)
{
	const struct ipaddresspool *p = w->in;

	*w->out = (struct config_pool){
		.name = copy_str(b->arena, p->obj.meta.name),
		.labels = copy_labels(b->arena, &p->obj.meta.labels),
		.auto_assign = p->auto_assign,
		.avoid_buggy_ips = p->avoid_buggy_ips,
	};
	if (!*p->obj.meta.name)
		return build_refuse(b, &p->obj, "metadata.name", "is required");
	if (table_find(&b->pool_names, p->obj.meta.name))
		return build_refuse(b, &p->obj, "metadata.name",
				    "there is another IPAddressPool %s", p->obj.meta.name);
	return build_ranges(b, w) && build_allocation(b, p, w->out);
}

static int by_name(const void *x, const void *y)
{
	const struct pool_work *a = x, *b = y;

	return strcmp(a->out->name, b->out->name);
}

void build_pools(struct build *b)
{
	size_t n = b->objs->n_pools;
	const struct api_object **order = build_order(b, b->objs->pools, n);
	struct config_pool *out = arena_calloc(b->scratch, n, sizeof(*out));

	b->pools = arena_calloc(b->scratch, n, sizeof(*b->pools));
	for (size_t i = 0; i < n; i++) {
		struct pool_work w = {.in = (const void *)order[i], .out = &out[i]};

		if (!build_pool(b, &w))
			continue;
		table_set(&b->pool_names, w.out->name, &out[i]);
		b->pools[b->n_pools++] = w;
	}
	check_overlaps(b);
	if (b->n_pools > 1)
		qsort(b->pools, b->n_pools, sizeof(*b->pools), by_name);
	/* names of those that are left, for the advertisements */
	table_fini(&b->pool_names);
	for (size_t i = 0; i < b->n_pools; i++)
		table_set(&b->pool_names, b->pools[i].out->name, &b->pools[i]);
}

static bool is_known(const struct build *b, const char *name)
{
	for (size_t i = 0; i < b->objs->n_pools; i++)
		if (strcmp(b->objs->pools[i]->obj.meta.name, name) == 0)
			return true;
	return false;
}

void pools_select(struct build *b, const struct api_object *obj, const struct strs *names,
		  const struct selectors *selectors,
		  void (*fn)(struct build *b, struct pool_work *p, void *user), void *user)
{
	bool all = names->n == 0 && selectors->n == 0;
	struct strs sorted = sorted_strs(b->scratch, names);

	for (size_t i = 0; i < sorted.n; i++) {
		struct pool_work *p = table_find(&b->pool_names, sorted.items[i]);

		if (p)
			fn(b, p, user);
		else if (!b->opt->ignore_references && !is_known(b, sorted.items[i]))
			build_warn(b, obj, "spec.ipAddressPools", "there is no IPAddressPool %s",
				   sorted.items[i]);
	}
	for (size_t i = 0; (all || selectors->n > 0) && i < b->n_pools; i++) {
		struct pool_work *p = &b->pools[i];

		if (all || (selectors_match_any(selectors, &p->out->labels) &&
			    !strs_has(&sorted, p->out->name)))
			fn(b, p, user);
	}
}
