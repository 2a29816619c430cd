/*
 * The operator: command line, loop, signals, wiring. What it does is in lead.c (addresses for
 * Services) and webhook.c (admission and conversion).
 */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/kube_client.h"
#include "metallb/log.h"
#include "metallb/serve.h"
#include "metallb/serve_metrics.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/lead.h"
#include "operator/metrics.h"
#include "operator/options.h"
#include "operator/render.h"
#include "operator/settings.h"
#include "operator/webhook.h"

#define STOP_DEADLINE 4. /* seconds for handing over; the webhooks serve on for most of them */

struct program {
	struct options options;
	struct ev_loop *loop;
	struct kube_client *client;
	char *ns;
	struct serve *health;
	struct serve_metrics *metrics;
	struct serve_tls tls;
	struct webhook *webhook;
	struct settings *settings;
	struct lead *lead;
	unsigned n_stopping; /* parts that have not told yet that they are done */
	struct serve_route health_routes[2];
	ev_signal term, interrupt;
	ev_timer deadline;
};

static void on_healthz(struct serve_request *r, void *user)
{
	(void)user;
	serve_reply_text(r, 200, "ok\n");
}

static void on_readyz(struct serve_request *r, void *user)
{
	const struct program *p = user;

	if (p->n_stopping > 0)
		serve_reply_text(r, 503, "stopping\n");
	else if (p->webhook && !webhook_is_ready(p->webhook))
		serve_reply_text(r, 503, "the webhooks are not ready\n");
	else
		serve_reply_text(r, 200, "ok\n");
}

static void on_stopped(void *user)
{
	struct program *p = user;

	if (--p->n_stopping == 0)
		ev_break(p->loop, EVBREAK_ALL);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)w;
	(void)events;
	log_warn("stopping without having handed over", NULL);
	ev_break(loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
	struct program *p = w->data;

	(void)events;
	if (ev_is_active(&p->deadline))
		return;
	log_info("shutdown", "signal", strsignal(w->signum), NULL);
	ev_timer_start(loop, &p->deadline);
	p->n_stopping = 1u + (p->lead != NULL) + (p->webhook != NULL);
	if (p->webhook)
		webhook_stop(p->webhook, on_stopped, p);
	if (p->lead)
		lead_stop(p->lead, on_stopped, p);
	on_stopped(p);
}

static void watch_signals(struct program *p)
{
	signal(SIGPIPE, SIG_IGN);
	ev_signal_init(&p->term, on_signal, SIGTERM);
	ev_signal_init(&p->interrupt, on_signal, SIGINT);
	ev_timer_init(&p->deadline, on_deadline, STOP_DEADLINE, 0.);
	p->term.data = p->interrupt.data = p;
	ev_signal_start(p->loop, &p->term);
	ev_signal_start(p->loop, &p->interrupt);
}

static bool start_health(struct program *p, struct err *err)
{
	struct serve_options opt = {
		.name = "health",
		.port = (uint16_t)p->options.health_port,
		.routes = p->health_routes,
		.n_routes = ARRAY_SIZE(p->health_routes),
	};

	p->health_routes[0] = (struct serve_route){SERVE_GET, "/healthz", NULL, on_healthz, p};
	p->health_routes[1] = (struct serve_route){SERVE_GET, "/readyz", NULL, on_readyz, p};

	if (p->options.health_port == 0)
		return true;
	int ret = serve_new(p->loop, &opt, &p->health);

	return ret == 0 || err_set(err, "health port %d: %s", opt.port, strerror(-ret));
}

static bool start_metrics(struct program *p, struct err *err)
{
	const struct options *o = &p->options;
	struct serve_metrics_options opt = {
		.port = (uint16_t)o->port,
		.tls = &p->tls,
		.cert_dir = o->metrics_cert_dir,
		.kube = p->client,
	};

	if (!serve_tls_parse(&p->tls, o->tls_min_version, o->tls_cipher_suites,
			     o->tls_curve_preferences, err))
		return false;
	return o->port == 0 || serve_metrics_new(p->loop, &opt, &p->metrics, err);
}

