/*
 * Finding the neighbour of an unnumbered session by router advertisements (RFC 4861 sections 4.1,
 * 4.2, 6.1), as FRR and others do. Pure.
 *
 * We advertise with router lifetime 0 and no prefixes, so that nobody takes us for a default
 * router: the message only says "here is a BGP speaker on this link".
 */
#ifndef BGP_RA_H
#define BGP_RA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/clock.h"
#include "metallb/ip.h"

#define BGP_RA_LEN         16
#define BGP_RS_LEN         8
#define BGP_RA_INTERVAL    (10 * USEC_PER_SEC)
#define BGP_RA_FAST        USEC_PER_SEC /* the first few, and answers to solicitations */
#define BGP_RA_FAST_COUNT  3
#define BGP_NEIGHBOR_STALE (3 * BGP_RA_INTERVAL) /* then another router may take its place */

enum bgp_nd { BGP_ND_OTHER, BGP_ND_ADVERTISEMENT, BGP_ND_SOLICITATION };
/* Checks an ICMPv6 message as RFC 4861 section 6.1 asks; BGP_ND_OTHER for all that fails. */
enum bgp_nd bgp_ra_decode(const uint8_t *data, size_t len, const struct ip *src, int hop_limit);
/* The kernel fills in the checksum. */
void bgp_ra_encode(uint8_t out[BGP_RA_LEN]);
void bgp_rs_encode(uint8_t out[BGP_RS_LEN]);

/* What is known on one interface. */
struct bgp_neighbor {
	struct ip addr; /* IP_NONE: none seen */
	usec_t seen;
	unsigned n_sent;
	usec_t next_send;
};

void bgp_neighbor_init(struct bgp_neighbor *n, usec_t now);
/* true: the neighbour is now another one. */
bool bgp_neighbor_recv(struct bgp_neighbor *n, enum bgp_nd type, const struct ip *src, usec_t now);
/* Is an advertisement due (and a solicitation, while nobody was seen)? Plans the next one. */
bool bgp_neighbor_tick(struct bgp_neighbor *n, usec_t now, bool *solicit);

#endif
