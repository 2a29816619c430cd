/*
 * Writes the counters of each pool into IPAddressPool.status and the metrics, a moment after they
 * changed, so that a thousand allocations are one write. What somebody else writes there is
 * corrected.
 */
#include <inttypes.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/metrics.h"
#include "operator/reconcile_impl.h"

#define NOTE_DELAY        0.1 /* seconds from a change to the write */
#define RETRY_DELAY       2.
#define STATUS_WRITES_MAX 16u

struct pool_write {
	struct pool_status *p;
	struct kube_call *call;
	char *pool;
};

struct pool_status {
	struct reconcile *r;
	ev_timer timer;
	struct table writing; /* pool -> pool_write */
	struct table shown;   /* pools that have metrics -> anything */
};

static void arm(struct pool_status *p, double delay)
{
	if (ev_is_active(&p->timer))
		return;
	ev_timer_set(&p->timer, delay, 0.);
	ev_timer_start(p->r->loop, &p->timer);
}

void pool_status_note(struct pool_status *p)
{
	arm(p, NOTE_DELAY);
}

static void pool_write_free(struct pool_write *w)
{
	free(w->pool);
	free(w);
}

static void on_done(void *user, const struct kube_result *result)
{
	struct pool_write *w = user;
	struct pool_status *p = w->p;

	table_del(&p->writing, w->pool);
	if (!result->ok && result->status != 404) {
		log_error("cannot write the status of an address pool", "pool", w->pool, "error",
			  result->message, NULL);
		arm(p, RETRY_DELAY);
	}
	pool_write_free(w);
}

static bool differs(const struct ipaddresspool *pool, const struct alloc_counters *c)
{
	return !pool->has_status || pool->assigned_v4 != c->in_use[FAM_V4] ||
	       pool->assigned_v6 != c->in_use[FAM_V6] ||
	       pool->available_v4 != c->available[FAM_V4] ||
	       pool->available_v6 != c->available[FAM_V6];
}

static void send(struct pool_status *p, const struct alloc_counters *c)
{
	struct pool_write *w = xcalloc(1, sizeof(*w));
	struct kube_ref ref = {&kube_ipaddresspools, p->r->spec.ns, c->pool, "status"};
	_cleanup_(buf_fini) struct buf body = {0};

	buf_printf(&body,
		   "{\"status\":{\"assignedIPv4\":%" PRId64 ",\"assignedIPv6\":%" PRId64
		   ",\"availableIPv4\":%" PRId64 ",\"availableIPv6\":%" PRId64 "}}",
		   c->in_use[FAM_V4], c->in_use[FAM_V6], c->available[FAM_V4],
		   c->available[FAM_V6]);
	w->p = p;
	w->pool = xstrdup(c->pool);
	table_set(&p->writing, c->pool, w);
	w->call = kube_client_patch(p->r->spec.client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
				    on_done, w);
}

/* Metrics of pools that are gone. */
static void drop_metrics(struct pool_status *p, const struct table *live)
{
	table_for_each (&p->shown, e) {
		if (table_find(live, e->key))
			continue;
		_cleanup_free_ char *name = xstrdup(e->key);

		operator_metrics_del_pool(name);
		table_del(&p->shown, name);
	}
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct pool_status *p = timer->data;
	const struct allocator *a = services_allocator(p->r->services);
	bool may_write = p->r->spec.may_write(p->r->spec.user), postponed = false;
	struct table live;

	(void)loop;
	(void)events;
	table_init(&live);
	for (size_t i = 0; i < allocator_n_pools(a); i++) {
		struct alloc_counters c;

		allocator_counters(a, i, &c);
		operator_metrics_set_pool(&c);
		table_set(&p->shown, c.pool, p);
		table_set(&live, c.pool, p);
		const struct ipaddresspool *pool = gather_pool(p->r->gather, c.pool);

		if (!pool || !differs(pool, &c) || !may_write)
			continue;
		if (table_find(&p->writing, c.pool) ||
		    table_count(&p->writing) >= STATUS_WRITES_MAX)
			postponed = true;
		else
			send(p, &c);
	}
	drop_metrics(p, &live);
	table_fini(&live);
	if (postponed)
		arm(p, NOTE_DELAY);
}

struct pool_status *pool_status_new(struct reconcile *r)
{
	struct pool_status *p = xcalloc(1, sizeof(*p));

	p->r = r;
	ev_init(&p->timer, on_timer);
	p->timer.data = p;
	table_init(&p->writing);
	table_init(&p->shown);
	return p;
}

struct pool_status *pool_status_free(struct pool_status *p)
{
	if (!p)
		return NULL;
	ev_timer_stop(p->r->loop, &p->timer);
	table_for_each (&p->writing, e) {
		struct pool_write *w = e->value;

		kube_client_cancel(w->call);
		pool_write_free(w);
	}
	table_for_each (&p->shown, e) {
		operator_metrics_del_pool(e->key);
	}
	table_fini(&p->writing);
	table_fini(&p->shown);
	free(p);
	return NULL;
}
