/* The set of BFD sessions: what it drops and why, demultiplexing, AdminDown at the end, profiles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/engine.h"
#include "tests/unit/helpers.h"

#define MS 1000u

/* Different numbers each time, the same in each run. */
static void fill_counting(void *user, void *buf, size_t n)
{
	uint8_t *p = buf;
	static uint32_t next;

	(void)user;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((next += 2654435761u) >> 24);
}
static const struct random_source counting = {fill_counting, NULL};

static struct bfd_session_config config(const char *remote, bool multihop)
{
	return (struct bfd_session_config){
		.path = {.remote = ip_of(remote), .multihop = multihop},
		.params = {.min_tx = 100 * MS, .min_rx = 100 * MS, .mult = 3},
		.min_ttl = 250,
	};
}

/* A packet from 192.0.2.1 on interface 5. */
static const char *give(struct bfd_engine *e, struct bfd_packet pkt, struct bfd_datagram d,
			usec_t now)
{
	uint8_t data[BFD_PACKET_LEN];

	pkt.mult = pkt.mult ? pkt.mult : 3;
	pkt.my_discr = pkt.my_discr ? pkt.my_discr : 77;
	pkt.min_tx = pkt.min_rx = 100 * MS;
	bfd_packet_encode(&pkt, data);
	d.data = data;
	d.len = sizeof(data);
	d.ttl = d.ttl ? d.ttl : 255;
	d.ifindex = d.ifindex ? d.ifindex : 5;
	d.vrf = d.vrf ? d.vrf : "";
	if (d.from.family == IP_NONE)
		d.from = ip_of("192.0.2.1");
	if (d.to.family == IP_NONE)
		d.to = ip_of("192.0.2.9");
	return bfd_engine_recv(e, &d, now);
}

/* All that is to be sent; the last packet decoded in *last. */
static size_t drain(struct bfd_engine *e, usec_t now, struct bfd_packet *last)
{
	struct bfd_send out;
	size_t n = 0;

	while (bfd_engine_output(e, now, &out)) {
		assert_null(bfd_packet_decode(out.data, sizeof(out.data), last));
		n++;
	}
	return n;
}

static uint32_t bring_up(struct bfd_engine *e, struct bfd_datagram d, usec_t now)
{
	struct bfd_packet out;

	assert_null(give(e, (struct bfd_packet){.state = BFD_DOWN}, d, now));
	assert_true(drain(e, now, &out) > 0);
	assert_int_equal(out.state, BFD_INIT);
	assert_null(
		give(e, (struct bfd_packet){.state = BFD_UP, .your_discr = out.my_discr}, d, now));
	drain(e, now, &out);
	assert_int_equal(out.state, BFD_UP);
	return out.my_discr;
}

static void test_drops(void **ctx)
{
	struct bfd_session_config cfgs[] = {config("192.0.2.1", false), config("192.0.2.1", true),
					    config("192.0.2.2", false)};
	const struct bfd_datagram multihop = {.multihop = true, .ttl = 250};
	struct bfd_packet down = {.state = BFD_DOWN};
	struct bfd_engine e;
	struct bfd_packet out;

	(void)ctx;
	strcpy(cfgs[2].path.vrf, "red");
	cfgs[2].path.ifindex = 5;
	cfgs[1].path.local = ip_of("192.0.2.9");
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, cfgs, ARRAY_SIZE(cfgs), 0);
	assert_string_equal(give(&e, down, (struct bfd_datagram){.ttl = 254}, 0),
			    "hop limit is not 255");
	assert_string_equal(give(&e, down, (struct bfd_datagram){.ttl = -1}, 0),
			    "hop limit is not 255");
	assert_string_equal(give(&e, down, (struct bfd_datagram){.multihop = true, .ttl = 249}, 0),
			    "hop limit below the minimum");
	assert_string_equal(give(&e, down,
				 (struct bfd_datagram){.multihop = true, .to = ip_of("192.0.2.8")},
				 0),
			    "unknown sender");
	assert_string_equal(give(&e, down, (struct bfd_datagram){.from = ip_of("192.0.2.2")}, 0),
			    "unknown sender");
	assert_string_equal(
		give(&e, down,
		     (struct bfd_datagram){.from = ip_of("192.0.2.2"), .vrf = "red", .ifindex = 6},
		     0),
		"unknown sender");
	assert_null(
		give(&e, down, (struct bfd_datagram){.from = ip_of("192.0.2.2"), .vrf = "red"}, 0));
	uint32_t single = bring_up(&e, (struct bfd_datagram){0}, 0);

	/* our discriminator, but another address or number of hops: not our peer */
	down.your_discr = single;
	assert_string_equal(give(&e, down, (struct bfd_datagram){.from = ip_of("192.0.2.2")}, 1),
			    "unknown discriminator");
	assert_string_equal(give(&e, down, multihop, 1), "unknown discriminator");
	down.your_discr = single + 1;
	assert_string_equal(give(&e, down, (struct bfd_datagram){0}, 1), "unknown discriminator");
	assert_int_equal(e.wanted[0]->session.state, BFD_UP);
	assert_int_not_equal(bring_up(&e, multihop, 1), single);
	assert_string_equal(e.drops[0].reason, "hop limit is not 255");
	assert_int_equal(e.drops[0].n, 2);
	drain(&e, 1, &out);
	bfd_engine_fini(&e);
}

