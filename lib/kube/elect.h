/*
 * The leader election machine. Private to lib/kube; lease.c is its shell.
 */
#ifndef LIB_KUBE_ELECT_H
#define LIB_KUBE_ELECT_H

#include <stdbool.h>

#include "metallb/clock.h"
#include "metallb/err.h"

struct json_object;
struct kube_elect;

#define KUBE_ELECT_IDENTITY_MAX 512
#define KUBE_ELECT_RELEASE_MAX  (5 * USEC_PER_SEC) /* to give the lease back */

struct kube_elect_spec {
	const char *ns, *name, *identity;
	usec_t duration, renew, retry;
};

enum kube_elect_order {
	KUBE_ELECT_NOTHING,
	KUBE_ELECT_GET,
	KUBE_ELECT_CREATE, /* with *body */
	KUBE_ELECT_UPDATE, /* with *body */
	KUBE_ELECT_STOP,   /* drop the request under way */
};

/* Strings are copied; random must outlive the machine. NULL with a reason. */
struct kube_elect *kube_elect_new(const struct kube_elect_spec *spec,
				  const struct random_source *random, struct err *err);
struct kube_elect *kube_elect_free(struct kube_elect *e);
/* The answer to the order under way. status 0: none came. lease: the body, or NULL. */
void kube_elect_recv(struct kube_elect *e, usec_t now, int status, struct json_object *lease);
void kube_elect_tick(struct kube_elect *e, usec_t now);
/* A watch has shown that nobody holds the lease (NULL: that it is gone): a candidate acts at once.
 */
void kube_elect_hint_free(struct kube_elect *e, usec_t now, struct json_object *lease);
usec_t kube_elect_deadline(const struct kube_elect *e);
/* After any input, until NOTHING. wall: for the times in the record. *body is the machine's. */
enum kube_elect_order kube_elect_output(struct kube_elect *e, usec_t now, usec_t wall,
					const char **body);
/* Begin to give it back; is_released tells when that is over, well or not. */
void kube_elect_release(struct kube_elect *e, usec_t now);
bool kube_elect_is_released(const struct kube_elect *e);
bool kube_elect_is_held(const struct kube_elect *e, usec_t now);
/* Between being elected and the tick or answer that ended it. */
bool kube_elect_is_leader(const struct kube_elect *e);
const char *kube_elect_holder(const struct kube_elect *e);

#endif
