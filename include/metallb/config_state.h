/*
 * A program's ConfigurationState (metallb.io/v1beta1): whether the configuration that it uses is
 * valid, and if not why. Owned by the program's pod, so that it goes with it; written when the
 * verdict changes.
 */
#ifndef METALLB_CONFIG_STATE_H
#define METALLB_CONFIG_STATE_H

#include <stdbool.h>

#include "metallb/kube_client.h"

struct config_state;

/* Strings are the caller's and outlive it. */
struct config_state_spec {
	struct kube_client *client;
	const char *ns, *name;
	const char *pod_name;          /* "": nobody owns it */
	const char *component;         /* "controller" or "speaker" */
	const char *node;              /* of a speaker; NULL: no label */
	const char *field_manager;     /* of the object; its status is merged */
	const char *condition;         /* type of the one condition */
	const char *valid_text;        /* its message while all is valid; not empty */
	bool (*may_write)(void *user); /* asked before each write; NULL: always */
	void *user;
};

struct config_state *config_state_new(const struct config_state_spec *spec);
struct config_state *config_state_free(struct config_state *s); /* returns NULL; NULL is fine */
/* errors: "" when the configuration is valid; cut after 8 KiB. */
void config_state_set(struct config_state *s, const char *errors);

#endif
