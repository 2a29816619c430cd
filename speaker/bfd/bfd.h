/*
 * BFD's face for the rest of the speaker: paths to watch in, their state and its reasons out.
 *
 * RFC 5880 asynchronous mode over RFC 5881 (single hop) and RFC 5883 (multihop), IPv4 and IPv6. One
 * `struct bfd` lives on one libev loop with one set of sockets per VRF for all sessions (so they
 * share a source port, which RFC 5881 section 4 would rather have unique). Events are delivered
 * from the loop, never from inside a call. The echo function is there over a single
 * hop outside VRFs, not between link-local addresses. Left out: authentication, demand mode of our
 * own.
 */
#ifndef BFD_BFD_H
#define BFD_BFD_H

#include "metallb/config.h"
#include "metallb/ip.h"
#include "speaker/bfd/session.h"

#define BFD_SESSIONS_MAX 1024
#define BFD_VRF_MAX      16 /* IFNAMSIZ */

/* Between which ends, and how: the key of a session. */
struct bfd_path {
	struct ip remote;
	struct ip local;       /* IP_NONE: the kernel's choice */
	unsigned ifindex;      /* 0: wherever the routes lead; needed for link-local addresses */
	char vrf[BFD_VRF_MAX]; /* "": none */
	bool multihop;
};
bool bfd_path_eq(const struct bfd_path *a, const struct bfd_path *b);

struct bfd_session_config {
	struct bfd_path path;
	struct bfd_params params;
	uint8_t min_ttl; /* multihop: packets that come with less are dropped */
};

/* What this node knows of the way to a peer. */
struct bfd_where {
	struct ip remote; /* the peer's address (found, for an unnumbered one) */
	unsigned ifindex; /* of the interface that the peer names, or 0 */
	bool connected;   /* remote is in a subnet of this node */
	bool forwards;    /* this node forwards remote's family, so the peer's echoes return */
};

/* The session that a BGPPeer with this profile means. */
void bfd_session_config_build(const struct config_peer *peer, const struct config_bfd *profile,
			      const struct bfd_where *where, struct bfd_session_config *out);

struct bfd_counters {
	uint64_t received, sent; /* control packets */
	uint64_t echo_received, echo_sent;
	uint64_t up, down; /* the session came up, went down */
};

struct bfd_session_status {
	const struct bfd_path *path; /* valid until the next call */
	enum bfd_state state, remote_state;
	usec_t since;      /* of the state */
	uint8_t last_diag; /* why it last went down, as we or the peer said */
	usec_t detection_time, tx_interval;
	struct bfd_counters counters;
};

struct bfd_event {
	struct bfd_path path;
	bool up;
	enum bfd_reason reason; /* when down */
	uint8_t diag;
};

typedef void bfd_event_fn(void *user, const struct bfd_event *ev);

struct bfd;
struct ev_loop;

struct bfd *bfd_new(struct ev_loop *loop, bfd_event_fn *on_event, void *user);
/* Tells every peer AdminDown first. NULL is fine; returns NULL. */
struct bfd *bfd_free(struct bfd *b);

/*
 * The whole set of sessions; of two with the same path the first counts. One that stays goes on,
 * new parameters are agreed with the peer by a poll sequence. One that is gone says AdminDown for
 * some seconds, so that the peer does not take it for a failure.
 */
void bfd_set_sessions(struct bfd *b, const struct bfd_session_config *cfgs, size_t n);
/* An interface or address has come, gone or changed: sockets are looked at again. */
void bfd_links_changed(struct bfd *b);
/* Whether ip is in a subnet of one of this node's interfaces. */
bool bfd_is_connected(const struct ip *ip);
/* Whether this node forwards packets of that family. */
bool bfd_is_forwarding(enum ip_family family);

size_t bfd_session_count(const struct bfd *b);
/* In the order in which they were set; i < bfd_session_count(). */
void bfd_session_status_at(const struct bfd *b, size_t i, struct bfd_session_status *out);
/* The i-th reason for which packets were dropped, and how many; NULL behind the last. */
const char *bfd_drops_at(const struct bfd *b, size_t i, uint64_t *n);

#endif
