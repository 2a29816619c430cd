/*
 * The patterns are Go's RE2; PCRE2 understands them all as far as interface names go. RE2 promises
 * linear time, PCRE2 gets a limit on its work instead: a pattern that exceeds it does not match.
 */
#include "speaker/exclude.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <json-c/json.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"

#define KEY         "announcedInterfacesToExclude"
#define MATCH_LIMIT 10000u

struct exclude {
	pcre2_code **patterns;
	size_t n, cap;
	pcre2_match_context *context;
	pcre2_match_data *data;
};

struct exclude *exclude_free(struct exclude *x)
{
	if (!x)
		return NULL;
	for (size_t i = 0; i < x->n; i++)
		pcre2_code_free(x->patterns[i]);
	free(x->patterns);
	pcre2_match_context_free(x->context);
	pcre2_match_data_free(x->data);
	free(x);
	return NULL;
}

static struct exclude *exclude_new(void)
{
	struct exclude *x = xcalloc(1, sizeof(*x));

	x->context = pcre2_match_context_create(NULL);
	x->data = pcre2_match_data_create(1, NULL);
	if (!x->context || !x->data)
		abort(); /* out of memory */
	pcre2_set_match_limit(x->context, MATCH_LIMIT);
	return x;
}

static bool pattern_add(struct exclude *x, const char *text, struct err *err)
{
	PCRE2_SIZE at;
	int code;
	pcre2_code *p =
		pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at, NULL);

	if (!p) {
		char why[128] = "";

		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		return err_set(err, KEY ": pattern \"%s\": %s at %zu", text, why, at);
	}
	ARRAY_GROW(x->patterns, x->n, x->cap);
	x->patterns[x->n++] = p;
	return true;
}

static bool list_add(struct exclude *x, json_object *list, struct err *err)
{
	if (json_object_get_type(list) != json_type_array)
		return err_set(err, KEY ": must be a list");
	if (json_object_array_length(list) > EXCLUDE_PATTERNS_MAX)
		return err_set(err, KEY ": more than %u patterns", EXCLUDE_PATTERNS_MAX);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);

		if (json_object_get_type(item) != json_type_string)
			return err_set(err, KEY "[%zu]: must be a string", i);
		if (!pattern_add(x, json_object_get_string(item), err))
			return false;
	}
	return true;
}

struct exclude *exclude_parse(const char *text, size_t len, struct err *err)
{
	json_object *doc, *list;
	struct exclude *x = exclude_new();
	bool ok = true;

	if (strspn(text, " \t\r\n") == len)
		return x;
	doc = yaml_parse_one(text, len, err);
	if (!doc)
		return exclude_free(x);
	if (json_object_get_type(doc) != json_type_object)
		ok = err_set(err, "must be a YAML mapping");
	else if (json_object_object_get_ex(doc, KEY, &list) && list)
		ok = list_add(x, list, err);
	json_object_put(doc);
	return ok ? x : exclude_free(x);
}

struct exclude *exclude_load(const char *path, struct err *err)
{
	FILE *f = fopen(path, "re");
	struct exclude *x = NULL;

	if (!f && errno == ENOENT)
		return exclude_new();
	if (!f) {
		err_set(err, "%s: %s", path, strerror(errno));
		return NULL;
	}
	char *text = xmalloc(EXCLUDE_FILE_MAX + 1);
	size_t n = fread(text, 1, EXCLUDE_FILE_MAX + 1, f);

	if (ferror(f))
		err_set(err, "%s: cannot be read", path);
	else if (n > EXCLUDE_FILE_MAX)
		err_set(err, "%s: larger than %zu bytes", path, EXCLUDE_FILE_MAX);
	else {
		text[n] = '\0';
		x = exclude_parse(text, n, err);
		if (!x)
			err_wrap(err, "%s", path);
	}
	fclose(f);
	free(text);
	return x;
}

bool exclude_matches(const struct exclude *x, const char *name)
{
	for (size_t i = 0; i < x->n; i++)
		if (pcre2_match(x->patterns[i], (PCRE2_SPTR)name, strlen(name), 0, 0, x->data,
				x->context) >= 0)
			return true;
	return false;
}
