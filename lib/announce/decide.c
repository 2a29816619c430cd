/*
 * The decision for one service: first what holds for both protocols (is it ours to announce at all,
 * with which addresses, from which pool), then layer 2 (l2.c) and BGP (routes.c). And the view that
 * all services of one moment share.
 */
#include "metallb/announce.h"

#include <assert.h>
#include <string.h>

#include "lib/announce/view.h"
#include "metallb/xalloc.h"

const char *announce_reason_text(enum announce_reason reason)
{
	static const char *const text[ANNOUNCE_REASON_COUNT] = {
		[ANNOUNCE_YES] = "",
		[ANNOUNCE_NO_CONFIG] = "noConfig",
		[ANNOUNCE_OTHER_CLASS] = "otherLoadBalancerClass",
		[ANNOUNCE_NOT_LOADBALANCER] = "notLoadBalancer",
		[ANNOUNCE_NO_IP] = "noIPAllocated",
		[ANNOUNCE_INVALID_IP] = "invalidIP",
		[ANNOUNCE_IP_NOT_ALLOWED] = "ipNotAllowed",
		[ANNOUNCE_WITHDRAWN] = "speakersWithdraw",
		[ANNOUNCE_NOT_OWNER] = "notOwner",
		[ANNOUNCE_NO_ADVERTISEMENT] = "noMatchingAdvertisement",
		[ANNOUNCE_SHARED_IP_SELECTOR] = "sharedIPWithServiceSelector",
		[ANNOUNCE_CONFLICTING] = "conflictingAdvertisements",
		[ANNOUNCE_NETWORK_UNAVAILABLE] = "nodeNetworkUnavailable",
		[ANNOUNCE_NODE_EXCLUDED] = "nodeLabeledExcludeBalancers",
		[ANNOUNCE_NO_LOCAL_ENDPOINTS] = "noLocalEndpoints",
		[ANNOUNCE_NO_ENDPOINTS] = "noEndpoints",
		[ANNOUNCE_ADDRESS_PROBED] = "addressProbed",
		[ANNOUNCE_ADDRESS_IN_USE] = "addressInUse",
	};

	assert(reason < ANNOUNCE_REASON_COUNT && text[reason]);
	return text[reason];
}

/* ---- sorted lists of names ---- */

static int str_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool strs_contains(const struct strs *sorted, const char *s)
{
	return sorted->n > 0 &&
	       bsearch(&s, sorted->items, sorted->n, sizeof(*sorted->items), str_cmp);
}

struct strs strs_sorted(const struct strs *in, struct arena *a)
{
	const char **items = arena_calloc(a, in->n, sizeof(*items));
	size_t n = 0;

	if (in->n > 0)
		memcpy(items, in->items, in->n * sizeof(*items));
	if (in->n > 1)
		qsort(items, in->n, sizeof(*items), str_cmp);
	for (size_t i = 0; i < in->n; i++)
		if (n == 0 || strcmp(items[n - 1], items[i]) != 0)
			items[n++] = items[i];
	return (struct strs){items, n};
}

/* ---- the view ---- */

static int node_cmp(const void *pa, const void *pb)
{
	const struct node *const *a = pa, *const *b = pb;

	return strcmp((*a)->obj.meta.name, (*b)->obj.meta.name);
}

static int node_name_cmp(const void *name, const void *p)
{
	const struct node *const *node = p;

	return strcmp(name, (*node)->obj.meta.name);
}

/* The node objects by name, only while a view is being made. */
struct node_index {
	const struct node **items;
	size_t n;
};

static const struct node *node_find(const struct node_index *nodes, const char *name)
{
	const struct node **found = nodes->n > 0 ? bsearch(name, nodes->items, nodes->n,
							   sizeof(*nodes->items), node_name_cmp)
						 : NULL;

	return found ? *found : NULL;
}

/* A node object that is not known is no objection. */
static enum announce_reason node_objection(const struct announce_view *view,
					   const struct node *node)
{
	if (!node)
		return ANNOUNCE_YES;
	if (node->network_unavailable)
		return ANNOUNCE_NETWORK_UNAVAILABLE;
	if (!view->opt.ignore_exclude_lb &&
	    labels_get(&node->obj.meta.labels, ANNOUNCE_EXCLUDE_LABEL))
		return ANNOUNCE_NODE_EXCLUDED;
	return ANNOUNCE_YES;
}

static void usable_collect(struct announce_view *view, const struct node_index *nodes,
			   const struct strs *speakers)
{
	struct arena *a = view->arena;
	size_t max = speakers ? speakers->n : nodes->n, n = 0;
	const char **names = arena_calloc(a, max, sizeof(*names));

	for (size_t i = 0; i < max; i++) {
		const char *name = speakers ? speakers->items[i] : nodes->items[i]->obj.meta.name;

		if (node_objection(view, node_find(nodes, name)) == ANNOUNCE_YES)
			names[n++] = arena_strdup(a, name);
	}
	view->usable = strs_sorted(&(struct strs){names, n}, a);
}

static int lost_cmp(const void *pa, const void *pb)
{
	const struct announce_lost *a = pa, *b = pb;

	return strcmp(a->node, b->node);
}

