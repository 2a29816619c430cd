/*
 * The rules of gossip membership, one by one: every row of alive, suspect, dead and refute; the
 * formulas against values computed by memberlist; versions, leave, forged and oversized messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim.h"

#define MS       ((usec_t)1000)
#define START    (1000 * USEC_PER_SEC)
#define NO_STATE (-1) /* not known */

static void fill(void *user, void *p, size_t n)
{
	uint64_t *seed = user;

	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)p)[i] = (uint8_t)(*seed >> 56);
	}
}

static uint64_t seed = 1;
static const struct random_source source = {fill, &seed};

static struct ip addr_of(uint8_t last)
{
	return ip_from_v4((const uint8_t[4]){10, 0, 0, last});
}

static struct swim_config config(void)
{
	struct swim_config cfg = swim_config_lan();

	strcpy(cfg.name, "self");
	cfg.addr = addr_of(1);
	cfg.port = 7946;
	return cfg;
}

/* Which events and drops came out since the last call; packets are thrown away. */
struct seen {
	unsigned joins, leaves, updates, conflicts, drops, packets, dials;
	const char *why;
};

static struct seen take(struct swim *s)
{
	struct seen seen = {0};
	struct swim_output o;

	while (swim_next_output(s, &o)) {
		seen.joins += o.type == SWIM_OUT_JOIN;
		seen.leaves += o.type == SWIM_OUT_LEAVE;
		seen.updates += o.type == SWIM_OUT_UPDATE;
		seen.conflicts += o.type == SWIM_OUT_CONFLICT;
		seen.packets += o.type == SWIM_OUT_PACKET;
		seen.dials += o.type == SWIM_OUT_DIAL;
		if (o.type == SWIM_OUT_DROP) {
			seen.drops++;
			seen.why = o.why;
		}
		buf_fini(&o.data);
	}
	return seen;
}

