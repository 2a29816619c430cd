/*
 * The codec of BFD control packets: RFC 5880 section 4.1 and the first checks of 6.8.6, in the
 * order given there. Pure. Left out: authentication sections (the session refuses packets that have
 * one).
 */
#include "speaker/bfd/packet.h"

#include <assert.h>

#include "metallb/wire.h"

enum {
	FLAG_POLL = 0x20,
	FLAG_FINAL = 0x10,
	FLAG_INDEPENDENT = 0x08,
	FLAG_AUTH = 0x04,
	FLAG_DEMAND = 0x02,
	FLAG_MULTIPOINT = 0x01,
};

const char *bfd_packet_decode(const void *data, size_t len, struct bfd_packet *pkt)
{
	struct rd r = rd_init(data, len);
	uint8_t vdiag = rd_u8(&r), flags = rd_u8(&r), mult = rd_u8(&r), plen = rd_u8(&r);
	uint32_t mine = rd_u32(&r), yours = rd_u32(&r), tx = rd_u32(&r), rx = rd_u32(&r);
	uint32_t echo_rx = rd_u32(&r);
	unsigned state = flags >> 6;

	if (r.bad)
		return "short packet";
	if (vdiag >> 5 != BFD_VERSION)
		return "bad version";
	if (plen < BFD_PACKET_LEN + (flags & FLAG_AUTH ? BFD_AUTH_LEN_MIN : 0))
		return "length too small";
	if (plen > len)
		return "length beyond the datagram";
	if (mult == 0)
		return "zero detect multiplier";
	if (flags & FLAG_MULTIPOINT)
		return "multipoint bit set";
	if (mine == 0)
		return "zero discriminator";
	if (yours == 0 && state > BFD_DOWN)
		return "no discriminator of ours in Init or Up";
	*pkt = (struct bfd_packet){
		.diag = vdiag & 0x1f,
		.state = (enum bfd_state)state,
		.poll = flags & FLAG_POLL,
		.final = flags & FLAG_FINAL,
		.independent = flags & FLAG_INDEPENDENT,
		.auth = flags & FLAG_AUTH,
		.demand = flags & FLAG_DEMAND,
		.mult = mult,
		.my_discr = mine,
		.your_discr = yours,
		.min_tx = tx,
		.min_rx = rx,
		.min_echo_rx = echo_rx,
	};
	return NULL;
}

void bfd_packet_encode(const struct bfd_packet *pkt, uint8_t out[BFD_PACKET_LEN])
{
	struct wr w = wr_init(out, BFD_PACKET_LEN);

	assert(!pkt->auth);
	wr_u8(&w, (uint8_t)(BFD_VERSION << 5 | (pkt->diag & 0x1f)));
	wr_u8(&w,
	      (uint8_t)((unsigned)pkt->state << 6 | (pkt->poll ? FLAG_POLL : 0) |
			(pkt->final ? FLAG_FINAL : 0) | (pkt->independent ? FLAG_INDEPENDENT : 0) |
			(pkt->demand ? FLAG_DEMAND : 0)));
	wr_u8(&w, pkt->mult);
	wr_u8(&w, BFD_PACKET_LEN);
	wr_u32(&w, pkt->my_discr);
	wr_u32(&w, pkt->your_discr);
	wr_u32(&w, pkt->min_tx);
	wr_u32(&w, pkt->min_rx);
	wr_u32(&w, pkt->min_echo_rx);
	assert(!w.bad);
}

const char *bfd_state_format(enum bfd_state state)
{
	static const char *const names[BFD_STATE_COUNT] = {"admin-down", "down", "init", "up"};

	assert(state < BFD_STATE_COUNT);
	return names[state];
}

const char *bfd_diag_format(uint8_t diag)
{
	static const char *const names[BFD_DIAG_COUNT] = {
		"no diagnostic",
		"control detection time expired",
		"echo function failed",
		"neighbor signaled session down",
		"forwarding plane reset",
		"path down",
		"concatenated path down",
		"administratively down",
		"reverse concatenated path down",
	};

	return diag < BFD_DIAG_COUNT ? names[diag] : "unknown diagnostic";
}
