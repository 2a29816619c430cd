/*
 * A peer's connections: state machines and what follows from their actions, the byte streams, the
 * way up and the way down (drain, shutdown, BFD). See peer.h; the messages are in session.c.
 */
#include "speaker/bgp/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "metallb/xalloc.h"

#define ACCEPT_BURST    5
#define ACCEPT_INTERVAL USEC_PER_SEC

static char *copy(const char *s)
{
	return xstrdup(s ? s : "");
}

static void free_const(const char *s)
{
	free((void *)(uintptr_t)s);
}

static void set_config(struct bgp_peer *p, const struct bgp_peer_config *cfg)
{
	p->cfg = *cfg;
	p->cfg.name = copy(cfg->name);
	p->cfg.interface = copy(cfg->interface);
	p->cfg.vrf = copy(cfg->vrf);
	p->cfg.password = copy(cfg->password);
	p->params = (struct bgp_fsm_params){
		.connect_max = (cfg->connect_s ? cfg->connect_s : 1) * USEC_PER_SEC,
		.hold_s = cfg->hold_s,
		.keepalive_s = cfg->keepalive_s,
		.random = p->shared->random,
	};
}

static void free_config(struct bgp_peer *p)
{
	free_const(p->cfg.name);
	free_const(p->cfg.interface);
	free_const(p->cfg.vrf);
	free_const(p->cfg.password);
}

static bool str_eq(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool bgp_peer_config_same_session(const struct bgp_peer_config *a, const struct bgp_peer_config *b)
{
	return ip_eq(&a->address, &b->address) && ip_eq(&a->source, &b->source) &&
	       a->port == b->port && str_eq(a->interface, b->interface) && str_eq(a->vrf, b->vrf) &&
	       str_eq(a->password, b->password) && a->local_asn == b->local_asn &&
	       a->peer_asn == b->peer_asn && a->dynamic == b->dynamic &&
	       a->router_id == b->router_id && a->families == b->families &&
	       a->hold_s == b->hold_s && a->keepalive_s == b->keepalive_s && a->ttl == b->ttl &&
	       a->gtsm_hops == b->gtsm_hops && a->graceful_restart == b->graceful_restart &&
	       a->restart_s == b->restart_s && a->llgr_s == b->llgr_s;
}

void bgp_peer_update_config(struct bgp_peer *p, const struct bgp_peer_config *cfg, usec_t now)
{
	bool local_pref = p->cfg.default_local_pref != cfg->default_local_pref;

	assert(bgp_peer_config_same_session(&p->cfg, cfg));
	free_config(p);
	set_config(p, cfg);
	if (!local_pref || !p->up)
		return;
	p->enc.default_local_pref = cfg->default_local_pref;
	if (p->enc.ibgp)
		bgp_rib_resend(&p->rib, p->families);
	bgp_peer_flush(p, now);
}

static void finish(struct bgp_peer *p, usec_t now);

struct bgp_peer *bgp_peer_new(struct bgp_shared_state *shared, const struct bgp_peer_config *cfg,
			      usec_t now)
{
	struct bgp_peer *p = xcalloc(1, sizeof(*p));

	p->shared = shared;
	set_config(p, cfg);
	p->remote = cfg->address;
	p->enabled = true;
	p->accept_tokens = ACCEPT_BURST;
	p->accept_refilled = now;
	bgp_rib_init(&p->rib);
	for (size_t i = 0; i < BGP_CONNS; i++)
		bgp_fsm_init(&p->conn[i].fsm, &p->params, now);
	finish(p, now);
	return p;
}

struct bgp_peer *bgp_peer_free(struct bgp_peer *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < BGP_CONNS; i++) {
		buf_fini(&p->conn[i].rx);
		buf_fini(&p->conn[i].tx);
	}
	bgp_rib_fini(&p->rib);
	free_config(p);
	free(p->drain_reason);
	free(p);
	return NULL;
}

