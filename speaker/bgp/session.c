/*
 * The messages of a session: our OPEN, judging the peer's, what was negotiated, and what each
 * message means for the state machine. See peer.h.
 */
#include <assert.h>
#include <stdio.h>

#include "speaker/bgp/peer.h"

#define NOTICE_INTERVAL  (10 * USEC_PER_SEC)
#define REFRESH_INTERVAL USEC_PER_SEC

/* RFC 4271 section 4.2: as configured; the local IPv4 address; the interface's; the node's. */
static uint32_t router_id(const struct bgp_peer *p, const struct bgp_local *l)
{
	const struct ip *ip = l->addr.family == IP_V4 ? &l->addr : &l->v4;

	if (p->cfg.router_id)
		return p->cfg.router_id;
	if (ip->family == IP_V4)
		return (uint32_t)ip->b[0] << 24 | (uint32_t)ip->b[1] << 16 |
		       (uint32_t)ip->b[2] << 8 | ip->b[3];
	return p->shared->fallback_id;
}

static bool over_v6(const struct bgp_peer *p)
{
	return p->remote.family == IP_V6;
}

static bool wants_v4_over_v6(const struct bgp_peer *p)
{
	return over_v6(p) && (p->cfg.families & BGP_FAMILY_V4);
}

void bgp_peer_send_open(struct bgp_peer *p, struct bgp_conn *c)
{
	const struct bgp_peer_config *cfg = &p->cfg;
	uint8_t buf[BGP_MSG_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct bgp_open o = {
		.asn = cfg->local_asn,
		.hold_s = cfg->hold_s,
		.id = router_id(p, &c->local),
		.caps = {.multiprotocol = true,
			 .families = cfg->families,
			 .v4_over_v6 = wants_v4_over_v6(p),
			 .refresh = true,
			 .extended_message = true,
			 .as4 = true,
			 .asn4 = cfg->local_asn},
	};

	if (cfg->graceful_restart) {
		o.caps.gr = o.caps.gr_notification = true;
		o.caps.gr_restarting = p->shared->restarted && !p->was_up;
		o.caps.gr_time_s = cfg->restart_s;
		/* what forwards is the kernel, whatever becomes of this process */
		o.caps.gr_families = o.caps.gr_forwarding = cfg->families;
		o.caps.llgr = cfg->llgr_s > 0;
		o.caps.llgr_time_s = cfg->llgr_s;
		o.caps.llgr_families = cfg->families;
	}
	c->my_id = o.id;
	bgp_open_encode(&w, &o);
	bgp_conn_add(p, c, &w);
	p->counters.opens_sent++;
}

static bool check_asn(const struct bgp_peer *p, const struct bgp_open *o, struct bgp_error *e)
{
	const struct bgp_peer_config *cfg = &p->cfg;

	switch (cfg->dynamic) {
	case BGP_DYNAMIC_INTERNAL:
		if (o->asn == cfg->local_asn)
			return true;
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_PEER_AS, NULL, 0,
				     "wrong AS: the peer is in AS %u, expected our own, %u", o->asn,
				     cfg->local_asn);
	case BGP_DYNAMIC_EXTERNAL:
		if (o->asn != cfg->local_asn)
			return true;
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_PEER_AS, NULL, 0,
				     "wrong AS: the peer is in AS %u, expected another than ours",
				     o->asn);
	default:
		if (o->asn == cfg->peer_asn)
			return true;
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_PEER_AS, NULL, 0,
				     "wrong AS: the peer is in AS %u, expected AS %u", o->asn,
				     cfg->peer_asn);
	}
}

/* What of an OPEN depends on the configuration. */
static bool check_open(const struct bgp_peer *p, const struct bgp_conn *c, const struct bgp_open *o,
		       struct bgp_error *e)
{
	if (!check_asn(p, o, e))
		return false;
	if (o->id == c->my_id && o->asn == p->cfg.local_asn)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_ID, NULL, 0,
				     "the peer has our own BGP identifier %u.%u.%u.%u", o->id >> 24,
				     o->id >> 16 & 255, o->id >> 8 & 255, o->id & 255);
	if (!(o->caps.families & p->cfg.families))
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_CAPABILITY, NULL, 0,
				     "the peer offers none of the address families%s%s",
				     p->cfg.families & BGP_FAMILY_V4 ? " IPv4" : "",
				     p->cfg.families & BGP_FAMILY_V6 ? " IPv6" : "");
	return true;
}

