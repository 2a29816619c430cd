/*
 * Reading manifests. Bounded by YAML_TEXT_MAX per file; one unreadable document ends the run with
 * its place, since what comes after it could mean anything.
 */
#include "operator/cli/input.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"

void docs_init(struct docs *d, const char *ns)
{
	*d = (struct docs){.ns = ns};
}

void docs_fini(struct docs *d)
{
	for (size_t i = 0; i < d->n; i++) {
		json_object_put(d->items[i].json);
		free(d->items[i].file);
		api_object_free(d->items[i].obj);
	}
	free(d->items);
	*d = (struct docs){0};
}

static json_object *member(json_object *obj, const char *name)
{
	json_object *v = NULL;

	if (json_object_is_type(obj, json_type_object))
		json_object_object_get_ex(obj, name, &v);
	return v;
}

static const char *text(json_object *obj, const char *name)
{
	json_object *v = member(obj, name);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static bool is_list(json_object *json)
{
	const char *kind = text(json, "kind");
	size_t n = strlen(kind);

	return n >= 4 && strcmp(kind + n - 4, "List") == 0 &&
	       json_object_is_type(member(json, "items"), json_type_array);
}

/* Items of a typed list carry no kind of their own. */
static void give_kind(json_object *list, json_object *item)
{
	const char *kind = text(list, "kind");

	if (!json_object_is_type(item, json_type_object) || strlen(kind) == 4 ||
	    *text(item, "kind"))
		return;
	json_object_object_add(item, "kind",
			       json_object_new_string_len(kind, (int)strlen(kind) - 4));
	json_object_object_add(item, "apiVersion",
			       json_object_new_string(text(list, "apiVersion")));
}

static void add_list(struct docs *d, json_object *list, const char *file, size_t line)
{
	json_object *items = member(list, "items");

	for (size_t i = 0; i < json_object_array_length(items); i++) {
		json_object *item = json_object_array_get_idx(items, i);

		give_kind(list, item);
		docs_add(d, json_object_get(item), file, line);
	}
	json_object_put(list);
}

/* Objects without a namespace go where the person's own would go. */
static void give_namespace(const struct docs *d, struct doc *doc)
{
	json_object *meta = member(doc->json, "metadata");

	if (!doc->known || !api_kind_info(doc->kind)->namespaced || *doc->ns ||
	    !json_object_is_type(meta, json_type_object))
		return;
	bool ours = doc->kind < API_SERVICE;

	json_object_object_add(meta, "namespace", json_object_new_string(ours ? d->ns : "default"));
	doc->ns = text(meta, "namespace");
}

void docs_add(struct docs *d, json_object *json, const char *file, size_t line)
{
	json_object *meta = member(json, "metadata");

	if (is_list(json)) {
		add_list(d, json, file, line);
		return;
	}
	struct doc doc = {
		.json = json,
		.file = xstrdup(file),
		.line = line,
		.api_version = text(json, "apiVersion"),
		.kind_name = text(json, "kind"),
		.ns = text(meta, "namespace"),
		.name = text(meta, "name"),
	};

	doc.known = api_kind_find(doc.api_version, doc.kind_name, &doc.kind);
	give_namespace(d, &doc);
	ARRAY_GROW(d->items, d->n, d->cap);
	d->items[d->n++] = doc;
}

struct source {
	struct docs *docs;
	const char *file;
};

static bool on_document(void *user, json_object *value, size_t line, struct err *err)
{
	struct source *s = user;

	(void)err;
	docs_add(s->docs, json_object_get(value), s->file, line);
	return true;
}

static bool read_all(FILE *f, struct buf *out, const char *file, struct err *err)
{
	char chunk[16384];

	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;) {
		buf_add(out, chunk, n);
		if (out->len > YAML_TEXT_MAX)
			return err_set(err, "%s: more than %zu bytes", file, YAML_TEXT_MAX);
	}
	if (ferror(f))
		return err_set(err, "%s: %s", file, strerror(errno));
	return true;
}

