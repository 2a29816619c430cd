/*
 * Leader election by a Lease (coordination.k8s.io/v1), compatible with client-go's: the same
 * record, the same rules. Clocks of different machines are never compared: another's lease has run
 * out when its record has not changed for its duration, by our clock since we saw it.
 *
 * We hold the lease from the moment we sent the write that the server took, for the renew
 * deadline, which is shorter than what others wait. Pure.
 */
#include "lib/kube/elect.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/kube.h"
#include "metallb/xalloc.h"

#define DURATION_MAX_S 3600 /* what we believe of another's record */

struct kube_elect {
	struct kube_elect_spec spec;
	const struct random_source *random;
	enum kube_elect_order order; /* under way, or NOTHING */
	bool sent;                   /* order has been handed out */
	bool must_stop;
	usec_t due;      /* order NOTHING: when to go on */
	usec_t sent_at;  /* of the order under way */
	bool must_fetch; /* what we know of the lease is not enough for an update */
	bool hinted; /* while a request is under way, which may have been answered before that */

	bool leader;
	usec_t held_until;
	bool releasing, released;
	usec_t release_by;

	struct json_object *lease; /* as last seen, or NULL */
	char *observed;            /* its spec as text */
	usec_t observed_at;        /* when that text was first seen */
	char *holder;
	char *body; /* of the order under way */
};

struct kube_elect *kube_elect_new(const struct kube_elect_spec *spec,
				  const struct random_source *random, struct err *err)
{
	struct kube_elect *e;

	if (spec->duration <= spec->renew || spec->renew <= spec->retry + spec->retry / 5 ||
	    spec->retry <= 0 || spec->duration % USEC_PER_SEC != 0 ||
	    spec->duration > DURATION_MAX_S * USEC_PER_SEC) {
		(void)err_set(err,
			      "lease %s/%s: needs duration > renew deadline > 1.2 * retry period > "
			      "0, in whole seconds up to an hour",
			      spec->ns, spec->name);
		return NULL;
	}
	if (!spec->identity[0] || strlen(spec->identity) > KUBE_ELECT_IDENTITY_MAX) {
		(void)err_set(err, "lease %s/%s: the identity is empty or too long", spec->ns,
			      spec->name);
		return NULL;
	}
	e = xcalloc(1, sizeof(*e));
	e->spec = *spec;
	e->spec.ns = xstrdup(spec->ns);
	e->spec.name = xstrdup(spec->name);
	e->spec.identity = xstrdup(spec->identity);
	e->random = random;
	e->must_fetch = true;
	e->holder = xstrdup("");
	return e;
}

struct kube_elect *kube_elect_free(struct kube_elect *e)
{
	if (!e)
		return NULL;
	free((void *)(uintptr_t)e->spec.ns);
	free((void *)(uintptr_t)e->spec.name);
	free((void *)(uintptr_t)e->spec.identity);
	json_object_put(e->lease);
	free(e->observed);
	free(e->holder);
	free(e->body);
	free(e);
	return NULL;
}

static bool is_ours(const struct kube_elect *e)
{
	return strcmp(e->holder, e->spec.identity) == 0;
}

/* Remember the lease as the server has it. false: it is no lease that could be updated. */
static bool observe(struct kube_elect *e, usec_t now, struct json_object *lease)
{
	struct json_object *spec = kube_json_get(lease, "spec");
	const char *text;

	if (!kube_meta_str(lease, "resourceVersion")[0])
		return false;
	text = json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PLAIN);
	if (!e->observed || strcmp(e->observed, text) != 0) {
		free(e->observed);
		e->observed = xstrdup(text);
		e->observed_at = now;
	}
	free(e->holder);
	e->holder = xstrdup(kube_json_str(spec, "holderIdentity"));
	json_object_get(lease);
	json_object_put(e->lease);
	e->lease = lease;
	e->must_fetch = false;
	return true;
}

static bool has_run_out(const struct kube_elect *e, usec_t now)
{
	struct json_object *spec = kube_json_get(e->lease, "spec");
	int64_t seconds = json_object_get_int64(kube_json_get(spec, "leaseDurationSeconds"));
	usec_t duration = e->spec.duration;

	if (seconds > 0 && seconds <= DURATION_MAX_S)
		duration = seconds * USEC_PER_SEC;
	return now >= e->observed_at + duration;
}

