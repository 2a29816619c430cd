/*
 * Shared state of the schema check.
 */
#ifndef METALLB_API_CHECK_H
#define METALLB_API_CHECK_H

#include "lib/api/schema.h"
#include "metallb/schema.h"

struct check {
	struct decoder path; /* only its path is used */
	struct schema_report *report;
	struct schema_issue *issues;
	const char **unknown;
	size_t n_unknown, cap_issues, cap_unknown;
};

void check_add(struct check *c, enum schema_issue_type type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, about a member of what the path is at. */
void check_add_at(struct check *c, const char *member, enum schema_issue_type type, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));

void check_metadata(struct check *c, json_object *json, bool namespaced); /* check_meta.c */
/* Rules across fields and against the stored object; check_rules.c. */
void check_rules(struct check *c, enum api_kind kind, const char *api_version, json_object *json,
		 json_object *old);
bool pattern_matches(const char *pattern, const char *text); /* pattern.c */

#endif
