/*
 * Memory of one immutable snapshot: many small pieces, freed together. Not thread-safe. Everything
 * but strings is aligned for any type, and zeroed. Allocation aborts on failure (see xalloc.h).
 */
#ifndef METALLB_ARENA_H
#define METALLB_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
/* So many bytes will probably be wanted: they come as one piece, without slack. */
struct arena *arena_new_for(size_t expected);
struct arena *arena_free(struct arena *a); /* NULL is fine; returns NULL */
void arena_freep(struct arena **a);
void *arena_alloc(struct arena *a, size_t size);
void *arena_calloc(struct arena *a, size_t n, size_t size); /* product checked */
char *arena_strdup(struct arena *a, const char *s);         /* NULL stays NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far. */
size_t arena_used(const struct arena *a);
/* Bytes reserved from the system, for accounting. */
size_t arena_size(const struct arena *a);

#endif
