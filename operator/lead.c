/*
 * Leadership: the Lease metallb-controller, and while it is held the reconciler and the maker of
 * the gossip Secret. Everything is read afresh when leadership begins, so that the addresses that
 * the previous leader gave out are known. Nothing is written without the Lease.
 */
#include "operator/lead.h"

#include <stdio.h>
#include <unistd.h>

#include "metallb/kube_event.h"
#include "metallb/kube_lease.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/metrics.h"
#include "operator/reconcile.h"
#include "operator/secret.h"
#include "operator/webhook.h"

#define LEASE_NAME         "metallb-controller"
#define WEBHOOK_LEASE_NAME "metallb-webhook" /* with --webhook-mode=onlywebhook */

struct lead {
	struct kube_client *client;
	const struct options *options;
	const char *ns;
	struct kube_recorder *recorder;
	struct kube_lease *lease; /* NULL: without election */
	struct reconcile *reconcile;
	struct secret_maker *secret;
	struct webhook *webhook;
	bool leads;
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
	return l->leads && (!l->lease || kube_lease_is_held(l->lease, clock_now()));
}

static void start(void *user)
{
	struct lead *l = user;
	const struct options *o = l->options;
	struct reconcile_spec spec = {
		.client = l->client,
		.recorder = l->recorder,
		.ns = l->ns,
		.backend = o->backend,
		.pod_name = o->pod_name,
		.services =
			{
				.alloc = {.two_pools = o->dual_stack_two_pools,
					  .avoid_addresses = o->avoid_addresses,
					  .avoid_nodes = o->avoid_node_addresses},
				.remember = o->remember_addresses,
				.explain = o->explain_pending,
				.lb_class = o->lb_class,
			},
		.may_write = may_write,
		.user = l,
	};

	log_info("leading", NULL);
	metric_set(operator_metrics.leader, NULL, 1);
	l->leads = true;
	if (l->webhook)
		webhook_set_leader(l->webhook, true);
	if (o->webhook_mode == WEBHOOK_ONLY)
		return;
	l->reconcile = reconcile_new(&spec);
	if (o->ml_secret_name[0])
		l->secret = secret_maker_new(l->client, l->ns, o->ml_secret_name, o->deployment);
}

static void stop(void *user)
{
	struct lead *l = user;

	log_info("not leading any more", NULL);
	metric_set(operator_metrics.leader, NULL, 0);
	l->leads = false;
	if (l->webhook)
		webhook_set_leader(l->webhook, false);
	l->reconcile = reconcile_free(l->reconcile);
	l->secret = secret_maker_free(l->secret);
}

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

struct lead *lead_new(struct kube_client *client, const struct options *options, const char *ns,
		      struct webhook *webhook, struct err *err)
{
	struct lead *l = xcalloc(1, sizeof(*l));
	_cleanup_free_ char *identity = make_identity(options);
	struct kube_lease_spec spec = {
		.ns = ns,
		.name = options->webhook_mode == WEBHOOK_ONLY ? WEBHOOK_LEASE_NAME : LEASE_NAME,
		.identity = identity,
		.on_started = start,
		.on_stopped = stop,
		.on_leader = on_leader,
		.user = l,
	};

	l->client = client;
	l->options = options;
	l->ns = ns;
	l->webhook = webhook;
	l->recorder = kube_recorder_new(client, "metallb-controller", NULL);
	if (!options->leader_elect) {
		start(l);
		return l;
	}
	l->lease = kube_lease_new(client, &spec, err);
	return l->lease ? l : lead_free(l);
}

struct lead *lead_free(struct lead *l)
{
	if (!l)
		return NULL;
	reconcile_free(l->reconcile);
	secret_maker_free(l->secret);
	kube_lease_free(l->lease);
	kube_recorder_free(l->recorder);
	free(l);
	return NULL;
}

static void on_flushed(void *user)
{
	struct lead *l = user;

	if (l->lease)
		kube_lease_release(l->lease, l->done, l->user);
	else
		l->done(l->user);
}

void lead_stop(struct lead *l, void (*done)(void *user), void *user)
{
	l->done = done;
	l->user = user;
	if (l->reconcile)
		reconcile_flush(l->reconcile, on_flushed, l);
	else
		on_flushed(l);
}

bool lead_is_leading(const struct lead *l)
{
	return l->leads;
}
