/*
 * operator/render: what a MetalLB resource and an environment make of the manifests, by table; and
 * what counts as a difference from what is there.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "operator/render.h"

#define HEAD                                                                                       \
	"{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"MetalLB\",\"metadata\":{\"name\":\"metallb\",\
\"namespace\":\"ns\",\"uid\":\"u1\"},\"spec\":"

static const struct render_env plain = {
	.ns = "ns",
	.version = "1.0",
	.image = "reg/metallb-c:1",
	.pull_secrets = "",
	.ml_secret = "memberlist",
	.log_level = "info",
	.lb_class = "",
	.backend = "",
	.frrk8s_namespace = "",
	.tls_min_version = "",
	.tls_cipher_suites = "",
	.tls_curves = "",
	.metrics_port = 9120,
	.health_port = 17472,
	.ml_port = 7946,
	.network_policy = true,
};

static struct metallb *resource(const char *spec)
{
	_cleanup_free_ char *text = xasprintf(HEAD "%s}", spec);
	json_object *json = json_tokener_parse(text);
	struct err err;
	struct api_object *o = api_decode(API_METALLB, json, &err);

	json_object_put(json);
	if (!o)
		fail_msg("%s", err.msg);
	return (struct metallb *)(void *)o;
}

static void resource_free(struct metallb *m)
{
	if (m)
		arena_free(m->obj.arena);
}

/* "a.b[2].c"; [name] finds an entry of a list by its name. The text of what is there, or "". */
static const char *look(json_object *o, const char *path)
{
	while (*path && o) {
		size_t n = strcspn(path, "./[");
		_cleanup_free_ char *name = NULL;

		if (*path == '[') {
			n = strcspn(path, "]");
			name = xstrndup(path + 1, n - 1);
			json_object *list = o;

			o = NULL;
			for (size_t i = 0; i < json_object_array_length(list); i++) {
				json_object *item = json_object_array_get_idx(list, i);
				_cleanup_free_ char *index = xasprintf("%zu", i);

				if (strcmp(index, name) == 0 ||
				    strcmp(kube_json_str(item, "name"), name) == 0)
					o = item;
			}
			path += n + 1;
		} else if (*path == '/') { /* the rest is one key */
			o = kube_json_get(o, path + 1);
			break;
		} else {
			name = xstrndup(path, n);
			o = kube_json_get(o, name);
			path += n;
		}
		path += *path == '.';
	}
	if (!o)
		return "";
	return json_object_is_type(o, json_type_string)
		       ? json_object_get_string(o)
		       : json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
}

#define BOX "spec.template.spec.containers[speaker]"

