/*
 * lib/announce: the election with its published values, every reason, groups of Services that share
 * an address, and the routes of a peer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "metallb/announce.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "tests/unit/helpers.h"

static void test_election_vectors(void **state)
{
	static const struct {
		const char *node, *ip, *hex;
	} cases[] = {
		{"node1", "192.168.1.240",
		 "bee60cd4c62ee63e717ebb4023d750bf80d76a652f524e87746260cee12ae00c"},
		{"node2", "192.168.1.240",
		 "f27dcda68d291b1e4a250ecb1319cf836dd0859a946024aa6ca23ab9efcfb675"},
		{"node3", "192.168.1.240",
		 "44a477ea062df3e990386cb00eb78349f97fccacab7662c10d56e9e5d1b91930"},
		{"node1", "2001:db8::1",
		 "7ff27e9e2526b12bfa6a6c09471ab4fd3d4bad234c18426aad908739ce249756"},
		{"node2", "2001:db8::1",
		 "6a6cd2e3cd5163df42010220f373179f21dcbf7ed463e42979d46b590df6cdbb"},
		{"node3", "2001:db8::1",
		 "4c715e562f09450461c3e94fe52442e22923f492581f591ae3f55f5876c3325d"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t hash[ANNOUNCE_HASH_SIZE];
		struct ip ip = ip_of(cases[i].ip);
		char hex[2 * ANNOUNCE_HASH_SIZE + 1];

		announce_elect_hash(cases[i].node, &ip, hash);
		for (size_t j = 0; j < sizeof(hash); j++)
			snprintf(hex + 2 * j, 3, "%02x", hash[j]);
		assert_string_equal(hex, cases[i].hex);
	}
}

static void test_election_order(void **state)
{
	struct announce_candidate c[] = {{"node1", 0, {0}}, {"node2", 0, {0}}, {"node3", 0, {0}}};
	struct ip ip = ip_of("192.168.1.240");

	(void)state;
	announce_elect_rank(c, 3, &ip);
	assert_string_equal(c[0].node, "node3");
	assert_string_equal(c[1].node, "node1");
	c[2].score = 1; /* node2: a preference beats every hash */
	announce_elect_rank(c, 3, &ip);
	assert_string_equal(c[0].node, "node2");
	assert_string_equal(c[1].node, "node3");
}

/* ---- a small cluster, written as YAML ---- */

struct world {
	struct api_object *objs[64];
	size_t n;
	struct config *cfg;
	const struct node *nodes[8];
	size_t n_nodes;
	struct announce_service services[8];
	const struct endpointslice *slices[8][8];
	size_t n_services;
	const struct announce_lost *lost;
	size_t n_lost;
	struct announce_view *view;
	struct announce_decision d[8];
	struct arena *a;
};

static bool object_add(void *user, struct json_object *json, size_t line, struct err *err)
{
	struct world *w = user;
	enum api_kind kind;
	struct json_object *v, *k;

	(void)line;
	json_object_object_get_ex(json, "apiVersion", &v);
	json_object_object_get_ex(json, "kind", &k);
	if (!api_kind_find(json_object_get_string(v), json_object_get_string(k), &kind))
		return err_set(err, "unknown kind");
	w->objs[w->n] = api_decode(kind, json, err);
	return w->objs[w->n++] != NULL;
}

static const void **objects_of(struct world *w, enum api_kind kind, size_t *n)
{
	const void **list = arena_calloc(w->a, w->n, sizeof(*list));

	*n = 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->objs[i]->kind == kind)
			list[(*n)++] = w->objs[i];
	return list;
}

static void config_make(struct world *w)
{
	struct config_options opt = {.backend = BACKEND_FRR, .node = ""};
	struct config_report *report;
	struct objects o = {.bgp_extras = ""};

	o.pools = (const void *)objects_of(w, API_IPADDRESSPOOL, &o.n_pools);
	o.l2advs = (const void *)objects_of(w, API_L2ADVERTISEMENT, &o.n_l2advs);
	o.bgpadvs = (const void *)objects_of(w, API_BGPADVERTISEMENT, &o.n_bgpadvs);
	o.nodes = (const void *)objects_of(w, API_NODE, &o.n_nodes);
	config_build(&o, &opt, &w->cfg, &report);
	assert_int_equal(report->n_errors, 0);
	config_report_free(report);
	for (size_t i = 0; i < o.n_nodes; i++)
		w->nodes[w->n_nodes++] = o.nodes[i];
}

