/*
 * The tables of lib/api and the files of crds/ describe the same fields: every row is held against
 * the CRD, and every property of the CRD against the rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/api/schema.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"

static json_object *load_crd(const char *plural)
{
	char path[512], *text;
	struct err err = {.msg = ""};

	snprintf(path, sizeof(path), "%s/crds/metallb.io_%s.yaml", SOURCE_DIR, plural);

	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("%s cannot be opened", path);
	text = xcalloc(1, 1 << 20);

	size_t n = fread(text, 1, (1 << 20) - 1, f);

	fclose(f);
	json_object *crd = yaml_parse_one(text, n, &err);

	if (!crd)
		fail_msg("%s: %s", path, err.msg);
	free(text);
	return crd;
}

static json_object *get(json_object *obj, const char *name)
{
	json_object *v = NULL;

	json_object_object_get_ex(obj, name, &v);
	return v;
}

static const char *text_of(json_object *obj, const char *name)
{
	json_object *v = get(obj, name);

	return v ? json_object_get_string(v) : "";
}

static void want_text(const char *path, json_object *schema, const char *key, const char *want)
{
	if (strcmp(text_of(schema, key), want ? want : "") != 0)
		fail_msg("%s: %s is \"%s\" in the CRD, \"%s\" in the table", path, key,
			 text_of(schema, key), want ? want : "");
}

static void want_number(const char *path, json_object *schema, const char *key, bool there,
			int64_t want)
{
	json_object *v = get(schema, key);

	if ((v != NULL) != there || (v && json_object_get_int64(v) != want))
		fail_msg("%s: %s differs", path, key);
}

static bool in_list(json_object *list, const char *name)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name) == 0)
			return true;
	return false;
}

static void compare_enums(const char *path, const struct field *f, json_object *schema)
{
	json_object *list = get(schema, "enum");
	size_t n = 0;

	while (f->enums && f->enums[n])
		if (!in_list(list, f->enums[n++]))
			fail_msg("%s: the CRD lacks the value %s", path, f->enums[n - 1]);
	if ((list ? json_object_array_length(list) : 0) != n)
		fail_msg("%s: the CRD has other values", path);
}

static void compare_default(const char *path, const struct field *f, json_object *schema)
{
	json_object *v = get(schema, "default");

	if ((v != NULL) != !!(f->flags & FF_DEFAULT))
		fail_msg("%s: only one of the two has a default", path);
	if (v && f->type == FT_BOOL && json_object_get_boolean(v) != (f->def != 0))
		fail_msg("%s: the default differs", path);
	if (v && f->type == FT_INT && json_object_get_int64(v) != f->def)
		fail_msg("%s: the default differs", path);
}

static void compare_shape(const char *path, const struct shape *shape, json_object *schema);

static void compare_list(const char *path, const struct field *f, json_object *schema)
{
	json_object *keys = get(schema, "x-kubernetes-list-map-keys");
	json_object *items = get(schema, "items");

	want_text(path, schema, "x-kubernetes-list-type",
		  f->flags & FF_ATOMIC    ? "atomic"
		  : f->flags & FF_LISTMAP ? "map"
					  : NULL);
	want_number(path, schema, "minItems", f->flags & FF_MIN_ONE, 1);
	if (f->flags & FF_LISTMAP)
		assert_true(in_list(keys, f->list_key) && json_object_array_length(keys) == 1);
	if (f->type == FT_STRINGS) {
		want_text(path, items, "type", "string");
		return;
	}
	want_text(path, items, "type", "object");
	compare_shape(path, f->shape, items);
}

static const char *const types[] = {
	[FT_STRING] = "string",
	[FT_BOOL] = "boolean",
	[FT_INT] = "integer",
	[FT_DURATION] = "string",
	[FT_TIME] = "string",
	[FT_STRINGS] = "array",
	[FT_MAP] = "object",
	[FT_OBJECT] = "object",
	[FT_LIST] = "array",
	[FT_INT_OR_STRING] = "",
	[FT_INT_OR_STRING_MAP] = "object",
};

static void compare_field(const char *path, const struct field *f, json_object *schema)
{
	bool length = f->type == FT_STRING;
	const char *format = f->flags & FF_INT32      ? "int32"
			     : f->flags & FF_INT64    ? "int64"
			     : f->flags & FF_DATETIME ? "date-time"
						      : NULL;
	json_object *values = get(schema, "additionalProperties");

	want_text(path, schema, "type", types[f->type]);
	want_text(path, schema, "format", format);
	want_text(path, schema, "pattern", f->pattern);
	want_number(path, schema, length ? "minLength" : "minimum", f->flags & FF_MIN, f->min);
	want_number(path, schema, length ? "maxLength" : "maximum", f->flags & FF_MAX, f->max);
	compare_enums(path, f, schema);
	compare_default(path, f, schema);
	if (strlen(text_of(schema, "description")) < 5)
		fail_msg("%s: the CRD does not describe it", path);
	if (f->type == FT_STRINGS || f->type == FT_LIST)
		compare_list(path, f, schema);
	else if (f->type == FT_OBJECT)
		compare_shape(path, f->shape, schema);
	else if (f->type == FT_MAP)
		want_text(path, values, "type", "string");
	else if (f->type == FT_INT_OR_STRING_MAP)
		assert_true(json_object_get_boolean(get(values, "x-kubernetes-int-or-string")));
	else
		assert_null(values);
}

static const struct field *find_field(const struct shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->n_fields; i++)
		if (strcmp(shape->fields[i].name, name) == 0)
			return &shape->fields[i];
	return NULL;
}

/* Every row in the CRD, every property in the rows, required ones in both. */
static void compare_shape(const char *path, const struct shape *shape, json_object *schema)
{
	json_object *props = get(schema, "properties"), *required = get(schema, "required");
	size_t n_required = 0, n = 0;

	for (size_t i = 0; i < shape->n_fields; i++) {
		const struct field *f = &shape->fields[i];
		json_object *prop = get(props, f->name);
		char sub[512];

		snprintf(sub, sizeof(sub), "%s.%s", path, f->name);
		if (!prop)
			fail_msg("%s is not in the CRD", sub);
		if (!!(f->flags & FF_REQUIRED) != in_list(required, f->name))
			fail_msg("%s is required in only one of the two", sub);
		n_required += !!(f->flags & FF_REQUIRED);
		compare_field(sub, f, prop);
	}
	if (props) {
		json_object_object_foreach(props, name, prop)
		{
			bool head = !strchr(path, '.') &&
				    (strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0 ||
				     strcmp(name, "metadata") == 0);

			n += !head;
			assert_non_null(prop);
			if (!head && !find_field(shape, name))
				fail_msg("%s.%s is not in the table", path, name);
		}
	}
	assert_int_equal(n, shape->n_fields);
	assert_int_equal(required ? json_object_array_length(required) : 0, n_required);
}

