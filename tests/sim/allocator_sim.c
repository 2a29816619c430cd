/*
 * Properties of address allocation under random operations: Services come, change and go, their
 * statuses are edited by hand, pools and node addresses change, the operator restarts. After each
 * operation the system is run until nothing changes, and must then satisfy what check_all() lists.
 *
 *	allocator_sim [--steps N] [--seed N]
 *
 * Without arguments 8 seeds of 400 steps each; 250,000 steps each of 4 seeds with METALLB_SOAK in
 * the environment.
 *
 * Every step is determined by the seed; a failure prints both.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/request.h"
#include "operator/services.h"

#define N_SLOTS        24u
#define N_POOLS        5u
#define SETTLE_MAX     2000u
#define SEEDS_PER_RUN  8u
#define STEPS_PER_SEED 400u
#define SOAK_SEEDS     4u /* one of them plain MetalLB */
#define SOAK_STEPS     250000u

/* A Service as the API server has it. */
struct slot {
	bool exists, local, v6_first, load_balancer;
	unsigned ns, sharing, port, label, families; /* families: 1 = IPv4, 2 = IPv6, 3 = both */
	enum alloc_policy policy;
	char request[2 * IP_STR_MAX], pool[8]; /* "" = none */
	struct alloc_ips ips;
	char from[24]; /* pool annotation */
	int condition; /* -1 none, 0 false, 1 true */
};

struct world {
	struct slot slots[N_SLOTS];
	struct services *services;
	struct services_options opt;
	struct config *config;
	struct ip node_ips[3];
	size_t n_node_ips;
	uint64_t random, seed, step;
	usec_t wall;
	const char *op;
	bool touched[N_SLOTS]; /* its own inputs changed in this step */
	bool pools_changed;
};

static const char *const namespaces[] = {"a", "b", "c"};
static const char *const sharing_keys[] = {"", "", "", "k", "l"};
static const char *const label_values[] = {"x", "y"};

static unsigned below(struct world *w, unsigned n)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ (z >> 31)) % n);
}

static _Noreturn void fail(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "seed %" PRIu64 " step %" PRIu64 " (%s): ", w->seed, w->step, w->op);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* ---- a slot as a decoded Service ---- */

static const char *slot_name(unsigned i, char buf[8])
{
	snprintf(buf, 8, "s%u", i);
	return buf;
}

static struct strs one_or_two(struct arena *a, const char *first, const char *second)
{
	const char **items = arena_calloc(a, 2, sizeof(*items));
	size_t n = 0;

	if (first)
		items[n++] = first;
	if (second)
		items[n++] = second;
	return (struct strs){items, n};
}

static void build_status(const struct slot *s, struct service *svc, struct arena *a)
{
	const char **ips = arena_calloc(a, ALLOC_IPS_MAX, sizeof(*ips));
	const char **hosts = arena_calloc(a, ALLOC_IPS_MAX, sizeof(*hosts));
	struct api_condition *c = arena_calloc(a, 1, sizeof(*c));

	for (size_t i = 0; i < s->ips.n; i++) {
		ips[i] = ip_format(&s->ips.ip[i], arena_alloc(a, IP_STR_MAX));
		hosts[i] = "";
	}
	svc->ingress = (struct strs){ips, s->ips.n};
	svc->ingress_hostnames = (struct strs){hosts, s->ips.n};
	*c = (struct api_condition){
		SERVICES_CONDITION, s->condition ? "True" : "False", "", "", 0, 0};
	svc->conditions = c;
	svc->n_conditions = s->condition < 0 ? 0 : 1;
}

static struct service *build_service(const struct world *w, unsigned i, struct arena *a)
{
	static const struct service_port ports[] = {
		{"p", SVC_TCP, 80}, {"p", SVC_TCP, 81}, {"p", SVC_UDP, 80}};
	static const char *const policies[] = {"SingleStack", "PreferDualStack",
					       "RequireDualStack"};
	const struct slot *s = &w->slots[i];
	struct service *svc = arena_calloc(a, 1, sizeof(*svc));
	struct kv *annotations = arena_calloc(a, 4, sizeof(*annotations));
	struct kv *labels = arena_calloc(a, 1, sizeof(*labels));
	size_t n = 0;

