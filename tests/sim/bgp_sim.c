/*
 * Two BGP routers on a fake TCP and a fake clock: every split of the stream, delays, refused and
 * reset connections, collisions, restarts, drains, routes that come and go; all from a seed.
 *
 * What must hold at the end of each seed, some quiet minutes after the last fault: one established
 * connection, no other open, and each side was told exactly what the other wants to announce.
 *
 *   bgp_sim [--seeds N] [--first N]     150 seeds, 1500 with METALLB_SOAK in the environment
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "speaker/bgp/router.h"

#define LINKS       32
#define PREFIXES    200
#define FAULT_STEPS 3000
#define QUIET       (300 * USEC_PER_SEC)
#define STEPS_MAX   400000

#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "seed %u: ", sim->seed);                                   \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* One connection; end 0 opened it. */
struct link {
	bool used, connecting;
	usec_t due; /* of the answer to the SYN */
	int side[2], conn[2];
	bool gone[2];           /* that end has closed */
	struct buf flow[2];     /* on the way to end i */
	struct buf heard[2];    /* by end i, not yet parsed */
	bool told[2][PREFIXES]; /* what end i has been told */
};

struct side {
	struct bgp_router router;
	bool routes[PREFIXES]; /* wanted to be announced */
	struct link *of[BGP_CONNS];
};

struct sim {
	unsigned seed;
	uint64_t state;
	usec_t now;
	bool quiet;
	struct side side[2];
	struct link links[LINKS];
	size_t resets, sessions, drains;
};

static uint32_t rnd(struct sim *sim, uint32_t n)
{
	sim->state = sim->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((sim->state >> 33) * n) >> 31);
}

static void fill_random(void *user, void *buf, size_t n)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rnd(user, 256);
}

static struct bgp_peer *peer_of(struct sim *sim, int s)
{
	return sim->side[s].router.peers[0];
}

static struct ip addr_of(int s)
{
	return (struct ip){.family = IP_V4, .b = {192, 0, 2, (uint8_t)(s + 1)}};
}

/* ---- what the other side hears: a mirror ---- */

static void hear_update(bool *told, const uint8_t *m, size_t n)
{
	size_t wlen = (size_t)m[19] << 8 | m[20];
	size_t alen = (size_t)m[21 + wlen] << 8 | m[22 + wlen];

	for (size_t i = 21; i < 21 + wlen; i += 5)
		told[m[i + 4]] = false;
	for (size_t i = 23 + wlen + alen; i < n; i += 5)
		told[m[i + 4]] = true;
}

static void hear(struct sim *sim, struct link *l, int e, const void *data, size_t len)
{
	struct buf *heard = &l->heard[e];

	buf_add(heard, data, len);
	while (heard->len >= BGP_HEADER_LEN) {
		const uint8_t *m = (const uint8_t *)heard->data;
		size_t n = (size_t)m[16] << 8 | m[17];

		CHECK(n >= BGP_HEADER_LEN && n <= BGP_MSG_MAX, "a message of %zu octets was sent",
		      n);
		if (heard->len < n)
			return;
		if (m[18] == BGP_UPDATE)
			hear_update(l->told[e], m, n);
		buf_consume(heard, n);
	}
}

/* ---- the fake TCP ---- */

static void link_free(struct sim *sim, struct link *l)
{
	for (int e = 0; e < 2; e++) {
		if (l->conn[e] >= 0 && sim->side[l->side[e]].of[l->conn[e]] == l)
			sim->side[l->side[e]].of[l->conn[e]] = NULL;
		buf_fini(&l->flow[e]);
		buf_fini(&l->heard[e]);
	}
	memset(l, 0, sizeof(*l));
}

static void end_close(struct sim *sim, struct link *l, int e)
{
	struct side *s = &sim->side[l->side[e]];

	if (l->gone[e])
		return;
	l->gone[e] = true;
	s->of[l->conn[e]] = NULL;
	bgp_peer_closed(peer_of(sim, l->side[e]), (size_t)l->conn[e]);
	if (l->gone[1 - e])
		link_free(sim, l);
}

