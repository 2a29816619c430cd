/*
 * One peer: the handshake, heartbeats, questions and answers.
 *
 * A greeting carries a token that the other side has to send from then on. Whoever gets the token
 * back that it has issued last knows that this is no recording; the session with that process of
 * the peer begins with this token, and another is made for the process after it. In the session
 * each heartbeat carries a higher counter.
 */
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/liveness/private.h"

uint64_t random_token(struct liveness *l)
{
	uint64_t token = 0;

	while (token == 0)
		l->random->fill(l->random->user, &token, sizeof(token));
	return token;
}

/* ---- sending ---- */

static void message_send(struct liveness *l, const char *to, const struct ip *addr,
			 struct liveness_message *m)
{
	struct buf data = {0};

	m->session = l->session;
	m->counter = ++l->counter;
	memcpy(m->from, l->cfg.name, sizeof(m->from));
	memcpy(m->to, to, strlen(to) + 1);
	if (!liveness_encode(m, &l->cfg.keyring, l->random, &data)) {
		buf_fini(&data);
		drop(l, "cannot seal");
		return;
	}
	struct liveness_output *o = output_add(l, LIVENESS_OUT_PACKET);

	o->addr = *addr;
	o->data = data;
}

static void peer_send(struct liveness *l, const struct peer *p, struct liveness_message *m)
{
	message_send(l, p->name, &p->addr, m);
}

static void hello_send(struct liveness *l, struct peer *p, uint64_t token, uint64_t issue)
{
	struct liveness_message m = {.type = LIVENESS_HELLO, .token = token, .issue = issue};

	peer_send(l, p, &m);
}

void peer_poke(struct liveness *l, struct peer *p)
{
	struct liveness_message m = {.type = LIVENESS_POKE};

	peer_send(l, p, &m);
}

static void beats_send(struct liveness *l, struct peer *p, usec_t now)
{
	struct liveness_message m = {.type = LIVENESS_BEAT, .token = p->token_out};

	m.generation = l->generation;
	while (bfd_session_output(&p->bfd, session_time(l, now), &m.bfd))
		peer_send(l, p, &m);
}

/* ---- the session ---- */

static void bfd_begin(struct liveness *l, struct peer *p, usec_t now)
{
	uint8_t mult = (uint8_t)(l->cfg.timeout / l->cfg.interval);
	uint32_t interval = (uint32_t)l->cfg.interval;
	struct bfd_params params = {
		.min_tx = interval, .min_rx = interval, .mult = mult, .slow_tx = interval};
	uint32_t discr = (uint32_t)random_token(l) | 1;

	bfd_session_init(&p->bfd, &params, discr, session_time(l, now));
	if (l->leaving)
		bfd_session_set_admin(&p->bfd, true, session_time(l, now));
}

static void session_begin(struct liveness *l, struct peer *p, const struct liveness_message *m,
			  usec_t now)
{
	p->session = m->session;
	p->token_in = p->issued;
	p->issued = random_token(l);
	p->token_out = m->issue;
	p->newest = 0;
	p->expired = false;
	p->last_heard = p->answered = now;
	if (p->state && p->spoke != m->session)
		p->state->able = false; /* another process: what it can do is asked now */
	bfd_begin(l, p, now);
	changed(l);
}

void peer_session_end(struct peer *p)
{
	p->session = p->token_in = p->token_out = 0;
	p->expired = false;
}

/* Of the session's process; the token for the next one may have gone to this one as well. */
static bool token_is_valid(const struct peer *p, const struct liveness_message *m)
{
	return p->session && m->session == p->session &&
	       (m->token == p->token_in || m->token == p->issued);
}

/* Heartbeats come as they should. */
static bool is_well(const struct liveness *l, const struct peer *p, usec_t now)
{
	return p->session && p->bfd.state == BFD_UP && now - p->last_heard < 2 * l->cfg.interval;
}

/*
 * Say which token the process of that session is to send: not too often, and not at all while all
 * is well with this very process, or recorded datagrams could disturb it.
 */
