/*
 * BGP peers: identity, addresses, timers, password and references.
 */
#include <string.h>

#include "lib/config/build.h"

#define SEC_NS      INT64_C(1000000000)
#define HOLD_MAX_NS (INT64_C(65535) * SEC_NS) /* RFC 4271 4.2: two octets of seconds */

static bool check_asns(struct build *b, const struct bgppeer *p)
{
	const struct api_object *o = &p->obj;
	bool dynamic = *p->dynamic_asn;

	if (p->my_asn == 0)
		return build_refuse(b, o, "spec.myASN", "must not be 0");
	if (p->peer_asn == 0 && !dynamic)
		return build_refuse(b, o, "spec.peerASN", "peerASN or dynamicASN is required");
	if (p->peer_asn != 0 && dynamic)
		return build_refuse(b, o, "spec.dynamicASN",
				    "peerASN and dynamicASN exclude each other");
	if (dynamic && strcmp(p->dynamic_asn, "internal") != 0 &&
	    strcmp(p->dynamic_asn, "external") != 0)
		return build_refuse(b, o, "spec.dynamicASN", "must be internal or external");
	if (p->peer_asn == p->my_asn && p->ebgp_multihop)
		return build_refuse(b, o, "spec.ebgpMultiHop",
				    "cannot be used where peerASN equals myASN");
	return true;
}

static bool parse_address(struct build *b, const struct bgppeer *p, const char *field,
			  const char *text, struct ip *out)
{
	if (*text && !ip_parse(text, out))
		return build_refuse(b, &p->obj, field, "\"%s\" is not an IP address", text);
	return true;
}

static bool check_addresses(struct build *b, const struct bgppeer *p, struct config_peer *out)
{
	const struct api_object *o = &p->obj;

	if (!*p->peer_address && !*p->interface)
		return build_refuse(b, o, "spec.peerAddress",
				    "peerAddress or interface is required");
	if (*p->peer_address && *p->interface)
		return build_refuse(b, o, "spec.interface",
				    "peerAddress and interface exclude each other");
	if (!parse_address(b, p, "spec.peerAddress", p->peer_address, &out->address) ||
	    !parse_address(b, p, "spec.routerID", p->router_id, &out->router_id) ||
	    !parse_address(b, p, "spec.sourceAddress", p->source_address, &out->source_address))
		return false;
	if (out->router_id.family == IP_V6)
		return build_refuse_ours(b, o, "spec.routerID",
					 "a BGP identifier is an IPv4 address, not %s",
					 p->router_id);
	return true;
}

/* When only one of the two is given, the other one follows from it. */
static void derive_timers(const struct bgppeer *p, struct config_peer *out)
{
	out->hold_ns = p->hold_ns;
	out->keepalive_ns = p->keepalive_ns;
	out->connect_ns = p->connect_ns;
	if (p->hold_ns != DURATION_UNSET && p->keepalive_ns == DURATION_UNSET)
		out->keepalive_ns = p->hold_ns / 3;
	else if (p->hold_ns == DURATION_UNSET && p->keepalive_ns != DURATION_UNSET &&
		 __builtin_mul_overflow(p->keepalive_ns, 3, &out->hold_ns))
		out->hold_ns = INT64_MAX;
}

static bool check_timers(struct build *b, const struct bgppeer *p, struct config_peer *out)
{
	const struct api_object *o = &p->obj;

	derive_timers(p, out);
	if (out->connect_ns != DURATION_UNSET &&
	    (out->connect_ns < SEC_NS || out->connect_ns > HOLD_MAX_NS ||
	     out->connect_ns % SEC_NS != 0))
		return build_refuse_ours(b, o, "spec.connectTime",
					 "must be whole seconds from 1s to 65535s");
	if (out->hold_ns == DURATION_UNSET)
		return true;
	int64_t hold_s = out->hold_ns / SEC_NS;

	if (hold_s != 0 && hold_s < 3)
		return build_refuse(b, o, "spec.holdTime", "must be 0s or at least 3s");
	if (out->keepalive_ns > out->hold_ns)
		return build_refuse(b, o, "spec.keepaliveTime", "exceeds the hold time");
	if (out->hold_ns > HOLD_MAX_NS)
		return build_refuse_ours(b, o, "spec.holdTime", "must be at most 65535s");
	if (out->hold_ns < 0 || out->keepalive_ns < 0)
		return build_refuse_ours(b, o,
					 out->hold_ns < 0 ? "spec.holdTime" : "spec.keepaliveTime",
					 "must not be negative");
	return true;
}

static const struct secret *find_secret(const struct build *b, const char *name)
{
	for (size_t i = 0; i < b->objs->n_secrets; i++)
		if (strcmp(b->objs->secrets[i]->obj.meta.name, name) == 0)
			return b->objs->secrets[i];
	return NULL;
}

