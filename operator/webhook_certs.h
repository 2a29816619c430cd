/*
 * The certificate that this replica serves, from the Secret that all replicas share; as the leader,
 * keeping that Secret in order.
 */
#ifndef OPERATOR_WEBHOOK_CERTS_H
#define OPERATOR_WEBHOOK_CERTS_H

#include "metallb/serve.h"
#include "operator/webhook.h"

struct webhook_certs;

struct webhook_certs_spec {
	const struct webhook_options *options; /* borrowed */
	struct serve *serve;
	/* The CA bundle changed: it is to be told to the API server. */
	void (*on_bundle)(void *user);
	/* What the API server trusts now (PEM), when that has settled; NULL: nothing yet. */
	const char *(*trusted)(void *user);
	void *user;
};

struct webhook_certs *webhook_certs_new(struct ev_loop *loop,
					const struct webhook_certs_spec *spec);
struct webhook_certs *webhook_certs_free(struct webhook_certs *c);
void webhook_certs_set_leader(struct webhook_certs *c, bool leads);
/* What is trusted may have changed. */
void webhook_certs_look(struct webhook_certs *c);
/* PEM; "" while there is none, or when the administrator gave none. */
const char *webhook_certs_bundle(const struct webhook_certs *c);

#endif
