/*
 * Leadership: the Lease metallb-controller, and while it is held the reconciler, the keeper of the
 * speakers and the maker of the gossip Secret. Everything is read afresh when leadership begins, so
 * that the addresses that the previous leader gave out are known. Nothing is written without the
 * Lease.
 */
#include "operator/lead.h"

#include <ev.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "metallb/kube_event.h"
#include "metallb/kube_lease.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/metrics.h"
#include "operator/notice.h"
#include "operator/proxy_watch.h"
#include "operator/reconcile.h"
#include "operator/render.h"
#include "operator/secret.h"
#include "operator/settings.h"
#include "operator/speakers.h"
#include "operator/stand_back.h"
#include "operator/webhook.h"

#define LEASE_NAME         "metallb-controller"
#define FLUSH_S            0.25 /* what is left to write may keep the next leader waiting so long */
#define WEBHOOK_LEASE_NAME "metallb-webhook" /* with --webhook-mode=onlywebhook */

struct lead {
	struct kube_client *client;
	const struct options *options;
	const char *ns;
	struct kube_recorder *recorder;
	struct kube_lease *lease; /* NULL: without election */
	struct reconcile *reconcile;
	char *lb_class; /* that it was made with */
	enum bgp_backend backend;
	ev_timer restart; /* of the reconciler, with other settings */
	struct secret_maker *secret;
	struct speakers *speakers;
	struct stand_back *stand_back;
	struct proxy_watch *proxy;
	struct notice *notice; /* while there are no speakers to keep */
	bool works;            /* leads, and MetalLB's controller is not in charge */
	struct webhook *webhook;
	const struct settings *settings;
	bool leads;
	ev_timer flush;
	bool releasing;
	void (*done)(void *user);
	void *user;
};

static bool may_write(void *user)
{
	const struct lead *l = user;

	return !l->lease || kube_lease_is_held(l->lease, clock_now());
}

bool lead_may_write(const struct lead *l)
{
	return l->works && (!l->lease || kube_lease_is_held(l->lease, clock_now()));
}

static void add_notice(struct install_notices *out, const char *type, const char *reason,
		       const char *message)
{
	out->items[out->n++] = (struct install_notice){type, reason, message};
}

static void gather_notices(void *user, struct install_notices *out)
{
	const struct lead *l = user;

	if (l->stand_back && *stand_back_message(l->stand_back))
		add_notice(out, INSTALL_STANDING_BACK, STAND_BACK_REASON,
			   stand_back_message(l->stand_back));
	if (l->proxy && proxy_watch_is_loose(l->proxy))
		add_notice(out, INSTALL_LAYER2, PROXY_WATCH_REASON, proxy_watch_loose);
}

static void on_notice(void *user)
{
	struct lead *l = user;

	if (l->speakers)
		speakers_touch(l->speakers);
	else if (l->notice)
		notice_touch(l->notice);
}

static void start_notice(struct lead *l)
{
	struct notice_spec spec = {
		.client = l->client,
		.ns = l->ns,
		.settings = l->settings,
		.may_write = may_write,
		.gather = gather_notices,
		.user = l,
	};

	l->notice = notice_new(&spec);
}

static void start_proxy(struct lead *l)
{
	struct proxy_watch_spec spec = {
		.client = l->client,
		.recorder = l->recorder,
		.ns = l->ns,
		.pod_name = l->options->pod_name,
		.on_change = on_notice,
		.user = l,
	};

	l->proxy = proxy_watch_new(&spec);
}

static enum bgp_backend wanted_backend(const struct lead *l)
{
	return settings_backend(
		render_backend(settings_metallb(l->settings), l->options->bgp_type));
}

static const char *wanted_class(const struct lead *l)
{
	return render_lb_class(settings_metallb(l->settings), l->options->lb_class);
}

static void start_reconcile(struct lead *l)
{
	const struct options *o = l->options;

	free(l->lb_class);
	l->lb_class = xstrdup(wanted_class(l));
	l->backend = wanted_backend(l);
	struct reconcile_spec spec = {
		.client = l->client,
		.recorder = l->recorder,
		.ns = l->ns,
		.backend = l->backend,
		.pod_name = o->pod_name,
		.services =
			{
				.alloc = {.two_pools = o->dual_stack_two_pools,
					  .avoid_addresses = o->avoid_addresses,
					  .avoid_nodes = o->avoid_node_addresses},
				.remember = o->remember_addresses,
				.explain = o->explain_pending,
				.lb_class = l->lb_class,
			},
		.may_write = may_write,
		.user = l,
	};

	l->reconcile = reconcile_new(&spec);
}

static void start_speakers(struct lead *l)
{
	struct speakers_spec spec = {
		.client = l->client,
		.recorder = l->recorder,
		.options = l->options,
		.ns = l->ns,
		.settings = l->settings,
		.may_write = may_write,
		.notices = gather_notices,
		.user = l,
	};

	l->notice = notice_free(l->notice); /* they write the whole status */
	l->speakers = speakers_new(&spec);
}

static void begin(struct lead *l)
{
	const struct options *o = l->options;

	l->works = true;
	if (l->webhook)
		webhook_set_leader(l->webhook, true);
	if (o->webhook_mode == WEBHOOK_ONLY)
		return;
	start_reconcile(l);
	start_proxy(l);
	if (o->ml_secret_name[0])
		l->secret = secret_maker_new(l->client, l->ns, o->ml_secret_name, o->deployment);
	if (o->manage_speakers && *o->deployment && (*o->pod_name || *o->speaker_image))
		start_speakers(l);
}

