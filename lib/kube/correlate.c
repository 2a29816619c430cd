/*
 * Which Events to write: the rules of client-go's event correlator.
 *
 *   similar   object, type and reason are the same, the message differs: from the tenth different
 *             message within ten minutes on they become one Event "(combined from similar events)"
 *   same      the message is the same, too: one Event whose count goes up
 *   flood     about one object: 25 at once, then one in five minutes
 *
 * Each is a bounded cache; the entry that was not used for the longest time makes room. Pure.
 */
#include "lib/kube/correlate.h"

#include <stdlib.h>
#include <string.h>

#include "metallb/list.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

#define COMBINED "(combined from similar events): "

/* What every entry of a cache begins with. */
struct node {
	struct list by_use; /* the oldest first */
	char *key;
};

struct cache {
	struct table by_key;
	struct list by_use;
};

struct bucket { /* flood */
	struct node node;
	usec_t filled; /* tokens are those of then */
	unsigned tokens;
};

struct group { /* similar */
	struct node node;
	usec_t last;
	uint64_t messages[KUBE_EVENT_SIMILAR_MAX]; /* hashes */
	size_t n_messages;
};

struct said { /* same */
	struct node node;
	struct kube_event event;
};

struct kube_correlate {
	struct cache buckets, groups, said;
	unsigned serial;
};

static void cache_init(struct cache *c)
{
	table_init(&c->by_key);
	list_init(&c->by_use);
}

static void node_free(struct cache *c, struct node *n)
{
	table_del(&c->by_key, n->key);
	list_del(&n->by_use);
	free(n->key);
	free(n);
}

/* Find and mark as used. */
static void *cache_find(struct cache *c, const char *key)
{
	struct node *n = table_find(&c->by_key, key);

	if (!n)
		return NULL;
	list_del(&n->by_use);
	list_add_tail(&c->by_use, &n->by_use);
	return n;
}

static void cache_add(struct cache *c, struct node *n, const char *key)
{
	n->key = xstrdup(key);
	table_set(&c->by_key, key, n);
	list_add_tail(&c->by_use, &n->by_use);
}

/* Make room in a cache of plain nodes. */
static void cache_trim(struct cache *c, size_t max)
{
	while (table_count(&c->by_key) > max)
		node_free(c, container_of(c->by_use.next, struct node, by_use));
}

static void said_free(struct kube_correlate *k, struct said *s)
{
	free(s->event.ns);
	free(s->event.name);
	free(s->event.uid);
	free(s->event.resource_version);
	free(s->event.reason);
	free(s->event.message);
	free(s->event.event_name);
	node_free(&k->said, &s->node);
}

static struct said *said_of(struct list *by_use)
{
	return container_of(container_of(by_use, struct node, by_use), struct said, node);
}

/* Events under way stay; there are few of them. */
static void said_trim(struct kube_correlate *k)
{
	struct list *pos, *tmp;

	if (table_count(&k->said.by_key) < KUBE_EVENT_CACHE_MAX)
		return;
	list_for_each_safe (pos, tmp, &k->said.by_use) {
		struct said *s = said_of(pos);

		if (s->event.busy)
			continue;
		said_free(k, s);
		return;
	}
}

struct kube_correlate *kube_correlate_new(void)
{
	struct kube_correlate *k = xcalloc(1, sizeof(*k));

	cache_init(&k->buckets);
	cache_init(&k->groups);
	cache_init(&k->said);
	return k;
}

struct kube_correlate *kube_correlate_free(struct kube_correlate *k)
{
	if (!k)
		return NULL;
	while (!list_is_empty(&k->said.by_use))
		said_free(k, said_of(k->said.by_use.next));
	cache_trim(&k->buckets, 0);
	cache_trim(&k->groups, 0);
	table_fini(&k->said.by_key);
	table_fini(&k->buckets.by_key);
	table_fini(&k->groups.by_key);
	free(k);
	return NULL;
}

