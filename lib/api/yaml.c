/*
 * YAML text to JSON values, on libyaml's event parser; the only user of libyaml. What scalars mean
 * is in yaml_scalar.c. An alias becomes a copy of what it names; the copies count against
 * YAML_NODES_MAX, so that a small text cannot grow into a large value.
 *
 * Left out: escaped UTF-16 surrogates ("\ud83d\ude00") in quoted text, which libyaml refuses.
 */
#include "metallb/yaml.h"

#include <json-c/json.h>
#include <string.h>
#include <yaml.h>

#include "lib/api/yaml_scalar.h"
#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

struct anchor {
	struct json_object *value; /* NULL: JSON's null */
	size_t n_nodes;            /* values in it, itself included */
	bool open;                 /* its collection has not ended: an alias would contain itself */
	struct anchor *older;
};

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool has_event;
	struct table anchors;  /* name -> the latest struct anchor of that name */
	struct anchor *latest; /* all of this document */
	size_t n_nodes;        /* of this document */
	struct err *err;
	bool text_only;     /* scalars stay text */
	const char *wanted; /* the path whose line is asked for, or NULL */
	struct buf path;    /* of the current value, while one is asked for */
	size_t line;        /* the answer */
};

static bool read_node(struct reader *r, unsigned depth, struct json_object **out);

static bool refuse(struct reader *r, const char *why)
{
	return err_set(r->err, "line %zu: %s", r->event.start_mark.line + 1, why);
}

/* Move to the next event. */
static bool next(struct reader *r)
{
	if (r->has_event)
		yaml_event_delete(&r->event);
	r->has_event = yaml_parser_parse(&r->parser, &r->event) == 1;
	if (r->has_event)
		return true;
	memset(&r->event, 0, sizeof(r->event));
	return err_set(r->err, "line %zu: %s", r->parser.problem_mark.line + 1,
		       r->parser.problem ? r->parser.problem : "cannot be read");
}

static void anchors_clear(struct reader *r)
{
	while (r->latest) {
		struct anchor *a = r->latest;

		r->latest = a->older;
		json_object_put(a->value);
		free(a);
	}
	table_fini(&r->anchors);
	table_init(&r->anchors);
}

/* A name may be used again: the later one counts from there on. */
static struct anchor *anchor_open(struct reader *r, const yaml_char_t *name)
{
	struct anchor *a = xcalloc(1, sizeof(*a));

	a->open = true;
	a->older = r->latest;
	r->latest = a;
	table_set(&r->anchors, (const char *)name, a);
	return a;
}

static bool count_nodes(struct reader *r, size_t n)
{
	r->n_nodes += n;
	if (r->n_nodes > YAML_NODES_MAX)
		return refuse(r, "too many values in one document");
	return true;
}

static bool read_alias(struct reader *r, struct json_object **out)
{
	struct anchor *a = table_find(&r->anchors, (const char *)r->event.data.alias.anchor);

	if (!a)
		return refuse(r, "alias of an unknown anchor");
	if (a->open)
		return refuse(r, "anchored value contains itself");
	if (!count_nodes(r, a->n_nodes))
		return false;
	*out = NULL;
	if (a->value && json_object_deep_copy(a->value, out, NULL) != 0)
		return refuse(r, "cannot copy an anchored value");
	return true;
}

static struct yaml_scalar event_scalar(const yaml_event_t *e)
{
	return (struct yaml_scalar){
		.text = (const char *)e->data.scalar.value,
		.len = e->data.scalar.length,
		.tag = (const char *)e->data.scalar.tag,
		.plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
	};
}

static bool read_scalar(struct reader *r, struct json_object **out)
{
	struct yaml_scalar s = event_scalar(&r->event);
	struct err why = {0};

	if (!yaml_scalar_decode(&s, out, &why))
		return refuse(r, why.msg);
	if (r->text_only && *out && !json_object_is_type(*out, json_type_string)) {
		json_object_put(*out);
		*out = json_object_new_string_len(s.text, (int)s.len);
	}
	return true;
}

/* The path grows by "[n]" or ".key"; the first place that has the wanted one gives the line. */
static size_t path_enter(struct reader *r, const char *key, size_t n)
{
	size_t before = r->path.len;

	if (!r->wanted)
		return before;
	if (key)
		buf_printf(&r->path, "%s%s", before ? "." : "", key);
	else
		buf_printf(&r->path, "[%zu]", n);
	if (r->line == 0 && strcmp(buf_str(&r->path), r->wanted) == 0)
		r->line = r->event.start_mark.line + 1;
	return before;
}

