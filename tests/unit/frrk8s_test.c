/*
 * The backend frr-k8s: peers and routes as the spec of an FRRConfiguration, and the steps that keep
 * the object as it should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "speaker/frrk8s/configuration.h"
#include "speaker/frrk8s/sync.h"

/* ---- the spec ---- */

struct objs {
	struct bgppeer *peers[8];
	struct bfdprofile *bfds[8];
	struct secret *secrets[8];
	size_t n_peers, n_bfds, n_secrets;
};

static bool object_add(void *user, struct json_object *json, size_t line, struct err *err)
{
	struct objs *o = user;
	struct json_object *v, *k;
	enum api_kind kind;
	void *obj;

	(void)line;
	json_object_object_get_ex(json, "apiVersion", &v);
	json_object_object_get_ex(json, "kind", &k);
	if (!api_kind_find(json_object_get_string(v), json_object_get_string(k), &kind))
		return err_set(err, "unknown kind");
	obj = api_decode(kind, json, err);
	if (obj && kind == API_BGPPEER)
		o->peers[o->n_peers++] = obj;
	else if (obj && kind == API_BFDPROFILE)
		o->bfds[o->n_bfds++] = obj;
	else if (obj && kind == API_SECRET)
		o->secrets[o->n_secrets++] = obj;
	return obj != NULL;
}

static struct config *config_of(const char *yaml)
{
	struct config_options opt = {.backend = BACKEND_FRR_K8S, .node = ""};
	struct config_report *report;
	struct objs o = {0};
	struct err err = {0};
	struct config *cfg;

	if (!yaml_parse_stream(yaml, strlen(yaml), object_add, &o, &err))
		fail_msg("%s", err.msg);
	struct objects list = {
		.peers = (const void *)o.peers,
		.n_peers = o.n_peers,
		.bfds = (const void *)o.bfds,
		.n_bfds = o.n_bfds,
		.secrets = (const void *)o.secrets,
		.n_secrets = o.n_secrets,
		.bgp_extras = "",
	};

	config_build(&list, &opt, &cfg, &report);
	for (size_t i = 0; i < report->n_findings; i++)
		if (report->findings[i].severity != FINDING_WARNING)
			fail_msg("%s: %s", report->findings[i].field, report->findings[i].message);
	config_report_free(report);
	for (size_t i = 0; i < o.n_peers; i++)
		api_object_free(&o.peers[i]->obj);
	for (size_t i = 0; i < o.n_bfds; i++)
		api_object_free(&o.bfds[i]->obj);
	for (size_t i = 0; i < o.n_secrets; i++)
		api_object_free(&o.secrets[i]->obj);
	return cfg;
}

/* As text; each list ends with NULL. */
struct route {
	const char *prefix;
	uint32_t local_pref;
	const char *communities[3];
	const char *peers[3];
};

static void strs_count(struct strs *s, const char *const *list)
{
	s->items = list;
	s->n = 0;
	while (list[s->n])
		s->n++;
}

static const struct announce_route *route_make(const struct route *in, struct arena *a)
{
	struct announce_route *r = arena_calloc(a, 1, sizeof(*r));
	struct community_value *c = arena_calloc(a, ARRAY_SIZE(in->communities), sizeof(*c));
	struct strs texts;

	assert_true(prefix_parse(in->prefix, &r->prefix));
	r->local_pref = in->local_pref;
	strs_count(&texts, in->communities);
	for (size_t i = 0; i < texts.n; i++)
		assert_true(config_parse_community(texts.items[i], &c[i]));
	r->communities = c;
	r->n_communities = texts.n;
	strs_count(&r->peers, in->peers);
	return r;
}

#define ROUTES_MAX 6

/* The caller puts it. */
static json_object *spec_of(const char *yaml, const struct route *routes, bool pass_secrets)
{
	struct config *cfg = config_of(yaml);
	struct arena *a = arena_new();
	const struct config_peer **peers = arena_calloc(a, cfg->n_peers, sizeof(*peers));
	const struct announce_route *made[ROUTES_MAX];
	struct frr_input in = {
		.cfg = cfg,
		.peers = peers,
		.n_peers = cfg->n_peers,
		.routes = made,
		.node = "node-a",
		.pass_secrets = pass_secrets,
	};

	for (size_t i = 0; i < cfg->n_peers; i++)
		peers[i] = &cfg->peers[cfg->n_peers - 1 - i]; /* their order must not matter */
	while (in.n_routes < ROUTES_MAX && routes[in.n_routes].prefix) {
		made[in.n_routes] = route_make(&routes[in.n_routes], a);
		in.n_routes++;
	}
	json_object *spec = frr_configuration_spec(&in);

	arena_free(a);
	config_free(cfg);
	return spec;
}

