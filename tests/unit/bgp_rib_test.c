/*
 * Adj-rib-out: only differences go out, packed, paced; and the sent side always matches what a
 * peer that reads the UPDATEs would have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/rib.h"

#define T0 (1000 * USEC_PER_SEC)

static const struct bgp_encoding enc = {
	.as4 = true,
	.local_asn = 64512,
	.next_hop = {{.family = IP_V4, .b = {192, 0, 2, 1}},
		     {.family = IP_V6, .b = {0x20, 1, 0x0d, 0xb8, [15] = 1}}},
};

static struct bgp_route route(const char *prefix, uint32_t local_pref)
{
	struct bgp_route r = {.local_pref = local_pref};

	assert_true(prefix_parse(prefix, &r.prefix));
	return r;
}

/* Drain the output; counts messages, announced and withdrawn prefixes. */
struct totals {
	size_t messages, reach, withdrawn, eor;
};

static struct totals drain(struct bgp_rib *rib, usec_t now)
{
	struct totals t = {0};
	uint8_t out[BGP_MSG_MAX];
	size_t n;

	while ((n = bgp_rib_output(rib, &enc, now, out)) > 0) {
		struct bgp_update_info info;
		struct bgp_error e;
		uint8_t type;
		size_t len;

		assert_int_equal(bgp_frame_decode(out, n, BGP_MSG_MAX, &type, &len, &e),
				 BGP_FRAME_OK);
		assert_int_equal(len, n);
		bgp_update_check(out + BGP_HEADER_LEN, n - BGP_HEADER_LEN, true, false, &info);
		assert_int_equal(info.verdict, BGP_UPDATE_OK);
		t.messages++;
		t.reach += info.n_reach;
		t.withdrawn += info.n_withdrawn;
		t.eor += info.eor != 0;
	}
	return t;
}

static void test_differences(void **state)
{
	struct bgp_route r[] = {route("10.0.0.1/32", 0), route("10.0.0.2/32", 0),
				route("2001:db8::1/128", 0)};
	struct bgp_rib rib;

	(void)state;
	bgp_rib_init(&rib);
	bgp_rib_start(&rib, BGP_FAMILY_V4 | BGP_FAMILY_V6, true);
	assert_int_equal(drain(&rib, T0).messages, 0); /* no End-of-RIB before the set is known */
	bgp_rib_set(&rib, r, 3);
	struct totals t = drain(&rib, T0);

	assert_int_equal(t.messages, 4);
	assert_int_equal(t.reach, 3);
	assert_int_equal(t.eor, 2);
	bgp_rib_set(&rib, r, 3);
	assert_int_equal(drain(&rib, T0).messages, 0);
	r[0].local_pref = 7;
	bgp_rib_set(&rib, r, 2);
	t = drain(&rib, T0);
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.reach, 1);
	assert_int_equal(t.withdrawn, 1);
	/* there and back before anybody looked: nothing */
	bgp_rib_set(&rib, r, 0);
	bgp_rib_set(&rib, r, 2);
	assert_int_equal(drain(&rib, T0).messages, 0);
	assert_int_equal(rib.n_sent, 2);
	bgp_rib_resend(&rib, BGP_FAMILY_V6);
	assert_int_equal(drain(&rib, T0).messages, 0);
	bgp_rib_resend(&rib, BGP_FAMILY_V4);
	assert_int_equal(drain(&rib, T0).reach, 2);
	bgp_rib_fini(&rib);
}

static void test_packing(void **state)
{
	enum { N = 10000 };
	struct bgp_route *r = xcalloc(N, sizeof(*r));
	struct ip first = {.family = IP_V4, .b = {10, 0, 0, 0}};
	struct bgp_rib rib;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		struct ip ip;

		assert_true(ip_add(&first, i, &ip));
		r[i].prefix = prefix_of(&ip, 32);
		r[i].local_pref = i % 2; /* two sets of attributes, interleaved */
	}
	bgp_rib_init(&rib);
	bgp_rib_set(&rib, r, N);
	bgp_rib_start(&rib, BGP_FAMILY_V4, true);
	struct totals t = drain(&rib, T0);

	assert_int_equal(t.reach, N);
	assert_int_equal(t.messages, 2 * 7 + 1); /* 4096 octets hold about 800 /32s */
	bgp_rib_set(&rib, NULL, 0);
	t = drain(&rib, T0);
	assert_int_equal(t.withdrawn, N);
	assert_int_equal(t.messages, 13);
	drain(&rib, T0 + 60 * USEC_PER_SEC);
	bgp_rib_fini(&rib);
	free(r);
}