static void lost_copy(struct announce_view *view, const struct announce_world *world)
{
	struct arena *a = view->arena;

	view->n_lost = world->n_lost;
	view->lost = arena_calloc(a, world->n_lost, sizeof(*view->lost));
	for (size_t i = 0; i < world->n_lost; i++) {
		const struct strs *from = &world->lost[i].interfaces;
		const char **names = arena_calloc(a, from->n, sizeof(*names));

		for (size_t j = 0; j < from->n; j++)
			names[j] = arena_strdup(a, from->items[j]);
		view->lost[i].node = arena_strdup(a, world->lost[i].node);
		view->lost[i].interfaces = strs_sorted(&(struct strs){names, from->n}, a);
	}
	if (view->n_lost > 1)
		qsort(view->lost, view->n_lost, sizeof(*view->lost), lost_cmp);
}

static bool lost_same(const struct announce_view *a, const struct announce_view *b)
{
	if (a->n_lost != b->n_lost)
		return false;
	for (size_t i = 0; i < a->n_lost; i++)
		if (strcmp(a->lost[i].node, b->lost[i].node) != 0 ||
		    !strs_equal(&a->lost[i].interfaces, &b->lost[i].interfaces))
			return false;
	return true;
}

struct announce_view *announce_view_new(const struct announce_options *opt,
					const struct announce_world *world)
{
	struct arena *a = arena_new();
	struct announce_view *view = arena_alloc(a, sizeof(*view));
	struct node_index nodes = {arena_calloc(a, world->n_nodes, sizeof(*nodes.items)),
				   world->n_nodes};
	const char **names = arena_calloc(a, world->interfaces.n, sizeof(*names));

	view->arena = a;
	view->opt = *opt;
	view->cfg = world->cfg;
	view->withdraw = world->withdraw;
	for (size_t i = 0; i < world->n_nodes; i++)
		nodes.items[i] = world->nodes[i];
	if (nodes.n > 1)
		qsort(nodes.items, nodes.n, sizeof(*nodes.items), node_cmp);
	view->node_says = node_objection(view, node_find(&nodes, opt->node));
	for (size_t i = 0; i < world->interfaces.n; i++)
		names[i] = arena_strdup(a, world->interfaces.items[i]);
	view->interfaces = strs_sorted(&(struct strs){names, world->interfaces.n}, a);
	usable_collect(view, &nodes, world->speakers);
	lost_copy(view, world);
	return view;
}

struct announce_view *announce_view_free(struct announce_view *view)
{
	if (view)
		arena_free(view->arena);
	return NULL;
}

bool announce_view_same(const struct announce_view *a, const struct announce_view *b)
{
	return a->cfg == b->cfg && a->withdraw == b->withdraw && a->node_says == b->node_says &&
	       strs_equal(&a->usable, &b->usable) && strs_equal(&a->interfaces, &b->interfaces) &&
	       lost_same(a, b);
}

bool announce_view_same_nodes(const struct announce_view *a, const struct announce_view *b)
{
	return strs_equal(&a->usable, &b->usable);
}

bool announce_view_is_excluded(const struct announce_view *view)
{
	return view->node_says == ANNOUNCE_NODE_EXCLUDED;
}

/* ---- the decision ---- */

static bool class_matches(const struct service *svc, const char *wanted)
{
	if (!svc->load_balancer_class)
		return wanted[0] == '\0';
	return strcmp(svc->load_balancer_class, wanted) == 0;
}

/* All addresses lie in one pool, or NULL. */
static const struct config_pool *pool_of_all(const struct config *cfg, const struct ip *ips,
					     size_t n)
{
	const struct config_pool *pool = config_pool_of(cfg, &ips[0]);

	for (size_t i = 1; i < n; i++)
		if (config_pool_of(cfg, &ips[i]) != pool)
			return NULL;
	return pool;
}

static enum announce_reason gate_decide(const struct announce_view *view, const struct service *svc,
					struct arena *a, struct announce_decision *d)
{
	size_t n = svc->ingress.n;

	if (view->withdraw)
		return ANNOUNCE_WITHDRAWN;
	if (!class_matches(svc, view->opt.lb_class))
		return ANNOUNCE_OTHER_CLASS;
	if (strcmp(svc->type, "LoadBalancer") != 0)
		return ANNOUNCE_NOT_LOADBALANCER;
	if (!view->cfg)
		return ANNOUNCE_NO_CONFIG;
	if (n == 0)
		return ANNOUNCE_NO_IP;
	struct ip *ips = arena_calloc(a, n, sizeof(*ips));

	for (size_t i = 0; i < n; i++)
		if (!ip_parse(svc->ingress.items[i], &ips[i]))
			return ANNOUNCE_INVALID_IP;
	d->ips = ips;
	d->n_ips = n;
	d->pool = pool_of_all(view->cfg, ips, n);
	return d->pool ? ANNOUNCE_YES : ANNOUNCE_IP_NOT_ALLOWED;
}

void announce_decide(const struct announce_view *view, const struct announce_service *in,
		     struct arena *a, struct announce_decision *out)
{
	*out = (struct announce_decision){0};
	out->gate = gate_decide(view, in->svc, a, out);
	if (out->gate != ANNOUNCE_YES) {
		out->l2.reason = out->bgp.reason = out->gate;
		return;
	}
	l2_decide(view, in, a, out);
	bgp_decide(view, in, a, out);
}
