/*
 * All BFD sessions of this node: which of them a packet is for (RFC 5880 6.8.6, RFC 5881 sections 3
 * to 5, RFC 5883), whose turn it is to send, which went up or down, and a decent end for those that
 * are no longer wanted (RFC 5880 6.8.16). Pure. After every call that changes anything the shell
 * takes out what is to be sent, and the events.
 */
#ifndef BFD_ENGINE_H
#define BFD_ENGINE_H

#include "metallb/deadlines.h"
#include "metallb/list.h"
#include "metallb/table.h"
#include "speaker/bfd/bfd.h"
#include "speaker/bfd/echo.h"

#define BFD_TTL       255                 /* sent always, asked for on a single hop */
#define BFD_LINGER    (3 * USEC_PER_SEC)  /* AdminDown is told so long */
#define BFD_START_GAP (5 * USEC_PER_MSEC) /* between the first packets of new sessions */
#define BFD_DROPS_MAX 24

/* A control packet as the socket tells of it. */
struct bfd_datagram {
	const uint8_t *data;
	size_t len;
	struct ip from, to;
	unsigned ifindex;
	int ttl; /* -1: unknown */
	bool multihop;
	const char *vrf;
};

struct bfd_entry {
	struct list ready; /* in bfd_engine.ready while it may have something to send */
	struct deadline deadline;
	struct bfd_entry *same; /* the next one with that remote end */
	struct bfd_session_config cfg;
	struct bfd_session session;
	struct bfd_echo echo;
	struct ip seen_local;  /* where the peer's last packet came to, */
	unsigned seen_ifindex; /* and by which interface */
	struct bfd_counters counters;
	usec_t since, gone_at; /* USEC_NEVER: it is wanted */
	enum bfd_state was;
	uint8_t last_diag;
	bool marked;
};

struct bfd_engine {
	const struct random_source *random;
	struct bfd_entry **wanted, **leaving;
	size_t n_wanted, n_leaving, cap_leaving;
	struct table by_discr, by_remote;
	struct deadlines deadlines;
	struct list ready;
	struct bfd_event *events;
	size_t n_events, cap_events;
	usec_t next_start;
	struct {
		const char *reason;
		uint64_t n;
	} drops[BFD_DROPS_MAX];
};

/* A packet to be sent. */
struct bfd_send {
	const struct bfd_path *path; /* valid until the next call */
	bool echo; /* data is an IP packet for the peer's MAC on ifindex, else a control packet */
	unsigned ifindex;
	uint8_t data[BFD_ECHO_MAX];
	size_t len;
};

void bfd_engine_init(struct bfd_engine *e, const struct random_source *random);
void bfd_engine_fini(struct bfd_engine *e);
void bfd_engine_set(struct bfd_engine *e, const struct bfd_session_config *cfgs, size_t n,
		    usec_t now);
/* NULL, or why the packet was dropped (counted). */
const char *bfd_engine_recv(struct bfd_engine *e, const struct bfd_datagram *d, usec_t now);
/* An IP packet from outside to the echo port. */
const char *bfd_engine_recv_echo(struct bfd_engine *e, const void *data, size_t len, usec_t now);
void bfd_engine_tick(struct bfd_engine *e, usec_t now);
usec_t bfd_engine_deadline(const struct bfd_engine *e);
/* Ask until false after every call of the above. */
bool bfd_engine_output(struct bfd_engine *e, usec_t now, struct bfd_send *out);

#endif
