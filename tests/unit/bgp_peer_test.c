/*
 * One peer from the outside, the test being router and shell: drains of both kinds, what a restart
 * means during one, messages in pieces, NOTIFICATION upon NOTIFICATION. What is sent is read as a
 * line of words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/router.h"

#define T0   (1000 * USEC_PER_SEC)
#define WAIT (5 * USEC_PER_SEC)

struct world {
	struct bgp_router router;
	struct bgp_peer *peer;
	usec_t now;
	size_t connects; /* attempts */
	struct buf said; /* "open keepalive update gshut withdraw eor cease/2 ..." */
	struct buf wire; /* not yet read */
};

static void fill_zero(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0, n);
}

static const struct random_source no_random = {fill_zero, NULL};
static const struct bgp_local local = {.addr = {.family = IP_V4, .b = {192, 0, 2, 1}}};

static const char *update_word(const uint8_t *body, size_t len)
{
	static const uint8_t gshut[] = {0xFF, 0xFF, 0, 0};

	if (len == 4)
		return "eor";
	if (body[0] || body[1])
		return "withdraw";
	return memmem(body, len, gshut, sizeof(gshut)) ? "gshut" : "update";
}

static void read_wire(struct world *w)
{
	struct bgp_error e;
	size_t len;
	uint8_t type;

	while (bgp_frame_decode((const uint8_t *)w->wire.data, w->wire.len, BGP_MSG_MAX, &type,
				&len, &e) == BGP_FRAME_OK) {
		const uint8_t *body = (const uint8_t *)w->wire.data + BGP_HEADER_LEN;

		if (w->said.len)
			buf_add_char(&w->said, ' ');
		if (type == BGP_OPEN)
			buf_add_str(&w->said, "open");
		else if (type == BGP_KEEPALIVE)
			buf_add_str(&w->said, "keepalive");
		else if (type == BGP_UPDATE)
			buf_add_str(&w->said, update_word(body, len - BGP_HEADER_LEN));
		else
			buf_printf(&w->said, "%u/%u", body[0], body[1]);
		buf_consume(&w->wire, len);
	}
}

/* What the shell does after each call: the bytes go out, closes and connects happen. */
static void sync_io(struct world *w)
{
	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct bgp_conn *c = &w->peer->conn[i];

		for (size_t n; (n = c->tx.len) > 0;) {
			buf_add(&w->wire, c->tx.data, n);
			bgp_peer_sent(w->peer, i, n, w->now);
			read_wire(w);
		}
		if (c->want_close)
			bgp_peer_closed(w->peer, i);
		if (!c->want_connect)
			continue;
		c->want_connect = false;
		c->is_open = true;
		w->connects++;
		bgp_peer_connected(w->peer, i, &local, w->now);
		i--; /* the OPEN */
	}
	w->router.shared.events.n = 0;
}

static void run_until(struct world *w, usec_t end)
{
	for (usec_t due; (due = bgp_router_deadline(&w->router)) <= end;) {
		w->now = due > w->now ? due : w->now;
		bgp_router_tick(&w->router, w->now);
		sync_io(w);
	}
	w->now = end;
}

/* What was said since the last call. */
static void expect(struct world *w, const char *words)
{
	assert_string_equal(buf_str(&w->said), words);
	buf_clear(&w->said);
}

static void feed(struct world *w, const void *data, size_t len)
{
	if (w->peer->conn[0].is_open)
		bgp_peer_recv(w->peer, 0, data, len, w->now);
	sync_io(w);
}

/* OPEN of a router that can restart gracefully, and its KEEPALIVE. */
static struct wr greeting(uint8_t *buf, size_t size)
{
	struct wr w = wr_init(buf, size);
	struct bgp_open o = {
		.asn = 65000,
		.hold_s = 90,
		.id = 0x0A000001,
		.caps = {.multiprotocol = true,
			 .families = BGP_FAMILY_V4,
			 .as4 = true,
			 .asn4 = 65000,
			 .gr = true,
			 .gr_notification = true,
			 .gr_time_s = 120,
			 .gr_families = BGP_FAMILY_V4},
	};

	bgp_open_encode(&w, &o);
	bgp_keepalive_encode(&w);
	return w;
}

