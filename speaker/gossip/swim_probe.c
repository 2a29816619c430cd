/*
 * Failure detection: one member at a time is pinged; when it does not answer, others are asked to
 * try and a TCP ping goes out, before it is suspected. Also the other side: answering pings and
 * trying for others.
 */
#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

static void fill_source(const struct swim *s, struct gsp_msg *m)
{
	m->source_addr = (struct gsp_bytes){s->self->addr, s->self->addr_len};
	m->source_port = s->cfg.port;
	m->source_node = swim_text(s->cfg.name);
}

/* ---- our own probe ---- */

static struct member *next_target(struct swim *s, usec_t now)
{
	for (size_t skipped = 0; skipped <= s->n_members; skipped++) {
		if (s->probe_at >= s->n_members) {
			swim_reap(s, now);
			s->probe_at = 0;
			if (s->n_members == 0)
				return NULL;
		}
		struct member *m = s->members[s->probe_at++];

		if (m != s->self && (m->state == GSP_ST_ALIVE || m->state == GSP_ST_SUSPECT))
			return m;
	}
	return NULL;
}

static void send_ping(struct swim *s, const struct member *t, uint32_t seq_no)
{
	struct gsp_msg ping = {.node = swim_text(t->name), .seq_no = seq_no};
	struct ip addr = swim_member_addr(t);
	struct buf msg = {0}, suspect = {0}, both = {0};

	fill_source(s, &ping);
	gsp_encode(GSP_PING, &ping, &msg);
	if (t->state == GSP_ST_ALIVE) {
		swim_send_with_gossip(s, &addr, t->port, t, &msg);
	} else {
		/* tell it, so that it can refute */
		struct gsp_msg m = {.node = swim_text(t->name),
				    .incarnation = t->incarnation,
				    .from = swim_text(s->cfg.name)};
		gsp_encode(GSP_SUSPECT, &m, &suspect);
		struct gsp_bytes parts[] = {{(uint8_t *)msg.data, msg.len},
					    {(uint8_t *)suspect.data, suspect.len}};
		gsp_compound(parts, 2, &both);
		swim_send(s, &addr, t->port, t, &both);
	}
	buf_fini(&msg);
	buf_fini(&suspect);
	buf_fini(&both);
}

void swim_probe_start(struct swim *s, usec_t now)
{
	struct member *t = s->probe.active ? NULL : next_target(s, now);
	struct probe *p = &s->probe;

	if (!t)
		return;
	*p = (struct probe){.active = true, .seq_no = swim_next_seq(s), .started = now};
	strcpy(p->target, t->name);
	p->incarnation = t->incarnation;
	p->ends_at = now + s->cfg.probe_interval * (usec_t)(s->awareness + 1);
	p->timeout_at = now + s->cfg.probe_timeout;
	send_ping(s, t, p->seq_no);
}

static bool can_help(const struct swim *s, const struct member *m, const void *arg)
{
	return m != s->self && m->state == GSP_ST_ALIVE && strcmp(m->name, arg) != 0;
}

/* The ping went unanswered: ask others, and try TCP. */
static void probe_indirectly(struct swim *s, struct member *t)
{
	struct probe *p = &s->probe;
	struct member *helpers[16];
	unsigned k = s->cfg.indirect_checks < 16 ? s->cfg.indirect_checks : 16;
	size_t n = swim_pick(s, k, can_help, p->target, helpers);

	p->indirect = true;
	for (size_t i = 0; i < n; i++) {
		struct gsp_msg m = {
			.node = swim_text(t->name),
			.target = {t->addr, t->addr_len},
			.port = t->port,
			.seq_no = p->seq_no,
			.nack = swim_pmax(helpers[i]) >= 4,
		};
		struct ip addr = swim_member_addr(helpers[i]);
		struct buf msg = {0};

		fill_source(s, &m);
		p->nacks_expected += m.nack;
		gsp_encode(GSP_INDIRECT_PING, &m, &msg);
		swim_send_with_gossip(s, &addr, helpers[i]->port, helpers[i], &msg);
		buf_fini(&msg);
	}
	if (s->cfg.tcp_pings && swim_pmax(t) >= 3) {
		struct gsp_msg ping = {.node = swim_text(t->name), .seq_no = p->seq_no};
		struct dial kind = {.ping = true, .seq_no = p->seq_no};
		struct ip addr = swim_member_addr(t);
		struct buf msg = {0};

		fill_source(s, &ping);
		gsp_encode(GSP_PING, &ping, &msg);
		p->tcp_id = swim_dial(s, &addr, t->port, p->ends_at, &kind, &msg);
		buf_fini(&msg);
	}
}

static void probe_succeed(struct swim *s)
{
	if (s->awareness > 0 && !s->probe.failed_at_once)
		s->awareness--;
	s->probe.active = false;
}

static void probe_fail(struct swim *s, usec_t now)
{
	struct probe *p = &s->probe;
	unsigned worse = p->nacks_expected ? p->nacks_expected - p->nacks : 1;

	p->active = false;
	s->awareness += worse;
	if (s->awareness > s->cfg.awareness_max - 1)
		s->awareness = s->cfg.awareness_max - 1;
	swim_rule_suspect(s, now, swim_text(p->target), p->incarnation, swim_text(s->cfg.name));
}

static void relays_tick(struct swim *s, usec_t now);