static void test_events(void **ctx)
{
	struct bfd_session_config cfg = config("192.0.2.1", false);
	struct bfd_packet out, down = {.state = BFD_DOWN, .diag = BFD_DIAG_PATH_DOWN};
	struct bfd_engine e;

	(void)ctx;
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, &cfg, 1, 0);
	down.your_discr = bring_up(&e, (struct bfd_datagram){0}, 0);
	assert_int_equal(e.n_events, 1);
	assert_true(e.events[0].up);
	/* the peer says why */
	assert_null(give(&e, down, (struct bfd_datagram){0}, 10));
	assert_int_equal(e.n_events, 2);
	assert_int_equal(e.events[1].reason, BFD_REASON_NEIGHBOR_DOWN);
	assert_int_equal(e.events[1].diag, BFD_DIAG_PATH_DOWN);
	/* silence */
	drain(&e, 10, &out);
	bring_up(&e, (struct bfd_datagram){0}, 2000 * MS);
	bfd_engine_tick(&e, 2300 * MS);
	assert_int_equal(e.n_events, 4);
	assert_int_equal(e.events[3].reason, BFD_REASON_EXPIRED);
	assert_int_equal(e.events[3].diag, BFD_DIAG_EXPIRED);
	assert_int_equal(e.wanted[0]->counters.up, 2);
	assert_int_equal(e.wanted[0]->counters.down, 2);
	bfd_engine_fini(&e);
}

static void test_removal(void **ctx)
{
	struct bfd_session_config cfg = config("192.0.2.1", false), none;
	struct bfd_packet out;
	struct bfd_engine e;

	(void)ctx;
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, &cfg, 1, 0);
	bfd_engine_set(&e, &none, 0, 0); /* the peer was never heard: nobody to tell */
	assert_int_equal(bfd_engine_deadline(&e), USEC_NEVER);

	bfd_engine_set(&e, &cfg, 1, 0);
	bring_up(&e, (struct bfd_datagram){0}, 0);
	bfd_engine_set(&e, &none, 0, MS);
	assert_int_equal(e.n_wanted, 0);
	assert_int_equal(drain(&e, MS, &out), 1);
	assert_int_equal(out.state, BFD_ADMIN_DOWN);
	assert_int_equal(out.diag, BFD_DIAG_ADMIN_DOWN);
	size_t told = 0;

	for (usec_t now = MS; bfd_engine_deadline(&e) != USEC_NEVER; now += 10 * MS) {
		bfd_engine_tick(&e, now);
		told += drain(&e, now, &out);
		assert_true(now < 2 * BFD_LINGER);
	}
	assert_in_range(told, 2, 4);
	assert_int_equal(e.n_events, 1); /* that it went down is no news to those who did it */
	bfd_engine_fini(&e);
}

static void test_return(void **ctx)
{
	struct bfd_session_config cfg = config("192.0.2.1", false), none;
	struct bfd_packet out;
	struct bfd_engine e;

	(void)ctx;
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, &cfg, 1, 0);
	uint32_t discr = bring_up(&e, (struct bfd_datagram){0}, 0);

	bfd_engine_set(&e, &none, 0, MS);
	bfd_engine_set(&e, &cfg, 1, 2 * MS);
	assert_int_equal(e.n_leaving, 0);
	assert_int_equal(e.wanted[0]->session.state, BFD_DOWN);
	assert_int_equal(bring_up(&e, (struct bfd_datagram){0}, 2000 * MS), discr);
	drain(&e, 2000 * MS, &out);
	bfd_engine_fini(&e);
}

