/*
 * Writes the notices into the status of the MetalLB resource while nobody keeps the speakers, who
 * would write the whole status: while standing back, or with --manage-speakers=false.
 */
#ifndef OPERATOR_NOTICE_H
#define OPERATOR_NOTICE_H

#include "metallb/kube_client.h"
#include "operator/rollout.h"

struct notice;
struct settings;

struct notice_spec {
	struct kube_client *client;
	const char *ns;
	const struct settings *settings;
	bool (*may_write)(void *user);
	/* What there is to say; texts are the caller's. */
	void (*gather)(void *user, struct install_notices *out);
	void *user;
};

/* Borrowed for its life. */
struct notice *notice_new(const struct notice_spec *spec);
struct notice *notice_free(struct notice *n);
/* What is to be said, or the resource, has changed. */
void notice_touch(struct notice *n);

#endif