static bool load_stream(struct docs *d, FILE *f, const char *file, struct err *err)
{
	_cleanup_(buf_fini) struct buf content = {0};
	struct source s = {d, file};

	if (!read_all(f, &content, file, err))
		return false;
	if (!yaml_parse_stream(buf_str(&content), content.len, on_document, &s, err))
		return err_wrap(err, "%s", file);
	return true;
}

static bool load_file(struct docs *d, const char *path, struct err *err)
{
	FILE *f = fopen(path, "r");

	if (!f)
		return err_set(err, "%s: %s", path, strerror(errno));
	bool ok = load_stream(d, f, path, err);

	fclose(f);
	return ok;
}

static int is_manifest(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static bool load_dir(struct docs *d, const char *path, struct err *err)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, is_manifest, alphasort);
	bool ok = true;

	if (n < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s", path, list[i]->d_name);

		/* a kustomization only lists files */
		if (ok && strncmp(list[i]->d_name, "kustomization.", 14) != 0)
			ok = load_file(d, file, err);
		free(list[i]);
	}
	free(list);
	return ok;
}

bool docs_load(struct docs *d, const char *path, struct err *err)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return load_stream(d, stdin, "-", err);
	if (stat(path, &st) < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	return S_ISDIR(st.st_mode) ? load_dir(d, path, err) : load_file(d, path, err);
}

/* ---- lists for the build ---- */

static bool in_scope(const struct docs *d, const struct doc *doc)
{
	return doc->kind > API_METALLB && doc->kind != API_SECRET && doc->kind != API_CONFIGMAP
		       ? true
		       : strcmp(doc->ns, d->ns) == 0;
}

void doc_lists_init(struct doc_lists *l, const struct docs *d, size_t n_docs,
		    bool (*use)(const struct doc *doc))
{
	struct table last;

	*l = (struct doc_lists){0};
	table_init(&last);
	for (size_t i = 0; i < n_docs; i++) {
		const struct doc *doc = &d->items[i];
		_cleanup_free_ char *key =
			xasprintf("%s/%s/%s", doc->kind_name, doc->ns, doc->name);

		if (doc->obj && in_scope(d, doc) && (!use || use(doc)))
			table_set(&last, key, doc->obj);
	}
	for (size_t k = 0; k < API_KIND_COUNT; k++)
		l->items[k] = xcalloc(table_count(&last) + 1, sizeof(void *));
	table_for_each (&last, e) {
		const struct api_object *obj = e->value;

		l->items[obj->kind][l->n[obj->kind]++] = obj;
	}
	table_fini(&last);
	l->objs = (struct objects){
		.pools = (const void *)l->items[API_IPADDRESSPOOL],
		.n_pools = l->n[API_IPADDRESSPOOL],
		.l2advs = (const void *)l->items[API_L2ADVERTISEMENT],
		.n_l2advs = l->n[API_L2ADVERTISEMENT],
		.bgpadvs = (const void *)l->items[API_BGPADVERTISEMENT],
		.n_bgpadvs = l->n[API_BGPADVERTISEMENT],
		.peers = (const void *)l->items[API_BGPPEER],
		.n_peers = l->n[API_BGPPEER],
		.bfds = (const void *)l->items[API_BFDPROFILE],
		.n_bfds = l->n[API_BFDPROFILE],
		.communities = (const void *)l->items[API_COMMUNITY],
		.n_communities = l->n[API_COMMUNITY],
		.nodes = (const void *)l->items[API_NODE],
		.n_nodes = l->n[API_NODE],
		.namespaces = (const void *)l->items[API_NAMESPACE],
		.n_namespaces = l->n[API_NAMESPACE],
		.secrets = (const void *)l->items[API_SECRET],
		.n_secrets = l->n[API_SECRET],
	};
}

void doc_lists_fini(struct doc_lists *l)
{
	for (size_t k = 0; k < API_KIND_COUNT; k++)
		free(l->items[k]);
	*l = (struct doc_lists){0};
}
