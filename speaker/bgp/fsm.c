/*
 * The BGP state machine, RFC 4271 section 8.2.2: one function per state. Every cell of (state,
 * event) is in tests/unit/bgp_fsm_test.c. Deviations, each for a reason:
 *  - a NOTIFICATION is never answered with one (section 6.4 over the letter of "any other event");
 *  - FSM errors carry the subcodes of RFC 6608;
 *  - a connection that fails in OpenSent goes to Idle and its pause, not to Active: the pause is
 * the retry timer, and who listens has machines of their own for it.
 */
#include "speaker/bgp/fsm.h"

#include <assert.h>

#include "metallb/xalloc.h"

const char *bgp_state_format(enum bgp_state st)
{
	static const char *const names[BGP_ST_COUNT] = {
		"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established",
	};

	assert(st < BGP_ST_COUNT);
	return names[st];
}

static const struct bgp_fsm_input no_input;

void bgp_fsm_init(struct bgp_fsm *f, const struct bgp_fsm_params *params, usec_t now)
{
	*f = (struct bgp_fsm){.params = params, .state = BGP_ST_IDLE, .since = now};
	for (size_t i = 0; i < BGP_TIMER_COUNT; i++)
		f->timer[i] = USEC_NEVER;
}

/* RFC 4271 section 10: 75 to 100 percent. */
static usec_t jitter(const struct bgp_fsm *f, usec_t t)
{
	return t - t / 4 * random_below(f->params->random, 1024) / 1024;
}

static void stop_timers(struct bgp_fsm *f)
{
	for (size_t i = 0; i < BGP_TIMER_COUNT; i++)
		f->timer[i] = USEC_NEVER;
}

static void set_state(struct bgp_fsm *f, enum bgp_state st, usec_t now)
{
	if (f->state != st)
		f->since = now;
	f->state = st;
}

/* Pause before the next attempt: short at first, then 1, 2, 4, ... s up to the maximum. */
static usec_t idle_pause(const struct bgp_fsm *f)
{
	usec_t t = BGP_RETRY_FIRST;

	if (f->failures > 0) {
		unsigned shift = f->failures - 1 < 16 ? f->failures - 1 : 16;

		t = USEC_PER_SEC << shift;
	}
	if (t > f->params->connect_max)
		t = f->params->connect_max;
	return jitter(f, t);
}

void bgp_fsm_arm_idle(struct bgp_fsm *f, usec_t now)
{
	assert(f->state == BGP_ST_IDLE);
	f->timer[BGP_TIMER_IDLE_HOLD] = now + idle_pause(f);
}

static void arm_hold(struct bgp_fsm *f, usec_t now)
{
	f->timer[BGP_TIMER_HOLD] = f->hold_s ? now + f->hold_s * USEC_PER_SEC : USEC_NEVER;
}

static void arm_keepalive(struct bgp_fsm *f, usec_t now)
{
	f->timer[BGP_TIMER_KEEPALIVE] =
		f->keepalive_s ? now + jitter(f, f->keepalive_s * USEC_PER_SEC) : USEC_NEVER;
}

/* Back to Idle, to try again after a pause. */
static unsigned fail(struct bgp_fsm *f, usec_t now)
{
	unsigned acts = f->state == BGP_ST_ESTABLISHED ? BGP_ACT_DOWN : 0;

	if (acts && now - f->since >= BGP_STABLE)
		f->failures = 0;
	stop_timers(f);
	set_state(f, BGP_ST_IDLE, now);
	bgp_fsm_arm_idle(f, now);
	f->failures++;
	return acts | BGP_ACT_DROP;
}

/* Back to Idle and stay there. */
static unsigned stop(struct bgp_fsm *f, usec_t now)
{
	unsigned acts = f->state == BGP_ST_ESTABLISHED ? BGP_ACT_DOWN : 0;

	stop_timers(f);
	f->failures = 0;
	set_state(f, BGP_ST_IDLE, now);
	return acts | BGP_ACT_DROP;
}

static unsigned notify(struct bgp_fsm *f, const struct bgp_error *e, unsigned acts)
{
	assert(e);
	f->notify = *e;
	return acts | BGP_ACT_NOTIFY;
}

