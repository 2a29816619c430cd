/*
 * One Service at a time: check what it holds, then give it what it lacks. Each step either lets the
 * pass go on or ends it with an outcome; the order of the steps is MetalLB's, because events and
 * results depend on it.
 */
#include "operator/services.h"

#include <assert.h>

#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/memory.h"
#include "operator/request.h"
#include "operator/services_impl.h"

struct services *services_new(const struct services_options *opt)
{
	struct services *s = xcalloc(1, sizeof(*s));

	s->opt = *opt;
	s->alloc = allocator_new(&opt->alloc);
	s->memory = memory_new();
	table_init(&s->waiting);
	table_init(&s->broken);
	return s;
}

struct services *services_free(struct services *s)
{
	if (!s)
		return NULL;
	allocator_free(s->alloc);
	memory_free(s->memory);
	table_for_each (&s->waiting, e) {
		free(e->value);
	}
	table_fini(&s->waiting);
	table_fini(&s->broken);
	free(s);
	return NULL;
}

struct allocator *services_allocator(struct services *s)
{
	return s->alloc;
}

struct memory *services_memory(struct services *s)
{
	return s->memory;
}

void services_set_config(struct services *s, const struct config *cfg, const struct strs *broken)
{
	table_fini(&s->broken);
	table_init(&s->broken);
	for (size_t i = 0; i < broken->n; i++)
		table_set(&s->broken, broken->items[i], s);
	allocator_set_config(s->alloc, cfg);
	s->recheck = true;
}

void services_set_nodes(struct services *s, const struct ip *ips, const char *const *names,
			size_t n)
{
	allocator_set_nodes(s->alloc, ips, names, n);
	s->recheck = true;
}

bool services_take_recheck(struct services *s)
{
	bool recheck = s->recheck;

	s->recheck = false;
	return recheck;
}

const char *services_next_waiting(const struct services *s, size_t *pos)
{
	struct table_entry *e = table_next(&s->waiting, pos);

	return e ? e->key : NULL;
}

size_t services_n_waiting(const struct services *s)
{
	return table_count(&s->waiting);
}

bool services_has_class(const struct services *s, const struct service *svc)
{
	if (!svc->load_balancer_class)
		return !s->opt.lb_class[0];
	return s->opt.lb_class[0] && strcmp(svc->load_balancer_class, s->opt.lb_class) == 0;
}

void services_forget(struct services *s, const char *key, usec_t wall)
{
	struct alloc_booking b;

	free(table_del(&s->waiting, key));
	if (!allocator_find(s->alloc, key, &b))
		return;
	if (s->opt.remember)
		memory_add(s->memory, key, &b.ips, wall);
	allocator_release(s->alloc, key);
	s->recheck = true;
}

void services_result_fini(struct services_result *r)
{
	r->arena = arena_free(r->arena);
}

/* ---- steps of a pass ---- */

static void pass_clear(struct pass *p)
{
	allocator_release(p->s->alloc, p->who.key);
	p->held = (struct alloc_ips){0};
}

/* The pass is over and the Service has no address. */
static void pass_end_empty(struct pass *p, const char *reason, const char *message)
{
	pass_clear(p);
	p->out->ips.n = 0;
	p->out->condition = (struct services_condition){
		.wanted = p->s->opt.explain && reason != NULL,
		.reason = reason,
		.message = message,
	};
}

/* What holds before anything is looked up: MetalLB's guards. True when the pass goes on. */
static bool pass_guard(struct pass *p)
{
	const struct service *svc = p->svc;

	if (strcmp(svc->type, "LoadBalancer") != 0) {
		pass_end_empty(p, NULL, NULL);
		return false;
	}
	if (pass_is_on_hold(p)) {
		p->out->keep = p->out->keep_condition = true;
		return false;
	}
	if (allocator_n_pools(p->s->alloc) == 0) {
		pass_end_empty(p, "NoPools", "there is no valid IPAddressPool");
		return false;
	}
	if (svc->cluster_ips.n == 0 && !svc->cluster_ip[0]) {
		pass_end_empty(p, "NoClusterIP", "the service has no cluster IP");
		return false;
	}
	if (request_policy(svc) == ALLOC_REQUIRE_DUAL && svc->cluster_ips.n < 2) {
		pass_event(p, true, "not enough clusterips",
			   "ipFamilyPolicy is RequireDualStack, but the service has only the "
			   "cluster IP %s",
			   svc->cluster_ips.n ? svc->cluster_ips.items[0] : svc->cluster_ip);
		p->out->failed = true;
		pass_end_empty(p, "NotEnoughClusterIPs",
			       "ipFamilyPolicy is RequireDualStack, but the service has only one "
			       "cluster IP");
		return false;
	}
	return true;
}