static void services_make(struct world *w)
{
	size_t n, n_slices;
	const struct service *const *services = (const void *)objects_of(w, API_SERVICE, &n);
	const struct endpointslice *const *slices =
		(const void *)objects_of(w, API_ENDPOINTSLICE, &n_slices);

	for (size_t i = 0; i < n; i++) {
		struct announce_service *s = &w->services[w->n_services];

		s->svc = services[i];
		s->slices = w->slices[w->n_services++];
		for (size_t j = 0; j < n_slices; j++)
			if (strcmp(slices[j]->service_name, s->svc->obj.meta.name) == 0)
				w->slices[i][s->n_slices++] = slices[j];
	}
}

/* Decide everything for `node`, with speakers on `alive` (ended by NULL; NULL: everywhere). */
static void world_decide(struct world *w, const char *node, const char *const *alive)
{
	static const char *const interfaces[] = {"eth0", "eth1"};
	struct announce_options opt = {.node = node, .lb_class = ""};
	struct strs speakers = {alive, 0};
	struct announce_world world = {.cfg = w->cfg,
				       .nodes = w->nodes,
				       .n_nodes = w->n_nodes,
				       .interfaces = {interfaces, 2},
				       .lost = w->lost,
				       .n_lost = w->n_lost};

	while (alive && alive[speakers.n])
		speakers.n++;
	world.speakers = alive ? &speakers : NULL;
	w->view = announce_view_free(w->view);
	w->view = announce_view_new(&opt, &world);
	for (size_t i = 0; i < w->n_services; i++)
		announce_decide(w->view, &w->services[i], w->a, &w->d[i]);
}

static struct world *world_new(const char *yaml)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err err = {0};

	w->a = arena_new();
	if (!yaml_parse_stream(yaml, strlen(yaml), object_add, w, &err))
		fail_msg("%s", err.msg);
	config_make(w);
	services_make(w);
	return w;
}

static void world_free(struct world *w)
{
	announce_view_free(w->view);
	config_free(w->cfg);
	for (size_t i = 0; i < w->n; i++)
		api_object_free(w->objs[i]);
	arena_free(w->a);
	free(w);
}

#define NODE(name, rest)                                                                           \
	"---\napiVersion: v1\nkind: Node\nmetadata: {name: " name ", labels: {zone: " name rest    \
	"}}\n"
#define NODES NODE("node1", "") NODE("node2", "") NODE("node3", "")
#define CUSTOM(kind, name, spec)                                                                   \
	"---\napiVersion: metallb.io/v1beta1\nkind: " kind "\nmetadata: {name: " name              \
	", namespace: metallb-system}\nspec: " spec "\n"
#define POOL CUSTOM("IPAddressPool", "p", "{addresses: [192.168.1.0/24]}")
#define L2   CUSTOM("L2Advertisement", "l2", "{}")
#define BGP  CUSTOM("BGPAdvertisement", "bgp", "{}")
#define SERVICE(name, meta, spec, ip)                                                              \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: default" meta   \
	"}\nspec: {type: LoadBalancer" spec "}\nstatus: {loadBalancer: {ingress: [{ip: " ip        \
	"}]}}\n"
#define SLICE(name, endpoints)                                                                     \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " name        \
	"-1, namespace: default, labels: {kubernetes.io/service-name: " name                       \
	"}}\naddressType: IPv4\nendpoints: [" endpoints "]\n"
#define READY(node) "{addresses: [10.0.0.1], nodeName: " node ", conditions: {ready: true}}"

