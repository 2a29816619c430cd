/*
 * The objects of a case as an API server would hold them, and the operations of the records on
 * them.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "tests/conformance/conformance.h"

struct conf_store {
	char *namespace;
	struct table objects; /* "kind/namespace/name" -> json_object, owned */
};

struct conf_store *conf_store_new(const char *namespace)
{
	struct conf_store *s = xcalloc(1, sizeof(*s));

	s->namespace = xstrdup(namespace);
	table_init(&s->objects);
	return s;
}

struct conf_store *conf_store_free(struct conf_store *s)
{
	if (!s)
		return NULL;
	table_for_each (&s->objects, e)
		json_object_put(e->value);
	table_fini(&s->objects);
	free(s->namespace);
	free(s);
	return NULL;
}

static char *store_key(const char *kind, const char *namespace, const char *name)
{
	return xasprintf("%s/%s/%s", kind, namespace, name);
}

bool conf_store_put(struct conf_store *s, json_object *obj)
{
	const char *kind = conf_text(obj, "kind"), *name = conf_text(obj, "metadata.name");
	json_object *copy = NULL;

	if (!*kind || !*name || json_object_deep_copy(obj, &copy, NULL) < 0)
		return false;
	_cleanup_free_ char *key = store_key(kind, conf_text(obj, "metadata.namespace"), name);

	json_object_put(table_set(&s->objects, key, copy));
	return true;
}

static bool merge_patch(json_object *target, json_object *patch)
{
	json_object_object_foreach(patch, key, v)
	{
		json_object *old = NULL, *copy = NULL;

		if (!v) {
			json_object_object_del(target, key);
			continue;
		}
		if (json_object_is_type(v, json_type_object)) {
			json_object_object_get_ex(target, key, &old);
			if (!json_object_is_type(old, json_type_object)) {
				old = json_object_new_object();
				json_object_object_add(target, key, old);
			}
			if (!merge_patch(old, v))
				return false;
			continue;
		}
		if (json_object_deep_copy(v, &copy, NULL) < 0)
			return false;
		json_object_object_add(target, key, copy);
	}
	return true;
}

bool conf_store_patch(struct conf_store *s, const char *kind, const char *namespace,
		      const char *name, json_object *patch)
{
	json_object *obj = conf_store_find(s, kind, namespace, name);

	return obj && json_object_is_type(patch, json_type_object) && merge_patch(obj, patch);
}

bool conf_store_delete(struct conf_store *s, const char *kind, const char *namespace,
		       const char *name)
{
	_cleanup_free_ char *key = store_key(kind, namespace, name);
	json_object *obj = table_del(&s->objects, key);

	json_object_put(obj);
	return obj != NULL;
}

json_object *conf_store_find(const struct conf_store *s, const char *kind, const char *namespace,
			     const char *name)
{
	_cleanup_free_ char *key = store_key(kind, namespace, name);

	return table_find(&s->objects, key);
}

json_object *conf_store_next(const struct conf_store *s, size_t *pos)
{
	struct table_entry *e = table_next(&s->objects, pos);

	return e ? e->value : NULL;
}

bool conf_store_apply(struct conf_store *s, json_object *op)
{
	const char *what = conf_text(op, "op"), *kind = conf_text(op, "kind");
	const char *namespace = conf_text(op, "namespace"), *name = conf_text(op, "name");

	if (strcmp(what, "create") == 0)
		return conf_store_put(s, conf_get(op, "object"));
	if (strcmp(what, "patch") == 0)
		return conf_store_patch(s, kind, namespace, name, conf_get(op, "patch"));
	if (strcmp(what, "delete") == 0)
		return conf_store_delete(s, kind, namespace, name);
	return false;
}

/* ---- decoding ---- */

static bool in_scope(const struct conf_store *s, enum api_kind kind, json_object *obj)
{
	if (kind == API_SERVICE || kind == API_ENDPOINTSLICE || !api_kind_info(kind)->namespaced)
		return true;
	return strcmp(conf_text(obj, "metadata.namespace"), s->namespace) == 0;
}

struct api_object **conf_store_decode(const struct conf_store *s, enum api_kind kind, size_t *n)
{
	struct api_object **list = NULL;
	size_t cap = 0, pos = 0;

