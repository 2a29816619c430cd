/*
 * operator/cli/doctor_checks, doctor_around and rights: tables of facts and findings; and
 * operator/kube_proxy, mending the text of a ConfigMap.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/clock.h"
#include "metallb/kube.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/cli/doctor.h"
#include "operator/kube_proxy.h"
#include "operator/rival.h"

#define PATH SOURCE_DIR "/tests/unit/doctor_cases.yaml"

static json_object *read_cases(void)
{
	struct buf text = {0};
	struct err err = {0};
	char chunk[4096];
	FILE *f = fopen(PATH, "r");

	assert_non_null(f);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(&text, chunk, n);
	fclose(f);
	json_object *doc = yaml_parse_one(buf_str(&text), text.len, &err);

	if (!doc)
		fail_msg("%s", err.msg);
	buf_fini(&text);
	return doc;
}

/* A fact of the case, else of the base. */
static void set_fact(struct doctor_known *k, json_object *base, json_object *facts,
		     const char *name)
{
	json_object *v;

	if (!json_object_is_type(facts, json_type_object) ||
	    !json_object_object_get_ex(facts, name, &v))
		v = kube_json_get(base, name);
	if (json_object_is_type(v, json_type_string))
		k->problem = xstrdup(json_object_get_string(v));
	else
		k->value = json_object_get(v);
}

static void check_says(json_object *row, json_object *findings)
{
	json_object *says = kube_json_get(row, "says");
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		json_object *f = json_object_array_get_idx(findings, i);
		_cleanup_free_ char *got =
			xasprintf("%s %s: %s", kube_json_str(f, "verdict"),
				  kube_json_str(f, "check"), kube_json_str(f, "message"));

		if (strncmp(got, "ok ", 3) == 0)
			continue;
		json_object *want = json_object_array_get_idx(says, n++);

		if (!want || strncmp(got, json_object_get_string(want),
				     strlen(json_object_get_string(want))) != 0)
			fail_msg("%s: says \"%s\", expected \"%s\"", kube_json_str(row, "id"), got,
				 want ? json_object_get_string(want) : "nothing more");
	}
	if (n != json_object_array_length(says))
		fail_msg("%s: only %zu findings", kube_json_str(row, "id"), n);
}

static void run_case(json_object *base, json_object *row)
{
	struct doctor_facts f = {.ns = "ns"};
	json_object *findings = json_object_new_array(), *now = kube_json_get(row, "now");
	bool bad = false;
	usec_t at;

	assert_true(clock_parse_rfc3339("2026-01-01T00:00:00Z", &at));
	f.now = now ? json_object_get_int64(now) : at;
	for (size_t i = 0; i < FACT_COUNT; i++)
		set_fact(&f.known[i], base, kube_json_get(row, "facts"), doctor_fact_names[i]);
	if (!f.known[FACT_CRDS].value)
		f.known[FACT_CRDS].value = json_object_new_object();
	f.rights = json_object_get(kube_json_get(row, "rights"));
	f.crds = json_object_get(kube_json_get(row, "wanted"));
	bool well = doctor_check(&f, findings);

	check_says(row, findings);
	for (size_t i = 0; i < json_object_array_length(findings); i++)
		bad |= strcmp(kube_json_str(json_object_array_get_idx(findings, i), "verdict"),
			      "bad") == 0;
	assert_int_equal(well, !bad);
	json_object_put(findings);
	doctor_facts_fini(&f);
}

static void test_cases(void **state)
{
	json_object *doc = read_cases(), *cases = kube_json_get(doc, "cases");

	(void)state;
	assert_true(json_object_array_length(cases) > 40);
	for (size_t i = 0; i < json_object_array_length(cases); i++)
		run_case(kube_json_get(doc, "base"), json_object_array_get_idx(cases, i));
	json_object_put(doc);
}

