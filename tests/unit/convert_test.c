/*
 * operator/convert: what each version looks like in the other, and that nothing is lost on the way
 * there and back.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "operator/convert.h"

/* The answer to a review of one object, parsed; the caller puts it. */
static struct json_object *convert(const char *review_version, const char *want, const char *object)
{
	_cleanup_(buf_fini) struct buf in = {0};
	_cleanup_(buf_fini) struct buf out = {0};
	struct json_object *answer;

	buf_printf(&in,
		   "{\"apiVersion\":\"apiextensions.k8s.io/%s\",\"kind\":\"ConversionReview\","
		   "\"request\":{\"uid\":\"u1\",\"desiredAPIVersion\":\"%s\",\"objects\":[%s]}}\n",
		   review_version, want, object);
	assert_int_equal(convert_review(in.data, in.len, &out), 200);
	answer = json_tokener_parse(buf_str(&out));
	assert_non_null(answer);
	return answer;
}

static struct json_object *get(struct json_object *o, const char *path)
{
	struct json_object *v = NULL;

	assert_int_equal(json_pointer_get(o, path, &v), 0);
	return v;
}

static const char *first_object(struct json_object *answer)
{
	return json_object_to_json_string_ext(get(answer, "/response/convertedObjects/0"),
					      JSON_C_TO_STRING_PLAIN |
						      JSON_C_TO_STRING_NOSLASHESCAPE);
}

#define V1(metadata, spec)                                                                         \
	"{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"BGPPeer\",\"metadata\":{" metadata      \
	"},\"spec\":{" spec "}}"
#define V2(metadata, spec)                                                                         \
	"{\"apiVersion\":\"metallb.io/v1beta2\",\"kind\":\"BGPPeer\",\"metadata\":{" metadata      \
	"},\"spec\":{" spec "}}"
#define NAME       "\"name\":\"a\",\"namespace\":\"n\""
#define KEPT(text) ",\"annotations\":{\"metallb.io/v1beta2-fields\":\"" text "\"}"
#define BASE       "\"myASN\":64512,\"peerASN\":64513,\"peerAddress\":\"192.0.2.1\""
#define PLAIN      BASE ",\"holdTime\":\"90s\",\"keepaliveTime\":\"30s\""
#define ZERO       ",\"holdTime\":\"0s\",\"keepaliveTime\":\"0s\""

static const struct {
	const char *v2, *v1;
} pairs[] = {
	{V2(NAME, PLAIN), V1(NAME, PLAIN)},
	{V2(NAME, PLAIN ",\"peerPort\":1179"), V1(NAME, PLAIN ",\"peerPort\":1179")},
	{V2(NAME, BASE),
	 V1(NAME KEPT("{\\\"absent\\\":[\\\"holdTime\\\",\\\"keepaliveTime\\\"]}"), BASE ZERO)},
	{V2(NAME, BASE ZERO), V1(NAME, BASE ZERO)},
	{V2(NAME, PLAIN ",\"vrf\":\"red\""), V1(NAME KEPT("{\\\"vrf\\\":\\\"red\\\"}"), PLAIN)},
	{V2(NAME, PLAIN ",\"localASN\":4200000000,\"connectTime\":\"5s\""),
	 V1(NAME KEPT("{\\\"localASN\\\":4200000000,\\\"connectTime\\\":\\\"5s\\\"}"), PLAIN)},
	{V2(NAME, PLAIN ",\"passwordSecret\":{\"name\":\"s\"},\"disableMP\":true"),
	 V1(NAME KEPT("{\\\"passwordSecret\\\":{\\\"name\\\":\\\"s\\\"},\\\"disableMP\\\":true}"),
	    PLAIN)},
	{V2(NAME, PLAIN ",\"enableGracefulRestart\":false"),
	 V1(NAME KEPT("{\\\"enableGracefulRestart\\\":false}"), PLAIN)},
	{V2(NAME, "\"myASN\":1,\"interface\":\"eth0\",\"dynamicASN\":\"external\"" ZERO),
	 V1(NAME KEPT("{\\\"dynamicASN\\\":\\\"external\\\",\\\"interface\\\":\\\"eth0\\\","
		      "\\\"absent\\\":[\\\"peerASN\\\",\\\"peerAddress\\\"]}"),
	    "\"myASN\":1,\"peerASN\":0,\"peerAddress\":\"\"" ZERO)},
	{V2(NAME ",\"annotations\":{\"x\":\"y\"}", PLAIN ",\"vrf\":\"red\""),
	 V1(NAME ",\"annotations\":{\"x\":\"y\",\"metallb.io/v1beta2-fields\":"
		 "\"{\\\"vrf\\\":\\\"red\\\"}\"}",
	    PLAIN)},
	{V2(NAME, PLAIN ",\"nodeSelectors\":[{\"matchExpressions\":[{\"key\":\"k\","
			"\"operator\":\"Exists\"}]}]"),
	 V1(NAME, PLAIN ",\"nodeSelectors\":[{\"matchExpressions\":[{\"key\":\"k\","
			"\"operator\":\"Exists\"}]}]")},
};