	*n = 0;
	for (json_object *obj; (obj = conf_store_next(s, &pos));) {
		enum api_kind is;

		if (!api_kind_find(conf_text(obj, "apiVersion"), conf_text(obj, "kind"), &is) ||
		    is != kind || !in_scope(s, kind, obj))
			continue;
		struct api_object *decoded = api_decode(kind, obj, NULL);

		if (!decoded)
			continue;
		ARRAY_GROW(list, *n, cap);
		list[(*n)++] = decoded;
	}
	return list;
}

/* The object's place among the lists of config_build(); NULL for a kind that it does not take. */
static bool list_add(struct objects *l, struct api_object *obj)
{
	static const struct {
		enum api_kind kind;
		size_t items, n;
	} lists[] = {
		{API_IPADDRESSPOOL, offsetof(struct objects, pools),
		 offsetof(struct objects, n_pools)},
		{API_L2ADVERTISEMENT, offsetof(struct objects, l2advs),
		 offsetof(struct objects, n_l2advs)},
		{API_BGPADVERTISEMENT, offsetof(struct objects, bgpadvs),
		 offsetof(struct objects, n_bgpadvs)},
		{API_BGPPEER, offsetof(struct objects, peers), offsetof(struct objects, n_peers)},
		{API_BFDPROFILE, offsetof(struct objects, bfds), offsetof(struct objects, n_bfds)},
		{API_COMMUNITY, offsetof(struct objects, communities),
		 offsetof(struct objects, n_communities)},
		{API_NODE, offsetof(struct objects, nodes), offsetof(struct objects, n_nodes)},
		{API_NAMESPACE, offsetof(struct objects, namespaces),
		 offsetof(struct objects, n_namespaces)},
		{API_SECRET, offsetof(struct objects, secrets),
		 offsetof(struct objects, n_secrets)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (lists[i].kind != obj->kind)
			continue;
		void **items = (void **)(void *)((char *)l + lists[i].items);
		size_t *n = (size_t *)(void *)((char *)l + lists[i].n);
		struct api_object **grown =
			xreallocarray(*items, *n + 1, sizeof(struct api_object *));

		grown[(*n)++] = obj;
		*items = grown;
		return true;
	}
	return false;
}

/* MetalLB reads this ConfigMap of its namespace into the configuration. */
static void load_extras(const struct conf_store *s, struct conf_objects *out)
{
	json_object *extras = conf_store_find(s, "ConfigMap", s->namespace, "bgpextras");

	out->list.bgp_extras = extras ? conf_text(extras, "data.extras") : "";
}

void conf_objects_load(const struct conf_store *s, struct conf_objects *out)
{
	size_t pos = 0;

	*out = (struct conf_objects){0};
	for (json_object *obj; (obj = conf_store_next(s, &pos));) {
		enum api_kind kind;

		if (!api_kind_find(conf_text(obj, "apiVersion"), conf_text(obj, "kind"), &kind) ||
		    !in_scope(s, kind, obj))
			continue;
		struct api_object *decoded = api_decode(kind, obj, NULL);

		if (!decoded) {
			out->n_undecoded++;
			continue;
		}
		if (!list_add(&out->list, decoded)) {
			api_object_free(decoded);
			continue;
		}
		ARRAY_GROW(out->owned, out->n_owned, out->cap_owned);
		out->owned[out->n_owned++] = decoded;
	}
	load_extras(s, out);
}

void conf_objects_free(struct conf_objects *o)
{
	for (size_t i = 0; i < o->n_owned; i++)
		api_object_free(o->owned[i]);
	free(o->owned);
	free((void *)(uintptr_t)o->list.pools);
	free((void *)(uintptr_t)o->list.l2advs);
	free((void *)(uintptr_t)o->list.bgpadvs);
	free((void *)(uintptr_t)o->list.peers);
	free((void *)(uintptr_t)o->list.bfds);
	free((void *)(uintptr_t)o->list.communities);
	free((void *)(uintptr_t)o->list.nodes);
	free((void *)(uintptr_t)o->list.namespaces);
	free((void *)(uintptr_t)o->list.secrets);
	*o = (struct conf_objects){0};
}

bool conf_build(const struct conf_objects *o, const struct config_options *opt, struct config **out,
		struct err *why)
{
	struct config_report *report = NULL;

	config_build(&o->list, opt, out, &report);
	bool ok = true;

	for (size_t i = 0; i < report->n_findings && ok; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->severity == FINDING_WARNING || !f->metallb)
			continue;
		ok = err_set(why, "%s %s: %s", api_kind_info(f->obj->kind)->kind, f->obj->meta.name,
			     f->message);
	}
	config_report_free(report);
	if (!ok)
		*out = config_free(*out);
	return ok;
}
