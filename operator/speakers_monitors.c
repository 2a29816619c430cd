/*
 * Monitors that an operator with other settings has made: looked for once by each leader, one after
 * the other, and removed. Those of the present settings are watched like all else that is ours.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/speakers_impl.h"

/* Which of the settings makes it. */
static const struct monitor {
	const struct kube_resource *resource;
	const char *name;
	bool pod_monitors;
} all[] = {
	{&render_pod_monitors, "controller", true},
	{&render_pod_monitors, RENDER_SPEAKER, true},
	{&render_service_monitors, "controller-monitor", false},
	{&render_service_monitors, "speaker-monitor", false},
	{&kube_services, "controller-monitor-service", false},
	{&kube_services, "speaker-monitor-service", false},
};

static bool is_wanted(const struct speakers *s, const struct monitor *m)
{
	const struct options *o = s->spec.options;

	return m->pod_monitors ? o->deploy_podmonitors : o->deploy_servicemonitors;
}

static void on_deleted(void *user, const struct kube_result *result)
{
	struct speakers *s = user;

	if (result->ok || result->status == 404)
		s->n_monitors++;
	speakers_on_step(s, result);
}

static void on_found(void *user, const struct kube_result *result)
{
	struct speakers *s = user;
	const struct monitor *m = &all[s->n_monitors];
	struct kube_ref ref = {m->resource, s->spec.ns, m->name, NULL};
	struct json_object *items = kube_json_get(result->body, "items");
	struct json_object *live = json_object_is_type(items, json_type_array)
					   ? json_object_array_get_idx(items, 0)
					   : NULL;
	struct kube_delete_options options = {.uid = kube_meta_str(live, "uid"), .grace_s = -1};

	s->call = NULL;
	if (!result->ok && result->status != 404) {
		speakers_on_failure(s, result, clock_now());
	} else if (!*render_annotation(live, RENDER_SUM) || render_is_unmanaged(live)) {
		s->n_monitors++;
	} else if (speakers_may_write(s)) {
		log_info("removing", "kind", m->resource->kind, "name", m->name, NULL);
		s->call = kube_client_delete(s->spec.client, &ref, &options, on_deleted, s);
	}
	speakers_touch(s);
}

bool speakers_drop_monitors(struct speakers *s)
{
	while (s->n_monitors < ARRAY_SIZE(all) && is_wanted(s, &all[s->n_monitors]))
		s->n_monitors++;
	if (s->n_monitors >= ARRAY_SIZE(all))
		return false;
	const struct monitor *m = &all[s->n_monitors];
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", m->name);
	struct kube_ref ref = {m->resource, s->spec.ns, NULL, NULL};
	struct kube_list_options one = {.field_selector = selector, .limit = 1};

	s->call = kube_client_list(s->spec.client, &ref, &one, on_found, s);
	return true;
}
