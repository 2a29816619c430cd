/*
 * The detector: its datagrams, what it refuses, and who is dead, unable, back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/liveness/liveness.h"

#define N  3
#define MS USEC_PER_MSEC

static uint64_t seed;

static void fill(void *user, void *buf, size_t n)
{
	uint8_t *p = buf;

	(void)user;
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(seed >> 33);
	}
}
static const struct random_source rnd = {fill, NULL};

/* ---- datagrams ---- */

static struct gsp_keyring ring_of(const char *key)
{
	struct gsp_keyring ring = {0};

	assert_null(gsp_keyring_add(&ring, key, strlen(key)));
	return ring;
}

static void message_make(struct liveness_message *m, enum liveness_type type)
{
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->session = 0x0102030405060708;
	m->token = 9;
	m->counter = 10;
	strcpy(m->from, "node1");
	strcpy(m->to, "node2");
	if (type == LIVENESS_HELLO)
		m->issue = 11;
	if (type == LIVENESS_BEAT)
		m->bfd = (struct bfd_packet){.state = BFD_UP,
					     .mult = 6,
					     .my_discr = 1,
					     .your_discr = 2,
					     .min_tx = 100000,
					     .min_rx = 100000};
	if (type == LIVENESS_BEAT || type == LIVENESS_ANSWER)
		m->generation = 12;
	if (type >= LIVENESS_ASK) {
		m->nonce = 13;
		assert_true(ip_parse("2001:db8::1", &m->ip));
	}
	if (type != LIVENESS_ANSWER)
		return;
	m->announces = m->state.able = true;
	m->state.n_macs = 2;
	m->state.macs[1].b[5] = 7;
	m->state.n_lost = m->state.n_down = 1;
	strcpy(m->state.lost[0], "eth1");
	strcpy(m->state.down[0], "node3");
}

static void test_round_trip(void **ctx)
{
	struct gsp_keyring ring = ring_of("0123456789abcdef");

	(void)ctx;
	for (unsigned type = LIVENESS_HELLO; type <= LIVENESS_ANSWER; type++) {
		struct liveness_message m, got;
		struct buf b = {0};

		message_make(&m, (enum liveness_type)type);
		assert_true(liveness_encode(&m, &ring, &rnd, &b));
		assert_null(liveness_decode(b.data, b.len, &ring, &got));
		assert_memory_equal(&m, &got, sizeof(m));
		for (size_t len = 0; len < b.len; len++)
			assert_non_null(liveness_decode(b.data, len, &ring, &got));
		for (size_t i = 0; i < b.len; i++) {
			b.data[i] ^= 4;
			assert_non_null(liveness_decode(b.data, b.len, &ring, &got));
			b.data[i] ^= 4;
		}
		buf_fini(&b);
	}
}

static void test_keys(void **ctx)
{
	struct gsp_keyring ring = ring_of("0123456789abcdef"), other = ring_of("fedcba9876543210");
	struct liveness_message m, got;
	struct buf b = {0};

	(void)ctx;
	message_make(&m, LIVENESS_POKE);
	assert_true(liveness_encode(&m, &other, &rnd, &b));
	assert_string_equal(liveness_decode(b.data, b.len, &ring, &got),
			    "no key opens the message");
	/* a key that is being replaced is still understood */
	assert_null(gsp_keyring_add(&ring, "fedcba9876543210", 16));
	assert_null(liveness_decode(b.data, b.len, &ring, &got));
	assert_string_equal(liveness_decode("MLCLplain text, with no key at all", 33, &ring, &got),
			    "unknown encryption version");
	assert_string_equal(liveness_decode("hello", 5, &ring, &got), "not of this protocol");
	buf_fini(&b);
}

