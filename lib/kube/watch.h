/*
 * The list and watch machine. Private to lib/kube; informer.c is its shell.
 */
#ifndef LIB_KUBE_WATCH_H
#define LIB_KUBE_WATCH_H

#include "lib/kube/frame.h"
#include "lib/kube/page.h"
#include "lib/kube/store.h"
#include "metallb/clock.h"
#include "metallb/kube_informer.h"

#define KUBE_LIST_LIMIT      500
#define KUBE_BACKOFF_BASE    (100 * USEC_PER_MSEC)
#define KUBE_BACKOFF_MAX     (15 * USEC_PER_SEC)
#define KUBE_BACKOFF_CUT_MAX (1 * USEC_PER_SEC) /* when the server did answer 200 */
#define KUBE_RETRY_AFTER_MAX (300 * USEC_PER_SEC)
#define KUBE_NOT_SERVED_BASE (1 * USEC_PER_SEC) /* a CRD that is just being installed; doubles */
#define KUBE_NOT_SERVED_MAX  (30 * USEC_PER_SEC)
#define KUBE_LIST_SILENCE    (30 * USEC_PER_SEC) /* no byte of an answer for so long: stalled */
#define KUBE_WATCH_SILENCE   (75 * USEC_PER_SEC) /* bookmarks come once a minute */
#define KUBE_WATCH_SECONDS   240                 /* timeoutSeconds: this to twice this */
#define KUBE_WATCH_SETTLED   (10 * USEC_PER_SEC) /* a watch that lived so long was a good one */
#define KUBE_ERROR_BODY_MAX  ((size_t)64 << 10)

enum kube_watch_state {
	KUBE_WATCH_WAIT,   /* until due */
	KUBE_WATCH_LIST,   /* a page is under way */
	KUBE_WATCH_STREAM, /* watching */
};

enum kube_watch_order {
	KUBE_WATCH_NOTHING,
	KUBE_WATCH_START, /* send GET of *path, stream its answer in */
	KUBE_WATCH_STOP,  /* drop the request under way */
};

enum kube_watch_level { KUBE_WATCH_DEBUG, KUBE_WATCH_INFO, KUBE_WATCH_WARN };

struct kube_watch_hooks {
	const struct random_source *random;
	/* A line for the log; key is "" when it is not about one object. May be NULL. */
	void (*on_problem)(void *user, enum kube_watch_level level, const char *key,
			   const char *what);
	void *user;
};

struct kube_watch;

/* spec and hooks are copied; what they point to must outlive the machine. */
struct kube_watch *kube_watch_new(const struct kube_informer_spec *spec,
				  const struct kube_watch_hooks *hooks);
struct kube_watch *kube_watch_free(struct kube_watch *w);

void kube_watch_recv_head(struct kube_watch *w, usec_t now, int status, usec_t retry_after);
/* false: what came is not acceptable; end the request, then call recv_end. */
bool kube_watch_recv_body(struct kube_watch *w, usec_t now, const void *data, size_t len);
/* error: of the transport; NULL when the body ended as announced. */
void kube_watch_recv_end(struct kube_watch *w, usec_t now, const char *error);
/* Call at the deadline. */
void kube_watch_tick(struct kube_watch *w, usec_t now);
usec_t kube_watch_deadline(const struct kube_watch *w);
/* After any input, until NOTHING. *path (owned by the machine) is set for START. */
enum kube_watch_order kube_watch_output(struct kube_watch *w, usec_t now, const char **path);

enum kube_watch_state kube_watch_state(const struct kube_watch *w);
const struct kube_store *kube_watch_store(const struct kube_watch *w);
bool kube_watch_is_synced(const struct kube_watch *w);
const char *kube_watch_error(const struct kube_watch *w);
bool kube_watch_is_not_served(const struct kube_watch *w);
size_t kube_watch_source(const struct kube_watch *w);

#endif
