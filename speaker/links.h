/*
 * The interfaces of this node as netlink told of them, and which of them may be used in layer 2.
 * Pure.
 */
#ifndef METALLB_SPEAKER_LINKS_H
#define METALLB_SPEAKER_LINKS_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/api.h"
#include "metallb/arena.h"
#include "speaker/layer2/responder.h"
#include "speaker/netlink_parse.h"

struct links;

/* Is an interface left out by its name (the exclude-l2 list). */
typedef bool (*links_excluded_fn)(void *user, const char *name);

struct links *links_new(links_excluded_fn excluded, void *user);
struct links *links_free(struct links *l);

/* true when anything changed that this module's answers depend on. */
bool links_apply(struct links *l, const struct nl_event *event);
/* Around a complete dump: what it did not tell of is gone afterwards; true when that was anything.
 */
void links_dump_begin(struct links *l);
bool links_dump_end(struct links *l);

/* Names of all interfaces that are not excluded, up or not. In `a`. */
struct strs links_names(const struct links *l, struct arena *a);
/* The next interface that may be used, with what it can do; start with *pos = 0. */
bool links_usable_next(const struct links *l, size_t *pos, struct responder_link *out);
/* What is found of the way out behind an interface; true when that is another. */
bool links_set_uplink(struct links *l, unsigned ifindex, enum responder_uplink state);
/*
 * Names of those that would be usable, had they a carrier and a way out;
 * ANNOUNCE_LOST_WAYS_OUT first, when there was a way out and none is left. In `a`.
 */
struct strs links_lost(const struct links *l, struct arena *a);
bool links_has_address(const struct links *l, unsigned ifindex, const struct ip *ip);
const char *links_name(const struct links *l, unsigned ifindex); /* "" when unknown */

#endif
