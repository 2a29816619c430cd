/*
 * A decision becomes fact: the difference between what a service's record says and what was decided
 * now goes to the layer 2 engine, the BGP sessions, the metrics, the events and the log.
 */
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

static void event_send(struct announcer *an, const struct service *svc, const char *type,
		       const char *reason, const char *message)
{
	struct kube_event_object object = {
		.resource = &kube_services,
		.ns = svc->obj.meta.namespace,
		.name = svc->obj.meta.name,
		.uid = svc->obj.meta.uid,
		.resource_version = svc->obj.meta.resource_version,
	};

	kube_recorder_event(an->recorder, &object, type, reason, message);
}

void service_warn(struct announcer *an, const char *key, const char *reason, const char *text)
{
	const struct service *svc =
		kube_store_find(watches_store(an->watches, WATCH_SERVICES), key);

	if (svc)
		event_send(an, svc, "Warning", reason, text);
}

static void assigned_tell(struct announcer *an, const char *key, const struct service *svc,
			  const char *protocol)
{
	_cleanup_free_ char *text = xasprintf("announcing from node \"%s\" with protocol \"%s\"",
					      an->opt->node_name, protocol);

	event_send(an, svc, "Normal", "nodeAssigned", text);
	log_info("service announced", "event", "serviceAnnounced", "service", key, "protocol",
		 protocol, NULL);
}

static void withdrawn_log(const char *key, const char *protocol, const char *reason)
{
	log_info("service withdrawn", "event", "serviceWithdrawn", "service", key, "protocol",
		 protocol, "reason", reason, NULL);
}

/* Of all the service's addresses but those refused. */
static void gauges_set(struct announcer *an, const char *key, const char *protocol,
		       const struct announce_decision *d, bool on)
{
	if (strcmp(protocol, "layer2") == 0 && d->l2.n_ips > 0) {
		for (size_t i = 0; i < d->l2.n_ips; i++)
			metric_announced_set(key, protocol, an->opt->node_name, &d->l2.ips[i].ip,
					     on);
		return;
	}
	for (size_t i = 0; i < d->n_ips; i++)
		metric_announced_set(key, protocol, an->opt->node_name, &d->ips[i], on);
}

/* Elected, but there is nothing to announce it on. */
static void interfaces_missing_tell(struct announcer *an, const struct service *svc,
				    const struct announce_decision *d)
{
	for (size_t i = 0; i < d->n_ips; i++) {
		char ip[IP_STR_MAX];
		_cleanup_free_ char *text = xasprintf(
			"the interfaces specified by LB IP \"%s\" doesn't exist in assigned node "
			"\"%s\" with protocol \"layer2\"",
			ip_format(&d->ips[i], ip), an->opt->node_name);

		event_send(an, svc, "Warning", "announceFailed", text);
	}
}

/* Another node has it now, since no way leads out of this one. */
static void uplink_tell(struct announcer *an, const struct service *svc,
			const struct announce_decision *d)
{
	const char *why = uplink_why(an->uplink);

	if (why && d->l2.detail == ANNOUNCE_DETAIL_LOST)
		event_send(an, svc, "Warning", "uplinkDead", why);
}

void group_split_tell(struct announcer *an, const struct service *svc)
{
	event_send(an, svc, "Warning", "sharedAddressSplit",
		   "the Services that share its address have no node in common that could announce "
		   "them all: each is announced from a node of its own");
}

void conflict_tell(struct announcer *an, const struct responder_claim *claim)
{
	const uint8_t *m = claim->mac.b;
	const char *interface = links_name(an->links, claim->ifindex);
	char ip[IP_STR_MAX];
	_cleanup_free_ char *text =
		xasprintf("another station, %02x:%02x:%02x:%02x:%02x:%02x on interface %s of node "
			  "\"%s\", claims the address %s",
			  m[0], m[1], m[2], m[3], m[4], m[5], interface, an->opt->node_name,
			  ip_format(&claim->ip, ip));

	metric_conflict_count(&claim->ip);
	log_warn("layer2: address conflict", "ip", ip, "interface", interface, "reason", text,
		 NULL);
	table_for_each (&an->records, e) {
		const struct record *r = e->value;

		for (size_t i = 0; record_announces_l2(r) && i < r->d.n_ips; i++)
			if (ip_eq(&r->d.ips[i], &claim->ip))
				service_warn(an, e->key, "addressConflict", text);
	}
}