/* The addresses in the status; false when they are no set that a Service can have. */
static bool read_status(const struct service *svc, struct alloc_ips *out, struct err *err)
{
	bool fam[FAM_COUNT];

	*out = (struct alloc_ips){0};
	for (size_t i = 0; i < svc->ingress.n; i++) {
		const char *text = svc->ingress.items[i];

		if (!text[0])
			continue; /* an entry with a host name only */
		if (out->n == ALLOC_IPS_MAX)
			return err_set(err, "more than %d addresses", ALLOC_IPS_MAX);
		if (!ip_parse(text, &out->ip[out->n]))
			return err_set(err, "\"%s\" is not an IP address", text);
		out->n++;
	}
	return out->n == 0 || request_families_of(out, fam, err);
}

/* Do the held addresses still fit the families of the Service? */
static bool fits_families(const struct pass *p, const bool want[FAM_COUNT])
{
	bool have[FAM_COUNT];

	if (!request_families_of(&p->held, have, NULL))
		return false;
	if (have[FAM_V4] == want[FAM_V4] && have[FAM_V6] == want[FAM_V6])
		return true;
	return want[FAM_V4] && want[FAM_V6] && request_policy(p->svc) == ALLOC_PREFER_DUAL;
}

/* Read the status and drop addresses of the wrong family. False: the pass ends here. */
static bool pass_families(struct pass *p)
{
	struct err err = {0};
	bool readable = read_status(p->svc, &p->held, &err);

	if (!readable) {
		pass_event(p, true, "nolbIPsIPFamily",
			   "the addresses in the status are cleared: %s", err.msg);
		p->held.n = 0;
	}
	p->families_known = request_families(p->svc, p->want.fam, &p->why_families);
	bool has_status = !readable || p->held.n > 0;

	if (has_status && !p->families_known) {
		pass_event(p, true, "noclusterIPsIPFamily",
			   "the families of the service are unknown: %s", p->why_families.msg);
		p->out->failed = p->out->keep = p->out->keep_condition = true;
		return false;
	}
	if (p->held.n == 0 || !fits_families(p, p->want.fam))
		pass_clear(p);
	return true;
}

static bool ips_equal_set(const struct alloc_ips *a, const struct alloc_ips *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!ip_eq(&a->ip[i], &b->ip[0]) && !ip_eq(&a->ip[i], &b->ip[b->n - 1]))
			return false;
	return true;
}

static bool pools_are(const struct pass *p, const char *pool)
{
	struct alloc_booking b;

	if (!allocator_find(p->s->alloc, p->who.key, &b))
		return false;
	for (size_t i = 0; i < b.ips.n; i++)
		if (strcmp(b.pool[i], pool) != 0)
			return false;
	return true;
}

/* Book what the Service holds, or take it away. False: the pass ends here. */
static bool pass_held(struct pass *p)
{
	struct err err = {0};

	if (p->held.n == 0)
		return true;
	if (!allocator_assign(p->s->alloc, &p->who, &p->held, ALLOC_HELD, &err)) {
		pass_event(p, false, "ClearAssignment",
			   "the current address is not allowed any more, another one is looked "
			   "for: %s",
			   err.msg);
		pass_clear(p);
		return true;
	}
	if (p->want.pool[0] && !pools_are(p, p->want.pool)) {
		pass_clear(p);
		return true;
	}
	if (!p->request_ok) {
		pass_event(p, true, "LoadBalancerFailed", "invalid request for addresses: %s",
			   p->why_request.msg);
		p->out->failed = p->out->keep = true;
		p->out->condition = (struct services_condition){
			p->s->opt.explain, true, "InvalidRequest",
			arena_printf(p->out->arena,
				     "the addresses stay; the new request is invalid: %s",
				     p->why_request.msg)};
		return false;
	}
	if (p->request.n > 0 && !ips_equal_set(&p->held, &p->request))
		pass_clear(p);
	return true;
}

/* A second family for a Service that would like one, from the pool of the first. */
static void pass_top_up(struct pass *p)
{
	struct err err = {0};

	if (p->held.n != 1 || p->want.policy != ALLOC_PREFER_DUAL || p->request.n > 0 ||
	    !p->want.fam[FAM_V4] || !p->want.fam[FAM_V6])
		return;
	if (allocator_add_family(p->s->alloc, &p->who, &p->held, &err))
		pass_event_allocated(p);
	else
		pass_event(p, false, "AdditionalAssignFailed", "no second address: %s", err.msg);
}

/* The outcome of a pass that leaves the Service with addresses. */
static void pass_end_allocated(struct pass *p)
{
	bool dual = p->want.fam[FAM_V4] && p->want.fam[FAM_V6];
	struct alloc_booking b;

	if (!allocator_find(p->s->alloc, p->who.key, &b))
		assert(0 && "a service with addresses has a booking");
	p->out->ips = p->held;
	if (p->request.n == 2)
		pass_sort_as_text(&p->out->ips);
	p->out->pool = strcmp(b.pool[0], b.pool[b.ips.n - 1]) == 0
			       ? arena_strdup(p->out->arena, b.pool[0])
			       : arena_printf(p->out->arena, "%s,%s", b.pool[0], b.pool[1]);
	p->partial = dual && p->held.n == 1;
	if (p->s->opt.explain)
		pass_explain_allocated(p, &b);
}

