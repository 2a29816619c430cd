/*
 * The part "announce": what each node of a cluster announces, after every operation. For each node
 * the configuration is built and every service decided as a speaker does it; compared are the
 * verdict on the configuration, layer 2 with its interfaces, BGP with its peers, every session's
 * parameters, and per peer and prefix the union of the attributes.
 *
 * MetalLB takes a configuration whole or not at all, and not while it still announces an address
 * that the new one no longer has; the previous one then stays in force. That is imitated here.
 */
#include <string.h>

#include "metallb/announce.h"
#include "metallb/duration.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "speaker/frrk8s/configuration.h"
#include "tests/conformance/conformance.h"

/* One node's speaker over time. */
struct speaker {
	const char *node;
	struct config *cfg;     /* in force; NULL: none yet */
	struct table announced; /* service -> its addresses as text, while it is announced */
};

struct run {
	json_object *test;
	struct conf_result *r;
	struct conf_store *store;
	struct speaker *speakers;
	size_t n_speakers;
	json_object *alive; /* names, or NULL */
	json_object *step;  /* expected */
	size_t number;
	bool slice_deleted; /* by an operation so far */
	struct api_object **services, **slices;
	size_t n_services, n_slices;
	struct conf_objects objects;
};

/* MetalLB does not look at a Service again when one of its EndpointSlices is deleted. */
static const char *aspect_of(const struct run *run, const char *aspect)
{
	if (!run->slice_deleted)
		return aspect;
	if (strcmp(aspect, "l2") == 0)
		return "l2-deleted-slice";
	if (strcmp(aspect, "frr-configuration") == 0)
		return "frr-configuration-deleted-slice";
	return strcmp(aspect, "bgp") == 0 ? "bgp-deleted-slice" : "routes-deleted-slice";
}

static char *service_key(const struct service *svc)
{
	return xasprintf("%s/%s", svc->obj.meta.namespace, svc->obj.meta.name);
}

/* ---- the configuration in force ---- */

/* Every address that is announced now lies, with the others of its service, in one pool. */
static bool announced_covered(const struct speaker *sp, const struct config *cfg)
{
	table_for_each (&sp->announced, e) {
		_cleanup_free_ char *copy = xstrdup(e->value);
		const struct config_pool *pool = NULL;
		char *rest = copy;

		for (char *one; (one = strsep(&rest, " "));) {
			struct ip ip;
			const struct config_pool *p =
				ip_parse(one, &ip) ? config_pool_of(cfg, &ip) : NULL;

			if (!p || (pool && p != pool))
				return false;
			pool = p;
		}
	}
	return true;
}

static void config_step(struct run *run, struct speaker *sp, json_object *want)
{
	struct config_options opt = {
		.backend = conf_backend(run->test),
		.node = sp->node,
	};
	struct config *cfg = NULL;
	struct err err = {0};
	bool ok = conf_build(&run->objects, &opt, &cfg, &err);
	const char *verdict = conf_text(want, "config.verdict");
	const char *error = conf_text(want, "config.error");

	if (ok && !announced_covered(sp, cfg)) {
		ok = false;
		err_set(&err, "retrying");
		cfg = config_free(cfg);
	}
	if (ok != (strcmp(verdict, "accept") == 0))
		conf_mismatch(run->r, "config", error,
			      "step %zu node %s: want %s (%s), got %s (%s)", run->number, sp->node,
			      verdict, error, ok ? "accept" : "reject", err.msg);
	/* Where MetalLB alone refuses, what follows is still compared: from the one in force. */
	if (!ok || strcmp(verdict, "accept") != 0) {
		config_free(cfg);
		return;
	}
	config_free(sp->cfg);
	sp->cfg = cfg;
}

/* ---- JSON of what we decided ---- */

static json_object *names_json(const struct strs *list)
{
	json_object *out = json_object_new_array();

	for (size_t i = 0; i < list->n; i++)
		json_object_array_add(out, json_object_new_string(list->items[i]));
	return out;
}

