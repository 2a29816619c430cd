/*
 * What the programs would make of a set of objects: the allocator's and the announcer's own cores
 * run over them, and the outcome becomes one JSON value.
 */
#include "operator/cli/plan_impl.h"

#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"

/* ---- decoding and the configuration ---- */

static void add_finding(struct model *m, const char *severity, const char *kind, const char *ns,
			const char *name, const char *field, const char *reason)
{
	json_object *f = json_object_new_object();

	set(f, "severity", text(severity));
	set(f, "kind", text(kind));
	set(f, "namespace", text(ns));
	set(f, "name", text(name));
	set(f, "field", text(field));
	set(f, "reason", text(reason));
	json_object_array_add(m->findings, f);
}

/*
 * A manifest that no server has seen has no cluster IP; which families a server would give it
 * decides what it gets here. The cluster is taken to have both.
 */
static void assume_cluster_ips(json_object *service)
{
	json_object *spec = NULL, *v = NULL, *ips;
	const char *policy = "", *first = "IPv4";

	if (!json_object_object_get_ex(service, "spec", &spec) ||
	    !json_object_is_type(spec, json_type_object) ||
	    json_object_object_get_ex(spec, "clusterIP", &v) ||
	    json_object_object_get_ex(spec, "clusterIPs", &v))
		return;
	if (json_object_object_get_ex(spec, "ipFamilyPolicy", &v) && json_object_get_string(v))
		policy = json_object_get_string(v);
	if (json_object_object_get_ex(spec, "ipFamilies", &v) &&
	    json_object_is_type(v, json_type_array) && json_object_array_length(v) > 0)
		first = json_object_get_string(json_object_array_get_idx(v, 0));
	bool v6 = first && strcmp(first, "IPv6") == 0, dual = strstr(policy, "DualStack") != NULL;

	ips = json_object_new_array();
	json_object_array_add(ips, json_object_new_string(v6 ? "::" : "0.0.0.0"));
	if (dual)
		json_object_array_add(ips, json_object_new_string(v6 ? "0.0.0.0" : "::"));
	json_object_object_add(spec, "clusterIPs", ips);
}

static void decode_all(struct model *m)
{
	for (size_t i = 0; i < m->docs->n; i++) {
		struct doc *doc = &m->docs->items[i];
		struct err err;

		if (!doc->known || doc->obj)
			continue;
		if (doc->kind == API_SERVICE)
			assume_cluster_ips(doc->json);
		doc->obj = api_decode(doc->kind, doc->json, &err);
		if (!doc->obj)
			add_finding(m, "error", doc->kind_name, doc->ns, doc->name, "", err.msg);
	}
	doc_lists_init(&m->lists, m->docs, m->docs->n, NULL);
}

static void build(struct model *m)
{
	struct config_options opt = {.backend = m->opt->backend};

	config_build(&m->lists.objs, &opt, &m->cfg, &m->report);
	for (size_t i = 0; i < m->report->n_findings; i++) {
		const struct config_finding *f = &m->report->findings[i];

		add_finding(m, f->severity == FINDING_WARNING ? "warning" : "error",
			    api_kind_info(f->obj->kind)->kind, f->obj->meta.namespace,
			    f->obj->meta.name, f->field, f->message);
	}
}

static int object_cmp(const void *x, const void *y)
{
	const struct api_object *const *a = x, *const *b = y;
	int c = strcmp((*a)->meta.namespace, (*b)->meta.namespace);

	return c ? c : strcmp((*a)->meta.name, (*b)->meta.name);
}

static void index_slices(struct model *m)
{
	for (size_t i = 0; i < m->lists.n[API_ENDPOINTSLICE]; i++) {
		const struct endpointslice *s = m->lists.items[API_ENDPOINTSLICE][i];
		const char *key =
			arena_printf(m->arena, "%s/%s", s->obj.meta.namespace, s->service_name);
		struct slice_list *l = table_find(&m->slices, key);

		if (!l) {
			l = arena_alloc(m->arena, sizeof(*l));
			table_set(&m->slices, key, l);
		}
		ARRAY_GROW(l->items, l->n, l->cap);
		l->items[l->n++] = s;
	}
}

/* ---- allocation ---- */

/* Pools that exist but are not in the configuration: Services that hold an address keep it. */
static struct strs broken_pools(struct model *m)
{
	const struct objects *o = &m->lists.objs;
	const char **names = arena_calloc(m->arena, o->n_pools, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; i < o->n_pools; i++)
		if (!config_find_pool(m->cfg, o->pools[i]->obj.meta.name))
			names[n++] = o->pools[i]->obj.meta.name;
	return (struct strs){names, n};
}

static void set_node_addresses(struct model *m)
{
	struct ip *ips = NULL;
	const char **names = NULL;
	size_t n = 0, cap_ips = 0, cap_names = 0;

	for (size_t i = 0; i < m->n_nodes; i++)
		for (size_t j = 0; j < m->nodes[i]->addresses.n; j++) {
			struct ip ip;

			if (!ip_parse(m->nodes[i]->addresses.items[j], &ip))
				continue;
			ARRAY_GROW(ips, n, cap_ips);
			ARRAY_GROW(names, n, cap_names);
			ips[n] = ip;
			names[n++] = m->nodes[i]->obj.meta.name;
		}
	services_set_nodes(m->services, ips, names, n);
	free(ips);
	free(names);
}

static void start_services(struct model *m)
{
	struct services_options opt = {
		.alloc = {.two_pools = true, .avoid_addresses = true, .avoid_nodes = true},
		.explain = true,
		.lb_class = m->opt->lb_class,
	};
	struct strs broken = broken_pools(m);
	size_t n = m->lists.n[API_SERVICE];

	m->services = services_new(&opt);
	set_node_addresses(m);
	services_set_config(m->services, m->cfg, &broken);
	for (size_t i = 0; i < n; i++)
		services_adopt(m->services, m->lists.items[API_SERVICE][i]);
}

