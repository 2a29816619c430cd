/*
 * Writing one Service's status: a merge patch that carries the resourceVersion it was made from. On
 * success the answer's resourceVersion is kept until the watch has caught up with it, so that no
 * decision is made from a Service that is older than our own write.
 */
#include <json-c/json.h>

#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "operator/metrics.h"
#include "operator/reconcile_impl.h"

struct write {
	struct reconcile *r;
	struct kube_call *call;
	char *key, *uid;
	char *allocated; /* message of the event to send on success, or NULL */
	bool condition;  /* the patch sets our condition */
};

static void write_free(struct write *w)
{
	free(w->key);
	free(w->uid);
	free(w->allocated);
	free(w);
}

static bool is_allocated(const struct services_event *e)
{
	return strcmp(e->reason, "IPAllocated") == 0;
}

static void send_event(struct reconcile *r, const char *key, const char *uid, bool warning,
		       const char *reason, const char *message)
{
	_cleanup_free_ char *copy = xstrdup(key);
	struct kube_event_object obj = {.resource = &kube_services, .uid = uid};

	kube_key_split(copy, &obj.ns, &obj.name);
	kube_recorder_event(r->spec.recorder, &obj, warning ? "Warning" : "Normal", reason,
			    message);
}

void write_events(struct reconcile *r, const struct service *svc,
		  const struct services_result *result, bool allocated)
{
	_cleanup_free_ char *key = kube_key(svc->obj.meta.namespace, svc->obj.meta.name);

	for (size_t i = 0; i < result->n_events; i++) {
		const struct services_event *e = &result->events[i];

		if (is_allocated(e) != allocated || e->again)
			continue;
		send_event(r, key, svc->obj.meta.uid, e->warning, e->reason, e->message);
		if (e->warning)
			log_warn("service not converged", "service", key, "reason", e->reason,
				 "message", e->message, NULL);
	}
}

/* Resource versions are opaque, but every server that we know counts upwards. */
static bool is_older(const char *version, const char *than)
{
	char *end1, *end2;
	unsigned long long a = strtoull(version, &end1, 10), b = strtoull(than, &end2, 10);

	return *version && *than && !*end1 && !*end2 && a < b;
}

bool write_is_ahead(struct reconcile *r, const char *key, const struct service *svc)
{
	const char *want = table_find(&r->expected, key);

	if (!want)
		return false;
	if (is_older(svc->obj.meta.resource_version, want))
		return true;
	free(table_del(&r->expected, key));
	return false;
}

static bool keeps_condition(struct json_object *service)
{
	struct json_object *status = kube_json_get(service, "status");
	struct json_object *list = status ? kube_json_get(status, "conditions") : NULL;

	if (!list || !json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *c = json_object_array_get_idx(list, i);

		if (strcmp(kube_json_str(c, "type"), SERVICES_CONDITION) == 0)
			return true;
	}
	return false;
}

static void on_written(struct write *w, const struct kube_result *result)
{
	struct reconcile *r = w->r;
	const char *version = result->body ? kube_meta_str(result->body, "resourceVersion") : "";

	if (*version)
		free(table_set(&r->expected, w->key, xstrdup(version)));
	if (w->condition && result->body && !keeps_condition(result->body) && r->conditions) {
		log_warn("this API server drops conditions of Services; the reasons of pending "
			 "Services are told by Events only",
			 NULL);
		r->conditions = false;
	}
	if (w->allocated) {
		send_event(r, w->key, w->uid, false, "IPAllocated", w->allocated);
		log_info("service has addresses", "service", w->key, "event", w->allocated, NULL);
	}
	kube_queue_forget(r->queue, w->key);
}

static void on_done(void *user, const struct kube_result *result)
{
	struct write *w = user;
	struct reconcile *r = w->r;

	table_del(&r->writing, w->key);
	r->n_writing--;
	if (result->ok) {
		on_written(w, result);
	} else if (result->status == 404) {
		kube_queue_forget(r->queue, w->key);
	} else {
		/* A conflict resolves itself: the newer Service is on its way to us. */
		if (result->status == 409)
			log_debug("service changed meanwhile", "service", w->key, NULL);
		else
			log_error("cannot write the status of a service", "service", w->key,
				  "error", result->message, NULL);
		if (result->status != 409)
			metric_add(operator_metrics.update_errors, NULL, 1);
		kube_queue_retry(r->queue, w->key, clock_now());
	}
	kube_queue_done(r->queue, w->key);
	pool_status_note(r->pool_status);
	write_free(w);
	reconcile_kick(r);
}

static const char *allocated_message(const struct services_result *result)
{
	for (size_t i = 0; i < result->n_events; i++)
		if (is_allocated(&result->events[i]))
			return result->events[i].message;
	return NULL;
}

bool write_start(struct reconcile *r, const char *key, const struct service *svc,
		 const struct services_result *result)
{
	_cleanup_(buf_fini) struct buf body = {0};
	const char *allocated = allocated_message(result);

	if (!services_patch(svc, result, r->conditions, clock_wall(), &body))
		return false;
	if (!r->spec.may_write(r->spec.user))
		return false;
	struct write *w = xcalloc(1, sizeof(*w));

	w->r = r;
	w->key = xstrdup(key);
	w->uid = xstrdup(svc->obj.meta.uid);
	w->allocated = allocated ? xstrdup(allocated) : NULL;
	w->condition = r->conditions && result->condition.wanted && !result->keep_condition &&
		       strstr(buf_str(&body), "\"conditions\"") != NULL;
	table_set(&r->writing, key, w);
	r->n_writing++;
	struct kube_ref ref = {&kube_services, svc->obj.meta.namespace, svc->obj.meta.name,
			       "status"};

	w->call = kube_client_patch(r->spec.client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
				    on_done, w);
	return true;
}

void write_cancel_all(struct reconcile *r)
{
	table_for_each (&r->writing, e) {
		struct write *w = e->value;

		kube_client_cancel(w->call);
		write_free(w);
	}
}
