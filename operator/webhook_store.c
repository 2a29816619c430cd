/*
 * One informer per kind. Only what admission asks for is kept: of a Service its name and addresses,
 * of a Secret for basic authentication whether it has a password, not which.
 */
#include "operator/webhook_store.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/kube_informer.h"
#include "metallb/xalloc.h"

#define SERVICE_IPS_MAX 16 /* of one Service that are looked at */

enum {
	STORE_POOLS,
	STORE_L2ADVS,
	STORE_BGPADVS,
	STORE_PEERS,
	STORE_BFDS,
	STORE_COMMUNITIES,
	STORE_NODES,
	STORE_NAMESPACES,
	STORE_SECRETS,
	STORE_SERVICES,
	STORE_COUNT
};

struct store_list {
	const void **items;
	size_t n, cap;
};

/* What an informer's callback is told. */
struct store_watch {
	struct webhook_store *store;
	bool is_config; /* the configuration depends on it */
	bool is_judged; /* it is admission that lets it in */
};

struct webhook_store {
	struct store_watch watches[STORE_COUNT];
	struct kube_informer *informers[STORE_COUNT];
	struct store_list lists[STORE_COUNT];
	struct config *config; /* of all of them */
	bool changed, config_changed;
	void (*on_change)(void *user);
	void *user;
};

#define DECODE(name, kind)                                                                         \
	static void *name(struct json_object *o, struct err *err)                                  \
	{                                                                                          \
		return api_decode(kind, o, err);                                                   \
	}
DECODE(decode_pool, API_IPADDRESSPOOL)
DECODE(decode_l2adv, API_L2ADVERTISEMENT)
DECODE(decode_bgpadv, API_BGPADVERTISEMENT)
DECODE(decode_peer, API_BGPPEER)
DECODE(decode_bfd, API_BFDPROFILE)
DECODE(decode_community, API_COMMUNITY)
DECODE(decode_node, API_NODE)
DECODE(decode_namespace, API_NAMESPACE)

/* The passwords themselves are not kept. */
static void *decode_secret(struct json_object *o, struct err *err)
{
	struct secret *s = (struct secret *)(void *)api_decode(API_SECRET, o, err);

	for (size_t i = 0; s && i < s->n_items; i++)
		if (s->items[i].len > 0)
			explicit_bzero((void *)(uintptr_t)s->items[i].value, s->items[i].len);
	return s;
}

static void free_object(void *value)
{
	api_object_free(value);
}

static size_t read_ips(struct json_object *o, struct ip ips[SERVICE_IPS_MAX])
{
	struct json_object *balancer = kube_json_get(kube_json_get(o, "status"), "loadBalancer");
	struct json_object *list = kube_json_get(balancer, "ingress");
	size_t n = 0;

	if (!json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list) && n < SERVICE_IPS_MAX; i++)
		if (ip_parse(kube_json_str(json_object_array_get_idx(list, i), "ip"), &ips[n]))
			n++;
	return n;
}

/* In one piece of memory: the struct, its addresses, its names. */
static void *decode_service(struct json_object *o, struct err *err)
{
	const char *ns = kube_meta_str(o, "namespace"), *name = kube_meta_str(o, "name");
	struct ip ips[SERVICE_IPS_MAX];
	size_t n = read_ips(o, ips), ns_size = strlen(ns) + 1, name_size = strlen(name) + 1;

	err->msg[0] = '\0';
	if (n == 0)
		return NULL; /* not of interest */
	struct admit_service *s = xmalloc(sizeof(*s) + n * sizeof(*ips) + ns_size + name_size);
	struct ip *addresses = (struct ip *)(void *)(s + 1);
	char *text = (char *)(addresses + n);

	memcpy(addresses, ips, n * sizeof(*ips));
	memcpy(text, ns, ns_size);
	memcpy(text + ns_size, name, name_size);
	*s = (struct admit_service){text, text + ns_size, addresses, n};
	return s;
}

static const struct {
	const struct kube_resource *resource;
	kube_decode_fn decode;
	void (*free_value)(void *value);
	bool is_ours; /* in our own namespace, else everywhere */
	const char *field_selector;
} kinds[STORE_COUNT] = {
	[STORE_POOLS] = {&kube_ipaddresspools, decode_pool, free_object, true, NULL},
	[STORE_L2ADVS] = {&kube_l2advertisements, decode_l2adv, free_object, true, NULL},
	[STORE_BGPADVS] = {&kube_bgpadvertisements, decode_bgpadv, free_object, true, NULL},
	[STORE_PEERS] = {&kube_bgppeers, decode_peer, free_object, true, NULL},
	[STORE_BFDS] = {&kube_bfdprofiles, decode_bfd, free_object, true, NULL},
	[STORE_COMMUNITIES] = {&kube_communities, decode_community, free_object, true, NULL},
	[STORE_NODES] = {&kube_nodes, decode_node, free_object, false, NULL},
	[STORE_NAMESPACES] = {&kube_namespaces, decode_namespace, free_object, false, NULL},
	[STORE_SECRETS] = {&kube_secrets, decode_secret, free_object, true,
			   "type=kubernetes.io/basic-auth"},
	[STORE_SERVICES] = {&kube_services, decode_service, free, false, NULL},
};

