/*
 * Tells when kube-proxy runs in a mode in which layer 2 cannot work: IPVS without strictARP.
 */
#ifndef OPERATOR_PROXY_WATCH_H
#define OPERATOR_PROXY_WATCH_H

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"

struct proxy_watch;

/* Borrowed for its life. The pod gets the events; "" = only the log tells. */
struct proxy_watch *proxy_watch_new(struct kube_client *client, struct kube_recorder *recorder,
				    const char *ns, const char *pod_name);
struct proxy_watch *proxy_watch_free(struct proxy_watch *w);

#endif
