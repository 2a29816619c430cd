/*
 * The rules of membership: what alive, suspect and dead mean for what is known of a member, and
 * when a suspicion turns into a verdict. Numbers and orders of the checks are those of the
 * memberlist fact sheet, since every node must come to the same conclusion.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

struct member *swim_find(const struct swim *s, struct gsp_bytes name)
{
	return name.n ? table_find_n(&s->by_name, name.p, name.n) : NULL;
}

void swim_describe(const struct member *m, struct gsp_msg *out)
{
	*out = (struct gsp_msg){
		.node = swim_text(m->name),
		.name = swim_text(m->name),
		.addr = {m->addr, m->addr_len},
		.port = m->port,
		.meta = {m->meta, m->meta_len},
		.vsn = {m->vsn, GSP_VSN_LEN},
		.incarnation = m->incarnation,
		.state = (int64_t)m->state,
	};
}

/* Either may be NULL when empty. */
static bool same_bytes(const void *a, size_t n, const void *b, size_t m)
{
	return n == m && (n == 0 || memcmp(a, b, n) == 0);
}

static char *text_copy(struct gsp_bytes b)
{
	return b.n ? xstrndup((const char *)b.p, b.n) : xstrdup("");
}

/* ---- suspicion ---- */

usec_t swim_suspicion_min(unsigned mult, size_t n, usec_t interval)
{
	double scale = fmax(1.0, log10(fmax(1.0, (double)n)));

	return (usec_t)mult * (usec_t)(scale * 1000) * interval / 1000;
}

usec_t swim_suspicion_timeout(usec_t min, usec_t max, unsigned confirmations, unsigned k)
{
	if (k == 0)
		return min;
	double part = log((double)confirmations + 1) / log((double)k + 1);
	double ms = floor(((double)max - part * (double)(max - min)) / 1000);
	usec_t t = (usec_t)ms * 1000;

	return t < min ? min : t;
}

static void suspicion_stop(struct member *m)
{
	list_del(&m->suspects);
	for (size_t i = 0; i < m->n_accusers; i++)
		free(m->accusers[i]);
	m->n_accusers = 0;
	m->n_confirmed = 0;
}

static bool is_watched(const struct member *m)
{
	return !list_is_empty(&m->suspects);
}

static void suspects_due_by(struct swim *s, const struct member *m)
{
	if (m->suspect_deadline < s->suspects_due)
		s->suspects_due = m->suspect_deadline;
}

static void suspicion_start(struct swim *s, usec_t now, struct member *m, struct gsp_bytes from)
{
	unsigned k = s->cfg.suspicion_mult > 2 ? s->cfg.suspicion_mult - 2 : 0;

	if (k > SUSPICION_CONFIRM_MAX)
		k = SUSPICION_CONFIRM_MAX;
	if (s->n_members < 2 || s->n_members - 2 < k)
		k = 0; /* not enough others who could confirm */
	m->suspect_k = k;
	m->suspect_since = now;
	m->suspect_min =
		swim_suspicion_min(s->cfg.suspicion_mult, s->n_members, s->cfg.probe_interval);
	m->suspect_max = m->suspect_min * (usec_t)s->cfg.suspicion_max_mult;
	m->suspect_deadline = now + (k ? m->suspect_max : m->suspect_min);
	m->accusers[m->n_accusers++] = text_copy(from);
	list_add_tail(&s->suspects, &m->suspects);
	suspects_due_by(s, m);
}

/* Another one accuses; true when that is new. */
static bool suspicion_confirm(struct swim *s, struct member *m, struct gsp_bytes from)
{
	if (m->n_confirmed >= m->suspect_k)
		return false;
	for (size_t i = 0; i < m->n_accusers; i++)
		if (same_bytes(m->accusers[i], strlen(m->accusers[i]), from.p, from.n))
			return false;
	m->accusers[m->n_accusers++] = text_copy(from);
	m->n_confirmed++;
	m->suspect_deadline =
		m->suspect_since + swim_suspicion_timeout(m->suspect_min, m->suspect_max,
							  m->n_confirmed, m->suspect_k);
	suspects_due_by(s, m);
	return true;
}

void swim_check_suspects(struct swim *s, usec_t now)
{
	struct list *pos, *tmp;

	if (now < s->suspects_due)
		return;
	s->suspects_due = USEC_NEVER;
	list_for_each_safe (pos, tmp, &s->suspects) {
		struct member *m = container_of(pos, struct member, suspects);

		if (m->suspect_deadline <= now)
			swim_rule_dead(s, now, swim_text(m->name), m->incarnation,
				       swim_text(s->cfg.name));
		else
			suspects_due_by(s, m);
	}
}

