/*
 * Remembers for a day which addresses a deleted Service had, so that one of the same name gets them
 * back when they are still free. It prefers, it never reserves. Bounded: the oldest entry goes
 * first. Pure; stored as text in a ConfigMap.
 */
#ifndef OPERATOR_MEMORY_H
#define OPERATOR_MEMORY_H

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "operator/allocator.h"

#define MEMORY_ENTRIES_MAX 10000u
#define MEMORY_TEXT_MAX    ((size_t)900 << 10) /* a ConfigMap holds 1 MiB */
#define MEMORY_AGE_MAX     (24 * 3600 * USEC_PER_SEC)

struct memory;

struct memory *memory_new(void);
struct memory *memory_free(struct memory *m);
/* wall: the time of day. Replaces what was known of key. */
void memory_add(struct memory *m, const char *key, const struct alloc_ips *ips, usec_t wall);
/* False when nothing (recent) is known. */
bool memory_find(const struct memory *m, const char *key, usec_t wall, struct alloc_ips *out);
void memory_del(struct memory *m, const char *key);
size_t memory_count(const struct memory *m);
/* One line for each entry, oldest first: "SECONDS KEY ADDRESS[ ADDRESS]". */
void memory_format(struct memory *m, usec_t wall, struct buf *out);
/* Add what a text holds; returns how many lines could not be read. */
size_t memory_parse(struct memory *m, const char *text, usec_t wall);

#endif
