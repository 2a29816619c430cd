/*
 * Multicast groups joined on interfaces, for any number of groups. A membership makes the kernel
 * send MLD reports, which switches that snoop need to see.
 */
#ifndef METALLB_LAYER2_MEMBERSHIPS_H
#define METALLB_LAYER2_MEMBERSHIPS_H

#include <stdbool.h>

#include "metallb/ip.h"

struct memberships;

struct memberships *memberships_new(void);
struct memberships *memberships_free(struct memberships *m); /* leaves all */
/* 0 or -errno; joining what is joined is fine. */
int memberships_join(struct memberships *m, unsigned ifindex, const struct ip *group);
void memberships_leave(struct memberships *m, unsigned ifindex, const struct ip *group);

#endif