static struct gsp_bytes bytes(const char *s)
{
	return (struct gsp_bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static const uint8_t good_vsn[] = {1, 5, 2, 0, 0, 0};

static void say(struct swim *s, usec_t now, enum gsp_type type, const struct gsp_msg *m)
{
	struct ip from = addr_of(9);
	struct buf b = {0};

	gsp_encode(type, m, &b);
	swim_recv_packet(s, now, &from, 7946, b.data, b.len);
	buf_fini(&b);
}

static struct gsp_msg alive_msg(const char *node, uint32_t inc, uint8_t last)
{
	static uint8_t addr[4];

	memcpy(addr, (const uint8_t[4]){10, 0, 0, last}, 4);
	return (struct gsp_msg){
		.node = bytes(node),
		.incarnation = inc,
		.addr = {addr, 4},
		.port = 7946,
		.vsn = {good_vsn, sizeof(good_vsn)},
	};
}

static void say_alive(struct swim *s, usec_t now, const char *node, uint32_t inc, uint8_t last)
{
	struct gsp_msg m = alive_msg(node, inc, last);

	say(s, now, GSP_ALIVE, &m);
}

static void say_verdict(struct swim *s, usec_t now, enum gsp_type type, const char *node,
			uint32_t inc, const char *from)
{
	struct gsp_msg m = {.node = bytes(node), .incarnation = inc, .from = bytes(from)};

	say(s, now, type, &m);
}

static struct swim *engine(void)
{
	struct swim_config cfg = config();
	struct swim *s = swim_new(&cfg, &source, START);

	take(s);
	return s;
}

static int state_of(const struct swim *s, const char *name, uint32_t *inc)
{
	struct swim_member m;

	if (!swim_member_find(s, name, &m))
		return NO_STATE;
	*inc = m.incarnation;
	return (int)m.state;
}

/* ---- the rules, by table ---- */

#define STEPS_MAX 6

struct step {
	enum gsp_type type; /* GSP_PING: end of the steps */
	const char *node;
	uint32_t inc;
	const char *from; /* alive: the address's last byte, as text */
};

struct row {
	const char *what;
	struct step steps[STEPS_MAX];
	const char *node;
	int state;
	uint32_t inc;
	unsigned joins, leaves, conflicts;
};

#define ALIVE(n, i)                                                                                \
	{                                                                                          \
		GSP_ALIVE, n, i, "2"                                                               \
	}
#define MOVED(n, i)                                                                                \
	{                                                                                          \
		GSP_ALIVE, n, i, "3"                                                               \
	}
#define SUSPECT(n, i, f)                                                                           \
	{                                                                                          \
		GSP_SUSPECT, n, i, f                                                               \
	}
#define DEAD(n, i, f)                                                                              \
	{                                                                                          \
		GSP_DEAD, n, i, f                                                                  \
	}

static const struct row rows[] = {
	{"a new node", {ALIVE("b", 1)}, "b", GSP_ST_ALIVE, 1, 1, 0, 0},
	{"incarnation 0 is no appearance", {ALIVE("b", 0)}, "b", GSP_ST_DEAD, 0, 0, 0, 0},
	{"a newer life", {ALIVE("b", 1), ALIVE("b", 7)}, "b", GSP_ST_ALIVE, 7, 1, 0, 0},
	{"an older life", {ALIVE("b", 7), ALIVE("b", 3)}, "b", GSP_ST_ALIVE, 7, 1, 0, 0},
	{"another address", {ALIVE("b", 1), MOVED("b", 9)}, "b", GSP_ST_ALIVE, 1, 1, 0, 1},
	{"the dead do not move",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), MOVED("b", 9)},
	 "b",
	 GSP_ST_DEAD,
	 1,
	 1,
	 1,
	 1},
	{"who left may move, with any incarnation",
	 {ALIVE("b", 5), DEAD("b", 5, "b"), MOVED("b", 1)},
	 "b",
	 GSP_ST_ALIVE,
	 1,
	 2,
	 1,
	 0},
	{"suspected", {ALIVE("b", 1), SUSPECT("b", 1, "c")}, "b", GSP_ST_SUSPECT, 1, 1, 0, 0},
	{"suspected in a later life",
	 {ALIVE("b", 1), SUSPECT("b", 4, "c")},
	 "b",
	 GSP_ST_SUSPECT,
	 4,
	 1,
	 0,
	 0},
	{"suspected in an earlier life",
	 {ALIVE("b", 4), SUSPECT("b", 3, "c")},
	 "b",
	 GSP_ST_ALIVE,
	 4,
	 1,
	 0,
	 0},
	{"suspected by nobody, twice",
	 {ALIVE("b", 1), SUSPECT("b", 1, NULL), SUSPECT("b", 1, NULL)},
	 "b",
	 GSP_ST_SUSPECT,
	 1,
	 1,
	 0,
	 0},
	{"a suspect unknown", {SUSPECT("b", 1, "c")}, "b", NO_STATE, 0, 0, 0, 0},
	{"the dead are not suspected",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), SUSPECT("b", 2, "c")},
	 "b",
	 GSP_ST_DEAD,
	 1,
	 1,
	 1,
	 0},
	{"a suspect is not cleared by the same life",
	 {ALIVE("b", 1), SUSPECT("b", 1, "c"), ALIVE("b", 1)},
	 "b",
	 GSP_ST_SUSPECT,
	 1,
	 1,
	 0,
	 0},
	{"a suspect refutes: no second join",
	 {ALIVE("b", 1), SUSPECT("b", 1, "c"), ALIVE("b", 2)},
	 "b",
	 GSP_ST_ALIVE,
	 2,
	 1,
	 0,
	 0},
	{"dead", {ALIVE("b", 1), DEAD("b", 1, "c")}, "b", GSP_ST_DEAD, 1, 1, 1, 0},
	{"dead in an earlier life",
	 {ALIVE("b", 4), DEAD("b", 3, "c")},
	 "b",
	 GSP_ST_ALIVE,
	 4,
	 1,
	 0,
	 0},
	{"dead unknown", {DEAD("b", 1, "c")}, "b", NO_STATE, 0, 0, 0, 0},
	{"dead twice is dead once",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), DEAD("b", 2, "d")},
	 "b",
	 GSP_ST_DEAD,
	 1,
	 1,
	 1,
	 0},
	{"dead does not become left",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), DEAD("b", 1, "b")},
	 "b",
	 GSP_ST_DEAD,
	 1,
	 1,
	 1,
	 0},
	{"a replayed life does not raise the dead",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), ALIVE("b", 1)},
	 "b",
	 GSP_ST_DEAD,
	 1,
	 1,
	 1,
	 0},
	{"left", {ALIVE("b", 1), DEAD("b", 1, "b")}, "b", GSP_ST_LEFT, 1, 1, 1, 0},
	{"back from the dead",
	 {ALIVE("b", 1), DEAD("b", 1, "c"), ALIVE("b", 2)},
	 "b",
	 GSP_ST_ALIVE,
	 2,
	 2,
	 1,
	 0},
	/* our own record: incarnation 1 at the start */
	{"suspected ourselves", {SUSPECT("self", 1, "c")}, "self", GSP_ST_ALIVE, 2, 0, 0, 0},
	{"suspected in a life to come",
	 {SUSPECT("self", 8, "c")},
	 "self",
	 GSP_ST_ALIVE,
	 9,
	 0,
	 0,
	 0},
	{"suspected in a past life", {SUSPECT("self", 0, "c")}, "self", GSP_ST_ALIVE, 1, 0, 0, 0},
	{"a forged death", {DEAD("self", 1, "c")}, "self", GSP_ST_ALIVE, 2, 0, 0, 0},
	{"a forged leave", {DEAD("self", 4, "self")}, "self", GSP_ST_ALIVE, 5, 0, 0, 0},
	{"our name from elsewhere", {ALIVE("self", 9)}, "self", GSP_ST_ALIVE, 1, 0, 0, 1},
	{"our own word from a former life",
	 {{GSP_ALIVE, "self", 6, "1"}},
	 "self",
	 GSP_ST_ALIVE,
	 7,
	 0,
	 0,
	 0},
	{"our own word echoed", {{GSP_ALIVE, "self", 1, "1"}}, "self", GSP_ST_ALIVE, 1, 0, 0, 0},
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct swim *s = engine();
		uint32_t inc = 0;

		for (size_t j = 0; j < STEPS_MAX && row->steps[j].node; j++) {
			const struct step *p = &row->steps[j];

			if (p->type == GSP_ALIVE)
				say_alive(s, START, p->node, p->inc, (uint8_t)(p->from[0] - '0'));
			else
				say_verdict(s, START, p->type, p->node, p->inc, p->from);
		}
		struct seen seen = take(s);
		int got = state_of(s, row->node, &inc);

		if (got != row->state || inc != row->inc || seen.joins != row->joins ||
		    seen.leaves != row->leaves || seen.conflicts != row->conflicts)
			fail_msg("%s: state %d inc %u, joins %u leaves %u conflicts %u", row->what,
				 got, inc, seen.joins, seen.leaves, seen.conflicts);
		swim_free(s);
	}
}