#define PEER(name, rest)                                                                           \
	"---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: " name               \
	", namespace: metallb-system}\nspec: {myASN: 64512, " rest "}\n"
#define BFD(name, spec)                                                                            \
	"---\napiVersion: metallb.io/v1beta1\nkind: BFDProfile\nmetadata: {name: " name            \
	", namespace: metallb-system}\nspec: " spec "\n"
#define SECRET                                                                                     \
	"---\napiVersion: v1\nkind: Secret\nmetadata: {name: sec, namespace: metallb-system}\n"    \
	"type: kubernetes.io/basic-auth\ndata: {password: b3Blbg==}\n"

#define NOTHING "toReceive: {allowed: {}}"
#define QUIET   "passwordSecret: {}, toAdvertise: {allowed: {}}, " NOTHING
#define ROUTER(rest)                                                                               \
	"{bgp: {routers: [{asn: 64512, " rest "}]}, raw: {}, nodeSelector: {matchLabels: "         \
	"{kubernetes.io/hostname: node-a}}}"

static const struct {
	const char *yaml;
	struct route routes[ROUTES_MAX];
	bool pass_secrets;
	const char *want;
} specs[] = {
	/* no route yet: the session is there */
	{PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1"),
	 {{0}},
	 false,
	 ROUTER("neighbors: [{asn: 65001, address: 192.0.2.1, port: 179, " QUIET "}]")},
	/* every field of a peer */
	{BFD("fast", "{receiveInterval: 100}")
		 PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1, localASN: 65100, "
			   "sourceAddress: 192.0.2.9, peerPort: 1179, password: open, "
			   "holdTime: 90s, keepaliveTime: 1500ms, connectTime: 10s, "
			   "routerID: 10.0.0.1, ebgpMultiHop: true, bfdProfile: fast, "
			   "enableGracefulRestart: true, vrf: red, disableMP: true, "
			   "dualStackAddressFamily: true"),
	 {{0}},
	 false,
	 "{bgp: {routers: [{asn: 64512, id: 10.0.0.1, vrf: red, neighbors: [{asn: 65001, "
	 "localASN: 65100, sourceaddress: 192.0.2.9, address: 192.0.2.1, port: 1179, "
	 "password: open, holdTime: 1m30s, keepaliveTime: 1.5s, connectTime: 10s, "
	 "ebgpMultiHop: true, bfdProfile: fast, enableGracefulRestart: true, disableMP: true, "
	 "dualStackAddressFamily: true, " QUIET "}]}], bfdProfiles: [{name: fast, "
	 "receiveInterval: 100, echoMode: false, passiveMode: false}]}, raw: {}, nodeSelector: "
	 "{matchLabels: {kubernetes.io/hostname: node-a}}}"},
	/* unnumbered, any AS of another system */
	{PEER("a", "dynamicASN: external, interface: eth1"),
	 {{"192.0.2.128/32", 0, {0}, {0}}, {"2001:db8::1/128", 0, {0}, {0}}},
	 false,
	 ROUTER("neighbors: [{dynamicASN: external, interface: eth1, port: 179, passwordSecret: "
		"{}, toAdvertise: {allowed: {prefixes: [192.0.2.128/32, "
		"'2001:db8::1/128']}}, " NOTHING
		"}], prefixes: [192.0.2.128/32, '2001:db8::1/128']")},
	/* the password of a Secret, in clear and by reference */
	{SECRET PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1, passwordSecret: {name: sec}"),
	 {{0}},
	 false,
	 ROUTER("neighbors: [{asn: 65001, address: 192.0.2.1, port: 179, password: open, " QUIET
		"}]")},
	{SECRET PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1, passwordSecret: {name: sec, "
			  "namespace: x}"),
	 {{0}},
	 true,
	 ROUTER("neighbors: [{asn: 65001, address: 192.0.2.1, port: 179, passwordSecret: {name: "
		"sec, namespace: x}, toAdvertise: {allowed: {}}, " NOTHING "}]")},
	/* a family that the session does not carry; order is that of text */
	{PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1"),
	 {{"192.0.2.25/32", 0, {0}, {0}},
	  {"192.0.2.4/32", 0, {0}, {0}},
	  {"192.0.2.25/32", 0, {0}, {0}},
	  {"2001:db8::1/128", 0, {0}, {0}}},
	 false,
	 ROUTER("neighbors: [{asn: 65001, address: 192.0.2.1, port: 179, passwordSecret: {}, "
		"toAdvertise: {allowed: {prefixes: [192.0.2.25/32, 192.0.2.4/32]}}, " NOTHING
		"}], prefixes: [192.0.2.25/32, 192.0.2.4/32]")},
	/* attributes of one prefix from two advertisements, preferences in the order of numbers */
	{PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1"),
	 {{"192.0.2.1/32", 1000, {"65000:2", "65000:10"}, {0}},
	  {"192.0.2.1/32", 0, {"large:1:2:3"}, {0}},
	  {"192.0.2.2/32", 200, {"65000:10"}, {0}},
	  {"192.0.2.3/32", 0, {0}, {0}}},
	 false,
	 ROUTER("neighbors: [{asn: 65001, address: 192.0.2.1, port: 179, passwordSecret: {}, "
		"toAdvertise: {allowed: {prefixes: [192.0.2.1/32, 192.0.2.2/32, 192.0.2.3/32]}, "
		"withLocalPref: [{prefixes: [192.0.2.2/32], localPref: 200}, {prefixes: "
		"[192.0.2.1/32], localPref: 1000}], withCommunity: [{prefixes: [192.0.2.1/32, "
		"192.0.2.2/32], community: '65000:10'}, {prefixes: [192.0.2.1/32], community: "
		"'65000:2'}, {prefixes: [192.0.2.1/32], community: 'large:1:2:3'}]}, " NOTHING
		"}], prefixes: [192.0.2.1/32, 192.0.2.2/32, 192.0.2.3/32]")},
	/* routes for one peer of two; neighbours in the order of their keys */
	{PEER("a", "peerASN: 65010, peerAddress: 192.0.2.1")
		 PEER("b", "peerASN: 65002, peerAddress: '2001:db8::9'"),
	 {{"192.0.2.128/32", 0, {0}, {"a"}},
	  {"2001:db8::1/128", 0, {0}, {"b"}},
	  {"2001:db8::2/128", 0, {0}, {0}}},
	 false,
	 ROUTER("neighbors: [{asn: 65002, address: '2001:db8::9', port: 179, passwordSecret: {}, "
		"toAdvertise: {allowed: {prefixes: ['2001:db8::1/128', "
		"'2001:db8::2/128']}}, " NOTHING
		"}, {asn: 65010, address: 192.0.2.1, port: 179, passwordSecret: {}, "
		"toAdvertise: {allowed: {prefixes: [192.0.2.128/32]}}, " NOTHING "}], prefixes: "
		"[192.0.2.128/32, '2001:db8::1/128', '2001:db8::2/128']")},
};

