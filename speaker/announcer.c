/*
 * Inputs mark what is dirty; a turn of the loop rebuilds the configuration, then the view, then
 * decides the services that are due, a bounded number at a time, so that answers to ARP and NDP
 * never wait long. Nothing is decided before everything needed has been listed once.
 */
#include "speaker/announcer.h"

#include <assert.h>
#include <malloc.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

#define TURN_SERVICES_MAX 500
#define TURN_TIME_MAX     (5 * USEC_PER_MSEC)
#define REFRESH_SPREAD    (1 * USEC_PER_SEC) /* at most */
#define REFRESH_EACH      (1 * USEC_PER_MSEC)
#define SETTLE_TIME_MAX   (10 * USEC_PER_SEC) /* a router that is down must not stop a rollout */

#define FAILOVER_MAX       (5 * USEC_PER_SEC)
#define HOLDERS_WAIT_S     .02
#define HOLDERS_WAITS      50  /* a speaker that takes over does not probe */
#define HOLDERS_WAITS_KEEP 150 /* ... and with --l2-keep does not take over at all */

#define WITHDRAW_ANNOTATION "metallb.io/withdraw"

void announcer_wake(struct announcer *an)
{
	if (!ev_is_active(&an->work)) {
		ev_timer_set(&an->work, 0., 0.);
		ev_timer_start(an->loop, &an->work);
	}
}

void announcer_touch(struct announcer *an, const char *service)
{
	kube_queue_add(an->services, service);
	announcer_wake(an);
}

bool announcer_is_draining(const struct announcer *an)
{
	return sessions_is_draining(an->sessions);
}

bool announcer_is_ready(struct announcer *an)
{
	if (an->ready && !an->settled)
		an->settled = sessions_are_settled(an->sessions) || clock_now() >= an->settle_by;
	return an->settled;
}

void announcer_sync_metrics(struct announcer *an)
{
	speaker_metrics_sync(an->responder, an->l2, an->links);
	sessions_sync_metrics(an->sessions);
	members_sync_metrics(an->members);
}

/* ---- configuration ---- */

static void config_rebuild(struct announcer *an)
{
	struct config_options opt = {
		.backend = an->opt->backend,
		.node = an->opt->node_name,
		.secret_passthrough = an->opt->frrk8s_passthrough,
	};
	struct arena *a = arena_new();
	struct config_report *report;
	struct objects objects;
	struct config *cfg;

	an->config_dirty = false;
	metric_update_count();
	gather_objects(an->watches, a, &objects);
	config_build(&objects, &opt, &cfg, &report);
	findings_tell(an, report);
	metric_config_set(true, report->n_errors + report->n_transient > 0);
	config_report_free(report);
	arena_free(a);
	if (an->cfg && config_equal(an->cfg, cfg)) {
		config_free(cfg);
		sessions_set_config(an->sessions); /* the node's labels may have changed */
		return;
	}
	an->view = announce_view_free(an->view); /* it points into the old configuration */
	config_free(an->cfg);
	an->cfg = cfg;
	an->view_dirty = an->all_dirty = true;
	sessions_set_config(an->sessions);
}

/* ---- view ---- */

/*
 * Other nodes have come or gone and may have announced what is ours: say it again, at once but not
 * all in one moment. Whoever lingers on such an address waits for this.
 */
static void announce_again(struct announcer *an)
{
	usec_t spread = (usec_t)table_count(&an->records) * REFRESH_EACH;

	responder_burst_all(an->responder, clock_now(),
			    spread < REFRESH_SPREAD ? spread : REFRESH_SPREAD);
}