static void test_rights(void **state)
{
	static const char yaml[] =
		"kind: Role\nmetadata: {name: r, namespace: metallb-system}\n"
		"rules:\n- {apiGroups: [''], resources: [pods, pods/log], verbs: [get]}\n"
		"- {apiGroups: [a.b], resources: [cs], resourceNames: [x, z], verbs: [patch]}\n"
		"---\nkind: RoleBinding\nmetadata: {name: b, namespace: metallb-system}\n"
		"roleRef: {kind: Role, name: r}\nsubjects: [{name: one}, {name: two}]\n"
		"---\nkind: ClusterRole\nmetadata: {name: c}\n"
		"rules: [{apiGroups: [''], resources: [nodes], verbs: [list]}]\n"
		"---\nkind: ClusterRoleBinding\nmetadata: {name: c}\n"
		"roleRef: {kind: ClusterRole, name: c}\nsubjects: [{name: one}]\n";
	static const char want[] = "one get pods//ns one get pods/log/ns one patch cs//x/ns "
				   "one patch cs//z/ns two get pods//ns two get pods/log/ns "
				   "two patch cs//x/ns two patch cs//z/ns one list nodes// ";
	struct buf got = {0};
	struct err err = {0};
	json_object *rights = rights_of(yaml, "ns", &err);

	(void)state;
	assert_non_null(rights);
	for (size_t i = 0; i < json_object_array_length(rights); i++) {
		json_object *r = json_object_array_get_idx(rights, i);
		const char *name = kube_json_str(r, "name");

		buf_printf(&got, "%s %s %s/%s/%s%s%s ", kube_json_str(r, "account"),
			   kube_json_str(r, "verb"), kube_json_str(r, "resource"),
			   kube_json_str(r, "subresource"), name, *name ? "/" : "",
			   kube_json_str(r, "namespace"));
	}
	assert_string_equal(buf_str(&got), want);
	json_object_put(rights);
	assert_null(rights_of("a: [", "ns", &err));
	buf_fini(&got);
}

#define KIND "kind: KubeProxyConfiguration\n"

static void test_mending(void **state)
{
	static const struct {
		const char *before, *after; /* after NULL: refused */
	} cases[] = {
		{KIND "mode: ipvs\nipvs:\n  strictARP: false # why\n  x: 1\n",
		 KIND "mode: ipvs\nipvs:\n  strictARP: true # why\n  x: 1\n"},
		{KIND "ipvs: {strictARP: false, x: 1}\n", KIND "ipvs: {strictARP: true, x: 1}\n"},
		{KIND "ipvs:\n    scheduler: rr # s\nmode: ipvs",
		 KIND "ipvs:\n    strictARP: true\n    scheduler: rr # s\nmode: ipvs"},
		{KIND "ipvs: {}\nmode: ipvs\n", KIND "ipvs:\n  strictARP: true\nmode: ipvs\n"},
		{KIND "ipvs:\nmode: ipvs\n", KIND "ipvs:\n  strictARP: true\nmode: ipvs\n"},
		{KIND "ipvs: null\n", KIND "ipvs:\n  strictARP: true\n"},
		{KIND "mode: ipvs", KIND "mode: ipvs\nipvs:\n  strictARP: true\n"},
		{KIND "mode: ipvs\n", KIND "mode: ipvs\nipvs:\n  strictARP: true\n"},
		{"{kind: KubeProxyConfiguration, ipvs: {x: 1}}", NULL},
		{"{\"kind\": \"KubeProxyConfiguration\"}", NULL},
		{"kind: Other\n", NULL},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *map = json_object_new_object(), *data = json_object_new_object();
		struct buf text = {0};
		const char *key = NULL;

		json_object_object_add(data, "kubeconfig.conf", json_object_new_string("a: b"));
		json_object_object_add(data, "conf", json_object_new_string(cases[i].before));
		json_object_object_add(map, "data", data);
		bool ok = kube_proxy_set_strict_arp(map, &key, &text, &err);

		assert_int_equal(ok, cases[i].after != NULL);
		if (ok) {
			assert_string_equal(key, "conf");
			assert_string_equal(buf_str(&text), cases[i].after);
		}
		buf_fini(&text);
		json_object_put(map);
	}
}

