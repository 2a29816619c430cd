/*
 * Many membership engines on a fake wire under a fake clock: partitions, loss, crashes, leaves and
 * returns, all from one seed. Checked: everybody learns of everybody; no dead member is kept and no
 * live one is lost for longer than the protocol's bound; whoever leaves is gone at once.
 *
 * gossip_sim [--nodes N] [--seeds N] [--first SEED] [--loss PERCENT]
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim.h"

struct rng {
	uint64_t s;
};

static uint64_t rng_next(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1du;
}

static void rng_fill(void *user, void *buf, size_t n)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(rng_next(user) >> 32);
}

enum what { PACKET, REQUEST, ANSWER };

/* Something on its way: a datagram, a request over TCP, its answer. */
struct flight {
	usec_t at;
	uint64_t order;
	enum what what;
	unsigned from, to;
	uint32_t id;
	struct buf data;
};

struct node {
	struct swim *swim;
	bool up;
	unsigned side; /* of a partition */
};

struct sim {
	struct rng rng;
	struct random_source random;
	struct node *nodes;
	unsigned n, loss;
	struct flight *heap;
	size_t n_heap, cap_heap;
	uint64_t order, packets, events;
	usec_t now, slowest; /* partition that was noticed */
	/* a tournament of the nodes' deadlines: winner[1] is due first; leaves start at `leaves` */
	unsigned *winner, leaves;
	usec_t *due;
};

