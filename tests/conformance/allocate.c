/*
 * The part "allocate": which address each Service gets. Drives the operator's own core (services.h)
 * through the operations of a case with the additions to MetalLB switched off, until nothing
 * changes any more after each, and compares addresses, pool annotation, counters and the reasons of
 * events.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/services.h"
#include "tests/conformance/conformance.h"

#define ROUNDS_MAX 1000u /* looks at one Service within a step */

struct run {
	json_object *test;
	struct conf_result *result;
	struct conf_store *store;
	struct services *services;
	struct config *config; /* in force, or NULL */
	struct table dirty;    /* keys still to be looked at, in order */
	struct table events;   /* "service type reason" */
	const char *step;
	json_object *before;  /* what was expected after the previous step, or NULL */
	const char *diverged; /* the known reason why results differ from here on, or NULL */
};

/* ---- one Service ---- */

static json_object *find_service(const struct run *r, const char *key)
{
	_cleanup_free_ char *ns = xstrdup(key);
	char *slash = strchr(ns, '/');

	*slash = '\0';
	return conf_store_find(r->store, "Service", ns, slash + 1);
}

static void note_events(struct run *r, const char *key, const struct services_result *result)
{
	for (size_t i = 0; i < result->n_events; i++) {
		const struct services_event *e = &result->events[i];
		_cleanup_free_ char *text =
			xasprintf("%s %s %s", key, e->warning ? "Warning" : "Normal", e->reason);

		table_set(&r->events, text, r);
		if (r->result->verbose)
			printf("    %s: %s\n", text, e->message);
	}
}

/* What the API server does with our patch. */
static void apply_patch(struct run *r, const struct service *svc, const char *patch)
{
	json_object *json = json_tokener_parse(patch);

	json_object_object_del(json_object_object_get(json, "metadata"), "resourceVersion");
	if (!conf_store_patch(r->store, "Service", svc->obj.meta.namespace, svc->obj.meta.name,
			      json))
		conf_mismatch(r->result, "case", NULL, "%s: the patch of %s cannot be applied",
			      r->step, svc->obj.meta.name);
	json_object_put(json);
}

static void look_at(struct run *r, const char *key)
{
	json_object *json = find_service(r, key);
	struct services_result result;
	_cleanup_(buf_fini) struct buf patch = {0};
	struct err err = {0};

	if (!json)
		return;
	struct service *svc = (struct service *)api_decode(API_SERVICE, json, &err);

	if (!svc) {
		conf_mismatch(r->result, "decode", NULL, "%s: %s", r->step, err.msg);
		return;
	}
	services_converge(r->services, svc, 0, &result);
	note_events(r, key, &result);
	if (services_patch(svc, &result, true, 0, &patch)) {
		apply_patch(r, svc, buf_str(&patch));
		table_set(&r->dirty, key, r);
	}
	services_result_fini(&result);
	api_object_free(&svc->obj);
}

/* ---- until nothing changes ---- */

struct turn {
	struct service *svc;
	char *key;
};

static int turn_cmp(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->svc->ingress.n != y->svc->ingress.n)
		return x->svc->ingress.n > y->svc->ingress.n ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* Every Service, those with addresses first. adopt: book what they have before anything. */
static void dirty_all(struct run *r, bool adopt)
{
	size_t n;
	struct api_object **list = conf_store_decode(r->store, API_SERVICE, &n);
	_cleanup_free_ struct turn *turns = xcalloc(n + 1, sizeof(*turns));

	for (size_t i = 0; i < n; i++)
		turns[i] = (struct turn){
			(struct service *)list[i],
			xasprintf("%s/%s", list[i]->meta.namespace, list[i]->meta.name)};
	qsort(turns, n, sizeof(*turns), turn_cmp);
	for (size_t i = 0; i < n; i++) {
		table_set(&r->dirty, turns[i].key, r);
		if (adopt)
			services_adopt(r->services, turns[i].svc);
		free(turns[i].key);
		api_object_free(&turns[i].svc->obj);
	}
	free(list);
}