/*
 * RFC 4271 section 6.8 and RFC 6286 section 2.3: of two connections the one opened by the side with
 * the higher identifier (or AS, when those are equal) stays. true: c goes on.
 */
static bool resolve_collision(struct bgp_peer *p, struct bgp_conn *c, const struct bgp_open *o,
			      usec_t now)
{
	bool ours = c->my_id != o->id ? c->my_id > o->id : p->cfg.local_asn > o->asn;

	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct bgp_conn *other = &p->conn[i];

		if (other == c || other->fsm.state < BGP_ST_OPENCONFIRM)
			continue;
		if (other->fsm.state == BGP_ST_ESTABLISHED && p->gr) {
			/* RFC 4724 section 5: the peer restarted and we did not see it go */
			bgp_peer_step(p, other, BGP_EV_TCP_FAILS, NULL,
				      "the peer restarted and connected anew", now);
			continue;
		}
		/* two that came in: the newer one is the one that the peer knows of */
		bool c_out = c == &p->conn[0], other_out = other == &p->conn[0];
		bool other_stays = other->fsm.state == BGP_ST_ESTABLISHED ||
				   (c_out != other_out && other_out == ours);

		bgp_peer_step(p, other_stays ? c : other, BGP_EV_COLLISION_DUMP, NULL, NULL, now);
		if (other_stays)
			return false;
	}
	return true;
}

static void handle_open(struct bgp_peer *p, struct bgp_conn *c, const uint8_t *body, size_t len,
			usec_t now)
{
	struct bgp_open o;
	struct bgp_error e;
	struct bgp_fsm_input in = {.error = &e};

	p->counters.opens_received++;
	if (c->fsm.state == BGP_ST_OPENSENT) {
		if (!bgp_open_decode(body, len, &o, &e) || !check_open(p, c, &o, &e)) {
			bgp_peer_step(p, c, BGP_EV_OPEN_ERR, &in, e.why, now);
			return;
		}
		if (!resolve_collision(p, c, &o, now))
			return;
		c->peer_open = o;
		c->got_open = true;
		in.hold_s = o.hold_s < p->cfg.hold_s ? o.hold_s : p->cfg.hold_s;
	}
	bgp_peer_step(p, c, BGP_EV_OPEN, &in, NULL, now);
}

void bgp_peer_negotiate(struct bgp_peer *p, struct bgp_conn *c)
{
	const struct bgp_caps *caps = &c->peer_open.caps;
	const struct bgp_local *l = &c->local;
	bool v6 = l->addr.family == IP_V6;

	p->families = p->cfg.families & caps->families;
	p->gr = p->cfg.graceful_restart && caps->gr;
	p->gr_notification = p->gr && caps->gr_notification;
	p->enc = (struct bgp_encoding){
		.ibgp = c->peer_open.asn == p->cfg.local_asn,
		.as4 = caps->as4,
		.gshut = p->drain != BGP_DRAIN_NONE,
		.local_asn = p->cfg.local_asn,
		.default_local_pref = p->cfg.default_local_pref,
	};
	p->enc.next_hop[0] = !v6 || (caps->v4_over_v6 && wants_v4_over_v6(p)) ? l->addr : l->v4;
	p->enc.next_hop[1] = v6 ? l->addr : l->v6;
	if ((p->families & BGP_FAMILY_V4) && p->enc.next_hop[0].family == IP_NONE)
		bgp_peer_event(p, BGP_EVENT_NOTICE,
			       "no IPv4 routes: the peer takes no IPv6 next hops for them and the "
			       "interface has no IPv4 address");
	if ((p->families & BGP_FAMILY_V6) && p->enc.next_hop[1].family == IP_NONE)
		bgp_peer_event(p, BGP_EVENT_NOTICE,
			       "no IPv6 routes: the interface has no global IPv6 address to be the "
			       "next hop");
}

