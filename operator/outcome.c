/*
 * The second half of a pass over a Service: getting addresses, and putting the outcome into words:
 * events, the condition and their reasons.
 */
#include <assert.h>
#include <stdarg.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "operator/memory.h"
#include "operator/request.h"
#include "operator/services_impl.h"

#define EVENT_TEXT_MAX     900u /* the API server takes 1024 bytes of an Event's message */
#define CONDITION_TEXT_MAX 16384u

void pass_event(struct pass *p, bool warning, const char *reason, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	assert(p->out->n_events < SERVICES_EVENTS_MAX);
	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	p->out->events[p->out->n_events++] = (struct services_event){
		.warning = warning,
		.reason = reason,
		.message = arena_strdup(p->out->arena, message),
	};
}

/* FNV-1a; 0 is not a value, so that an empty slot matches nothing. */
uint64_t pass_event_hash(const struct services_event *e)
{
	const char *parts[] = {e->reason, e->message};
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (const char *c = parts[i]; *c; c++)
			h = (h ^ (uint8_t)*c) * 0x100000001b3u;
	return h ? h : 1;
}

void pass_event_allocated(struct pass *p)
{
	_cleanup_(buf_fini) struct buf text = {0};
	char ip[IP_STR_MAX];

	for (size_t i = 0; i < p->held.n; i++)
		buf_printf(&text, "%s\"%s\"", i ? " " : "", ip_format(&p->held.ip[i], ip));
	pass_event(p, false, "IPAllocated", "Assigned IP [%s]", buf_str(&text));
}

const char *pass_identity(const struct pass *p, const struct alloc_booking *b)
{
	return arena_printf(p->out->arena, "%s%s", b->backend_key, b->sharing_key);
}

bool pass_is_on_hold(const struct pass *p)
{
	const struct service *svc = p->svc;
	const char *pool = labels_get(&svc->obj.meta.annotations, ANNOTATION_FROM);
	bool any = false;
	struct ip ip;

	if (!pool || !table_find(&p->s->broken, pool))
		return false;
	for (size_t i = 0; i < svc->ingress.n; i++) {
		if (!ip_parse(svc->ingress.items[i], &ip))
			continue;
		if (allocator_pool_of(p->s->alloc, &ip))
			return false;
		any = true;
	}
	return any;
}

void pass_sort_as_text(struct alloc_ips *ips)
{
	char a[IP_STR_MAX], b[IP_STR_MAX];

	if (strcmp(ip_format(&ips->ip[0], a), ip_format(&ips->ip[1], b)) > 0) {
		struct ip first = ips->ip[0];

		ips->ip[0] = ips->ip[1];
		ips->ip[1] = first;
	}
}

/* ---- getting addresses ---- */

static bool get_requested(struct pass *p, struct err *err)
{
	bool fam[FAM_COUNT];

	(void)request_families_of(&p->request, fam, NULL); /* request_ips() has checked it */
	if (fam[FAM_V4] != p->want.fam[FAM_V4] || fam[FAM_V6] != p->want.fam[FAM_V6])
		return err_set(err, "the requested addresses are %s, the service is %s",
			       p->request.n == 2 ? "IPv4 and IPv6" : fam_name(fam[FAM_V6]),
			       p->want.fam[FAM_V4] && p->want.fam[FAM_V6]
				       ? "IPv4 and IPv6"
				       : fam_name(p->want.fam[FAM_V6]));
	for (size_t i = 0; i < p->request.n && p->want.pool[0]; i++) {
		const char *pool = allocator_pool_of(p->s->alloc, &p->request.ip[i]);

		if (pool && strcmp(pool, p->want.pool) != 0)
			return err_set(err,
				       "the requested address is in pool %s, but annotation %s "
				       "asks for pool %s",
				       pool, ANNOTATION_POOL, p->want.pool);
	}
	p->by_pools = true;
	if (!allocator_assign(p->s->alloc, &p->who, &p->request, ALLOC_REQUESTED, err))
		return false;
	p->held = p->request;
	return true;
}

