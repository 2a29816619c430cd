/*
 * Inputs, time, outputs, and what the detector answers.
 */
#include "speaker/liveness/liveness.h"

#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/liveness/private.h"

struct peer *peer_find(const struct liveness *l, const char *name)
{
	return table_find(&l->names, name);
}

struct liveness_output *output_add(struct liveness *l, enum liveness_output_type type)
{
	ARRAY_GROW(l->outputs, l->n_outputs, l->cap_outputs);
	struct liveness_output *o = &l->outputs[l->n_outputs++];

	*o = (struct liveness_output){.type = type};
	return o;
}

void drop(struct liveness *l, const char *why)
{
	output_add(l, LIVENESS_OUT_DROP)->why = why;
}

void changed(struct liveness *l)
{
	output_add(l, LIVENESS_OUT_CHANGED);
}

bool liveness_next_output(struct liveness *l, struct liveness_output *out)
{
	if (l->next_output == l->n_outputs) {
		l->next_output = l->n_outputs = 0;
		return false;
	}
	*out = l->outputs[l->next_output++];
	return true;
}

/* ---- time ---- */

static void pokes_send(struct liveness *l, usec_t now)
{
	if (l->pokes_left == 0 || now < l->poke_due)
		return;
	l->pokes_left--;
	l->poke_due = now + (l->pokes_left > 1 ? 1 : 2) * ASK_INTERVAL;
	for (size_t i = 0; i < l->n_ring; i++)
		peer_poke(l, l->ring[i]);
}

void self_changed(struct liveness *l, usec_t now)
{
	l->generation++;
	l->pokes_left = POKES;
	l->poke_due = now;
	pokes_send(l, now);
}

/* Count the time that this process has not run: it says nothing about the others. */
static void clock_advance(struct liveness *l, usec_t now)
{
	usec_t late = l->planned == USEC_NEVER ? 0 : now - l->planned;

	if (late < PAUSE_MIN)
		return;
	l->missed += late;
	l->planned = now;
	if (late < l->cfg.timeout)
		return;
	output_add(l, LIVENESS_OUT_PAUSED)->silence = late;
	self_changed(l, now); /* the others may think that this node is dead: let them ask */
}

usec_t liveness_deadline(const struct liveness *l)
{
	usec_t due = l->trouble_due;

	table_for_each (&l->names, e) {
		usec_t d = peer_deadline(l, e->value);

		due = d < due ? d : due;
	}
	for (size_t i = 0; i < l->n_questions; i++)
		due = l->questions[i].due < due ? l->questions[i].due : due;
	if (l->pokes_left > 0 && l->poke_due < due)
		due = l->poke_due;
	return due;
}

/* At the end of every input: who is dead now, and when to wake. */
static void conclude(struct liveness *l, usec_t now)
{
	if (downs_update(l))
		self_changed(l, now);
	verdicts_update(l, now);
	usec_t due = liveness_deadline(l);

	l->planned = due > now ? due : now;
}

static bool is_in_trouble(const struct peer *p)
{
	return p->expired || p->verdict == LIVENESS_DEAD || p->verdict == LIVENESS_UNABLE ||
	       (p->state && p->state->n_down > 0);
}

/* Ask those in trouble again, and those that gossip has given up whether they are back. */
static void trouble_check(struct liveness *l, usec_t now)
{
	size_t lost = 0;

	if (now < l->trouble_due)
		return;
	l->trouble_due = now + LOOK_AGAIN;
	table_for_each (&l->names, e) {
		struct peer *p = e->value;

		if (p->usable ? !is_in_trouble(p) : !p->state || lost++ >= LOST_PEERS_ASKED)
			continue;
		l->trouble_due = now + ASK_AGAIN;
		peer_ask(l, p, now);
	}
}

static void questions_tick(struct liveness *l, usec_t now)
{
	for (size_t i = 0; i < l->n_questions;) {
		struct question *q = &l->questions[i];

		if (now < q->due) {
			i++;
		} else if (q->tries == 0) {
			*q = l->questions[--l->n_questions];
		} else {
			q->tries--;
			q->due = now + ASK_INTERVAL;
			question_send(l, q);
			i++;
		}
	}
}

void liveness_tick(struct liveness *l, usec_t now)
{
	clock_advance(l, now);
	trouble_check(l, now);
	questions_tick(l, now);
	pokes_send(l, now);
	table_for_each (&l->names, e)
		peer_tick(l, e->value, now);
	conclude(l, now);
}

/* ---- other inputs ---- */

void liveness_recv(struct liveness *l, const void *data, size_t len, usec_t now)
{
	struct liveness_message m;
	const char *why;

	clock_advance(l, now);
	why = liveness_decode(data, len, &l->cfg.keyring, &m);
	if (!why && strcmp(m.to, l->cfg.name) != 0)
		why = "for another node";
	if (!why && strcmp(m.from, l->cfg.name) == 0)
		why = "our own name";
	struct peer *p = why ? NULL : peer_find(l, m.from);

	if (p)
		peer_recv(l, p, &m, now);
	else
		drop(l, why ? why : "unknown node");
	conclude(l, now);
}

static void peer_free(struct peer *p)
{
	free(p->state);
	free(p);
}

static struct peer *peer_add(struct liveness *l, const struct liveness_member *m, size_t n,
			     usec_t now)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	memcpy(p->name, m->name, strlen(m->name) + 1);
	p->order = ring_order(p->name);
	p->issued = random_token(l);
	p->unusable_since = p->hello_due = now;
	p->nonce = random_token(l);
	p->tries = ASK_TRIES;
	/* not all of a large cluster at once */
	p->ask_due = now + random_below(l->random, (uint32_t)(n * 1000 + 1));
	table_set(&l->names, p->name, p);
	return p;
}