static void settle(struct run *r)
{
	const char *waiting;

	for (size_t round = 0; round < ROUNDS_MAX; round++) {
		size_t pos = 0;
		struct table_entry *e = table_next(&r->dirty, &pos);

		if (e) {
			_cleanup_free_ char *key = xstrdup(e->key);

			table_del(&r->dirty, key);
			look_at(r, key);
			continue;
		}
		if (!services_take_recheck(r->services))
			return;
		pos = 0;
		while ((waiting = services_next_waiting(r->services, &pos)) != NULL)
			table_set(&r->dirty, waiting, r);
	}
	conf_mismatch(r->result, "rest", NULL, "%s: does not come to rest", r->step);
}

/* ---- configuration ---- */

/* The verdict; a configuration that is refused leaves the previous one in force. */
static const char *load_config(struct run *r)
{
	struct conf_objects objs;
	struct config_options opt = {.backend = conf_backend(r->test)};
	struct config *config;
	struct err why = {0};
	struct strs none = {0};

	conf_objects_load(r->store, &objs);
	/* the allocating part of the system sees pools, communities and namespaces */
	struct objects seen = {
		.pools = objs.list.pools,
		.n_pools = objs.list.n_pools,
		.communities = objs.list.communities,
		.n_communities = objs.list.n_communities,
		.namespaces = objs.list.namespaces,
		.n_namespaces = objs.list.n_namespaces,
		.bgp_extras = "",
	};
	objs.list = seen;
	bool ok = conf_build(&objs, &opt, &config, &why);

	if (ok && (!r->config || !config_equal(r->config, config))) {
		services_set_config(r->services, config, &none);
		bool first = !r->config;

		config_free(r->config);
		r->config = config;
		dirty_all(r, first);
	} else if (ok) {
		config_free(config);
	} else if (r->result->verbose) {
		printf("    configuration refused: %s\n", why.msg);
	}
	conf_objects_free(&objs);
	return ok ? "accept" : "reject";
}

static void restart(struct run *r)
{
	struct services_options opt = {.lb_class = conf_text(r->test, "input.loadBalancerClass")};

	services_free(r->services);
	config_free(r->config);
	r->config = NULL;
	r->services = services_new(&opt);
}

/* ---- comparing ---- */

static void add_ingress_text(json_object *entry, struct buf *out)
{
	const char *ip = json_object_is_type(entry, json_type_string)
				 ? json_object_get_string(entry)
				 : conf_text(entry, "ip");

	buf_printf(out, "%s%s", out->len ? " " : "", *ip ? ip : conf_text(entry, "hostname"));
}

/* "address address (pool)" */
static void service_text(json_object *ingress, const char *pool, struct buf *out)
{
	for (size_t i = 0; ingress && i < json_object_array_length(ingress); i++)
		add_ingress_text(json_object_array_get_idx(ingress, i), out);
	buf_printf(out, " (%s)", pool);
}

/* Did this expectation drop an address that the previous one had, for another one? */
static bool was_moved_from(const struct run *r, json_object *want, const char *address)
{
	json_object *before = r->before ? conf_get(r->before, "services") : NULL;

	if (!before)
		return false;
	json_object_object_foreach(before, key, was)
	{
		json_object *now = json_object_object_get(want, key);
		_cleanup_(buf_fini) struct buf old = {0}, new = {0};

		service_text(conf_get(was, "ingress"), "", &old);
		service_text(now ? conf_get(now, "ingress") : NULL, "", &new);
		if (strstr(buf_str(&old), address) && !strstr(buf_str(&new), address) &&
		    strcmp(buf_str(&new), " ()") != 0)
			return true;
	}
	return false;
}

/* The address lies in a pool whose namespaceSelectors select no namespace. */
static bool is_unselected(const struct run *r, const char *address)
{
	const struct config_pool *pool = NULL;
	struct ip ip;

	if (r->config && ip_parse_n(address, strcspn(address, " "), &ip))
		pool = config_pool_of(r->config, &ip);
	return pool && pool->has_allocation && pool->namespaces.n == 0 &&
	       pool->service_selectors.n == 0;
}

