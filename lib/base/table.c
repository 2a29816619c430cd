/*
 * Hash table: entries in insertion order plus an open-addressing index of entry numbers. Removed
 * entries leave a hole that the next rebuild closes. Hash: FNV-1a over a seed, finished by a 64-bit
 * mix; the seed makes collisions unguessable from outside. Pure but for the seed.
 */
#include "metallb/table.h"

#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"

static uint64_t seed;

void table_seed(uint64_t s)
{
	seed = s;
}

static uint64_t hash_bytes(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t h = 0xcbf29ce484222325u ^ seed;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	h ^= seed >> 7;
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
	return h ^ (h >> 33);
}

void table_init(struct table *t)
{
	*t = (struct table){0};
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->n_entries; i++)
		free(t->entries[i].key);
	free(t->entries);
	free(t->index);
	*t = (struct table){0};
}

static void index_put(struct table *t, uint64_t hash, size_t entry)
{
	size_t i = hash & (t->n_index - 1);

	while (t->index[i])
		i = (i + 1) & (t->n_index - 1);
	t->index[i] = (uint32_t)(entry + 1);
}

/* Close the holes and size the index for twice the live entries. */
static void rebuild(struct table *t)
{
	size_t n = 0, want = 16;

	for (size_t i = 0; i < t->n_entries; i++)
		if (t->entries[i].key)
			t->entries[n++] = t->entries[i];
	t->n_entries = n;
	assert(n < UINT32_MAX / 4);
	while (want < (n + 1) * 3)
		want *= 2;
	free(t->index);
	t->index = xcalloc(want, sizeof(*t->index));
	t->n_index = want;
	for (size_t i = 0; i < n; i++)
		index_put(t, t->entries[i].hash, i);
}

static struct table_entry *lookup(const struct table *t, const void *key, size_t len, uint64_t hash)
{
	if (!t->n_index)
		return NULL;
	for (size_t i = hash & (t->n_index - 1); t->index[i]; i = (i + 1) & (t->n_index - 1)) {
		struct table_entry *e = &t->entries[t->index[i] - 1];

		if (e->key && e->hash == hash && e->key_len == len &&
		    (len == 0 || memcmp(e->key, key, len) == 0))
			return e;
	}
	return NULL;
}

void *table_set_n(struct table *t, const void *key, size_t len, void *value)
{
	uint64_t hash = hash_bytes(key, len);
	struct table_entry *e = lookup(t, key, len, hash);

	assert(value);
	if (e) {
		void *old = e->value;

		e->value = value;
		return old;
	}
	if (!t->n_index || (t->n_entries + 1) * 2 > t->n_index)
		rebuild(t);
	ARRAY_GROW(t->entries, t->n_entries, t->cap_entries);

	char *copy = xmalloc(len + 1);
	if (len)
		memcpy(copy, key, len);
	copy[len] = '\0';
	t->entries[t->n_entries] =
		(struct table_entry){.key = copy, .key_len = len, .hash = hash, .value = value};
	index_put(t, hash, t->n_entries);
	t->n_entries++;
	t->n_live++;
	return NULL;
}

void *table_set(struct table *t, const char *key, void *value)
{
	return table_set_n(t, key, strlen(key), value);
}

void *table_find_n(const struct table *t, const void *key, size_t len)
{
	struct table_entry *e = lookup(t, key, len, hash_bytes(key, len));

	return e ? e->value : NULL;
}

void *table_find(const struct table *t, const char *key)
{
	return table_find_n(t, key, strlen(key));
}

void *table_del_n(struct table *t, const void *key, size_t len)
{
	struct table_entry *e = lookup(t, key, len, hash_bytes(key, len));

	if (!e)
		return NULL;
	void *value = e->value;

	free(e->key);
	e->key = NULL;
	e->value = NULL;
	t->n_live--;
	return value;
}

void *table_del(struct table *t, const char *key)
{
	return table_del_n(t, key, strlen(key));
}

struct table_entry *table_next(const struct table *t, size_t *pos)
{
	while (*pos < t->n_entries) {
		struct table_entry *e = &t->entries[(*pos)++];

		if (e->key)
			return e;
	}
	return NULL;
}