static void order(struct kube_elect *e, enum kube_elect_order what)
{
	e->order = what;
	e->sent = false;
}

static void idle(struct kube_elect *e, usec_t due)
{
	order(e, KUBE_ELECT_NOTHING);
	e->due = due;
}

static usec_t retry_at(struct kube_elect *e, usec_t now)
{
	return now + e->spec.retry + random_below(e->random, (uint32_t)(e->spec.retry / 5) + 1);
}

static void end_release(struct kube_elect *e)
{
	e->released = true;
	idle(e, USEC_NEVER);
}

/* What to ask for next, when there is nothing to wait for. */
static void go_on(struct kube_elect *e)
{
	order(e, e->must_fetch ? KUBE_ELECT_GET : KUBE_ELECT_UPDATE);
}

/* Until the next look, which comes at once when there is news that we do not have yet. */
static void wait(struct kube_elect *e, usec_t now)
{
	e->must_fetch = true;
	idle(e, e->hinted ? now : retry_at(e, now));
}

static void recv_get(struct kube_elect *e, usec_t now, int status, struct json_object *lease)
{
	if (status == 404) {
		if (e->releasing)
			end_release(e);
		else
			order(e, KUBE_ELECT_CREATE);
		return;
	}
	if (status != 200 || !observe(e, now, lease)) {
		wait(e, now);
		return;
	}
	if (!is_ours(e) && e->holder[0])
		e->leader = false;
	if (e->releasing) {
		if (is_ours(e))
			go_on(e);
		else
			end_release(e);
	} else if (is_ours(e) || !e->holder[0] || has_run_out(e, now)) {
		go_on(e);
	} else {
		wait(e, now);
	}
}

static void recv_write(struct kube_elect *e, usec_t now, int status, struct json_object *lease)
{
	bool ok = (status == 200 || status == 201) && observe(e, now, lease);

	if (ok && e->releasing && !e->holder[0]) {
		end_release(e);
	} else if (ok && e->releasing) {
		go_on(e);
	} else if (ok && is_ours(e)) {
		e->leader = true;
		e->held_until = e->sent_at + e->spec.renew;
		idle(e, now + e->spec.retry);
	} else {
		/* Taken by another, or unknown: an answer that was lost may have taken effect. */
		e->hinted |= status == 409;
		wait(e, now);
	}
}

void kube_elect_recv(struct kube_elect *e, usec_t now, int status, struct json_object *lease)
{
	enum kube_elect_order was = e->order;

	assert(e->sent && was != KUBE_ELECT_NOTHING);
	if (was == KUBE_ELECT_GET)
		recv_get(e, now, status, lease);
	else
		recv_write(e, now, status, lease);
	kube_elect_tick(e, now);
}

/* An answer that takes longer than this comes too late to be of use. */
static usec_t answer_by(const struct kube_elect *e)
{
	return e->sent_at + e->spec.renew / 2;
}

void kube_elect_tick(struct kube_elect *e, usec_t now)
{
	if (e->leader && now >= e->held_until)
		e->leader = false;
	if (e->released)
		return;
	if (e->releasing && now >= e->release_by) {
		e->must_stop = e->order != KUBE_ELECT_NOTHING && e->sent;
		end_release(e);
		return;
	}
	if (e->order != KUBE_ELECT_NOTHING && e->sent && now >= answer_by(e)) {
		e->must_stop = true;
		e->must_fetch = true;
		idle(e, now);
	}
	if (e->order == KUBE_ELECT_NOTHING && now >= e->due)
		go_on(e);
}

void kube_elect_hint_free(struct kube_elect *e, usec_t now, struct json_object *lease)
{
	if (e->leader || e->releasing)
		return;
	if (e->order != KUBE_ELECT_NOTHING) {
		e->hinted = e->sent;
		return;
	}
	if (!lease || !observe(e, now, lease))
		e->must_fetch = true;
	e->due = now;
	kube_elect_tick(e, now);
}

