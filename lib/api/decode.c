/*
 * The decoder: walks the table of a kind over a JSON value and fills the struct. Bounded by the
 * API_*_MAX of api.h; never recurses deeper than the tables do. Unknown fields are left alone.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/api/schema.h"
#include "metallb/duration.h"
#include "metallb/xalloc.h"

static bool decode_field(struct decoder *d, const struct field *f, json_object *value, void *base);

bool decode_refuse(struct decoder *d, const char *fmt, ...)
{
	_cleanup_free_ char *reason = NULL;
	va_list ap;

	va_start(ap, fmt);
	reason = xvasprintf(fmt, ap);
	va_end(ap);
	return err_set(d->err, "%s%s%s", buf_str(&d->path), d->path.len ? ": " : "", reason);
}

bool decode_refuse_type(struct decoder *d, json_object *value, const char *wanted)
{
	return decode_refuse(d, "must be %s, not %s", wanted,
			     json_type_to_name(json_object_get_type(value)));
}

size_t decode_enter(struct decoder *d, const char *name)
{
	size_t mark = d->path.len;

	if (mark)
		buf_add_char(&d->path, '.');
	buf_add_str(&d->path, name);
	return mark;
}

size_t decode_enter_index(struct decoder *d, size_t i)
{
	size_t mark = d->path.len;

	buf_printf(&d->path, "[%zu]", i);
	return mark;
}

void decode_leave(struct decoder *d, size_t mark)
{
	d->path.len = mark;
	if (d->path.data)
		d->path.data[mark] = '\0';
}

json_object *decode_member(json_object *obj, const char *name)
{
	json_object *v = NULL;

	if (json_object_is_type(obj, json_type_object))
		json_object_object_get_ex(obj, name, &v);
	return v;
}

bool json_integer(json_object *value, int64_t *out)
{
	if (json_object_is_type(value, json_type_double)) {
		double v = json_object_get_double(value);

		/* beyond 2^53 a double does not say which integer is meant */
		if (!(fabs(v) <= 9007199254740992.) || v != floor(v))
			return false;
		*out = (int64_t)v;
		return true;
	}
	if (!json_object_is_type(value, json_type_int))
		return false;
	*out = json_object_get_int64(value);
	/* json-c cuts an unsigned value that is too large to INT64_MAX */
	return *out != INT64_MAX || json_object_get_uint64(value) == INT64_MAX;
}

const char *decode_string(struct decoder *d, json_object *value)
{
	if (!json_object_is_type(value, json_type_string)) {
		decode_refuse_type(d, value, "a string");
		return NULL;
	}
	size_t len = (size_t)json_object_get_string_len(value);
	const char *s = json_object_get_string(value);

	if (len > API_STRING_MAX) {
		decode_refuse(d, "text of %zu bytes is longer than %u", len, API_STRING_MAX);
		return NULL;
	}
	if (memchr(s, '\0', len)) {
		decode_refuse(d, "text holds a NUL character");
		return NULL;
	}
	return arena_memdup(d->arena, s, len + 1);
}

bool decode_int(struct decoder *d, json_object *value, int64_t *out)
{
	if (!json_integer(value, out))
		return decode_refuse_type(d, value, "an integer of 64 bits");
	return true;
}

bool decode_bool(struct decoder *d, json_object *value, bool *out)
{
	if (!json_object_is_type(value, json_type_boolean))
		return decode_refuse_type(d, value, "a boolean");
	*out = json_object_get_boolean(value);
	return true;
}

bool decode_list_size(struct decoder *d, json_object *value, size_t *n)
{
	if (!json_object_is_type(value, json_type_array))
		return decode_refuse_type(d, value, "a list");
	*n = json_object_array_length(value);
	if (*n > API_LIST_MAX)
		return decode_refuse(d, "%zu elements are more than %u", *n, API_LIST_MAX);
	return true;
}

static int kv_cmp(const void *a, const void *b)
{
	return strcmp(((const struct kv *)a)->key, ((const struct kv *)b)->key);
}

