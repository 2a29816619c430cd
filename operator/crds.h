/*
 * The CRDs that the operator carries, brought to the API server by the leader: once, when it begins
 * to lead.
 */
#ifndef OPERATOR_CRDS_H
#define OPERATOR_CRDS_H

#include "metallb/kube_client.h"

struct crds;

struct crds_spec {
	struct kube_client *client;
	bool (*may_write)(void *user); /* asked right before each write */
	/* All are looked at, or what came in between has changed. */
	void (*on_change)(void *user);
	void *user;
};

/* Borrowed for its life. */
struct crds *crds_new(const struct crds_spec *spec);
struct crds *crds_free(struct crds *c);
/* Each has been looked at, well or not. */
bool crds_are_settled(const struct crds *c);
/* What a person should know: a CRD that could not be read or written. "" when all is well.
 */
const char *crds_problem(const struct crds *c);

#endif
