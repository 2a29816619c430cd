/*
 * The speaker's reconciler: what the API server and the kernel tell, turned into what this node
 * announces. Goes on with what it knows when the API server is gone.
 */
#ifndef METALLB_SPEAKER_ANNOUNCER_H
#define METALLB_SPEAKER_ANNOUNCER_H

#include <stdbool.h>

#include "metallb/buf.h"
#include "metallb/kube_client.h"
#include "speaker/exclude.h"
#include "speaker/options.h"

struct announcer;

/* All is borrowed for the life of the result. false with the reason when it cannot start. */
bool announcer_new(struct ev_loop *loop, struct kube_client *client, const struct options *opt,
		   const struct exclude *exclude, struct announcer **out, struct err *err);
struct announcer *announcer_free(struct announcer *an);
/*
 * Hand over: tell the other speakers goodbye, and go on announcing meanwhile. Done when they can
 * have heard it.
 */
void announcer_leave(struct announcer *an);
bool announcer_has_left(const struct announcer *an);
/* BGP routes are being withdrawn with a warning to the routers, which takes its time. */
bool announcer_is_draining(const struct announcer *an);
/* The first pass over everything is done, and what was decided is in force: the BGP sessions that
 * should be up are and their routers have the routes, or have had their time. Stays so. */
bool announcer_is_ready(struct announcer *an);
/* What this node does and why, as JSON for a person. */
void announcer_report(const struct announcer *an, struct buf *out);
/* Bring the metrics that are counted elsewhere up to date, before they are read. */
void announcer_sync_metrics(struct announcer *an);

#endif
