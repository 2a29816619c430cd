/*
 * What this node announces for one service, as last put into effect: a copy that stands alone, to
 * compare the next decision with. Pure.
 */
#ifndef METALLB_SPEAKER_RECORD_H
#define METALLB_SPEAKER_RECORD_H

#include "metallb/announce.h"

struct record {
	struct arena *arena;
	struct announce_decision d; /* pool and what belongs to the configuration is not kept */
};

struct record *record_new(const struct announce_decision *d);
struct record *record_free(struct record *r);

static inline bool record_announces_l2(const struct record *r)
{
	return r && r->d.l2.reason == ANNOUNCE_YES;
}

static inline bool record_announces_bgp(const struct record *r)
{
	return r && r->d.bgp.reason == ANNOUNCE_YES;
}

bool record_same_ips(const struct announce_decision *a, const struct announce_decision *b);
/* Equal in what layer 2 / BGP does, reasons included. */
bool record_same_l2(const struct announce_decision *a, const struct announce_decision *b);
bool record_same_bgp(const struct announce_decision *a, const struct announce_decision *b);

#endif