static void warn_of_nodes(struct pass *p)
{
	char text[IP_STR_MAX];

	for (size_t i = 0; i < p->request.n; i++) {
		const char *node = allocator_node_of(p->s->alloc, &p->request.ip[i]);

		if (node)
			pass_event(p, true, "NodeAddress",
				   "%s was given as requested, but node %s has it",
				   ip_format(&p->request.ip[i], text), node);
	}
}

bool pass_get_addresses(struct pass *p, struct err *err)
{
	struct alloc_ips old;

	if (!p->request_ok)
		return err_set(err, "%s", p->why_request.msg);
	if (!p->families_known)
		return err_set(err, "%s", p->why_families.msg);
	if (p->request.n > 0) {
		if (!get_requested(p, err))
			return false;
		pass_event_allocated(p);
		warn_of_nodes(p);
		return true;
	}
	if (p->s->opt.remember && memory_find(p->s->memory, p->who.key, p->wall, &old)) {
		p->want.prefer = old.ip;
		p->want.n_prefer = old.n;
	}
	p->by_pools =
		!(p->want.fam[FAM_V4] && p->want.fam[FAM_V6] && p->want.policy == ALLOC_SINGLE);
	bool ok = allocator_allocate(p->s->alloc, &p->who, &p->want, &p->held, err);

	p->want.prefer = NULL;
	p->want.n_prefer = 0;
	if (ok) {
		memory_del(p->s->memory, p->who.key);
		pass_event_allocated(p);
	}
	return ok;
}

/* ---- words ---- */

static void explain_pools(struct pass *p, size_t max, struct buf *out)
{
	allocator_explain(p->s->alloc, &p->who, &p->want, &p->request, p->want.fam, max, out);
}

void pass_explain_failure(struct pass *p, const struct err *err)
{
	_cleanup_(buf_fini) struct buf event = {0}, condition = {0};

	buf_printf(&condition, "%.*s", (int)EVENT_TEXT_MAX / 2, err->msg);
	buf_printf(&event, "Failed to allocate IP for \"%s\": %s", p->who.key, buf_str(&condition));
	if (p->s->opt.explain && p->by_pools) {
		buf_add_str(&event, ": ");
		explain_pools(p, event.len < EVENT_TEXT_MAX ? EVENT_TEXT_MAX - event.len : 0,
			      &event);
		buf_add_str(&condition, ": ");
		explain_pools(p, CONDITION_TEXT_MAX, &condition);
	}
	pass_event(p, true, "AllocationFailed", "%s", buf_str(&event));
	p->out->condition = (struct services_condition){
		.wanted = p->s->opt.explain,
		.reason = "AllocationFailed",
		.message = arena_strdup(p->out->arena, buf_str(&condition)),
	};
}

void pass_explain_allocated(struct pass *p, const struct alloc_booking *b)
{
	_cleanup_(buf_fini) struct buf text = {0};
	char ip[IP_STR_MAX];

	for (size_t i = 0; i < b->ips.n; i++)
		buf_printf(&text, "%s%s from pool %s", i ? ", " : "", ip_format(&b->ips.ip[i], ip),
			   b->pool[i]);
	if (p->partial) {
		unsigned missing = 1 - fam_of(&b->ips.ip[0]);
		bool fam[FAM_COUNT] = {missing == FAM_V4, missing == FAM_V6};

		buf_printf(&text, "; no %s address: ", fam_name(missing));
		allocator_explain(p->s->alloc, &p->who, &p->want, NULL, fam, CONDITION_TEXT_MAX,
				  &text);
	}
	p->out->condition = (struct services_condition){
		.wanted = true,
		.status = true,
		.reason = p->partial ? "PartiallyAllocated" : "Allocated",
		.message = arena_strdup(p->out->arena, buf_str(&text)),
	};
}