/* Differences that are known and meant; exceptions.json says why. NULL: it is none of these. */
static const char *known_divergence(const struct run *r, json_object *want, const char *expected,
				    const char *actual)
{
	bool want_none = strcmp(expected, " ()") == 0, got_none = strcmp(actual, " ()") == 0;

	if (want_none && !got_none) {
		_cleanup_free_ char *address = xstrndup(actual, strcspn(actual, " "));

		if (was_moved_from(r, want, address))
			return "waiter-served";
	}
	if (got_none && !want_none && is_unselected(r, expected))
		return "unselected-pool";
	return NULL;
}

static void compare_services(struct run *r, json_object *want)
{
	json_object_object_foreach(want, key, w)
	{
		json_object *got = find_service(r, key), *annotations, *pool = NULL;
		_cleanup_(buf_fini) struct buf expected = {0}, actual = {0};

		service_text(conf_get(w, "ingress"), conf_text(w, "pool"), &expected);
		annotations = got ? conf_get(got, "metadata.annotations") : NULL;
		if (annotations)
			pool = json_object_object_get(annotations,
						      "metallb.io/ip-allocated-from-pool");
		service_text(got ? conf_get(got, "status.loadBalancer.ingress") : NULL,
			     pool ? json_object_get_string(pool) : "", &actual);
		if (strcmp(buf_str(&expected), buf_str(&actual)) != 0)
			r->diverged =
				known_divergence(r, want, buf_str(&expected), buf_str(&actual));
		if (strcmp(buf_str(&expected), buf_str(&actual)) != 0)
			conf_mismatch(r->result, r->diverged ? r->diverged : "addresses", NULL,
				      "%s: %s: want %s, got %s", r->step, key, buf_str(&expected),
				      buf_str(&actual));
		if (r->diverged)
			return;
	}
}

static int64_t member_int(json_object *o, const char *name)
{
	json_object *v = o ? json_object_object_get(o, name) : NULL;

	return v ? json_object_get_int64(v) : 0;
}

/* MetalLB takes two off for a single address that ends in .0 or .255, and adds up beyond 2^63. */
static const char *counters_aspect(const struct run *r, const char *name, int64_t want)
{
	const struct config_pool *pool = r->config ? config_find_pool(r->config, name) : NULL;

	if (want < 0)
		return "counters-overflow";
	for (size_t i = 0; pool && pool->avoid_buggy_ips && i < pool->n_ranges; i++)
		for (size_t j = 0; j < pool->ranges[i].n_prefixes; j++) {
			const struct prefix *p = &pool->ranges[i].prefixes[j];

			if (p->ip.family == IP_V4 && p->len == 32 && config_ip_is_buggy(&p->ip))
				return "counters-buggy";
		}
	return "counters";
}

static void compare_pool(struct run *r, const char *name, json_object *want)
{
	static const char *const assigned[] = {"assignedIPv4", "assignedIPv6"};
	static const char *const available[] = {"availableIPv4", "availableIPv6"};
	const struct allocator *a = services_allocator(r->services);
	struct alloc_counters c = {0};

	for (size_t i = 0; i < allocator_n_pools(a); i++) {
		allocator_counters(a, i, &c);
		if (strcmp(c.pool, name) == 0)
			break;
		c = (struct alloc_counters){0};
	}
	for (unsigned f = 0; f < FAM_COUNT; f++)
		if (member_int(want, assigned[f]) != c.in_use[f] ||
		    member_int(want, available[f]) != c.available[f])
			conf_mismatch(r->result,
				      counters_aspect(r, name, member_int(want, available[f])),
				      NULL,
				      "%s: pool %s %s: want %lld assigned, %lld available, got "
				      "%lld, %lld",
				      r->step, name, fam_name(f),
				      (long long)member_int(want, assigned[f]),
				      (long long)member_int(want, available[f]),
				      (long long)c.in_use[f], (long long)c.available[f]);
}

