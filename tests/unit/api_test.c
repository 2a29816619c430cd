/*
 * Decoders of every kind: values, defaults, required fields, bounds and the reasons given.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/api.h"
#include "metallb/xalloc.h"

static struct api_object *decode(enum api_kind kind, const char *text, struct err *err)
{
	json_object *json = json_tokener_parse(text);

	assert_non_null(json);
	struct api_object *obj = api_decode(kind, json, err);

	json_object_put(json);
	return obj;
}

static void *decode_ok(enum api_kind kind, const char *text)
{
	struct err err = {.msg = ""};
	struct api_object *obj = decode(kind, text, &err);

	if (!obj)
		fail_msg("%s", err.msg);
	return obj;
}

#define META "\"metadata\":{\"name\":\"x\",\"namespace\":\"n\"}"

static void pool_is_decoded(void **state)
{
	(void)state;
	struct ipaddresspool *p = decode_ok(
		API_IPADDRESSPOOL,
		"{\"apiVersion\":\"metallb.io/v1beta1\",\"metadata\":{\"name\":\"a\",\"namespace\":"
		"\"m\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"generation\":3,\"labels\":"
		"{\"z\":\"1\",\"b\":\"2\"},\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},"
		"\"spec\":{\"addresses\":[\"10.0.0.0/24\",\"10.1.0.1-10.1.0.9\"],"
		"\"avoidAddresses\":[\"10.0.0.7\"],\"autoAssign\":false,\"serviceAllocation\":"
		"{\"priority\":5,\"namespaces\":[\"x\"],\"namespaceSelectors\":[{\"matchLabels\":"
		"{\"k\":\"v\"}}],\"serviceSelectors\":[{\"matchExpressions\":[{\"key\":\"k\","
		"\"operator\":\"In\",\"values\":[\"b\",\"a\"]}]}]}},"
		"\"status\":{\"assignedIPv4\":1,\"assignedIPv6\":2,\"availableIPv4\":3,"
		"\"availableIPv6\":9223372036854775807}}");

	assert_string_equal(p->obj.meta.name, "a");
	assert_string_equal(p->obj.meta.resource_version, "7");
	assert_int_equal(p->obj.meta.generation, 3);
	assert_string_equal(labels_get(&p->obj.meta.labels, "b"), "2");
	assert_null(labels_get(&p->obj.meta.labels, "c"));
	assert_true(p->obj.meta.created == 1767323045 * USEC_PER_SEC);
	assert_int_equal(p->addresses.n, 2);
	assert_string_equal(p->addresses.items[1], "10.1.0.1-10.1.0.9");
	assert_string_equal(p->avoid_addresses.items[0], "10.0.0.7");
	assert_false(p->auto_assign);
	assert_false(p->avoid_buggy_ips);
	assert_true(p->has_allocation);
	assert_int_equal(p->priority, 5);
	assert_int_equal(p->namespace_selectors.n, 1);
	assert_int_equal(p->service_selectors.items[0].exprs[0].op, SEL_IN);
	assert_true(p->has_status);
	assert_true(p->available_v6 == INT64_MAX);
	api_object_free(&p->obj);
}

static void pool_defaults(void **state)
{
	(void)state;
	struct ipaddresspool *p =
		decode_ok(API_IPADDRESSPOOL, "{" META ",\"spec\":{\"addresses\":[]}}");

	assert_true(p->auto_assign);
	assert_false(p->has_allocation || p->has_status || p->obj.meta.deleting);
	assert_string_equal(p->obj.api_version, "");
	assert_int_equal(p->addresses.n, 0);
	api_object_free(&p->obj);
}

static void l2advertisement_is_decoded(void **state)
{
	(void)state;
	struct l2advertisement *a = decode_ok(
		API_L2ADVERTISEMENT,
		"{" META ",\"spec\":{\"ipAddressPools\":[\"p\"],\"interfaces\":[\"eth0\"],"
		"\"preferredNodeSelectors\":[{\"weight\":100,\"preference\":{}}]}}");

	assert_string_equal(a->pools.items[0], "p");
	assert_string_equal(a->interfaces.items[0], "eth0");
	assert_string_equal(a->conflict_policy, "Warn");
	assert_int_equal(a->preferred[0].weight, 100);
	assert_int_equal(a->n_preferred, 1);
	api_object_free(&a->obj);
	a = decode_ok(API_L2ADVERTISEMENT, "{" META "}");
	assert_string_equal(a->conflict_policy, "Warn");
	api_object_free(&a->obj);
}

static void bgp_kinds_are_decoded(void **state)
{
	(void)state;
	struct bgpadvertisement *a = decode_ok(
		API_BGPADVERTISEMENT, "{" META ",\"spec\":{\"localPref\":100,\"peers\":[\"q\"]}}");

	assert_int_equal(a->aggregation_length, 32);
	assert_int_equal(a->aggregation_length_v6, 128);
	assert_int_equal(a->local_pref, 100);
	api_object_free(&a->obj);

	struct bgppeer *p = decode_ok(
		API_BGPPEER, "{\"apiVersion\":\"metallb.io/v1beta2\"," META
			     ",\"spec\":{\"myASN\":4294967295,\"dynamicASN\":\"external\","
			     "\"holdTime\":\"1m30s\",\"passwordSecret\":{\"name\":\"s\"}}}");

	assert_true(p->my_asn == UINT32_MAX);
	assert_int_equal(p->peer_port, 179);
	assert_true(p->hold_ns == 90 * INT64_C(1000000000));
	assert_true(p->keepalive_ns == DURATION_UNSET);
	assert_string_equal(p->password_secret_name, "s");
	assert_string_equal(p->vrf, "");
	api_object_free(&p->obj);

	p = decode_ok(API_BGPPEER,
		      "{\"apiVersion\":\"metallb.io/v1beta1\"," META
		      ",\"spec\":{\"myASN\":1,\"peerASN\":2,\"peerAddress\":\"10.0.0.1\"}}");
	assert_int_equal(p->peer_port, 179);
	assert_true(p->hold_ns == 0 && p->keepalive_ns == 0);
	assert_true(p->connect_ns == DURATION_UNSET);
	assert_string_equal(p->interface, "");
	api_object_free(&p->obj);
}

static void small_kinds_are_decoded(void **state)
{
	(void)state;
	struct bfdprofile *b =
		decode_ok(API_BFDPROFILE, "{" META ",\"spec\":{\"receiveInterval\":300}}");

	assert_int_equal(b->receive_interval, 300);
	assert_int_equal(b->echo_interval, BFD_UNSET);
	api_object_free(&b->obj);

	struct community *c = decode_ok(
		API_COMMUNITY,
		"{" META ",\"spec\":{\"communities\":[{\"name\":\"a\",\"value\":\"1:2\"},{}]}}");

	assert_int_equal(c->n_aliases, 2);
	assert_string_equal(c->aliases[0].value, "1:2");
	assert_string_equal(c->aliases[1].name, "");
	api_object_free(&c->obj);

	struct service_status *s =
		decode_ok(API_SERVICEL2STATUS, "{" META ",\"spec\":{},\"status\":{\"node\":\"w\","
					       "\"interfaces\":[{\"name\":\"eth0\"},{}]}}");

	assert_string_equal(s->node, "w");
	assert_string_equal(s->interfaces.items[0], "eth0");
	assert_string_equal(s->interfaces.items[1], "");
	assert_string_equal(s->service_name, "");
	api_object_free(&s->obj);

	struct metallb *m = decode_ok(API_METALLB,
				      "{" META ",\"spec\":{\"logLevel\":\"debug\",\"nodeSelector\":"
				      "{\"a\":\"b\"},\"speakerTolerations\":[{\"key\":\"k\"}],"
				      "\"speakerConfig\":{\"annotations\":{\"x\":\"y\"}}}}");

	assert_string_equal(m->log_level, "debug");
	assert_string_equal(m->bgp_backend, "");
	assert_string_equal(m->speaker_tolerations, "[{\"key\":\"k\"}]");
	assert_string_equal(m->controller.affinity, "");
	assert_string_equal(labels_get(&m->speaker.annotations, "x"), "y");
	api_object_free(&m->obj);
}

static void service_is_decoded(void **state)
{
	(void)state;
	struct service *s = decode_ok(
		API_SERVICE,
		"{" META ",\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.0.0.1\","
		"\"clusterIPs\":[\"10.0.0.1\"],\"ipFamilies\":[\"IPv4\"],\"selector\":"
		"{\"app\":\"w\"},\"ports\":[{\"port\":53,\"protocol\":\"UDP\"},{\"port\":80}]},"
		"\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"1.2.3.4\"},"
		"{\"hostname\":\"h\"}]},\"conditions\":[{\"type\":\"T\",\"status\":\"True\"}]}}");

	assert_string_equal(s->type, "LoadBalancer");
	assert_null(s->load_balancer_class);
	assert_int_equal(s->ports[0].protocol, SVC_UDP);
	assert_int_equal(s->ports[1].protocol, SVC_TCP);
	assert_int_equal(s->ports[1].port, 80);
	assert_int_equal(s->ingress.n, 2);
	assert_string_equal(s->ingress.items[0], "1.2.3.4");
	assert_string_equal(s->ingress.items[1], "");
	assert_string_equal(s->ingress_hostnames.items[1], "h");
	assert_string_equal(s->conditions[0].status, "True");
	api_object_free(&s->obj);
}

static void endpoints_have_three_forms(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{\"metadata\":{\"name\":\"w-1\",\"namespace\":\"n\",\"labels\":"
		"{\"kubernetes.io/service-name\":\"w\"}},\"endpoints\":[{\"addresses\":"
		"[\"10.1.1.1\"],\"nodeName\":\"n1\",\"conditions\":{\"ready\":true}}]}",
		"{\"metadata\":{\"name\":\"w-1\",\"namespace\":\"n\",\"labels\":"
		"{\"kubernetes.io/service-name\":\"w\"}},\"endpoints\":[{\"addresses\":"
		"[\"10.1.1.1\"],\"topology\":{\"kubernetes.io/hostname\":\"n1\"},"
		"\"conditions\":{\"ready\":true}}]}",
		("{\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"w\",\"namespace\":\"n\"},"
		 "\"subsets\":[{\"addresses\":[{\"ip\":\"10.1.1.1\",\"nodeName\":\"n1\"}]}]}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct endpointslice *s = decode_ok(API_ENDPOINTSLICE, texts[i]);

		assert_string_equal(s->service_name, "w");
		assert_int_equal(s->n_endpoints, 1);
		assert_string_equal(s->endpoints[0].node_name, "n1");
		assert_int_equal(s->endpoints[0].ready, TRI_TRUE);
		assert_true(s->endpoints[0].has_address);
		api_object_free(&s->obj);
	}
}

static void core_kinds_are_decoded(void **state)
{
	(void)state;
	struct node *n = decode_ok(
		API_NODE,
		"{\"metadata\":{\"name\":\"w\"},\"spec\":{\"unschedulable\":true},\"status\":"
		"{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":"
		"\"NetworkUnavailable\",\"status\":\"False\"}],\"addresses\":[{\"type\":"
		"\"Hostname\",\"address\":\"w\"},{\"type\":\"InternalIP\",\"address\":"
		"\"10.9.9.9\"}]}}");

	assert_true(n->ready && n->unschedulable && !n->network_unavailable);
	assert_int_equal(n->addresses.n, 1);
	assert_string_equal(n->addresses.items[0], "10.9.9.9");
	api_object_free(&n->obj);

	struct secret *s = decode_ok(API_SECRET, "{" META ",\"data\":{\"k\":\"cGE=\",\"e\":\"\"}}");

	assert_string_equal(s->type, "Opaque");
	assert_int_equal(s->n_items, 2);
	assert_int_equal(s->items[0].len, 2);
	assert_string_equal((const char *)s->items[0].value, "pa");
	assert_int_equal(s->items[1].len, 0);
	api_object_free(&s->obj);

	struct pod *p = decode_ok(
		API_POD,
		"{" META ",\"spec\":{\"nodeName\":\"w\"},\"status\":{\"podIPs\":[{\"ip\":"
		"\"10.0.0.1\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");

	assert_true(p->ready);
	assert_string_equal(p->pod_ips.items[0], "10.0.0.1");
	assert_string_equal(p->phase, "");
	api_object_free(&p->obj);

	struct configmap *c = decode_ok(API_CONFIGMAP, "{" META ",\"data\":{\"a\":\"b\"}}");

	assert_string_equal(labels_get(&c->data, "a"), "b");
	api_object_free(&c->obj);
	api_object_free(decode_ok(API_NAMESPACE, "{\"metadata\":{\"name\":\"x\"}}"));
}

static void refusals_name_object_and_field(void **state)
{
	(void)state;
	static const struct {
		enum api_kind kind;
		const char *text, *reason;
	} cases[] = {
		{API_IPADDRESSPOOL, "[]", "IPAddressPool (no name): must be an object, not array"},
		{API_IPADDRESSPOOL, "{}", "IPAddressPool (no name): metadata: name is required"},
		{API_IPADDRESSPOOL, "{" META "}", "IPAddressPool n/x: spec is required"},
		{API_IPADDRESSPOOL, "{" META ",\"spec\":{}}",
		 "IPAddressPool n/x: spec: addresses is required"},
		{API_IPADDRESSPOOL, "{" META ",\"spec\":{\"addresses\":[\"a\",5]}}",
		 "IPAddressPool n/x: spec.addresses[1]: must be a string, not int"},
		{API_IPADDRESSPOOL, "{" META ",\"spec\":{\"addresses\":[\"a\\u0000b\"]}}",
		 "IPAddressPool n/x: spec.addresses[0]: text holds a NUL character"},
		{API_L2ADVERTISEMENT,
		 "{" META ",\"spec\":{\"preferredNodeSelectors\":[{\"weight\":101,"
		 "\"preference\":{}}]}}",
		 "L2Advertisement n/x: spec.preferredNodeSelectors[0].weight: 101 is more than "
		 "100"},
		{API_L2ADVERTISEMENT, "{" META ",\"spec\":{\"conflictPolicy\":\"warn\"}}",
		 "L2Advertisement n/x: spec.conflictPolicy: unknown value \"warn\""},
		{API_L2ADVERTISEMENT,
		 "{" META ",\"spec\":{\"nodeSelectors\":[{\"matchExpressions\":"
		 "[{\"key\":\"a\"}]}]}}",
		 "L2Advertisement n/x: spec.nodeSelectors[0].matchExpressions[0]: operator is "
		 "required"},
		{API_BGPADVERTISEMENT, "{" META ",\"spec\":{\"aggregationLength\":0}}",
		 "BGPAdvertisement n/x: spec.aggregationLength: 0 is less than 1"},
		{API_BGPADVERTISEMENT, "{" META ",\"spec\":{\"localPref\":-1}}",
		 "BGPAdvertisement n/x: spec.localPref: -1 is not in 0..4294967295"},
		{API_BGPADVERTISEMENT, "{" META ",\"spec\":{\"localPref\":1.5}}",
		 "BGPAdvertisement n/x: spec.localPref: must be an integer of 64 bits, not double"},
		{API_BGPPEER, "{" META ",\"spec\":{\"myASN\":1,\"holdTime\":\"90\"}}",
		 "BGPPeer n/x: spec.holdTime: \"90\" is not a duration"},
		{API_SERVICE, "{" META ",\"spec\":{\"ports\":[{\"port\":70000}]}}",
		 "Service n/x: spec.ports[0].port: 70000 is not a port"},
		{API_SERVICE, "{" META ",\"spec\":{\"selector\":{\"a\":1}}}",
		 "Service n/x: spec.selector.a: must be a string, not int"},
		{API_SECRET, "{" META ",\"data\":{\"k\":\"?\"}}", "Secret n/x: data.k: not base64"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {.msg = ""};

		assert_null(decode(cases[i].kind, cases[i].text, &err));
		assert_string_equal(err.msg, cases[i].reason);
	}
}

static void integers_as_json_writes_them(void **state)
{
	(void)state;
	struct bgpadvertisement *a =
		decode_ok(API_BGPADVERTISEMENT, "{" META ",\"spec\":{\"localPref\":1e2}}");
	struct err err;

	assert_int_equal(a->local_pref, 100);
	api_object_free(&a->obj);
	assert_null(decode(API_IPADDRESSPOOL,
			   "{" META ",\"spec\":{\"addresses\":[],\"serviceAllocation\":"
			   "{\"priority\":18446744073709551615}}}",
			   &err));
}

static void last_applied_is_dropped(void **state)
{
	(void)state;
	struct namespace_ *n = decode_ok(
		API_NAMESPACE, "{\"metadata\":{\"name\":\"x\",\"annotations\":{\"a\":\"b\","
			       "\"kubectl.kubernetes.io/last-applied-configuration\":\"{}\"}}}");

	assert_int_equal(n->obj.meta.annotations.n, 1);
	api_object_free(&n->obj);
}

static void kinds_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *api_version, *kind;
		int want;
	} cases[] = {
		{"metallb.io/v1beta1", "IPAddressPool", API_IPADDRESSPOOL},
		{"metallb.io/v1beta1", "BGPPeer", API_BGPPEER},
		{"metallb.io/v1beta2", "BGPPeer", API_BGPPEER},
		{"metallb.io/v1beta2", "IPAddressPool", -1},
		{"v1", "Service", API_SERVICE},
		{"v1", "Endpoints", API_ENDPOINTSLICE},
		{"discovery.k8s.io/v1beta1", "EndpointSlice", API_ENDPOINTSLICE},
		{"v1", "EndpointSlice", -1},
		{"", "", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum api_kind kind = API_KIND_COUNT;
		bool found = api_kind_find(cases[i].api_version, cases[i].kind, &kind);

		assert_int_equal(found ? (int)kind : -1, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_is_decoded),
		cmocka_unit_test(pool_defaults),
		cmocka_unit_test(l2advertisement_is_decoded),
		cmocka_unit_test(bgp_kinds_are_decoded),
		cmocka_unit_test(small_kinds_are_decoded),
		cmocka_unit_test(service_is_decoded),
		cmocka_unit_test(endpoints_have_three_forms),
		cmocka_unit_test(core_kinds_are_decoded),
		cmocka_unit_test(refusals_name_object_and_field),
		cmocka_unit_test(integers_as_json_writes_them),
		cmocka_unit_test(last_applied_is_dropped),
		cmocka_unit_test(kinds_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
