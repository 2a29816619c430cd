/*
 * Decisions in words, for a person.
 */
#include "metallb/announce.h"

#include <assert.h>

static const char *reason_sentence(enum announce_reason reason)
{
	static const char *const text[ANNOUNCE_REASON_COUNT] = {
		[ANNOUNCE_YES] = "announced",
		[ANNOUNCE_NO_CONFIG] = "no configuration has been loaded yet",
		[ANNOUNCE_OTHER_CLASS] = "its spec.loadBalancerClass belongs to another system",
		[ANNOUNCE_NOT_LOADBALANCER] = "its type is not LoadBalancer",
		[ANNOUNCE_NO_IP] = "it has no address in status.loadBalancer.ingress",
		[ANNOUNCE_INVALID_IP] = "an entry of status.loadBalancer.ingress has no valid ip",
		[ANNOUNCE_IP_NOT_ALLOWED] = "no IPAddressPool contains all of its addresses",
		[ANNOUNCE_WITHDRAWN] = "the speakers are being removed",
		[ANNOUNCE_NOT_OWNER] = "no advertisement of its pool selects this node",
		[ANNOUNCE_NO_ADVERTISEMENT] = "no advertisement selects this service on this node",
		[ANNOUNCE_SHARED_IP_SELECTOR] =
			"it shares an address (allow-shared-ip), which an L2Advertisement "
			"with serviceSelectors does not allow",
		[ANNOUNCE_CONFLICTING] =
			"its BGPAdvertisements give one prefix different localPref values",
		[ANNOUNCE_NETWORK_UNAVAILABLE] = "the node's network is unavailable",
		[ANNOUNCE_NODE_EXCLUDED] = "the node has the label " ANNOUNCE_EXCLUDE_LABEL,
		[ANNOUNCE_NO_LOCAL_ENDPOINTS] =
			"externalTrafficPolicy is Local and no endpoint on this node can serve",
		[ANNOUNCE_NO_ENDPOINTS] = "no endpoint can serve",
		[ANNOUNCE_ADDRESS_PROBED] =
			"its address is being probed before it is used for the first time",
		[ANNOUNCE_ADDRESS_IN_USE] = "another station uses its address",
	};

	assert(reason < ANNOUNCE_REASON_COUNT && text[reason]);
	return text[reason];
}

void announce_l2_explain(const struct announce_decision *d, struct buf *out)
{
	const struct announce_l2 *l2 = &d->l2;

	if (l2->reason == ANNOUNCE_YES && l2->n_ips == 0) {
		buf_add_str(out, "elected, but none of the advertised interfaces exists here");
		return;
	}
	if (l2->reason != ANNOUNCE_NOT_OWNER) {
		buf_add_str(out, reason_sentence(l2->reason));
		return;
	}
	switch (l2->detail) {
	case ANNOUNCE_DETAIL_NO_ENDPOINTS:
		buf_add_str(out, "no endpoint can serve");
		return;
	case ANNOUNCE_DETAIL_NO_CANDIDATES:
		buf_add_str(out, "no node with a live speaker is eligible");
		return;
	case ANNOUNCE_DETAIL_LOST:
		buf_printf(out, "node %s is elected", l2->ranking.items[0]);
		return;
	case ANNOUNCE_DETAIL_NONE:
		break;
	}
	assert(0 && "a lost election has its detail");
}

void announce_bgp_explain(const struct announce_decision *d, struct buf *out)
{
	buf_add_str(out, reason_sentence(d->bgp.reason));
}
