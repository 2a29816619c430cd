/*
 * Gossip on real sockets: the membership engine (swim.h) on the event loop, UDP and TCP on one
 * port. The shell: it owns sockets and timers and decides nothing.
 */
#ifndef GOSSIP_GOSSIP_H
#define GOSSIP_GOSSIP_H

#include <ev.h>
#include <stdbool.h>

#include "metallb/err.h"
#include "speaker/gossip/swim.h"

struct gossip;

struct gossip_callbacks {
	/* A member appeared, left or died, or changed (SWIM_OUT_JOIN, _LEAVE, _UPDATE, _CONFLICT).
	 */
	void (*on_member)(void *user, enum swim_output_type what, const char *name);
	/* A join attempt is over; why is NULL when it worked. */
	void (*on_joined)(void *user, const struct ip *addr, const char *why);
	/* A packet or message was dropped; why is a stable text, fit for a counter's label. */
	void (*on_drop)(void *user, const char *why);
	void *user;
};

/*
 * Bind cfg->addr and cfg->port (both UDP and TCP) and start. 0 or -errno with the reason in err.
 */
int gossip_new(struct ev_loop *loop, const struct swim_config *cfg,
	       const struct gossip_callbacks *cb, struct gossip **out, struct err *err);
struct gossip *gossip_free(struct gossip *g); /* NULL is fine; returns NULL */

void gossip_join(struct gossip *g, const struct ip *addr, uint16_t port);
void gossip_leave(struct gossip *g);
bool gossip_has_left(const struct gossip *g);
void gossip_set_keyring(struct gossip *g, const struct gsp_keyring *ring);
const struct swim *gossip_swim(const struct gossip *g);

#endif
