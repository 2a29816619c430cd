/*
 * What no good node sends: every truncation and every flipped bit of a sealed packet, replays,
 * packets that unpack to far more than they are, invented members without end, a clock that jumps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim.h"

#define START (1000 * USEC_PER_SEC)

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
static const uint8_t versions[GSP_VSN_LEN] = {1, 5, 2, 0, 0, 0};

static struct swim_config config(void)
{
	struct swim_config cfg = swim_config_lan();

	strcpy(cfg.name, "self");
	cfg.addr = ip_from_v4((const uint8_t[4]){10, 0, 0, 1});
	assert_null(gsp_keyring_add(&cfg.keyring, "0123456789abcdef", 16));
	return cfg;
}

struct seen {
	unsigned joins, leaves, drops, packets;
	const char *why;
};

static struct seen take(struct swim *s)
{
	struct seen seen = {0};
	struct swim_output o;

	while (swim_next_output(s, &o)) {
		seen.joins += o.type == SWIM_OUT_JOIN;
		seen.leaves += o.type == SWIM_OUT_LEAVE;
		seen.packets += o.type == SWIM_OUT_PACKET;
		seen.drops += o.type == SWIM_OUT_DROP;
		if (o.type == SWIM_OUT_DROP)
			seen.why = o.why;
		buf_fini(&o.data);
	}
	return seen;
}

static struct swim *engine(const struct swim_config *cfg)
{
	struct swim *s = swim_new(cfg, &source, START);

	take(s);
	return s;
}

static struct gsp_bytes text(const char *s)
{
	return (struct gsp_bytes){(const uint8_t *)s, strlen(s)};
}

static void seal(const struct swim_config *cfg, enum gsp_type type, const struct gsp_msg *m,
		 struct buf *out)
{
	struct buf plain = {0};

	gsp_encode(type, m, &plain);
	assert_true(gsp_seal(&cfg->keyring, 1, &source, plain.data, plain.len, NULL, 0, out));
	buf_fini(&plain);
}

/* "name" lives at 10.0.x.y. */
static void seal_alive(const struct swim_config *cfg, const char *name, uint32_t incarnation,
		       unsigned number, struct buf *out)
{
	const uint8_t addr[4] = {10, 1, (uint8_t)(number >> 8), (uint8_t)number};
	struct gsp_msg m = {
		.node = text(name),
		.incarnation = incarnation,
		.addr = {addr, 4},
		.port = 7946,
		.vsn = {versions, sizeof(versions)},
	};

	seal(cfg, GSP_ALIVE, &m, out);
}

static void hear(struct swim *s, usec_t now, const void *data, size_t len)
{
	struct ip from = ip_from_v4((const uint8_t[4]){10, 0, 0, 9});

	swim_recv_packet(s, now, &from, 7946, data, len);
}

static void hear_alive(struct swim *s, const struct swim_config *cfg, const char *name,
		       uint32_t incarnation, unsigned number)
{
	struct buf packet = {0};

	seal_alive(cfg, name, incarnation, number, &packet);
	hear(s, START, packet.data, packet.len);
	buf_fini(&packet);
}

static void damaged_packets(void **state)
{
	struct swim_config cfg = config();
	struct swim *s = engine(&cfg);
	struct buf packet = {0};

	(void)state;
	seal_alive(&cfg, "b", 1, 2, &packet);
	for (size_t len = 0; len < packet.len; len++) {
		hear(s, START, packet.data, len);
		struct seen seen = take(s);

		assert_int_equal(seen.drops, 1);
		assert_int_equal(seen.joins + seen.packets, 0);
	}
	for (size_t bit = 0; bit < packet.len * 8; bit++) {
		packet.data[bit / 8] ^= (char)(1 << bit % 8);
		hear(s, START, packet.data, packet.len);
		packet.data[bit / 8] ^= (char)(1 << bit % 8);
		struct seen seen = take(s);

		assert_int_equal(seen.drops, 1);
		assert_int_equal(seen.joins + seen.packets, 0);
	}
	hear(s, START, packet.data, packet.len);
	assert_int_equal(take(s).joins, 1);
	buf_fini(&packet);
	swim_free(s);
}