static void test_plain(void **ctx)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} cases[] = {
#define HEAD(type)   type "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3"
#define CASE(s, why) {s, sizeof(s) - 1, why}
		CASE(HEAD("\3") "\1a\1b", NULL),
		CASE(HEAD("\3") "\1a\1b!", "malformed"),
		CASE(HEAD("\3") "\2a", "truncated"),
		CASE(HEAD("\3") "\1\0\1b", "malformed"),
		CASE(HEAD("\0") "\1a\1b", "unknown type"),
		CASE(HEAD("\6") "\1a\1b", "unknown type"),
		CASE(HEAD("\4") "\1a\1b\0\0\0\0\0\0\0\1\5aaaaaaaaaaaaaaaa", "malformed"),
		CASE(HEAD("\4") "\1a\1b\0\0\0\0\0\0\0\1\4aaaaaaaaaaaaaaaa", "malformed"),
		CASE(HEAD("\4") "\1a\1b\0\0\0\0\0\0\0\1\6aaaaaaaaaaaaaaaa", NULL),
		CASE(HEAD("\5") "\1a\1b\0\0\0\0\0\0\0\1\0\0\0\1\1\6aaaaaaaaaaaaaaaa\377\0\0",
		     "malformed"), /* 255 hardware addresses */
		CASE(HEAD("\2") "\1a\1b\0\0\0\1\40\100\0\30\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0"
				"\0",
		     "zero detect multiplier"),
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct liveness_message m;
		const char *why = liveness_decode_plain(cases[i].bytes, cases[i].len, &m);

		if (strcmp(why ? why : "-", cases[i].why ? cases[i].why : "-") != 0)
			fail_msg("case %zu: %s", i, why ? why : "taken");
	}
}

/* ---- three nodes on a wire that loses nothing ---- */

struct lab {
	usec_t now;
	struct liveness *l[N];
	struct liveness_state self[N];
	bool cut[N], sleeps[N];
	struct buf last[N]; /* what was last sent to the node */
	const char *drop[N], *died[N];
	char died_name[N][LIVENESS_NAME_MAX + 1];
	usec_t silence[N];
	int answer[N]; /* -1: none, else what was said */
	bool alive[N], paused[N];
};

static const char *const names[N] = {"a", "b", "c"};

static bool announces_v4(void *user, const struct ip *ip)
{
	(void)user;
	return ip->family == IP_V4;
}

static void take(struct lab *lab, unsigned i);

static void deliver(struct lab *lab, unsigned from, const struct liveness_output *o)
{
	unsigned to = o->addr.b[3];

	buf_clear(&lab->last[to]);
	buf_add(&lab->last[to], o->data.data, o->data.len);
	if (lab->cut[from] || lab->cut[to] || lab->sleeps[to] || !lab->l[to])
		return;
	liveness_recv(lab->l[to], o->data.data, o->data.len, lab->now);
	take(lab, to);
}

static void take(struct lab *lab, unsigned i)
{
	struct liveness_output o;

	while (liveness_next_output(lab->l[i], &o)) {
		if (o.type == LIVENESS_OUT_PACKET)
			deliver(lab, i, &o);
		else if (o.type == LIVENESS_OUT_DROP)
			lab->drop[i] = o.why;
		else if (o.type == LIVENESS_OUT_ANSWER)
			lab->answer[i] = o.announces;
		else if (o.type == LIVENESS_OUT_ALIVE)
			lab->alive[i] = true;
		else if (o.type == LIVENESS_OUT_PAUSED)
			lab->paused[i] = true;
		else if (o.type == LIVENESS_OUT_DIED) {
			memcpy(lab->died_name[i], o.name, sizeof(o.name));
			lab->died[i] = lab->died_name[i];
			lab->silence[i] = o.silence;
		}
		buf_fini(&o.data);
	}
}

static void run(struct lab *lab, usec_t time)
{
	for (usec_t end = lab->now + time; lab->now < end; lab->now += 5 * MS) {
		for (unsigned i = 0; i < N; i++) {
			if (!lab->l[i] || lab->sleeps[i] || liveness_deadline(lab->l[i]) > lab->now)
				continue;
			liveness_tick(lab->l[i], lab->now);
			take(lab, i);
		}
	}
}

static void members_set(struct lab *lab, unsigned i, bool usable)
{
	struct liveness_member m[N];
	size_t n = 0;

	for (unsigned j = 0; j < N; j++)
		if (j != i)
			m[n++] = (struct liveness_member){
				names[j], {IP_V4, {10, 0, 0, (uint8_t)j}}, usable};
	liveness_set_members(lab->l[i], m, n, lab->now);
	take(lab, i);
}

static void node_start(struct lab *lab, unsigned i)
{
	struct liveness_config cfg = {.keyring = ring_of("0123456789abcdef"),
				      .interval = 100 * MS,
				      .timeout = 600 * MS,
				      .announces = announces_v4};

	strcpy(cfg.name, names[i]);
	lab->l[i] = liveness_new(&cfg, &rnd, lab->now);
	memset(&lab->self[i], 0, sizeof(lab->self[i]));
	lab->self[i].able = true;
	lab->self[i].n_macs = 1;
	lab->self[i].macs[0] = (struct mac){{2, 0, 0, 0, 0, (uint8_t)i}};
	liveness_set_self(lab->l[i], &lab->self[i], lab->now);
	members_set(lab, i, true);
	lab->died[i] = lab->drop[i] = NULL;
}