static void hello_reply(struct liveness *l, struct peer *p, uint64_t session, usec_t now)
{
	bool same = session == p->session;

	if ((same && is_well(l, p, now)) || (p->replied && now - p->replied < HELLO_MIN))
		return;
	p->replied = now;
	hello_send(l, p, p->offered, same ? p->token_in : p->issued);
}

static void hello_recv(struct liveness *l, struct peer *p, const struct liveness_message *m,
		       usec_t now)
{
	bool same = m->session == p->session;

	if (!p->near) {
		drop(l, "not a neighbour");
		return;
	}
	if (m->session == 0 || m->issue == 0) {
		drop(l, "malformed");
		return;
	}
	p->offered = m->issue;
	if (!same && m->token == p->issued) {
		session_begin(l, p, m, now);
		hello_send(l, p, p->token_out, p->token_in);
		peer_ask(l, p, now);
		return;
	}
	if (token_is_valid(p, m) && !is_well(l, p, now))
		p->token_out = m->issue;
	hello_reply(l, p, m->session, now);
}

static void beat_recv(struct liveness *l, struct peer *p, const struct liveness_message *m,
		      usec_t now)
{
	enum bfd_state was = p->bfd.state;
	const char *why;

	if (!token_is_valid(p, m)) {
		drop(l, "another session");
		if (p->near)
			hello_reply(l, p, m->session, now);
		return;
	}
	if (m->counter <= p->newest) { /* or overtaken by a later one: nothing is lost with it */
		drop(l, "replayed");
		return;
	}
	p->newest = m->counter;
	why = bfd_session_recv(&p->bfd, &m->bfd, session_time(l, now), l->random);
	if (why) {
		drop(l, why);
		return;
	}
	p->last_heard = p->answered = now;
	if (was != BFD_UP && p->bfd.state == BFD_UP) {
		p->expired = false;
		changed(l);
	}
	if (!p->state || p->generation != m->generation)
		peer_ask(l, p, now);
}

/* ---- questions ---- */

void peer_ask(struct liveness *l, struct peer *p, usec_t now)
{
	usec_t earliest = p->ask_last ? p->ask_last + ASK_MIN : now;

	if (p->ask_due != USEC_NEVER && p->tries > 0)
		return;
	p->nonce = random_token(l);
	p->tries = ASK_TRIES;
	p->ask_due = earliest > now ? earliest : now;
}

static void ask_send(struct liveness *l, struct peer *p, usec_t now)
{
	struct liveness_message m = {.type = LIVENESS_ASK, .nonce = p->nonce};

	if (p->tries == 0) {
		p->nonce = 0;
		p->ask_due = USEC_NEVER;
		return;
	}
	p->tries--;
	p->ask_last = now;
	p->ask_due = now + ASK_INTERVAL;
	peer_send(l, p, &m);
}

void question_send(struct liveness *l, struct question *q)
{
	struct liveness_message m = {.type = LIVENESS_ASK, .nonce = q->nonce, .ip = q->ip};
	const struct peer *p = peer_find(l, q->name);

	if (p)
		peer_send(l, p, &m);
}

static void ask_recv(struct liveness *l, struct peer *p, const struct liveness_message *m,
		     usec_t now)
{
	struct liveness_message answer = {.type = LIVENESS_ANSWER, .nonce = m->nonce, .ip = m->ip};

	/* The other knows of this node; if not the other way round, learn. */
	if (!p->state || !p->usable || p->expired || p->verdict == LIVENESS_DEAD)
		peer_ask(l, p, now);
	if (now - l->answers_since >= USEC_PER_SEC) {
		l->answers_since = now;
		l->n_answers = 0;
	}
	if (l->n_answers >= ANSWERS_MAX) {
		drop(l, "too many questions");
		return;
	}
	l->n_answers++;
	answer.generation = l->generation;
	answer.state = l->self;
	answer.announces =
		m->ip.family != IP_NONE && !l->leaving && l->cfg.announces(l->cfg.user, &m->ip);
	peer_send(l, p, &answer);
}

