/*
 * The rules of the configuration, one by one: objects as JSON, and the findings they give.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/config.h"
#include "metallb/xalloc.h"

#define OBJECTS_MAX 32

struct fixture {
	struct objects objs;
	const void *items[API_KIND_COUNT][OBJECTS_MAX];
	size_t n[API_KIND_COUNT];
	struct config_options opt;
	struct config *cfg;
	struct config_report *report;
};

/* Nodes and namespaces: labels in place of the spec. Secrets: members of the object. */
static void add(struct fixture *f, const char *version, const char *kind_name, const char *name,
		const char *spec)
{
	enum api_kind kind;
	struct err err = {.msg = ""};

	assert_true(api_kind_find(version, kind_name, &kind));

	bool plain = kind == API_NODE || kind == API_NAMESPACE;
	_cleanup_free_ char *text =
		xasprintf("{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\","
			  "\"namespace\":\"m\",\"labels\":%s},%s}",
			  version, kind_name, name, plain ? spec : "{\"name\":\"x\"}",
			  kind == API_SECRET ? spec : "\"x\":1");

	json_object *json = json_tokener_parse(text), *s = json_tokener_parse(spec);

	assert_non_null(json);
	if (!plain && kind != API_SECRET) {
		assert_non_null(s);
		json_object_object_add(json, "spec", json_object_get(s));
	}
	struct api_object *obj = api_decode(kind, json, &err);

	if (!obj)
		fail_msg("%s", err.msg);
	json_object_put(json);
	json_object_put(s);
	f->items[kind][f->n[kind]++] = obj;
}

static void build(struct fixture *f)
{
	f->objs = (struct objects){
		.pools = (const void *)f->items[API_IPADDRESSPOOL],
		.n_pools = f->n[API_IPADDRESSPOOL],
		.l2advs = (const void *)f->items[API_L2ADVERTISEMENT],
		.n_l2advs = f->n[API_L2ADVERTISEMENT],
		.bgpadvs = (const void *)f->items[API_BGPADVERTISEMENT],
		.n_bgpadvs = f->n[API_BGPADVERTISEMENT],
		.peers = (const void *)f->items[API_BGPPEER],
		.n_peers = f->n[API_BGPPEER],
		.bfds = (const void *)f->items[API_BFDPROFILE],
		.n_bfds = f->n[API_BFDPROFILE],
		.communities = (const void *)f->items[API_COMMUNITY],
		.n_communities = f->n[API_COMMUNITY],
		.nodes = (const void *)f->items[API_NODE],
		.n_nodes = f->n[API_NODE],
		.namespaces = (const void *)f->items[API_NAMESPACE],
		.n_namespaces = f->n[API_NAMESPACE],
		.secrets = (const void *)f->items[API_SECRET],
		.n_secrets = f->n[API_SECRET],
	};
	config_build(&f->objs, &f->opt, &f->cfg, &f->report);
}

static void clear(struct fixture *f)
{
	f->cfg = config_free(f->cfg);
	f->report = config_report_free(f->report);
	for (size_t k = 0; k < API_KIND_COUNT; k++)
		for (size_t i = 0; i < f->n[k]; i++)
			api_object_free((void *)(uintptr_t)f->items[k][i]);
	*f = (struct fixture){0};
}

#define V1 "metallb.io/v1beta1"
#define V2 "metallb.io/v1beta2"
#define POOL(name, spec)                                                                           \
	{                                                                                          \
		V1, "IPAddressPool", name, spec                                                    \
	}
#define L2(name, spec)                                                                             \
	{                                                                                          \
		V1, "L2Advertisement", name, spec                                                  \
	}
#define ADV(name, spec)                                                                            \
	{                                                                                          \
		V1, "BGPAdvertisement", name, spec                                                 \
	}
#define PEER(name, spec)                                                                           \
	{                                                                                          \
		V2, "BGPPeer", name, spec                                                          \
	}
#define BFD(name, spec)                                                                            \
	{                                                                                          \
		V1, "BFDProfile", name, spec                                                       \
	}
#define COMM(name, spec)                                                                           \
	{                                                                                          \
		V1, "Community", name, spec                                                        \
	}