static void test_refuting_costs_health(void **state)
{
	struct swim *s = engine();

	(void)state;
	assert_int_equal(swim_health_score(s), 0);
	for (uint32_t i = 1; i < 20; i++) {
		say_verdict(s, START, GSP_SUSPECT, "self", i, "c");
		assert_true(swim_health_score(s) <= 7);
	}
	assert_int_equal(swim_health_score(s), 7);
	swim_free(s);
}

/* ---- messages that no good node sends ---- */

static void test_bad_alives(void **state)
{
	static uint8_t meta[SWIM_META_MAX + 1];
	char name[SWIM_NAME_MAX + 2];
	const uint8_t no_vsn[] = {0, 5, 2, 0, 0, 0}, crossed[] = {5, 1, 2, 0, 0, 0};
	struct gsp_msg good = alive_msg("b", 1, 2), m[8];
	struct swim *s = engine();
	uint32_t inc;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		m[i] = good;
	m[0].node = bytes("");
	m[1].node = bytes(name);
	m[2].addr.n = 3;
	m[3].meta = (struct gsp_bytes){meta, sizeof(meta)};
	m[4].vsn.n = 5;
	m[5].vsn.p = no_vsn;
	m[6].vsn.p = crossed;
	m[7].addr.n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		say(s, START, GSP_ALIVE, &m[i]);
		if (take(s).drops != 1)
			fail_msg("bad alive %zu was not dropped", i);
	}
	assert_int_equal(state_of(s, "b", &inc), NO_STATE);
	say(s, START, GSP_ALIVE, &good);
	assert_int_equal(take(s).joins, 1);
	swim_free(s);
}