void swim_probe_tick(struct swim *s, usec_t now)
{
	struct probe *p = &s->probe;

	relays_tick(s, now);
	if (!p->active)
		return;
	struct member *t = table_find(&s->by_name, p->target);

	if (!t) {
		p->active = false;
		return;
	}
	if (!p->indirect && now >= p->timeout_at)
		probe_indirectly(s, t);
	if (now < p->ends_at)
		return;
	if (p->tcp_ok)
		probe_succeed(s);
	else
		probe_fail(s, now);
}

usec_t swim_probe_deadline(const struct swim *s)
{
	const struct probe *p = &s->probe;
	usec_t due = USEC_NEVER;

	if (p->active)
		due = p->indirect ? p->ends_at : p->timeout_at;
	for (size_t i = 0; i < s->n_relays; i++)
		if (s->relays[i].deadline < due)
			due = s->relays[i].deadline;
	return due;
}

void swim_probe_tcp_done(struct swim *s, usec_t now, uint32_t id, bool ok)
{
	(void)now;
	if (s->probe.active && s->probe.tcp_id == id && ok)
		s->probe.tcp_ok = true;
}

void swim_send_failed(struct swim *s, usec_t now, const struct ip *to, uint16_t port)
{
	struct probe *p = &s->probe;
	struct member *t = p->active ? table_find(&s->by_name, p->target) : NULL;

	if (!t || p->indirect || t->port != port)
		return;
	struct ip addr = swim_member_addr(t);

	if (!ip_eq(&addr, to))
		return;
	p->failed_at_once = true;
	p->timeout_at = now;
}

/* ---- answering, and trying for others ---- */

/* Where an answer goes: the address in the message, else where the packet came from. */
static void reply_to(const struct gsp_msg *m, const struct ip *from, uint16_t from_port,
		     struct ip *addr, uint16_t *port)
{
	*addr = *from;
	*port = from_port;
	if (m->source_port && swim_addr(m->source_addr.p, m->source_addr.n, addr))
		*port = m->source_port;
}

static void send_answer(struct swim *s, const struct ip *addr, uint16_t port, enum gsp_type type,
			uint32_t seq_no)
{
	struct gsp_msg m = {.seq_no = seq_no};
	struct buf msg = {0};

	gsp_encode(type, &m, &msg);
	swim_send_with_gossip(s, addr, port, NULL, &msg);
	buf_fini(&msg);
}

static bool is_our_name(const struct swim *s, struct gsp_bytes name)
{
	return name.n == strlen(s->cfg.name) && memcmp(name.p, s->cfg.name, name.n) == 0;
}

void swim_on_ping(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
		  const struct gsp_msg *m)
{
	struct ip addr;
	uint16_t to;

	(void)now;
	if (m->node.n && !is_our_name(s, m->node)) {
		swim_drop(s, "ping for another name");
		return;
	}
	reply_to(m, from, port, &addr, &to);
	send_answer(s, &addr, to, GSP_ACK, m->seq_no);
}

void swim_on_indirect_ping(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
			   const struct gsp_msg *m)
{
	struct ip target;
	struct relay *r;

	if (!swim_addr(m->target.p, m->target.n, &target)) {
		swim_drop(s, "indirect ping without a target");
		return;
	}
	if (s->n_relays >= SWIM_RELAYS_MAX) {
		swim_drop(s, "too many indirect pings");
		return;
	}
	ARRAY_GROW(s->relays, s->n_relays, s->cap_relays);
	r = &s->relays[s->n_relays++];
	*r = (struct relay){.seq_no = swim_next_seq(s),
			    .req_seq_no = m->seq_no,
			    .nack = m->nack,
			    .deadline = now + s->cfg.probe_timeout};
	reply_to(m, from, port, &r->addr, &r->port);

	struct gsp_msg ping = {.node = m->node, .seq_no = r->seq_no};
	struct buf msg = {0};

	fill_source(s, &ping);
	gsp_encode(GSP_PING, &ping, &msg);
	swim_send_with_gossip(s, &target, m->port ? m->port : s->cfg.port, NULL, &msg);
	buf_fini(&msg);
}

static void relay_del(struct swim *s, size_t i)
{
	s->relays[i] = s->relays[--s->n_relays];
}

static void relays_tick(struct swim *s, usec_t now)
{
	for (size_t i = 0; i < s->n_relays;) {
		struct relay r = s->relays[i];

		if (r.deadline > now) {
			i++;
			continue;
		}
		relay_del(s, i);
		if (r.nack)
			send_answer(s, &r.addr, r.port, GSP_NACK, r.req_seq_no);
	}
}

void swim_on_ack(struct swim *s, usec_t now, uint32_t seq_no)
{
	for (size_t i = 0; i < s->n_relays; i++) {
		struct relay r = s->relays[i];

		if (r.seq_no != seq_no)
			continue;
		relay_del(s, i);
		if (now < r.deadline)
			send_answer(s, &r.addr, r.port, GSP_ACK, r.req_seq_no);
		return;
	}
	if (s->probe.active && s->probe.seq_no == seq_no)
		probe_succeed(s);
}

void swim_on_nack(struct swim *s, uint32_t seq_no)
{
	struct probe *p = &s->probe;

	if (p->active && p->seq_no == seq_no && p->nacks < p->nacks_expected)
		p->nacks++;
}
