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
	struct strs usable;         /* nodes with a live speaker that pass the filters, sorted */
	struct strs interfaces;     /* sorted */
	struct announce_lost *lost; /* sorted by node; the names too */
	size_t n_lost;
	bool withdraw;
	enum announce_reason node_says; /* this node's own objection to BGP, or ANNOUNCE_YES */
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