static void test_speaker(void **state)
{
	static const struct {
		const char *spec, *path, *want;
	} cases[] = {
		/* without a word */
		{"{}", "metadata.namespace", "ns"},
		{"{}", "metadata.annotations/metallb.io/version", "1.0"},
		{"{}", "metadata.ownerReferences", ""},
		{"{}", "spec.updateStrategy.rollingUpdate.maxUnavailable", "1"},
		{"{}", "spec.selector.matchLabels",
		 "{\"app\":\"metallb\",\"component\":\"speaker\"}"},
		{"{}", "spec.template.spec.terminationGracePeriodSeconds", "30"},
		{"{}", "spec.template.spec.nodeSelector", "{\"kubernetes.io/os\":\"linux\"}"},
		{"{}", "spec.template.spec.affinity", ""},
		{"{}", "spec.template.spec.imagePullSecrets", ""},
		{"{}", "spec.template.spec.volumes[memberlist].secret.secretName", "memberlist"},
		{"{}", BOX ".image", "reg/metallb-c:1"},
		{"{}", BOX ".args",
		 "[\"--port=9120\",\"--health-probe-port=17472\",\"--log-level=info\"]"},
		{"{}", BOX ".securityContext.capabilities",
		 "{\"drop\":[\"ALL\"],\"add\":[\"NET_RAW\"]}"},
		{"{}", BOX ".env[METALLB_BGP_TYPE]", ""},
		{"{}", BOX ".env[METALLB_ML_BIND_PORT].value", "7946"},
		{"{}", BOX ".resources", ""},
		/* the image is not the resource's to choose */
		{"{\"image\":\"other\"}", BOX ".image", "reg/metallb-c:1"},
		{"{\"nodeSelector\":{\"zone\":\"a\"}}", "spec.template.spec.nodeSelector",
		 "{\"kubernetes.io/os\":\"linux\",\"zone\":\"a\"}"},
		{"{\"nodeSelector\":{\"kubernetes.io/os\":\"plan9\"}}",
		 "spec.template.spec.nodeSelector", "{\"kubernetes.io/os\":\"plan9\"}"},
		{"{\"speakerTolerations\":[{\"operator\":\"Exists\"}]}",
		 "spec.template.spec.tolerations[2]", "{\"operator\":\"Exists\"}"},
		{"{\"speakerTolerations\":[{\"operator\":\"Exists\"}]}",
		 "spec.template.spec.tolerations[1].key", "node-role.kubernetes.io/control-plane"},
		{"{\"speakerConfig\":{\"affinity\":{\"podAffinity\":{}}}}",
		 "spec.template.spec.affinity", "{\"podAffinity\":{}}"},
		{"{\"speakerConfig\":{\"priorityClassName\":\"high\"}}",
		 "spec.template.spec.priorityClassName", "high"},
		{"{\"speakerConfig\":{\"runtimeClassName\":\"kata\"}}",
		 "spec.template.spec.runtimeClassName", "kata"},
		{"{\"speakerConfig\":{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}}",
		 BOX ".resources", "{\"limits\":{\"cpu\":\"1\"}}"},
		{"{\"speakerConfig\":{\"annotations\":{\"a\":\"b\"}}}",
		 "spec.template.metadata.annotations.a", "b"},
		{"{\"speakerConfig\":{\"annotations\":{\"a\":\"b\"}}}", "metadata.annotations.a",
		 ""},
		/* what is the controller's stays away from the speaker */
		{"{\"controllerConfig\":{\"priorityClassName\":\"high\"}}",
		 "spec.template.spec.priorityClassName", ""},
		{"{\"controllerNodeSelector\":{\"zone\":\"a\"}}", "spec.template.spec.nodeSelector",
		 "{\"kubernetes.io/os\":\"linux\"}"},
		{"{\"logLevel\":\"debug\"}", BOX ".args[2]", "--log-level=debug"},
		{"{\"loadBalancerClass\":\"x/y\"}", BOX ".args[3]", "--lb-class=x/y"},
		{"{\"bgpBackend\":\"native\"}", BOX ".env[METALLB_BGP_TYPE]", ""},
		{"{\"bgpBackend\":\"frr\"}", BOX ".env[METALLB_BGP_TYPE].value", "frr"},
		{"{\"bgpBackend\":\"frr-k8s\"}", BOX ".args[3]", ""},
		{"{\"bgpBackend\":\"frr-k8s-external\",\"frrk8sConfig\":{\"namespace\":\"f\","
		 "\"secretPassthrough\":true}}",
		 BOX ".args[3]", "--frrk8s-namespace=f"},
		{"{\"bgpBackend\":\"frr-k8s-external\",\"frrk8sConfig\":{\"namespace\":\"f\","
		 "\"secretPassthrough\":true}}",
		 BOX ".args[4]", "--frrk8s-secret-passthrough=true"},
		{"{\"bgpBackend\":\"frr\",\"frrk8sConfig\":{\"namespace\":\"f\"}}", BOX ".args[3]",
		 ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metallb *m = resource(cases[i].spec);
		struct rendered r;

		render_installation(m, &plain, &r);
		json_object *ds = r.items[r.n - 1].json;

		if (strcmp(look(ds, cases[i].path), cases[i].want) != 0)
			fail_msg("%s: %s is %s, not %s", cases[i].spec, cases[i].path,
				 look(ds, cases[i].path), cases[i].want);
		rendered_fini(&r);
		resource_free(m);
	}
}

static void test_environment(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{BOX ".args[0]", "--port=7777"},
		{BOX ".args[1]", "--health-probe-port=7778"},
		{BOX ".args[2]", "--log-level=warn"},
		{BOX ".args[3]", "--lb-class=c"},
		{BOX ".args[4]", "--tls-min-version=VersionTLS12"},
		{BOX ".args[5]", "--tls-cipher-suites=S"},
		{BOX ".args[6]", "--tls-curve-preferences=29"},
		{BOX ".env[METALLB_BGP_TYPE].value", "frr"},
		{BOX ".env[METALLB_ML_BIND_PORT].value", "7779"},
		{BOX ".ports[metricshttps].containerPort", "7777"},
		{BOX ".ports[memberlist-tcp].containerPort", "7779"},
		{BOX ".ports[memberlist-udp].containerPort", "7779"},
		{BOX ".readinessProbe.httpGet.port", "7778"},
		{BOX ".livenessProbe.httpGet.port", "7778"},
		{"spec.template.metadata.annotations/prometheus.io/port", "7777"},
		{"spec.template.spec.imagePullSecrets", "[{\"name\":\"s\"}]"},
		{"spec.template.spec.volumes[memberlist].secret.secretName", "key"},
	};
	struct render_env env = plain;
	struct metallb *m = resource("{}");
	struct rendered r;

	(void)state;
	env.metrics_port = 7777;
	env.health_port = 7778;
	env.ml_port = 7779;
	env.log_level = "warn";
	env.lb_class = "c";
	env.backend = "frr";
	env.pull_secrets = "[{\"name\":\"s\"}]";
	env.ml_secret = "key";
	env.tls_min_version = "VersionTLS12";
	env.tls_cipher_suites = "S";
	env.tls_curves = "29";
	render_installation(m, &env, &r);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(look(r.items[r.n - 1].json, cases[i].path), cases[i].want);
	rendered_fini(&r);
	resource_free(m);
}