static json_object *l2_json(const struct announce_l2 *l2, json_object *want)
{
	json_object *out = json_object_new_object(), *ips = json_object_new_array();

	json_object_object_add(out, "announced", json_object_new_boolean(!l2->reason));
	for (size_t i = 0; i < l2->n_ips; i++) {
		json_object *ip = json_object_new_object();
		char text[IP_STR_MAX];

		json_object_object_add(ip, "ip",
				       json_object_new_string(ip_format(&l2->ips[i].ip, text)));
		json_object_object_add(ip, "allInterfaces",
				       json_object_new_boolean(l2->ips[i].all_interfaces));
		if (!l2->ips[i].all_interfaces)
			json_object_object_add(ip, "interfaces",
					       names_json(&l2->ips[i].interfaces));
		json_object_array_add(ips, ip);
	}
	if (l2->n_ips > 0 || conf_get(want, "ips"))
		json_object_object_add(out, "ips", ips);
	else
		json_object_put(ips);
	return out;
}

/* Copies of the decision's routes go to every peer that they are for. */
static json_object *bgp_json(const struct announce_bgp *bgp, const struct config *cfg,
			     const struct labels *labels, json_object *want)
{
	json_object *out = json_object_new_object(), *peers = json_object_new_array();

	json_object_object_add(out, "announced", json_object_new_boolean(!bgp->reason));
	for (size_t i = 0; cfg && i < cfg->n_peers; i++) {
		bool any = false;

		if (!announce_peer_runs(&cfg->peers[i], labels))
			continue;
		for (size_t j = 0; j < bgp->n_routes; j++)
			any |= announce_route_is_for(&bgp->routes[j], cfg->peers[i].name);
		if (any)
			json_object_array_add(peers, json_object_new_string(cfg->peers[i].name));
	}
	if (json_object_array_length(peers) > 0 || conf_get(want, "peers"))
		json_object_object_add(out, "peers", peers);
	else
		json_object_put(peers);
	return out;
}

/* What is wanted of a service, without the reason, which is informative. */
static json_object *without_reason(json_object *want)
{
	json_object *copy = NULL;

	if (want && json_object_deep_copy(want, &copy, NULL) == 0)
		json_object_object_del(copy, "reason");
	return copy;
}

static void compare_service(struct run *run, const char *protocol, const struct speaker *sp,
			    const char *key, json_object *want, json_object *got)
{
	_cleanup_free_ char *what =
		xasprintf("step %zu node %s service %s", run->number, sp->node, key);
	json_object *bare = without_reason(want);

	conf_compare(run->r, aspect_of(run, protocol), what, bare, got);
	json_object_put(bare);
	json_object_put(got);
}

/* ---- sessions ---- */

enum { SESSION_NAMES_MAX = 3 };

/* A parameter of a session: the names it goes by in records, its value (NULL: unset). */
struct parameter {
	const char *names[SESSION_NAMES_MAX];
	json_object *value;
};

static json_object *text_or_null(const char *s)
{
	return s && *s ? json_object_new_string(s) : NULL;
}

static json_object *number_or_null(uint32_t n)
{
	return n ? json_object_new_int64(n) : NULL;
}

static json_object *flag_or_null(bool on)
{
	return on ? json_object_new_boolean(true) : NULL;
}

static json_object *ip_or_null(const struct ip *ip)
{
	char text[IP_STR_MAX];

	return text_or_null(ip_format(ip, text));
}

/* Go leaves a duration of zero out only where it is a pointer to nothing. */
static json_object *duration_or_null(int64_t ns)
{
	char text[40];

	return ns == DURATION_UNSET ? NULL : json_object_new_string(duration_format(ns, text));
}

static json_object *secret_or_null(const struct config_peer *p, bool passed_on)
{
	json_object *out;

	if (!passed_on || !p->secret_name[0])
		return NULL;
	out = json_object_new_object();
	json_object_object_add(out, "name", json_object_new_string(p->secret_name));
	json_object_object_add(out, "namespace", json_object_new_string(p->secret_namespace));
	return out;
}

