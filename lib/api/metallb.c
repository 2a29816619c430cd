/*
 * Tables of the metallb.io kinds that users configure. The same facts stand in crds/; a test holds
 * the two together.
 */
#include <string.h>

#include "lib/api/metallb_kinds.h"
#include "lib/api/schema.h"

/* ---- label selectors ---- */

static const struct field expr_fields[] = {
	{"key", FT_STRING, FF_REQUIRED, offsetof(struct selector_expr, key)},
	{"operator", FT_STRING, FF_REQUIRED, offsetof(struct selector_expr, op_text)},
	{"values", FT_STRINGS, FF_ATOMIC, offsetof(struct selector_expr, values)},
};

static bool expr_finish(struct decoder *d, void *base)
{
	struct selector_expr *e = base;

	(void)d;
	e->op = selector_op_parse(e->op_text);
	return true;
}

static const struct shape expr_shape =
	SHAPE(expr_fields, struct selector_expr, .finish = expr_finish);

static const struct field selector_fields[] = {
	{"matchLabels", FT_MAP, 0, offsetof(struct selector, match_labels)},
	{"matchExpressions", FT_LIST, FF_ATOMIC, offsetof(struct selector, exprs),
	 .shape = &expr_shape},
};

const struct shape schema_selector = SHAPE(selector_fields, struct selector);

/* v1beta1 BGPPeer writes its selectors with types of its own: values are a must. */
static const struct field old_expr_fields[] = {
	{"key", FT_STRING, FF_REQUIRED, offsetof(struct selector_expr, key)},
	{"operator", FT_STRING, FF_REQUIRED, offsetof(struct selector_expr, op_text)},
	{"values", FT_STRINGS, FF_REQUIRED | FF_MIN_ONE, offsetof(struct selector_expr, values)},
};
static const struct shape old_expr_shape =
	SHAPE(old_expr_fields, struct selector_expr, .finish = expr_finish);
static const struct field old_selector_fields[] = {
	{"matchLabels", FT_MAP, 0, offsetof(struct selector, match_labels)},
	{"matchExpressions", FT_LIST, 0, offsetof(struct selector, exprs),
	 .shape = &old_expr_shape},
};
static const struct shape old_selector = SHAPE(old_selector_fields, struct selector);

#define SELECTORS(name_, type_, member_)                                                           \
	{                                                                                          \
		name_, FT_LIST, 0, offsetof(type_, member_), .shape = &schema_selector             \
	}

/* ---- IPAddressPool ---- */

#define POOL(member) offsetof(struct ipaddresspool, member)

static const struct field allocation_fields[] = {
	{"priority", FT_INT, 0, POOL(priority)},
	{"namespaces", FT_STRINGS, 0, POOL(namespaces)},
	SELECTORS("namespaceSelectors", struct ipaddresspool, namespace_selectors),
	SELECTORS("serviceSelectors", struct ipaddresspool, service_selectors),
};
static const struct shape allocation_shape = SHAPE(allocation_fields, struct ipaddresspool);

static const struct field pool_spec_fields[] = {
	{"addresses", FT_STRINGS, FF_REQUIRED, POOL(addresses)},
	{"avoidAddresses", FT_STRINGS, 0, POOL(avoid_addresses)},
	{"autoAssign", FT_BOOL, FF_DEFAULT, POOL(auto_assign), .def = 1},
	{"avoidBuggyIPs", FT_BOOL, FF_DEFAULT, POOL(avoid_buggy_ips), .def = 0},
	{"serviceAllocation", FT_OBJECT, .shape = &allocation_shape,
	 .present = POOL(has_allocation)},
};
static const struct shape pool_spec = SHAPE(pool_spec_fields, struct ipaddresspool);

