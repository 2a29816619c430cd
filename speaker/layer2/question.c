/*
 * Frames that ask. See question.h.
 */
#include "speaker/layer2/question.h"

#include "speaker/layer2/arp.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/responder_impl.h"

const struct responder_link *question_link(const struct responder_link *links, size_t n,
					   unsigned ifindex, const struct ip *to)
{
	for (size_t i = 0; i < n; i++)
		if (links[i].ifindex == ifindex)
			return link_carries(&links[i], to->family) ? &links[i] : NULL;
	return NULL;
}

static void arp_fill(const struct responder_link *link, const struct ip *from, const struct ip *to,
		     const struct mac *station, struct l2_frame *out)
{
	static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct arp_packet q = {
		.eth_dst = station ? *station : broadcast,
		.eth_src = link->mac,
		.op = ARP_OP_REQUEST,
		.sender_mac = link->mac,
		.sender_ip = *from,
		.target_ip = *to,
	};

	arp_encode(&q, out->data);
	out->ethertype = ETHERTYPE_ARP_VALUE;
	out->len = ARP_FRAME_LEN;
}

static void ndp_fill(const struct responder_link *link, const struct ip *from, const struct ip *to,
		     const struct mac *station, struct l2_frame *out)
{
	struct ip group = ndp_solicited_node(to);
	struct ndp_packet q = {
		.eth_dst = station ? *station : ndp_group_mac(&group),
		.eth_src = link->mac,
		.src = *from,
		.dst = station ? *to : group,
		.type = NDP_SOLICIT,
		.target = *to,
		.has_lla = !ip_is_unspecified(from),
		.lla = link->mac,
	};
	size_t n;

	ndp_encode(&q, out->data, &n);
	out->ethertype = ETHERTYPE_IPV6_VALUE;
	out->len = (uint16_t)n;
}

void question_fill(const struct responder_link *link, const struct ip *from, const struct ip *to,
		   const struct mac *station, struct l2_frame *out)
{
	out->ifindex = link->ifindex;
	if (to->family == IP_V4)
		arp_fill(link, from, to, station, out);
	else
		ndp_fill(link, from, to, station, out);
}
