/*
 * BGP as the reconciler sees it: which of the configured peers have a session on this node, which
 * routes each is told, and what comes back from the sessions: log lines, events on the BGPPeer,
 * metrics.
 */
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/bgp/bgp.h"
#include "speaker/frrk8s.h"

struct sessions {
	struct announcer *an;
	struct paths *paths; /* NULL without bgp */
	struct bgp *bgp;     /* NULL: could not be started, or frr-k8s does it */
	struct frrk8s *frrk8s;
	const struct config_peer **peers; /* that run here, in the order of their names */
	size_t n_peers;
	bool routes_dirty;
	bool has_extras; /* as last said */
	enum sessions_mode mode;
};

/* ---- from the sessions ---- */

void peer_event_send(const struct announcer *an, const char *peer, bool normal, const char *reason,
		     const char *text)
{
	const struct bgppeer *obj =
		kube_store_find_ns(watches_store(an->watches, WATCH_PEERS), an->opt->ns, peer);

	if (!obj)
		return;
	struct kube_event_object object = {
		.resource = &kube_bgppeers,
		.ns = obj->obj.meta.namespace,
		.name = obj->obj.meta.name,
		.uid = obj->obj.meta.uid,
		.resource_version = obj->obj.meta.resource_version,
	};
	_cleanup_free_ char *message = xasprintf("node \"%s\": %s", an->opt->node_name, text);

	kube_recorder_event(an->recorder, &object, normal ? "Normal" : "Warning", reason, message);
}

/* No session of this node can be what it should be. */
static void on_frrk8s_problem(void *user, const char *reason, const char *text)
{
	struct sessions *s = user;

	for (size_t i = 0; i < s->n_peers; i++)
		peer_event_send(s->an, s->peers[i]->name, false, reason, text);
}

static void on_frrk8s_gone(void *user)
{
	struct sessions *s = user;

	if (s->mode == SESSIONS_END)
		status_drained(s->an->status);
}

static void on_event(void *user, const struct bgp_event *ev)
{
	struct sessions *s = user;

	switch (ev->type) {
	case BGP_EVENT_UP:
		log_info("BGP session established", "event", "sessionUp", "peer", ev->peer, NULL);
		peer_event_send(s->an, ev->peer, true, "sessionUp", "BGP session established");
		return;
	case BGP_EVENT_DOWN:
		log_error("BGP session down", "event", "sessionDown", "peer", ev->peer, "error",
			  ev->text, NULL);
		peer_event_send(s->an, ev->peer, false, "sessionDown", ev->text);
		return;
	case BGP_EVENT_FAILED:
		log_error("BGP session cannot be established", "peer", ev->peer, "error", ev->text,
			  NULL);
		peer_event_send(s->an, ev->peer, false, "sessionDown", ev->text);
		return;
	case BGP_EVENT_NOTICE:
		log_warn("BGP", "peer", ev->peer, "notice", ev->text, NULL);
		return;
	case BGP_EVENT_NEIGHBOR:
		paths_update(s->paths);
		return;
	case BGP_EVENT_DRAINED:
		log_info("BGP routes withdrawn", "event", "sessionDrained", "peer", ev->peer,
			 "reason", ev->text, NULL);
		if (!sessions_is_draining(s))
			status_drained(s->an->status);
		return;
	}
}

/* ---- life ---- */

struct sessions *sessions_new(struct announcer *an)
{
	struct sessions *s = xcalloc(1, sizeof(*s));
	struct bgp_options opt = {
		.node_name = an->opt->node_name,
		.listen_port = (uint16_t)an->opt->bgp_listen_port,
		.restarted = true,
	};
	struct frrk8s_options frrk8s = {an->client, an->opt, on_frrk8s_problem, on_frrk8s_gone, s};

	s->an = an;
	s->frrk8s = frrk8s_new(&frrk8s);
	if (an->opt->backend == BACKEND_FRR_K8S)
		return s;
	int r = bgp_new(&s->bgp, an->loop, &opt, on_event, s);

	if (r < 0)
		log_error("BGP cannot be started", "error", strerror(-r), NULL);
	else
		s->paths = paths_new(an, s->bgp);
	return s;
}

struct sessions *sessions_free(struct sessions *s)
{
	if (!s)
		return NULL;
	if (s->bgp)
		bgp_shutdown(s->bgp, "the speaker stops");
	/* afterwards, so that a router that helps us restart already does when BFD goes */
	paths_free(s->paths);
	bgp_free(s->bgp);
	frrk8s_free(s->frrk8s);
	free(s->peers);
	free(s);
	return NULL;
}

/* ---- peers ---- */

/* Whoever hopes for them is told; the sessions do without. */
static void extras_refuse(struct sessions *s)
{
	static const char text[] =
		"the ConfigMap bgpextras is refused: nothing here takes raw configuration of FRR";
	bool has = s->an->cfg->bgp_extras[0] != '\0';

	if (has && !s->has_extras)
		log_error("raw configuration is refused", "error", text, NULL);
	for (size_t i = 0; has && i < s->n_peers; i++)
		peer_event_send(s->an, s->peers[i]->name, false, "bgpExtrasRefused", text);
	s->has_extras = has;
}