static void view_rebuild(struct announcer *an)
{
	struct arena *a = arena_new();
	struct strs speakers = members_list(an->members, an->watches, a);
	struct objects objects;
	struct announce_view *view;

	gather_objects(an->watches, a, &objects);
	struct announce_world world = {
		.cfg = an->cfg,
		.nodes = objects.nodes,
		.n_nodes = objects.n_nodes,
		.speakers = &speakers,
		.interfaces = links_names(an->links, a),
		.withdraw = an->withdraw,
	};

	world.lost = members_lost(an->members, an->links, a, &world.n_lost);

	an->view_dirty = false;
	view = announce_view_new(&an->policy, &world);
	if (an->view && !announce_view_same_nodes(an->view, view))
		announce_again(an);
	if (!an->view || !announce_view_same(an->view, view))
		an->all_dirty = true;
	announce_view_free(an->view);
	an->view = view;
	firstuse_set_nodes(an->firstuse, objects.nodes, objects.n_nodes);
	sessions_set_mode(an->sessions, an->withdraw                      ? SESSIONS_END
					: announce_view_is_excluded(view) ? SESSIONS_WITHDRAW
									  : SESSIONS_ANNOUNCE);
	arena_free(a);
}

static void all_touch(struct announcer *an)
{
	const struct kube_store *store = watches_store(an->watches, WATCH_SERVICES);
	const char *key;
	size_t pos = 0;

	an->all_dirty = false;
	while (kube_store_next(store, &pos, &key))
		kube_queue_add(an->services, key);
	table_for_each (&an->records, e)
		kube_queue_add(an->services, e->key);
}

/* ---- one service ---- */

/* The service and its slices as the policy takes them; false when it is gone. */
static bool service_gather(const struct announcer *an, const char *key, struct arena *a,
			   struct announce_service *in)
{
	const struct owned_list *slices = owned_index_find(&an->slices, key);

	*in = (struct announce_service){
		.svc = kube_store_find(watches_store(an->watches, WATCH_SERVICES), key),
		.slices = slices ? (const void *)slices->items : NULL,
		.n_slices = slices ? slices->n : 0,
	};
	if (an->opt->l2_keep)
		in->holders = status_l2_nodes(an->status, key, a);
	return in->svc != NULL;
}

/* Elected together: decide all of the group, and look again at those it changes. */
static void group_decide(struct announcer *an, const char *key, struct arena *a,
			 struct announce_decision *d)
{
	struct ip shared;
	struct strs group = share_index_group(an->shares, key, a, &shared);
	struct announce_service *in = arena_calloc(a, group.n, sizeof(*in));
	struct announce_decision *all = arena_calloc(a, group.n, sizeof(*all));
	size_t n = 0;

	if (group.n < 2)
		return;
	for (size_t i = 0; i < group.n; i++) {
		if (!service_gather(an, group.items[i], a, &in[n]))
			continue;
		announce_decide(an->view, &in[n], a, &all[n]);
		n++;
	}
	if (!announce_decide_group(an->view, in, n, &shared, a, all)) {
		group_split_tell(an, in[0].svc);
		return;
	}
	*d = all[0]; /* the service itself comes first; its caller judges it */
	for (size_t i = 1; i < n; i++) {
		_cleanup_free_ char *other =
			kube_key(in[i].svc->obj.meta.namespace, in[i].svc->obj.meta.name);
		const struct record *r = table_find(&an->records, other);

		firstuse_judge(an->firstuse, other, a, &all[i]);
		if (r && !record_same_l2(&r->d, &all[i]))
			kube_queue_add(an->services, other);
	}
}

static void service_decide(struct announcer *an, const char *key)
{
	struct announce_service in;
	struct announce_decision d;
	struct arena *a = arena_new();

	metric_update_count();
	if (!service_gather(an, key, a, &in)) {
		if (an->shares)
			share_index_set(an->shares, key, NULL, 0);
		apply_gone(an, key);
		arena_free(a);
		return;
	}
	announce_decide(an->view, &in, a, &d);
	if (an->shares) {
		share_index_set(an->shares, key, d.ips, d.gate == ANNOUNCE_YES ? d.n_ips : 0);
		group_decide(an, key, a, &d);
	}
	firstuse_judge(an->firstuse, key, a, &d);
	apply_decision(an, key, in.svc, &d);
	arena_free(a);
}