/* The far end is gone or the connection was reset. */
static void end_lost(struct sim *sim, struct link *l, int e, int error)
{
	if (l->gone[e])
		return;
	bgp_peer_disconnected(peer_of(sim, l->side[e]), (size_t)l->conn[e], error, sim->now);
	end_close(sim, l, e);
}

static void link_reset(struct sim *sim, struct link *l, int error)
{
	struct link copy = *l;

	sim->resets++;
	for (int e = 0; e < 2; e++)
		if (l->used && copy.conn[e] >= 0)
			end_lost(sim, l, e, error);
	if (l->used)
		link_free(sim, l);
}

static void start_connect(struct sim *sim, int s)
{
	struct bgp_peer *p = peer_of(sim, s);

	p->conn[0].want_connect = false;
	for (size_t i = 0; i < LINKS; i++) {
		struct link *l = &sim->links[i];

		if (l->used)
			continue;
		*l = (struct link){.used = true,
				   .connecting = true,
				   .due = sim->now + 1000 + rnd(sim, 200000),
				   .side = {s, 1 - s},
				   .conn = {0, -1}};
		l->gone[1] = true;
		p->conn[0].is_open = true;
		sim->side[s].of[0] = l;
		return;
	}
	CHECK(false, "more than %d connections", LINKS);
}

static void finish_connect(struct sim *sim, struct link *l)
{
	struct bgp_local mine = {.addr = addr_of(l->side[0])};
	struct bgp_local theirs = {.addr = addr_of(l->side[1])};
	int conn = -1;

	if (sim->quiet || rnd(sim, 4))
		conn = bgp_peer_accept(peer_of(sim, l->side[1]), &theirs, sim->now);
	if (conn < 0) {
		end_lost(sim, l, 0, 111);
		return;
	}
	l->connecting = false;
	l->conn[1] = conn;
	l->gone[1] = false;
	sim->side[l->side[1]].of[conn] = l;
	bgp_peer_connected(peer_of(sim, l->side[0]), 0, &mine, sim->now);
}

static void move_tx(struct sim *sim, struct link *l, int e)
{
	struct bgp_peer *p = peer_of(sim, l->side[e]);
	struct bgp_conn *c = &p->conn[l->conn[e]];

	while (c->tx.len > 0) {
		size_t n =
			c->want_close || sim->quiet ? c->tx.len : 1 + rnd(sim, (uint32_t)c->tx.len);

		buf_add(&l->flow[1 - e], c->tx.data, n);
		bgp_peer_sent(p, (size_t)l->conn[e], n, sim->now);
	}
}

static void sync_side(struct sim *sim, int s)
{
	struct bgp_peer *p = peer_of(sim, s);

	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct link *l = sim->side[s].of[i];
		int e = l && l->side[1] == s ? 1 : 0;

		if (l && !l->connecting)
			move_tx(sim, l, e);
		if (p->conn[i].want_close)
			end_close(sim, l, e);
		if (p->conn[i].want_connect)
			start_connect(sim, s);
	}
}

static void deliver(struct sim *sim, struct link *l, int e)
{
	struct buf *flow = &l->flow[e];
	struct bgp_peer *p = peer_of(sim, l->side[e]);
	size_t n = flow->len;

	if (n > 1 && rnd(sim, 3))
		n = 1 + rnd(sim, (uint32_t)n);
	if (!l->gone[e]) {
		struct bgp_conn *before = p->up;
		_cleanup_free_ char *copy = xmemdup(flow->data, n);

		bgp_peer_recv(p, (size_t)l->conn[e], (uint8_t *)copy, n, sim->now);
		sim->sessions += p->up && p->up != before;
		if (l->used)
			hear(sim, l, e, copy, n);
	}
	buf_consume(flow, n);
}

/* ---- the script ---- */

