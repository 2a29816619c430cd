/*
 * Layer 2: does this node answer for a service's addresses, and on which interfaces. One election
 * per service, on its first address; or one per group of services that share an address.
 */
#include <string.h>

#include "lib/announce/view.h"
#include "metallb/xalloc.h"

/* The advertisements that apply to a service. */
struct matching {
	const struct config_l2adv **advs;
	size_t n;
	bool any_service_selector;
};

static struct matching matching_collect(const struct config_pool *pool, const struct service *svc,
					struct arena *a)
{
	struct matching m = {
		.advs = arena_calloc(a, pool->n_l2advs, sizeof(struct config_l2adv *))};

	for (size_t i = 0; i < pool->n_l2advs; i++) {
		const struct config_l2adv *adv = pool->l2advs[i];

		if (adv->service_selectors.n > 0 &&
		    !selectors_match_any(&adv->service_selectors, &svc->obj.meta.labels))
			continue;
		m.advs[m.n++] = adv;
		m.any_service_selector |= adv->service_selectors.n > 0;
	}
	return m;
}

static bool service_is_shared(const struct service *svc)
{
	const struct labels *notes = &svc->obj.meta.annotations;

	return labels_get(notes, "metallb.io/allow-shared-ip") ||
	       labels_get(notes, "metallb.universe.tf/allow-shared-ip");
}

static bool any_endpoint_serves(const struct announce_service *in)
{
	for (size_t i = 0; i < in->n_slices; i++)
		for (size_t j = 0; j < in->slices[i]->n_endpoints; j++)
			if (announce_endpoint_serves(&in->slices[i]->endpoints[j]))
				return true;
	return false;
}

static bool matching_has_node(const struct matching *m, const char *node)
{
	for (size_t i = 0; i < m->n; i++)
		if (strs_contains(&m->advs[i]->nodes, node))
			return true;
	return false;
}

static int64_t matching_score(const struct matching *m, const char *node)
{
	int64_t sum = 0;

	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < m->advs[i]->scored_nodes.n; j++)
			if (strcmp(m->advs[i]->scored_nodes.items[j], node) == 0)
				sum += m->advs[i]->scores[j];
	return sum;
}

/* The nodes with an endpoint that serves, sorted; for externalTrafficPolicy Local. */
static struct strs serving_nodes(const struct announce_service *in, struct arena *a)
{
	const char **names;
	size_t max = 0, n = 0;

	for (size_t i = 0; i < in->n_slices; i++)
		max += in->slices[i]->n_endpoints;
	names = arena_calloc(a, max, sizeof(*names));
	for (size_t i = 0; i < in->n_slices; i++) {
		for (size_t j = 0; j < in->slices[i]->n_endpoints; j++) {
			const struct endpoint *ep = &in->slices[i]->endpoints[j];

			if (ep->node_name[0] && announce_endpoint_serves(ep))
				names[n++] = ep->node_name;
		}
	}
	return strs_sorted(&(struct strs){names, n}, a);
}

static const struct strs *lost_of(const struct announce_view *view, const char *node)
{
	for (size_t i = 0; i < view->n_lost; i++)
		if (strcmp(view->lost[i].node, node) == 0)
			return &view->lost[i].interfaces;
	return NULL;
}

/* On no interface that the advertisements name for the node it can be heard there. */
static bool node_is_silent(const struct announce_view *view, const struct matching *m,
			   const char *node)
{
	const struct strs *lost = lost_of(view, node);
	size_t named = 0;

	for (size_t i = 0; lost && i < m->n; i++) {
		const struct config_l2adv *adv = m->advs[i];

		if (!strs_contains(&adv->nodes, node))
			continue;
		if (adv->all_interfaces && !strs_contains(lost, ANNOUNCE_LOST_WAYS_OUT))
			return false;
		named += adv->all_interfaces;
		for (size_t j = 0; j < adv->interfaces.n; j++, named++)
			if (!strs_contains(lost, adv->interfaces.items[j]))
				return false;
	}
	return named > 0;
}