static void test_objects(void **state)
{
	static const struct {
		bool policy;
		enum render_monitors monitors;
		const char *names[RENDER_OBJECTS_MAX + 1];
	} cases[] = {
		{false, MONITORS_NONE, {"ConfigMap metallb-excludel2", "DaemonSet speaker"}},
		{true,
		 MONITORS_NONE,
		 {"ConfigMap metallb-excludel2", "NetworkPolicy controller", "DaemonSet speaker"}},
		{false,
		 MONITORS_POD,
		 {"ConfigMap metallb-excludel2", "PodMonitor controller", "PodMonitor speaker",
		  "DaemonSet speaker"}},
		{true,
		 MONITORS_SERVICE,
		 {"ConfigMap metallb-excludel2", "NetworkPolicy controller",
		  "Service controller-monitor-service", "ServiceMonitor controller-monitor",
		  "Service speaker-monitor-service", "ServiceMonitor speaker-monitor",
		  "DaemonSet speaker"}},
	};
	struct metallb *m = resource("{}");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct render_env env = plain;
		struct rendered r;

		env.network_policy = cases[i].policy;
		env.monitors = cases[i].monitors;
		render_installation(m, &env, &r);
		for (size_t k = 0; k < r.n; k++) {
			const struct render_object *o = &r.items[k];
			_cleanup_free_ char *name =
				xasprintf("%s %s", kube_json_str(o->json, "kind"), o->name);

			assert_non_null(cases[i].names[k]);
			assert_string_equal(name, cases[i].names[k]);
			assert_string_equal(o->resource->kind, kube_json_str(o->json, "kind"));
			assert_string_equal(look(o->json, "metadata.namespace"), "ns");
			assert_string_equal(look(o->json, "metadata.labels.app"), "metallb");
			assert_string_equal(render_annotation(o->json, RENDER_SUM), o->sum);
			if (o->resource != &kube_daemonsets)
				assert_string_equal(
					look(o->json, "metadata.ownerReferences[0].uid"), "u1");
			/* which YAML before 1.2 does not know */
			assert_null(strstr(render_text(o->json), "\\/"));
			assert_ptr_equal(rendered_find(&r, o->resource, o->name), o);
		}
		assert_null(cases[i].names[r.n]);
		rendered_fini(&r);
	}
	resource_free(m);
}