static bool take_token(struct kube_correlate *k, usec_t now, const char *key)
{
	struct bucket *b = cache_find(&k->buckets, key);
	usec_t refills;

	if (!b) {
		b = xcalloc(1, sizeof(*b));
		b->filled = now;
		b->tokens = KUBE_EVENT_BURST;
		cache_add(&k->buckets, &b->node, key);
		cache_trim(&k->buckets, KUBE_EVENT_CACHE_MAX);
	}
	refills = (now - b->filled) / KUBE_EVENT_REFILL;
	if (refills > 0) {
		usec_t tokens = b->tokens + refills;

		b->tokens = tokens < KUBE_EVENT_BURST ? (unsigned)tokens : KUBE_EVENT_BURST;
		b->filled += refills * KUBE_EVENT_REFILL;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

/* FNV-1a, 64 bits */
static uint64_t hash_text(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
	return h;
}

/* Is this message one too many among the similar ones? */
static bool is_combined(struct kube_correlate *k, usec_t now, const char *key, const char *message)
{
	struct group *g = cache_find(&k->groups, key);
	uint64_t hash = hash_text(message);
	size_t i = 0;

	if (!g) {
		g = xcalloc(1, sizeof(*g));
		cache_add(&k->groups, &g->node, key);
		cache_trim(&k->groups, KUBE_EVENT_CACHE_MAX);
	} else if (now - g->last > KUBE_EVENT_SIMILAR_WITHIN) {
		g->n_messages = 0;
	}
	g->last = now;
	while (i < g->n_messages && g->messages[i] != hash)
		i++;
	if (i == g->n_messages && g->n_messages < KUBE_EVENT_SIMILAR_MAX)
		g->messages[g->n_messages++] = hash;
	return g->n_messages >= KUBE_EVENT_SIMILAR_MAX;
}

static char *copy(const char *s)
{
	return xstrdup(s ? s : "");
}

/* At most the API server's maximum, no UTF-8 sequence cut in two. */
static char *cut_message(const char *prefix, const char *message)
{
	char *text = xasprintf("%s%s", prefix, message);
	size_t len = strlen(text);

	if (len <= KUBE_EVENT_MESSAGE_MAX)
		return text;
	len = KUBE_EVENT_MESSAGE_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	text[len] = '\0';
	return text;
}

static struct said *say_first(struct kube_correlate *k, usec_t wall, const char *key,
			      const struct kube_event_object *object, const char *type,
			      const char *reason)
{
	struct said *s = xcalloc(1, sizeof(*s));
	/* Nanoseconds, as client-go has them; the serial keeps equal times apart. */
	unsigned long long stamp = (unsigned long long)wall * 1000 + k->serial++ % 1000;

	said_trim(k);
	cache_add(&k->said, &s->node, key);
	s->event = (struct kube_event){
		.resource = object->resource,
		.ns = copy(object->ns),
		.name = copy(object->name),
		.uid = copy(object->uid),
		.resource_version = copy(object->resource_version),
		.type = strcmp(type, "Warning") == 0 ? "Warning" : "Normal",
		.reason = xstrdup(reason),
		.event_name = xasprintf("%s.%llx", object->name, stamp),
		.first = wall,
	};
	return s;
}

struct kube_event *kube_correlate_add(struct kube_correlate *k, usec_t now, usec_t wall,
				      const struct kube_event_object *object, const char *type,
				      const char *reason, const char *message)
{
	_cleanup_free_ char *about = xasprintf(
		"%s/%s/%s/%s/%s", object->resource->group, object->resource->plural,
		object->ns ? object->ns : "", object->name, object->uid ? object->uid : "");
	_cleanup_free_ char *similar = xasprintf("%s\n%s\n%s", about, type, reason);
	_cleanup_free_ char *same = NULL;
	bool combined = is_combined(k, now, similar, message);
	struct said *s;

	if (!take_token(k, now, about))
		return NULL;
	same = combined ? xstrdup(similar) : xasprintf("%s\n%s", similar, message);
	s = cache_find(&k->said, same);
	if (!s)
		s = say_first(k, wall, same, object, type, reason);
	free(s->event.message);
	s->event.message = cut_message(combined ? COMBINED : "", message);
	s->event.last = wall;
	s->event.count++;
	return &s->event;
}
