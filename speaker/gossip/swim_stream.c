/*
 * The TCP side: push/pull (exchange of everything that both ends know), TCP pings, and the messages
 * of others that have no meaning here.
 *
 * A stream carries one message each way: label header (dialer only), then `0a` and the length when
 * encrypted, inside it maybe a compress message, inside that the message.
 */
#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/msgpack.h"
#include "speaker/gossip/swim_private.h"

#define NODES_MAX (1 << 20) /* node states in one push/pull */

/* ---- writing ---- */

/* msg as it goes on the wire; reply: no label header in front, but the label is authenticated. */
static void wrap(struct swim *s, const struct buf *msg, bool reply, struct buf *out)
{
	struct buf packed = {0}, sealed = {0}, aad = {0};
	const struct buf *plain = msg;

	if (!reply)
		gsp_add_label(s->cfg.label, out);
	if (s->cfg.compression) {
		gsp_compress(msg->data, msg->len, &packed);
		plain = &packed;
	}
	if (s->cfg.keyring.n && s->cfg.verify_outgoing) {
		uint8_t head[5];
		struct wr w = wr_init(head, sizeof(head));

		wr_u8(&w, GSP_ENCRYPT);
		wr_u32(&w, (uint32_t)(plain->len + GSP_SEAL_OVERHEAD_V1));
		buf_add(&aad, head, sizeof(head));
		buf_add_str(&aad, s->cfg.label);
		if (gsp_seal(&s->cfg.keyring, 1, s->random, plain->data, plain->len, aad.data,
			     aad.len, &sealed)) {
			buf_add(out, head, sizeof(head));
			buf_add(out, sealed.data, sealed.len);
		}
	} else {
		buf_add(out, plain->data, plain->len);
	}
	buf_fini(&packed);
	buf_fini(&sealed);
	buf_fini(&aad);
}

static void encode_push_pull(const struct swim *s, bool join, struct buf *out)
{
	struct gsp_msg m = {.join = join, .nodes = (int64_t)s->n_members};

	gsp_encode(GSP_PUSH_PULL, &m, out);
	for (size_t i = 0; i < s->n_members; i++) {
		swim_describe(s->members[i], &m);
		gsp_encode_node_state(&m, out);
	}
}

uint32_t swim_dial(struct swim *s, const struct ip *addr, uint16_t port, usec_t deadline,
		   const struct dial *kind, const struct buf *msg)
{
	if (s->n_dials == DIALS_MAX) {
		swim_drop(s, "too many connections under way");
		return 0;
	}
	struct swim_output *o = swim_add_output(s, SWIM_OUT_DIAL);
	struct dial *d = &s->dials[s->n_dials++];

	*d = *kind;
	d->id = ++s->next_dial ? s->next_dial : ++s->next_dial;
	d->deadline = deadline;
	d->addr = *addr;
	d->port = port;
	o->addr = *addr;
	o->port = port;
	o->id = d->id;
	o->deadline = deadline;
	wrap(s, msg, false, &o->data);
	return d->id;
}

static void push_pull_with(struct swim *s, usec_t now, const struct ip *addr, uint16_t port,
			   bool join)
{
	struct dial kind = {.join = join};
	struct buf msg = {0};

	encode_push_pull(s, join, &msg);
	if (!swim_dial(s, addr, port, now + s->cfg.tcp_timeout, &kind, &msg) && join) {
		struct swim_output *o = swim_add_output(s, SWIM_OUT_JOINED);

		o->addr = *addr;
		o->port = port;
		o->why = "too many connections under way";
	}
	buf_fini(&msg);
}

void swim_join(struct swim *s, usec_t now, const struct ip *addr, uint16_t port)
{
	push_pull_with(s, now, addr, port, true);
}

static bool is_other_alive(const struct swim *s, const struct member *m, const void *arg)
{
	(void)arg;
	return m != s->self && m->state == GSP_ST_ALIVE;
}

void swim_push_pull(struct swim *s, usec_t now)
{
	struct member *m;

	if (swim_pick(s, 1, is_other_alive, NULL, &m) == 0)
		return;
	struct ip addr = swim_member_addr(m);

	push_pull_with(s, now, &addr, m->port, false);
}

/* ---- reading ---- */

enum parsed { PARSED, PARSED_MORE, PARSED_BAD };

/* Open what has arrived so far. PARSED: *msg holds the (possibly still incomplete) plain message.
 */