static json_object *changed(const json_object *from, const char *path, const char *json)
{
	json_object *copy = NULL, *o;
	_cleanup_free_ char *head = xstrdup(path);
	char *key = strrchr(head, '/');

	json_object_deep_copy((json_object *)(uintptr_t)from, &copy, NULL);
	o = copy;
	*key++ = '\0';
	for (char *p = strtok(head, "/"); p; p = strtok(NULL, "/"))
		o = *p >= '0' && *p <= '9' ? json_object_array_get_idx(o, (size_t)atoi(p))
					   : kube_json_get(o, p);
	assert_non_null(o);
	if (strcmp(key, "-") == 0)
		json_object_array_add(o, json_tokener_parse(json));
	else if (!json)
		json_object_object_del(o, key);
	else
		json_object_object_add(o, key, json_tokener_parse(json));
	return copy;
}

static void test_drift(void **state)
{
	static const struct {
		const char *path, *json;
		enum render_drift want;
	} cases[] = {
		{"metadata/uid", "\"1\"", DRIFT_NONE},
		{"status", "{}", DRIFT_NONE},
		{"kind", NULL, DRIFT_NONE}, /* as in lists */
		{"spec/template/spec/dnsPolicy", "\"ClusterFirst\"", DRIFT_NONE},
		{"spec/template/spec/containers/0/ports/0/hostPort", "9120", DRIFT_NONE},
		{"spec/template/metadata/annotations/kubectl.kubernetes.io", "\"x\"", DRIFT_NONE},
		{"spec/template/spec/containers/0/image", "\"evil\"", DRIFT_FIELDS},
		{"spec/template/spec/hostNetwork", NULL, DRIFT_FIELDS},
		{"spec/template/spec/tolerations/-", "{\"operator\":\"Exists\"}", DRIFT_FIELDS},
		{"spec/template/spec/containers/0/args/-", "\"--x\"", DRIFT_FIELDS},
		{"metadata/annotations", "{}", DRIFT_FIELDS},
		{"spec/template/spec/containers/0/env/-", "{\"name\":\"X\",\"value\":\"y\"}",
		 DRIFT_MORE},
		{"spec/template/spec/containers/-", "{\"name\":\"X\",\"image\":\"y\"}", DRIFT_MORE},
		{"spec/template/spec/volumes/-", "{\"name\":\"X\",\"emptyDir\":{}}", DRIFT_MORE},
	};
	struct metallb *m = resource("{}");
	struct rendered r;

	(void)state;
	render_installation(m, &plain, &r);
	const struct render_object *ds = &r.items[r.n - 1];

	assert_int_equal(render_compare(ds, NULL), DRIFT_FIELDS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = xasprintf("/%s", cases[i].path);
		json_object *live = changed(ds->json, path, cases[i].json);

		if (render_compare(ds, live) != cases[i].want)
			fail_msg("%s: %d", cases[i].path, (int)render_compare(ds, live));
		json_object_put(live);
	}
	/* the same resource renders to the same sum, another to another */
	struct rendered again;
	struct metallb *other = resource("{\"logLevel\":\"debug\"}");

	render_installation(m, &plain, &again);
	assert_string_equal(again.items[again.n - 1].sum, ds->sum);
	rendered_fini(&again);
	render_installation(other, &plain, &again);
	assert_string_not_equal(again.items[again.n - 1].sum, ds->sum);
	rendered_fini(&again);
	resource_free(other);
	rendered_fini(&r);
	resource_free(m);
}

