/*
 * Is there still a way out behind an interface: its default gateways are asked for their addresses
 * all the time (ARP, neighbour solicitations), each alone once it is known. Pure.
 *
 * What is counted is questions without an answer, not time: a process that was held up has asked
 * none meanwhile. And only a gateway that once answered can fail to.
 */
#ifndef METALLB_LAYER2_UPLINK_H
#define METALLB_LAYER2_UPLINK_H

#include "speaker/layer2/responder.h"

#define UPLINK_MISSES 4 /* in a row, and a gateway is dead */
#define UPLINK_RETURN 3 /* answers in a row, and it lives again */

struct uplinks;

/* timeout: about how long a gateway that is dead is taken for alive. */
struct uplinks *uplinks_new(usec_t timeout, const struct random_source *random);
struct uplinks *uplinks_free(struct uplinks *u);

/* All there are; one that stays is the same as before. */
void uplinks_set(struct uplinks *u, const struct responder_gateway *gateways, size_t n, usec_t now);
/* A frame said that the station has the address. */
void uplinks_heard(struct uplinks *u, const struct ip *ip, const struct mac *mac, unsigned ifindex);

/* The next question that is due; false when there is none now. */
bool uplinks_output(struct uplinks *u, const struct responder_link *links, size_t n_links,
		    usec_t now, struct l2_frame *out);
usec_t uplinks_deadline(const struct uplinks *u);

/* Of all gateways of the interface: one that answers is enough. */
enum responder_uplink uplinks_state(const struct uplinks *u, unsigned ifindex);
/* Whether any interface's state may have changed since the last call. */
bool uplinks_take_change(struct uplinks *u);

#endif
