/*
 * Recorded cases of MetalLB against our cores. Each line of a file is one case:
 * {"id", "rule", "note", "mode", "input", "expected"}. A part (config, allocate, announce) drives
 * the real core through the case and reports every difference; the runner counts and decides which
 * differences fall under an exception class of exceptions.json.
 */
#ifndef METALLB_CONFORMANCE_H
#define METALLB_CONFORMANCE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "metallb/config.h"

struct conf_mismatch {
	/*
	 * What kind of difference this is, a stable word that an exception may name:
	 * "verdict", "events", "counters", "l2", ...
	 */
	char *aspect;
	/* What MetalLB said about it where it said something (a reason or message), or "". */
	char *reason;
	char *text; /* readable: what was expected, what came out */
};

/* Filled by a part; owned by the runner. */
struct conf_result {
	struct conf_mismatch *mismatches;
	size_t n, cap;
	bool verbose; /* the part may print a trace to stdout */
};

/* A difference. reason may be NULL. */
void conf_mismatch(struct conf_result *r, const char *aspect, const char *reason, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));
/*
 * Compare two JSON values; the order of members and of list elements does not count. Adds a
 * mismatch of `aspect` that shows both when they differ. Objects compare member by member.
 */
void conf_compare(struct conf_result *r, const char *aspect, const char *what, json_object *want,
		  json_object *got);

/* 0, or -1 when the case itself cannot be read (the runner fails it). */
int conformance_config(json_object *test, struct conf_result *r);
int conformance_allocate(json_object *test, struct conf_result *r); /* allocate.c */
int conformance_announce(json_object *test, struct conf_result *r); /* announce.c */

/* ---- shared by the parts ---- */

/* Member by a path with dots, or NULL. */
json_object *conf_get(json_object *obj, const char *path);
/* Text of a member by path, "" when absent. */
const char *conf_text(json_object *obj, const char *path);
enum bgp_backend conf_backend(json_object *test); /* the case's mode */

/*
 * All objects of a cluster, decoded, grown and changed by operations, as the API server would hold
 * them: keyed by kind, namespace and name.
 */
struct conf_store;

struct conf_store *conf_store_new(const char *namespace);
struct conf_store *conf_store_free(struct conf_store *s); /* returns NULL */
/* Create or replace. The JSON is copied. False when it has neither kind nor name. */
bool conf_store_put(struct conf_store *s, json_object *obj);
/* RFC 7386 merge patch; false when there is no such object. */
bool conf_store_patch(struct conf_store *s, const char *kind, const char *namespace,
		      const char *name, json_object *patch);
bool conf_store_delete(struct conf_store *s, const char *kind, const char *namespace,
		       const char *name);
json_object *conf_store_find(const struct conf_store *s, const char *kind, const char *namespace,
			     const char *name); /* borrowed; NULL when absent */
/* Every stored object in the order of creation; NULL at the end of *pos (start at 0). */
json_object *conf_store_next(const struct conf_store *s, size_t *pos);
/*
 * Apply one of the operations create, patch, delete of the records. False when `op` is none of
 * these or cannot be applied.
 */
bool conf_store_apply(struct conf_store *s, json_object *op);

/*
 * Decoded lists for config_build(), of the resources in the store's namespace (and all nodes and
 * namespaces). Objects that do not decode are left out and counted in n_undecoded. Freed with
 * conf_objects_free().
 */
struct conf_objects {
	struct objects list;
	struct api_object **owned;
	size_t n_owned, cap_owned, n_undecoded;
};

void conf_objects_load(const struct conf_store *s, struct conf_objects *out);
void conf_objects_free(struct conf_objects *o);
/* All objects of one kind, decoded; *n of them. Free each with api_object_free(), then the list. */
struct api_object **conf_store_decode(const struct conf_store *s, enum api_kind kind, size_t *n);

/*
 * MetalLB takes a configuration as a whole or not at all: true when config_build() reports nothing
 * that MetalLB's own check of the whole would. *out is NULL when refused; why gets the first
 * reason.
 */
bool conf_build(const struct conf_objects *o, const struct config_options *opt, struct config **out,
		struct err *why);

#endif