static void test_replace(void **state)
{
	struct metallb *m = resource("{}");
	_cleanup_(buf_fini) struct buf text = {0};
	json_object *live = json_tokener_parse("{\"metadata\":{\"resourceVersion\":\"7\"}}");
	json_object *patch;
	struct rendered r;

	(void)state;
	render_installation(m, &plain, &r);
	render_replace(&r.items[r.n - 1], live, &text);
	patch = json_tokener_parse(buf_str(&text));
	assert_string_equal(look(patch, "[0].value"), "7");
	assert_string_equal(look(patch, "[1].path"), "/spec/template/spec");
	assert_string_equal(look(patch, "[1].value.containers[speaker].image"), plain.image);
	json_object_put(patch);
	json_object_put(live);
	rendered_fini(&r);
	resource_free(m);
}

static void test_controller(void **state)
{
	static const struct {
		const char *spec;
		const char *live;        /* the sum that is there */
		const char *path, *want; /* path NULL: nothing is to be applied */
	} cases[] = {
		{"{}", "", NULL, NULL},
		{"{\"speakerConfig\":{\"priorityClassName\":\"x\"}}", "", NULL, NULL},
		/* what was there before has to go */
		{"{}", "123", "spec", ""},
		{"{}", "123", "metadata.annotations", ""},
		{"{\"controllerNodeSelector\":{\"a\":\"b\"}}", "", "spec.template.spec",
		 "{\"nodeSelector\":{\"a\":\"b\"}}"},
		{"{\"controllerTolerations\":[{\"operator\":\"Exists\"}]}", "",
		 "spec.template.spec.tolerations", "[{\"operator\":\"Exists\"}]"},
		{"{\"controllerConfig\":{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}}", "",
		 "spec.template.spec.containers",
		 "[{\"name\":\"controller\",\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]"},
		{"{\"controllerConfig\":{\"annotations\":{\"a\":\"b\"}}}", "",
		 "spec.template.metadata.annotations", "{\"a\":\"b\"}"},
		{"{\"controllerConfig\":{\"priorityClassName\":\"p\",\"runtimeClassName\":\"r\"}}",
		 "", "spec.template.spec",
		 "{\"priorityClassName\":\"p\",\"runtimeClassName\":\"r\"}"},
		{"{\"controllerConfig\":{\"affinity\":{\"podAffinity\":{}}}}", "",
		 "spec.template.spec.affinity", "{\"podAffinity\":{}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metallb *m = resource(cases[i].spec);
		_cleanup_free_ char *text =
			xasprintf("{\"metadata\":{\"annotations\":{\"" RENDER_SUM "\":\"%s\"}}}",
				  cases[i].live);
		json_object *live = json_tokener_parse(text);
		json_object *o = render_controller(m, "ns", "controller", live);

		if (!cases[i].path)
			assert_null(o);
		else if (!o || strcmp(look(o, cases[i].path), cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].spec, json_object_to_json_string(o));
		json_object_put(o);
		json_object_put(live);
		resource_free(m);
	}
}

static void test_resources_are_taken(void **state)
{
	static const struct {
		const char *spec, *live, *want; /* want: "" = nothing to do */
	} cases[] = {
		{"{}", "", ""},
		{"{\"controllerConfig\":{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}}", "true", ""},
		{"{}", "true",
		 "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":\"7\"},"
		 "{\"op\":\"remove\",\"path\":\"/metadata/annotations/"
		 "metallb.io~1applied-resources\"},"
		 "{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/1/resources\","
		 "\"value\":{}}]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metallb *m = resource(cases[i].spec);
		_cleanup_free_ char *text = xasprintf(
			"{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":"
			"{\"" RENDER_RESOURCES "\":\"%s\"}},\"spec\":{\"template\":{\"spec\":"
			"{\"containers\":[{\"name\":\"sidecar\"},{\"name\":\"controller\"}]}}}}",
			cases[i].live);
		json_object *live = json_tokener_parse(text);
		_cleanup_(buf_fini) struct buf out = {0};

		assert_int_equal(render_take_resources(m, live, &out), *cases[i].want != 0);
		assert_string_equal(buf_str(&out), cases[i].want);
		json_object_put(live);
		resource_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_speaker),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_controller),
		cmocka_unit_test(test_resources_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