#define NODE(name, labels)                                                                         \
	{                                                                                          \
		"v1", "Node", name, labels                                                         \
	}
#define NS(name, labels)                                                                           \
	{                                                                                          \
		"v1", "Namespace", name, labels                                                    \
	}
#define SECRET(name, parts)                                                                        \
	{                                                                                          \
		"v1", "Secret", name, parts                                                        \
	}
#define P4        POOL("p", "{\"addresses\":[\"10.0.0.0/24\"]}")
#define BASE_PEER "\"myASN\":1,\"peerASN\":2,\"peerAddress\":\"10.9.9.9\""

static const struct rule_case {
	const char *name;
	struct {
		const char *version, *kind, *name, *spec;
	} objects[6];
	/* "severity kind/name field": the only finding; NULL: none but warnings */
	const char *finding;
	enum bgp_backend backend;
	bool ignore_references;
} rules[] = {
	/* ranges */
	{"cidr and range",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\",\"10.1.0.1 - 10.1.0.9\"]}")}},
	{"host bits", {POOL("p", "{\"addresses\":[\"10.0.0.7/24\"]}")}},
	{"leading zero of a length", {POOL("p", "{\"addresses\":[\"10.0.0.0/024\"]}")}},
	{"everything", {POOL("p", "{\"addresses\":[\"0.0.0.0/0\",\"::/0\"]}")}},
	{"no addresses", {POOL("p", "{\"addresses\":[]}")}, "error IPAddressPool/p spec.addresses"},
	{"plain address",
	 {POOL("p", "{\"addresses\":[\"10.0.0.1\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"bad length",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/33\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"leading space",
	 {POOL("p", "{\"addresses\":[\" 10.0.0.0/24\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"octal octet",
	 {POOL("p", "{\"addresses\":[\"010.0.0.0/24\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"unicode digits",
	 {POOL("p", "{\"addresses\":[\"\xef\xbc\x91\x30.0.0.0/24\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"start behind end",
	 {POOL("p", "{\"addresses\":[\"10.0.0.9-10.0.0.1\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"three bounds",
	 {POOL("p", "{\"addresses\":[\"10.0.0.1-10.0.0.2-10.0.0.3\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"families mixed",
	 {POOL("p", "{\"addresses\":[\"10.0.0.1-2001:db8::1\"]}")},
	 "ours IPAddressPool/p spec.addresses[0]"},
	{"families mixed, wrong way",
	 {POOL("p", "{\"addresses\":[\"2001:db8::1-10.0.0.1\"]}")},
	 "error IPAddressPool/p spec.addresses[0]"},
	{"mapped prefix",
	 {POOL("p", "{\"addresses\":[\"::ffff:10.0.0.0/120\"]}")},
	 "ours IPAddressPool/p spec.addresses[0]"},
	{"avoided addresses",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\"],\"avoidAddresses\":[\"10.0.0.1\","
		    "\"10.0.0.8/30\",\"10.0.0.20-10.0.0.30\"]}")}},
	{"avoided nonsense",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\"],\"avoidAddresses\":[\"x\"]}")},
	 "ours IPAddressPool/p spec.avoidAddresses[0]"},
	/* overlaps */
	{"equal in one pool",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\",\"10.0.0.0/24\"]}")},
	 "error IPAddressPool/p spec.addresses[1]"},
	{"contained, two pools",
	 {P4, POOL("q", "{\"addresses\":[\"10.1.0.0/16\",\"10.0.0.8/30\"]}")},
	 "error IPAddressPool/q spec.addresses[1]"},
	{"containing, two pools",
	 {P4, POOL("q", "{\"addresses\":[\"10.0.0.0/8\"]}")},
	 "error IPAddressPool/q spec.addresses[0]"},
	{"side by side", {P4, POOL("q", "{\"addresses\":[\"10.0.1.0/24\",\"9.255.255.255/32\"]}")}},
	/* service allocation */
	{"namespace twice",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\"],\"serviceAllocation\":{\"namespaces\":"
		    "[\"a\",\"a\"]}}")},
	 "error IPAddressPool/p spec.serviceAllocation.namespaces"},
	{"selector twice",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\"],\"serviceAllocation\":"
		    "{\"serviceSelectors\":[{\"matchLabels\":{\"a\":\"b\"}},"
		    "{\"matchLabels\":{\"a\":\"b\"}}]}}")},
	 "error IPAddressPool/p spec.serviceAllocation.serviceSelectors"},
	{"selector without values",
	 {POOL("p", "{\"addresses\":[\"10.0.0.0/24\"],\"serviceAllocation\":"
		    "{\"namespaceSelectors\":[{\"matchExpressions\":[{\"key\":\"a\","
		    "\"operator\":\"In\"}]}]}}")},
	 "error IPAddressPool/p spec.serviceAllocation.namespaceSelectors[0]"},
	/* L2 advertisements */
	{"unknown pool is ignored", {L2("a", "{\"ipAddressPools\":[\"none\"]}")}},
	{"pool twice",
	 {L2("a", "{\"ipAddressPools\":[\"p\",\"p\"]}")},
	 "error L2Advertisement/a spec.ipAddressPools"},
	{"value twice",
	 {L2("a", "{\"nodeSelectors\":[{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\","
		  "\"values\":[\"x\",\"y\",\"x\"]}]}]}")},
	 "error L2Advertisement/a spec.nodeSelectors[0]"},
	{"expression twice",
	 {L2("a", "{\"nodeSelectors\":[{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\","
		  "\"values\":[\"x\",\"y\"]},{\"key\":\"a\",\"operator\":\"In\",\"values\":"
		  "[\"y\",\"x\"]}]}]}")},
	 "error L2Advertisement/a spec.nodeSelectors[0]"},
	{"bad operator",
	 {L2("a", "{\"serviceSelectors\":[{\"matchExpressions\":[{\"key\":\"a\",\"operator\":"
		  "\"Equals\",\"values\":[\"x\"]}]}]}")},
	 "error L2Advertisement/a spec.serviceSelectors[0]"},
	{"bad preference",
	 {L2("a", "{\"preferredNodeSelectors\":[{\"weight\":1,\"preference\":{\"matchLabels\":"
		  "{\"?\":\"x\"}}}]}")},
	 "error L2Advertisement/a spec.preferredNodeSelectors[0]"},
	/* BGP advertisements */
	{"community", {P4, ADV("a", "{\"communities\":[\"1:2\",\"large:1:2:4294967295\"]}")}},
	{"community too large",
	 {ADV("a", "{\"communities\":[\"65536:1\"]}")},
	 "error BGPAdvertisement/a spec.communities[0]"},
	{"other marker",
	 {ADV("a", "{\"communities\":[\"small:1:2:3\"]}")},
	 "error BGPAdvertisement/a spec.communities[0]"},
	{"alias to come",
	 {ADV("a", "{\"communities\":[\"gold\"]}")},
	 "transient BGPAdvertisement/a spec.communities[0]"},
	{"alias not looked at", {ADV("a", "{\"communities\":[\"gold\"]}")}, NULL, 0, true},
	{"no alias at admission",
	 {ADV("a", "{\"communities\":[\"1:2:3\"]}")},
	 "error BGPAdvertisement/a spec.communities[0]",
	 0,
	 true},
	{"alias",
	 {COMM("c", "{\"communities\":[{\"name\":\"gold\",\"value\":\"1:2\"}]}"),
	  ADV("a", "{\"communities\":[\"gold\"]}")}},
	{"alias twice",
	 {COMM("c", "{\"communities\":[{\"name\":\"gold\",\"value\":\"1:2\"}]}"),
	  COMM("d", "{\"communities\":[{\"name\":\"gold\",\"value\":\"1:3\"}]}")},
	 "error Community/d spec.communities[0]"},
	{"alias of nothing",
	 {COMM("c", "{\"communities\":[{\"name\":\"gold\"}]}")},
	 "error Community/c spec.communities[0]"},
	{"community twice",
	 {ADV("a", "{\"communities\":[\"1:2\",\"1:2\"]}")},
	 "error BGPAdvertisement/a spec.communities"},
	{"peer twice",
	 {ADV("a", "{\"peers\":[\"p\",\"p\"]}")},
	 "error BGPAdvertisement/a spec.peers"},
	{"services and aggregation",
	 {ADV("a", "{\"aggregationLength\":24,\"serviceSelectors\":[{}]}")},
	 "error BGPAdvertisement/a spec.serviceSelectors"},
	{"length too large",
	 {ADV("a", "{\"aggregationLength\":33}")},
	 "error BGPAdvertisement/a spec.aggregationLength"},
	{"length of IPv6 too large",
	 {ADV("a", "{\"aggregationLengthV6\":129}")},
	 "error BGPAdvertisement/a spec.aggregationLengthV6"},
	{"wide as the pool", {P4, ADV("a", "{\"aggregationLength\":24}")}},
	{"wider than the pool",
	 {P4, ADV("a", "{\"aggregationLength\":23}")},
	 "error BGPAdvertisement/a spec.aggregationLength"},
	{"wide as the largest part of a range",
	 {POOL("p", "{\"addresses\":[\"10.0.0.1-10.0.0.6\"]}"),
	  ADV("a", "{\"aggregationLength\":31}")}},
	{"wider than the largest part of a range",
	 {POOL("p", "{\"addresses\":[\"10.0.0.1-10.0.0.6\"]}"),
	  ADV("a", "{\"aggregationLength\":30}")},
	 "error BGPAdvertisement/a spec.aggregationLength"},
	{"IPv6 wider than the pool",
	 {POOL("p", "{\"addresses\":[\"2001:db8::/64\"]}"),
	  ADV("a", "{\"aggregationLengthV6\":0}")},
	 "error BGPAdvertisement/a spec.aggregationLengthV6"},
	/* local preference */
	{"preferences differ",
	 {NODE("n", "{}"), P4, ADV("a", "{\"localPref\":1}"), ADV("b", "{\"localPref\":2}")},
	 "error BGPAdvertisement/b spec.localPref"},
	{"preferences differ, no nodes",
	 {P4, ADV("a", "{\"localPref\":1}"), ADV("b", "{\"localPref\":2}")}},
	{"preferences differ, other length",
	 {NODE("n", "{}"), P4, ADV("a", "{\"localPref\":1}"),
	  ADV("b", "{\"localPref\":2,\"aggregationLength\":24}")}},
	{"preferences differ, other length of the other family",
	 {NODE("n", "{}"), P4, ADV("a", "{\"localPref\":1}"),
	  ADV("b", "{\"localPref\":2,\"aggregationLengthV6\":64}")},
	 "error BGPAdvertisement/b spec.localPref"},
	{"preferences differ, both families, one length differs",
	 {NODE("n", "{}"), POOL("p", "{\"addresses\":[\"10.0.0.0/24\",\"2001:db8::/120\"]}"),
	  ADV("a", "{\"localPref\":1}"), ADV("b", "{\"localPref\":2,\"aggregationLength\":24}")},
	 "error BGPAdvertisement/b spec.localPref"},
	{"preferences differ, other peers",
	 {NODE("n", "{}"), P4, ADV("a", "{\"localPref\":1,\"peers\":[\"x\"]}"),
	  ADV("b", "{\"localPref\":2,\"peers\":[\"y\"]}")}},
	{"preferences differ, other nodes",
	 {NODE("n", "{\"a\":\"1\"}"), NODE("o", "{\"a\":\"2\"}"), P4,
	  ADV("a", "{\"localPref\":1,\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"1\"}}]}"),
	  ADV("b", "{\"localPref\":2,\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"2\"}}]}")}},
	{"preferences differ, by service",
	 {NODE("n", "{}"), P4, ADV("a", "{\"localPref\":1}"),
	  ADV("b", "{\"localPref\":2,\"serviceSelectors\":[{}]}")}},
	/* peers */
	{"peer", {PEER("r", "{" BASE_PEER "}")}},
	{"no AS of ours",
	 {PEER("r", "{\"myASN\":0,\"peerASN\":2,\"peerAddress\":\"10.9.9.9\"}")},
	 "error BGPPeer/r spec.myASN"},
	{"no AS of the peer",
	 {PEER("r", "{\"myASN\":1,\"peerAddress\":\"10.9.9.9\"}")},
	 "error BGPPeer/r spec.peerASN"},
	{"both kinds of AS",
	 {PEER("r", "{" BASE_PEER ",\"dynamicASN\":\"external\"}")},
	 "error BGPPeer/r spec.dynamicASN"},
	{"many hops within an AS",
	 {PEER("r",
	       "{\"myASN\":2,\"peerASN\":2,\"peerAddress\":\"10.9.9.9\",\"ebgpMultiHop\":true}")},
	 "error BGPPeer/r spec.ebgpMultiHop"},
	{"no address",
	 {PEER("r", "{\"myASN\":1,\"peerASN\":2}")},
	 "error BGPPeer/r spec.peerAddress"},
	{"address and interface",
	 {PEER("r", "{" BASE_PEER ",\"interface\":\"eth0\"}")},
	 "error BGPPeer/r spec.interface"},
	{"bad address",
	 {PEER("r", "{\"myASN\":1,\"peerASN\":2,\"peerAddress\":\" 10.9.9.9\"}")},
	 "error BGPPeer/r spec.peerAddress"},
	{"bad source",
	 {PEER("r", "{" BASE_PEER ",\"sourceAddress\":\"x\"}")},
	 "error BGPPeer/r spec.sourceAddress"},
	{"router ID of IPv6",
	 {PEER("r", "{" BASE_PEER ",\"routerID\":\"::1\"}")},
	 "ours BGPPeer/r spec.routerID"},
	{"hold time below a second", {PEER("r", "{" BASE_PEER ",\"holdTime\":\"500ms\"}")}},
	{"hold time too short",
	 {PEER("r", "{" BASE_PEER ",\"holdTime\":\"2.9s\"}")},
	 "error BGPPeer/r spec.holdTime"},
	{"hold time too long",
	 {PEER("r", "{" BASE_PEER ",\"holdTime\":\"65536s\"}")},
	 "ours BGPPeer/r spec.holdTime"},
	{"keepalive too long",
	 {PEER("r", "{" BASE_PEER ",\"holdTime\":\"3s\",\"keepaliveTime\":\"4s\"}")},
	 "error BGPPeer/r spec.keepaliveTime"},
	{"keepalive without hold time",
	 {PEER("r", "{" BASE_PEER ",\"holdTime\":\"0s\",\"keepaliveTime\":\"1s\"}")},
	 "error BGPPeer/r spec.keepaliveTime"},
	{"connect time in parts",
	 {PEER("r", "{" BASE_PEER ",\"connectTime\":\"1.5s\"}")},
	 "ours BGPPeer/r spec.connectTime"},
	{"profile to come",
	 {PEER("r", "{" BASE_PEER ",\"bfdProfile\":\"b\"}")},
	 "transient BGPPeer/r spec.bfdProfile"},
	{"profile", {PEER("r", "{" BASE_PEER ",\"bfdProfile\":\"b\"}"), BFD("b", "{}")}},
	{"secret to come",
	 {PEER("r", "{" BASE_PEER ",\"passwordSecret\":{\"name\":\"s\"}}")},
	 "transient BGPPeer/r spec.passwordSecret"},
	{"secret of another type",
	 {PEER("r", "{" BASE_PEER ",\"passwordSecret\":{\"name\":\"s\"}}"),
	  SECRET("s", "\"data\":{\"password\":\"cGE=\"}")},
	 "error BGPPeer/r spec.passwordSecret"},
	{"secret without password",
	 {PEER("r", "{" BASE_PEER ",\"passwordSecret\":{\"name\":\"s\"}}"),
	  SECRET("s", "\"type\":\"kubernetes.io/basic-auth\",\"data\":{\"pw\":\"cGE=\"}")},
	 "error BGPPeer/r spec.passwordSecret"},
	{"two passwords",
	 {PEER("r", "{" BASE_PEER ",\"password\":\"x\",\"passwordSecret\":{\"name\":\"s\"}}"),
	  SECRET("s", "\"type\":\"kubernetes.io/basic-auth\",\"data\":{\"password\":\"cGE=\"}")},
	 "error BGPPeer/r spec.passwordSecret"},
	{"echo over IPv6",
	 {BFD("b", "{\"echoMode\":true}"), PEER("r", "{" BASE_PEER ",\"bfdProfile\":\"b\"}"),
	  POOL("p", "{\"addresses\":[\"2001:db8::/120\"]}"), ADV("a", "{}")},
	 "error BGPPeer/r spec.bfdProfile"},
	{"echo over IPv6 to another peer",
	 {BFD("b", "{\"echoMode\":true}"), PEER("r", "{" BASE_PEER ",\"bfdProfile\":\"b\"}"),
	  POOL("p", "{\"addresses\":[\"2001:db8::/120\"]}"), ADV("a", "{\"peers\":[\"q\"]}")}},
	/* limits of frr-k8s, and their absence elsewhere */
	{"one neighbour twice", {PEER("r", "{" BASE_PEER "}"), PEER("s", "{" BASE_PEER "}")}},
	{"one neighbour twice, frr-k8s",
	 {PEER("r", "{" BASE_PEER "}"), PEER("s", "{" BASE_PEER "}")},
	 "error BGPPeer/s spec.peerAddress",
	 BACKEND_FRR_K8S},
	{"other router ID, frr-k8s",
	 {PEER("r", "{" BASE_PEER "}"), PEER("s", "{\"myASN\":1,\"peerASN\":2,\"peerAddress\":\"10."
						  "9.9.8\",\"routerID\":\"1.1.1.1\"}")},
	 "error BGPPeer/s spec.routerID",
	 BACKEND_FRR_K8S},
	{"other AS in another VRF, frr-k8s",
	 {PEER("r", "{" BASE_PEER "}"),
	  PEER("s", "{\"myASN\":3,\"peerASN\":2,\"peerAddress\":\"10.9.9.9\",\"vrf\":\"red\"}")},
	 NULL,
	 BACKEND_FRR_K8S},
	{"other AS, frr-k8s",
	 {PEER("r", "{" BASE_PEER "}"),
	  PEER("s", "{\"myASN\":3,\"peerASN\":2,\"peerAddress\":\"10.9.9.8\"}")},
	 "error BGPPeer/s spec.myASN",
	 BACKEND_FRR_K8S},
	{"other nodes, frr-k8s",
	 {NODE("n", "{\"a\":\"1\"}"), PEER("r", "{" BASE_PEER "}"),
	  PEER("s", "{" BASE_PEER ",\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"2\"}}]}")},
	 NULL,
	 BACKEND_FRR_K8S},
};

static const char *severity_name(const struct config_finding *f)
{
	if (f->severity == FINDING_TRANSIENT)
		return "transient";
	return f->metallb ? "error" : "ours";
}

static void check_case(const struct rule_case *c, const struct fixture *f)
{
	char got[512] = "";

	for (size_t i = 0; i < f->report->n_findings; i++) {
		const struct config_finding *x = &f->report->findings[i];

		if (x->severity == FINDING_WARNING)
			continue;
		if (*got)
			fail_msg("%s: more than one finding: %s", c->name, x->message);
		snprintf(got, sizeof(got), "%s %s/%s %s", severity_name(x),
			 api_kind_info(x->obj->kind)->kind, x->obj->meta.name, x->field);
		assert_true(strlen(x->message) > 5);
	}
	if (strcmp(got, c->finding ? c->finding : "") != 0)
		fail_msg("%s: want \"%s\", got \"%s\"", c->name, c->finding ? c->finding : "", got);
}

static void rules_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule_case *c = &rules[i];
		struct fixture f = {
			.opt = {.backend = c->backend, .ignore_references = c->ignore_references}};

		for (size_t j = 0; j < ARRAY_SIZE(c->objects) && c->objects[j].kind; j++)
			add(&f, c->objects[j].version, c->objects[j].kind, c->objects[j].name,
			    c->objects[j].spec);
		build(&f);
		check_case(c, &f);
		clear(&f);
	}
}

