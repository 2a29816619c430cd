/*
 * ARP frames. Hardware and protocol sizes other than Ethernet's and IPv4's are refused, so that the
 * addresses are where they are looked for. A frame may carry up to two VLAN tags in its bytes (the
 * kernel normally takes them out); those of another VLAN are filtered before they come here.
 */
#include "speaker/layer2/arp.h"

#include "metallb/wire.h"

enum {
	HW_ETHERNET = 1,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_8021Q = 0x8100,
	ETHERTYPE_8021AD = 0x88a8
};

const char *arp_decode(struct arp_packet *pkt, const void *frame, size_t len)
{
	struct rd r = rd_init(frame, len);
	struct arp_packet p = {0};
	uint8_t spa[4], tpa[4];
	uint16_t type;

	rd_copy(&r, p.eth_dst.b, MAC_LEN);
	rd_copy(&r, p.eth_src.b, MAC_LEN);
	type = rd_u16(&r);
	for (int tags = 0; tags < 2 && (type == ETHERTYPE_8021Q || type == ETHERTYPE_8021AD);
	     tags++) {
		rd_u16(&r);
		type = rd_u16(&r);
	}
	if (!r.bad && type != ETHERTYPE_ARP_VALUE)
		return "not ARP";
	uint16_t hw = rd_u16(&r), proto = rd_u16(&r);
	uint8_t hw_len = rd_u8(&r), proto_len = rd_u8(&r);

	p.op = rd_u16(&r);
	rd_copy(&r, p.sender_mac.b, MAC_LEN);
	rd_copy(&r, spa, sizeof(spa));
	rd_copy(&r, p.target_mac.b, MAC_LEN);
	rd_copy(&r, tpa, sizeof(tpa));
	if (r.bad)
		return "short frame";
	if (hw != HW_ETHERNET || hw_len != MAC_LEN)
		return "not Ethernet addresses";
	if (proto != ETHERTYPE_IPV4 || proto_len != sizeof(spa))
		return "not IPv4 addresses";
	if (p.op != ARP_OP_REQUEST && p.op != ARP_OP_REPLY)
		return "unknown operation";
	if (!mac_is_station(&p.sender_mac))
		return "bad sender hardware address";
	p.sender_ip = ip_from_v4(spa);
	p.target_ip = ip_from_v4(tpa);
	*pkt = p;
	return NULL;
}

void arp_encode(const struct arp_packet *pkt, uint8_t out[ARP_FRAME_LEN])
{
	struct wr w = wr_init(out, ARP_FRAME_LEN);

	memset(out, 0, ARP_FRAME_LEN);
	wr_bytes(&w, pkt->eth_dst.b, MAC_LEN);
	wr_bytes(&w, pkt->eth_src.b, MAC_LEN);
	wr_u16(&w, ETHERTYPE_ARP_VALUE);
	wr_u16(&w, HW_ETHERNET);
	wr_u16(&w, ETHERTYPE_IPV4);
	wr_u8(&w, MAC_LEN);
	wr_u8(&w, 4);
	wr_u16(&w, pkt->op);
	wr_bytes(&w, pkt->sender_mac.b, MAC_LEN);
	wr_bytes(&w, pkt->sender_ip.b, 4);
	wr_bytes(&w, pkt->target_mac.b, MAC_LEN);
	wr_bytes(&w, pkt->target_ip.b, 4);
}
