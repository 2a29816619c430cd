/*
 * Detectors on a fake wire under a fake clock: loss, jitter, stalls of the processes themselves,
 * crashes, restarts, freezes, partitions; and somebody who plays recorded datagrams back all the
 * time. All from one seed. Checked: a node that runs is never called dead, one that does not is in
 * time; whenever the network is whole and quiet, all nodes elect the same one.
 *
 * liveness_sim [--seeds N] [--first SEED] [--loss PERCENT]
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/liveness/liveness.h"

#define NODES_MAX  7
#define RECORDED   512
#define STEP       (1 * USEC_PER_MSEC)
#define STALL_MAX  300 /* ms that a busy machine may keep a process from running */
#define STALL_GAP  (200 * USEC_PER_MSEC)
#define DETECT_MAX (1000 * USEC_PER_MSEC)
#define SETTLE     (2500 * USEC_PER_MSEC)

#define RUNS(node) ((node)->l && (node)->runs_again <= s->now)

struct flight {
	usec_t at;
	unsigned to;
	struct buf data;
};

struct node {
	char name[16];
	struct liveness *l; /* NULL: crashed */
	unsigned side;
	usec_t runs_again; /* frozen or stalled until then */
	bool stalls;
	unsigned n_deaths;
	char died[16]; /* the last one it called dead */
};

struct sim {
	uint64_t rng;
	unsigned seed, n, loss;
	struct node nodes[NODES_MAX];
	struct flight *wire;
	size_t n_wire, cap_wire;
	struct flight recorded[RECORDED];
	size_t n_recorded;
	usec_t now;
	uint64_t packets;
};

static uint64_t rng_next(struct sim *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng * 0x2545f4914f6cdd1du;
}

static unsigned below(struct sim *s, unsigned n)
{
	return (unsigned)((rng_next(s) >> 32) % n);
}

static void rng_fill(void *user, void *buf, size_t n)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(rng_next(user) >> 32);
}

static bool announces_nothing(void *user, const struct ip *ip)
{
	(void)user;
	(void)ip;
	return false;
}

static struct ip addr_of(unsigned i)
{
	uint8_t b[4] = {10, 0, 0, (uint8_t)i};

	return ip_from_v4(b);
}

static void fail(const struct sim *s, const char *what, const char *who)
{
	printf("seed %u, %u nodes, at %.3f s: %s (%s)\n", s->seed, s->n, (double)s->now / 1e6, what,
	       who);
	exit(1);
}

/* ---- the wire ---- */

static void wire_add(struct sim *s, usec_t at, unsigned to, const struct buf *data)
{
	ARRAY_GROW(s->wire, s->n_wire, s->cap_wire);
	struct flight *f = &s->wire[s->n_wire++];

	*f = (struct flight){.at = at, .to = to};
	buf_add(&f->data, data->data, data->len);
}

static void record(struct sim *s, unsigned to, const struct buf *data)
{
	struct flight *f = &s->recorded[s->n_recorded++ % RECORDED];

	buf_clear(&f->data);
	buf_add(&f->data, data->data, data->len);
	f->to = to;
}

static void send_from(struct sim *s, unsigned from, const struct liveness_output *o)
{
	unsigned to = o->addr.b[3];
	usec_t delay = 200 + (usec_t)below(s, 3000);

	s->packets++;
	if (s->nodes[from].side != s->nodes[to].side || below(s, 100) < s->loss)
		return;
	if (below(s, 100) == 0)
		delay += (usec_t)below(s, 40) * USEC_PER_MSEC;
	record(s, to, &o->data);
	wire_add(s, s->now + delay, to, &o->data);
}

static void outputs_take(struct sim *s, unsigned i)
{
	struct node *n = &s->nodes[i];
	struct liveness_output o;

	while (liveness_next_output(n->l, &o)) {
		if (o.type == LIVENESS_OUT_PACKET)
			send_from(s, i, &o);
		if (o.type == LIVENESS_OUT_DIED) {
			n->n_deaths++;
			memcpy(n->died, o.name, sizeof(n->died) - 1);
		}
		buf_fini(&o.data);
	}
}