/* A bad object takes no good one down, and the younger of two gives way. */
static void bad_objects_stand_alone(void **state)
{
	struct fixture f = {0};

	(void)state;
	add(&f, V1, "IPAddressPool", "bad", "{\"addresses\":[\"x\"]}");
	add(&f, V1, "IPAddressPool", "good", "{\"addresses\":[\"10.0.0.0/24\"]}");
	add(&f, V1, "IPAddressPool", "late", "{\"addresses\":[\"10.0.0.0/25\"]}");
	add(&f, V1, "BGPAdvertisement", "bad", "{\"communities\":[\"1:x\"]}");
	add(&f, V1, "BGPAdvertisement", "good", "{\"ipAddressPools\":[\"good\",\"late\"]}");
	build(&f);
	assert_int_equal(f.report->n_errors, 3);
	assert_int_equal(f.cfg->n_pools, 1);
	assert_string_equal(f.cfg->pools[0].name, "good");
	assert_int_equal(f.cfg->pools[0].n_bgpadvs, 1);
	assert_string_equal(f.cfg->pools[0].bgpadvs[0]->name, "good");
	f.cfg = config_free(f.cfg);
	f.report = config_report_free(f.report);
	f.opt.newest = f.items[API_IPADDRESSPOOL][1];
	build(&f);
	assert_non_null(config_find_pool(f.cfg, "late"));
	assert_null(config_find_pool(f.cfg, "good"));
	clear(&f);
}