static bool document_keep(void *user, struct json_object *json, size_t line, struct err *err)
{
	(void)line;
	(void)err;
	*(json_object **)user = json_object_get(json);
	return true;
}

/* The expectations are written as YAML flow. */
static json_object *yaml_json(const char *text)
{
	json_object *out = NULL;
	struct err err = {0};

	if (!yaml_parse_stream(text, strlen(text), document_keep, &out, &err))
		fail_msg("%s: %s", err.msg, text);
	return out;
}

static void test_specs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		json_object *want = yaml_json(specs[i].want);
		json_object *got = spec_of(specs[i].yaml, specs[i].routes, specs[i].pass_secrets);

		if (!json_object_equal(want, got))
			fail_msg("case %zu: got %s", i, json_object_to_json_string(got));
		json_object_put(want);
		json_object_put(got);
	}
}

static void test_routers(void **state)
{
	static const struct route routes[] = {{"192.0.2.128/32", 0, {0}, {"a"}}, {0}};
	json_object *got = spec_of(PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1, vrf: red")
					   PEER("b", "peerASN: 65001, peerAddress: 192.0.2.1"),
				   routes, false);
	json_object *want = yaml_json(
		"{bgp: {routers: [{asn: 64512, neighbors: [{asn: 65001, address: 192.0.2.1, port: "
		"179, " QUIET "}]}, {asn: 64512, vrf: red, neighbors: [{asn: 65001, address: "
		"192.0.2.1, port: 179, passwordSecret: {}, toAdvertise: {allowed: {prefixes: "
		"[192.0.2.128/32]}}, " NOTHING "}], prefixes: [192.0.2.128/32]}]}, raw: {}, "
		"nodeSelector: {matchLabels: {kubernetes.io/hostname: node-a}}}");

	(void)state;
	if (!json_object_equal(want, got))
		fail_msg("got %s", json_object_to_json_string(got));
	json_object_put(want);
	json_object_put(got);
}

