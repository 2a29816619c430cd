/*
 * Keeps the status of every Service as services.h wants it: watches, decides, writes the
 * difference. Lives while this process leads.
 */
#ifndef OPERATOR_RECONCILE_H
#define OPERATOR_RECONCILE_H

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"
#include "operator/services.h"

struct reconcile;

struct reconcile_spec {
	struct kube_client *client;
	struct kube_recorder *recorder;
	const char *ns;
	enum bgp_backend backend;
	const char *pod_name; /* owner of the ConfigurationState, or "" */
	struct services_options services;
	bool (*may_write)(void *user); /* asked right before each write */
	void *user;
};

/* Strings are borrowed. */
struct reconcile *reconcile_new(const struct reconcile_spec *spec);
/* Drops what is under way; the server may still carry it out. */
struct reconcile *reconcile_free(struct reconcile *r);
/* All that was assigned before has been taken over. */
bool reconcile_is_ready(const struct reconcile *r);
/* Before the end: write what is remembered; done is called once, perhaps at once. */
void reconcile_flush(struct reconcile *r, void (*done)(void *user), void *user);

#endif