static void nodes_and_scores(void **state)
{
	struct fixture f = {0};

	(void)state;
	add(&f, "v1", "Node", "n2", "{\"zone\":\"a\",\"disk\":\"ssd\"}");
	add(&f, "v1", "Node", "n1", "{\"zone\":\"a\"}");
	add(&f, "v1", "Node", "n3", "{\"zone\":\"b\",\"disk\":\"ssd\"}");
	add(&f, V1, "IPAddressPool", "p", "{\"addresses\":[\"10.0.0.0/24\"]}");
	add(&f, V1, "L2Advertisement", "a",
	    "{\"nodeSelectors\":[{\"matchLabels\":{\"zone\":\"a\"}}],\"interfaces\":[\"eth0\"],"
	    "\"preferredNodeSelectors\":[{\"weight\":10,\"preference\":{\"matchLabels\":"
	    "{\"disk\":\"ssd\"}}},{\"weight\":5,\"preference\":{}}]}");
	add(&f, V1, "L2Advertisement", "b", "{}");
	add(&f, V1, "L2Advertisement", "c", "{}");
	build(&f);

	const struct config_pool *p = config_find_pool(f.cfg, "p");

	assert_int_equal(p->n_l2advs, 2); /* b and c say the same */
	assert_int_equal(p->l2advs[0]->nodes.n, 2);
	assert_string_equal(p->l2advs[0]->nodes.items[0], "n1");
	assert_string_equal(p->l2advs[0]->scored_nodes.items[1], "n2");
	assert_int_equal(p->l2advs[0]->scores[0], 5);
	assert_int_equal(p->l2advs[0]->scores[1], 15);
	assert_false(p->l2advs[0]->all_interfaces);
	assert_int_equal(p->l2advs[1]->nodes.n, 3);
	clear(&f);
}

