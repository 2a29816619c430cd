/*
 * ConversionReview (apiextensions.k8s.io v1 and v1beta1) for BGPPeer of metallb.io.
 *
 * Everything that both versions have is written alike in both, so objects are moved field by field
 * as JSON and unknown fields stay. What only v1beta2 has goes into an annotation of the v1beta1
 * object, and comes back from there: reading and writing an object in either version loses
 * nothing. Members that v1beta1 cannot leave out are filled with the empty value, and the
 * annotation tells that they were absent; a timer that a v1beta1 object leaves out is 0, as MetalLB
 * has it. The rest of the metadata must not be touched.
 *
 * Two things are not carried over: a false that is the default anyway, and a v1beta1 peerPort of 0,
 * which means the default and which v1beta2 does not allow.
 */
#include "operator/convert.h"

#include <string.h>

#include "metallb/xalloc.h"
#include "operator/review.h"

#define GROUP          "apiextensions.k8s.io"
#define KIND           "ConversionReview"
#define V1             "metallb.io/v1beta1"
#define V2             "metallb.io/v1beta2"
#define ABSENT         "absent"
#define ANNOTATION_MAX 65536 /* bytes that are looked at */

/* Fields of v1beta2 that v1beta1 lacks. */
static const struct {
	const char *name;
	enum json_type type;
	bool default_false; /* false need not be kept */
} only_v2[] = {
	{"localASN", json_type_int, false},
	{"dynamicASN", json_type_string, false},
	{"interface", json_type_string, false},
	{"connectTime", json_type_string, false},
	{"passwordSecret", json_type_object, false},
	{"enableGracefulRestart", json_type_boolean, false},
	{"vrf", json_type_string, false},
	{"disableMP", json_type_boolean, true},
	{"dualStackAddressFamily", json_type_boolean, true},
};

/* What v1beta1 always has, and the value that it then has. */
static const struct {
	const char *name;
	const char *text; /* NULL: the number 0 */
	bool implied;     /* it is this when v1beta1 leaves it out */
} always_v1[] = {
	{"peerASN", NULL, false},
	{"peerAddress", "", false},
	{"holdTime", "0s", true},
	{"keepaliveTime", "0s", true},
};

static void json_putp(struct json_object **o)
{
	json_object_put(*o);
}

static struct json_object *empty_value(size_t i)
{
	return always_v1[i].text ? json_object_new_string(always_v1[i].text)
				 : json_object_new_int(0);
}

static bool is_empty(struct json_object *spec, size_t i)
{
	struct json_object *v;

	if (!json_object_object_get_ex(spec, always_v1[i].name, &v))
		return false;
	if (always_v1[i].text)
		return json_object_is_type(v, json_type_string) &&
		       strcmp(json_object_get_string(v), always_v1[i].text) == 0;
	return json_object_is_type(v, json_type_int) && json_object_get_int64(v) == 0;
}

/* Take a member out of o: a reference of the caller's, or NULL. */
static struct json_object *take(struct json_object *o, const char *name)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v))
		return NULL;
	v = json_object_get(v);
	json_object_object_del(o, name);
	return v;
}

static void down_absent(struct json_object *spec, struct json_object *kept)
{
	struct json_object *absent = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(always_v1); i++) {
		const char *name = always_v1[i].name;

		if (json_object_object_get_ex(spec, name, NULL))
			continue;
		if (!absent)
			absent = json_object_new_array();
		json_object_array_add(absent, json_object_new_string(name));
		json_object_object_add(spec, name, empty_value(i));
	}
	if (absent)
		json_object_object_add(kept, ABSENT, absent);
}

/* An object that is a member of o, made when it is not there. */
static struct json_object *member_object(struct json_object *o, const char *name)
{
	struct json_object *v = review_get(o, name, json_type_object);

	if (!v) {
		v = json_object_new_object();
		json_object_object_add(o, name, v);
	}
	return v;
}

/* v1beta2 to v1beta1, in place. */
static void convert_down(struct json_object *object)
{
	_cleanup_(json_putp) struct json_object *kept = json_object_new_object();
	struct json_object *spec = review_get(object, "spec", json_type_object);

	if (!spec)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(only_v2); i++) {
		struct json_object *v;

		if (!json_object_object_get_ex(spec, only_v2[i].name, NULL))
			continue;
		v = take(spec, only_v2[i].name);
		if (only_v2[i].default_false && json_object_is_type(v, json_type_boolean) &&
		    !json_object_get_boolean(v))
			json_object_put(v);
		else
			json_object_object_add(kept, only_v2[i].name, v);
	}
	down_absent(spec, kept);
	if (json_object_object_length(kept) == 0)
		return;
	json_object_object_add(
		member_object(member_object(object, "metadata"), "annotations"), CONVERT_ANNOTATION,
		json_object_new_string(json_object_to_json_string_ext(
			kept, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)));
}