void bgp_peer_event(struct bgp_peer *p, enum bgp_event_type type, const char *fmt, ...)
{
	struct bgp_events *q = &p->shared->events;
	va_list ap;

	if (q->n == BGP_EVENTS_MAX)
		return;
	ARRAY_GROW(q->items, q->n, q->cap);
	struct bgp_event *ev = &q->items[q->n++];

	ev->type = type;
	snprintf(ev->peer, sizeof(ev->peer), "%s", p->cfg.name);
	va_start(ap, fmt);
	vsnprintf(ev->text, sizeof(ev->text), fmt, ap);
	va_end(ap);
}

void bgp_conn_add(struct bgp_peer *p, struct bgp_conn *c, const struct wr *w)
{
	assert(!w->bad);
	buf_add(&c->tx, w->start, wr_len(w));
	p->counters.total_sent++;
}

/* ---- what the state machine asks for ---- */

static void send_notification(struct bgp_peer *p, struct bgp_conn *c)
{
	uint8_t buf[BGP_MSG_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	char meaning[BGP_TEXT_MAX];

	bgp_error_format(&c->fsm.notify, meaning);
	snprintf(p->last_notification, sizeof(p->last_notification), "sent %.240s", meaning);
	bgp_notification_encode(&w, &c->fsm.notify);
	bgp_conn_add(p, c, &w);
	p->counters.notifications_sent++;
}

static void send_keepalive(struct bgp_peer *p, struct bgp_conn *c)
{
	uint8_t buf[BGP_HEADER_LEN];
	struct wr w = wr_init(buf, sizeof(buf));

	bgp_keepalive_encode(&w);
	bgp_conn_add(p, c, &w);
	p->counters.keepalives_sent++;
}

static void session_down(struct bgp_peer *p, const char *why)
{
	p->up = NULL;
	p->families = 0;
	p->gr = p->gr_notification = false;
	p->refresh = 0;
	bgp_rib_stop(&p->rib);
	snprintf(p->last_error, sizeof(p->last_error), "%s", why);
	bgp_peer_event(p, BGP_EVENT_DOWN, "%s", why);
}

static void attempt_failed(struct bgp_peer *p, const char *why)
{
	if (p->up || strcmp(p->last_error, why) == 0)
		return;
	snprintf(p->last_error, sizeof(p->last_error), "%s", why);
	bgp_peer_event(p, BGP_EVENT_FAILED, "%s", why);
}

static void session_up(struct bgp_peer *p, struct bgp_conn *c, usec_t now)
{
	char a[IP_STR_MAX], b[IP_STR_MAX];

	for (size_t i = 0; i < BGP_CONNS; i++)
		if (&p->conn[i] != c)
			bgp_peer_step(p, &p->conn[i], BGP_EV_COLLISION_DUMP, NULL, NULL, now);
	p->up = c;
	p->was_up = true;
	p->counters.established++;
	p->last_error[0] = '\0';
	bgp_peer_negotiate(p, c);
	bgp_rib_start(&p->rib, p->families, true);
	bgp_peer_event(p, BGP_EVENT_UP, "established with AS %u, %s to %s", c->peer_open.asn,
		       ip_format(&c->local.addr, a), ip_format(&p->remote, b));
}

void bgp_peer_step(struct bgp_peer *p, struct bgp_conn *c, enum bgp_fsm_event ev,
		   const struct bgp_fsm_input *in, const char *why, usec_t now)
{
	unsigned acts = bgp_fsm_step(&c->fsm, ev, in, now);
	const char *reason = why ? why : acts & BGP_ACT_NOTIFY ? c->fsm.notify.why : NULL;

	if (acts & BGP_ACT_DOWN)
		session_down(p, reason ? reason : "closed");
	else if ((acts & BGP_ACT_DROP) && reason && ev != BGP_EV_COLLISION_DUMP)
		attempt_failed(p, reason);
	if (acts & BGP_ACT_NOTIFY)
		send_notification(p, c);
	if (acts & BGP_ACT_DROP) {
		c->want_close = c->is_open;
		c->want_connect = c->got_open = false;
	}
	if (acts & BGP_ACT_CONNECT)
		c->want_connect = true;
	if (acts & BGP_ACT_OPEN)
		bgp_peer_send_open(p, c);
	if (acts & BGP_ACT_KEEPALIVE)
		send_keepalive(p, c);
	if (acts & BGP_ACT_UP)
		session_up(p, c, now);
}

/* ---- after every input ---- */

/* One attempt at a time, and only while no other connection is past its OPEN. */
static void settle(struct bgp_peer *p, usec_t now)
{
	struct bgp_fsm *out = &p->conn[0].fsm;
	bool busy = !p->enabled || p->remote.family == IP_NONE;

	for (size_t i = 1; i < BGP_CONNS; i++) {
		if (p->conn[i].fsm.state == BGP_ST_IDLE)
			bgp_fsm_step(&p->conn[i].fsm, BGP_EV_STOP, NULL, now);
		busy |= p->conn[i].fsm.state >= BGP_ST_OPENCONFIRM;
	}
	if (out->state != BGP_ST_IDLE)
		return;
	if (busy)
		bgp_fsm_step(out, BGP_EV_STOP, NULL, now);
	else if (out->timer[BGP_TIMER_IDLE_HOLD] == USEC_NEVER)
		bgp_fsm_arm_idle(out, now);
}

static void fill(struct bgp_peer *p, usec_t now)
{
	uint8_t out[BGP_MSG_MAX];
	size_t n;

	while (p->up && p->up->tx.len < BGP_TX_LOW &&
	       (n = bgp_rib_output(&p->rib, &p->enc, now, out)) > 0) {
		buf_add(&p->up->tx, out, n);
		p->counters.updates_sent++;
		p->counters.total_sent++;
	}
}

static void cease(struct bgp_peer *p, uint8_t subcode, const char *reason, bool hard, usec_t now)
{
	struct bgp_error e;
	struct bgp_fsm_input in = {.error = &e};

	for (size_t i = 0; i < BGP_CONNS; i++) {
		bgp_error_set_cease(&e, subcode, reason);
		if (hard && &p->conn[i] == p->up && p->gr_notification)
			bgp_error_wrap_hard(&e);
		bgp_peer_step(p, &p->conn[i], BGP_EV_STOP, &in, reason, now);
	}
}

static void drained(struct bgp_peer *p, usec_t now)
{
	p->drain = BGP_DRAIN_DONE;
	p->drain_at = USEC_NEVER;
	bgp_rib_set(&p->rib, NULL, 0);
	if (p->drain_end) {
		p->enabled = false;
		cease(p, BGP_CEASE_SHUTDOWN, p->drain_reason, true, now);
	}
	bgp_peer_event(p, BGP_EVENT_DRAINED, "%s", p->drain_reason);
}

static void drain_progress(struct bgp_peer *p, usec_t now)
{
	if (p->drain == BGP_DRAIN_NONE || p->drain == BGP_DRAIN_DONE)
		return;
	if (!p->up) {
		drained(p, now);
		return;
	}
	if (p->drain == BGP_DRAIN_GSHUT && now >= p->drain_at) {
		p->drain = BGP_DRAIN_WITHDRAW;
		p->drain_at = now + BGP_DRAIN_LIMIT;
		bgp_rib_clear(&p->rib);
		bgp_rib_unpace(&p->rib);
		fill(p, now);
	}
	if (p->drain == BGP_DRAIN_WITHDRAW &&
	    ((bgp_rib_is_settled(&p->rib) && p->up->tx.len == 0) || now >= p->drain_at))
		drained(p, now);
}

static void finish(struct bgp_peer *p, usec_t now)
{
	fill(p, now);
	drain_progress(p, now);
	settle(p, now);
}

void bgp_peer_flush(struct bgp_peer *p, usec_t now)
{
	finish(p, now);
}

/* ---- from the shell ---- */

void bgp_peer_connected(struct bgp_peer *p, size_t conn, const struct bgp_local *local, usec_t now)
{
	struct bgp_conn *c = &p->conn[conn];

	c->local = *local;
	bgp_peer_step(p, c, BGP_EV_TCP_UP, NULL, NULL, now);
	finish(p, now);
}

/* What an errno of a connection means for a person who has to mend it. */
static void explain(const struct bgp_peer *p, const struct bgp_conn *c, int error,
		    char out[BGP_TEXT_MAX])
{
	char a[IP_STR_MAX], s[IP_STR_MAX];
	enum bgp_state st = c->fsm.state;

	ip_format(&p->remote, a);
	switch (error) {
	case ECONNREFUSED:
		snprintf(out, BGP_TEXT_MAX,
			 "connection refused by %s port %u: no BGP there, or a packet filter", a,
			 p->cfg.port);
		return;
	case EHOSTUNREACH:
	case ENETUNREACH:
		snprintf(out, BGP_TEXT_MAX, "no route to %s: %s", a, strerror(error));
		return;
	case EADDRNOTAVAIL:
		snprintf(out, BGP_TEXT_MAX, "source address %s is not on this node",
			 ip_format(&p->cfg.source, s));
		return;
	case ENODEV:
		snprintf(out, BGP_TEXT_MAX, "interface %s is not on this node",
			 *p->cfg.interface ? p->cfg.interface : p->cfg.vrf);
		return;
	case ETIMEDOUT:
		snprintf(out, BGP_TEXT_MAX, "no answer from %s port %u: down, filtered%s", a,
			 p->cfg.port,
			 *p->cfg.password ? ", or another MD5 password there"
					  : ", or it expects an MD5 password");
		return;
	case 0:
	case ECONNRESET:
		snprintf(out, BGP_TEXT_MAX, "%s closed the connection in state %s%s", a,
			 bgp_state_format(st),
			 st == BGP_ST_OPENSENT ? ": it may not know this node as a peer" : "");
		return;
	default:
		snprintf(out, BGP_TEXT_MAX, "connection to %s failed: %s", a, strerror(error));
	}
}

void bgp_peer_disconnected(struct bgp_peer *p, size_t conn, int error, usec_t now)
{
	struct bgp_conn *c = &p->conn[conn];
	char why[BGP_TEXT_MAX];

	if (c->want_close)
		return; /* we are done with it anyway */
	explain(p, c, error, why);
	bgp_peer_step(p, c, BGP_EV_TCP_FAILS, NULL, why, now);
	finish(p, now);
}

void bgp_peer_closed(struct bgp_peer *p, size_t conn)
{
	struct bgp_conn *c = &p->conn[conn];

	c->is_open = c->want_close = false;
	buf_fini(&c->rx);
	buf_fini(&c->tx);
}

static bool accept_allowed(struct bgp_peer *p, usec_t now)
{
	usec_t n = (now - p->accept_refilled) / ACCEPT_INTERVAL;

	if (n > 0) {
		p->accept_refilled += n * ACCEPT_INTERVAL;
		p->accept_tokens = n >= ACCEPT_BURST - (usec_t)p->accept_tokens
					   ? ACCEPT_BURST
					   : p->accept_tokens + (unsigned)n;
	}
	if (!p->enabled || p->accept_tokens == 0)
		return false;
	p->accept_tokens--;
	return true;
}

int bgp_peer_accept(struct bgp_peer *p, const struct bgp_local *local, usec_t now)
{
	if (accept_allowed(p, now))
		for (size_t i = 1; i < BGP_CONNS; i++) {
			struct bgp_conn *c = &p->conn[i];

			if (c->is_open || c->fsm.state != BGP_ST_IDLE)
				continue;
			c->is_open = true;
			c->local = *local;
			bgp_peer_step(p, c, BGP_EV_START_PASSIVE, NULL, NULL, now);
			bgp_peer_step(p, c, BGP_EV_TCP_UP, NULL, NULL, now);
			finish(p, now);
			return (int)i;
		}
	p->counters.refused++;
	return -1;
}

/* RFC 8654: more than 4096 octets once both sides said so. */
static size_t max_len(const struct bgp_conn *c)
{
	return c->fsm.state == BGP_ST_ESTABLISHED && c->peer_open.caps.extended_message
		       ? BGP_MSG_EXT_MAX
		       : BGP_MSG_MAX;
}

/* Handles the complete messages at the front; returns how many bytes are done with. */
static size_t recv_messages(struct bgp_peer *p, struct bgp_conn *c, const uint8_t *data, size_t len,
			    usec_t now)
{
	struct bgp_error e;
	struct bgp_fsm_input in = {.error = &e};
	size_t done = 0, n;
	uint8_t type;

	while (c->is_open && !c->want_close) {
		switch (bgp_frame_decode(data + done, len - done, max_len(c), &type, &n, &e)) {
		case BGP_FRAME_MORE:
			return done;
		case BGP_FRAME_BAD:
			bgp_peer_step(p, c, BGP_EV_HEADER_ERR, &in, e.why, now);
			return len;
		case BGP_FRAME_OK:
			bgp_peer_handle(p, c, type, data + done + BGP_HEADER_LEN,
					n - BGP_HEADER_LEN, now);
			done += n;
		}
	}
	return len;
}

void bgp_peer_recv(struct bgp_peer *p, size_t conn, const uint8_t *data, size_t len, usec_t now)
{
	struct bgp_conn *c = &p->conn[conn];

	if (!c->is_open || c->want_close)
		return;
	if (c->rx.len == 0) {
		size_t done = recv_messages(p, c, data, len, now);

		if (done < len)
			buf_add(&c->rx, data + done, len - done);
	} else {
		buf_add(&c->rx, data, len);
		buf_consume(&c->rx,
			    recv_messages(p, c, (const uint8_t *)c->rx.data, c->rx.len, now));
		if (c->rx.len == 0)
			buf_fini(&c->rx);
	}
	finish(p, now);
}

void bgp_peer_sent(struct bgp_peer *p, size_t conn, size_t n, usec_t now)
{
	struct bgp_conn *c = &p->conn[conn];

	buf_consume(&c->tx, n);
	if (c == p->up)
		finish(p, now);
	if (c->tx.len == 0)
		buf_fini(&c->tx);
}

static const char *timer_reason(const struct bgp_peer *p, const struct bgp_conn *c,
				enum bgp_fsm_event ev, char out[BGP_TEXT_MAX])
{
	if (ev == BGP_EV_HOLD_EXPIRES && c->fsm.state == BGP_ST_OPENSENT)
		snprintf(out, BGP_TEXT_MAX, "the peer sent no OPEN within %d s",
			 (int)(BGP_OPEN_TIMEOUT / USEC_PER_SEC));
	else if (ev == BGP_EV_HOLD_EXPIRES)
		snprintf(out, BGP_TEXT_MAX, "hold timer expired: nothing from the peer for %u s",
			 c->fsm.hold_s);
	else if (ev == BGP_EV_CONNECT_RETRY_EXPIRES)
		explain(p, c, ETIMEDOUT, out);
	else
		return NULL;
	return out;
}

void bgp_peer_tick(struct bgp_peer *p, usec_t now)
{
	enum bgp_fsm_event ev;
	char why[BGP_TEXT_MAX];

	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct bgp_conn *c = &p->conn[i];

		if (bgp_fsm_due(&c->fsm, now, &ev))
			bgp_peer_step(p, c, ev, NULL, timer_reason(p, c, ev, why), now);
	}
	if (p->up && p->refresh && now >= p->refresh_next) {
		bgp_rib_resend(&p->rib, p->refresh);
		p->refresh = 0;
		p->refresh_next = now + USEC_PER_SEC;
	}
	finish(p, now);
}

