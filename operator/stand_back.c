/*
 * A look at the Deployments of our namespace every few seconds; the judgement is rival.c's. Where
 * we may not look (roles of an older version) we go on as if there were nobody, and say so.
 */
#include "operator/stand_back.h"

#include <ev.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/rival.h"

#define LOOK_S      5.
#define RETRY_S     0.5 /* before the first answer */
#define TELL_PERIOD (300 * USEC_PER_SEC)

struct stand_back {
	struct stand_back_spec spec;
	ev_timer timer;
	struct kube_call *call;
	struct rival_watch watch;
	bool known, in_charge; /* MetalLB is */
	bool complained;
	usec_t told_at;
	char *message; /* while MetalLB is in charge, else NULL */
};

static void tell(const struct stand_back *s, const char *type, const char *reason,
		 const char *message)
{
	struct kube_event_object own = {
		.resource = &kube_pods, .ns = s->spec.ns, .name = s->spec.pod_name, .uid = ""};

	if (*own.name)
		kube_recorder_event(s->spec.recorder, &own, type, reason, message);
}

static void tell_in_charge(struct stand_back *s, usec_t now)
{
	if (s->in_charge && now - s->told_at < TELL_PERIOD)
		return;
	s->told_at = now;
	log_warn("standing back", "reason", s->message, NULL);
	tell(s, "Warning", STAND_BACK_REASON, s->message);
}

static void tell_taking_over(const struct stand_back *s)
{
	if (!s->in_charge)
		return;
	log_info("MetalLB's controller is gone: taking over", NULL);
	tell(s, "Normal", "TakingOver", "MetalLB's controller is gone: addresses are given out");
}

/* Returns whether it says something else now. */
static bool set_message(struct stand_back *s, const char *name)
{
	char *message = name ? xasprintf("MetalLB's controller %s/%s is in charge: no address is "
					 "given out, and webhooks, CRDs and the gossip Secret are "
					 "left alone until it is gone",
					 s->spec.ns, name)
			     : NULL;
	bool same =
		message && s->message ? strcmp(message, s->message) == 0 : message == s->message;

	free(s->message);
	s->message = message;
	return !same;
}

static void on_list(void *user, const struct kube_result *r)
{
	struct stand_back *s = user;
	const char *name = NULL;
	usec_t now = clock_now();

	s->call = NULL;
	if (r->ok)
		name = rival_in_charge(&s->watch, r->body, now);
	else if (r->status != 403 && r->status != 401)
		return; /* no answer: what was known stays */
	else if (!s->complained)
		log_warn("cannot see whether MetalLB's controller runs here", "error", r->message,
			 NULL);
	s->complained = !r->ok;
	bool changed = set_message(s, name) || !s->known;

	if (name)
		tell_in_charge(s, now);
	else
		tell_taking_over(s);
	s->known = true;
	s->in_charge = name != NULL;
	s->timer.repeat = LOOK_S;
	if (changed)
		s->spec.on_change(s->spec.user);
}

static void look(struct stand_back *s)
{
	struct kube_ref ref = {.resource = &kube_deployments, .ns = s->spec.ns};

	if (!s->call)
		s->call = kube_client_list(s->spec.client, &ref, NULL, on_list, s);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	look(w->data);
}

struct stand_back *stand_back_new(const struct stand_back_spec *spec)
{
	struct stand_back *s = xcalloc(1, sizeof(*s));

	s->spec = *spec;
	ev_timer_init(&s->timer, on_timer, RETRY_S, RETRY_S);
	s->timer.data = s;
	ev_timer_start(kube_client_loop(spec->client), &s->timer);
	look(s);
	return s;
}

struct stand_back *stand_back_free(struct stand_back *s)
{
	if (!s)
		return NULL;
	ev_timer_stop(kube_client_loop(s->spec.client), &s->timer);
	kube_client_cancel(s->call);
	free(s->message);
	free(s);
	return NULL;
}

bool stand_back_may_work(const struct stand_back *s)
{
	return s->known && !s->in_charge;
}

const char *stand_back_message(const struct stand_back *s)
{
	return s->message ? s->message : "";
}
