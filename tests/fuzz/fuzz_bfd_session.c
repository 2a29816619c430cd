/*
 * A BFD session fed with any datagrams at any times: records of one octet of delay (in 10 ms) and
 * 24 of packet. It never asks for the past, never floods, and is Up only while the peer is heard.
 */
#include <stdlib.h>
#include <string.h>

#include "speaker/bfd/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0x55, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct random_source rnd = {fill, NULL};
	const struct bfd_params params = {100000, 100000, 3, len & 1};
	struct bfd_session s;
	usec_t now = 0;

	bfd_session_init(&s, &params, 9, now);
	for (; len > BFD_PACKET_LEN; data += BFD_PACKET_LEN + 1, len -= BFD_PACKET_LEN + 1) {
		struct bfd_packet pkt;
		int sent = 0;

		now += data[0] * 10 * USEC_PER_MSEC;
		bfd_session_tick(&s, now, &rnd);
		const char *drop = bfd_packet_decode(data + 1, BFD_PACKET_LEN, &pkt);

		if (!drop)
			drop = bfd_session_recv(&s, &pkt, now, &rnd);
		if (!drop && (pkt.my_discr == 0 || pkt.mult == 0 || pkt.auth))
			abort();
		while (bfd_session_output(&s, now, &pkt))
			if (++sent > 2) /* one periodic or urgent, one Final */
				abort();
		if (s.state == BFD_UP && s.heard == USEC_NEVER)
			abort();
	}
	return 0;
}
