/*
 * One peer: its connections' state machines, the messages on them, collision detection (RFC 4271
 * section 6.8), capabilities, graceful restart, drain, and the routes it gets. Pure: the shell
 * makes and closes TCP connections as the `want_` flags say, brings bytes in and takes bytes out.
 *
 * Connection 0 is the one that we open; the others came in. After each call the shell looks at
 * every connection: first want_close (send what is in tx, then close), then want_connect.
 */
#ifndef BGP_PEER_H
#define BGP_PEER_H

#include "metallb/buf.h"
#include "speaker/bgp/fsm.h"
#include "speaker/bgp/rib.h"

#define BGP_CONNS       3
#define BGP_TX_LOW      16384 /* routes wait in the rib while so much waits in tx */
#define BGP_EVENTS_MAX  4096
#define BGP_DRAIN_LIMIT (10 * USEC_PER_SEC) /* for a router that does not read its withdrawals */

/* Our side of a TCP connection. */
struct bgp_local {
	struct ip addr;
	struct ip v4, v6; /* first IPv4 and global IPv6 address of that interface; may be IP_NONE */
};

struct bgp_conn {
	struct bgp_fsm fsm;
	bool is_open; /* the shell has a socket for it, connected or not */
	bool want_connect, want_close;
	bool got_open;
	uint32_t my_id; /* as sent in our OPEN */
	struct bgp_open peer_open;
	struct bgp_local local;
	struct buf rx, tx;
	void *io; /* the shell's */
};

/* Events for the outside, in order. Full: the newest are dropped. */
struct bgp_events {
	struct bgp_event *items;
	size_t n, cap;
};

enum bgp_drain_step { BGP_DRAIN_NONE, BGP_DRAIN_GSHUT, BGP_DRAIN_WITHDRAW, BGP_DRAIN_DONE };

/* What all peers of a router share. */
struct bgp_shared_state {
	const struct random_source *random;
	uint32_t fallback_id; /* CRC of the node's name */
	bool restarted;
	struct bgp_events events;
};

struct bgp_peer {
	struct bgp_shared_state *shared;
	struct bgp_peer_config cfg; /* strings owned */
	struct bgp_fsm_params params;
	struct ip remote; /* cfg.address, or discovered */
	unsigned ifindex; /* scope of a link-local remote; the shell's */
	bool enabled;
	struct bgp_conn conn[BGP_CONNS];
	struct bgp_conn *up; /* the established one, or NULL */
	bool was_up;         /* since the process started */

	/* of the session that is up */
	struct bgp_encoding enc;
	unsigned families;
	bool gr, gr_notification;

	struct bgp_rib rib;
	enum bgp_drain_step drain;
	bool drain_end; /* the session, too */
	usec_t drain_at;
	char *drain_reason;
	unsigned refresh;    /* families asked for, to be sent again */
	usec_t refresh_next; /* not before */
	usec_t notice_next;  /* next NOTICE about malformed UPDATEs */
	usec_t accept_refilled;
	unsigned accept_tokens;
	struct bgp_counters counters;
	char last_error[BGP_TEXT_MAX], last_notification[BGP_TEXT_MAX];
};

struct bgp_peer *bgp_peer_new(struct bgp_shared_state *shared, const struct bgp_peer_config *cfg,
			      usec_t now);
struct bgp_peer *bgp_peer_free(struct bgp_peer *p);

/* ---- from the shell ---- */
void bgp_peer_connected(struct bgp_peer *p, size_t conn, const struct bgp_local *local, usec_t now);
/* A connect() that failed, or the end of a connection: error is an errno, 0 for end of stream. */
void bgp_peer_disconnected(struct bgp_peer *p, size_t conn, int error, usec_t now);
/* The shell closed it because of want_close. */
void bgp_peer_closed(struct bgp_peer *p, size_t conn);
/* A connection came in: its number, or -1 to refuse. */
int bgp_peer_accept(struct bgp_peer *p, const struct bgp_local *local, usec_t now);
void bgp_peer_recv(struct bgp_peer *p, size_t conn, const uint8_t *data, size_t len, usec_t now);
/* The first n bytes of tx are gone. */
void bgp_peer_sent(struct bgp_peer *p, size_t conn, size_t n, usec_t now);
void bgp_peer_tick(struct bgp_peer *p, usec_t now);
usec_t bgp_peer_deadline(const struct bgp_peer *p);
/* Where an unnumbered peer is; IP_NONE: it has gone. */
void bgp_peer_discovered(struct bgp_peer *p, const struct ip *addr, unsigned ifindex, usec_t now);

/* ---- from above ---- */
/* The rib was changed. */
void bgp_peer_flush(struct bgp_peer *p, usec_t now);
/* End all connections with this Cease; they stay down. */
void bgp_peer_stop(struct bgp_peer *p, uint8_t subcode, const char *reason, usec_t now);
/* As bgp_peer_stop(), but silently where graceful restart was negotiated. */
void bgp_peer_shutdown(struct bgp_peer *p, const char *reason, usec_t now);
void bgp_peer_drain(struct bgp_peer *p, usec_t wait, bool end, const char *reason, usec_t now);
void bgp_peer_undrain(struct bgp_peer *p, usec_t now);
void bgp_peer_bfd(struct bgp_peer *p, bool up, usec_t now);
void bgp_peer_get_status(const struct bgp_peer *p, struct bgp_peer_status *out);
/* Same session parameters: a running session can go on under the new configuration. */
bool bgp_peer_config_same_session(const struct bgp_peer_config *a, const struct bgp_peer_config *b);
/* Take over what may change without a reset. */
void bgp_peer_update_config(struct bgp_peer *p, const struct bgp_peer_config *cfg, usec_t now);

/* ---- between peer.c and session.c ---- */
void bgp_peer_step(struct bgp_peer *p, struct bgp_conn *c, enum bgp_fsm_event ev,
		   const struct bgp_fsm_input *in, const char *why, usec_t now);
void bgp_peer_handle(struct bgp_peer *p, struct bgp_conn *c, uint8_t type, const uint8_t *body,
		     size_t len, usec_t now);
void bgp_peer_send_open(struct bgp_peer *p, struct bgp_conn *c);
/* Sets up what the session that came up on c has negotiated. */
void bgp_peer_negotiate(struct bgp_peer *p, struct bgp_conn *c);
void bgp_peer_event(struct bgp_peer *p, enum bgp_event_type type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void bgp_conn_add(struct bgp_peer *p, struct bgp_conn *c, const struct wr *w);

#endif
