/*
 * operator/rollout, history, crd_plan: what is said of an installation, what it goes back to, and
 * how CRDs are upgraded. By tables.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/crd_plan.h"
#include "operator/manifests/embed.h"
#include "operator/render.h"
#include "operator/rollout.h"

/* ---- pods ---- */

#define POD(status)                                                                                \
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"nodeName\":\"node-3\"},"   \
	"\"status\":" status "}"
#define BOX(state) "{\"containerStatuses\":[{\"image\":\"i:1\",\"state\":" state "}]}"
#define READY      "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}"

static void test_pods(void **state)
{
	static const struct {
		const char *pod, *problem;
	} cases[] = {
		{POD(READY), ""},
		{POD("{}"), "it is being started"},
		{POD(BOX("{\"waiting\":{\"reason\":\"ImagePullBackOff\",\"message\":\"no\"}}")),
		 "image i:1 cannot be pulled (ImagePullBackOff: no)"},
		{POD(BOX("{\"waiting\":{\"reason\":\"ErrImagePull\"}}")),
		 "image i:1 cannot be pulled (ErrImagePull)"},
		{POD(BOX("{\"waiting\":{\"reason\":\"CreateContainerConfigError\",\"message\":"
			 "\"secret\"}}")),
		 "it cannot be started (CreateContainerConfigError: secret)"},
		{POD(BOX("{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{"
			 "\"terminated\":{\"exitCode\":3}}")),
		 "it keeps ending with exit code 3"},
		{POD(BOX("{\"terminated\":{\"exitCode\":4}}")), "it ended with exit code 4"},
		{POD(BOX("{\"running\":{}}")),
		 "it runs but is not ready (see its log: kubectl logs -n n p)"},
		{POD("{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
		     "\"message\":\"no room\"}]}"),
		 "it cannot be scheduled (no room)"},
		{POD("{\"message\":\"evicted\"}"), "evicted"},
		{"{\"metadata\":{\"deletionTimestamp\":\"t\"},\"status\":" READY "}",
		 "the old one is ending"},
		{"[]", "it is being started"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_object *o = json_tokener_parse(cases[i].pod);
		struct err err;
		struct speaker_pod *p = speaker_pod_decode(o, &err);

		assert_non_null(o);
		assert_string_equal(p->problem, cases[i].problem);
		assert_int_equal(p->ready, !*cases[i].problem);
		speaker_pod_free(p);
		json_object_put(o);
	}
}

static void test_pod_node(void **state)
{
	static const char text[] =
		"{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
		"\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{"
		"\"matchFields\":[{\"key\":\"metadata.name\",\"values\":[\"node-7\"]}]}]}}}}}";
	json_object *o = json_tokener_parse(text);
	struct err err;
	struct speaker_pod *p = speaker_pod_decode(o, &err);

	(void)state;
	assert_string_equal(p->node, "node-7");
	speaker_pod_free(p);
	json_object_put(o);
}

/* ---- the verdict ---- */

static const struct rollout done = {true, true, 3, 3, 3, 3}, half = {true, true, 3, 1, 2, 2};

static void test_verdict(void **state)
{
	struct speaker_pod bad = {.node = (char *)(uintptr_t) "node-3",
				  .name = (char *)(uintptr_t) "p",
				  .problem = (char *)(uintptr_t) "image x cannot be pulled"};
	struct speaker_pod good = {.node = bad.node, .problem = bad.name, .ready = true};
	const struct speaker_pod *const pods[] = {&good, &bad};
	const struct speaker_pod *const many[] = {&bad, &bad, &bad, &bad, &bad};
	const struct {
		struct install_facts facts;
		enum install_state state;
		bool upgradeable;
		const char *reason, *part; /* of the message */
	} cases[] = {
		{{.rollout = done}, INSTALL_AVAILABLE, true, "Available", "ready on 3 nodes"},
		{{.rollout = {.observed = true}},
		 INSTALL_PROGRESSING,
		 false,
		 "Progressing",
		 "being made"},
		{{.rollout = {true, false, 3, 3, 3, 3}},
		 INSTALL_PROGRESSING,
		 false,
		 "Progressing",
		 "3 of 3"},
		{{.rollout = half, .pods = pods, .n_pods = 2},
		 INSTALL_PROGRESSING,
		 false,
		 "Progressing",
		 "1 of 3 nodes have speaker new, 2 of 3 speakers are ready; speaker not ready on "
		 "node-3: image x cannot be pulled"},
		{{.rollout = half, .pods = many, .n_pods = 5},
		 INSTALL_PROGRESSING,
		 false,
		 "Progressing",
		 "and on 2 more nodes"},
		{{.rollout = half, .pods = pods, .n_pods = 2, .stalled = true},
		 INSTALL_DEGRADED,
		 false,
		 "RolloutStalled",
		 "speaker not ready on node-3: image x cannot be pulled; the other nodes keep"},
		{{.rollout = done, .rolled_back = true},
		 INSTALL_DEGRADED,
		 false,
		 "RolledBack",
		 "speaker broken did not get ready; the previous one is running again"},
		{{.rollout = done, .rollback_asked = true},
		 INSTALL_AVAILABLE,
		 false,
		 "RolledBackOnRequest",
		 HISTORY_ROLLBACK},
		{{.rollout = done,
		  .failure = "patch daemonsets.apps: 403 Forbidden",
		  .forbidden = true},
		 INSTALL_DEGRADED,
		 false,
		 "Forbidden",
		 "patch daemonsets.apps: 403 Forbidden; the operator's ServiceAccount needs"},
		{{.rollout = done, .failure = "no answer"},
		 INSTALL_DEGRADED,
		 false,
		 "FailedToSyncMetalLBResources",
		 "no answer"},
		{{.rollout = done, .invalid = "spec.x: no", .failure = "no answer"},
		 INSTALL_DEGRADED,
		 false,
		 "InvalidSpec",
		 "spec.x: no; what runs is left as it is"},
		{{.rollout = done, .frr_missing = true},
		 INSTALL_DEGRADED,
		 false,
		 "FRRConfigurationMissing",
		 "install frr-k8s, or set spec.bgpBackend"},
		{{.rollout = half, .frr_missing = true, .pods = pods, .n_pods = 2},
		 INSTALL_PROGRESSING,
		 false,
		 "Progressing",
		 "speaker not ready on node-3"},
		{{.wrong_name = "other"},
		 INSTALL_DEGRADED,
		 false,
		 "IncorrectMetalLBResourceName",
		 "Incorrect MetalLB resource name: other"},
		{{.rollout = done, .note = "by the way"},
		 INSTALL_AVAILABLE,
		 true,
		 "Available",
		 "nodes; by the way"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct install_facts f = cases[i].facts;
		struct install_verdict v;

		f.invalid = f.invalid ? f.invalid : "";
		f.failure = f.failure ? f.failure : "";
		f.note = f.note ? f.note : "";
		f.image = "new";
		f.failed_image = "broken";
		install_judge(&f, &v);
		assert_int_equal(v.state, cases[i].state);
		assert_int_equal(v.upgradeable, cases[i].upgradeable);
		assert_string_equal(v.reason, cases[i].reason);
		if (!strstr(buf_str(&v.message), cases[i].part))
			fail_msg("%zu: %s", i, buf_str(&v.message));
		buf_fini(&v.message);
	}
}

static struct metallb *resource(const char *conditions)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"apiVersion\":\"metallb.io/"
		"v1beta1\",\"kind\":\"MetalLB\",\"metadata\":{\"name\":"
		"\"metallb\",\"namespace\":\"n\",\"generation\":2},\"spec\":{},\"status\":%s}",
		conditions);
	json_object *json = json_tokener_parse(text);
	struct err err;
	struct api_object *o = api_decode(API_METALLB, json, &err);

	json_object_put(json);
	if (!o)
		fail_msg("%s", err.msg);
	return (struct metallb *)(void *)o;
}

