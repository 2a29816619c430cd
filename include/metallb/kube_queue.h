/*
 * A work queue of keys: a key waits at most once, and is never handed out again before its current
 * work is done. Failed keys come back after an exponential delay of their own. Pure: `now` and
 * random are the caller's.
 *
 *	while (kube_queue_pop(q, now, &key)) {
 *		... work; later, or at once: ...
 *		kube_queue_forget(q, key) or kube_queue_retry(q, key, now);
 *		kube_queue_done(q, key);
 *	}
 *	arm a timer for kube_queue_deadline(q)
 */
#ifndef METALLB_KUBE_QUEUE_H
#define METALLB_KUBE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/clock.h"

struct kube_queue;

#define KUBE_QUEUE_BASE (5 * USEC_PER_MSEC) /* first delay after a failure; doubles */
#define KUBE_QUEUE_MAX  (60 * USEC_PER_SEC)

/* base or max 0: the values above. random (may be NULL: no jitter) must outlive the queue. */
struct kube_queue *kube_queue_new(usec_t base, usec_t max, const struct random_source *random);
struct kube_queue *kube_queue_free(struct kube_queue *q);
/* Due at once. While the key is being worked on: it becomes due again when that is done. */
void kube_queue_add(struct kube_queue *q, const char *key);
/* Due at `due`, or earlier when it already was to be. */
void kube_queue_add_after(struct kube_queue *q, const char *key, usec_t due);
/* After a failure: due after the key's own delay, doubled each time until forget. Returns it. */
usec_t kube_queue_retry(struct kube_queue *q, const char *key, usec_t now);
void kube_queue_forget(struct kube_queue *q, const char *key);
/* The next due key, in order of becoming due; false when there is none. *key is borrowed and valid
 * until kube_queue_done() of it. */
bool kube_queue_pop(struct kube_queue *q, usec_t now, const char **key);
void kube_queue_done(struct kube_queue *q, const char *key);
/* When the next key is due: 0 = now, USEC_NEVER = nothing waits. */
usec_t kube_queue_deadline(const struct kube_queue *q);
/* Keys waiting (due or not), and keys being worked on. */
size_t kube_queue_count(const struct kube_queue *q);
size_t kube_queue_active(const struct kube_queue *q);
unsigned kube_queue_failures(const struct kube_queue *q, const char *key);

#endif