void sessions_set_config(struct sessions *s)
{
	const struct config *cfg = s->an->cfg;
	const struct node *me = gather_node(s->an->watches, s->an->opt->node_name);
	struct bgp_peer_config *wanted = xcalloc(cfg->n_peers + 1, sizeof(*wanted));
	struct err err;

	s->peers = xreallocarray(s->peers, cfg->n_peers + 1, sizeof(struct config_peer *));
	s->n_peers = 0;
	for (size_t i = 0; i < cfg->n_peers; i++) {
		if (!announce_peer_runs(&cfg->peers[i], me ? &me->obj.meta.labels : NULL))
			continue;
		bgp_peer_config_build(&cfg->peers[i], s->an->opt->backend, &wanted[s->n_peers]);
		s->peers[s->n_peers++] = &cfg->peers[i];
	}
	if (s->bgp && !bgp_set_peers(s->bgp, wanted, s->n_peers, &err)) {
		log_error("BGP sessions cannot be set up", "error", err.msg, NULL);
		metric_error_count();
	}
	free(wanted);
	if (s->paths)
		paths_set_peers(s->paths, s->peers, s->n_peers);
	extras_refuse(s);
	s->routes_dirty = true;
	if (s->mode != SESSIONS_ANNOUNCE && !sessions_is_draining(s))
		status_drained(s->an->status); /* what was waited for may have been a peer of old */
}

struct strs sessions_peers_of(const struct sessions *s, const struct record *r, struct arena *a)
{
	const char **names = arena_calloc(a, s->n_peers, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; i < s->n_peers; i++) {
		for (size_t j = 0; j < r->d.bgp.n_routes; j++) {
			if (!announce_route_is_for(&r->d.bgp.routes[j], s->peers[i]->name))
				continue;
			names[n++] = s->peers[i]->name;
			break;
		}
	}
	return (struct strs){names, n};
}

/* ---- drain ---- */

static void engine_set_mode(struct sessions *s, enum sessions_mode mode)
{
	usec_t wait = s->an->opt->drain_wait;

	if (mode < s->mode)
		bgp_undrain(s->bgp);
	if (mode == SESSIONS_WITHDRAW)
		bgp_drain(s->bgp, wait, false, "the node is excluded from load balancing");
	else if (mode == SESSIONS_END)
		bgp_drain(s->bgp, wait, true, "the speaker is being removed");
}

void sessions_set_mode(struct sessions *s, enum sessions_mode mode)
{
	if (s->mode == mode)
		return;
	if (s->bgp)
		engine_set_mode(s, mode);
	s->mode = mode;
	s->routes_dirty = true;
}

bool sessions_is_draining(const struct sessions *s)
{
	if (s->bgp)
		return s->mode != SESSIONS_ANNOUNCE && !bgp_is_drained(s->bgp);
	return s->mode == SESSIONS_END && !frrk8s_is_gone(s->frrk8s);
}

/* ---- routes ---- */

void sessions_touch_routes(struct sessions *s)
{
	s->routes_dirty = true;
}

static const struct announce_route **routes_collect(const struct announcer *an, struct arena *a,
						    size_t *n)
{
	const struct announce_route **routes;
	size_t max = 0;

	table_for_each (&an->records, e)
		max += ((const struct record *)e->value)->d.bgp.n_routes;
	routes = arena_calloc(a, max, sizeof(*routes));
	*n = 0;
	table_for_each (&an->records, e) {
		const struct announce_bgp *bgp = &((const struct record *)e->value)->d.bgp;

		for (size_t i = 0; i < bgp->n_routes; i++)
			routes[(*n)++] = &bgp->routes[i];
	}
	return routes;
}

static void peer_routes_set(struct sessions *s, const char *peer,
			    const struct announce_route *const *routes, size_t n_routes)
{
	_cleanup_(arena_freep) struct arena *a = arena_new();
	size_t n;
	const struct announce_path *paths = announce_paths_build(routes, n_routes, peer, a, &n);
	struct bgp_route *out = arena_calloc(a, n, sizeof(*out));
	struct err err;

	for (size_t i = 0; i < n; i++)
		out[i] = (struct bgp_route){
			.prefix = paths[i].prefix,
			.local_pref = paths[i].local_pref,
			.communities = paths[i].communities,
			.n_communities = paths[i].n_communities,
		};
	if (!bgp_set_routes(s->bgp, peer, out, n, &err))
		log_error("a route cannot be announced", "peer", peer, "error", err.msg, NULL);
}

void sessions_flush(struct sessions *s)
{
	_cleanup_(arena_freep) struct arena *a = arena_new();
	const struct announce_route **routes;
	size_t n;

	bool frrk8s = s->an->opt->backend == BACKEND_FRR_K8S;

	if ((!s->bgp && !frrk8s) || !s->routes_dirty)
		return;
	s->routes_dirty = false;
	routes = routes_collect(s->an, a, &n);
	if (frrk8s) {
		metric_update_count();
		frrk8s_set(s->frrk8s, s->an->cfg, s->peers,
			   s->mode == SESSIONS_END ? 0 : s->n_peers, routes, n);
	}
	for (size_t i = 0; s->bgp && i < s->n_peers; i++)
		peer_routes_set(s, s->peers[i]->name, routes, n);
}

bool sessions_are_settled(const struct sessions *s)
{
	struct bgp_peer_status status;

	for (size_t i = 0; s->bgp && i < bgp_peer_count(s->bgp); i++) {
		bgp_peer_status_at(s->bgp, i, &status);
		if (status.state != BGP_ST_ESTABLISHED || status.pending > 0)
			return false;
	}
	return !s->routes_dirty;
}

void sessions_sync_metrics(const struct sessions *s)
{
	metric_bgp_sync(s->bgp);
	if (s->paths)
		paths_sync_metrics(s->paths);
}

const struct bgp *sessions_bgp(const struct sessions *s)
{
	return s->bgp;
}

const struct bfd *sessions_bfd(const struct sessions *s)
{
	return s->paths ? paths_bfd(s->paths) : NULL;
}

void sessions_links_changed(struct sessions *s)
{
	if (s->paths)
		paths_links_changed(s->paths);
}