static struct lab *lab_new(unsigned n)
{
	struct lab *lab = xcalloc(1, sizeof(*lab));

	lab->now = USEC_PER_SEC;
	for (unsigned i = 0; i < n; i++)
		node_start(lab, i);
	run(lab, 2 * USEC_PER_SEC);
	for (unsigned i = 0; i < n; i++)
		lab->drop[i] = NULL;
	return lab;
}

static void lab_free(struct lab *lab)
{
	for (unsigned i = 0; i < N; i++) {
		liveness_free(lab->l[i]);
		buf_fini(&lab->last[i]);
	}
	free(lab);
}

static enum liveness_verdict verdict(const struct lab *lab, unsigned by, unsigned about)
{
	return liveness_verdict(lab->l[by], names[about]);
}

static void test_dead_and_back(void **ctx)
{
	struct lab *lab = lab_new(3);

	(void)ctx;
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_UP);
	lab->l[1] = liveness_free(lab->l[1]);
	run(lab, 700 * MS);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_DEAD);
	assert_int_equal(verdict(lab, 2, 1), LIVENESS_DEAD);
	assert_int_equal(verdict(lab, 0, 2), LIVENESS_UP);
	assert_string_equal(lab->died[0], "b");
	assert_in_range(lab->silence[0], 600 * MS, 700 * MS);
	node_start(lab, 1);
	run(lab, 1500 * MS);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_UP);
	assert_int_equal(verdict(lab, 1, 0), LIVENESS_UP);
	lab_free(lab);
}

/* With nobody else to ask one must do. A third that never took part cannot be asked. */
static void test_two_nodes(void **ctx)
{
	struct lab *lab = lab_new(2);

	(void)ctx;
	lab->cut[1] = true;
	run(lab, 700 * MS);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_DEAD);
	assert_int_equal(verdict(lab, 0, 2), LIVENESS_UNKNOWN);
	assert_null(lab->drop[0]);
	lab_free(lab);
}

static bool between_a_and_b_only(unsigned from, unsigned to)
{
	return (from == 0 && to == 1) || (from == 1 && to == 0);
}

/* One path is broken: whom others hear is not dead. */
static void test_one_path(void **ctx)
{
	struct lab *lab = lab_new(3);
	struct liveness_output o;

	(void)ctx;
	for (usec_t end = lab->now + 2 * USEC_PER_SEC; lab->now < end; lab->now += 5 * MS) {
		for (unsigned i = 0; i < N; i++) {
			liveness_tick(lab->l[i], lab->now);
			while (liveness_next_output(lab->l[i], &o)) {
				unsigned to = o.addr.b[3];

				if (o.type == LIVENESS_OUT_PACKET && !between_a_and_b_only(i, to))
					liveness_recv(lab->l[to], o.data.data, o.data.len,
						      lab->now);
				assert_int_not_equal(o.type, LIVENESS_OUT_DIED);
				buf_fini(&o.data);
			}
		}
	}
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_UP);
	lab_free(lab);
}

static void test_refused(void **ctx)
{
	struct lab *lab = lab_new(3);
	struct gsp_keyring ring = ring_of("0123456789abcdef");
	struct liveness_message m;
	struct buf b = {0};

	(void)ctx;
	for (int tries = 0; tries < 50; tries++) { /* until the last one to node a is a heartbeat */
		run(lab, 20 * MS);
		assert_null(liveness_decode(lab->last[0].data, lab->last[0].len, &ring, &m));
		if (m.type == LIVENESS_BEAT)
			break;
	}
	assert_int_equal(m.type, LIVENESS_BEAT);
	liveness_recv(lab->l[0], lab->last[0].data, lab->last[0].len, lab->now);
	take(lab, 0);
	assert_string_equal(lab->drop[0], "replayed");
	m.counter += 1000;
	m.token++;
	assert_true(liveness_encode(&m, &ring, &rnd, &b));
	liveness_recv(lab->l[0], b.data, b.len, lab->now);
	take(lab, 0);
	assert_string_equal(lab->drop[0], "another session");
	liveness_recv(lab->l[1], b.data, b.len, lab->now);
	take(lab, 1);
	assert_string_equal(lab->drop[1], "for another node");
	buf_clear(&b);
	strcpy(m.from, "stranger");
	assert_true(liveness_encode(&m, &ring, &rnd, &b));
	liveness_recv(lab->l[0], b.data, b.len, lab->now);
	take(lab, 0);
	assert_string_equal(lab->drop[0], "unknown node");
	buf_clear(&b);
	message_make(&m, LIVENESS_ANSWER);
	strcpy(m.from, "b");
	strcpy(m.to, "a");
	assert_true(liveness_encode(&m, &ring, &rnd, &b));
	liveness_recv(lab->l[0], b.data, b.len, lab->now);
	take(lab, 0);
	assert_string_equal(lab->drop[0], "unasked answer");
	assert_int_equal(liveness_state_of(lab->l[0], "b")->n_lost, 0);
	buf_fini(&b);
	lab_free(lab);
}

