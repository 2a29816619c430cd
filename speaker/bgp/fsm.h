/*
 * The state machine of one BGP connection (RFC 4271 section 8). Pure: events in, actions out.
 *
 * A session has one machine that connects and, when it listens, one for each connection that came
 * in; which of them lives on is the session's business (BGP_EV_COLLISION_DUMP). Optional parts:
 * DampPeerOscillations is always on (the pause in Idle doubles with each failure); DelayOpen and
 * the events 14 and 15 are left out: the shell hands over only connections that it accepted.
 */
#ifndef BGP_FSM_H
#define BGP_FSM_H

#include "metallb/clock.h"
#include "speaker/bgp/message.h"

/* Comments: numbers of RFC 4271 section 8.1. */
enum bgp_fsm_event {
	BGP_EV_START,                 /* 1, 3 */
	BGP_EV_STOP,                  /* 2; input: the Cease */
	BGP_EV_START_PASSIVE,         /* 4, 5 */
	BGP_EV_AUTO_STOP,             /* 8; input: the Cease */
	BGP_EV_CONNECT_RETRY_EXPIRES, /* 9 */
	BGP_EV_HOLD_EXPIRES,          /* 10 */
	BGP_EV_KEEPALIVE_EXPIRES,     /* 11 */
	BGP_EV_IDLE_HOLD_EXPIRES,     /* 13 */
	BGP_EV_TCP_UP,                /* 16, 17 */
	BGP_EV_TCP_FAILS,             /* 18 */
	BGP_EV_OPEN,                  /* 19; input: the negotiated hold time */
	BGP_EV_HEADER_ERR,            /* 21; input: the NOTIFICATION */
	BGP_EV_OPEN_ERR,              /* 22; input: the NOTIFICATION */
	BGP_EV_COLLISION_DUMP,        /* 23 */
	BGP_EV_NOTIF_VERSION,         /* 24 */
	BGP_EV_NOTIF,                 /* 25 */
	BGP_EV_KEEPALIVE,             /* 26 */
	BGP_EV_UPDATE,                /* 27 */
	BGP_EV_UPDATE_ERR,            /* 28; input: the NOTIFICATION */
	BGP_EV_REFRESH,               /* RFC 2918 */
	BGP_EV_COUNT
};

/* What to do, in this order. */
enum bgp_fsm_action {
	BGP_ACT_DOWN = 1u << 0,      /* the session is no longer established */
	BGP_ACT_NOTIFY = 1u << 1,    /* send fsm->notify */
	BGP_ACT_DROP = 1u << 2,      /* close the TCP connection (or stop connecting) */
	BGP_ACT_CONNECT = 1u << 3,   /* start one */
	BGP_ACT_OPEN = 1u << 4,      /* send OPEN */
	BGP_ACT_KEEPALIVE = 1u << 5, /* send KEEPALIVE */
	BGP_ACT_UP = 1u << 6,        /* the session is established */
};

enum bgp_timer {
	BGP_TIMER_CONNECT_RETRY,
	BGP_TIMER_HOLD,
	BGP_TIMER_KEEPALIVE,
	BGP_TIMER_IDLE_HOLD,
	BGP_TIMER_COUNT
};

/* Longest wait for TCP, and for the peer's OPEN (RFC 4271 suggests "large"). */
#define BGP_CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define BGP_OPEN_TIMEOUT    (60 * USEC_PER_SEC)
/* An established session of this age was a good one: the next attempt comes at once. */
#define BGP_STABLE      (30 * USEC_PER_SEC)
#define BGP_RETRY_FIRST (100 * USEC_PER_MSEC)

struct bgp_fsm_params {
	usec_t connect_max;           /* longest pause between attempts */
	uint16_t hold_s, keepalive_s; /* as configured */
	const struct random_source *random;
};

struct bgp_fsm {
	const struct bgp_fsm_params *params;
	enum bgp_state state;
	usec_t since; /* of the state */
	usec_t timer[BGP_TIMER_COUNT];
	unsigned failures;            /* since the last good session: ConnectRetryCounter */
	uint16_t hold_s, keepalive_s; /* negotiated */
	struct bgp_error notify;      /* with BGP_ACT_NOTIFY */
};

/* What some events carry. */
struct bgp_fsm_input {
	const struct bgp_error *error; /* NOTIFICATION to send */
	uint16_t hold_s;               /* the smaller of both hold times */
};

void bgp_fsm_init(struct bgp_fsm *f, const struct bgp_fsm_params *params, usec_t now);
/* Returns a set of enum bgp_fsm_action. in may be NULL where the event carries nothing. */
unsigned bgp_fsm_step(struct bgp_fsm *f, enum bgp_fsm_event ev, const struct bgp_fsm_input *in,
		      usec_t now);
/* The earliest timer; USEC_NEVER when none runs. */
usec_t bgp_fsm_deadline(const struct bgp_fsm *f);
/* A timer that is due at `now`: its event; false when none is. */
bool bgp_fsm_due(const struct bgp_fsm *f, usec_t now, enum bgp_fsm_event *ev);
/* Wait in Idle as after a failure, then BGP_EV_IDLE_HOLD_EXPIRES. */
void bgp_fsm_arm_idle(struct bgp_fsm *f, usec_t now);

#endif
