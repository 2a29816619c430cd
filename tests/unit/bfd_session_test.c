/* The BFD codec's checks one by one, every (state, packet) pair, poll sequences, detection, pace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/session.h"

#define MS 1000u

static void fill_max(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0xff, n);
}
static const struct random_source latest = {fill_max, NULL};

static struct bfd_packet packet(enum bfd_state state, uint32_t yours)
{
	return (struct bfd_packet){.state = state,
				   .mult = 3,
				   .my_discr = 7,
				   .your_discr = yours,
				   .min_tx = 100 * MS,
				   .min_rx = 100 * MS};
}

static void test_decode(void **ctx)
{
	static const uint8_t good[] = {0x20, 0xc0, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9,
				       0,    1,    0, 0,  0, 2, 0, 0, 0, 3, 0, 0};
	static const struct {
		const char *verdict;
		size_t at, len;
		uint8_t value;
	} cases[] = {
		{NULL, 0, 24, 0x20},
		{"short packet", 0, 23, 0x20},
		{"bad version", 0, 24, 0x40},
		{"length too small", 3, 24, 23},
		{"length too small", 1, 24, 0xc4},
		{"length beyond the datagram", 3, 24, 25},
		{"zero detect multiplier", 2, 24, 0},
		{"multipoint bit set", 1, 24, 0xc1},
		{"zero discriminator", 7, 24, 0},
		{"no discriminator of ours in Init or Up", 11, 24, 0},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t b[sizeof(good)], again[BFD_PACKET_LEN];
		struct bfd_packet p;

		memcpy(b, good, sizeof(b));
		b[cases[i].at] = cases[i].value;
		const char *got = bfd_packet_decode(b, cases[i].len, &p);

		if (cases[i].verdict) {
			assert_string_equal(got, cases[i].verdict);
			continue;
		}
		assert_null(got);
		bfd_packet_encode(&p, again);
		assert_memory_equal(again, good, sizeof(good));
	}
}

static void start(struct bfd_session *s, bool passive, uint32_t ms)
{
	struct bfd_params p = {ms * MS, ms * MS, 3, passive};

	bfd_session_init(s, &p, 42, 0);
}

static void give(struct bfd_session *s, struct bfd_packet p, usec_t now)
{
	assert_null(bfd_session_recv(s, &p, now, &latest));
}

static void bring_up(struct bfd_session *s)
{
	struct bfd_packet out, p = packet(BFD_UP, 42);

	give(s, packet(BFD_DOWN, 0), 0);
	give(s, p, 0);
	assert_int_equal(s->state, BFD_UP);
	assert_true(bfd_session_output(s, 0, &out));
	assert_true(out.poll);
	p.final = true;
	give(s, p, 0);
	assert_true(!bfd_session_output(s, 0, &out) || !out.poll);
	bfd_session_tick(s, 100 * MS, &latest);
	assert_true(bfd_session_output(s, 100 * MS, &out));
	assert_false(out.poll);
}

static void test_states(void **ctx)
{
	static const enum bfd_state want[BFD_STATE_COUNT][BFD_STATE_COUNT] = {
		{BFD_ADMIN_DOWN, BFD_ADMIN_DOWN, BFD_ADMIN_DOWN, BFD_ADMIN_DOWN},
		{BFD_DOWN, BFD_INIT, BFD_UP, BFD_DOWN},
		{BFD_DOWN, BFD_INIT, BFD_UP, BFD_UP},
		{BFD_DOWN, BFD_DOWN, BFD_UP, BFD_UP},
	};

	(void)ctx;
	for (int st = 0; st < BFD_STATE_COUNT; st++) {
		for (int sent = 0; sent < BFD_STATE_COUNT; sent++) {
			struct bfd_packet p = packet((enum bfd_state)sent, 42);
			struct bfd_session s;

			start(&s, false, 100);
			if (st == BFD_INIT)
				give(&s, packet(BFD_DOWN, 0), 0);
			if (st == BFD_UP)
				bring_up(&s);
			bfd_session_set_admin(&s, st == BFD_ADMIN_DOWN, 0);
			assert_int_equal(s.state, st);
			const char *drop = bfd_session_recv(&s, &p, MS, &latest);

			assert_int_equal(drop != NULL, st == BFD_ADMIN_DOWN);
			assert_int_equal(s.state, want[st][sent]);
			if (st == BFD_UP && sent <= BFD_DOWN)
				assert_int_equal(s.reason,
						 sent == BFD_DOWN ? BFD_REASON_NEIGHBOR_DOWN
								  : BFD_REASON_NEIGHBOR_ADMIN_DOWN);
		}
	}
}

static void test_detection(void **ctx)
{
	struct bfd_session s;

	(void)ctx;
	start(&s, false, 50);
	bring_up(&s);
	/* the peer's multiplier times the slower of what it sends and what we take */
	assert_int_equal(bfd_session_detection_time(&s), 300 * MS);
	bfd_session_tick(&s, 300 * MS - 1, &latest);
	assert_int_equal(s.state, BFD_UP);
	bfd_session_tick(&s, 300 * MS, &latest);
	assert_int_equal(s.state, BFD_DOWN);
	assert_int_equal(s.reason, BFD_REASON_EXPIRED);
	assert_int_equal(s.local_diag, BFD_DIAG_EXPIRED);
	assert_int_equal(s.remote_discr, 0);
	assert_true(bfd_session_tx_interval(&s) >= BFD_SLOW_TX);
}

