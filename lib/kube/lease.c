/*
 * The shell of the leader election machine (elect.c): sends its requests, keeps its timer, tells of
 * what changed.
 */
#include "metallb/kube_lease.h"

#include <ev.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kube/client_impl.h"
#include "lib/kube/elect.h"
#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

struct kube_lease {
	struct kube_client *client;
	struct kube_elect *elect;
	struct kube_lease_spec spec; /* ns and name are copies */
	struct kube_call *call;
	struct kube_informer *informer; /* NULL: none is wanted */
	char *selector;
	ev_timer timer;
	bool told_leader; /* on_started was called, on_stopped not yet */
	char *told_holder;
	char *last_error; /* to log a failure once */
	void (*released)(void *user);
	void *released_user;
};

static void flush(struct kube_lease *l);

static void keep_error(struct kube_lease *l, const char *error)
{
	if (strcmp(error, l->last_error ? l->last_error : "") == 0)
		return;
	if (error[0])
		log_warn("kube: lease", "lease", l->spec.name, "error", error, NULL);
	free(l->last_error);
	l->last_error = xstrdup(error);
}

static void on_answer(void *user, const struct kube_result *r)
{
	struct kube_lease *l = user;
	/* That there is none yet, or that another was quicker, is no failure. */
	bool expected = r->ok || r->status == 404 || r->status == 409;

	l->call = NULL;
	keep_error(l, expected ? "" : r->message);
	kube_elect_recv(l->elect, clock_now(), r->status, r->ok ? r->body : NULL);
	flush(l);
}

static void send_order(struct kube_lease *l, enum kube_elect_order order, const char *body)
{
	struct kube_ref ref = {.resource = &kube_leases, .ns = l->spec.ns, .name = l->spec.name};

	if (order == KUBE_ELECT_GET)
		l->call = kube_client_get(l->client, &ref, on_answer, l);
	else if (order == KUBE_ELECT_CREATE)
		l->call = kube_client_create(l->client, &ref, body, on_answer, l);
	else
		l->call = kube_client_update(l->client, &ref, body, on_answer, l);
}

static void tell_holder(struct kube_lease *l)
{
	const char *holder = kube_elect_holder(l->elect);

	if (strcmp(holder, l->told_holder) == 0)
		return;
	free(l->told_holder);
	l->told_holder = xstrdup(holder);
	log_info("kube: lease is held", "lease", l->spec.name, "holder", holder, NULL);
	if (l->spec.on_leader)
		l->spec.on_leader(l->spec.user, l->told_holder);
}

/* Callbacks last: each finds the machine settled. */
static void tell(struct kube_lease *l)
{
	bool leader = kube_elect_is_leader(l->elect);

	tell_holder(l);
	if (leader != l->told_leader) {
		l->told_leader = leader;
		if (leader)
			l->spec.on_started(l->spec.user);
		else
			l->spec.on_stopped(l->spec.user);
	}
	if (l->released && kube_elect_is_released(l->elect)) {
		void (*released)(void *user) = l->released;

		l->released = NULL;
		released(l->released_user);
	}
}

static void flush(struct kube_lease *l)
{
	struct ev_loop *loop = kube_client_loop(l->client);
	usec_t now = clock_now(), due;
	enum kube_elect_order order;
	const char *body = NULL;

	while ((order = kube_elect_output(l->elect, now, clock_wall(), &body)) !=
	       KUBE_ELECT_NOTHING) {
		if (order == KUBE_ELECT_STOP)
			l->call = kube_client_abandon(l->call);
		else
			send_order(l, order, body);
	}
	ev_timer_stop(loop, &l->timer);
	due = kube_elect_deadline(l->elect);
	if (due != USEC_NEVER) {
		ev_timer_set(&l->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
		ev_timer_start(loop, &l->timer);
	}
	tell(l);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct kube_lease *l = t->data;

	(void)loop;
	(void)revents;
	kube_elect_tick(l->elect, clock_now());
	flush(l);
}

/* ---- the watch ---- */

static void *decode(struct json_object *o, struct err *err)
{
	(void)err;
	return json_object_get(o);
}

static void free_value(void *value)
{
	json_object_put(value);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct kube_lease *l = user;

	(void)key;
	(void)before;
	if (after && kube_json_str(kube_json_get(after, "spec"), "holderIdentity")[0])
		return;
	kube_elect_hint_free(l->elect, clock_now(), after);
	flush(l);
}

static void watch(struct kube_lease *l)
{
	struct kube_informer_spec spec = {
		.sources = {{&kube_leases, decode}},
		.n_sources = 1,
		.ns = l->spec.ns,
		.free_value = free_value,
		.on_change = on_change,
		.user = l,
	};

	l->selector = xasprintf("metadata.name=%s", l->spec.name);
	spec.field_selector = l->selector;
	l->informer = kube_informer_new(l->client, &spec);
}

struct kube_lease *kube_lease_new(struct kube_client *c, const struct kube_lease_spec *spec,
				  struct err *err)
{
	struct kube_elect_spec elect = {
		.ns = spec->ns,
		.name = spec->name,
		.identity = spec->identity,
		.duration = spec->duration > 0 ? spec->duration : KUBE_LEASE_DURATION,
		.renew = spec->renew > 0 ? spec->renew : KUBE_LEASE_RENEW,
		.retry = spec->retry > 0 ? spec->retry : KUBE_LEASE_RETRY,
	};
	struct kube_elect *machine = kube_elect_new(&elect, &random_system, err);
	struct kube_lease *l;

	if (!machine)
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->client = c;
	l->elect = machine;
	l->spec = *spec;
	l->spec.ns = xstrdup(spec->ns);
	l->spec.name = xstrdup(spec->name);
	l->spec.identity = NULL;
	l->told_holder = xstrdup("");
	ev_timer_init(&l->timer, on_timer, 0., 0.);
	l->timer.data = l;
	ev_timer_start(kube_client_loop(c), &l->timer);
	if (spec->watch)
		watch(l);
	return l;
}

void kube_lease_release(struct kube_lease *l, void (*done)(void *user), void *user)
{
	l->released = done;
	l->released_user = user;
	kube_elect_release(l->elect, clock_now());
	flush(l);
}

struct kube_lease *kube_lease_free(struct kube_lease *l)
{
	if (!l)
		return NULL;
	kube_informer_free(l->informer);
	free(l->selector);
	kube_client_cancel(l->call);
	ev_timer_stop(kube_client_loop(l->client), &l->timer);
	kube_elect_free(l->elect);
	free((void *)(uintptr_t)l->spec.ns);
	free((void *)(uintptr_t)l->spec.name);
	free(l->told_holder);
	free(l->last_error);
	free(l);
	return NULL;
}

bool kube_lease_is_held(const struct kube_lease *l, usec_t now)
{
	return kube_elect_is_held(l->elect, now);
}

const char *kube_lease_holder(const struct kube_lease *l)
{
	return kube_elect_holder(l->elect);
}
