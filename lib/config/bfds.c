/*
 * BFD profiles, and the check that no peer with echo mode gets IPv6 routes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"

static bool in_range(struct build *b, const struct bfdprofile *p, const char *field, int64_t value,
		     int64_t min, int64_t max)
{
	if (value == BFD_UNSET || (value >= min && value <= max))
		return true;
	return build_refuse(b, &p->obj, field, "%" PRId64 " is not in %" PRId64 "..%" PRId64, value,
			    min, max);
}

static bool check_profile(struct build *b, const struct bfdprofile *p)
{
	if (table_find(&b->bfd_names, p->obj.meta.name))
		return build_refuse(b, &p->obj, "metadata.name", "there is another BFDProfile %s",
				    p->obj.meta.name);
	return in_range(b, p, "spec.detectMultiplier", p->detect_multiplier, 2, 255) &&
	       in_range(b, p, "spec.receiveInterval", p->receive_interval, 10, 60000) &&
	       in_range(b, p, "spec.transmitInterval", p->transmit_interval, 10, 60000) &&
	       in_range(b, p, "spec.echoInterval", p->echo_interval, 10, 60000) &&
	       in_range(b, p, "spec.minimumTtl", p->minimum_ttl, 1, 254);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct config_bfd *)a)->name, ((const struct config_bfd *)b)->name);
}

void build_bfds(struct build *b)
{
	const struct api_object **order = build_order(b, b->objs->bfds, b->objs->n_bfds);
	struct config_bfd *out = arena_calloc(b->arena, b->objs->n_bfds, sizeof(*out));
	size_t n = 0;

	for (size_t i = 0; i < b->objs->n_bfds; i++) {
		const struct bfdprofile *p = (const void *)order[i];

		if (!check_profile(b, p))
			continue;
		out[n] = (struct config_bfd){
			.name = copy_str(b->arena, p->obj.meta.name),
			.receive_interval = p->receive_interval,
			.transmit_interval = p->transmit_interval,
			.detect_multiplier = p->detect_multiplier,
			.echo_interval = p->echo_interval,
			.minimum_ttl = p->minimum_ttl,
			.echo_mode = p->echo_mode,
			.passive_mode = p->passive_mode,
		};
		table_set(&b->bfd_names, p->obj.meta.name, (void *)(uintptr_t)p);
		n++;
	}
	if (n > 1)
		qsort(out, n, sizeof(*out), by_name);
	b->cfg->bfds = out;
	b->cfg->n_bfds = n;
}

/* A pool with IPv6 addresses that an advertisement brings to this peer, or NULL. */
static const struct pool_work *v6_pool_of(const struct build *b, const char *peer)
{
	for (size_t i = 0; i < b->n_pools; i++) {
		const struct pool_work *p = &b->pools[i];

		for (size_t j = 0; p->has_v6 && j < p->n_bgpadvs; j++) {
			const struct adv_work *adv = p->bgpadvs[j];

			if (!adv->bad && (adv->peers.n == 0 || strs_has(&adv->peers, peer)))
				return p;
		}
	}
	return NULL;
}

void check_echo_mode(struct build *b)
{
	for (size_t i = 0; i < b->n_peers; i++) {
		struct peer_work *p = &b->peers[i];
		const struct bfdprofile *bfd = table_find(&b->bfd_names, p->in->bfd_profile);

		if (p->bad || !bfd || !bfd->echo_mode)
			continue;
		const struct pool_work *pool = v6_pool_of(b, p->in->obj.meta.name);

		if (!pool)
			continue;
		p->bad = true;
		build_refuse(b, &p->in->obj, "spec.bfdProfile",
			     "BFDProfile %s has echoMode, which cannot be used with the IPv6 "
			     "addresses of IPAddressPool %s that are advertised to this peer",
			     p->in->bfd_profile, pool->in->obj.meta.name);
	}
}
