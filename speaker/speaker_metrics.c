/*
 * The speaker's metric families. Names and labels are MetalLB's; metallb_layer2_dropped,
 * _overruns, _conflicts_total, _refused and _uplink_up are ours.
 */
#include "metallb/metrics.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

static struct metric *announced, *updates, *update_errors, *loaded, *stale;
static struct metric *failover;
static struct metric *requests, *responses, *gratuitous, *dropped, *overruns, *conflicts, *refused;
static struct metric *uplink;

void speaker_metrics_init(void)
{
	static const char *const service_labels[] = {"service", "protocol", "node", "ip", NULL};
	static const char *const stage_labels[] = {"stage", NULL};
	static const double failover_buckets[] = {.001, .0025, .005, .01, .025, .05, .1,
						  .25,  .5,    .75,  1.,  2.5,  5.,  10.};
	static const char *const ip_labels[] = {"ip", NULL};
	static const char *const reason_labels[] = {"reason", NULL};

	announced = metric_new(METRIC_GAUGE, "metallb_speaker_announced",
			       "Services announced from this node", service_labels, NULL, 0);
	updates = metric_new(METRIC_COUNTER, "metallb_k8s_client_updates_total",
			     "Changes of Kubernetes objects that were worked on", NULL, NULL, 0);
	update_errors = metric_new(METRIC_COUNTER, "metallb_k8s_client_update_errors_total",
				   "Changes of Kubernetes objects that failed", NULL, NULL, 0);
	loaded = metric_new(METRIC_GAUGE, "metallb_k8s_client_config_loaded_bool",
			    "1 once a configuration was loaded", NULL, NULL, 0);
	stale = metric_new(METRIC_GAUGE, "metallb_k8s_client_config_stale_bool",
			   "1 while some configuration object is refused", NULL, NULL, 0);
	requests = metric_new(METRIC_COUNTER, "metallb_layer2_requests_received",
			      "ARP requests and neighbour solicitations for announced addresses",
			      ip_labels, NULL, 0);
	responses = metric_new(METRIC_COUNTER, "metallb_layer2_responses_sent", "Answers to them",
			       ip_labels, NULL, 0);
	gratuitous = metric_new(METRIC_COUNTER, "metallb_layer2_gratuitous_sent",
				"Unsolicited announcements", ip_labels, NULL, 0);
	dropped = metric_new(METRIC_COUNTER, "metallb_layer2_dropped",
			     "ARP and NDP frames that were not answered", reason_labels, NULL, 0);
	overruns = metric_new(METRIC_COUNTER, "metallb_layer2_overruns",
			      "Frames lost because they came too fast", NULL, NULL, 0);
	conflicts = metric_new(METRIC_COUNTER, "metallb_layer2_conflicts_total",
			       "Times that another station was found to claim an announced address",
			       ip_labels, NULL, 0);
	refused = metric_new(METRIC_GAUGE, "metallb_layer2_refused",
			     "1 for an address that is not announced since another station uses it",
			     ip_labels, NULL, 0);
	uplink = metric_new(METRIC_GAUGE, "metallb_layer2_uplink_up",
			    "1 while a default gateway on the interface answers, 0 while none does",
			    (const char *const[]){"interface", NULL}, NULL, 0);
	failover = metric_new(METRIC_HISTOGRAM, "metallb_layer2_failover_seconds",
			      "Parts of the time that a failover took", stage_labels,
			      failover_buckets, ARRAY_SIZE(failover_buckets));
	metric_set(loaded, NULL, 0);
	metric_set(stale, NULL, 0);
	metric_add(updates, NULL, 0);
	metric_add(update_errors, NULL, 0);
}

void metric_announced_set(const char *service, const char *protocol, const char *node,
			  const struct ip *ip, bool on)
{
	char text[IP_STR_MAX];
	const char *const values[] = {service, protocol, node, ip_format(ip, text), NULL};

	if (on)
		metric_set(announced, values, 1);
	else
		metric_del(announced, values);
}

void metric_update_count(void)
{
	metric_add(updates, NULL, 1);
}

void metric_error_count(void)
{
	metric_add(update_errors, NULL, 1);
}

void metric_config_set(bool is_loaded, bool is_stale)
{
	if (is_loaded)
		metric_set(loaded, NULL, 1);
	metric_set(stale, NULL, is_stale ? 1 : 0);
}

void metric_failover(const char *stage, usec_t took)
{
	metric_observe(failover, METRIC_VALUES(stage), (double)took / 1e6);
}

void metric_conflict_count(const struct ip *ip)
{
	char text[IP_STR_MAX];

	metric_add(conflicts, METRIC_VALUES(ip_format(ip, text)), 1);
}

void metric_refused_set(const struct ip *ip, bool on)
{
	char text[IP_STR_MAX];

	if (on)
		metric_set(refused, METRIC_VALUES(ip_format(ip, text)), 1);
	else
		metric_del(refused, METRIC_VALUES(ip_format(ip, text)));
}

static void uplinks_sync(const struct responder *r, const struct links *links)
{
	struct responder_link link;

	metric_clear(uplink);
	for (size_t pos = 0; links_usable_next(links, &pos, &link);) {
		enum responder_uplink state = responder_uplink(r, link.ifindex);

		if (state != RESPONDER_UPLINK_UNKNOWN)
			metric_set(uplink, METRIC_VALUES(link.name),
				   state == RESPONDER_UPLINK_ALIVE);
	}
}

void speaker_metrics_sync(const struct responder *r, struct l2_io *l2, const struct links *links)
{
	const struct responder_counts *c;
	size_t pos = 0;

	while ((c = responder_counts_next(r, &pos))) {
		char text[IP_STR_MAX];
		const char *const ip[] = {ip_format(&c->ip, text), NULL};

		metric_set(requests, ip, (double)c->requests);
		metric_set(responses, ip, (double)c->responses);
		metric_set(gratuitous, ip, (double)c->gratuitous);
	}
	for (unsigned v = 0; v < RESPONDER_VERDICT_COUNT; v++)
		if (v != RESPONDER_ANSWER)
			metric_set(dropped, METRIC_VALUES(responder_verdict_text(v)),
				   (double)responder_verdict_count(r, v));
	metric_set(overruns, NULL, (double)l2_io_overruns(l2));
	uplinks_sync(r, links);
}
