/*
 * The fast detector: which speakers have stopped to run, within a second. Pure; io.c owns the
 * socket.
 *
 * All members stand on a ring, ordered by a hash of their names, and each watches the
 * LIVENESS_REACH next ones on either side by a BFD session over authenticated heartbeats: the cost
 * of a node does not grow with the cluster. A node is dead once two of those that watch it do not
 * hear it any more (one, where only one can tell). Time during which this process itself did not
 * run is not counted. Whoever loses a neighbour pokes all members, which then ask it what it sees;
 * in the same way every node learns the others' hardware addresses and the interfaces on which they
 * have lost the carrier.
 *
 * A node that never took part (a MetalLB speaker, another version) is never called dead: gossip
 * alone decides about it.
 */
#ifndef LIVENESS_H
#define LIVENESS_H

#include "metallb/clock.h"
#include "speaker/liveness/message.h"

#define LIVENESS_PORT_DEFAULT 7947
#define LIVENESS_REACH        2                  /* neighbours on either side */
#define LIVENESS_PEERS_MAX    20000              /* as many as gossip remembers */
#define LIVENESS_FRESH        (3 * USEC_PER_SEC) /* so long holds what a node said */

struct liveness_config {
	char name[LIVENESS_NAME_MAX + 1];
	struct gsp_keyring keyring;
	usec_t interval, timeout; /* of heartbeats; timeout is 3 to 50 intervals */
	/* Does this node announce the address, and means to go on. */
	bool (*announces)(void *user, const struct ip *ip);
	void *user;
};

struct liveness;

struct liveness *liveness_new(const struct liveness_config *cfg, const struct random_source *random,
			      usec_t now);
struct liveness *liveness_free(struct liveness *l); /* returns NULL */

/* ---- inputs ---- */

/* The other members, in any order. usable: gossip takes it for alive. */
struct liveness_member {
	const char *name;
	struct ip addr;
	bool usable;
};
void liveness_set_members(struct liveness *l, const struct liveness_member *members, size_t n,
			  usec_t now);
/* This node; `down` is ignored. */
void liveness_set_self(struct liveness *l, const struct liveness_state *self, usec_t now);
void liveness_set_keyring(struct liveness *l, const struct gsp_keyring *ring);
void liveness_recv(struct liveness *l, const void *data, size_t len, usec_t now);
/* Call at liveness_deadline(), all received datagrams first. */
void liveness_tick(struct liveness *l, usec_t now);
usec_t liveness_deadline(const struct liveness *l);
/* Ask a node whether it announces an address: LIVENESS_OUT_ANSWER, or nothing. false: not now. */
bool liveness_ask(struct liveness *l, const char *name, const struct ip *ip, usec_t now);
/* This node is going: its silence will be no failure. */
void liveness_leave(struct liveness *l, usec_t now);

/* ---- outputs ---- */

enum liveness_output_type {
	LIVENESS_OUT_PACKET,  /* send data to addr */
	LIVENESS_OUT_CHANGED, /* liveness_verdict() or liveness_state_of() may differ */
	LIVENESS_OUT_DIED,    /* name; after `silence` without a heartbeat */
	LIVENESS_OUT_ALIVE,   /* name, at addr: gossip does not know, but it is there */
	LIVENESS_OUT_ANSWER,  /* name announces ip, or does not */
	LIVENESS_OUT_PAUSED,  /* this process did not run for `silence` */
	LIVENESS_OUT_DROP,    /* a datagram was dropped; why is a stable text */
};

struct liveness_output {
	enum liveness_output_type type;
	struct ip addr, ip;
	struct buf data; /* the taker's */
	char name[LIVENESS_NAME_MAX + 1];
	bool announces;
	usec_t silence;
	const char *why;
};
bool liveness_next_output(struct liveness *l, struct liveness_output *out);

/* ---- state ---- */

enum liveness_verdict {
	LIVENESS_UNKNOWN, /* it never took part */
	LIVENESS_UP,      /* nothing speaks against it */
	LIVENESS_PROVEN,  /* it has answered within LIVENESS_FRESH, whatever gossip thinks */
	LIVENESS_UNABLE,  /* it runs, but is starting or stopping */
	LIVENESS_DEAD,
	LIVENESS_VERDICT_COUNT
};
enum liveness_verdict liveness_verdict(const struct liveness *l, const char *name);
const char *liveness_verdict_text(enum liveness_verdict v);
/* The next node that is known; start with *pos = 0, NULL at the end. */
const char *liveness_next(const struct liveness *l, size_t *pos);
/* The node with this hardware address; NULL when none said so. */
const char *liveness_node_of_mac(const struct liveness *l, const struct mac *mac);
/* What the node said of itself; NULL when it said nothing. Valid until the next input. */
const struct liveness_state *liveness_state_of(const struct liveness *l, const char *name);
/* Sessions that are up, and all. */
void liveness_count_sessions(const struct liveness *l, size_t *up, size_t *all);

#endif