static void node_run(struct sim *s, unsigned i)
{
	struct node *n = &s->nodes[i];

	if (!n->l || s->now < n->runs_again)
		return;
	/* what arrived while the process did not run comes first, as in io.c */
	for (size_t k = 0; k < s->n_wire;) {
		struct flight *f = &s->wire[k];

		if (f->to != i || f->at > s->now) {
			k++;
			continue;
		}
		struct buf data = f->data;

		*f = s->wire[--s->n_wire];
		liveness_recv(n->l, data.data, data.len, s->now);
		buf_fini(&data);
		outputs_take(s, i);
	}
	if (liveness_deadline(n->l) <= s->now) {
		liveness_tick(n->l, s->now);
		outputs_take(s, i);
	}
	if (n->stalls && s->now - n->runs_again > STALL_GAP && below(s, 2000) == 0)
		n->runs_again = s->now + (usec_t)below(s, STALL_MAX) * USEC_PER_MSEC;
}

/* What reaches nobody is dropped, as a full socket buffer would. */
static void wire_clean(struct sim *s)
{
	for (size_t k = 0; k < s->n_wire;) {
		struct flight *f = &s->wire[k];

		if (s->nodes[f->to].l && s->now - f->at < 10 * USEC_PER_SEC) {
			k++;
			continue;
		}
		buf_fini(&f->data);
		*f = s->wire[--s->n_wire];
	}
}

static void replay_something(struct sim *s)
{
	size_t n = s->n_recorded < RECORDED ? s->n_recorded : RECORDED;

	if (n == 0 || below(s, 50) != 0)
		return;
	const struct flight *f = &s->recorded[below(s, (unsigned)n)];

	wire_add(s, s->now, below(s, 4) ? f->to : below(s, s->n), &f->data);
}

static void run(struct sim *s, usec_t time)
{
	for (usec_t end = s->now + time; s->now < end; s->now += STEP) {
		replay_something(s);
		for (unsigned i = 0; i < s->n; i++)
			node_run(s, i);
		wire_clean(s);
	}
}

/* ---- what happens to nodes ---- */

static void members_tell(struct sim *s, unsigned i)
{
	struct liveness_member m[NODES_MAX];
	size_t n = 0;

	for (unsigned j = 0; j < s->n; j++)
		if (j != i)
			m[n++] = (struct liveness_member){s->nodes[j].name, addr_of(j), true};
	liveness_set_members(s->nodes[i].l, m, n, s->now);
	outputs_take(s, i);
}

static void node_start(struct sim *s, unsigned i)
{
	struct node *n = &s->nodes[i];
	struct random_source random = {rng_fill, s};
	static struct random_source sources[NODES_MAX];
	struct liveness_config cfg = {
		.interval = 100 * USEC_PER_MSEC,
		.timeout = 600 * USEC_PER_MSEC,
		.announces = announces_nothing,
	};
	struct liveness_state self;

	sources[i] = random;
	memcpy(cfg.name, n->name, sizeof(n->name));
	assert(!gsp_keyring_add(&cfg.keyring, "0123456789abcdef", 16));
	n->l = liveness_new(&cfg, &sources[i], s->now);
	memset(&self, 0, sizeof(self));
	self.able = true;
	liveness_set_self(n->l, &self, s->now);
	members_tell(s, i);
}

static void node_crash(struct sim *s, unsigned i)
{
	s->nodes[i].l = liveness_free(s->nodes[i].l);
}

static enum liveness_verdict verdict(struct sim *s, unsigned i, unsigned about)
{
	return liveness_verdict(s->nodes[i].l, s->nodes[about].name);
}

static void all_up(struct sim *s, const char *when)
{
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned j = 0; j < s->n; j++)
			if (i != j && s->nodes[i].l && s->nodes[j].l &&
			    verdict(s, i, j) != LIVENESS_UP)
				fail(s, when, liveness_verdict_text(verdict(s, i, j)));
}

static void nobody_died(struct sim *s, const char *when)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->nodes[i].n_deaths > 0)
			fail(s, when, s->nodes[i].died);
}

static void deaths_forget(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		s->nodes[i].n_deaths = 0;
}

/* All nodes that run elect the same one, and it runs. */
static void one_winner(struct sim *s)
{
	int winner = -1;

	for (unsigned i = 0; i < s->n; i++) {
		unsigned best = i;

		if (!RUNS(&s->nodes[i]))
			continue;
		for (unsigned j = 0; j < s->n; j++)
			if (j != i && verdict(s, i, j) == LIVENESS_UP && j < best)
				best = j;
		if (winner >= 0 && winner != (int)best)
			fail(s, "two winners", s->nodes[i].name);
		winner = (int)best;
	}
	if (winner < 0 || !RUNS(&s->nodes[winner]))
		fail(s, "no winner", "");
}

