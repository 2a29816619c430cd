/*
 * The machine of one BFD session: RFC 5880 6.8.1 (variables), 6.8.2 and 6.8.3 (timers and their
 * change), 6.8.4 (detection), 6.8.6 (reception), 6.8.7 (transmission), 6.8.16 (AdminDown). Pure.
 *
 * While not Up there is nobody who must be asked before a timer changes, so new parameters hold at
 * once; coming Up always starts a poll sequence, which tells the peer the final ones.
 */
#include "speaker/bfd/session.h"

#include <assert.h>

const char *bfd_reason_format(enum bfd_reason reason)
{
	static const char *const names[BFD_REASON_COUNT] = {
		"none",
		"detection time expired",
		"neighbor signaled session down",
		"neighbor is administratively down",
		"administratively down",
		"echo function failed",
	};

	assert(reason < BFD_REASON_COUNT);
	return names[reason];
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t wanted_tx(const struct bfd_session *s)
{
	uint32_t slow = s->params.slow_tx ? s->params.slow_tx : BFD_SLOW_TX;

	return s->state == BFD_UP ? s->params.min_tx : max_u32(s->params.min_tx, slow);
}

usec_t bfd_session_detection_time(const struct bfd_session *s)
{
	return (usec_t)s->remote_mult * max_u32(s->used_rx, s->remote_min_tx);
}

usec_t bfd_session_tx_interval(const struct bfd_session *s)
{
	return max_u32(s->used_tx, s->remote_min_rx);
}

/* ---- what is sent when ---- */

/* RFC 5880 6.8.7: whether periodic packets flow at all. */
static bool is_periodic(const struct bfd_session *s)
{
	if (s->params.passive && s->remote_discr == 0)
		return false;
	if (s->remote_min_rx == 0)
		return false;
	return !(s->remote_demand && s->state == BFD_UP && s->remote_state == BFD_UP &&
		 !s->polling);
}

/* The interval less 0 to 25 %, with a multiplier of 1 less 10 to 25 %. */
static usec_t jittered(const struct bfd_session *s, const struct random_source *rnd)
{
	usec_t full = bfd_session_tx_interval(s);
	usec_t spread = s->params.mult == 1 ? full * 15 / 100 : full / 4;

	return full * 3 / 4 + (usec_t)random_below(rnd, (uint32_t)spread + 1);
}

/* A packet out of turn, because something changed that the peer should know at once. */
static void send_urgent(struct bfd_session *s, usec_t now)
{
	if (now - s->urgent_since >= USEC_PER_SEC) {
		s->urgent_since = now;
		s->n_urgent = 0;
	}
	if (s->n_urgent >= BFD_URGENT_MAX || !is_periodic(s))
		return;
	s->n_urgent++;
	s->send = true;
}

/* The next packet no later than the present interval says. */
static void tx_hasten(struct bfd_session *s, usec_t now)
{
	usec_t latest = now + bfd_session_tx_interval(s);

	if (s->tx_at > latest)
		s->tx_at = latest;
}

/* ---- parameters ---- */

/* Bring the wanted intervals to packets and timers (6.8.3), as far as a running poll allows. */
static void params_apply(struct bfd_session *s, usec_t now)
{
	uint32_t tx = wanted_tx(s), rx = s->params.min_rx;
	bool up = s->state == BFD_UP;

	if (up && (s->polling || s->gap))
		return;
	if (up && (tx != s->told_tx || rx != s->told_rx)) {
		s->polling = true;
		send_urgent(s, now);
	}
	s->told_tx = tx;
	s->told_rx = rx;
	if (!up || tx < s->used_tx)
		s->used_tx = tx;
	if (!up || rx > s->used_rx)
		s->used_rx = rx;
	tx_hasten(s, now);
}

static void poll_end(struct bfd_session *s, usec_t now)
{
	s->polling = false;
	s->gap = true;
	s->used_tx = s->told_tx;
	s->used_rx = s->told_rx;
	if (wanted_tx(s) != s->told_tx || s->params.min_rx != s->told_rx)
		send_urgent(s, now);
}

static void set_state(struct bfd_session *s, enum bfd_state state, enum bfd_reason reason,
		      uint8_t diag, usec_t now)
{
	if (s->state == state)
		return;
	s->state = state;
	s->reason = reason;
	s->local_diag = diag;
	s->polling = s->gap = false;
	params_apply(s, now);
	s->polling = state == BFD_UP;
	send_urgent(s, now);
}

void bfd_session_init(struct bfd_session *s, const struct bfd_params *params, uint32_t discr,
		      usec_t now)
{
	assert(discr != 0 && params->mult != 0 && params->min_tx != 0 && params->min_rx != 0);
	*s = (struct bfd_session){
		.params = *params,
		.state = BFD_DOWN,
		.remote_state = BFD_DOWN,
		.local_discr = discr,
		.remote_min_rx = 1,
		.heard = USEC_NEVER,
		.tx_at = now,
		.urgent_since = now,
	};
	params_apply(s, now);
}

void bfd_session_set_params(struct bfd_session *s, const struct bfd_params *params, usec_t now)
{
	bool mult_changed = s->params.mult != params->mult;

	assert(params->mult != 0 && params->min_tx != 0 && params->min_rx != 0);
	s->params = *params;
	params_apply(s, now);
	if (mult_changed)
		send_urgent(s, now);
}

void bfd_session_set_admin(struct bfd_session *s, bool down, usec_t now)
{
	if (down)
		set_state(s, BFD_ADMIN_DOWN, BFD_REASON_ADMIN_DOWN, BFD_DIAG_ADMIN_DOWN, now);
	else if (s->state == BFD_ADMIN_DOWN)
		set_state(s, BFD_DOWN, BFD_REASON_NONE, BFD_DIAG_NONE, now);
}

void bfd_session_echo_failed(struct bfd_session *s, usec_t now)
{
	assert(s->state == BFD_UP);
	set_state(s, BFD_DOWN, BFD_REASON_ECHO_FAILED, BFD_DIAG_ECHO_FAILED, now);
}

/* ---- reception ---- */

/* RFC 5880 6.8.6, the whole state machine: next[ours][what the peer sent]. */
static const uint8_t next_state[BFD_STATE_COUNT][BFD_STATE_COUNT] = {
	/*                   AdminDown       Down            Init            Up */
	[BFD_ADMIN_DOWN] = {BFD_ADMIN_DOWN, BFD_ADMIN_DOWN, BFD_ADMIN_DOWN, BFD_ADMIN_DOWN},
	[BFD_DOWN] = {BFD_DOWN, BFD_INIT, BFD_UP, BFD_DOWN},
	[BFD_INIT] = {BFD_DOWN, BFD_INIT, BFD_UP, BFD_UP},
	[BFD_UP] = {BFD_DOWN, BFD_DOWN, BFD_UP, BFD_UP},
};

static void state_step(struct bfd_session *s, enum bfd_state theirs, usec_t now)
{
	enum bfd_state to = (enum bfd_state)next_state[s->state][theirs];

	if (to == s->state)
		return;
	if (to != BFD_DOWN)
		set_state(s, to, BFD_REASON_NONE, BFD_DIAG_NONE, now);
	else
		set_state(s, to,
			  theirs == BFD_ADMIN_DOWN ? BFD_REASON_NEIGHBOR_ADMIN_DOWN
						   : BFD_REASON_NEIGHBOR_DOWN,
			  BFD_DIAG_NEIGHBOR_DOWN, now);
}

const char *bfd_session_recv(struct bfd_session *s, const struct bfd_packet *pkt, usec_t now,
			     const struct random_source *rnd)
{
	bool was_periodic = is_periodic(s);

	if (pkt->your_discr != 0 && pkt->your_discr != s->local_discr)
		return "discriminator of another session";
	if (pkt->auth)
		return "authentication is not in use";
	s->remote_discr = pkt->my_discr;
	s->remote_state = pkt->state;
	s->remote_diag = pkt->diag;
	s->remote_demand = pkt->demand;
	s->remote_min_rx = pkt->min_rx;
	s->remote_min_tx = pkt->min_tx;
	s->remote_min_echo_rx = pkt->min_echo_rx;
	s->remote_mult = pkt->mult;
	s->heard = now; /* in AdminDown as well, or what is known of the peer would never expire */
	if (s->polling && pkt->final)
		poll_end(s, now);
	if (s->state == BFD_ADMIN_DOWN)
		return "session is administratively down";
	state_step(s, pkt->state, now);
	if (pkt->poll)
		s->send_final = true;
	if (!was_periodic && is_periodic(s))
		s->tx_at = now + (s->send ? jittered(s, rnd) : 0);
	tx_hasten(s, now);
	return NULL;
}

/* ---- time ---- */

/* Nothing was heard for the detection time: 6.8.4, and 6.8.1 on forgetting the peer. */
static void expire(struct bfd_session *s, usec_t now)
{
	s->heard = USEC_NEVER;
	s->remote_discr = 0;
	s->remote_state = BFD_DOWN;
	s->remote_demand = false;
	s->remote_min_rx = 1;
	if (s->state == BFD_INIT || s->state == BFD_UP)
		set_state(s, BFD_DOWN, BFD_REASON_EXPIRED, BFD_DIAG_EXPIRED, now);
}

static usec_t expires_at(const struct bfd_session *s)
{
	return s->heard == USEC_NEVER ? USEC_NEVER : s->heard + bfd_session_detection_time(s);
}

void bfd_session_tick(struct bfd_session *s, usec_t now, const struct random_source *rnd)
{
	if (now >= expires_at(s))
		expire(s, now);
	if (!is_periodic(s) || now < s->tx_at)
		return;
	s->send = true;
	s->tx_at = now + jittered(s, rnd);
}

usec_t bfd_session_deadline(const struct bfd_session *s)
{
	usec_t due = is_periodic(s) ? s->tx_at : USEC_NEVER, expiry = expires_at(s);

	return due < expiry ? due : expiry;
}

bool bfd_session_output(struct bfd_session *s, usec_t now, struct bfd_packet *pkt)
{
	bool final = s->send_final;

	if (!final && !s->send)
		return false;
	*pkt = (struct bfd_packet){
		.diag = s->local_diag,
		.state = s->state,
		.poll = !final && s->polling,
		.final = final,
		.mult = s->params.mult,
		.my_discr = s->local_discr,
		.your_discr = s->remote_discr,
		.min_tx = s->told_tx,
		.min_rx = s->told_rx,
		.min_echo_rx = s->params.echo_rx,
	};
	if (final)
		s->send_final = false;
	else
		s->send = false;
	if (s->gap) { /* this packet had no P: the next poll may begin */
		s->gap = false;
		params_apply(s, now);
	}
	return true;
}