static void l2_apply(struct announcer *an, const char *key, const struct service *svc,
		     const struct record *old, const struct announce_decision *d)
{
	bool was = record_announces_l2(old), is = d->l2.reason == ANNOUNCE_YES;

	an->n_won += is && !was;
	linger_cancel(an->linger, key);
	if (is && d->l2.n_ips > 0)
		responder_announce(an->responder, key, d->l2.ips, d->l2.n_ips, clock_now());
	else if (was && d->l2.detail == ANNOUNCE_DETAIL_LOST && record_same_ips(&old->d, d))
		linger_start(an->linger, key, old);
	else
		responder_withdraw(an->responder, key);
	for (size_t i = 0; is && !was && i < d->n_ips; i++)
		conflicts_forget(an->conflicts, &d->ips[i]);
	if (is && !was)
		assigned_tell(an, key, svc, "layer2");
	if (is && d->l2.n_ips == 0 && (!was || old->d.l2.n_ips > 0))
		interfaces_missing_tell(an, svc, d);
	if (was && !is) {
		withdrawn_log(key, "layer2", announce_reason_text(d->l2.reason));
		uplink_tell(an, svc, d);
	}
	if (was)
		gauges_set(an, key, "layer2", &old->d, false);
	if (is)
		gauges_set(an, key, "layer2", d, true);
	status_touch(an->status, key);
}

static void bgp_apply(struct announcer *an, const char *key, const struct service *svc,
		      const struct record *old, const struct announce_decision *d)
{
	bool was = record_announces_bgp(old), is = d->bgp.reason == ANNOUNCE_YES;

	if (is && !was)
		assigned_tell(an, key, svc, "bgp");
	if (was && !is)
		withdrawn_log(key, "bgp", announce_reason_text(d->bgp.reason));
	if (was)
		gauges_set(an, key, "bgp", &old->d, false);
	if (is)
		gauges_set(an, key, "bgp", d, true);
	if (was || is)
		sessions_touch_routes(an->sessions);
	status_touch(an->status, key);
}

/* What a person would otherwise have to guess: said once, when it changes. */
static void gate_log(const char *key, const struct record *old, const struct announce_decision *d)
{
	bool bad = d->gate == ANNOUNCE_INVALID_IP || d->gate == ANNOUNCE_IP_NOT_ALLOWED;

	if (bad && (!old || old->d.gate != d->gate))
		log_error("service cannot be announced", "service", key, "reason",
			  announce_reason_text(d->gate), NULL);
	if (d->l2.reason == ANNOUNCE_SHARED_IP_SELECTOR &&
	    (!old || old->d.l2.reason != d->l2.reason))
		log_warn("service cannot be announced in layer 2", "service", key, "reason",
			 announce_reason_text(d->l2.reason), NULL);
}

void apply_decision(struct announcer *an, const char *key, const struct service *svc,
		    const struct announce_decision *d)
{
	struct record *old = table_find(&an->records, key);
	bool same_ips = old && record_same_ips(&old->d, d);
	bool l2 = !old || !same_ips || !record_same_l2(&old->d, d);
	bool bgp = !old || !same_ips || !record_same_bgp(&old->d, d);

	if (!l2 && !bgp && old->d.gate == d->gate)
		return;
	gate_log(key, old, d);
	if (l2)
		l2_apply(an, key, svc, old, d);
	if (bgp)
		bgp_apply(an, key, svc, old, d);
	table_set(&an->records, key, record_new(d));
	record_free(old);
}

void apply_gone(struct announcer *an, const char *key)
{
	struct record *old = table_del(&an->records, key);

	if (!old)
		return;
	linger_cancel(an->linger, key);
	firstuse_forget(an->firstuse, key);
	responder_withdraw(an->responder, key);
	if (record_announces_l2(old)) {
		withdrawn_log(key, "layer2", "serviceDeleted");
		gauges_set(an, key, "layer2", &old->d, false);
	}
	if (record_announces_bgp(old)) {
		withdrawn_log(key, "bgp", "serviceDeleted");
		gauges_set(an, key, "bgp", &old->d, false);
		sessions_touch_routes(an->sessions);
	}
	status_touch(an->status, key);
	record_free(old);
}
