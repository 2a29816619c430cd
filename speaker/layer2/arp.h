/*
 * ARP over Ethernet for IPv4 (RFC 826): frames to and from a struct, nothing else. Pure.
 */
#ifndef METALLB_LAYER2_ARP_H
#define METALLB_LAYER2_ARP_H

#include <stddef.h>
#include <stdint.h>

#include "metallb/ip.h"
#include "speaker/layer2/frame.h"

#define ARP_OP_REQUEST 1
#define ARP_OP_REPLY   2
#define ARP_FRAME_LEN  60 /* padded to Ethernet's minimum without checksum */

struct arp_packet {
	struct mac eth_dst, eth_src;
	uint16_t op;
	struct mac sender_mac, target_mac;
	struct ip sender_ip, target_ip;
};

/* NULL, or the reason why the frame is none that we understand. */
const char *arp_decode(struct arp_packet *pkt, const void *frame, size_t len);
void arp_encode(const struct arp_packet *pkt, uint8_t out[ARP_FRAME_LEN]);

#endif