static void test_profile_change(void **ctx)
{
	struct bfd_session_config cfg = config("192.0.2.1", false);
	struct bfd_packet out, final = {.state = BFD_UP, .final = true};
	struct bfd_engine e;

	(void)ctx;
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, &cfg, 1, 0);
	final.your_discr = bring_up(&e, (struct bfd_datagram){0}, 0);
	assert_null(give(&e, final, (struct bfd_datagram){0}, 1));
	bfd_engine_tick(&e, 100 * MS);
	drain(&e, 100 * MS, &out);
	assert_false(out.poll);
	cfg.params.min_tx = 400 * MS;
	cfg.params.mult = 5;
	bfd_engine_set(&e, &cfg, 1, 101 * MS);
	assert_int_equal(drain(&e, 101 * MS, &out), 1);
	assert_true(out.poll && out.mult == 5 && out.min_tx == 400 * MS);
	assert_int_equal(e.wanted[0]->session.state, BFD_UP);
	assert_int_equal(e.n_events, 1);
	bfd_engine_fini(&e);
}

/* Many at once: no burst, and each of them starts. */
static void test_start(void **ctx)
{
	struct bfd_session_config cfgs[200];
	struct bfd_packet out;
	struct bfd_engine e;
	size_t sent = 0;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cfgs); i++) {
		cfgs[i] = config("198.51.100.0", false);
		cfgs[i].path.remote.b[3] = (uint8_t)i;
	}
	bfd_engine_init(&e, &counting);
	bfd_engine_set(&e, cfgs, ARRAY_SIZE(cfgs), 0);
	bfd_engine_set(&e, cfgs, ARRAY_SIZE(cfgs), 0); /* said again: nothing new */
	for (usec_t now = 0; now <= USEC_PER_SEC; now += BFD_START_GAP) {
		bfd_engine_tick(&e, now);
		size_t n = drain(&e, now, &out);

		assert_in_range(n, 0, 10);
		sent += n;
	}
	assert_true(sent >= ARRAY_SIZE(cfgs));
	for (size_t i = 0; i < ARRAY_SIZE(cfgs); i++)
		assert_true(e.wanted[i]->counters.sent > 0);
	bfd_engine_fini(&e);
}

static void test_config(void **ctx)
{
	const struct config_bfd empty = {.receive_interval = BFD_UNSET,
					 .transmit_interval = BFD_UNSET,
					 .detect_multiplier = BFD_UNSET,
					 .echo_interval = BFD_UNSET,
					 .minimum_ttl = BFD_UNSET};
	const struct config_bfd full = {.receive_interval = 10,
					.transmit_interval = 60000,
					.detect_multiplier = 255,
					.minimum_ttl = 1,
					.passive_mode = true};
	const struct config_bfd echo = {.echo_mode = true, .echo_interval = 20};
	const struct config_peer external = {.my_asn = 1};
	static const struct {
		uint32_t my_asn, local_asn, peer_asn;
		const char *dynamic;
		bool connected, ebgp_multihop;
		unsigned ifindex;
		bool multihop;
	} cases[] = {
		{1, 0, 2, "", false, false, 0, false}, /* external: one hop, whatever the subnet */
		{1, 0, 2, "", false, true, 0, true},
		{1, 0, 1, "", true, false, 0, false},
		{1, 0, 1, "", false, false, 0, true},
		{1, 0, 1, "", false, false, 3, false},
		{1, 2, 1, "", false, false, 0, false}, /* localASN makes it external */
		{1, 2, 2, "", false, false, 0, true},
		{1, 0, 0, "internal", false, false, 0, true},
		{1, 0, 0, "external", false, false, 0, false},
	};
	struct ip remote = ip_of("192.0.2.1");
	struct bfd_where here = {.remote = remote, .connected = true, .forwards = true};
	struct bfd_session_config got;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_peer peer = {.my_asn = cases[i].my_asn,
					   .local_asn = cases[i].local_asn,
					   .peer_asn = cases[i].peer_asn,
					   .dynamic_asn = cases[i].dynamic,
					   .ebgp_multihop = cases[i].ebgp_multihop,
					   .vrf = "red"};

		const struct bfd_where where = {.remote = remote,
						.ifindex = cases[i].ifindex,
						.connected = cases[i].connected};

		bfd_session_config_build(&peer, &empty, &where, &got);
		assert_int_equal(got.path.multihop, cases[i].multihop);
		assert_string_equal(got.path.vrf, "red");
	}
	assert_int_equal(got.params.min_tx, 300 * MS);
	assert_int_equal(got.params.min_rx, 300 * MS);
	assert_int_equal(got.params.mult, 3);
	assert_int_equal(got.min_ttl, 254);
	bfd_session_config_build(&(struct config_peer){0}, &full, &here, &got);
	assert_int_equal(got.params.min_tx, 60000 * MS);
	assert_int_equal(got.params.min_rx, 10 * MS);
	assert_int_equal(got.params.mult, 255);
	assert_int_equal(got.min_ttl, 1);
	assert_true(got.params.passive);
	assert_int_equal(got.params.echo, 0);
	bfd_session_config_build(&external, &echo, &here, &got);
	assert_int_equal(got.params.echo, 20 * MS);
	assert_int_equal(got.params.echo_rx, 20 * MS);
	here.forwards = false; /* what we cannot send back we do not promise */
	bfd_session_config_build(&external, &echo, &here, &got);
	assert_int_equal(got.params.echo, 20 * MS);
	assert_int_equal(got.params.echo_rx, 0);
	here.remote = ip_of("2001:db8::1");
	bfd_session_config_build(&external, &echo, &here, &got);
	assert_int_equal(got.params.echo, 20 * MS);
	here.remote = ip_of("fe80::1"); /* which nobody forwards */
	bfd_session_config_build(&external, &echo, &here, &got);
	assert_int_equal(got.params.echo, 0);
}

