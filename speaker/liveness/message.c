/*
 * Writing and reading, every length checked.
 */
#include "speaker/liveness/message.h"

#include <assert.h>

#include "metallb/wire.h"
#include "metallb/xalloc.h"

#define FLAG_ABLE      1u
#define FLAG_ANNOUNCES 2u

static const char magic[4] = {'M', 'L', 'C', 'L'};

bool liveness_state_eq(const struct liveness_state *a, const struct liveness_state *b)
{
	if (a->able != b->able || a->n_macs != b->n_macs || a->n_lost != b->n_lost ||
	    a->n_down != b->n_down)
		return false;
	for (size_t i = 0; i < a->n_macs; i++)
		if (!mac_eq(&a->macs[i], &b->macs[i]))
			return false;
	for (size_t i = 0; i < a->n_lost; i++)
		if (strcmp(a->lost[i], b->lost[i]) != 0)
			return false;
	for (size_t i = 0; i < a->n_down; i++)
		if (strcmp(a->down[i], b->down[i]) != 0)
			return false;
	return true;
}

/* ---- writing ---- */

static void put_name(struct wr *w, const char *name)
{
	size_t n = strlen(name);

	assert(n <= LIVENESS_NAME_MAX);
	wr_u8(w, (uint8_t)n);
	wr_bytes(w, name, n);
}

static void put_ip(struct wr *w, const struct ip *ip)
{
	wr_u8(w, ip->family);
	wr_bytes(w, ip->b, sizeof(ip->b));
}

static void put_state(struct wr *w, const struct liveness_message *m)
{
	const struct liveness_state *s = &m->state;

	wr_u32(w, m->generation);
	wr_u8(w, (uint8_t)((s->able ? FLAG_ABLE : 0) | (m->announces ? FLAG_ANNOUNCES : 0)));
	put_ip(w, &m->ip);
	wr_u8(w, (uint8_t)s->n_macs);
	wr_bytes(w, s->macs, s->n_macs * sizeof(s->macs[0]));
	wr_u8(w, (uint8_t)s->n_lost);
	for (size_t i = 0; i < s->n_lost; i++)
		put_name(w, s->lost[i]);
	wr_u8(w, (uint8_t)s->n_down);
	for (size_t i = 0; i < s->n_down; i++)
		put_name(w, s->down[i]);
}

static void put_body(struct wr *w, const struct liveness_message *m)
{
	uint8_t bfd[BFD_PACKET_LEN];

	switch (m->type) {
	case LIVENESS_HELLO:
		wr_u64(w, m->issue);
		return;
	case LIVENESS_BEAT:
		wr_u32(w, m->generation);
		bfd_packet_encode(&m->bfd, bfd);
		wr_bytes(w, bfd, sizeof(bfd));
		return;
	case LIVENESS_POKE:
		return;
	case LIVENESS_ASK:
		wr_u64(w, m->nonce);
		put_ip(w, &m->ip);
		return;
	case LIVENESS_ANSWER:
		wr_u64(w, m->nonce);
		put_state(w, m);
		return;
	}
	assert(0 && "every type is written");
}

bool liveness_encode(const struct liveness_message *m, const struct gsp_keyring *ring,
		     const struct random_source *random, struct buf *out)
{
	uint8_t plain[LIVENESS_MESSAGE_MAX - GSP_SEAL_OVERHEAD_V1 - sizeof(magic)];
	struct wr w = wr_init(plain, sizeof(plain));

	wr_u8(&w, (uint8_t)m->type);
	wr_u64(&w, m->session);
	wr_u64(&w, m->token);
	wr_u64(&w, m->counter);
	put_name(&w, m->from);
	put_name(&w, m->to);
	put_body(&w, m);
	assert(!w.bad);
	buf_add(out, magic, sizeof(magic));
	return gsp_seal(ring, 1, random, plain, wr_len(&w), magic, sizeof(magic), out);
}

/* ---- reading ---- */

static bool take_name(struct rd *r, size_t max, char *name)
{
	size_t n = rd_u8(r);
	const uint8_t *p = rd_take(r, n);

	if (!p || n > max || memchr(p, 0, n))
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	return true;
}