static enum parsed open_stream(struct swim *s, bool dialer, const void *data, size_t len,
			       struct buf *msg, const char **why)
{
	struct rd r = rd_init(data, len);
	struct buf aad = {0}, plain = {0};

	if (!dialer) { /* the other end dialled: its label header comes first */
		bool partial = len < 2 || ((const uint8_t *)data)[0] != GSP_LABEL
				       ? len == 0
				       : len < 2u + ((const uint8_t *)data)[1];

		if (partial)
			return PARSED_MORE;
		*why = gsp_strip_label(&r, s->cfg.label);
		if (*why)
			return PARSED_BAD;
	}
	if (rd_left(&r) < 1)
		return PARSED_MORE;
	if (*r.p != GSP_ENCRYPT) {
		if (s->cfg.keyring.n && s->cfg.verify_incoming) {
			*why = "stream is not encrypted";
			return PARSED_BAD;
		}
		buf_add(msg, r.p, rd_left(&r));
		return PARSED;
	}
	if (!s->cfg.keyring.n) {
		*why = "stream is encrypted and no key is configured";
		return PARSED_BAD;
	}
	if (rd_left(&r) < 5)
		return PARSED_MORE;
	buf_add(&aad, r.p, 5);
	buf_add_str(&aad, s->cfg.label);
	rd_u8(&r);
	uint32_t n = rd_u32(&r);

	*why = n > SWIM_STREAM_MAX ? "stream message is too long" : NULL;
	if (!*why && n > rd_left(&r)) {
		buf_fini(&aad);
		return PARSED_MORE;
	}
	if (!*why)
		*why = gsp_open(&s->cfg.keyring, r.p, n, aad.data, aad.len, &plain);
	if (!*why)
		buf_add(msg, plain.data, plain.len);
	buf_fini(&aad);
	buf_fini(&plain);
	return *why ? PARSED_BAD : PARSED;
}

/* Unwrap a compress message in place. An incomplete one asks for more. */
static enum parsed unwrap(struct buf *msg, const char **why)
{
	struct rd r = rd_init(msg->data, msg->len);
	struct buf plain = {0};

	if (rd_u8(&r) != GSP_COMPRESS || r.bad)
		return r.bad ? PARSED_MORE : PARSED;
	if (mpack_scan(&r) == 0)
		return PARSED_MORE;
	*why = gsp_decompress(&r, &plain);
	if (!*why && plain.len == 0)
		*why = "empty compressed message";
	buf_fini(msg);
	*msg = plain;
	return *why ? PARSED_BAD : PARSED;
}

/* A push/pull whose parts have all arrived; *states is left at the first node state. */
static enum parsed parse_push_pull(const struct buf *msg, struct gsp_msg *head, struct rd *states,
				   const char **why)
{
	struct rd r = rd_init(msg->data + 1, msg->len - 1);

	if (mpack_scan(&r) == 0)
		return PARSED_MORE;
	*why = gsp_decode(GSP_PUSH_PULL, &r, head);
	if (*why)
		return PARSED_BAD;
	if (head->nodes < 0 || head->nodes > NODES_MAX || head->user_state_len < 0 ||
	    head->user_state_len > (int64_t)SWIM_STREAM_MAX) {
		*why = "push/pull with impossible counts";
		return PARSED_BAD;
	}
	*states = r;
	for (int64_t i = 0; i < head->nodes; i++) {
		size_t n = mpack_scan(&r);

		if (n == 0)
			return PARSED_MORE;
		rd_take(&r, n);
	}
	return rd_left(&r) < (size_t)head->user_state_len ? PARSED_MORE : PARSED;
}

/* ---- merging ---- */

struct range {
	unsigned min, max;
};

static void narrow(struct range *r, uint8_t min, uint8_t max)
{
	if (min > r->min)
		r->min = min;
	if (max < r->max)
		r->max = max;
}

static bool within(const struct range *r, uint8_t cur)
{
	return cur >= r->min && cur <= r->max;
}

