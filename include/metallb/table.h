/*
 * A hash table from byte-string keys to pointers. Owns its keys, never its values. Iteration order
 * is insertion order (a removed slot is skipped), so runs are repeatable. Pure; keyed hashing with
 * a seed chosen by the caller of table_seed() against crafted keys.
 */
#ifndef METALLB_TABLE_H
#define METALLB_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	char *key; /* NUL-terminated copy; NULL marks a removed slot */
	size_t key_len;
	uint64_t hash;
	void *value;
};

struct table {
	struct table_entry *entries; /* in insertion order */
	uint32_t *index;             /* open addressing; 0 = free, else entry number + 1 */
	size_t n_entries, cap_entries, n_live, n_index;
};

/* Set once at program start from the shell; tests leave it at zero. */
void table_seed(uint64_t seed);

void table_init(struct table *t);
void table_fini(struct table *t); /* values stay the caller's */
/* The previous value under key (NULL: there was none). value must not be NULL. */
void *table_set(struct table *t, const char *key, void *value);
void *table_set_n(struct table *t, const void *key, size_t len, void *value);
void *table_find(const struct table *t, const char *key); /* NULL when absent */
void *table_find_n(const struct table *t, const void *key, size_t len);
/* Remove; returns the value or NULL. Safe for the current element during table_for_each. */
void *table_del(struct table *t, const char *key);
void *table_del_n(struct table *t, const void *key, size_t len);
static inline size_t table_count(const struct table *t)
{
	return t->n_live;
}
/* Next live entry at or after *pos; NULL at the end. Adding while iterating is not allowed. */
struct table_entry *table_next(const struct table *t, size_t *pos);

/* Declares e. The outer loop only holds the position; break leaves both. */
#define table_for_each(t, e)                                                                       \
	for (size_t _pos_##e = 0; _pos_##e != SIZE_MAX; _pos_##e = SIZE_MAX)                       \
		for (struct table_entry * e; (e = table_next((t), &_pos_##e));)

#endif
