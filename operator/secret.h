/*
 * The Secret with the key of the speakers' gossip, made once when it is absent.
 */
#ifndef OPERATOR_SECRET_H
#define OPERATOR_SECRET_H

#include "metallb/kube_client.h"

struct secret_maker;

/* name: of the Secret; deployment: of its owner, or "". Strings are borrowed. */
struct secret_maker *secret_maker_new(struct kube_client *client, const char *ns, const char *name,
				      const char *deployment);
struct secret_maker *secret_maker_free(struct secret_maker *m);

#endif
