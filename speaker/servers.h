/*
 * The speaker's HTTP servers: health and metrics.
 */
#ifndef METALLB_SPEAKER_SERVERS_H
#define METALLB_SPEAKER_SERVERS_H

#include <stdbool.h>

#include "metallb/err.h"
#include "metallb/kube_client.h"
#include "speaker/announcer.h"
#include "speaker/options.h"

struct ev_loop;
struct servers;

/* All is borrowed for the life of the result. false with the reason, which names the port. */
bool servers_new(struct ev_loop *loop, struct kube_client *client, const struct options *opt,
		 struct announcer *announcer, struct servers **out, struct err *err);
struct servers *servers_free(struct servers *s);

#endif
