/*
 * Leader election: two candidates over one pretended Lease, and answers that get lost.
 */
#include "lib/kube/elect.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/kube/status.h"
#include "metallb/kube.h"
#include "metallb/xalloc.h"

#define SEC USEC_PER_SEC

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0, n); /* no jitter */
}

static const struct random_source no_jitter = {fill, NULL};

/* The server: one Lease with optimistic concurrency. */
struct server {
	struct json_object *lease;
	int version;
};

static int server_write(struct server *s, enum kube_elect_order order, const char *body,
			struct json_object **answer)
{
	struct json_object *lease = kube_json_parse(body, strlen(body));
	char version[16];

	assert_non_null(lease);
	snprintf(version, sizeof(version), "%d", s->version);
	if ((order == KUBE_ELECT_CREATE) == (s->lease != NULL) ||
	    (order == KUBE_ELECT_UPDATE &&
	     strcmp(kube_meta_str(lease, "resourceVersion"), version) != 0)) {
		json_object_put(lease);
		return 409;
	}
	snprintf(version, sizeof(version), "%d", ++s->version);
	json_object_object_add(kube_json_get(lease, "metadata"), "resourceVersion",
			       json_object_new_string(version));
	json_object_put(s->lease);
	s->lease = lease;
	*answer = lease;
	return order == KUBE_ELECT_CREATE ? 201 : 200;
}

static int server_act(struct server *s, enum kube_elect_order order, const char *body,
		      struct json_object **answer)
{
	*answer = NULL;
	if (order != KUBE_ELECT_GET)
		return server_write(s, order, body, answer);
	*answer = s->lease;
	return s->lease ? 200 : 404;
}

static const char *record(const struct server *s, const char *field)
{
	return json_object_get_string(kube_json_get(kube_json_get(s->lease, "spec"), field));
}

static struct kube_elect *candidate(const char *identity)
{
	struct kube_elect_spec spec = {.ns = "ns",
				       .name = "lead",
				       .identity = identity,
				       .duration = 15 * SEC,
				       .renew = 10 * SEC,
				       .retry = 2 * SEC};
	struct err err = {0};
	struct kube_elect *e = kube_elect_new(&spec, &no_jitter, &err);

	if (!e)
		fail_msg("%s", err.msg);
	return e;
}

/* Tick and answer until it waits; returns how many requests it took. */
static int settle(struct kube_elect *e, struct server *s, usec_t now)
{
	enum kube_elect_order order;
	const char *body;
	int n = 0;

	kube_elect_tick(e, now);
	while ((order = kube_elect_output(e, now, now, &body)) != KUBE_ELECT_NOTHING) {
		struct json_object *answer;
		int status;

		if (order == KUBE_ELECT_STOP)
			continue;
		status = server_act(s, order, body, &answer);
		kube_elect_recv(e, now, status, answer);
		n++;
		assert_true(n < 10);
	}
	return n;
}