/* Everybody alive must be able to speak what everybody speaks (protocol and delegate versions). */
static const char *check_versions(const struct swim *s, struct rd states, int64_t n)
{
	struct range proto = {0, 255}, delegate = {0, 255};
	struct gsp_msg m;
	struct rd r = states;

	for (size_t i = 0; i < s->n_members; i++) {
		const uint8_t *v = s->members[i]->vsn;

		if (s->members[i]->state != GSP_ST_ALIVE)
			continue;
		narrow(&proto, v[0], v[1]);
		narrow(&delegate, v[3], v[4]);
	}
	for (int64_t i = 0; i < n; i++) {
		const char *why = gsp_decode_node_state(&r, &m);

		if (why)
			return why;
		if (m.state == GSP_ST_ALIVE && m.vsn.n >= 5) {
			narrow(&proto, m.vsn.p[0], m.vsn.p[1]);
			narrow(&delegate, m.vsn.p[3], m.vsn.p[4]);
		}
	}
	r = states;
	for (int64_t i = 0; i < n; i++) {
		bool has = !gsp_decode_node_state(&r, &m) && m.vsn.n >= GSP_VSN_LEN;

		if (!within(&proto, has ? m.vsn.p[2] : 0) ||
		    !within(&delegate, has ? m.vsn.p[5] : 0))
			return "a node of the push/pull speaks another version";
	}
	for (size_t i = 0; i < s->n_members; i++)
		if (!within(&proto, s->members[i]->vsn[2]) ||
		    !within(&delegate, s->members[i]->vsn[5]))
			return "a known node speaks another version than the push/pull";
	return NULL;
}

static const char *merge(struct swim *s, usec_t now, struct rd states, int64_t n)
{
	const char *why = check_versions(s, states, n);
	struct gsp_msg m;

	if (why)
		return why;
	for (int64_t i = 0; i < n; i++) {
		if (gsp_decode_node_state(&states, &m))
			return "a node state does not decode";
		m.node = m.name;
		switch (m.state) {
		case GSP_ST_ALIVE:
			swim_rule_alive(s, now, &m, false);
			break;
		case GSP_ST_LEFT:
			swim_rule_dead(s, now, m.node, m.incarnation, m.node);
			break;
		case GSP_ST_SUSPECT:
		case GSP_ST_DEAD: /* only suspected here: it may want to refute */
			swim_rule_suspect(s, now, m.node, m.incarnation, swim_text(s->cfg.name));
			break;
		default:
			swim_drop(s, "node state of an unknown kind");
		}
	}
	return NULL;
}

/* ---- the accepting end ---- */

static void reply_error(struct swim *s, const char *why, struct buf *reply)
{
	struct gsp_msg m = {.error = swim_text(why)};
	struct buf msg = {0};

	gsp_encode(GSP_ERROR, &m, &msg);
	wrap(s, &msg, true, reply);
	buf_fini(&msg);
}

static enum swim_stream_verdict serve_push_pull(struct swim *s, usec_t now, const struct buf *msg,
						unsigned busy, struct buf *reply)
{
	const char *why = NULL;
	struct gsp_msg head;
	struct buf own = {0};
	struct rd states;

	switch (parse_push_pull(msg, &head, &states, &why)) {
	case PARSED_MORE:
		return SWIM_STREAM_MORE;
	case PARSED_BAD:
		swim_drop(s, why);
		return SWIM_STREAM_CLOSE;
	case PARSED:
		break;
	}
	if (busy >= SWIM_STREAMS_MAX) {
		swim_drop(s, "too many push/pulls at once");
		return SWIM_STREAM_CLOSE;
	}
	encode_push_pull(s, head.join, &own); /* as it is before the merge */
	wrap(s, &own, true, reply);
	buf_fini(&own);
	why = merge(s, now, states, head.nodes);
	if (why)
		swim_drop(s, why);
	return SWIM_STREAM_REPLY;
}

static enum swim_stream_verdict serve_ping(struct swim *s, const struct buf *msg, struct buf *reply)
{
	struct rd r = rd_init(msg->data + 1, msg->len - 1);
	struct gsp_msg m, ack = {0};
	struct buf out = {0};

	if (mpack_scan(&r) == 0)
		return SWIM_STREAM_MORE;
	if (gsp_decode(GSP_PING, &r, &m) ||
	    (m.node.n &&
	     (m.node.n != strlen(s->cfg.name) || memcmp(m.node.p, s->cfg.name, m.node.n) != 0))) {
		swim_drop(s, "TCP ping for another name");
		return SWIM_STREAM_CLOSE;
	}
	ack.seq_no = m.seq_no;
	gsp_encode(GSP_ACK, &ack, &out);
	wrap(s, &out, true, reply);
	buf_fini(&out);
	return SWIM_STREAM_REPLY;
}