/* What the peer says is fresh: it contains what only just went to it. */
static void state_take(struct liveness *l, struct peer *p, const struct liveness_message *m,
		       usec_t now)
{
	bool news = !p->state || p->expired || !p->usable;

	if (!p->state)
		p->state = xcalloc(1, sizeof(*p->state));
	if (!liveness_state_eq(p->state, &m->state)) {
		*p->state = m->state;
		news = true;
	}
	p->generation = m->generation;
	p->spoke = m->session;
	p->answered = now;
	p->expired = false;
	if (!p->usable && m->state.able) {
		struct liveness_output *o = output_add(l, LIVENESS_OUT_ALIVE);

		memcpy(o->name, p->name, sizeof(o->name));
		o->addr = p->addr;
	}
	if (news)
		changed(l);
}

static bool question_answered(struct liveness *l, const struct peer *p,
			      const struct liveness_message *m)
{
	for (size_t i = 0; i < l->n_questions; i++) {
		const struct question *q = &l->questions[i];

		if (q->nonce != m->nonce || strcmp(q->name, p->name) != 0 || !ip_eq(&q->ip, &m->ip))
			continue;
		l->questions[i] = l->questions[--l->n_questions];
		return true;
	}
	return false;
}

static void answer_recv(struct liveness *l, struct peer *p, const struct liveness_message *m,
			usec_t now)
{
	if (m->ip.family != IP_NONE) {
		if (!question_answered(l, p, m)) {
			drop(l, "unasked answer");
			return;
		}
		state_take(l, p, m, now);
		struct liveness_output *o = output_add(l, LIVENESS_OUT_ANSWER);

		memcpy(o->name, p->name, sizeof(o->name));
		o->ip = m->ip;
		o->announces = m->announces;
		return;
	}
	if (!p->nonce || m->nonce != p->nonce) {
		drop(l, "unasked answer");
		return;
	}
	p->nonce = 0;
	p->tries = 0;
	p->ask_due = USEC_NEVER;
	state_take(l, p, m, now);
}

/* ---- in and out ---- */

void peer_recv(struct liveness *l, struct peer *p, const struct liveness_message *m, usec_t now)
{
	switch (m->type) {
	case LIVENESS_HELLO:
		hello_recv(l, p, m, now);
		break;
	case LIVENESS_BEAT:
		beat_recv(l, p, m, now);
		break;
	case LIVENESS_POKE:
		peer_ask(l, p, now);
		break;
	case LIVENESS_ASK:
		ask_recv(l, p, m, now);
		break;
	case LIVENESS_ANSWER:
		answer_recv(l, p, m, now);
		break;
	}
	if (p->state && p->spoke != m->session)
		peer_ask(l, p, now);
	if (now >= p->ask_due)
		ask_send(l, p, now);
	if (p->session)
		beats_send(l, p, now);
}

void peer_tick(struct liveness *l, struct peer *p, usec_t now)
{
	if (now >= p->ask_due)
		ask_send(l, p, now);
	if (p->near && !p->session && now >= p->hello_due) {
		p->hello_due = now + HELLO_INTERVAL;
		hello_send(l, p, p->offered, p->issued);
	}
	if (!p->session)
		return;
	bool was_up = p->bfd.state == BFD_UP;

	bfd_session_tick(&p->bfd, session_time(l, now), l->random);
	if (was_up && p->bfd.state != BFD_UP) {
		p->expired = true;
		changed(l);
	}
	beats_send(l, p, now);
}

usec_t peer_deadline(const struct liveness *l, const struct peer *p)
{
	usec_t due = p->ask_due;

	if (p->near && !p->session && p->hello_due < due)
		due = p->hello_due;
	if (p->session) {
		usec_t bfd = bfd_session_deadline(&p->bfd);

		if (bfd != USEC_NEVER && bfd + l->missed < due)
			due = bfd + l->missed;
	}
	return due;
}
