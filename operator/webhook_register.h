/*
 * The webhooks' registration with the API server, kept by the leader.
 */
#ifndef OPERATOR_WEBHOOK_REGISTER_H
#define OPERATOR_WEBHOOK_REGISTER_H

#include "operator/webhook.h"

struct webhook_register;

struct webhook_register_spec {
	const struct webhook_options *options; /* borrowed */
	/* The CA bundle (PEM, "" when somebody else puts it in); NULL: not served yet. */
	const char *(*bundle)(void *user);
	/* What the API server trusts has settled on something new. */
	void (*on_trusted)(void *user);
	void *user;
};

struct webhook_register *webhook_register_new(struct ev_loop *loop,
					      const struct webhook_register_spec *spec);
struct webhook_register *webhook_register_free(struct webhook_register *r);
void webhook_register_set_leader(struct webhook_register *r, bool leads);
/* Something that it depends on changed. */
void webhook_register_look(struct webhook_register *r);
/* The CA bundle that the API server has used for some seconds, everywhere; or NULL. */
const char *webhook_register_trusted(const struct webhook_register *r);
/* No more writes; take the registration away when our Deployment is gone or has no replicas. done
 * is called once. */
void webhook_register_stop(struct webhook_register *r, void (*done)(void *user), void *user);

#endif
