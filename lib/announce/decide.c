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
		[ANNOUNCE_NOT_OWNER] = "notOwner",
		[ANNOUNCE_NO_ADVERTISEMENT] = "noMatchingAdvertisement",
		[ANNOUNCE_SHARED_IP_SELECTOR] = "sharedIPWithServiceSelector",
		[ANNOUNCE_CONFLICTING] = "conflictingAdvertisements",
		[ANNOUNCE_NETWORK_UNAVAILABLE] = "nodeNetworkUnavailable",
		[ANNOUNCE_NODE_EXCLUDED] = "nodeLabeledExcludeBalancers",
		[ANNOUNCE_NO_LOCAL_ENDPOINTS] = "noLocalEndpoints",
		[ANNOUNCE_NO_ENDPOINTS] = "noEndpoints",
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

static const struct node *node_find(const struct announce_view *view, const char *name)
{
	const struct node **found = view->n_nodes > 0 ? bsearch(name, view->nodes, view->n_nodes,
								sizeof(*view->nodes), node_name_cmp)
						      : NULL;

	return found ? *found : NULL;
}

/* A node object that is not known is no objection. */
static bool node_passes(const struct announce_view *view, const struct node *node)
{
	if (!node)
		return true;
	if (node->network_unavailable)
		return false;
	return view->opt.ignore_exclude_lb ||
	       !labels_get(&node->obj.meta.labels, ANNOUNCE_EXCLUDE_LABEL);
}

static void usable_collect(struct announce_view *view, const struct strs *speakers)
{
	struct arena *a = view->arena;
	struct strs names;

	if (speakers) {
		names = strs_sorted(speakers, a);
	} else {
		const char **all = arena_calloc(a, view->n_nodes, sizeof(*all));

		for (size_t i = 0; i < view->n_nodes; i++)
			all[i] = view->nodes[i]->obj.meta.name;
		names = (struct strs){all, view->n_nodes};
	}
	view->usable = arena_calloc(a, names.n, sizeof(*view->usable));
	for (size_t i = 0; i < names.n; i++)
		if (node_passes(view, node_find(view, names.items[i])))
			view->usable[view->n_usable++] = names.items[i];
}

struct announce_view *announce_view_new(const struct announce_options *opt,
					const struct announce_world *world)
{
	struct arena *a = arena_new();
	struct announce_view *view = arena_alloc(a, sizeof(*view));

	view->arena = a;
	view->opt = *opt;
	view->cfg = world->cfg;
	view->n_nodes = world->n_nodes;
	view->nodes = arena_calloc(a, world->n_nodes, sizeof(*view->nodes));
	for (size_t i = 0; i < world->n_nodes; i++)
		view->nodes[i] = world->nodes[i];
	if (view->n_nodes > 1)
		qsort(view->nodes, view->n_nodes, sizeof(*view->nodes), node_cmp);
	view->me = node_find(view, opt->node);
	view->interfaces = strs_sorted(&world->interfaces, a);
	usable_collect(view, world->speakers);
	return view;
}

struct announce_view *announce_view_free(struct announce_view *view)
{
	if (view)
		arena_free(view->arena);
	return NULL;
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
