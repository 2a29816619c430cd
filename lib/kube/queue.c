/*
 * The work queue. A key is in one of these places: ready (a list, in order of becoming due),
 * delayed (a heap by due time), active (handed out; may be delayed or marked dirty at the same
 * time). An entry that is in none and has no failures is forgotten. Pure.
 */
#include "metallb/kube_queue.h"

#include <assert.h>

#include "metallb/list.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

struct item {
	struct list ready; /* in queue.ready while is_ready */
	char *key;
	usec_t due;
	size_t heap_at; /* place in the heap + 1; 0 = not delayed */
	unsigned failures;
	bool is_ready, active, dirty;
};

struct kube_queue {
	struct table items; /* key -> struct item */
	struct list ready;
	struct item **heap;
	size_t n_heap, cap_heap;
	size_t n_ready, n_active, n_dirty;
	usec_t base, max;
	const struct random_source *random;
};

struct kube_queue *kube_queue_new(usec_t base, usec_t max, const struct random_source *random)
{
	struct kube_queue *q = xcalloc(1, sizeof(*q));

	table_init(&q->items);
	list_init(&q->ready);
	q->base = base > 0 ? base : KUBE_QUEUE_BASE;
	q->max = max > 0 ? max : KUBE_QUEUE_MAX;
	q->random = random;
	return q;
}

static void item_free(struct item *item)
{
	free(item->key);
	free(item);
}

struct kube_queue *kube_queue_free(struct kube_queue *q)
{
	if (!q)
		return NULL;
	table_for_each (&q->items, e)
		item_free(e->value);
	table_fini(&q->items);
	free(q->heap);
	free(q);
	return NULL;
}

static void heap_set(struct kube_queue *q, size_t at, struct item *item)
{
	q->heap[at] = item;
	item->heap_at = at + 1;
}

static void heap_up(struct kube_queue *q, size_t at)
{
	struct item *item = q->heap[at];

	while (at > 0 && q->heap[(at - 1) / 2]->due > item->due) {
		heap_set(q, at, q->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_set(q, at, item);
}

static void heap_down(struct kube_queue *q, size_t at)
{
	struct item *item = q->heap[at];

	for (size_t child; (child = 2 * at + 1) < q->n_heap; at = child) {
		if (child + 1 < q->n_heap && q->heap[child + 1]->due < q->heap[child]->due)
			child++;
		if (q->heap[child]->due >= item->due)
			break;
		heap_set(q, at, q->heap[child]);
	}
	heap_set(q, at, item);
}

static void heap_add(struct kube_queue *q, struct item *item)
{
	ARRAY_GROW(q->heap, q->n_heap, q->cap_heap);
	q->heap[q->n_heap] = item;
	heap_up(q, q->n_heap++);
}

static void heap_del(struct kube_queue *q, struct item *item)
{
	size_t at = item->heap_at - 1;
	struct item *last = q->heap[--q->n_heap];

	item->heap_at = 0;
	if (last == item)
		return;
	heap_set(q, at, last);
	heap_up(q, at);
	heap_down(q, last->heap_at - 1);
}

static struct item *find(const struct kube_queue *q, const char *key)
{
	return table_find(&q->items, key);
}

static struct item *find_or_add(struct kube_queue *q, const char *key)
{
	struct item *item = find(q, key);

	if (item)
		return item;
	item = xcalloc(1, sizeof(*item));
	list_init(&item->ready);
	item->key = xstrdup(key);
	table_set(&q->items, key, item);
	return item;
}

static void drop_if_idle(struct kube_queue *q, struct item *item)
{
	if (item->is_ready || item->active || item->heap_at || item->failures)
		return;
	table_del(&q->items, item->key);
	item_free(item);
}

/* It is due: to the ready list, or, while it is being worked on, behind that work. */
static void make_due(struct kube_queue *q, struct item *item)
{
	if (item->heap_at)
		heap_del(q, item);
	if (item->active) {
		q->n_dirty += !item->dirty;
		item->dirty = true;
	} else if (!item->is_ready) {
		list_add_tail(&q->ready, &item->ready);
		item->is_ready = true;
		q->n_ready++;
	}
}

void kube_queue_add(struct kube_queue *q, const char *key)
{
	make_due(q, find_or_add(q, key));
}

void kube_queue_add_after(struct kube_queue *q, const char *key, usec_t due)
{
	struct item *item = find_or_add(q, key);

	if (item->is_ready || item->dirty)
		return;
	if (item->heap_at) {
		if (due < item->due) {
			item->due = due;
			heap_up(q, item->heap_at - 1);
		}
		return;
	}
	item->due = due;
	heap_add(q, item);
}

usec_t kube_queue_retry(struct kube_queue *q, const char *key, usec_t now)
{
	struct item *item = find_or_add(q, key);
	usec_t delay = q->base;

	for (unsigned i = 0; i < item->failures && delay < q->max; i++)
		delay *= 2;
	if (delay > q->max)
		delay = q->max;
	if (q->random)
		delay += random_below(q->random, (uint32_t)(delay / 4) + 1);
	item->failures++;
	kube_queue_add_after(q, key, now + delay);
	return delay;
}

void kube_queue_forget(struct kube_queue *q, const char *key)
{
	struct item *item = find(q, key);

	if (!item)
		return;
	item->failures = 0;
	drop_if_idle(q, item);
}

bool kube_queue_pop(struct kube_queue *q, usec_t now, const char **key)
{
	struct item *item;

	while (q->n_heap > 0 && q->heap[0]->due <= now)
		make_due(q, q->heap[0]);
	if (list_is_empty(&q->ready))
		return false;
	item = container_of(q->ready.next, struct item, ready);
	list_del(&item->ready);
	item->is_ready = false;
	item->active = true;
	q->n_ready--;
	q->n_active++;
	*key = item->key;
	return true;
}

void kube_queue_done(struct kube_queue *q, const char *key)
{
	struct item *item = find(q, key);

	assert(item && item->active);
	item->active = false;
	q->n_active--;
	if (item->dirty) {
		item->dirty = false;
		q->n_dirty--;
		make_due(q, item);
	}
	drop_if_idle(q, item);
}

usec_t kube_queue_deadline(const struct kube_queue *q)
{
	if (q->n_ready > 0)
		return 0;
	return q->n_heap > 0 ? q->heap[0]->due : USEC_NEVER;
}

size_t kube_queue_count(const struct kube_queue *q)
{
	return q->n_ready + q->n_heap + q->n_dirty;
}

size_t kube_queue_active(const struct kube_queue *q)
{
	return q->n_active;
}

unsigned kube_queue_failures(const struct kube_queue *q, const char *key)
{
	struct item *item = find(q, key);

	return item ? item->failures : 0;
}
