/*
 * The work queue: de-duplication, delays, back-off, keys that are being worked on.
 */
#include "metallb/kube_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS USEC_PER_MSEC

static void assert_pop(struct kube_queue *q, usec_t now, const char *want)
{
	const char *key;

	if (!want) {
		assert_false(kube_queue_pop(q, now, &key));
		return;
	}
	assert_true(kube_queue_pop(q, now, &key));
	assert_string_equal(key, want);
}

static void test_each_key_once_in_order(void **state)
{
	struct kube_queue *q = kube_queue_new(0, 0, NULL);

	(void)state;
	assert_true(kube_queue_deadline(q) == USEC_NEVER);
	kube_queue_add(q, "a");
	kube_queue_add(q, "b");
	kube_queue_add(q, "a");
	assert_int_equal(kube_queue_count(q), 2);
	assert_true(kube_queue_deadline(q) == 0);
	assert_pop(q, 1, "a");
	assert_pop(q, 1, "b");
	assert_pop(q, 1, NULL);
	assert_int_equal(kube_queue_active(q), 2);
	kube_queue_done(q, "a");
	kube_queue_done(q, "b");
	assert_pop(q, 1, NULL);
	assert_int_equal(kube_queue_count(q) + kube_queue_active(q), 0);
	kube_queue_free(q);
}

static void test_added_while_active(void **state)
{
	struct kube_queue *q = kube_queue_new(0, 0, NULL);

	(void)state;
	kube_queue_add(q, "a");
	assert_pop(q, 0, "a");
	kube_queue_add(q, "a");
	kube_queue_add(q, "a");
	assert_int_equal(kube_queue_count(q), 1);
	assert_pop(q, 0, NULL);
	assert_true(kube_queue_deadline(q) == USEC_NEVER);
	kube_queue_done(q, "a");
	assert_pop(q, 0, "a");
	kube_queue_done(q, "a");
	assert_pop(q, 0, NULL);
	kube_queue_free(q);
}

static void test_delays(void **state)
{
	struct kube_queue *q = kube_queue_new(0, 0, NULL);

	(void)state;
	kube_queue_add_after(q, "late", 300);
	kube_queue_add_after(q, "soon", 100);
	kube_queue_add_after(q, "mid", 200);
	kube_queue_add_after(q, "late", 150); /* earlier wins */
	kube_queue_add_after(q, "soon", 900); /* later does not */
	assert_true(kube_queue_deadline(q) == 100);
	assert_pop(q, 99, NULL);
	assert_pop(q, 200, "soon");
	assert_pop(q, 200, "late");
	assert_pop(q, 200, "mid");
	kube_queue_add_after(q, "now", 1000);
	kube_queue_add(q, "now");
	assert_pop(q, 201, "now");
	kube_queue_done(q, "now");
	assert_pop(q, 2000, NULL); /* the delay went with the add */
	kube_queue_free(q);
}

static void test_retry_doubles_until_forgotten(void **state)
{
	struct kube_queue *q = kube_queue_new(5 * MS, 40 * MS, NULL);
	static const usec_t delays[] = {5 * MS, 10 * MS, 20 * MS, 40 * MS, 40 * MS};
	usec_t now = 0;

	(void)state;
	kube_queue_add(q, "a");
	for (size_t i = 0; i < 5; i++) {
		assert_pop(q, now, "a");
		assert_true(kube_queue_retry(q, "a", now) == delays[i]);
		kube_queue_done(q, "a");
		assert_int_equal(kube_queue_failures(q, "a"), i + 1);
		assert_true(kube_queue_deadline(q) == now + delays[i]);
		assert_pop(q, now + delays[i] - 1, NULL);
		now += delays[i];
	}
	assert_pop(q, now, "a");
	kube_queue_forget(q, "a");
	kube_queue_done(q, "a");
	assert_int_equal(kube_queue_failures(q, "a"), 0);
	assert_true(kube_queue_retry(q, "a", now) == 5 * MS);
	kube_queue_free(q);
}

static void test_retry_while_active_comes_due(void **state)
{
	struct kube_queue *q = kube_queue_new(5 * MS, 0, NULL);

	(void)state;
	kube_queue_add(q, "a");
	assert_pop(q, 0, "a");
	kube_queue_retry(q, "a", 0);
	assert_pop(q, 10 * MS, NULL); /* due, but still being worked on */
	kube_queue_done(q, "a");
	assert_pop(q, 10 * MS, "a");
	kube_queue_done(q, "a");
	assert_pop(q, 20 * MS, NULL);
	kube_queue_free(q);
}

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0xff, n);
}

static void test_jitter_is_bounded(void **state)
{
	const struct random_source random = {fill, NULL};
	struct kube_queue *q = kube_queue_new(100 * MS, 0, &random);
	usec_t delay;

	(void)state;
	delay = kube_queue_retry(q, "a", 0);
	assert_true(delay > 100 * MS && delay <= 125 * MS);
	kube_queue_free(q);
}

/* Against a plain model: a due time per key. */
static void test_many_keys(void **state)
{
	enum { N = 500 };
	struct kube_queue *q = kube_queue_new(0, 0, NULL);
	usec_t due[N], last = 0;
	unsigned seed = 1;
	const char *key;

	(void)state;
	for (int i = 0; i < N; i++)
		due[i] = USEC_NEVER;
	for (int i = 0; i < 3 * N; i++) {
		char name[16];
		int k;
		usec_t at;

		seed = seed * 1103515245 + 12345;
		k = (int)(seed >> 16) % N;
		seed = seed * 1103515245 + 12345;
		at = 1 + (usec_t)(seed >> 12) % 1000000;
		snprintf(name, sizeof(name), "%d", k);
		kube_queue_add_after(q, name, at);
		due[k] = at < due[k] ? at : due[k];
	}
	while (kube_queue_deadline(q) != USEC_NEVER) {
		/* 0: more than one became due at the last time */
		usec_t now = kube_queue_deadline(q) ? kube_queue_deadline(q) : last;

		assert_true(now >= last);
		assert_true(kube_queue_pop(q, now, &key));
		assert_true(due[atoi(key)] == now);
		due[atoi(key)] = USEC_NEVER;
		kube_queue_done(q, key);
		last = now;
	}
	for (int i = 0; i < N; i++)
		assert_true(due[i] == USEC_NEVER);
	kube_queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_key_once_in_order),
		cmocka_unit_test(test_added_while_active),
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_retry_doubles_until_forgotten),
		cmocka_unit_test(test_retry_while_active_comes_due),
		cmocka_unit_test(test_jitter_is_bounded),
		cmocka_unit_test(test_many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