static void compare_parameters(struct run *run, const struct config_peer *p, const char *what,
			       json_object *want)
{
	bool frrk8s = conf_backend(run->test) == BACKEND_FRR_K8S;
	bool passed_on = frrk8s && p->secret_name[0];
	struct parameter list[] = {
		{{"myASN"}, number_or_null(p->my_asn)},
		{{"peerASN"}, number_or_null(p->peer_asn)},
		{{"localASN"}, number_or_null(p->local_asn)},
		{{"dynamicASN"}, text_or_null(p->dynamic_asn)},
		{{"peerAddress"}, ip_or_null(&p->address)},
		{{"interface", "peerInterface"}, text_or_null(p->interface)},
		{{"peerPort"}, number_or_null(p->port)},
		{{"sourceAddress"}, ip_or_null(&p->source_address)},
		{{"routerID", "routerId"}, ip_or_null(&p->router_id)},
		{{"holdTime"}, duration_or_null(p->hold_ns)},
		{{"keepaliveTime"}, duration_or_null(p->keepalive_ns)},
		{{"connectTime"}, duration_or_null(p->connect_ns)},
		{{"password"}, text_or_null(passed_on ? "" : p->password)},
		{{"passwordSecret"}, secret_or_null(p, passed_on)},
		{{"bfdProfile"}, text_or_null(p->bfd_profile)},
		{{"vrf", "vrfName"}, text_or_null(p->vrf)},
		{{"gracefulRestart", "enableGracefulRestart"}, flag_or_null(p->graceful_restart)},
		{{"ebgpMultiHop"}, flag_or_null(p->ebgp_multihop)},
		{{"disableMP", "disableMp"}, flag_or_null(p->disable_mp)},
		{{"dualStackAddressFamily", "dualStack", "dualStackAF"},
		 flag_or_null(p->dual_stack)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		json_object *has = NULL;

		for (size_t j = 0; j < SESSION_NAMES_MAX && list[i].names[j] && !has; j++)
			has = conf_get(want, list[i].names[j]);
		_cleanup_free_ char *field = xasprintf("%s %s", what, list[i].names[0]);

		conf_compare(run->r, "session", field, has, list[i].value);
		json_object_put(list[i].value);
	}
}

/* ---- routes ---- */

/* {prefix: {"localPref": n, "communities": [...]}} from the entries of a record. */
static json_object *want_paths(json_object *list)
{
	json_object *out = json_object_new_object();

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *entry = json_object_array_get_idx(list, i), *path, *all, *pref;
		const char *prefix = conf_text(entry, "prefix");
		json_object *more = conf_get(entry, "communities");

		if (!json_object_object_get_ex(out, prefix, &path)) {
			path = json_object_new_object();
			json_object_object_add(path, "localPref", json_object_new_int64(0));
			json_object_object_add(path, "communities", json_object_new_object());
			json_object_object_add(out, prefix, path);
		}
		json_object_object_get_ex(path, "localPref", &pref);
		json_object_object_get_ex(path, "communities", &all);
		int64_t v = json_object_get_int64(conf_get(entry, "localPref"));

		if (v > json_object_get_int64(pref))
			json_object_set_int64(pref, v);
		for (size_t j = 0; more && j < json_object_array_length(more); j++)
			json_object_object_add(
				all, json_object_get_string(json_object_array_get_idx(more, j)),
				json_object_new_boolean(true));
	}
	return out;
}

static json_object *got_paths(const struct announce_path *paths, size_t n)
{
	json_object *out = json_object_new_object();

	for (size_t i = 0; i < n; i++) {
		json_object *path = json_object_new_object(), *all = json_object_new_object();
		char prefix[PREFIX_STR_MAX];

		for (size_t j = 0; j < paths[i].n_communities; j++) {
			char text[48];

			announce_community_format(&paths[i].communities[j], text);
			json_object_object_add(all, text, json_object_new_boolean(true));
		}
		json_object_object_add(path, "localPref",
				       json_object_new_int64(paths[i].local_pref));
		json_object_object_add(path, "communities", all);
		json_object_object_add(out, prefix_format(&paths[i].prefix, prefix), path);
	}
	return out;
}