static bool was_absent(struct json_object *kept, const char *name)
{
	struct json_object *absent = review_get(kept, ABSENT, json_type_array);

	for (size_t i = 0; absent && i < json_object_array_length(absent); i++) {
		struct json_object *v = json_object_array_get_idx(absent, i);

		if (json_object_is_type(v, json_type_string) &&
		    strcmp(json_object_get_string(v), name) == 0)
			return true;
	}
	return false;
}

static void up_absent(struct json_object *spec, struct json_object *kept)
{
	for (size_t i = 0; i < ARRAY_SIZE(always_v1); i++) {
		const char *name = always_v1[i].name;

		if (was_absent(kept, name)) {
			if (is_empty(spec, i))
				json_object_object_del(spec, name);
		} else if (always_v1[i].implied && !json_object_object_get_ex(spec, name, NULL)) {
			json_object_object_add(spec, name, empty_value(i));
		}
	}
}

/* The annotation, when it is what we write; it is then removed. */
static struct json_object *take_kept(struct json_object *object)
{
	struct json_object *metadata = review_get(object, "metadata", json_type_object);
	struct json_object *all = review_get(metadata, "annotations", json_type_object);
	struct json_object *text = review_get(all, CONVERT_ANNOTATION, json_type_string);
	struct json_object *kept;

	if (!text || json_object_get_string_len(text) > ANNOTATION_MAX)
		return NULL;
	kept = json_tokener_parse(json_object_get_string(text));
	if (!json_object_is_type(kept, json_type_object)) {
		json_object_put(kept);
		return NULL;
	}
	json_object_object_del(all, CONVERT_ANNOTATION);
	if (json_object_object_length(all) == 0)
		json_object_object_del(metadata, "annotations");
	return kept;
}

/* v1beta1 to v1beta2, in place. Users can write the annotation: only what fits is taken. */
static void convert_up(struct json_object *object)
{
	struct json_object *spec = review_get(object, "spec", json_type_object);
	struct json_object *port = review_get(spec, "peerPort", json_type_int);

	if (!spec)
		return;
	if (port && json_object_get_int64(port) == 0)
		json_object_object_del(spec, "peerPort");
	_cleanup_(json_putp) struct json_object *kept = take_kept(object);
	for (size_t i = 0; i < ARRAY_SIZE(only_v2); i++) {
		struct json_object *v = review_get(kept, only_v2[i].name, only_v2[i].type);

		if (v && !json_object_object_get_ex(spec, only_v2[i].name, NULL))
			json_object_object_add(spec, only_v2[i].name, json_object_get(v));
	}
	up_absent(spec, kept);
}

static bool convert_object(struct json_object *object, const char *want, struct err *err)
{
	const char *have = review_str(object, "apiVersion"), *kind = review_str(object, "kind");
	struct json_object *metadata = review_get(object, "metadata", json_type_object);

	if (strcmp(kind, "BGPPeer") != 0)
		return err_set(err, "cannot convert a %s, only BGPPeer", *kind ? kind : "nothing");
	if (strcmp(have, want) == 0)
		return true;
	if (strcmp(have, V2) == 0 && strcmp(want, V1) == 0)
		convert_down(object);
	else if (strcmp(have, V1) == 0 && strcmp(want, V2) == 0)
		convert_up(object);
	else
		return err_set(err, "BGPPeer %s/%s: cannot convert from %s to %s",
			       review_str(metadata, "namespace"), review_str(metadata, "name"),
			       *have ? have : "no version", *want ? want : "no version");
	json_object_object_add(object, "apiVersion", json_object_new_string(want));
	return true;
}

static bool convert_all(struct json_object *request, struct err *err)
{
	const char *want = review_str(request, "desiredAPIVersion");
	struct json_object *objects = review_get(request, "objects", json_type_array);

	if (strcmp(want, V1) != 0 && strcmp(want, V2) != 0)
		return err_set(err, "request.desiredAPIVersion: \"%.100s\" is neither %s nor %s",
			       want, V1, V2);
	if (!objects)
		return err_set(err, "request.objects is missing");
	for (size_t i = 0; i < json_object_array_length(objects); i++)
		if (!convert_object(json_object_array_get_idx(objects, i), want, err))
			return false;
	return true;
}

int convert_review(const char *body, size_t len, struct buf *out)
{
	struct review r;
	struct err err = {0};

	if (!review_decode(&r, body, len, GROUP, KIND, &err)) {
		buf_printf(out, "%s\n", err.msg);
		return 400;
	}
	review_begin(&r, KIND, out);
	if (convert_all(r.request, &err)) {
		buf_add_str(out, ",\"convertedObjects\":");
		buf_add_str(out, json_object_to_json_string_ext(
					 review_get(r.request, "objects", json_type_array),
					 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		buf_add_str(out, ",\"result\":{\"status\":\"Success\"}}}");
	} else {
		buf_add_str(out, ",\"convertedObjects\":[],\"result\":{\"status\":\"Failure\","
				 "\"message\":");
		buf_add_json_str(out, err.msg, strlen(err.msg));
		buf_add_str(out, "}}}");
	}
	review_fini(&r);
	return 200;
}
