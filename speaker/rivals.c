/*
 * A station says that an address is its own which this node announces. When it is another speaker,
 * known by the hardware address that it told under the gossip key, it is asked: a frame alone moves
 * nothing. Whoever answers is alive, so both nodes come to count each other, and the election lets
 * one of them yield, within moments after a healed partition. When it says that it does not
 * announce the address, somebody else uses its name: that is told like any other conflict.
 *
 * Behind a partition the kernels of both nodes have tried in vain to resolve each other and would
 * try again within a second only. A frame with both addresses, which needs no resolving, tells each
 * of them where the other one is.
 */
#include "metallb/log.h"
#include "speaker/announcer_impl.h"

static void conflict_note(struct announcer *an, const struct responder_claim *claim)
{
	if (responder_has_ip(an->responder, &claim->ip) && conflicts_add(an->conflicts, claim))
		conflict_tell(an, claim);
}

void rivals_claimed(struct announcer *an, const struct responder_claim *claim)
{
	const char *node = members_node_of_mac(an->members, &claim->mac);

	if (!node) {
		conflict_note(an, claim);
		return;
	}
	if (!rivals_announces(an, &claim->ip))
		return; /* given up already, or being so */
	an->claims[an->next_claim++ % ANNOUNCER_CLAIMS] = *claim;
	struct responder_question q = {.ifindex = claim->ifindex};

	if (!members_ask(an->members, node, &claim->ip, &q.from, &q.to) ||
	    !links_has_address(an->links, claim->ifindex, &q.from))
		return;
	responder_ask(an->responder, &q);
	l2_io_flush(an->l2);
}

void rivals_answered(struct announcer *an, const char *node, const struct ip *ip, bool announces)
{
	char text[IP_STR_MAX];

	log_info("layer2: another speaker claims an address", "node", node, "ip",
		 ip_format(ip, text), "announces", announces ? "true" : "false", NULL);
	for (size_t i = 0; i < ANNOUNCER_CLAIMS; i++) {
		struct responder_claim claim = an->claims[i];
		const char *claimer = members_node_of_mac(an->members, &claim.mac);

		if (!ip_eq(&claim.ip, ip) || !claimer || strcmp(claimer, node) != 0)
			continue;
		an->claims[i] = (struct responder_claim){0};
		if (!announces)
			conflict_note(an, &claim);
	}
	an->view_dirty = true;
	announcer_wake(an);
}

bool rivals_announces(const struct announcer *an, const struct ip *ip)
{
	return responder_has_ip(an->responder, ip) && !linger_has_ip(an->linger, ip);
}

void rivals_paused(struct announcer *an)
{
	responder_burst_all(an->responder, clock_now(), 0);
	l2_io_flush(an->l2);
}
