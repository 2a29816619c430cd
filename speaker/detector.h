/*
 * The fast detector (speaker/liveness) as the speaker uses it: fed with gossip's members and this
 * node's interfaces, asked by members.c who counts.
 */
#ifndef METALLB_SPEAKER_DETECTOR_H
#define METALLB_SPEAKER_DETECTOR_H

#include "metallb/announce.h"
#include "speaker/gossip/swim.h"
#include "speaker/links.h"
#include "speaker/liveness/liveness.h"
#include "speaker/options.h"

struct ev_loop;
struct detector;

struct detector_callbacks {
	void (*on_change)(void *user); /* who counts may be another now */
	void (*on_died)(void *user);
	/* Gossip does not count this node, but it is there. */
	void (*on_alive)(void *user, const struct ip *addr);
	bool (*announces)(void *user, const struct ip *ip);
	void (*on_answer)(void *user, const char *node, const struct ip *ip, bool announces);
	void (*on_paused)(void *user); /* this process did not run for a while */
	void *user;
};

/* NULL with the reason in *err. */
struct detector *detector_new(struct ev_loop *loop, const struct options *opt, const struct ip *own,
			      const struct gsp_keyring *ring, const struct detector_callbacks *cb,
			      struct err *err);
struct detector *detector_free(struct detector *d); /* returns NULL; NULL is fine */
void detector_set_keyring(struct detector *d, const struct gsp_keyring *ring);
void detector_set_members(struct detector *d, const struct swim *swim);
/* able: this node would announce now what it is elected for. */
void detector_set_self(struct detector *d, const struct links *links, bool able);
/* false: it is being asked already, or cannot be. */
bool detector_ask(struct detector *d, const char *node, const struct ip *ip);
void detector_leave(struct detector *d);

enum liveness_verdict detector_verdict(const struct detector *d, const char *node);
/* The next node that is known; start with *pos = 0, NULL at the end. */
const char *detector_next(const struct detector *d, size_t *pos);
const char *detector_node_of_mac(const struct detector *d, const struct mac *mac);
/* What the others have lost, in `a`. */
const struct announce_lost *detector_lost(const struct detector *d, struct arena *a, size_t *n);
void detector_sync_metrics(const struct detector *d);

#endif
