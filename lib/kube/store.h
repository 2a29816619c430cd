/*
 * The writing side of a store. Private to lib/kube.
 */
#ifndef LIB_KUBE_STORE_H
#define LIB_KUBE_STORE_H

#include <stdint.h>

#include "metallb/kube_store.h"

struct kube_store *kube_store_new(void (*free_value)(void *value));
struct kube_store *kube_store_free(struct kube_store *s);

/* What identifies a state of an object: hash it from uid and resourceVersion. 0 = unknown. */
uint64_t kube_store_version(const char *uid, const char *resource_version);
/* Is the key there with this version? Then it counts as seen in the present sweep. */
bool kube_store_touch(struct kube_store *s, const char *key, uint64_t version);
/* As touch for any version: what is known stays, though its present form could not be read. */
bool kube_store_keep(struct kube_store *s, const char *key);
/* Store a value (not NULL); returns the one before, now the caller's, or NULL. */
void *kube_store_put(struct kube_store *s, const char *key, void *value, uint64_t version);
/* Take out; the value becomes the caller's. NULL when absent. */
void *kube_store_take(struct kube_store *s, const char *key);
/* A list begins: everything counts as not seen. */
void kube_store_sweep(struct kube_store *s);
/* Take out one object that was not seen since; NULL when there is none. Call until NULL with *pos
 * from 0. key is copied for the caller to free. */
void *kube_store_take_unseen(struct kube_store *s, size_t *pos, char **key);
void kube_store_free_value(const struct kube_store *s, void *value);

#endif
