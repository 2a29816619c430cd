/*
 * What the parts share: reading members, noting differences, comparing values where the order of a
 * list does not count.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "tests/conformance/conformance.h"

json_object *conf_get(json_object *obj, const char *path)
{
	char name[128];

	while (obj && *path) {
		size_t n = strcspn(path, ".");
		json_object *next = NULL;

		if (n >= sizeof(name) || !json_object_is_type(obj, json_type_object))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		json_object_object_get_ex(obj, name, &next);
		obj = next;
		path += n + (path[n] == '.');
	}
	return obj;
}

const char *conf_text(json_object *obj, const char *path)
{
	json_object *v = conf_get(obj, path);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

enum bgp_backend conf_backend(json_object *test)
{
	const char *mode = conf_text(test, "mode");

	if (strcmp(mode, "frr-k8s") == 0)
		return BACKEND_FRR_K8S;
	return strcmp(mode, "frr") == 0 ? BACKEND_FRR : BACKEND_NATIVE;
}

void conf_mismatch(struct conf_result *r, const char *aspect, const char *reason, const char *fmt,
		   ...)
{
	va_list ap;

	va_start(ap, fmt);
	char *text = xvasprintf(fmt, ap);

	va_end(ap);
	ARRAY_GROW(r->mismatches, r->n, r->cap);
	r->mismatches[r->n++] =
		(struct conf_mismatch){xstrdup(aspect), xstrdup(reason ? reason : ""), text};
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Text that is equal for values that are equal as sets: members and elements sorted. */
static char *canonical(json_object *v)
{
	bool object = json_object_is_type(v, json_type_object);
	char **items = NULL;
	size_t n = 0, len = 3;

	if (!object && !json_object_is_type(v, json_type_array))
		return xstrdup(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
	n = object ? (size_t)json_object_object_length(v) : json_object_array_length(v);
	items = xcalloc(n + 1, sizeof(*items));
	if (object) {
		size_t i = 0;

		json_object_object_foreach(v, key, member)
		{
			_cleanup_free_ char *text = canonical(member);

			items[i++] = xasprintf("\"%s\":%s", key, text);
		}
	} else {
		for (size_t i = 0; i < n; i++)
			items[i] = canonical(json_object_array_get_idx(v, i));
	}
	qsort(items, n, sizeof(*items), by_text);
	for (size_t i = 0; i < n; i++)
		len += strlen(items[i]) + 1;
	char *out = xmalloc(len), *p = out;

	*p++ = object ? '{' : '[';
	for (size_t i = 0; i < n; i++) {
		if (i)
			*p++ = ',';
		p = stpcpy(p, items[i]);
		free(items[i]);
	}
	*p++ = object ? '}' : ']';
	*p = '\0';
	free(items);
	return out;
}

void conf_compare(struct conf_result *r, const char *aspect, const char *what, json_object *want,
		  json_object *got)
{
	_cleanup_free_ char *a = canonical(want), *b = canonical(got);

	if (strcmp(a, b) != 0)
		conf_mismatch(r, aspect, NULL, "%s:\n      want %s\n      got  %s", what, a, b);
}