static const struct install_notices none = {0};

/* What is written once is not written again, and a time stays while its status does. */
static void test_conditions(void **state)
{
	const usec_t early = 1000 * USEC_PER_SEC, late = 2000 * USEC_PER_SEC;
	struct install_facts f = {
		.invalid = "", .failure = "", .note = "", .image = "i", .rollout = done};
	struct install_verdict v;
	struct metallb *m = resource("{}");
	struct buf first = {0}, second = {0};

	(void)state;
	install_judge(&f, &v);
	assert_true(install_patch(m, &v, &none, early, &first));
	json_object *patch = json_tokener_parse(buf_str(&first));

	assert_non_null(patch);
	arena_free(m->obj.arena);
	m = resource(json_object_to_json_string(kube_json_get(patch, "status")));
	assert_int_equal(m->n_conditions, 4);
	assert_string_equal(m->conditions[0].type, "Available");
	assert_string_equal(m->conditions[1].type, "Upgradeable");
	assert_string_equal(m->conditions[2].type, "Progressing");
	assert_string_equal(m->conditions[3].type, "Degraded");
	for (size_t i = 0; i < m->n_conditions; i++)
		assert_string_not_equal(m->conditions[i].message, "");
	assert_string_equal(m->conditions[0].status, "True");
	assert_string_equal(m->conditions[3].status, "False");
	assert_int_equal(m->conditions[0].observed_generation, 2);
	assert_false(install_patch(m, &v, &none, late, &second));
	buf_fini(&v.message);
	buf_clear(&second);

	f.note = "new";
	install_judge(&f, &v);
	assert_true(install_patch(m, &v, &none, late, &second));
	assert_null(strstr(buf_str(&second), "00:33:20"));
	buf_fini(&v.message);
	buf_clear(&second);

	f.rollout = half;
	install_judge(&f, &v);
	assert_true(install_patch(m, &v, &none, late, &second));
	assert_non_null(strstr(buf_str(&second), "00:33:20")); /* Available ended */
	assert_non_null(strstr(buf_str(&second), "00:16:40")); /* Degraded is false as before */
	buf_fini(&v.message);
	buf_fini(&first);
	buf_fini(&second);
	json_object_put(patch);
	arena_free(m->obj.arena);
}