static bool take_ip(struct rd *r, struct ip *ip)
{
	static const uint8_t zero[16];

	ip->family = rd_u8(r);
	rd_copy(r, ip->b, sizeof(ip->b));
	switch (ip->family) {
	case IP_NONE:
		return memcmp(ip->b, zero, 16) == 0;
	case IP_V4:
		return memcmp(ip->b + 4, zero, 12) == 0;
	case IP_V6:
		return true;
	default:
		return false;
	}
}

static bool take_state(struct rd *r, struct liveness_message *m)
{
	struct liveness_state *s = &m->state;

	m->generation = rd_u32(r);
	uint8_t flags = rd_u8(r);

	s->able = flags & FLAG_ABLE;
	m->announces = flags & FLAG_ANNOUNCES;
	if (!take_ip(r, &m->ip))
		return false;
	s->n_macs = rd_u8(r);
	if (s->n_macs > LIVENESS_MACS_MAX)
		return false;
	rd_copy(r, s->macs, s->n_macs * sizeof(s->macs[0]));
	s->n_lost = rd_u8(r);
	if (s->n_lost > LIVENESS_LOST_MAX)
		return false;
	for (size_t i = 0; i < s->n_lost; i++)
		if (!take_name(r, LIVENESS_INTERFACE_MAX, s->lost[i]))
			return false;
	s->n_down = rd_u8(r);
	if (s->n_down > LIVENESS_DOWN_MAX)
		return false;
	for (size_t i = 0; i < s->n_down; i++)
		if (!take_name(r, LIVENESS_NAME_MAX, s->down[i]))
			return false;
	return true;
}

static const char *take_beat(struct rd *r, struct liveness_message *m)
{
	m->generation = rd_u32(r);
	const uint8_t *bfd = rd_take(r, BFD_PACKET_LEN);

	return bfd ? bfd_packet_decode(bfd, BFD_PACKET_LEN, &m->bfd) : "truncated";
}

static const char *take_body(struct rd *r, struct liveness_message *m)
{
	switch (m->type) {
	case LIVENESS_HELLO:
		m->issue = rd_u64(r);
		return NULL;
	case LIVENESS_BEAT:
		return take_beat(r, m);
	case LIVENESS_POKE:
		return NULL;
	case LIVENESS_ASK:
		m->nonce = rd_u64(r);
		return take_ip(r, &m->ip) ? NULL : "malformed";
	case LIVENESS_ANSWER:
		m->nonce = rd_u64(r);
		return take_state(r, m) ? NULL : "malformed";
	}
	return "unknown type";
}

const char *liveness_decode_plain(const void *data, size_t len, struct liveness_message *m)
{
	struct rd r = rd_init(data, len);
	const char *why;

	memset(m, 0, sizeof(*m));
	m->type = (enum liveness_type)rd_u8(&r);
	m->session = rd_u64(&r);
	m->token = rd_u64(&r);
	m->counter = rd_u64(&r);
	if (!take_name(&r, LIVENESS_NAME_MAX, m->from) || !take_name(&r, LIVENESS_NAME_MAX, m->to))
		return r.bad ? "truncated" : "malformed";
	why = take_body(&r, m);
	if (r.bad)
		return "truncated";
	if (why)
		return why;
	return rd_left(&r) > 0 ? "malformed" : NULL;
}

const char *liveness_decode(const void *data, size_t len, const struct gsp_keyring *ring,
			    struct liveness_message *m)
{
	struct rd r = rd_init(data, len);
	const uint8_t *head = rd_take(&r, sizeof(magic));
	struct buf plain = {0};
	const char *why;

	if (!head)
		return "truncated";
	if (memcmp(head, magic, sizeof(magic)) != 0 || len > LIVENESS_MESSAGE_MAX)
		return "not of this protocol";
	why = gsp_open(ring, r.p, rd_left(&r), magic, sizeof(magic), &plain);
	if (!why)
		why = liveness_decode_plain(plain.data, plain.len, m);
	buf_fini(&plain);
	return why;
}
