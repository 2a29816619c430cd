/*
 * Manifests from files, directories, standard input or a cluster, as documents that remember where
 * they came from.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "metallb/config.h"

struct doc {
	json_object *json;
	char *file; /* "-" for standard input, "cluster" */
	size_t line;
	const char *api_version, *kind_name, *ns, *name; /* "" when absent */
	bool known;                                      /* kind is one that we read */
	enum api_kind kind;
	struct api_object *obj; /* decoded; NULL: not yet, or refused */
};

struct docs {
	struct doc *items;
	size_t n, cap;
	const char *ns;      /* for objects without one */
	bool knows_speakers; /* all Pods of speakers are among them */
};

void docs_init(struct docs *d, const char *ns);
void docs_fini(struct docs *d);
/* path: a file, a directory (its .yaml, .yml and .json files in order of names) or "-". */
bool docs_load(struct docs *d, const char *path, struct err *err);
/* Add one object (a List is taken apart). The JSON is taken over. */
void docs_add(struct docs *d, json_object *json, const char *file, size_t line);
/* Everything that a plan looks at, from the API server of the kubeconfig. */
bool docs_load_cluster(struct docs *d, const char *kubeconfig, const char *context,
		       struct err *err); /* cluster.c */
/* The namespace of the kubeconfig's context. The caller frees; NULL with the reason. */
char *docs_context_namespace(const char *kubeconfig, const char *context,
			     struct err *err); /* cluster.c */

/* Lists for config_build() of decoded documents that `use` picks (NULL: all). */
struct doc_lists {
	struct objects objs;
	const void **items[API_KIND_COUNT];
	size_t n[API_KIND_COUNT];
};

/* Of objects given twice the last one counts. Only metallb.io objects and Secrets in d->ns. */
void doc_lists_init(struct doc_lists *l, const struct docs *d, size_t n_docs,
		    bool (*use)(const struct doc *doc));
void doc_lists_fini(struct doc_lists *l);

#endif
