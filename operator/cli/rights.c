/*
 * The rights that config/rbac gives to the service accounts, rule by rule, as access reviews ask
 * for them. Pure.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/kube.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/cli/doctor.h"

#define WRITTEN_NS "metallb-system" /* in the manifests */

struct rights {
	json_object *docs, *out;
	const char *ns;
};

static bool keep(void *user, struct json_object *value, size_t line, struct err *err)
{
	(void)line;
	(void)err;
	json_object_array_add(user, json_object_get(value));
	return true;
}

static size_t length(json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *text_at(json_object *list, size_t i)
{
	return i < length(list) ? json_object_get_string(json_object_array_get_idx(list, i)) : "";
}

static void set(json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static const char *real_ns(const struct rights *r, const char *ns)
{
	return strcmp(ns, WRITTEN_NS) == 0 ? r->ns : ns;
}

static json_object *find_role(const struct rights *r, const char *kind, const char *ns,
			      const char *name)
{
	for (size_t i = 0; i < length(r->docs); i++) {
		json_object *o = json_object_array_get_idx(r->docs, i);

		if (strcmp(kube_json_str(o, "kind"), kind) == 0 &&
		    strcmp(kube_meta_str(o, "name"), name) == 0 &&
		    (strcmp(kind, "ClusterRole") == 0 ||
		     strcmp(kube_meta_str(o, "namespace"), ns) == 0))
			return o;
	}
	return NULL;
}

static void add_right(struct rights *r, const char *account, const char *ns, const char *group,
		      const char *resource, const char *verb, const char *name)
{
	const char *slash = strchr(resource, '/');
	_cleanup_free_ char *plain = xstrndup(resource, strcspn(resource, "/"));
	json_object *o = json_object_new_object();

	set(o, "account", account);
	set(o, "verb", verb);
	set(o, "group", group);
	set(o, "resource", plain);
	set(o, "subresource", slash ? slash + 1 : "");
	set(o, "name", name);
	set(o, "namespace", ns);
	json_object_array_add(r->out, o);
}

static void add_rule(struct rights *r, const char *account, const char *ns, json_object *rule)
{
	json_object *groups = kube_json_get(rule, "apiGroups");
	json_object *resources = kube_json_get(rule, "resources");
	json_object *verbs = kube_json_get(rule, "verbs");
	json_object *names = kube_json_get(rule, "resourceNames");
	size_t n_names = length(names) ? length(names) : 1;

	for (size_t g = 0; g < length(groups); g++)
		for (size_t i = 0; i < length(resources); i++)
			for (size_t v = 0; v < length(verbs); v++)
				for (size_t n = 0; n < n_names; n++)
					add_right(r, account, ns, text_at(groups, g),
						  text_at(resources, i), text_at(verbs, v),
						  text_at(names, n));
}

static void add_binding(struct rights *r, json_object *binding)
{
	json_object *ref = kube_json_get(binding, "roleRef");
	json_object *subjects = kube_json_get(binding, "subjects");
	const char *ns = kube_meta_str(binding, "namespace");
	json_object *role =
		find_role(r, kube_json_str(ref, "kind"), ns, kube_json_str(ref, "name"));
	json_object *rules = kube_json_get(role, "rules");

	for (size_t s = 0; s < length(subjects); s++)
		for (size_t i = 0; i < length(rules); i++)
			add_rule(r, kube_json_str(json_object_array_get_idx(subjects, s), "name"),
				 real_ns(r, ns), json_object_array_get_idx(rules, i));
}

struct json_object *rights_of(const char *yaml, const char *ns, struct err *err)
{
	struct rights r = {json_object_new_array(), json_object_new_array(), ns};

	if (!yaml_parse_stream(yaml, strlen(yaml), keep, r.docs, err)) {
		json_object_put(r.docs);
		json_object_put(r.out);
		return NULL;
	}
	for (size_t i = 0; i < length(r.docs); i++) {
		json_object *o = json_object_array_get_idx(r.docs, i);
		const char *kind = kube_json_str(o, "kind");

		if (strcmp(kind, "RoleBinding") == 0 || strcmp(kind, "ClusterRoleBinding") == 0)
			add_binding(&r, o);
	}
	json_object_put(r.docs);
	return r.out;
}
