/*
 * JSON values for programs: as JSON, or as YAML in block style with every text quoted that needs
 * it.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "operator/cli/cli.h"

/* Texts that YAML could take for something else are quoted; JSON strings are YAML strings. */
static bool is_plain(const char *s)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no",
					    "on",   "off",   "y",    "n"};

	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(words[i], s) == 0)
			return false;
	for (const char *p = s; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		      (*p >= '0' && *p <= '9') || strchr("-_./", *p)))
			return false;
	return true;
}

static void print_scalar(json_object *v)
{
	const char *s = json_object_get_string(v);
	struct buf b = {0};

	if (!json_object_is_type(v, json_type_string) || is_plain(s)) {
		fputs(v ? s : "null", stdout);
		return;
	}
	buf_add_json_str(&b, s, (size_t)json_object_get_string_len(v));
	fputs(buf_str(&b), stdout);
	buf_fini(&b);
}

static bool is_empty(json_object *v)
{
	if (json_object_is_type(v, json_type_array))
		return json_object_array_length(v) == 0;
	return json_object_is_type(v, json_type_object) && json_object_object_length(v) == 0;
}

static bool is_block(json_object *v)
{
	return (json_object_is_type(v, json_type_array) ||
		json_object_is_type(v, json_type_object)) &&
	       !is_empty(v);
}

/* The cursor stands where the value's first line begins. */
static void print_value(json_object *v, int indent)
{
	bool first = true;

	if (is_empty(v)) {
		puts(json_object_is_type(v, json_type_array) ? "[]" : "{}");
		return;
	}
	if (!is_block(v)) {
		print_scalar(v);
		putchar('\n');
		return;
	}
	if (json_object_is_type(v, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(v); i++) {
			printf("%*s- ", i ? indent : 0, "");
			print_value(json_object_array_get_idx(v, i), indent + 2);
		}
		return;
	}
	json_object_object_foreach(v, key, item)
	{
		json_object *name = json_object_new_string(key);

		printf("%*s", first ? 0 : indent, "");
		first = false;
		print_scalar(name);
		json_object_put(name);
		if (is_block(item))
			printf(":\n%*s", indent + 2, "");
		else
			fputs(": ", stdout);
		print_value(item, indent + 2);
	}
}

void cli_print(json_object *v, enum output output)
{
	if (output == OUTPUT_JSON)
		puts(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_SPACED |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_value(v, 0);
}
