/*
 * Tells when kube-proxy runs in a mode in which layer 2 cannot work: IPVS without strictARP.
 */
#ifndef OPERATOR_PROXY_WATCH_H
#define OPERATOR_PROXY_WATCH_H

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"

#define PROXY_WATCH_REASON "KubeProxyStrictARP"
extern const char proxy_watch_loose[]; /* what is wrong, and how to mend it */

struct proxy_watch;

struct proxy_watch_spec {
	struct kube_client *client;
	struct kube_recorder *recorder;
	const char *ns, *pod_name;     /* the pod gets the events; "" = none */
	void (*on_change)(void *user); /* the answer is another now */
	void *user;
};

/* Borrowed for its life. */
struct proxy_watch *proxy_watch_new(const struct proxy_watch_spec *spec);
/* It is in such a mode. */
bool proxy_watch_is_loose(const struct proxy_watch *w);
struct proxy_watch *proxy_watch_free(struct proxy_watch *w);

#endif
