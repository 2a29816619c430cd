/*
 * The speaker's small parts: flags, excluded interfaces, records of decisions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/share.h"
#include "metallb/xalloc.h"
#include "speaker/exclude.h"
#include "speaker/options.h"
#include "speaker/record.h"

static const char *no_env(const char *name)
{
	(void)name;
	return NULL;
}

static const char *pod_env(const char *name)
{
	if (strcmp(name, "METALLB_NODE_NAME") == 0)
		return "node7";
	if (strcmp(name, "METALLB_BGP_TYPE") == 0)
		return "frr";
	return strcmp(name, "METALLB_ML_BIND_PORT") == 0 ? "7947" : "";
}

static bool parse(struct options *o, options_getenv_fn env, struct err *err, const char *a,
		  const char *b, const char *c)
{
	const char *argv[] = {"speaker", a, b, c};
	int argc = 1;

	while (argc < 4 && argv[argc])
		argc++;
	return options_parse(o, argc, (char **)argv, env, err);
}

static void test_options(void **state)
{
	struct options o;
	struct err err;

	(void)state;
	assert_true(parse(&o, pod_env, &err, "--port=0", "-lb-class", "x"));
	assert_string_equal(o.node_name, "node7");
	assert_string_equal(o.ml_bind_port, "7947");
	assert_int_equal(o.port, 0);
	assert_int_equal(o.health_port, 17472);
	assert_string_equal(o.lb_class, "x");
	assert_int_equal(o.backend, BACKEND_FRR);
	assert_int_equal(o.refresh, 180 * USEC_PER_SEC);
	assert_int_equal(o.drain_wait, 5 * USEC_PER_SEC);
	assert_int_equal(o.liveness_port, 7947);
	assert_int_equal(o.liveness_interval, 100 * USEC_PER_MSEC);
	assert_int_equal(o.liveness_timeout, 600 * USEC_PER_MSEC);
	assert_false(o.l2_keep);
	assert_string_equal(o.daemonset, "speaker");
	assert_true(
		parse(&o, no_env, &err, "--node-name=a", "--ignore-exclude-lb", "--l2-refresh=0"));
	assert_true(o.ignore_exclude_lb);
	assert_int_equal(o.refresh, 0);
	assert_int_equal(o.uplink, 0);
	assert_true(parse(&o, no_env, &err, "--node-name=a", "--l2-uplink-check=1s", NULL));
	assert_int_equal(o.uplink, USEC_PER_SEC);
	assert_false(parse(&o, no_env, &err, "--node-name=a", "--l2-uplink-check=1s",
			   "--liveness-port=0"));
	assert_non_null(strstr(err.msg, "--l2-uplink-check"));
	assert_true(parse(&o, pod_env, &err, "--ignore-exclude-lb=false",
			  "--shared-address-election=group", NULL));
	assert_true(!o.ignore_exclude_lb && o.group_shared);
	assert_true(parse(&o, no_env, &err, "-h", NULL, NULL));
	assert_true(o.help);
}

static void test_options_refused(void **state)
{
	static const struct {
		const char *arg, *names;
	} cases[] = {
		{"--nonsense", "--nonsense"},
		{"--port=70000", "--port"},
		{"--port=", "--port"},
		{"--port=12x", "--port"},
		{"--log-level=loud", "--log-level"},
		{"--ml-wan-config=maybe", "--ml-wan-config"},
		{"--lb-class", "--lb-class"},
		{"word", "word"},
		{"--l2-refresh=1s", "--l2-refresh"},
		{"--bgp-drain-wait=21s", "--bgp-drain-wait"},
		{"--bgp-drain-wait=-1s", "--bgp-drain-wait"},
		{"--bgp-drain-wait=x", "--bgp-drain-wait"},
		{"--l2-refresh=-1m", "--l2-refresh"},
		{"--l2-uplink-check=199ms", "--l2-uplink-check"},
		{"--l2-uplink-check=2m", "--l2-uplink-check"},
		{"--l2-uplink-check=-1s", "--l2-uplink-check"},
		{"--l2-uplink-check=on", "--l2-uplink-check"},
		{"--liveness-port=x", "--liveness-port"},
		{"--liveness-interval=10ms", "--liveness-interval"},
		{"--liveness-interval=3s", "--liveness-interval"},
		{"--liveness-timeout=299ms", "--liveness-timeout"},
		{"--liveness-timeout=6s", "--liveness-timeout"},
		{"--log-format=xml", "--log-format"},
		{"--shared-address-election=both", "--shared-address-election"},
		{"--frrk8s-secret-passthrough", "--frrk8s-secret-passthrough"},
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {0};

		assert_false(parse(&o, pod_env, &err, cases[i].arg, NULL, NULL));
		if (!strstr(err.msg, cases[i].names))
			fail_msg("%s: %s", cases[i].arg, err.msg);
	}
	struct err err = {0};

	assert_false(parse(&o, no_env, &err, NULL, NULL, NULL));
	assert_non_null(strstr(err.msg, "--node-name"));
}

static struct exclude *exclude_of(const char *text, struct err *err)
{
	return exclude_parse(text, strlen(text), err);
}

static void test_exclude(void **state)
{
	struct err err = {0};
	struct exclude *x = exclude_of("announcedInterfacesToExclude: "
				       "['^docker.*', '^lo$', 'cali', '^(a+)+$']\n",
				       &err);

	(void)state;
	assert_non_null(x);
	assert_true(exclude_matches(x, "docker0"));
	assert_true(exclude_matches(x, "lo"));
	assert_false(exclude_matches(x, "lo0"));
	assert_true(exclude_matches(x, "xcali1")); /* unanchored */
	assert_false(exclude_matches(x, "eth0"));
	assert_false(exclude_matches(x, "aaaaaaaaaaaaaab")); /* bounded, however it is written */
	exclude_free(x);
	x = exclude_of("", &err);
	assert_false(exclude_matches(x, "docker0"));
	exclude_free(x);
	x = exclude_of("announcedInterfacesToExclude:\n", &err);
	assert_false(exclude_matches(x, "docker0"));
	exclude_free(x);
	assert_null(exclude_of("announcedInterfacesToExclude: ['(']\n", &err));
	assert_non_null(strstr(err.msg, "pattern \"(\""));
	assert_null(exclude_of("announcedInterfacesToExclude: 7\n", &err));
	assert_null(exclude_of("announcedInterfacesToExclude: [7]\n", &err));
	assert_null(exclude_of("- a\n", &err));
	assert_null(exclude_of("a: [\n", &err));
	x = exclude_load("/nonexistent/excludel2.yaml", &err);
	assert_non_null(x);
	exclude_free(x);
}

