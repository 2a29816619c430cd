/*
 * YAML as JSON values: scalars as kubectl reads them, documents, anchors, merge keys, refusals.
 */
#include "metallb/yaml.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"

static const struct {
	const char *yaml, *json; /* json NULL: refused, then reason */
	const char *reason;
} cases[] = {
	/* words */
	{"a: ~", "{\"a\":null}"},
	{"a:", "{\"a\":null}"},
	{"a: Null", "{\"a\":null}"},
	{"a: 'null'", "{\"a\":\"null\"}"},
	{"[y, Yes, on, TRUE, n, No, off, False]", "[true,true,true,true,false,false,false,false]"},
	{"[tRUE, 'yes', \"on\", nuLL]", "[\"tRUE\",\"yes\",\"on\",\"nuLL\"]"},
	/* integers */
	{"[0, -1, +5, 0x1F, 0b101, 017, 0o17, 1_000]", "[0,-1,5,31,5,15,15,1000]"},
	{"[9223372036854775807, -9223372036854775808, 18446744073709551615]",
	 "[9223372036854775807,-9223372036854775808,18446744073709551615]"},
	{"['80', \"80\", 80]", "[\"80\",\"80\",80]"},
	{"[1:30, 0x, 1__, -, +, 12a]", "[\"1:30\",\"0x\",1,\"-\",\"+\",\"12a\"]"},
	/* floats */
	{"[1.5, 1e3, .5, 1., 08, 1e-7]", "[1.5,1000,0.5,1,8,1e-07]"},
	{"[1.1, 18446744073709551616]", "[1.1,1.8446744073709552e+19]"},
	{"[1e999, 1.2.3]", "[\"1e999\",\"1.2.3\"]"},
	{"a: .inf", NULL, "line 1: .inf is not a number that JSON has"},
	/* text */
	{"[2001-12-14, 10.0.0.0/8, a b]", "[\"2001-12-14\",\"10.0.0.0\\/8\",\"a b\"]"},
	{"a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}"},
	{"a: >-\n  x\n  y\n", "{\"a\":\"x y\"}"},
	/* tags */
	{"[!!str 1, !!int '7', !!float 3, !!null '', !x 5]", "[\"1\",7,3,null,\"5\"]"},
	{"a: !!binary aGVsbG8=", "{\"a\":\"hello\"}"},
	{"a: !!binary aGVsbG8", NULL, "line 1: !!binary value contains invalid base64 data"},
	{"a: !!int x", NULL, "line 1: cannot read \"x\" as !!int"},
	/* keys */
	{"{1: a, true: b, 1.5: c}", "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\"}"},
	{"a: 1\nb: 2\na: 3\n", NULL, "line 3: key \"a\" is already set in this map"},
	{"{1: a, '1': b}", NULL, "line 1: key \"1\" is already set in this map"},
	{"? [a]\n: b\n", NULL, "line 1: a key must be a scalar"},
	{"~: b", NULL, "line 1: a key must be a scalar other than null"},
	{"\"a\\0b\": 1", NULL, "line 1: a key holds a NUL"},
	/* anchors and merge */
	{"a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}"},
	{"a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  b: 3\n",
	 "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":3,\"c\":2}}"},
	{"d: {<<: [{a: 1}, {a: 2, b: 3}]}", "{\"d\":{\"a\":1,\"b\":3}}"},
	{"d: {'<<': 1}", "{\"d\":{\"<<\":1}}"},
	{"d: {<<: 1}", NULL, "line 1: a merge key needs a map or a list of maps"},
	{"&a [&a 1, *a]", "[1,1]"},
	{"a: *x", NULL, "line 1: alias of an unknown anchor"},
	{"a: &x [*x]", NULL, "line 1: anchored value contains itself"},
	/* documents */
	{"", NULL, "holds no document"},
	{"# nothing\n---\n...\n", NULL, "holds no document"},
	{"---\na: 1\n---\n", "{\"a\":1}"},
	{"a: 1\n---\nb: 1\n", NULL, "line 3: more than one document"},
	{"a: [1", NULL, "line 2: did not find expected ',' or ']'"},
	{"{\"a\": [1, true, null, \"x\"]}", "{\"a\":[1,true,null,\"x\"]}"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {0};
		struct json_object *v = yaml_parse_one(cases[i].yaml, strlen(cases[i].yaml), &err);

		if (cases[i].json) {
			if (!v)
				fail_msg("%s: %s", cases[i].yaml, err.msg);
			assert_string_equal(
				json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN),
				cases[i].json);
		} else {
			if (v)
				fail_msg("accepted: %s", cases[i].yaml);
			assert_string_equal(err.msg, cases[i].reason);
		}
		json_object_put(v);
	}
}

