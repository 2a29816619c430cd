/*
 * Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4, §7) as whole Ethernet frames,
 * IPv6 header and checksum included. Pure.
 */
#ifndef METALLB_LAYER2_NDP_H
#define METALLB_LAYER2_NDP_H

#include <stddef.h>
#include <stdint.h>

#include "metallb/ip.h"
#include "speaker/layer2/frame.h"

#define NDP_SOLICIT   135
#define NDP_ADVERTISE 136
#define NDP_FRAME_LEN 86 /* Ethernet 14, IPv6 40, message 24, one option 8 */

#define NDP_FLAG_ROUTER    0x80
#define NDP_FLAG_SOLICITED 0x40
#define NDP_FLAG_OVERRIDE  0x20

struct ndp_packet {
	struct mac eth_dst, eth_src;
	struct ip src, dst; /* of the IPv6 header; src :: in duplicate address detection */
	uint8_t type;
	uint8_t flags; /* of an advertisement */
	struct ip target;
	bool has_lla; /* source (solicitation) or target (advertisement) link-layer address */
	struct mac lla;
};

/* NULL, or the reason why the frame is none that we understand (RFC 4861 §7.1). */
const char *ndp_decode(struct ndp_packet *pkt, const void *frame, size_t len);
void ndp_encode(const struct ndp_packet *pkt, uint8_t out[NDP_FRAME_LEN], size_t *len);
/* ff02::1:ffXX:XXXX of an address; the all-nodes group; the MAC of a group. */
struct ip ndp_solicited_node(const struct ip *ip);
struct ip ndp_all_nodes(void);
struct mac ndp_group_mac(const struct ip *group);

#endif