static void tables_and_crds_agree(void **state)
{
	(void)state;
	for (unsigned k = API_IPADDRESSPOOL; k <= API_METALLB; k++) {
		const struct api_kind_info *info = api_kind_info((enum api_kind)k);
		json_object *crd = load_crd(info->plural), *spec = get(crd, "spec");
		json_object *versions = get(spec, "versions");

		for (size_t i = 0; i < json_object_array_length(versions); i++) {
			json_object *v = json_object_array_get_idx(versions, i);
			json_object *schema = get(get(v, "schema"), "openAPIV3Schema");
			char api_version[64];

			snprintf(api_version, sizeof(api_version), "metallb.io/%s",
				 text_of(v, "name"));
			compare_shape(info->kind,
				      schema_metallb_shape((enum api_kind)k, api_version), schema);
		}
		json_object_put(crd);
	}
}

static void crds_name_their_kinds(void **state)
{
	(void)state;
	for (unsigned k = API_IPADDRESSPOOL; k <= API_METALLB; k++) {
		const struct api_kind_info *info = api_kind_info((enum api_kind)k);
		json_object *crd = load_crd(info->plural), *spec = get(crd, "spec");
		json_object *versions = get(spec, "versions");
		size_t stored = 0;

		want_text(info->kind, get(spec, "names"), "kind", info->kind);
		want_text(info->kind, get(spec, "names"), "plural", info->plural);
		want_text(info->kind, spec, "scope", "Namespaced");
		want_text(info->kind, spec, "group", info->group);
		for (size_t i = 0; i < json_object_array_length(versions); i++) {
			json_object *v = json_object_array_get_idx(versions, i);
			enum api_kind found;
			char api_version[64];

			snprintf(api_version, sizeof(api_version), "metallb.io/%s",
				 text_of(v, "name"));
			assert_true(api_kind_find(api_version, info->kind, &found));
			assert_int_equal(found, k);
			if (json_object_get_boolean(get(v, "storage"))) {
				assert_string_equal(text_of(v, "name"), info->version);
				stored++;
			}
			assert_non_null(get(get(v, "subresources"), "status"));
		}
		assert_int_equal(stored, 1);
		json_object_put(crd);
	}
}

/* Nothing that a server of 1.16 does not know may be in the files. */
static void refuse_new_words(const char *kind, json_object *v)
{
	static const char *const words[] = {"x-kubernetes-validations",
					    "x-kubernetes-map-type",
					    "deprecated",
					    "deprecationWarning",
					    "conversion",
					    "selectableFields"};

	if (json_object_is_type(v, json_type_array))
		for (size_t i = 0; i < json_object_array_length(v); i++)
			refuse_new_words(kind, json_object_array_get_idx(v, i));
	if (!json_object_is_type(v, json_type_object))
		return;
	json_object_object_foreach(v, key, member)
	{
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (strcmp(key, words[i]) == 0)
				fail_msg("%s: %s", kind, key);
		refuse_new_words(kind, member);
	}
}

static void crds_are_plain(void **state)
{
	(void)state;
	for (unsigned k = API_IPADDRESSPOOL; k <= API_METALLB; k++) {
		const struct api_kind_info *info = api_kind_info((enum api_kind)k);
		json_object *crd = load_crd(info->plural);

		refuse_new_words(info->kind, crd);
		json_object_put(crd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_and_crds_agree),
		cmocka_unit_test(crds_name_their_kinds),
		cmocka_unit_test(crds_are_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
