/*
 * Rendered objects against those that are there: differences, and our own Deployment, of which we
 * own just the fields that the MetalLB resource speaks of. Pure.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/covers.h"
#include "operator/render_impl.h"

const char *render_annotation(struct json_object *o, const char *key)
{
	return kube_json_str(kube_json_get(kube_json_get(o, "metadata"), "annotations"), key);
}

bool render_is_unmanaged(struct json_object *live)
{
	return strcmp(render_annotation(live, RENDER_UNMANAGED), "true") == 0;
}

/* Items of a list come without apiVersion and kind. */
static bool covers(struct json_object *live, struct json_object *want)
{
	json_object_object_foreach(want, key, value)
	{
		if (strcmp(key, "apiVersion") != 0 && strcmp(key, "kind") != 0 &&
		    !json_covers(kube_json_get(live, key), value))
			return false;
	}
	return true;
}

enum render_drift render_compare(const struct render_object *want, struct json_object *live)
{
	struct json_object *have = kube_json_get(live, "spec");

	if (!live || !covers(live, want->json))
		return DRIFT_FIELDS;
	return json_has_more(have, kube_json_get(want->json, "spec")) ? DRIFT_MORE : DRIFT_NONE;
}

void render_replace(const struct render_object *want, struct json_object *live, struct buf *out)
{
	struct json_object *template = kube_json_get(kube_json_get(want->json, "spec"), "template");
	const char *version = kube_meta_str(live, "resourceVersion");

	buf_add_str(out, "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":");
	buf_add_json_str(out, version, strlen(version));
	buf_add_str(out, "},{\"op\":\"replace\",\"path\":\"/spec/template/spec\",\"value\":");
	buf_add_str(out, render_text(kube_json_get(template, "spec")));
	buf_add_str(out, "}]");
}

static bool is_ours(struct json_object *box)
{
	return strcmp(kube_json_str(box, "name"), RENDER_CONTAINER) == 0;
}

bool render_take_resources(const struct metallb *m, struct json_object *live, struct buf *out)
{
	struct json_object *template = kube_json_get(kube_json_get(live, "spec"), "template");
	struct json_object *boxes = kube_json_get(kube_json_get(template, "spec"), "containers");
	const char *version = kube_meta_str(live, "resourceVersion");
	size_t n =
		json_object_is_type(boxes, json_type_array) ? json_object_array_length(boxes) : 0;

	if ((m && *m->controller.resources) || !*render_annotation(live, RENDER_RESOURCES))
		return false;
	buf_add_str(out, "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":");
	buf_add_json_str(out, version, strlen(version));
	buf_add_str(out, "},{\"op\":\"remove\",\"path\":\"/metadata/annotations/"
			 "metallb.io~1applied-resources\"}");
	for (size_t i = 0; i < n; i++)
		if (is_ours(json_object_array_get_idx(boxes, i)))
			buf_printf(out,
				   ",{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/"
				   "%zu/resources\",\"value\":{}}",
				   i);
	buf_add_str(out, "]");
	return true;
}

static bool says_nothing(const struct metallb *m)
{
	const struct metallb_pods *c = &m->controller;

	return !*c->affinity && !*c->resources && !*c->priority_class_name &&
	       !*c->runtime_class_name && c->annotations.n == 0 &&
	       m->controller_node_selector.n == 0 && !*m->controller_tolerations;
}

struct json_object *render_controller(const struct metallb *m, const char *ns, const char *name,
				      struct json_object *live)
{
	struct json_object *o;
	char text[24];

	if ((!m || says_nothing(m)) && !*render_annotation(live, RENDER_SUM))
		return NULL;
	o = json_object_new_object();
	render_set(o, "apiVersion", "apps/v1");
	render_set(o, "kind", "Deployment");
	render_set(render_at(o, "metadata"), "name", name);
	render_set(render_at(o, "metadata"), "namespace", ns);
	if (m && !says_nothing(m)) {
		struct json_object *template = render_at(o, "spec.template");

		if (*m->controller.resources) {
			struct json_object *list = json_object_new_array();
			struct json_object *box = json_object_new_object();

			render_set(render_at(o, "metadata.annotations"), RENDER_RESOURCES, "true");
			render_set(box, "name", RENDER_CONTAINER);
			json_object_array_add(list, box);
			json_object_object_add(render_at(template, "spec"), "containers", list);
		}
		render_pods(template, RENDER_CONTAINER, &m->controller,
			    &m->controller_node_selector, m->controller_tolerations);
		render_seal(o, text);
	}
	return o;
}