static bool may_write(void *user)
{
	const struct program *p = user;

	return p->lead && lead_may_write(p->lead);
}

static bool start_webhook(struct program *p, struct err *err)
{
	const struct options *o = &p->options;
	struct serve_tls tls = p->tls;
	struct webhook_options opt = {
		.client = p->client,
		.ns = p->ns,
		.secret_name = o->webhook_secret,
		.service_name = o->cert_service_name,
		.deployment = o->deployment,
		.port = (uint16_t)o->webhook_port,
		.tls = &tls,
		.backend = o->backend,
		.disable_cert_rotation = o->disable_cert_rotation,
		.cert_dir = o->cert_dir,
		.may_write = may_write,
		.user = p,
	};

	tls.http2 = o->webhook_http2;
	if (o->webhook_mode == WEBHOOK_DISABLED)
		return true;
	p->webhook = webhook_new(p->loop, &opt, err);
	return p->webhook != NULL;
}

static bool connect_kube(struct program *p, struct err *err)
{
	struct kube_config_options where = {p->options.kubeconfig, p->options.context};
	struct kube_config *config = kube_config_load(&where, err);

	if (!config)
		return false;
	p->ns = xstrdup(p->options.namespace[0] ? p->options.namespace : config->ns);
	p->client = kube_client_new(p->loop, config, "metallb-operator", err);
	log_info("starting", "version", METALLB_VERSION, "server", config->server, "config",
		 config->source, "namespace", p->ns, NULL);
	kube_config_free(config);
	return p->client != NULL;
}

/* The MetalLB resource may say something else than our flags. */
static void on_settings(void *user)
{
	struct program *p = user;
	const struct metallb *m = settings_metallb(p->settings);
	enum log_level level = p->options.log_level;

	if (log_parse_level(render_log_level(m, p->options.log_level_text), &level))
		log_set_level(level);
	if (p->webhook)
		webhook_set_backend(p->webhook,
				    settings_backend(render_backend(m, p->options.bgp_type)));
	if (p->lead)
		lead_touch(p->lead);
}

static bool start_lead(struct program *p, struct err *err)
{
	struct lead_spec spec = {
		.client = p->client,
		.options = &p->options,
		.ns = p->ns,
		.webhook = p->webhook,
	};

	p->settings = settings_new(p->client, p->ns, on_settings, p);
	spec.settings = p->settings;
	p->lead = lead_new(&spec, err);
	return p->lead != NULL;
}

static bool start(struct program *p, struct err *err)
{
	watch_signals(p);
	operator_metrics_init();
	if (!connect_kube(p, err) || !start_metrics(p, err) || !start_webhook(p, err) ||
	    !start_health(p, err))
		return false;
	return start_lead(p, err);
}

static void program_fini(struct program *p)
{
	lead_free(p->lead);
	settings_free(p->settings);
	webhook_free(p->webhook);
	serve_metrics_free(p->metrics);
	serve_free(p->health);
	serve_tls_fini(&p->tls);
	kube_client_free(p->client);
	free(p->ns);
}

static void print_usage(void)
{
	_cleanup_(buf_fini) struct buf text = {0};

	options_usage(&text);
	fputs(buf_str(&text), stdout);
}

static const char *env(const char *name)
{
	return getenv(name);
}

int main(int argc, char **argv)
{
	struct program p = {0};
	struct err err = {0};
	uint64_t seed;

	if (!options_parse(&p.options, argc, argv, env, &err)) {
		fprintf(stderr, "operator: %s\n", err.msg);
		return 2;
	}
	if (p.options.help || p.options.version) {
		if (p.options.help)
			print_usage();
		else
			puts("metallb-c operator " METALLB_VERSION);
		return 0;
	}
	log_set_level(p.options.log_level);
	log_set_text(p.options.log_text);
	random_system.fill(random_system.user, &seed, sizeof(seed));
	table_seed(seed);
	p.loop = ev_default_loop(0);

	bool ok = start(&p, &err);

	if (ok)
		ev_run(p.loop, 0);
	else
		log_error("cannot start", "error", err.msg, NULL);
	program_fini(&p);
	log_info("stopped", NULL);
	return ok ? 0 : 1;
}
