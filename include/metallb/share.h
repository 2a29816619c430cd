/*
 * Which services share an address, directly or through others. Pure.
 */
#ifndef METALLB_SHARE_H
#define METALLB_SHARE_H

#include "metallb/announce.h"

struct share_index;

#define SHARE_GROUP_MAX 256 /* services that are looked at together */

struct share_index *share_index_new(void);
struct share_index *share_index_free(struct share_index *x);
/* What a service's addresses are now; n 0: it has none, or is gone. */
void share_index_set(struct share_index *x, const char *service, const struct ip *ips, size_t n);
/*
 * The group of a service, itself included; keys live until the index changes, the list in `a`.
 * *shared gets the smallest address that two of them have. n is 1 for a service that shares with
 * nobody.
 */
struct strs share_index_group(const struct share_index *x, const char *service, struct arena *a,
			      struct ip *shared);

#endif
