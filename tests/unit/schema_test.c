/*
 * The verdict of an API server: types, bounds, words, patterns, metadata, rules across fields and
 * against the stored object, unknown fields.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/schema.h"
#include "metallb/xalloc.h"

#define HEAD    "{\"metadata\":{\"name\":\"x\",\"namespace\":\"n\"},"
#define SPEC(s) HEAD "\"spec\":{" s "}}"

/* "Type field;..." of all issues, then "? field;" of what is unknown. */
static void check(enum api_kind kind, const char *text, const char *old_text, char *out,
		  size_t room)
{
	json_object *json = json_tokener_parse(text);
	json_object *old = old_text ? json_tokener_parse(old_text) : NULL;
	struct schema_report r;
	size_t n = 0;

	assert_non_null(json);
	api_schema_check(kind, json, old, &r);
	*out = '\0';
	for (size_t i = 0; i < r.n_issues; i++) {
		n += (size_t)snprintf(out + n, room - n, "%s %s;",
				      schema_issue_type_name(r.issues[i].type) + 10,
				      r.issues[i].field);
		assert_true(strlen(r.issues[i].detail) > 5);
	}
	for (size_t i = 0; i < r.unknown.n; i++)
		n += (size_t)snprintf(out + n, room - n, "? %s;", r.unknown.items[i]);
	schema_report_fini(&r);
	json_object_put(json);
	json_object_put(old);
}