/* Those that can be heard; all, when none can. */
static void silent_remove(const struct announce_view *view, const struct matching *m,
			  struct announce_candidate *candidates, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; view->n_lost > 0 && i < *n; i++)
		kept += !node_is_silent(view, m, candidates[i].node);
	if (kept == 0 || kept == *n)
		return;
	kept = 0;
	for (size_t i = 0; i < *n; i++)
		if (!node_is_silent(view, m, candidates[i].node))
			candidates[kept++] = candidates[i];
	*n = kept;
}

/* The best of those that announce already comes first. */
static void holder_first(struct announce_candidate *ranked, size_t n,
			 const struct announce_service *in, size_t n_in)
{
	for (size_t i = 0; i < n; i++) {
		struct announce_candidate holder = ranked[i];
		bool holds = false;

		for (size_t j = 0; j < n_in && !holds; j++)
			for (size_t k = 0; k < in[j].holders.n && !holds; k++)
				holds = strcmp(in[j].holders.items[k], holder.node) == 0;
		if (!holds)
			continue;
		memmove(&ranked[1], &ranked[0], i * sizeof(*ranked));
		ranked[0] = holder;
		return;
	}
}

static struct announce_candidate *candidates_collect(const struct announce_view *view,
						     const struct announce_service *in,
						     const struct matching *m, struct arena *a,
						     size_t *n)
{
	bool local = strcmp(in->svc->external_traffic_policy, "Local") == 0;
	struct strs serving = local ? serving_nodes(in, a) : (struct strs){0};
	struct announce_candidate *out = arena_calloc(a, view->usable.n, sizeof(*out));

	*n = 0;
	for (size_t i = 0; i < view->usable.n; i++) {
		const char *node = view->usable.items[i];

		if (!matching_has_node(m, node) || (local && !strs_contains(&serving, node)))
			continue;
		out[(*n)++] =
			(struct announce_candidate){.node = node, .score = matching_score(m, node)};
	}
	silent_remove(view, m, out, n);
	return out;
}

/* On which interfaces this node answers; the same for each address of the service. */
static void interfaces_decide(const struct announce_view *view, const struct matching *m,
			      struct arena *a, struct announce_decision *d)
{
	size_t max = 0, n = 0;
	bool all = false, any_here = false;
	const char **names;

	for (size_t i = 0; i < m->n; i++)
		max += m->advs[i]->interfaces.n;
	names = arena_calloc(a, max, sizeof(*names));
	for (size_t i = 0; i < m->n; i++) {
		const struct config_l2adv *adv = m->advs[i];

		if (!strs_contains(&adv->nodes, view->opt.node))
			continue;
		all |= adv->all_interfaces;
		for (size_t j = 0; j < adv->interfaces.n; j++)
			names[n++] = adv->interfaces.items[j];
	}
	struct strs list = all ? (struct strs){0} : strs_sorted(&(struct strs){names, n}, a);

	for (size_t i = 0; i < list.n; i++)
		any_here |= strs_contains(&view->interfaces, list.items[i]);
	if (!all && !any_here)
		return;
	struct announce_l2_ip *ips = arena_calloc(a, d->n_ips, sizeof(*ips));

	for (size_t i = 0; i < d->n_ips; i++)
		ips[i] = (struct announce_l2_ip){d->ips[i], all, list};
	d->l2.ips = ips;
	d->l2.n_ips = d->n_ips;
}

static void ranking_set(struct announce_l2 *l2, const struct announce_candidate *candidates,
			size_t n, struct arena *a)
{
	size_t kept = n < ANNOUNCE_RANKED_MAX ? n : ANNOUNCE_RANKED_MAX;
	const char **names = arena_calloc(a, kept, sizeof(*names));

	for (size_t i = 0; i < kept; i++)
		names[i] = candidates[i].node;
	l2->ranking = (struct strs){names, kept};
	l2->n_candidates = n;
}

