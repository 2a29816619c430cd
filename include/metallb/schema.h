/*
 * The verdict of an API server on a metallb.io object, without one: metadata, structural schema and
 * the rules that span fields (MetalLB states them in CEL, our CRDs leave them to this code). All
 * errors are collected, with the paths of the fields. Pure.
 */
#ifndef METALLB_SCHEMA_H
#define METALLB_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/api.h"

enum schema_issue_type {
	SCHEMA_REQUIRED,    /* a field is missing */
	SCHEMA_TYPE,        /* a value of another JSON type */
	SCHEMA_INVALID,     /* out of bounds, not of the format */
	SCHEMA_UNSUPPORTED, /* none of the words that are allowed */
	SCHEMA_TOO_LONG,
	SCHEMA_DUPLICATE,
};

struct schema_issue {
	enum schema_issue_type type;
	const char *field, *detail;
};

/* Stop collecting here. */
#define SCHEMA_ISSUES_MAX 100u

struct schema_report {
	struct arena *arena;
	const struct schema_issue *issues;
	size_t n_issues;
	struct strs
		unknown; /* paths of fields that the schema does not have; the server drops them */
};

/*
 * Check json as an object of kind (metallb.io only) in the version that its apiVersion says. old is
 * the stored object that an update replaces, or NULL: some fields may not change. Free the report's
 * content with schema_report_fini().
 */
void api_schema_check(enum api_kind kind, struct json_object *json, struct json_object *old,
		      struct schema_report *report);
void schema_report_fini(struct schema_report *report);
const char *schema_issue_type_name(enum schema_issue_type type); /* "FieldValueRequired", ... */

#endif
