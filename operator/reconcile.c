/*
 * What to look at and when. Nothing is decided before pools, communities, namespaces, Services (and
 * nodes, and the remembered addresses) are known. Then every Service is looked at once, those with
 * addresses first, so that nothing new is given out before all that is in use is booked. From then
 * on only Services that changed, or that wait while something became free.
 */
#include "operator/reconcile.h"

#include <assert.h>

#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "operator/metrics.h"
#include "operator/reconcile_impl.h"
#include "operator/request.h"

#define WRITES_MAX 64u /* Services whose status is being written at a time */

void reconcile_kick(struct reconcile *r)
{
	if (ev_is_active(&r->timer) && ev_timer_remaining(r->loop, &r->timer) <= 0.)
		return;
	ev_timer_stop(r->loop, &r->timer);
	ev_timer_set(&r->timer, 0., 0.);
	ev_timer_start(r->loop, &r->timer);
}

/* ---- Services as the informer brings them ---- */

static bool has_our_marks(const struct service *svc)
{
	if (svc->ingress.n > 0 || labels_get(&svc->obj.meta.annotations, ANNOTATION_FROM))
		return true;
	for (size_t i = 0; i < svc->n_conditions; i++)
		if (strcmp(svc->conditions[i].type, SERVICES_CONDITION) == 0)
			return true;
	return false;
}

/* Services that are no load balancers and never were are not kept. */
static void *decode_service(struct json_object *json, struct err *err)
{
	struct api_object *obj = api_decode(API_SERVICE, json, err);
	struct service *svc = (struct service *)obj;

	if (!obj || strcmp(svc->type, "LoadBalancer") == 0 || has_our_marks(svc))
		return svc;
	return api_object_free(obj);
}

static void free_object(void *value)
{
	api_object_free(value);
}

static void on_service(void *user, const char *key, void *before, void *after)
{
	const struct service *was = before, *now = after;
	struct reconcile *r = user;

	if (was && (!now || strcmp(was->obj.meta.uid, now->obj.meta.uid) != 0)) {
		free(table_del(&r->expected, key));
		if (r->adopted) {
			services_forget(r->services, key, clock_wall());
			remember_note(r->remember);
			pool_status_note(r->pool_status);
		}
	}
	if (now && r->adopted)
		kube_queue_add(r->queue, key);
	reconcile_kick(r);
}

/* ---- configuration ---- */

static void on_config(void *user)
{
	struct reconcile *r = user;

	r->config_dirty = true;
	reconcile_kick(r);
}

static void on_pool_status(void *user)
{
	struct reconcile *r = user;

	pool_status_note(r->pool_status);
}

static void on_services_synced(void *user)
{
	reconcile_kick(user);
}

/* One line of the order in which all Services are looked at. */
struct turn {
	const char *key;
	const struct service *svc;
};

static int turn_cmp(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->svc->ingress.n != y->svc->ingress.n)
		return x->svc->ingress.n > y->svc->ingress.n ? -1 : 1;
	if (x->svc->obj.meta.created != y->svc->obj.meta.created)
		return x->svc->obj.meta.created < y->svc->obj.meta.created ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* Those with addresses first, then the older first. adopt: book what they have before anything. */
static void enqueue_all(struct reconcile *r, bool adopt)
{
	const struct kube_store *store = kube_informer_store(r->services_informer);
	size_t n = 0, pos = 0;
	_cleanup_free_ struct turn *turns = xcalloc(kube_store_count(store) + 1, sizeof(*turns));

	for (struct turn *t = turns; (t->svc = kube_store_next(store, &pos, &t->key)) != NULL; t++)
		n++;
	qsort(turns, n, sizeof(*turns), turn_cmp);
	for (size_t i = 0; i < n; i++) {
		if (adopt)
			services_adopt(r->services, turns[i].svc);
		kube_queue_add(r->queue, turns[i].key);
	}
}

static void apply_config(struct reconcile *r)
{
	struct config *old;

	bool first = !gather_config(r->gather);

	r->config_dirty = false;
	bool changed = gather_build(r->gather, &old);

	config_state_set(r->state, gather_errors(r->gather));
	metric_set(operator_metrics.config_stale, NULL, gather_errors(r->gather)[0] ? 1 : 0);
	if (!changed)
		return;
	services_set_config(r->services, gather_config(r->gather), gather_broken(r->gather));
	config_free(old);
	metric_set(operator_metrics.config_loaded, NULL, 1);
	metric_add(operator_metrics.updates, NULL, 1);
	log_info("configuration loaded", "pools",
		 log_int((long long)gather_config(r->gather)->n_pools), "left_out",
		 log_int((long long)gather_broken(r->gather)->n), NULL);
	enqueue_all(r, first);
	pool_status_note(r->pool_status);
}

/* ---- one Service ---- */

static void count_result(const struct services_result *result)
{
	metric_add(operator_metrics.updates, NULL, 1);
	if (result->failed)
		metric_add(operator_metrics.update_errors, NULL, 1);
}

