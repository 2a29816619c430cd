/*
 * BGP advertisements: attributes, nodes, peers and the pools they select. Those whose prefixes
 * would be wider than a pool's own are refused.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"
#include "metallb/buf.h"
#include "metallb/xalloc.h"

static bool check_lengths(struct build *b, const struct bgpadvertisement *in)
{
	const struct api_object *o = &in->obj;

	if (in->service_selectors.n > 0 &&
	    (in->aggregation_length != 32 || in->aggregation_length_v6 != 128))
		return build_refuse(b, o, "spec.serviceSelectors",
				    "cannot be used with an aggregationLength other than 32 or an "
				    "aggregationLengthV6 other than 128");
	if (in->aggregation_length > 32)
		return build_refuse(b, o, "spec.aggregationLength", "%" PRId64 " is more than 32",
				    in->aggregation_length);
	if (in->aggregation_length_v6 > 128)
		return build_refuse(b, o, "spec.aggregationLengthV6",
				    "%" PRId64 " is more than 128", in->aggregation_length_v6);
	if (in->aggregation_length < 0)
		return build_refuse_ours(b, o, "spec.aggregationLength",
					 "%" PRId64 " is less than 1", in->aggregation_length);
	if (in->aggregation_length_v6 < 0)
		return build_refuse_ours(b, o, "spec.aggregationLengthV6",
					 "%" PRId64 " is less than 1", in->aggregation_length_v6);
	return true;
}

static bool check_adv(struct build *b, const struct bgpadvertisement *in)
{
	const struct api_object *o = &in->obj;

	return check_repeats(b, o, "spec.ipAddressPools", &in->pools) &&
	       check_repeats(b, o, "spec.communities", &in->communities) &&
	       check_repeats(b, o, "spec.peers", &in->peers) &&
	       check_selectors(b, o, "spec.ipAddressPoolSelectors", &in->pool_selectors) &&
	       check_selectors(b, o, "spec.nodeSelectors", &in->node_selectors) &&
	       check_selectors(b, o, "spec.serviceSelectors", &in->service_selectors) &&
	       check_lengths(b, in);
}

/* Equal for advertisements that never conflict with each other and conflict with the same ones. */
static size_t class_of(struct table *classes, const struct adv_work *w)
{
	struct buf key = {0};

	buf_printf(&key, "%u %u %u %zu %d\n", w->out->local_pref, w->out->aggregation_length,
		   w->out->aggregation_length_v6, w->nodes->id, w->in->service_selectors.n > 0);
	for (size_t i = 0; i < w->peers.n; i++)
		buf_printf(&key, "%s\n", w->peers.items[i]);
	uintptr_t class = (uintptr_t)table_find(classes, buf_str(&key));

	if (!class) {
		class = table_count(classes) + 1;
		table_set(classes, buf_str(&key), (void *)class);
	}
	buf_fini(&key);
	return class;
}

struct selection {
	struct pool_work **pools;
	size_t n, cap;
};

static void add_pool(struct build *b, struct pool_work *p, void *user)
{
	struct selection *s = user;

	(void)b;
	ARRAY_GROW(s->pools, s->n, s->cap);
	s->pools[s->n++] = p;
}

static bool check_pool(struct build *b, const struct bgpadvertisement *in,
		       const struct pool_work *p)
{
	if (p->has_v4 && (unsigned)in->aggregation_length < p->least_v4)
		return build_refuse(b, &in->obj, "spec.aggregationLength",
				    "%" PRId64 " is wider than \"%s\" of IPAddressPool %s",
				    in->aggregation_length, p->least_v4_text, p->out->name);
	if (p->has_v6 && (unsigned)in->aggregation_length_v6 < p->least_v6)
		return build_refuse(b, &in->obj, "spec.aggregationLengthV6",
				    "%" PRId64 " is wider than \"%s\" of IPAddressPool %s",
				    in->aggregation_length_v6, p->least_v6_text, p->out->name);
	return true;
}

static void warn_peers(struct build *b, const struct bgpadvertisement *in)
{
	for (size_t i = 0; !b->opt->ignore_references && i < in->peers.n; i++) {
		const char *name = in->peers.items[i];
		bool known = table_find(&b->peer_names, name);

		for (size_t j = 0; j < b->objs->n_peers && !known; j++)
			known = strcmp(b->objs->peers[j]->obj.meta.name, name) == 0;
		if (!known)
			build_warn(b, &in->obj, "spec.peers", "there is no BGPPeer %s", name);
	}
}

static bool build_adv(struct build *b, struct adv_work *w)
{
	const struct bgpadvertisement *in = w->in;
	struct selection s = {0};
	bool ok = true;

	w->out = arena_alloc(b->arena, sizeof(*w->out));
	w->nodes = nodes_select(b, &in->node_selectors);
	w->peers = sorted_strs(b->scratch, &in->peers);
	*w->out = (struct config_bgpadv){
		.name = copy_str(b->arena, in->obj.meta.name),
		.aggregation_length = (unsigned)in->aggregation_length,
		.aggregation_length_v6 = (unsigned)in->aggregation_length_v6,
		.local_pref = (uint32_t)in->local_pref,
		.nodes = w->nodes->names,
		.peers = copy_strs(b->arena, &w->peers),
		.service_selectors = copy_selectors(b->arena, &in->service_selectors),
	};
	if (!build_communities_of(b, in, w->out))
		return false;
	pools_select(b, &in->obj, &in->pools, &in->pool_selectors, add_pool, &s);
	for (size_t i = 0; i < s.n && ok; i++)
		ok = check_pool(b, in, s.pools[i]);
	for (size_t i = 0; i < s.n && ok; i++) {
		struct pool_work *p = s.pools[i];

		ARRAY_GROW(p->bgpadvs, p->n_bgpadvs, p->cap_bgpadvs);
		p->bgpadvs[p->n_bgpadvs++] = w;
	}
	free(s.pools);
	if (ok)
		warn_peers(b, in);
	return ok;
}

static bool is_wanted(struct build *b, const struct bgpadvertisement *in)
{
	struct err err;

	if (!*b->opt->node || in->node_selectors.n == 0)
		return true;
	for (size_t i = 0; i < in->node_selectors.n; i++)
		if (!selector_check(&in->node_selectors.items[i], &err))
			return true;
	return strs_has(&nodes_select(b, &in->node_selectors)->names, b->opt->node);
}

void build_bgpadvs(struct build *b)
{
	size_t n = b->objs->n_bgpadvs;
	const struct api_object **order = build_order(b, b->objs->bgpadvs, n);
	struct table classes;

	table_init(&classes);
	b->advs = arena_calloc(b->scratch, n, sizeof(*b->advs));
	for (size_t i = 0; i < n; i++) {
		struct adv_work *w = &b->advs[b->n_advs];

		*w = (struct adv_work){.in = (const void *)order[i]};
		if (!is_wanted(b, w->in) || !check_adv(b, w->in) || !build_adv(b, w))
			continue;
		w->class = class_of(&classes, w);
		b->n_advs++;
	}
	b->n_classes = table_count(&classes);
	table_fini(&classes);
}