static void namespaces_are_resolved(void **state)
{
	struct fixture f = {0};

	(void)state;
	add(&f, "v1", "Namespace", "red", "{\"team\":\"x\"}");
	add(&f, "v1", "Namespace", "blue", "{\"team\":\"y\"}");
	add(&f, V1, "IPAddressPool", "p",
	    "{\"addresses\":[\"10.0.0.0/24\"],\"serviceAllocation\":{\"priority\":7,"
	    "\"namespaces\":[\"zoo\",\"red\"],\"namespaceSelectors\":[{\"matchLabels\":"
	    "{\"team\":\"x\"}}]}}");
	add(&f, V1, "IPAddressPool", "q",
	    "{\"addresses\":[\"10.0.1.0/24\"],\"serviceAllocation\":{}}");
	build(&f);

	const struct config_pool *p = config_find_pool(f.cfg, "p"),
				 *q = config_find_pool(f.cfg, "q");

	assert_int_equal(p->namespaces.n, 2);
	assert_string_equal(p->namespaces.items[0], "red");
	assert_string_equal(p->namespaces.items[1], "zoo");
	assert_int_equal(p->priority, 7);
	assert_true(p->restricts_namespaces && !q->restricts_namespaces);
	assert_int_equal(q->service_selectors.n, 1); /* everything */
	clear(&f);
}

