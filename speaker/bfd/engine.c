/*
 * The set of sessions, see engine.h. A session that is not wanted any more stays in the tables
 * while it says AdminDown, and becomes the wanted one again if its path returns.
 */
#include "speaker/bfd/engine.h"

#include <assert.h>

#include "metallb/xalloc.h"

/* What a packet without a discriminator of ours is recognised by. */
struct remote_key {
	uint8_t ip[sizeof(struct ip)];
	uint8_t multihop;
	char vrf[BFD_VRF_MAX];
};

static struct remote_key remote_key(const struct ip *remote, bool multihop, const char *vrf)
{
	struct remote_key key = {.multihop = multihop};

	memcpy(key.ip, remote, sizeof(key.ip));
	memcpy(key.vrf, vrf, strnlen(vrf, sizeof(key.vrf) - 1));
	return key;
}

static struct remote_key entry_key(const struct bfd_entry *s)
{
	return remote_key(&s->cfg.path.remote, s->cfg.path.multihop, s->cfg.path.vrf);
}

void bfd_engine_init(struct bfd_engine *e, const struct random_source *random)
{
	*e = (struct bfd_engine){.random = random};
	table_init(&e->by_discr);
	table_init(&e->by_remote);
	list_init(&e->ready);
}

/* ---- one entry ---- */

static void entry_arm(struct bfd_engine *e, struct bfd_entry *s)
{
	usec_t due = bfd_session_deadline(&s->session);

	due = due < s->echo.tx_at ? due : s->echo.tx_at;
	deadlines_set(&e->deadlines, &s->deadline, due < s->gone_at ? due : s->gone_at);
}

static void event_add(struct bfd_engine *e, const struct bfd_entry *s, bool up)
{
	ARRAY_GROW(e->events, e->n_events, e->cap_events);
	e->events[e->n_events++] = (struct bfd_event){
		.path = s->cfg.path, .up = up, .reason = s->session.reason, .diag = s->last_diag};
}

/* After anything happened to it: tell of a change, let it send, wait anew. */
static void entry_settle(struct bfd_engine *e, struct bfd_entry *s, usec_t now)
{
	enum bfd_state state = s->session.state;
	bool is_up = state == BFD_UP, was_up = s->was == BFD_UP;

	if (state != s->was)
		s->since = now;
	s->was = state;
	if (was_up && !is_up) {
		s->counters.down++;
		s->last_diag = s->session.local_diag == BFD_DIAG_NEIGHBOR_DOWN &&
					       s->session.remote_diag != BFD_DIAG_NONE
				       ? s->session.remote_diag
				       : s->session.local_diag;
	}
	if (is_up && !was_up)
		s->counters.up++;
	if (is_up != was_up && s->gone_at == USEC_NEVER)
		event_add(e, s, is_up);
	bfd_echo_follow(&s->echo, &s->session, now);
	if (list_is_empty(&s->ready))
		list_add_tail(&e->ready, &s->ready);
	entry_arm(e, s);
}

static uint32_t discr_new(const struct bfd_engine *e)
{
	uint32_t discr;

	do
		discr = random_u32(e->random);
	while (discr == 0 || table_find_n(&e->by_discr, &discr, sizeof(discr)));
	return discr;
}

/* Many sessions at once do not begin in one burst. */
static usec_t start_time(struct bfd_engine *e, usec_t now)
{
	usec_t start = e->next_start > now ? e->next_start : now;

	e->next_start = start + BFD_START_GAP;
	return start;
}

static struct bfd_entry *entry_new(struct bfd_engine *e, const struct bfd_session_config *cfg,
				   usec_t now)
{
	struct bfd_entry *s = xcalloc(1, sizeof(*s));
	struct remote_key key;
	uint32_t discr = discr_new(e);

	s->cfg = *cfg;
	s->since = now;
	s->gone_at = USEC_NEVER;
	list_init(&s->ready);
	bfd_session_init(&s->session, &cfg->params, discr, start_time(e, now));
	bfd_echo_init(&s->echo, e->random);
	s->was = s->session.state;
	table_set_n(&e->by_discr, &discr, sizeof(discr), s);
	key = entry_key(s);
	s->same = table_find_n(&e->by_remote, &key, sizeof(key));
	table_set_n(&e->by_remote, &key, sizeof(key), s);
	entry_arm(e, s);
	return s;
}