static bool earlier(const struct flight *a, const struct flight *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_swap(struct sim *s, size_t i, size_t j)
{
	struct flight f = s->heap[i];

	s->heap[i] = s->heap[j];
	s->heap[j] = f;
}

static void heap_push(struct sim *s, struct flight f)
{
	f.order = s->order++;
	ARRAY_GROW(s->heap, s->n_heap, s->cap_heap);
	size_t i = s->n_heap++;

	s->heap[i] = f;
	for (; i > 0 && earlier(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_swap(s, i, (i - 1) / 2);
}

static struct flight heap_pop(struct sim *s)
{
	struct flight top = s->heap[0];

	s->heap[0] = s->heap[--s->n_heap];
	for (size_t i = 0;;) {
		size_t best = i;

		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < s->n_heap; c++)
			if (earlier(&s->heap[c], &s->heap[best]))
				best = c;
		if (best == i)
			return top;
		heap_swap(s, i, best);
		i = best;
	}
}

static struct ip addr_of(unsigned i)
{
	uint8_t b[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};

	return ip_from_v4(b);
}

static unsigned index_of(const struct ip *ip)
{
	return (unsigned)ip->b[2] << 8 | ip->b[3];
}

static bool reaches(struct sim *s, unsigned a, unsigned b)
{
	return s->nodes[a].up && s->nodes[b].up && s->nodes[a].side == s->nodes[b].side;
}

static usec_t latency(struct sim *s)
{
	return 200 + (usec_t)(rng_next(&s->rng) % 3000);
}

/* Node i's deadline may have changed: play its matches again. */
static void replay_deadline(struct sim *s, unsigned i)
{
	s->due[i] = s->nodes[i].up ? swim_deadline(s->nodes[i].swim) : USEC_NEVER;
	for (unsigned m = (s->leaves + i) / 2; m > 0; m /= 2) {
		unsigned a = s->winner[2 * m], b = s->winner[2 * m + 1];

		s->winner[m] = s->due[b] < s->due[a] ? b : a;
	}
}

static void make_tournament(struct sim *s)
{
	for (s->leaves = 1; s->leaves < s->n;)
		s->leaves *= 2;
	s->winner = xcalloc(2 * (size_t)s->leaves, sizeof(*s->winner));
	s->due = xcalloc(s->leaves, sizeof(*s->due));
	for (unsigned i = 0; i < s->leaves; i++) {
		s->winner[s->leaves + i] = i;
		s->due[i] = USEC_NEVER;
	}
}

static void take_outputs(struct sim *s, unsigned i)
{
	struct swim_output o;

	while (swim_next_output(s->nodes[i].swim, &o)) {
		struct flight f = {.from = i, .data = o.data, .at = s->now + latency(s)};

		if (o.type != SWIM_OUT_PACKET && o.type != SWIM_OUT_DIAL) {
			s->events++;
			buf_fini(&o.data);
			continue;
		}
		f.to = index_of(&o.addr);
		f.id = o.id;
		f.what = o.type == SWIM_OUT_PACKET ? PACKET : REQUEST;
		s->packets++;
		if (f.what == PACKET && rng_next(&s->rng) % 100 < s->loss)
			buf_fini(&f.data);
		else
			heap_push(s, f);
	}
	replay_deadline(s, i);
}

static void deliver_request(struct sim *s, struct flight *f)
{
	struct flight answer = {.from = f->to, .to = f->from, .id = f->id, .what = ANSWER};

	if (reaches(s, f->from, f->to)) {
		swim_stream_accepted(s->nodes[f->to].swim, s->now, f->data.data, f->data.len, 0,
				     &answer.data);
		take_outputs(s, f->to);
	}
	answer.at = s->now + latency(s);
	heap_push(s, answer);
}

static void deliver(struct sim *s, struct flight *f)
{
	struct ip from = addr_of(f->from);

	switch (f->what) {
	case PACKET:
		if (reaches(s, f->from, f->to))
			swim_recv_packet(s->nodes[f->to].swim, s->now, &from, 7946, f->data.data,
					 f->data.len);
		break;
	case REQUEST:
		deliver_request(s, f);
		break;
	case ANSWER:
		if (s->nodes[f->to].up)
			swim_stream_answered(s->nodes[f->to].swim, s->now, f->id, f->data.data,
					     reaches(s, f->from, f->to) ? f->data.len : 0, true);
		break;
	}
	if (s->nodes[f->to].swim)
		take_outputs(s, f->to);
	buf_fini(&f->data);
}

/* Run until `end`, always jumping to whatever comes next. */
static void run(struct sim *s, usec_t end)
{
	while (s->now < end) {
		unsigned who = s->winner[1];
		usec_t due = s->due[who] < end ? s->due[who] : end;

		if (s->n_heap && s->heap[0].at <= due) {
			struct flight f = heap_pop(s);

			s->now = f.at;
			deliver(s, &f);
			continue;
		}
		if (due > s->now)
			s->now = due;
		if (s->due[who] <= s->now && s->now < end) {
			swim_tick(s->nodes[who].swim, s->now);
			take_outputs(s, who);
		}
	}
}

static void start(struct sim *s, unsigned i)
{
	struct swim_config cfg = swim_config_lan();
	struct ip seed = addr_of(i ? 0 : 1 % s->n);

	snprintf(cfg.name, sizeof(cfg.name), "node-%u", i);
	cfg.addr = addr_of(i);
	cfg.compression = false; /* the same decisions, a tenth of the time */
	s->nodes[i].swim = swim_new(&cfg, &s->random, s->now);
	s->nodes[i].up = true;
	swim_join(s->nodes[i].swim, s->now, &seed, 7946);
	take_outputs(s, i);
}

static void stop(struct sim *s, unsigned i)
{
	s->nodes[i].up = false;
	s->nodes[i].swim = swim_free(s->nodes[i].swim);
	replay_deadline(s, i);
}

/*
 * Everybody that is up and on a side knows just those as usable. Returns how many views are wrong;
 * the first is printed unless `when` is NULL.
 */
static unsigned wrong_views(struct sim *s, const char *when)
{
	unsigned wrong = 0;
	char name[32];

	for (unsigned i = 0; i < s->n; i++) {
		if (!s->nodes[i].up)
			continue;
		for (unsigned j = 0; j < s->n; j++) {
			snprintf(name, sizeof(name), "node-%u", j);
			bool want = reaches(s, i, j);
			bool is = swim_member_is_usable(s->nodes[i].swim, name);

			if (want == is)
				continue;
			if (wrong++ == 0 && when)
				printf("%s: node-%u %s node-%u\n", when, i,
				       is ? "still keeps" : "has lost", j);
		}
	}
	return wrong;
}

/* The bound for a crash: a round of probing, then the longest suspicion, then spreading. */
static usec_t bound(const struct sim *s)
{
	usec_t min = swim_suspicion_min(4, s->n, USEC_PER_SEC);

	return 10 * USEC_PER_SEC + 6 * min + 10 * USEC_PER_SEC;
}

/*
 * The bound for losing half of the members at once. Probes that fail make a node doubt itself and
 * probe more slowly, once in 8 s at worst. With each of n/2 nodes picking one of n members so
 * often, all have been picked after 16 ln(n 10^6) seconds but for one time in a million; and
 * certainly when a node has been through its whole list.
 */
static usec_t partition_bound(const struct sim *s)
{
	double list = 8. * s->n, chance = 16. * log(s->n * 1e6);

	return bound(s) + (usec_t)(fmin(list, chance) * USEC_PER_SEC);
}

/*
 * Gossip alone leaves somebody out now and then: each item is told to about 4 log10(n) members at
 * random by each. Who missed it hears it in the next exchange of all that is known.
 */
static usec_t repair(const struct sim *s)
{
	return 30 * USEC_PER_SEC * (usec_t)swim_push_pull_scale(s->n) + 10 * USEC_PER_SEC;
}

/* Run until all views are right, at most so long. Returns how many are wrong then. */
static unsigned settle(struct sim *s, usec_t most, const char *when)
{
	usec_t start = s->now;

	do {
		run(s, s->now + 10 * USEC_PER_SEC);
	} while (s->now - start < most && wrong_views(s, NULL) > 0);
	return wrong_views(s, when);
}

static unsigned scenario(struct sim *s)
{
	unsigned wrong = 0, k = s->n / 10 + 1;
	usec_t parted;

	for (unsigned i = 0; i < s->n; i++) {
		start(s, i);
		run(s, s->now + 20000);
	}
	wrong += settle(s, 90 * USEC_PER_SEC + repair(s), "after start");

	for (unsigned i = 0; i < k; i++) /* crashes */
		if (s->nodes[1 + i * 7 % (s->n - 1)].up)
			stop(s, 1 + i * 7 % (s->n - 1));
	wrong += settle(s, bound(s) + repair(s), "after crashes");

	for (unsigned i = 0; i < s->n; i++) /* the crashed come back, at the same address */
		if (!s->nodes[i].up)
			start(s, i);
	wrong += settle(s, 60 * USEC_PER_SEC + repair(s), "after returns");

	unsigned leaver = 2 % s->n;
	swim_leave(s->nodes[leaver].swim, s->now);
	take_outputs(s, leaver);
	run(s, s->now + 5 * USEC_PER_SEC);
	stop(s, leaver);
	wrong += settle(s, 30 * USEC_PER_SEC + repair(s), "after a leave");

	for (unsigned i = 0; i < s->n; i++) /* a partition, healed by the periodic join */
		s->nodes[i].side = i % 2;
	parted = s->now;
	wrong += settle(s, partition_bound(s) + repair(s), "in a partition");
	s->slowest = s->now - parted;
	for (unsigned i = 0; i < s->n; i++)
		s->nodes[i].side = 0;
	for (int round = 0; round < 3 && wrong_views(s, NULL) > 0; round++) {
		for (unsigned i = 0; i < s->n; i += 3) {
			struct ip other = addr_of((i + 1) % s->n);

			if (s->nodes[i].up) {
				swim_join(s->nodes[i].swim, s->now, &other, 7946);
				take_outputs(s, i);
			}
		}
		settle(s, 60 * USEC_PER_SEC, NULL);
	}
	wrong += wrong_views(s, "after healing");
	return wrong;
}

static unsigned run_seed(unsigned nodes, uint64_t seed, unsigned loss, usec_t *slowest)
{
	struct sim s = {.rng = {seed * 0x9e3779b97f4a7c15u + 1}, .n = nodes, .loss = loss};

	s.random = (struct random_source){rng_fill, &s.rng};
	s.nodes = xcalloc(nodes, sizeof(*s.nodes));
	s.now = USEC_PER_SEC;
	make_tournament(&s);
	unsigned wrong = scenario(&s);

	if (s.slowest > *slowest)
		*slowest = s.slowest;
	if (wrong)
		printf("seed %llu: %u wrong views\n", (unsigned long long)seed, wrong);
	for (unsigned i = 0; i < nodes; i++)
		if (s.nodes[i].swim)
			stop(&s, i);
	while (s.n_heap)
		buf_fini(&s.heap[--s.n_heap].data);
	free(s.heap);
	free(s.nodes);
	free(s.winner);
	free(s.due);
	return wrong;
}

int main(int argc, char **argv)
{
	bool soak = getenv("METALLB_SOAK");
	unsigned nodes = soak ? 100 : 24, seeds = soak ? 100 : 4, first = 1, loss = 1, bad = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		unsigned v = (unsigned)strtoul(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--nodes") == 0)
			nodes = v;
		else if (strcmp(argv[i], "--seeds") == 0)
			seeds = v;
		else if (strcmp(argv[i], "--first") == 0)
			first = v;
		else if (strcmp(argv[i], "--loss") == 0)
			loss = v;
	}
	assert(nodes > 2 && nodes < 65536);
	usec_t slowest = 0;

	for (unsigned i = 0; i < seeds; i++)
		bad += run_seed(nodes, first + i, loss, &slowest) != 0;
	printf("%u nodes, %u %% loss: %u seeds good, %u bad; a partition was seen by all within "
	       "%lld s\n",
	       nodes, loss, seeds - bad, bad, (long long)(slowest / USEC_PER_SEC));
	return bad != 0;
}
