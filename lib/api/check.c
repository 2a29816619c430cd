/*
 * The structural check: walks the table of a kind over a JSON value and collects every error, as
 * the API server does it on a write. A null counts as absent, as the server drops it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/api/check.h"
#include "metallb/xalloc.h"

static void check_value(struct check *c, const struct field *f, json_object *v);

static void add(struct check *c, enum schema_issue_type type, const char *field, const char *fmt,
		va_list ap)
{
	struct arena *a = c->report->arena;

	if (c->report->n_issues == SCHEMA_ISSUES_MAX)
		return;
	_cleanup_free_ char *text = xvasprintf(fmt, ap);

	ARRAY_GROW(c->issues, c->report->n_issues, c->cap_issues);
	c->issues[c->report->n_issues++] =
		(struct schema_issue){type, field, arena_strdup(a, text)};
}

void check_add(struct check *c, enum schema_issue_type type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c, type, arena_strdup(c->report->arena, buf_str(&c->path.path)), fmt, ap);
	va_end(ap);
}

void check_add_at(struct check *c, const char *member, enum schema_issue_type type, const char *fmt,
		  ...)
{
	size_t mark = decode_enter(&c->path, member);
	va_list ap;

	va_start(ap, fmt);
	add(c, type, arena_strdup(c->report->arena, buf_str(&c->path.path)), fmt, ap);
	va_end(ap);
	decode_leave(&c->path, mark);
}

static void add_type(struct check *c, json_object *v, const char *wanted)
{
	check_add(c, SCHEMA_TYPE, "must be %s, not %s", wanted,
		  json_type_to_name(json_object_get_type(v)));
}

static void add_unknown(struct check *c, const char *name)
{
	size_t mark = decode_enter(&c->path, name);

	if (c->n_unknown < SCHEMA_ISSUES_MAX) {
		ARRAY_GROW(c->unknown, c->n_unknown, c->cap_unknown);
		c->unknown[c->n_unknown++] = arena_strdup(c->report->arena, buf_str(&c->path.path));
	}
	decode_leave(&c->path, mark);
}

static const struct field *shape_find(const struct shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->n_fields; i++)
		if (strcmp(shape->fields[i].name, name) == 0)
			return &shape->fields[i];
	return NULL;
}

/* top: apiVersion, kind and metadata are looked at elsewhere. */
static void check_shape(struct check *c, const struct shape *shape, json_object *json, bool top)
{
	if (!json_object_is_type(json, json_type_object)) {
		add_type(c, json, "an object");
		return;
	}
	for (size_t i = 0; i < shape->n_fields; i++) {
		const struct field *f = &shape->fields[i];
		json_object *v = decode_member(json, f->name);

		if (!v) {
			if (f->flags & FF_REQUIRED)
				check_add_at(c, f->name, SCHEMA_REQUIRED, "is required");
			continue;
		}
		size_t mark = decode_enter(&c->path, f->name);

		check_value(c, f, v);
		decode_leave(&c->path, mark);
	}
	json_object_object_foreach(json, key, value)
	{
		(void)value;
		if (top && (strcmp(key, "apiVersion") == 0 || strcmp(key, "kind") == 0 ||
			    strcmp(key, "metadata") == 0))
			continue;
		if (!shape_find(shape, key))
			add_unknown(c, key);
	}
}

static void check_number(struct check *c, const struct field *f, json_object *v)
{
	int64_t n;

	if (!json_integer(v, &n)) {
		add_type(c, v, "an integer of 64 bits");
		return;
	}
	if ((f->flags & FF_MIN) && n < f->min)
		check_add(c, SCHEMA_INVALID, "%" PRId64 " is less than %" PRId64, n, f->min);
	if ((f->flags & FF_MAX) && n > f->max)
		check_add(c, SCHEMA_INVALID, "%" PRId64 " is more than %" PRId64, n, f->max);
	else if ((f->flags & FF_INT32) && (n < INT32_MIN || n > INT32_MAX))
		check_add(c, SCHEMA_INVALID, "%" PRId64 " does not fit into 32 bits", n);
}

/* Characters of UTF-8 text. */
static int64_t count_chars(const char *s)
{
	int64_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void check_text(struct check *c, const struct field *f, json_object *v)
{
	const char *s = json_object_get_string(v);
	const char *const *e = f->enums;
	usec_t time;

	while (e && *e && strcmp(*e, s) != 0)
		e++;
	if (e && !*e)
		check_add(c, SCHEMA_UNSUPPORTED, "unknown value \"%.100s\"", s);
	if (f->type == FT_STRING && (f->flags & FF_MIN) && count_chars(s) < f->min)
		check_add(c, SCHEMA_INVALID, "is shorter than %" PRId64 " characters", f->min);
	if (f->type == FT_STRING && (f->flags & FF_MAX) && count_chars(s) > f->max)
		check_add(c, SCHEMA_TOO_LONG, "is longer than %" PRId64 " characters", f->max);
	if (f->pattern && !pattern_matches(f->pattern, s))
		check_add(c, SCHEMA_INVALID, "\"%.100s\" does not match %s", s, f->pattern);
	if ((f->flags & FF_DATETIME) && !clock_parse_rfc3339(s, &time))
		check_add(c, SCHEMA_INVALID, "\"%.40s\" is not a time", s);
}

static void check_strings(struct check *c, json_object *v)
{
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		json_object *item = json_object_array_get_idx(v, i);
		size_t mark = decode_enter_index(&c->path, i);

		if (!json_object_is_type(item, json_type_string))
			add_type(c, item, "a string");
		decode_leave(&c->path, mark);
	}
}

