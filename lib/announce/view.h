/*
 * Inside lib/announce: the prepared view, and the parts of a decision.
 */
#ifndef METALLB_ANNOUNCE_VIEW_H
#define METALLB_ANNOUNCE_VIEW_H

#include "metallb/announce.h"

struct announce_view {
	struct arena *arena;
	struct announce_options opt;
	const struct config *cfg;
	const struct node **nodes; /* by name */
	size_t n_nodes;
	const struct node *me; /* NULL: not known yet */
	const char **usable;   /* nodes with a live speaker that pass the node filters, by name */
	size_t n_usable;
	struct strs interfaces; /* sorted */
};

/* Membership in a sorted list. */
bool strs_contains(const struct strs *sorted, const char *s);
/* A sorted copy in `a`, without duplicates. */
struct strs strs_sorted(const struct strs *in, struct arena *a);

void l2_decide(const struct announce_view *view, const struct announce_service *in, struct arena *a,
	       struct announce_decision *d);
void bgp_decide(const struct announce_view *view, const struct announce_service *in,
		struct arena *a, struct announce_decision *d);

#endif
