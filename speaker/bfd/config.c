/*
 * From a BGPPeer and its BFDProfile to a session: FRR's defaults, and whether the path is one hop.
 * Pure.
 */
#include <string.h>

#include "speaker/bfd/bfd.h"

#define INTERVAL_DEFAULT_MS 300
#define MULT_DEFAULT        3
#define MIN_TTL_DEFAULT     254
#define ECHO_DEFAULT_MS     50

bool bfd_path_eq(const struct bfd_path *a, const struct bfd_path *b)
{
	return ip_eq(&a->remote, &b->remote) && ip_eq(&a->local, &b->local) &&
	       a->ifindex == b->ifindex && a->multihop == b->multihop &&
	       strcmp(a->vrf, b->vrf) == 0;
}

static int64_t or_default(int64_t value, int64_t fallback)
{
	return value == BFD_UNSET ? fallback : value;
}

static uint32_t interval_us(int64_t ms, int64_t fallback)
{
	return (uint32_t)(or_default(ms, fallback) * USEC_PER_MSEC);
}

static bool is_internal(const struct config_peer *peer)
{
	uint32_t local = peer->local_asn ? peer->local_asn : peer->my_asn;

	if (peer->dynamic_asn && *peer->dynamic_asn)
		return strcmp(peer->dynamic_asn, "internal") == 0;
	return peer->peer_asn == local;
}

void bfd_session_config_build(const struct config_peer *peer, const struct config_bfd *profile,
			      const struct bfd_where *where, struct bfd_session_config *out)
{
	bool in_vrf = peer->vrf && *peer->vrf;

	*out = (struct bfd_session_config){
		.path = {.remote = where->remote,
			 .local = peer->source_address,
			 .ifindex = where->ifindex,
			 .multihop =
				 peer->ebgp_multihop ||
				 (is_internal(peer) && !where->connected && where->ifindex == 0)},
		.params = {.min_tx = interval_us(profile->transmit_interval, INTERVAL_DEFAULT_MS),
			   .min_rx = interval_us(profile->receive_interval, INTERVAL_DEFAULT_MS),
			   .mult = (uint8_t)or_default(profile->detect_multiplier, MULT_DEFAULT),
			   .passive = profile->passive_mode},
		.min_ttl = (uint8_t)or_default(profile->minimum_ttl, MIN_TTL_DEFAULT),
	};
	if (profile->echo_mode && !out->path.multihop && !in_vrf &&
	    !(where->remote.family == IP_V6 && ip_is_link_local(&where->remote)))
		out->params.echo = interval_us(profile->echo_interval, ECHO_DEFAULT_MS);
	if (where->forwards)
		out->params.echo_rx = out->params.echo;
	if (in_vrf)
		memcpy(out->path.vrf, peer->vrf, strnlen(peer->vrf, sizeof(out->path.vrf) - 1));
}
