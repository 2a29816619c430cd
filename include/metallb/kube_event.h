/*
 * Events about objects, as `kubectl describe` shows them. The same thing said twice is one Event
 * with a count; many similar ones are combined; one object's flood is cut (the rules of client-go).
 * Best effort: a failed write is logged, and tried again a few times.
 */
#ifndef METALLB_KUBE_EVENT_H
#define METALLB_KUBE_EVENT_H

#include "metallb/kube_client.h"

struct kube_recorder;

struct kube_event_object {
	const struct kube_resource *resource;
	const char *ns, *name, *uid;  /* ns NULL or "": cluster-scoped */
	const char *resource_version; /* or NULL */
};

/* component: "metallb-controller"; host: node name or NULL. Both copied. */
struct kube_recorder *kube_recorder_new(struct kube_client *c, const char *component,
					const char *host);
/* Events not yet written are dropped. */
struct kube_recorder *kube_recorder_free(struct kube_recorder *r);
/* type: "Normal" or "Warning". */
void kube_recorder_event(struct kube_recorder *r, const struct kube_event_object *object,
			 const char *type, const char *reason, const char *message);
void kube_recorder_eventf(struct kube_recorder *r, const struct kube_event_object *object,
			  const char *type, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#endif
