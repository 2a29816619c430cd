/*
 * The addresses that nodes have, for the allocator to keep off.
 */
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/reconcile_impl.h"

static void *decode_node(struct json_object *json, struct err *err)
{
	return api_decode(API_NODE, json, err);
}

static void free_node(void *value)
{
	api_object_free(value);
}

static void on_node(void *user, const char *key, void *before, void *after)
{
	const struct node *was = before, *now = after;
	struct reconcile *r = user;

	(void)key;
	if (was && now && strs_equal(&was->addresses, &now->addresses))
		return;
	r->nodes_dirty = true;
	reconcile_kick(r);
}

static void on_synced(void *user)
{
	reconcile_kick(user);
}

void nodes_start(struct reconcile *r)
{
	struct kube_informer_spec spec = {
		.sources = {{&kube_nodes, decode_node}},
		.n_sources = 1,
		.free_value = free_node,
		.on_change = on_node,
		.on_synced = on_synced,
		.user = r,
	};

	r->nodes_informer = kube_informer_new(r->spec.client, &spec);
}

void nodes_apply(struct reconcile *r)
{
	struct ip *ips = NULL;
	const char **names = NULL;
	size_t n = 0, cap = 0, cap_names = 0, pos = 0;
	const struct node *node;

	r->nodes_dirty = false;
	if (!r->nodes_informer)
		return;
	const struct kube_store *store = kube_informer_store(r->nodes_informer);

	while ((node = kube_store_next(store, &pos, NULL)) != NULL) {
		for (size_t i = 0; i < node->addresses.n; i++) {
			struct ip ip;

			if (!ip_parse(node->addresses.items[i], &ip))
				continue;
			ARRAY_GROW(ips, n, cap);
			ARRAY_GROW(names, n, cap_names);
			ips[n] = ip;
			names[n++] = node->obj.meta.name;
		}
	}
	services_set_nodes(r->services, ips, names, n);
	free(ips);
	free(names);
}
