/*
 * lib/base: readers, addresses, durations, tables, arenas, buffers, metrics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/arena.h"
#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/duration.h"
#include "metallb/err.h"
#include "metallb/ip.h"
#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/table.h"
#include "metallb/wire.h"
#include "metallb/xalloc.h"

static void test_wire(void **state)
{
	const uint8_t data[] = {1, 0, 2, 0, 0, 0, 3, 9, 8};
	struct rd r = rd_init(data, sizeof(data));

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 2);
	assert_int_equal(rd_u32(&r), 3);
	struct rd sub = rd_sub(&r, 1);
	assert_int_equal(rd_u8(&sub), 9);
	assert_int_equal(rd_u8(&sub), 0);
	assert_true(sub.bad);
	assert_false(r.bad);
	assert_int_equal(rd_left(&r), 1);
	assert_int_equal(rd_u16(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rd_left(&r), 0);

	uint8_t out[7];
	struct wr w = wr_init(out, sizeof(out));
	uint8_t *len = wr_reserve(&w, 2);
	wr_u32(&w, 0x01020304);
	wr_patch_u16(len, wr_len(&w));
	assert_memory_equal(out, ((uint8_t[]){0, 6, 1, 2, 3, 4}), 6);
	wr_u16(&w, 1);
	assert_true(w.bad);
}

static void test_ip_text(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{"192.168.1.240", "192.168.1.240"},
		{"0.0.0.0", "0.0.0.0"},
		{"1.2.3", NULL},
		{"1.2.3.4.5", NULL},
		{"1.2.3.256", NULL},
		{"01.2.3.4", NULL},
		{"1.2.3.4 ", NULL},
		{"", NULL},
		{"1..3.4", NULL},
		{"\xd9\xa1.2.3.4", NULL},
		{"2001:db8::1", "2001:db8::1"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		{"::ffff:1.2.3.4", "1.2.3.4"},
		{"::ffff:102:304", "1.2.3.4"},
		{"::102:304", "::102:304"},
		{"::1.2.3.4", "::102:304"},
		{"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
		{"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
		{"0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"},
		{"1:2:3:4:5:6:7:8:9", NULL},
		{"1:2:3:4:5:6:7", NULL},
		{"1::2::3", NULL},
		{":1::", NULL},
		{"1:", NULL},
		{":::", NULL},
		{"12345::", NULL},
		{"fe80::1%eth0", NULL},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
		{"1:2:3:4:5:6:7:8::", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip ip;
		char buf[IP_STR_MAX];
		bool ok = ip_parse(cases[i].in, &ip);

		if (ok != (cases[i].out != NULL))
			fail_msg("%s: parsed %d", cases[i].in, ok);
		if (ok)
			assert_string_equal(ip_format(&ip, buf), cases[i].out);
	}
}

static void test_prefix(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"10.0.0.5/24", "10.0.0.0/24"},
		{"10.0.0.0/0", "0.0.0.0/0"},
		{"10.0.0.0/33", NULL},
		{"10.0.0.0", NULL},
		{"10.0.0.0/", NULL},
		{"10.0.0.0/08", NULL},
		{"10.0.0.0/-1", NULL},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"::/0", "::/0"},
		{"2001:db8::/129", NULL},
		{"::ffff:10.0.0.0/104", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p;
		char buf[PREFIX_STR_MAX];
		bool ok = prefix_parse(cases[i].in, &p);

		if (ok != (cases[i].out != NULL))
			fail_msg("%s: parsed %d", cases[i].in, ok);
		if (ok)
			assert_string_equal(prefix_format(&p, buf), cases[i].out);
	}
	struct prefix a, b;
	struct ip ip, out;
	assert_true(prefix_parse("10.0.0.0/8", &a) && prefix_parse("10.1.0.0/16", &b));
	assert_true(prefix_overlaps(&a, &b) && prefix_overlaps(&b, &a));
	assert_true(prefix_parse("11.0.0.0/16", &b));
	assert_false(prefix_overlaps(&a, &b));
	assert_true(ip_parse("255.255.255.254", &ip));
	assert_true(ip_add(&ip, 1, &out));
	assert_false(ip_add(&ip, 2, &out));
	assert_true(ip_sub(&out, 1, &ip));
	assert_true(ip_add(&ip, 1, &out));
	ip_parse("0.0.0.1", &ip);
	assert_true(ip_sub(&ip, 1, &out));
	assert_false(ip_sub(&ip, 2, &out));
	assert_true(prefix_parse("::/0", &a) && prefix_size(&a) == UINT64_MAX);
	assert_true(prefix_parse("0.0.0.0/0", &a) && prefix_size(&a) == (uint64_t)1 << 32);
}

static void check_range(const char *first, const char *last, const char *want)
{
	struct prefix out[PREFIXES_PER_RANGE];
	struct ip_range r;
	struct buf text = {0};

	assert_true(ip_parse(first, &r.first) && ip_parse(last, &r.last));
	size_t n = prefix_summarize(&r, out);
	for (size_t i = 0; i < n; i++) {
		char p[PREFIX_STR_MAX];

		buf_printf(&text, "%s%s", i ? " " : "", prefix_format(&out[i], p));
	}
	assert_string_equal(buf_str(&text), want);
	buf_fini(&text);
}

static void test_summarize(void **state)
{
	struct prefix out[PREFIXES_PER_RANGE];
	struct ip_range r;

	(void)state;
	check_range("1.2.3.4", "1.2.3.4", "1.2.3.4/32");
	check_range("0.0.0.0", "255.255.255.255", "0.0.0.0/0");
	check_range("10.0.0.1", "10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32");
	check_range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0");
	check_range("fc00::ff", "fc00::101", "fc00::ff/128 fc00::100/127");
	assert_true(ip_parse("::1", &r.first));
	assert_true(ip_parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", &r.last));
	assert_int_equal(prefix_summarize(&r, out), 254);
}

static void test_duration(void **state)
{
	static const struct {
		const char *in;
		int64_t ns;
		const char *out; /* NULL: refused */
	} cases[] = {
		{"90s", 90000000000, "1m30s"},
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{"1h2m3.5s", 3723500000000, "1h2m3.5s"},
		{"1h", 3600000000000, "1h0m0s"},
		{"250ms", 250000000, "250ms"},
		{"1.5h", 5400000000000, "1h30m0s"},
		{"-2s", -2000000000, "-2s"},
		{".5s", 500000000, "500ms"},
		{"1us", 1000, "1\xc2\xb5s"},
		{"1", 0, NULL},
		{"s", 0, NULL},
		{"", 0, NULL},
		{"1x", 0, NULL},
		{"1s ", 0, NULL},
		{"9999999h", 0, NULL},
		{"99999999999999999999999999999999999999999999s", 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = -1;
		char buf[40];
		bool ok = duration_parse(cases[i].in, &ns);

		if (ok != (cases[i].out != NULL))
			fail_msg("%s: parsed %d", cases[i].in, ok);
		if (!ok)
			continue;
		assert_int_equal(ns, cases[i].ns);
		assert_string_equal(duration_format(ns, buf), cases[i].out);
	}
}

