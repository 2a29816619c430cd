/*
 * Writes the Events that correlate.c decides on. What is said while the Event's last write is still
 * under way goes with the next one, so a burst of the same costs two writes, not a thousand.
 */
#include "metallb/kube_event.h"

#include <ev.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kube/correlate.h"
#include "metallb/list.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

#define WRITES_MAX  8    /* under way at once */
#define WAITING_MAX 2048 /* Events that wait for their write */
#define TRIES_MAX   5
#define RETRY_DELAY (2 * USEC_PER_SEC) /* doubles */

/* One Event's writing; lives from its first need until it is up to date. */
struct job {
	struct list in_recorder; /* in waiting or writing */
	struct kube_recorder *recorder;
	struct kube_event *event; /* busy meanwhile */
	struct kube_call *call;
	unsigned count; /* that the write under way carries */
	unsigned tries;
	usec_t due;
};

struct kube_recorder {
	struct kube_client *client;
	struct kube_correlate *correlate;
	char *component, *host;
	struct list waiting, writing;
	size_t n_waiting, n_writing;
	struct log_limit full;
	ev_timer timer;
};

static void pump(struct kube_recorder *r);

static void add_str(struct json_object *o, const char *name, const char *value)
{
	if (value && value[0])
		json_object_object_add(o, name, json_object_new_string(value));
}

static void add_time(struct json_object *o, const char *name, usec_t wall)
{
	char text[32];

	add_str(o, name, clock_format_rfc3339(wall, text));
}

/* Events about cluster-scoped objects live in "default". */
static const char *event_ns(const struct kube_event *e)
{
	return e->ns[0] ? e->ns : "default";
}

static struct json_object *involved_object(const struct kube_event *e)
{
	struct json_object *o = json_object_new_object();
	struct buf version = {0};

	kube_api_version(e->resource, &version);
	add_str(o, "kind", e->resource->kind);
	add_str(o, "apiVersion", buf_str(&version));
	add_str(o, "namespace", e->ns);
	add_str(o, "name", e->name);
	add_str(o, "uid", e->uid);
	add_str(o, "resourceVersion", e->resource_version);
	buf_fini(&version);
	return o;
}

/* core/v1 Event, the fields that kubectl describe and get events show. */
static struct json_object *whole_event(const struct kube_recorder *r, const struct kube_event *e)
{
	struct json_object *o = json_object_new_object(), *meta = json_object_new_object();
	struct json_object *source = json_object_new_object();

	add_str(o, "kind", "Event");
	add_str(o, "apiVersion", "v1");
	add_str(meta, "namespace", event_ns(e));
	add_str(meta, "name", e->event_name);
	json_object_object_add(o, "metadata", meta);
	json_object_object_add(o, "involvedObject", involved_object(e));
	add_str(o, "type", e->type);
	add_str(o, "reason", e->reason);
	add_str(o, "message", e->message);
	add_str(source, "component", r->component);
	add_str(source, "host", r->host);
	json_object_object_add(o, "source", source);
	add_str(o, "reportingComponent", r->component);
	add_str(o, "reportingInstance", r->host);
	add_time(o, "firstTimestamp", e->first);
	add_time(o, "lastTimestamp", e->last);
	json_object_object_add(o, "count", json_object_new_int64(e->count));
	return o;
}

static struct json_object *count_patch(const struct kube_event *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "count", json_object_new_int64(e->count));
	add_str(o, "message", e->message);
	add_time(o, "lastTimestamp", e->last);
	return o;
}

static void job_end(struct job *j)
{
	list_del(&j->in_recorder);
	j->event->busy = false;
	free(j);
}

static void job_wait(struct job *j, usec_t due)
{
	struct kube_recorder *r = j->recorder;

	j->due = due;
	list_del(&j->in_recorder);
	list_add_tail(&r->waiting, &j->in_recorder);
	r->n_waiting++;
}

/* Worth another try: no answer, or the server is not well. */
static bool may_retry(const struct job *j, const struct kube_result *result)
{
	return j->tries < TRIES_MAX &&
	       (result->status == 0 || result->status == 429 || result->status >= 500);
}