static void test_who_is_what(void **state)
{
	static const struct {
		const char *container;
		enum rival_kind kind;
	} cases[] = {
		{"{image: quay.io/metallb/controller:v0.14.9}", RIVAL_METALLB_CONTROLLER},
		{"{image: metallb/controller}", RIVAL_METALLB_CONTROLLER},
		{"{image: 'localhost:5000/metallb/speaker@sha256:12'}", RIVAL_METALLB_SPEAKER},
		{"{image: docker.io/bitnami/metallb-speaker:0.13}", RIVAL_METALLB_SPEAKER},
		{"{image: rancher/mirrored-metallb-controller:v0.13}", RIVAL_METALLB_CONTROLLER},
		{"{image: 'x/y@sha256:1', command: [/controller], env: [{name: "
		 "METALLB_ML_SECRET_NAME}]}",
		 RIVAL_METALLB_CONTROLLER},
		{"{image: x, env: [{name: METALLB_NODE_NAME}]}", RIVAL_METALLB_SPEAKER},
		{"{image: x, command: [/operator], env: [{name: METALLB_POD_NAME}]}",
		 RIVAL_OUR_OPERATOR},
		{"{image: 'r:5/a/metallb-c:1', command: [/speaker], env: [{name: "
		 "METALLB_NODE_NAME}]}",
		 RIVAL_OUR_SPEAKER},
		{"{image: nginx, command: [/operator]}", RIVAL_NONE},
		{"{image: metallb/frr}", RIVAL_NONE},
		{"{}", RIVAL_NONE},
	};
	struct err err;
	const char *image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = xasprintf(
			"spec: {template: {spec: {containers: [%s]}}}", cases[i].container);
		json_object *o = yaml_parse_one(text, strlen(text), &err);

		assert_non_null(o);
		assert_int_equal(rival_of(o, &image), cases[i].kind);
		json_object_put(o);
	}
}

/* Whether MetalLB's controller is in charge, step by step. */
static void test_who_is_in_charge(void **state)
{
	static const struct {
		int second;
		const char *deployments; /* spec and status of one, or "" */
		bool in_charge;
	} steps[] = {
		{1, "spec: {replicas: 1}, status: {}", true}, /* it may just be starting */
		{50, "spec: {replicas: 1}, status: {readyReplicas: 1}", true},
		{100, "spec: {replicas: 1}, status: {readyReplicas: 0}", true},
		{109, "spec: {x: 1}, status: {readyReplicas: 0}", true},
		{111, "spec: {replicas: 1}, status: {readyReplicas: 0}", false}, /* for a minute */
		{120, "spec: {replicas: 1}, status: {readyReplicas: 1}", true},  /* and back */
		{121, "spec: {replicas: 0}, status: {readyReplicas: 1}", false}, /* told to go */
		{122, "", false},
	};
	struct rival_watch w = {0};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const char *d = steps[i].deployments;
		_cleanup_free_ char *text =
			*d ? xasprintf("items: [{metadata: {name: controller}, %.*s, template: "
				       "{spec: {containers: [{image: metallb/controller}]}}}%s}]",
				       (int)(strchr(d, '}') - d), d, strchr(d, '}') + 1)
			   : xstrdup("items: []");
		json_object *list = yaml_parse_one(text, strlen(text), &err);

		if (!list)
			fail_msg("%s: %s", text, err.msg);
		const char *name = rival_in_charge(&w, list, steps[i].second * USEC_PER_SEC);

		assert_int_equal(name != NULL, steps[i].in_charge);
		json_object_put(list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_mending),
		cmocka_unit_test(test_who_is_what),
		cmocka_unit_test(test_who_is_in_charge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
