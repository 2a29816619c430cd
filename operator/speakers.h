/*
 * The speakers and what belongs to them, kept as the MetalLB resource says: applied, watched, put
 * back, rolled out, rolled back, taken away; and the resource's status. Lives while this process
 * leads.
 */
#ifndef OPERATOR_SPEAKERS_H
#define OPERATOR_SPEAKERS_H

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"
#include "operator/options.h"
#include "operator/rollout.h"

struct settings;
struct speakers;

struct speakers_spec {
	struct kube_client *client;
	struct kube_recorder *recorder;
	const struct options *options;
	const char *ns;
	const struct settings *settings;
	bool (*may_write)(void *user); /* asked right before each write */
	/* What else the status has to say. */
	void (*notices)(void *user, struct install_notices *out);
	void *user;
};

/* Borrowed for its life. */
struct speakers *speakers_new(const struct speakers_spec *spec);
/* Drops what is under way; the server may still carry it out. */
struct speakers *speakers_free(struct speakers *s);
/* The settings have changed. */
void speakers_touch(struct speakers *s);

#endif