static struct world *world_new(bool gr)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct bgp_peer_config cfg = {
		.name = "p",
		.address = {.family = IP_V4, .b = {192, 0, 2, 2}},
		.port = 179,
		.local_asn = 65001,
		.peer_asn = 65000,
		.families = BGP_FAMILY_V4,
		.connect_s = 30,
		.graceful_restart = gr,
		.restart_s = 120,
	};
	struct err err;

	w->now = T0;
	bgp_router_init(&w->router, &no_random, "node", true);
	assert_true(bgp_router_set_peers(&w->router, &cfg, 1, w->now, &err));
	w->peer = w->router.peers[0];
	return w;
}

static void world_free(struct world *w)
{
	bgp_router_fini(&w->router);
	buf_fini(&w->said);
	buf_fini(&w->wire);
	free(w);
}

static void set_routes(struct world *w, size_t n)
{
	struct bgp_route r[2] = {0};
	struct err err;

	assert_true(prefix_parse("198.51.100.1/32", &r[0].prefix));
	assert_true(prefix_parse("198.51.100.2/32", &r[1].prefix));
	assert_true(bgp_router_set_routes(&w->router, "p", r, n, w->now, &err));
	sync_io(w);
}

static void come_up(struct world *w)
{
	uint8_t buf[BGP_MSG_MAX];
	struct wr g = greeting(buf, sizeof(buf));

	run_until(w, w->now + USEC_PER_SEC);
	feed(w, buf, wr_len(&g));
	assert_non_null(w->peer->up);
}

/* ---- drains ---- */

static void test_drain_keeps_the_session(void **state)
{
	struct world *w = world_new(true);

	(void)state;
	set_routes(w, 2);
	come_up(w);
	expect(w, "open keepalive update eor");
	bgp_router_drain(&w->router, WAIT, false, "label", w->now);
	sync_io(w);
	expect(w, "gshut");
	set_routes(w, 1); /* ignored */
	run_until(w, w->now + WAIT - 1);
	expect(w, "");
	assert_false(bgp_router_is_drained(&w->router));
	run_until(w, w->now + 1);
	expect(w, "withdraw");
	assert_true(bgp_router_is_drained(&w->router));
	assert_non_null(w->peer->up);
	/* the same again is no news; the end is */
	bgp_router_drain(&w->router, WAIT, false, "label", w->now);
	sync_io(w);
	expect(w, "");
	bgp_router_undrain(&w->router, w->now);
	set_routes(w, 2);
	expect(w, "update");
	world_free(w);
}

static void test_drain_ends_the_session(void **state)
{
	struct world *w = world_new(true);

	(void)state;
	set_routes(w, 2);
	come_up(w);
	expect(w, "open keepalive update eor");
	bgp_router_drain(&w->router, WAIT, true, "removed", w->now);
	run_until(w, w->now + WAIT);
	expect(w, "gshut withdraw 6/9"); /* Hard Reset: a helper must not keep the routes */
	assert_null(w->peer->up);
	run_until(w, w->now + 600 * USEC_PER_SEC);
	expect(w, "");
	bgp_router_undrain(&w->router, w->now);
	set_routes(w, 1);
	come_up(w);
	expect(w, "open keepalive update eor");
	world_free(w);
}

static void test_drain_is_told_to_end(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	set_routes(w, 2);
	come_up(w);
	expect(w, "open keepalive update eor");
	bgp_router_drain(&w->router, WAIT, false, "label", w->now);
	sync_io(w);
	bgp_router_drain(&w->router, WAIT, true, "removed", w->now);
	run_until(w, w->now + WAIT);
	expect(w, "gshut withdraw 6/2");
	bgp_router_undrain(&w->router, w->now);
	bgp_router_drain(&w->router, WAIT, false, "label", w->now);
	come_up(w); /* without routes */
	expect(w, "open keepalive eor");
	bgp_router_drain(&w->router, WAIT, true, "removed", w->now);
	sync_io(w);
	expect(w, "6/2");
	assert_true(bgp_router_is_drained(&w->router));
	world_free(w);
}

static void test_drain_without_routes_waits_for_nothing(void **state)
{
	struct world *w = world_new(false);

	(void)state;
	set_routes(w, 0);
	come_up(w);
	expect(w, "open keepalive eor");
	bgp_router_drain(&w->router, WAIT, true, "removed", w->now);
	sync_io(w);
	expect(w, "6/2");
	world_free(w);
}