static void test_first_one_creates(void **state)
{
	struct server s = {0};
	struct kube_elect *e = candidate("one");

	(void)state;
	assert_int_equal(settle(e, &s, 0), 2);
	assert_true(kube_elect_is_leader(e));
	assert_true(kube_elect_is_held(e, 10 * SEC - 1));
	assert_false(kube_elect_is_held(e, 10 * SEC));
	assert_string_equal(record(&s, "holderIdentity"), "one");
	assert_string_equal(record(&s, "leaseDurationSeconds"), "15");
	assert_string_equal(record(&s, "leaseTransitions"), "0");
	assert_string_equal(record(&s, "acquireTime"), "1970-01-01T00:00:00.000000Z");
	assert_true(kube_elect_deadline(e) == 2 * SEC);
	assert_int_equal(settle(e, &s, 2 * SEC), 1);
	assert_string_equal(record(&s, "renewTime"), "1970-01-01T00:00:02.000000Z");
	assert_string_equal(record(&s, "acquireTime"), "1970-01-01T00:00:00.000000Z");
	assert_true(kube_elect_is_held(e, 11 * SEC));
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_second_waits_for_the_duration(void **state)
{
	struct server s = {0};
	struct kube_elect *one = candidate("one"), *two = candidate("two");
	usec_t now;

	(void)state;
	settle(one, &s, 0);
	settle(two, &s, SEC);
	assert_string_equal(kube_elect_holder(two), "one");
	settle(one, &s, 2 * SEC); /* its last renewal; seen by two at 3 s */
	for (now = 3 * SEC; now < 18 * SEC; now += SEC) {
		settle(two, &s, now);
		assert_false(kube_elect_is_leader(two));
	}
	settle(two, &s, 19 * SEC);
	assert_true(kube_elect_is_held(two, 19 * SEC));
	assert_string_equal(record(&s, "leaseTransitions"), "1");
	/* The first has known for long that it holds nothing. */
	assert_false(kube_elect_is_held(one, 12 * SEC));
	settle(one, &s, 20 * SEC);
	assert_false(kube_elect_is_leader(one));
	assert_string_equal(kube_elect_holder(one), "two");
	kube_elect_free(one);
	kube_elect_free(two);
	json_object_put(s.lease);
}

static void test_release_hands_over(void **state)
{
	struct server s = {0};
	struct kube_elect *one = candidate("one"), *two = candidate("two");

	(void)state;
	settle(one, &s, 0);
	settle(two, &s, SEC);
	kube_elect_release(one, 2 * SEC);
	assert_false(kube_elect_is_held(one, 2 * SEC));
	settle(one, &s, 2 * SEC);
	assert_true(kube_elect_is_released(one));
	assert_true(kube_elect_deadline(one) == USEC_NEVER);
	assert_string_equal(record(&s, "holderIdentity"), "");
	settle(two, &s, 3 * SEC);
	assert_true(kube_elect_is_held(two, 3 * SEC));
	/* Nothing to give back: over at once. */
	kube_elect_release(two, 4 * SEC);
	settle(two, &s, 4 * SEC);
	kube_elect_free(one);
	one = candidate("three");
	kube_elect_release(one, 5 * SEC);
	assert_true(kube_elect_is_released(one));
	kube_elect_free(one);
	kube_elect_free(two);
	json_object_put(s.lease);
}

/* A watch sees that the lease was given back: no waiting for the next look. A hint is no proof. */
static void test_hint(void **state)
{
	struct server s = {0};
	struct kube_elect *one = candidate("one"), *two = candidate("two");

	(void)state;
	settle(one, &s, 0);
	settle(two, &s, SEC);
	kube_elect_hint_free(two, SEC + SEC / 10, NULL); /* too early: it is held */
	assert_int_equal(settle(two, &s, SEC + SEC / 10), 1);
	assert_false(kube_elect_is_held(two, SEC + SEC / 10));
	assert_int_equal(settle(two, &s, SEC + SEC / 5), 0);
	kube_elect_release(one, 2 * SEC);
	settle(one, &s, 2 * SEC);
	kube_elect_hint_free(one, 2 * SEC, s.lease); /* it wants it no more */
	assert_int_equal(settle(one, &s, 2 * SEC), 0);
	kube_elect_hint_free(two, 2 * SEC + 1, s.lease);
	assert_int_equal(settle(two, &s, 2 * SEC + 1), 1); /* the write */
	assert_true(kube_elect_is_held(two, 2 * SEC + 1));
	kube_elect_hint_free(two, 2 * SEC + 2, s.lease); /* news of before */
	assert_int_equal(settle(two, &s, 2 * SEC + 2), 0);
	kube_elect_free(one);
	kube_elect_free(two);
	json_object_put(s.lease);
}

/* The news comes while a look is under way whose answer is older. */
static void test_hint_during_a_look(void **state)
{
	struct server s = {0};
	struct kube_elect *one = candidate("one"), *two = candidate("two");
	struct json_object *before = NULL;
	const char *body;

	(void)state;
	settle(one, &s, 0);
	kube_elect_tick(two, SEC);
	assert_int_equal(kube_elect_output(two, SEC, 0, &body), KUBE_ELECT_GET);
	assert_int_equal(json_object_deep_copy(s.lease, &before, NULL), 0);
	kube_elect_release(one, SEC);
	settle(one, &s, SEC);
	kube_elect_hint_free(two, SEC, s.lease);
	kube_elect_recv(two, SEC + 1, 200, before);
	assert_int_equal(settle(two, &s, SEC + 1), 2);
	assert_true(kube_elect_is_held(two, SEC + 1));
	kube_elect_free(one);
	kube_elect_free(two);
	json_object_put(before);
	json_object_put(s.lease);
}

/* The news is older than what the server has by now: the write is refused, and a look follows. */
static void test_hint_of_before(void **state)
{
	struct server s = {0};
	struct kube_elect *one = candidate("one"), *two = candidate("two"),
			  *three = candidate("three");
	struct json_object *freed = NULL;

	(void)state;
	settle(one, &s, 0);
	settle(two, &s, 0);
	kube_elect_release(one, SEC);
	settle(one, &s, SEC);
	assert_int_equal(json_object_deep_copy(s.lease, &freed, NULL), 0);
	settle(three, &s, SEC);
	assert_true(kube_elect_is_leader(three));
	kube_elect_hint_free(two, SEC + 1, freed);
	assert_int_equal(settle(two, &s, SEC + 1), 2);
	assert_false(kube_elect_is_leader(two));
	assert_string_equal(kube_elect_holder(two), "three");
	assert_int_equal(settle(two, &s, SEC + 2), 0); /* it waits again */
	kube_elect_free(one);
	kube_elect_free(two);
	kube_elect_free(three);
	json_object_put(freed);
	json_object_put(s.lease);
}

static void test_release_gives_up(void **state)
{
	struct server s = {0};
	struct kube_elect *e = candidate("one");
	const char *body;

	(void)state;
	settle(e, &s, 0);
	kube_elect_release(e, SEC);
	assert_int_equal(kube_elect_output(e, SEC, SEC, &body), KUBE_ELECT_UPDATE);
	assert_false(kube_elect_is_released(e));
	kube_elect_tick(e, SEC + KUBE_ELECT_RELEASE_MAX);
	assert_true(kube_elect_is_released(e));
	assert_int_equal(kube_elect_output(e, 7 * SEC, 0, &body), KUBE_ELECT_STOP);
	assert_int_equal(kube_elect_output(e, 7 * SEC, 0, &body), KUBE_ELECT_NOTHING);
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_no_answer_ends_it_in_time(void **state)
{
	struct server s = {0};
	struct kube_elect *e = candidate("one");
	const char *body;
	int stops = 0;
	usec_t now;

	(void)state;
	settle(e, &s, 0);
	for (now = 0; now < 10 * SEC; now += SEC / 4) {
		kube_elect_tick(e, now);
		for (;;) {
			enum kube_elect_order order = kube_elect_output(e, now, 0, &body);

			if (order == KUBE_ELECT_NOTHING)
				break;
			stops += order == KUBE_ELECT_STOP;
		}
		assert_true(kube_elect_is_held(e, now));
	}
	assert_int_equal(stops, 1); /* each request is given half the renew deadline */
	assert_true(kube_elect_deadline(e) <= 10 * SEC);
	kube_elect_tick(e, now);
	assert_false(kube_elect_is_leader(e));
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_lost_answer_of_a_write_that_was_taken(void **state)
{
	struct server s = {0};
	struct kube_elect *e = candidate("one");
	struct json_object *ignored;
	const char *body;

	(void)state;
	settle(e, &s, 0);
	kube_elect_tick(e, 2 * SEC);
	assert_int_equal(kube_elect_output(e, 2 * SEC, 0, &body), KUBE_ELECT_UPDATE);
	assert_int_equal(server_act(&s, KUBE_ELECT_UPDATE, body, &ignored), 200);
	kube_elect_recv(e, 3 * SEC, 0, NULL);
	assert_int_equal(settle(e, &s, 5 * SEC), 2); /* get, update */
	assert_true(kube_elect_is_held(e, 14 * SEC));
	assert_string_equal(record(&s, "leaseTransitions"), "0");
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_taken_away(void **state)
{
	struct json_object *other = NULL;
	struct server s = {0};
	struct kube_elect *e = candidate("one");

	(void)state;
	settle(e, &s, 0);
	/* The candidate keeps the object it was given: change another. */
	assert_int_equal(json_object_deep_copy(s.lease, &other, NULL), 0);
	json_object_put(s.lease);
	s.lease = other;
	json_object_object_add(kube_json_get(s.lease, "spec"), "holderIdentity",
			       json_object_new_string("thief"));
	json_object_object_add(kube_json_get(s.lease, "metadata"), "resourceVersion",
			       json_object_new_string("77"));
	s.version = 77;
	settle(e, &s, 2 * SEC);
	assert_false(kube_elect_is_leader(e));
	assert_string_equal(kube_elect_holder(e), "thief");
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_leases_of_odd_shape(void **state)
{
	static const struct {
		const char *lease;
		bool taken;
	} cases[] = {
		{"{\"metadata\":{\"resourceVersion\":\"1\"}}", true},
		{"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":null}", true},
		{"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"holderIdentity\":5,"
		 "\"leaseTransitions\":\"x\"}}",
		 true},
		{"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"holderIdentity\":\"x\","
		 "\"leaseDurationSeconds\":-5}}",
		 false},
		{"{\"metadata\":{}}", false},
		{"[]", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server s = {.version = 1};
		struct kube_elect *e = candidate("one");

		s.lease = kube_json_parse(cases[i].lease, strlen(cases[i].lease));
		settle(e, &s, 0);
		assert_int_equal(kube_elect_is_leader(e), cases[i].taken);
		kube_elect_free(e);
		json_object_put(s.lease);
	}
}

static void test_what_others_keep_in_it_stays(void **state)
{
	static const char text[] =
		"{\"metadata\":{\"resourceVersion\":\"1\",\"labels\":{\"a\":\"b\"}},"
		"\"spec\":{\"strategy\":\"x\"}}";
	struct server s = {.lease = kube_json_parse(text, strlen(text)), .version = 1};
	struct kube_elect *e = candidate("one");

	(void)state;
	settle(e, &s, 0);
	assert_string_equal(record(&s, "strategy"), "x");
	assert_string_equal(
		kube_json_str(kube_json_get(kube_json_get(s.lease, "metadata"), "labels"), "a"),
		"b");
	kube_elect_free(e);
	json_object_put(s.lease);
}

static void test_durations_are_checked(void **state)
{
	static const usec_t bad[][3] = {{10, 10, 2}, {15, 2, 2}, {15, 10, 0}, {7200, 10, 2}};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kube_elect_spec spec = {.ns = "n",
					       .name = "l",
					       .identity = "i",
					       .duration = bad[i][0] * SEC,
					       .renew = bad[i][1] * SEC,
					       .retry = bad[i][2] * SEC};

		assert_null(kube_elect_new(&spec, &no_jitter, &err));
		assert_non_null(strstr(err.msg, "lease n/l: needs duration"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_one_creates),
		cmocka_unit_test(test_second_waits_for_the_duration),
		cmocka_unit_test(test_release_hands_over),
		cmocka_unit_test(test_hint),
		cmocka_unit_test(test_hint_during_a_look),
		cmocka_unit_test(test_hint_of_before),
		cmocka_unit_test(test_release_gives_up),
		cmocka_unit_test(test_no_answer_ends_it_in_time),
		cmocka_unit_test(test_lost_answer_of_a_write_that_was_taken),
		cmocka_unit_test(test_taken_away),
		cmocka_unit_test(test_leases_of_odd_shape),
		cmocka_unit_test(test_what_others_keep_in_it_stays),
		cmocka_unit_test(test_durations_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
