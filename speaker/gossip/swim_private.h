/*
 * The inside of the membership engine, shared by swim*.c only.
 *
 *   swim.c        life cycle, timers, outputs, packets in and out
 *   swim_rules.c  alive, suspect, dead, refute; suspicion timers; the members' list
 *   swim_probe.c  failure detection: direct, indirect and TCP pings, relaying for others
 *   swim_queue.c  the broadcast queue and gossip
 *   swim_stream.c push/pull and everything else over TCP
 */
#ifndef GOSSIP_SWIM_PRIVATE_H
#define GOSSIP_SWIM_PRIVATE_H

#include "metallb/list.h"
#include "metallb/table.h"
#include "speaker/gossip/swim.h"

#define SUSPICION_CONFIRM_MAX 8 /* confirmations that are counted, beyond any sane multiplier */

struct member {
	/* what each message about it looks at, side by side */
	uint32_t incarnation;
	enum gsp_state state;
	uint16_t port, meta_len;
	uint8_t addr_len;
	uint8_t addr[16]; /* as it came on the wire */
	uint8_t vsn[GSP_VSN_LEN];
	uint8_t *meta;  /* NULL: none, which is not the same as empty on the wire */
	usec_t changed; /* when the state last changed */
	/* while suspect */
	struct list suspects; /* in swim.suspects */
	usec_t suspect_since, suspect_min, suspect_max, suspect_deadline;
	unsigned suspect_k, n_confirmed;
	char *accusers[SUSPICION_CONFIRM_MAX + 1]; /* [0]: the first one */
	size_t n_accusers;
	char name[];
};

struct broadcast {
	unsigned transmits;
	uint64_t id;
	struct buf msg;
	char name[];
};

struct relay {
	uint32_t seq_no, req_seq_no;
	struct ip addr;
	uint16_t port;
	bool nack;
	usec_t deadline;
};

struct probe {
	bool active, indirect;
	char target[SWIM_NAME_MAX + 1];
	uint32_t seq_no, incarnation, tcp_id; /* tcp_id 0: no TCP ping under way */
	usec_t started, timeout_at, ends_at;
	unsigned nacks_expected, nacks;
	bool failed_at_once, tcp_ok;
};

struct dial {
	uint32_t id;
	bool ping, join;
	uint32_t seq_no;
	struct ip addr;
	uint16_t port;
	usec_t deadline;
};

#define DIALS_MAX 64

struct swim {
	struct swim_config cfg;
	const struct random_source *random;
	struct table by_name;    /* struct member */
	struct member **members; /* the probe list, in random order, self included */
	size_t n_members, cap_members, probe_at;
	struct list suspects;
	usec_t suspects_due; /* no suspicion ends earlier */
	struct member *self;
	uint32_t incarnation, seq_no, next_dial;
	unsigned awareness;
	bool leaving;

	struct broadcast **queue; /* in the order of their turns */
	size_t n_queue, cap_queue;
	struct table news; /* the same by member's name */
	uint64_t next_broadcast;

	usec_t next_gossip, next_probe, next_push_pull;
	struct probe probe;
	struct relay *relays;
	size_t n_relays, cap_relays;
	struct dial dials[DIALS_MAX];
	size_t n_dials;

	struct swim_output *out; /* a queue: taken at out_at, added at n_out */
	size_t n_out, cap_out, out_at;
	struct swim_output nowhere; /* what does not fit into the queue */
};

/* swim.c */
struct swim_output *swim_add_output(struct swim *s, enum swim_output_type type);
void swim_event(struct swim *s, enum swim_output_type type, const char *name);
void swim_drop(struct swim *s, const char *why);
/* Finish and send one packet: compress, CRC when `to` (may be NULL) understands it, seal, label. */
void swim_send(struct swim *s, const struct ip *addr, uint16_t port, const struct member *to,
	       const struct buf *msg);
/* The same with gossip behind it, as far as it fits. */
void swim_send_with_gossip(struct swim *s, const struct ip *addr, uint16_t port,
			   const struct member *to, struct buf *msg);
struct gsp_bytes swim_text(const char *s);
bool swim_addr(const uint8_t *p, size_t n, struct ip *ip);
struct ip swim_member_addr(const struct member *m);
unsigned swim_pmax(const struct member *m);
uint32_t swim_next_seq(struct swim *s);
usec_t swim_random_delay(struct swim *s, usec_t below);
size_t swim_seal_overhead(const struct swim *s);

/* swim_rules.c */
struct member *swim_find(const struct swim *s, struct gsp_bytes name);
void swim_rule_alive(struct swim *s, usec_t now, const struct gsp_msg *m, bool own);
void swim_rule_suspect(struct swim *s, usec_t now, struct gsp_bytes node, uint32_t incarnation,
		       struct gsp_bytes from);
void swim_rule_dead(struct swim *s, usec_t now, struct gsp_bytes node, uint32_t incarnation,
		    struct gsp_bytes from);
void swim_announce_self(struct swim *s, usec_t now);
void swim_check_suspects(struct swim *s, usec_t now);
void swim_reap(struct swim *s, usec_t now); /* forget the long dead, shuffle the list */
void swim_member_free(struct swim *s, struct member *m);
void swim_describe(const struct member *m, struct gsp_msg *out);

/* swim_probe.c */
void swim_probe_start(struct swim *s, usec_t now);
void swim_probe_tick(struct swim *s, usec_t now);
usec_t swim_probe_deadline(const struct swim *s);
void swim_on_ping(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
		  const struct gsp_msg *m);
void swim_on_indirect_ping(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
			   const struct gsp_msg *m);
void swim_on_ack(struct swim *s, usec_t now, uint32_t seq_no);
void swim_on_nack(struct swim *s, uint32_t seq_no);
void swim_probe_tcp_done(struct swim *s, usec_t now, uint32_t id, bool ok);

/* swim_queue.c */
void swim_broadcast(struct swim *s, const char *name, enum gsp_type type, const struct gsp_msg *m);
/* Take messages for `budget` bytes, each costing its length + `overhead`, at most `max`. */
size_t swim_take_broadcasts(struct swim *s, size_t budget, size_t overhead, struct gsp_bytes *parts,
			    size_t max, struct buf *mem);
void swim_gossip(struct swim *s, usec_t now);
void swim_queue_free(struct swim *s);
bool swim_is_queued(const struct swim *s, const char *name);
/* Up to k members picked at random for which ok() holds; returns how many. */
typedef bool (*swim_filter)(const struct swim *s, const struct member *m, const void *arg);
size_t swim_pick(struct swim *s, size_t k, swim_filter ok, const void *arg, struct member **out);

/* swim_stream.c */
void swim_push_pull(struct swim *s, usec_t now);
/* Connect and send a plain message; the dial's id, 0 when too many are under way. */
uint32_t swim_dial(struct swim *s, const struct ip *addr, uint16_t port, usec_t deadline,
		   const struct dial *kind, const struct buf *msg);

#endif
