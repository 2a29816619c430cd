/*
 * The memory of addresses in the ConfigMap metallb-address-memory: read once at the start, written
 * a few seconds after it changed. A ConfigMap that cannot be read or written costs the memory,
 * never an allocation.
 */
#include <json-c/json.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/reconcile_impl.h"

#define CONFIGMAP_NAME "metallb-address-memory"
#define CONFIGMAP_KEY  "addresses"
#define WRITE_DELAY    3.
#define RETRY_DELAY    30.

struct remember {
	struct reconcile *r;
	ev_timer timer;
	struct kube_call *call;
	bool on, loaded, dirty, exists;
	void (*done)(void *user);
	void *user;
};

static void finish(struct remember *m)
{
	void (*done)(void *user) = m->done;

	m->done = NULL;
	if (done)
		done(m->user);
}

static void arm(struct remember *m, double delay)
{
	if (ev_is_active(&m->timer))
		return;
	ev_timer_set(&m->timer, delay, 0.);
	ev_timer_start(m->r->loop, &m->timer);
}

static void on_loaded(void *user, const struct kube_result *result)
{
	struct remember *m = user;

	m->call = NULL;
	m->loaded = true;
	m->exists = result->ok;
	if (result->ok) {
		struct json_object *data = kube_json_get(result->body, "data");
		size_t bad =
			memory_parse(services_memory(m->r->services),
				     data ? kube_json_str(data, CONFIGMAP_KEY) : "", clock_wall());

		if (bad > 0)
			log_warn("lines of ConfigMap " CONFIGMAP_NAME " cannot be read", "lines",
				 log_int((long long)bad), NULL);
	} else if (result->status != 404) {
		log_error("cannot read the remembered addresses", "error", result->message, NULL);
	}
	reconcile_kick(m->r);
}

static void on_written(void *user, const struct kube_result *result)
{
	struct remember *m = user;

	m->call = NULL;
	if (result->ok) {
		m->exists = true;
	} else {
		m->dirty = true;
		if (result->status == 404 || result->status == 409)
			m->exists = result->status == 409;
		log_error("cannot write the remembered addresses", "error", result->message, NULL);
	}
	if (m->done)
		finish(m);
	else if (m->dirty)
		arm(m, result->ok ? WRITE_DELAY : RETRY_DELAY);
}

static void write_now(struct remember *m)
{
	struct kube_ref ref = {&kube_configmaps, m->r->spec.ns, CONFIGMAP_NAME, NULL};
	_cleanup_(buf_fini) struct buf body = {0}, text = {0};
	struct kube_client *client = m->r->spec.client;

	m->dirty = false;
	memory_format(services_memory(m->r->services), clock_wall(), &text);
	buf_add_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
			   "\"" CONFIGMAP_NAME
			   "\",\"labels\":{\"app\":\"metallb\"}},\"data\":{\"" CONFIGMAP_KEY "\":");
	buf_add_json_str(&body, buf_str(&text), text.len);
	buf_add_str(&body, "}}");
	if (m->exists) {
		m->call = kube_client_patch(client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
					    on_written, m);
	} else {
		ref.name = NULL;
		m->call = kube_client_create(client, &ref, buf_str(&body), on_written, m);
	}
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct remember *m = w->data;

	(void)loop;
	(void)events;
	if (m->call || !m->dirty || !m->r->spec.may_write(m->r->spec.user))
		return;
	write_now(m);
}

bool remember_is_loaded(const struct remember *m)
{
	return m->loaded;
}

void remember_note(struct remember *m)
{
	if (!m->on)
		return;
	m->dirty = true;
	if (!m->call)
		arm(m, WRITE_DELAY);
}

void remember_flush(struct remember *m, void (*done)(void *user), void *user)
{
	m->done = done;
	m->user = user;
	ev_timer_stop(m->r->loop, &m->timer);
	if (!m->call && m->dirty && m->loaded && m->r->spec.may_write(m->r->spec.user))
		write_now(m);
	if (!m->call || !m->loaded)
		finish(m);
}

struct remember *remember_new(struct reconcile *r)
{
	struct kube_ref ref = {&kube_configmaps, r->spec.ns, CONFIGMAP_NAME, NULL};
	struct remember *m = xcalloc(1, sizeof(*m));

	m->r = r;
	m->on = r->spec.services.remember;
	m->loaded = !m->on;
	ev_init(&m->timer, on_timer);
	m->timer.data = m;
	if (m->on)
		m->call = kube_client_get(r->spec.client, &ref, on_loaded, m);
	return m;
}

struct remember *remember_free(struct remember *m)
{
	if (!m)
		return NULL;
	ev_timer_stop(m->r->loop, &m->timer);
	if (m->call)
		kube_client_cancel(m->call);
	free(m);
	return NULL;
}