static const struct field pool_status_fields[] = {
	{"assignedIPv4", FT_INT, FF_REQUIRED | FF_INT64, POOL(assigned_v4)},
	{"assignedIPv6", FT_INT, FF_REQUIRED | FF_INT64, POOL(assigned_v6)},
	{"availableIPv4", FT_INT, FF_REQUIRED | FF_INT64, POOL(available_v4)},
	{"availableIPv6", FT_INT, FF_REQUIRED | FF_INT64, POOL(available_v6)},
};
static const struct shape pool_status = SHAPE(pool_status_fields, struct ipaddresspool);

static const struct field pool_fields[] = {
	{"spec", FT_OBJECT, FF_REQUIRED, .shape = &pool_spec},
	{"status", FT_OBJECT, .shape = &pool_status, .present = POOL(has_status)},
};
static const struct shape pool_shape = SHAPE(pool_fields, struct ipaddresspool);

/* ---- L2Advertisement ---- */

#define L2(member) offsetof(struct l2advertisement, member)

static const struct field preferred_fields[] = {
	{"weight", FT_INT, FF_REQUIRED | FF_INT32 | FF_MIN | FF_MAX,
	 offsetof(struct preferred_node, weight), .min = 1, .max = 100},
	{"preference", FT_OBJECT, FF_REQUIRED, offsetof(struct preferred_node, preference),
	 .shape = &schema_selector},
};
static const struct shape preferred_shape = SHAPE(preferred_fields, struct preferred_node);

static const char *const conflict_policies[] = {"Warn", "Refuse", NULL};

static const struct field l2_spec_fields[] = {
	{"ipAddressPools", FT_STRINGS, 0, L2(pools)},
	SELECTORS("ipAddressPoolSelectors", struct l2advertisement, pool_selectors),
	SELECTORS("nodeSelectors", struct l2advertisement, node_selectors),
	SELECTORS("serviceSelectors", struct l2advertisement, service_selectors),
	{"interfaces", FT_STRINGS, 0, L2(interfaces)},
	{"preferredNodeSelectors", FT_LIST, 0, L2(preferred), .shape = &preferred_shape},
	{"conflictPolicy", FT_STRING, 0, L2(conflict_policy), .def_text = "Warn",
	 .enums = conflict_policies},
};
static const struct shape l2_spec = SHAPE(l2_spec_fields, struct l2advertisement);

/* Kinds whose status says nothing yet. */
static const struct shape empty_shape = {.n_fields = 0};