static json_object *session_find(json_object *sessions, const char *peer)
{
	for (size_t i = 0; sessions && i < json_object_array_length(sessions); i++) {
		json_object *s = json_object_array_get_idx(sessions, i);

		if (strcmp(conf_text(s, "peer"), peer) == 0)
			return s;
	}
	return NULL;
}

static void compare_sessions(struct run *run, const struct speaker *sp, const struct labels *labels,
			     const struct announce_route *const *routes, size_t n_routes,
			     struct arena *a, json_object *want)
{
	size_t n_got = 0, n_want = want ? json_object_array_length(want) : 0;

	for (size_t i = 0; sp->cfg && i < sp->cfg->n_peers; i++) {
		const struct config_peer *p = &sp->cfg->peers[i];
		json_object *session = session_find(want, p->name);
		_cleanup_free_ char *what =
			xasprintf("step %zu node %s session %s", run->number, sp->node, p->name);

		if (!announce_peer_runs(p, labels))
			continue;
		n_got++;
		if (!session) {
			conf_mismatch(run->r, "session", NULL, "%s: not wanted", what);
			continue;
		}
		size_t n;
		const struct announce_path *paths =
			announce_paths_build(routes, n_routes, p->name, a, &n);
		json_object *w = want_paths(conf_get(session, "advertisements"));
		json_object *g = got_paths(paths, n);

		compare_parameters(run, p, what, session);
		conf_compare(run->r, aspect_of(run, "routes"), what, w, g);
		json_object_put(w);
		json_object_put(g);
	}
	if (n_got != n_want)
		conf_mismatch(run->r, "session", NULL,
			      "step %zu node %s: %zu sessions wanted, got %zu", run->number,
			      sp->node, n_want, n_got);
}

/* ---- FRRConfiguration ---- */

/* MetalLB forgets these two fields of a BGPPeer. */
static bool forgotten_drop(json_object *spec)
{
	json_object *routers = conf_get(spec, "bgp.routers");
	bool any = false;

	for (size_t i = 0; routers && i < json_object_array_length(routers); i++) {
		json_object *list = conf_get(json_object_array_get_idx(routers, i), "neighbors");

		for (size_t j = 0; list && j < json_object_array_length(list); j++) {
			json_object *neighbor = json_object_array_get_idx(list, j);

			any |= conf_get(neighbor, "sourceaddress") ||
			       conf_get(neighbor, "localASN");
			json_object_object_del(neighbor, "sourceaddress");
			json_object_object_del(neighbor, "localASN");
		}
	}
	return any;
}

/* Here the order of lists counts. */
static void compare_frr_configuration(struct run *run, const struct speaker *sp,
				      const struct labels *labels,
				      const struct announce_route *const *routes, size_t n_routes,
				      struct arena *a, json_object *want)
{
	const char *aspect = aspect_of(run, "frr-configuration");
	struct frr_input in = {
		.cfg = sp->cfg,
		.routes = routes,
		.n_routes = n_routes,
		.node = sp->node,
		.pass_secrets = true,
	};
	size_t n = sp->cfg ? sp->cfg->n_peers : 0;
	const struct config_peer **peers = arena_calloc(a, n, sizeof(*peers));

	for (size_t i = 0; i < n; i++)
		if (announce_peer_runs(&sp->cfg->peers[i], labels))
			peers[in.n_peers++] = &sp->cfg->peers[i];
	in.peers = peers;
	json_object *got = frr_configuration_spec(&in);

	if (forgotten_drop(got))
		conf_mismatch(run->r, "frr-configuration-whole", NULL,
			      "step %zu node %s: sourceAddress or localASN", run->number, sp->node);
	if (!json_object_equal(want, got))
		conf_mismatch(run->r, aspect, NULL,
			      "step %zu node %s:\n      want %s\n      got  %s", run->number,
			      sp->node, json_object_to_json_string(want),
			      json_object_to_json_string(got));
	json_object_put(got);
}

