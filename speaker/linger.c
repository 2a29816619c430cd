/*
 * Make before break in layer 2: when another, living node wins a service, this one goes on
 * answering for each of its addresses until the winner's announcement of that address is heard, for
 * a bounded time. That claim is only obeyed for an address that is being given up anyway.
 */
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

#define LINGER_V4 (1 * USEC_PER_SEC)
/*
 * A winner whose interface has just come up looks for duplicates of its link-local address before
 * it can announce anything: RFC 4862, a delay and then the listening of 1 s each.
 */
#define LINGER_V6 (3 * USEC_PER_SEC)
#define HEARD_MAX 1024 /* a node that comes back claims all of its addresses at once */
/* The winner may announce before this node learns that it lost. */
#define HEARD_FOR (2 * USEC_PER_SEC)

struct waiting {
	usec_t since;
	struct ip *ips; /* not yet claimed by the winner */
	size_t n_ips;
};

struct linger {
	struct announcer *an;
	struct responder_claim heard[HEARD_MAX]; /* a ring of the last ones */
	size_t next_heard;
	struct table services; /* -> struct waiting */
	ev_timer timer;
};

static void waiting_free(struct waiting *w)
{
	free(w->ips);
	free(w);
}

static usec_t until(const struct waiting *w, size_t i)
{
	return w->since + (w->ips[i].family == IP_V6 ? LINGER_V6 : LINGER_V4);
}

static void linger_arm(struct linger *l)
{
	usec_t first = USEC_NEVER, now = clock_now();

	ev_timer_stop(l->an->loop, &l->timer);
	table_for_each (&l->services, e) {
		const struct waiting *w = e->value;

		for (size_t i = 0; i < w->n_ips; i++)
			first = until(w, i) < first ? until(w, i) : first;
	}
	if (first == USEC_NEVER)
		return;
	ev_timer_set(&l->timer, first > now ? (double)(first - now) / 1e6 : 0., 0.);
	ev_timer_start(l->an->loop, &l->timer);
}

/* Give one of the service's addresses up now; the service with the last one. */
static void address_end(struct linger *l, const char *service, struct waiting *w, size_t i,
			const char *why)
{
	struct ip ip = w->ips[i];
	char text[IP_STR_MAX];

	responder_release(l->an->responder, service, &ip, clock_now());
	log_debug("layer2: stopped answering", "service", service, "ip", ip_format(&ip, text),
		  "reason", why, NULL);
	w->ips[i] = w->ips[--w->n_ips];
}

/* Whoever waits for nothing any more has ended. */
static void services_end(struct linger *l)
{
	table_for_each (&l->services, e) {
		struct waiting *w = e->value;

		if (w->n_ips > 0)
			continue;
		_cleanup_free_ char *key = xstrdup(e->key);

		waiting_free(table_del(&l->services, key));
		responder_withdraw(l->an->responder, key);
	}
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct linger *l = t->data;
	usec_t now = clock_now();

	(void)loop;
	(void)revents;
	table_for_each (&l->services, e) {
		struct waiting *w = e->value;

		for (size_t i = w->n_ips; i-- > 0;)
			if (until(w, i) <= now)
				address_end(l, e->key, w, i, "timeout");
	}
	services_end(l);
	l2_io_flush(l->an->l2);
	linger_arm(l);
}

static bool heard_lately(const struct linger *l, const struct ip *ip, usec_t now)
{
	for (size_t i = 0; i < HEARD_MAX; i++)
		if (ip_eq(&l->heard[i].ip, ip) && now - l->heard[i].when < HEARD_FOR)
			return true;
	return false;
}

void linger_start(struct linger *l, const char *service, const struct record *r)
{
	struct waiting *w = xcalloc(1, sizeof(*w));
	usec_t now = clock_now();

	w->since = now;
	w->ips = xmemdup(r->d.ips, r->d.n_ips * sizeof(*w->ips));
	w->n_ips = r->d.n_ips;
	linger_cancel(l, service);
	table_set(&l->services, service, w);
	responder_hush(l->an->responder, service);
	for (size_t i = w->n_ips; i-- > 0;)
		if (heard_lately(l, &w->ips[i], now))
			address_end(l, service, w, i, "the elected node announces");
	services_end(l);
	linger_arm(l);
}

void linger_cancel(struct linger *l, const char *service)
{
	struct waiting *w = table_del(&l->services, service);

	if (w)
		waiting_free(w);
}

void linger_claimed(struct linger *l, const struct responder_claim *claim)
{
	l->heard[l->next_heard++ % HEARD_MAX] = *claim;
	table_for_each (&l->services, e) {
		struct waiting *w = e->value;

		for (size_t i = w->n_ips; i-- > 0;)
			if (ip_eq(&w->ips[i], &claim->ip))
				address_end(l, e->key, w, i, "the elected node announces");
	}
	services_end(l);
}

bool linger_has_ip(const struct linger *l, const struct ip *ip)
{
	table_for_each (&l->services, e) {
		const struct record *r = table_find(&l->an->records, e->key);

		for (size_t i = 0; r && i < r->d.n_ips; i++)
			if (ip_eq(&r->d.ips[i], ip))
				return true;
	}
	return false;
}

bool linger_is_idle(const struct linger *l)
{
	return table_count(&l->services) == 0;
}

struct linger *linger_new(struct announcer *an)
{
	struct linger *l = xcalloc(1, sizeof(*l));

	l->an = an;
	table_init(&l->services);
	ev_timer_init(&l->timer, on_timer, 0., 0.);
	l->timer.data = l;
	return l;
}

struct linger *linger_free(struct linger *l)
{
	if (!l)
		return NULL;
	ev_timer_stop(l->an->loop, &l->timer);
	table_for_each (&l->services, e)
		waiting_free(e->value);
	table_fini(&l->services);
	free(l);
	return NULL;
}
