/*
 * The BGP engine's face for the rest of the speaker: peers in, routes in, sessions and reasons out.
 *
 * It announces host and aggregate routes and takes none: what peers send is checked, counted and
 * dropped. One `struct bgp` lives on one libev loop; everything is called from that loop's thread
 * and nothing blocks. Events are delivered from the loop, never from inside a call.
 *
 * RFC 4271, 1997, 2385, 2545, 2918, 4724, 4760, 5082, 5492, 6286, 6608, 6793, 7606, 8092, 8326,
 * 8538, 8654, 8950, 9003, 9072, 9384, 9494 (as announcer). Left out: route selection and import of
 * any kind, confederations, TCP-AO, ADD-PATH.
 */
#ifndef BGP_BGP_H
#define BGP_BGP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/clock.h"
#include "metallb/config.h"
#include "metallb/err.h"
#include "metallb/ip.h"

#define BGP_PEERS_MAX       1024
#define BGP_ROUTES_MAX      1000000 /* per peer */
#define BGP_COMMUNITIES_MAX 256     /* of one route, both kinds together: fits any UPDATE */
#define BGP_PASSWORD_MAX    80      /* TCP_MD5SIG_MAXKEYLEN */
#define BGP_TEXT_MAX        256
#define BGP_SHUTDOWN_MAX    255 /* RFC 9003 */

#define BGP_FAMILY_V4 1u
#define BGP_FAMILY_V6 2u

enum bgp_state {
	BGP_ST_IDLE,
	BGP_ST_CONNECT,
	BGP_ST_ACTIVE,
	BGP_ST_OPENSENT,
	BGP_ST_OPENCONFIRM,
	BGP_ST_ESTABLISHED,
	BGP_ST_COUNT
};
const char *bgp_state_format(enum bgp_state st); /* "Idle" ... "Established" */

enum bgp_dynamic { BGP_DYNAMIC_NONE, BGP_DYNAMIC_INTERNAL, BGP_DYNAMIC_EXTERNAL };

/* One session as it shall be. Strings are copied; "" or NULL means unset. */
struct bgp_peer_config {
	const char *name;      /* of the BGPPeer: the key */
	struct ip address;     /* IP_NONE: unnumbered, discovered on `interface` */
	uint16_t port;         /* the peer's */
	struct ip source;      /* IP_NONE: the kernel's choice */
	const char *interface; /* bind to it; needed for link-local and unnumbered */
	const char *vrf;
	const char *password; /* TCP MD5 */

	uint32_t local_asn, peer_asn; /* peer_asn 0 with `dynamic` */
	enum bgp_dynamic dynamic;
	uint32_t router_id;           /* 0: the local IPv4 address, else from the node's name */
	unsigned families;            /* BGP_FAMILY_*: offered and used */
	uint16_t hold_s, keepalive_s; /* 0, 0: no keepalives */
	uint16_t connect_s;           /* longest pause between attempts */
	uint8_t ttl;                  /* of what we send; 0: the kernel's default */
	uint8_t gtsm_hops;            /* RFC 5082: the peer is at most so many hops away; 0: off */
	bool graceful_restart;
	uint16_t restart_s;          /* RFC 4724 restart time, at most 4095 */
	uint32_t llgr_s;             /* RFC 9494 stale time; 0: off */
	uint32_t default_local_pref; /* iBGP, for routes that set none */
};

/*
 * The session that a BGPPeer means, with the defaults of that backend (hold 90/30 or 180/60, unset
 * iBGP LOCAL_PREF 0 or 100, TTL 1 for single-hop eBGP or not). Strings are borrowed from `peer`.
 */
void bgp_peer_config_build(const struct config_peer *peer, enum bgp_backend backend,
			   struct bgp_peer_config *out);

/* A route to announce. */
struct bgp_route {
	struct prefix prefix;
	struct ip next_hop;                        /* IP_NONE: this session's own address */
	uint32_t local_pref;                       /* 0: the session's default */
	const struct community_value *communities; /* sorted, unique */
	size_t n_communities;
};

struct bgp_counters {
	uint64_t opens_sent, opens_received, notifications_sent, notifications_received;
	uint64_t updates_sent, updates_received, keepalives_sent, keepalives_received;
	uint64_t refresh_sent, refresh_received, total_sent, total_received;
	uint64_t prefixes_received; /* routes in UPDATEs, all dropped */
	uint64_t updates_malformed; /* RFC 7606: treated as withdraw, or attributes discarded */
	uint64_t established;       /* sessions that came up */
	uint64_t refused;           /* incoming connections turned away */
};

