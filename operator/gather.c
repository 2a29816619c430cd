/*
 * Informers for the inputs of config_build(), and the build itself. A pool that is found invalid is
 * replaced by its last valid version, if there was one since the program started.
 */
#include "operator/gather.h"

#include <assert.h>

#include "metallb/kube_client.h"
#include "metallb/log.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

/* A pool in the informer's store; the object can be taken out before the slot is freed. */
struct slot {
	struct ipaddresspool *pool;
};

struct gather {
	struct gather_spec spec;
	struct kube_informer *pools, *communities, *namespaces;
	struct table good; /* name -> struct ipaddresspool: last valid version of a changed one */
	struct config *config;
	struct strs broken;
	struct arena *broken_arena;
	struct buf errors;
};

static void slot_free(void *value)
{
	struct slot *slot = value;

	if (slot->pool)
		api_object_free(&slot->pool->obj);
	free(slot);
}

static void *decode_pool(struct json_object *json, struct err *err)
{
	struct api_object *obj = api_decode(API_IPADDRESSPOOL, json, err);
	struct slot *slot;

	if (!obj)
		return NULL;
	slot = xcalloc(1, sizeof(*slot));
	slot->pool = (struct ipaddresspool *)obj;
	return slot;
}

static void *decode_community(struct json_object *json, struct err *err)
{
	return api_decode(API_COMMUNITY, json, err);
}

static void *decode_namespace(struct json_object *json, struct err *err)
{
	return api_decode(API_NAMESPACE, json, err);
}

static void free_object(void *value)
{
	api_object_free(value);
}

static void drop_good(struct gather *g, const char *name)
{
	struct ipaddresspool *old = table_del(&g->good, name);

	if (old)
		api_object_free(&old->obj);
}

/* Was this pool in the last build without a complaint? */
static bool is_good(const struct gather *g, const struct ipaddresspool *pool)
{
	if (!g->config || !config_find_pool(g->config, pool->obj.meta.name) ||
	    table_find(&g->good, pool->obj.meta.name))
		return false;
	return true;
}

static void on_pool(void *user, const char *key, void *before, void *after)
{
	struct gather *g = user;
	struct slot *was = before, *now = after;

	(void)key;
	if (was && now && was->pool->obj.meta.generation == now->pool->obj.meta.generation &&
	    was->pool->obj.meta.generation != 0) {
		g->spec.on_pool_status(g->spec.user);
		return;
	}
	if (was && now && is_good(g, was->pool)) {
		drop_good(g, was->pool->obj.meta.name);
		table_set(&g->good, was->pool->obj.meta.name, was->pool);
		was->pool = NULL;
	}
	if (was && !now)
		drop_good(g, was->pool->obj.meta.name);
	g->spec.on_change(g->spec.user);
}

static void on_other(void *user, const char *key, void *before, void *after)
{
	struct gather *g = user;

	(void)key;
	(void)before;
	(void)after;
	g->spec.on_change(g->spec.user);
}

static void on_namespace(void *user, const char *key, void *before, void *after)
{
	const struct api_object *was = before, *now = after;

	if (was && now && labels_equal(&was->meta.labels, &now->meta.labels))
		return;
	on_other(user, key, before, after);
}

static void on_synced(void *user)
{
	struct gather *g = user;

	g->spec.on_change(g->spec.user);
}

static struct kube_informer *watch(struct gather *g, const struct kube_resource *resource,
				   kube_decode_fn decode, void (*free_value)(void *),
				   void (*on_change)(void *, const char *, void *, void *))
{
	struct kube_informer_spec spec = {
		.sources = {{resource, decode}},
		.n_sources = 1,
		.ns = resource->namespaced ? g->spec.ns : NULL,
		.free_value = free_value,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = g,
	};

	return kube_informer_new(g->spec.client, &spec);
}

struct gather *gather_new(const struct gather_spec *spec)
{
	struct gather *g = xcalloc(1, sizeof(*g));

	g->spec = *spec;
	table_init(&g->good);
	g->pools = watch(g, &kube_ipaddresspools, decode_pool, slot_free, on_pool);
	g->communities = watch(g, &kube_communities, decode_community, free_object, on_other);
	g->namespaces = watch(g, &kube_namespaces, decode_namespace, free_object, on_namespace);
	return g;
}

struct gather *gather_free(struct gather *g)
{
	if (!g)
		return NULL;
	kube_informer_free(g->pools);
	kube_informer_free(g->communities);
	kube_informer_free(g->namespaces);
	table_for_each (&g->good, e) {
		api_object_free(&((struct ipaddresspool *)e->value)->obj);
	}
	table_fini(&g->good);
	config_free(g->config);
	arena_free(g->broken_arena);
	buf_fini(&g->errors);
	free(g);
	return NULL;
}

bool gather_is_synced(const struct gather *g)
{
	return kube_informer_is_synced(g->pools) && kube_informer_is_synced(g->communities) &&
	       kube_informer_is_synced(g->namespaces);
}

const struct config *gather_config(const struct gather *g)
{
	return g->config;
}

const struct strs *gather_broken(const struct gather *g)
{
	return &g->broken;
}

const char *gather_errors(const struct gather *g)
{
	return buf_str(&g->errors);
}

const struct ipaddresspool *gather_pool(const struct gather *g, const char *name)
{
	const struct slot *slot =
		kube_store_find_ns(kube_informer_store(g->pools), g->spec.ns, name);

	return slot ? slot->pool : NULL;
}

/* ---- building ---- */

/* Everything that goes into a build. The lists are ours, the objects the stores'. */
struct inputs {
	const struct ipaddresspool **pools;
	const struct community **communities;
	const struct namespace_ **namespaces;
	size_t n_pools, n_communities, n_namespaces;
};

