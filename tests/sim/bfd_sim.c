/*
 * Two BFD engines with two sessions (one hop, several hops) on a fake wire and a fake clock: loss,
 * delay, reordering, copies, cuts of one or both directions, crashes, profiles that change,
 * sessions removed and made again, forged packets; with the echo function or not; all from a seed.
 *
 * What must hold all the time: a session is up only while its peer was heard within the detection
 * time, events alternate, nobody sends faster than agreed. And at the end of each seed: with a
 * quiet wire both are up and stay so with what their profiles say; with a cut wire both are down
 * when the detection time is over. Over all seeds each state meets each event.
 *
 *   bfd_sim [--seeds N] [--first N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/engine.h"

#define PATHS       2
#define FLYING      512
#define FAULT_TIME  (120 * USEC_PER_SEC)
#define SETTLE_TIME (40 * USEC_PER_SEC)
#define QUIET_TIME  (60 * USEC_PER_SEC)
#define DELAY_MAX   5000u
#define MIN_MS      10u

#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "seed %u, %lld us, line %d: ", sim->seed,                  \
				(long long)sim->now, __LINE__);                                    \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

enum { EV_ADMIN_DOWN, EV_DOWN, EV_INIT, EV_UP, EV_EXPIRE, EV_PARAMS, EV_REMOVE, EV_COUNT };

enum kind { CONTROL, CONTROL_MULTIHOP, ECHO, ECHO_BACK };

struct flying {
	enum kind kind;
	int to;
	usec_t due;
	uint8_t data[BFD_ECHO_MAX];
	size_t len;
};

struct side {
	struct bfd_engine engine;
	struct bfd_session_config cfg[PATHS];
	bool wanted[PATHS], up[PATHS];
	usec_t second; /* that is being counted */
	unsigned sent[PATHS];
};

struct sim {
	unsigned seed;
	uint64_t state;
	usec_t now, next_fault;
	bool quiet, cut[2]; /* towards side i */
	uint32_t loss;      /* percent */
	struct random_source random;
	struct side side[2];
	struct flying flying[FLYING]; /* in no order */
	size_t n_flying;
	size_t downs, ups, echoes;
	uint64_t seen[BFD_STATE_COUNT][EV_COUNT]; /* over all seeds */
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

/* Of every second seed in IPv6. */
static struct ip addr_of(const struct sim *sim, int s)
{
	return sim->seed % 2 ? (struct ip){.family = IP_V4, .b = {192, 0, 2, (uint8_t)(s + 1)}}
			     : (struct ip){.family = IP_V6,
					   .b = {0x20, 1, 0xd, 0xb8, [15] = (uint8_t)(s + 1)}};
}

static struct bfd_entry *entry_of(struct sim *sim, int s, bool multihop)
{
	struct bfd_engine *e = &sim->side[s].engine;