static void test_table(void **state)
{
	static int values[1000];
	struct table t;
	char key[16];
	size_t n = 0;

	(void)state;
	table_init(&t);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_null(table_set(&t, key, &values[i]));
	}
	for (int i = 0; i < 1000; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(table_del(&t, key), &values[i]);
		assert_null(table_del(&t, key));
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(table_find(&t, key), i % 2 ? &values[i] : NULL);
	}
	table_for_each (&t, e) {
		assert_ptr_equal(e->value, &values[2 * n + 1]);
		n++;
	}
	assert_int_equal(n, 500);
	assert_int_equal(table_count(&t), 500);
	/* churn must not grow the entries without bound */
	for (int i = 0; i < 100000; i++) {
		table_set(&t, "x", &values[0]);
		table_del(&t, "x");
	}
	assert_true(t.cap_entries < 4096);
	table_fini(&t);
}

static void test_arena(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		uint8_t *p = arena_alloc(a, i);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < i; j++)
			assert_int_equal(p[j], 0);
		memset(p, 0xff, i);
	}
	assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
	assert_null(arena_strdup(a, NULL));
	assert_true(arena_size(a) < 3 * 2000 * 1000);
	arena_free(a);
	a = arena_new_for(100);
	char *s = arena_strdup(a, "text");
	uint64_t *aligned = arena_alloc(a, 80);
	size_t size = arena_size(a);

	assert_int_equal((uintptr_t)aligned % _Alignof(max_align_t), 0);
	*aligned = UINT64_MAX;
	assert_string_equal(arena_strndup(a, "0123456789x", 10), "0123456789");
	assert_string_equal(s, "text");
	assert_int_equal(arena_used(a), 5 + 80 + 11);
	assert_int_equal(arena_size(a), size); /* all in the one piece that was expected */
	s = arena_strdup(a, "more than there is room for");
	assert_string_equal(s, "more than there is room for");
	assert_true(arena_size(a) > size);
	arena_free(a);
}

