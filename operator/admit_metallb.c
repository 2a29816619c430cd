/*
 * The MetalLB resource: what its schema cannot say.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/admit_impl.h"
#include "operator/review.h"

#define NAME      "metallb"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void json_putp(struct json_object **o)
{
	json_object_put(*o);
}

static bool refuse(struct admit_verdict *v, const struct metallb *m, const char *field,
		   const char *what)
{
	return verdict_refuse(v, 403, "MetalLB %s/%s: %s: %s", m->obj.meta.namespace,
			      m->obj.meta.name, field, what);
}

static void check_tolerations(const struct metallb *m, const char *field, const char *text,
			      struct admit_verdict *v)
{
	_cleanup_(json_putp) struct json_object *list = *text ? json_tokener_parse(text) : NULL;

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *t = json_object_array_get_idx(list, i);
		struct json_object *seconds = review_get(t, "tolerationSeconds", json_type_int);
		_cleanup_free_ char *where = NULL;

		if (!seconds || json_object_get_int64(seconds) <= 0 ||
		    strcmp(review_str(t, "effect"), "NoExecute") == 0)
			continue;
		where = xasprintf("spec.%s[%zu].tolerationSeconds", field, i);
		refuse(v, m, where, "needs the effect NoExecute");
	}
}

static void check_weights(const struct metallb *m, const char *config, const char *kind,
			  struct json_object *affinity, struct admit_verdict *v)
{
	struct json_object *list = review_get(review_get(affinity, kind, json_type_object),
					      PREFERRED, json_type_array);

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *w =
			review_get(json_object_array_get_idx(list, i), "weight", json_type_int);
		int64_t weight = json_object_get_int64(w);
		_cleanup_free_ char *where = NULL;

		if (!w || (weight >= 1 && weight <= 100))
			continue;
		where = xasprintf("spec.%s.affinity.%s." PREFERRED "[%zu].weight", config, kind, i);
		_cleanup_free_ char *what = xasprintf("%" PRId64 " is not in 1..100", weight);

		refuse(v, m, where, what);
	}
}

static void check_affinity(const struct metallb *m, const char *config, const char *text,
			   struct admit_verdict *v)
{
	static const char *const kinds[] = {"nodeAffinity", "podAffinity", "podAntiAffinity"};
	_cleanup_(json_putp) struct json_object *affinity = *text ? json_tokener_parse(text) : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		check_weights(m, config, kinds[i], affinity, v);
}

static void check_backend(const struct admit_snapshot *s, const struct metallb *m,
			  struct admit_verdict *v)
{
	static const char *const known[] = {"", "native", "frr", "frr-k8s", "frr-k8s-external"};
	bool ok = false;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		ok |= strcmp(m->bgp_backend, known[i]) == 0;
	if (!ok) {
		_cleanup_free_ char *what =
			xasprintf("\"%.100s\" is none of native, frr, frr-k8s, frr-k8s-external",
				  m->bgp_backend);

		refuse(v, m, "spec.bgpBackend", what);
	}
	if (strcmp(m->bgp_backend, "frr-k8s-external") == 0 && !*m->frrk8s_namespace &&
	    !s->frrk8s_namespace_known)
		refuse(v, m, "spec.frrk8sConfig.namespace",
		       "is required for the backend frr-k8s-external");
}

static void check_always_block(const struct metallb *m, struct admit_verdict *v)
{
	for (size_t i = 0; i < m->always_block.n; i++) {
		const char *text = m->always_block.items[i];
		size_t n;
		struct prefix p;

		text += strspn(text, " \t");
		for (n = strlen(text); n > 0 && strchr(" \t", text[n - 1]); n--)
			;
		if (prefix_parse_n(text, n, &p))
			continue;
		_cleanup_free_ char *where = xasprintf("spec.frrk8sConfig.alwaysBlock[%zu]", i);
		_cleanup_free_ char *what = xasprintf("\"%.100s\" is not a prefix", text);

		refuse(v, m, where, what);
	}
}

void admit_check_metallb(const struct admit_snapshot *s, const struct metallb *m, bool create,
			 struct admit_verdict *v)
{
	if (create && strcmp(m->obj.meta.name, NAME) != 0)
		refuse(v, m, "metadata.name", "the one MetalLB resource is named " NAME);
	check_tolerations(m, "controllerTolerations", m->controller_tolerations, v);
	check_tolerations(m, "speakerTolerations", m->speaker_tolerations, v);
	check_affinity(m, "controllerConfig", m->controller.affinity, v);
	check_affinity(m, "speakerConfig", m->speaker.affinity, v);
	check_backend(s, m, v);
	check_always_block(m, v);
}
