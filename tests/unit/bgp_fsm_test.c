/*
 * Every (state, event) pair of the BGP state machine: next state and actions, as one table; then
 * timers, negotiation and the pauses between attempts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/fsm.h"

static void fill_zero(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0, n);
}

static const struct random_source no_random = {fill_zero, NULL};
static const struct bgp_fsm_params params = {
	.connect_max = 30 * USEC_PER_SEC, .hold_s = 90, .keepalive_s = 30, .random = &no_random};

#define T0 (1000 * USEC_PER_SEC)

/* Shorthand of the table: next state, actions. */
#define ID BGP_ST_IDLE
#define CO BGP_ST_CONNECT
#define AC BGP_ST_ACTIVE
#define OS BGP_ST_OPENSENT
#define OC BGP_ST_OPENCONFIRM
#define ES BGP_ST_ESTABLISHED
#define N  BGP_ACT_NOTIFY
#define D  BGP_ACT_DROP
#define DN BGP_ACT_DOWN
#define C  BGP_ACT_CONNECT
#define O  BGP_ACT_OPEN
#define K  BGP_ACT_KEEPALIVE
#define UP BGP_ACT_UP

struct cell {
	enum bgp_state next;
	unsigned acts;
	uint8_t code, subcode; /* of the NOTIFICATION */
};

#define STAY(st)                                                                                   \
	{                                                                                          \
		st, 0, 0, 0                                                                        \
	}
/* the error given with the event */
#define GIVEN 6, 99

static const struct cell table[BGP_EV_COUNT][BGP_ST_COUNT] = {
	[BGP_EV_START] = {{CO, C}, STAY(CO), STAY(AC), STAY(OS), STAY(OC), STAY(ES)},
	[BGP_EV_STOP] = {STAY(ID),
			 {ID, D},
			 {ID, D},
			 {ID, N | D, GIVEN},
			 {ID, N | D, GIVEN},
			 {ID, DN | N | D, GIVEN}},
	[BGP_EV_START_PASSIVE] = {{AC, 0}, STAY(CO), STAY(AC), STAY(OS), STAY(OC), STAY(ES)},
	[BGP_EV_AUTO_STOP] = {STAY(ID),
			      {ID, D},
			      {ID, D},
			      {ID, N | D, GIVEN},
			      {ID, N | D, GIVEN},
			      {ID, DN | N | D, GIVEN}},
	[BGP_EV_CONNECT_RETRY_EXPIRES] = {STAY(ID),
					  {CO, D | C},
					  {CO, C},
					  {ID, N | D, 5, 1},
					  {ID, N | D, 5, 2},
					  {ID, DN | N | D, 5, 3}},
	[BGP_EV_HOLD_EXPIRES] = {STAY(ID),
				 {ID, D},
				 {ID, D},
				 {ID, N | D, 4, 0},
				 {ID, N | D, 4, 0},
				 {ID, DN | N | D, 4, 0}},
	[BGP_EV_KEEPALIVE_EXPIRES] =
		{STAY(ID), {ID, D}, {ID, D}, {ID, N | D, 5, 1}, {OC, K}, {ES, K}},
	[BGP_EV_IDLE_HOLD_EXPIRES] = {{CO, C},
				      {ID, D},
				      {ID, D},
				      {ID, N | D, 5, 1},
				      {ID, N | D, 5, 2},
				      {ID, DN | N | D, 5, 3}},
	[BGP_EV_TCP_UP] = {STAY(ID), {OS, O}, {OS, O}, STAY(OS), STAY(OC), STAY(ES)},
	[BGP_EV_TCP_FAILS] = {STAY(ID), {ID, D}, {ID, D}, {ID, D}, {ID, D}, {ID, DN | D}},
	[BGP_EV_OPEN] =
		{STAY(ID), {ID, D}, {ID, D}, {OC, K}, {ID, N | D, 5, 2}, {ID, DN | N | D, 5, 3}},
	[BGP_EV_HEADER_ERR] = {STAY(ID),
			       {ID, D},
			       {ID, D},
			       {ID, N | D, GIVEN},
			       {ID, N | D, GIVEN},
			       {ID, DN | N | D, GIVEN}},
	[BGP_EV_OPEN_ERR] = {STAY(ID),
			     {ID, D},
			     {ID, D},
			     {ID, N | D, GIVEN},
			     {ID, N | D, GIVEN},
			     {ID, DN | N | D, GIVEN}},
	[BGP_EV_COLLISION_DUMP] =
		{STAY(ID),
		 {ID, D},
		 {ID, D},
		 {ID, N | D, 6, 7},
		 {ID, N | D, 6, 7},
		 {ID, DN | N | D, 6, 7}},
	[BGP_EV_NOTIF_VERSION] = {STAY(ID), {ID, D}, {ID, D}, {ID, D}, {ID, D}, {ID, DN | D}},
	[BGP_EV_NOTIF] = {STAY(ID), {ID, D}, {ID, D}, {ID, D}, {ID, D}, {ID, DN | D}},
	[BGP_EV_KEEPALIVE] = {STAY(ID), {ID, D}, {ID, D}, {ID, N | D, 5, 1}, {ES, UP}, STAY(ES)},
	[BGP_EV_UPDATE] =
		{STAY(ID), {ID, D}, {ID, D}, {ID, N | D, 5, 1}, {ID, N | D, 5, 2}, STAY(ES)},
	[BGP_EV_UPDATE_ERR] = {STAY(ID),
			       {ID, D},
			       {ID, D},
			       {ID, N | D, 5, 1},
			       {ID, N | D, 5, 2},
			       {ID, DN | N | D, GIVEN}},
	[BGP_EV_REFRESH] =
		{STAY(ID), {ID, D}, {ID, D}, {ID, N | D, 5, 1}, {ID, N | D, 5, 2}, STAY(ES)},
};

