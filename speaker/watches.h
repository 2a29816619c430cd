/*
 * Everything the speaker watches, each kind in its store. Kinds that no decision can do without
 * count for "synced".
 */
#ifndef METALLB_SPEAKER_WATCHES_H
#define METALLB_SPEAKER_WATCHES_H

#include <stdbool.h>

#include "metallb/kube_client.h"
#include "metallb/kube_store.h"

enum watch_kind {
	WATCH_SERVICES, /* of type LoadBalancer only */
	WATCH_SLICES,
	WATCH_NODES,
	WATCH_PODS, /* of speakers, in the own namespace */
	WATCH_POOLS,
	WATCH_L2ADVS,
	WATCH_BGPADVS,
	WATCH_PEERS,
	WATCH_BFDS,
	WATCH_COMMUNITIES,
	WATCH_SECRETS,
	WATCH_CONFIGMAPS, /* bgpextras alone */
	WATCH_DAEMONSETS, /* the speakers' own */
	WATCH_L2STATUSES,
	WATCH_BGPSTATUSES,
	WATCH_COUNT
};

struct watches;

struct watches_options {
	const char *ns;         /* own namespace */
	const char *pod_labels; /* label selector of speaker pods */
	const char *daemonset;  /* name of the speakers' DaemonSet */
	void (*on_change)(void *user, enum watch_kind kind, const char *key, void *before,
			  void *after);
	/* Once, when all that is needed is there. */
	void (*on_synced)(void *user);
	void *user;
};

/* Strings are borrowed for the life of the result. */
struct watches *watches_new(struct kube_client *client, const struct watches_options *opt);
struct watches *watches_free(struct watches *w);
const struct kube_store *watches_store(const struct watches *w, enum watch_kind kind);
bool watches_is_synced(const struct watches *w);
bool watches_kind_is_synced(const struct watches *w, enum watch_kind kind);

#endif