static void inputs_init(struct inputs *in, const struct gather *g)
{
	const struct kube_store *pools = kube_informer_store(g->pools);
	const struct kube_store *communities = kube_informer_store(g->communities);
	const struct kube_store *namespaces = kube_informer_store(g->namespaces);
	size_t pos = 0;

	*in = (struct inputs){0};
	in->pools = xcalloc(kube_store_count(pools) + 1, sizeof(*in->pools));
	in->communities = xcalloc(kube_store_count(communities) + 1, sizeof(*in->communities));
	in->namespaces = xcalloc(kube_store_count(namespaces) + 1, sizeof(*in->namespaces));
	for (const struct slot *v; (v = kube_store_next(pools, &pos, NULL)) != NULL;)
		in->pools[in->n_pools++] = v->pool;
	pos = 0;
	for (const struct community *v; (v = kube_store_next(communities, &pos, NULL)) != NULL;)
		in->communities[in->n_communities++] = v;
	pos = 0;
	for (const struct namespace_ *v; (v = kube_store_next(namespaces, &pos, NULL)) != NULL;)
		in->namespaces[in->n_namespaces++] = v;
}

static void inputs_fini(struct inputs *in)
{
	free(in->pools);
	free(in->communities);
	free(in->namespaces);
}

static bool has_error(const struct config_report *r, const struct api_object *obj)
{
	for (size_t i = 0; i < r->n_findings; i++)
		if (r->findings[i].obj == obj && r->findings[i].severity == FINDING_ERROR)
			return true;
	return false;
}

/* Put the last valid version in place of each invalid pool; true when there was one. */
static bool use_last_good(struct gather *g, const struct config_report *report, struct inputs *in)
{
	bool any = false;

	for (size_t i = 0; i < in->n_pools && report->n_errors > 0; i++) {
		const struct api_object *obj = &in->pools[i]->obj;
		struct ipaddresspool *old = table_find(&g->good, obj->meta.name);

		if (!old || !has_error(report, obj))
			continue;
		in->pools[i] = old;
		any = true;
	}
	return any;
}

/* Versions that are not needed any more: the pool itself is valid again. */
static void forget_unused(struct gather *g, const struct inputs *in)
{
	struct table used;

	table_init(&used);
	for (size_t i = 0; i < in->n_pools; i++)
		if (table_find(&g->good, in->pools[i]->obj.meta.name) == in->pools[i])
			table_set(&used, in->pools[i]->obj.meta.name, g);
	table_for_each (&g->good, e) {
		if (!table_find(&used, e->key)) {
			_cleanup_free_ char *name = xstrdup(e->key);

			drop_good(g, name);
		}
	}
	table_fini(&used);
}

static void note_errors(struct gather *g, const struct config_report *report)
{
	_cleanup_(buf_fini) struct buf before = g->errors;

	g->errors = (struct buf){0};
	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->severity != FINDING_ERROR)
			continue;
		buf_printf(&g->errors, "%s%s %s: %s%s%s", g->errors.len ? "\n" : "",
			   f->obj ? api_kind_info(f->obj->kind)->kind : "",
			   f->obj ? f->obj->meta.name : "configuration", f->field,
			   f->field[0] ? ": " : "", f->message);
	}
	if (g->errors.len && strcmp(buf_str(&before), buf_str(&g->errors)) != 0)
		log_error("failed to parse the configuration; what is invalid is left out or "
			  "stays as it was",
			  "error", buf_str(&g->errors), NULL);
}

/* Pools that exist but are not in the configuration; true when the list changed. */
static bool note_broken(struct gather *g, const struct inputs *in)
{
	struct arena *a = arena_new();
	const char **names = arena_calloc(a, in->n_pools + 1, sizeof(*names));
	size_t n_names = 0;
	bool changed;

	for (size_t i = 0; i < in->n_pools; i++)
		if (!config_find_pool(g->config, in->pools[i]->obj.meta.name))
			names[n_names++] = arena_strdup(a, in->pools[i]->obj.meta.name);
	changed = n_names != g->broken.n;
	for (size_t i = 0; i < n_names && !changed; i++)
		changed = strcmp(names[i], g->broken.items[i]) != 0;
	arena_free(g->broken_arena);
	g->broken_arena = a;
	g->broken = (struct strs){names, n_names};
	return changed;
}

static void build(const struct gather *g, const struct inputs *in, struct config **config,
		  struct config_report **report)
{
	struct config_options opt = {.backend = g->spec.backend};
	struct objects objs = {
		.pools = in->pools,
		.n_pools = in->n_pools,
		.communities = in->communities,
		.n_communities = in->n_communities,
		.namespaces = in->namespaces,
		.n_namespaces = in->n_namespaces,
		.bgp_extras = "",
	};

	config_build(&objs, &opt, config, report);
}

bool gather_build(struct gather *g, struct config **old)
{
	struct config_report *report;
	struct config *config;
	struct inputs in;

	assert(gather_is_synced(g));
	inputs_init(&in, g);
	build(g, &in, &config, &report);
	note_errors(g, report);
	if (use_last_good(g, report, &in)) {
		config_free(config);
		config_report_free(report);
		build(g, &in, &config, &report);
	}
	config_report_free(report);
	forget_unused(g, &in);

	bool same = g->config && config_equal(g->config, config);

	*old = NULL;
	if (same) {
		config_free(config);
	} else {
		*old = g->config;
		g->config = config;
	}
	bool broken_changed = note_broken(g, &in);

	inputs_fini(&in);
	return !same || broken_changed;
}
