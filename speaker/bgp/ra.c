/*
 * Router advertisements as the finder of unnumbered BGP neighbours. See ra.h.
 */
#include "speaker/bgp/ra.h"

#include <string.h>

#include "metallb/wire.h"

enum { ICMP6_ROUTER_SOLICIT = 133, ICMP6_ROUTER_ADVERT = 134, ND_HOP_LIMIT = 255 };

/* Options are pairs of a type and a length in units of 8 octets, never 0. */
static bool options_fit(struct rd r)
{
	while (rd_left(&r) > 0) {
		rd_u8(&r);
		uint8_t units = rd_u8(&r);

		if (r.bad || units == 0 || !rd_take(&r, units * 8u - 2u))
			return false;
	}
	return !r.bad;
}

enum bgp_nd bgp_ra_decode(const uint8_t *data, size_t len, const struct ip *src, int hop_limit)
{
	struct rd r = rd_init(data, len);
	uint8_t type = rd_u8(&r), code = rd_u8(&r);

	rd_u16(&r); /* checksum: the kernel's */
	if (code != 0 || hop_limit != ND_HOP_LIMIT)
		return BGP_ND_OTHER;
	if (type == ICMP6_ROUTER_ADVERT) {
		rd_take(&r, BGP_RA_LEN - 4);
		if (src->family != IP_V6 || !ip_is_link_local(src) || !options_fit(r))
			return BGP_ND_OTHER;
		return BGP_ND_ADVERTISEMENT;
	}
	if (type == ICMP6_ROUTER_SOLICIT) {
		rd_take(&r, BGP_RS_LEN - 4);
		return options_fit(r) ? BGP_ND_SOLICITATION : BGP_ND_OTHER;
	}
	return BGP_ND_OTHER;
}

void bgp_ra_encode(uint8_t out[BGP_RA_LEN])
{
	memset(out, 0, BGP_RA_LEN);
	out[0] = ICMP6_ROUTER_ADVERT;
	/* hop limit, flags, lifetime and both timers stay 0: unspecified, not a default router */
}

void bgp_rs_encode(uint8_t out[BGP_RS_LEN])
{
	memset(out, 0, BGP_RS_LEN);
	out[0] = ICMP6_ROUTER_SOLICIT;
}

void bgp_neighbor_init(struct bgp_neighbor *n, usec_t now)
{
	*n = (struct bgp_neighbor){.next_send = now};
}

bool bgp_neighbor_recv(struct bgp_neighbor *n, enum bgp_nd type, const struct ip *src, usec_t now)
{
	if (type == BGP_ND_SOLICITATION && n->next_send > now + BGP_RA_FAST)
		n->next_send = now + BGP_RA_FAST / 10;
	if (type != BGP_ND_ADVERTISEMENT)
		return false;
	if (ip_eq(&n->addr, src)) {
		n->seen = now;
		return false;
	}
	if (n->addr.family != IP_NONE && now - n->seen < BGP_NEIGHBOR_STALE)
		return false;
	n->addr = *src;
	n->seen = now;
	return true;
}

bool bgp_neighbor_tick(struct bgp_neighbor *n, usec_t now, bool *solicit)
{
	if (now < n->next_send)
		return false;
	*solicit = n->addr.family == IP_NONE;
	n->n_sent++;
	n->next_send = now + (n->n_sent < BGP_RA_FAST_COUNT ? BGP_RA_FAST : BGP_RA_INTERVAL);
	return true;
}
