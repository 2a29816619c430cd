/*
 * The BGP sessions' figures as metrics, under the names of MetalLB's FRR mode; native mode has four
 * of them without the label vrf. Read from the sessions when somebody asks.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/bgp/bgp.h"

#define COUNT(field) offsetof(struct bgp_counters, field)

static const struct {
	const char *name, *help;
	size_t offset;
} counters[] = {
	{"metallb_bgp_updates_total", "UPDATE messages sent", COUNT(updates_sent)},
	{"metallb_bgp_updates_total_received", "UPDATE messages received", COUNT(updates_received)},
	{"metallb_bgp_opens_sent", "OPEN messages sent", COUNT(opens_sent)},
	{"metallb_bgp_opens_received", "OPEN messages received", COUNT(opens_received)},
	{"metallb_bgp_notifications_sent", "NOTIFICATION messages sent", COUNT(notifications_sent)},
	{"metallb_bgp_keepalives_sent", "KEEPALIVE messages sent", COUNT(keepalives_sent)},
	{"metallb_bgp_keepalives_received", "KEEPALIVE messages received",
	 COUNT(keepalives_received)},
	{"metallb_bgp_route_refresh_sent", "ROUTE-REFRESH messages sent", COUNT(refresh_sent)},
	{"metallb_bgp_total_sent", "Messages sent", COUNT(total_sent)},
	{"metallb_bgp_total_received", "Messages received", COUNT(total_received)},
};

static struct metric *session_up, *announced, *pending, *families[ARRAY_SIZE(counters)];

/* Sessions that have series now, to take those of ended ones away. */
static struct table shown; /* "peer vrf" -> itself */

static void families_init(void)
{
	static const char *const labels[] = {"peer", "vrf", NULL};

	if (session_up)
		return;
	session_up = metric_new(METRIC_GAUGE, "metallb_bgp_session_up", "1 while established",
				labels, NULL, 0);
	announced = metric_new(METRIC_GAUGE, "metallb_bgp_announced_prefixes_total",
			       "Prefixes that the peer was told", labels, NULL, 0);
	pending = metric_new(METRIC_GAUGE, "metallb_bgp_pending_prefixes_total",
			     "Prefixes that the peer is still to be told", labels, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		families[i] = metric_new(METRIC_COUNTER, counters[i].name, counters[i].help, labels,
					 NULL, 0);
	table_init(&shown);
}

static void peer_show(const struct bgp_peer_status *st, struct table *now)
{
	char address[IP_STR_MAX];
	const char *where =
		st->address.family != IP_NONE ? ip_format(&st->address, address) : st->interface;
	_cleanup_free_ char *peer = xasprintf("%s:%u", where ? where : "", st->port);
	const char *vrf = st->vrf && st->vrf[0] ? st->vrf : "default";
	const char *const labels[] = {peer, vrf, NULL};
	_cleanup_free_ char *key = xasprintf("%s %s", peer, vrf);

	metric_set(session_up, labels, st->state == BGP_ST_ESTABLISHED);
	metric_set(announced, labels, (double)st->announced);
	metric_set(pending, labels, (double)st->pending);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		uint64_t v;

		memcpy(&v, (const char *)&st->counters + counters[i].offset, sizeof(v));
		metric_set(families[i], labels, (double)v);
	}
	free(table_set(now, key, xstrdup(key)));
	free(table_del(&shown, key));
}

static void series_del(char *key)
{
	char *vrf = strchr(key, ' ');

	*vrf++ = '\0';
	const char *const labels[] = {key, vrf, NULL};

	metric_del(session_up, labels);
	metric_del(announced, labels);
	metric_del(pending, labels);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		metric_del(families[i], labels);
}

void metric_bgp_sync(const struct bgp *bgp)
{
	struct table now;

	families_init();
	table_init(&now);
	for (size_t i = 0; bgp && i < bgp_peer_count(bgp); i++) {
		struct bgp_peer_status st;

		bgp_peer_status_at(bgp, i, &st);
		peer_show(&st, &now);
	}
	table_for_each (&shown, e) {
		series_del(e->value);
		free(e->value);
	}
	table_fini(&shown);
	shown = now;
}
