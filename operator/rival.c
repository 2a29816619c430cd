/*
 * By image first: every build of MetalLB that is known names itself (quay.io/metallb/controller,
 * bitnami/metallb-speaker, openshift4/metallb-rhel9, mirrors of them). An image of another name is
 * MetalLB's controller when it has MetalLB's environment and does not run our program.
 */
#include "operator/rival.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/kube.h"
#include "metallb/xalloc.h"

/* The image without registry host, tag and digest: "metallb/controller". */
static char *image_path(const char *image)
{
	const char *slash = strchr(image, '/');
	size_t host = slash ? (size_t)(slash - image) : 0;
	const char *path = image;

	if (slash && (memchr(image, '.', host) || memchr(image, ':', host) ||
		      strncmp(image, "localhost/", 10) == 0))
		path = slash + 1;
	return xstrndup(path, strcspn(path, ":@"));
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static enum rival_kind by_image(const char *image)
{
	_cleanup_free_ char *path = image_path(image);

	if (ends_with(path, "metallb/controller") || ends_with(path, "metallb-controller"))
		return RIVAL_METALLB_CONTROLLER;
	if (ends_with(path, "metallb/speaker") || ends_with(path, "metallb-speaker"))
		return RIVAL_METALLB_SPEAKER;
	return RIVAL_NONE;
}

static bool has_env(json_object *container, const char *name)
{
	json_object *env = kube_json_get(container, "env");

	if (!json_object_is_type(env, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(env); i++)
		if (strcmp(kube_json_str(json_object_array_get_idx(env, i), "name"), name) == 0)
			return true;
	return false;
}

/* The first word of the command without its directory; "" when the image decides. */
static const char *program(json_object *container)
{
	json_object *command = kube_json_get(container, "command");

	if (!json_object_is_type(command, json_type_array) ||
	    json_object_array_length(command) == 0)
		return "";
	json_object *word = json_object_array_get_idx(command, 0);

	if (!json_object_is_type(word, json_type_string))
		return "";
	const char *s = json_object_get_string(word), *slash = strrchr(s, '/');

	return slash ? slash + 1 : s;
}

static enum rival_kind of_container(json_object *container)
{
	enum rival_kind kind = by_image(kube_json_str(container, "image"));

	if (kind != RIVAL_NONE)
		return kind;
	if (has_env(container, "METALLB_NODE_NAME"))
		return strcmp(program(container), "speaker") == 0 ? RIVAL_OUR_SPEAKER
								  : RIVAL_METALLB_SPEAKER;
	if (has_env(container, "METALLB_ML_SECRET_NAME") || has_env(container, "METALLB_POD_NAME"))
		return strcmp(program(container), "operator") == 0 ? RIVAL_OUR_OPERATOR
								   : RIVAL_METALLB_CONTROLLER;
	return RIVAL_NONE;
}

static json_object *pod_spec(json_object *workload)
{
	json_object *spec = kube_json_get(workload, "spec");
	json_object *template = kube_json_get(spec, "template");

	return template ? kube_json_get(template, "spec") : spec;
}

enum rival_kind rival_of(struct json_object *workload, const char **image)
{
	json_object *list = kube_json_get(pod_spec(workload), "containers");

	*image = "";
	if (!json_object_is_type(list, json_type_array))
		return RIVAL_NONE;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *container = json_object_array_get_idx(list, i);
		enum rival_kind kind = of_container(container);

		if (kind == RIVAL_NONE)
			continue;
		*image = kube_json_str(container, "image");
		return kind;
	}
	return RIVAL_NONE;
}

static int64_t number(json_object *o, const char *outer, const char *inner, int64_t absent)
{
	json_object *v = kube_json_get(kube_json_get(o, outer), inner);

	return v ? json_object_get_int64(v) : absent;
}

const char *rival_in_charge(struct rival_watch *w, struct json_object *deployments, usec_t now)
{
	json_object *list = kube_json_get(deployments, "items");
	const char *image;

	if (w->seen == 0)
		w->seen = now;
	if (!json_object_is_type(list, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);

		if (rival_of(d, &image) != RIVAL_METALLB_CONTROLLER ||
		    number(d, "spec", "replicas", 1) == 0)
			continue;
		if (number(d, "status", "readyReplicas", 0) > 0)
			w->seen = now;
		if (now - w->seen < RIVAL_PATIENCE)
			return kube_meta_str(d, "name");
	}
	return NULL;
}
