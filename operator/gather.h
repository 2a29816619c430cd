/*
 * The operator's configuration from what the API server has: pools, communities, namespaces. Keeps
 * the last valid version of each pool, so that a mistake in one does not take its Services'
 * addresses away.
 */
#ifndef OPERATOR_GATHER_H
#define OPERATOR_GATHER_H

#include "metallb/buf.h"
#include "metallb/config.h"
#include "metallb/kube_informer.h"

struct gather;

struct gather_spec {
	struct kube_client *client;
	const char *ns; /* of the metallb.io resources */
	enum bgp_backend backend;
	void (*on_change)(void *user);      /* something that the configuration depends on */
	void (*on_pool_status)(void *user); /* only the status of a pool */
	void *user;
};

struct gather *gather_new(const struct gather_spec *spec);
struct gather *gather_free(struct gather *g);
bool gather_is_synced(const struct gather *g);
/*
 * Build anew. True when the result differs from the last one: *old is the previous configuration
 * (NULL at first), to be freed when nobody uses it any more.
 */
bool gather_build(struct gather *g, struct config **old);
/* The current one; NULL before the first build. */
const struct config *gather_config(const struct gather *g);
/* Names of pools that are invalid and of which no valid version is known. */
const struct strs *gather_broken(const struct gather *g);
/* The reasons of all objects that were left out, one a line; "" when all is well. */
const char *gather_errors(const struct gather *g);
/* The pool as the API server has it; NULL when it is gone. */
const struct ipaddresspool *gather_pool(const struct gather *g, const char *name);

#endif
