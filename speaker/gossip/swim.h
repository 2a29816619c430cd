/*
 * Membership by SWIM with Lifeguard, compatible on the wire with hashicorp/memberlist: who is in
 * the cluster, who is suspected, who is gone. A pure engine: bytes, time and randomness come in;
 * packets, connections to make and events come out.
 *
 * The shell (io.c) feeds received packets and streams, calls swim_tick() at swim_deadline(), and
 * carries out every output of swim_next_output() after each call. Nothing is re-entered.
 *
 * Left out: application metadata and user messages of our own (those of others are counted and
 * dropped), protocol version 1.
 */
#ifndef GOSSIP_SWIM_H
#define GOSSIP_SWIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/ip.h"
#include "speaker/gossip/message.h"
#include "speaker/gossip/seal.h"

#define SWIM_NAME_MAX     255         /* bytes of a member's name */
#define SWIM_META_MAX     512         /* bytes of a member's metadata */
#define SWIM_MEMBERS_MAX  20000       /* members that are remembered */
#define SWIM_STREAM_MAX   (20u << 20) /* bytes of one stream message */
#define SWIM_RELAYS_MAX   1024        /* indirect pings under way for others */
#define SWIM_PORT_DEFAULT 7946
#define SWIM_STREAMS_MAX  128 /* push/pulls at once, counting the new one: it is closed */

/* memberlist's settings under memberlist's names; times in microseconds. */
struct swim_config {
	char name[SWIM_NAME_MAX + 1];
	struct ip addr; /* bound and advertised; not 0.0.0.0 or :: for the engine itself */
	uint16_t port;  /* bound and advertised */
	char label[GSP_LABEL_MAX + 1];
	struct gsp_keyring keyring;
	uint8_t delegate_vsn[3]; /* min, max, current; 0 0 0 unless an application has its own */
	usec_t tcp_timeout, probe_interval, probe_timeout, gossip_interval, push_pull_interval,
		gossip_to_the_dead, dead_node_reclaim;
	unsigned indirect_checks, retransmit_mult, suspicion_mult, suspicion_max_mult,
		awareness_max, gossip_nodes;
	size_t udp_buffer; /* bytes of one packet */
	bool compression, verify_incoming, verify_outgoing, tcp_pings;
};

/* memberlist's defaults for a LAN; the identity is left empty. */
struct swim_config swim_config_lan(void);
struct swim_config swim_config_wan(void);

struct swim;

struct swim *swim_new(const struct swim_config *cfg, const struct random_source *random,
		      usec_t now);
struct swim *swim_free(struct swim *s); /* returns NULL */

/* ---- inputs ---- */

/* One datagram. `from`, `port`: the UDP source. */
void swim_recv_packet(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
		      const void *data, size_t len);
/* The kernel refused a datagram to that address (ICMP unreachable). */
void swim_send_failed(struct swim *s, usec_t now, const struct ip *to, uint16_t port);
/* Time has come to swim_deadline(). Harmless when called early. */
void swim_tick(struct swim *s, usec_t now);
usec_t swim_deadline(const struct swim *s);
/* Exchange state with the peer at that address and become a member of its cluster. */
void swim_join(struct swim *s, usec_t now, const struct ip *addr, uint16_t port);
/* Say goodbye. swim_has_left() turns true once everybody can have heard it. */
void swim_leave(struct swim *s, usec_t now);
bool swim_has_left(const struct swim *s);
/* The keys in force from now on (rotation). */
void swim_set_keyring(struct swim *s, const struct gsp_keyring *ring);

/* ---- streams ---- */

enum swim_stream_verdict {
	SWIM_STREAM_MORE,  /* not complete: read on */
	SWIM_STREAM_REPLY, /* complete: write `reply` (maybe empty) and close */
	SWIM_STREAM_CLOSE, /* refused: close; `reply` may hold an error message to write first */
};

/* An accepted connection has sent these bytes so far. `busy`: streams served at the moment. */
enum swim_stream_verdict swim_stream_accepted(struct swim *s, usec_t now, const void *data,
					      size_t len, unsigned busy, struct buf *reply);
/*
 * The connection that output `id` asked for has answered these bytes so far; eof: no more will come
 * (refused, timed out or closed). Returns SWIM_STREAM_MORE while it should be kept open.
 */
enum swim_stream_verdict swim_stream_answered(struct swim *s, usec_t now, uint32_t id,
					      const void *data, size_t len, bool eof);

/* ---- outputs ---- */

enum swim_output_type {
	SWIM_OUT_PACKET, /* send data to addr, port by UDP */
	SWIM_OUT_DIAL,   /* connect to addr, port by TCP, write data, report the answer under id */
	SWIM_OUT_JOIN,   /* a member appeared (or came back) */
	SWIM_OUT_LEAVE,  /* a member is dead or has left */
	SWIM_OUT_UPDATE, /* a member's metadata changed */
	SWIM_OUT_CONFLICT, /* another address claims the member's name */
	SWIM_OUT_JOINED,   /* the push/pull of swim_join() is done; `why` is NULL or the reason */
	SWIM_OUT_DROP,     /* something was dropped; `why` is the reason (a stable text) */
};

struct swim_output {
	enum swim_output_type type;
	struct ip addr;
	uint16_t port;
	uint32_t id;
	usec_t deadline;              /* of a dial */
	struct buf data;              /* the taker's: buf_fini() it */
	char name[SWIM_NAME_MAX + 1]; /* of events */
	const char *why;              /* static text */
};

bool swim_next_output(struct swim *s, struct swim_output *out);

/* ---- state ---- */

struct swim_member {
	const char *name;
	struct ip addr;
	uint16_t port;
	enum gsp_state state;
	uint32_t incarnation;
};

/* Number i of the members, in no order; false past the end. */
bool swim_member_at(const struct swim *s, size_t i, struct swim_member *out);
bool swim_member_find(const struct swim *s, const char *name, struct swim_member *out);
/* Usable: alive or suspect, as MetalLB counts. */
bool swim_member_is_usable(const struct swim *s, const char *name);
unsigned swim_health_score(const struct swim *s); /* Lifeguard's awareness, 0 is healthy */

/* The formulas, for tests: durations in microseconds. */
usec_t swim_suspicion_min(unsigned mult, size_t n, usec_t interval);
usec_t swim_suspicion_timeout(usec_t min, usec_t max, unsigned confirmations, unsigned k);
unsigned swim_retransmit_limit(unsigned mult, size_t n);
unsigned swim_push_pull_scale(size_t n);

#endif