/* The length of the echo that is sent now; 0: none is. */
static size_t next_echo(struct bfd_engine *e, usec_t now, uint8_t out[BFD_ECHO_MAX])
{
	struct bfd_send send;
	size_t found = 0;

	while (bfd_engine_output(e, now, &send))
		if (send.echo) {
			assert_int_equal(found, 0);
			found = send.len;
			memcpy(out, send.data, send.len);
		}
	return found;
}

/* The two ends, by family. */
static const char *const near_end[] = {"192.0.2.9", "2001:db8::9"};
static const char *const far_end[] = {"192.0.2.1", "2001:db8::1"};

/* Up with a peer that promises to send echo packets back. */
static void echo_up(struct bfd_engine *e, bool v6, usec_t now)
{
	struct bfd_packet out;
	uint8_t data[BFD_PACKET_LEN];
	struct bfd_packet pkt = {.state = BFD_UP,
				 .mult = 3,
				 .my_discr = 77,
				 .min_tx = 100 * MS,
				 .min_rx = 100 * MS,
				 .min_echo_rx = 20 * MS};
	struct bfd_datagram d = {.data = data,
				 .len = sizeof(data),
				 .ttl = 255,
				 .from = ip_of(far_end[v6]),
				 .to = ip_of(near_end[v6]),
				 .vrf = ""};

	pkt.your_discr = bring_up(e, (struct bfd_datagram){.from = d.from, .to = d.to}, now);
	drain(e, now, &out);
	bfd_packet_encode(&pkt, data);
	assert_null(bfd_engine_recv(e, &d, now));
}

static void echo_setup(struct bfd_engine *e, bool v6, bool echo)
{
	struct bfd_session_config cfg = config(far_end[v6], false);

	cfg.params.echo = cfg.params.echo_rx = echo ? 50 * MS : 0;
	bfd_engine_init(e, &counting);
	bfd_engine_set(e, &cfg, 1, 0);
}

static void echo_check(bool v6)
{
	/* version, length, fragment, protocol, from, to, port, UDP length, content, nonce */
	static const size_t marred_v4[] = {0, 3, 7, 9, 15, 19, 23, 25, 28, 29, 35, 51};
	static const size_t marred_v6[] = {5, 6, 23, 39, 43, 45, 48, 49, 55, 71};
	const size_t *marred = v6 ? marred_v6 : marred_v4;
	size_t n = v6 ? ARRAY_SIZE(marred_v6) : ARRAY_SIZE(marred_v4), len;
	uint8_t echo[BFD_ECHO_MAX], older[BFD_ECHO_MAX], copy[BFD_ECHO_MAX];
	struct bfd_engine e;
	usec_t now = 0;

	echo_setup(&e, v6, true);
	echo_up(&e, v6, now);
	bfd_engine_tick(&e, now);
	len = next_echo(&e, now, older);
	assert_int_equal(len, v6 ? 72 : 52);
	/* none came back ever: that is no failure, the peer may not do it after all */
	for (; now < 90 * MS; now += MS) {
		bfd_engine_tick(&e, now);
		next_echo(&e, now, echo);
	}
	assert_int_equal(e.wanted[0]->session.state, BFD_UP);
	memcpy(copy, echo, sizeof(copy));
	echo[v6 ? 7 : 8]--; /* a hop */
	assert_null(bfd_engine_recv_echo(&e, echo, len, now));
	assert_string_equal(bfd_engine_recv_echo(&e, echo, len, now), "old echo");
	assert_string_equal(bfd_engine_recv_echo(&e, older, len, now), "old echo");
	assert_string_equal(bfd_engine_recv_echo(&e, echo, len - 1, now), "short echo");
	assert_string_equal(bfd_engine_recv_echo(&e, echo, 0, now), "short echo");
	for (size_t i = 0; i < n; i++) {
		memcpy(echo, copy, sizeof(echo));
		echo[marred[i]] ^= 1;
		assert_string_equal(bfd_engine_recv_echo(&e, echo, len, now),
				    "echo that is not ours");
	}
	/* now three are lost: down before control packets are missed */
	for (; e.wanted[0]->session.state == BFD_UP; now += MS) {
		assert_true(now < 290 * MS);
		bfd_engine_tick(&e, now);
		next_echo(&e, now, echo);
	}
	assert_in_range(now, 90 * MS + 100 * MS, 290 * MS);
	assert_int_equal(e.wanted[0]->session.reason, BFD_REASON_ECHO_FAILED);
	assert_int_equal(e.events[e.n_events - 1].diag, BFD_DIAG_ECHO_FAILED);
	assert_int_equal(e.wanted[0]->counters.echo_received, 1);
	bfd_engine_fini(&e);
}

