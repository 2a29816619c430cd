/*
 * The set of BFD sessions fed with any datagrams from any end: records of one octet that says where
 * it comes from, when, and whether our discriminator is put in, and 24 of packet. It never floods,
 * events alternate, and a stranger changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define N_SESSIONS 3

static void fill(void *user, void *buf, size_t n)
{
	uint8_t *p = buf, *next = user;

	for (size_t i = 0; i < n; i++)
		p[i] = ++*next;
}

static void setup(struct bfd_engine *e, size_t n, usec_t now)
{
	struct bfd_session_config cfgs[N_SESSIONS];

	for (size_t i = 0; i < N_SESSIONS; i++)
		cfgs[i] = (struct bfd_session_config){
			.path = {.remote = {.family = IP_V4, .b = {192, 0, 2, (uint8_t)(i / 2)}},
				 .multihop = i % 2},
			.params = {100000, 100000, 3, false, i == 0 ? 50000 : 0},
			.min_ttl = 250,
		};
	bfd_engine_set(e, cfgs, n, now);
}

static void check(const struct bfd_engine *e, bool up[N_SESSIONS])
{
	for (size_t i = 0; i < e->n_events; i++) {
		const struct bfd_path *p = &e->events[i].path;
		size_t k = (size_t)p->remote.b[3] * 2 + p->multihop;

		if (k >= N_SESSIONS || (e->events[i].up == up[k]))
			abort();
		up[k] = e->events[i].up;
	}
}

/* With a header before it, as it may be an echo of ours. Only what was sent is taken for one. */
static void echo_recv(struct bfd_engine *e, const uint8_t *pkt, usec_t now)
{
	uint8_t v4[52] = {0x45, [3] = sizeof(v4), [8] = 254, [9] = 17, [22] = 0x0e, 0xc9, 0, 32};
	uint8_t v6[BFD_ECHO_MAX] = {0x60, [5] = 32, 17, 254, [42] = 0x0e, 0xc9, 0, 32};

	memcpy(v4 + 12, (const uint8_t[]){192, 0, 2, 9, 192, 0, 2, 9}, 8);
	memcpy(v4 + 28, pkt, BFD_PACKET_LEN);
	if (!bfd_engine_recv_echo(e, v4, sizeof(v4), now) && e->wanted[0]->counters.echo_sent == 0)
		abort();
	memcpy(v6 + 48, pkt, BFD_PACKET_LEN);
	if (!bfd_engine_recv_echo(e, v6, sizeof(v6), now))
		abort(); /* none is sent in IPv6 */
	(void)bfd_engine_recv_echo(e, pkt, BFD_PACKET_LEN, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t state = 0;
	const struct random_source rnd = {fill, &state};
	bool up[N_SESSIONS] = {false};
	struct bfd_engine e;
	struct bfd_send out;
	usec_t now = 0;

	bfd_engine_init(&e, &rnd);
	setup(&e, N_SESSIONS, now);
	for (; len > BFD_PACKET_LEN; data += BFD_PACKET_LEN + 1, len -= BFD_PACKET_LEN + 1) {
		const uint8_t how = data[0];
		uint8_t pkt[BFD_PACKET_LEN];
		struct bfd_datagram d = {
			.data = pkt,
			.len = sizeof(pkt) - (how == 0xff),
			.from = {.family = IP_V4, .b = {192, 0, 2, how & 3}},
			.to = {.family = IP_V4, .b = {192, 0, 2, 9}},
			.ttl = how & 4 ? 255 : 250,
			.multihop = how & 8,
			.vrf = "",
		};
		int sent = 0;

		memcpy(pkt, data + 1, sizeof(pkt));
		if (how & 16 && e.n_wanted)
			memcpy(pkt + 8, &e.wanted[0]->session.local_discr, 4);
		now += (how >> 6) * 60 * USEC_PER_MSEC;
		bfd_engine_tick(&e, now);
		const char *drop = bfd_engine_recv(&e, &d, now);

		if (how & 32)
			echo_recv(&e, pkt, now);
		if (!drop && d.from.b[3] * 2u + d.multihop >= N_SESSIONS)
			abort();
		while (bfd_engine_output(&e, now, &out))
			if (++sent > 3 * N_SESSIONS)
				abort();
		check(&e, up);
		e.n_events = 0;
	}
	setup(&e, 1, now);
	while (bfd_engine_output(&e, now, &out))
		;
	bfd_engine_fini(&e);
	return 0;
}