static void entry_free(struct bfd_engine *e, struct bfd_entry *s)
{
	struct remote_key key = entry_key(s);
	struct bfd_entry *first = table_find_n(&e->by_remote, &key, sizeof(key)), *pos = first;

	while (pos != s && pos->same != s)
		pos = pos->same;
	if (pos != s)
		pos->same = s->same;
	else if (s->same)
		table_set_n(&e->by_remote, &key, sizeof(key), s->same);
	else
		table_del_n(&e->by_remote, &key, sizeof(key));
	table_del_n(&e->by_discr, &s->session.local_discr, sizeof(s->session.local_discr));
	deadlines_set(&e->deadlines, &s->deadline, USEC_NEVER);
	list_del(&s->ready);
	free(s);
}

void bfd_engine_fini(struct bfd_engine *e)
{
	while (e->n_wanted > 0)
		entry_free(e, e->wanted[--e->n_wanted]);
	while (e->n_leaving > 0)
		entry_free(e, e->leaving[--e->n_leaving]);
	free(e->wanted);
	free(e->leaving);
	free(e->events);
	table_fini(&e->by_discr);
	table_fini(&e->by_remote);
	deadlines_fini(&e->deadlines);
}

/* ---- the set ---- */

static struct bfd_entry *entry_find(const struct bfd_engine *e, const struct bfd_path *path)
{
	struct remote_key key = remote_key(&path->remote, path->multihop, path->vrf);
	struct bfd_entry *s = table_find_n(&e->by_remote, &key, sizeof(key));

	while (s && !bfd_path_eq(&s->cfg.path, path))
		s = s->same;
	return s;
}

static void leaving_remove(struct bfd_engine *e, const struct bfd_entry *s)
{
	size_t i = 0;

	while (e->leaving[i] != s)
		i++;
	e->leaving[i] = e->leaving[--e->n_leaving];
}

static bool params_eq(const struct bfd_params *a, const struct bfd_params *b)
{
	return a->min_tx == b->min_tx && a->min_rx == b->min_rx && a->mult == b->mult &&
	       a->passive == b->passive && a->echo == b->echo && a->echo_rx == b->echo_rx;
}

static void entry_update(struct bfd_engine *e, struct bfd_entry *s,
			 const struct bfd_session_config *cfg, usec_t now)
{
	bool changed = !params_eq(&s->cfg.params, &cfg->params);

	s->cfg = *cfg;
	if (s->gone_at != USEC_NEVER) {
		leaving_remove(e, s);
		s->gone_at = USEC_NEVER;
		bfd_session_set_admin(&s->session, false, now);
	}
	if (changed)
		bfd_session_set_params(&s->session, &cfg->params, now);
	entry_settle(e, s, now);
}

static void entry_leave(struct bfd_engine *e, struct bfd_entry *s, usec_t now)
{
	if (s->session.remote_discr == 0) { /* nobody to tell */
		entry_free(e, s);
		return;
	}
	s->gone_at = now + BFD_LINGER;
	bfd_session_set_admin(&s->session, true, now);
	ARRAY_GROW(e->leaving, e->n_leaving, e->cap_leaving);
	e->leaving[e->n_leaving++] = s;
	entry_settle(e, s, now);
}

void bfd_engine_set(struct bfd_engine *e, const struct bfd_session_config *cfgs, size_t n,
		    usec_t now)
{
	struct bfd_entry **fresh = xreallocarray(NULL, n + 1, sizeof(*fresh));
	size_t n_fresh = 0;

	for (size_t i = 0; i < n && n_fresh < BFD_SESSIONS_MAX; i++) {
		struct bfd_entry *s = entry_find(e, &cfgs[i].path);

		if (s && s->marked)
			continue;
		if (s)
			entry_update(e, s, &cfgs[i], now);
		else
			s = entry_new(e, &cfgs[i], now);
		s->marked = true;
		fresh[n_fresh++] = s;
	}
	for (size_t i = 0; i < e->n_wanted; i++)
		if (!e->wanted[i]->marked)
			entry_leave(e, e->wanted[i], now);
	for (size_t i = 0; i < n_fresh; i++)
		fresh[i]->marked = false;
	free(e->wanted);
	e->wanted = fresh;
	e->n_wanted = n_fresh;
}

/* ---- reception ---- */

static bool entry_fits(const struct bfd_entry *s, const struct bfd_datagram *d)
{
	const struct bfd_path *p = &s->cfg.path;

	return ip_eq(&p->remote, &d->from) && p->multihop == d->multihop &&
	       (p->local.family == IP_NONE || ip_eq(&p->local, &d->to)) &&
	       (p->ifindex == 0 || p->ifindex == d->ifindex) && strcmp(p->vrf, d->vrf) == 0;
}