/* The shortest way into each state. */
static void bring_to(struct bgp_fsm *f, enum bgp_state st, uint16_t hold_s)
{
	static const enum bgp_fsm_event way[] = {BGP_EV_START, BGP_EV_TCP_UP, BGP_EV_OPEN,
						 BGP_EV_KEEPALIVE};
	static const size_t steps[BGP_ST_COUNT] = {[BGP_ST_CONNECT] = 1,
						   [BGP_ST_OPENSENT] = 2,
						   [BGP_ST_OPENCONFIRM] = 3,
						   [BGP_ST_ESTABLISHED] = 4};
	struct bgp_fsm_input in = {.hold_s = hold_s};

	bgp_fsm_init(f, &params, T0);
	if (st == BGP_ST_ACTIVE)
		bgp_fsm_step(f, BGP_EV_START_PASSIVE, NULL, T0);
	for (size_t i = 0; i < steps[st]; i++)
		bgp_fsm_step(f, way[i], &in, T0);
	assert_int_equal(f->state, st);
}

static void test_every_pair(void **state)
{
	struct bgp_error given;

	(void)state;
	bgp_error_set(&given, 6, 99, NULL, 0, "given");
	for (unsigned ev = 0; ev < BGP_EV_COUNT; ev++)
		for (unsigned st = 0; st < BGP_ST_COUNT; st++) {
			const struct cell *want = &table[ev][st];
			struct bgp_fsm_input in = {.error = &given, .hold_s = 9};
			struct bgp_fsm f;

			bring_to(&f, (enum bgp_state)st, 9);
			unsigned acts = bgp_fsm_step(&f, (enum bgp_fsm_event)ev, &in, T0 + 1);

			if (f.state != want->next || acts != want->acts)
				fail_msg("event %u in %s: %s, actions %#x; expected %s, %#x", ev,
					 bgp_state_format((enum bgp_state)st),
					 bgp_state_format(f.state), acts,
					 bgp_state_format(want->next), want->acts);
			if (acts & BGP_ACT_NOTIFY) {
				assert_int_equal(f.notify.code, want->code);
				assert_int_equal(f.notify.subcode, want->subcode);
			}
			/* nothing but a pause runs in Idle; something always runs elsewhere */
			if (f.state == BGP_ST_IDLE)
				assert_true(bgp_fsm_deadline(&f) == USEC_NEVER ||
					    bgp_fsm_deadline(&f) == f.timer[BGP_TIMER_IDLE_HOLD]);
			else if (f.state != BGP_ST_ACTIVE)
				assert_true(bgp_fsm_deadline(&f) != USEC_NEVER);
		}
}

static void test_hold_negotiation(void **state)
{
	static const struct {
		uint16_t hold, want_hold, want_keepalive;
	} cases[] = {{90, 90, 30}, {9, 9, 3}, {3, 3, 1}, {0, 0, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bgp_fsm f;
		enum bgp_fsm_event ev;

		bring_to(&f, BGP_ST_ESTABLISHED, cases[i].hold);
		assert_int_equal(f.hold_s, cases[i].want_hold);
		assert_int_equal(f.keepalive_s, cases[i].want_keepalive);
		if (cases[i].hold == 0) {
			assert_true(bgp_fsm_deadline(&f) == USEC_NEVER);
			continue;
		}
		assert_false(bgp_fsm_due(&f, T0, &ev));
		assert_true(bgp_fsm_due(&f, T0 + cases[i].want_keepalive * USEC_PER_SEC, &ev));
		f.timer[BGP_TIMER_KEEPALIVE] = USEC_NEVER;
		assert_true(bgp_fsm_due(&f, T0 + cases[i].hold * USEC_PER_SEC, &ev));
		assert_int_equal(ev, BGP_EV_HOLD_EXPIRES);
	}
}

static void test_pauses_grow(void **state)
{
	static const int64_t want_ms[] = {100, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	struct bgp_fsm f;
	usec_t now = T0;

	(void)state;
	bgp_fsm_init(&f, &params, now);
	for (size_t i = 0; i < ARRAY_SIZE(want_ms); i++) {
		if (f.state == BGP_ST_IDLE && i == 0)
			bgp_fsm_step(&f, BGP_EV_START, NULL, now);
		bgp_fsm_step(&f, BGP_EV_TCP_FAILS, NULL, now);
		assert_int_equal(bgp_fsm_deadline(&f) - now, want_ms[i] * USEC_PER_MSEC);
		now = bgp_fsm_deadline(&f);
		bgp_fsm_step(&f, BGP_EV_IDLE_HOLD_EXPIRES, NULL, now);
	}
}

static void test_short_sessions_do_not_hurry(void **state)
{
	struct bgp_fsm f;

	(void)state;
	bring_to(&f, BGP_ST_ESTABLISHED, 90);
	f.failures = 1;
	bgp_fsm_step(&f, BGP_EV_TCP_FAILS, NULL, T0 + USEC_PER_SEC);
	assert_int_equal(f.timer[BGP_TIMER_IDLE_HOLD], T0 + 2 * USEC_PER_SEC);
	bring_to(&f, BGP_ST_ESTABLISHED, 90);
	f.failures = 1;
	bgp_fsm_step(&f, BGP_EV_TCP_FAILS, NULL, T0 + BGP_STABLE);
	assert_int_equal(f.timer[BGP_TIMER_IDLE_HOLD], T0 + BGP_STABLE + BGP_RETRY_FIRST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_hold_negotiation),
		cmocka_unit_test(test_pauses_grow),
		cmocka_unit_test(test_short_sessions_do_not_hurry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
