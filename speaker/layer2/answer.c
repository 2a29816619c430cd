/*
 * Questions and their answers: ARP requests (RFC 826) and neighbour solicitations (RFC 4861 §7.2.3,
 * §7.2.4). Nothing here allocates. A frame that says one of our addresses belongs to somebody else
 * is never answered; it is kept as a claim for whoever judges it.
 */
#include "speaker/layer2/responder.h"

#include <assert.h>

#include "speaker/layer2/arp.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/responder_impl.h"

const char *responder_verdict_text(enum responder_verdict v)
{
	static const char *const text[RESPONDER_VERDICT_COUNT] = {
		[RESPONDER_ANSWER] = "",
		[RESPONDER_MALFORMED] = "malformed",
		[RESPONDER_NOT_A_QUESTION] = "notAQuestion",
		[RESPONDER_OTHER_DESTINATION] = "otherDestination",
		[RESPONDER_OTHER_IP] = "otherIP",
		[RESPONDER_OTHER_INTERFACE] = "otherInterface",
		[RESPONDER_NO_SENDER] = "noSender",
		[RESPONDER_OWN] = "own",
		[RESPONDER_CLAIM] = "claim",
	};

	assert(v < RESPONDER_VERDICT_COUNT);
	return text[v];
}

uint64_t responder_verdict_count(const struct responder *r, enum responder_verdict v)
{
	assert(v < RESPONDER_VERDICT_COUNT);
	return r->verdicts[v];
}

static bool mac_is_ours(const struct responder *r, const struct mac *mac)
{
	for (size_t i = 0; i < r->n_links; i++)
		if (mac_eq(&r->links[i].mac, mac))
			return true;
	return false;
}

static enum responder_verdict claim_add(struct responder *r, const struct ip *ip,
					const struct mac *mac, unsigned ifindex, usec_t now)
{
	if (r->n_claims < RESPONDER_CLAIMS_MAX)
		r->claims[r->n_claims++] = (struct responder_claim){*ip, *mac, ifindex, now};
	return RESPONDER_CLAIM;
}

bool responder_claim_next(struct responder *r, struct responder_claim *out)
{
	if (r->n_claims == 0)
		return false;
	*out = r->claims[0];
	memmove(&r->claims[0], &r->claims[1], --r->n_claims * sizeof(r->claims[0]));
	return true;
}

/* The station has the address, as it says. */
static void station_heard(struct responder *r, const struct ip *ip, const struct mac *mac,
			  unsigned ifindex, usec_t now)
{
	probes_heard(r->probes, ip, mac, ifindex, now);
	uplinks_heard(r->uplinks, ip, mac, ifindex);
}

/* ---- ARP ---- */

static void arp_reply(const struct responder_link *link, const struct arp_packet *q,
		      struct l2_frame *reply)
{
	struct arp_packet a = {
		.eth_dst = q->sender_mac,
		.eth_src = link->mac,
		.op = ARP_OP_REPLY,
		.sender_mac = link->mac,
		.sender_ip = q->target_ip,
		.target_mac = q->sender_mac,
		.target_ip = q->sender_ip,
	};

	reply->ifindex = link->ifindex;
	reply->ethertype = ETHERTYPE_ARP_VALUE;
	reply->len = ARP_FRAME_LEN;
	arp_encode(&a, reply->data);
}

static enum responder_verdict arp_judge(struct responder *r, const struct responder_link *link,
					const struct arp_packet *q, usec_t now,
					struct l2_frame *reply)
{
	const struct address *addr;

	if (mac_is_ours(r, &q->sender_mac))
		return RESPONDER_OWN;
	station_heard(r, &q->sender_ip, &q->sender_mac, link->ifindex, now);
	addr = responder_find_address(r, &q->sender_ip);
	if (addr && address_allows(addr, link))
		return claim_add(r, &q->sender_ip, &q->sender_mac, link->ifindex, now);
	if (q->op != ARP_OP_REQUEST)
		return RESPONDER_NOT_A_QUESTION;
	if (!mac_is_broadcast(&q->eth_dst) && !mac_eq(&q->eth_dst, &link->mac))
		return RESPONDER_OTHER_DESTINATION;
	addr = responder_find_address(r, &q->target_ip);
	if (!addr)
		return RESPONDER_OTHER_IP;
	if (!address_allows(addr, link))
		return RESPONDER_OTHER_INTERFACE;
	addr->counts->requests++;
	addr->counts->responses++;
	arp_reply(link, q, reply);
	return RESPONDER_ANSWER;
}