static struct metallb *patched(struct metallb *m, const struct buf *patch)
{
	json_object *json = json_tokener_parse(buf_str(patch));

	assert_non_null(json);
	arena_free(m->obj.arena);
	m = resource(json_object_to_json_string(kube_json_get(json, "status")));
	json_object_put(json);
	return m;
}

/* A notice is there as long as its cause is, beside whatever else the status says. */
static void test_notices(void **state)
{
	const struct install_notices one = {{{INSTALL_LAYER2, "R", "mend it"}}, 1};
	struct install_facts f = {
		.invalid = "", .failure = "", .note = "", .image = "i", .rollout = done};
	struct install_verdict v;
	struct metallb *m = resource("{}");
	_cleanup_(buf_fini) struct buf with = {0}, without = {0};

	(void)state;
	install_judge(&f, &v);
	assert_true(install_patch(m, &v, &one, USEC_PER_SEC, &with));
	m = patched(m, &with);
	assert_int_equal(m->n_conditions, 5);
	assert_string_equal(m->conditions[4].type, INSTALL_LAYER2);
	assert_string_equal(m->conditions[4].status, "True");
	assert_string_equal(m->conditions[4].message, "mend it");
	buf_clear(&with);
	assert_false(install_patch(m, &v, &one, 2 * USEC_PER_SEC, &with));
	assert_true(install_patch(m, &v, &none, 2 * USEC_PER_SEC, &without));
	m = patched(m, &without);
	assert_int_equal(m->n_conditions, 4);
	buf_fini(&v.message);
	arena_free(m->obj.arena);
}