	for (size_t i = 0; i < e->n_wanted; i++)
		if (e->wanted[i]->cfg.path.multihop == multihop)
			return e->wanted[i];
	for (size_t i = 0; i < e->n_leaving; i++)
		if (e->leaving[i]->cfg.path.multihop == multihop)
			return e->leaving[i];
	return NULL;
}

static void note(struct sim *sim, int s, size_t path, int event)
{
	const struct bfd_entry *e = entry_of(sim, s, path == 1);

	if (e)
		sim->seen[e->session.state][event]++;
}

/* ---- the wire ---- */

static void wire_put(struct sim *sim, int to, enum kind kind, const uint8_t *data, size_t len)
{
	if (sim->cut[to] || rnd(sim, 100) < sim->loss)
		return;
	do {
		struct flying *f = &sim->flying[sim->n_flying];

		CHECK(sim->n_flying < FLYING, "more than %d packets on the wire", FLYING);
		sim->n_flying++;
		*f = (struct flying){.kind = kind,
				     .to = to,
				     .due = sim->now + 50 + rnd(sim, DELAY_MAX),
				     .len = len};
		memcpy(f->data, data, len);
	} while (!sim->quiet && rnd(sim, 20) == 0); /* now and then once more */
}

static void wire_deliver(struct sim *sim, size_t i)
{
	const struct flying f = sim->flying[i];
	struct bfd_engine *e = &sim->side[f.to].engine;
	struct bfd_datagram d = {.data = f.data,
				 .len = BFD_PACKET_LEN,
				 .from = addr_of(sim, 1 - f.to),
				 .to = addr_of(sim, f.to),
				 .ttl = f.kind == CONTROL ? 255 : 253,
				 .multihop = f.kind == CONTROL_MULTIHOP,
				 .vrf = ""};

	sim->flying[i] = sim->flying[--sim->n_flying];
	if (f.kind == ECHO) { /* sent back by what is not BFD */
		wire_put(sim, 1 - f.to, ECHO_BACK, f.data, f.len);
	} else if (f.kind == ECHO_BACK) {
		sim->echoes += !bfd_engine_recv_echo(e, f.data, f.len, sim->now);
	} else {
		note(sim, f.to, f.kind, f.data[1] >> 6);
		(void)bfd_engine_recv(e, &d, sim->now);
	}
}

/* ---- what must hold ---- */

static void check_events(struct sim *sim, int s)
{
	struct side *me = &sim->side[s];

	for (size_t i = 0; i < me->engine.n_events; i++) {
		const struct bfd_event *ev = &me->engine.events[i];
		bool *up = &me->up[ev->path.multihop];

		CHECK(ev->up != *up, "side %d was told twice that a session is %s", s,
		      *up ? "up" : "down");
		*up = ev->up;
		sim->ups += ev->up;
		sim->downs += !ev->up;
		CHECK(!sim->quiet || ev->up, "side %d: down on a quiet wire: %s", s,
		      bfd_reason_format(ev->reason));
	}
	me->engine.n_events = 0;
}

static void check_state(struct sim *sim, int s)
{
	for (size_t p = 0; p < PATHS; p++) {
		const struct bfd_entry *e = entry_of(sim, s, p == 1);
		const struct bfd_session *ss = e ? &e->session : NULL;

		if (!e || ss->state != BFD_UP)
			continue;
		CHECK(ss->heard != USEC_NEVER &&
			      sim->now - ss->heard < bfd_session_detection_time(ss),
		      "side %d is up after %lld us of silence", s,
		      (long long)(sim->now - ss->heard));
	}
}

/* No more in a second than the fastest profile allows, with jitter, urgent packets and answers. */
static void check_pace(struct sim *sim, int s, bool multihop)
{
	struct side *me = &sim->side[s];

	if (sim->now - me->second >= USEC_PER_SEC) {
		me->second = sim->now;
		memset(me->sent, 0, sizeof(me->sent));
	}
	me->sent[multihop]++;
	CHECK(me->sent[multihop] <= 2 * (1000 / MIN_MS * 4 / 3 + BFD_URGENT_MAX + 1),
	      "side %d sends too fast", s);
}

static void settle(struct sim *sim, int s)
{
	struct bfd_send out;

	while (bfd_engine_output(&sim->side[s].engine, sim->now, &out)) {
		if (!out.echo)
			check_pace(sim, s, out.path->multihop);
		wire_put(sim, 1 - s,
			 out.echo             ? ECHO
			 : out.path->multihop ? CONTROL_MULTIHOP
					      : CONTROL,
			 out.data, out.len);
	}
	check_events(sim, s);
	check_state(sim, s);
}

/* ---- faults ---- */

static void profile_new(struct sim *sim, struct bfd_params *p)
{
	static const uint32_t ms[] = {MIN_MS, 50, 100, 300, 1000};

	p->min_tx = ms[rnd(sim, ARRAY_SIZE(ms))] * 1000;
	p->min_rx = ms[rnd(sim, ARRAY_SIZE(ms))] * 1000;
	p->mult = (uint8_t)(2 + rnd(sim, 8));
	p->echo = p->echo_rx = rnd(sim, 2) ? ms[rnd(sim, 3)] * 1000 : 0;
}

static void apply(struct sim *sim, int s)
{
	struct side *me = &sim->side[s];
	struct bfd_session_config cfgs[PATHS];
	size_t n = 0;

	for (size_t p = 0; p < PATHS; p++) {
		if (me->wanted[p])
			cfgs[n++] = me->cfg[p];
		else
			me->up[p] = false; /* its end is told to nobody */
	}
	bfd_engine_set(&me->engine, cfgs, n, sim->now);
}

static void crash(struct sim *sim, int s)
{
	struct side *me = &sim->side[s];

	bfd_engine_fini(&me->engine);
	bfd_engine_init(&me->engine, &sim->random);
	memset(me->up, 0, sizeof(me->up));
	apply(sim, s);
}

/*
 * Something that no engine sent, from the right address. Its intervals are below 2 s: believed by a
 * session, longer ones would hold it for as long as they say.
 */
static void forge(struct sim *sim, int s)
{
	const struct bfd_entry *e = entry_of(sim, s, false);
	uint8_t data[BFD_PACKET_LEN];

	fill_random(sim, data, sizeof(data));
	data[0] = (uint8_t)(0x20 | (data[0] & 7));
	data[1] &= 0xf0;
	data[2] &= 7;
	data[3] = BFD_PACKET_LEN;
	data[12] = data[16] = 0;
	data[13] &= 0x1f;
	data[17] &= 0x1f;
	if (e && rnd(sim, 2)) {
		data[8] = (uint8_t)(e->session.local_discr >> 24);
		data[9] = (uint8_t)(e->session.local_discr >> 16);
		data[10] = (uint8_t)(e->session.local_discr >> 8);
		data[11] = (uint8_t)e->session.local_discr;
	}
	wire_put(sim, s, CONTROL, data, sizeof(data));
}

static void fault(struct sim *sim)
{
	int s = (int)rnd(sim, 2);
	size_t p = rnd(sim, PATHS);
	struct side *me = &sim->side[s];

	switch (rnd(sim, 8)) {
	case 0:
		sim->loss = rnd(sim, 3) * 10;
		return;
	case 1:
		sim->cut[s] = !sim->cut[s];
		return;
	case 2:
		sim->cut[0] = sim->cut[1] = false;
		return;
	case 3:
		note(sim, s, p, EV_PARAMS);
		profile_new(sim, &me->cfg[p].params);
		break;
	case 4:
		note(sim, s, p, EV_REMOVE);
		me->wanted[p] = !me->wanted[p];
		break;
	case 5:
		crash(sim, s);
		break;
	case 6:
		forge(sim, s);
		return;
	default:
		return;
	}
	apply(sim, s);
}

/* ---- time ---- */

static void earliest(usec_t *next, usec_t t)
{
	if (t < *next)
		*next = t;
}

static void expiries_note(struct sim *sim)
{
	for (int s = 0; s < 2; s++)
		for (size_t p = 0; p < PATHS; p++) {
			const struct bfd_entry *e = entry_of(sim, s, p == 1);
			const struct bfd_session *ss = e ? &e->session : NULL;

			if (e && ss->heard != USEC_NEVER &&
			    sim->now >= ss->heard + bfd_session_detection_time(ss))
				note(sim, s, p, EV_EXPIRE);
		}
}

/* On to the next thing that happens, `end` at the latest. */
static void step(struct sim *sim, usec_t end)
{
	usec_t next = end;

	for (int s = 0; s < 2; s++)
		earliest(&next, bfd_engine_deadline(&sim->side[s].engine));
	for (size_t i = 0; i < sim->n_flying; i++)
		earliest(&next, sim->flying[i].due);
	if (!sim->quiet)
		earliest(&next, sim->next_fault);
	if (next > sim->now)
		sim->now = next;
	expiries_note(sim);
	for (size_t i = sim->n_flying; i > 0; i--)
		if (sim->flying[i - 1].due <= sim->now)
			wire_deliver(sim, i - 1);
	for (int s = 0; s < 2; s++) {
		bfd_engine_tick(&sim->side[s].engine, sim->now);
		settle(sim, s);
	}
	if (!sim->quiet && sim->now >= sim->next_fault) {
		fault(sim);
		sim->next_fault = sim->now + rnd(sim, 2000000);
		for (int s = 0; s < 2; s++)
			settle(sim, s);
	}
}

static void run_until(struct sim *sim, usec_t end)
{
	while (sim->now < end)
		step(sim, end);
}

/* ---- one seed ---- */

static void setup(struct sim *sim, unsigned seed)
{
	sim->seed = seed;
	sim->state = seed * 2654435761u + 1;
	sim->now = sim->next_fault = 1000 * USEC_PER_SEC;
	sim->quiet = sim->cut[0] = sim->cut[1] = false;
	sim->loss = 0;
	sim->random = (struct random_source){fill_random, sim};
	sim->n_flying = 0;
	for (int s = 0; s < 2; s++) {
		struct side *me = &sim->side[s];

		memset(me, 0, sizeof(*me));
		bfd_engine_init(&me->engine, &sim->random);
		for (size_t p = 0; p < PATHS; p++) {
			me->wanted[p] = true;
			me->cfg[p].path.remote = addr_of(sim, 1 - s);
			me->cfg[p].path.multihop = p == 1;
			me->cfg[p].min_ttl = 250;
			profile_new(sim, &me->cfg[p].params);
		}
		/* one end at most: two passive ones never begin */
		me->cfg[rnd(sim, PATHS)].params.passive = s == 1;
		apply(sim, s);
	}
}

/* The network is mended: both come up, with what their profiles say. */
static void check_mended(struct sim *sim)
{
	sim->loss = 0;
	sim->cut[0] = sim->cut[1] = false;
	for (int s = 0; s < 2; s++) {
		memset(sim->side[s].wanted, true, sizeof(sim->side[s].wanted));
		apply(sim, s);
		settle(sim, s);
	}
	sim->next_fault = USEC_NEVER;
	run_until(sim, sim->now + SETTLE_TIME);
	sim->quiet = true; /* from here on nothing may go down */
	run_until(sim, sim->now + QUIET_TIME);
	for (int s = 0; s < 2; s++)
		for (size_t p = 0; p < PATHS; p++) {
			const struct bfd_session *ss = &entry_of(sim, s, p == 1)->session;
			const struct bfd_params *theirs = &sim->side[1 - s].cfg[p].params;

			CHECK(ss->state == BFD_UP && ss->remote_state == BFD_UP && !ss->polling,
			      "side %d is %s after all is mended, its peer %s%s", s,
			      bfd_state_format(ss->state), bfd_state_format(ss->remote_state),
			      ss->polling ? ", polling" : "");
			CHECK(ss->used_tx == ss->params.min_tx && ss->used_rx == ss->params.min_rx,
			      "side %d does not use its profile", s);
			CHECK(ss->remote_min_tx == theirs->min_tx &&
				      ss->remote_min_rx == theirs->min_rx &&
				      ss->remote_mult == theirs->mult,
			      "side %d does not know the other's profile", s);
		}
}

/* The wire is cut: down when the detection time is over, neither before nor long after. */
static void check_cut(struct sim *sim)
{
	usec_t longest = 0;

	sim->quiet = false;
	sim->cut[0] = sim->cut[1] = true;
	for (int s = 0; s < 2; s++)
		for (size_t p = 0; p < PATHS; p++) {
			usec_t t = bfd_session_detection_time(&entry_of(sim, s, p == 1)->session);

			longest = t > longest ? t : longest;
		}
	run_until(sim, sim->now + longest + 2 * (usec_t)DELAY_MAX);
	for (int s = 0; s < 2; s++)
		for (size_t p = 0; p < PATHS; p++) {
			const struct bfd_session *ss = &entry_of(sim, s, p == 1)->session;

			CHECK(ss->state == BFD_DOWN && (ss->reason == BFD_REASON_EXPIRED ||
							ss->reason == BFD_REASON_ECHO_FAILED),
			      "side %d is %s on a cut wire", s, bfd_state_format(ss->state));
		}
}

static void run(struct sim *sim, unsigned seed)
{
	setup(sim, seed);
	run_until(sim, sim->now + FAULT_TIME);
	check_mended(sim);
	check_cut(sim);
	for (int s = 0; s < 2; s++)
		bfd_engine_fini(&sim->side[s].engine);
}

static bool is_covered(const struct sim *sim)
{
	bool all = true;

	for (int st = 0; st < BFD_STATE_COUNT; st++)
		for (int ev = 0; ev < EV_COUNT; ev++)
			if (sim->seen[st][ev] == 0) {
				fprintf(stderr, "state %d never met event %d\n", st, ev);
				all = false;
			}
	return all;
}

int main(int argc, char **argv)
{
	unsigned seeds = getenv("METALLB_SOAK") ? 1500 : 40, first = 1;
	struct sim *sim = xcalloc(1, sizeof(*sim));

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			seeds = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--first") == 0)
			first = (unsigned)strtoul(argv[i + 1], NULL, 10);
	}
	for (unsigned s = first; s < first + seeds; s++)
		run(sim, s);
	printf("%u seeds: %zu times up, %zu times down, %zu echoes\n", seeds, sim->ups, sim->downs,
	       sim->echoes);
	bool ok = is_covered(sim) && sim->downs > seeds && sim->echoes > seeds;

	free(sim);
	return ok ? 0 : 1;
}
