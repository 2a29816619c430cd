/*
 * Leader election by a Lease of coordination.k8s.io/v1, in client-go's record format.
 *
 * Holding is a matter of the local monotonic clock: from the moment the renew deadline passes
 * without a renewal, kube_lease_is_held() is false, whatever the server says. Ask it right before
 * each write that only the leader may do.
 */
#ifndef METALLB_KUBE_LEASE_H
#define METALLB_KUBE_LEASE_H

#include "metallb/kube_client.h"

struct kube_lease;

#define KUBE_LEASE_DURATION (15 * USEC_PER_SEC)
#define KUBE_LEASE_RENEW    (10 * USEC_PER_SEC)
#define KUBE_LEASE_RETRY    (2 * USEC_PER_SEC)

struct kube_lease_spec {
	const char *ns, *name;
	const char *identity; /* of this process, unique: "hostname_uuid" */
	/* 0 = the values above; duration > renew > retry * 1.2, duration a whole number of seconds
	 */
	usec_t duration, renew, retry;
	bool watch; /* the lease, too: when it is given back a candidate takes it at once */
	void (*on_started)(void *user); /* we lead now */
	void (*on_stopped)(void *user); /* we lead no longer; candidates go on trying */
	void (*on_leader)(void *user, const char *identity); /* somebody (or we) leads; or NULL */
	void *user;
};

/* Starts at once; strings are copied. NULL with a reason when the durations make no sense. */
struct kube_lease *kube_lease_new(struct kube_client *c, const struct kube_lease_spec *spec,
				  struct err *err);
/*
 * Give the lease back (holderIdentity "") so that another takes over at once, and stop. done (may
 * be NULL) is called when that has been written or has failed; at once when we do not hold it.
 * on_stopped is called before. Then free.
 */
void kube_lease_release(struct kube_lease *l, void (*done)(void *user), void *user);
struct kube_lease *kube_lease_free(struct kube_lease *l);
bool kube_lease_is_held(const struct kube_lease *l, usec_t now);
const char *kube_lease_holder(const struct kube_lease *l); /* as last seen; "" when nobody */

#endif