static void test_wrong_key(void **state)
{
	struct swim_config cfg = config();
	struct random_source random = source;
	struct gsp_keyring theirs = {0};
	struct buf msg = {0}, sealed = {0};
	struct gsp_msg alive = alive_msg("b", 1, 2);
	struct ip from = addr_of(9);

	(void)state;
	assert_null(gsp_keyring_add(&cfg.keyring, "0123456789abcdef", 16));
	assert_null(gsp_keyring_add(&theirs, "fedcba9876543210", 16));
	struct swim *s = swim_new(&cfg, &source, START);

	take(s);
	gsp_encode(GSP_ALIVE, &alive, &msg);
	swim_recv_packet(s, START, &from, 7946, msg.data, msg.len);
	assert_int_equal(take(s).drops, 1);
	assert_true(gsp_seal(&theirs, 1, &random, msg.data, msg.len, NULL, 0, &sealed));
	swim_recv_packet(s, START, &from, 7946, sealed.data, sealed.len);
	struct seen seen = take(s);

	assert_int_equal(seen.drops, 1);
	assert_int_equal(seen.joins, 0);
	/* the same key on both sides, through a rotation */
	assert_null(gsp_keyring_add(&cfg.keyring, "fedcba9876543210", 16));
	swim_set_keyring(s, &cfg.keyring);
	swim_recv_packet(s, START, &from, 7946, sealed.data, sealed.len);
	assert_int_equal(take(s).joins, 1);
	buf_fini(&msg);
	buf_fini(&sealed);
	swim_free(s);
}

/* ---- time ---- */

static void run_until(struct swim *s, usec_t end, struct seen *sum)
{
	for (usec_t due; (due = swim_deadline(s)) <= end;) {
		swim_tick(s, due);
		struct seen seen = take(s);

		sum->leaves += seen.leaves;
		sum->packets += seen.packets;
	}
}

static void test_suspicion_ends_in_death(void **state)
{
	struct swim *s = engine();
	struct seen sum = {0};
	uint32_t inc;

	(void)state;
	say_alive(s, START, "b", 1, 2);
	say_verdict(s, START, GSP_SUSPECT, "b", 1, "b2");
	take(s);
	run_until(s, START + 3999 * MS, &sum);
	assert_int_equal(sum.leaves, 0);
	run_until(s, START + 4000 * MS, &sum); /* two members: nobody could confirm */
	assert_int_equal(sum.leaves, 1);
	assert_int_equal(state_of(s, "b", &inc), GSP_ST_DEAD);
	assert_false(swim_member_is_usable(s, "b"));
	run_until(s, START + 120 * USEC_PER_SEC, &sum);
	assert_int_equal(state_of(s, "b", &inc), NO_STATE); /* forgotten */
	swim_free(s);
}

/* Four members: 24 s alone, 11.381 s with one other accuser, at once past 4 s with two. */
static void test_confirmations(void **state)
{
	static const struct {
		const char *accusers[3];
		usec_t dies;
	} cases[] = {
		{{"b"}, 24000 * MS},
		{{"b", "b"}, 24000 * MS},
		{{"b", "c"}, 11381 * MS},
		{{"b", "c", "d"}, 4000 * MS},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct swim_config cfg = config();
		struct seen sum = {0};

		cfg.probe_interval = 1 * USEC_PER_SEC;
		struct swim *s = swim_new(&cfg, &source, START);

		say_alive(s, START, "v", 1, 2);
		say_alive(s, START, "b", 1, 3);
		say_alive(s, START, "c", 1, 4);
		for (size_t j = 0; j < 3 && cases[i].accusers[j]; j++)
			say_verdict(s, START, GSP_SUSPECT, "v", 1, cases[i].accusers[j]);
		take(s);
		/* few ticks: our own failed probes would accuse too */
		swim_tick(s, START);
		take(s);
		assert_true(swim_member_is_usable(s, "v"));
		swim_tick(s, START + cases[i].dies - 1 * MS);
		take(s);
		assert_true(swim_member_is_usable(s, "v"));
		swim_tick(s, START + cases[i].dies);
		sum = take(s);
		if (sum.leaves < 1 || swim_member_is_usable(s, "v"))
			fail_msg("case %zu: still there", i);
		swim_free(s);
	}
}

