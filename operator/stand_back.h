/*
 * Whether MetalLB's controller is in charge in our namespace. While it is we give out nothing and
 * leave webhooks, CRDs and the gossip Secret alone; two allocators would give addresses twice.
 */
#ifndef OPERATOR_STAND_BACK_H
#define OPERATOR_STAND_BACK_H

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"

#define STAND_BACK_REASON "MetalLBInCharge"

struct stand_back;

struct stand_back_spec {
	struct kube_client *client;
	struct kube_recorder *recorder;
	const char *ns, *pod_name;     /* the pod gets the events; "" = none */
	void (*on_change)(void *user); /* the answer is another now, or known for the first time */
	void *user;
};

/* Borrowed for its life. Looks at once, and again every few seconds. */
struct stand_back *stand_back_new(const struct stand_back_spec *spec);
struct stand_back *stand_back_free(struct stand_back *s);
/* It is known that nobody else is in charge. */
bool stand_back_may_work(const struct stand_back *s);
/* Who is in charge instead; "": nobody that is known of. */
const char *stand_back_message(const struct stand_back *s);

#endif