/* ---- one node, one step ---- */

static void note_announced(struct speaker *sp, const char *key, const struct announce_decision *d)
{
	struct buf text = {0};

	free(table_del(&sp->announced, key));
	if (d->gate != ANNOUNCE_YES || (d->l2.reason && d->bgp.reason))
		return;
	for (size_t i = 0; i < d->n_ips; i++) {
		char ip[IP_STR_MAX];

		buf_printf(&text, "%s%s", i ? " " : "", ip_format(&d->ips[i], ip));
	}
	table_set(&sp->announced, key, buf_steal(&text));
}

static size_t slices_of(const struct run *run, const struct service *svc,
			const struct endpointslice **out)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_slices; i++) {
		const struct endpointslice *s = (const void *)run->slices[i];

		if (strcmp(s->service_name, svc->obj.meta.name) == 0 &&
		    strcmp(s->obj.meta.namespace, svc->obj.meta.namespace) == 0)
			out[n++] = s;
	}
	return n;
}

/* Services that were announced and are gone. */
static void forget_deleted(const struct run *run, struct speaker *sp)
{
	table_for_each (&sp->announced, e) {
		bool found = false;

		for (size_t i = 0; i < run->n_services && !found; i++) {
			_cleanup_free_ char *key = service_key((const void *)run->services[i]);

			found = strcmp(key, e->key) == 0;
		}
		if (!found) {
			free(e->value);
			table_del(&sp->announced, e->key);
		}
	}
}

static struct announce_view *view_of(const struct run *run, const struct speaker *sp,
				     struct arena *a)
{
	json_object *names = NULL;
	struct announce_options opt = {
		.node = sp->node,
		.lb_class = conf_text(run->test, "input.loadBalancerClass"),
		.ignore_exclude_lb =
			json_object_get_boolean(conf_get(run->test, "input.ignoreExcludeLB")),
	};
	struct announce_world world = {
		.cfg = sp->cfg,
		.nodes = run->objects.list.nodes,
		.n_nodes = run->objects.list.n_nodes,
	};
	struct strs lists[2] = {{0}};

	json_object_object_get_ex(conf_get(run->test, "input.interfaces"), sp->node, &names);
	json_object *sources[] = {names, run->alive};

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		size_t n = sources[i] ? json_object_array_length(sources[i]) : 0;
		const char **items = arena_calloc(a, n, sizeof(*items));

		for (size_t j = 0; j < n; j++)
			items[j] = json_object_get_string(json_object_array_get_idx(sources[i], j));
		lists[i] = (struct strs){items, n};
	}
	world.interfaces = lists[0];
	struct strs *alive = arena_memdup(a, &lists[1], sizeof(lists[1]));

	world.speakers = run->alive ? alive : NULL;
	return announce_view_new(&opt, &world);
}

static const struct labels *node_labels(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->objects.list.n_nodes; i++)
		if (strcmp(run->objects.list.nodes[i]->obj.meta.name, name) == 0)
			return &run->objects.list.nodes[i]->obj.meta.labels;
	return NULL;
}