static void test_reasons(void **state)
{
	static const struct {
		const char *yaml;
		enum announce_reason gate, l2, bgp;
	} cases[] = {
		{POOL L2 BGP SERVICE("s", "", "", "192.168.1.240") SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_YES, ANNOUNCE_YES},
		{POOL L2 BGP SERVICE("s", "", "", "192.168.1.240"), ANNOUNCE_YES,
		 ANNOUNCE_NOT_OWNER, ANNOUNCE_NO_ENDPOINTS},
		{POOL SERVICE("s", "", "", "192.168.1.240") SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_NO_ADVERTISEMENT, ANNOUNCE_NOT_OWNER},
		{POOL L2 BGP SERVICE("s", "", "", "10.9.9.9") SLICE("s", READY("node1")),
		 ANNOUNCE_IP_NOT_ALLOWED, ANNOUNCE_IP_NOT_ALLOWED, ANNOUNCE_IP_NOT_ALLOWED},
		{POOL L2 BGP SERVICE("s", "", "", "nonsense"), ANNOUNCE_INVALID_IP,
		 ANNOUNCE_INVALID_IP, ANNOUNCE_INVALID_IP},
		{POOL L2 BGP SERVICE("s", "", ", loadBalancerClass: other", "192.168.1.240"),
		 ANNOUNCE_OTHER_CLASS, ANNOUNCE_OTHER_CLASS, ANNOUNCE_OTHER_CLASS},
		/* policy Local: only nodes with an endpoint */
		{POOL L2 BGP SERVICE("s", "", ", externalTrafficPolicy: Local", "192.168.1.240")
			 SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_NOT_OWNER, ANNOUNCE_NO_LOCAL_ENDPOINTS},
		{POOL L2 BGP SERVICE("s", "", ", externalTrafficPolicy: Local", "192.168.1.240")
			 SLICE("s", READY("node3")),
		 ANNOUNCE_YES, ANNOUNCE_YES, ANNOUNCE_YES},
		/* not ready, but serving while it terminates */
		{POOL L2 BGP SERVICE("s", "", "", "192.168.1.240")
			 SLICE("s", "{addresses: [10.0.0.1], conditions: {ready: false, "
				    "serving: true, terminating: true}}"),
		 ANNOUNCE_YES, ANNOUNCE_YES, ANNOUNCE_YES},
		{POOL L2 BGP SERVICE("s", "", "", "192.168.1.240")
			 SLICE("s", "{addresses: [10.0.0.1], conditions: {ready: false}}"),
		 ANNOUNCE_YES, ANNOUNCE_NOT_OWNER, ANNOUNCE_NO_ENDPOINTS},
		/* serviceSelectors and a shared address exclude each other in layer 2 */
		{POOL CUSTOM("L2Advertisement", "l2",
			     "{serviceSelectors: [{matchLabels: {app: a}}]}")
			 SERVICE("s",
				 ", labels: {app: a}, annotations: "
				 "{metallb.io/allow-shared-ip: k}",
				 "", "192.168.1.240") SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_SHARED_IP_SELECTOR, ANNOUNCE_NOT_OWNER},
		{POOL CUSTOM("BGPAdvertisement", "bgp",
			     "{serviceSelectors: [{matchLabels: {app: b}}]}")
			 SERVICE("s", ", labels: {app: a}", "", "192.168.1.240")
				 SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_NO_ADVERTISEMENT, ANNOUNCE_NO_ADVERTISEMENT},
		/* preferences beat the hash */
		{POOL CUSTOM("L2Advertisement", "l2",
			     "{preferredNodeSelectors: [{weight: 10, preference: {matchLabels: "
			     "{zone: node1}}}]}") SERVICE("s", "", "", "192.168.1.240")
			 SLICE("s", READY("node1")),
		 ANNOUNCE_YES, ANNOUNCE_NOT_OWNER, ANNOUNCE_NOT_OWNER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *yaml = xasprintf("%s%s", NODES, cases[i].yaml);
		struct world *w = world_new(yaml);

		world_decide(w, "node3", NULL);
		if (w->d[0].gate != cases[i].gate || w->d[0].l2.reason != cases[i].l2 ||
		    w->d[0].bgp.reason != cases[i].bgp)
			fail_msg("case %zu: %s, %s, %s", i, announce_reason_text(w->d[0].gate),
				 announce_reason_text(w->d[0].l2.reason),
				 announce_reason_text(w->d[0].bgp.reason));
		world_free(w);
	}
}

static void test_nodes(void **state)
{
	static const char *const alive[] = {"node1", "node2", NULL};
	struct world *w = world_new(
		NODE("node1", "") NODE("node2", ", node.kubernetes.io/exclude-from-external-load-"
						"balancers: x") NODE("node3", "")
			POOL L2 BGP SERVICE("s", "", "", "192.168.1.240")
				SLICE("s", READY("node1")));

	(void)state;
	world_decide(w, "node3", NULL);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	assert_int_equal(w->d[0].l2.n_candidates, 2);
	assert_string_equal(w->d[0].l2.ranking.items[1], "node1");
	struct announce_view *before = w->view;

	w->view = NULL;
	world_decide(w, "node3", alive);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_NOT_OWNER);
	assert_string_equal(w->d[0].l2.ranking.items[0], "node1");
	assert_false(announce_view_same(before, w->view));
	assert_true(announce_view_same(w->view, w->view));
	announce_view_free(before);
	world_decide(w, "node2", NULL);
	assert_int_equal(w->d[0].bgp.reason, ANNOUNCE_NODE_EXCLUDED);
	world_free(w);
}