static void test_what_nodes_say(void **ctx)
{
	struct lab *lab = lab_new(3);
	struct ip ip;

	(void)ctx;
	assert_string_equal(liveness_node_of_mac(lab->l[0], &lab->self[2].macs[0]), "c");
	assert_null(liveness_node_of_mac(lab->l[0], &(struct mac){{2, 9}}));
	strcpy(lab->self[2].lost[0], "eth1");
	lab->self[2].n_lost = 1;
	liveness_set_self(lab->l[2], &lab->self[2], lab->now);
	take(lab, 2);
	run(lab, 20 * MS);
	assert_int_equal(liveness_state_of(lab->l[0], "c")->n_lost, 1);
	assert_true(ip_parse("10.9.9.9", &ip));
	lab->answer[0] = -1;
	assert_true(liveness_ask(lab->l[0], "c", &ip, lab->now));
	assert_false(liveness_ask(lab->l[0], "c", &ip, lab->now)); /* it is on its way */
	assert_false(liveness_ask(lab->l[0], "nobody", &ip, lab->now));
	take(lab, 0);
	assert_int_equal(lab->answer[0], 1);
	assert_true(ip_parse("2001:db8::9", &ip));
	assert_true(liveness_ask(lab->l[0], "c", &ip, lab->now));
	take(lab, 0);
	assert_int_equal(lab->answer[0], 0);
	/* who goes is no death */
	liveness_leave(lab->l[2], lab->now);
	take(lab, 2);
	assert_int_equal(verdict(lab, 0, 2), LIVENESS_UNABLE);
	lab->answer[0] = -1;
	assert_true(ip_parse("10.9.9.9", &ip));
	assert_true(liveness_ask(lab->l[0], "c", &ip, lab->now));
	take(lab, 0);
	assert_int_equal(lab->answer[0], 0);
	lab->l[2] = liveness_free(lab->l[2]);
	run(lab, 2 * USEC_PER_SEC);
	assert_null(lab->died[0]);
	lab_free(lab);
}

/* A node that gossip has given up is there all the same. */
static void test_proven(void **ctx)
{
	struct lab *lab = lab_new(2);

	(void)ctx;
	lab->cut[1] = true;
	run(lab, USEC_PER_SEC);
	members_set(lab, 0, false);
	run(lab, 4 * USEC_PER_SEC);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_UNKNOWN);
	lab->cut[1] = false;
	run(lab, 1200 * MS);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_PROVEN);
	assert_true(lab->alive[0]);
	lab->cut[1] = true;
	run(lab, LIVENESS_FRESH + 1200 * MS);
	assert_int_equal(verdict(lab, 0, 1), LIVENESS_UNKNOWN);
	lab_free(lab);
}

/* A process that did not run says so and calls nobody dead; the others hear of it at once. */
static void test_slept(void **ctx)
{
	struct lab *lab = lab_new(3);

	(void)ctx;
	lab->sleeps[0] = true;
	run(lab, 3 * USEC_PER_SEC);
	assert_int_equal(verdict(lab, 1, 0), LIVENESS_DEAD);
	lab->sleeps[0] = false;
	run(lab, 10 * MS);
	assert_true(lab->paused[0]);
	assert_int_equal(verdict(lab, 1, 0), LIVENESS_UP);
	run(lab, 2 * USEC_PER_SEC);
	assert_null(lab->died[0]);
	assert_int_equal(verdict(lab, 2, 0), LIVENESS_UP);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_plain),      cmocka_unit_test(test_dead_and_back),
		cmocka_unit_test(test_two_nodes),  cmocka_unit_test(test_one_path),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_what_nodes_say),
		cmocka_unit_test(test_proven),     cmocka_unit_test(test_slept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
