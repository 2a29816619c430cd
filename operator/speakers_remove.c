/*
 * Without a MetalLB resource: the first time the default one is made, so that applying
 * config/default is the whole installation. After that its absence means "remove": the speakers are
 * told to take back what they announce, and when they have (or have had their time) they and
 * everything made for them go. What a person made stays, and so do the CRDs.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/speakers_impl.h"

#define LOOK_INTERVAL (300 * USEC_PER_MSEC)
#define MADE_DELAY    (1 * USEC_PER_SEC) /* until the watch shows what was made */

static const struct kube_resource *const statuses[] = {&kube_servicel2statuses,
						       &kube_servicebgpstatuses};

static bool make_default(struct speakers *s, usec_t now)
{
	struct kube_ref ref = {&kube_metallbs, s->spec.ns, NULL, NULL};
	_cleanup_(buf_fini) struct buf body = {0};

	if (s->made_at && now < s->made_at + MADE_DELAY) {
		speakers_arm(s, s->made_at + MADE_DELAY);
		return true;
	}
	s->made_at = now;
	log_info("making the default MetalLB resource", NULL);
	render_default(s->spec.ns, &body);
	s->call = kube_client_create(s->spec.client, &ref, buf_str(&body), speakers_on_step, s);
	return true;
}

static bool delete (struct speakers *s, const struct speakers_watch *w, struct json_object *live)
{
	struct kube_ref ref = {w->resource, s->spec.ns, w->name, NULL};
	struct kube_delete_options options = {
		.uid = kube_meta_str(live, "uid"), .propagation = "Background", .grace_s = -1};

	if (*kube_meta_str(live, "deletionTimestamp"))
		return false;
	log_info("removing", "kind", w->resource->kind, "name", w->name, NULL);
	s->call = kube_client_delete(s->spec.client, &ref, &options, speakers_on_step, s);
	return true;
}

static void on_looked(void *user, const struct kube_result *result)
{
	struct speakers *s = user;
	struct json_object *items = kube_json_get(result->body, "items");
	size_t which = s->looked[0];

	s->call = NULL;
	if (!result->ok)
		log_warn("cannot see what is still announced", "error", result->message, NULL);
	else if (json_object_is_type(items, json_type_array) &&
		 json_object_array_length(items) == 0)
		s->looked[which] = true;
	s->look_at = clock_now() + (s->looked[which] ? 0 : LOOK_INTERVAL);
	speakers_touch(s);
}

/* Until the speakers have deleted every status of theirs, or their time is up. */
static bool is_withdrawn(struct speakers *s, usec_t now)
{
	struct kube_ref ref = {statuses[s->looked[0]], s->spec.ns, NULL, NULL};
	struct kube_list_options one = {.limit = 1};

	if (s->looked[0] && s->looked[1])
		return true;
	if (now >= s->withdraw_at + SPEAKERS_WITHDRAW_TIME) {
		log_warn("not all speakers have withdrawn their announcements in time", NULL);
		return true;
	}
	if (now < s->look_at)
		speakers_arm(s, s->look_at);
	else
		s->call = kube_client_list(s->spec.client, &ref, &one, on_looked, s);
	return false;
}

static bool remove_daemonset(struct speakers *s, struct json_object *live, usec_t now)
{
	if (!s->withdraw_at) {
		s->withdraw_at = now;
		s->looked[0] = s->looked[1] = false;
	}
	if (speakers_annotate(s, &kube_daemonsets, RENDER_SPEAKER, SPEAKERS_WITHDRAW,
			      SPEAKERS_REMOVAL) ||
	    !is_withdrawn(s, now))
		return true;
	return delete (s, speakers_watch_of(s, &kube_daemonsets, RENDER_SPEAKER), live);
}

static bool is_ours(const struct speakers_watch *w, struct json_object *live)
{
	if (!live || render_is_unmanaged(live) || w->resource == &kube_deployments)
		return false;
	return *render_annotation(live, RENDER_SUM) || strcmp(w->name, HISTORY_NAME) == 0;
}

bool speakers_absent(struct speakers *s, usec_t now)
{
	struct json_object *ds = speakers_live(s, &kube_daemonsets, RENDER_SPEAKER);
	struct json_object *own = speakers_live(s, &kube_deployments, s->spec.options->deployment);

	free(s->invalid);
	s->invalid = NULL;
	if (!own)
		return false;
	if (!*render_annotation(own, SPEAKERS_MARK))
		return make_default(s, now);
	if (*render_annotation(ds, RENDER_SUM) && !render_is_unmanaged(ds))
		return remove_daemonset(s, ds, now);
	for (size_t i = 0; i < s->n_watches; i++) {
		const struct speakers_watch *w = &s->watches[i];
		struct json_object *live = speakers_live(s, w->resource, w->name);

		if (is_ours(w, live) && delete (s, w, live))
			return true;
	}
	return speakers_drop_monitors(s) || speakers_settle_controller(s, NULL);
}