/* A peer that is replaced while its routes are withdrawn does not bring them back. */
static void test_drain_and_another_configuration(void **state)
{
	struct world *w = world_new(false);
	struct bgp_peer_config cfg = w->peer->cfg;
	struct err err;

	(void)state;
	cfg.name = "p";
	cfg.interface = cfg.vrf = cfg.password = "";
	set_routes(w, 2);
	bgp_router_drain(&w->router, WAIT, false, "label", w->now);
	cfg.hold_s = 9;
	assert_true(bgp_router_set_peers(&w->router, &cfg, 1, w->now, &err));
	bgp_router_reap(&w->router);
	w->peer = w->router.peers[0];
	come_up(w);
	expect(w, "open keepalive eor");
	world_free(w);
}

static void test_shutdown(void **state)
{
	(void)state;
	for (int drains = 0; drains < 2; drains++)
		for (int gr = 0; gr < 2; gr++) {
			static const char *const says[2][2] = {{"6/4", ""},
							       {"gshut 6/2", "gshut 6/9"}};
			struct world *w = world_new(gr);

			set_routes(w, 2);
			come_up(w);
			expect(w, "open keepalive update eor");
			if (drains)
				bgp_router_drain(&w->router, WAIT, true, "removed", w->now);
			bgp_router_shutdown(&w->router, "restart", w->now);
			sync_io(w);
			expect(w, says[drains][gr]);
			world_free(w);
		}
}

/* ---- bad routers ---- */

/* An OPEN, KEEPALIVE, an UPDATE that is treated as withdraw and a NOTIFICATION: at every cut. */
static void test_messages_in_pieces(void **state)
{
	static const uint8_t no_attributes[] = {0, 0, 0, 0, 8, 10}; /* 10.0.0.0/8 out of nothing */
	struct bgp_error e = {.code = BGP_ERR_CEASE, .subcode = BGP_CEASE_RESET};
	uint8_t buf[BGP_MSG_MAX];
	struct wr g = greeting(buf, sizeof(buf));

	(void)state;
	for (size_t i = 0; i < BGP_MARKER_LEN; i++)
		wr_u8(&g, 0xFF);
	wr_u16(&g, BGP_HEADER_LEN + sizeof(no_attributes));
	wr_u8(&g, BGP_UPDATE);
	wr_bytes(&g, no_attributes, sizeof(no_attributes));
	bgp_notification_encode(&g, &e);
	for (size_t cut = 0; cut <= wr_len(&g); cut++) {
		struct world *w = world_new(false);

		run_until(w, w->now + USEC_PER_SEC);
		feed(w, buf, cut);
		for (size_t i = cut; cut % 2 && i < wr_len(&g); i++)
			feed(w, buf + i, 1);
		feed(w, buf + cut, cut % 2 ? 0 : wr_len(&g) - cut);
		expect(w, "open keepalive");
		assert_int_equal(w->peer->counters.established, 1);
		assert_int_equal(w->peer->counters.updates_malformed, 1);
		assert_int_equal(w->peer->counters.notifications_received, 1);
		assert_string_equal(w->peer->last_error,
				    "the peer sent NOTIFICATION Cease/Administrative Reset");
		world_free(w);
	}
}

/* A router that answers every OPEN with a NOTIFICATION is asked ever more rarely, and told once. */
static void test_notification_flood(void **state)
{
	struct world *w = world_new(false);
	struct bgp_error e = {.code = BGP_ERR_CEASE, .subcode = BGP_CEASE_REJECTED};
	uint8_t buf[BGP_MSG_MAX];
	struct wr n = wr_init(buf, sizeof(buf));
	usec_t end = w->now + 600 * USEC_PER_SEC;
	size_t told = 0;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		bgp_notification_encode(&n, &e);
	while (w->now < end) {
		if (!w->peer->conn[0].is_open) {
			run_until(w, w->now + USEC_PER_SEC / 10);
			continue;
		}
		bgp_peer_recv(w->peer, 0, buf, wr_len(&n), w->now);
		told += w->router.shared.events.n;
		sync_io(w);
	}
	assert_in_range(w->connects, 20, 60);
	assert_int_equal(told, 1);
	assert_int_equal(w->peer->counters.notifications_received, w->connects);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_keeps_the_session),
		cmocka_unit_test(test_drain_ends_the_session),
		cmocka_unit_test(test_drain_is_told_to_end),
		cmocka_unit_test(test_drain_without_routes_waits_for_nothing),
		cmocka_unit_test(test_drain_and_another_configuration),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_messages_in_pieces),
		cmocka_unit_test(test_notification_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
