/*
 * A whole peer under a sequence of inputs: bytes from two connections, connects, losses, time,
 * configuration from above. It stays within its bounds and its assertions.
 */
#include <stdlib.h>

#include "metallb/wire.h"
#include "speaker/bgp/router.h"

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0x55, n);
}

static const struct random_source source = {fill, NULL};
static const struct bgp_local local = {.addr = {.family = IP_V4, .b = {192, 0, 2, 1}}};

static void settle(struct bgp_router *r, usec_t now)
{
	struct bgp_peer *p = r->peers[0];

	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct bgp_conn *c = &p->conn[i];

		if (c->rx.len > BGP_MSG_EXT_MAX || c->tx.len > BGP_TX_LOW + 2 * BGP_MSG_EXT_MAX)
			__builtin_trap();
		if (c->want_close)
			bgp_peer_closed(p, i);
		if (c->want_connect) {
			c->want_connect = false;
			c->is_open = true;
			bgp_peer_connected(p, i, &local, now);
		}
	}
	r->shared.events.n = 0;
}

static void feed(struct bgp_peer *p, struct rd *r, size_t conn, usec_t now)
{
	uint8_t msg[BGP_HEADER_LEN + 255];
	uint8_t type = rd_u8(r), n = rd_u8(r);

	/* well framed, so that the fuzzer gets past the marker */
	memset(msg, 0xFF, BGP_MARKER_LEN);
	msg[16] = (uint8_t)((BGP_HEADER_LEN + n) >> 8);
	msg[17] = (uint8_t)(BGP_HEADER_LEN + n);
	msg[18] = type;
	rd_copy(r, msg + BGP_HEADER_LEN, n);
	bgp_peer_recv(p, conn, msg, BGP_HEADER_LEN + (size_t)n, now);
}

static void act(struct bgp_router *r, struct rd *in, usec_t *now)
{
	struct bgp_peer *p = r->peers[0];
	uint8_t op = rd_u8(in);
	size_t conn = (size_t)(op >> 4) % BGP_CONNS;
	struct bgp_route route = {
		.prefix = {{.family = IP_V4, .b = {10, 0, 0, rd_u8(in)}}, 32},
		.local_pref = op,
	};

	switch (op & 15) {
	case 0:
		bgp_peer_accept(p, &local, *now);
		break;
	case 1:
		if (p->conn[conn].is_open)
			bgp_peer_disconnected(p, conn, rd_u8(in), *now);
		break;
	case 2:
		*now += rd_u16(in) * (USEC_PER_SEC / 10);
		bgp_router_tick(r, *now);
		break;
	case 3:
		bgp_rib_add(&p->rib, &route);
		bgp_peer_flush(p, *now);
		break;
	case 4:
		bgp_peer_bfd(p, op & 16, *now);
		break;
	case 5:
		bgp_peer_drain(p, USEC_PER_SEC, op & 16, "fuzz", *now);
		break;
	case 6:
		bgp_peer_undrain(p, *now);
		break;
	case 7:
		if (p->conn[conn].tx.len > 0)
			bgp_peer_sent(p, conn, p->conn[conn].tx.len, *now);
		break;
	default:
		feed(p, in, conn, *now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd in = rd_init(data, len);
	struct bgp_router r;
	struct bgp_peer_config cfg = {
		.name = "p",
		.address = {.family = IP_V4, .b = {192, 0, 2, 2}},
		.port = 179,
		.local_asn = 65001,
		.peer_asn = 65000,
		.families = BGP_FAMILY_V4 | BGP_FAMILY_V6,
		.hold_s = 90,
		.keepalive_s = 30,
		.connect_s = 5,
		.graceful_restart = true,
	};
	usec_t now = USEC_PER_SEC;

	bgp_router_init(&r, &source, "node", false);
	if (!bgp_router_set_peers(&r, &cfg, 1, now, NULL))
		abort();
	while (rd_left(&in) > 0) {
		act(&r, &in, &now);
		settle(&r, now);
	}
	bgp_router_fini(&r);
	return 0;
}