usec_t kube_elect_deadline(const struct kube_elect *e)
{
	usec_t due = e->order == KUBE_ELECT_NOTHING ? e->due : answer_by(e);

	if (e->leader && e->held_until < due)
		due = e->held_until;
	if (e->releasing && !e->released && e->release_by < due)
		due = e->release_by;
	return due;
}

static void set_str(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void set_int(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

/* The record that we want: everything that others keep in the object stays. */
static void fill_record(const struct kube_elect *e, struct json_object *spec, usec_t wall)
{
	char text[40];
	int64_t transitions = json_object_get_int64(kube_json_get(spec, "leaseTransitions"));

	clock_format_rfc3339_micro(wall, text);
	set_str(spec, "renewTime", text);
	if (e->releasing) {
		set_str(spec, "holderIdentity", "");
		set_str(spec, "acquireTime", text);
		set_int(spec, "leaseDurationSeconds", 1);
		return;
	}
	if (strcmp(kube_json_str(spec, "holderIdentity"), e->spec.identity) != 0) {
		set_str(spec, "acquireTime", text);
		set_int(spec, "leaseTransitions",
			e->order == KUBE_ELECT_CREATE ? 0 : transitions + 1);
	}
	set_str(spec, "holderIdentity", e->spec.identity);
	set_int(spec, "leaseDurationSeconds", e->spec.duration / USEC_PER_SEC);
}

static struct json_object *new_lease(const struct kube_elect *e)
{
	struct json_object *lease = json_object_new_object();
	struct json_object *meta = json_object_new_object();

	set_str(lease, "apiVersion", "coordination.k8s.io/v1");
	set_str(lease, "kind", "Lease");
	set_str(meta, "namespace", e->spec.ns);
	set_str(meta, "name", e->spec.name);
	json_object_object_add(lease, "metadata", meta);
	return lease;
}

static void build_body(struct kube_elect *e, usec_t wall)
{
	struct json_object *lease = NULL, *spec = NULL;

	if (e->order == KUBE_ELECT_CREATE || !e->lease ||
	    json_object_deep_copy(e->lease, &lease, NULL) != 0)
		lease = new_lease(e);
	spec = kube_json_get(lease, "spec");
	if (!json_object_is_type(spec, json_type_object)) {
		spec = json_object_new_object();
		json_object_object_add(lease, "spec", spec);
	}
	fill_record(e, spec, wall);
	free(e->body);
	e->body = xstrdup(json_object_to_json_string_ext(lease, JSON_C_TO_STRING_PLAIN));
	json_object_put(lease);
}

enum kube_elect_order kube_elect_output(struct kube_elect *e, usec_t now, usec_t wall,
					const char **body)
{
	if (e->must_stop) {
		e->must_stop = false;
		return KUBE_ELECT_STOP;
	}
	if (e->order == KUBE_ELECT_NOTHING || e->sent)
		return KUBE_ELECT_NOTHING;
	e->sent = true;
	e->sent_at = now;
	if (e->order == KUBE_ELECT_GET) {
		e->hinted = false;
	} else {
		build_body(e, wall);
		*body = e->body;
	}
	return e->order;
}

void kube_elect_release(struct kube_elect *e, usec_t now)
{
	bool held = e->leader;

	if (e->releasing)
		return;
	e->releasing = true;
	e->leader = false;
	e->release_by = now + KUBE_ELECT_RELEASE_MAX;
	/* A write under way may have made us the holder. */
	if (!held && e->order != KUBE_ELECT_CREATE && e->order != KUBE_ELECT_UPDATE) {
		e->must_stop = e->order != KUBE_ELECT_NOTHING && e->sent;
		end_release(e);
	} else if (e->order == KUBE_ELECT_NOTHING) {
		go_on(e);
	}
}

bool kube_elect_is_released(const struct kube_elect *e)
{
	return e->released;
}

bool kube_elect_is_held(const struct kube_elect *e, usec_t now)
{
	return e->leader && !e->releasing && now < e->held_until;
}

bool kube_elect_is_leader(const struct kube_elect *e)
{
	return e->leader;
}

const char *kube_elect_holder(const struct kube_elect *e)
{
	return e->holder;
}