/* What kubectl keeps for itself in an annotation is of no use here and can be large. */
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

bool decode_map(struct decoder *d, json_object *value, struct labels *out)
{
	if (!json_object_is_type(value, json_type_object))
		return decode_refuse_type(d, value, "an object");
	size_t n = (size_t)json_object_object_length(value), i = 0;

	if (n > API_LIST_MAX)
		return decode_refuse(d, "%zu entries are more than %u", n, API_LIST_MAX);
	struct kv *items = arena_calloc(d->arena, n, sizeof(*items));

	json_object_object_foreach(value, key, v)
	{
		size_t mark = decode_enter(d, key);

		if (strcmp(key, LAST_APPLIED) == 0) {
			decode_leave(d, mark);
			continue;
		}
		items[i].key = arena_strdup(d->arena, key);
		/* as encoding/json does it: null leaves the empty string */
		items[i].value = v ? decode_string(d, v) : "";
		if (!items[i++].value)
			return false;
		decode_leave(d, mark);
	}
	if (i > 1)
		qsort(items, i, sizeof(*items), kv_cmp);
	*out = (struct labels){items, i};
	return true;
}

bool decode_time(struct decoder *d, json_object *value, usec_t *out)
{
	if (!json_object_is_type(value, json_type_string))
		return decode_refuse_type(d, value, "a string");
	if (!clock_parse_rfc3339(json_object_get_string(value), out))
		return decode_refuse(d, "not a time: \"%.40s\"", json_object_get_string(value));
	return true;
}

static bool decode_strings(struct decoder *d, json_object *value, struct strs *out)
{
	size_t n = 0;

	if (!decode_list_size(d, value, &n))
		return false;
	const char **items = arena_calloc(d->arena, n, sizeof(*items));

	for (size_t i = 0; i < n; i++) {
		size_t mark = decode_enter_index(d, i);

		items[i] = decode_string(d, json_object_array_get_idx(value, i));
		if (!items[i])
			return false;
		decode_leave(d, mark);
	}
	*out = (struct strs){items, n};
	return true;
}

static bool decode_text(struct decoder *d, const struct field *f, json_object *value,
			const char **out)
{
	const char *s = decode_string(d, value);

	if (!s)
		return false;
	if (f->enums) {
		const char *const *e = f->enums;

		while (*e && strcmp(*e, s) != 0)
			e++;
		if (!*e)
			return decode_refuse(d, "unknown value \"%.100s\"", s);
	}
	*out = s;
	return true;
}

static bool decode_number(struct decoder *d, const struct field *f, json_object *value,
			  int64_t *out)
{
	int64_t v;

	if (!decode_int(d, value, &v))
		return false;
	if ((f->flags & FF_MIN) && v < f->min)
		return decode_refuse(d, "%" PRId64 " is less than %" PRId64, v, f->min);
	if ((f->flags & FF_MAX) && v > f->max)
		return decode_refuse(d, "%" PRId64 " is more than %" PRId64, v, f->max);
	if ((f->flags & FF_INT32) && (v < INT32_MIN || v > INT32_MAX))
		return decode_refuse(d, "%" PRId64 " does not fit into 32 bits", v);
	if ((f->flags & FF_UINT32) && (v < 0 || v > UINT32_MAX))
		return decode_refuse(d, "%" PRId64 " is not in 0..4294967295", v);
	*out = v;
	return true;
}

static bool decode_duration(struct decoder *d, json_object *value, int64_t *out)
{
	const char *s = decode_string(d, value);

	if (!s)
		return false;
	if (!duration_parse(s, out))
		return decode_refuse(d, "\"%.100s\" is not a duration", s);
	return true;
}

/* A list's place in the struct: a pointer to the elements, then their number. */
struct list_head {
	void *items;
	size_t n;
};

