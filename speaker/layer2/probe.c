/*
 * Two kinds of tasks wait for their time: probes, one per address, and stations that have answered
 * one and are being asked who they are. What is found out about a station holds for all probes that
 * it answers, so that a router which answers a thousand of them is asked once.
 */
#include "speaker/layer2/probe.h"

#include <assert.h>

#include "metallb/deadlines.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "speaker/layer2/question.h"

#define ASK_ROUNDS    2
#define ASK_INTERVAL  (100 * USEC_PER_MSEC)
#define STATIONS_MAX  16 /* that are known at once */
#define CLAIMANTS_MAX 4  /* of one address */
#define NEAR          3  /* addresses beside the probed one that a router is asked for */
#define WITNESSES     (NEAR + 1)

struct task {
	struct deadline deadline; /* first member */
	bool is_probe;
	unsigned rounds_left, at; /* rounds of questions to come; how far the running one is */
};

enum kind { BEING_ASKED, HOST, ROUTER, NODE };

struct station {
	struct task task; /* first member */
	bool used;
	struct mac mac;
	unsigned ifindex;
	enum kind kind;
	usec_t judged_at;               /* while it is asked: when it will be */
	struct ip witnesses[WITNESSES]; /* that nobody has; the last is far from here */
	bool answered[WITNESSES], is_node;
	unsigned users; /* probes that it answered */
};

struct probe {
	struct task task; /* first member */
	struct ip ip;
	usec_t started;
	unsigned *ifindexes;
	size_t n_ifindexes;
	struct station *claimants[CLAIMANTS_MAX]; /* NULL: too many at once to ask */
	size_t n_claimants;
	struct mac mac; /* of the last one that could not be asked */
	unsigned ifindex;
};

struct probes {
	const struct random_source *random;
	struct deadlines deadlines;
	struct table running; /* struct ip -> struct probe */
	struct station stations[STATIONS_MAX];
	struct ip *nodes;
	size_t n_nodes;
	struct table node_set; /* struct ip -> its place in nodes */
	struct responder_probe *results;
	size_t n_results, cap_results, next_result;
};

struct probes *probes_new(const struct random_source *random)
{
	struct probes *p = xcalloc(1, sizeof(*p));

	p->random = random;
	table_init(&p->running);
	table_init(&p->node_set);
	return p;
}

static void probe_free(struct probes *p, struct probe *probe)
{
	deadlines_set(&p->deadlines, &probe->task.deadline, USEC_NEVER);
	for (size_t i = 0; i < probe->n_claimants; i++)
		if (probe->claimants[i])
			probe->claimants[i]->users--;
	free(probe->ifindexes);
	free(probe);
}

struct probes *probes_free(struct probes *p)
{
	if (!p)
		return NULL;
	table_for_each (&p->running, e)
		probe_free(p, e->value);
	table_fini(&p->running);
	table_fini(&p->node_set);
	deadlines_fini(&p->deadlines);
	free(p->nodes);
	free(p->results);
	free(p);
	return NULL;
}

void probes_start(struct probes *p, const struct ip *ip, const unsigned *ifindexes, size_t n,
		  usec_t now)
{
	struct probe *probe;

	if (table_find_n(&p->running, ip, sizeof(*ip)))
		return;
	probe = xcalloc(1, sizeof(*probe));
	probe->task.is_probe = true;
	probe->task.rounds_left = PROBE_ROUNDS;
	probe->ip = *ip;
	probe->started = now;
	probe->ifindexes = n ? xmemdup(ifindexes, n * sizeof(*ifindexes)) : NULL;
	probe->n_ifindexes = n;
	table_set_n(&p->running, ip, sizeof(*ip), probe);
	deadlines_set(&p->deadlines, &probe->task.deadline, now);
}

void probes_set_nodes(struct probes *p, const struct ip *nodes, size_t n)
{
	p->n_nodes = n < PROBE_NODES_MAX ? n : PROBE_NODES_MAX;
	free(p->nodes);
	p->nodes = p->n_nodes ? xmemdup(nodes, p->n_nodes * sizeof(*nodes)) : NULL;
	table_fini(&p->node_set);
	for (size_t i = 0; i < p->n_nodes; i++)
		table_set_n(&p->node_set, &p->nodes[i], sizeof(*nodes), &p->nodes[i]);
}

/* ---- who answers ---- */

/*
 * Addresses that no station has, or hardly any: some at random beside the probed one (a router may
 * answer for one subnet only), and one of those set aside for documentation (RFC 5737, RFC 3849).
 */