static void test_json_string(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\"b\\c\n", "\"a\\\"b\\\\c\\n\""},
		{"\x01\x7f", "\"\\u0001\\u007f\""},
		{"\xc3\xa9", "\"\xc3\xa9\""},
		{"\xc3", "\"\\ufffd\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {0};

		buf_add_json_str(&b, cases[i].in, strlen(cases[i].in));
		assert_string_equal(buf_str(&b), cases[i].out);
		buf_fini(&b);
	}
}

static void test_err(void **state)
{
	struct err err = {0};

	(void)state;
	assert_false(err_set_transient(&err, "no secret %s", "x"));
	assert_false(err_wrap(&err, "peer %s", "y"));
	assert_string_equal(err.msg, "peer y: no secret x");
	assert_true(err.transient);
	char big[3 * ERR_MAX];
	memset(big, 'z', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_false(err_wrap(&err, "%s", big));
	assert_int_equal(strlen(err.msg), ERR_MAX - 1);
}

static void test_rfc3339(void **state)
{
	usec_t t;
	char buf[40];

	(void)state;
	assert_true(clock_parse_rfc3339("2026-01-02T03:04:05.25+01:00", &t));
	assert_string_equal(clock_format_rfc3339_micro(t, buf), "2026-01-02T02:04:05.250000Z");
	assert_false(clock_parse_rfc3339("2026-01-02 03:04:05Z", &t));
	assert_false(clock_parse_rfc3339("2026-13-02T03:04:05Z", &t));
	assert_false(clock_parse_rfc3339("2026-01-02T03:04:05", &t));
	assert_false(clock_parse_rfc3339("2026", &t));
}

static void test_log_limit(void **state)
{
	struct log_limit l = {0};
	unsigned held;

	(void)state;
	assert_true(log_limit_ok(&l, 10, USEC_PER_SEC, 2, &held));
	assert_true(log_limit_ok(&l, 10, USEC_PER_SEC, 2, &held));
	assert_false(log_limit_ok(&l, 10, USEC_PER_SEC, 2, &held));
	assert_true(log_limit_ok(&l, 10 + USEC_PER_SEC, USEC_PER_SEC, 2, &held));
	assert_int_equal(held, 1);
}

static void test_metrics(void **state)
{
	static const double bounds[] = {0.1, 1};
	struct buf out = {0};

	(void)state;
	metrics_reset();
	struct metric *c = metric_new(METRIC_COUNTER, "x_total", "An x.",
				      (const char *[]){"pool", "ip", NULL}, NULL, 0);
	struct metric *h = metric_new(METRIC_HISTOGRAM, "lat", "Latency.", NULL, bounds, 2);
	metric_add(c, METRIC_VALUES("a\"b", "1.2.3.4"), 1);
	metric_add(c, METRIC_VALUES("a\"b", "1.2.3.4"), 1);
	metric_add(c, METRIC_VALUES("q", "1.2.3.5"), 5);
	metric_del_where(c, 0, "q");
	metric_observe(h, NULL, 0.5);
	metrics_format(&out);
	assert_non_null(strstr(buf_str(&out), "x_total{pool=\"a\\\"b\",ip=\"1.2.3.4\"} 2\n"));
	assert_null(strstr(buf_str(&out), "1.2.3.5"));
	assert_non_null(strstr(buf_str(&out), "lat_bucket{le=\"1\"} 1\n"));
	assert_non_null(strstr(buf_str(&out), "lat_bucket{le=\"+Inf\"} 1\nlat_sum 0.5\n"));
	buf_fini(&out);
	metrics_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),      cmocka_unit_test(test_ip_text),
		cmocka_unit_test(test_prefix),    cmocka_unit_test(test_summarize),
		cmocka_unit_test(test_duration),  cmocka_unit_test(test_table),
		cmocka_unit_test(test_arena),     cmocka_unit_test(test_json_string),
		cmocka_unit_test(test_err),       cmocka_unit_test(test_rfc3339),
		cmocka_unit_test(test_log_limit), cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