/* ---- the list ---- */

/* A new member is unknown until its message is taken: dead, incarnation 0. */
static struct member *member_new(struct swim *s, usec_t now, const struct gsp_msg *m)
{
	struct member *n;

	if (s->n_members >= SWIM_MEMBERS_MAX) {
		swim_drop(s, "too many members");
		return NULL;
	}
	n = xcalloc(1, sizeof(*n) + m->node.n + 1);
	memcpy(n->name, m->node.p, m->node.n);
	memcpy(n->addr, m->addr.p, m->addr.n);
	n->addr_len = (uint8_t)m->addr.n;
	n->port = m->port ? m->port : s->cfg.port;
	n->state = GSP_ST_DEAD;
	n->changed = now;
	list_init(&n->suspects);
	memcpy(n->vsn, m->vsn.p, GSP_VSN_LEN);
	table_set(&s->by_name, n->name, n);
	ARRAY_GROW(s->members, s->n_members, s->cap_members);
	s->members[s->n_members++] = n;

	size_t at = s->n_members > 1 ? random_below(s->random, (uint32_t)(s->n_members - 1)) : 0;
	s->members[s->n_members - 1] = s->members[at];
	s->members[at] = n;
	return n;
}

void swim_member_free(struct swim *s, struct member *m)
{
	suspicion_stop(m);
	table_del(&s->by_name, m->name);
	free(m->meta);
	free(m);
}

void swim_reap(struct swim *s, usec_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_members; i++) {
		struct member *m = s->members[i];
		bool gone = m->state == GSP_ST_DEAD || m->state == GSP_ST_LEFT;

		if (gone && m != s->self && now - m->changed > s->cfg.gossip_to_the_dead)
			swim_member_free(s, m);
		else
			s->members[n++] = m;
	}
	s->n_members = n;
	for (size_t i = n; i > 1; i--) {
		size_t j = random_below(s->random, (uint32_t)i);
		struct member *m = s->members[i - 1];

		s->members[i - 1] = s->members[j];
		s->members[j] = m;
	}
}

/* ---- alive ---- */

void swim_announce_self(struct swim *s, usec_t now)
{
	uint8_t vsn[GSP_VSN_LEN] = {1, 5, 2};
	struct gsp_msg m = {
		.node = swim_text(s->cfg.name),
		.addr = {s->cfg.addr.b, s->cfg.addr.family == IP_V4 ? 4 : 16},
		.port = s->cfg.port,
		.incarnation = ++s->incarnation,
		.vsn = {vsn, sizeof(vsn)},
	};

	memcpy(vsn + 3, s->cfg.delegate_vsn, 3);
	swim_rule_alive(s, now, &m, true);
}

static void refute(struct swim *s, uint32_t accused)
{
	struct gsp_msg m;

	s->incarnation++;
	if (accused >= s->incarnation)
		s->incarnation = accused + 1;
	s->self->incarnation = s->incarnation;
	if (s->awareness + 1 < s->cfg.awareness_max)
		s->awareness++;
	swim_describe(s->self, &m);
	swim_broadcast(s, s->self->name, GSP_ALIVE, &m);
}

static const char *alive_is_bad(const struct gsp_msg *m)
{
	struct ip ip;

	if (m->node.n == 0 || m->node.n > SWIM_NAME_MAX || memchr(m->node.p, 0, m->node.n))
		return "alive with a bad name";
	if (!swim_addr(m->addr.p, m->addr.n, &ip))
		return "alive with a bad address";
	if (m->meta.n > SWIM_META_MAX)
		return "alive with too much metadata";
	if (m->vsn.n < GSP_VSN_LEN)
		return "alive without versions";
	if (m->vsn.p[0] == 0 || m->vsn.p[1] == 0 || m->vsn.p[0] > m->vsn.p[1])
		return "alive with impossible versions";
	return NULL;
}

/* The record may move to a new address: it left, or it has been dead for long enough. */
static bool may_move(const struct swim *s, usec_t now, const struct member *n)
{
	if (n->state == GSP_ST_LEFT)
		return true;
	return n->state == GSP_ST_DEAD && s->cfg.dead_node_reclaim > 0 &&
	       now - n->changed > s->cfg.dead_node_reclaim;
}

