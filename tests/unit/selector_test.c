/*
 * Label selectors: which labels they match, what is refused, and their text.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/api.h"
#include "metallb/labels.h"
#include "metallb/xalloc.h"

/* An advertisement with this selector and these labels. */
static struct l2advertisement *load(const char *selector, const char *labels)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"metadata\":{\"name\":\"x\",\"labels\":%s},\"spec\":{\"nodeSelectors\":[%s]}}",
		labels, selector);
	json_object *json = json_tokener_parse(text);
	struct err err = {.msg = ""};
	struct api_object *obj = api_decode(API_L2ADVERTISEMENT, json, &err);

	if (!obj)
		fail_msg("%s: %s", text, err.msg);
	json_object_put(json);
	return (struct l2advertisement *)obj;
}

#define EXPR(key, op, values)                                                                      \
	"{\"matchExpressions\":[{\"key\":\"" key "\",\"operator\":\"" op "\",\"values\":" values   \
	"}]}"
#define LABELS "{\"a\":\"1\",\"b\":\"2\"}"

static void selectors_match(void **state)
{
	static const struct {
		const char *selector;
		bool match;
		const char *text;
	} cases[] = {
		{"{}", true, ""},
		{"{\"matchLabels\":{\"a\":\"1\"}}", true, "a=1"},
		{"{\"matchLabels\":{\"a\":\"2\"}}", false, "a=2"},
		{"{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"}}", true, "a=1,b=2"},
		{"{\"matchLabels\":{\"c\":\"\"}}", false, "c="},
		{EXPR("a", "In", "[\"2\",\"1\"]"), true, "a in (1,2)"},
		{EXPR("a", "In", "[\"3\"]"), false, "a in (3)"},
		{EXPR("c", "In", "[\"3\"]"), false, "c in (3)"},
		{EXPR("a", "NotIn", "[\"3\",\"1\"]"), false, "a notin (1,3)"},
		{EXPR("a", "NotIn", "[\"3\"]"), true, "a notin (3)"},
		{EXPR("c", "NotIn", "[\"3\"]"), true, "c notin (3)"},
		{EXPR("a", "Exists", "[]"), true, "a"},
		{EXPR("c", "Exists", "[]"), false, "c"},
		{EXPR("a", "DoesNotExist", "[]"), false, "!a"},
		{EXPR("c", "DoesNotExist", "[]"), true, "!c"},
		{"{\"matchLabels\":{\"b\":\"2\"},\"matchExpressions\":[{\"key\":\"a\","
		 "\"operator\":\"Exists\"},{\"key\":\"b\",\"operator\":\"Exists\"}]}",
		 true, "a,b=2,b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct l2advertisement *adv = load(cases[i].selector, LABELS);
		const struct selector *s = &adv->node_selectors.items[0];
		struct err err = {.msg = ""};

		if (!selector_check(s, &err))
			fail_msg("%s: %s", cases[i].selector, err.msg);
		assert_string_equal(selector_format(s, adv->obj.arena), cases[i].text);
		if (selector_matches(s, &adv->obj.meta.labels) != cases[i].match ||
		    selectors_match_any(&adv->node_selectors, &adv->obj.meta.labels) !=
			    cases[i].match)
			fail_msg("%s", cases[i].selector);
		api_object_free(&adv->obj);
	}
}

static void bad_selectors_are_refused(void **state)
{
	static const char *const cases[] = {
		EXPR("a", "Equals", "[\"b\"]"),
		EXPR("a", "in", "[\"b\"]"),
		EXPR("a", "In", "[]"),
		EXPR("a", "NotIn", "[]"),
		EXPR("a", "Exists", "[\"b\"]"),
		EXPR("a", "DoesNotExist", "[\"b\"]"),
		EXPR("", "Exists", "[]"),
		EXPR("-a", "Exists", "[]"),
		EXPR("a b", "Exists", "[]"),
		EXPR("A.example/x", "Exists", "[]"),
		EXPR("/x", "Exists", "[]"),
		EXPR("a", "In", "[\"b c\"]"),
		EXPR("a", "In", "[\"b\",\"-c\"]"),
		"{\"matchLabels\":{\"a\":\"x_\"}}",
		"{\"matchLabels\":{\"a/b/c\":\"x\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct l2advertisement *adv = load(cases[i], "{}");
		struct err err = {.msg = ""};

		if (selector_check(&adv->node_selectors.items[0], &err))
			fail_msg("%s passes", cases[i]);
		assert_true(strlen(err.msg) > 5);
		api_object_free(&adv->obj);
	}
}

static void lengths_of_keys_and_values(void **state)
{
	char text[400];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[63] = '\0';
	assert_true(label_check_value(text, NULL) && label_check_key(text, NULL));
	text[63] = 'a';
	text[64] = '\0';
	assert_false(label_check_value(text, NULL) || label_check_key(text, NULL));
	assert_true(label_check_value("", NULL));
	assert_false(label_check_key("", NULL));
	memset(text, 'a', sizeof(text));
	memcpy(text + 253, "/x", 3);
	assert_true(label_check_key(text, NULL));
	assert_true(label_check_subdomain(text, 253));
	assert_false(label_check_subdomain(text, 252 + 2));
	assert_true(label_check_subdomain("a-b.c", 5));
	assert_false(label_check_subdomain("a-.c", 4) || label_check_subdomain("a..c", 4) ||
		     label_check_subdomain(".a", 2) || label_check_subdomain("a.", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selectors_match),
		cmocka_unit_test(bad_selectors_are_refused),
		cmocka_unit_test(lengths_of_keys_and_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