static void test_echo(void **ctx)
{
	(void)ctx;
	echo_check(false);
	echo_check(true);
}

/* The process slept: one late echo, no failure. */
static void test_echo_late(void **ctx)
{
	uint8_t echo[BFD_ECHO_MAX];
	struct bfd_engine e;
	size_t len;

	(void)ctx;
	echo_setup(&e, false, true);
	echo_up(&e, false, 0);
	bfd_engine_tick(&e, 0);
	len = next_echo(&e, 0, echo);
	assert_null(bfd_engine_recv_echo(&e, echo, len, 0));
	bfd_engine_tick(&e, 299 * MS);
	assert_true(next_echo(&e, 299 * MS, echo) > 0);
	assert_int_equal(e.wanted[0]->session.state, BFD_UP);
	bfd_engine_fini(&e);
}

/* RFC 1071 over an even number of octets, with what a pseudo header adds; 0xffff: it is right. */
static uint32_t sum_of(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What goes out: packets from us to us, as one can check by hand. */
static void test_echo_packet(void **ctx)
{
	static const uint8_t v4[] = {0x45, 0xc0, 0,    52,   0, 0,  0,   0, 255, 17,
				     0x36, 0x25, 192,  0,    2, 9,  192, 0, 2,   9,
				     0x0e, 0xc9, 0x0e, 0xc9, 0, 32, 0,   0, 1,   24};
	static const uint8_t v6[] = {0x6c, 0,        0,    0,    0,        32,   17,   255,
				     0x20, 0x01,     0x0d, 0xb8, [23] = 9, 0x20, 0x01, 0x0d,
				     0xb8, [39] = 9, 0x0e, 0xc9, 0x0e,     0xc9, 0,    32};
	uint8_t echo[BFD_ECHO_MAX];
	struct bfd_packet out;
	struct bfd_engine e;

	(void)ctx;
	echo_setup(&e, false, true);
	bfd_engine_tick(&e, 0);
	assert_int_equal(drain(&e, 0, &out), 1);
	assert_int_equal(out.min_echo_rx, 50 * MS);
	echo_up(&e, false, 0);
	bfd_engine_tick(&e, 0);
	assert_int_equal(next_echo(&e, 0, echo), 52);
	assert_int_equal(sum_of(0, echo, 20), 0xffff);
	echo[10] = v4[10];
	echo[11] = v4[11];
	assert_memory_equal(echo, v4, sizeof(v4));
	assert_int_equal(e.wanted[0]->counters.echo_sent, 1);
	bfd_engine_fini(&e);
	echo_setup(&e, true, true);
	echo_up(&e, true, 0);
	bfd_engine_tick(&e, 0);
	assert_int_equal(next_echo(&e, 0, echo), 72);
	assert_memory_equal(echo, v6, sizeof(v6));
	assert_int_equal(sum_of(17 + 32, echo + 8, 64), 0xffff); /* pseudo header, UDP */
	bfd_engine_fini(&e);
	echo_setup(&e, false, false);
	echo_up(&e, false, 0);
	bfd_engine_tick(&e, 0);
	assert_int_equal(next_echo(&e, 0, echo), 0);
	bfd_engine_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops),     cmocka_unit_test(test_events),
		cmocka_unit_test(test_removal),   cmocka_unit_test(test_return),
		cmocka_unit_test(test_start),     cmocka_unit_test(test_profile_change),
		cmocka_unit_test(test_config),    cmocka_unit_test(test_echo),
		cmocka_unit_test(test_echo_late), cmocka_unit_test(test_echo_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