/* Alone: what others say is neither changed nor lost. */
static void test_notices_alone(void **state)
{
	const struct install_notices one = {{{INSTALL_STANDING_BACK, "R", "who"}}, 1},
				     other = {{{INSTALL_STANDING_BACK, "R", "another"}}, 1};
	static const char before[] =
		"{\"conditions\":[{\"type\":\"Available\",\"status\":\"True\",\"reason\":\"a\","
		"\"message\":\"b\",\"lastTransitionTime\":\"2001-02-03T04:05:06Z\","
		"\"observedGeneration\":1}]}";
	struct metallb *m = resource(before);
	_cleanup_(buf_fini) struct buf first = {0}, again = {0}, last = {0};

	(void)state;
	assert_false(install_notices_patch(m, &none, USEC_PER_SEC, &again));
	assert_true(install_notices_patch(m, &one, USEC_PER_SEC, &first));
	assert_non_null(strstr(buf_str(&first), "\"resourceVersion\":"));
	assert_non_null(strstr(buf_str(&first), "2001-02-03T04:05:06Z\",\"observedGeneration\":1"));
	m = patched(m, &first);
	assert_int_equal(m->n_conditions, 2);
	buf_clear(&again);
	assert_false(install_notices_patch(m, &one, 2 * USEC_PER_SEC, &again));
	buf_clear(&again);
	assert_true(install_notices_patch(m, &other, 2 * USEC_PER_SEC, &again));
	assert_true(install_notices_patch(m, &none, 2 * USEC_PER_SEC, &last));
	m = patched(m, &last);
	assert_int_equal(m->n_conditions, 1);
	assert_string_equal(m->conditions[0].message, "b");
	arena_free(m->obj.arena);
}

/* ---- going back ---- */