static void assert_refused(const struct buf *text, const char *reason)
{
	struct err err = {0};

	assert_null(yaml_parse_one(text->data, text->len, &err));
	if (!strstr(err.msg, reason))
		fail_msg("%s", err.msg);
}

static void test_bounds(void **state)
{
	struct buf bomb = {0}, deep = {0};
	struct err err;

	(void)state;
	buf_add_str(&bomb, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 12; i++) {
		buf_printf(&bomb, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(&bomb, "%s*a%d", k ? "," : "", i - 1);
		buf_add_str(&bomb, "]\n");
	}
	assert_refused(&bomb, "too many values in one document");
	for (int i = 0; i < YAML_DEPTH_MAX + 2; i++)
		buf_add_char(&deep, '[');
	assert_refused(&deep, "nested too deeply");
	assert_null(yaml_parse_one("", YAML_TEXT_MAX + 1, &err));
	buf_fini(&bomb);
	buf_fini(&deep);
}

struct seen {
	size_t lines[4], n;
	size_t stop_after;
};

static bool on_document(void *user, struct json_object *value, size_t line, struct err *err)
{
	struct seen *s = user;

	assert_non_null(value);
	s->lines[s->n++] = line;
	return s->n != s->stop_after || err_set(err, "enough");
}

static void test_stream(void **state)
{
	static const char text[] = "# head\na: 1\n---\n---\n# c\nb: 2\n---\nnull\n--- {c: 3}\n";
	struct seen all = {0}, first = {.stop_after = 1};
	struct err err = {0};

	(void)state;
	assert_true(yaml_parse_stream(text, strlen(text), on_document, &all, &err));
	assert_int_equal(all.n, 3);
	assert_int_equal(all.lines[0], 2);
	assert_int_equal(all.lines[1], 6);
	assert_int_equal(all.lines[2], 9);
	assert_false(yaml_parse_stream(text, strlen(text), on_document, &first, &err));
	assert_int_equal(first.n, 1);
	assert_string_equal(err.msg, "enough");
}

/* Text as it was written, and where things stand. */
static void test_text_and_lines(void **state)
{
	static const char text[] = "# head\npeers:\n- my-asn: 0123\n  up: yes\n- &x {my-asn: '7',\n"
				   "   at: ~}\n- *x\n---\nb: 1\n";
	static const struct {
		const char *path;
		size_t line;
	} lines[] = {
		{"peers", 2},       {"peers[0]", 3},        {"peers[0].my-asn", 3},
		{"peers[0].up", 4}, {"peers[1].my-asn", 5}, {"peers[1].at", 6},
		{"peers[2]", 7},    {"peers[2].at", 0}, /* came by the alias */
		{"b", 0},                               /* the second document */
		{"peers[3]", 0},
	};
	struct err err = {0};
	json_object *v = NULL;

	(void)state;
	assert_false(yaml_parse_text(text, strlen(text), &v, &err));
	assert_string_equal(err.msg, "line 9: more than one document");
	assert_true(yaml_parse_text(text, strlen(text) - 10, &v, &err));
	assert_string_equal(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN),
			    "{\"peers\":[{\"my-asn\":\"0123\",\"up\":\"yes\"},"
			    "{\"my-asn\":\"7\",\"at\":null},{\"my-asn\":\"7\",\"at\":null}]}");
	json_object_put(v);
	assert_true(yaml_parse_text("", 0, &v, &err));
	assert_null(v);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(yaml_line_of(text, strlen(text), lines[i].path), lines[i].line);
	assert_int_equal(yaml_line_of("a: 1\nb: [", 9, "b"), 2); /* as far as it can be read */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_text_and_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
