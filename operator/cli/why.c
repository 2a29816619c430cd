/*
 * kubectl metallb why: one Service of a cluster. What the programs should make of it, by the same
 * code as the plan; beside it, what the speakers say that they do.
 */
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/cli/plan_model.h"
#include "operator/cli/plan_text.h"

struct target {
	const char *ns, *name;
	char *copy; /* both point into it or into the context's namespace */
	char *context_ns;
};

static bool target_find(const struct cli_options *opt, struct target *t, struct err *err)
{
	char *slash;

	*t = (struct target){.copy = xstrdup(opt->paths[0])};
	t->name = t->copy;
	slash = strchr(t->copy, '/');
	if (slash) {
		*slash = '\0';
		t->ns = t->copy;
		t->name = slash + 1;
		return true;
	}
	t->ns = opt->given_ns;
	if (!t->ns)
		t->ns = t->context_ns = docs_context_namespace(opt->kubeconfig, opt->context, err);
	return t->ns != NULL;
}

static void target_fini(struct target *t)
{
	free(t->copy);
	free(t->context_ns);
}

static const struct service *service_find(const struct docs *docs, const struct target *t)
{
	for (size_t i = 0; i < docs->n; i++) {
		const struct api_object *o = docs->items[i].obj;

		if (o && o->kind == API_SERVICE && strcmp(o->meta.namespace, t->ns) == 0 &&
		    strcmp(o->meta.name, t->name) == 0)
			return (const void *)o;
	}
	return NULL;
}

static json_object *planned_find(json_object *plan, const struct target *t)
{
	json_object *list = plan_member(plan, "services");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *svc = json_object_array_get_idx(list, i);

		if (strcmp(plan_str(svc, "namespace"), t->ns) == 0 &&
		    strcmp(plan_str(svc, "name"), t->name) == 0)
			return svc;
	}
	return NULL;
}

/* ---- what the speakers say ---- */

static json_object *strs_json(const struct strs *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(list, json_object_new_string(s->items[i]));
	return list;
}

/* [{node, interfaces or peers}] of the status objects of the kind. */
static json_object *statuses(const struct docs *docs, const struct target *t, enum api_kind kind)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < docs->n; i++) {
		const struct service_status *s = (const void *)docs->items[i].obj;
		bool l2 = kind == API_SERVICEL2STATUS;

		if (!s || s->obj.kind != kind || strcmp(s->service_namespace, t->ns) != 0 ||
		    strcmp(s->service_name, t->name) != 0)
			continue;
		json_object *o = json_object_new_object();

		json_object_object_add(o, "node", json_object_new_string(s->node));
		json_object_object_add(o, l2 ? "interfaces" : "peers",
				       strs_json(l2 ? &s->interfaces : &s->peers));
		json_object_array_add(list, o);
	}
	return list;
}

static void print_statuses(const char *what, json_object *list, const char *of)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		_cleanup_free_ char *names = plan_join(plan_member(o, of));

		printf("    %s: node %s says that it announces%s%s\n", what, plan_str(o, "node"),
		       *names ? (strcmp(of, "peers") == 0 ? " to " : " on ") : "", names);
	}
}

/* ---- the answer ---- */

static bool is_empty(json_object *list)
{
	return json_object_array_length(list) == 0;
}

static void print_answer(json_object *svc, const struct target *t)
{
	_cleanup_free_ char *addresses = plan_join(plan_member(svc, "addresses"));
	_cleanup_free_ char *layer2 = plan_layer2_text(svc);
	json_object *routes = plan_member(svc, "bgp");
	const char *pool = plan_str(svc, "pool");

	printf("%s/%s\n", t->ns, t->name);
	printf("    address: %s%s%s\n", *addresses ? addresses : "none", *pool ? " from pool " : "",
	       pool);
	if (*plan_str(svc, "reason"))
		printf("    pending: %s\n", plan_str(svc, "reason"));
	if (!*addresses)
		return;
	if (*layer2)
		printf("    layer 2: %s\n", layer2);
	plan_print_group(svc);
	print_statuses("layer 2", plan_member(svc, "layer2Status"), "interfaces");
	plan_print_reasons(*layer2 ? "not by layer 2 elsewhere" : "no layer 2",
			   plan_member(svc, "layer2Reasons"));
	for (size_t i = 0; i < json_object_array_length(routes); i++) {
		_cleanup_free_ char *route = plan_route_text(json_object_array_get_idx(routes, i));

		printf("    bgp: %s\n", route);
	}
	print_statuses("bgp", plan_member(svc, "bgpStatus"), "peers");
	plan_print_reasons(is_empty(routes) ? "no bgp" : "not by bgp elsewhere",
			   plan_member(svc, "bgpReasons"));
}

/* Why the plan has nothing to say of it. */
static int not_ours(const struct cli_options *opt, const struct docs *docs, const struct target *t)
{
	const struct service *svc = service_find(docs, t);
	const char *class = svc && svc->load_balancer_class ? svc->load_balancer_class : "";

	if (!svc) {
		fprintf(stderr, "kubectl-metallb: there is no Service %s/%s\n", t->ns, t->name);
		return 2;
	}
	if (strcmp(svc->type, "LoadBalancer") != 0)
		printf("%s/%s is of type %s: only Services of type LoadBalancer get an address\n",
		       t->ns, t->name, svc->type);
	else
		printf("%s/%s has the loadBalancerClass \"%s\", the class served here is \"%s\" "
		       "(--lb-class)\n",
		       t->ns, t->name, class, opt->lb_class);
	return 1;
}

static int answer(const struct cli_options *opt, struct docs *docs, const struct target *t)
{
	json_object *plan = plan_model(opt, docs), *svc = planned_find(plan, t);
	int rc;

	if (!svc) {
		rc = not_ours(opt, docs, t);
	} else {
		json_object_object_add(svc, "layer2Status", statuses(docs, t, API_SERVICEL2STATUS));
		json_object_object_add(svc, "bgpStatus", statuses(docs, t, API_SERVICEBGPSTATUS));
		rc = is_empty(plan_member(svc, "layer2")) && is_empty(plan_member(svc, "bgp"));
		if (opt->output == OUTPUT_TEXT) {
			plan_print_findings(plan_member(plan, "findings"));
			print_answer(svc, t);
		} else {
			cli_print(svc, opt->output);
		}
	}
	json_object_put(plan);
	return rc;
}

int cli_why(const struct cli_options *opt)
{
	struct target t;
	struct docs docs;
	struct err err = {0};
	int rc = 2;

	docs_init(&docs, opt->ns);
	if (target_find(opt, &t, &err) &&
	    docs_load_cluster(&docs, opt->kubeconfig, opt->context, &err))
		rc = answer(opt, &docs, &t);
	else
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	target_fini(&t);
	docs_fini(&docs);
	return rc;
}