static void witnesses_choose(struct probes *p, const struct ip *ip, struct ip out[WITNESSES])
{
	static const uint8_t far_v4[][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}};
	static const uint8_t far_v6[] = {0x20, 0x01, 0x0d, 0xb8};
	uint8_t shift = (uint8_t)(1 + random_below(p->random, 60)), *far = out[NEAR].b;

	for (size_t i = 0; i < WITNESSES; i++) {
		out[i] = *ip;
		if (ip->family == IP_V6)
			p->random->fill(p->random->user, &out[i].b[8], 8);
		else /* 1 to 254, all different, none the probed one */
			out[i].b[3] = (uint8_t)(1 + (ip->b[3] + shift + 61 * i) % 254);
	}
	if (ip->family == IP_V6) {
		p->random->fill(p->random->user, far, 8);
		memcpy(far, far_v6, sizeof(far_v6));
	} else {
		memcpy(far, far_v4[memcmp(far, far_v4[0], 3) == 0], 3);
	}
}

static struct station *station_find(struct probes *p, const struct mac *mac, unsigned ifindex)
{
	for (size_t i = 0; i < STATIONS_MAX; i++)
		if (p->stations[i].used && p->stations[i].ifindex == ifindex &&
		    mac_eq(&p->stations[i].mac, mac))
			return &p->stations[i];
	return NULL;
}

/* A place for another one: free, or whoever was judged longest ago and matters to nobody. */
static struct station *station_place(struct probes *p)
{
	struct station *best = NULL;

	for (size_t i = 0; i < STATIONS_MAX; i++) {
		struct station *s = &p->stations[i];

		if (!s->used)
			return s;
		if (s->users == 0 && s->kind != BEING_ASKED &&
		    (!best || s->judged_at < best->judged_at))
			best = s;
	}
	return best;
}

/* The station that answered for the address, asked who it is unless that is known. */
static struct station *station_get(struct probes *p, const struct ip *ip, const struct mac *mac,
				   unsigned ifindex, usec_t now)
{
	struct station *s = station_find(p, mac, ifindex);

	if (s &&
	    (s->kind == BEING_ASKED || s->users > 0 || now - s->judged_at <= PROBE_STATION_KNOWN))
		return s;
	if (!s)
		s = station_place(p);
	if (!s)
		return NULL;
	*s = (struct station){
		.task = {.rounds_left = ASK_ROUNDS},
		.used = true,
		.mac = *mac,
		.ifindex = ifindex,
		.kind = BEING_ASKED,
		.judged_at = now + PROBE_JUDGE,
	};
	witnesses_choose(p, ip, s->witnesses);
	deadlines_set(&p->deadlines, &s->task.deadline, now);
	return s;
}

static bool answers_for_all(const struct station *s)
{
	unsigned near = 0;

	for (size_t i = 0; i < NEAR; i++)
		near += s->answered[i];
	/* beside an IPv4 address there may be another one that the station has */
	return s->answered[NEAR] || near >= (s->witnesses[0].family == IP_V6 ? 1 : NEAR);
}

static void station_judge(struct probes *p, struct station *s, usec_t now)
{
	s->kind = s->is_node ? NODE : answers_for_all(s) ? ROUTER : HOST;
	s->judged_at = now;
	deadlines_set(&p->deadlines, &s->task.deadline, USEC_NEVER);
	if (s->kind != HOST)
		return;
	table_for_each (&p->running, e) {
		struct probe *probe = e->value;

		for (size_t i = 0; i < probe->n_claimants; i++) {
			if (probe->claimants[i] != s)
				continue;
			probe->task.rounds_left = 0;
			deadlines_set(&p->deadlines, &probe->task.deadline, now);
		}
	}
}

static void claimant_add(struct probes *p, struct probe *probe, const struct mac *mac,
			 unsigned ifindex, usec_t now)
{
	struct station *s;

	if (probe->n_claimants == CLAIMANTS_MAX)
		return;
	s = station_get(p, &probe->ip, mac, ifindex, now);
	for (size_t i = 0; i < probe->n_claimants; i++)
		if (probe->claimants[i] == s)
			return;
	probe->claimants[probe->n_claimants++] = s;
	if (s) {
		s->users++;
		return;
	}
	probe->mac = *mac;
	probe->ifindex = ifindex;
}

void probes_heard(struct probes *p, const struct ip *ip, const struct mac *mac, unsigned ifindex,
		  usec_t now)
{
	struct probe *probe;

	if (!deadlines_first(&p->deadlines))
		return; /* nothing is being found out */
	probe = table_find_n(&p->running, ip, sizeof(*ip));
	if (probe)
		claimant_add(p, probe, mac, ifindex, now);
	struct station *s = station_find(p, mac, ifindex);

	if (!s || s->kind != BEING_ASKED)
		return;
	s->is_node |= table_find_n(&p->node_set, ip, sizeof(*ip)) != NULL;
	for (size_t i = 0; i < WITNESSES; i++)
		s->answered[i] |= ip_eq(&s->witnesses[i], ip);
}