/* The verdict for this node once the candidates are ranked. */
static void winner_set(const struct announce_view *view, const struct matching *m, struct arena *a,
		       struct announce_decision *d)
{
	d->l2.ips = NULL;
	d->l2.n_ips = 0;
	if (strcmp(d->l2.ranking.items[0], view->opt.node) == 0) {
		d->l2.reason = ANNOUNCE_YES;
		d->l2.detail = ANNOUNCE_DETAIL_NONE;
		interfaces_decide(view, m, a, d);
	} else {
		d->l2.reason = ANNOUNCE_NOT_OWNER;
		d->l2.detail = ANNOUNCE_DETAIL_LOST;
	}
}

static void not_owner(struct announce_l2 *l2, enum announce_detail detail)
{
	l2->reason = ANNOUNCE_NOT_OWNER;
	l2->detail = detail;
}

static bool any_refuses(const struct matching *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->advs[i]->refuse_conflict)
			return true;
	return false;
}

void l2_decide(const struct announce_view *view, const struct announce_service *in, struct arena *a,
	       struct announce_decision *d)
{
	if (!any_endpoint_serves(in)) {
		not_owner(&d->l2, ANNOUNCE_DETAIL_NO_ENDPOINTS);
		return;
	}
	struct matching m = matching_collect(d->pool, in->svc, a);

	d->l2.refuse_conflict = any_refuses(&m);
	if (m.any_service_selector && service_is_shared(in->svc)) {
		d->l2.reason = ANNOUNCE_SHARED_IP_SELECTOR;
		return;
	}
	size_t n;
	struct announce_candidate *candidates = candidates_collect(view, in, &m, a, &n);

	announce_elect_rank(candidates, n, &d->ips[0]);
	holder_first(candidates, n, in, 1);
	ranking_set(&d->l2, candidates, n, a);
	if (!matching_has_node(&m, view->opt.node)) {
		d->l2.reason = ANNOUNCE_NO_ADVERTISEMENT;
		return;
	}
	if (n == 0)
		not_owner(&d->l2, ANNOUNCE_DETAIL_NO_CANDIDATES);
	else
		winner_set(view, &m, a, d);
}

/* Does the service take part in an election at all. */
static bool is_electing(const struct announce_decision *d)
{
	return d->gate == ANNOUNCE_YES && d->l2.n_candidates > 0;
}

/* Keep those of `all` that are in `other` too, adding their scores. */
static size_t candidates_intersect(struct announce_candidate *all, size_t n,
				   const struct announce_candidate *other, size_t n_other)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n_other; j++) {
			if (strcmp(all[i].node, other[j].node) == 0) {
				all[kept] = all[i];
				all[kept++].score += other[j].score;
				break;
			}
		}
	}
	return kept;
}

bool announce_decide_group(const struct announce_view *view, const struct announce_service *in,
			   size_t n, const struct ip *shared, struct arena *a,
			   struct announce_decision *decisions)
{
	struct announce_candidate *all = NULL;
	size_t n_all = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_electing(&decisions[i]))
			continue;
		struct matching m = matching_collect(decisions[i].pool, in[i].svc, a);
		size_t n_one;
		struct announce_candidate *one = candidates_collect(view, &in[i], &m, a, &n_one);

		n_all = all ? candidates_intersect(all, n_all, one, n_one) : n_one;
		all = all ? all : one;
	}
	if (!all)
		return true; /* nobody elects: nothing to agree on */
	if (n_all == 0)
		return false;
	announce_elect_rank(all, n_all, shared);
	holder_first(all, n_all, in, n);
	for (size_t i = 0; i < n; i++) {
		if (!is_electing(&decisions[i]))
			continue;
		struct matching m = matching_collect(decisions[i].pool, in[i].svc, a);

		ranking_set(&decisions[i].l2, all, n_all, a);
		if (matching_has_node(&m, view->opt.node))
			winner_set(view, &m, a, &decisions[i]);
	}
	return true;
}