static bool decode_list(struct decoder *d, const struct field *f, json_object *value, void *at)
{
	struct list_head head = {0};

	if (!decode_list_size(d, value, &head.n))
		return false;
	head.items = arena_calloc(d->arena, head.n, f->shape->size);
	for (size_t i = 0; i < head.n; i++) {
		size_t mark = decode_enter_index(d, i);
		json_object *item = json_object_array_get_idx(value, i);

		if (!json_object_is_type(item, json_type_object))
			return decode_refuse_type(d, item, "an object");
		if (!decode_shape(d, f->shape, item, (char *)head.items + i * f->shape->size))
			return false;
		decode_leave(d, mark);
	}
	memcpy(at, &head, sizeof(head));
	return true;
}

static void fill_absent(const struct field *f, void *at)
{
	switch (f->type) {
	case FT_STRING:
		if (!(f->flags & FF_NULL))
			*(const char **)at = f->def_text ? f->def_text : "";
		break;
	case FT_BOOL:
		*(bool *)at = f->def != 0;
		break;
	case FT_INT:
	case FT_DURATION:
	case FT_TIME:
		*(int64_t *)at = f->def;
		break;
	default:
		break;
	}
}

static bool decode_object(struct decoder *d, const struct field *f, json_object *value, void *at)
{
	if (value && !json_object_is_type(value, json_type_object))
		return decode_refuse_type(d, value, "an object");
	return decode_shape(d, f->shape, value, at);
}

static bool decode_raw(struct decoder *d, json_object *value, const char **out)
{
	if (json_object_get_type(value) == json_type_null) {
		*out = "";
		return true;
	}
	const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(text);

	if (len > API_STRING_MAX)
		return decode_refuse(d, "value of %zu bytes is longer than %u", len,
				     API_STRING_MAX);
	*out = arena_memdup(d->arena, text, len + 1);
	return true;
}

static bool decode_field(struct decoder *d, const struct field *f, json_object *value, void *base)
{
	void *at = (char *)base + f->offset;

	if (f->flags & FF_RAW)
		return decode_raw(d, value, at);
	if (f->flags & FF_CUSTOM)
		return f->decode(d, value, base);
	switch (f->type) {
	case FT_STRING:
		return decode_text(d, f, value, at);
	case FT_BOOL:
		return decode_bool(d, value, at);
	case FT_INT:
		return decode_number(d, f, value, at);
	case FT_DURATION:
		return decode_duration(d, value, at);
	case FT_TIME:
		return decode_time(d, value, at);
	case FT_STRINGS:
		return decode_strings(d, value, at);
	case FT_MAP:
		return decode_map(d, value, at);
	case FT_OBJECT:
		return decode_object(d, f, value, at);
	case FT_LIST:
		return decode_list(d, f, value, at);
	case FT_CUSTOM:
		return f->decode(d, value, base);
	case FT_INT_OR_STRING:
	case FT_INT_OR_STRING_MAP:
		break; /* only ever skipped or raw */
	}
	return true;
}

/* Absent: its default, or its fields' defaults. */
static bool decode_absent(struct decoder *d, const struct field *f, bool parent, void *base)
{
	void *at = (char *)base + f->offset;

	if (parent && (f->flags & FF_REQUIRED))
		return decode_refuse(d, "%s is required", f->name);
	if (f->flags & FF_SKIP)
		return true;
	if (f->flags & FF_RAW)
		*(const char **)at = "";
	else if (f->type == FT_OBJECT)
		return decode_shape(d, f->shape, NULL, at);
	else
		fill_absent(f, at);
	return true;
}

bool decode_shape(struct decoder *d, const struct shape *shape, json_object *json, void *base)
{
	for (size_t i = 0; i < shape->n_fields; i++) {
		const struct field *f = &shape->fields[i];
		json_object *value = json ? decode_member(json, f->name) : NULL;

		if (!value) {
			if (!decode_absent(d, f, json != NULL, base))
				return false;
			continue;
		}
		if (f->flags & FF_SKIP)
			continue;
		size_t mark = decode_enter(d, f->name);

		if (!decode_field(d, f, value, base))
			return false;
		if (f->present)
			*(bool *)((char *)base + f->present) = true;
		decode_leave(d, mark);
	}
	return !json || !shape->finish || shape->finish(d, base);
}