static void test_record(void **state)
{
	static const char *const eth0[] = {"eth0"}, *const eth1[] = {"eth1"};
	struct ip ip;

	(void)state;
	assert_true(ip_parse("192.0.2.1", &ip));
	struct announce_l2_ip where = {ip, false, {eth0, 1}};
	struct community_value c = {false, {1, 2}};
	struct announce_route route = {prefix_of(&ip, 32), 5, &c, 1, {eth0, 1}, "adv"};
	struct announce_decision d = {.ips = &ip,
				      .n_ips = 1,
				      .l2 = {.ips = &where, .n_ips = 1},
				      .bgp = {.routes = &route, .n_routes = 1}};
	struct record *r = record_new(&d);

	assert_true(record_announces_l2(r) && record_announces_bgp(r));
	assert_true(record_same_ips(&r->d, &d) && record_same_l2(&r->d, &d));
	assert_true(record_same_bgp(&r->d, &d));
	c.v[1] = 3;
	assert_false(record_same_bgp(&r->d, &d));
	where.interfaces.items = eth1;
	assert_false(record_same_l2(&r->d, &d));
	d.n_ips = 0;
	assert_false(record_same_ips(&r->d, &d));
	assert_false(record_announces_l2(NULL));
	record_free(r);
}

static void share_set(struct share_index *x, const char *service, const char *a, const char *b)
{
	struct ip ips[2];
	size_t n = 0;

	if (a)
		assert_true(ip_parse(a, &ips[n++]));
	if (b)
		assert_true(ip_parse(b, &ips[n++]));
	share_index_set(x, service, ips, n);
}

static void test_share(void **state)
{
	struct share_index *x = share_index_new();
	struct arena *a = arena_new();
	struct ip shared, want;

	(void)state;
	share_set(x, "d/a", "192.0.2.1", "fd00::1");
	share_set(x, "d/b", "fd00::1", "192.0.2.9");
	share_set(x, "d/c", "192.0.2.9", NULL);
	share_set(x, "d/z", "192.0.2.7", "192.0.2.7");
	/* a and c meet through b */
	struct strs group = share_index_group(x, "d/a", a, &shared);

	assert_int_equal(group.n, 3);
	assert_string_equal(group.items[0], "d/a");
	assert_true(ip_parse("192.0.2.9", &want));
	assert_true(ip_eq(&shared, &want));
	assert_int_equal(share_index_group(x, "d/z", a, &shared).n, 1);
	assert_int_equal(shared.family, IP_NONE);
	assert_int_equal(share_index_group(x, "d/none", a, &shared).n, 0);
	share_set(x, "d/b", NULL, NULL);
	assert_int_equal(share_index_group(x, "d/a", a, &shared).n, 1);
	share_set(x, "d/c", "192.0.2.1", NULL);
	assert_int_equal(share_index_group(x, "d/c", a, &shared).n, 2);
	for (int i = 0; i < 2 * SHARE_GROUP_MAX; i++) {
		char key[16];

		snprintf(key, sizeof(key), "m/%d", i);
		share_set(x, key, "192.0.2.1", NULL);
	}
	assert_int_equal(share_index_group(x, "d/a", a, &shared).n, SHARE_GROUP_MAX);
	arena_free(a);
	share_index_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options), cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_exclude), cmocka_unit_test(test_record),
		cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