/* Two elements of an associative list with one key. */
static void check_list_keys(struct check *c, const struct field *f, json_object *v, size_t i)
{
	json_object *key = decode_member(json_object_array_get_idx(v, i), f->list_key);

	for (size_t j = 0; key && j < i; j++) {
		json_object *other = decode_member(json_object_array_get_idx(v, j), f->list_key);

		if (other && json_object_equal(key, other)) {
			check_add(c, SCHEMA_DUPLICATE, "\"%.100s\" is there twice",
				  json_object_get_string(key));
			return;
		}
	}
}

static void check_objects(struct check *c, const struct field *f, json_object *v)
{
	size_t n = json_object_array_length(v);

	for (size_t i = 0; i < n; i++) {
		size_t mark = decode_enter_index(&c->path, i);

		check_shape(c, f->shape, json_object_array_get_idx(v, i), false);
		if ((f->flags & FF_LISTMAP) && n <= SCHEMA_ISSUES_MAX)
			check_list_keys(c, f, v, i);
		decode_leave(&c->path, mark);
	}
}

static void check_map(struct check *c, json_object *v, bool numbers)
{
	json_object_object_foreach(v, key, item)
	{
		size_t mark = decode_enter(&c->path, key);
		bool number = numbers && json_object_is_type(item, json_type_int);

		if (item && !number && !json_object_is_type(item, json_type_string))
			add_type(c, item, numbers ? "an integer or a string" : "a string");
		decode_leave(&c->path, mark);
	}
}

/* JSON type that a field has on the wire. */
static const struct {
	enum json_type type;
	const char *name;
} wire[] = {
	[FT_STRING] = {json_type_string, "a string"},
	[FT_BOOL] = {json_type_boolean, "a boolean"},
	[FT_DURATION] = {json_type_string, "a string"},
	[FT_TIME] = {json_type_string, "a string"},
	[FT_STRINGS] = {json_type_array, "a list"},
	[FT_MAP] = {json_type_object, "an object"},
	[FT_OBJECT] = {json_type_object, "an object"},
	[FT_LIST] = {json_type_array, "a list"},
	[FT_INT_OR_STRING_MAP] = {json_type_object, "an object"},
};

static void check_value(struct check *c, const struct field *f, json_object *v)
{
	if (f->type == FT_INT) {
		check_number(c, f, v);
		return;
	}
	if (!json_object_is_type(v, wire[f->type].type)) {
		add_type(c, v, wire[f->type].name);
		return;
	}
	if ((f->flags & FF_MIN_ONE) && json_object_array_length(v) == 0)
		check_add(c, SCHEMA_INVALID, "must have at least one element");
	switch (f->type) {
	case FT_STRING:
	case FT_DURATION:
	case FT_TIME:
		check_text(c, f, v);
		break;
	case FT_STRINGS:
		check_strings(c, v);
		break;
	case FT_MAP:
	case FT_INT_OR_STRING_MAP:
		check_map(c, v, f->type == FT_INT_OR_STRING_MAP);
		break;
	case FT_OBJECT:
		check_shape(c, f->shape, v, false);
		break;
	case FT_LIST:
		check_objects(c, f, v);
		break;
	default:
		break;
	}
}

void api_schema_check(enum api_kind kind, json_object *json, json_object *old,
		      struct schema_report *report)
{
	struct check c = {.report = report};
	const char *version = "";

	*report = (struct schema_report){.arena = arena_new()};
	if (json_object_is_type(json, json_type_object)) {
		json_object *v = decode_member(json, "apiVersion");

		if (json_object_is_type(v, json_type_string))
			version = json_object_get_string(v);
		check_metadata(&c, json, api_kind_info(kind)->namespaced);
		check_shape(&c, schema_metallb_shape(kind, version), json, true);
		if (report->n_issues == 0)
			check_rules(&c, kind, version, json, old);
	} else {
		add_type(&c, json, "an object");
	}
	report->issues =
		arena_memdup(report->arena, c.issues, report->n_issues * sizeof(*c.issues));
	report->unknown.items =
		arena_memdup(report->arena, c.unknown, c.n_unknown * sizeof(*c.unknown));
	report->unknown.n = c.n_unknown;
	free(c.issues);
	free(c.unknown);
	buf_fini(&c.path.path);
}

void schema_report_fini(struct schema_report *report)
{
	report->arena = arena_free(report->arena);
}

const char *schema_issue_type_name(enum schema_issue_type type)
{
	static const char *const names[] = {
		[SCHEMA_REQUIRED] = "FieldValueRequired",
		[SCHEMA_TYPE] = "FieldValueTypeInvalid",
		[SCHEMA_INVALID] = "FieldValueInvalid",
		[SCHEMA_UNSUPPORTED] = "FieldValueNotSupported",
		[SCHEMA_TOO_LONG] = "FieldValueTooLong",
		[SCHEMA_DUPLICATE] = "FieldValueDuplicate",
	};

	return names[type];
}
