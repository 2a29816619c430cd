/*
 * Address allocation, rule by rule: runs, pools, choice, sharing, the memory, requests, patches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "operator/allocator.h"
#include "operator/memory.h"
#include "operator/request.h"
#include "operator/runs.h"
#include "tests/unit/helpers.h"

static struct ip_range range_of(const char *first, const char *last)
{
	return (struct ip_range){ip_of(first), ip_of(last)};
}

static void test_runs(void **state)
{
	struct ip_range r, found;
	struct ip ip = ip_of("10.0.0.5");
	struct runs runs;

	(void)state;
	runs_init(&runs);
	r = range_of("10.0.0.1", "10.0.0.4");
	runs_add(&runs, &r);
	r = range_of("10.0.0.6", "10.0.0.9");
	runs_add(&runs, &r);
	assert_int_equal(runs.count, 2);
	assert_false(runs_find(&runs, &ip, &found));
	r = range_of("10.0.0.5", "10.0.0.5");
	runs_add(&runs, &r);
	assert_int_equal(runs.count, 1);
	assert_true(runs_find(&runs, &ip, &found));
	assert_true(ip_eq(&found.last, &(struct ip){IP_V4, {10, 0, 0, 9}}));
	runs_del(&runs, &ip);
	assert_int_equal(runs.count, 2);
	runs_del(&runs, &ip);
	assert_int_equal(runs.count, 2);
	r = range_of("255.255.255.255", "255.255.255.255");
	runs_add(&runs, &r);
	runs_del(&runs, &r.first);
	assert_int_equal(runs.count, 2);
	runs_fini(&runs);
}

/* One pool of up to two ranges; the rest as the case sets it. */
struct fixture {
	struct config config;
	struct config_pool pools[3];
	struct config_range ranges[3][2];
	struct prefix prefixes[3][2];
	struct allocator *a;
};

static void add_pool(struct fixture *f, const char *name, const char *p1, const char *p2)
{
	size_t n = f->config.n_pools++, i = 0;
	const char *texts[] = {p1, p2};

	for (; i < 2 && texts[i]; i++) {
		assert_true(prefix_parse(texts[i], &f->prefixes[n][i]));
		f->ranges[n][i] = (struct config_range){
			texts[i],
			{f->prefixes[n][i].ip, prefix_last(&f->prefixes[n][i])},
			&f->prefixes[n][i],
			1};
	}
	f->pools[n] = (struct config_pool){
		.name = name, .ranges = f->ranges[n], .n_ranges = i, .auto_assign = true};
	f->config.pools = f->pools;
}

static void start(struct fixture *f, bool additions)
{
	struct allocator_options opt = {additions, additions, additions};

	f->a = allocator_new(&opt);
	allocator_set_config(f->a, &f->config);
}

static struct alloc_service who(const char *key, const char *sharing, uint16_t port)
{
	static const struct labels none;
	static struct service_port ports[8];
	static size_t at;
	struct service_port *p = &ports[at++ % ARRAY_SIZE(ports)];

	*p = (struct service_port){"", SVC_TCP, port};
	return (struct alloc_service){key, "default", &none, sharing, "", p, 1};
}

/* The addresses as text, or the reason. */
static const char *get(struct fixture *f, struct alloc_service svc, struct alloc_want want)
{
	static char text[ERR_MAX];
	char one[IP_STR_MAX];
	struct alloc_ips ips = {0};
	struct err err = {0};

	want.pool = want.pool ? want.pool : "";
	if (!allocator_allocate(f->a, &svc, &want, &ips, &err)) {
		snprintf(text, sizeof(text), "%s", err.msg);
		return text;
	}
	text[0] = '\0';
	for (size_t i = 0; i < ips.n; i++) {
		strcat(text, i ? " " : "");
		strcat(text, ip_format(&ips.ip[i], one));
	}
	return text;
}

static const struct alloc_want v4 = {.fam = {true, false}};
static const struct alloc_want both = {.fam = {true, true}, .policy = ALLOC_REQUIRE_DUAL};

static void test_lowest_first(void **state)
{
	struct fixture f = {0};

	(void)state;
	add_pool(&f, "a", "10.0.0.254/31", "10.0.1.0/31");
	f.pools[0].avoid_buggy_ips = true;
	start(&f, false);
	assert_string_equal(get(&f, who("d/a", "", 80), v4), "10.0.0.254");
	assert_string_equal(get(&f, who("d/b", "", 80), v4), "10.0.1.1");
	assert_string_equal(get(&f, who("d/c", "", 80), v4), "no available IPs");
	allocator_release(f.a, "d/a");
	assert_string_equal(get(&f, who("d/c", "", 80), v4), "10.0.0.254");
	allocator_check(f.a);
	allocator_free(f.a);
}