static void test_leave(void **state)
{
	struct swim *s = engine();
	struct seen sum = {0};
	uint32_t inc;

	(void)state;
	say_alive(s, START, "b", 1, 2);
	take(s);
	assert_false(swim_has_left(s));
	swim_leave(s, START);
	take(s);
	run_until(s, START + 2 * USEC_PER_SEC, &sum);
	assert_true(swim_has_left(s));
	assert_true(sum.packets > 0);
	assert_int_equal(state_of(s, "self", &inc), GSP_ST_LEFT);
	say_alive(s, START + 2 * USEC_PER_SEC, "self", 99, 1); /* no way back */
	assert_int_equal(state_of(s, "self", &inc), GSP_ST_LEFT);
	swim_free(s);
}

static void test_leave_alone(void **state)
{
	struct swim *s = engine();

	(void)state;
	swim_leave(s, START);
	take(s);
	assert_true(swim_has_left(s));
	swim_free(s);
}

/* ---- push/pull ---- */

static void push_pull(struct buf *out, const struct gsp_msg *nodes, size_t n, int64_t claimed)
{
	struct gsp_msg head = {.nodes = claimed, .join = true};

	gsp_encode(GSP_PUSH_PULL, &head, out);
	for (size_t i = 0; i < n; i++)
		gsp_encode_node_state(&nodes[i], out);
}

static struct gsp_msg node_state(const char *name, uint32_t inc, uint8_t last, enum gsp_state state,
				 const uint8_t *vsn)
{
	static uint8_t addrs[256][4];
	uint8_t *a = addrs[last];

	memcpy(a, (const uint8_t[4]){10, 0, 0, last}, 4);
	return (struct gsp_msg){
		.name = bytes(name),
		.incarnation = inc,
		.addr = {a, 4},
		.port = 7946,
		.state = (int64_t)state,
		.vsn = {vsn, GSP_VSN_LEN},
	};
}

static struct swim *merged(const struct gsp_msg *nodes, size_t n)
{
	struct swim *s = engine();
	struct buf in = {0}, reply = {0};

	say_alive(s, START, "known", 3, 20);
	take(s);
	push_pull(&in, nodes, n, (int64_t)n);
	swim_stream_accepted(s, START, in.data, in.len, 0, &reply);
	buf_fini(&in);
	buf_fini(&reply);
	return s;
}

static void test_merge(void **state)
{
	const struct gsp_msg nodes[] = {
		node_state("new", 4, 2, GSP_ST_ALIVE, good_vsn),
		node_state("gone", 4, 3, GSP_ST_DEAD, good_vsn),
		node_state("known", 3, 20, GSP_ST_DEAD, good_vsn),
	};
	const struct gsp_msg left = node_state("known", 3, 20, GSP_ST_LEFT, good_vsn);
	struct swim *s = merged(nodes, ARRAY_SIZE(nodes));
	uint32_t inc;

	(void)state;
	assert_int_equal(state_of(s, "new", &inc), GSP_ST_ALIVE);
	assert_int_equal(inc, 4);
	assert_int_equal(state_of(s, "gone", &inc), NO_STATE);
	assert_int_equal(state_of(s, "known", &inc), GSP_ST_SUSPECT); /* hearsay is no proof */
	swim_free(s);
	s = merged(&left, 1);
	assert_int_equal(state_of(s, "known", &inc), GSP_ST_LEFT);
	swim_free(s);
}