/* Why it has not got what it asks for: the condition's words, else the last warning's. */
static const char *failure(const struct services_result *r)
{
	if (r->condition.wanted && !r->condition.status)
		return r->condition.message;
	for (size_t i = r->n_events; i-- > 0;)
		if (r->events[i].warning)
			return r->events[i].message;
	return "";
}

/* The Service as it will be once its status is written. */
static struct service *as_allocated(struct model *m, const struct service *svc,
				    const struct services_result *r, json_object *out)
{
	struct service *next = arena_memdup(m->arena, svc, sizeof(*svc));
	const char **ips = arena_calloc(m->arena, ALLOC_IPS_MAX, sizeof(*ips));
	const char **hosts = arena_calloc(m->arena, ALLOC_IPS_MAX, sizeof(*hosts));
	json_object *list = json_object_new_array();
	char buf[IP_STR_MAX];

	if (!r->keep) {
		for (size_t i = 0; i < r->ips.n; i++) {
			ips[i] = arena_strdup(m->arena, ip_format(&r->ips.ip[i], buf));
			hosts[i] = "";
		}
		next->ingress = (struct strs){ips, r->ips.n};
		next->ingress_hostnames = (struct strs){hosts, r->ips.n};
	}
	for (size_t i = 0; i < next->ingress.n; i++)
		if (*next->ingress.items[i])
			json_object_array_add(list, text(next->ingress.items[i]));
	set(out, "addresses", list);
	set(out, "pool", r->pool ? text(r->pool) : NULL);
	if (*failure(r))
		set(out, "reason", text(failure(r)));
	return next;
}

/* Older first, then as the documents come: that is how the operator gets to see them. */
static const struct service **services_in_order(struct model *m)
{
	size_t n = m->lists.n[API_SERVICE];
	const struct service **order = arena_calloc(m->arena, n, sizeof(*order));

	for (size_t i = 0; i < n; i++) {
		const struct service *svc = m->lists.items[API_SERVICE][i];
		size_t at = i;

		for (; at > 0 && order[at - 1]->obj.meta.created > svc->obj.meta.created; at--)
			order[at] = order[at - 1];
		order[at] = svc;
	}
	return order;
}

static void plan_service(struct model *m, const struct service *svc)
{
	struct services_result r;

	services_converge(m->services, svc, 0, &r);
	if (r.ours && strcmp(svc->type, "LoadBalancer") == 0) {
		struct item *item = &m->items[m->n_items++];
		const struct slice_list *slices;

		item->out = json_object_new_object();
		item->key = arena_printf(m->arena, "%s/%s", svc->obj.meta.namespace,
					 svc->obj.meta.name);
		set(item->out, "namespace", text(svc->obj.meta.namespace));
		set(item->out, "name", text(svc->obj.meta.name));
		slices = table_find(&m->slices, item->key);
		item->in = (struct announce_service){as_allocated(m, svc, &r, item->out),
						     slices ? slices->items : NULL,
						     slices ? slices->n : 0};
		table_set(&m->by_key, item->key, item);
	}
	services_result_fini(&r);
}

static int by_name(const void *x, const void *y)
{
	json_object *a = *(json_object *const *)x, *b = *(json_object *const *)y;
	int c = strcmp(json_object_get_string(json_object_object_get(a, "namespace")),
		       json_object_get_string(json_object_object_get(b, "namespace")));

	return c ? c
		 : strcmp(json_object_get_string(json_object_object_get(a, "name")),
			  json_object_get_string(json_object_object_get(b, "name")));
}

/* First every address, then who announces what. */
static json_object *plan_services(struct model *m)
{
	const struct service **order = services_in_order(m);
	json_object *list = json_object_new_array();

	m->items = arena_calloc(m->arena, m->lists.n[API_SERVICE], sizeof(*m->items));
	for (size_t i = 0; i < m->lists.n[API_SERVICE]; i++)
		plan_service(m, order[i]);
	plan_share_all(m);
	for (size_t i = 0; i < m->n_items; i++) {
		plan_announce(m, &m->items[i]);
		json_object_array_add(list, m->items[i].out);
	}
	json_object_array_sort(list, by_name);
	return list;
}

static void model_fini(struct model *m)
{
	for (size_t i = 0; i < m->n_nodes; i++)
		announce_view_free(m->views[i]);
	free(m->views);
	share_index_free(m->shares);
	table_fini(&m->by_key);
	services_free(m->services);
	config_report_free(m->report);
	config_free(m->cfg);
	table_for_each (&m->slices, e) {
		struct slice_list *l = e->value;

		free(l->items);
	}
	table_fini(&m->slices);
	doc_lists_fini(&m->lists);
	arena_free(m->arena);
}

json_object *plan_model(const struct cli_options *opt, struct docs *docs)
{
	struct model m = {.opt = opt, .docs = docs, .arena = arena_new()};

	m.out = json_object_new_object();
	m.findings = json_object_new_array();
	table_init(&m.slices);
	table_init(&m.by_key);
	decode_all(&m);
	build(&m);
	m.nodes = m.lists.objs.nodes;
	m.n_nodes = m.lists.objs.n_nodes;
	if (m.n_nodes > 1)
		qsort(m.lists.items[API_NODE], m.n_nodes, sizeof(void *), object_cmp);
	index_slices(&m);
	start_services(&m);
	plan_find_speakers(&m);
	plan_start_views(&m);
	set(m.out, "services", plan_services(&m));
	set(m.out, "findings", m.findings);
	model_fini(&m);
	return m.out;
}