static void test_two_pools(void **state)
{
	struct fixture f = {0};

	(void)state;
	add_pool(&f, "a", "10.0.0.0/30", NULL);
	add_pool(&f, "b", "fd00::/126", NULL);
	start(&f, false);
	assert_string_equal(get(&f, who("d/a", "", 80), both), "no available IPs");
	allocator_free(f.a);
	start(&f, true);
	assert_string_equal(get(&f, who("d/a", "", 80), both), "10.0.0.0 fd00::");
	allocator_free(f.a);
}

static void test_sharing(void **state)
{
	struct alloc_ips ips = {.ip = {ip_of("10.0.0.0")}, .n = 1};
	struct alloc_service local = who("d/c", "k", 82), clash = who("d/d", "k", 80);
	struct fixture f = {0};
	struct err err;

	(void)state;
	add_pool(&f, "a", "10.0.0.0/30", NULL);
	start(&f, false);
	assert_string_equal(get(&f, who("d/a", "k", 80), v4), "10.0.0.0");
	assert_string_equal(get(&f, who("d/b", "k", 81), v4), "10.0.0.0");
	local.backend_key = "app=x";
	assert_false(allocator_assign(f.a, &local, &ips, ALLOC_REQUESTED, &err));
	assert_false(allocator_assign(f.a, &clash, &ips, ALLOC_REQUESTED, &err));
	assert_non_null(strstr(err.msg, "TCP/80"));
	assert_string_equal(get(&f, clash, v4), "10.0.0.1");
	allocator_free(f.a);
}

static void test_priority_and_names(void **state)
{
	static const char *const ns[] = {"default"};
	struct fixture f = {0};

	(void)state;
	add_pool(&f, "a", "10.0.0.0/32", NULL);
	add_pool(&f, "b", "10.0.1.0/32", NULL);
	add_pool(&f, "c", "10.0.2.0/32", NULL);
	f.pools[1].has_allocation = f.pools[2].has_allocation = true;
	f.pools[1].namespaces = f.pools[2].namespaces = (struct strs){ns, 1};
	f.pools[2].priority = 5; /* b has none and comes after c */
	start(&f, false);
	assert_string_equal(get(&f, who("d/a", "", 80), v4), "10.0.2.0");
	assert_string_equal(get(&f, who("d/b", "", 80), v4), "10.0.1.0");
	assert_string_equal(get(&f, who("d/c", "", 80), v4), "10.0.0.0");
	allocator_free(f.a);
}

static void test_avoided_and_nodes(void **state)
{
	struct ip_range avoid = range_of("10.0.0.0", "10.0.0.1");
	struct ip node = ip_of("10.0.0.2");
	struct alloc_ips ask = {.ip = {node}, .n = 1}, banned = {.ip = {avoid.first}, .n = 1};
	struct alloc_service svc = who("d/z", "", 80);
	struct alloc_counters c;
	struct fixture f = {0};
	const char *name = "n1";

	(void)state;
	add_pool(&f, "a", "10.0.0.0/29", NULL);
	f.pools[0].avoid = &avoid;
	f.pools[0].n_avoid = 1;
	start(&f, true);
	allocator_set_nodes(f.a, &node, &name, 1);
	assert_string_equal(get(&f, who("d/a", "", 80), v4), "10.0.0.3");
	assert_true(allocator_assign(f.a, &svc, &ask, ALLOC_REQUESTED, NULL));
	assert_string_equal(allocator_node_of(f.a, &node), "n1");
	assert_false(allocator_assign(f.a, &svc, &banned, ALLOC_REQUESTED, NULL));
	assert_true(allocator_assign(f.a, &svc, &banned, ALLOC_HELD, NULL));
	allocator_counters(f.a, 0, &c);
	assert_int_equal(c.capacity[FAM_V4], 6);
	assert_int_equal(c.in_use[FAM_V4], 2);
	allocator_check(f.a);
	allocator_free(f.a);
}

