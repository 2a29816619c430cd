/*
 * A min-heap of deadlines, embedded in the things that wait. Pure; owns only its array.
 */
#ifndef METALLB_DEADLINES_H
#define METALLB_DEADLINES_H

#include <stddef.h>

#include "metallb/clock.h"

struct deadline {
	usec_t due;
	size_t pos; /* in the heap, counted from 1; 0 = waits for nothing */
};

struct deadlines {
	struct deadline **items;
	size_t n, cap;
};

void deadlines_fini(struct deadlines *h);
/* Wait until `due` (USEC_NEVER: for nothing), whatever it waited for before. */
void deadlines_set(struct deadlines *h, struct deadline *d, usec_t due);
/* The next to come, or NULL. */
struct deadline *deadlines_first(const struct deadlines *h);

#endif
