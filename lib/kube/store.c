/*
 * Objects of one kind by key. Beside the caller's value each entry keeps a hash of uid and
 * resourceVersion, to tell a change from a repetition, and the number of the list that last
 * had it, to find what a new list no longer has. Pure.
 */
#include "lib/kube/store.h"

#include <string.h>

#include "metallb/kube.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

struct entry {
	void *value;
	uint64_t version;
	uint32_t sweep;
};

struct kube_store {
	struct table entries;
	void (*free_value)(void *value);
	uint32_t sweep;
};

struct kube_store *kube_store_new(void (*free_value)(void *value))
{
	struct kube_store *s = xcalloc(1, sizeof(*s));

	table_init(&s->entries);
	s->free_value = free_value;
	return s;
}

struct kube_store *kube_store_free(struct kube_store *s)
{
	if (!s)
		return NULL;
	table_for_each (&s->entries, e) {
		struct entry *entry = e->value;

		s->free_value(entry->value);
		free(entry);
	}
	table_fini(&s->entries);
	free(s);
	return NULL;
}

void kube_store_free_value(const struct kube_store *s, void *value)
{
	if (value)
		s->free_value(value);
}

/* FNV-1a, 64 bits */
static uint64_t hash_str(uint64_t h, const char *s)
{
	for (;; s++) {
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
		if (!*s)
			return h;
	}
}

uint64_t kube_store_version(const char *uid, const char *resource_version)
{
	if (!resource_version[0])
		return 0;
	return hash_str(hash_str(0xcbf29ce484222325, uid), resource_version);
}

bool kube_store_touch(struct kube_store *s, const char *key, uint64_t version)
{
	struct entry *e = table_find(&s->entries, key);

	if (!e || version == 0 || e->version != version)
		return false;
	e->sweep = s->sweep;
	return true;
}

bool kube_store_keep(struct kube_store *s, const char *key)
{
	struct entry *e = table_find(&s->entries, key);

	if (e)
		e->sweep = s->sweep;
	return e;
}

void *kube_store_put(struct kube_store *s, const char *key, void *value, uint64_t version)
{
	struct entry *e = table_find(&s->entries, key);
	void *before = NULL;

	if (e) {
		before = e->value;
	} else {
		e = xcalloc(1, sizeof(*e));
		table_set(&s->entries, key, e);
	}
	*e = (struct entry){.value = value, .version = version, .sweep = s->sweep};
	return before;
}

void *kube_store_take(struct kube_store *s, const char *key)
{
	struct entry *e = table_del(&s->entries, key);
	void *value = e ? e->value : NULL;

	free(e);
	return value;
}

void kube_store_sweep(struct kube_store *s)
{
	s->sweep++;
}

void *kube_store_take_unseen(struct kube_store *s, size_t *pos, char **key)
{
	struct table_entry *t;

	while ((t = table_next(&s->entries, pos))) {
		struct entry *e = t->value;

		if (e->sweep == s->sweep)
			continue;
		*key = xstrdup(t->key);
		return kube_store_take(s, *key);
	}
	return NULL;
}

size_t kube_store_count(const struct kube_store *s)
{
	return table_count(&s->entries);
}

void *kube_store_find(const struct kube_store *s, const char *key)
{
	struct entry *e = table_find(&s->entries, key);

	return e ? e->value : NULL;
}

void *kube_store_find_ns(const struct kube_store *s, const char *ns, const char *name)
{
	_cleanup_free_ char *key = kube_key(ns, name);

	return kube_store_find(s, key);
}

void *kube_store_next(const struct kube_store *s, size_t *pos, const char **key)
{
	struct table_entry *t = table_next(&s->entries, pos);

	if (!t)
		return NULL;
	if (key)
		*key = t->key;
	return ((struct entry *)t->value)->value;
}