static void pass_allocate(struct pass *p)
{
	struct err err = {0};

	if (p->held.n == 0 && !pass_get_addresses(p, &err)) {
		pass_explain_failure(p, &err);
		p->out->failed = true;
		return;
	}
	pass_end_allocated(p);
}

static void pass_run(struct pass *p)
{
	if (!pass_guard(p))
		return;
	p->want.policy = request_policy(p->svc);
	p->want.v6_first =
		p->svc->ip_families.n > 0 && strcmp(p->svc->ip_families.items[0], "IPv6") == 0;
	p->want.pool = request_annotation(p->svc, ANNOTATION_POOL);
	p->request_ok = request_ips(p->svc, &p->request, &p->why_request);
	if (!pass_families(p) || !pass_held(p))
		return;
	pass_top_up(p);
	pass_allocate(p);
}

/* ---- after the pass ---- */

/* Did this pass do something that others may have waited for? */
static bool helps_others(const struct pass *p, const struct pass_before *before)
{
	struct alloc_booking after = {.sharing_key = "", .backend_key = ""};

	(void)allocator_find(p->s->alloc, p->who.key, &after);
	if (strcmp(before->identity, pass_identity(p, &after)) != 0)
		return true;
	for (size_t i = 0; i < before->ips.n; i++) {
		const struct ip *ip = &before->ips.ip[i];
		bool kept = false;

		for (size_t j = 0; j < after.ips.n; j++)
			kept |= ip_eq(ip, &after.ips.ip[j]);
		if (!kept && allocator_pool_of(p->s->alloc, ip))
			return true;
	}
	return false;
}

static void note_waiting(struct pass *p)
{
	struct services *s = p->s;
	struct waiting *w = table_find(&s->waiting, p->who.key);

	if (!p->out->failed && !p->partial) {
		free(table_del(&s->waiting, p->who.key));
		return;
	}
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		table_set(&s->waiting, p->who.key, w);
	}
	uint64_t said = 0;

	for (size_t i = 0; i < p->out->n_events; i++) {
		uint64_t hash = pass_event_hash(&p->out->events[i]);

		for (size_t j = 0; j < ARRAY_SIZE(w->said); j++)
			p->out->events[i].again |= w->said[j] == hash;
		if (said < ARRAY_SIZE(w->said))
			w->next[said++] = hash;
	}
	if (said > 0)
		memcpy(w->said, w->next, sizeof(w->said));
}

static struct alloc_service make_who(const struct service *svc, const char *key,
				     const char *backend_key)
{
	return (struct alloc_service){
		.key = key,
		.ns = svc->obj.meta.namespace,
		.labels = &svc->obj.meta.labels,
		.sharing_key = request_annotation(svc, ANNOTATION_SHARING),
		.backend_key = backend_key,
		.ports = svc->ports,
		.n_ports = svc->n_ports,
	};
}

void services_adopt(struct services *s, const struct service *svc)
{
	_cleanup_free_ char *backend_key = request_backend_key(svc);
	_cleanup_free_ char *key = xasprintf("%s/%s", svc->obj.meta.namespace, svc->obj.meta.name);
	struct alloc_service who = make_who(svc, key, backend_key);
	struct alloc_ips held;
	struct err err = {0};

	if (strcmp(svc->type, "LoadBalancer") != 0 || !services_has_class(s, svc) ||
	    !read_status(svc, &held, &err) || held.n == 0)
		return;
	/* When it may not keep them, the pass over it will say so. */
	(void)allocator_assign(s->alloc, &who, &held, ALLOC_HELD, &err);
}

void services_converge(struct services *s, const struct service *svc, usec_t wall,
		       struct services_result *out)
{
	_cleanup_free_ char *backend_key = request_backend_key(svc);
	_cleanup_free_ char *key = xasprintf("%s/%s", svc->obj.meta.namespace, svc->obj.meta.name);
	struct pass p = {.s = s, .svc = svc, .out = out, .wall = wall};
	struct pass_before before;
	struct alloc_booking b = {.sharing_key = "", .backend_key = ""};
	bool booked = allocator_find(s->alloc, key, &b);

	*out = (struct services_result){.arena = arena_new()};
	p.who = make_who(svc, key, backend_key);
	before = (struct pass_before){.ips = b.ips, .identity = pass_identity(&p, &b)};
	if (!services_has_class(s, svc)) {
		/* Kubernetes drops the class of a Service that is no load balancer any more. */
		bool was_ours = booked && strcmp(svc->type, "LoadBalancer") != 0;

		allocator_release(s->alloc, key);
		free(table_del(&s->waiting, key));
		s->recheck |= booked;
		if (!was_ours)
			return;
	}
	out->ours = true;
	pass_run(&p);
	if (request_has_deprecated(svc) && services_patch(svc, out, false, wall, NULL))
		pass_event(&p, true, "deprecatedAnnotation",
			   "annotations that start with " DEPRECATED_PREFIX
			   " are deprecated, use metallb.io/");
	note_waiting(&p);
	s->recheck |= helps_others(&p, &before);
}