static void test_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct json_object *down = convert("v1beta1", "metallb.io/v1beta1", pairs[i].v2);
		struct json_object *want = json_tokener_parse(pairs[i].v1), *up;

		if (!json_object_equal(get(down, "/response/convertedObjects/0"), want))
			fail_msg("case %zu: %s", i, first_object(down));
		up = convert("v1", "metallb.io/v1beta2", first_object(down));
		json_object_put(want);
		want = json_tokener_parse(pairs[i].v2);
		if (!json_object_equal(get(up, "/response/convertedObjects/0"), want))
			fail_msg("case %zu and back: %s", i, first_object(up));
		json_object_put(up);
		json_object_put(down);
		json_object_put(want);
	}
}

/* One way only: object, wanted version, result. */
static const struct {
	const char *object, *version, *want;
} ways[] = {
	/* the defaults need not be kept */
	{V2(NAME, PLAIN ",\"disableMP\":false,\"dualStackAddressFamily\":false"),
	 "metallb.io/v1beta1", V1(NAME, PLAIN)},
	/* 0 is the default port */
	{V1(NAME, PLAIN ",\"peerPort\":0"), "metallb.io/v1beta2", V2(NAME, PLAIN)},
	/* a timer that is left out */
	{V1(NAME, BASE ",\"holdTime\":\"9s\""), "metallb.io/v1beta2",
	 V2(NAME, BASE ",\"holdTime\":\"9s\",\"keepaliveTime\":\"0s\"")},
	/* the value was filled in meanwhile */
	{V1(NAME KEPT("{\\\"absent\\\":[\\\"peerASN\\\",\\\"peerAddress\\\"]}"), PLAIN),
	 "metallb.io/v1beta2", V2(NAME, PLAIN)},
	/* a user's own text in the annotation: kept, or only what fits */
	{V1(NAME KEPT("garbage"), PLAIN), "metallb.io/v1beta2", V2(NAME KEPT("garbage"), PLAIN)},
	{V1(NAME KEPT("{\\\"vrf\\\":5,\\\"localASN\\\":7,\\\"myASN\\\":9,\\\"absent\\\":3}"),
	    PLAIN),
	 "metallb.io/v1beta2", V2(NAME, PLAIN ",\"localASN\":7")},
	/* the same version */
	{V2(NAME, PLAIN ",\"vrf\":\"red\""), "metallb.io/v1beta2",
	 V2(NAME, PLAIN ",\"vrf\":\"red\"")},
	/* unknown fields stay */
	{V1(NAME ",\"uid\":\"1\"", PLAIN ",\"what\":[1.50,null]"), "metallb.io/v1beta2",
	 V2(NAME ",\"uid\":\"1\"", PLAIN ",\"what\":[1.50,null]")},
	{"{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"BGPPeer\"}", "metallb.io/v1beta2",
	 "{\"apiVersion\":\"metallb.io/v1beta2\",\"kind\":\"BGPPeer\"}"},
};