static void test_versions(void **state)
{
	static const struct {
		const char *what;
		uint8_t vsn[GSP_VSN_LEN];
		enum gsp_state state;
		bool refused;
	} cases[] = {
		{"ours", {1, 5, 2, 0, 0, 0}, GSP_ST_ALIVE, false},
		{"older", {1, 4, 2, 0, 0, 0}, GSP_ST_ALIVE, false},
		{"speaks what we cannot", {1, 6, 6, 0, 0, 0}, GSP_ST_ALIVE, true},
		{"cannot what others speak", {3, 5, 3, 0, 0, 0}, GSP_ST_ALIVE, true},
		{"delegate out of range", {1, 5, 2, 1, 1, 1}, GSP_ST_ALIVE, true},
		{"a dead one without versions", {0, 0, 0, 0, 0, 0}, GSP_ST_DEAD, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct gsp_msg nodes[] = {
			node_state("new", 4, 2, GSP_ST_ALIVE, good_vsn),
			node_state("odd", 4, 3, cases[i].state, cases[i].vsn),
		};
		struct swim *s = merged(nodes, 2);
		struct seen seen = take(s);
		uint32_t inc;

		if ((state_of(s, "new", &inc) == NO_STATE) != cases[i].refused ||
		    (seen.drops > 0) != cases[i].refused)
			fail_msg("%s: taken or refused wrongly", cases[i].what);
		swim_free(s);
	}
}

static void test_push_pull_that_lies(void **state)
{
	static const int64_t claims[] = {-1, 1 << 21, INT32_MAX, INT64_MIN};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		struct swim *s = engine();
		struct buf in = {0}, reply = {0};

		push_pull(&in, NULL, 0, claims[i]);
		assert_int_equal(swim_stream_accepted(s, START, in.data, in.len, 0, &reply),
				 SWIM_STREAM_CLOSE);
		assert_int_equal(take(s).drops, 1);
		buf_fini(&in);
		buf_fini(&reply);
		swim_free(s);
	}
}

static void test_stream_length_that_lies(void **state)
{
	struct swim_config cfg = config();
	const uint8_t huge[] = {GSP_ENCRYPT, 0xff, 0xff, 0xff, 0xff, 1};
	struct buf reply = {0};

	(void)state;
	assert_null(gsp_keyring_add(&cfg.keyring, "0123456789abcdef", 16));
	struct swim *s = swim_new(&cfg, &source, START);

	take(s);
	assert_int_equal(swim_stream_accepted(s, START, huge, sizeof(huge), 0, &reply),
			 SWIM_STREAM_CLOSE);
	assert_int_equal(take(s).drops, 1);
	buf_fini(&reply);
	swim_free(s);
}

/* ---- formulas ---- */

static struct json_object *formulas;

static int64_t num(struct json_object *o, const char *key)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_int64(v);
}

static struct json_object *list(const char *name, size_t *n)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(formulas, name, &v));
	*n = json_object_array_length(v);
	assert_true(*n > 5);
	return v;
}

static void test_formulas(void **state)
{
	size_t n;
	struct json_object *all = list("suspicion_timeout", &n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		assert_int_equal(swim_suspicion_min((unsigned)num(o, "mult"), (size_t)num(o, "n"),
						    num(o, "interval_ns") / 1000),
				 num(o, "timeout_ns") / 1000);
	}
	all = list("retransmit_limit", &n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		assert_int_equal(
			swim_retransmit_limit((unsigned)num(o, "mult"), (size_t)num(o, "n")),
			num(o, "limit"));
	}
	all = list("push_pull_scale", &n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		assert_int_equal(swim_push_pull_scale((size_t)num(o, "n")) * num(o, "interval_s"),
				 num(o, "scaled_s"));
	}
	all = list("suspicion_remaining", &n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);
		usec_t t = swim_suspicion_timeout(num(o, "min_ms") * (int64_t)MS,
						  num(o, "max_ms") * (int64_t)MS,
						  (unsigned)num(o, "n"), (unsigned)num(o, "k"));

		assert_int_equal(t - num(o, "elapsed_ms") * (int64_t)MS,
				 num(o, "remaining_ms") * (int64_t)MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_refuting_costs_health),
		cmocka_unit_test(test_bad_alives),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_suspicion_ends_in_death),
		cmocka_unit_test(test_confirmations),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_leave_alone),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_push_pull_that_lies),
		cmocka_unit_test(test_stream_length_that_lies),
		cmocka_unit_test(test_formulas),
	};
	struct json_object *root =
		json_object_from_file(SOURCE_DIR "/tests/vectors/memberlist/vectors.json");

	if (!root || !json_object_object_get_ex(root, "formulas", &formulas))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_object_put(root);
	return failed;
}
