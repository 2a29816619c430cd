/*
 * kube-proxy's configuration, as far as it decides whether layer 2 can work: in IPVS mode every
 * node holds every Service's address on an interface and answers ARP for it, unless strictARP is
 * set. Pure; the operator tells it by an Event, `kubectl metallb doctor` checks and mends it.
 */
#ifndef OPERATOR_KUBE_PROXY_H
#define OPERATOR_KUBE_PROXY_H

#include <stdbool.h>

#include "metallb/buf.h"
#include "metallb/err.h"

struct json_object;

#define KUBE_PROXY_NS     "kube-system"
#define KUBE_PROXY_CONFIG "kube-proxy" /* the ConfigMap that kubeadm makes */

enum kube_proxy_arp {
	KUBE_PROXY_FINE,   /* another mode, or strictARP is set */
	KUBE_PROXY_LOOSE,  /* IPVS without strictARP */
	KUBE_PROXY_UNKNOWN /* there is no configuration that can be read in it */
};

/* configmap: the object. mode gets the name of kube-proxy's mode unless UNKNOWN. */
enum kube_proxy_arp kube_proxy_check(struct json_object *configmap, struct buf *mode);
/*
 * The ConfigMap's text with strictARP set, all else as it is, comments too. *key is the key of it
 * in `data`, borrowed. False with the reason when it cannot be done so.
 */
bool kube_proxy_set_strict_arp(struct json_object *configmap, const char **key, struct buf *text,
			       struct err *err);

#endif