static enum swim_stream_verdict serve(struct swim *s, usec_t now, const struct buf *msg,
				      unsigned busy, struct buf *reply)
{
	switch ((uint8_t)msg->data[0]) {
	case GSP_PUSH_PULL:
		return serve_push_pull(s, now, msg, busy, reply);
	case GSP_PING:
		return serve_ping(s, msg, reply);
	case GSP_USER:
		swim_drop(s, "user message");
		return SWIM_STREAM_CLOSE;
	default:
		swim_drop(s, "stream with an unknown message");
		return SWIM_STREAM_CLOSE;
	}
}

enum swim_stream_verdict swim_stream_accepted(struct swim *s, usec_t now, const void *data,
					      size_t len, unsigned busy, struct buf *reply)
{
	enum swim_stream_verdict verdict = SWIM_STREAM_MORE;
	const char *why = NULL;
	struct buf msg = {0};
	enum parsed p;

	if (len > SWIM_STREAM_MAX + 512) {
		swim_drop(s, "stream message is too long");
		return SWIM_STREAM_CLOSE;
	}
	p = open_stream(s, false, data, len, &msg, &why);
	if (p == PARSED)
		p = unwrap(&msg, &why);
	if (p == PARSED && msg.len > 0)
		verdict = serve(s, now, &msg, busy, reply);
	if (p == PARSED_BAD) {
		swim_drop(s, why);
		if (!strstr(why, "label"))
			reply_error(s, why, reply);
		verdict = SWIM_STREAM_CLOSE;
	}
	buf_fini(&msg);
	return verdict;
}

/* ---- the dialling end ---- */

static struct dial *find_dial(struct swim *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_dials; i++)
		if (s->dials[i].id == id)
			return &s->dials[i];
	return NULL;
}

/* What the complete answer means. PARSED_MORE: not complete yet. */
static enum parsed take_answer(struct swim *s, usec_t now, const struct dial *d,
			       const struct buf *msg, const char **why)
{
	struct rd r = rd_init(msg->data, msg->len), states;
	struct gsp_msg m;
	enum parsed p;

	uint8_t type = rd_u8(&r);
	if (type == GSP_ERROR) {
		*why = "the peer refused";
		return PARSED_BAD;
	}
	if (type != (d->ping ? GSP_ACK : GSP_PUSH_PULL)) {
		*why = "the peer answered something else";
		return PARSED_BAD;
	}
	if (d->ping) {
		if (mpack_scan(&r) == 0)
			return PARSED_MORE;
		*why = gsp_decode(GSP_ACK, &r, &m);
		if (!*why && m.seq_no != d->seq_no)
			*why = "the peer answered another ping";
		return *why ? PARSED_BAD : PARSED;
	}
	p = parse_push_pull(msg, &m, &states, why);
	if (p == PARSED)
		*why = merge(s, now, states, m.nodes);
	return *why ? PARSED_BAD : p;
}

static void dial_done(struct swim *s, usec_t now, struct dial *d, const char *why,
		      const struct dial *copy)
{
	*d = s->dials[--s->n_dials];
	if (copy->ping)
		swim_probe_tcp_done(s, now, copy->id, why == NULL);
	else if (copy->join) {
		struct swim_output *o = swim_add_output(s, SWIM_OUT_JOINED);

		o->addr = copy->addr;
		o->port = copy->port;
		o->id = copy->id;
		o->why = why;
	} else if (why) {
		swim_drop(s, why);
	}
}

enum swim_stream_verdict swim_stream_answered(struct swim *s, usec_t now, uint32_t id,
					      const void *data, size_t len, bool eof)
{
	struct dial *d = find_dial(s, id), copy;
	enum parsed p = PARSED_MORE;
	const char *why = NULL;
	struct buf msg = {0};

	if (!d)
		return SWIM_STREAM_CLOSE;
	copy = *d;
	if (len > SWIM_STREAM_MAX + 512) {
		why = "the answer is too long";
		p = PARSED_BAD;
	} else if (len > 0) {
		p = open_stream(s, true, data, len, &msg, &why);
	}
	if (p == PARSED)
		p = unwrap(&msg, &why);
	if (p == PARSED)
		p = msg.len ? take_answer(s, now, &copy, &msg, &why) : PARSED_MORE;
	buf_fini(&msg);
	if (p == PARSED_MORE && !eof)
		return SWIM_STREAM_MORE;
	if (p == PARSED_MORE)
		why = len ? "the answer ends early" : "no answer";
	d = find_dial(s, id);
	assert(d);
	dial_done(s, now, d, why, &copy);
	return SWIM_STREAM_CLOSE;
}
