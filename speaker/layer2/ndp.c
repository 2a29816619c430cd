/*
 * Neighbour discovery frames. What a host could not have sent honestly on this link is refused:
 * a hop limit other than 255 (it crossed a router), a wrong checksum, a multicast target, options
 * of length zero. IPv6 extension headers before ICMPv6 are not looked through.
 */
#include "speaker/layer2/ndp.h"

#include "metallb/wire.h"

enum {
	IP6_HEADER = 40,
	NEXT_ICMP6 = 58,
	HOP_LIMIT = 255,
	OPT_SOURCE_LLA = 1,
	OPT_TARGET_LLA = 2,
	MESSAGE_LEN = 24, /* type, code, checksum, flags, target */
};

struct ip ndp_solicited_node(const struct ip *ip)
{
	struct ip g = {.family = IP_V6, .b = {0xff, 0x02, [11] = 0x01, [12] = 0xff}};

	memcpy(&g.b[13], &ip->b[13], 3);
	return g;
}

struct ip ndp_all_nodes(void)
{
	return (struct ip){.family = IP_V6, .b = {0xff, 0x02, [15] = 0x01}};
}

struct mac ndp_group_mac(const struct ip *group)
{
	struct mac m = {{0x33, 0x33}};

	memcpy(&m.b[2], &group->b[12], 4);
	return m;
}

/* RFC 4443 §2.3: the pseudo header and the message, whose checksum field counts as it is. */
static uint16_t icmp6_checksum(const uint8_t src[16], const uint8_t dst[16], const uint8_t *msg,
			       size_t len)
{
	uint32_t sum = (uint32_t)len + NEXT_ICMP6;

	for (size_t i = 0; i < 16; i += 2)
		sum += (uint32_t)(src[i] << 8 | src[i + 1]) + (uint32_t)(dst[i] << 8 | dst[i + 1]);
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(msg[i] << 8 | msg[i + 1]);
	if (len % 2)
		sum += (uint32_t)msg[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static const char *options_decode(struct ndp_packet *pkt, struct rd *r)
{
	uint8_t wanted = pkt->type == NDP_SOLICIT ? OPT_SOURCE_LLA : OPT_TARGET_LLA;

	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r), units = rd_u8(r);

		if (r->bad || units == 0)
			return "bad option length";
		struct rd value = rd_sub(r, (size_t)units * 8 - 2);

		if (r->bad)
			return "bad option length";
		if (type != wanted || units != 1 || pkt->has_lla)
			continue;
		rd_copy(&value, pkt->lla.b, MAC_LEN);
		pkt->has_lla = true;
	}
	return NULL;
}

static const char *message_decode(struct ndp_packet *pkt, struct rd *r)
{
	uint8_t target[16];

	pkt->type = rd_u8(r);
	uint8_t code = rd_u8(r);

	rd_u16(r); /* checksum, verified by the caller */
	pkt->flags = (uint8_t)(rd_u32(r) >> 24);
	rd_copy(r, target, sizeof(target));
	if (r->bad)
		return "short frame";
	if (pkt->type != NDP_SOLICIT && pkt->type != NDP_ADVERTISE)
		return "not neighbour discovery";
	if (code != 0)
		return "bad code";
	pkt->target = ip_from_v6(target);
	if (pkt->target.family != IP_V6 || ip_is_multicast(&pkt->target) ||
	    ip_is_unspecified(&pkt->target))
		return "bad target";
	return options_decode(pkt, r);
}

/* RFC 4861 §7.1.1, §7.1.2: the rules that need header and message together. */
static const char *addresses_check(const struct ndp_packet *p)
{
	if (p->type == NDP_SOLICIT && ip_is_unspecified(&p->src)) {
		struct ip group = ndp_solicited_node(&p->target);

		if (p->has_lla || !ip_eq(&p->dst, &group))
			return "bad duplicate address probe";
	} else if (ip_is_multicast(&p->src) || ip_is_unspecified(&p->src)) {
		return "bad source";
	}
	if (p->type == NDP_ADVERTISE && ip_is_multicast(&p->dst) && (p->flags & NDP_FLAG_SOLICITED))
		return "solicited advertisement to a group";
	if (p->has_lla && !mac_is_station(&p->lla))
		return "bad link-layer address";
	return NULL;
}

const char *ndp_decode(struct ndp_packet *pkt, const void *frame, size_t len)
{
	struct rd r = rd_init(frame, len);
	struct ndp_packet p = {0};
	uint8_t src[16], dst[16];
	const char *reason;

	rd_copy(&r, p.eth_dst.b, MAC_LEN);
	rd_copy(&r, p.eth_src.b, MAC_LEN);
	uint16_t type = rd_u16(&r);
	uint32_t version = rd_u32(&r) >> 28;
	uint16_t payload = rd_u16(&r);
	uint8_t next = rd_u8(&r), hops = rd_u8(&r);

	rd_copy(&r, src, sizeof(src));
	rd_copy(&r, dst, sizeof(dst));
	struct rd msg = rd_sub(&r, payload);

	if (msg.bad || payload < MESSAGE_LEN)
		return "short frame";
	if (type != ETHERTYPE_IPV6_VALUE || version != 6 || next != NEXT_ICMP6)
		return "not neighbour discovery";
	if (hops != HOP_LIMIT)
		return "hop limit is not 255";
	if (icmp6_checksum(src, dst, msg.p, payload) != 0)
		return "bad checksum";
	p.src = ip_from_v6(src);
	p.dst = ip_from_v6(dst);
	if (p.src.family != IP_V6 || p.dst.family != IP_V6)
		return "bad source";
	reason = message_decode(&p, &msg);
	if (!reason)
		reason = addresses_check(&p);
	if (!reason)
		*pkt = p;
	return reason;
}

void ndp_encode(const struct ndp_packet *pkt, uint8_t out[NDP_FRAME_LEN], size_t *len)
{
	struct wr w = wr_init(out, NDP_FRAME_LEN);
	uint16_t payload = pkt->has_lla ? MESSAGE_LEN + 8 : MESSAGE_LEN;

	wr_bytes(&w, pkt->eth_dst.b, MAC_LEN);
	wr_bytes(&w, pkt->eth_src.b, MAC_LEN);
	wr_u16(&w, ETHERTYPE_IPV6_VALUE);
	wr_u32(&w, 6u << 28);
	wr_u16(&w, payload);
	wr_u8(&w, NEXT_ICMP6);
	wr_u8(&w, HOP_LIMIT);
	wr_bytes(&w, pkt->src.b, 16);
	wr_bytes(&w, pkt->dst.b, 16);
	uint8_t *msg = w.p;

	wr_u8(&w, pkt->type);
	wr_u8(&w, 0);
	uint8_t *sum = wr_reserve(&w, 2);

	wr_patch_u16(sum, 0);
	wr_u32(&w, (uint32_t)pkt->flags << 24);
	wr_bytes(&w, pkt->target.b, 16);
	if (pkt->has_lla) {
		wr_u8(&w, pkt->type == NDP_SOLICIT ? OPT_SOURCE_LLA : OPT_TARGET_LLA);
		wr_u8(&w, 1);
		wr_bytes(&w, pkt->lla.b, MAC_LEN);
	}
	wr_patch_u16(sum, icmp6_checksum(pkt->src.b, pkt->dst.b, msg, payload));
	*len = wr_len(&w);
}
