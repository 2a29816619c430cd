/*
 * Inside of the reconciler: reconcile.c (what to look at), write.c (one Service's status), nodes.c,
 * pool_status.c and remember.c (the ConfigMap).
 */
#ifndef OPERATOR_RECONCILE_IMPL_H
#define OPERATOR_RECONCILE_IMPL_H

#include <ev.h>

#include "metallb/config_state.h"
#include "metallb/kube_informer.h"
#include "metallb/kube_queue.h"
#include "metallb/table.h"
#include "operator/gather.h"
#include "operator/memory.h"
#include "operator/reconcile.h"

struct remember;
struct pool_status;

struct reconcile {
	struct reconcile_spec spec;
	struct ev_loop *loop;
	struct gather *gather;
	struct kube_informer *services_informer, *nodes_informer; /* nodes: NULL when not needed */
	struct services *services;
	struct kube_queue *queue;
	struct table writing;  /* key -> struct write: a request is under way */
	struct table expected; /* key -> resourceVersion (text) that the store has to reach */
	size_t n_writing;
	bool adopted, config_dirty, nodes_dirty;
	bool conditions; /* the server keeps conditions of Services */
	ev_timer timer;
	struct remember *remember;
	struct pool_status *pool_status;
	struct config_state *state;
};

/* Run the machine soon. */
void reconcile_kick(struct reconcile *r);

/* write.c: send what r wants of svc; false when there is nothing to write. key stays active in the
 * queue until the answer. */
bool write_start(struct reconcile *r, const char *key, const struct service *svc,
		 const struct services_result *result);
void write_cancel_all(struct reconcile *r);
/* Does the store lag behind what we wrote? Forgets the expectation when not. */
bool write_is_ahead(struct reconcile *r, const char *key, const struct service *svc);
/* Events that do not depend on the outcome of a write, or those that do. */
void write_events(struct reconcile *r, const struct service *svc,
		  const struct services_result *result, bool allocated);

/* nodes.c */
void nodes_start(struct reconcile *r);
void nodes_apply(struct reconcile *r);

/* remember.c: the memory of addresses in its ConfigMap. */
struct remember *remember_new(struct reconcile *r);
struct remember *remember_free(struct remember *m);
bool remember_is_loaded(const struct remember *m);
void remember_note(struct remember *m); /* it changed */
void remember_flush(struct remember *m, void (*done)(void *user), void *user);

/* pool_status.c: counters in IPAddressPool.status and in metrics. */
struct pool_status *pool_status_new(struct reconcile *r);
struct pool_status *pool_status_free(struct pool_status *p);
void pool_status_note(struct pool_status *p);

#endif