static unsigned notify_code(struct bgp_fsm *f, uint8_t code, uint8_t subcode, const char *why,
			    unsigned acts)
{
	bgp_error_set(&f->notify, code, subcode, NULL, 0, "%s", why);
	return acts | BGP_ACT_NOTIFY;
}

static unsigned connect_start(struct bgp_fsm *f, usec_t now)
{
	stop_timers(f);
	f->timer[BGP_TIMER_CONNECT_RETRY] = now + BGP_CONNECT_TIMEOUT;
	set_state(f, BGP_ST_CONNECT, now);
	return BGP_ACT_CONNECT;
}

static unsigned tcp_up(struct bgp_fsm *f, usec_t now)
{
	stop_timers(f);
	f->timer[BGP_TIMER_HOLD] = now + BGP_OPEN_TIMEOUT;
	set_state(f, BGP_ST_OPENSENT, now);
	return BGP_ACT_OPEN;
}

static unsigned step_idle(struct bgp_fsm *f, enum bgp_fsm_event ev, usec_t now)
{
	switch (ev) {
	case BGP_EV_START:
	case BGP_EV_IDLE_HOLD_EXPIRES:
		return connect_start(f, now);
	case BGP_EV_START_PASSIVE:
		stop_timers(f);
		set_state(f, BGP_ST_ACTIVE, now);
		return 0;
	case BGP_EV_STOP:
	case BGP_EV_AUTO_STOP:
		stop_timers(f); /* also ends the pause of an automatic start */
		return 0;
	default:
		return 0;
	}
}

static unsigned step_connect(struct bgp_fsm *f, enum bgp_fsm_event ev, usec_t now)
{
	switch (ev) {
	case BGP_EV_START:
	case BGP_EV_START_PASSIVE:
		return 0;
	case BGP_EV_STOP:
		return stop(f, now);
	case BGP_EV_CONNECT_RETRY_EXPIRES:
		return BGP_ACT_DROP | connect_start(f, now);
	case BGP_EV_TCP_UP:
		return tcp_up(f, now);
	default:
		return fail(f, now);
	}
}

static unsigned step_active(struct bgp_fsm *f, enum bgp_fsm_event ev, usec_t now)
{
	switch (ev) {
	case BGP_EV_START:
	case BGP_EV_START_PASSIVE:
		return 0;
	case BGP_EV_STOP:
		return stop(f, now);
	case BGP_EV_CONNECT_RETRY_EXPIRES:
		return connect_start(f, now);
	case BGP_EV_TCP_UP:
		return tcp_up(f, now);
	default:
		return fail(f, now);
	}
}

/* What OpenSent, OpenConfirm and Established have in common. */
static unsigned step_connected(struct bgp_fsm *f, enum bgp_fsm_event ev,
			       const struct bgp_fsm_input *in, usec_t now)
{
	static const struct {
		uint8_t subcode;
		const char *why;
	} fsm_errors[BGP_ST_COUNT] = {
		[BGP_ST_OPENSENT] = {1, "message out of turn in OpenSent"},
		[BGP_ST_OPENCONFIRM] = {2, "message out of turn in OpenConfirm"},
		[BGP_ST_ESTABLISHED] = {3, "message out of turn in Established"},
	};

	switch (ev) {
	case BGP_EV_START:
	case BGP_EV_START_PASSIVE:
	case BGP_EV_TCP_UP: /* another connection: a machine of its own */
		return 0;
	case BGP_EV_STOP:
		return notify(f, in->error, stop(f, now));
	case BGP_EV_AUTO_STOP:
	case BGP_EV_HEADER_ERR:
	case BGP_EV_OPEN_ERR:
		return notify(f, in->error, fail(f, now));
	case BGP_EV_HOLD_EXPIRES:
		return notify_code(f, BGP_ERR_HOLD, 0, "hold timer expired", fail(f, now));
	case BGP_EV_COLLISION_DUMP:
		return notify_code(f, BGP_ERR_CEASE, BGP_CEASE_COLLISION,
				   "another connection with this peer stays", fail(f, now));
	case BGP_EV_TCP_FAILS:
	case BGP_EV_NOTIF_VERSION:
	case BGP_EV_NOTIF:
		return fail(f, now);
	default: {
		enum bgp_state st = f->state;

		return notify_code(f, BGP_ERR_FSM, fsm_errors[st].subcode, fsm_errors[st].why,
				   fail(f, now));
	}
	}
}

