/*
 * Upgrading a CRD: its names and versions become ours; its conversion, its stored versions and what
 * others put into its metadata stay. Pure.
 */
#include "operator/crd_plan.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/kube.h"
#include "operator/render.h"

static size_t length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static struct json_object *find_version(struct json_object *versions, const char *name)
{
	for (size_t i = 0; i < length(versions); i++) {
		struct json_object *v = json_object_array_get_idx(versions, i);

		if (strcmp(kube_json_str(v, "name"), name) == 0)
			return v;
	}
	return NULL;
}

static struct json_object *copy_of(struct json_object *o)
{
	struct json_object *copy = NULL;

	if (o && json_object_deep_copy(o, &copy, NULL) < 0)
		abort();
	return copy;
}

/* What the operator itself has added since: see webhook_register.c. */
static void carry_deprecation(struct json_object *from, struct json_object *to)
{
	static const char *const names[] = {"deprecated", "deprecationWarning"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct json_object *value = kube_json_get(from, names[i]);

		if (value && !kube_json_get(to, names[i]))
			json_object_object_add(to, names[i], json_object_get(value));
	}
}

static struct json_object *merge_versions(struct json_object *live, struct json_object *ours)
{
	struct json_object *have = kube_json_get(kube_json_get(live, "spec"), "versions");
	struct json_object *stored = kube_json_get(kube_json_get(live, "status"), "storedVersions");
	struct json_object *out = copy_of(kube_json_get(kube_json_get(ours, "spec"), "versions"));

	for (size_t i = 0; i < length(out); i++) {
		struct json_object *v = json_object_array_get_idx(out, i);
		struct json_object *old = find_version(have, kube_json_str(v, "name"));

		if (old)
			carry_deprecation(old, v);
	}
	for (size_t i = 0; i < length(stored); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(stored, i));
		struct json_object *old = find_version(have, name);

		if (!old || find_version(out, name))
			continue;
		old = copy_of(old);
		json_object_object_add(old, "storage", json_object_new_boolean(false));
		json_object_array_add(out, old);
	}
	return out;
}

static void take(struct json_object *to, struct json_object *from, const char *name)
{
	struct json_object *value = kube_json_get(from, name);

	if (value)
		json_object_object_add(to, name, json_object_get(value));
}

static long version_of(struct json_object *crd)
{
	return strtol(render_annotation(crd, CRD_SCHEMA_VERSION), NULL, 10);
}

enum crd_action crd_plan(struct json_object *live, struct json_object *ours,
			 struct json_object **update)
{
	long have = version_of(live), want = version_of(ours);
	struct json_object *o, *spec, *meta, *annotations;

	if (have >= want)
		return have > want ? CRD_NEWER : CRD_CURRENT;
	o = copy_of(live);
	spec = kube_json_get(o, "spec");
	meta = kube_json_get(o, "metadata");
	take(spec, kube_json_get(ours, "spec"), "names");
	json_object_object_add(spec, "versions", merge_versions(live, ours));
	json_object_object_add(spec, "preserveUnknownFields", json_object_new_boolean(false));
	json_object_object_del(meta, "managedFields");
	annotations = kube_json_get(meta, "annotations");
	if (!annotations) {
		annotations = json_object_new_object();
		json_object_object_add(meta, "annotations", annotations);
	}
	json_object_object_add(annotations, CRD_SCHEMA_VERSION,
			       json_object_new_string(render_annotation(ours, CRD_SCHEMA_VERSION)));
	*update = o;
	return CRD_WRITE;
}
