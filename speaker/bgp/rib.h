/*
 * Routes for one peer (adj-rib-out): what it should have and what it was told. Pure.
 *
 * A change of the wanted side costs nothing on the wire until output is asked for; then only the
 * difference goes out, routes with equal attributes share UPDATEs, announcements come before
 * withdrawals. A prefix that changes too often is paced (a few changes at once, then one a second),
 * so that a flapping backend cannot flood a router; one that flaps back in time costs nothing.
 */
#ifndef BGP_RIB_H
#define BGP_RIB_H

#include "metallb/clock.h"
#include "metallb/table.h"
#include "speaker/bgp/message.h"

#define BGP_PACE_BURST    4
#define BGP_PACE_INTERVAL USEC_PER_SEC

/* Attributes shared by routes; canonical, so equal attributes are the same object. */
struct bgp_shared {
	struct bgp_attrs attrs;
	size_t refs;
	size_t n_dirty[2]; /* wanted, not sent: IPv4, IPv6 */
	size_t key_len;
	uint8_t *key;
};

struct bgp_entry {
	struct prefix prefix;
	bool force;              /* send again although nothing changed */
	uint8_t tokens;          /* changes that may go out at once */
	usec_t refilled;         /* when the tokens were last counted */
	struct bgp_shared *want; /* NULL: must not be announced */
	struct bgp_shared *sent; /* NULL: the peer does not have it */
};

struct bgp_rib {
	struct bgp_entry *entries; /* ascending by prefix */
	size_t n, cap;
	struct table shared; /* canonical bytes -> struct bgp_shared */
	unsigned families;   /* may be sent in this session; 0 when there is none */
	size_t n_dirty[2];   /* of each family, sendable or not */
	size_t n_sent, n_want;
	size_t scan_from; /* no dirty entry below, but for paced ones */
	usec_t next_due;  /* nothing is sendable before */
	bool complete;    /* the wanted side was set as a whole at least once */
	unsigned eor;     /* families that still get an End-of-RIB */
};

void bgp_rib_init(struct bgp_rib *rib);
void bgp_rib_fini(struct bgp_rib *rib);
/* Move all of `from` to `to` (not initialised before); nothing counts as sent any more. */
void bgp_rib_move(struct bgp_rib *to, struct bgp_rib *from);

/* NULL, or why this route can never be announced. */
const char *bgp_route_check(const struct bgp_route *r);
/* Make the wanted side exactly these routes (each checked; of equal prefixes the last counts). */
void bgp_rib_set(struct bgp_rib *rib, const struct bgp_route *routes, size_t n);
void bgp_rib_add(struct bgp_rib *rib, const struct bgp_route *route);
void bgp_rib_del(struct bgp_rib *rib, const struct prefix *prefix);
void bgp_rib_clear(struct bgp_rib *rib);  /* want nothing */
void bgp_rib_unpace(struct bgp_rib *rib); /* whatever is dirty may go out now */

/* A session came up for these families: everything wanted is to be sent, then End-of-RIB. */
void bgp_rib_start(struct bgp_rib *rib, unsigned families, bool eor);
/* The session is gone: nothing counts as sent. */
void bgp_rib_stop(struct bgp_rib *rib);
/* Send everything wanted of these families again (route refresh, other attributes). */
void bgp_rib_resend(struct bgp_rib *rib, unsigned families);

/*
 * The next UPDATE into out; 0 when there is nothing to send now. Routes that have no next hop in
 * this session are passed over and stay pending.
 */
size_t bgp_rib_output(struct bgp_rib *rib, const struct bgp_encoding *enc, usec_t now,
		      uint8_t out[BGP_MSG_MAX]);
/* When a paced change becomes sendable; USEC_NEVER when nothing waits. 0: ask bgp_rib_output(). */
usec_t bgp_rib_deadline(const struct bgp_rib *rib);
/* Nothing is to be sent, now or later. */
bool bgp_rib_is_settled(const struct bgp_rib *rib);
size_t bgp_rib_pending(const struct bgp_rib *rib);

#endif