/* ---- the story ---- */

static void busy_but_alive(struct sim *s)
{
	run(s, SETTLE);
	all_up(s, "not all up after the start");
	for (unsigned i = 0; i < s->n; i++)
		s->nodes[i].stalls = true;
	run(s, 10 * USEC_PER_SEC);
	nobody_died(s, "a stalled machine made a node die");
	for (unsigned i = 0; i < s->n; i++)
		s->nodes[i].stalls = false;
	run(s, 500 * USEC_PER_MSEC);
	one_winner(s);
}

static void only_this_died(struct sim *s, unsigned who)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct node *n = &s->nodes[i];

		if (i == who || !n->l)
			continue;
		if (n->n_deaths == 0)
			fail(s, "a death goes unnoticed", n->name);
		if (n->n_deaths > 1 || strcmp(n->died, s->nodes[who].name) != 0)
			fail(s, "another is called dead", n->died);
	}
	deaths_forget(s);
}

static void crash_and_back(struct sim *s, unsigned who)
{
	node_crash(s, who);
	run(s, DETECT_MAX);
	only_this_died(s, who);
	one_winner(s);
	node_start(s, who);
	run(s, SETTLE);
	all_up(s, "not up after a restart");
}

static void restart_at_once(struct sim *s, unsigned who)
{
	node_crash(s, who);
	run(s, 100 * USEC_PER_MSEC);
	node_start(s, who);
	run(s, SETTLE);
	all_up(s, "not up after a quick restart");
	deaths_forget(s);
}

static void freeze_and_thaw(struct sim *s, unsigned who)
{
	s->nodes[who].runs_again = s->now + 3 * USEC_PER_SEC;
	run(s, DETECT_MAX);
	only_this_died(s, who);
	one_winner(s);
	run(s, 2 * USEC_PER_SEC + SETTLE);
	if (s->nodes[who].n_deaths > 0)
		fail(s, "a node that slept calls another dead", s->nodes[who].died);
	all_up(s, "not up after it slept");
	one_winner(s);
}

static void partition_and_heal(struct sim *s, unsigned who)
{
	s->nodes[who].side = 1;
	run(s, 3 * USEC_PER_SEC);
	for (unsigned i = 0; i < s->n; i++)
		if (i != who && verdict(s, i, who) != LIVENESS_DEAD)
			fail(s, "a node that is cut off is not dead", s->nodes[i].name);
	s->nodes[who].side = 0;
	run(s, SETTLE);
	all_up(s, "not up after the partition");
	one_winner(s);
	deaths_forget(s);
}

static void story(unsigned seed, unsigned loss, uint64_t *packets)
{
	struct sim *s = xcalloc(1, sizeof(*s));

	s->seed = seed;
	s->loss = loss;
	s->rng = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		rng_next(s);
	s->now = USEC_PER_SEC;
	s->n = 2 + below(s, NODES_MAX - 1);
	for (unsigned i = 0; i < s->n; i++)
		snprintf(s->nodes[i].name, sizeof(s->nodes[i].name), "node%u", i);
	for (unsigned i = 0; i < s->n; i++)
		node_start(s, i);
	busy_but_alive(s);
	crash_and_back(s, below(s, s->n));
	restart_at_once(s, below(s, s->n));
	freeze_and_thaw(s, below(s, s->n));
	partition_and_heal(s, below(s, s->n));
	*packets += s->packets;
	for (unsigned i = 0; i < s->n; i++)
		node_crash(s, i);
	wire_clean(s);
	for (size_t i = 0; i < RECORDED; i++)
		buf_fini(&s->recorded[i].data);
	free(s->wire);
	free(s);
}

int main(int argc, char **argv)
{
	unsigned seeds = 12, first = 1, loss = 5;
	uint64_t packets = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		unsigned v = (unsigned)strtoul(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--seeds") == 0)
			seeds = v;
		else if (strcmp(argv[i], "--first") == 0)
			first = v;
		else if (strcmp(argv[i], "--loss") == 0)
			loss = v;
	}
	for (unsigned i = 0; i < seeds; i++)
		story(first + i, loss, &packets);
	printf("%u seeds, %u %% loss: %llu datagrams, all checks hold\n", seeds, loss,
	       (unsigned long long)packets);
	return 0;
}