/* ---- questions ---- */

/* A node is asked from an address, since a probe from :: would disturb it while it takes its own.
 */
static void ask(const struct responder_link *link, const struct ip *ip, bool is_probe,
		struct l2_frame *out)
{
	struct ip nobody = {.family = ip->family};
	bool from_own = !is_probe && ip->family == IP_V6;

	question_fill(link, from_own ? &link->link_local : &nobody, ip, NULL, out);
}

/* ---- time ---- */

static void result_add(struct probes *p, const struct probe *probe, bool taken,
		       const struct mac *mac, unsigned ifindex)
{
	ARRAY_GROW(p->results, p->n_results, p->cap_results);
	p->results[p->n_results++] = (struct responder_probe){
		.ip = probe->ip, .taken = taken, .mac = *mac, .ifindex = ifindex};
}

/* All has been asked: the result, or wait until a station that answered is judged. */
static void probe_conclude(struct probes *p, struct probe *probe, usec_t now)
{
	usec_t wait = 0;
	const struct station *host = NULL;
	bool unknown = false;

	for (size_t i = 0; i < probe->n_claimants; i++) {
		const struct station *s = probe->claimants[i];

		unknown |= !s;
		if (s && s->kind == HOST)
			host = s;
		if (s && s->kind == BEING_ASKED && s->judged_at > wait)
			wait = s->judged_at;
	}
	if (!host && wait > 0) { /* station_judge() may wake it earlier */
		deadlines_set(&p->deadlines, &probe->task.deadline, wait > now ? wait : now + 1);
		return;
	}
	result_add(p, probe, host || unknown, host ? &host->mac : &probe->mac,
		   host ? host->ifindex : probe->ifindex);
	table_del_n(&p->running, &probe->ip, sizeof(probe->ip));
	probe_free(p, probe);
}

/* The next question of a running round; false when the round is over. */
static bool probe_ask(struct probe *probe, const struct responder_link *links, size_t n,
		      struct l2_frame *out)
{
	while (probe->task.at < probe->n_ifindexes) {
		unsigned ifindex = probe->ifindexes[probe->task.at++];
		const struct responder_link *link = question_link(links, n, ifindex, &probe->ip);

		if (!link)
			continue;
		ask(link, &probe->ip, true, out);
		return true;
	}
	return false;
}

static bool station_ask(struct probes *p, struct station *s, const struct responder_link *links,
			size_t n, struct l2_frame *out)
{
	while (s->task.at < WITNESSES + p->n_nodes) {
		unsigned at = s->task.at++;
		const struct ip *ip =
			at < WITNESSES ? &s->witnesses[at] : &p->nodes[at - WITNESSES];
		const struct responder_link *link = question_link(links, n, s->ifindex, ip);

		if (!link)
			continue;
		ask(link, ip, at < WITNESSES, out);
		return true;
	}
	return false;
}

/* A round of questions is over: when does the task go on. */
static usec_t round_over(struct task *t, usec_t now)
{
	const struct probe *probe = (const struct probe *)t;
	const struct station *s = (const struct station *)t;

	t->at = 0;
	t->rounds_left--;
	if (!t->is_probe)
		return t->rounds_left > 0 ? now + ASK_INTERVAL : s->judged_at;
	if (t->rounds_left > 0)
		return probe->started + (PROBE_ROUNDS - t->rounds_left) * PROBE_INTERVAL;
	return probe->started + PROBE_LISTEN;
}

bool probes_output(struct probes *p, const struct responder_link *links, size_t n_links, usec_t now,
		   struct l2_frame *out)
{
	struct deadline *d;

	while ((d = deadlines_first(&p->deadlines)) && d->due <= now) {
		struct task *t = (struct task *)d; /* its first member */

		if (t->rounds_left == 0) {
			if (t->is_probe)
				probe_conclude(p, (struct probe *)t, now);
			else
				station_judge(p, (struct station *)t, now);
			continue;
		}
		if (t->is_probe ? probe_ask((struct probe *)t, links, n_links, out)
				: station_ask(p, (struct station *)t, links, n_links, out))
			return true;
		deadlines_set(&p->deadlines, d, round_over(t, now));
	}
	return false;
}

usec_t probes_deadline(const struct probes *p)
{
	const struct deadline *d = deadlines_first(&p->deadlines);

	return d ? d->due : USEC_NEVER;
}

bool probes_next(struct probes *p, struct responder_probe *out)
{
	if (p->next_result == p->n_results) {
		p->next_result = p->n_results = 0;
		return false;
	}
	*out = p->results[p->next_result++];
	return true;
}
