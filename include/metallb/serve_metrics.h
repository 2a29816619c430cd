/*
 * The metrics endpoint: HTTPS GET /metrics for whoever the API server says may get it. A bearer
 * token is checked by TokenReview and SubjectAccessReview (non-resource URL /metrics, verb get);
 * verdicts are remembered for a short while.
 */
#ifndef METALLB_SERVE_METRICS_H
#define METALLB_SERVE_METRICS_H

#include "metallb/err.h"
#include "metallb/serve.h"

struct ev_loop;
struct kube_client;
struct serve_metrics;
struct serve_certdir;

struct serve_metrics_options {
	const char *address; /* NULL: all */
	uint16_t port;
	const struct serve_tls *tls;
	const char *cert_dir; /* with tls.crt and tls.key; "" or NULL: self-signed */
	struct kube_client *kube;
	/* Called before each answer, to bring gauges up to date. May be NULL. */
	void (*refresh)(void *user);
	void *user;
};

bool serve_metrics_new(struct ev_loop *loop, const struct serve_metrics_options *options,
		       struct serve_metrics **out, struct err *err);
struct serve_metrics *serve_metrics_free(struct serve_metrics *m);
uint16_t serve_metrics_port(const struct serve_metrics *m);

/*
 * The certificate of a server from tls.crt and tls.key of a directory, read again when they change.
 * on_ca (may be NULL) is told the text of ca.crt next to them, "" when there is none, at each
 * change. What cannot be used is logged once and looked at again.
 */
struct serve_certdir *serve_certdir_new(struct ev_loop *loop, struct serve *s, const char *dir,
					void (*on_ca)(void *user, const char *pem), void *user);
struct serve_certdir *serve_certdir_free(struct serve_certdir *d);

#endif
