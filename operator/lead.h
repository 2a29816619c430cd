/*
 * What only one replica may do, and being that one: holds the Lease and runs the reconciler while
 * it does.
 */
#ifndef OPERATOR_LEAD_H
#define OPERATOR_LEAD_H

#include "operator/options.h"

struct lead;
struct kube_client;
struct settings;
struct webhook;

/* Everything is borrowed. webhook is told who leads (NULL: there is none). */
struct lead_spec {
	struct kube_client *client;
	const struct options *options;
	const char *ns;
	struct webhook *webhook;
	const struct settings *settings;
};

/* NULL with the reason when the Lease cannot be set up. */
struct lead *lead_new(const struct lead_spec *spec, struct err *err);
struct lead *lead_free(struct lead *l);
/* The settings have changed. */
void lead_touch(struct lead *l);
/* Hand over: write what is left (that may take a moment only), give the Lease back, call done. */
void lead_stop(struct lead *l, void (*done)(void *user), void *user);
/* For metrics: bring gauges up to date. */
bool lead_is_leading(const struct lead *l);
/* Whether what only the leader may write may be written now. */
bool lead_may_write(const struct lead *l);

#endif