static void test_counters(void **state)
{
	struct alloc_counters c;
	struct fixture f = {0};

	(void)state;
	add_pool(&f, "a", "fd00::/64", "10.0.0.0/8");
	f.pools[0].avoid_buggy_ips = true;
	add_pool(&f, "b", "192.168.0.0/32", NULL);
	f.pools[1].avoid_buggy_ips = true;
	start(&f, false);
	allocator_counters(f.a, 0, &c);
	assert_int_equal(c.capacity[FAM_V6], INT64_MAX);
	assert_int_equal(c.capacity[FAM_V4], (1 << 24) - 2 * 65536);
	allocator_counters(f.a, 1, &c);
	assert_int_equal(c.capacity[FAM_V4], 0);
	allocator_free(f.a);
}

static void test_explain(void **state)
{
	static const char *const ns[] = {"other"};
	struct alloc_want want = v4;
	struct alloc_service svc = who("d/z", "", 80);
	_cleanup_(buf_fini) struct buf text = {0};
	struct fixture f = {0};

	(void)state;
	add_pool(&f, "a", "10.0.0.0/32", NULL);
	add_pool(&f, "b", "10.0.1.0/32", NULL);
	add_pool(&f, "c", "fd00::/126", NULL);
	f.pools[1].has_allocation = true;
	f.pools[1].namespaces = (struct strs){ns, 1};
	start(&f, true);
	assert_string_equal(get(&f, who("d/a", "", 80), v4), "10.0.0.0");
	want.pool = "";
	allocator_explain(f.a, &svc, &want, NULL, want.fam, 900, &text);
	assert_string_equal(buf_str(&text), "pool a: 1 of 1 IPv4 in use; pool b: namespace not "
					    "selected; pool c: no IPv4 addresses");
	buf_clear(&text);
	allocator_explain(f.a, &svc, &want, NULL, want.fam, 75, &text);
	assert_string_equal(buf_str(&text), "pool a: 1 of 1 IPv4 in use; and 2 more pools");
	allocator_free(f.a);
}

static void test_memory(void **state)
{
	struct alloc_ips ips = {.ip = {ip_of("10.0.0.1"), ip_of("fd00::1")}, .n = 2}, found;
	const usec_t day = MEMORY_AGE_MAX, now = 100 * day;
	struct memory *m = memory_new(), *copy = memory_new();
	_cleanup_(buf_fini) struct buf text = {0};
	char key[32];

	(void)state;
	for (unsigned i = 0; i < MEMORY_ENTRIES_MAX + 2; i++) {
		snprintf(key, sizeof(key), "d/s%u", i);
		memory_add(m, key, &ips, now + (usec_t)i * USEC_PER_SEC);
	}
	assert_int_equal(memory_count(m), MEMORY_ENTRIES_MAX);
	assert_false(memory_find(m, "d/s1", now, &found));
	assert_true(memory_find(m, "d/s2", now, &found));
	assert_false(memory_find(m, "d/s2", now + day + 3 * USEC_PER_SEC, &found));
	memory_format(m, now + 20000 * USEC_PER_SEC, &text);
	assert_int_equal(memory_parse(copy, buf_str(&text), now + 20000 * USEC_PER_SEC), 0);
	assert_int_equal(memory_count(copy), MEMORY_ENTRIES_MAX);
	assert_int_equal(memory_parse(copy, "x\n1 k\n1 k 1.2.3\n-1 k 1.2.3.4\n", now), 4);
	memory_free(m);
	memory_free(copy);
}

static void test_requests(void **state)
{
	static const struct {
		const char *annotation, *spec;
		size_t n; /* 0 with ok: nothing asked for */
		bool ok;
	} cases[] = {
		{"", "", 0, true},
		{"10.0.0.1", "", 1, true},
		{" 10.0.0.1 , fd00::1 ", "", 2, true},
		{"", "10.0.0.1", 1, true},
		{"", " 10.0.0.1", 0, false},
		{"10.0.0.1", "10.0.0.1", 0, false},
		{"10.0.0.1,10.0.0.2", "", 0, false},
		{"10.0.0.1,", "", 0, false},
		{"10.0.0.1,fd00::1,fd00::2", "", 0, false},
		{"10.0.0.0/24", "", 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kv kv = {"metallb.universe.tf/loadBalancerIPs", cases[i].annotation};
		struct service svc = {.load_balancer_ip = cases[i].spec};
		struct alloc_ips ips = {0};
		struct err err = {0};

		svc.obj.meta.annotations = (struct labels){&kv, 1};
		if (request_ips(&svc, &ips, &err) != cases[i].ok || ips.n != cases[i].n)
			fail_msg("case %zu: %zu addresses, %s", i, ips.n, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_lowest_first),
		cmocka_unit_test(test_two_pools),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_priority_and_names),
		cmocka_unit_test(test_avoided_and_nodes),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