	if (s->pool[0])
		annotations[n++] = (struct kv){ANNOTATION_POOL, s->pool};
	if (sharing_keys[s->sharing][0])
		annotations[n++] = (struct kv){ANNOTATION_SHARING, sharing_keys[s->sharing]};
	if (s->from[0])
		annotations[n++] = (struct kv){ANNOTATION_FROM, s->from};
	if (s->request[0])
		annotations[n++] = (struct kv){ANNOTATION_IPS, s->request};
	labels[0] = (struct kv){"l", label_values[s->label]};
	svc->obj.meta = (struct meta){
		.name = slot_name(i, arena_alloc(a, 8)),
		.namespace = namespaces[s->ns],
		.uid = "u",
		.resource_version = "1",
		.labels = {labels, 1},
		.annotations = {annotations, n},
	};
	svc->type = s->load_balancer ? "LoadBalancer" : "ClusterIP";
	svc->load_balancer_ip = "";
	svc->cluster_ips = one_or_two(a, s->families & 1 ? "10.96.0.1" : NULL,
				      s->families & 2 ? "fd00:96::1" : NULL);
	svc->cluster_ip = svc->cluster_ips.items[0];
	svc->ip_families = one_or_two(a, s->v6_first ? "IPv6" : "IPv4", NULL);
	svc->ip_family_policy = policies[s->policy];
	svc->external_traffic_policy = s->local ? "Local" : "Cluster";
	svc->selector = (struct labels){labels, 1};
	svc->ports = &ports[s->port];
	svc->n_ports = 1;
	build_status(s, svc, a);
	return svc;
}

/* ---- running until nothing changes ---- */

static bool ips_equal(const struct alloc_ips *a, const struct alloc_ips *b)
{
	return a->n == b->n && memcmp(a->ip, b->ip, a->n * sizeof(a->ip[0])) == 0;
}

/* Store what was decided; true when that changed the Service. */
static bool apply(struct slot *s, const struct services_result *r)
{
	struct slot old = *s;

	if (!r->ours)
		return false;
	if (!r->keep) {
		s->ips = r->ips;
		snprintf(s->from, sizeof(s->from), "%s", r->pool ? r->pool : "");
	}
	if (!r->keep_condition)
		s->condition = r->condition.wanted ? r->condition.status : -1;
	return !ips_equal(&old.ips, &s->ips) || strcmp(old.from, s->from) != 0 ||
	       old.condition != s->condition;
}

static bool look_at(struct world *w, unsigned i)
{
	struct arena *a = arena_new();
	struct service *svc = build_service(w, i, a);
	struct services_result r;

	services_converge(w->services, svc, w->wall, &r);
	bool changed = apply(&w->slots[i], &r);

	services_result_fini(&r);
	arena_free(a);
	return changed;
}

static void settle(struct world *w, bool dirty[N_SLOTS])
{
	for (unsigned round = 0; round < SETTLE_MAX; round++) {
		bool any = false;

		for (size_t held = ALLOC_IPS_MAX + 1; held-- > 0;)
			for (unsigned i = 0; i < N_SLOTS; i++) {
				if (!dirty[i] || w->slots[i].ips.n != held)
					continue;
				any = true;
				dirty[i] = w->slots[i].exists && look_at(w, i);
			}
		if (any)
			continue;
		if (!services_take_recheck(w->services))
			return;
		size_t pos = 0;

		for (const char *key; (key = services_next_waiting(w->services, &pos)) != NULL;)
			dirty[atoi(strchr(key, '/') + 2)] = true;
	}
	fail(w, "does not come to rest");
}

static void settle_one(struct world *w, unsigned i)
{
	bool dirty[N_SLOTS] = {false};

	dirty[i] = true;
	w->touched[i] = true;
	settle(w, dirty);
}

static void settle_all(struct world *w)
{
	bool dirty[N_SLOTS];

	memset(dirty, true, sizeof(dirty));
	settle(w, dirty);
}

/* ---- operations ---- */

static void random_address(struct world *w, bool v6, char out[IP_STR_MAX])
{
	if (v6)
		snprintf(out, IP_STR_MAX, "fd00:0:0:%u::%x", below(w, N_POOLS), below(w, 8));
	else
		snprintf(out, IP_STR_MAX, "10.0.%u.%u", below(w, N_POOLS), 250 + below(w, 6));
}

static void random_request(struct world *w, struct slot *s)
{
	char v4[IP_STR_MAX], v6[IP_STR_MAX];

	s->request[0] = s->pool[0] = '\0';
	random_address(w, false, v4);
	random_address(w, true, v6);
	switch (below(w, 8)) {
	case 0:
		snprintf(s->request, sizeof(s->request), "%s", v4);
		break;
	case 1:
		snprintf(s->request, sizeof(s->request), "%s", v6);
		break;
	case 2:
		snprintf(s->request, sizeof(s->request), "%s,%s", v4, v6);
		break;
	case 3:
		snprintf(s->pool, sizeof(s->pool), "p%u", below(w, N_POOLS + 1));
		break;
	case 4:
		snprintf(s->request, sizeof(s->request), "nonsense");
		break;
	default:
		break;
	}
}

