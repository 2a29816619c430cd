/*
 * The webhooks: serves admission and conversion on HTTPS in every replica, and as the leader keeps
 * their certificates, the ValidatingWebhookConfiguration and the conversion of BGPPeer.
 */
#ifndef OPERATOR_WEBHOOK_H
#define OPERATOR_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "metallb/config.h"
#include "metallb/err.h"

struct ev_loop;
struct kube_client;
struct serve_tls;
struct webhook;

struct webhook_options {
	struct kube_client *client;
	const char *ns;           /* our own; objects must be there */
	const char *secret_name;  /* of the certificates */
	const char *service_name; /* that leads to us on port 443 */
	const char *deployment;   /* our own, or "": never removes the configuration */
	uint16_t port;
	const struct serve_tls *tls;
	enum bgp_backend backend;
	bool frrk8s_namespace_known;
	/* Certificates are the administrator's, in files of cert_dir; else made here. */
	bool disable_cert_rotation;
	const char *cert_dir;
	/* Asked right before each write that only the leader may do. */
	bool (*may_write)(void *user);
	void *user;
};

/* Strings are borrowed for its life. NULL with a reason when the port cannot be listened on. */
struct webhook *webhook_new(struct ev_loop *loop, const struct webhook_options *options,
			    struct err *err);
struct webhook *webhook_free(struct webhook *w);
/* Everything that admission looks at is known, and there is a certificate: for /readyz. */
bool webhook_is_ready(const struct webhook *w);
/* Whose limits hold from now on. */
void webhook_set_backend(struct webhook *w, enum bgp_backend backend);
/* This replica leads from now on, or no longer. */
void webhook_set_leader(struct webhook *w, bool leads);
/*
 * Before the end: goes on serving for about three seconds, until nobody is sent here any more, and
 * when our Deployment is gone or scaled to 0 takes the configuration away. done is then called
 * once.
 */
void webhook_stop(struct webhook *w, void (*done)(void *user), void *user);

#endif
