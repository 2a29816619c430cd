/*
 * Stations that claim addresses which this node announces: which claims are worth telling. Pure.
 *
 * One claim proves nothing: while an address moves, both nodes say it is theirs for a moment. A
 * station that claims an address again while this node still announces it is a conflict.
 */
#ifndef METALLB_LAYER2_CONFLICT_H
#define METALLB_LAYER2_CONFLICT_H

#include "speaker/layer2/responder.h"

#define CONFLICTS_MAX     1024                /* (address, station) pairs that are remembered */
#define CONFLICT_CONFIRM  (3 * USEC_PER_SEC)  /* the second claim comes at least so much later */
#define CONFLICT_FORGET   (60 * USEC_PER_SEC) /* ... and not later than this after the one before */
#define CONFLICT_SAY_EACH (300 * USEC_PER_SEC)

struct conflicts;

struct conflicts *conflicts_new(void);
struct conflicts *conflicts_free(struct conflicts *c);
/* true when this claim is to be told: confirmed, and not told lately. */
bool conflicts_add(struct conflicts *c, const struct responder_claim *claim);
/* This node began to announce the address: what was heard before does not count. */
void conflicts_forget(struct conflicts *c, const struct ip *ip);
/* Claims so far, told or not. */
uint64_t conflicts_count(const struct conflicts *c);

#endif