static usec_t min_usec(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

usec_t bgp_peer_deadline(const struct bgp_peer *p)
{
	usec_t t = USEC_NEVER;

	for (size_t i = 0; i < BGP_CONNS; i++)
		t = min_usec(t, bgp_fsm_deadline(&p->conn[i].fsm));
	if (p->up && p->up->tx.len < BGP_TX_LOW)
		t = min_usec(t, bgp_rib_deadline(&p->rib));
	if (p->up && p->refresh)
		t = min_usec(t, p->refresh_next);
	if (p->drain == BGP_DRAIN_GSHUT || p->drain == BGP_DRAIN_WITHDRAW)
		t = min_usec(t, p->drain_at);
	return t;
}

void bgp_peer_discovered(struct bgp_peer *p, const struct ip *addr, unsigned ifindex, usec_t now)
{
	char text[IP_STR_MAX];

	assert(p->cfg.address.family == IP_NONE);
	if (ip_eq(&p->remote, addr) && p->ifindex == ifindex)
		return;
	if (p->remote.family != IP_NONE)
		cease(p, BGP_CEASE_CONFIG, "the neighbour on the interface changed", false, now);
	p->remote = *addr;
	p->ifindex = ifindex;
	bgp_peer_event(p, BGP_EVENT_NEIGHBOR, "%s", ip_format(addr, text));
	finish(p, now);
}

/* ---- from above ---- */

void bgp_peer_stop(struct bgp_peer *p, uint8_t subcode, const char *reason, usec_t now)
{
	p->enabled = false;
	cease(p, subcode, reason, subcode != BGP_CEASE_CONFIG, now);
	finish(p, now);
}

void bgp_peer_shutdown(struct bgp_peer *p, const char *reason, usec_t now)
{
	bool drains = p->drain == BGP_DRAIN_GSHUT || p->drain == BGP_DRAIN_WITHDRAW;

	p->enabled = false;
	if (p->up && p->gr && !drains)
		bgp_peer_step(p, p->up, BGP_EV_TCP_FAILS, NULL, reason, now);
	if (drains)
		cease(p, BGP_CEASE_SHUTDOWN, p->drain_reason, true, now);
	cease(p, BGP_CEASE_RESET, reason, false, now);
	finish(p, now);
}

void bgp_peer_drain(struct bgp_peer *p, usec_t wait, bool end, const char *reason, usec_t now)
{
	bool first = p->drain == BGP_DRAIN_NONE, done = p->drain == BGP_DRAIN_DONE;

	if (!first && (p->drain_end || !end))
		return;
	p->drain_end = end;
	free(p->drain_reason);
	p->drain_reason = copy(reason);
	if (done)
		drained(p, now);
	if (first) {
		p->drain = BGP_DRAIN_GSHUT;
		p->drain_at = now + (p->rib.n_sent > 0 ? wait : 0);
	}
	if (first && p->up) {
		p->enc.gshut = true;
		bgp_rib_resend(&p->rib, p->families);
	}
	finish(p, now);
}

void bgp_peer_undrain(struct bgp_peer *p, usec_t now)
{
	if (p->drain == BGP_DRAIN_NONE)
		return;
	p->drain = BGP_DRAIN_NONE;
	p->drain_end = false;
	p->enabled = true;
	if (p->up) {
		p->enc.gshut = false;
		bgp_rib_resend(&p->rib, p->families);
	}
	finish(p, now);
}

void bgp_peer_bfd(struct bgp_peer *p, bool up, usec_t now)
{
	struct bgp_error e;
	struct bgp_fsm_input in = {.error = &e};
	struct bgp_fsm *out = &p->conn[0].fsm;

	if (!up && p->up) {
		bgp_error_set_cease(&e, BGP_CEASE_BFD_DOWN, "BFD session down");
		if (p->gr_notification)
			bgp_error_wrap_hard(&e);
		bgp_peer_step(p, p->up, BGP_EV_AUTO_STOP, &in, "BFD: the path to the peer is down",
			      now);
	} else if (up && out->state == BGP_ST_IDLE &&
		   out->timer[BGP_TIMER_IDLE_HOLD] != USEC_NEVER) {
		out->failures = 0;
		bgp_fsm_arm_idle(out, now);
	}
	finish(p, now);
}

void bgp_peer_get_status(const struct bgp_peer *p, struct bgp_peer_status *out)
{
	const struct bgp_conn *best = &p->conn[0];

	for (size_t i = 1; i < BGP_CONNS; i++)
		if (p->conn[i].fsm.state > best->fsm.state)
			best = &p->conn[i];
	*out = (struct bgp_peer_status){
		.name = p->cfg.name,
		.vrf = p->cfg.vrf,
		.interface = p->cfg.interface,
		.address = p->remote,
		.port = p->cfg.port,
		.state = best->fsm.state,
		.since = best->fsm.since,
		.last_error = p->last_error,
		.last_notification = p->last_notification,
		.announced = p->rib.n_sent,
		.pending = bgp_rib_pending(&p->rib),
		.counters = p->counters,
	};
	if (!p->up)
		return;
	out->peer_asn = p->up->peer_open.asn;
	out->peer_id = p->up->peer_open.id;
	out->hold_s = p->up->fsm.hold_s;
	out->keepalive_s = p->up->fsm.keepalive_s;
	out->families = p->families;
	out->graceful_restart = p->gr;
	out->local_address = p->up->local.addr;
}
