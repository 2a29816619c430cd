/*
 * Gathers by walking the stores; the indexes are kept by whoever hears of the changes.
 */
#include "speaker/gather.h"

#include <assert.h>
#include <string.h>

#include "metallb/api.h"
#include "metallb/xalloc.h"

void owned_index_init(struct owned_index *x)
{
	table_init(&x->owners);
}

void owned_index_fini(struct owned_index *x)
{
	table_for_each (&x->owners, e) {
		struct owned_list *list = e->value;

		free(list->items);
		free(list);
	}
	table_fini(&x->owners);
}

void owned_index_add(struct owned_index *x, const char *owner, const void *object)
{
	struct owned_list *list = table_find(&x->owners, owner);

	if (!list) {
		list = xcalloc(1, sizeof(*list));
		table_set(&x->owners, owner, list);
	}
	ARRAY_GROW(list->items, list->n, list->cap);
	list->items[list->n++] = object;
}

void owned_index_del(struct owned_index *x, const char *owner, const void *object)
{
	struct owned_list *list = table_find(&x->owners, owner);

	assert(list);
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i] != object)
			continue;
		list->items[i] = list->items[--list->n];
		break;
	}
	if (list->n > 0)
		return;
	table_del(&x->owners, owner);
	free(list->items);
	free(list);
}

const struct owned_list *owned_index_find(const struct owned_index *x, const char *owner)
{
	return table_find(&x->owners, owner);
}

char *slice_service_key(const struct endpointslice *slice)
{
	return kube_key(slice->obj.meta.namespace, slice->service_name);
}

/* All objects of a kind as an array. */
static const void **list_of(const struct watches *w, enum watch_kind kind, struct arena *a,
			    size_t *n)
{
	const struct kube_store *store = watches_store(w, kind);
	const void **list = arena_calloc(a, kube_store_count(store), sizeof(*list));
	size_t pos = 0;

	*n = 0;
	for (const void *obj; (obj = kube_store_next(store, &pos, NULL));)
		list[(*n)++] = obj;
	return list;
}

static const char *bgp_extras(const struct watches *w)
{
	const struct kube_store *store = watches_store(w, WATCH_CONFIGMAPS);
	const struct configmap *map;
	size_t pos = 0;

	while ((map = kube_store_next(store, &pos, NULL))) {
		const char *extras = strcmp(map->obj.meta.name, "bgpextras") == 0
					     ? labels_get(&map->data, "extras")
					     : NULL;

		if (extras)
			return extras;
	}
	return "";
}

void gather_objects(const struct watches *w, struct arena *a, struct objects *out)
{
	*out = (struct objects){.bgp_extras = bgp_extras(w)};
	out->pools = (const void *)list_of(w, WATCH_POOLS, a, &out->n_pools);
	out->l2advs = (const void *)list_of(w, WATCH_L2ADVS, a, &out->n_l2advs);
	out->bgpadvs = (const void *)list_of(w, WATCH_BGPADVS, a, &out->n_bgpadvs);
	out->peers = (const void *)list_of(w, WATCH_PEERS, a, &out->n_peers);
	out->bfds = (const void *)list_of(w, WATCH_BFDS, a, &out->n_bfds);
	out->communities = (const void *)list_of(w, WATCH_COMMUNITIES, a, &out->n_communities);
	out->nodes = (const void *)list_of(w, WATCH_NODES, a, &out->n_nodes);
	out->secrets = (const void *)list_of(w, WATCH_SECRETS, a, &out->n_secrets);
}

struct strs gather_speakers(const struct watches *w, const char *own, struct arena *a)
{
	const struct kube_store *store = watches_store(w, WATCH_PODS);
	const char **names = arena_calloc(a, kube_store_count(store) + 1, sizeof(*names));
	const struct pod *pod;
	size_t pos = 0, n = 0;

	names[n++] = own;
	while ((pod = kube_store_next(store, &pos, NULL)))
		if (pod->ready && !pod->obj.meta.deleting && strcmp(pod->node_name, own) != 0)
			names[n++] = arena_strdup(a, pod->node_name);
	return (struct strs){names, n};
}

const struct node *gather_node(const struct watches *w, const char *name)
{
	return kube_store_find(watches_store(w, WATCH_NODES), name);
}

const struct pod *gather_pod(const struct watches *w, const char *ns, const char *name)
{
	return kube_store_find_ns(watches_store(w, WATCH_PODS), ns, name);
}