static void replays(void **state)
{
	struct swim_config cfg = config();
	struct swim *s = engine(&cfg);
	struct gsp_msg death = {.node = text("b"), .incarnation = 1, .from = text("c")};
	struct buf dead = {0}, alive = {0};

	(void)state;
	seal_alive(&cfg, "b", 1, 2, &alive);
	seal(&cfg, GSP_DEAD, &death, &dead);
	hear(s, START, alive.data, alive.len);
	hear(s, START, dead.data, dead.len);
	assert_false(swim_member_is_usable(s, "b"));
	for (int i = 0; i < 100; i++) /* its old life does not raise it */
		hear(s, START, alive.data, alive.len);
	assert_false(swim_member_is_usable(s, "b"));
	hear_alive(s, &cfg, "b", 2, 2);
	assert_true(swim_member_is_usable(s, "b"));
	take(s);
	for (int i = 0; i < 100; i++) /* nor does its old death kill it */
		hear(s, START, dead.data, dead.len);
	assert_true(swim_member_is_usable(s, "b"));
	struct seen seen = take(s);

	assert_int_equal(seen.leaves + seen.joins + seen.packets, 0);
	buf_fini(&alive);
	buf_fini(&dead);
	swim_free(s);
}

static void count_bytes(void *user, const uint8_t *msg, size_t len)
{
	(void)msg;
	*(size_t *)user += len;
}

/* One message of the given size, packed; zeros shrink to a thousandth. */
static void bomb(size_t size, struct buf *out)
{
	uint8_t *zeros = xcalloc(1, size);

	gsp_compress(zeros, size, out);
	assert_true(out->len < size / 500);
	free(zeros);
}

static void decompression_bombs(void **state)
{
	struct buf one = {0}, part = {0}, many = {0};
	struct gsp_bytes parts[20];
	size_t got = 0;

	(void)state;
	bomb((size_t)GSP_PLAIN_MAX + 1, &one);
	assert_non_null(gsp_unpack((const uint8_t *)one.data, one.len, count_bytes, &got));
	assert_int_equal(got, 0);
	/* twenty, each of which would pass alone */
	bomb(GSP_PLAIN_MAX / 10, &part);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i] = (struct gsp_bytes){(const uint8_t *)part.data, part.len};
	gsp_compound(parts, ARRAY_SIZE(parts), &many);
	assert_non_null(gsp_unpack((const uint8_t *)many.data, many.len, count_bytes, &got));
	assert_in_range(got, 1, GSP_PLAIN_MAX);
	buf_fini(&one);
	buf_fini(&part);
	buf_fini(&many);
}

static void invented_members(void **state)
{
	struct swim_config cfg = config();

	(void)state;
	cfg.keyring.n = 0; /* whoever has the key could as well do this */
	struct swim *s = engine(&cfg);
	struct swim_member m;
	size_t n = 0;

	for (unsigned i = 0; i < SWIM_MEMBERS_MAX + 100; i++) {
		const uint8_t addr[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};
		char name[32];
		struct buf packet = {0};

		snprintf(name, sizeof(name), "node-%u", i);
		struct gsp_msg alive = {.node = text(name),
					.incarnation = 1,
					.addr = {addr, 4},
					.port = 7946,
					.vsn = {versions, sizeof(versions)}};

		gsp_encode(GSP_ALIVE, &alive, &packet);
		hear(s, START, packet.data, packet.len);
		buf_fini(&packet);
	}
	while (swim_member_at(s, n, &m))
		n++;
	assert_int_equal(n, SWIM_MEMBERS_MAX);
	struct seen seen = take(s);

	assert_int_equal(seen.drops, 101); /* self is one of the members */
	assert_string_equal(seen.why, "too many members");
	swim_free(s);
}

/* The machine slept for an hour: nobody is dead for that alone, each is asked first. */
static void clock_jumps(void **state)
{
	struct swim_config cfg = config();
	struct swim *s = engine(&cfg);
	usec_t later = START + 3600 * USEC_PER_SEC;

	(void)state;
	hear_alive(s, &cfg, "b", 1, 2);
	hear_alive(s, &cfg, "c", 1, 3);
	hear_alive(s, &cfg, "d", 1, 4);
	swim_tick(s, START + USEC_PER_SEC); /* a probe is under way */
	take(s);
	swim_tick(s, later);
	struct seen seen = take(s);

	assert_int_equal(seen.leaves, 0);
	assert_in_range(seen.packets, 1, 20); /* ticks that were missed are not made up for */
	assert_true(swim_deadline(s) > later && swim_deadline(s) <= later + cfg.probe_interval);
	assert_true(swim_member_is_usable(s, "b"));
	assert_true(swim_member_is_usable(s, "c"));
	assert_true(swim_member_is_usable(s, "d"));
	swim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_packets),     cmocka_unit_test(replays),
		cmocka_unit_test(decompression_bombs), cmocka_unit_test(invented_members),
		cmocka_unit_test(clock_jumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
