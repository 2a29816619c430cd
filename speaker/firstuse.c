/*
 * Addresses that nobody has announced yet are probed, since another station may use one. By default
 * the probe runs beside the announcement and only reports; where an L2Advertisement says
 * conflictPolicy: Refuse the announcement waits for it, at most a second, and an address in use is
 * left alone and looked at again later.
 *
 * A speaker that takes over does not probe: that somebody announced an address before shows in the
 * status objects, whose writers know nothing of each other's addresses otherwise. They name the
 * Service and not its addresses, so for an address that a Service got while this speaker looked on,
 * they count only after SETTLED.
 */
#include <assert.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

#define SETTLED   (5 * USEC_PER_SEC)
#define RECHECK_S 5.

enum use_state {
	USE_NEW,
	USE_PROBED,
	USE_KNOWN, /* announced before, or found free */
	USE_TAKEN,
	USE_DUE /* taken, to be probed again */
};

struct use {
	struct ip ip;
	enum use_state state;
	usec_t since; /* the Service has the address; 0: from before this speaker's time */
	struct mac mac;
};

/* The addresses of one service. */
struct uses {
	struct use *items;
	size_t n;
	char service[];
};

struct firstuse {
	struct announcer *an;
	struct table services;      /* -> struct uses */
	struct owned_index waiting; /* address as text -> struct uses that wait for its probe */
	size_t n_taken;
	ev_timer timer;
};

static void waiting_set(struct firstuse *f, struct uses *s, struct use *u, enum use_state state)
{
	char text[IP_STR_MAX];

	ip_format(&u->ip, text);
	if (u->state == USE_PROBED)
		owned_index_del(&f->waiting, text, s);
	if (state == USE_PROBED)
		owned_index_add(&f->waiting, text, s);
	f->n_taken -= u->state == USE_TAKEN || u->state == USE_DUE;
	f->n_taken += state == USE_TAKEN || state == USE_DUE;
	u->state = state;
	if (f->n_taken > 0 && !ev_is_active(&f->timer))
		ev_timer_again(f->an->loop, &f->timer);
	else if (f->n_taken == 0)
		ev_timer_stop(f->an->loop, &f->timer);
}

static struct use *use_find(const struct uses *s, const struct ip *ip)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (ip_eq(&s->items[i].ip, ip))
			return &s->items[i];
	return NULL;
}

static void uses_free(struct firstuse *f, struct uses *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		metric_refused_set(&s->items[i].ip, false);
		waiting_set(f, s, &s->items[i], USE_KNOWN);
	}
	free(s->items);
	free(s);
}

/* What is known of the service's addresses; those it had before keep what was found out. */
static struct uses *uses_get(struct firstuse *f, const char *service,
			     const struct announce_decision *d)
{
	struct uses *old = table_find(&f->services, service), *s;
	bool same = old && old->n == d->n_ips;

	for (size_t i = 0; same && i < d->n_ips; i++)
		same = use_find(old, &d->ips[i]) != NULL;
	if (same)
		return old;
	s = xcalloc(1, sizeof(*s) + strlen(service) + 1);
	strcpy(s->service, service);
	s->items = d->n_ips ? xcalloc(d->n_ips, sizeof(*s->items)) : NULL;
	s->n = d->n_ips;
	for (size_t i = 0; i < d->n_ips; i++) {
		const struct use *u = use_find(old, &d->ips[i]);
		struct use *new = &s->items[i];

		*new = (struct use){.ip = d->ips[i], .since = old ? clock_now() : 0};
		if (!u)
			continue;
		new->since = u->since;
		/* what is being found out, or was refused, is looked at again */
		if (u->state == USE_KNOWN)
			new->state = USE_KNOWN;
	}
	table_set(&f->services, service, s);
	uses_free(f, old);
	return s;
}

/* Does a status object say that the address was announced before. */
static bool shown_announced(const struct firstuse *f, const struct uses *s, const struct use *u,
			    bool own_too)
{
	return (u->since == 0 || clock_now() - u->since >= SETTLED) &&
	       status_shows_l2(f->an->status, s->service, own_too);
}

static void use_step(struct firstuse *f, struct uses *s, struct use *u,
		     const struct announce_l2_ip *where, bool refuse)
{
	/* while a probe runs beside the announcement the own object says nothing */
	bool known =
		u->state <= USE_PROBED && shown_announced(f, s, u, u->state == USE_NEW || refuse);

	if (u->state == USE_NEW && responder_has_ip(f->an->responder, &u->ip))
		known = true; /* another Service shares it */
	if (known) {
		waiting_set(f, s, u, USE_KNOWN);
	} else if (!refuse && u->state >= USE_TAKEN) {
		metric_refused_set(&u->ip, false);
		waiting_set(f, s, u, USE_KNOWN);
	} else if (u->state == USE_NEW || u->state == USE_DUE) {
		waiting_set(f, s, u, USE_PROBED);
		responder_probe(f->an->responder, where, clock_now());
	}
}

void firstuse_judge(struct firstuse *f, const char *service, struct arena *a,
		    struct announce_decision *d)
{
	struct announce_l2 *l2 = &d->l2;
	struct announce_l2_ip *ips;
	bool taken = false;
	struct uses *s;
	size_t n = 0;

