/*
 * Selection among pools: what books.c, explain.c and tests need of choose.c.
 */
#ifndef OPERATOR_CHOOSE_H
#define OPERATOR_CHOOSE_H

#include "operator/allocator_impl.h"

/* Into the order in which pools are tried. */
void pool_list_sort(struct pool_list *l);
/* May this pool serve svc without being asked for by name? */
bool allocator_is_candidate(const struct pool *p, const struct alloc_service *svc);
struct pool *allocator_find_pool(const struct allocator *a, const char *name);
/* The address that the pool would give to svc; false when it has none of this family. */
bool allocator_offer(const struct allocator *a, struct pool *p, const struct alloc_service *svc,
		     unsigned fam, struct ip *out);

#endif