/* Nobody can write into a namespace that is on its way out, and nobody will read there. */
static bool ns_is_going(const struct kube_result *result)
{
	struct json_object *causes =
		kube_json_get(kube_json_get(result->body, "details"), "causes");

	if (result->status != 403 || !json_object_is_type(causes, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(causes); i++) {
		struct json_object *cause = json_object_array_get_idx(causes, i);

		if (strcmp(kube_json_str(cause, "reason"), "NamespaceTerminating") == 0)
			return true;
	}
	return false;
}

static void on_written(void *user, const struct kube_result *result)
{
	struct job *j = user;
	struct kube_recorder *r = j->recorder;
	struct kube_event *e = j->event;

	j->call = NULL;
	r->n_writing--;
	if (result->ok) {
		e->written = j->count;
		j->tries = 0;
	}
	if (result->ok && e->count == e->written) {
		job_end(j);
	} else if (result->ok) {
		job_wait(j, 0);
	} else if (result->status == 404 && e->written > 0) {
		e->written = 0; /* it has expired: write it anew */
		job_wait(j, 0);
	} else if (may_retry(j, result)) {
		job_wait(j, clock_now() + (RETRY_DELAY << j->tries) + result->retry_after);
	} else if (ns_is_going(result)) {
		log_debug("kube: event not written, its namespace goes", "object", e->name,
			  "reason", e->reason, NULL);
		job_end(j);
	} else {
		log_warn("kube: event not written", "object", e->name, "reason", e->reason, "error",
			 result->message, NULL);
		job_end(j);
	}
	pump(r);
}

static void job_write(struct job *j)
{
	struct kube_recorder *r = j->recorder;
	struct kube_event *e = j->event;
	struct kube_ref ref = {.resource = &kube_events, .ns = event_ns(e), .name = e->event_name};
	struct json_object *body = e->written ? count_patch(e) : whole_event(r, e);
	const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);

	list_del(&j->in_recorder);
	list_add_tail(&r->writing, &j->in_recorder);
	r->n_waiting--;
	r->n_writing++;
	j->tries++;
	j->count = e->count;
	if (e->written)
		j->call = kube_client_patch(r->client, &ref, KUBE_PATCH_STRATEGIC, text, NULL,
					    on_written, j);
	else
		j->call = kube_client_create(r->client, &ref, text, on_written, j);
	json_object_put(body);
}

/* Start what is due, and wake up for what is not. */
static void pump(struct kube_recorder *r)
{
	struct ev_loop *loop = kube_client_loop(r->client);
	usec_t now = clock_now(), due = USEC_NEVER;
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &r->waiting) {
		struct job *j = container_of(pos, struct job, in_recorder);

		if (r->n_writing == WRITES_MAX)
			break; /* the end of a write brings us back */
		if (j->due <= now)
			job_write(j);
		else if (j->due < due)
			due = j->due;
	}
	ev_timer_stop(loop, &r->timer);
	if (due == USEC_NEVER)
		return;
	ev_timer_set(&r->timer, (double)(due - now) / 1e6, 0.);
	ev_timer_start(loop, &r->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)loop;
	(void)revents;
	pump(t->data);
}

struct kube_recorder *kube_recorder_new(struct kube_client *c, const char *component,
					const char *host)
{
	struct kube_recorder *r = xcalloc(1, sizeof(*r));

	r->client = c;
	r->correlate = kube_correlate_new();
	r->component = xstrdup(component);
	r->host = xstrdup(host ? host : "");
	list_init(&r->waiting);
	list_init(&r->writing);
	ev_timer_init(&r->timer, on_timer, 0., 0.);
	r->timer.data = r;
	return r;
}

struct kube_recorder *kube_recorder_free(struct kube_recorder *r)
{
	if (!r)
		return NULL;
	struct list *const lists[] = {&r->waiting, &r->writing};
	struct list *pos, *tmp;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_for_each_safe (pos, tmp, lists[i]) {
			struct job *j = container_of(pos, struct job, in_recorder);

			kube_client_cancel(j->call);
			job_end(j);
		}
	ev_timer_stop(kube_client_loop(r->client), &r->timer);
	kube_correlate_free(r->correlate);
	free(r->component);
	free(r->host);
	free(r);
	return NULL;
}

void kube_recorder_event(struct kube_recorder *r, const struct kube_event_object *object,
			 const char *type, const char *reason, const char *message)
{
	usec_t now = clock_now();
	unsigned suppressed;
	struct kube_event *e;
	struct job *j;

	if (r->n_waiting >= WAITING_MAX) {
		if (log_limit_ok(&r->full, now, 60 * USEC_PER_SEC, 1, &suppressed))
			log_warn("kube: too many events wait to be written", "dropped",
				 log_int(suppressed + 1), NULL);
		return;
	}
	e = kube_correlate_add(r->correlate, now, clock_wall(), object, type, reason, message);
	if (!e || e->busy)
		return; /* too many, or it goes with the write that follows the one under way */
	e->busy = true;
	j = xcalloc(1, sizeof(*j));
	j->recorder = r;
	j->event = e;
	list_init(&j->in_recorder);
	job_wait(j, 0);
	pump(r);
}

void kube_recorder_eventf(struct kube_recorder *r, const struct kube_event_object *object,
			  const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	kube_recorder_event(r, object, type, reason, message);
}