/* true when services are left for the next turn. */
static bool services_decide(struct announcer *an)
{
	usec_t now = clock_now();
	const char *key;

	for (int i = 0; kube_queue_pop(an->services, now, &key); i++) {
		service_decide(an, key);
		kube_queue_forget(an->services, key);
		kube_queue_done(an->services, key);
		if (i + 1 >= TURN_SERVICES_MAX || clock_now() - now > TURN_TIME_MAX)
			break;
	}
	return kube_queue_deadline(an->services) == 0;
}

static void first_pass_done(struct announcer *an)
{
	log_info("first pass is complete", "services",
		 log_int((long long)table_count(&an->records)), NULL);
	an->ready = true;
	an->settle_by = clock_now() + SETTLE_TIME_MAX;
	malloc_trim(0); /* what the first lists took and left behind */
}

/* Nothing is decided before it is known who announces what, if that can be known. */
static bool holders_are_known(struct announcer *an)
{
	if (an->able || watches_kind_is_synced(an->watches, WATCH_L2STATUSES) ||
	    an->holders_waits == 0)
		return true;
	an->holders_waits--;
	ev_timer_set(&an->work, HOLDERS_WAIT_S, 0.);
	ev_timer_start(an->loop, &an->work);
	return false;
}

/* How long it took from the loss of a node to the decision, and from there to the first frame. */
static void failover_note(struct announcer *an, usec_t decided)
{
	usec_t lost = an->n_won > 0 ? members_take_loss(an->members) : 0;

	an->n_won = 0;
	if (lost == 0 || decided - lost > FAILOVER_MAX)
		return; /* won for another reason */
	metric_failover("decide", decided - lost);
	metric_failover("announce", clock_now() - decided);
}

static void on_work(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct announcer *an = w->data;

	(void)loop;
	(void)revents;
	if (!watches_is_synced(an->watches))
		return;
	if (an->pods_dirty) {
		an->pods_dirty = false;
		members_set_pods(an->members, an->watches);
	}
	if (!members_is_settled(an->members) || !holders_are_known(an))
		return;
	if (!an->able) {
		an->able = true;
		members_set_self(an->members, an->links, true);
	}
	if (an->config_dirty)
		config_rebuild(an);
	if (an->view_dirty)
		view_rebuild(an);
	if (an->all_dirty)
		all_touch(an);
	bool more = services_decide(an);
	usec_t decided = clock_now();

	l2_io_flush(an->l2);
	failover_note(an, decided);
	if (!more) {
		sessions_flush(an->sessions);
		if (!an->ready)
			first_pass_done(an);
	} else {
		announcer_wake(an);
	}
}

/* ---- inputs ---- */

/* A node's heartbeats change nothing that we look at. */
static bool node_changed(const struct node *before, const struct node *after)
{
	return !before || !after || before->network_unavailable != after->network_unavailable ||
	       !strs_equal(&before->addresses, &after->addresses) ||
	       !labels_equal(&before->obj.meta.labels, &after->obj.meta.labels);
}

static bool pod_changed(const struct pod *before, const struct pod *after)
{
	return !before || !after || before->ready != after->ready ||
	       strcmp(before->pod_ip, after->pod_ip) != 0 ||
	       before->obj.meta.deleting != after->obj.meta.deleting ||
	       strcmp(before->node_name, after->node_name) != 0;
}

static void slice_changed(struct announcer *an, const struct endpointslice *before,
			  const struct endpointslice *after)
{
	const struct endpointslice *sides[] = {before, after};

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		if (!sides[i])
			continue;
		_cleanup_free_ char *service = slice_service_key(sides[i]);

		if (sides[i] == before)
			owned_index_del(&an->slices, service, before);
		else
			owned_index_add(&an->slices, service, after);
		if (kube_store_find(watches_store(an->watches, WATCH_SERVICES), service))
			announcer_touch(an, service);
	}
}

/* One that is deleted takes its mark with it to the end: its pods follow. */
static void daemonset_changed(struct announcer *an, const struct api_object *after)
{
	const char *mark = after ? labels_get(&after->meta.annotations, WITHDRAW_ANNOTATION) : NULL;
	bool withdraw = mark && mark[0];

	if (!after || withdraw == an->withdraw)
		return;
	an->withdraw = withdraw;
	an->view_dirty = true;
	if (withdraw)
		log_info("withdrawing everything", "reason", mark, NULL);
	else
		log_info("announcing again", NULL);
}

