/*
 * The session that a BGPPeer means under each backend's name, and whether it can be run. Pure.
 */
#include "metallb/xalloc.h"
#include "speaker/bgp/router.h"

#define CONNECT_DEFAULT_S 30
#define RESTART_DEFAULT_S 120

/* What routers see of each backend when the BGPPeer leaves it open. */
struct defaults {
	uint16_t hold_s, keepalive_s;
	uint32_t local_pref;
	uint8_t ttl_ebgp, ttl_multihop, ttl_ibgp; /* 0: the kernel's default */
};

static const struct defaults defaults_native = {90, 30, 0, 0, 0, 0};
static const struct defaults defaults_frr = {180, 60, 100, 1, 255, 255};

static uint16_t seconds(int64_t ns)
{
	int64_t s = ns / 1000000000;

	return (uint16_t)(s < 0 ? 0 : s > UINT16_MAX ? UINT16_MAX : s);
}

static void set_timers(const struct config_peer *peer, const struct defaults *d,
		       struct bgp_peer_config *out)
{
	out->hold_s = peer->hold_ns == DURATION_UNSET ? d->hold_s : seconds(peer->hold_ns);
	out->keepalive_s =
		peer->keepalive_ns == DURATION_UNSET ? d->keepalive_s : seconds(peer->keepalive_ns);
	/* whole seconds on the wire; less than one still means keepalives */
	if (out->keepalive_s == 0 && out->hold_s > 0)
		out->keepalive_s = 1;
	if (peer->hold_ns != DURATION_UNSET && peer->keepalive_ns == DURATION_UNSET)
		out->keepalive_s = out->hold_s / 3;
	out->connect_s =
		peer->connect_ns == DURATION_UNSET ? CONNECT_DEFAULT_S : seconds(peer->connect_ns);
}

static bool is_internal(const struct bgp_peer_config *c)
{
	return c->dynamic == BGP_DYNAMIC_INTERNAL ||
	       (c->dynamic == BGP_DYNAMIC_NONE && c->peer_asn == c->local_asn);
}

static unsigned families_of(const struct config_peer *peer)
{
	if (peer->dual_stack || peer->address.family == IP_NONE)
		return BGP_FAMILY_V4 | BGP_FAMILY_V6;
	return peer->address.family == IP_V6 ? BGP_FAMILY_V6 : BGP_FAMILY_V4;
}

void bgp_peer_config_build(const struct config_peer *peer, enum bgp_backend backend,
			   struct bgp_peer_config *out)
{
	const struct defaults *d = backend == BACKEND_NATIVE ? &defaults_native : &defaults_frr;
	const uint8_t *id = peer->router_id.b;

	*out = (struct bgp_peer_config){
		.name = peer->name,
		.address = peer->address,
		.port = peer->port ? peer->port : 179,
		.source = peer->source_address,
		.interface = peer->interface,
		.vrf = peer->vrf,
		.password = peer->password,
		.local_asn = peer->local_asn ? peer->local_asn : peer->my_asn,
		.peer_asn = peer->peer_asn,
		.families = families_of(peer),
		.graceful_restart = peer->graceful_restart,
		.restart_s = RESTART_DEFAULT_S,
		.default_local_pref = d->local_pref,
	};
	if (peer->dynamic_asn && strcmp(peer->dynamic_asn, "internal") == 0)
		out->dynamic = BGP_DYNAMIC_INTERNAL;
	else if (peer->dynamic_asn && strcmp(peer->dynamic_asn, "external") == 0)
		out->dynamic = BGP_DYNAMIC_EXTERNAL;
	if (peer->router_id.family == IP_V4)
		out->router_id = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 |
				 (uint32_t)id[2] << 8 | id[3];
	set_timers(peer, d, out);
	out->ttl = is_internal(out)      ? d->ttl_ibgp
		   : peer->ebgp_multihop ? d->ttl_multihop
					 : d->ttl_ebgp;
}

static bool is_set(const char *s)
{
	return s && *s;
}

static bool check_ends(const struct bgp_peer_config *c, struct err *err)
{
	if (c->address.family == IP_NONE && !is_set(c->interface))
		return err_set(err, "BGPPeer %s: neither peerAddress nor interface", c->name);
	if (ip_is_link_local(&c->address) && c->address.family == IP_V6 && !is_set(c->interface))
		return err_set(err, "BGPPeer %s: peerAddress is link-local: set interface instead",
			       c->name);
	if (c->source.family && c->address.family && c->source.family != c->address.family)
		return err_set(
			err, "BGPPeer %s: sourceAddress and peerAddress are of different families",
			c->name);
	if (c->port == 0)
		return err_set(err, "BGPPeer %s: peerPort 0", c->name);
	if (is_set(c->password) && strlen(c->password) > BGP_PASSWORD_MAX)
		return err_set(err, "BGPPeer %s: password longer than %d octets", c->name,
			       BGP_PASSWORD_MAX);
	return true;
}

bool bgp_peer_config_check(const struct bgp_peer_config *c, struct err *err)
{
	if (!is_set(c->name) || strlen(c->name) >= BGP_TEXT_MAX)
		return err_set(err, "BGPPeer: no name, or one longer than %d octets",
			       BGP_TEXT_MAX - 1);
	if (!check_ends(c, err))
		return false;
	if (c->local_asn == 0)
		return err_set(err, "BGPPeer %s: myASN 0", c->name);
	if ((c->peer_asn == 0) == (c->dynamic == BGP_DYNAMIC_NONE))
		return err_set(err, "BGPPeer %s: exactly one of peerASN and dynamicASN", c->name);
	if (c->families == 0)
		return err_set(err, "BGPPeer %s: no address family", c->name);
	if (c->hold_s == 1 || c->hold_s == 2)
		return err_set(err, "BGPPeer %s: holdTime must be 0 or at least 3s", c->name);
	if (c->keepalive_s > c->hold_s)
		return err_set(err, "BGPPeer %s: keepaliveTime exceeds holdTime", c->name);
	if (c->restart_s > BGP_RESTART_MAX)
		return err_set(err, "BGPPeer %s: restart time above %d s", c->name,
			       BGP_RESTART_MAX);
	return true;
}
