/*
 * Sending echo packets and missing them. See echo.h. Content: version, length, discriminator,
 * number, nonce.
 */
#include "speaker/bfd/echo.h"

#include <assert.h>
#include <string.h>

#include "metallb/wire.h"

enum {
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	PROTO_UDP = 17,
	HOPS = 255,
	TOS_NETWORK = 0xC0,
	CONTENT = 24,
	UDP_LEN = 8 + CONTENT
};

void bfd_echo_init(struct bfd_echo *e, const struct random_source *rnd)
{
	*e = (struct bfd_echo){.tx_at = USEC_NEVER};
	rnd->fill(rnd->user, e->nonce, sizeof(e->nonce));
}

/* RFC 5880 6.8.9: no faster than the peer takes them. */
static usec_t interval(const struct bfd_session *s)
{
	return s->params.echo > s->remote_min_echo_rx ? s->params.echo : s->remote_min_echo_rx;
}

void bfd_echo_follow(struct bfd_echo *e, const struct bfd_session *s, usec_t now)
{
	bool active = s->params.echo && s->state == BFD_UP && s->remote_min_echo_rx != 0;

	if (s->state == BFD_UP && s->remote_min_echo_rx == 0)
		e->works = false; /* it takes its promise back */
	if (active && !e->active) {
		e->heard = e->sent;
		e->tx_at = now;
	} else if (!active) {
		e->tx_at = USEC_NEVER;
		e->send = false;
	} else if (e->tx_at > now + interval(s)) {
		e->tx_at = now + interval(s);
	}
	e->active = active;
}

bool bfd_echo_tick(struct bfd_echo *e, const struct bfd_session *s, usec_t now,
		   const struct random_source *rnd)
{
	usec_t spread = interval(s) / 4;

	if (!e->active || now < e->tx_at)
		return false;
	if (e->works && e->sent - e->heard >= s->params.mult)
		return true;
	e->send = true;
	e->tx_at = now + interval(s) - (usec_t)random_below(rnd, (uint32_t)spread + 1);
	return false;
}

/* RFC 1071, over an even number of octets. */
static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void ipv4_header_put(struct wr *w, const struct ip *local, uint8_t *start)
{
	wr_u8(w, 0x45);
	wr_u8(w, TOS_NETWORK);
	wr_u16(w, IPV4_HEADER + UDP_LEN);
	wr_u32(w, 0); /* whole, so without an identification */
	wr_u8(w, HOPS);
	wr_u8(w, PROTO_UDP);
	wr_u16(w, 0);
	wr_bytes(w, local->b, 4);
	wr_bytes(w, local->b, 4);
	wr_patch_u16(start + 10, sum_end(sum_add(0, start, IPV4_HEADER)));
}

static void ipv6_header_put(struct wr *w, const struct ip *local)
{
	wr_u32(w, 6u << 28 | (uint32_t)TOS_NETWORK << 20);
	wr_u16(w, UDP_LEN);
	wr_u8(w, PROTO_UDP);
	wr_u8(w, HOPS);
	wr_bytes(w, local->b, 16);
	wr_bytes(w, local->b, 16);
}

size_t bfd_echo_output(struct bfd_echo *e, const struct bfd_session *s, const struct ip *local,
		       uint8_t out[BFD_ECHO_MAX])
{
	bool v6 = local->family == IP_V6;
	size_t header = v6 ? IPV6_HEADER : IPV4_HEADER;
	struct wr w = wr_init(out, BFD_ECHO_MAX);
	uint8_t *udp = out + header;

	if (!e->send)
		return 0;
	e->send = false;
	e->sent++;
	if (v6)
		ipv6_header_put(&w, local);
	else
		ipv4_header_put(&w, local, out);
	wr_u16(&w, BFD_ECHO_PORT);
	wr_u16(&w, BFD_ECHO_PORT);
	wr_u16(&w, UDP_LEN);
	wr_u16(&w, 0);
	wr_u8(&w, BFD_VERSION);
	wr_u8(&w, CONTENT);
	wr_u16(&w, 0);
	wr_u32(&w, s->local_discr);
	wr_u32(&w, e->sent);
	wr_u32(&w, 0);
	wr_bytes(&w, e->nonce, sizeof(e->nonce));
	assert(!w.bad);
	if (v6) { /* RFC 8200 8.1; over IPv4 there need be none: the nonce tells what is ours */
		uint32_t sum = sum_add(UDP_LEN + PROTO_UDP, out + 8, 32);
		uint16_t check = sum_end(sum_add(sum, udp, UDP_LEN));

		wr_patch_u16(udp + 6, check ? check : 0xffff);
	}
	return header + UDP_LEN;
}

/* The addresses; what follows is UDP. */
static bool ipv4_header_take(struct rd *r, struct bfd_echo_packet *pkt)
{
	uint8_t version = rd_u8(r);
	uint16_t total = (rd_u8(r), rd_u16(r));
	uint16_t fragment = (rd_u16(r), rd_u16(r));
	uint8_t proto = (rd_u8(r), rd_u8(r));

	rd_u16(r);
	const uint8_t *from = rd_take(r, 4), *to = rd_take(r, 4);

	if (r->bad || version != 0x45 || total != IPV4_HEADER + UDP_LEN ||
	    (fragment & 0x3fff) != 0 || proto != PROTO_UDP)
		return false;
	pkt->from = ip_from_v4(from);
	pkt->to = ip_from_v4(to);
	return true;
}

static bool ipv6_header_take(struct rd *r, struct bfd_echo_packet *pkt)
{
	uint32_t version = rd_u32(r) >> 28;
	uint16_t payload = rd_u16(r);
	uint8_t proto = rd_u8(r);

	rd_u8(r);
	const uint8_t *from = rd_take(r, 16), *to = rd_take(r, 16);

	if (r->bad || version != 6 || payload != UDP_LEN || proto != PROTO_UDP)
		return false;
	pkt->from = ip_from_v6(from);
	pkt->to = ip_from_v6(to);
	return true;
}

const char *bfd_echo_decode(const void *data, size_t len, struct bfd_echo_packet *pkt)
{
	struct rd r = rd_init(data, len);
	bool v6 = len > 0 && *(const uint8_t *)data >> 4 == 6;

	*pkt = (struct bfd_echo_packet){0};
	if (len < (size_t)(v6 ? IPV6_HEADER : IPV4_HEADER) + UDP_LEN)
		return "short echo";
	if (!(v6 ? ipv6_header_take(&r, pkt) : ipv4_header_take(&r, pkt)))
		return "echo that is not ours";
	uint16_t port = (rd_u16(&r), rd_u16(&r));
	uint16_t udp_len = rd_u16(&r);
	uint8_t bfd = (rd_u16(&r), rd_u8(&r)), content = rd_u8(&r);

	rd_u16(&r);
	pkt->discr = rd_u32(&r);
	pkt->number = rd_u32(&r);
	rd_u32(&r);
	rd_copy(&r, pkt->nonce, sizeof(pkt->nonce));
	assert(!r.bad);
	if (port != BFD_ECHO_PORT || udp_len != UDP_LEN || bfd != BFD_VERSION || content != CONTENT)
		return "echo that is not ours";
	return NULL;
}

const char *bfd_echo_recv(struct bfd_echo *e, const struct bfd_echo_packet *pkt)
{
	if (memcmp(pkt->nonce, e->nonce, sizeof(e->nonce)) != 0)
		return "echo that is not ours";
	/* later than all that came back, and sent at all */
	if (pkt->number - e->heard - 1 >= e->sent - e->heard)
		return "old echo";
	e->heard = pkt->number;
	e->works = true;
	return NULL;
}
