/*
 * What lists and watch events do to the store, and what is told of it. An object that cannot be
 * read costs a line in the log with its key; what was known of it stays, and so does everything
 * else. Pure.
 */
#include <json-c/json.h>
#include <string.h>

#include "lib/kube/status.h"
#include "lib/kube/watch_impl.h"
#include "metallb/xalloc.h"

#define NAME_MAX_LEN 253 /* RFC 1123 subdomain, the longest name there is */

void kube_watch_problem(struct kube_watch *w, enum kube_watch_level level, const char *key,
			const char *what)
{
	if (w->hooks.on_problem)
		w->hooks.on_problem(w->hooks.user, level, key, what);
}

static void tell(struct kube_watch *w, const char *key, void *before, void *after)
{
	if (before || after)
		w->spec.on_change(w->spec.user, key, before, after);
	kube_store_free_value(w->store, before);
}

/* The object's key; NULL (and a log line) when it has none. The caller frees it. */
static char *object_key(struct kube_watch *w, struct json_object *object)
{
	const struct kube_resource *r = w->spec.sources[w->source].resource;
	const char *ns = kube_meta_str(object, "namespace");
	const char *name = kube_meta_str(object, "name");
	const char *why = NULL;

	if (!json_object_is_type(object, json_type_object))
		why = "an item that is not an object";
	else if (!json_object_is_type(kube_json_get(object, "metadata"), json_type_object))
		why = "an object without metadata";
	else if (!name[0])
		why = "an object whose metadata.name is missing or not a string";
	else if (strlen(name) > NAME_MAX_LEN || strlen(ns) > NAME_MAX_LEN)
		why = "an object whose metadata.name or metadata.namespace is too long";
	else if (strchr(name, '/') || strchr(ns, '/'))
		why = "an object whose metadata.name or metadata.namespace holds a slash";
	else if (r->namespaced && !ns[0])
		why = "an object whose metadata.namespace is missing or not a string";
	if (why) {
		kube_watch_problem(w, KUBE_WATCH_WARN, name, why);
		return NULL;
	}
	return kube_key(r->namespaced ? ns : NULL, name);
}

static void put(struct kube_watch *w, struct json_object *object)
{
	_cleanup_free_ char *key = object_key(w, object);
	uint64_t version;
	struct err err;
	void *value;

	if (!key)
		return;
	version = kube_store_version(kube_meta_str(object, "uid"),
				     kube_meta_str(object, "resourceVersion"));
	if (kube_store_touch(w->store, key, version))
		return;
	err.msg[0] = '\0';
	value = w->spec.sources[w->source].decode(object, &err);
	if (value) {
		tell(w, key, kube_store_put(w->store, key, value, version), value);
	} else if (err.msg[0]) {
		kube_watch_problem(w, KUBE_WATCH_WARN, key, err.msg);
		kube_store_keep(w->store, key);
	} else {
		tell(w, key, kube_store_take(w->store, key), NULL);
	}
}

static void del(struct kube_watch *w, struct json_object *object)
{
	_cleanup_free_ char *key = object_key(w, object);

	if (key)
		tell(w, key, kube_store_take(w->store, key), NULL);
}

void kube_watch_apply_item(struct kube_watch *w, struct json_object *item)
{
	put(w, item);
}

void kube_watch_apply_list_end(struct kube_watch *w)
{
	size_t pos = 0;
	char *key;
	void *value;

	while ((value = kube_store_take_unseen(w->store, &pos, &key))) {
		tell(w, key, value, NULL);
		free(key);
	}
	if (w->synced)
		return;
	w->synced = true;
	if (w->spec.on_synced)
		w->spec.on_synced(w->spec.user);
}

/* The point to resume from moves on only behind an event that has been taken in. */
static void resume_behind(struct kube_watch *w, struct json_object *object)
{
	const char *version = kube_meta_str(object, "resourceVersion");

	if (!version[0])
		return;
	free(w->resource_version);
	w->resource_version = xstrdup(version);
	w->failures = 0;
}

static bool apply_error(struct kube_watch *w, struct json_object *status, struct err *err)
{
	struct json_object *code = kube_json_get(status, "code");
	struct buf text = {0};

	w->resumable = json_object_get_int(code) != 410 &&
		       strcmp(kube_json_str(status, "reason"), "Expired") != 0 &&
		       strcmp(kube_json_str(status, "reason"), "Gone") != 0;
	kube_failure_format(&(struct kube_failure){.verb = "error event",
						   .status = json_object_get_int(code),
						   .body = status},
			    &text);
	(void)err_set(err, "%s", buf_str(&text));
	buf_fini(&text);
	return false;
}

static bool apply_event(struct kube_watch *w, struct json_object *event, struct err *err)
{
	const char *type = kube_json_str(event, "type");
	struct json_object *object = kube_json_get(event, "object");
	_cleanup_free_ char *what = NULL;

	if (strcmp(type, "ERROR") == 0)
		return apply_error(w, object, err);
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		put(w, object);
	} else if (strcmp(type, "DELETED") == 0) {
		del(w, object);
	} else if (strcmp(type, "BOOKMARK") != 0) {
		what = xasprintf("a watch event of unknown type \"%.40s\"", type);
		kube_watch_problem(w, KUBE_WATCH_WARN, kube_meta_str(object, "name"), what);
		return true;
	}
	resume_behind(w, object);
	return true;
}

bool kube_watch_apply_line(struct kube_watch *w, const char *line, size_t len, struct err *err)
{
	struct json_object *event;
	enum json_tokener_error e;
	bool ok;

	json_tokener_reset(w->tokener);
	event = json_tokener_parse_ex(w->tokener, line, (int)len);
	e = json_tokener_get_error(w->tokener);
	if (e != json_tokener_success || !json_object_is_type(event, json_type_object)) {
		json_object_put(event);
		return err_set(err, "a watch event that is not JSON: %s",
			       e == json_tokener_success ? "not an object"
							 : json_tokener_error_desc(e));
	}
	ok = apply_event(w, event, err);
	json_object_put(event);
	return ok;
}