static void timers_are_derived(void **state)
{
	static const struct {
		const char *spec;
		int64_t hold_s, keepalive_ms;
	} cases[] = {
		{"{" BASE_PEER "}", -1, -1},
		{"{" BASE_PEER ",\"holdTime\":\"90s\"}", 90, 30000},
		{"{" BASE_PEER ",\"keepaliveTime\":\"10s\"}", 30, 10000},
		{"{" BASE_PEER ",\"holdTime\":\"9s\",\"keepaliveTime\":\"1s\"}", 9, 1000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f = {0};

		add(&f, V2, "BGPPeer", "r", cases[i].spec);
		build(&f);

		const struct config_peer *p = config_find_peer(f.cfg, "r");

		assert_true(p->hold_ns ==
			    (cases[i].hold_s < 0 ? DURATION_UNSET : cases[i].hold_s * 1000000000));
		assert_true(p->keepalive_ns == (cases[i].keepalive_ms < 0
							? DURATION_UNSET
							: cases[i].keepalive_ms * 1000000));
		clear(&f);
	}
}

static void a_speaker_sees_its_own(void **state)
{
	struct fixture f = {.opt = {.node = "n1"}};

	(void)state;
	add(&f, "v1", "Node", "n1", "{\"a\":\"1\"}");
	add(&f, "v1", "Node", "n2", "{\"a\":\"2\"}");
	add(&f, V1, "IPAddressPool", "p", "{\"addresses\":[\"10.0.0.0/24\"]}");
	add(&f, V2, "BGPPeer", "mine",
	    "{" BASE_PEER ",\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"1\"}}]}");
	add(&f, V2, "BGPPeer", "other",
	    "{\"myASN\":1,\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"2\"}}]}");
	add(&f, V1, "BGPAdvertisement", "other",
	    "{\"aggregationLength\":33,\"nodeSelectors\":[{\"matchLabels\":{\"a\":\"2\"}}]}");
	build(&f);
	assert_int_equal(f.report->n_errors, 0);
	assert_int_equal(f.cfg->n_peers, 1);
	assert_int_equal(f.cfg->n_bgpadvs, 0);
	clear(&f);
}

static void lookups(void **state)
{
	struct fixture f = {0}, g = {0};
	struct ip ip;

	(void)state;
	add(&f, V1, "IPAddressPool", "p", "{\"addresses\":[\"10.0.0.0/24\",\"2001:db8::/120\"]}");
	add(&f, V1, "IPAddressPool", "q", "{\"addresses\":[\"10.0.1.5-10.0.1.9\"]}");
	build(&f);
	assert_true(ip_parse("10.0.0.255", &ip) && config_ip_is_buggy(&ip));
	assert_string_equal(config_pool_of(f.cfg, &ip)->name, "p");
	assert_true(ip_parse("10.0.1.9", &ip) && !config_ip_is_buggy(&ip));
	assert_string_equal(config_pool_of(f.cfg, &ip)->name, "q");
	assert_true(ip_parse("10.0.1.10", &ip));
	assert_null(config_pool_of(f.cfg, &ip));
	assert_true(ip_parse("1.0.0.0", &ip));
	assert_null(config_pool_of(f.cfg, &ip));
	assert_true(ip_parse("2001:db8::ff", &ip) && !config_ip_is_buggy(&ip));
	assert_string_equal(config_pool_of(f.cfg, &ip)->name, "p");
	add(&g, V1, "IPAddressPool", "p", "{\"addresses\":[\"10.0.0.0/24\",\"2001:db8::/120\"]}");
	build(&g);
	assert_true(config_equal(f.cfg, f.cfg));
	assert_false(config_equal(f.cfg, g.cfg));
	clear(&f);
	clear(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_hold),
		cmocka_unit_test(bad_objects_stand_alone),
		cmocka_unit_test(nodes_and_scores),
		cmocka_unit_test(namespaces_are_resolved),
		cmocka_unit_test(timers_are_derived),
		cmocka_unit_test(a_speaker_sees_its_own),
		cmocka_unit_test(lookups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
