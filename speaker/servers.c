/*
 * What the speaker serves: /healthz, /readyz and /status in plain HTTP on the loopback address,
 * /metrics over HTTPS.
 */
#include "speaker/servers.h"

#include <string.h>

#include "metallb/serve.h"
#include "metallb/serve_metrics.h"
#include "metallb/xalloc.h"

struct servers {
	struct ev_loop *loop;
	struct kube_client *client;
	const struct options *opt;
	struct announcer *announcer;
	struct serve *health;
	struct serve_metrics *metrics;
	struct serve_route routes[3];
};

static void on_healthz(struct serve_request *r, void *user)
{
	(void)user;
	serve_reply_text(r, 200, "ok");
}

static void on_readyz(struct serve_request *r, void *user)
{
	const struct servers *s = user;

	if (announcer_is_ready(s->announcer))
		serve_reply_text(r, 200, "ok");
	else
		serve_reply_text(r, 503, "what this node should announce is not in force yet");
}

static void on_status(struct serve_request *r, void *user)
{
	const struct servers *s = user;
	struct buf body = {0};

	announcer_report(s->announcer, &body);
	serve_reply(r, 200, "application/json", &body);
}

static void on_metrics_read(void *user)
{
	struct servers *s = user;

	announcer_sync_metrics(s->announcer);
}

static bool health_start(struct servers *s, struct err *err)
{
	struct serve_options options = {
		.name = "health",
		.address = "127.0.0.1",
		.port = (uint16_t)s->opt->health_port,
		.routes = s->routes,
		.n_routes = ARRAY_SIZE(s->routes),
		.max_connections = 16,
	};

	if (s->opt->health_port == 0)
		return true;
	s->routes[0] = (struct serve_route){SERVE_GET, "/healthz", NULL, on_healthz, s};
	s->routes[1] = (struct serve_route){SERVE_GET, "/readyz", NULL, on_readyz, s};
	s->routes[2] = (struct serve_route){SERVE_GET, "/status", NULL, on_status, s};
	int r = serve_new(s->loop, &options, &s->health);

	return r == 0 || err_set(err, "cannot serve health on port %d: %s", s->opt->health_port,
				 strerror(-r));
}

static bool metrics_start(struct servers *s, struct err *err)
{
	struct serve_tls tls = {0};
	bool ok;

	if (s->opt->port == 0)
		return true;
	if (!serve_tls_parse(&tls, s->opt->tls_min_version, s->opt->tls_cipher_suites,
			     s->opt->tls_curves, err))
		return false;
	struct serve_metrics_options options = {
		.port = (uint16_t)s->opt->port,
		.tls = &tls,
		.cert_dir = s->opt->metrics_cert_dir,
		.kube = s->client,
		.refresh = on_metrics_read,
		.user = s,
	};

	ok = serve_metrics_new(s->loop, &options, &s->metrics, err);
	serve_tls_fini(&tls);
	return ok;
}

bool servers_new(struct ev_loop *loop, struct kube_client *client, const struct options *opt,
		 struct announcer *announcer, struct servers **out, struct err *err)
{
	struct servers *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->client = client;
	s->opt = opt;
	s->announcer = announcer;
	if (!health_start(s, err) || !metrics_start(s, err)) {
		servers_free(s);
		return false;
	}
	*out = s;
	return true;
}

struct servers *servers_free(struct servers *s)
{
	if (!s)
		return NULL;
	serve_metrics_free(s->metrics);
	serve_free(s->health);
	free(s);
	return NULL;
}
