/*
 * Binary heap with positions kept in its members, so that one can be moved or taken out.
 */
#include "metallb/deadlines.h"

#include <stdint.h>

#include "metallb/xalloc.h"

void deadlines_fini(struct deadlines *h)
{
	free(h->items);
	*h = (struct deadlines){0};
}

static void place(struct deadlines *h, size_t i, struct deadline *d)
{
	h->items[i] = d;
	d->pos = i + 1;
}

static void sift_up(struct deadlines *h, size_t i, struct deadline *d)
{
	while (i > 0 && h->items[(i - 1) / 2]->due > d->due) {
		place(h, i, h->items[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, d);
}

static void sift_down(struct deadlines *h, size_t i, struct deadline *d)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n && h->items[child + 1]->due < h->items[child]->due)
			child++;
		if (h->items[child]->due >= d->due)
			break;
		place(h, i, h->items[child]);
		i = child;
	}
	place(h, i, d);
}

static void take_out(struct deadlines *h, struct deadline *d)
{
	size_t i = d->pos - 1;
	struct deadline *last = h->items[--h->n];

	d->pos = 0;
	if (last == d)
		return;
	if (i > 0 && h->items[(i - 1) / 2]->due > last->due)
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void deadlines_set(struct deadlines *h, struct deadline *d, usec_t due)
{
	if (d->pos)
		take_out(h, d);
	d->due = due;
	if (due == USEC_NEVER)
		return;
	ARRAY_GROW(h->items, h->n, h->cap);
	h->n++;
	sift_up(h, h->n - 1, d);
}

struct deadline *deadlines_first(const struct deadlines *h)
{
	return h->n > 0 ? h->items[0] : NULL;
}
