/*
 * The steps towards what the MetalLB resource says, each a question or one write. A write carries
 * the resourceVersion that it was made from, and none is made without the Lease: a leader that was
 * deposed without noticing changes nothing.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/admit_impl.h"
#include "operator/speakers_impl.h"

/* As long as a watch may be behind an answer before we act without it. */
#define BEHIND_MAX (1 * USEC_PER_SEC)

static const struct kube_patch_options force = {RENDER_MANAGER, true};

void speakers_on_step(void *user, const struct kube_result *result)
{
	struct speakers *s = user;
	struct speakers_watch *w = s->applying;
	struct json_object *generation;

	s->call = NULL;
	s->applying = NULL;
	bool replaced = s->replacing;

	s->replacing = false;
	if (result->status == 422 && replaced) { /* it has changed since */
		s->retry_at = clock_now() + SPEAKERS_CONFLICT_DELAY;
	} else if (!result->ok && result->status != 404) {
		speakers_on_failure(s, result, clock_now());
	} else if (w && result->ok) {
		generation = kube_json_get(kube_json_get(result->body, "metadata"), "generation");
		w->generation = json_object_get_int64(generation);
		snprintf(w->sum, sizeof(w->sum), "%s", render_annotation(result->body, RENDER_SUM));
		snprintf(w->version, sizeof(w->version), "%s",
			 kube_meta_str(result->body, "resourceVersion"));
		w->applied_at = clock_now();
	}
	speakers_touch(s);
}

/* ---- our own pod ---- */

static void on_pod(void *user, const struct kube_result *result)
{
	struct speakers *s = user;
	struct json_object *spec = kube_json_get(result->body, "spec");
	struct json_object *list = kube_json_get(spec, "containers");
	struct json_object *secrets = kube_json_get(spec, "imagePullSecrets");

	s->call = NULL;
	if (!result->ok) {
		speakers_on_failure(s, result, clock_now());
	} else {
		s->image = xstrdup(s->spec.options->speaker_image);
		for (size_t i = 0; !*s->image && i < json_object_array_length(list); i++) {
			struct json_object *box = json_object_array_get_idx(list, i);

			if (strcmp(kube_json_str(box, "name"), RENDER_CONTAINER) != 0)
				continue;
			free(s->image);
			s->image = xstrdup(kube_json_str(box, "image"));
		}
		s->pull_secrets = xstrdup(secrets ? render_text(secrets) : "");
	}
	speakers_touch(s);
}

static bool ask_pod(struct speakers *s)
{
	const struct options *o = s->spec.options;
	struct kube_ref ref = {&kube_pods, s->spec.ns, o->pod_name, NULL};

	if (s->image)
		return false;
	if (!*o->pod_name && *o->speaker_image) {
		s->image = xstrdup(o->speaker_image);
		s->pull_secrets = xstrdup("");
		return false;
	}
	s->call = kube_client_get(s->spec.client, &ref, on_pod, s);
	return true;
}

/* ---- applying ---- */

/* The object's text with the resourceVersion of the live one. */
static char *text_for(struct json_object *want, struct json_object *live)
{
	struct json_object *meta = kube_json_get(want, "metadata");
	const char *version = kube_meta_str(live, "resourceVersion");
	char *text;

	if (*version)
		json_object_object_add(meta, "resourceVersion", json_object_new_string(version));
	text = xstrdup(render_text(want));
	json_object_object_del(meta, "resourceVersion");
	return text;
}

static bool apply(struct speakers *s, struct speakers_watch *w, struct json_object *want,
		  struct json_object *live)
{
	struct kube_ref ref = {w->resource, s->spec.ns, w->name, NULL};
	_cleanup_free_ char *text = text_for(want, live);

	log_info(live ? "putting right" : "making", "kind", w->resource->kind, "name", w->name,
		 NULL);
	s->applying = w;
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_APPLY, text, &force,
				    speakers_on_step, s);
	return true;
}

/* The server wrote our last apply in its own way ("0.5" as "500m"), and nobody has changed it. */
static bool is_as_applied(const struct speakers_watch *w, const char *sum, struct json_object *live)
{
	struct json_object *generation =
		kube_json_get(kube_json_get(live, "metadata"), "generation");

	if (strcmp(w->sum, sum) != 0 || strcmp(render_annotation(live, RENDER_SUM), sum) != 0)
		return false;
	return strcmp(w->version, kube_meta_str(live, "resourceVersion")) == 0 ||
	       (w->generation > 0 && json_object_get_int64(generation) == w->generation);
}

/* Versions are opaque, but every server that we know counts upwards. */
bool speakers_is_behind(struct speakers *s, struct speakers_watch *w, usec_t now)
{
	struct json_object *live = speakers_live(s, w->resource, w->name);
	unsigned long long have = strtoull(kube_meta_str(live, "resourceVersion"), NULL, 10);

	if (!w->applied_at)
		return false;
	if (have >= strtoull(w->version, NULL, 10) || now >= w->applied_at + BEHIND_MAX) {
		w->applied_at = 0;
		return false;
	}
	speakers_arm(s, w->applied_at + BEHIND_MAX);
	return true;
}

