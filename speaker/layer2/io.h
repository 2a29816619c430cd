/*
 * Layer 2 on real interfaces: packet sockets, multicast memberships and the timer around one
 * responder.
 */
#ifndef METALLB_LAYER2_IO_H
#define METALLB_LAYER2_IO_H

#include "speaker/layer2/responder.h"
#include "speaker/links.h"

struct ev_loop;
struct l2_io;

struct l2_callbacks {
	/* A frame said that an announced address is somebody else's. */
	void (*on_claim)(void *user, const struct responder_claim *claim);
	void (*on_probe)(void *user, const struct responder_probe *result);
	void (*on_uplink)(void *user); /* responder_uplink() may be another */
	void *user;
};

/* The responder stays the caller's and outlives this. */
struct l2_io *l2_io_new(struct ev_loop *loop, struct responder *responder,
			const struct l2_callbacks *cb);
struct l2_io *l2_io_free(struct l2_io *io);
/* Open and close sockets as the interfaces say, and tell the responder. */
void l2_io_set_links(struct l2_io *io, const struct links *links);
/* After any change to the responder: join groups, send what is due, arm the timer. */
void l2_io_flush(struct l2_io *io);
/* Frames that the kernel had to drop because they came too fast. */
uint64_t l2_io_overruns(struct l2_io *io);

#endif