static void random_spec(struct world *w, struct slot *s)
{
	s->load_balancer = below(w, 12) > 0;
	s->local = below(w, 4) == 0;
	s->v6_first = below(w, 4) == 0;
	s->sharing = below(w, (unsigned)ARRAY_SIZE(sharing_keys));
	s->port = below(w, 3);
	s->label = below(w, 2);
	s->families = 1 + below(w, 3);
	s->policy = (enum alloc_policy)below(w, 3);
	random_request(w, s);
}

static void op_create_or_change(struct world *w)
{
	unsigned i = below(w, N_SLOTS);
	struct slot *s = &w->slots[i];

	w->op = s->exists ? "change" : "create";
	if (!s->exists) {
		*s = (struct slot){.exists = true, .condition = -1, .ns = i % 3};
	}
	random_spec(w, s);
	settle_one(w, i);
}

static void op_delete(struct world *w)
{
	unsigned i = below(w, N_SLOTS);
	char key[16], name[8];
	bool dirty[N_SLOTS] = {false};

	w->op = "delete";
	if (!w->slots[i].exists)
		return;
	snprintf(key, sizeof(key), "%s/%s", namespaces[w->slots[i].ns], slot_name(i, name));
	w->slots[i] = (struct slot){.condition = -1};
	w->touched[i] = true;
	services_forget(w->services, key, w->wall);
	settle(w, dirty);
}

static void op_edit_status(struct world *w)
{
	unsigned i = below(w, N_SLOTS);
	struct slot *s = &w->slots[i];

	w->op = "edit status";
	if (!s->exists)
		return;
	s->ips.n = 0;
	for (unsigned f = 0; f < FAM_COUNT; f++) {
		char text[IP_STR_MAX];

		if (below(w, 2) == 0)
			continue;
		random_address(w, f == FAM_V6, text);
		if (!ip_parse(text, &s->ips.ip[s->ips.n++]))
			fail(w, "bad address %s", text);
	}
	settle_one(w, i);
}

static struct api_object *random_pool(struct world *w, unsigned i)
{
	static const char *const allocations[] = {
		"",
		"",
		"",
		",\"serviceAllocation\":{\"priority\":2,\"namespaces\":[\"a\"]}",
		",\"serviceAllocation\":{\"priority\":1,\"serviceSelectors\":[{\"matchLabels\":{"
		"\"l\":\"x\"}}]}",
		",\"serviceAllocation\":{\"namespaces\":[\"b\",\"c\"],\"serviceSelectors\":[{"
		"\"matchLabels\":{\"l\":\"y\"}}]}",
	};
	_cleanup_(buf_fini) struct buf text = {0};
	unsigned first = below(w, 4), kind = below(w, 4);
	struct err err;

	buf_printf(&text, "{\"metadata\":{\"name\":\"p%u\",\"namespace\":\"m\"},\"spec\":{", i);
	buf_add_str(&text, "\"addresses\":[");
	if (kind != 0)
		buf_printf(&text, "\"10.0.%u.%u-10.0.%u.%u\"", i, 250 + first, i,
			   250 + first + below(w, 6 - first));
	if (kind != 1)
		buf_printf(&text, "%s\"fd00:0:0:%u::%x-fd00:0:0:%u::%x\"", kind ? "," : "", i,
			   first, i, first + below(w, 6));
	buf_printf(&text, "],\"autoAssign\":%s,\"avoidBuggyIPs\":%s",
		   below(w, 6) ? "true" : "false", below(w, 3) ? "false" : "true");
	if (below(w, 3) == 0)
		buf_printf(
			&text,
			",\"avoidAddresses\":[\"10.0.%u.251-10.0.%u.252\",\"fd00:0:0:%u::2/128\"]",
			i, i, i);
	buf_printf(&text, "%s}}", allocations[below(w, (unsigned)ARRAY_SIZE(allocations))]);

	json_object *json = json_tokener_parse(buf_str(&text));
	struct api_object *obj = api_decode(API_IPADDRESSPOOL, json, &err);

	json_object_put(json);
	if (!obj)
		fail(w, "pool %s: %s", buf_str(&text), err.msg);
	return obj;
}

