/*
 * Which nodes have a live speaker: by gossip where it is configured, else by the readiness of the
 * speaker pods.
 */
#ifndef METALLB_SPEAKER_MEMBERS_H
#define METALLB_SPEAKER_MEMBERS_H

#include <stdbool.h>

#include "metallb/announce.h"
#include "metallb/err.h"
#include "metallb/ip.h"
#include "speaker/links.h"
#include "speaker/options.h"
#include "speaker/watches.h"

struct ev_loop;
struct json_object;
struct members;

struct members_callbacks {
	void (*on_change)(void *user); /* the list may be another now */
	/* a speaker is Ready, but gossip has not reached it for half a minute */
	void (*on_unreached)(void *user, const char *node, const struct ip *ip);
	/* Of the fast detector: does this node announce the address; another one does or does not;
	 * this process did not run for a while, others may have taken over. */
	bool (*announces)(void *user, const struct ip *ip);
	void (*on_answer)(void *user, const char *node, const struct ip *ip, bool announces);
	void (*on_paused)(void *user);
	void *user;
};

/* false with the reason when gossip cannot be started. */
bool members_new(struct ev_loop *loop, const struct options *opt,
		 const struct members_callbacks *cb, struct members **out, struct err *err);
struct members *members_free(struct members *m);
/* Pods are known, or have changed: join those that are no members yet. */
void members_set_pods(struct members *m, const struct watches *w);
/*
 * The list can be trusted: with gossip, once a first exchange worked, there is nobody to exchange
 * with, or that took too long. Deciding before would claim every address for the only node known.
 */
bool members_is_settled(const struct members *m);
struct strs members_list(const struct members *m, const struct watches *w, struct arena *a);
/* When a member was last found dead or gone; 0: never, or taken before. */
usec_t members_take_loss(struct members *m);
/* This node's interfaces changed; able: it would announce now what it is elected for. */
void members_set_self(struct members *m, const struct links *links, bool able);
/* Interfaces without carrier, of all nodes. In `a`. */
const struct announce_lost *members_lost(const struct members *m, const struct links *links,
					 struct arena *a, size_t *n);
/* The speaker with this hardware address; NULL when none said so. */
const char *members_node_of_mac(const struct members *m, const struct mac *mac);
/* Ask it about an address. true: a question goes from own to other, the first in a while. */
bool members_ask(struct members *m, const char *node, const struct ip *ip, struct ip *own,
		 struct ip *other);
/* Say goodbye to the others; true once they can have heard it. */
void members_leave(struct members *m);
bool members_has_left(const struct members *m);
/* What is held of the other speakers, into `to` as "speakers". */
void members_report(const struct members *m, struct json_object *to);
void members_sync_metrics(const struct members *m);

#endif