static void path_leave(struct reader *r, size_t before)
{
	if (!r->wanted)
		return;
	r->path.len = before;
	if (r->path.data)
		r->path.data[before] = '\0';
}

static bool read_sequence(struct reader *r, unsigned depth, struct json_object **out)
{
	struct json_object *array = json_object_new_array();
	bool ok;

	while ((ok = next(r)) && r->event.type != YAML_SEQUENCE_END_EVENT) {
		struct json_object *item = NULL;
		size_t path = path_enter(r, NULL, json_object_array_length(array));

		ok = read_node(r, depth + 1, &item);
		path_leave(r, path);
		if (!ok)
			break;
		json_object_array_add(array, item);
	}
	if (ok)
		*out = array;
	else
		json_object_put(array);
	return ok;
}

/* The current event is a key. Its text as kubectl writes it in JSON; the caller frees it. */
static bool read_key(struct reader *r, char **key, bool *merge)
{
	struct json_object *value = NULL;
	struct yaml_scalar s;

	*merge = false;
	if (r->event.type == YAML_SCALAR_EVENT) {
		s = event_scalar(&r->event);
		*merge = yaml_scalar_is_merge(&s);
	} else if (r->event.type != YAML_ALIAS_EVENT) {
		return refuse(r, "a key must be a scalar");
	}
	if (!read_node(r, 0, &value))
		return false;
	if (!value || json_object_is_type(value, json_type_object) ||
	    json_object_is_type(value, json_type_array)) {
		json_object_put(value);
		return refuse(r, "a key must be a scalar other than null");
	}
	const char *text = json_object_get_string(value);
	bool has_nul = json_object_is_type(value, json_type_string) &&
		       strlen(text) != (size_t)json_object_get_string_len(value);

	*key = has_nul ? NULL : xstrdup(text);
	json_object_put(value);
	return *key || refuse(r, "a key holds a NUL");
}

/* Fill in from a merged map what map does not have. */
static void merge_map(struct json_object *map, struct json_object *from)
{
	json_object_object_foreach(from, name, value)
	{
		if (!json_object_object_get_ex(map, name, NULL))
			json_object_object_add(map, name, json_object_get(value));
	}
}

static bool merge_value(struct reader *r, struct json_object *map, struct json_object *from)
{
	if (json_object_is_type(from, json_type_object)) {
		merge_map(map, from);
		return true;
	}
	if (!json_object_is_type(from, json_type_array))
		return refuse(r, "a merge key needs a map or a list of maps");
	for (size_t i = 0; i < json_object_array_length(from); i++) {
		struct json_object *item = json_object_array_get_idx(from, i);

		if (!json_object_is_type(item, json_type_object))
			return refuse(r, "a merge key needs a map or a list of maps");
		merge_map(map, item);
	}
	return true;
}

/* One key with its value, the key being the current event. */
static bool read_pair(struct reader *r, unsigned depth, struct json_object *map,
		      struct json_object **merged)
{
	_cleanup_free_ char *key = NULL;
	struct json_object *value = NULL;
	size_t line = r->event.start_mark.line + 1;
	bool merge;

	if (!read_key(r, &key, &merge))
		return false;
	size_t path = path_enter(r, key, 0);

	if (!next(r) || !read_node(r, depth + 1, &value))
		return false;
	path_leave(r, path);
	if (merge && !*merged && value) {
		*merged = value;
		return true;
	}
	if (merge || json_object_object_get_ex(map, key, NULL)) {
		json_object_put(value);
		return err_set(r->err, "line %zu: key \"%.100s\" is %s", line, key,
			       merge ? "given twice or null" : "already set in this map");
	}
	json_object_object_add(map, key, value);
	return true;
}

static bool read_mapping(struct reader *r, unsigned depth, struct json_object **out)
{
	struct json_object *map = json_object_new_object(), *merged = NULL;
	bool ok = true;

	while (ok && (ok = next(r)) && r->event.type != YAML_MAPPING_END_EVENT)
		ok = read_pair(r, depth, map, &merged);
	if (ok && merged)
		ok = merge_value(r, map, merged);
	json_object_put(merged);
	if (ok)
		*out = map;
	else
		json_object_put(map);
	return ok;
}

