/*
 * A built configuration as the records show one.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/duration.h"
#include "metallb/xalloc.h"
#include "tests/conformance/config_json.h"

static json_object *text(const char *s)
{
	return json_object_new_string(s);
}

static json_object *texts(const struct strs *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(list, text(s->items[i]));
	return list;
}

static json_object *selectors(const struct selectors *s)
{
	struct arena *a = arena_new();
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(list, text(selector_format(&s->items[i], a)));
	arena_free(a);
	return list;
}

static json_object *address(const struct ip *ip)
{
	char buf[IP_STR_MAX];

	return ip->family == IP_NONE ? NULL : text(ip_format(ip, buf));
}

static json_object *duration(int64_t ns)
{
	char buf[40];

	return ns == DURATION_UNSET ? NULL : text(duration_format(ns, buf));
}

static void add(json_object *obj, const char *key, json_object *v)
{
	json_object_object_add(obj, key, v);
}

static void add_int(json_object *obj, const char *key, int64_t v)
{
	add(obj, key, json_object_new_int64(v));
}

static void add_bool(json_object *obj, const char *key, bool v)
{
	add(obj, key, json_object_new_boolean(v));
}

static json_object *peer_json(const struct config_peer *p)
{
	json_object *o = json_object_new_object(), *secret = json_object_new_object();
	json_object *nodes = selectors(&p->node_selectors);

	if (p->node_selectors.n == 0)
		json_object_array_add(nodes, text(""));
	add(secret, "name", text(p->secret_name));
	add(secret, "namespace", text(p->secret_namespace));
	add(o, "address", address(&p->address));
	add(o, "bfdProfile", text(p->bfd_profile));
	add(o, "connectTime", duration(p->connect_ns));
	add_bool(o, "disableMP", p->disable_mp);
	add_bool(o, "dualStackAddressFamily", p->dual_stack);
	add(o, "dynamicASN", text(p->dynamic_asn));
	add_bool(o, "ebgpMultiHop", p->ebgp_multihop);
	add_bool(o, "enableGracefulRestart", p->graceful_restart);
	add(o, "holdTime", duration(p->hold_ns));
	add(o, "interface", text(p->interface));
	add(o, "keepaliveTime", duration(p->keepalive_ns));
	add_int(o, "localASN", p->local_asn);
	add_int(o, "myASN", p->my_asn);
	add(o, "nodeSelectors", nodes);
	add(o, "password", text(p->password_from_secret ? "" : p->password));
	add(o, "passwordSecret", secret);
	add_int(o, "peerASN", p->peer_asn);
	add_int(o, "port", p->port);
	add(o, "routerID", address(&p->router_id));
	add(o, "secretPassword", text(p->password_from_secret ? p->password : ""));
	add(o, "sourceAddress", address(&p->source_address));
	add(o, "vrf", text(p->vrf));
	return o;
}

static void add_set(json_object *obj, const char *key, int64_t v)
{
	add(obj, key, v == BFD_UNSET ? NULL : json_object_new_int64(v));
}

static json_object *bfd_json(const struct config_bfd *p)
{
	json_object *o = json_object_new_object();

	add_set(o, "detectMultiplier", p->detect_multiplier);
	add_set(o, "echoInterval", p->echo_interval);
	add_bool(o, "echoMode", p->echo_mode);
	add_set(o, "minimumTtl", p->minimum_ttl);
	add_bool(o, "passiveMode", p->passive_mode);
	add_set(o, "receiveInterval", p->receive_interval);
	add_set(o, "transmitInterval", p->transmit_interval);
	return o;
}

static json_object *l2adv_json(const struct config_l2adv *a)
{
	json_object *o = json_object_new_object();

	add_bool(o, "allInterfaces", a->all_interfaces);
	add(o, "interfaces", texts(&a->interfaces));
	add(o, "nodes", texts(&a->nodes));
	add(o, "serviceSelectors", selectors(&a->service_selectors));
	return o;
}

static json_object *bgpadv_json(const struct config_bgpadv *a)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < a->n_communities; i++) {
		const struct community_value *c = &a->communities[i];
		char buf[48];

		if (c->large)
			snprintf(buf, sizeof(buf), "large:%u:%u:%u", c->v[0], c->v[1], c->v[2]);
		else
			snprintf(buf, sizeof(buf), "%u:%u", c->v[0], c->v[1]);
		json_object_array_add(list, text(buf));
	}
	add_int(o, "aggregationLength", a->aggregation_length);
	add_int(o, "aggregationLengthV6", a->aggregation_length_v6);
	add(o, "communities", list);
	add_int(o, "localPref", a->local_pref);
	add(o, "name", text(a->name));
	add(o, "nodes", texts(&a->nodes));
	add(o, "peers", texts(&a->peers));
	add(o, "serviceSelectors", selectors(&a->service_selectors));
	return o;
}

/* The records hold each only once. */
static void add_once(json_object *list, json_object *v)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (json_object_equal(json_object_array_get_idx(list, i), v)) {
			json_object_put(v);
			return;
		}
	json_object_array_add(list, v);
}

