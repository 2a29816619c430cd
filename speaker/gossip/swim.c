/*
 * The membership engine's life: configuration, timers, packets in and out, the queue of outputs.
 */
#include "speaker/gossip/swim.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

#define OUTPUTS_MAX 65536 /* beyond this many that nobody takes, new ones are dropped */

struct swim_config swim_config_lan(void)
{
	return (struct swim_config){
		.port = SWIM_PORT_DEFAULT,
		.tcp_timeout = 10 * USEC_PER_SEC,
		.probe_interval = USEC_PER_SEC,
		.probe_timeout = 500 * USEC_PER_MSEC,
		.gossip_interval = 200 * USEC_PER_MSEC,
		.push_pull_interval = 30 * USEC_PER_SEC,
		.gossip_to_the_dead = 30 * USEC_PER_SEC,
		.indirect_checks = 3,
		.retransmit_mult = 4,
		.suspicion_mult = 4,
		.suspicion_max_mult = 6,
		.awareness_max = 8,
		.gossip_nodes = 3,
		.udp_buffer = 1400,
		.compression = true,
		.verify_incoming = true,
		.verify_outgoing = true,
		.tcp_pings = true,
	};
}

struct swim_config swim_config_wan(void)
{
	struct swim_config c = swim_config_lan();

	c.tcp_timeout = 30 * USEC_PER_SEC;
	c.suspicion_mult = 6;
	c.push_pull_interval = 60 * USEC_PER_SEC;
	c.probe_interval = 5 * USEC_PER_SEC;
	c.probe_timeout = 3 * USEC_PER_SEC;
	c.gossip_nodes = 4;
	c.gossip_interval = 500 * USEC_PER_MSEC;
	c.gossip_to_the_dead = 60 * USEC_PER_SEC;
	return c;
}

/* ---- small helpers of all parts ---- */

struct gsp_bytes swim_text(const char *s)
{
	return (struct gsp_bytes){(const uint8_t *)s, strlen(s)};
}

bool swim_addr(const uint8_t *p, size_t n, struct ip *ip)
{
	if (n == 4)
		*ip = ip_from_v4(p);
	else if (n == 16)
		*ip = ip_from_v6(p);
	else
		return false;
	return true;
}

struct ip swim_member_addr(const struct member *m)
{
	struct ip ip = {0};
	bool ok = swim_addr(m->addr, m->addr_len, &ip);

	assert(ok);
	return ip;
}

unsigned swim_pmax(const struct member *m)
{
	return m->vsn[1];
}

uint32_t swim_next_seq(struct swim *s)
{
	return ++s->seq_no;
}

usec_t swim_random_delay(struct swim *s, usec_t below)
{
	assert(below > 0);
	return (usec_t)((double)random_u32(s->random) / 4294967296.0 * (double)below);
}

size_t swim_seal_overhead(const struct swim *s)
{
	size_t label = strlen(s->cfg.label);
	size_t n = label ? label + 2 : 0;

	return s->cfg.keyring.n && s->cfg.verify_outgoing ? n + GSP_SEAL_OVERHEAD_V1 : n;
}

struct swim_output *swim_add_output(struct swim *s, enum swim_output_type type)
{
	if (s->n_out - s->out_at >= OUTPUTS_MAX) {
		buf_fini(&s->nowhere.data);
		return &s->nowhere;
	}
	if (s->out_at > 0 && s->out_at == s->n_out)
		s->out_at = s->n_out = 0;
	ARRAY_GROW(s->out, s->n_out, s->cap_out);

	struct swim_output *o = &s->out[s->n_out++];
	*o = (struct swim_output){.type = type};
	return o;
}

void swim_event(struct swim *s, enum swim_output_type type, const char *name)
{
	strcpy(swim_add_output(s, type)->name, name);
}

void swim_drop(struct swim *s, const char *why)
{
	swim_add_output(s, SWIM_OUT_DROP)->why = why;
}

bool swim_next_output(struct swim *s, struct swim_output *out)
{
	if (s->out_at == s->n_out)
		return false;
	*out = s->out[s->out_at++];
	return true;
}

/* ---- packets out ---- */