static void test_interfaces(void **state)
{
	struct world *w = world_new(
		NODES POOL CUSTOM("L2Advertisement", "a", "{interfaces: [eth1, eth9]}") CUSTOM(
			"L2Advertisement", "b",
			"{interfaces: [eth7], nodeSelectors: [{matchLabels: {zone: node1}}]}")
			SERVICE("s", "", "", "192.168.1.240") SLICE("s", READY("node1")));

	(void)state;
	world_decide(w, "node3", NULL);
	assert_int_equal(w->d[0].l2.n_ips, 1);
	assert_false(w->d[0].l2.ips[0].all_interfaces);
	assert_int_equal(w->d[0].l2.ips[0].interfaces.n, 2);
	assert_string_equal(w->d[0].l2.ips[0].interfaces.items[0], "eth1");
	world_free(w);
	/* elected with no interface to announce on */
	w = world_new(NODES POOL CUSTOM("L2Advertisement", "a", "{interfaces: [eth9]}")
			      SERVICE("s", "", "", "192.168.1.240") SLICE("s", READY("node1")));
	world_decide(w, "node3", NULL);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	assert_int_equal(w->d[0].l2.n_ips, 0);
	world_free(w);
}

/* Two Services on one address, with policy Local and endpoints on different sets of nodes. */
#define SHARED(name, slices)                                                                       \
	SERVICE(name, "", ", externalTrafficPolicy: Local", "192.168.1.240") SLICE(name, slices)

/* A node whose interfaces for the Service are all without carrier is passed over. */
static void test_lost_carrier(void **state)
{
	static const char *const eth1[] = {"eth1"};
	const struct announce_lost lost[] = {{"node3", {eth1, 1}}, {"node1", {eth1, 1}}},
				   all[] = {{"node3", {eth1, 1}},
					    {"node1", {eth1, 1}},
					    {"node2", {eth1, 1}}};
	/* node3 has no way out any more, whatever interface is meant */
	static const char *const no_way[] = {ANNOUNCE_LOST_WAYS_OUT, "eth1"};
	const struct announce_lost cut_off[] = {{"node3", {no_way, 2}}};
	static const struct {
		const char *spec;
		size_t n_lost; /* 4: `cut_off` */
		const char *winner;
	} cases[] = {
		{"{interfaces: [eth1]}", 0, "node3"},
		{"{interfaces: [eth1]}", 1, "node1"},
		{"{interfaces: [eth1]}", 2, "node2"},
		{"{interfaces: [eth1, eth0]}", 2, "node3"},
		{"{interfaces: [eth2]}", 2, "node3"},
		{"{}", 2, "node3"},
		{"{interfaces: [eth1]}", 3, "node3"}, /* nobody is better off */
		{"{}", 4, "node1"},
		{"{interfaces: [eth1]}", 4, "node1"},
		{"{interfaces: [eth1, eth0]}", 4, "node3"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *yaml = xasprintf(
			NODES POOL
			"---\napiVersion: metallb.io/v1beta1\nkind: L2Advertisement\n"
			"metadata: {name: a, namespace: metallb-system}\nspec: %s\n" SERVICE(
				"s", "", "", "192.168.1.240") SLICE("s", READY("node1")),
			cases[i].spec);
		struct world *w = world_new(yaml);

		w->lost = cases[i].n_lost == 4 ? cut_off : cases[i].n_lost == 3 ? all : lost;
		w->n_lost = cases[i].n_lost == 4 ? 1 : cases[i].n_lost;
		world_decide(w, "node3", NULL);
		assert_string_equal(w->d[0].l2.ranking.items[0], cases[i].winner);
		world_free(w);
	}
}

/* Who announces already keeps the address, while it is a candidate. */
static void test_holders(void **state)
{
	static const char *const holders[] = {"node2", "node9", "node1"};
	static const char *const alive[] = {"node2", "node3", NULL};
	static const char *const only[] = {"node3", NULL};
	struct world *w = world_new(NODES POOL L2 SERVICE("s", "", "", "192.168.1.240")
					    SLICE("s", READY("node1")));

	(void)state;
	w->services[0].holders = (struct strs){holders, 3};
	world_decide(w, "node1", NULL); /* of two the better one */
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	assert_string_equal(w->d[0].l2.ranking.items[1], "node3");
	world_decide(w, "node2", alive);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	world_decide(w, "node3", only);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	world_free(w);
}

static void test_groups(void **state)
{
	struct ip shared = ip_of("192.168.1.240");
	struct world *w = world_new(NODES POOL L2 SHARED("s", READY("node1") "," READY("node3"))
					    SHARED("t", READY("node1") "," READY("node2")));

	(void)state;
	world_decide(w, "node1", NULL);
	/* alone, s is node3's and t is node1's: two nodes would answer for one address */
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_NOT_OWNER);
	assert_int_equal(w->d[1].l2.reason, ANNOUNCE_YES);
	assert_true(announce_decide_group(w->view, w->services, 2, &shared, w->a, w->d));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(w->d[i].l2.reason, ANNOUNCE_YES);
		assert_int_equal(w->d[i].l2.n_ips, 1);
	}
	world_decide(w, "node3", NULL);
	assert_true(announce_decide_group(w->view, w->services, 2, &shared, w->a, w->d));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(w->d[i].l2.reason, ANNOUNCE_NOT_OWNER);
	world_free(w);
	w = world_new(NODES POOL L2 SHARED("s", READY("node3")) SHARED("t", READY("node2")));
	world_decide(w, "node3", NULL);
	assert_false(announce_decide_group(w->view, w->services, 2, &shared, w->a, w->d));
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	world_free(w);
}

