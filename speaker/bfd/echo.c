/*
 * Sending echo packets and missing them. See echo.h. Content: version, length, discriminator,
 * number, nonce.
 */
#include "speaker/bfd/echo.h"

#include <assert.h>
#include <string.h>

#include "metallb/wire.h"

enum { IP_HEADER = 20, PROTO_UDP = 17, HOPS = 255, TOS_NETWORK = 0xC0, CONTENT = 24 };

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

/* RFC 1071, over a header without odd octets. */
static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

bool bfd_echo_output(struct bfd_echo *e, const struct bfd_session *s, const struct ip *local,
		     uint8_t out[BFD_ECHO_LEN])
{
	struct wr w = wr_init(out, BFD_ECHO_LEN);

	if (!e->send)
		return false;
	e->send = false;
	e->sent++;
	wr_u8(&w, 0x45);
	wr_u8(&w, TOS_NETWORK);
	wr_u16(&w, BFD_ECHO_LEN);
	wr_u32(&w, 0); /* whole, so without an identification */
	wr_u8(&w, HOPS);
	wr_u8(&w, PROTO_UDP);
	wr_u16(&w, 0);
	wr_bytes(&w, local->b, 4);
	wr_bytes(&w, local->b, 4);
	wr_patch_u16(out + 10, checksum(out, IP_HEADER));
	wr_u16(&w, BFD_ECHO_PORT);
	wr_u16(&w, BFD_ECHO_PORT);
	wr_u16(&w, BFD_ECHO_LEN - IP_HEADER);
	wr_u16(&w, 0); /* no checksum: the nonce tells what is ours */
	wr_u8(&w, BFD_VERSION);
	wr_u8(&w, CONTENT);
	wr_u16(&w, 0);
	wr_u32(&w, s->local_discr);
	wr_u32(&w, e->sent);
	wr_u32(&w, 0);
	wr_bytes(&w, e->nonce, sizeof(e->nonce));
	assert(!w.bad);
	return true;
}

const char *bfd_echo_decode(const void *data, size_t len, struct bfd_echo_packet *pkt)
{
	struct rd r = rd_init(data, len);
	uint8_t version = rd_u8(&r);
	uint16_t total = (rd_u8(&r), rd_u16(&r));
	uint16_t fragment = (rd_u16(&r), rd_u16(&r));
	uint8_t proto = (rd_u8(&r), rd_u8(&r));

	rd_u16(&r);
	*pkt = (struct bfd_echo_packet){0};
	const uint8_t *from = rd_take(&r, 4), *to = rd_take(&r, 4);
	uint16_t port = (rd_u16(&r), rd_u16(&r));
	uint16_t udp_len = rd_u16(&r);
	uint8_t bfd = (rd_u16(&r), rd_u8(&r)), content = rd_u8(&r);

	rd_u16(&r);
	pkt->discr = rd_u32(&r);
	pkt->number = rd_u32(&r);
	rd_u32(&r);
	rd_copy(&r, pkt->nonce, sizeof(pkt->nonce));
	if (r.bad)
		return "short echo";
	if (version != 0x45 || total != BFD_ECHO_LEN || (fragment & 0x3fff) != 0 ||
	    proto != PROTO_UDP || port != BFD_ECHO_PORT || udp_len != BFD_ECHO_LEN - IP_HEADER ||
	    bfd != BFD_VERSION || content != CONTENT)
		return "echo that is not ours";
	pkt->from = ip_from_v4(from);
	pkt->to = ip_from_v4(to);
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