static void test_bfd(void **state)
{
	static const struct route none[] = {{0}};
	json_object *got = spec_of(
		BFD("b", "{receiveInterval: 10, transmitInterval: 20, detectMultiplier: 5, "
			 "echoInterval: 50, echoMode: true, passiveMode: true, minimumTtl: 3}")
			BFD("a", "{}") PEER("p", "peerASN: 65001, peerAddress: 192.0.2.1"),
		none, false);
	json_object *want = yaml_json("[{name: a, echoMode: false, passiveMode: false}, {name: b, "
				      "receiveInterval: 10, transmitInterval: 20, "
				      "detectMultiplier: 5, echoInterval: 50, minimumTtl: 3, "
				      "echoMode: true, passiveMode: true}]");
	json_object *bgp, *bfds;

	(void)state;
	json_object_object_get_ex(got, "bgp", &bgp);
	json_object_object_get_ex(bgp, "bfdProfiles", &bfds);
	if (!json_object_equal(want, bfds))
		fail_msg("got %s", json_object_to_json_string(bfds));
	json_object_put(want);
	json_object_put(got);
}

static void test_nobody_and_masked(void **state)
{
	static const struct route none[] = {{0}};
	json_object *spec = spec_of(
		PEER("a", "peerASN: 65001, peerAddress: 192.0.2.1, password: open"), none, false);
	json_object *masked = frr_configuration_masked(spec);

	(void)state;
	assert_null(spec_of(BFD("a", "{}"), none, false));
	assert_non_null(strstr(json_object_to_json_string(spec), "\"open\""));
	assert_null(strstr(json_object_to_json_string(masked), "\"open\""));
	assert_non_null(strstr(json_object_to_json_string(masked), "<redacted>"));
	json_object_put(spec);
	json_object_put(masked);
}

/* ---- the object ---- */

static void see(struct frr_sync *s, const char *text)
{
	json_object *o = text ? json_tokener_parse(text) : NULL;

	assert_true(!text || o);
	frr_sync_see(s, o);
	json_object_put(o);
}

static bool want(struct frr_sync *s, const char *text)
{
	json_object *o = text ? json_tokener_parse(text) : NULL;
	bool changed = frr_sync_want(s, o);

	json_object_put(o);
	return changed;
}

static void done(struct frr_sync *s, const char *sent, const char *answer, usec_t now)
{
	json_object *a = sent ? json_tokener_parse(sent) : NULL;
	json_object *b = answer ? json_tokener_parse(answer) : NULL;

	frr_sync_done(s, a, b, now);
	json_object_put(a);
	json_object_put(b);
}

static enum frr_step next(const struct frr_sync *s, usec_t now)
{
	usec_t due;

	return frr_sync_next(s, now, &due);
}

#define OBJECT(version, spec)                                                                      \
	"{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"" version "\"},\"spec\":" spec "}"
#define WANTED  "{\"a\":1}"
#define SETTLED "{\"a\":1,\"default\":true}"

