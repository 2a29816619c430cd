/*
 * The shell: watches what is ours, and after every change takes the one next step (render.c,
 * rollout.c and history.c say which), then tells the state. One write at a time, so that each is
 * made from what the one before has led to.
 */
#include "operator/speakers.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/speakers_impl.h"

#define POD_DELAY   (200 * USEC_PER_MSEC) /* many pods change together */
#define BACKOFF_MIN (1 * USEC_PER_SEC)
#define BACKOFF_MAX (30 * USEC_PER_SEC)

static void *decode(struct json_object *o, struct err *err)
{
	(void)err;
	return json_object_get(o);
}

static void free_value(void *value)
{
	json_object_put(value);
}

/* Whether it is there is all that counts. */
static void *decode_nothing(struct json_object *o, struct err *err)
{
	(void)o;
	(void)err;
	return xstrdup("");
}

struct speakers_watch *speakers_watch_of(struct speakers *s, const struct kube_resource *resource,
					 const char *name)
{
	for (size_t i = 0; i < s->n_watches; i++)
		if (s->watches[i].resource == resource && strcmp(s->watches[i].name, name) == 0)
			return &s->watches[i];
	return NULL;
}

struct json_object *speakers_live(struct speakers *s, const struct kube_resource *resource,
				  const char *name)
{
	struct speakers_watch *w = speakers_watch_of(s, resource, name);

	return w ? kube_store_find_ns(kube_informer_store(w->informer), s->spec.ns, name) : NULL;
}

bool speakers_may_write(const struct speakers *s)
{
	return s->spec.may_write(s->spec.user);
}

void speakers_arm(struct speakers *s, usec_t at)
{
	usec_t now = clock_now();
	double after = at > now ? (double)(at - now) / 1e6 : 0.;

	if (ev_is_active(&s->timer) && ev_timer_remaining(s->loop, &s->timer) <= after)
		return;
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_set(&s->timer, after, 0.);
	ev_timer_start(s->loop, &s->timer);
}

void speakers_touch(struct speakers *s)
{
	speakers_arm(s, 0);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	(void)key;
	(void)before;
	(void)after;
	speakers_touch(user);
}

static void on_pod(void *user, const char *key, void *before, void *after)
{
	(void)key;
	(void)before;
	(void)after;
	speakers_arm(user, clock_now() + POD_DELAY);
}

static void on_synced(void *user)
{
	speakers_touch(user);
}

static void on_state(void *user, const char *error)
{
	(void)error;
	speakers_touch(user);
}

/* ---- what is looked at ---- */

static void watch(struct speakers *s, const struct kube_resource *resource, const char *name)
{
	struct speakers_watch *w = &s->watches[s->n_watches++];
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", name);
	struct kube_informer_spec spec = {
		.sources = {{resource, decode}},
		.n_sources = 1,
		.ns = s->spec.ns,
		.free_value = free_value,
		.on_change = on_change,
		.on_synced = on_synced,
		.on_state = on_state,
		.user = s,
	};

	w->resource = resource;
	w->name = name;
	w->selector = selector;
	selector = NULL; /* ownership moved: the informer borrows it */
	spec.field_selector = w->selector;
	w->informer = kube_informer_new(s->spec.client, &spec);
}

static void watch_all(struct speakers *s)
{
	const struct options *o = s->spec.options;
	struct kube_informer_spec pods = {
		.sources = {{&kube_pods, speaker_pod_decode}},
		.n_sources = 1,
		.ns = s->spec.ns,
		.label_selector = SPEAKERS_SELECTOR,
		.free_value = speaker_pod_free,
		.on_change = on_pod,
		.on_synced = on_synced,
		.on_state = on_state,
		.user = s,
	};

	struct kube_informer_spec frr = {
		.sources = {{&kube_crds, decode_nothing}},
		.n_sources = 1,
		.field_selector = "metadata.name=frrconfigurations.frrk8s.metallb.io",
		.free_value = free,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = s,
	};

	watch(s, &kube_deployments, o->deployment);
	watch(s, &kube_daemonsets, RENDER_SPEAKER);
	watch(s, &kube_configmaps, SPEAKERS_EXCLUDE);
	watch(s, &kube_configmaps, HISTORY_NAME);
	watch(s, &kube_networkpolicies, "controller");
	if (o->deploy_podmonitors) {
		watch(s, &render_pod_monitors, "controller");
		watch(s, &render_pod_monitors, RENDER_SPEAKER);
	}
	if (o->deploy_servicemonitors) {
		watch(s, &kube_services, "controller-monitor-service");
		watch(s, &kube_services, "speaker-monitor-service");
		watch(s, &render_service_monitors, "controller-monitor");
		watch(s, &render_service_monitors, "speaker-monitor");
	}
	s->pods = kube_informer_new(s->spec.client, &pods);
	s->frr_crd = kube_informer_new(s->spec.client, &frr);
}

