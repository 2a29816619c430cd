/*
 * The status of the MetalLB resource, and of those that have the wrong name: written when it says
 * something else than what is there, at most once a second. A change of the reason is an event.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/speakers_impl.h"

#define PACE  (1 * USEC_PER_SEC)
#define RETRY (5 * USEC_PER_SEC)

static void on_written(void *user, const struct kube_result *result)
{
	struct speakers *s = user;

	s->status_call = NULL;
	if (result->ok || result->status == 404)
		return;
	log_error("cannot write the status of the MetalLB resource", "error", result->message,
		  NULL);
	s->status_at = clock_now() + RETRY;
	speakers_arm(s, s->status_at);
}

static void tell(struct speakers *s, const struct metallb *m, const struct install_verdict *v)
{
	struct kube_event_object object = {
		.resource = &kube_metallbs,
		.ns = m->obj.meta.namespace,
		.name = m->obj.meta.name,
		.uid = m->obj.meta.uid,
	};

	if (s->told && strcmp(s->told, v->reason) == 0)
		return;
	free(s->told);
	s->told = xstrdup(v->reason);
	kube_recorder_event(s->spec.recorder, &object,
			    v->state == INSTALL_DEGRADED ? "Warning" : "Normal", v->reason,
			    buf_str(&v->message));
}

static bool write_conditions(struct speakers *s, const struct metallb *m,
			     const struct install_verdict *v, const struct install_notices *notices,
			     usec_t now)
{
	struct kube_ref ref = {&kube_metallbs, m->obj.meta.namespace, m->obj.meta.name, "status"};
	_cleanup_(buf_fini) struct buf body = {0};

	if (!install_patch(m, v, notices, clock_wall(), &body))
		return false;
	if (now < s->status_at) {
		speakers_arm(s, s->status_at);
		return false;
	}
	if (!speakers_may_write(s))
		return false;
	s->status_at = now + PACE;
	s->status_call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_MERGE, buf_str(&body),
					   NULL, on_written, s);
	return true;
}

static const char *note(const struct speakers *s, const struct setting *set)
{
	if (*crds_problem(s->crds))
		return crds_problem(s->crds);
	return set->has_image ? "spec.image is ignored: the operator's own image counts" : "";
}

static bool write_main(struct speakers *s, const struct setting *set, usec_t now)
{
	const struct kube_store *store = kube_informer_store(s->pods);
	size_t n = kube_store_count(store), pos = 0;
	const struct speaker_pod **pods = xcalloc(n + 1, sizeof(*pods));
	struct install_notices notices = {0};
	struct install_verdict v;

	s->spec.notices(s->spec.user, &notices);
	for (size_t i = 0; i < n; i++)
		pods[i] = kube_store_next(store, &pos, NULL);
	install_judge(
		&(struct install_facts){
			.invalid = s->invalid ? s->invalid : "",
			.failure = s->failure ? s->failure : "",
			.forbidden = s->forbidden,
			.rollout = s->rollout,
			.pods = pods,
			.n_pods = n,
			.stalled = speakers_is_stalled(s, now),
			.rolled_back = s->rolled_back,
			.rollback_asked = s->rollback_asked,
			.failed_image = s->image ? s->image : "",
			.image = speakers_image_of(
				speakers_live(s, &kube_daemonsets, RENDER_SPEAKER)),
			.frr_missing = speakers_lack_frr(s, set->metallb),
			.note = note(s, set),
		},
		&v);
	tell(s, set->metallb, &v);
	bool busy = write_conditions(s, set->metallb, &v, &notices, now);

	buf_fini(&v.message);
	free(pods);
	return busy;
}

static bool write_wrong(struct speakers *s, const struct setting *set, usec_t now)
{
	const struct install_notices none = {0};
	struct install_verdict v;

	install_judge(&(struct install_facts){.wrong_name = set->name, .note = ""}, &v);
	bool busy = write_conditions(s, set->metallb, &v, &none, now);

	buf_fini(&v.message);
	return busy;
}

bool speakers_write_status(struct speakers *s, usec_t now)
{
	const struct kube_store *store = settings_store(s->spec.settings);
	const struct setting *right = settings_find(s->spec.settings), *set;
	size_t pos = 0;

	if (right && write_main(s, right, now))
		return true;
	while ((set = kube_store_next(store, &pos, NULL)))
		if (set != right && write_wrong(s, set, now))
			return true;
	return false;
}
