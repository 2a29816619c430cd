/*
 * Follows this network namespace's links and addresses by netlink.
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
/*
 * The gateway of the default route by an interface, and this node's address towards it; the kernel
 * answers at once. false: there is none, or it cannot be found out.
 */
bool netlink_gateway(unsigned ifindex, enum ip_family family, struct ip *gateway, struct ip *from);
struct netlink *netlink_free(struct netlink *nl);

#endif