static void on_change(void *user, const char *key, void *before, void *after)
{
	const struct store_watch *w = user;

	(void)key;
	(void)before;
	(void)after;
	w->store->changed = true;
	w->store->config_changed |= w->is_config;
	if (w->is_judged)
		w->store->on_change(w->store->user);
}

struct webhook_store *webhook_store_new(struct kube_client *client, const char *ns,
					void (*on_changed)(void *user), void *user)
{
	struct webhook_store *s = xcalloc(1, sizeof(*s));

	s->on_change = on_changed;
	s->user = user;
	s->changed = s->config_changed = true;
	for (size_t i = 0; i < STORE_COUNT; i++) {
		s->watches[i] = (struct store_watch){
			.store = s,
			.is_config = i != STORE_SERVICES && i != STORE_SECRETS,
			.is_judged = i <= STORE_COMMUNITIES,
		};
		struct kube_informer_spec spec = {
			.sources = {{kinds[i].resource, kinds[i].decode}},
			.n_sources = 1,
			.ns = kinds[i].is_ours ? ns : NULL,
			.field_selector = kinds[i].field_selector,
			.free_value = kinds[i].free_value,
			.on_change = on_change,
			.user = &s->watches[i],
		};

		s->informers[i] = kube_informer_new(client, &spec);
	}
	return s;
}

struct webhook_store *webhook_store_free(struct webhook_store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < STORE_COUNT; i++) {
		kube_informer_free(s->informers[i]);
		free(s->lists[i].items);
	}
	config_free(s->config);
	free(s);
	return NULL;
}

bool webhook_store_is_synced(const struct webhook_store *s)
{
	for (size_t i = 0; i < STORE_COUNT; i++)
		if (!kube_informer_is_synced(s->informers[i]))
			return false;
	return true;
}

static void list_fill(struct store_list *l, const struct kube_store *store)
{
	size_t pos = 0;
	void *value;

	l->n = 0;
	while ((value = kube_store_next(store, &pos, NULL))) {
		ARRAY_GROW(l->items, l->n, l->cap);
		l->items[l->n++] = value;
	}
}

static void rebuild(struct webhook_store *s, const struct admit_snapshot *snapshot)
{
	struct config_options opt = {.backend = snapshot->backend, .ignore_references = true};
	struct config_report *report;

	config_free(s->config);
	config_build(&snapshot->objs, &opt, &s->config, &report);
	config_report_free(report);
}

void webhook_store_snapshot(struct webhook_store *s, struct admit_snapshot *out)
{
	const struct store_list *l = s->lists;

	for (size_t i = 0; i < STORE_COUNT && s->changed; i++)
		list_fill(&s->lists[i], kube_informer_store(s->informers[i]));
	out->objs = (struct objects){
		.pools = (const void *)l[STORE_POOLS].items,
		.n_pools = l[STORE_POOLS].n,
		.l2advs = (const void *)l[STORE_L2ADVS].items,
		.n_l2advs = l[STORE_L2ADVS].n,
		.bgpadvs = (const void *)l[STORE_BGPADVS].items,
		.n_bgpadvs = l[STORE_BGPADVS].n,
		.peers = (const void *)l[STORE_PEERS].items,
		.n_peers = l[STORE_PEERS].n,
		.bfds = (const void *)l[STORE_BFDS].items,
		.n_bfds = l[STORE_BFDS].n,
		.communities = (const void *)l[STORE_COMMUNITIES].items,
		.n_communities = l[STORE_COMMUNITIES].n,
		.nodes = (const void *)l[STORE_NODES].items,
		.n_nodes = l[STORE_NODES].n,
		.namespaces = (const void *)l[STORE_NAMESPACES].items,
		.n_namespaces = l[STORE_NAMESPACES].n,
		.secrets = (const void *)l[STORE_SECRETS].items,
		.n_secrets = l[STORE_SECRETS].n,
		.bgp_extras = "",
	};
	out->services = (const void *)l[STORE_SERVICES].items;
	out->n_services = l[STORE_SERVICES].n;
	if (s->config_changed)
		rebuild(s, out);
	s->changed = s->config_changed = false;
	out->current = s->config;
}

void webhook_store_forget(struct webhook_store *s)
{
	s->config_changed = true;
}