static void node_step(struct run *run, struct speaker *sp, json_object *want)
{
	_cleanup_(arena_freep) struct arena *a = arena_new();
	const struct endpointslice **slices = arena_calloc(a, run->n_slices, sizeof(*slices));
	const struct announce_route **routes = NULL;
	const struct labels *labels = node_labels(run, sp->node);
	size_t n_routes = 0, cap_routes = 0;

	config_step(run, sp, want);
	struct announce_view *view = view_of(run, sp, a);

	forget_deleted(run, sp);
	for (size_t i = 0; i < run->n_services; i++) {
		const struct service *svc = (const void *)run->services[i];
		struct announce_service in = {svc, slices, slices_of(run, svc, slices)};
		_cleanup_free_ char *key = service_key(svc);
		json_object *l2 = NULL, *bgp = NULL;
		struct announce_decision d;

		announce_decide(view, &in, a, &d);
		note_announced(sp, key, &d);
		json_object_object_get_ex(conf_get(want, "l2"), key, &l2);
		json_object_object_get_ex(conf_get(want, "bgp"), key, &bgp);
		compare_service(run, "l2", sp, key, l2, l2_json(&d.l2, l2));
		compare_service(run, "bgp", sp, key, bgp, bgp_json(&d.bgp, sp->cfg, labels, bgp));
		for (size_t j = 0; j < d.bgp.n_routes; j++) {
			ARRAY_GROW(routes, n_routes, cap_routes);
			routes[n_routes++] = &d.bgp.routes[j];
		}
	}
	compare_sessions(run, sp, labels, routes, n_routes, a, conf_get(want, "sessions"));
	if (conf_backend(run->test) == BACKEND_FRR_K8S)
		compare_frr_configuration(run, sp, labels, routes, n_routes, a,
					  conf_get(want, "frrConfiguration"));
	free(routes);
	announce_view_free(view);
}

/* ---- the run ---- */

static void objects_free(struct api_object **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		api_object_free(list[i]);
	free(list);
}

static struct speaker *speaker_get(struct run *run, const char *node)
{
	for (size_t i = 0; i < run->n_speakers; i++)
		if (strcmp(run->speakers[i].node, node) == 0)
			return &run->speakers[i];
	run->speakers = xreallocarray(run->speakers, run->n_speakers + 1, sizeof(*run->speakers));
	struct speaker *sp = &run->speakers[run->n_speakers++];

	*sp = (struct speaker){.node = node};
	table_init(&sp->announced);
	return sp;
}

static void step_judge(struct run *run)
{
	conf_objects_load(run->store, &run->objects);
	run->services = conf_store_decode(run->store, API_SERVICE, &run->n_services);
	run->slices = conf_store_decode(run->store, API_ENDPOINTSLICE, &run->n_slices);
	json_object_object_foreach(conf_get(run->step, "nodes"), node, want)
		node_step(run, speaker_get(run, node), want);
	objects_free(run->services, run->n_services);
	objects_free(run->slices, run->n_slices);
	conf_objects_free(&run->objects);
}

static bool op_apply(struct run *run, json_object *op)
{
	if (strcmp(conf_text(op, "op"), "delete") == 0 &&
	    strcmp(conf_text(op, "kind"), "EndpointSlice") == 0)
		run->slice_deleted = true;
	if (strcmp(conf_text(op, "op"), "speakers") != 0)
		return conf_store_apply(run->store, op);
	run->alive = conf_get(op, "speakers");
	return true;
}

static int steps_run(struct run *run)
{
	json_object *steps = conf_get(run->test, "expected.steps");
	json_object *ops = conf_get(run->test, "input.ops");
	size_t n_ops = ops ? json_object_array_length(ops) : 0;

	if (!steps || json_object_array_length(steps) != n_ops + 1)
		return -1;
	for (size_t i = 0; i <= n_ops; i++) {
		if (i > 0 && !op_apply(run, json_object_array_get_idx(ops, i - 1)))
			return -1;
		run->number = i;
		run->step = json_object_array_get_idx(steps, i);
		step_judge(run);
	}
	return 0;
}

int conformance_announce(json_object *test, struct conf_result *r)
{
	json_object *objects = conf_get(test, "input.objects");
	struct run run = {
		.test = test,
		.r = r,
		.store = conf_store_new(conf_text(test, "input.namespace")),
		.alive = conf_get(test, "input.speakers"),
	};
	int rc = objects ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < json_object_array_length(objects); i++)
		if (!conf_store_put(run.store, json_object_array_get_idx(objects, i)))
			rc = -1;
	if (rc == 0)
		rc = steps_run(&run);
	for (size_t i = 0; i < run.n_speakers; i++) {
		config_free(run.speakers[i].cfg);
		table_for_each (&run.speakers[i].announced, e)
			free(e->value);
		table_fini(&run.speakers[i].announced);
	}
	free(run.speakers);
	conf_store_free(run.store);
	return rc;
}
