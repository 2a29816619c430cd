/*
 * Reading and framing reviews; see review.h. JSON by json-c with bounded depth and checked UTF-8. A
 * member that is there twice counts in its last form, as it does for the API server.
 */
#include "operator/review.h"

#include <string.h>

#include "metallb/xalloc.h"

static void tokener_freep(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

static struct json_object *parse(const char *body, size_t len, struct err *err)
{
	_cleanup_(tokener_freep) struct json_tokener *t = json_tokener_new_ex(REVIEW_DEPTH_MAX);
	struct json_object *root;

	if (!t)
		abort();
	if (len == 0 || len > INT32_MAX) {
		err_set(err, "%s body", len ? "too large a" : "no");
		return NULL;
	}
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(t, body, (int)len);
	if (json_tokener_get_error(t) == json_tokener_success &&
	    json_tokener_get_parse_end(t) == len)
		return root;
	err_set(err, "the body is not JSON: %s at byte %zu",
		json_tokener_get_error(t) == json_tokener_success
			? "something follows"
			: json_tokener_error_desc(json_tokener_get_error(t)),
		json_tokener_get_parse_end(t));
	json_object_put(root);
	return NULL;
}

struct json_object *review_get(struct json_object *o, const char *name, enum json_type type)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

const char *review_str(struct json_object *o, const char *name)
{
	struct json_object *v = review_get(o, name, json_type_string);

	return v ? json_object_get_string(v) : "";
}

static bool is_version_of(const char *api_version, const char *group)
{
	size_t n = strlen(group);

	return strncmp(api_version, group, n) == 0 && api_version[n] == '/' &&
	       (strcmp(api_version + n + 1, "v1") == 0 ||
		strcmp(api_version + n + 1, "v1beta1") == 0);
}

bool review_decode(struct review *r, const char *body, size_t len, const char *group,
		   const char *kind, struct err *err)
{
	struct review v = {.root = parse(body, len, err)};
	const char *reason = NULL;

	if (!v.root)
		return false;
	v.api_version = review_str(v.root, "apiVersion");
	v.request = review_get(v.root, "request", json_type_object);
	v.uid = review_str(v.request, "uid");
	if (strcmp(review_str(v.root, "kind"), kind) != 0 || !is_version_of(v.api_version, group))
		reason = "apiVersion and kind are of something else";
	else if (!v.request)
		reason = "request is missing";
	else if (!*v.uid)
		reason = "request.uid is missing";
	else if (strlen(v.uid) > REVIEW_UID_MAX)
		reason = "request.uid is too long";
	if (reason) {
		review_fini(&v);
		return err_set(err, "not a %s of %s: %s", kind, group, reason);
	}
	*r = v;
	return true;
}

void review_fini(struct review *r)
{
	json_object_put(r->root);
	*r = (struct review){0};
}

void review_begin(const struct review *r, const char *kind, struct buf *out)
{
	buf_add_str(out, "{\"apiVersion\":");
	buf_add_json_str(out, r->api_version, strlen(r->api_version));
	buf_printf(out, ",\"kind\":\"%s\",\"response\":{\"uid\":", kind);
	buf_add_json_str(out, r->uid, strlen(r->uid));
}