static const struct field l2_fields[] = {
	{"spec", FT_OBJECT, .shape = &l2_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape l2_shape = SHAPE(l2_fields, struct l2advertisement);

/* ---- BGPAdvertisement ---- */

#define ADV(member) offsetof(struct bgpadvertisement, member)

static const struct field adv_spec_fields[] = {
	{"aggregationLength", FT_INT, FF_DEFAULT | FF_INT32 | FF_MIN, ADV(aggregation_length),
	 .min = 1, .def = 32},
	{"aggregationLengthV6", FT_INT, FF_DEFAULT | FF_INT32, ADV(aggregation_length_v6),
	 .def = 128},
	{"localPref", FT_INT, FF_INT32 | FF_UINT32, ADV(local_pref)},
	{"communities", FT_STRINGS, 0, ADV(communities)},
	{"ipAddressPools", FT_STRINGS, 0, ADV(pools)},
	SELECTORS("ipAddressPoolSelectors", struct bgpadvertisement, pool_selectors),
	SELECTORS("nodeSelectors", struct bgpadvertisement, node_selectors),
	SELECTORS("serviceSelectors", struct bgpadvertisement, service_selectors),
	{"peers", FT_STRINGS, 0, ADV(peers)},
};
static const struct shape adv_spec = SHAPE(adv_spec_fields, struct bgpadvertisement);
static const struct field adv_fields[] = {
	{"spec", FT_OBJECT, .shape = &adv_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape adv_shape = SHAPE(adv_fields, struct bgpadvertisement);

/* ---- BGPPeer ---- */

#define PEER(member) offsetof(struct bgppeer, member)

static const char *const dynamic_asns[] = {"internal", "external", NULL};

static const struct field peer_secret_fields[] = {
	{"name", FT_STRING, 0, PEER(password_secret_name)},
	{"namespace", FT_STRING, 0, PEER(password_secret_namespace)},
};
static const struct shape peer_secret = SHAPE(peer_secret_fields, struct bgppeer);

static const struct field peer_spec_fields[] = {
	{"myASN", FT_INT, FF_REQUIRED | FF_INT64 | FF_MIN | FF_MAX, PEER(my_asn), .min = 0,
	 .max = UINT32_MAX},
	{"peerASN", FT_INT, FF_INT64 | FF_MIN | FF_MAX, PEER(peer_asn), .min = 0,
	 .max = UINT32_MAX},
	{"localASN", FT_INT, FF_INT64 | FF_MIN | FF_MAX, PEER(local_asn), .min = 1,
	 .max = UINT32_MAX},
	{"dynamicASN", FT_STRING, 0, PEER(dynamic_asn), .enums = dynamic_asns},
	{"peerAddress", FT_STRING, 0, PEER(peer_address)},
	{"interface", FT_STRING, 0, PEER(interface)},
	{"sourceAddress", FT_STRING, 0, PEER(source_address)},
	{"peerPort", FT_INT, FF_DEFAULT | FF_MIN | FF_MAX, PEER(peer_port), .min = 1, .max = 16384,
	 .def = 179},
	{"holdTime", FT_DURATION, 0, PEER(hold_ns), .def = DURATION_UNSET},
	{"keepaliveTime", FT_DURATION, 0, PEER(keepalive_ns), .def = DURATION_UNSET},
	{"connectTime", FT_DURATION, 0, PEER(connect_ns), .def = DURATION_UNSET},
	{"routerID", FT_STRING, 0, PEER(router_id)},
	SELECTORS("nodeSelectors", struct bgppeer, node_selectors),
	{"password", FT_STRING, 0, PEER(password)},
	{"passwordSecret", FT_OBJECT, .shape = &peer_secret},
	{"bfdProfile", FT_STRING, 0, PEER(bfd_profile)},
	{"enableGracefulRestart", FT_BOOL, 0, PEER(graceful_restart)},
	{"ebgpMultiHop", FT_BOOL, 0, PEER(ebgp_multihop)},
	{"vrf", FT_STRING, 0, PEER(vrf)},
	{"disableMP", FT_BOOL, FF_DEFAULT, PEER(disable_mp)},
	{"dualStackAddressFamily", FT_BOOL, FF_DEFAULT, PEER(dual_stack)},
};
static const struct shape peer_spec = SHAPE(peer_spec_fields, struct bgppeer);
static const struct field peer_fields[] = {
	{"spec", FT_OBJECT, .shape = &peer_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape peer_shape = SHAPE(peer_fields, struct bgppeer);

/* v1beta1: timers that are absent count as zero, as its conversion to v1beta2 makes them. */
static const struct field old_peer_spec_fields[] = {
	{"myASN", FT_INT, FF_REQUIRED | FF_INT64 | FF_MIN | FF_MAX, PEER(my_asn), .min = 0,
	 .max = UINT32_MAX},
	{"peerASN", FT_INT, FF_REQUIRED | FF_INT64 | FF_MIN | FF_MAX, PEER(peer_asn), .min = 0,
	 .max = UINT32_MAX},
	{"peerAddress", FT_STRING, FF_REQUIRED, PEER(peer_address)},
	{"sourceAddress", FT_STRING, 0, PEER(source_address)},
	{"peerPort", FT_INT, FF_MIN | FF_MAX, PEER(peer_port), .min = 0, .max = 16384},
	{"holdTime", FT_DURATION, 0, PEER(hold_ns)},
	{"keepaliveTime", FT_DURATION, 0, PEER(keepalive_ns)},
	{"routerID", FT_STRING, 0, PEER(router_id)},
	{"nodeSelectors", FT_LIST, 0, PEER(node_selectors), .shape = &old_selector},
	{"password", FT_STRING, 0, PEER(password)},
	{"bfdProfile", FT_STRING, 0, PEER(bfd_profile)},
	{"ebgpMultiHop", FT_BOOL, 0, PEER(ebgp_multihop)},
};

/* What v1beta1 cannot say. */
static bool old_peer_finish(struct decoder *d, void *base)
{
	struct bgppeer *peer = base;

	(void)d;
	peer->dynamic_asn = peer->interface = peer->vrf = "";
	peer->password_secret_name = peer->password_secret_namespace = "";
	peer->connect_ns = DURATION_UNSET;
	/* the conversion drops a zero, and v1beta2 has a default */
	if (peer->peer_port == 0)
		peer->peer_port = 179;
	return true;
}

static const struct shape old_peer_spec = SHAPE(old_peer_spec_fields, struct bgppeer);
static const struct field old_peer_fields[] = {
	{"spec", FT_OBJECT, .shape = &old_peer_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape old_peer_shape =
	SHAPE(old_peer_fields, struct bgppeer, .finish = old_peer_finish);

/* ---- BFDProfile ---- */

#define BFD(member) offsetof(struct bfdprofile, member)
#define BFD_RANGE   FF_INT32 | FF_MIN | FF_MAX

static const struct field bfd_spec_fields[] = {
	{"receiveInterval", FT_INT, BFD_RANGE, BFD(receive_interval), 10, 60000, BFD_UNSET},
	{"transmitInterval", FT_INT, BFD_RANGE, BFD(transmit_interval), 10, 60000, BFD_UNSET},
	{"detectMultiplier", FT_INT, BFD_RANGE, BFD(detect_multiplier), 2, 255, BFD_UNSET},
	{"echoInterval", FT_INT, BFD_RANGE, BFD(echo_interval), 10, 60000, BFD_UNSET},
	{"echoMode", FT_BOOL, 0, BFD(echo_mode)},
	{"passiveMode", FT_BOOL, 0, BFD(passive_mode)},
	{"minimumTtl", FT_INT, BFD_RANGE, BFD(minimum_ttl), 1, 254, BFD_UNSET},
};
static const struct shape bfd_spec = SHAPE(bfd_spec_fields, struct bfdprofile);
static const struct field bfd_fields[] = {
	{"spec", FT_OBJECT, .shape = &bfd_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape bfd_shape = SHAPE(bfd_fields, struct bfdprofile);

/* ---- Community ---- */

static const struct field alias_fields[] = {
	{"name", FT_STRING, 0, offsetof(struct community_alias, name)},
	{"value", FT_STRING, 0, offsetof(struct community_alias, value)},
};
static const struct shape alias_shape = SHAPE(alias_fields, struct community_alias);
static const struct field community_spec_fields[] = {
	{"communities", FT_LIST, 0, offsetof(struct community, aliases), .shape = &alias_shape},
};
static const struct shape community_spec = SHAPE(community_spec_fields, struct community);
static const struct field community_fields[] = {
	{"spec", FT_OBJECT, .shape = &community_spec},
	{"status", FT_OBJECT, FF_SKIP, .shape = &empty_shape},
};
static const struct shape community_shape = SHAPE(community_fields, struct community);

const struct shape *schema_metallb_shape(enum api_kind kind, const char *api_version)
{
	switch (kind) {
	case API_IPADDRESSPOOL:
		return &pool_shape;
	case API_L2ADVERTISEMENT:
		return &l2_shape;
	case API_BGPADVERTISEMENT:
		return &adv_shape;
	case API_BGPPEER:
		return strcmp(api_version, "metallb.io/v1beta1") == 0 ? &old_peer_shape
								      : &peer_shape;
	case API_BFDPROFILE:
		return &bfd_shape;
	case API_COMMUNITY:
		return &community_shape;
	case API_SERVICEL2STATUS:
		return &service_l2_shape;
	case API_SERVICEBGPSTATUS:
		return &service_bgp_shape;
	case API_CONFIGURATIONSTATE:
		return &configuration_state_shape;
	default:
		return &metallb_shape;
	}
}