static void set_routes(struct sim *sim, struct side *s)
{
	struct bgp_route r[PREFIXES];
	size_t n = 0;
	struct err err;

	for (size_t i = 0; i < PREFIXES; i++)
		if (s->routes[i])
			r[n++] = (struct bgp_route){
				.prefix = {{.family = IP_V4, .b = {10, 0, 0, (uint8_t)i}}, 32},
				.local_pref = (uint32_t)(i % 3)};
	CHECK(bgp_router_set_routes(&s->router, "p", r, n, sim->now, &err), "%s", err.msg);
}

static void change_routes(struct sim *sim)
{
	struct side *s = &sim->side[rnd(sim, 2)];
	size_t k = rnd(sim, PREFIXES);

	s->routes[k] = !s->routes[k];
	if (rnd(sim, 100) == 0)
		memset(s->routes, (int)rnd(sim, 2), sizeof(s->routes));
	set_routes(sim, s);
}

static void undrain(struct sim *sim, struct side *s)
{
	bgp_router_undrain(&s->router, sim->now);
	set_routes(sim, s);
}

static bool is_due(const struct sim *sim, const struct link *l)
{
	return l->used && l->connecting && l->due <= sim->now;
}

/* One thing that can happen in the network; false: nothing to do. */
static bool network_step(struct sim *sim)
{
	uint32_t start = rnd(sim, LINKS);

	for (uint32_t i = 0; i < LINKS; i++) {
		struct link *l = &sim->links[(start + i) % LINKS];

		if (is_due(sim, l)) {
			finish_connect(sim, l);
			return true;
		}
		if (!l->used || l->connecting)
			continue;
		for (int e = 0; e < 2; e++) {
			if (l->flow[e].len > 0) {
				deliver(sim, l, e);
				return true;
			}
			if (l->gone[1 - e]) {
				end_lost(sim, l, e, 0);
				return true;
			}
		}
	}
	return false;
}

static void advance(struct sim *sim)
{
	usec_t next = USEC_NEVER;

	for (int s = 0; s < 2; s++) {
		usec_t d = bgp_router_deadline(&sim->side[s].router);

		next = d < next ? d : next;
	}
	for (size_t i = 0; i < LINKS; i++)
		if (sim->links[i].used && sim->links[i].connecting && sim->links[i].due < next)
			next = sim->links[i].due;
	if (!sim->quiet && rnd(sim, 2) && sim->now + USEC_PER_SEC < next)
		next = sim->now + rnd(sim, (uint32_t)USEC_PER_SEC);
	if (next == USEC_NEVER) /* no timers with hold time 0 */
		next = sim->now + USEC_PER_SEC;
	sim->now = next > sim->now ? next : sim->now;
	for (int s = 0; s < 2; s++)
		bgp_router_tick(&sim->side[s].router, sim->now);
}

static void fault(struct sim *sim)
{
	struct link *l = &sim->links[rnd(sim, LINKS)];
	int s = (int)rnd(sim, 2);
	struct bgp_peer *p = peer_of(sim, s);

	switch (rnd(sim, 8)) {
	case 2:
		bgp_router_drain(&sim->side[s].router, rnd(sim, 5) * USEC_PER_SEC, rnd(sim, 2),
				 "drain", sim->now);
		sim->drains++;
		return;
	case 3:
		undrain(sim, &sim->side[s]);
		return;
	case 0:
		bgp_peer_bfd(p, false, sim->now);
		return;
	case 1:
		bgp_peer_bfd(p, true, sim->now);
		return;
	default:
		for (size_t i = 0; i < LINKS && (!l->used || l->connecting); i++)
			l = &sim->links[i];
		if (l->used && !l->connecting)
			link_reset(sim, l, 104);
	}
}

static void step(struct sim *sim)
{
	if (!sim->quiet && rnd(sim, 8) == 0)
		change_routes(sim);
	else if (!sim->quiet && rnd(sim, 200) == 0)
		fault(sim);
	else if (!network_step(sim) || (!sim->quiet && rnd(sim, 20) == 0))
		advance(sim);
	for (int s = 0; s < 2; s++)
		sync_side(sim, s);
	for (int s = 0; s < 2; s++)
		sim->side[s].router.shared.events.n = 0;
}

