/*
 * kubectl metallb plan: prints the plan, or what changes against another state.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/cli/plan_model.h"
#include "operator/cli/plan_text.h"

static char *bgp_text(json_object *svc)
{
	json_object *list = plan_member(svc, "bgp");
	struct buf b = {0};

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		_cleanup_free_ char *route = plan_route_text(json_object_array_get_idx(list, i));

		buf_printf(&b, "%s%s", i ? "; " : "", route);
	}
	return buf_steal(&b);
}

static void print_service(json_object *svc)
{
	_cleanup_free_ char *addresses = plan_join(plan_member(svc, "addresses"));
	json_object *routes = plan_member(svc, "bgp"), *l2 = plan_member(svc, "layer2");
	_cleanup_free_ char *layer2 = plan_layer2_text(svc);
	_cleanup_free_ char *name =
		xasprintf("%s/%s", plan_str(svc, "namespace"), plan_str(svc, "name"));

	printf("%-40s %-40s %s\n", name, *addresses ? addresses : "<none>",
	       *plan_str(svc, "pool") ? plan_str(svc, "pool") : "-");
	if (*plan_str(svc, "reason"))
		printf("    pending: %s\n", plan_str(svc, "reason"));
	if (!*addresses)
		return;
	if (*layer2)
		printf("    layer 2: %s\n", layer2);
	for (size_t i = 0; i < json_object_array_length(routes); i++) {
		_cleanup_free_ char *route = plan_route_text(json_object_array_get_idx(routes, i));

		printf("    bgp: %s\n", route);
	}
	plan_print_group(svc);
	if (json_object_array_length(l2) == 0)
		plan_print_reasons("no layer 2", plan_member(svc, "layer2Reasons"));
	if (json_object_array_length(routes) == 0)
		plan_print_reasons("no bgp", plan_member(svc, "bgpReasons"));
}

static void print_plan(json_object *plan)
{
	json_object *services = plan_member(plan, "services");

	plan_print_findings(plan_member(plan, "findings"));
	printf("%-40s %-40s %s\n", "SERVICE", "ADDRESSES", "POOL");
	for (size_t i = 0; i < json_object_array_length(services); i++)
		print_service(json_object_array_get_idx(services, i));
}

/* ---- changes ---- */

struct side {
	char *addresses, *layer2, *bgp;
};

static struct side side_of(json_object *svc)
{
	if (!svc)
		return (struct side){xstrdup(""), xstrdup(""), xstrdup("")};
	return (struct side){plan_join(plan_member(svc, "addresses")), plan_layer2_text(svc),
			     bgp_text(svc)};
}

static void side_fini(struct side *s)
{
	free(s->addresses);
	free(s->layer2);
	free(s->bgp);
}

static void add_change(json_object *list, json_object *svc, const char *what, const char *before,
		       const char *after)
{
	json_object *c;

	if (strcmp(before, after) == 0)
		return;
	c = json_object_new_object();
	json_object_object_add(c, "namespace", json_object_new_string(plan_str(svc, "namespace")));
	json_object_object_add(c, "name", json_object_new_string(plan_str(svc, "name")));
	json_object_object_add(c, "what", json_object_new_string(what));
	json_object_object_add(c, "before", json_object_new_string(before));
	json_object_object_add(c, "after", json_object_new_string(after));
	json_object_array_add(list, c);
}

static void compare(json_object *list, json_object *before, json_object *after)
{
	json_object *svc = after ? after : before;
	struct side a = side_of(before), b = side_of(after);

	add_change(list, svc, "addresses", a.addresses, b.addresses);
	add_change(list, svc, "layer2", a.layer2, b.layer2);
	add_change(list, svc, "bgp", a.bgp, b.bgp);
	side_fini(&a);
	side_fini(&b);
}

static void index_services(json_object *plan, struct table *out)
{
	json_object *services = plan_member(plan, "services");

	table_init(out);
	for (size_t i = 0; i < json_object_array_length(services); i++) {
		json_object *svc = json_object_array_get_idx(services, i);
		_cleanup_free_ char *key =
			xasprintf("%s/%s", plan_str(svc, "namespace"), plan_str(svc, "name"));

		table_set(out, key, svc);
	}
}

static json_object *changes_of(json_object *before, json_object *after)
{
	json_object *list = json_object_new_array();
	struct table old, now;

	index_services(before, &old);
	index_services(after, &now);
	table_for_each (&now, e)
		compare(list, table_find(&old, e->key), e->value);
	table_for_each (&old, e)
		if (!table_find(&now, e->key))
			compare(list, e->value, NULL);
	table_fini(&old);
	table_fini(&now);
	return list;
}

static void print_changes(json_object *list)
{
	if (json_object_array_length(list) == 0)
		puts("no change");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *c = json_object_array_get_idx(list, i);
		const char *before = plan_str(c, "before"), *after = plan_str(c, "after");

		printf("%s/%s: %s: %s -> %s\n", plan_str(c, "namespace"), plan_str(c, "name"),
		       plan_str(c, "what"), *before ? before : "none", *after ? after : "none");
	}
}

/* ---- the command ---- */

static json_object *load(const struct cli_options *opt, char *const *paths, size_t n, bool cluster)
{
	json_object *plan = NULL;
	struct docs docs;
	struct err err;
	bool ok = true;

	docs_init(&docs, opt->ns);
	if (cluster)
		ok = docs_load_cluster(&docs, opt->kubeconfig, opt->context, &err);
	for (size_t i = 0; i < n && ok; i++)
		ok = docs_load(&docs, paths[i], &err);
	if (ok)
		plan = plan_model(opt, &docs);
	else
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	docs_fini(&docs);
	return plan;
}

static int show_changes(const struct cli_options *opt, json_object *plan)
{
	char *paths[] = {(char *)(uintptr_t)opt->before};
	json_object *before = load(opt, paths, 1, false);

	if (!before)
		return 2;
	json_object *changes = changes_of(before, plan);
	bool any = json_object_array_length(changes) > 0;

	if (opt->output == OUTPUT_TEXT) {
		plan_print_findings(plan_member(plan, "findings"));
		print_changes(changes);
	} else {
		cli_print(changes, opt->output);
	}
	json_object_put(changes);
	json_object_put(before);
	return any;
}

int cli_plan(const struct cli_options *opt)
{
	/* files on top of the cluster's objects: what applying them would do */
	json_object *plan = load(opt, opt->paths, opt->n_paths, opt->cluster);
	int rc = 0;

	if (!plan)
		return 2;
	if (opt->before)
		rc = show_changes(opt, plan);
	else if (opt->output == OUTPUT_TEXT)
		print_plan(plan);
	else
		cli_print(plan, opt->output);
	json_object_put(plan);
	return rc;
}