static unsigned step_opensent(struct bgp_fsm *f, enum bgp_fsm_event ev,
			      const struct bgp_fsm_input *in, usec_t now)
{
	switch (ev) {
	case BGP_EV_OPEN:
		stop_timers(f);
		f->hold_s = in->hold_s;
		f->keepalive_s = f->params->keepalive_s;
		/* a smaller hold time of the peer's shortens the interval too */
		if (f->hold_s == 0)
			f->keepalive_s = 0;
		else if (f->keepalive_s == 0 || f->keepalive_s > f->hold_s / 3)
			f->keepalive_s = f->hold_s / 3;
		arm_hold(f, now);
		arm_keepalive(f, now);
		set_state(f, BGP_ST_OPENCONFIRM, now);
		return BGP_ACT_KEEPALIVE;
	default:
		return step_connected(f, ev, in, now);
	}
}

static unsigned step_openconfirm(struct bgp_fsm *f, enum bgp_fsm_event ev,
				 const struct bgp_fsm_input *in, usec_t now)
{
	switch (ev) {
	case BGP_EV_KEEPALIVE_EXPIRES:
		arm_keepalive(f, now);
		return BGP_ACT_KEEPALIVE;
	case BGP_EV_KEEPALIVE:
		arm_hold(f, now);
		/* one that ends at once, again and again, is tried once a second */
		f->failures = f->failures > 0;
		set_state(f, BGP_ST_ESTABLISHED, now);
		return BGP_ACT_UP;
	default:
		return step_connected(f, ev, in, now);
	}
}

static unsigned step_established(struct bgp_fsm *f, enum bgp_fsm_event ev,
				 const struct bgp_fsm_input *in, usec_t now)
{
	switch (ev) {
	case BGP_EV_KEEPALIVE_EXPIRES:
		arm_keepalive(f, now);
		return BGP_ACT_KEEPALIVE;
	case BGP_EV_KEEPALIVE:
	case BGP_EV_UPDATE:
	case BGP_EV_REFRESH:
		arm_hold(f, now);
		return 0;
	case BGP_EV_UPDATE_ERR:
		return notify(f, in->error, fail(f, now));
	default:
		return step_connected(f, ev, in, now);
	}
}

unsigned bgp_fsm_step(struct bgp_fsm *f, enum bgp_fsm_event ev, const struct bgp_fsm_input *in,
		      usec_t now)
{
	assert(ev < BGP_EV_COUNT);
	if (!in)
		in = &no_input;
	switch (f->state) {
	case BGP_ST_IDLE:
		return step_idle(f, ev, now);
	case BGP_ST_CONNECT:
		return step_connect(f, ev, now);
	case BGP_ST_ACTIVE:
		return step_active(f, ev, now);
	case BGP_ST_OPENSENT:
		return step_opensent(f, ev, in, now);
	case BGP_ST_OPENCONFIRM:
		return step_openconfirm(f, ev, in, now);
	case BGP_ST_ESTABLISHED:
		return step_established(f, ev, in, now);
	default:
		assert(0 && "unknown state");
		return 0;
	}
}

usec_t bgp_fsm_deadline(const struct bgp_fsm *f)
{
	usec_t t = USEC_NEVER;

	for (size_t i = 0; i < BGP_TIMER_COUNT; i++)
		if (f->timer[i] < t)
			t = f->timer[i];
	return t;
}

bool bgp_fsm_due(const struct bgp_fsm *f, usec_t now, enum bgp_fsm_event *ev)
{
	static const enum bgp_fsm_event events[BGP_TIMER_COUNT] = {
		[BGP_TIMER_CONNECT_RETRY] = BGP_EV_CONNECT_RETRY_EXPIRES,
		[BGP_TIMER_HOLD] = BGP_EV_HOLD_EXPIRES,
		[BGP_TIMER_KEEPALIVE] = BGP_EV_KEEPALIVE_EXPIRES,
		[BGP_TIMER_IDLE_HOLD] = BGP_EV_IDLE_HOLD_EXPIRES,
	};

	for (size_t i = 0; i < BGP_TIMER_COUNT; i++)
		if (f->timer[i] <= now) {
			*ev = events[i];
			return true;
		}
	return false;
}
