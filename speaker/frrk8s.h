/*
 * The backend frr-k8s: this node's peers and routes as an FRRConfiguration object, from which
 * frr-k8s on the node configures FRR. Kept as it should be against edits of others. With another
 * backend all that is done is to remove what an earlier run with frr-k8s left behind.
 */
#ifndef METALLB_SPEAKER_FRRK8S_H
#define METALLB_SPEAKER_FRRK8S_H

#include "metallb/kube_client.h"
#include "speaker/frrk8s/configuration.h"
#include "speaker/options.h"

struct frrk8s;

struct frrk8s_options {
	struct kube_client *client;
	const struct options *opt;
	/* The object cannot be written: a word for Events, and a sentence. Told when it begins or
	 * changes, and again with every frrk8s_set() while it lasts. */
	void (*on_problem)(void *user, const char *reason, const char *text);
	void (*on_gone)(void *user); /* the object is not there any more */
	void *user;
};

/* All is borrowed for the life of the result. */
struct frrk8s *frrk8s_new(const struct frrk8s_options *options);
struct frrk8s *frrk8s_free(struct frrk8s *f);
/* Peers with a session on this node, and the routes of all Services announced here. Only with the
 * backend frr-k8s. Without peers the object is removed. */
void frrk8s_set(struct frrk8s *f, const struct config *cfg, const struct config_peer *const *peers,
		size_t n_peers, const struct announce_route *const *routes, size_t n_routes);
/* No object is there, as far as is known. */
bool frrk8s_is_gone(const struct frrk8s *f);

#endif
