/*
 * What a YAML scalar means. Private to lib/api/yaml.c and its test.
 */
#ifndef LIB_API_YAML_SCALAR_H
#define LIB_API_YAML_SCALAR_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

struct json_object;

struct yaml_scalar {
	const char *text; /* NUL-terminated, may hold further NULs */
	size_t len;
	const char *tag; /* explicit tag, or NULL */
	bool plain;      /* not quoted, not a block scalar */
};

/* *out gets an owned value; NULL is JSON's null. */
bool yaml_scalar_decode(const struct yaml_scalar *s, struct json_object **out, struct err *err);
/* Is it the merge key "<<"? */
bool yaml_scalar_is_merge(const struct yaml_scalar *s);

#endif