static void test_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct json_object *answer = convert("v1", ways[i].version, ways[i].object);
		struct json_object *want = json_tokener_parse(ways[i].want);

		assert_non_null(want);
		if (!json_object_equal(get(answer, "/response/convertedObjects/0"), want))
			fail_msg("case %zu: %s", i, first_object(answer));
		json_object_put(answer);
		json_object_put(want);
	}
}

static void test_failures(void **state)
{
	static const struct {
		const char *object, *version, *message;
	} cases[] = {
		{V2(NAME, PLAIN), "metallb.io/v1",
		 "request.desiredAPIVersion: \"metallb.io/v1\" is neither metallb.io/v1beta1 nor "
		 "metallb.io/v1beta2"},
		{"{\"apiVersion\":\"metallb.io/v9\",\"kind\":\"BGPPeer\",\"metadata\":{" NAME "}}",
		 "metallb.io/v1beta2",
		 "BGPPeer n/a: cannot convert from metallb.io/v9 to metallb.io/v1beta2"},
		{"{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"Community\"}",
		 "metallb.io/v1beta2", "cannot convert a Community, only BGPPeer"},
		{"5", "metallb.io/v1beta2", "cannot convert a nothing, only BGPPeer"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *answer = convert("v1beta1", cases[i].version, cases[i].object);

		assert_string_equal(json_object_get_string(get(answer, "/apiVersion")),
				    "apiextensions.k8s.io/v1beta1");
		assert_string_equal(json_object_get_string(get(answer, "/response/uid")), "u1");
		assert_string_equal(json_object_get_string(get(answer, "/response/result/status")),
				    "Failure");
		assert_string_equal(json_object_get_string(get(answer, "/response/result/message")),
				    cases[i].message);
		json_object_put(answer);
	}
}

#define FRAME(version, uid, rest)                                                                  \
	"{\"apiVersion\":\"apiextensions.k8s.io/" version                                          \
	"\",\"kind\":\"ConversionReview\",\"request\":{\"uid\":\"" uid "\"" rest "}}"

static void test_bad_bodies(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{"", "no body\n"},
		{"{", "the body is not JSON: continue at byte 1\n"},
		{"[1,2]", "not a ConversionReview of apiextensions.k8s.io: apiVersion and kind are "
			  "of something else\n"},
		{"{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"ConversionReview\"}",
		 "not a ConversionReview of apiextensions.k8s.io: request is missing\n"},
		{FRAME("v1", "", ""),
		 "not a ConversionReview of apiextensions.k8s.io: request.uid is missing\n"},
		{FRAME("v2", "u", ""),
		 "not a ConversionReview of apiextensions.k8s.io: apiVersion and kind are of "
		 "something else\n"},
		{"{\"a\":\"\xff\"}", "the body is not JSON: invalid utf-8 string at byte 6\n"},
		{"{} {}", "the body is not JSON: unexpected character at byte 3\n"},
	};
	_cleanup_(buf_fini) struct buf deep = {0};
	_cleanup_(buf_fini) struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&out);
		assert_int_equal(convert_review(cases[i].body, strlen(cases[i].body), &out), 400);
		assert_string_equal(buf_str(&out), cases[i].text);
	}
	buf_clear(&out);
	assert_int_equal(convert_review("{}\0x", 4, &out), 400);
	assert_string_equal(buf_str(&out), "the body is not JSON: something follows at byte 2\n");
	for (int i = 0; i < 100000; i++)
		buf_add_char(&deep, '[');
	buf_clear(&out);
	assert_int_equal(convert_review(deep.data, deep.len, &out), 400);
	assert_string_equal(buf_str(&out), "the body is not JSON: nesting too deep at byte 64\n");
	buf_clear(&deep);
	buf_add_str(&deep, "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":"
			   "\"ConversionReview\",\"request\":{\"uid\":\"");
	for (int i = 0; i < 1 << 20; i++)
		buf_add_char(&deep, 'u');
	buf_add_str(&deep, "\"}}");
	buf_clear(&out);
	assert_int_equal(convert_review(deep.data, deep.len, &out), 400);
	assert_string_equal(buf_str(&out), "not a ConversionReview of apiextensions.k8s.io: "
					   "request.uid is too long\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_bad_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