/* What was learnt in AdminDown expires, too: the peer may be another process when it ends. */
static void test_admin_down_forgets(void **ctx)
{
	struct bfd_packet out, p = packet(BFD_DOWN, 42);
	struct bfd_session s;

	(void)ctx;
	start(&s, false, 50);
	bring_up(&s);
	bfd_session_set_admin(&s, true, 100 * MS);
	bfd_session_tick(&s, 400 * MS, &latest);
	assert_int_equal(s.remote_discr, 0);
	assert_non_null(bfd_session_recv(&s, &p, 500 * MS, &latest));
	assert_int_equal(s.remote_discr, p.my_discr);
	bfd_session_set_admin(&s, false, 600 * MS);
	bfd_session_tick(&s, 800 * MS, &latest);
	assert_int_equal(s.remote_discr, 0);
	assert_int_equal(s.state, BFD_DOWN);
	assert_true(bfd_session_output(&s, 800 * MS, &out));
	assert_int_equal(out.your_discr, 0); /* so whoever is there now takes it */
}

static void test_poll(void **ctx)
{
	struct bfd_params slower = {400 * MS, 20 * MS, 3, false};
	struct bfd_packet out, p = packet(BFD_UP, 42);
	struct bfd_session s;

	(void)ctx;
	start(&s, false, 100);
	bring_up(&s);
	bfd_session_set_params(&s, &slower, 101 * MS);
	assert_true(bfd_session_output(&s, 101 * MS, &out));
	assert_true(out.poll && out.min_tx == 400 * MS && out.min_rx == 20 * MS);
	assert_int_equal(s.used_tx, 100 * MS); /* larger TX, smaller RX: after the Final */
	assert_int_equal(s.used_rx, 100 * MS);
	p.final = true;
	give(&s, p, 102 * MS);
	assert_int_equal(s.used_tx, 400 * MS);
	assert_int_equal(s.used_rx, 20 * MS);
	assert_int_equal(s.state, BFD_UP);
	p.final = false;
	p.poll = true;
	give(&s, p, 103 * MS);
	assert_true(bfd_session_output(&s, 103 * MS, &out));
	assert_true(out.final && !out.poll);
}

static void test_silence(void **ctx)
{
	struct bfd_packet out, p = packet(BFD_UP, 42);
	struct bfd_session s;

	(void)ctx;
	start(&s, true, 100); /* passive: nothing before the peer speaks */
	bfd_session_tick(&s, 5000 * MS, &latest);
	assert_false(bfd_session_output(&s, 5000 * MS, &out));
	give(&s, packet(BFD_DOWN, 0), 5000 * MS);
	assert_true(bfd_session_output(&s, 5000 * MS, &out));
	assert_int_equal(out.state, BFD_INIT);

	start(&s, false, 100); /* demand mode of the peer: quiet once Up, but for polls */
	bring_up(&s);
	p.demand = true;
	give(&s, p, 101 * MS);
	bfd_session_tick(&s, 350 * MS, &latest);
	assert_false(bfd_session_output(&s, 350 * MS, &out));
	p.poll = true;
	give(&s, p, 351 * MS);
	assert_true(bfd_session_output(&s, 351 * MS, &out) && out.final);
}

static void test_refusals(void **ctx)
{
	struct bfd_packet p = packet(BFD_DOWN, 43), out;
	struct bfd_session s;
	unsigned sent = 0;

	(void)ctx;
	start(&s, false, 100);
	assert_string_equal(bfd_session_recv(&s, &p, 0, &latest),
			    "discriminator of another session");
	p = packet(BFD_DOWN, 42);
	p.auth = true;
	assert_string_equal(bfd_session_recv(&s, &p, 0, &latest), "authentication is not in use");
	for (int i = 0; i < 1000; i++) { /* a peer that flaps does not make us a source of floods */
		give(&s, packet(i % 2 ? BFD_ADMIN_DOWN : BFD_DOWN, 42), i);
		while (bfd_session_output(&s, i, &out))
			sent++;
	}
	assert_in_range(sent, 1, BFD_URGENT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_detection),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_admin_down_forgets),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
