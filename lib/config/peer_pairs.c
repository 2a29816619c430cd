/*
 * What frr-k8s demands of peers that share a node: one router ID, one AS number per VRF, and no two
 * sessions to the same neighbour. The native engine has none of these limits.
 */
#include <string.h>

#include "lib/config/build.h"

static const char *neighbour(const struct bgppeer *p)
{
	return *p->peer_address ? p->peer_address : p->interface;
}

static bool share_node(const struct build *b, const struct peer_work *x, const struct peer_work *y)
{
	return b->nodes.n_nodes == 0 || node_sets_meet(b, x->nodes, y->nodes);
}

static bool check_pair(struct build *b, const struct bgppeer *old, const struct bgppeer *p)
{
	bool same_vrf = strcmp(old->vrf, p->vrf) == 0;

	if (strcmp(old->router_id, p->router_id) != 0)
		return build_refuse(
			b, &p->obj, "spec.routerID",
			"differs from that of BGPPeer %s, which runs on the same nodes; "
			"frr-k8s needs them equal",
			old->obj.meta.name);
	if (same_vrf && strcmp(neighbour(old), neighbour(p)) == 0)
		return build_refuse(b, &p->obj, "spec.peerAddress",
				    "BGPPeer %s has a session with %s on the same nodes; frr-k8s "
				    "allows one",
				    old->obj.meta.name, neighbour(p));
	if (same_vrf && old->my_asn != p->my_asn)
		return build_refuse(b, &p->obj, "spec.myASN",
				    "differs from that of BGPPeer %s, which runs on the same nodes "
				    "in the same VRF; frr-k8s needs them equal",
				    old->obj.meta.name);
	return true;
}

void check_peer_pairs(struct build *b)
{
	if (b->opt->backend != BACKEND_FRR_K8S)
		return;
	for (size_t i = 1; i < b->n_peers; i++)
		for (size_t j = 0; j < i && !b->peers[i].bad; j++)
			if (!b->peers[j].bad && share_node(b, &b->peers[j], &b->peers[i]))
				b->peers[i].bad = !check_pair(b, b->peers[j].in, b->peers[i].in);
}