static bool check_secret(struct build *b, const struct bgppeer *p, struct config_peer *out)
{
	static const char field[] = "spec.passwordSecret";
	const char *name = p->password_secret_name;
	const struct secret *secret = find_secret(b, name);

	if (!secret)
		return build_refuse_transient(b, &p->obj, field, "there is no Secret %s", name);
	if (strcmp(secret->type, "kubernetes.io/basic-auth") != 0)
		return build_refuse(b, &p->obj, field,
				    "Secret %s is of type %s, not kubernetes.io/basic-auth", name,
				    secret->type);
	for (size_t i = 0; i < secret->n_items; i++)
		if (strcmp(secret->items[i].key, "password") == 0) {
			const char *text = (const char *)secret->items[i].value;

			out->password = copy_str(b->arena, text);
			out->password_from_secret = true;
			return true;
		}
	return build_refuse(b, &p->obj, field, "Secret %s has no key \"password\"", name);
}

static bool check_references(struct build *b, const struct bgppeer *p, struct config_peer *out)
{
	out->password = copy_str(b->arena, p->password);
	out->secret_name = copy_str(b->arena, p->password_secret_name);
	out->secret_namespace = copy_str(b->arena, p->password_secret_namespace);
	if (b->opt->ignore_references)
		return true;
	if (*p->password && *p->password_secret_name)
		return build_refuse(b, &p->obj, "spec.passwordSecret",
				    "password and passwordSecret exclude each other");
	if (*p->password_secret_name && !b->opt->secret_passthrough && !check_secret(b, p, out))
		return false;
	if (*p->bfd_profile && !table_find(&b->bfd_names, p->bfd_profile))
		return build_refuse_transient(b, &p->obj, "spec.bfdProfile",
					      "there is no BFDProfile %s", p->bfd_profile);
	return true;
}

static bool build_peer(struct build *b, const struct bgppeer *p, struct config_peer *out)
{
	*out = (struct config_peer){
		.name = copy_str(b->arena, p->obj.meta.name),
		.my_asn = (uint32_t)p->my_asn,
		.peer_asn = (uint32_t)p->peer_asn,
		.local_asn = (uint32_t)p->local_asn,
		.dynamic_asn = copy_str(b->arena, p->dynamic_asn),
		.interface = copy_str(b->arena, p->interface),
		.port = (uint16_t)p->peer_port,
		.bfd_profile = copy_str(b->arena, p->bfd_profile),
		.vrf = copy_str(b->arena, p->vrf),
		.graceful_restart = p->graceful_restart,
		.ebgp_multihop = p->ebgp_multihop,
		.disable_mp = p->disable_mp,
		.dual_stack = p->dual_stack,
	};
	if (table_find(&b->peer_names, p->obj.meta.name))
		return build_refuse(b, &p->obj, "metadata.name", "there is another BGPPeer %s",
				    p->obj.meta.name);
	if (!check_asns(b, p) || !check_addresses(b, p, out) || !check_timers(b, p, out) ||
	    !check_selectors(b, &p->obj, "spec.nodeSelectors", &p->node_selectors) ||
	    !check_references(b, p, out))
		return false;
	out->node_selectors = copy_selectors(b->arena, &p->node_selectors);
	if (p->disable_mp)
		build_warn(b, &p->obj, "spec.disableMP", "is deprecated and has no effect");
	return true;
}

/* Is the peer for the node whose view is built? Bad selectors are found later. */
static bool is_wanted(struct build *b, const struct bgppeer *p)
{
	struct err err;

	if (!*b->opt->node || p->node_selectors.n == 0)
		return true;
	for (size_t i = 0; i < p->node_selectors.n; i++)
		if (!selector_check(&p->node_selectors.items[i], &err))
			return true;
	return strs_has(&nodes_select(b, &p->node_selectors)->names, b->opt->node);
}

void build_peers(struct build *b)
{
	size_t n = b->objs->n_peers;
	const struct api_object **order = build_order(b, b->objs->peers, n);
	struct config_peer *out = arena_calloc(b->scratch, n, sizeof(*out));

	b->peers = arena_calloc(b->scratch, n, sizeof(*b->peers));
	for (size_t i = 0; i < n; i++) {
		const struct bgppeer *p = (const void *)order[i];

		if (!is_wanted(b, p) || !build_peer(b, p, &out[i]))
			continue;
		table_set(&b->peer_names, p->obj.meta.name, &out[i]);
		b->peers[b->n_peers++] = (struct peer_work){
			.in = p,
			.nodes = nodes_select(b, &p->node_selectors),
			.out = &out[i],
		};
	}
}