static void test_history(void **state)
{
	static const struct history both = {{"s2", "{2}"}, {"s1", "{1}"}},
				    one = {{"s2", "{2}"}, {"", ""}};
	static const struct {
		const struct history *h;
		struct history_question q;
		const char *sum; /* NULL: the wanted one */
	} cases[] = {
		{&both, {"s3", "", false, false, false}, NULL},
		{&both, {"s3", "", false, false, true}, NULL},
		{&both, {"s3", "", false, true, false}, NULL},
		{&both, {"s3", "", false, true, true}, "s2"},
		/* went back already: stays so, until something else is wanted */
		{&both, {"s3", "s3", false, true, false}, "s2"},
		{&both, {"s4", "s3", false, true, false}, NULL},
		{&both, {"s3", "s3", false, false, false}, NULL},
		/* asked for: from a new one that never got ready, or from one that did */
		{&both, {"s3", "", true, false, false}, "s2"},
		{&both, {"s2", "", true, false, false}, "s1"},
		{&one, {"s2", "", true, false, false}, NULL},
		{&one, {"s2", "", false, true, true}, NULL},
		{&one, {"s3", "", false, true, true}, "s2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct history_entry *e = history_choose(cases[i].h, &cases[i].q);

		if (cases[i].sum && (!e || strcmp(e->sum, cases[i].sum) != 0))
			fail_msg("%zu", i);
		if (!cases[i].sum && e)
			fail_msg("%zu: %s", i, e->sum);
	}
}

static void test_history_kept(void **state)
{
	struct history h;
	json_object *ds = json_tokener_parse("{\"a\":1}"), *cm = NULL;
	static const char *const sums[] = {"s1", "s2", "s2", "s3"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		struct buf text = {0};

		history_read(cm, &h);
		assert_int_equal(history_format(&h, "n", sums[i], ds, &text), i != 2);
		if (i != 2) {
			json_object_put(cm);
			cm = json_tokener_parse(buf_str(&text));
		}
		buf_fini(&text);
	}
	history_read(cm, &h);
	assert_string_equal(h.current.sum, "s3");
	assert_string_equal(h.previous.sum, "s2");
	assert_string_equal(h.previous.daemonset, "{\"a\":1}");
	json_object_put(cm);
	json_object_put(ds);
}

/* ---- CRDs ---- */

#define CRD(version, versions, more)                                                               \
	"{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"9\",\"annotations\":{\"other\":"      \
	"\"o\"" version "}},\"spec\":{\"names\":{\"plural\":\"xs\"},\"versions\":[" versions       \
	"]" more "}"
#define AT(v) ",\"metallb.io/schema-version\":\"" v "\""

static void test_crds(void **state)
{
	static const struct {
		const char *live;
		enum crd_action action;
		const char *versions; /* afterwards */
	} cases[] = {
		{CRD(AT("2"), "{\"name\":\"v1\"}", "}"), CRD_CURRENT, NULL},
		{CRD(AT("3"), "{\"name\":\"v1\"}", "}"), CRD_NEWER, NULL},
		{CRD("", "{\"name\":\"v1\"}", "}"), CRD_WRITE,
		 "[{\"name\":\"v1\",\"storage\":true,\"schema\":1}]"},
		{CRD(AT("1"), "{\"name\":\"v1\",\"deprecated\":true}", "}"), CRD_WRITE,
		 "[{\"name\":\"v1\",\"storage\":true,\"schema\":1,\"deprecated\":true}]"},
		/* objects are stored in a version that we do not know */
		{CRD(AT("1"), "{\"name\":\"v0\",\"storage\":true},{\"name\":\"v1\"}",
		     "},\"status\":{\"storedVersions\":[\"v0\",\"v1\"]}"),
		 CRD_WRITE,
		 "[{\"name\":\"v1\",\"storage\":true,\"schema\":1},{\"name\":\"v0\",\"storage\":"
		 "false}]"},
		/* one that nobody stores in goes */
		{CRD(AT("1"), "{\"name\":\"v0\",\"storage\":true},{\"name\":\"v1\"}",
		     "},\"status\":{\"storedVersions\":[\"v1\"]}"),
		 CRD_WRITE, "[{\"name\":\"v1\",\"storage\":true,\"schema\":1}]"},
	};
	json_object *ours = json_tokener_parse(
		CRD(AT("2"), "{\"name\":\"v1\",\"storage\":true,\"schema\":1}", "}"));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = xasprintf("%s}", cases[i].live);
		json_object *live = json_tokener_parse(text), *update = NULL;

		assert_non_null(live);
		assert_int_equal(crd_plan(live, ours, &update), cases[i].action);
		if (cases[i].versions) {
			assert_string_equal(
				json_object_to_json_string_ext(
					kube_json_get(kube_json_get(update, "spec"), "versions"),
					JSON_C_TO_STRING_PLAIN),
				cases[i].versions);
			assert_string_equal(kube_meta_str(update, "resourceVersion"), "9");
			assert_string_equal(render_annotation(update, "other"), "o");
			assert_string_equal(render_annotation(update, CRD_SCHEMA_VERSION), "2");
		} else {
			assert_null(update);
		}
		json_object_put(update);
		json_object_put(live);
	}
	json_object_put(ours);
}

/* The files that the program carries are CRDs with a schema version. */
static void test_carried_crds(void **state)
{
	(void)state;
	assert_true(embedded_crds_n >= 10);
	for (size_t i = 0; i < embedded_crds_n; i++) {
		const struct embedded *e = &embedded_crds[i];
		struct err err = {0};
		json_object *o = yaml_parse_one(e->text, e->len, &err);

		if (!o)
			fail_msg("%s: %s", e->name, err.msg);
		assert_string_equal(kube_json_str(o, "kind"), "CustomResourceDefinition");
		assert_true(atoi(render_annotation(o, CRD_SCHEMA_VERSION)) >= 1);
		json_object_put(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),    cmocka_unit_test(test_pod_node),
		cmocka_unit_test(test_verdict), cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_notices), cmocka_unit_test(test_notices_alone),
		cmocka_unit_test(test_history), cmocka_unit_test(test_history_kept),
		cmocka_unit_test(test_crds),    cmocka_unit_test(test_carried_crds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