	if (d->gate != ANNOUNCE_YES) {
		if (table_find(&f->services, service))
			uses_get(f, service, &(struct announce_decision){.n_ips = 0});
		return;
	}
	if (l2->n_candidates == 0)
		return;
	s = uses_get(f, service, d);
	if (l2->reason != ANNOUNCE_YES || l2->n_ips == 0) {
		for (size_t i = 0; i < s->n; i++)
			if (s->items[i].state == USE_PROBED)
				waiting_set(f, s, &s->items[i], USE_NEW);
		return;
	}
	ips = arena_calloc(a, l2->n_ips, sizeof(*ips));
	for (size_t i = 0; i < l2->n_ips; i++) {
		struct use *u = use_find(s, &l2->ips[i].ip);

		assert(u);
		use_step(f, s, u, &l2->ips[i], l2->refuse_conflict);
		if (!l2->refuse_conflict || u->state == USE_KNOWN)
			ips[n++] = l2->ips[i];
		taken |= u->state >= USE_TAKEN || mac_is_station(&u->mac);
	}
	l2->ips = ips;
	l2->n_ips = n;
	if (n == 0)
		l2->reason = taken ? ANNOUNCE_ADDRESS_IN_USE : ANNOUNCE_ADDRESS_PROBED;
}

void firstuse_forget(struct firstuse *f, const char *service)
{
	uses_free(f, table_del(&f->services, service));
}

void firstuse_status(struct firstuse *f, const char *service, bool gone)
{
	struct uses *s = table_find(&f->services, service);

	for (size_t i = 0; s && i < s->n; i++) {
		struct use *u = &s->items[i];

		if (gone && u->state == USE_NEW && shown_announced(f, s, u, true))
			waiting_set(f, s, u, USE_KNOWN);
		else if (!gone && u->state == USE_PROBED)
			announcer_touch(f->an, service);
	}
}

void firstuse_set_nodes(struct firstuse *f, const struct node *const *nodes, size_t n)
{
	struct ip *ips = NULL, ip;
	size_t n_ips = 0, cap = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < nodes[i]->addresses.n; j++) {
			if (!ip_parse(nodes[i]->addresses.items[j], &ip))
				continue;
			ARRAY_GROW(ips, n_ips, cap);
			ips[n_ips++] = ip;
		}
	}
	responder_set_nodes(f->an->responder, ips, n_ips);
	free(ips);
}

/* ---- what the probes found ---- */

static void refused_tell(struct firstuse *f, const char *service, const struct responder_probe *p)
{
	const uint8_t *m = p->mac.b;
	char ip[IP_STR_MAX];
	_cleanup_free_ char *text = xasprintf(
		"%02x:%02x:%02x:%02x:%02x:%02x on interface %s of node \"%s\" uses the address %s, "
		"which is therefore not announced (conflictPolicy: Refuse)",
		m[0], m[1], m[2], m[3], m[4], m[5], links_name(f->an->links, p->ifindex),
		f->an->opt->node_name, ip_format(&p->ip, ip));

	log_warn("layer2: address is in use", "service", service, "ip", ip, "reason", text, NULL);
	service_warn(f->an, service, "addressInUse", text);
}

static void use_taken(struct firstuse *f, struct uses *s, struct use *u,
		      const struct responder_probe *p)
{
	const struct record *r = table_find(&f->an->records, s->service);
	bool refuse = r && r->d.l2.refuse_conflict, told = mac_eq(&u->mac, &p->mac);

	u->mac = p->mac;
	if (!refuse) {
		waiting_set(f, s, u, USE_KNOWN);
		conflict_tell(f->an, &(struct responder_claim){p->ip, p->mac, p->ifindex, 0});
		return;
	}
	waiting_set(f, s, u, USE_TAKEN);
	metric_refused_set(&p->ip, true);
	if (!told)
		refused_tell(f, s->service, p);
}

void firstuse_probed(struct firstuse *f, const struct responder_probe *p)
{
	const struct owned_list *list;
	char text[IP_STR_MAX];

	ip_format(&p->ip, text);
	while ((list = owned_index_find(&f->waiting, text)) && list->n > 0) {
		/* only services of f->services wait */
		struct uses *s =
			table_find(&f->services, ((const struct uses *)list->items[0])->service);
		struct use *u = use_find(s, &p->ip);

		assert(u);
		if (p->taken) {
			use_taken(f, s, u, p);
		} else {
			u->mac = (struct mac){{0}};
			metric_refused_set(&p->ip, false);
			waiting_set(f, s, u, USE_KNOWN);
		}
		announcer_touch(f->an, s->service);
	}
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct firstuse *f = t->data;

	(void)loop;
	(void)revents;
	table_for_each (&f->services, e) {
		struct uses *s = e->value;

		for (size_t i = 0; i < s->n; i++) {
			if (s->items[i].state != USE_TAKEN)
				continue;
			waiting_set(f, s, &s->items[i], USE_DUE);
			announcer_touch(f->an, s->service);
		}
	}
}

/* ---- life ---- */

struct firstuse *firstuse_new(struct announcer *an)
{
	struct firstuse *f = xcalloc(1, sizeof(*f));

	f->an = an;
	table_init(&f->services);
	owned_index_init(&f->waiting);
	ev_timer_init(&f->timer, on_timer, 0., RECHECK_S);
	f->timer.data = f;
	return f;
}

struct firstuse *firstuse_free(struct firstuse *f)
{
	if (!f)
		return NULL;
	table_for_each (&f->services, e) {
		struct uses *s = e->value;

		free(s->items);
		free(s);
	}
	ev_timer_stop(f->an->loop, &f->timer);
	table_fini(&f->services);
	owned_index_fini(&f->waiting);
	free(f);
	return NULL;
}