static void end(struct lead *l)
{
	l->works = false;
	if (l->webhook)
		webhook_set_leader(l->webhook, false);
	ev_timer_stop(kube_client_loop(l->client), &l->restart);
	l->reconcile = reconcile_free(l->reconcile);
	l->secret = secret_maker_free(l->secret);
	l->speakers = speakers_free(l->speakers);
	l->proxy = proxy_watch_free(l->proxy);
}

static void on_in_charge(void *user)
{
	struct lead *l = user;
	bool may = stand_back_may_work(l->stand_back);

	if (l->done)
		return; /* handing over */
	if (may && !l->works)
		begin(l);
	else if (!may && l->works)
		end(l);
	if (!l->speakers && !l->notice)
		start_notice(l);
	on_notice(l);
}

static void start(void *user)
{
	struct lead *l = user;
	struct stand_back_spec spec = {
		.client = l->client,
		.recorder = l->recorder,
		.ns = l->ns,
		.pod_name = l->options->pod_name,
		.on_change = on_in_charge,
		.user = l,
	};

	log_info("leading", NULL);
	metric_set(operator_metrics.leader, NULL, 1);
	l->leads = true;
	if (l->options->webhook_mode == WEBHOOK_ONLY)
		begin(l);
	else
		l->stand_back = stand_back_new(&spec);
}

static void stop(void *user)
{
	struct lead *l = user;

	log_info("not leading any more", NULL);
	metric_set(operator_metrics.leader, NULL, 0);
	l->leads = false;
	l->stand_back = stand_back_free(l->stand_back);
	l->notice = notice_free(l->notice);
	end(l);
}

/* ---- other settings ---- */

static bool is_outdated(const struct lead *l)
{
	return l->reconcile &&
	       (l->backend != wanted_backend(l) || strcmp(l->lb_class, wanted_class(l)) != 0);
}

static void on_restart(struct ev_loop *loop, ev_timer *w, int events)
{
	struct lead *l = w->data;

	(void)loop;
	(void)events;
	if (!is_outdated(l) || l->done)
		return;
	log_info("starting over with other settings", "loadBalancerClass", wanted_class(l), NULL);
	l->reconcile = reconcile_free(l->reconcile);
	start_reconcile(l);
}

/* From the loop: what has flushed is still on the stack. */
static void on_flushed_for_restart(void *user)
{
	struct lead *l = user;

	ev_timer_stop(kube_client_loop(l->client), &l->restart);
	ev_timer_set(&l->restart, 0., 0.);
	ev_timer_start(kube_client_loop(l->client), &l->restart);
}

void lead_touch(struct lead *l)
{
	on_notice(l);
	if (is_outdated(l) && !l->done)
		reconcile_flush(l->reconcile, on_flushed_for_restart, l);
}

/* ---- the end ---- */

static void on_flushed(void *user)
{
	struct lead *l = user;

	if (l->releasing)
		return;
	l->releasing = true;
	ev_timer_stop(kube_client_loop(l->client), &l->flush);
	if (l->lease)
		kube_lease_release(l->lease, l->done, l->user);
	else
		l->done(l->user);
}

static void on_flush_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	on_flushed(w->data);
}

/* ---- the lease ---- */

static void on_leader(void *user, const char *identity)
{
	(void)user;
	log_info("leader", "identity", identity, NULL);
}

/* Unique even when two processes share a host name. */
static char *make_identity(const struct options *o)
{
	char host[256] = "";

	if (!o->pod_name[0] && gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "operator");
	return xasprintf("%s_%08x%08x", o->pod_name[0] ? o->pod_name : host,
			 random_u32(&random_system), random_u32(&random_system));
}

struct lead *lead_new(const struct lead_spec *lead, struct err *err)
{
	struct lead *l = xcalloc(1, sizeof(*l));
	const struct options *options = lead->options;
	_cleanup_free_ char *identity = make_identity(options);
	struct kube_lease_spec spec = {
		.ns = lead->ns,
		.name = options->webhook_mode == WEBHOOK_ONLY ? WEBHOOK_LEASE_NAME : LEASE_NAME,
		.identity = identity,
		.watch = true,
		.on_started = start,
		.on_stopped = stop,
		.on_leader = on_leader,
		.user = l,
	};

	l->client = lead->client;
	l->options = options;
	l->ns = lead->ns;
	l->webhook = lead->webhook;
	l->settings = lead->settings;
	ev_init(&l->restart, on_restart);
	ev_timer_init(&l->flush, on_flush_timer, FLUSH_S, 0.);
	l->restart.data = l->flush.data = l;
	l->recorder = kube_recorder_new(l->client, "metallb-controller", NULL);
	if (!options->leader_elect) {
		start(l);
		return l;
	}
	l->lease = kube_lease_new(l->client, &spec, err);
	return l->lease ? l : lead_free(l);
}

struct lead *lead_free(struct lead *l)
{
	if (!l)
		return NULL;
	ev_timer_stop(kube_client_loop(l->client), &l->restart);
	ev_timer_stop(kube_client_loop(l->client), &l->flush);
	stand_back_free(l->stand_back);
	reconcile_free(l->reconcile);
	secret_maker_free(l->secret);
	speakers_free(l->speakers);
	proxy_watch_free(l->proxy);
	notice_free(l->notice);
	free(l->lb_class);
	kube_lease_free(l->lease);
	kube_recorder_free(l->recorder);
	free(l);
	return NULL;
}

void lead_stop(struct lead *l, void (*done)(void *user), void *user)
{
	l->done = done;
	l->user = user;
	ev_timer_start(kube_client_loop(l->client), &l->flush);
	if (l->reconcile)
		reconcile_flush(l->reconcile, on_flushed, l);
	else
		on_flushed(l);
}

bool lead_is_leading(const struct lead *l)
{
	return l->leads;
}