static void handle_update(struct bgp_peer *p, struct bgp_conn *c, const uint8_t *body, size_t len,
			  usec_t now)
{
	struct bgp_update_info info;
	struct bgp_fsm_input in = {.error = &info.error};

	p->counters.updates_received++;
	if (c->fsm.state != BGP_ST_ESTABLISHED) {
		bgp_peer_step(p, c, BGP_EV_UPDATE, NULL, NULL, now);
		return;
	}
	bgp_update_check(body, len, p->enc.as4, p->enc.ibgp, &info);
	p->counters.prefixes_received += info.n_reach;
	if (info.verdict == BGP_UPDATE_RESET) {
		bgp_peer_step(p, c, BGP_EV_UPDATE_ERR, &in, info.error.why, now);
		return;
	}
	if (info.verdict != BGP_UPDATE_OK) {
		p->counters.updates_malformed++;
		if (now >= p->notice_next) {
			p->notice_next = now + NOTICE_INTERVAL;
			bgp_peer_event(p, BGP_EVENT_NOTICE, "%s (%s)", info.error.why,
				       info.verdict == BGP_UPDATE_DISCARD ? "attribute discarded"
									  : "treated as withdraw");
		}
	}
	bgp_peer_step(p, c, BGP_EV_UPDATE, NULL, NULL, now);
}

static void handle_notification(struct bgp_peer *p, struct bgp_conn *c, const uint8_t *body,
				size_t len, usec_t now)
{
	char meaning[BGP_TEXT_MAX], why[BGP_TEXT_MAX + 64];
	struct bgp_error e;

	p->counters.notifications_received++;
	bgp_notification_decode(body, len, &e);
	bgp_error_format(&e, meaning);
	snprintf(p->last_notification, sizeof(p->last_notification), "received %.240s", meaning);
	if (e.code == BGP_ERR_OPEN && e.subcode == BGP_OPEN_PEER_AS)
		snprintf(why, sizeof(why), "wrong AS: the peer does not expect AS %u from us (%s)",
			 p->cfg.local_asn, meaning);
	else
		snprintf(why, sizeof(why), "the peer sent NOTIFICATION %s", meaning);
	bgp_peer_step(p, c,
		      e.code == BGP_ERR_OPEN && e.subcode == BGP_OPEN_VERSION ? BGP_EV_NOTIF_VERSION
									      : BGP_EV_NOTIF,
		      NULL, why, now);
}

static void handle_refresh(struct bgp_peer *p, struct bgp_conn *c, const uint8_t *body, size_t len,
			   usec_t now)
{
	p->counters.refresh_received++;
	if (c == p->up) {
		p->refresh |= bgp_refresh_decode(body, len) & p->families;
		if (p->refresh && now >= p->refresh_next) {
			bgp_rib_resend(&p->rib, p->refresh);
			p->refresh = 0;
			p->refresh_next = now + REFRESH_INTERVAL;
		}
	}
	bgp_peer_step(p, c, BGP_EV_REFRESH, NULL, NULL, now);
}

void bgp_peer_handle(struct bgp_peer *p, struct bgp_conn *c, uint8_t type, const uint8_t *body,
		     size_t len, usec_t now)
{
	p->counters.total_received++;
	switch (type) {
	case BGP_OPEN:
		handle_open(p, c, body, len, now);
		return;
	case BGP_UPDATE:
		handle_update(p, c, body, len, now);
		return;
	case BGP_NOTIFICATION:
		handle_notification(p, c, body, len, now);
		return;
	case BGP_KEEPALIVE:
		p->counters.keepalives_received++;
		bgp_peer_step(p, c, BGP_EV_KEEPALIVE, NULL, NULL, now);
		return;
	case BGP_ROUTE_REFRESH:
		handle_refresh(p, c, body, len, now);
		return;
	default:
		assert(0 && "frame of unknown type");
	}
}