static void test_life(void **state)
{
	struct frr_sync s = {.ns = "ns", .name = "n"};
	usec_t due;

	(void)state;
	/* an object of an earlier run stays until it is known what is wanted */
	see(&s, OBJECT("1", "{\"old\":1}"));
	assert_int_equal(next(&s, 0), FRR_NOTHING);
	assert_true(want(&s, WANTED));
	assert_false(want(&s, WANTED));
	assert_int_equal(next(&s, 0), FRR_UPDATE);
	/* the server added a default; an older state may still come meanwhile */
	done(&s, WANTED, OBJECT("3", SETTLED), 100);
	see(&s, OBJECT("2", "{\"other\":1}"));
	assert_int_equal(frr_sync_next(&s, 101, &due), FRR_NOTHING);
	assert_int_equal(due, 100 + 10 * USEC_PER_SEC);
	see(&s, OBJECT("3", SETTLED));
	assert_int_equal(frr_sync_next(&s, 102, &due), FRR_NOTHING);
	assert_int_equal(due, USEC_NEVER);
	/* somebody else's change, of the spec and of something else */
	see(&s, OBJECT("4", SETTLED));
	assert_int_equal(next(&s, 103), FRR_NOTHING);
	see(&s, OBJECT("5", WANTED));
	assert_int_equal(next(&s, 104), FRR_UPDATE);
	done(&s, WANTED, OBJECT("6", SETTLED), 105);
	see(&s, OBJECT("6", SETTLED));
	/* removed, by others and by us */
	see(&s, NULL);
	assert_int_equal(next(&s, 106), FRR_CREATE);
	done(&s, WANTED, OBJECT("9", SETTLED), 107);
	see(&s, OBJECT("9", SETTLED));
	assert_true(want(&s, NULL));
	assert_int_equal(next(&s, 108), FRR_DELETE);
	done(&s, NULL, NULL, 109);
	assert_int_equal(next(&s, 110), FRR_NOTHING);
	see(&s, NULL);
	assert_int_equal(frr_sync_next(&s, 111, &due), FRR_NOTHING);
	assert_int_equal(due, USEC_NEVER);
	frr_sync_fini(&s);
}

static void test_awaited(void **state)
{
	struct frr_sync s = {.ns = "ns", .name = "n"};

	(void)state;
	want(&s, WANTED);
	assert_int_equal(next(&s, 0), FRR_CREATE);
	/* the watch was quicker than the answer */
	see(&s, OBJECT("1", SETTLED));
	done(&s, WANTED, OBJECT("1", SETTLED), 1);
	assert_int_equal(next(&s, 2), FRR_NOTHING);
	/* what is written is never seen: after a while it is looked at again */
	want(&s, "{\"a\":2}");
	assert_int_equal(next(&s, 3), FRR_UPDATE);
	done(&s, "{\"a\":2}", OBJECT("2", "{\"a\":2}"), 4);
	assert_int_equal(next(&s, 5), FRR_NOTHING);
	assert_int_equal(next(&s, 4 + 10 * USEC_PER_SEC), FRR_UPDATE);
	frr_sync_fini(&s);
}

static void test_body(void **state)
{
	struct frr_sync s = {.ns = "ns", .name = "n"};
	json_object *body;

	(void)state;
	want(&s, WANTED);
	body = frr_sync_body(&s, FRR_CREATE);
	assert_string_equal(json_object_to_json_string_ext(
				    body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			    "{\"apiVersion\":\"frrk8s.metallb.io/v1beta1\",\"kind\":"
			    "\"FRRConfiguration\",\"metadata\":{\"name\":\"n\",\"namespace\":"
			    "\"ns\",\"annotations\":{\"metallb.io/written-by\":\"metallb-c\"}},"
			    "\"spec\":{\"a\":1}}");
	assert_true(frr_object_is_ours(body));
	json_object_put(body);
	/* what others put into the metadata stays, and the version guards against theirs */
	see(&s, "{\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"7\",\"labels\":{\"l\":\"1\"},"
		"\"annotations\":{\"x\":\"y\"}},\"spec\":{}}");
	assert_false(frr_object_is_ours(s.seen));
	body = frr_sync_body(&s, FRR_UPDATE);
	assert_string_equal(
		json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"apiVersion\":\"frrk8s.metallb.io/v1beta1\",\"kind\":\"FRRConfiguration\","
		"\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"7\",\"labels\":{\"l\":\"1\"},"
		"\"annotations\":{\"x\":\"y\",\"metallb.io/written-by\":\"metallb-c\"},"
		"\"namespace\":\"ns\"},\"spec\":{\"a\":1}}");
	json_object_put(body);
	/* an object of nonsense does no harm */
	see(&s, "{\"metadata\":[],\"spec\":3}");
	body = frr_sync_body(&s, next(&s, 0));
	assert_true(frr_object_is_ours(body));
	json_object_put(body);
	frr_sync_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specs), cmocka_unit_test(test_routers),
		cmocka_unit_test(test_bfd),   cmocka_unit_test(test_nobody_and_masked),
		cmocka_unit_test(test_life),  cmocka_unit_test(test_awaited),
		cmocka_unit_test(test_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