bool speakers_lack_frr(const struct speakers *s, const struct metallb *m)
{
	const char *backend = render_backend(m, s->spec.options->bgp_type);

	return strncmp(backend, "frr-k8s", strlen("frr-k8s")) == 0 &&
	       kube_informer_is_synced(s->frr_crd) &&
	       kube_store_count(kube_informer_store(s->frr_crd)) == 0;
}

static void fail(struct speakers *s, const char *text)
{
	if (!s->failure || strcmp(s->failure, text) != 0)
		log_error("the speakers are not as they should be", "error", text, NULL);
	free(s->failure);
	s->failure = xstrdup(text);
	s->forbidden = strstr(text, "403 Forbidden") != NULL;
}

/* What this informer has to show is known; if not, say why. */
static bool is_known(struct speakers *s, const struct kube_informer *informer)
{
	const char *error = kube_informer_error(informer);

	if (kube_informer_is_synced(informer))
		return true;
	if (error)
		fail(s, error);
	return false;
}

/* Monitors may be of kinds that are not there: they wait for theirs alone. */
static bool is_synced(struct speakers *s)
{
	for (size_t i = 0; i < s->n_watches; i++) {
		const struct kube_resource *r = s->watches[i].resource;

		if (r != &render_pod_monitors && r != &render_service_monitors &&
		    !is_known(s, s->watches[i].informer))
			return false;
	}
	return is_known(s, s->pods);
}

void speakers_on_failure(struct speakers *s, const struct kube_result *result, usec_t now)
{
	if (result->status == 409) { /* what it was made from is on its way to us */
		s->retry_at = now + SPEAKERS_CONFLICT_DELAY;
		return;
	}
	fail(s, result->message);
	s->backoff = s->backoff ? s->backoff * 2 : BACKOFF_MIN;
	if (s->backoff > BACKOFF_MAX)
		s->backoff = BACKOFF_MAX;
	s->retry_at = now + s->backoff;
}

const char *speakers_image_of(struct json_object *daemonset)
{
	struct json_object *spec = kube_json_get(kube_json_get(daemonset, "spec"), "template");
	struct json_object *list = kube_json_get(kube_json_get(spec, "spec"), "containers");

	for (size_t i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
	     i++) {
		struct json_object *box = json_object_array_get_idx(list, i);

		if (strcmp(kube_json_str(box, "name"), RENDER_SPEAKER) == 0)
			return kube_json_str(box, "image");
	}
	return "";
}

/* ---- the rollout's clock ---- */

static void look_at_rollout(struct speakers *s, usec_t now)
{
	struct rollout r;

	rollout_read(speakers_live(s, &kube_daemonsets, RENDER_SPEAKER), &r);
	if (!s->progress_at || rollout_is_done(&r) || !rollout_equal(&r, &s->rollout))
		s->progress_at = now;
	s->rollout = r;
}

static usec_t stall_time(const struct speakers *s)
{
	return s->progress_at + s->spec.options->rollout_deadline_s * USEC_PER_SEC;
}

bool speakers_is_stalled(const struct speakers *s, usec_t now)
{
	return !rollout_is_done(&s->rollout) && now >= stall_time(s);
}

/* ---- one look ---- */

static void look(struct speakers *s)
{
	usec_t now = clock_now();

	if (!settings_are_known(s->spec.settings))
		return;
	look_at_rollout(s, now);
	if (is_synced(s) && !s->call && now >= s->retry_at && !speakers_advance(s, now)) {
		free(s->failure);
		s->failure = NULL;
		s->backoff = 0;
	}
	if (!s->status_call)
		(void)speakers_write_status(s, now);
	if (s->retry_at > now)
		speakers_arm(s, s->retry_at);
	if (!rollout_is_done(&s->rollout) && stall_time(s) > now)
		speakers_arm(s, stall_time(s));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	look(w->data);
}

static bool may_write(void *user)
{
	return speakers_may_write(user);
}

struct speakers *speakers_new(const struct speakers_spec *spec)
{
	struct speakers *s = xcalloc(1, sizeof(*s));
	struct crds_spec crds = {
		.client = spec->client,
		.may_write = may_write,
		.on_change = on_synced,
		.user = s,
	};

	s->spec = *spec;
	s->loop = kube_client_loop(spec->client);
	ev_init(&s->timer, on_timer);
	s->timer.data = s;
	s->crds = crds_new(&crds);
	watch_all(s);
	return s;
}

struct speakers *speakers_free(struct speakers *s)
{
	if (!s)
		return NULL;
	ev_timer_stop(s->loop, &s->timer);
	kube_client_cancel(s->call);
	kube_client_cancel(s->status_call);
	for (size_t i = 0; i < s->n_watches; i++) {
		kube_informer_free(s->watches[i].informer);
		free(s->watches[i].selector);
	}
	kube_informer_free(s->pods);
	kube_informer_free(s->frr_crd);
	crds_free(s->crds);
	free(s->image);
	free(s->pull_secrets);
	free(s->failure);
	free(s->invalid);
	free(s->told);
	free(s);
	return NULL;
}
