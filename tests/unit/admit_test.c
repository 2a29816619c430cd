/*
 * operator/admit: the frame around the rules, what is in use, and mistakes that were there before.
 * The rules themselves are in admit_cases_test.c.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "operator/admit.h"

#define META(name) "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\"}"
#define POOL(name, addresses)                                                                      \
	"{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"IPAddressPool\"," META(                 \
		name) ",\"spec\":{\"addresses\":[" addresses "]}}"
#define PEER(name, more)                                                                           \
	"{\"apiVersion\":\"metallb.io/v1beta2\",\"kind\":\"BGPPeer\"," META(                       \
		name) ",\"spec\":{\"myASN\":1,\"peerASN\":2,\"peerAddress\":\"192.0.2.1\"" more    \
		      "}}"
#define BFD(name) "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"BFDProfile\"," META(name) "}"

static const struct ip addresses[] = {
	{IP_V4, {10, 0, 0, 1}}, {IP_V4, {10, 0, 0, 200}}, {IP_V4, {10, 9, 0, 1}}};
static struct admit_service services[14];
static const struct admit_service *service_list[14];
static struct api_object *pools[3], *peers[1];
static struct admit_snapshot snapshot;

static struct api_object *decode(enum api_kind kind, const char *text)
{
	json_object *json = json_tokener_parse(text);
	struct err err;
	struct api_object *o = api_decode(kind, json, &err);

	json_object_put(json);
	if (!o)
		fail_msg("%s", err.msg);
	return o;
}

static int setup(void **state)
{
	(void)state;
	pools[0] = decode(API_IPADDRESSPOOL, POOL("a", "\"10.0.0.0/24\""));
	pools[1] = decode(API_IPADDRESSPOOL, POOL("b", "\"10.1.0.0/24\""));
	/* a mistake that is there already */
	pools[2] = decode(API_IPADDRESSPOOL, POOL("z", "\"10.1.0.0/25\""));
	peers[0] = decode(API_BGPPEER, PEER("p", ",\"bfdProfile\":\"f\""));
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		services[i] = (struct admit_service){"ns", xasprintf("s%zu", i),
						     &addresses[i == 13 ? 2 : i % 2], 1};
		service_list[i] = &services[i];
	}
	snapshot = (struct admit_snapshot){
		.ns = "n",
		.objs = {.pools = (const void *)pools,
			 .n_pools = ARRAY_SIZE(pools),
			 .peers = (const void *)peers,
			 .n_peers = 1,
			 .bgp_extras = ""},
		.services = service_list,
		.n_services = ARRAY_SIZE(service_list),
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		api_object_free(pools[i]);
	api_object_free(peers[0]);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		free((void *)(uintptr_t)services[i].name);
	return 0;
}

#define REVIEW(version, rest)                                                                      \
	"{\"apiVersion\":\"admission.k8s.io/" version "\",\"kind\":\"AdmissionReview\","           \
	"\"request\":{\"uid\":\"u\"," rest "}}"
#define ANSWER(version, rest)                                                                      \
	"{\"apiVersion\":\"admission.k8s.io/" version "\",\"kind\":\"AdmissionReview\","           \
	"\"response\":{\"uid\":\"u\"," rest "}}"
#define CREATE(object)      "\"operation\":\"CREATE\",\"object\":" object
#define UPDATE(object, old) "\"operation\":\"UPDATE\",\"object\":" object ",\"oldObject\":" old
#define DELETE(old)         "\"operation\":\"DELETE\",\"object\":null,\"oldObject\":" old
#define REFUSED(code, reason, message)                                                             \
	"\"allowed\":false,\"status\":{\"code\":" code ",\"reason\":\"" reason                     \
	"\",\"message\":\"" message "\"}"
#define FIRST_TEN "ns/s0, ns/s1, ns/s2, ns/s3, ns/s4, ns/s5, ns/s6, ns/s7, ns/s8, ns/s9"

