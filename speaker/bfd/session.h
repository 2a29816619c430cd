/*
 * One BFD session as a pure machine (RFC 5880 section 6.8), asynchronous mode. It is fed packets,
 * the clock and a random source, and is asked what to send and when to be woken.
 *
 * Left out: authentication, own demand mode. The echo function is in echo.h; here is what we
 * promise to send back, and what follows when it fails.
 */
#ifndef BFD_SESSION_H
#define BFD_SESSION_H

#include "metallb/clock.h"
#include "speaker/bfd/packet.h"

#define BFD_SLOW_TX    1000000u /* at least, while not Up */
#define BFD_URGENT_MAX 4        /* packets out of turn each second */

struct bfd_params {
	uint32_t min_tx, min_rx; /* microseconds, not 0 */
	uint8_t mult;            /* not 0 */
	bool passive;
	uint32_t slow_tx; /* least interval while not Up; 0: BFD_SLOW_TX, as RFC 5880 asks for */
	uint32_t echo;    /* microseconds between echo packets; 0: none */
	uint32_t echo_rx; /* so fast we promise to send the peer's back; 0: we do not */
};

enum bfd_reason {
	BFD_REASON_NONE,
	BFD_REASON_EXPIRED,             /* nothing heard for the detection time */
	BFD_REASON_NEIGHBOR_DOWN,       /* the peer says that its side is down */
	BFD_REASON_NEIGHBOR_ADMIN_DOWN, /* the peer took BFD away: no failure of the path */
	BFD_REASON_ADMIN_DOWN,          /* we did */
	BFD_REASON_ECHO_FAILED,         /* our packets do not come back */
	BFD_REASON_COUNT
};
const char *bfd_reason_format(enum bfd_reason reason);

/* Names of RFC 5880 6.8.1 where it has one. Read freely; changed by the functions below only. */
struct bfd_session {
	struct bfd_params params;
	enum bfd_state state, remote_state;
	enum bfd_reason reason; /* of the last change of state */
	uint32_t local_discr, remote_discr;
	uint8_t local_diag, remote_diag, remote_mult;
	bool remote_demand;
	uint32_t remote_min_tx, remote_min_rx, remote_min_echo_rx;

	uint32_t told_tx, told_rx; /* in our packets */
	uint32_t used_tx, used_rx; /* in our timers: these follow after the Final */
	bool polling;              /* P is set until the Final comes */
	bool gap;                  /* one packet without P before the next poll */

	usec_t heard; /* the last valid packet, USEC_NEVER: none within the detection time */
	usec_t tx_at; /* the next periodic packet */
	bool send, send_final;
	usec_t urgent_since;
	unsigned n_urgent;
};

void bfd_session_init(struct bfd_session *s, const struct bfd_params *params, uint32_t discr,
		      usec_t now);
/* New intervals, multiplier or role: a poll sequence while Up, never a loss of the session. */
void bfd_session_set_params(struct bfd_session *s, const struct bfd_params *params, usec_t now);
void bfd_session_set_admin(struct bfd_session *s, bool down, usec_t now);
void bfd_session_echo_failed(struct bfd_session *s, usec_t now);
/* NULL, or why the packet was discarded. */
const char *bfd_session_recv(struct bfd_session *s, const struct bfd_packet *pkt, usec_t now,
			     const struct random_source *rnd) __attribute__((warn_unused_result));
void bfd_session_tick(struct bfd_session *s, usec_t now, const struct random_source *rnd);
/* When to tick next; USEC_NEVER: only a packet can change anything. */
usec_t bfd_session_deadline(const struct bfd_session *s);
/* true: *pkt is to be sent now. Ask until false after every call of the above. */
bool bfd_session_output(struct bfd_session *s, usec_t now, struct bfd_packet *pkt);

/* The detection time in force (0: nothing known of the peer) and the mean interval we send at. */
usec_t bfd_session_detection_time(const struct bfd_session *s);
usec_t bfd_session_tx_interval(const struct bfd_session *s);

#endif
