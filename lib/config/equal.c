/*
 * Do two configurations say the same? Compared field by field; advertisements of a pool by name,
 * since all advertisements are compared once on their own.
 */
#include <string.h>

#include "metallb/config.h"

static bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool strs_eq(const struct strs *a, const struct strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; a->items != b->items && i < a->n; i++)
		if (!str_eq(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool labels_eq(const struct labels *a, const struct labels *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->items[i].key, b->items[i].key) ||
		    !str_eq(a->items[i].value, b->items[i].value))
			return false;
	return true;
}

static bool selectors_eq(const struct selectors *a, const struct selectors *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct selector *x = &a->items[i], *y = &b->items[i];

		if (!labels_eq(&x->match_labels, &y->match_labels) || x->n_exprs != y->n_exprs)
			return false;
		for (size_t j = 0; j < x->n_exprs; j++)
			if (x->exprs[j].op != y->exprs[j].op ||
			    !str_eq(x->exprs[j].key, y->exprs[j].key) ||
			    !strs_eq(&x->exprs[j].values, &y->exprs[j].values))
				return false;
	}
	return true;
}

static bool l2adv_eq(const struct config_l2adv *a, const struct config_l2adv *b)
{
	return str_eq(a->name, b->name) && a->all_interfaces == b->all_interfaces &&
	       a->refuse_conflict == b->refuse_conflict &&
	       strs_eq(&a->interfaces, &b->interfaces) && strs_eq(&a->nodes, &b->nodes) &&
	       strs_eq(&a->scored_nodes, &b->scored_nodes) &&
	       memcmp(a->scores, b->scores, a->scored_nodes.n * sizeof(*a->scores)) == 0 &&
	       selectors_eq(&a->service_selectors, &b->service_selectors);
}

static bool community_eq(const struct community_value *a, const struct community_value *b)
{
	return a->large == b->large && a->v[0] == b->v[0] && a->v[1] == b->v[1] &&
	       a->v[2] == b->v[2];
}

static bool bgpadv_eq(const struct config_bgpadv *a, const struct config_bgpadv *b)
{
	if (!str_eq(a->name, b->name) || a->aggregation_length != b->aggregation_length ||
	    a->aggregation_length_v6 != b->aggregation_length_v6 ||
	    a->local_pref != b->local_pref || a->n_communities != b->n_communities)
		return false;
	for (size_t i = 0; i < a->n_communities; i++)
		if (!community_eq(&a->communities[i], &b->communities[i]))
			return false;
	return strs_eq(&a->nodes, &b->nodes) && strs_eq(&a->peers, &b->peers) &&
	       selectors_eq(&a->service_selectors, &b->service_selectors);
}

static bool ranges_eq(const struct config_pool *a, const struct config_pool *b)
{
	if (a->n_ranges != b->n_ranges || a->n_avoid != b->n_avoid)
		return false;
	for (size_t i = 0; i < a->n_ranges; i++)
		if (!str_eq(a->ranges[i].text, b->ranges[i].text))
			return false;
	return memcmp(a->avoid, b->avoid, a->n_avoid * sizeof(*a->avoid)) == 0;
}

static bool pool_advs_eq(const struct config_pool *a, const struct config_pool *b)
{
	if (a->n_l2advs != b->n_l2advs || a->n_bgpadvs != b->n_bgpadvs)
		return false;
	for (size_t i = 0; i < a->n_l2advs; i++)
		if (!str_eq(a->l2advs[i]->name, b->l2advs[i]->name))
			return false;
	for (size_t i = 0; i < a->n_bgpadvs; i++)
		if (!str_eq(a->bgpadvs[i]->name, b->bgpadvs[i]->name))
			return false;
	return true;
}

static bool pool_eq(const struct config_pool *a, const struct config_pool *b)
{
	return str_eq(a->name, b->name) && labels_eq(&a->labels, &b->labels) && ranges_eq(a, b) &&
	       a->auto_assign == b->auto_assign && a->avoid_buggy_ips == b->avoid_buggy_ips &&
	       a->has_allocation == b->has_allocation && a->priority == b->priority &&
	       a->restricts_namespaces == b->restricts_namespaces &&
	       strs_eq(&a->namespaces, &b->namespaces) &&
	       selectors_eq(&a->service_selectors, &b->service_selectors) && pool_advs_eq(a, b);
}

static bool peer_eq(const struct config_peer *a, const struct config_peer *b)
{
	return str_eq(a->name, b->name) && a->my_asn == b->my_asn && a->peer_asn == b->peer_asn &&
	       a->local_asn == b->local_asn && str_eq(a->dynamic_asn, b->dynamic_asn) &&
	       ip_eq(&a->address, &b->address) && str_eq(a->interface, b->interface) &&
	       ip_eq(&a->source_address, &b->source_address) &&
	       ip_eq(&a->router_id, &b->router_id) && a->port == b->port &&
	       a->hold_ns == b->hold_ns && a->keepalive_ns == b->keepalive_ns &&
	       a->connect_ns == b->connect_ns &&
	       selectors_eq(&a->node_selectors, &b->node_selectors) &&
	       str_eq(a->password, b->password) && str_eq(a->secret_name, b->secret_name) &&
	       str_eq(a->secret_namespace, b->secret_namespace) &&
	       a->password_from_secret == b->password_from_secret &&
	       str_eq(a->bfd_profile, b->bfd_profile) && str_eq(a->vrf, b->vrf) &&
	       a->graceful_restart == b->graceful_restart && a->ebgp_multihop == b->ebgp_multihop &&
	       a->disable_mp == b->disable_mp && a->dual_stack == b->dual_stack;
}

static bool bfd_eq(const struct config_bfd *a, const struct config_bfd *b)
{
	return str_eq(a->name, b->name) && a->receive_interval == b->receive_interval &&
	       a->transmit_interval == b->transmit_interval &&
	       a->detect_multiplier == b->detect_multiplier &&
	       a->echo_interval == b->echo_interval && a->minimum_ttl == b->minimum_ttl &&
	       a->echo_mode == b->echo_mode && a->passive_mode == b->passive_mode;
}

bool config_equal(const struct config *a, const struct config *b)
{
	if (a->backend != b->backend || !str_eq(a->bgp_extras, b->bgp_extras) ||
	    a->n_pools != b->n_pools || a->n_peers != b->n_peers || a->n_bfds != b->n_bfds ||
	    a->n_l2advs != b->n_l2advs || a->n_bgpadvs != b->n_bgpadvs)
		return false;
	for (size_t i = 0; i < a->n_l2advs; i++)
		if (!l2adv_eq(a->l2advs[i], b->l2advs[i]))
			return false;
	for (size_t i = 0; i < a->n_bgpadvs; i++)
		if (!bgpadv_eq(a->bgpadvs[i], b->bgpadvs[i]))
			return false;
	for (size_t i = 0; i < a->n_pools; i++)
		if (!pool_eq(&a->pools[i], &b->pools[i]))
			return false;
	for (size_t i = 0; i < a->n_peers; i++)
		if (!peer_eq(&a->peers[i], &b->peers[i]))
			return false;
	for (size_t i = 0; i < a->n_bfds; i++)
		if (!bfd_eq(&a->bfds[i], &b->bfds[i]))
			return false;
	return true;
}
