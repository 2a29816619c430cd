/*
 * From gossip, interfaces and options to the detector's inputs, and from its outputs to the log and
 * the metrics.
 */
#include "speaker/detector.h"

#include <stdio.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/liveness/io.h"

struct detector {
	struct detector_callbacks cb;
	struct liveness_io *io;
	struct metric *dropped, *sessions, *deaths;
	struct log_limit limit;
};

static void drop_count(struct detector *d, const char *why)
{
	unsigned held;

	metric_add(d->dropped, METRIC_VALUES(why), 1);
	if (log_limit_ok(&d->limit, clock_now(), 60 * USEC_PER_SEC, 5, &held))
		log_debug("liveness: dropped", "reason", why, "suppressed", log_int(held), NULL);
}

static void on_output(void *user, const struct liveness_output *o)
{
	struct detector *d = user;

	switch (o->type) {
	case LIVENESS_OUT_PACKET:
		break; /* sent by the shell */
	case LIVENESS_OUT_CHANGED:
		d->cb.on_change(d->cb.user);
		break;
	case LIVENESS_OUT_DIED:
		log_warn("liveness: node is dead", "node", o->name, "silent-ms",
			 log_int(o->silence / USEC_PER_MSEC), NULL);
		metric_add(d->deaths, NULL, 1);
		d->cb.on_died(d->cb.user);
		if (o->silence > 0)
			metric_failover("detect", o->silence);
		break;
	case LIVENESS_OUT_ALIVE:
		d->cb.on_alive(d->cb.user, &o->addr);
		break;
	case LIVENESS_OUT_ANSWER:
		d->cb.on_answer(d->cb.user, o->name, &o->ip, o->announces);
		break;
	case LIVENESS_OUT_PAUSED:
		log_warn("liveness: this process did not run", "ms",
			 log_int(o->silence / USEC_PER_MSEC), NULL);
		d->cb.on_paused(d->cb.user);
		break;
	case LIVENESS_OUT_DROP:
		drop_count(d, o->why);
		break;
	}
}

struct detector *detector_new(struct ev_loop *loop, const struct options *opt, const struct ip *own,
			      const struct gsp_keyring *ring, const struct detector_callbacks *cb,
			      struct err *err)
{
	struct liveness_config cfg = {
		.keyring = *ring,
		.interval = opt->liveness_interval,
		.timeout = opt->liveness_timeout,
		.announces = cb->announces,
		.user = cb->user,
	};
	struct detector *d = xcalloc(1, sizeof(*d));

	if (strlen(opt->node_name) > LIVENESS_NAME_MAX) {
		err_set(err, "liveness: the node's name is longer than %d bytes",
			LIVENESS_NAME_MAX);
		return detector_free(d);
	}
	memcpy(cfg.name, opt->node_name, strlen(opt->node_name) + 1);
	d->cb = *cb;
	if (liveness_io_new(loop, &cfg, own, (uint16_t)opt->liveness_port, on_output, d, &d->io,
			    err) < 0)
		return detector_free(d);
	d->dropped = metric_new(METRIC_COUNTER, "metallb_liveness_dropped_total",
				"Heartbeats and questions of other speakers that were dropped",
				(const char *const[]){"reason", NULL}, NULL, 0);
	d->sessions = metric_new(METRIC_GAUGE, "metallb_liveness_sessions",
				 "Speakers that this one watches",
				 (const char *const[]){"state", NULL}, NULL, 0);
	d->deaths = metric_new(METRIC_COUNTER, "metallb_liveness_deaths_total",
			       "Speakers found dead by their heartbeats", NULL, NULL, 0);
	metric_add(d->deaths, NULL, 0);
	return d;
}

struct detector *detector_free(struct detector *d)
{
	if (!d)
		return NULL;
	liveness_io_free(d->io);
	free(d);
	return NULL;
}

void detector_set_keyring(struct detector *d, const struct gsp_keyring *ring)
{
	if (d)
		liveness_set_keyring(liveness_io_engine(d->io), ring);
}

void detector_set_members(struct detector *d, const struct swim *swim)
{
	struct liveness_member *members = NULL;
	struct swim_member m;
	size_t n = 0, cap = 0;

	if (!d)
		return;
	for (size_t i = 0; swim_member_at(swim, i, &m); i++) {
		ARRAY_GROW(members, n, cap);
		members[n++] = (struct liveness_member){m.name, m.addr,
							swim_member_is_usable(swim, m.name)};
	}
	liveness_set_members(liveness_io_engine(d->io), members, n, clock_now());
	free(members);
	liveness_io_flush(d->io);
}

void detector_set_self(struct detector *d, const struct links *links, bool able)
{
	struct liveness_state self;
	struct responder_link link;
	struct arena *a;

	if (!d)
		return;
	a = arena_new();
	memset(&self, 0, sizeof(self));
	self.able = able;
	for (size_t pos = 0;
	     self.n_macs < LIVENESS_MACS_MAX && links_usable_next(links, &pos, &link);)
		self.macs[self.n_macs++] = link.mac;
	struct strs lost = links_lost(links, a);

	for (size_t i = 0; i < lost.n && self.n_lost < LIVENESS_LOST_MAX; i++)
		snprintf(self.lost[self.n_lost++], sizeof(self.lost[0]), "%s", lost.items[i]);
	liveness_set_self(liveness_io_engine(d->io), &self, clock_now());
	arena_free(a);
	liveness_io_flush(d->io);
}

bool detector_ask(struct detector *d, const char *node, const struct ip *ip)
{
	if (!d || !liveness_ask(liveness_io_engine(d->io), node, ip, clock_now()))
		return false;
	liveness_io_flush(d->io);
	return true;
}

void detector_leave(struct detector *d)
{
	if (!d)
		return;
	liveness_leave(liveness_io_engine(d->io), clock_now());
	liveness_io_flush(d->io);
}

enum liveness_verdict detector_verdict(const struct detector *d, const char *node)
{
	return d ? liveness_verdict(liveness_io_engine(d->io), node) : LIVENESS_UNKNOWN;
}

const char *detector_next(const struct detector *d, size_t *pos)
{
	return d ? liveness_next(liveness_io_engine(d->io), pos) : NULL;
}

const char *detector_node_of_mac(const struct detector *d, const struct mac *mac)
{
	return d ? liveness_node_of_mac(liveness_io_engine(d->io), mac) : NULL;
}

const struct announce_lost *detector_lost(const struct detector *d, struct arena *a, size_t *n)
{
	struct announce_lost *list = NULL;
	const char *name;
	size_t cap = 0;

	*n = 0;
	for (size_t pos = 0; (name = detector_next(d, &pos));) {
		const struct liveness_state *s = liveness_state_of(liveness_io_engine(d->io), name);

		if (!s || s->n_lost == 0)
			continue;
		const char **names = arena_calloc(a, s->n_lost, sizeof(*names));

		for (size_t i = 0; i < s->n_lost; i++)
			names[i] = arena_strdup(a, s->lost[i]);
		ARRAY_GROW(list, *n, cap);
		list[(*n)++] = (struct announce_lost){arena_strdup(a, name), {names, s->n_lost}};
	}
	struct announce_lost *out = arena_memdup(a, list, *n * sizeof(*list));

	free(list);
	return out;
}

void detector_sync_metrics(const struct detector *d)
{
	size_t up, all;

	if (!d)
		return;
	liveness_count_sessions(liveness_io_engine(d->io), &up, &all);
	metric_set(d->sessions, METRIC_VALUES("up"), (double)up);
	metric_set(d->sessions, METRIC_VALUES("down"), (double)(all - up));
}
