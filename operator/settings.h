/*
 * The MetalLB resources of our namespace, in every replica: what they say of the operator itself
 * (log level, class, backend) holds for the one that serves webhooks as well as for the leader.
 */
#ifndef OPERATOR_SETTINGS_H
#define OPERATOR_SETTINGS_H

#include "metallb/api.h"
#include "metallb/config.h"
#include "metallb/kube_client.h"
#include "metallb/kube_store.h"

struct settings;

/* One MetalLB resource. */
struct setting {
	struct metallb *metallb; /* without its spec when that cannot be read */
	char *name;
	char *problem;  /* why not, or "" */
	bool has_image; /* spec.image is there, which is ignored */
};

struct settings *settings_new(struct kube_client *client, const char *ns,
			      void (*on_change)(void *user), void *user);
struct settings *settings_free(struct settings *s);
/* All that there were at the start are known. */
bool settings_are_known(const struct settings *s);
/* Of struct setting. */
const struct kube_store *settings_store(const struct settings *s);
/* The one that counts; NULL when there is none. */
const struct setting *settings_find(const struct settings *s);
/* The same, decoded; NULL when there is none or it cannot be read. */
const struct metallb *settings_metallb(const struct settings *s);

/* METALLB_BGP_TYPE, spec.bgpBackend: whose limits hold. */
enum bgp_backend settings_backend(const char *text);

#endif