static void op_pools(struct world *w)
{
	const struct ipaddresspool *pools[N_POOLS];
	struct objects objs = {.pools = pools, .bgp_extras = ""};
	struct config_options opt = {.backend = BACKEND_NATIVE};
	struct config *old = w->config;
	struct config_report *report;
	struct strs none = {0};

	w->op = "pools";
	w->pools_changed = true;
	for (unsigned i = 0; i < N_POOLS; i++)
		if (below(w, 5) > 0)
			pools[objs.n_pools++] = (const struct ipaddresspool *)random_pool(w, i);
	config_build(&objs, &opt, &w->config, &report);
	if (report->n_errors > 0)
		fail(w, "%s: %s", report->findings[0].field, report->findings[0].message);
	config_report_free(report);
	for (size_t i = 0; i < objs.n_pools; i++)
		api_object_free((struct api_object *)(uintptr_t)&pools[i]->obj);
	services_set_config(w->services, w->config, &none);
	config_free(old);
	settle_all(w);
}

static void set_nodes(struct world *w)
{
	static const char *const names[ARRAY_SIZE(w->node_ips)] = {"n0", "n1", "n2"};

	services_set_nodes(w->services, w->node_ips, names, w->n_node_ips);
}

static void op_nodes(struct world *w)
{
	bool dirty[N_SLOTS] = {false};

	w->op = "nodes";
	for (size_t i = 0; i < ARRAY_SIZE(w->node_ips); i++) {
		char text[IP_STR_MAX];

		random_address(w, below(w, 2), text);
		if (!ip_parse(text, &w->node_ips[i]))
			fail(w, "bad address %s", text);
	}
	w->n_node_ips = below(w, ARRAY_SIZE(w->node_ips) + 1);
	set_nodes(w);
	settle(w, dirty);
}

static void adopt(struct world *w, unsigned i)
{
	struct arena *a = arena_new();

	services_adopt(w->services, build_service(w, i, a));
	arena_free(a);
}

/* Start anew from the statuses alone: nothing may change. */
static void op_restart(struct world *w)
{
	struct strs none = {0};

	w->op = "restart";
	services_free(w->services);
	w->services = services_new(&w->opt);
	set_nodes(w);
	services_set_config(w->services, w->config, &none);
	for (size_t held = ALLOC_IPS_MAX; held > 0; held--)
		for (unsigned i = 0; i < N_SLOTS; i++)
			if (w->slots[i].exists && w->slots[i].ips.n == held)
				adopt(w, i);
	settle_all(w);
}

/* ---- what must hold ---- */

static bool may_share(const struct slot *a, const struct slot *b)
{
	/* under Local the pods must be the same, and the selector is the label here */
	bool backends = a->local == b->local && (!a->local || a->label == b->label);

	return sharing_keys[a->sharing][0] &&
	       strcmp(sharing_keys[a->sharing], sharing_keys[b->sharing]) == 0 && backends &&
	       a->port != b->port;
}

static bool has_address(const struct slot *s, const struct ip *ip)
{
	for (size_t i = 0; i < s->ips.n; i++)
		if (ip_eq(&s->ips.ip[i], ip))
			return true;
	return false;
}

static void check_unique(const struct world *w, unsigned i)
{
	for (unsigned j = 0; j < N_SLOTS; j++)
		for (size_t k = 0; k < w->slots[i].ips.n && j != i; k++)
			if (has_address(&w->slots[j], &w->slots[i].ips.ip[k]) &&
			    !may_share(&w->slots[i], &w->slots[j]))
				fail(w, "s%u and s%u have the same address", i, j);
}

static bool pool_serves(const struct config_pool *p, const struct slot *s)
{
	bool ns = p->namespaces.n == 0;
	struct kv label = {"l", label_values[s->label]};
	struct labels labels = {&label, 1};

	for (size_t i = 0; i < p->namespaces.n; i++)
		ns |= strcmp(p->namespaces.items[i], namespaces[s->ns]) == 0;
	return ns &&
	       (p->service_selectors.n == 0 || selectors_match_any(&p->service_selectors, &labels));
}

static bool ip_is_allowed(const struct world *w, const struct slot *s, const struct ip *ip)
{
	const struct config_pool *p = config_pool_of(w->config, ip);

	return p && pool_serves(p, s) && !(p->avoid_buggy_ips && config_ip_is_buggy(ip)) &&
	       (!s->pool[0] || strcmp(s->pool, p->name) == 0);
}

