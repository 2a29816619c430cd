/*
 * The announcing half of the plan: each node's speaker decides with its own view, as it does in a
 * cluster.
 */
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/cli/plan_impl.h"

/* Interfaces are not known from manifests: a node has those that an advertisement names. */
static struct strs named_interfaces(struct model *m)
{
	struct table seen;
	const char **names;
	size_t n = 0;

	table_init(&seen);
	table_set(&seen, "(any)", m);
	for (size_t i = 0; i < m->cfg->n_l2advs; i++)
		for (size_t j = 0; j < m->cfg->l2advs[i]->interfaces.n; j++)
			table_set(&seen, m->cfg->l2advs[i]->interfaces.items[j], m);
	names = arena_calloc(m->arena, table_count(&seen), sizeof(*names));
	table_for_each (&seen, e)
		names[n++] = arena_strdup(m->arena, e->key);
	table_fini(&seen);
	return (struct strs){names, n};
}

/* Only a cluster knows of pods. */
void plan_find_speakers(struct model *m)
{
	size_t n_pods = m->lists.n[API_POD], n = 0;
	const char **names = arena_calloc(m->arena, n_pods + 1, sizeof(*names));

	for (size_t i = 0; i < n_pods; i++) {
		const struct pod *pod = m->lists.items[API_POD][i];

		if (pod->ready && !pod->obj.meta.deleting)
			names[n++] = pod->node_name;
	}
	if (m->docs->knows_speakers)
		m->speakers = (struct strs){names, n};
}

static bool has_speaker(const struct model *m, const char *node)
{
	for (size_t i = 0; i < m->speakers.n; i++)
		if (strcmp(m->speakers.items[i], node) == 0)
			return true;
	return !m->speakers.items;
}

void plan_start_views(struct model *m)
{
	struct announce_world world = {
		.cfg = m->cfg,
		.nodes = m->nodes,
		.n_nodes = m->n_nodes,
		.speakers = m->speakers.items ? &m->speakers : NULL,
		.interfaces = named_interfaces(m),
	};

	m->views = xcalloc(m->n_nodes + 1, sizeof(struct announce_view *));
	for (size_t i = 0; i < m->n_nodes; i++) {
		struct announce_options opt = {.node = m->nodes[i]->obj.meta.name,
					       .lb_class = m->opt->lb_class};

		m->views[i] = announce_view_new(&opt, &world);
	}
}

static json_object *strs_json(const struct strs *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(list, text(s->items[i]));
	return list;
}

/* reasons: text -> list of nodes */
static void add_reason(json_object *reasons, const char *why, const char *node)
{
	json_object *list = NULL;

	if (!json_object_object_get_ex(reasons, why, &list)) {
		list = json_object_new_array();
		set(reasons, why, list);
	}
	json_object_array_add(list, text(node));
}

static void add_l2(const struct announce_decision *d, const char *node, json_object *list)
{
	char buf[IP_STR_MAX];

	for (size_t i = 0; i < d->l2.n_ips; i++) {
		const struct announce_l2_ip *ip = &d->l2.ips[i];
		json_object *o = json_object_new_object();

		set(o, "address", text(ip_format(&ip->ip, buf)));
		set(o, "node", text(node));
		set(o, "interfaces", ip->all_interfaces ? text("all") : strs_json(&ip->interfaces));
		json_object_array_add(list, o);
	}
}

static json_object *path_json(const struct announce_path *p, const char *peer)
{
	json_object *o = json_object_new_object(), *communities = json_object_new_array();
	char buf[PREFIX_STR_MAX], community[48];

	for (size_t i = 0; i < p->n_communities; i++)
		json_object_array_add(communities, text(announce_community_format(
							   &p->communities[i], community)));
	set(o, "prefix", text(prefix_format(&p->prefix, buf)));
	set(o, "peer", text(peer));
	set(o, "localPref", json_object_new_int64(p->local_pref));
	set(o, "communities", communities);
	return o;
}

/* The same route from another node only adds the node. */
static void add_route(json_object *list, json_object *route, const char *node)
{
	json_object *nodes = NULL;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *known = json_object_array_get_idx(list, i);

		json_object_object_get_ex(known, "nodes", &nodes);
		json_object_object_add(route, "nodes", json_object_get(nodes));
		if (json_object_equal(known, route)) {
			json_object_array_add(nodes, text(node));
			json_object_put(route);
			return;
		}
	}
	nodes = json_object_new_array();
	json_object_array_add(nodes, text(node));
	json_object_object_add(route, "nodes", nodes);
	json_object_array_add(list, route);
}

