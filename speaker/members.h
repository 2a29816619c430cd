/*
 * Which nodes have a live speaker: by gossip where it is configured, else by the readiness of the
 * speaker pods.
 */
#ifndef METALLB_SPEAKER_MEMBERS_H
#define METALLB_SPEAKER_MEMBERS_H

#include <stdbool.h>

#include "metallb/api.h"
#include "metallb/arena.h"
#include "metallb/err.h"
#include "metallb/ip.h"
#include "speaker/options.h"
#include "speaker/watches.h"

struct ev_loop;
struct members;

struct members_callbacks {
	void (*on_change)(void *user); /* the list may be another now */
	/* a speaker is Ready, but gossip has not reached it for half a minute */
	void (*on_unreached)(void *user, const char *node, const struct ip *ip);
	void *user;
};

/* false with the reason when gossip cannot be started. */
bool members_new(struct ev_loop *loop, const struct options *opt,
		 const struct members_callbacks *callbacks, struct members **out, struct err *err);
struct members *members_free(struct members *m);
/* Pods are known, or have changed: join those that are no members yet. */
void members_set_pods(struct members *m, const struct watches *w);
/*
 * The list can be trusted: with gossip, once a first exchange worked, there is nobody to exchange
 * with, or that took too long. Deciding before would claim every address for the only node known.
 */
bool members_is_settled(const struct members *m);
struct strs members_list(const struct members *m, const struct watches *w, struct arena *a);
/* Say goodbye to the others; true once they can have heard it. */
void members_leave(struct members *m);
bool members_has_left(const struct members *m);
void members_sync_metrics(const struct members *m);

#endif
