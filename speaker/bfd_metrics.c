/*
 * The BFD sessions' figures as metrics, under the names of MetalLB's FRR mode; the last diagnostic,
 * the detection time and the dropped packets are ours. Read from the sessions when somebody asks.
 */
#include <net/if.h>

#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/bfd/bfd.h"

enum {
	UP,
	PACKETS_IN,
	PACKETS_OUT,
	ECHO_IN,
	ECHO_OUT,
	UP_EVENTS,
	DOWN_EVENTS,
	NOTIFICATIONS,
	DIAGNOSTIC,
	DETECTION,
	N_FAMILIES
};

static const struct {
	enum metric_type type;
	const char *name, *help;
} defs[N_FAMILIES] = {
	[UP] = {METRIC_GAUGE, "metallb_bfd_session_up", "1 while up"},
	[PACKETS_IN] = {METRIC_COUNTER, "metallb_bfd_control_packet_input",
			"Control packets received"},
	[PACKETS_OUT] = {METRIC_COUNTER, "metallb_bfd_control_packet_output",
			 "Control packets sent"},
	[ECHO_IN] = {METRIC_COUNTER, "metallb_bfd_echo_packet_input", "Echo packets received"},
	[ECHO_OUT] = {METRIC_COUNTER, "metallb_bfd_echo_packet_output", "Echo packets sent"},
	[UP_EVENTS] = {METRIC_COUNTER, "metallb_bfd_session_up_events",
		       "Times that the session came up"},
	[DOWN_EVENTS] = {METRIC_COUNTER, "metallb_bfd_session_down_events",
			 "Times that the session went down"},
	[NOTIFICATIONS] = {METRIC_COUNTER, "metallb_bfd_zebra_notifications",
			   "Changes that the BGP session was told of"},
	[DIAGNOSTIC] = {METRIC_GAUGE, "metallb_bfd_last_diagnostic",
			"Why it last went down, a code of RFC 5880; 0: never"},
	[DETECTION] = {METRIC_GAUGE, "metallb_bfd_detection_seconds",
		       "Silence after which the peer counts as dead; 0: not heard yet"},
};

static struct metric *families[N_FAMILIES], *dropped;

static void families_init(void)
{
	static const char *const labels[] = {"peer", "vrf", NULL};
	static const char *const reason[] = {"reason", NULL};

	if (dropped)
		return;
	for (size_t i = 0; i < N_FAMILIES; i++)
		families[i] = metric_new(defs[i].type, defs[i].name, defs[i].help, labels, NULL, 0);
	dropped = metric_new(METRIC_COUNTER, "metallb_bfd_dropped",
			     "Control packets that were not taken", reason, NULL, 0);
}

static void session_show(const struct bfd_session_status *st)
{
	const struct bfd_counters *c = &st->counters;
	const double values[N_FAMILIES] = {
		[UP] = st->state == BFD_UP,        [PACKETS_IN] = (double)c->received,
		[PACKETS_OUT] = (double)c->sent,   [ECHO_IN] = (double)c->echo_received,
		[ECHO_OUT] = (double)c->echo_sent, [UP_EVENTS] = (double)c->up,
		[DOWN_EVENTS] = (double)c->down,   [NOTIFICATIONS] = (double)(c->up + c->down),
		[DIAGNOSTIC] = st->last_diag,      [DETECTION] = (double)st->detection_time / 1e6,
	};
	char address[IP_STR_MAX], name[IF_NAMESIZE];
	bool zone = ip_is_link_local(&st->path->remote) && st->path->ifindex &&
		    if_indextoname(st->path->ifindex, name);
	_cleanup_free_ char *peer = xasprintf("%s%s%s", ip_format(&st->path->remote, address),
					      zone ? "%" : "", zone ? name : "");
	const char *vrf = *st->path->vrf ? st->path->vrf : "default";

	for (size_t i = 0; i < N_FAMILIES; i++)
		metric_set(families[i], METRIC_VALUES(peer, vrf), values[i]);
}

void metric_bfd_sync(const struct bfd *bfd)
{
	const char *reason;
	uint64_t n;

	families_init();
	for (size_t i = 0; i < N_FAMILIES; i++)
		metric_clear(families[i]);
	for (size_t i = 0; i < bfd_session_count(bfd); i++) {
		struct bfd_session_status st;

		bfd_session_status_at(bfd, i, &st);
		session_show(&st);
	}
	for (size_t i = 0; (reason = bfd_drops_at(bfd, i, &n)); i++)
		metric_set(dropped, METRIC_VALUES(reason), (double)n);
}