static void verdicts(void **state)
{
	static const struct {
		enum api_kind kind;
		const char *text, *old, *want;
	} cases[] = {
		{API_IPADDRESSPOOL, SPEC("\"addresses\":[]"), NULL, ""},
		{API_IPADDRESSPOOL, HEAD "\"x\":1}", NULL, "Required spec;? x;"},
		{API_IPADDRESSPOOL, SPEC("\"addresses\":null"), NULL, "Required spec.addresses;"},
		{API_IPADDRESSPOOL, SPEC("\"addresses\":[1,\"a\",null]"), NULL,
		 "TypeInvalid spec.addresses[0];TypeInvalid spec.addresses[2];"},
		{API_IPADDRESSPOOL, SPEC("\"addresses\":[],\"autoAssign\":\"yes\",\"foo\":{}"),
		 NULL, "TypeInvalid spec.autoAssign;? spec.foo;"},
		{API_IPADDRESSPOOL,
		 SPEC("\"addresses\":[],\"serviceAllocation\":{\"serviceSelectors\":[{"
		      "\"matchExpressions\":[{\"key\":\"a\",\"op\":1}]}]}"),
		 NULL,
		 "Required "
		 "spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].operator;"
		 "? spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].op;"},
		{API_IPADDRESSPOOL, "{\"metadata\":{\"name\":\"a_b\"},\"spec\":{\"addresses\":[]}}",
		 NULL, "Invalid metadata.name;"},
		{API_IPADDRESSPOOL, "{\"metadata\":{},\"spec\":{\"addresses\":[]}}", NULL,
		 "Required metadata.name;"},
		{API_IPADDRESSPOOL,
		 "{\"metadata\":{\"name\":\"a\",\"labels\":{\"a "
		 "b\":\"c\"},\"annotations\":{\"A/b\":"
		 "\"any text\",\"?\":\"\"}},\"spec\":{\"addresses\":[]}}",
		 NULL, "Invalid metadata.labels;Invalid metadata.annotations;"},
		{API_L2ADVERTISEMENT, SPEC("\"conflictPolicy\":\"Never\""), NULL,
		 "NotSupported spec.conflictPolicy;"},
		{API_L2ADVERTISEMENT,
		 SPEC("\"preferredNodeSelectors\":[{\"weight\":0},{\"weight\":101,\"preference\":"
		      "{}}]"),
		 NULL,
		 "Invalid spec.preferredNodeSelectors[0].weight;Required "
		 "spec.preferredNodeSelectors[0].preference;Invalid "
		 "spec.preferredNodeSelectors[1].weight;"},
		{API_BGPADVERTISEMENT, SPEC("\"localPref\":4294967295"), NULL,
		 "Invalid spec.localPref;"},
		{API_BGPADVERTISEMENT, SPEC("\"localPref\":1.5"), NULL,
		 "TypeInvalid spec.localPref;"},
		{API_BGPADVERTISEMENT, SPEC("\"aggregationLength\":1.0"), NULL, ""},
		{API_BGPADVERTISEMENT, SPEC("\"aggregationLength\":24,\"serviceSelectors\":[{}]"),
		 NULL, "Invalid spec;"},
		{API_BGPADVERTISEMENT, SPEC("\"aggregationLength\":24,\"serviceSelectors\":[]"),
		 NULL, ""},
		{API_BGPPEER, SPEC("\"myASN\":4294967296,\"connectTime\":5"), NULL,
		 "Invalid spec.myASN;TypeInvalid spec.connectTime;"},
		{API_BGPPEER, SPEC("\"myASN\":1,\"connectTime\":\"65536s\""), NULL,
		 "Invalid spec.connectTime;"},
		{API_BGPPEER, SPEC("\"myASN\":1,\"enableGracefulRestart\":true"),
		 SPEC("\"myASN\":1,\"enableGracefulRestart\":false"),
		 "Invalid spec.enableGracefulRestart;"},
		{API_BGPPEER, SPEC("\"myASN\":1,\"enableGracefulRestart\":true"),
		 SPEC("\"myASN\":1"), ""},
		{API_BGPPEER,
		 "{\"apiVersion\":\"metallb.io/v1beta1\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
		 "\"myASN\":1,\"vrf\":\"red\",\"nodeSelectors\":[{\"matchExpressions\":[{\"key\":"
		 "\"a\",\"operator\":\"In\",\"values\":[]}]}]}}",
		 NULL,
		 "Required spec.peerASN;Required spec.peerAddress;Invalid "
		 "spec.nodeSelectors[0].matchExpressions[0].values;? spec.vrf;"},
		{API_SERVICEL2STATUS, HEAD "\"status\":{\"node\":\"b\"}}",
		 HEAD "\"status\":{\"node\":\"a\"}}", "Invalid status.node;"},
		{API_CONFIGURATIONSTATE,
		 HEAD "\"status\":{\"conditions\":[{\"type\":\"A\",\"status\":\"Maybe\",\"reason\":"
		      "\"not a word\",\"message\":\"\",\"lastTransitionTime\":\"today\"},{\"type\":"
		      "\"A\",\"status\":\"True\",\"reason\":\"B\",\"message\":\"\","
		      "\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]}}",
		 NULL,
		 "Invalid status.conditions[0].lastTransitionTime;Invalid "
		 "status.conditions[0].reason;NotSupported status.conditions[0].status;Duplicate "
		 "status.conditions[1];"},
		{API_METALLB,
		 SPEC("\"loadBalancerClass\":\"a b\",\"speakerConfig\":{\"resources\":{\"limits\":"
		      "{\"cpu\":1,\"memory\":\"1Gi\",\"x\":true}}}"),
		 NULL,
		 "Invalid spec.loadBalancerClass;TypeInvalid "
		 "spec.speakerConfig.resources.limits.x;"},
		{API_METALLB, SPEC("\"loadBalancerClass\":\"example.com/a-b\""), NULL, ""},
		{API_BFDPROFILE, "[]", NULL, "TypeInvalid ;"},
	};
	char got[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check(cases[i].kind, cases[i].text, cases[i].old, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s\n  want %s\n  got  %s", cases[i].text, cases[i].want, got);
	}
}

/* A value that is wrong a thousand times over is not told a thousand times. */
static void issues_are_bounded(void **state)
{
	json_object *json = json_tokener_parse(SPEC("\"addresses\":[]"));
	json_object *list = json_object_new_array(), *spec = NULL;
	struct schema_report r;

	(void)state;
	for (int i = 0; i < 1000; i++)
		json_object_array_add(list, json_object_new_int(i));
	json_object_object_get_ex(json, "spec", &spec);
	json_object_object_add(spec, "addresses", list);
	api_schema_check(API_IPADDRESSPOOL, json, NULL, &r);
	assert_int_equal(r.n_issues, SCHEMA_ISSUES_MAX);
	schema_report_fini(&r);
	json_object_put(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(issues_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