static const yaml_char_t *event_anchor(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

/* The value that starts at the current event; afterwards its last event is the current one. */
static bool read_node(struct reader *r, unsigned depth, struct json_object **out)
{
	const yaml_char_t *name = event_anchor(&r->event);
	size_t before = r->n_nodes;
	struct anchor *anchor = NULL;
	bool ok;

	if (depth > YAML_DEPTH_MAX)
		return refuse(r, "nested too deeply");
	if (r->event.type == YAML_ALIAS_EVENT)
		return read_alias(r, out);
	if (!count_nodes(r, 1))
		return false;
	if (name)
		anchor = anchor_open(r, name);
	if (r->event.type == YAML_SCALAR_EVENT)
		ok = read_scalar(r, out);
	else if (r->event.type == YAML_SEQUENCE_START_EVENT)
		ok = read_sequence(r, depth, out);
	else if (r->event.type == YAML_MAPPING_START_EVENT)
		ok = read_mapping(r, depth, out);
	else
		ok = refuse(r, "a value is missing");
	if (!ok || !anchor)
		return ok;
	anchor->value = json_object_get(*out);
	anchor->n_nodes = r->n_nodes - before;
	anchor->open = false;
	return true;
}

/* The current event is a document's start. */
static bool read_document(struct reader *r, struct json_object **value, size_t *line)
{
	r->n_nodes = 0;
	if (!next(r))
		return false;
	*line = r->event.start_mark.line + 1;
	if (!read_node(r, 0, value))
		return false;
	/* The copies keep nothing of the anchors; a later document may not refer to them. */
	anchors_clear(r);
	if (next(r))
		return true;
	json_object_put(*value);
	return false;
}

static bool read_stream(struct reader *r, yaml_document_fn fn, void *user)
{
	if (!next(r))
		return false;
	while (next(r) && r->event.type == YAML_DOCUMENT_START_EVENT) {
		struct json_object *value = NULL;
		size_t line;
		bool more;

		if (!read_document(r, &value, &line))
			return false;
		more = !value || fn(user, value, line, r->err);
		json_object_put(value);
		if (!more)
			return false;
	}
	return r->event.type == YAML_STREAM_END_EVENT;
}

static bool read_text(struct reader *r, const char *text, size_t len, yaml_document_fn fn,
		      void *user)
{
	bool ok;

	if (len > YAML_TEXT_MAX)
		return err_set(r->err, "larger than %zu bytes", YAML_TEXT_MAX);
	if (!yaml_parser_initialize(&r->parser))
		return err_set(r->err, "cannot set up the YAML parser");
	table_init(&r->anchors);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	ok = read_stream(r, fn, user);
	if (r->has_event)
		yaml_event_delete(&r->event);
	anchors_clear(r);
	table_fini(&r->anchors);
	yaml_parser_delete(&r->parser);
	return ok;
}

bool yaml_parse_stream(const char *text, size_t len, yaml_document_fn fn, void *user,
		       struct err *err)
{
	struct reader r = {.err = err};

	return read_text(&r, text, len, fn, user);
}

static bool keep_one(void *user, struct json_object *value, size_t line, struct err *err)
{
	struct json_object **only = user;

	if (*only)
		return err_set(err, "line %zu: more than one document", line);
	*only = json_object_get(value);
	return true;
}

struct json_object *yaml_parse_one(const char *text, size_t len, struct err *err)
{
	struct json_object *value = NULL;

	if (!yaml_parse_stream(text, len, keep_one, &value, err)) {
		json_object_put(value);
		return NULL;
	}
	if (!value)
		(void)err_set(err, "holds no document");
	return value;
}

bool yaml_parse_text(const char *text, size_t len, struct json_object **value, struct err *err)
{
	struct reader r = {.err = err, .text_only = true};
	struct json_object *only = NULL;

	if (!read_text(&r, text, len, keep_one, &only)) {
		json_object_put(only);
		return false;
	}
	*value = only;
	return true;
}

static bool stop(void *user, struct json_object *value, size_t line, struct err *err)
{
	(void)user;
	(void)value;
	(void)line;
	return err_set(err, "the first document is enough");
}

size_t yaml_line_of(const char *text, size_t len, const char *path)
{
	struct err err;
	struct reader r = {.err = &err, .wanted = path};

	/* a text that cannot be read to its end may have been read far enough */
	(void)read_text(&r, text, len, stop, NULL);
	buf_fini(&r.path);
	return r.line;
}
