/*
 * From stores to what the policy takes: lists of objects, the slices of a service, the nodes with a
 * speaker. Pure but for the stores it reads.
 */
#ifndef METALLB_SPEAKER_GATHER_H
#define METALLB_SPEAKER_GATHER_H

#include "metallb/config.h"
#include "metallb/table.h"
#include "speaker/watches.h"

/* Objects by what they belong to: a service's slices, a service's status objects. */
struct owned_index {
	struct table owners;
};

struct owned_list {
	const void **items;
	size_t n, cap;
};

void owned_index_init(struct owned_index *x);
void owned_index_fini(struct owned_index *x);
void owned_index_add(struct owned_index *x, const char *owner, const void *object);
void owned_index_del(struct owned_index *x, const char *owner, const void *object);
/* NULL when there is none. */
const struct owned_list *owned_index_find(const struct owned_index *x, const char *owner);

/* "namespace/name" of the slice's service; the caller frees. */
char *slice_service_key(const struct endpointslice *slice);

/* Lists in `a`; the objects stay in their stores. */
void gather_objects(const struct watches *w, struct arena *a, struct objects *out);
/* Nodes with a Ready speaker pod that is not going away, and `own`. */
struct strs gather_speakers(const struct watches *w, const char *own, struct arena *a);
/* NULL when not known. */
const struct node *gather_node(const struct watches *w, const char *name);
const struct pod *gather_pod(const struct watches *w, const char *ns, const char *name);

#endif