static bool settle(struct speakers *s, const struct render_object *want)
{
	struct speakers_watch *w = speakers_watch_of(s, want->resource, want->name);
	struct json_object *live = speakers_live(s, want->resource, want->name);
	struct kube_ref ref = {want->resource, s->spec.ns, want->name, NULL};
	_cleanup_(buf_fini) struct buf patch = {0};

	if (!w || !kube_informer_is_synced(w->informer) || render_is_unmanaged(live))
		return false;
	if (speakers_is_behind(s, w, clock_now()))
		return true;
	switch (render_compare(want, live)) {
	case DRIFT_NONE:
		return false;
	case DRIFT_FIELDS:
		return !is_as_applied(w, want->sum, live) && apply(s, w, want->json, live);
	case DRIFT_MORE:
		break;
	}
	log_info("removing what was added", "kind", want->resource->kind, "name", want->name, NULL);
	render_replace(want, live, &patch);
	s->replacing = true;
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_JSON, buf_str(&patch), &force,
				    speakers_on_step, s);
	return true;
}

/* ---- the DaemonSet, or one from before ---- */

static struct history_question question(struct speakers *s, const struct metallb *m,
					const char *wanted, usec_t now)
{
	struct json_object *live = speakers_live(s, &kube_daemonsets, RENDER_SPEAKER);
	const struct labels *a = &m->obj.meta.annotations;
	const char *asked = labels_get(a, HISTORY_ROLLBACK);
	const char *automatic = labels_get(a, HISTORY_AUTO_ROLLBACK);

	return (struct history_question){
		.wanted = wanted,
		.failed = render_annotation(live, HISTORY_FAILED),
		.asked = asked && strcmp(asked, "true") == 0,
		.automatic = automatic && strcmp(automatic, "true") == 0,
		.stalled = speakers_is_stalled(s, now) &&
			   strcmp(render_annotation(live, RENDER_SUM), wanted) == 0,
	};
}

static bool keep_history(struct speakers *s, const struct render_object *ds,
			 const struct history *h)
{
	struct speakers_watch *w = speakers_watch_of(s, &kube_configmaps, HISTORY_NAME);
	struct json_object *live = speakers_live(s, &kube_daemonsets, RENDER_SPEAKER);
	struct kube_ref ref = {&kube_configmaps, s->spec.ns, HISTORY_NAME, NULL};
	_cleanup_(buf_fini) struct buf text = {0};

	if (!rollout_is_done(&s->rollout) || speakers_is_behind(s, w, clock_now()) ||
	    strcmp(render_annotation(live, RENDER_SUM), ds->sum) != 0 ||
	    !history_format(h, s->spec.ns, ds->sum, ds->json, &text))
		return false;
	s->applying = w;
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_APPLY, buf_str(&text), &force,
				    speakers_on_step, s);
	return true;
}

static bool settle_daemonset(struct speakers *s, const struct metallb *m,
			     const struct render_object *ds, usec_t now)
{
	struct history h;
	struct history_question q = question(s, m, ds->sum, now);

	history_read(speakers_live(s, &kube_configmaps, HISTORY_NAME), &h);
	const struct history_entry *e = history_choose(&h, &q);
	struct json_object *json = e ? json_tokener_parse(e->daemonset) : NULL;

	s->rollback_asked = e && q.asked;
	s->rolled_back = e && !q.asked;
	if (!json)
		return settle(s, ds) || keep_history(s, ds, &h);
	struct render_object old = {.resource = ds->resource, .name = ds->name, .json = json};

	snprintf(old.sum, sizeof(old.sum), "%s", e->sum);
	if (s->rolled_back)
		json_object_object_add(
			kube_json_get(kube_json_get(json, "metadata"), "annotations"),
			HISTORY_FAILED, json_object_new_string(ds->sum));
	bool busy = settle(s, &old);

	json_object_put(json);
	return busy;
}

/* ---- all of it ---- */

static struct render_env environment(const struct speakers *s)
{
	const struct options *o = s->spec.options;

	return (struct render_env){
		.ns = s->spec.ns,
		.version = METALLB_VERSION,
		.image = s->image,
		.pull_secrets = s->pull_secrets,
		.ml_secret = o->ml_secret_name,
		.log_level = o->log_level_text,
		.lb_class = o->lb_class,
		.backend = o->bgp_type,
		.frrk8s_namespace = o->frrk8s_namespace,
		.tls_min_version = o->tls_min_version,
		.tls_cipher_suites = o->tls_cipher_suites,
		.tls_curves = o->tls_curve_preferences,
		.metrics_port = o->speaker_metrics_port,
		.health_port = o->speaker_health_port,
		.ml_port = o->ml_bind_port,
		.network_policy = !o->disable_network_policies,
		.monitors = o->deploy_podmonitors       ? MONITORS_POD
			    : o->deploy_servicemonitors ? MONITORS_SERVICE
							: MONITORS_NONE,
	};
}