static void member_set(struct liveness *l, const struct liveness_member *m, size_t n, usec_t now)
{
	struct peer *p;

	if (strcmp(m->name, l->cfg.name) == 0 || strlen(m->name) > LIVENESS_NAME_MAX)
		return;
	p = peer_find(l, m->name);
	if (!p && table_count(&l->names) >= LIVENESS_PEERS_MAX)
		return;
	if (!p)
		p = peer_add(l, m, n, now);
	if (p->usable != m->usable) {
		p->usable = m->usable;
		p->unusable_since = now;
		if (!m->usable && p->state)
			peer_ask(l, p, now);
	}
	p->addr = m->addr;
	p->listed = true;
}

void liveness_set_members(struct liveness *l, const struct liveness_member *members, size_t n,
			  usec_t now)
{
	clock_advance(l, now);
	table_for_each (&l->names, e)
		((struct peer *)e->value)->listed = false;
	for (size_t i = 0; i < n; i++)
		member_set(l, &members[i], n, now);
	table_for_each (&l->names, e) {
		struct peer *p = e->value;

		if (p->listed)
			continue;
		if (p->usable)
			p->unusable_since = now;
		p->usable = false;
		if (now - p->unusable_since > FORGET) {
			table_del(&l->names, p->name);
			peer_free(p);
		}
	}
	ring_rebuild(l, now);
	conclude(l, now);
}

void liveness_set_self(struct liveness *l, const struct liveness_state *self, usec_t now)
{
	struct liveness_state next = *self;

	clock_advance(l, now);
	memcpy(next.down, l->self.down, sizeof(next.down));
	next.n_down = l->self.n_down;
	next.able = self->able && !l->leaving;
	if (!liveness_state_eq(&next, &l->self)) {
		l->self = next;
		self_changed(l, now);
	}
	conclude(l, now);
}

void liveness_set_keyring(struct liveness *l, const struct gsp_keyring *ring)
{
	l->cfg.keyring = *ring;
}

bool liveness_ask(struct liveness *l, const char *name, const struct ip *ip, usec_t now)
{
	struct question *q;

	if (!peer_find(l, name) || l->n_questions == QUESTIONS_MAX)
		return false;
	for (size_t i = 0; i < l->n_questions; i++)
		if (strcmp(l->questions[i].name, name) == 0 && ip_eq(&l->questions[i].ip, ip))
			return false;
	clock_advance(l, now);
	q = &l->questions[l->n_questions++];
	*q = (struct question){.ip = *ip, .nonce = random_token(l), .tries = ASK_TRIES, .due = now};
	memcpy(q->name, name, strlen(name) + 1);
	questions_tick(l, now);
	conclude(l, now);
	return true;
}

void liveness_leave(struct liveness *l, usec_t now)
{
	l->leaving = true;
	l->self.able = false;
	table_for_each (&l->names, e) {
		struct peer *p = e->value;

		if (p->session)
			bfd_session_set_admin(&p->bfd, true, session_time(l, now));
	}
	self_changed(l, now);
	liveness_tick(l, now);
}

/* ---- answers ---- */

enum liveness_verdict liveness_verdict(const struct liveness *l, const char *name)
{
	const struct peer *p = peer_find(l, name);

	return p ? p->verdict : LIVENESS_UNKNOWN;
}

const char *liveness_verdict_text(enum liveness_verdict v)
{
	static const char *const names[LIVENESS_VERDICT_COUNT] = {
		[LIVENESS_UNKNOWN] = "unknown", [LIVENESS_UP] = "up",
		[LIVENESS_PROVEN] = "proven",   [LIVENESS_UNABLE] = "unable",
		[LIVENESS_DEAD] = "dead",
	};

	assert(v < LIVENESS_VERDICT_COUNT);
	return names[v];
}

const char *liveness_next(const struct liveness *l, size_t *pos)
{
	struct table_entry *e = table_next(&l->names, pos);

	return e ? e->key : NULL;
}

const char *liveness_node_of_mac(const struct liveness *l, const struct mac *mac)
{
	table_for_each (&l->names, e) {
		const struct peer *p = e->value;

		for (size_t i = 0; p->state && i < p->state->n_macs; i++)
			if (mac_eq(&p->state->macs[i], mac))
				return p->name;
	}
	return NULL;
}

const struct liveness_state *liveness_state_of(const struct liveness *l, const char *name)
{
	const struct peer *p = peer_find(l, name);

	return p ? p->state : NULL;
}

void liveness_count_sessions(const struct liveness *l, size_t *up, size_t *all)
{
	*up = *all = 0;
	for (size_t i = 0; i < l->n_ring; i++) {
		*all += l->ring[i]->near;
		*up += l->ring[i]->session && l->ring[i]->bfd.state == BFD_UP;
	}
}

/* ---- life ---- */

struct liveness *liveness_new(const struct liveness_config *cfg, const struct random_source *random,
			      usec_t now)
{
	struct liveness *l = xcalloc(1, sizeof(*l));

	assert(cfg->interval > 0 && cfg->timeout / cfg->interval >= 3 &&
	       cfg->timeout / cfg->interval <= 50);
	l->cfg = *cfg;
	l->random = random;
	l->session = random_token(l);
	l->trouble_due = now + LOOK_AGAIN;
	l->answers_since = now;
	table_init(&l->names);
	conclude(l, now);
	return l;
}

struct liveness *liveness_free(struct liveness *l)
{
	struct liveness_output o;

	if (!l)
		return NULL;
	while (liveness_next_output(l, &o))
		buf_fini(&o.data);
	table_for_each (&l->names, e)
		peer_free(e->value);
	table_fini(&l->names);
	free(l->ring);
	free(l->outputs);
	free(l);
	return NULL;
}