struct bgp_peer_status {
	const char *name, *vrf, *interface; /* valid until the next call */
	struct ip address;                  /* as configured or discovered */
	uint16_t port;
	enum bgp_state state;
	usec_t since;                  /* of the state */
	const char *last_error;        /* why it is not up, or was last down; "" */
	const char *last_notification; /* meaning of the last NOTIFICATION, sent or received; "" */
	uint32_t peer_asn, peer_id;    /* of the OPEN of the session that is up, else 0 */
	uint16_t hold_s, keepalive_s;  /* negotiated, while up */
	unsigned families;             /* negotiated, while up */
	bool graceful_restart;         /* negotiated, while up */
	struct ip local_address;       /* while up */
	size_t announced, pending; /* prefixes: the router has them / it lacks or must lose them */
	struct bgp_counters counters;
};

enum bgp_event_type {
	BGP_EVENT_UP,       /* established */
	BGP_EVENT_DOWN,     /* was established; the text says why it no longer is */
	BGP_EVENT_FAILED,   /* an attempt failed for a new reason */
	BGP_EVENT_NOTICE,   /* worth a log line: malformed UPDATEs, no next hop, ... */
	BGP_EVENT_NEIGHBOR, /* an unnumbered peer was found, or has gone */
	BGP_EVENT_DRAINED,  /* the end of a drain */
};

struct bgp_event {
	enum bgp_event_type type;
	char peer[BGP_TEXT_MAX];
	char text[BGP_TEXT_MAX];
};

typedef void bgp_event_fn(void *user, const struct bgp_event *ev);

struct bgp_options {
	const char *node_name;   /* for the last resort of a router id */
	uint16_t listen_port;    /* 0: active opens only */
	const char *listen_addr; /* "" or NULL: all addresses of both families */
	bool restarted;          /* a process before us may have had sessions (RFC 4724 R bit) */
};

struct bgp;
struct ev_loop;

int bgp_new(struct bgp **out, struct ev_loop *loop, const struct bgp_options *opt,
	    bgp_event_fn *on_event, void *user) __attribute__((warn_unused_result));
/* Closes what is open (no NOTIFICATION: bgp_shutdown() comes first). NULL is fine; returns NULL. */
struct bgp *bgp_free(struct bgp *b);

/*
 * The whole set of peers. A session that stays the same in all its parameters goes on untouched;
 * one that is gone ends with Cease/Peer De-configured, a changed one with Cease/Other
 * Configuration Change, its routes kept. false: nothing changed, err says which peer and field.
 */
bool bgp_set_peers(struct bgp *b, const struct bgp_peer_config *peers, size_t n, struct err *err)
	__attribute__((warn_unused_result));
/*
 * The whole set of routes for one peer, ascending by prefix or not; the difference is sent at once.
 * The first call also says that the set is complete: End-of-RIB waits for it, so that a router that
 * kept our routes over a restart keeps them until then. false: unknown peer or a route that cannot
 * be announced (the others are).
 */
bool bgp_set_routes(struct bgp *b, const char *peer, const struct bgp_route *routes, size_t n,
		    struct err *err) __attribute__((warn_unused_result));
/* One route added or replaced, one taken away; does not count as the complete set. */
bool bgp_add_route(struct bgp *b, const char *peer, const struct bgp_route *route, struct err *err)
	__attribute__((warn_unused_result));
void bgp_del_route(struct bgp *b, const char *peer, const struct prefix *prefix);

/*
 * Announce no more: GRACEFUL_SHUTDOWN on all routes, after `wait` withdraw them; then, with `end`,
 * Cease/Administrative Shutdown with `reason`, else the sessions stay up without routes. Each peer
 * reports BGP_EVENT_DRAINED; one that is not up at once. New routes are ignored from here. A drain
 * that is on already can be told to `end`. bgp_undrain() takes it back; routes have to be set anew.
 */
void bgp_drain(struct bgp *b, usec_t wait, bool end, const char *reason);
void bgp_undrain(struct bgp *b);
bool bgp_is_drained(const struct bgp *b);
/*
 * End all sessions now because the process restarts: silently where graceful restart was
 * negotiated, so that the router goes on forwarding, else with Cease/Administrative Reset. A drain
 * under way is cut short: Cease at once.
 */
void bgp_shutdown(struct bgp *b, const char *reason);

/* BFD's verdict on the path to this peer: Cease/BFD Down (RFC 9384), or an attempt at once. */
void bgp_bfd_down(struct bgp *b, const char *peer);
void bgp_bfd_up(struct bgp *b, const char *peer);

/* false when there is no such peer. */
bool bgp_peer_status(const struct bgp *b, const char *peer, struct bgp_peer_status *out);
size_t bgp_peer_count(const struct bgp *b);
/* Ascending by name; i < bgp_peer_count(). */
void bgp_peer_status_at(const struct bgp *b, size_t i, struct bgp_peer_status *out);

#endif