/* Of another setting of the operator's. */
static bool drop_policy(struct speakers *s)
{
	struct json_object *live = speakers_live(s, &kube_networkpolicies, RENDER_CONTAINER);
	struct kube_ref ref = {&kube_networkpolicies, s->spec.ns, RENDER_CONTAINER, NULL};

	if (!s->spec.options->disable_network_policies || !*render_annotation(live, RENDER_SUM) ||
	    render_is_unmanaged(live))
		return false;
	s->call = kube_client_delete(s->spec.client, &ref, NULL, speakers_on_step, s);
	return true;
}

static bool resources_take(struct speakers *s, const struct metallb *m, struct json_object *live)
{
	struct kube_ref ref = {&kube_deployments, s->spec.ns, s->spec.options->deployment, NULL};
	_cleanup_(buf_fini) struct buf patch = {0};

	if (!render_take_resources(m, live, &patch))
		return false;
	s->replacing = true;
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_JSON, buf_str(&patch), &force,
				    speakers_on_step, s);
	return true;
}

bool speakers_settle_controller(struct speakers *s, const struct metallb *m)
{
	const char *name = s->spec.options->deployment;
	struct speakers_watch *w = speakers_watch_of(s, &kube_deployments, name);
	struct json_object *live = speakers_live(s, &kube_deployments, name);
	struct json_object *json = live ? render_controller(m, s->spec.ns, name, live) : NULL;
	bool busy = false;

	if (!json)
		return false;
	if (speakers_is_behind(s, w, clock_now())) {
		json_object_put(json);
		return true;
	}
	if (resources_take(s, m, live)) {
		json_object_put(json);
		return true;
	}
	struct render_object want = {.resource = w->resource, .name = name, .json = json};

	snprintf(want.sum, sizeof(want.sum), "%s", render_annotation(json, RENDER_SUM));
	/* Others' entries in the lists are theirs: it is their Deployment. */
	if (!*want.sum || render_compare(&want, live) == DRIFT_FIELDS)
		busy = (!*want.sum || !is_as_applied(w, want.sum, live)) && apply(s, w, json, live);
	json_object_put(json);
	return busy;
}

static bool patch_annotation(struct speakers *s, const struct kube_resource *resource,
			     const char *name, const char *key, const char *value)
{
	struct kube_ref ref = {resource, s->spec.ns, name, NULL};
	_cleanup_free_ char *quoted = value ? xasprintf("\"%s\"", value) : xstrdup("null");
	_cleanup_free_ char *body =
		xasprintf("{\"metadata\":{\"annotations\":{\"%s\":%s}}}", key, quoted);

	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_MERGE, body, &force,
				    speakers_on_step, s);
	return true;
}

bool speakers_annotate(struct speakers *s, const struct kube_resource *resource, const char *name,
		       const char *key, const char *value)
{
	struct json_object *live = speakers_live(s, resource, name);

	if (!live || strcmp(render_annotation(live, key), value ? value : "") == 0)
		return false;
	return patch_annotation(s, resource, name, key, value);
}

/* The rules of admission: there may have been no webhook when the resource was written. */
static void judge(struct speakers *s, const struct setting *set)
{
	struct admit_snapshot snapshot = {
		.ns = s->spec.ns,
		.frrk8s_namespace_known = *s->spec.options->frrk8s_namespace,
	};
	struct admit_verdict v = {.allowed = true};

	free(s->invalid);
	s->invalid = NULL;
	if (*set->problem) {
		s->invalid = xstrdup(set->problem);
		return;
	}
	admit_check_metallb(&snapshot, set->metallb, false, &v);
	if (!v.allowed)
		s->invalid = xstrdup(buf_str(&v.message));
	admit_verdict_fini(&v);
}

static bool settle_all(struct speakers *s, const struct metallb *m, usec_t now)
{
	struct render_env env = environment(s);
	struct rendered r;
	bool busy = false;

	render_installation(m, &env, &r);
	for (size_t i = 0; i + 1 < r.n && !busy; i++)
		busy = settle(s, &r.items[i]);
	busy = busy || settle_daemonset(s, m, &r.items[r.n - 1], now) || drop_policy(s) ||
	       speakers_drop_monitors(s) || speakers_settle_controller(s, m);
	rendered_fini(&r);
	return busy;
}

/* The resource is back before the speakers were gone. */
static bool end_removal(struct speakers *s)
{
	struct json_object *live = speakers_live(s, &kube_daemonsets, RENDER_SPEAKER);

	return strcmp(render_annotation(live, SPEAKERS_WITHDRAW), SPEAKERS_REMOVAL) == 0 &&
	       speakers_annotate(s, &kube_daemonsets, RENDER_SPEAKER, SPEAKERS_WITHDRAW, NULL);
}

bool speakers_advance(struct speakers *s, usec_t now)
{
	const struct setting *set = settings_find(s->spec.settings);

	if (!speakers_may_write(s))
		return true;
	if (!set)
		return speakers_absent(s, now);
	s->withdraw_at = 0;
	judge(s, set);
	if (speakers_annotate(s, &kube_deployments, s->spec.options->deployment, SPEAKERS_MARK,
			      "made") ||
	    end_removal(s) || ask_pod(s))
		return true;
	if (s->invalid || !crds_are_settled(s->crds))
		return false;
	return settle_all(s, set->metallb, now);
}