static void look_at(struct reconcile *r, const char *key)
{
	const struct service *svc = kube_store_find(kube_informer_store(r->services_informer), key);
	struct services_result result;

	if (!svc || write_is_ahead(r, key, svc)) {
		kube_queue_done(r->queue, key);
		return;
	}
	services_converge(r->services, svc, clock_wall(), &result);
	count_result(&result);
	write_events(r, svc, &result, false);
	if (!write_start(r, key, svc, &result)) {
		kube_queue_forget(r->queue, key);
		kube_queue_done(r->queue, key);
	}
	services_result_fini(&result);
}

static void enqueue_waiting(struct reconcile *r)
{
	const char *key;
	size_t pos = 0;

	while ((key = services_next_waiting(r->services, &pos)) != NULL)
		kube_queue_add(r->queue, key);
}

static void work(struct reconcile *r)
{
	const char *key;

	for (;;) {
		usec_t now = clock_now();

		while (r->n_writing < WRITES_MAX && kube_queue_pop(r->queue, now, &key))
			look_at(r, key);
		/* All that changed is done: now those that wait. */
		if (r->n_writing >= WRITES_MAX || !services_take_recheck(r->services))
			break;
		pool_status_note(r->pool_status);
		enqueue_waiting(r);
	}
}

/* ---- the machine ---- */

static bool is_synced(const struct reconcile *r)
{
	return gather_is_synced(r->gather) && kube_informer_is_synced(r->services_informer) &&
	       (!r->nodes_informer || kube_informer_is_synced(r->nodes_informer)) &&
	       remember_is_loaded(r->remember);
}

static void arm(struct reconcile *r)
{
	usec_t due = kube_queue_deadline(r->queue), now = clock_now();

	ev_timer_stop(r->loop, &r->timer);
	if (due == USEC_NEVER || r->n_writing >= WRITES_MAX)
		return;
	ev_timer_set(&r->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(r->loop, &r->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct reconcile *r = w->data;

	(void)loop;
	(void)events;
	if (!is_synced(r))
		return;
	if (!r->adopted) {
		r->adopted = r->config_dirty = r->nodes_dirty = true;
		log_info("services are known", "count",
			 log_int((long long)kube_store_count(
				 kube_informer_store(r->services_informer))),
			 NULL);
	}
	if (r->nodes_dirty)
		nodes_apply(r);
	if (r->config_dirty)
		apply_config(r);
	work(r);
	arm(r);
}

bool reconcile_is_ready(const struct reconcile *r)
{
	return r->adopted;
}

void reconcile_flush(struct reconcile *r, void (*done)(void *user), void *user)
{
	remember_flush(r->remember, done, user);
}

static struct config_state *state_start(const struct reconcile *r)
{
	struct config_state_spec spec = {
		.client = r->spec.client,
		.ns = r->spec.ns,
		.name = "controller",
		.pod_name = r->spec.pod_name,
		.component = "controller",
		.field_manager = "metallb-controller",
		.condition = "poolReconcilerValid",
		.valid_text = "all pools are in force",
		.may_write = r->spec.may_write,
		.user = r->spec.user,
	};

	return config_state_new(&spec);
}

struct reconcile *reconcile_new(const struct reconcile_spec *spec)
{
	struct reconcile *r = xcalloc(1, sizeof(*r));
	struct gather_spec gather = {
		.client = spec->client,
		.ns = spec->ns,
		.backend = spec->backend,
		.on_change = on_config,
		.on_pool_status = on_pool_status,
		.user = r,
	};
	struct kube_informer_spec services = {
		.sources = {{&kube_services, decode_service}},
		.n_sources = 1,
		.free_value = free_object,
		.on_change = on_service,
		.on_synced = on_services_synced,
		.user = r,
	};

	r->spec = *spec;
	r->loop = kube_client_loop(spec->client);
	r->conditions = spec->services.explain;
	ev_init(&r->timer, on_timer);
	r->timer.data = r;
	table_init(&r->writing);
	table_init(&r->expected);
	r->queue = kube_queue_new(0, 0, &random_system);
	r->services = services_new(&spec->services);
	r->pool_status = pool_status_new(r);
	r->state = state_start(r);
	r->remember = remember_new(r);
	r->gather = gather_new(&gather);
	r->services_informer = kube_informer_new(spec->client, &services);
	if (spec->services.alloc.avoid_nodes)
		nodes_start(r);
	return r;
}

struct reconcile *reconcile_free(struct reconcile *r)
{
	if (!r)
		return NULL;
	ev_timer_stop(r->loop, &r->timer);
	write_cancel_all(r);
	table_for_each (&r->expected, e) {
		free(e->value);
	}
	table_fini(&r->expected);
	table_fini(&r->writing);
	kube_informer_free(r->services_informer);
	kube_informer_free(r->nodes_informer);
	remember_free(r->remember);
	pool_status_free(r->pool_status);
	config_state_free(r->state);
	services_free(r->services); /* borrows the configuration */
	gather_free(r->gather);
	kube_queue_free(r->queue);
	free(r);
	return NULL;
}
