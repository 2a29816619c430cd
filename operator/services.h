/*
 * What the status of each Service of type LoadBalancer should be: takes the Service as it is, books
 * addresses with the allocator, and yields the wanted addresses, annotation, condition and events.
 * Level-based: called again with the same object it wants the same.
 *
 * Pure: no clock, no API server. The rules are MetalLB's, with the additions that
 * services_options switches.
 */
#ifndef OPERATOR_SERVICES_H
#define OPERATOR_SERVICES_H

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "operator/allocator.h"

struct services;

struct services_options {
	struct allocator_options alloc;
	bool remember;        /* a Service made again within a day gets its old addresses */
	bool explain;         /* the condition, and the reason of every pool in the event */
	const char *lb_class; /* "" = Services without a class; borrowed */
};

#define SERVICES_EVENTS_MAX 6
#define SERVICES_CONDITION  "metallb.io/Allocated"

struct services_event {
	bool warning;
	bool again; /* said before, when this Service was last looked at */
	const char *reason, *message;
};

struct services_condition {
	bool wanted; /* false: there should be none */
	bool status;
	const char *reason, *message;
};

/* The outcome for one Service. */
struct services_result {
	struct arena *arena; /* owns the texts */
	bool ours;           /* false: leave it alone */
	bool keep;           /* leave the addresses and the annotation as they are */
	struct alloc_ips ips;
	const char *pool; /* for the annotation; NULL = none */
	bool keep_condition;
	struct services_condition condition;
	struct services_event events[SERVICES_EVENTS_MAX];
	size_t n_events;
	bool failed; /* it has not got what it asks for */
};

struct services *services_new(const struct services_options *opt);
struct services *services_free(struct services *s);
struct allocator *services_allocator(struct services *s);
struct memory *services_memory(struct services *s);
/*
 * A new configuration (borrowed until the next). broken: names of pools that exist but are not in
 * it because they are invalid; Services that have an address from one are left as they are. Look at
 * every Service afterwards.
 */
void services_set_config(struct services *s, const struct config *cfg, const struct strs *broken);
/*
 * Book what svc has in its status, if it may keep it. At the start, for every Service, before
 * services_converge() of any: else one that lacks an address could get what another one holds.
 */
void services_adopt(struct services *s, const struct service *svc);
/* The addresses that nodes have, see allocator_set_nodes(). */
void services_set_nodes(struct services *s, const struct ip *ips, const char *const *names,
			size_t n);
/* wall: the time of day. */
void services_converge(struct services *s, const struct service *svc, usec_t wall,
		       struct services_result *out);
void services_result_fini(struct services_result *r);
/* The Service was deleted. */
void services_forget(struct services *s, const char *key, usec_t wall);
/* True once after something happened that may help waiting Services; look at all of them then. */
bool services_take_recheck(struct services *s);
/* Services that have not got all that they ask for, longest waiting first. Start with *pos = 0. */
const char *services_next_waiting(const struct services *s, size_t *pos);
size_t services_n_waiting(const struct services *s);
/* Does the class filter leave this one to us? */
bool services_has_class(const struct services *s, const struct service *svc);
/*
 * Write the merge patch of services/status that makes svc what r wants; false when it is that
 * already. conditions false: the server does not keep them, leave them out.
 */
bool services_patch(const struct service *svc, const struct services_result *r, bool conditions,
		    usec_t wall, struct buf *out);

#endif