void swim_send(struct swim *s, const struct ip *addr, uint16_t port, const struct member *to,
	       const struct buf *msg)
{
	struct buf packed = {0}, plain = {0};
	const struct buf *best = msg;

	if (s->cfg.compression) {
		gsp_compress(msg->data, msg->len, &packed);
		if (packed.len < msg->len)
			best = &packed;
	}
	if (to && swim_pmax(to) >= 5) {
		uint8_t head[5];
		struct wr w = wr_init(head, sizeof(head));

		wr_u8(&w, GSP_CRC);
		wr_u32(&w, gsp_crc32(best->data, best->len));
		buf_add(&plain, head, sizeof(head));
	}
	buf_add(&plain, best->data, best->len);

	struct swim_output *o = swim_add_output(s, SWIM_OUT_PACKET);
	o->addr = *addr;
	o->port = port;
	gsp_add_label(s->cfg.label, &o->data);
	if (s->cfg.keyring.n && s->cfg.verify_outgoing) {
		bool ok = gsp_seal(&s->cfg.keyring, 1, s->random, plain.data, plain.len,
				   s->cfg.label, strlen(s->cfg.label), &o->data);
		assert(ok); /* keys were checked when they entered the ring */
	} else {
		buf_add(&o->data, plain.data, plain.len);
	}
	buf_fini(&packed);
	buf_fini(&plain);
}

void swim_send_with_gossip(struct swim *s, const struct ip *addr, uint16_t port,
			   const struct member *to, struct buf *msg)
{
	struct gsp_bytes parts[GSP_COMPOUND_PARTS_MAX];
	size_t used = msg->len + 2 + swim_seal_overhead(s), n;
	struct buf mem = {0}, all = {0};

	(void)to; /* pings and answers go without CRC, as memberlist sends them */
	n = used < s->cfg.udp_buffer ? swim_take_broadcasts(s, s->cfg.udp_buffer - used, 2,
							    parts + 1, ARRAY_SIZE(parts) - 1, &mem)
				     : 0;
	if (n == 0) {
		swim_send(s, addr, port, NULL, msg);
	} else {
		parts[0] = (struct gsp_bytes){(const uint8_t *)msg->data, msg->len};
		gsp_compound(parts, n + 1, &all);
		swim_send(s, addr, port, NULL, &all);
	}
	buf_fini(&mem);
	buf_fini(&all);
}

/* ---- packets in ---- */

struct incoming {
	struct swim *s;
	usec_t now;
	const struct ip *from;
	uint16_t port;
};

static void on_message(void *user, const uint8_t *msg, size_t len)
{
	struct incoming *in = user;
	struct swim *s = in->s;
	struct rd r = rd_init(msg + 1, len - 1);
	const char *why;
	struct gsp_msg m;

	switch (msg[0]) {
	case GSP_PING:
	case GSP_INDIRECT_PING:
	case GSP_ACK:
	case GSP_NACK:
	case GSP_SUSPECT:
	case GSP_ALIVE:
	case GSP_DEAD:
		why = gsp_decode((enum gsp_type)msg[0], &r, &m);
		break;
	default:
		swim_drop(s, msg[0] == GSP_USER ? "user message" : "unknown message type");
		return;
	}
	if (why) {
		swim_drop(s, why);
		return;
	}
	switch (msg[0]) {
	case GSP_PING:
		swim_on_ping(s, in->now, in->from, in->port, &m);
		break;
	case GSP_INDIRECT_PING:
		swim_on_indirect_ping(s, in->now, in->from, in->port, &m);
		break;
	case GSP_ACK:
		swim_on_ack(s, in->now, m.seq_no);
		break;
	case GSP_NACK:
		swim_on_nack(s, m.seq_no);
		break;
	case GSP_SUSPECT:
		swim_rule_suspect(s, in->now, m.node, m.incarnation, m.from);
		break;
	case GSP_ALIVE:
		swim_rule_alive(s, in->now, &m, false);
		break;
	default:
		swim_rule_dead(s, in->now, m.node, m.incarnation, m.from);
	}
}

void swim_recv_packet(struct swim *s, usec_t now, const struct ip *from, uint16_t port,
		      const void *data, size_t len)
{
	struct incoming in = {s, now, from, port};
	struct rd r = rd_init(data, len);
	struct buf plain = {0};
	const char *why = gsp_strip_label(&r, s->cfg.label);

	if (!why && s->cfg.keyring.n) {
		why = gsp_open(&s->cfg.keyring, r.p, rd_left(&r), s->cfg.label,
			       strlen(s->cfg.label), &plain);
		if (why && !s->cfg.verify_incoming)
			why = NULL;
		else if (!why)
			r = rd_init(plain.data, plain.len);
	}
	if (!why)
		why = gsp_unpack(r.p, rd_left(&r), on_message, &in);
	if (why)
		swim_drop(s, why);
	buf_fini(&plain);
}

/* ---- time ---- */

unsigned swim_push_pull_scale(size_t n)
{
	return n <= 32 ? 1 : (unsigned)ceil(log2((double)n) - 5) + 1;
}

