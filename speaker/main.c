/*
 * The speaker: flags, the event loop, signals, and the wiring of what runs on it.
 */
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/kube_config.h"
#include "metallb/log.h"
#include "metallb/serve.h"
#include "metallb/serve_metrics.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "speaker/announcer.h"
#include "speaker/exclude.h"
#include "speaker/options.h"

struct speaker {
	struct ev_loop *loop;
	struct options opt;
	struct kube_config *kube_config;
	struct kube_client *client;
	struct exclude *exclude;
	struct announcer *announcer;
	struct serve *health;
	struct serve_metrics *metrics;
	ev_signal term, interrupt;
};

static void on_healthz(struct serve_request *r, void *user)
{
	(void)user;
	serve_reply_text(r, 200, "ok");
}

static void on_readyz(struct serve_request *r, void *user)
{
	const struct speaker *s = user;

	if (announcer_is_ready(s->announcer))
		serve_reply_text(r, 200, "ok");
	else
		serve_reply_text(r, 503, "not all objects are known yet");
}

static void on_metrics_read(void *user)
{
	struct speaker *s = user;

	announcer_sync_metrics(s->announcer);
}

static bool health_start(struct speaker *s, struct err *err)
{
	static struct serve_route routes[2];
	struct serve_options options = {
		.name = "health",
		.address = "127.0.0.1",
		.port = (uint16_t)s->opt.health_port,
		.routes = routes,
		.n_routes = ARRAY_SIZE(routes),
		.max_connections = 16,
	};

	if (s->opt.health_port == 0)
		return true;
	routes[0] = (struct serve_route){SERVE_GET, "/healthz", NULL, on_healthz, s};
	routes[1] = (struct serve_route){SERVE_GET, "/readyz", NULL, on_readyz, s};
	int r = serve_new(s->loop, &options, &s->health);

	return r == 0 ||
	       err_set(err, "cannot serve health on port %d: %s", s->opt.health_port, strerror(-r));
}

static bool metrics_start(struct speaker *s, struct err *err)
{
	struct serve_tls tls = {0};
	bool ok;

	if (s->opt.port == 0)
		return true;
	if (!serve_tls_parse(&tls, s->opt.tls_min_version, s->opt.tls_cipher_suites,
			     s->opt.tls_curves, err))
		return false;
	struct serve_metrics_options options = {
		.port = (uint16_t)s->opt.port,
		.tls = &tls,
		.cert_dir = s->opt.metrics_cert_dir,
		.kube = s->client,
		.refresh = on_metrics_read,
		.user = s,
	};

	ok = serve_metrics_new(s->loop, &options, &s->metrics, err);
	serve_tls_fini(&tls);
	return ok;
}

static bool client_start(struct speaker *s, struct err *err)
{
	struct kube_config_options options = {s->opt.kubeconfig, s->opt.context};

	s->kube_config = kube_config_load(&options, err);
	if (!s->kube_config)
		return false;
	if (!s->opt.ns[0])
		s->opt.ns = s->kube_config->ns;
	s->client = kube_client_new(s->loop, s->kube_config, "speaker", err);
	return s->client != NULL;
}

static bool speaker_start(struct speaker *s, struct err *err)
{
	int r;

	s->exclude = exclude_load(s->opt.exclude_file, err);
	if (!s->exclude || !client_start(s, err))
		return false;
	r = announcer_new(s->loop, s->client, &s->opt, s->exclude, &s->announcer);
	if (r < 0)
		return err_set(err, "cannot follow the network interfaces: %s", strerror(-r));
	return health_start(s, err) && metrics_start(s, err);
}

static void speaker_stop(struct speaker *s)
{
	serve_metrics_free(s->metrics);
	serve_free(s->health);
	announcer_free(s->announcer);
	kube_client_free(s->client);
	kube_config_free(s->kube_config);
	exclude_free(s->exclude);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)revents;
	log_info("stopping", "op", "shutdown", "signal", strsignal(w->signum), NULL);
	ev_break(loop, EVBREAK_ALL);
}

static const char *env_get(const char *name)
{
	return getenv(name);
}

static void process_prepare(const struct options *o)
{
	uint64_t seed;

	log_set_level(o->log_level);
	log_set_text(strcmp(o->log_format, "text") == 0);
	random_system.fill(random_system.user, &seed, sizeof(seed));
	table_seed(seed);
	signal(SIGPIPE, SIG_IGN);
	if (o->pprof_address[0])
		log_warn("--pprof-bind-address has no effect: there is no profiler", NULL);
}

int main(int argc, char **argv)
{
	struct speaker s = {0};
	struct err err = {0};

	if (!options_parse(&s.opt, argc, argv, env_get, &err)) {
		fprintf(stderr, "speaker: %s\n", err.msg);
		return 1;
	}
	if (s.opt.help) {
		options_print_help();
		return 0;
	}
	if (s.opt.version) {
		puts("speaker " METALLB_VERSION);
		return 0;
	}
	process_prepare(&s.opt);
	log_info("speaker starting", "version", METALLB_VERSION, "node", s.opt.node_name, NULL);
	s.loop = ev_default_loop(EVFLAG_AUTO);
	ev_signal_init(&s.term, on_signal, SIGTERM);
	ev_signal_init(&s.interrupt, on_signal, SIGINT);
	ev_signal_start(s.loop, &s.term);
	ev_signal_start(s.loop, &s.interrupt);
	bool ok = speaker_start(&s, &err);

	if (ok)
		ev_run(s.loop, 0);
	else
		log_error("cannot start", "error", err.msg, NULL);
	speaker_stop(&s);
	ev_signal_stop(s.loop, &s.term);
	ev_signal_stop(s.loop, &s.interrupt);
	ev_loop_destroy(s.loop);
	return ok ? 0 : 1;
}