static json_object *pool_json(const struct config_pool *p)
{
	json_object *o = json_object_new_object(), *cidrs = json_object_new_array();
	json_object *l2 = json_object_new_array(), *bgp = json_object_new_array();
	char buf[PREFIX_STR_MAX];

	for (size_t i = 0; i < p->n_ranges; i++)
		for (size_t j = 0; j < p->ranges[i].n_prefixes; j++)
			json_object_array_add(cidrs,
					      text(prefix_format(&p->ranges[i].prefixes[j], buf)));
	for (size_t i = 0; i < p->n_l2advs; i++)
		add_once(l2, l2adv_json(p->l2advs[i]));
	for (size_t i = 0; i < p->n_bgpadvs; i++)
		json_object_array_add(bgp, bgpadv_json(p->bgpadvs[i]));
	add_bool(o, "autoAssign", p->auto_assign);
	add_bool(o, "avoidBuggyIPs", p->avoid_buggy_ips);
	add(o, "bgpAdvertisements", bgp);
	add(o, "cidrs", cidrs);
	add(o, "l2Advertisements", l2);
	if (p->has_allocation) {
		json_object *alloc = json_object_new_object();

		add(alloc, "namespaces", texts(&p->namespaces));
		add_int(alloc, "priority", p->priority);
		add(alloc, "serviceSelectors", selectors(&p->service_selectors));
		add(o, "serviceAllocation", alloc);
	}
	return o;
}

static void add_by_namespace(json_object *by, const struct config_pool *p)
{
	for (size_t i = 0; i < p->namespaces.n; i++) {
		json_object *list = NULL;

		if (!json_object_object_get_ex(by, p->namespaces.items[i], &list)) {
			list = json_object_new_array();
			add(by, p->namespaces.items[i], list);
		}
		json_object_array_add(list, text(p->name));
	}
}

json_object *config_to_json(const struct config *cfg)
{
	json_object *o = json_object_new_object(), *bfds = json_object_new_object();
	json_object *peers = json_object_new_object(), *pools = json_object_new_object();
	json_object *by_ns = json_object_new_object(), *by_svc = json_object_new_array();

	for (size_t i = 0; i < cfg->n_bfds; i++)
		add(bfds, cfg->bfds[i].name, bfd_json(&cfg->bfds[i]));
	for (size_t i = 0; i < cfg->n_peers; i++)
		add(peers, cfg->peers[i].name, peer_json(&cfg->peers[i]));
	for (size_t i = 0; i < cfg->n_pools; i++) {
		const struct config_pool *p = &cfg->pools[i];

		add(pools, p->name, pool_json(p));
		add_by_namespace(by_ns, p);
		if (p->namespaces.n == 0 && p->service_selectors.n > 0)
			json_object_array_add(by_svc, text(p->name));
	}
	add(o, "bfdProfiles", bfds);
	add(o, "bgpExtras", text(cfg->bgp_extras));
	add(o, "peers", peers);
	add(o, "pools", pools);
	add(o, "poolsByNamespace", by_ns);
	add(o, "poolsByServiceSelector", by_svc);
	return o;
}
