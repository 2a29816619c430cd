/*
 * Reading the old configuration's values. A refusal finds its line by reading the text once more.
 */
#include "operator/cli/old_walk.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "metallb/duration.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"

bool old_fail(struct old_walk *c, const char *fmt, ...)
{
	const char *path = buf_str(&c->path);
	size_t line = *path ? yaml_line_of(c->text, c->len, path) : 1;
	va_list ap;

	va_start(ap, fmt);
	_cleanup_free_ char *why = xvasprintf(fmt, ap);

	va_end(ap);
	if (line == 0)
		return err_set(c->err, "%s: %s", path, why);
	return err_set(c->err, "line %zu: %s%s%s", line, path, *path ? ": " : "", why);
}

size_t old_enter_key(struct old_walk *c, const char *key)
{
	size_t before = c->path.len;

	buf_printf(&c->path, "%s%s", before ? "." : "", key);
	return before;
}

size_t old_enter_item(struct old_walk *c, size_t i)
{
	size_t before = c->path.len;

	buf_printf(&c->path, "[%zu]", i);
	return before;
}

void old_leave(struct old_walk *c, size_t before)
{
	c->path.len = before;
	if (c->path.data)
		c->path.data[before] = '\0';
}

json_object *old_get(json_object *o, const char *key)
{
	json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

/* ---- values ---- */

static bool read_number(struct old_walk *c, const char *s, uint64_t max, json_object **out)
{
	uint64_t v = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return old_fail(c, "must be a decimal number");
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return old_fail(c, "must be a decimal number");
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return old_fail(c, "is larger than %llu", (unsigned long long)max);
	}
	*out = json_object_new_int64((int64_t)v);
	return true;
}

/* YAML 1.1 has many words for it. */
static bool read_bool(struct old_walk *c, const char *s, json_object **out)
{
	static const char *const words[2][4] = {{"false", "no", "off", "n"},
						{"true", "yes", "on", "y"}};

	for (unsigned v = 0; v < 2; v++)
		for (size_t i = 0; i < ARRAY_SIZE(words[v]); i++)
			if (strcasecmp(words[v][i], s) == 0) {
				*out = json_object_new_boolean(v == 1);
				return true;
			}
	return old_fail(c, "\"%.100s\" is neither true nor false", s);
}

static bool read_duration(struct old_walk *c, const char *s, json_object **out)
{
	int64_t ns;
	char text[40];

	if (!duration_parse(s, &ns))
		return old_fail(c, "\"%.100s\" is not a duration such as 90s", s);
	*out = json_object_new_string(duration_format(ns, text));
	return true;
}

static bool has_nul(json_object *v)
{
	return strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v);
}

bool old_need_text(struct old_walk *c, json_object *v)
{
	if (!json_object_is_type(v, json_type_string))
		return old_fail(c, "must be a text");
	return !has_nul(v) || old_fail(c, "holds a NUL");
}

static bool read_texts(struct old_walk *c, json_object *v, json_object **out)
{
	bool ok = true;

	if (!json_object_is_type(v, json_type_array))
		return old_fail(c, "must be a list");
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(v) && ok; i++) {
		json_object *item = json_object_array_get_idx(v, i);
		size_t before = old_enter_item(c, i);

		ok = old_need_text(c, item);
		if (!ok)
			break;
		json_object_array_add(list, json_object_get(item));
		old_leave(c, before);
	}
	if (ok)
		*out = list;
	else
		json_object_put(list);
	return ok;
}

static bool read_value(struct old_walk *c, const struct old_field *f, json_object *v,
		       json_object **out)
{
	if (f->type == OLD_TEXTS)
		return read_texts(c, v, out);
	if (!old_need_text(c, v))
		return false;
	const char *s = json_object_get_string(v);

	switch (f->type) {
	case OLD_NUMBER:
		return read_number(c, s, f->max, out);
	case OLD_BOOL:
		return read_bool(c, s, out);
	case OLD_DURATION:
		return read_duration(c, s, out);
	default:
		*out = json_object_get(v);
		return true;
	}
}

static const struct old_field *find_field(const struct old_field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

/* All keys of `in` that have a field go to `out` (NULL: keys are only checked). */
bool old_read_fields(struct old_walk *c, const struct old_field *fields, json_object *in,
		     json_object *out)
{
	if (!json_object_is_type(in, json_type_object))
		return old_fail(c, "must be a map");
	json_object_object_foreach(in, key, v)
	{
		const struct old_field *f = find_field(fields, key);
		size_t before = old_enter_key(c, key);
		json_object *made = NULL;

		if (!f)
			return old_fail(c, "unknown key");
		/* null is the same as not there */
		if (v && f->type != OLD_ELSEWHERE) {
			if (!read_value(c, f, v, &made))
				return false;
			json_object_object_add(out, f->to, made);
		}
		old_leave(c, before);
	}
	return true;
}

bool old_each(struct old_walk *c, json_object *in, const char *key, old_item_fn fn, void *user)
{
	json_object *list = old_get(in, key);
	size_t outer = old_enter_key(c, key);

	if (list && !json_object_is_type(list, json_type_array))
		return old_fail(c, "must be a list");
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		size_t before = old_enter_item(c, i);

		if (!fn(c, json_object_array_get_idx(list, i), user))
			return false;
		old_leave(c, before);
	}
	old_leave(c, outer);
	return true;
}