static usec_t push_pull_interval(const struct swim *s)
{
	return s->cfg.push_pull_interval * (usec_t)swim_push_pull_scale(s->n_members);
}

/* The next multiple of the interval after now: ticks that were missed are skipped. */
static usec_t next_tick(usec_t last, usec_t interval, usec_t now)
{
	usec_t missed = now > last ? (now - last) / interval : 0;

	return last + (missed + 1) * interval;
}

void swim_tick(struct swim *s, usec_t now)
{
	swim_check_suspects(s, now);
	swim_probe_tick(s, now);
	if (now >= s->next_probe) {
		swim_probe_start(s, now);
		s->next_probe = next_tick(s->next_probe, s->cfg.probe_interval, now);
	}
	if (now >= s->next_gossip) {
		swim_gossip(s, now);
		s->next_gossip = next_tick(s->next_gossip, s->cfg.gossip_interval, now);
	}
	if (now >= s->next_push_pull) {
		swim_push_pull(s, now);
		s->next_push_pull = now + push_pull_interval(s);
	}
	for (size_t i = 0; i < s->n_dials; i++) /* the shell lost one: give its place back */
		if (now > s->dials[i].deadline + USEC_PER_SEC) {
			swim_stream_answered(s, now, s->dials[i].id, NULL, 0, true);
			break;
		}
}

usec_t swim_deadline(const struct swim *s)
{
	usec_t due = s->next_probe;
	usec_t others[] = {s->n_queue ? s->next_gossip : USEC_NEVER, s->next_push_pull,
			   s->suspects_due, swim_probe_deadline(s)};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i] < due)
			due = others[i];
	return due;
}

/* ---- life ---- */

struct swim *swim_new(const struct swim_config *cfg, const struct random_source *random, usec_t now)
{
	struct swim *s = xcalloc(1, sizeof(*s));

	assert(cfg->name[0] && cfg->addr.family && cfg->probe_interval > 0 &&
	       cfg->gossip_interval > 0 && cfg->push_pull_interval > 0 && cfg->awareness_max > 0);
	s->cfg = *cfg;
	s->random = random;
	table_init(&s->by_name);
	table_init(&s->news);
	list_init(&s->suspects);
	s->suspects_due = USEC_NEVER;
	swim_announce_self(s, now);
	assert(s->self);
	s->next_gossip = now + swim_random_delay(s, cfg->gossip_interval);
	s->next_probe = now + swim_random_delay(s, cfg->probe_interval);
	s->next_push_pull =
		now + swim_random_delay(s, cfg->push_pull_interval) + cfg->push_pull_interval;
	return s;
}

struct swim *swim_free(struct swim *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_members; i++)
		swim_member_free(s, s->members[i]);
	free(s->members);
	table_fini(&s->by_name);
	swim_queue_free(s);
	free(s->relays);
	for (size_t i = s->out_at; i < s->n_out; i++)
		buf_fini(&s->out[i].data);
	free(s->out);
	buf_fini(&s->nowhere.data);
	free(s);
	return NULL;
}

void swim_set_keyring(struct swim *s, const struct gsp_keyring *ring)
{
	s->cfg.keyring = *ring;
}

void swim_leave(struct swim *s, usec_t now)
{
	if (s->leaving)
		return;
	s->leaving = true;
	swim_rule_dead(s, now, swim_text(s->cfg.name), s->self->incarnation,
		       swim_text(s->cfg.name));
}

bool swim_has_left(const struct swim *s)
{
	size_t others = 0;

	if (!s->leaving)
		return false;
	for (size_t i = 0; i < s->n_members; i++)
		others += s->members[i] != s->self && s->members[i]->state <= GSP_ST_SUSPECT;
	return others == 0 || !swim_is_queued(s, s->cfg.name);
}

/* ---- state ---- */

static void describe(const struct member *m, struct swim_member *out)
{
	*out = (struct swim_member){
		.name = m->name,
		.addr = swim_member_addr(m),
		.port = m->port,
		.state = m->state,
		.incarnation = m->incarnation,
	};
}

bool swim_member_at(const struct swim *s, size_t i, struct swim_member *out)
{
	if (i >= s->n_members)
		return false;
	describe(s->members[i], out);
	return true;
}

bool swim_member_find(const struct swim *s, const char *name, struct swim_member *out)
{
	const struct member *m = table_find(&s->by_name, name);

	if (!m)
		return false;
	describe(m, out);
	return true;
}

bool swim_member_is_usable(const struct swim *s, const char *name)
{
	const struct member *m = table_find(&s->by_name, name);

	return m && m->state <= GSP_ST_SUSPECT;
}

unsigned swim_health_score(const struct swim *s)
{
	return s->awareness;
}
