/*
 * Which Events are written: the same, the similar, the flood.
 */
#include "lib/kube/correlate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEC USEC_PER_SEC

static struct kube_event *say(struct kube_correlate *k, usec_t now, const char *name,
			      const char *reason, const char *message)
{
	struct kube_event_object object = {
		.resource = &kube_services, .ns = "ns", .name = name, .uid = "u"};

	return kube_correlate_add(k, now, now + 1000 * SEC, &object, "Normal", reason, message);
}

static void test_the_same_is_counted(void **state)
{
	struct kube_correlate *k = kube_correlate_new();
	struct kube_event *first = say(k, 0, "a", "R", "m"), *again;

	(void)state;
	assert_int_equal(first->count, 1);
	assert_string_equal(first->type, "Normal");
	assert_int_equal(strncmp(first->event_name, "a.", 2), 0);
	again = say(k, 5 * SEC, "a", "R", "m");
	assert_ptr_equal(first, again);
	assert_int_equal(again->count, 2);
	assert_true(again->first == 1000 * SEC && again->last == 1005 * SEC);
	assert_ptr_not_equal(say(k, 0, "a", "R", "other"), first);
	assert_ptr_not_equal(say(k, 0, "a", "S", "m"), first);
	assert_ptr_not_equal(say(k, 0, "b", "R", "m"), first);
	kube_correlate_free(k);
}

static void test_similar_are_combined(void **state)
{
	struct kube_correlate *k = kube_correlate_new();
	struct kube_event *e = NULL, *combined = NULL;
	char message[32];

	(void)state;
	for (int i = 0; i < 12; i++) {
		snprintf(message, sizeof(message), "try %d", i);
		e = say(k, i * SEC, "a", "R", message);
		assert_non_null(e);
		if (i < KUBE_EVENT_SIMILAR_MAX - 1)
			assert_string_equal(e->message, message);
		else if (!combined)
			combined = e;
	}
	assert_ptr_equal(e, combined);
	assert_int_equal(e->count, 3);
	assert_string_equal(e->message, "(combined from similar events): try 11");
	/* After ten quiet minutes they are told apart again. */
	e = say(k, 12 * SEC + KUBE_EVENT_SIMILAR_WITHIN, "a", "R", "try 99");
	assert_string_equal(e->message, "try 99");
	kube_correlate_free(k);
}

static void test_flood_is_cut(void **state)
{
	struct kube_correlate *k = kube_correlate_new();

	(void)state;
	for (int i = 0; i < KUBE_EVENT_BURST; i++)
		assert_non_null(say(k, 0, "a", "R", "m"));
	assert_null(say(k, 0, "a", "R", "m"));
	assert_non_null(say(k, 0, "b", "R", "m"));
	assert_null(say(k, KUBE_EVENT_REFILL - 1, "a", "R", "m"));
	assert_non_null(say(k, KUBE_EVENT_REFILL, "a", "R", "m"));
	assert_null(say(k, KUBE_EVENT_REFILL, "a", "R", "m"));
	/* Never more than the burst, however long it was quiet. */
	for (int i = 0; i < KUBE_EVENT_BURST; i++)
		assert_non_null(say(k, 100 * KUBE_EVENT_REFILL, "a", "R", "m"));
	assert_null(say(k, 100 * KUBE_EVENT_REFILL, "a", "R", "m"));
	kube_correlate_free(k);
}

static void test_memory_is_bounded(void **state)
{
	struct kube_correlate *k = kube_correlate_new();
	struct kube_event *busy = say(k, 0, "busy", "R", "m");
	char name[32];

	(void)state;
	busy->busy = true;
	for (int i = 0; i < KUBE_EVENT_CACHE_MAX + 10; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(say(k, 0, name, "R", "m")->count, 1);
	}
	assert_ptr_equal(say(k, 0, "busy", "R", "m"), busy);   /* a write of it is under way */
	assert_int_equal(say(k, 0, "s0", "R", "m")->count, 1); /* forgotten */
	assert_int_equal(say(k, 0, name, "R", "m")->count, 2);
	kube_correlate_free(k);
}

static void test_long_message_is_cut(void **state)
{
	struct kube_correlate *k = kube_correlate_new();
	char text[KUBE_EVENT_MESSAGE_MAX + 10] = {0};
	struct kube_event *e;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text + KUBE_EVENT_MESSAGE_MAX - 1, "\xc3\xa9", 2);
	e = say(k, 0, "a", "R", text);
	assert_int_equal(strlen(e->message), KUBE_EVENT_MESSAGE_MAX - 1);
	kube_correlate_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_is_counted),
		cmocka_unit_test(test_similar_are_combined),
		cmocka_unit_test(test_flood_is_cut),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