enum responder_verdict responder_recv_arp(struct responder *r, unsigned ifindex, const void *frame,
					  size_t len, usec_t now, struct l2_frame *reply)
{
	const struct responder_link *link = responder_find_link(r, ifindex);
	struct arp_packet q;
	enum responder_verdict v;

	if (!link || !link->arp)
		v = RESPONDER_OTHER_INTERFACE;
	else if (arp_decode(&q, frame, len))
		v = RESPONDER_MALFORMED;
	else
		v = arp_judge(r, link, &q, now, reply);
	r->verdicts[v]++;
	return v;
}

/* ---- NDP ---- */

/*
 * A probe from :: is answered to all nodes, so that the prober learns that the address is taken.
 * Other answers come from the address asked for, as a host's do: some tools (ndisc6) take no answer
 * about a global address from a link-local one.
 */
static void ndp_reply(const struct responder_link *link, const struct ndp_packet *q,
		      struct l2_frame *reply)
{
	bool probe = ip_is_unspecified(&q->src);
	struct ip all = ndp_all_nodes();
	struct ndp_packet a = {
		.eth_dst = probe ? ndp_group_mac(&all) : q->lla,
		.eth_src = link->mac,
		.src = probe ? link->link_local : q->target,
		.dst = probe ? all : q->src,
		.type = NDP_ADVERTISE,
		.flags = probe ? NDP_FLAG_OVERRIDE : NDP_FLAG_SOLICITED,
		.target = q->target,
		.has_lla = true,
		.lla = link->mac,
	};
	size_t n;

	ndp_encode(&a, reply->data, &n);
	reply->ifindex = link->ifindex;
	reply->ethertype = ETHERTYPE_IPV6_VALUE;
	reply->len = (uint16_t)n;
}

static enum responder_verdict ndp_judge(struct responder *r, const struct responder_link *link,
					const struct ndp_packet *q, usec_t now,
					struct l2_frame *reply)
{
	const struct address *addr = responder_find_address(r, &q->target);
	bool here = addr && address_allows(addr, link);

	if (mac_is_ours(r, q->has_lla ? &q->lla : &q->eth_src))
		return RESPONDER_OWN;
	station_heard(r, q->type == NDP_SOLICIT ? &q->src : &q->target,
		      q->has_lla ? &q->lla : &q->eth_src, link->ifindex, now);
	if (q->type != NDP_SOLICIT) {
		if (here && q->has_lla)
			return claim_add(r, &q->target, &q->lla, link->ifindex, now);
		return RESPONDER_NOT_A_QUESTION;
	}
	if (!addr)
		return RESPONDER_OTHER_IP;
	if (!here)
		return RESPONDER_OTHER_INTERFACE;
	if (!q->has_lla && !ip_is_unspecified(&q->src))
		return RESPONDER_NO_SENDER;
	addr->counts->requests++;
	addr->counts->responses++;
	ndp_reply(link, q, reply);
	return RESPONDER_ANSWER;
}

enum responder_verdict responder_recv_ndp(struct responder *r, unsigned ifindex, const void *frame,
					  size_t len, usec_t now, struct l2_frame *reply)
{
	const struct responder_link *link = responder_find_link(r, ifindex);
	struct ndp_packet q;
	enum responder_verdict v;

	if (!link || !link->ndp)
		v = RESPONDER_OTHER_INTERFACE;
	else if (ndp_decode(&q, frame, len))
		v = RESPONDER_MALFORMED;
	else
		v = ndp_judge(r, link, &q, now, reply);
	r->verdicts[v]++;
	return v;
}