static const struct {
	enum api_kind kind;
	const char *body;
	const char *answer;
} cases[] = {
	{API_IPADDRESSPOOL, REVIEW("v1", CREATE(POOL("c", "\"10.2.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true")},
	{API_IPADDRESSPOOL, REVIEW("v1beta1", CREATE(POOL("c", "\"10.2.0.0/24\""))),
	 ANSWER("v1beta1", "\"allowed\":true")},
	{API_IPADDRESSPOOL, REVIEW("v1", CREATE(POOL("c", "\"10.0.0.7/32\""))),
	 ANSWER("v1", REFUSED("403", "Forbidden",
			      "IPAddressPool n/c: spec.addresses[0]: \\\"10.0.0.7/32\\\" overlaps "
			      "\\\"10.0.0.0/24\\\" of IPAddressPool a"))},
	/* the broken pool does not stand in the way of others, and can be mended */
	{API_IPADDRESSPOOL,
	 REVIEW("v1", UPDATE(POOL("z", "\"10.3.0.0/25\""), POOL("z", "\"10.1.0.0/25\""))),
	 ANSWER("v1", "\"allowed\":true")},
	/* in use: shrunk, moved, deleted; elsewhere nobody loses anything */
	{API_IPADDRESSPOOL,
	 REVIEW("v1", UPDATE(POOL("a", "\"10.0.0.0/25\""), POOL("a", "\"10.0.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true,\"warnings\":[\"IPAddressPool a: 6 Services lose their "
		      "addresses: ns/s1, ns/s3, ns/s5, ns/s7, ns/s9, ns/s11\"]")},
	{API_IPADDRESSPOOL, REVIEW("v1", DELETE(POOL("a", "\"10.0.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true,\"warnings\":[\"IPAddressPool a: 13 Services lose their "
		      "addresses: " FIRST_TEN ", ...\"]")},
	{API_IPADDRESSPOOL, REVIEW("v1", DELETE(POOL("b", "\"10.1.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true")},
	{API_IPADDRESSPOOL,
	 REVIEW("v1", UPDATE(POOL("a", "\"10.0.0.0-10.0.0.255\""), POOL("a", "\"10.0.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true")},
	/* references */
	{API_BGPPEER, REVIEW("v1", CREATE(PEER("q", ",\"bfdProfile\":\"late\""))),
	 ANSWER("v1", "\"allowed\":true,\"warnings\":[\"spec.bfdProfile: there is no BFDProfile "
		      "late\"]")},
	{API_BGPPEER, REVIEW("v1", CREATE(PEER("q", ",\"disableMP\":true"))),
	 ANSWER("v1", "\"allowed\":true,\"warnings\":[\"spec.disableMP: is deprecated and has no "
		      "effect\"]")},
	{API_BFDPROFILE, REVIEW("v1", DELETE(BFD("f"))),
	 ANSWER("v1", REFUSED("403", "Forbidden", "BFDProfile n/f: used by BGPPeer p"))},
	{API_BFDPROFILE, REVIEW("v1", DELETE(BFD("g"))), ANSWER("v1", "\"allowed\":true")},
	/* not judged: another subresource, an object on its way out, one that is stored broken */
	{API_IPADDRESSPOOL,
	 REVIEW("v1", "\"subResource\":\"status\"," CREATE(POOL("c", "\"10.0.0.7/32\""))),
	 ANSWER("v1", "\"allowed\":true")},
	{API_IPADDRESSPOOL,
	 REVIEW("v1",
		UPDATE("{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"IPAddressPool\","
		       "\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"deletionTimestamp\":"
		       "\"2026-01-01T00:00:00Z\"},\"spec\":{\"addresses\":[]}}",
		       POOL("c", "\"10.2.0.0/24\""))),
	 ANSWER("v1", "\"allowed\":true")},
	{API_IPADDRESSPOOL, REVIEW("v1", UPDATE(POOL("c", "\"10.2.0.0/24\""), POOL("c", "5"))),
	 ANSWER("v1", "\"allowed\":true")},
	/* not a review of what is handled here */
	{API_IPADDRESSPOOL, REVIEW("v1", "\"operation\":\"CREATE\""),
	 ANSWER("v1", REFUSED("400", "BadRequest", "request.object is missing"))},
	{API_IPADDRESSPOOL, REVIEW("v1", UPDATE(POOL("c", "\"10.2.0.0/24\""), "null")),
	 ANSWER("v1", REFUSED("400", "BadRequest", "request.oldObject is missing"))},
	{API_IPADDRESSPOOL, REVIEW("v1", "\"operation\":\"CONNECT\""),
	 ANSWER("v1", REFUSED("400", "BadRequest",
			      "request.operation: \\\"CONNECT\\\" is not handled here"))},
	{API_IPADDRESSPOOL,
	 REVIEW("v1", CREATE("{\"apiVersion\":\"metallb.io/v9\",\"kind\":\"IPAddressPool\"," META(
			      "x") "}")),
	 ANSWER("v1", REFUSED("400", "BadRequest",
			      "request.object is a IPAddressPool of metallb.io/v9, not a "
			      "IPAddressPool"))},
	{API_IPADDRESSPOOL, REVIEW("v1", CREATE(BFD("f"))),
	 ANSWER("v1", REFUSED("400", "BadRequest",
			      "request.object is a BFDProfile of metallb.io/v1beta1, not a "
			      "IPAddressPool"))},
	{API_IPADDRESSPOOL,
	 REVIEW("v1", CREATE("{\"apiVersion\":\"v1\",\"kind\":\"Pod\"," META("x") "}")),
	 ANSWER("v1", REFUSED("400", "BadRequest",
			      "request.object is a Pod of v1, not a IPAddressPool"))},
};

static void test_reviews(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_fini) struct buf out = {0};
		struct admit_outcome outcome;

		assert_int_equal(admit_review(&snapshot, cases[i].kind, cases[i].body,
					      strlen(cases[i].body), &out, &outcome),
				 200);
		assert_string_equal(buf_str(&out), cases[i].answer);
	}
}

static void test_bad_bodies(void **state)
{
	static const char *const bodies[] = {
		"", "x", "{}", "[]", "null", "{\"request\":5}", REVIEW("v2", CREATE("{}"))};
	_cleanup_(buf_fini) struct buf out = {0};
	struct admit_outcome outcome;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		assert_int_equal(admit_review(&snapshot, API_IPADDRESSPOOL, bodies[i],
					      strlen(bodies[i]), &out, &outcome),
				 400);
	/* a member that is there twice counts in its last form */
	buf_clear(&out);
	static const char twice[] =
		REVIEW("v1", "\"operation\":\"CONNECT\"," CREATE(POOL("c", "\"10.2.0.0/24\"")));
	assert_int_equal(
		admit_review(&snapshot, API_IPADDRESSPOOL, twice, strlen(twice), &out, &outcome),
		200);
	assert_true(outcome.allowed);
}

/* `n` times `piece`, between the other two. */
static char *repeated(const char *before, const char *piece, size_t n, const char *after)
{
	_cleanup_(buf_fini) struct buf b = {0};

	buf_add_str(&b, before);
	for (size_t i = 0; i < n; i++)
		buf_add_str(&b, piece);
	buf_add_str(&b, after);
	return xstrdup(buf_str(&b));
}

/* Sizes and bytes that nobody sends in good faith. */
static void test_absurd_bodies(void **state)
{
	char *const bodies[] = {
		/* nesting, closed or not; a long name of the request; text that is no UTF-8 */
		repeated("", "[", 100000, ""),
		repeated("{\"request\":", "{\"a\":", 70, "1"),
		repeated("{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\","
			 "\"request\":{\"uid\":\"",
			 "0123456789abcdef", 65536,
			 "\"," CREATE(POOL("c", "\"10.2.0.0/24\"")) "}}"),
		repeated("{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\","
			 "\"request\":{\"uid\":\"",
			 "\xc3\x28\xff", 1, "\"," CREATE(POOL("c", "\"10.2.0.0/24\"")) "}}"),
		repeated("", "\x01\x02\xfe", 1000, ""),
		repeated(REVIEW("v1", CREATE(POOL("c", "\"10.2.0.0/24\""))), "}", 1, ""),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		_cleanup_(buf_fini) struct buf out = {0};
		struct admit_outcome outcome;

		assert_int_equal(admit_review(&snapshot, API_IPADDRESSPOOL, bodies[i],
					      strlen(bodies[i]), &out, &outcome),
				 400);
		assert_in_range(out.len, 1, 1000); /* a reason, not all of it again */
		free(bodies[i]);
	}
}

/* What the next review has to wait for: a write that makes a difference. */
static void test_changes(void **state)
{
#define LABELLED "{\"kind\":\"IPAddressPool\",\"apiVersion\":\"metallb.io/v1beta1\","
	static const char a[] = POOL("c", "\"10.2.0.0/24\"");
	static const char *const old[] = {
		/* the same, other addresses, other labels, none */
		a, POOL("c", "\"10.3.0.0/24\""),
		LABELLED
		"\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"labels\":{\"x\":\"y\"}},"
		"\"spec\":{\"addresses\":[\"10.2.0.0/24\"]}}",
		"null"};
	static const bool changes[] = {false, true, true, true};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(old); i++)
		for (int dry = 0; dry < 2; dry++) {
			_cleanup_(buf_fini) struct buf out = {0};
			struct admit_outcome outcome;
			_cleanup_free_ char *body = xasprintf(
				"{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":"
				"\"AdmissionReview\",\"request\":{\"uid\":\"u\",\"dryRun\":%s,"
				"\"operation\":\"%s\",\"object\":%s,\"oldObject\":%s}}",
				dry ? "true" : "false", i == 3 ? "CREATE" : "UPDATE", a, old[i]);

			assert_int_equal(admit_review(&snapshot, API_IPADDRESSPOOL, body,
						      strlen(body), &out, &outcome),
					 200);
			assert_true(outcome.allowed);
			assert_int_equal(outcome.changes, !dry && changes[i]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reviews),
		cmocka_unit_test(test_bad_bodies),
		cmocka_unit_test(test_absurd_bodies),
		cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