static void test_routes(void **state)
{
	static const struct community_value c1[] = {{false, {1, 2}}, {false, {3, 4}}};
	static const struct community_value c2[] = {{false, {3, 4}}, {true, {1, 2, 3}}};
	static const char *const only_a[] = {"a"};
	struct ip ip1 = ip_of("192.168.1.1"), ip2 = ip_of("192.168.1.2");
	const struct announce_route routes[] = {
		{prefix_of(&ip2, 32), 0, NULL, 0, {NULL, 0}, "x"},
		{prefix_of(&ip1, 24), 100, c1, 2, {NULL, 0}, "x"},
		{prefix_of(&ip2, 24), 0, c2, 2, {only_a, 1}, "y"},
	};
	const struct announce_route *list[] = {&routes[0], &routes[1], &routes[2]};
	struct arena *a = arena_new();
	char text[48];
	size_t n;

	(void)state;
	const struct announce_path *p = announce_paths_build(list, 3, "a", a, &n);

	assert_int_equal(n, 2);
	assert_int_equal(p[0].prefix.len, 24);
	assert_int_equal(p[0].local_pref, 100);
	assert_int_equal(p[0].n_communities, 3);
	assert_string_equal(announce_community_format(&p[0].communities[2], text), "large:1:2:3");
	const struct announce_path *q = announce_paths_build(list, 3, "b", a, &n);

	assert_int_equal(n, 2);
	assert_int_equal(q[0].n_communities, 2);
	assert_false(announce_path_equal(&p[0], &q[0]));
	assert_true(announce_path_equal(&p[1], &q[1]));
	announce_paths_build(list, 0, "a", a, &n);
	assert_int_equal(n, 0);
	arena_free(a);
}

/* All speakers shall withdraw: no service is announced, in neither protocol. */
static void test_withdraw(void **state)
{
	struct world *w = world_new(NODES POOL L2 SERVICE("s", "", "", "192.168.1.240")
					    SLICE("s", READY("node1")));
	struct announce_options opt = {.node = "node3", .lb_class = ""};
	struct announce_world world = {
		.cfg = w->cfg, .nodes = w->nodes, .n_nodes = w->n_nodes, .withdraw = true};

	(void)state;
	world_decide(w, "node3", NULL);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_YES);
	struct announce_view *view = announce_view_new(&opt, &world);

	announce_decide(view, &w->services[0], w->a, &w->d[0]);
	assert_int_equal(w->d[0].gate, ANNOUNCE_WITHDRAWN);
	assert_int_equal(w->d[0].l2.reason, ANNOUNCE_WITHDRAWN);
	assert_int_equal(w->d[0].bgp.reason, ANNOUNCE_WITHDRAWN);
	assert_false(announce_view_same(view, w->view));
	announce_view_free(view);
	world_free(w);
}

static void test_explain(void **state)
{
	struct world *w = world_new(NODES POOL L2 SERVICE("s", "", "", "192.168.1.240")
					    SLICE("s", READY("node1")));
	struct buf text = {0};

	(void)state;
	world_decide(w, "node1", NULL);
	announce_l2_explain(&w->d[0], &text);
	assert_string_equal(buf_str(&text), "node node3 is elected");
	for (unsigned i = 0; i < ANNOUNCE_REASON_COUNT; i++) {
		struct announce_decision d = {.bgp.reason = (enum announce_reason)i};

		buf_clear(&text);
		announce_bgp_explain(&d, &text);
		assert_true(text.len > 5);
	}
	buf_fini(&text);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_election_vectors), cmocka_unit_test(test_election_order),
		cmocka_unit_test(test_reasons),          cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_interfaces),       cmocka_unit_test(test_groups),
		cmocka_unit_test(test_routes),           cmocka_unit_test(test_explain),
		cmocka_unit_test(test_withdraw),         cmocka_unit_test(test_lost_carrier),
		cmocka_unit_test(test_holders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
