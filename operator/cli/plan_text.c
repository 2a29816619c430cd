/*
 * What the plan's values say, in words.
 */
#include "operator/cli/plan_text.h"

#include <stdio.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"

json_object *plan_member(json_object *o, const char *name)
{
	json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

const char *plan_str(json_object *o, const char *name)
{
	json_object *v = plan_member(o, name);

	return v ? json_object_get_string(v) : "";
}

/* "a, b" of a list of texts. */
char *plan_join(json_object *list)
{
	struct buf b = {0};

	for (size_t i = 0; i < json_object_array_length(list); i++)
		buf_printf(&b, "%s%s", i ? ", " : "",
			   json_object_get_string(json_object_array_get_idx(list, i)));
	return buf_steal(&b);
}

/* "10.0.0.1 by node1 on eth0" of each address, sorted as the plan has them. */
char *plan_layer2_text(json_object *svc)
{
	json_object *list = plan_member(svc, "layer2");
	struct buf b = {0};

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		json_object *on = plan_member(o, "interfaces");
		_cleanup_free_ char *names =
			json_object_is_type(on, json_type_array) ? plan_join(on) : xstrdup("all");

		buf_printf(&b, "%s%s by %s on %s", i ? "; " : "", plan_str(o, "address"),
			   plan_str(o, "node"), names);
	}
	return buf_steal(&b);
}

char *plan_route_text(json_object *o)
{
	_cleanup_free_ char *nodes = plan_join(plan_member(o, "nodes"));
	_cleanup_free_ char *communities = plan_join(plan_member(o, "communities"));
	int64_t pref = json_object_get_int64(plan_member(o, "localPref"));
	struct buf b = {0};

	buf_printf(&b, "%s to %s from %s", plan_str(o, "prefix"), plan_str(o, "peer"), nodes);
	if (pref)
		buf_printf(&b, ", local preference %lld", (long long)pref);
	if (*communities)
		buf_printf(&b, ", communities %s", communities);
	return buf_steal(&b);
}

#define NODES_SHOWN 3

void plan_print_reasons(const char *what, json_object *reasons)
{
	json_object_object_foreach(reasons, why, nodes)
	{
		size_t n = json_object_array_length(nodes);

		printf("    %s: %s (", what, why);
		for (size_t i = 0; i < n && i < NODES_SHOWN; i++)
			printf("%s%s", i ? ", " : "",
			       json_object_get_string(json_object_array_get_idx(nodes, i)));
		if (n > NODES_SHOWN)
			printf(" and %zu more", n - NODES_SHOWN);
		puts(")");
	}
}

void plan_print_findings(json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *f = json_object_array_get_idx(list, i);

		printf("%s: %s %s/%s: %s%s%s\n", plan_str(f, "severity"), plan_str(f, "kind"),
		       plan_str(f, "namespace"), plan_str(f, "name"), plan_str(f, "field"),
		       *plan_str(f, "field") ? ": " : "", plan_str(f, "reason"));
	}
}

void plan_print_group(json_object *svc)
{
	json_object *others = plan_member(svc, "sharesWith");

	if (!others)
		return;
	_cleanup_free_ char *names = plan_join(others);

	if (json_object_get_boolean(plan_member(svc, "electedTogether")))
		printf("    layer 2: elected together with %s\n", names);
	else
		printf("    layer 2: elected alone, no node could announce %s, too\n", names);
}
