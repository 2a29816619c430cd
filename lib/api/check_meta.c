/*
 * metadata, as apimachinery checks it for every object: names, labels, annotations.
 */
#include <ctype.h>
#include <string.h>

#include "lib/api/check.h"
#include "metallb/labels.h"

#define ANNOTATIONS_MAX ((size_t)256 << 10) /* bytes of all keys and values */

static bool is_text(json_object *v)
{
	return json_object_is_type(v, json_type_string);
}

static void check_name(struct check *c, json_object *meta)
{
	json_object *name = decode_member(meta, "name");

	if (!name || (is_text(name) && !*json_object_get_string(name))) {
		if (!decode_member(meta, "generateName"))
			check_add_at(c, "name", SCHEMA_REQUIRED, "is required");
		return;
	}
	if (!is_text(name)) {
		check_add_at(c, "name", SCHEMA_TYPE, "must be a string");
		return;
	}
	const char *s = json_object_get_string(name);

	if (!label_check_subdomain(s, (size_t)json_object_get_string_len(name)))
		check_add_at(c, "name", SCHEMA_INVALID,
			     "\"%.300s\" is not a name: lower case letters, digits, '-' and '.', "
			     "at most %u, with a letter or digit at both ends of each part",
			     s, SUBDOMAIN_MAX);
}

/* RFC 1123 label. */
static bool is_dns_label(const char *s)
{
	return strlen(s) <= LABEL_NAME_MAX && !strchr(s, '.') &&
	       label_check_subdomain(s, strlen(s));
}

static void check_namespace(struct check *c, json_object *meta, bool namespaced)
{
	json_object *ns = decode_member(meta, "namespace");

	if (!namespaced || !ns)
		return;
	if (!is_text(ns))
		check_add_at(c, "namespace", SCHEMA_TYPE, "must be a string");
	else if (*json_object_get_string(ns) && !is_dns_label(json_object_get_string(ns)))
		check_add_at(c, "namespace", SCHEMA_INVALID, "\"%.100s\" is not a name",
			     json_object_get_string(ns));
}

static void check_labels(struct check *c, json_object *labels)
{
	struct err err;

	json_object_object_foreach(labels, key, value)
	{
		if (value && !is_text(value))
			check_add(c, SCHEMA_TYPE, "the value of %.100s must be a string", key);
		else if (!label_check_key(key, &err) ||
			 !label_check_value(value ? json_object_get_string(value) : "", &err))
			check_add(c, SCHEMA_INVALID, "%s", err.msg);
	}
}

static void check_annotations(struct check *c, json_object *annotations)
{
	size_t size = 0;
	struct err err;

	json_object_object_foreach(annotations, key, value)
	{
		char lower[SUBDOMAIN_MAX + LABEL_NAME_MAX + 2] = "";
		size_t n = strlen(key);

		if (value && !is_text(value)) {
			check_add(c, SCHEMA_TYPE, "the value of %.100s must be a string", key);
			continue;
		}
		size += n + (value ? (size_t)json_object_get_string_len(value) : 0);
		/* the part before '/' may have upper case letters here */
		if (n < sizeof(lower)) {
			for (size_t i = 0; i < n; i++)
				lower[i] = (char)tolower((unsigned char)key[i]);
			if (label_check_key(lower, &err))
				continue;
		}
		check_add(c, SCHEMA_INVALID, "\"%.100s\" is not an annotation key", key);
	}
	if (size > ANNOTATIONS_MAX)
		check_add(c, SCHEMA_TOO_LONG, "%zu bytes are more than %zu", size, ANNOTATIONS_MAX);
}

static void check_map_of(struct check *c, json_object *meta, const char *name,
			 void (*fn)(struct check *c, json_object *map))
{
	json_object *map = decode_member(meta, name);
	size_t mark;

	if (!map)
		return;
	mark = decode_enter(&c->path, name);
	if (json_object_is_type(map, json_type_object))
		fn(c, map);
	else
		check_add(c, SCHEMA_TYPE, "must be an object");
	decode_leave(&c->path, mark);
}

void check_metadata(struct check *c, json_object *json, bool namespaced)
{
	json_object *meta = decode_member(json, "metadata");
	size_t mark = decode_enter(&c->path, "metadata");

	if (meta && !json_object_is_type(meta, json_type_object)) {
		check_add(c, SCHEMA_TYPE, "must be an object");
	} else {
		check_name(c, meta);
		check_namespace(c, meta, namespaced);
		check_map_of(c, meta, "labels", check_labels);
		check_map_of(c, meta, "annotations", check_annotations);
	}
	decode_leave(&c->path, mark);
}