static void holder_changed(struct announcer *an, const struct service_status *status)
{
	_cleanup_free_ char *service = kube_key(status->service_namespace, status->service_name);

	if (kube_store_find(watches_store(an->watches, WATCH_SERVICES), service))
		announcer_touch(an, service);
}

static void on_change(void *user, enum watch_kind kind, const char *key, void *before, void *after)
{
	struct announcer *an = user;

	switch (kind) {
	case WATCH_SERVICES:
		announcer_touch(an, key);
		return;
	case WATCH_SLICES:
		slice_changed(an, before, after);
		return;
	case WATCH_NODES:
		if (!node_changed(before, after))
			return;
		an->config_dirty = an->view_dirty = true;
		break;
	case WATCH_PODS:
		if (!pod_changed(before, after))
			return;
		an->pods_dirty = an->view_dirty = true;
		break;
	case WATCH_DAEMONSETS:
		daemonset_changed(an, after);
		break;
	case WATCH_L2STATUSES:
	case WATCH_BGPSTATUSES:
		status_changed(an->status, kind, before, after);
		if (kind == WATCH_L2STATUSES && an->opt->l2_keep)
			holder_changed(an, before ? before : after);
		return;
	case WATCH_POOLS:
	case WATCH_L2ADVS:
	case WATCH_BGPADVS:
	case WATCH_PEERS:
	case WATCH_BFDS:
	case WATCH_COMMUNITIES:
	case WATCH_SECRETS:
	case WATCH_CONFIGMAPS:
		an->config_dirty = true;
		break;
	case WATCH_COUNT:
		assert(0 && "a kind that is watched");
	}
	announcer_wake(an);
}

static void on_synced(void *user)
{
	struct announcer *an = user;

	log_info("all objects are known, deciding", NULL);
	an->pods_dirty = an->config_dirty = an->view_dirty = an->all_dirty = true;
	announcer_wake(an);
}

void links_tell(struct announcer *an)
{
	if (an->members)
		members_set_self(an->members, an->links, an->able);
	an->view_dirty = true;
	announcer_wake(an);
}

static void on_links(void *user)
{
	struct announcer *an = user;

	l2_io_set_links(an->l2, an->links);
	sessions_links_changed(an->sessions);
	uplink_look(an->uplink);
	links_tell(an);
}

static void on_members(void *user)
{
	struct announcer *an = user;

	an->view_dirty = true;
	announcer_wake(an);
}

static void on_unreached(void *user, const char *node, const struct ip *ip)
{
	struct announcer *an = user;
	struct kube_event_object own = {
		.resource = &kube_pods, .ns = an->opt->ns, .name = an->opt->pod_name, .uid = ""};
	char text[IP_STR_MAX];

	ip_format(ip, text);
	log_warn("gossip: a Ready speaker is not reached", "node", node, "address", text, NULL);
	if (*own.name)
		kube_recorder_eventf(an->recorder, &own, "Warning", "gossipUnreachable",
				     "node %s does not reach the speaker of node %s (%s) by "
				     "gossip: are TCP and UDP port 7946 open between them, and "
				     "have both the same key?",
				     an->opt->node_name, node, text);
}

static bool announces(void *user, const struct ip *ip)
{
	return rivals_announces(user, ip);
}

static void on_answer(void *user, const char *node, const struct ip *ip, bool yes)
{
	rivals_answered(user, node, ip, yes);
}

static void on_paused(void *user)
{
	rivals_paused(user);
}

static void on_claim(void *user, const struct responder_claim *claim)
{
	struct announcer *an = user;

	linger_claimed(an->linger, claim);
	rivals_claimed(an, claim);
}

static void on_probe(void *user, const struct responder_probe *result)
{
	struct announcer *an = user;

	firstuse_probed(an->firstuse, result);
}

static void on_uplink(void *user)
{
	struct announcer *an = user;

	uplink_changed(an->uplink);
}

