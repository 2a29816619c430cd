/*
 * What a node says in its FRRConfiguration (frrk8s.metallb.io/v1beta1): peers and routes in the
 * words of frr-k8s. Field names, grouping and order are MetalLB's, so that one may take over the
 * other's object unchanged. Pure.
 */
#ifndef METALLB_SPEAKER_FRRK8S_CONFIGURATION_H
#define METALLB_SPEAKER_FRRK8S_CONFIGURATION_H

#include "metallb/announce.h"

struct json_object;

struct frr_input {
	const struct config *cfg;
	const struct config_peer *const *peers; /* that have a session on this node */
	size_t n_peers;
	const struct announce_route *const *routes; /* of all services announced here */
	size_t n_routes;
	const char *node;
	bool pass_secrets; /* name password Secrets in place of writing the passwords */
};

/* The object's spec; NULL when there is no peer, thus nothing to say. The caller's to put. */
struct json_object *frr_configuration_spec(const struct frr_input *in);
/* The name of a node's object; the caller frees. */
char *frr_configuration_name(const char *node);
/* A copy for logs, without passwords. The caller's to put. */
struct json_object *frr_configuration_masked(struct json_object *spec);

#endif