/* Take over what the message says and tell the others. */
static void alive_accept(struct swim *s, usec_t now, struct member *n, const struct gsp_msg *m)
{
	enum gsp_state before = n->state;
	bool meta_changed = !same_bytes(n->meta, n->meta_len, m->meta.p, m->meta.n);

	suspicion_stop(n);
	memcpy(n->addr, m->addr.p, m->addr.n);
	n->addr_len = (uint8_t)m->addr.n;
	n->port = m->port ? m->port : s->cfg.port;
	free(n->meta);
	n->meta = m->meta.p ? xmalloc(m->meta.n + 1) : NULL;
	if (m->meta.n)
		memcpy(n->meta, m->meta.p, m->meta.n);
	n->meta_len = (uint16_t)m->meta.n;
	memcpy(n->vsn, m->vsn.p, GSP_VSN_LEN);
	n->incarnation = m->incarnation;
	if (before != GSP_ST_ALIVE) {
		n->state = GSP_ST_ALIVE;
		n->changed = now;
	}
	swim_broadcast(s, n->name, GSP_ALIVE, m);
	if (before == GSP_ST_DEAD || before == GSP_ST_LEFT)
		swim_event(s, SWIM_OUT_JOIN, n->name);
	else if (meta_changed)
		swim_event(s, SWIM_OUT_UPDATE, n->name);
}

void swim_rule_alive(struct swim *s, usec_t now, const struct gsp_msg *m, bool own)
{
	const char *why = alive_is_bad(m);
	struct member *n;
	bool moves = false, is_self;

	if (why) {
		swim_drop(s, why);
		return;
	}
	n = swim_find(s, m->node);
	is_self =
		strlen(s->cfg.name) == m->node.n && memcmp(s->cfg.name, m->node.p, m->node.n) == 0;
	if (s->leaving && is_self)
		return;
	if (!n) {
		n = member_new(s, now, m);
		if (!n)
			return;
		if (is_self)
			s->self = n;
	} else if (!same_bytes(n->addr, n->addr_len, m->addr.p, m->addr.n) ||
		   n->port != (m->port ? m->port : s->cfg.port)) {
		moves = may_move(s, now, n);
		if (!moves) {
			swim_event(s, SWIM_OUT_CONFLICT, n->name);
			return;
		}
	}
	if (!is_self && !moves && m->incarnation <= n->incarnation)
		return;
	if (is_self && m->incarnation < n->incarnation)
		return;
	suspicion_stop(n);
	if (is_self && !own) {
		if (m->incarnation == n->incarnation &&
		    same_bytes(n->meta, n->meta_len, m->meta.p, m->meta.n) &&
		    same_bytes(n->vsn, GSP_VSN_LEN, m->vsn.p, m->vsn.n))
			return;
		refute(s, m->incarnation);
		return;
	}
	alive_accept(s, now, n, m);
}

/* ---- suspect, dead ---- */

static bool verdict_is_bad(struct gsp_bytes from)
{
	return from.n > SWIM_NAME_MAX || (from.n > 0 && memchr(from.p, 0, from.n));
}

void swim_rule_suspect(struct swim *s, usec_t now, struct gsp_bytes node, uint32_t incarnation,
		       struct gsp_bytes from)
{
	struct member *n = swim_find(s, node);
	struct gsp_msg m = {.node = node, .incarnation = incarnation, .from = from};

	if (!n || incarnation < n->incarnation || verdict_is_bad(from))
		return;
	if (is_watched(n)) {
		if (suspicion_confirm(s, n, from))
			swim_broadcast(s, n->name, GSP_SUSPECT, &m);
		return;
	}
	if (n->state != GSP_ST_ALIVE)
		return;
	if (n == s->self) {
		refute(s, incarnation);
		return;
	}
	swim_broadcast(s, n->name, GSP_SUSPECT, &m);
	n->incarnation = incarnation;
	n->state = GSP_ST_SUSPECT;
	n->changed = now;
	suspicion_start(s, now, n, from);
}

void swim_rule_dead(struct swim *s, usec_t now, struct gsp_bytes node, uint32_t incarnation,
		    struct gsp_bytes from)
{
	struct member *n = swim_find(s, node);
	struct gsp_msg m = {.node = node, .incarnation = incarnation, .from = from};

	if (!n || incarnation < n->incarnation || verdict_is_bad(from))
		return;
	bool own_word = same_bytes(node.p, node.n, from.p, from.n);

	suspicion_stop(n);
	if (n->state == GSP_ST_DEAD || n->state == GSP_ST_LEFT)
		return;
	if (n == s->self && !s->leaving) {
		refute(s, incarnation);
		return;
	}
	swim_broadcast(s, n->name, GSP_DEAD, &m);
	n->incarnation = incarnation;
	n->state = own_word ? GSP_ST_LEFT : GSP_ST_DEAD;
	n->changed = now;
	swim_event(s, SWIM_OUT_LEAVE, n->name);
}
