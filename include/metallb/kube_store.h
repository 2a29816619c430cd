/*
 * Objects of one kind by key, decoded. Pure. Owns its values (the free function given at creation).
 * Iteration is in the order in which the objects were first seen.
 */
#ifndef METALLB_KUBE_STORE_H
#define METALLB_KUBE_STORE_H

#include <stdbool.h>
#include <stddef.h>

struct kube_store;

size_t kube_store_count(const struct kube_store *s);
void *kube_store_find(const struct kube_store *s, const char *key); /* NULL when absent */
void *kube_store_find_ns(const struct kube_store *s, const char *ns, const char *name);
/* Start with *pos = 0; NULL at the end. Nothing may be added in between (never happens inside a
 * callback of yours: the loop adds). key may be NULL. */
void *kube_store_next(const struct kube_store *s, size_t *pos, const char **key);

#endif