static void test_flapping_is_paced(void **state)
{
	struct bgp_route r = route("10.0.0.1/32", 0);
	struct bgp_rib rib;
	size_t messages = 0;

	(void)state;
	bgp_rib_init(&rib);
	bgp_rib_set(&rib, &r, 1);
	bgp_rib_start(&rib, BGP_FAMILY_V4, false);
	for (usec_t t = 0; t < 10 * USEC_PER_SEC; t += 5 * USEC_PER_MSEC) {
		bgp_rib_set(&rib, &r, (size_t)(t / (5 * USEC_PER_MSEC) % 2));
		messages += drain(&rib, T0 + t).messages;
	}
	/* 2000 changes: the burst, then a withdrawal and an announcement a second */
	assert_in_range(messages, 10, 2 * (BGP_PACE_BURST + 11));
	/* the last word arrives, by itself */
	bgp_rib_set(&rib, &r, 0);
	usec_t due = bgp_rib_deadline(&rib);

	if (due == 0) {
		drain(&rib, T0 + 10 * USEC_PER_SEC);
		due = bgp_rib_deadline(&rib);
	}
	if (due != USEC_NEVER)
		drain(&rib, due);
	assert_int_equal(rib.n_sent, 0);
	assert_true(bgp_rib_is_settled(&rib));
	bgp_rib_fini(&rib);
}

/* Random changes; a mirror built from what is sent must equal what is wanted. */
static void test_mirror(void **state)
{
	enum { PREFIXES = 64, STEPS = 3000 };
	bool want[PREFIXES] = {0}, have[PREFIXES] = {0};
	struct bgp_rib rib;
	usec_t now = T0;

	(void)state;
	srand(7);
	bgp_rib_init(&rib);
	bgp_rib_start(&rib, BGP_FAMILY_V4, false);
	for (int step = 0; step < STEPS; step++) {
		int k = rand() % PREFIXES;
		char text[32];
		uint8_t out[BGP_MSG_MAX];
		size_t n;

		snprintf(text, sizeof(text), "10.1.0.%d/32", k);
		struct bgp_route r = route(text, (uint32_t)(rand() % 3));

		want[k] = rand() % 2;
		if (want[k])
			bgp_rib_add(&rib, &r);
		else
			bgp_rib_del(&rib, &r.prefix);
		if (rand() % 50 == 0) {
			bgp_rib_start(&rib, BGP_FAMILY_V4, false);
			memset(have, 0, sizeof(have));
		}
		now += rand() % (2 * (int)USEC_PER_SEC);
		while (rand() % 4 && (n = bgp_rib_output(&rib, &enc, now, out)) > 0) {
			size_t wlen = (size_t)out[19] << 8 | out[20];
			size_t alen = (size_t)out[21 + wlen] << 8 | out[22 + wlen];

			for (size_t i = 21; i < 21 + wlen; i += 5)
				have[out[i + 4]] = false;
			for (size_t i = 23 + wlen + alen; i < n; i += 5)
				have[out[i + 4]] = true;
		}
	}
	for (;;) {
		uint8_t out[BGP_MSG_MAX];
		size_t n = bgp_rib_output(&rib, &enc, now, out);

		if (n == 0) {
			if (bgp_rib_deadline(&rib) == USEC_NEVER)
				break;
			now = bgp_rib_deadline(&rib);
			continue;
		}
		size_t wlen = (size_t)out[19] << 8 | out[20];
		size_t alen = (size_t)out[21 + wlen] << 8 | out[22 + wlen];

		for (size_t i = 21; i < 21 + wlen; i += 5)
			have[out[i + 4]] = false;
		for (size_t i = 23 + wlen + alen; i < n; i += 5)
			have[out[i + 4]] = true;
	}
	assert_memory_equal(want, have, sizeof(want));
	bgp_rib_fini(&rib);
}

static void test_dead_entries_go(void **state)
{
	struct bgp_rib rib;
	usec_t now = T0;

	(void)state;
	bgp_rib_init(&rib);
	bgp_rib_start(&rib, BGP_FAMILY_V4, false);
	for (int i = 0; i < 5000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.2.%d.%d/32", i / 256, i % 256);
		struct bgp_route r = route(text, 0);

		bgp_rib_add(&rib, &r);
		drain(&rib, now);
		bgp_rib_del(&rib, &r.prefix);
		drain(&rib, now);
		now += 100 * USEC_PER_MSEC;
	}
	assert_in_range(rib.n, 0, 100);
	bgp_rib_fini(&rib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differences),       cmocka_unit_test(test_packing),
		cmocka_unit_test(test_flapping_is_paced), cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_dead_entries_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
