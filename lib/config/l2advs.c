/*
 * L2 advertisements: nodes, interfaces, preferences, and the pools they select. Equal ones are kept
 * once per pool, unless they carry preferences.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"
#include "metallb/buf.h"
#include "metallb/xalloc.h"

struct l2_work {
	struct config_l2adv *out;
	size_t class; /* 1...; equal for advertisements that say the same */
};

static bool check_preferred(struct build *b, const struct l2advertisement *in)
{
	struct err err;

	for (size_t i = 0; i < in->n_preferred; i++) {
		const char *field = arena_printf(b->scratch, "spec.preferredNodeSelectors[%zu]", i);

		if (in->preferred[i].weight < 1 || in->preferred[i].weight > 100)
			return build_refuse(b, &in->obj, field, "weight is not in 1..100");
		if (!selector_check(&in->preferred[i].preference, &err))
			return build_refuse(b, &in->obj, field, "%s", err.msg);
	}
	return true;
}

static bool check_l2adv(struct build *b, const struct l2advertisement *in)
{
	const struct api_object *o = &in->obj;

	return check_repeats(b, o, "spec.ipAddressPools", &in->pools) &&
	       check_selectors(b, o, "spec.ipAddressPoolSelectors", &in->pool_selectors) &&
	       check_selectors(b, o, "spec.nodeSelectors", &in->node_selectors) &&
	       check_selectors(b, o, "spec.serviceSelectors", &in->service_selectors) &&
	       check_preferred(b, in);
}

/* Sum up the weights of the terms that match each eligible node. */
static void score_nodes(struct build *b, const struct l2advertisement *in,
			const struct node_set *nodes, struct config_l2adv *out)
{
	size_t n = in->n_preferred > 0 ? b->nodes.n_nodes : 0, m = 0;
	int64_t *sums = arena_calloc(b->scratch, n, sizeof(*sums));

	for (size_t i = 0; i < in->n_preferred; i++) {
		struct selectors one = {&in->preferred[i].preference, 1};
		const struct node_set *set = nodes_select(b, &one);

		for (size_t j = 0; j < n; j++)
			if (set->bits[j / 64] & nodes->bits[j / 64] & UINT64_C(1) << (j % 64))
				sums[j] += in->preferred[i].weight;
	}
	for (size_t j = 0; j < n; j++)
		m += sums[j] > 0;
	const char **names = arena_calloc(b->arena, m, sizeof(*names));
	int64_t *scores = arena_calloc(b->arena, m, sizeof(*scores));

	m = 0;
	for (size_t j = 0; j < n; j++)
		if (sums[j] > 0) {
			names[m] = b->nodes.names[j];
			scores[m++] = sums[j];
		}
	out->scored_nodes = (struct strs){names, m};
	out->scores = scores;
}

static size_t class_of(struct build *b, struct table *classes, const struct l2advertisement *in,
		       const struct node_set *nodes)
{
	struct strs interfaces = sorted_strs(b->scratch, &in->interfaces);
	struct buf key = {0};

	if (in->n_preferred > 0)
		buf_printf(&key, "%s\n", in->obj.meta.name);
	buf_printf(&key, "%zu %s\n%s\n", nodes->id, in->conflict_policy,
		   selectors_key(&in->service_selectors, b->scratch));
	for (size_t i = 0; i < interfaces.n; i++)
		buf_printf(&key, "%s\n", interfaces.items[i]);
	uintptr_t class = (uintptr_t)table_find(classes, buf_str(&key));

	if (!class) {
		class = table_count(classes) + 1;
		table_set(classes, buf_str(&key), (void *)class);
	}
	buf_fini(&key);
	return class;
}

/* Does the pool have one that says the same? Its last one of each class is enough to know. */
struct select {
	const struct l2_work *adv;
	/* per pool: the class of its advertisements, as a set */
	struct table *seen;
};

static void add_to_pool(struct build *b, struct pool_work *p, void *user)
{
	struct select *s = user;
	size_t key[2] = {(size_t)(p - b->pools), s->adv->class};

	if (table_set_n(s->seen, key, sizeof(key), p))
		return;
	ARRAY_GROW(p->l2advs, p->n_l2advs, p->cap_l2advs);
	p->l2advs[p->n_l2advs++] = s->adv->out;
}

static struct l2_work build_l2adv(struct build *b, struct table *classes,
				  const struct l2advertisement *in)
{
	const struct node_set *nodes = nodes_select(b, &in->node_selectors);
	struct config_l2adv *out = arena_alloc(b->arena, sizeof(*out));

	*out = (struct config_l2adv){
		.name = copy_str(b->arena, in->obj.meta.name),
		.all_interfaces = in->interfaces.n == 0,
		.interfaces = copy_strs(b->arena, &in->interfaces),
		.nodes = nodes->names,
		.service_selectors = copy_selectors(b->arena, &in->service_selectors),
		.refuse_conflict = strcmp(in->conflict_policy, "Refuse") == 0,
	};
	score_nodes(b, in, nodes, out);
	return (struct l2_work){out, class_of(b, classes, in, nodes)};
}

static int by_name(const void *x, const void *y)
{
	const struct api_object *const *a = x, *const *b = y;

	return strcmp((*a)->meta.name, (*b)->meta.name);
}

void build_l2advs(struct build *b)
{
	size_t n = b->objs->n_l2advs, m = 0;
	const struct api_object **order =
		arena_memdup(b->scratch, b->objs->l2advs, n * sizeof(*order));
	const struct config_l2adv **all = arena_calloc(b->arena, n, sizeof(*all));
	struct table classes, seen;

	if (n > 1)
		qsort(order, n, sizeof(*order), by_name);
	table_init(&classes);
	table_init(&seen);
	for (size_t i = 0; i < n; i++) {
		const struct l2advertisement *in = (const void *)order[i];

		if (!check_l2adv(b, in))
			continue;
		struct l2_work w = build_l2adv(b, &classes, in);
		struct select s = {&w, &seen};

		all[m++] = w.out;
		pools_select(b, &in->obj, &in->pools, &in->pool_selectors, add_to_pool, &s);
	}
	b->cfg->l2advs = all;
	b->cfg->n_l2advs = m;
	table_fini(&classes);
	table_fini(&seen);
}
