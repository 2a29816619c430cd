/*
 * All objects that admission looks at, as the API server has them, in every replica.
 */
#ifndef OPERATOR_WEBHOOK_STORE_H
#define OPERATOR_WEBHOOK_STORE_H

#include "operator/admit.h"

struct kube_client;
struct webhook_store;

/* on_change: an object that admission judges changed. */
struct webhook_store *webhook_store_new(struct kube_client *client, const char *ns,
					void (*on_change)(void *user), void *user);
struct webhook_store *webhook_store_free(struct webhook_store *s);
bool webhook_store_is_synced(const struct webhook_store *s);
/* The lists of *out, and what they make for its backend; valid until the loop runs again. */
void webhook_store_snapshot(struct webhook_store *s, struct admit_snapshot *out);

/* The backend of the snapshots is another one now. */
void webhook_store_forget(struct webhook_store *s);

#endif
