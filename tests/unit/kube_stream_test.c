/*
 * Lines of a watch and pages of a list, in pieces of every size.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/kube/frame.h"
#include "lib/kube/page.h"
#include "metallb/xalloc.h"

static bool keep_line(void *user, const char *line, size_t len, struct err *err)
{
	struct buf *out = user;

	if (len == 4 && memcmp(line, "stop", 4) == 0)
		return err_set(err, "told to stop");
	buf_add(out, line, len);
	buf_add_char(out, '|');
	return true;
}

static void test_lines(void **state)
{
	static const char text[] = "one\n\n \t\r\ntwo\r\nthree";

	(void)state;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct kube_frame f;
		struct buf out = {0};
		struct err err;

		kube_frame_init(&f);
		for (size_t at = 0; at < strlen(text); at += piece) {
			size_t n = strlen(text) - at < piece ? strlen(text) - at : piece;

			assert_true(kube_frame_recv(&f, text + at, n, keep_line, &out, &err));
		}
		assert_string_equal(buf_str(&out), "one|two\r|");
		kube_frame_clear(&f);
		assert_true(kube_frame_recv(&f, "four\n", 5, keep_line, &out, &err));
		assert_string_equal(buf_str(&out), "one|two\r|four|");
		buf_fini(&out);
		kube_frame_fini(&f);
	}
}

static void test_line_too_long(void **state)
{
	static const char line[] =
		"{\"object\":{\"metadata\":{\"name\":\"huge\",\"x\":\"yyyyyyyyyyyy\"}}}\n";
	struct buf out = {0};
	struct err err;

	(void)state;
	for (size_t piece = 1; piece <= strlen(line); piece += 13) {
		struct kube_frame f;
		bool ok = true;

		kube_frame_init(&f);
		f.max = 45;
		for (size_t at = 0; ok && at < strlen(line); at += piece)
			ok = kube_frame_recv(&f, line + at,
					     strlen(line) - at < piece ? strlen(line) - at : piece,
					     keep_line, &out, &err);
		assert_false(ok);
		assert_string_equal(err.msg, "an event of more than 45 bytes, for the object named "
					     "\"huge\"");
		kube_frame_fini(&f);
	}
	buf_fini(&out);
}

static void test_line_refused(void **state)
{
	struct kube_frame f;
	struct buf out = {0};
	struct err err;

	(void)state;
	kube_frame_init(&f);
	assert_false(kube_frame_recv(&f, "a\nstop\nb\n", 9, keep_line, &out, &err));
	assert_string_equal(err.msg, "told to stop");
	assert_string_equal(buf_str(&out), "a|");
	buf_fini(&out);
	kube_frame_fini(&f);
}

static void keep_item(void *user, struct json_object *item)
{
	struct buf *out = user;

	buf_add_str(out, json_object_to_json_string_ext(item, JSON_C_TO_STRING_PLAIN));
	buf_add_char(out, '|');
}

static bool recv_all(struct kube_page *p, const char *text, size_t piece, struct buf *out,
		     struct err *err)
{
	for (size_t at = 0; at < strlen(text); at += piece) {
		size_t n = strlen(text) - at < piece ? strlen(text) - at : piece;

		if (!kube_page_recv(p, text + at, n, keep_item, out, err))
			return false;
	}
	return kube_page_end(p, err);
}

static void test_pages(void **state)
{
	static const struct {
		const char *text, *items, *version, *more;
	} cases[] = {
		{"{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"c\"},"
		 "\"items\":[{\"a\":1},{\"b\":[1,2,{}]}]}",
		 "{\"a\":1}|{\"b\":[1,2,{}]}|", "9", "c"},
		{" {\n \"items\" : [ 12 , null,true,\"]\" , -1.5e3 ] , \"x\" : 7, \"metadata\" : "
		 "{\"resourceVersion\":\"1\"} } \n",
		 "12|null|true|\"]\"|-1.5e3|", "1", ""},
		{"{\"items\":[],\"metadata\":{\"resourceVersion\":\"1\"}}", "", "1", ""},
		{"{\"items\":null,\"metadata\":{\"resourceVersion\":\"1\"}}", "", "1", ""},
		{"{\"a\\\"}{\":[\"}\"],\"items\":[{}],\"metadata\":{\"resourceVersion\":\"1\"}}",
		 "{}|", "1", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].text); piece++) {
			struct kube_page p;
			struct buf out = {0};
			struct err err;

			kube_page_init(&p);
			for (int again = 0; again < 2; again++) {
				buf_clear(&out);
				if (!recv_all(&p, cases[i].text, piece, &out, &err))
					fail_msg("%zu, %zu: %s", i, piece, err.msg);
				assert_string_equal(buf_str(&out), cases[i].items);
				assert_string_equal(p.resource_version, cases[i].version);
				assert_string_equal(p.continue_token, cases[i].more);
				kube_page_reset(&p);
			}
			buf_fini(&out);
			kube_page_fini(&p);
		}
}

static void test_pages_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"<html>", "the list's \"\": not the JSON of a list"},
		{"[]", "the list's \"\": not the JSON of a list"},
		{"{,", "the list's \"\": no key follows"},
		{"{\"a\":1,}", "the list's \"a\": no key follows"},
		{"{\"a\" 1}", "the list's \"a\": not the JSON of a list"},
		{"{\"items\":{}}", "the list's \"items\": not an array"},
		{"{\"items\":[{},{\"a\":}]}", "item 1 of the list: unexpected character"},
		{"{\"items\":[{} {}]}", "item 1 of the list: not the JSON of a list"},
		{"{\"items\":[],\"metadata\":{\"resourceVersion\":\"1\"}} x",
		 "the list's \"metadata\": not the JSON of a list"},
		{"{\"items\":[{}", "the list ends within its text, after 1 items"},
		{"", "the list ends within its text, after 0 items"},
		{"{\"metadata\":{}}", "the answer has no items: it is not a list"},
		{"{\"items\":[]}", "the list has no metadata.resourceVersion"},
		{"{\"items\":[],\"metadata\":{\"resourceVersion\":7}}",
		 "the list has no metadata.resourceVersion"},
		{"{\"items\":[],\"metadata\":null}", "the list has no metadata.resourceVersion"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].text) + 1; piece++) {
			struct kube_page p;
			struct buf out = {0};
			struct err err;

			kube_page_init(&p);
			assert_false(recv_all(&p, cases[i].text, piece, &out, &err));
			assert_string_equal(err.msg, cases[i].reason);
			buf_fini(&out);
			kube_page_fini(&p);
		}
}

static void test_page_bounds(void **state)
{
	struct buf text = {0}, out = {0};
	struct kube_page p;
	struct err err;

	(void)state;
	buf_add_str(&text, "{\"items\":[");
	for (int i = 0; i < KUBE_JSON_DEPTH_MAX + 2; i++)
		buf_add_char(&text, '[');
	kube_page_init(&p);
	assert_false(kube_page_recv(&p, text.data, text.len, keep_item, &out, &err));
	assert_string_equal(err.msg, "item 0 of the list: nesting too deep");
	kube_page_reset(&p);
	buf_clear(&text);
	buf_add_str(&text, "{\"metadata\":\"");
	for (size_t i = 0; i < KUBE_LIST_META_MAX + 100; i++)
		buf_add_char(&text, 'x');
	assert_false(recv_all(&p, buf_str(&text), 100000, &out, &err));
	assert_string_equal(err.msg, "the list's \"metadata\": too large");
	buf_fini(&text);
	buf_fini(&out);
	kube_page_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),         cmocka_unit_test(test_line_too_long),
		cmocka_unit_test(test_line_refused),  cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_refused), cmocka_unit_test(test_page_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