static bool link_excluded(void *user, const char *name)
{
	return exclude_matches(user, name);
}

/* ---- life ---- */

static void watches_start(struct announcer *an)
{
	bool labels = an->opt->ml_labels[0] != '\0';
	struct watches_options w = {
		.ns = an->opt->ns,
		.daemonset = an->opt->daemonset,
		.pod_labels = labels ? an->opt->ml_labels : "app=metallb,component=speaker",
		.on_change = on_change,
		.on_synced = on_synced,
		.user = an,
	};

	an->watches = watches_new(an->client, &w);
}

bool announcer_new(struct ev_loop *loop, struct kube_client *client, const struct options *opt,
		   const struct exclude *exclude, struct announcer **out, struct err *err)
{
	struct announcer *an = xcalloc(1, sizeof(*an));
	struct responder_options responder = {opt->refresh, opt->uplink, &random_system};
	struct l2_callbacks l2 = {on_claim, on_probe, on_uplink, an};
	struct members_callbacks members = {on_members, on_unreached, announces,
					    on_answer,  on_paused,    an};
	int r;

	an->loop = loop;
	an->client = client;
	an->opt = opt;
	an->holders_waits = opt->l2_keep ? HOLDERS_WAITS_KEEP : HOLDERS_WAITS;
	an->policy =
		(struct announce_options){opt->node_name, opt->lb_class, opt->ignore_exclude_lb};
	table_init(&an->records);
	owned_index_init(&an->slices);
	an->services = kube_queue_new(0, 0, &random_system);
	ev_timer_init(&an->work, on_work, 0., 0.);
	an->work.data = an;
	speaker_metrics_init();
	an->recorder = kube_recorder_new(client, "metallb-speaker", opt->node_name);
	an->responder = responder_new(&responder);
	an->l2 = l2_io_new(loop, an->responder, &l2);
	an->linger = linger_new(an);
	an->conflicts = conflicts_new();
	an->firstuse = firstuse_new(an);
	an->uplink = uplink_new(an);
	an->links = links_new(link_excluded, (void *)exclude);
	an->shares = opt->group_shared ? share_index_new() : NULL;
	an->sessions = sessions_new(an);
	an->status = status_writer_new(an);
	findings_init(an);
	r = netlink_new(loop, an->links, on_links, an, &an->netlink);
	if (r < 0)
		err_set(err, "cannot follow the network interfaces: %s", strerror(-r));
	if (r < 0 || !members_new(loop, opt, &members, &an->members, err)) {
		announcer_free(an);
		return false;
	}
	members_set_self(an->members, an->links, false);
	l2_io_set_links(an->l2, an->links);
	uplink_look(an->uplink);
	watches_start(an);
	*out = an;
	return true;
}

void announcer_leave(struct announcer *an)
{
	table_for_each (&an->records, e) {
		const struct record *r = e->value;

		if (record_announces_l2(r) && r->d.l2.n_candidates > 1)
			linger_start(an->linger, e->key, r);
	}
	members_leave(an->members);
}

bool announcer_has_left(const struct announcer *an)
{
	return members_has_left(an->members) && linger_is_idle(an->linger) &&
	       !sessions_is_draining(an->sessions);
}

struct announcer *announcer_free(struct announcer *an)
{
	if (!an)
		return NULL;
	ev_timer_stop(an->loop, &an->work);
	watches_free(an->watches);
	members_free(an->members);
	linger_free(an->linger);
	conflicts_free(an->conflicts);
	firstuse_free(an->firstuse);
	uplink_free(an->uplink);
	share_index_free(an->shares);
	status_writer_free(an->status);
	findings_fini(an);
	sessions_free(an->sessions);
	netlink_free(an->netlink);
	links_free(an->links);
	l2_io_free(an->l2);
	responder_free(an->responder);
	kube_recorder_free(an->recorder);
	kube_queue_free(an->services);
	owned_index_fini(&an->slices);
	table_for_each (&an->records, e)
		record_free(e->value);
	table_fini(&an->records);
	announce_view_free(an->view);
	config_free(an->cfg);
	free(an);
	return NULL;
}
