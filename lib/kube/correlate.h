/*
 * Which Events to write, and how they are combined. Private to lib/kube; event.c is its shell.
 */
#ifndef LIB_KUBE_CORRELATE_H
#define LIB_KUBE_CORRELATE_H

#include "metallb/clock.h"
#include "metallb/kube_event.h"

/* The figures of client-go. */
#define KUBE_EVENT_SIMILAR_MAX    10 /* different messages before they are combined */
#define KUBE_EVENT_SIMILAR_WITHIN (600 * USEC_PER_SEC) /* since the last of them */
#define KUBE_EVENT_BURST          25                   /* about one object, then */
#define KUBE_EVENT_REFILL         (300 * USEC_PER_SEC) /* one more each */
#define KUBE_EVENT_CACHE_MAX      4096 /* entries of each kind that are remembered */
#define KUBE_EVENT_MESSAGE_MAX    1024 /* the API server's own bound */

struct kube_correlate;

/* One Event object: said once or many times. */
struct kube_event {
	const struct kube_resource *resource;
	char *ns, *name, *uid, *resource_version; /* of the object; "" when unknown */
	const char *type;                         /* "Normal" or "Warning" */
	char *reason, *message;
	char *event_name;   /* of the Event object */
	usec_t first, last; /* wall clock */
	unsigned count;
	unsigned written; /* count at the last write; 0 = never written */
	bool busy;        /* a write is under way: it is not forgotten meanwhile */
};

struct kube_correlate *kube_correlate_new(void);
struct kube_correlate *kube_correlate_free(struct kube_correlate *k);
/*
 * The Event that says this, counted up, or NULL when there have been too many about the object. It
 * is the correlator's, and stays valid until the next call while it is not busy.
 */
struct kube_event *kube_correlate_add(struct kube_correlate *k, usec_t now, usec_t wall,
				      const struct kube_event_object *object, const char *type,
				      const char *reason, const char *message);

#endif
