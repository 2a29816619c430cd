/*
 * A set of addresses kept as ordered runs: neighbours share one entry, so that a full /8 is one run
 * and the lowest address outside the set is found in O(log runs). Pure.
 */
#ifndef OPERATOR_RUNS_H
#define OPERATOR_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/ip.h"

struct run;

struct runs {
	struct run *root;
	size_t count; /* of runs */
	uint64_t order;
};

void runs_init(struct runs *r);
void runs_fini(struct runs *r);
/* Add every address of the range; those that are there already do no harm. */
void runs_add(struct runs *r, const struct ip_range *range);
/* Take one address out; it need not be there. */
void runs_del(struct runs *r, const struct ip *ip);
/* Take out the whole run that starts at first. */
void runs_del_run(struct runs *r, const struct ip *first);
/* The run that holds ip; false when ip is not in the set. */
bool runs_find(const struct runs *r, const struct ip *ip, struct ip_range *out);

#endif