/* All of a Service's addresses are ones that it may keep under the pools of now. */
static bool may_keep(const struct world *w, const struct slot *s)
{
	for (size_t i = 0; i < s->ips.n; i++)
		if (!ip_is_allowed(w, s, &s->ips.ip[i]))
			return false;
	return s->ips.n < 2 || w->opt.alloc.two_pools ||
	       config_pool_of(w->config, &s->ips.ip[0]) == config_pool_of(w->config, &s->ips.ip[1]);
}

static void check_counters(const struct world *w)
{
	const struct allocator *a = services_allocator(w->services);
	size_t booked = 0, counted = 0;

	allocator_check(a);
	for (size_t i = 0; i < allocator_n_pools(a); i++) {
		struct alloc_counters c;

		allocator_counters(a, i, &c);
		booked += (size_t)(c.in_use[FAM_V4] + c.in_use[FAM_V6]);
	}
	for (unsigned i = 0; i < N_SLOTS; i++)
		for (size_t k = 0; k < w->slots[i].ips.n; k++) {
			bool first = true;

			for (unsigned j = 0; j < i; j++)
				first &= !has_address(&w->slots[j], &w->slots[i].ips.ip[k]);
			counted += first;
		}
	if (booked != counted)
		fail(w, "%zu addresses booked, %zu in statuses", booked, counted);
}

static void check_kept(const struct world *w, unsigned i, const struct slot *before)
{
	const struct slot *now = &w->slots[i];

	if (w->touched[i] || before->ips.n == 0)
		return;
	if (w->pools_changed && !may_keep(w, before))
		return;
	for (size_t k = 0; k < before->ips.n; k++)
		if (!has_address(now, &before->ips.ip[k]))
			fail(w, "s%u lost an address without a reason", i);
}

static void check_all(const struct world *w, const struct slot before[N_SLOTS])
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		const struct slot *s = &w->slots[i];

		if (!s->exists)
			continue;
		check_unique(w, i);
		if (s->ips.n > 0 && (!s->load_balancer || !may_keep(w, s)))
			fail(w, "s%u has an address that it may not have", i);
		if (w->opt.explain && s->load_balancer && s->condition != (s->ips.n > 0))
			fail(w, "s%u has the condition %d and %zu addresses", i, s->condition,
			     s->ips.n);
		if (!s->load_balancer && s->condition != -1)
			fail(w, "s%u has a condition though it is no load balancer", i);
		check_kept(w, i, &before[i]);
	}
	check_counters(w);
	if (strcmp(w->op, "restart") == 0)
		for (unsigned i = 0; i < N_SLOTS; i++)
			if (!ips_equal(&w->slots[i].ips, &before[i].ips))
				fail(w, "s%u changed by a restart", i);
}

/* ---- runs ---- */

static void take_step(struct world *w)
{
	struct slot before[N_SLOTS];

	memcpy(before, w->slots, sizeof(before));
	memset(w->touched, 0, sizeof(w->touched));
	w->pools_changed = false;
	w->wall += (usec_t)below(w, 7200) * USEC_PER_SEC;
	switch (below(w, 20)) {
	case 0:
		op_pools(w);
		break;
	case 1:
		op_nodes(w);
		break;
	case 2:
		op_restart(w);
		break;
	case 3:
	case 4:
		op_edit_status(w);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		op_delete(w);
		break;
	default:
		op_create_or_change(w);
	}
	check_all(w, before);
}

static void run_seed(uint64_t seed, uint64_t steps)
{
	struct world w = {.seed = seed, .random = seed, .op = "start"};
	bool extras = seed % 4 != 0; /* every fourth run is plain MetalLB */

	w.wall = (usec_t)1700000000 * USEC_PER_SEC;
	w.opt = (struct services_options){
		.alloc = {extras, extras, extras},
		.remember = extras,
		.explain = extras,
		.lb_class = "",
	};
	for (unsigned i = 0; i < N_SLOTS; i++)
		w.slots[i].condition = -1;
	w.services = services_new(&w.opt);
	op_pools(&w);
	for (w.step = 1; w.step <= steps; w.step++)
		take_step(&w);
	services_free(w.services);
	config_free(w.config);
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, steps = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--steps") == 0)
			steps = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
	}
	if (argc > 1) {
		run_seed(seed, steps ? steps : STEPS_PER_SEED);
		printf("seed %" PRIu64 ": all steps hold\n", seed);
		return 0;
	}
	bool soak = getenv("METALLB_SOAK") != NULL;

	for (seed = 1; seed <= (soak ? SOAK_SEEDS : SEEDS_PER_RUN); seed++)
		run_seed(seed, soak ? SOAK_STEPS : STEPS_PER_SEED);
	return 0;
}
