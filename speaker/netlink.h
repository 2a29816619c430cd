/*
 * Follows this network namespace's links and addresses by netlink. The only user of libmnl.
 */
#ifndef METALLB_SPEAKER_NETLINK_H
#define METALLB_SPEAKER_NETLINK_H

#include "speaker/links.h"

struct ev_loop;
struct netlink;

/*
 * Asks for everything and waits for the answer, then follows changes from the loop. on_change is
 * called after each batch that changed something. 0 or -errno.
 */
int netlink_new(struct ev_loop *loop, struct links *links, void (*on_change)(void *user),
		void *user, struct netlink **out);
struct netlink *netlink_free(struct netlink *nl);

#endif