static void compare_events(struct run *r, json_object *want)
{
	struct table wanted;

	if (!want || json_object_is_type(want, json_type_null))
		return;
	table_init(&wanted);
	for (size_t i = 0; i < json_object_array_length(want); i++) {
		json_object *e = json_object_array_get_idx(want, i);
		_cleanup_free_ char *text = xasprintf("%s %s %s", conf_text(e, "service"),
						      conf_text(e, "type"), conf_text(e, "reason"));

		table_set(&wanted, text, r);
		if (!table_find(&r->events, text))
			conf_mismatch(r->result, "events", conf_text(e, "reason"),
				      "%s: missing event %s: %s", r->step, text,
				      conf_text(e, "message"));
	}
	table_for_each (&r->events, e) {
		if (!table_find(&wanted, e->key))
			conf_mismatch(r->result, "events", strrchr(e->key, ' ') + 1,
				      "%s: surplus event %s", r->step, e->key);
	}
	table_fini(&wanted);
}

static void compare(struct run *r, json_object *want, const char *verdict)
{
	const char *wanted = conf_text(want, "config.verdict");
	json_object *pools = conf_get(want, "pools");

	if (strcmp(wanted, verdict) != 0)
		conf_mismatch(r->result, "verdict", conf_text(want, "config.error"),
			      "%s: configuration: want %s, got %s", r->step, wanted, verdict);
	compare_services(r, conf_get(want, "services"));
	if (r->diverged)
		return;
	if (pools) {
		json_object_object_foreach(pools, name, counters)
		{
			compare_pool(r, name, counters);
		}
	}
	compare_events(r, conf_get(want, "events"));
	r->before = want;
}

/* ---- the case ---- */

static void forget_service(struct run *r, json_object *op)
{
	_cleanup_free_ char *key =
		xasprintf("%s/%s", conf_text(op, "namespace"), conf_text(op, "name"));

	services_forget(r->services, key, 0);
}

/* Carry out one operation (NULL: the start) and note which Services it concerns. */
static void carry_out(struct run *r, json_object *op)
{
	const char *what = op ? conf_text(op, "op") : "restart";
	json_object *object = op ? conf_get(op, "object") : NULL;
	const char *kind = conf_text(object ? object : op, "kind");

	if (strcmp(what, "restart") == 0) {
		restart(r);
		return;
	}
	if (!conf_store_apply(r->store, op))
		conf_mismatch(r->result, "case", NULL, "%s: cannot be applied", r->step);
	if (strcmp(kind, "Service") != 0)
		return;
	if (strcmp(what, "delete") == 0) {
		forget_service(r, op);
		return;
	}
	json_object *of = object ? object : op;
	const char *ns = conf_text(of, object ? "metadata.namespace" : "namespace");
	const char *name = conf_text(of, object ? "metadata.name" : "name");
	_cleanup_free_ char *key = xasprintf("%s/%s", ns, name);

	table_set(&r->dirty, key, r);
}

static void take_step(struct run *r, json_object *op, json_object *want)
{
	r->step = conf_text(want, "op");
	if (r->result->verbose)
		printf("  %s\n", r->step);
	table_fini(&r->events);
	table_init(&r->events);
	carry_out(r, op);
	const char *verdict = load_config(r);

	/* without any configuration nothing is done */
	if (r->config)
		settle(r);
	compare(r, want, verdict);
}

int conformance_allocate(json_object *test, struct conf_result *result)
{
	json_object *objects = conf_get(test, "input.objects"), *ops = conf_get(test, "input.ops");
	json_object *steps = conf_get(test, "expected.steps");
	struct run r = {.test = test, .result = result};

	if (!objects || !steps || !json_object_is_type(steps, json_type_array))
		return -1;
	size_t n_ops = ops ? json_object_array_length(ops) : 0;

	if (json_object_array_length(steps) != n_ops + 1)
		return -1;
	r.store = conf_store_new(conf_text(test, "input.namespace"));
	table_init(&r.dirty);
	table_init(&r.events);
	for (size_t i = 0; i < json_object_array_length(objects); i++)
		if (!conf_store_put(r.store, json_object_array_get_idx(objects, i)))
			conf_mismatch(result, "case", NULL, "object %zu cannot be stored", i);
	for (size_t i = 0; i <= n_ops && !r.diverged; i++)
		take_step(&r, i ? json_object_array_get_idx(ops, i - 1) : NULL,
			  json_object_array_get_idx(steps, i));
	services_free(r.services);
	config_free(r.config);
	conf_store_free(r.store);
	table_fini(&r.dirty);
	table_fini(&r.events);
	return 0;
}