static struct bfd_entry *entry_of(const struct bfd_engine *e, const struct bfd_datagram *d,
				  uint32_t discr)
{
	struct remote_key key = remote_key(&d->from, d->multihop, d->vrf);
	struct bfd_entry *s;

	if (discr != 0) {
		s = table_find_n(&e->by_discr, &discr, sizeof(discr));
		return s && entry_fits(s, d) ? s : NULL;
	}
	s = table_find_n(&e->by_remote, &key, sizeof(key));
	while (s && !entry_fits(s, d))
		s = s->same;
	return s;
}

static const char *packet_take(struct bfd_engine *e, const struct bfd_datagram *d, usec_t now)
{
	struct bfd_packet pkt;
	struct bfd_entry *s;
	const char *why;

	if (!d->multihop && d->ttl != BFD_TTL)
		return "hop limit is not 255";
	why = bfd_packet_decode(d->data, d->len, &pkt);
	if (why)
		return why;
	s = entry_of(e, d, pkt.your_discr);
	if (!s)
		return pkt.your_discr ? "unknown discriminator" : "unknown sender";
	if (d->multihop && d->ttl < s->cfg.min_ttl)
		return "hop limit below the minimum";
	why = bfd_session_recv(&s->session, &pkt, now, e->random);
	if (why)
		return why;
	s->counters.received++;
	s->seen_local = d->to;
	s->seen_ifindex = d->ifindex;
	entry_settle(e, s, now);
	return NULL;
}

static const char *echo_take(struct bfd_engine *e, const void *data, size_t len, usec_t now)
{
	struct bfd_echo_packet pkt;
	const char *why = bfd_echo_decode(data, len, &pkt);
	struct bfd_entry *s;

	if (why)
		return why;
	s = table_find_n(&e->by_discr, &pkt.discr, sizeof(pkt.discr));
	if (!s || !ip_eq(&pkt.from, &s->seen_local) || !ip_eq(&pkt.to, &s->seen_local))
		return "echo that is not ours";
	why = bfd_echo_recv(&s->echo, &pkt);
	if (why)
		return why;
	s->counters.echo_received++;
	entry_settle(e, s, now);
	return NULL;
}

static void drop_count(struct bfd_engine *e, const char *why)
{
	size_t i = 0;

	while (e->drops[i].reason && strcmp(e->drops[i].reason, why) != 0)
		i++;
	assert(i < BFD_DROPS_MAX - 1); /* there are fewer texts */
	e->drops[i].reason = why;
	e->drops[i].n++;
}

const char *bfd_engine_recv(struct bfd_engine *e, const struct bfd_datagram *d, usec_t now)
{
	const char *why = packet_take(e, d, now);

	if (why)
		drop_count(e, why);
	return why;
}

const char *bfd_engine_recv_echo(struct bfd_engine *e, const void *data, size_t len, usec_t now)
{
	const char *why = echo_take(e, data, len, now);

	if (why)
		drop_count(e, why);
	return why;
}

/* ---- time and output ---- */

void bfd_engine_tick(struct bfd_engine *e, usec_t now)
{
	struct deadline *first;

	while ((first = deadlines_first(&e->deadlines)) && first->due <= now) {
		struct bfd_entry *s = container_of(first, struct bfd_entry, deadline);

		if (now >= s->gone_at) {
			leaving_remove(e, s);
			entry_free(e, s);
			continue;
		}
		bfd_session_tick(&s->session, now, e->random);
		bfd_echo_follow(&s->echo, &s->session, now);
		if (bfd_echo_tick(&s->echo, &s->session, now, e->random))
			bfd_session_echo_failed(&s->session, now);
		entry_settle(e, s, now);
	}
}

usec_t bfd_engine_deadline(const struct bfd_engine *e)
{
	const struct deadline *first = deadlines_first(&e->deadlines);

	return first ? first->due : USEC_NEVER;
}

bool bfd_engine_output(struct bfd_engine *e, usec_t now, struct bfd_send *out)
{
	struct bfd_packet pkt;

	while (!list_is_empty(&e->ready)) {
		struct bfd_entry *s = container_of(e->ready.next, struct bfd_entry, ready);

		if (bfd_session_output(&s->session, now, &pkt)) {
			bfd_packet_encode(&pkt, out->data);
			out->len = BFD_PACKET_LEN;
			out->path = &s->cfg.path;
			out->echo = false;
			s->counters.sent++;
			return true;
		}
		out->len = bfd_echo_output(&s->echo, &s->session, &s->seen_local, out->data);
		if (out->len > 0) {
			out->path = &s->cfg.path;
			out->ifindex = s->seen_ifindex;
			out->echo = true;
			s->counters.echo_sent++;
			return true;
		}
		list_del(&s->ready);
		entry_arm(e, s);
	}
	return false;
}
