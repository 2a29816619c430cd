/*
 * lib/serve/authcache: verdicts expire, are replaced, and never grow in number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/serve/authcache.h"

static int find(const struct authcache *c, const char *token, usec_t now)
{
	uint8_t hash[AUTHCACHE_HASH];

	authcache_hash(token, hash);
	return authcache_find(c, hash, now);
}

static void add(struct authcache *c, const char *token, int status, usec_t now)
{
	uint8_t hash[AUTHCACHE_HASH];

	authcache_hash(token, hash);
	authcache_add(c, hash, status, now);
}

static void test_expiry(void **state)
{
	struct authcache c = {0};

	(void)state;
	assert_int_equal(find(&c, "a", 0), 0);
	add(&c, "a", 200, 5);
	add(&c, "b", 403, 5);
	assert_int_equal(find(&c, "a", 6), 200);
	assert_int_equal(find(&c, "b", 6), 403);
	assert_int_equal(find(&c, "c", 6), 0);
	assert_int_equal(find(&c, "b", 5 + AUTHCACHE_DENY - 1), 403);
	assert_int_equal(find(&c, "b", 5 + AUTHCACHE_DENY), 0);
	assert_int_equal(find(&c, "a", 5 + AUTHCACHE_ALLOW - 1), 200);
	assert_int_equal(find(&c, "a", 5 + AUTHCACHE_ALLOW), 0);
	add(&c, "a", 401, 6);
	assert_int_equal(find(&c, "a", 7), 401);
}

static void test_bound(void **state)
{
	struct authcache c = {0};
	char token[16];

	(void)state;
	for (int i = 0; i < 3 * AUTHCACHE_MAX; i++) {
		snprintf(token, sizeof(token), "t%d", i);
		add(&c, token, 200, i);
		assert_int_equal(find(&c, token, i), 200);
	}
	/* the oldest have gone, the newest are all there */
	for (int i = 0; i < 3 * AUTHCACHE_MAX; i++) {
		snprintf(token, sizeof(token), "t%d", i);
		assert_int_equal(find(&c, token, 1000), i < 2 * AUTHCACHE_MAX ? 0 : 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