static void setup(struct sim *sim, unsigned seed)
{
	struct random_source *source = xcalloc(2, sizeof(*source));

	memset(sim, 0, sizeof(*sim));
	sim->seed = seed;
	sim->state = seed * 2654435761u + 1;
	sim->now = 1000 * USEC_PER_SEC;
	source->fill = fill_random;
	source->user = sim;
	bool gr = rnd(sim, 2), ibgp = rnd(sim, 2);
	uint16_t hold = (uint16_t)(rnd(sim, 3) * 30);

	for (int s = 0; s < 2; s++) {
		struct bgp_peer_config cfg = {
			.name = "p",
			.address = addr_of(1 - s),
			.port = 179,
			.local_asn = ibgp ? 65000 : 65000u + (unsigned)s,
			.peer_asn = ibgp ? 65000 : 65001u - (unsigned)s,
			.families = BGP_FAMILY_V4,
			.hold_s = hold,
			.keepalive_s = hold / 3,
			.connect_s = 5,
			.graceful_restart = gr,
			.restart_s = 120,
		};
		struct err err;

		bgp_router_init(&sim->side[s].router, source, "node", false);
		CHECK(bgp_router_set_peers(&sim->side[s].router, &cfg, 1, sim->now, &err), "%s",
		      err.msg);
	}
}

static void check_end(struct sim *sim)
{
	const struct link *l = NULL;
	size_t open = 0;

	for (size_t i = 0; i < LINKS; i++)
		if (sim->links[i].used) {
			l = &sim->links[i];
			open++;
		}
	CHECK(open == 1, "%zu connections are open", open);
	for (int s = 0; s < 2; s++) {
		struct bgp_peer *p = peer_of(sim, s);

		CHECK(p->up, "side %d is not established: %s", s, p->last_error);
		CHECK(bgp_rib_is_settled(&p->rib), "side %d still has to send", s);
		CHECK(memcmp(sim->side[s].routes, l->told[l->side[0] == s ? 1 : 0], PREFIXES) == 0,
		      "the peer of side %d has other routes than it shall", s);
	}
}

static void teardown(struct sim *sim)
{
	const struct random_source *source = sim->side[0].router.shared.random;

	for (size_t i = 0; i < LINKS; i++)
		if (sim->links[i].used)
			link_free(sim, &sim->links[i]);
	for (int s = 0; s < 2; s++) {
		bgp_router_fini(&sim->side[s].router);
	}
	free((void *)(uintptr_t)source);
}

static void run(struct sim *sim, unsigned seed)
{
	setup(sim, seed);
	for (int i = 0; i < FAULT_STEPS; i++)
		step(sim);
	sim->quiet = true;
	for (int s = 0; s < 2; s++)
		undrain(sim, &sim->side[s]);
	usec_t end = sim->now + QUIET;

	for (int i = 0; sim->now < end; i++) {
		CHECK(i < STEPS_MAX, "no end of work");
		step(sim);
	}
	check_end(sim);
	teardown(sim);
}

int main(int argc, char **argv)
{
	unsigned seeds = getenv("METALLB_SOAK") ? 1500 : 150, first = 1;
	size_t resets = 0, sessions = 0, drains = 0;
	struct sim *sim = xcalloc(1, sizeof(*sim));

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			seeds = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--first") == 0)
			first = (unsigned)strtoul(argv[i + 1], NULL, 10);
	}
	for (unsigned s = first; s < first + seeds; s++) {
		run(sim, s);
		resets += sim->resets;
		sessions += sim->sessions;
		drains += sim->drains;
	}
	printf("%u seeds: %zu sessions came up, %zu resets, %zu drains\n", seeds, sessions / 2,
	       resets, drains);
	free(sim);
	return sessions / 2 > seeds ? 0 : 1;
}