static void add_bgp(struct model *m, const struct announce_decision *d, const struct node *node,
		    json_object *list)
{
	const struct announce_route **routes =
		arena_calloc(m->arena, d->bgp.n_routes, sizeof(*routes));

	for (size_t i = 0; i < d->bgp.n_routes; i++)
		routes[i] = &d->bgp.routes[i];
	for (size_t i = 0; i < m->cfg->n_peers; i++) {
		const struct config_peer *peer = &m->cfg->peers[i];
		const struct announce_path *paths;
		size_t n;

		if (!announce_peer_runs(peer, &node->obj.meta.labels))
			continue;
		paths = announce_paths_build(routes, d->bgp.n_routes, peer->name, m->arena, &n);
		for (size_t j = 0; j < n; j++)
			add_route(list, path_json(&paths[j], peer->name), node->obj.meta.name);
	}
}

/* ---- Services that share an address, elected together ---- */

/* Which Services have which address is the same on every node. */
void plan_share_all(struct model *m)
{
	if (!m->opt->group_shared || m->n_nodes == 0)
		return;
	m->shares = share_index_new();
	for (size_t i = 0; i < m->n_items; i++) {
		struct announce_decision d;

		announce_decide(m->views[0], &m->items[i].in, m->arena, &d);
		share_index_set(m->shares, m->items[i].key, d.ips,
				d.gate == ANNOUNCE_YES ? d.n_ips : 0);
	}
}

/* Those that it shares an address with, itself first; none when it is elected alone. */
static struct strs group_of(struct model *m, const struct item *item, struct ip *shared)
{
	struct strs group = {0};

	if (m->shares)
		group = share_index_group(m->shares, item->key, m->arena, shared);
	return group.n > 1 ? group : (struct strs){0};
}

/* As the speaker on node i decides. false: no node can announce all of the group. */
static bool decide(struct model *m, size_t i, const struct item *item, const struct strs *group,
		   const struct ip *shared, struct announce_decision *out)
{
	struct announce_service *in = arena_calloc(m->arena, group->n, sizeof(*in));
	struct announce_decision *all = arena_calloc(m->arena, group->n, sizeof(*all));

	announce_decide(m->views[i], &item->in, m->arena, out);
	if (group->n == 0)
		return true;
	for (size_t j = 0; j < group->n; j++) {
		in[j] = ((const struct item *)table_find(&m->by_key, group->items[j]))->in;
		announce_decide(m->views[i], &in[j], m->arena, &all[j]);
	}
	if (!announce_decide_group(m->views[i], in, group->n, shared, m->arena, all))
		return false;
	*out = all[0];
	return true;
}

/* ---- one Service on all nodes ---- */

struct reasons {
	json_object *l2, *bgp;
};

static void add_reasons(const struct announce_decision *d, const char *node, struct reasons *r)
{
	struct buf why = {0};

	if (d->l2.reason != ANNOUNCE_YES) {
		announce_l2_explain(d, &why);
		add_reason(r->l2, buf_str(&why), node);
	}
	buf_clear(&why);
	if (d->bgp.reason != ANNOUNCE_YES) {
		announce_bgp_explain(d, &why);
		add_reason(r->bgp, buf_str(&why), node);
	}
	buf_fini(&why);
}

void plan_announce(struct model *m, const struct item *item)
{
	static const char no_speaker[] = "no Ready speaker runs there";
	struct ip shared = {0};
	struct strs group = group_of(m, item, &shared), others;
	json_object *l2 = json_object_new_array(), *bgp = json_object_new_array();
	struct reasons no = {json_object_new_object(), json_object_new_object()};
	bool together = true;

	for (size_t i = 0; i < m->n_nodes; i++) {
		const char *node = m->nodes[i]->obj.meta.name;
		struct announce_decision d;

		if (!has_speaker(m, node)) {
			add_reason(no.l2, no_speaker, node);
			add_reason(no.bgp, no_speaker, node);
			continue;
		}
		together &= decide(m, i, item, &group, &shared, &d);
		add_l2(&d, node, l2);
		add_bgp(m, &d, m->nodes[i], bgp);
		add_reasons(&d, node, &no);
	}
	set(item->out, "layer2", l2);
	set(item->out, "layer2Reasons", no.l2);
	set(item->out, "bgp", bgp);
	set(item->out, "bgpReasons", no.bgp);
	if (group.n == 0)
		return;
	others = (struct strs){group.items + 1, group.n - 1};
	set(item->out, "sharesWith", strs_json(&others));
	set(item->out, "electedTogether", json_object_new_boolean(together));
}
