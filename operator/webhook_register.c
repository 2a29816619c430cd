/*
 * Registration in steps, so that the webhooks never make an installation fail: nothing before the
 * Service has an endpoint that is ready; then with failurePolicy Ignore, for the time that the
 * nodes need to learn of the endpoint; then with Fail. What was registered before is only kept in
 * order. It is owned by our Namespace and goes with it.
 */
#include "operator/webhook_register.h"

#include <ev.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/covers.h"
#include "operator/review.h"
#include "operator/webhook_rules.h"

#define LOOK_S     1.0
#define PROVE_TIME (5 * USEC_PER_SEC) /* with Ignore before Fail */
/* How long the API server may go on with a CA bundle that was replaced. */
#define SETTLE_TIME   (10 * USEC_PER_SEC)
#define FIELD_MANAGER "metallb-operator"
#define WARNING       "metallb.io/v1beta1 BGPPeer is deprecated, use metallb.io/v1beta2 BGPPeer"

enum { WATCH_CONFIGURATION, WATCH_CRD, WATCH_COUNT };
enum { CALL_NAMESPACE, CALL_ENDPOINTS, CALL_CONFIGURATION, CALL_CRD, CALL_STOP, CALL_COUNT };

struct webhook_register {
	struct ev_loop *loop;
	struct webhook_register_spec spec;
	struct kube_informer *informers[WATCH_COUNT]; /* of struct json_object */
	struct kube_call *calls[CALL_COUNT];
	ev_timer timer;
	bool leads, stopping;
	bool has_endpoint, deprecation_tried;
	char *ns_uid;
	usec_t fail_at;  /* 0: not registered by us with Ignore */
	char *candidate; /* the bundle that is registered everywhere, since */
	usec_t candidate_since;
	char *trusted;
	void (*done)(void *user);
	void *done_user;
};

static void *decode(struct json_object *o, struct err *err)
{
	(void)err;
	return json_object_get(o);
}

static void free_value(void *value)
{
	json_object_put(value);
}

static struct json_object *live(const struct webhook_register *r, int which)
{
	return kube_store_find(kube_informer_store(r->informers[which]),
			       which == WATCH_CRD ? WEBHOOK_CRD : WEBHOOK_CONFIGURATION);
}

static bool may_write(const struct webhook_register *r)
{
	const struct webhook_options *o = r->spec.options;

	return r->leads && !r->stopping && o->may_write(o->user);
}

/* ---- what is trusted ---- */

static void replace(char **text, const char *with)
{
	free(*text);
	*text = with ? xstrdup(with) : NULL;
}

/* One bundle for both uses settles after a while; what is trusted stays until then. */
static void look_at_trust(struct webhook_register *r, usec_t now)
{
	_cleanup_free_ char *a = webhook_json_bundle(live(r, WATCH_CONFIGURATION));
	_cleanup_free_ char *b = webhook_json_conversion_bundle(live(r, WATCH_CRD));

	if (!a || (b && strcmp(a, b) != 0)) {
		replace(&r->candidate, NULL);
		return;
	}
	if (!r->candidate || strcmp(r->candidate, a) != 0) {
		bool first = !r->trusted;

		replace(&r->candidate, a);
		r->candidate_since = first ? now - SETTLE_TIME : now;
	}
	if (now - r->candidate_since < SETTLE_TIME ||
	    (r->trusted && strcmp(r->trusted, r->candidate) == 0))
		return;
	replace(&r->trusted, r->candidate);
	r->spec.on_trusted(r->spec.user);
}

/* ---- questions ---- */

static void on_namespace(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;

	r->calls[CALL_NAMESPACE] = NULL;
	if (result->ok)
		replace(&r->ns_uid, kube_meta_str(result->body, "uid"));
	else
		log_warn("webhook: cannot read our namespace", "error", result->message, NULL);
}

static bool has_ready_address(struct json_object *endpoints)
{
	struct json_object *subsets = kube_json_get(endpoints, "subsets");

	if (!json_object_is_type(subsets, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(subsets); i++) {
		struct json_object *list =
			kube_json_get(json_object_array_get_idx(subsets, i), "addresses");

		if (json_object_is_type(list, json_type_array) &&
		    json_object_array_length(list) > 0)
			return true;
	}
	return false;
}

static void on_endpoints(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;

	r->calls[CALL_ENDPOINTS] = NULL;
	r->has_endpoint = result->ok && has_ready_address(result->body);
	if (!result->ok && result->status != 404)
		log_warn("webhook: cannot read our endpoints", "error", result->message, NULL);
	if (r->has_endpoint)
		webhook_register_look(r);
}

static void ask(struct webhook_register *r, int call, const struct kube_resource *resource,
		const char *ns, const char *name, kube_done_fn done)
{
	struct kube_ref ref = {resource, ns, name, NULL};

	if (!r->calls[call])
		r->calls[call] = kube_client_get(r->spec.options->client, &ref, done, r);
}

/* ---- writing ---- */

static void on_configuration(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;

	r->calls[CALL_CONFIGURATION] = NULL;
	if (!result->ok)
		log_error("webhook: cannot register", "error", result->message, NULL);
}

static void on_crd(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;

	r->calls[CALL_CRD] = NULL;
	if (!result->ok)
		log_error("webhook: cannot register the conversion", "error", result->message,
			  NULL);
}

static bool covers(struct json_object *have, const struct buf *want)
{
	struct json_object *w = json_tokener_parse(buf_str(want));
	bool ok = json_covers(have, w);

	json_object_put(w);
	return ok;
}

static void write_configuration(struct webhook_register *r, const struct webhook_target *t)
{
	static const struct kube_patch_options force = {FIELD_MANAGER, true};
	struct kube_ref ref = {&kube_validating_webhooks, NULL, WEBHOOK_CONFIGURATION, NULL};
	_cleanup_(buf_fini) struct buf want = {0};

	webhook_rules_format(t, &want);
	if (r->calls[CALL_CONFIGURATION] || covers(live(r, WATCH_CONFIGURATION), &want))
		return;
	log_info("webhook: registering", "failurePolicy", t->fail ? "Fail" : "Ignore", NULL);
	r->calls[CALL_CONFIGURATION] =
		kube_client_patch(r->spec.options->client, &ref, KUBE_PATCH_APPLY, buf_str(&want),
				  &force, on_configuration, r);
}

/* Once: an API server that does not know the field drops it. */
static bool write_deprecation(struct webhook_register *r, struct json_object *crd)
{
	struct json_object *spec = review_get(crd, "spec", json_type_object);
	struct json_object *versions = review_get(spec, "versions", json_type_array);
	struct kube_ref ref = {&kube_crds, NULL, WEBHOOK_CRD, NULL};
	_cleanup_(buf_fini) struct buf body = {0};

	for (size_t i = 0; versions && i < json_object_array_length(versions); i++) {
		struct json_object *v = json_object_array_get_idx(versions, i);

		if (strcmp(review_str(v, "name"), "v1beta1") != 0 ||
		    review_get(v, "deprecated", json_type_boolean))
			continue;
		buf_printf(&body,
			   "[{\"op\":\"test\",\"path\":\"/spec/versions/%zu/name\","
			   "\"value\":\"v1beta1\"},"
			   "{\"op\":\"add\",\"path\":\"/spec/versions/%zu/deprecated\","
			   "\"value\":true},"
			   "{\"op\":\"add\",\"path\":\"/spec/versions/%zu/deprecationWarning\","
			   "\"value\":\"" WARNING "\"}]",
			   i, i, i);
		r->calls[CALL_CRD] =
			kube_client_patch(r->spec.options->client, &ref, KUBE_PATCH_JSON,
					  buf_str(&body), NULL, on_crd, r);
		return true;
	}
	return false;
}

static void write_conversion(struct webhook_register *r, const struct webhook_target *t)
{
	struct json_object *crd = live(r, WATCH_CRD);
	struct kube_ref ref = {&kube_crds, NULL, WEBHOOK_CRD, NULL};
	_cleanup_(buf_fini) struct buf want = {0};

	if (!crd || r->calls[CALL_CRD])
		return;
	webhook_conversion_format(t, &want);
	if (!covers(crd, &want)) {
		log_info("webhook: registering the conversion of BGPPeer", NULL);
		r->calls[CALL_CRD] =
			kube_client_patch(r->spec.options->client, &ref, KUBE_PATCH_MERGE,
					  buf_str(&want), NULL, on_crd, r);
	} else if (!r->deprecation_tried) {
		r->deprecation_tried = true;
		(void)write_deprecation(r, crd);
	}
}

/* Whether writes are to be refused when nobody answers: see the top of the file. */
static bool wants_fail(struct webhook_register *r, usec_t now)
{
	if (strcmp(webhook_json_policy(live(r, WATCH_CONFIGURATION)), "Fail") == 0)
		return true;
	if (!r->has_endpoint || !live(r, WATCH_CONFIGURATION)) {
		r->fail_at = 0;
		return false;
	}
	if (!r->fail_at)
		r->fail_at = now + PROVE_TIME;
	return now >= r->fail_at;
}

static bool is_synced(const struct webhook_register *r)
{
	for (size_t i = 0; i < WATCH_COUNT; i++)
		if (!kube_informer_is_synced(r->informers[i]))
			return false;
	return true;
}

void webhook_register_look(struct webhook_register *r)
{
	const struct webhook_options *o = r->spec.options;
	const char *bundle = r->spec.bundle(r->spec.user);
	usec_t now = clock_now();

	if (!is_synced(r))
		return;
	look_at_trust(r, now);
	if (!bundle || !may_write(r))
		return;
	if (!r->ns_uid) {
		ask(r, CALL_NAMESPACE, &kube_namespaces, NULL, o->ns, on_namespace);
		return;
	}
	struct webhook_target t = {
		.ns = o->ns,
		.ns_uid = r->ns_uid,
		.service = o->service_name,
		.ca_bundle = bundle,
		.fail = wants_fail(r, now),
	};
	if (!t.fail)
		ask(r, CALL_ENDPOINTS, &kube_endpoints, o->ns, o->service_name, on_endpoints);
	if (live(r, WATCH_CONFIGURATION) || r->has_endpoint)
		write_configuration(r, &t);
	if (t.fail)
		write_conversion(r, &t);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	webhook_register_look(w->data);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct webhook_register *r = user;

	(void)key;
	(void)before;
	(void)after;
	ev_feed_event(r->loop, &r->timer, EV_TIMER);
}

static struct kube_informer *watch(struct webhook_register *r, const struct kube_resource *resource,
				   const char *selector)
{
	struct kube_informer_spec spec = {
		.sources = {{resource, decode}},
		.n_sources = 1,
		.field_selector = selector,
		.free_value = free_value,
		.on_change = on_change,
		.user = r,
	};

	return kube_informer_new(r->spec.options->client, &spec);
}

struct webhook_register *webhook_register_new(struct ev_loop *loop,
					      const struct webhook_register_spec *spec)
{
	struct webhook_register *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->spec = *spec;
	ev_timer_init(&r->timer, on_timer, LOOK_S, LOOK_S);
	r->timer.data = r;
	r->informers[WATCH_CONFIGURATION] =
		watch(r, &kube_validating_webhooks, "metadata.name=" WEBHOOK_CONFIGURATION);
	r->informers[WATCH_CRD] = watch(r, &kube_crds, "metadata.name=" WEBHOOK_CRD);
	ev_timer_start(loop, &r->timer);
	return r;
}

struct webhook_register *webhook_register_free(struct webhook_register *r)
{
	if (!r)
		return NULL;
	ev_timer_stop(r->loop, &r->timer);
	ev_clear_pending(r->loop, &r->timer);
	for (size_t i = 0; i < CALL_COUNT; i++)
		kube_client_cancel(r->calls[i]);
	for (size_t i = 0; i < WATCH_COUNT; i++)
		kube_informer_free(r->informers[i]);
	free(r->ns_uid);
	free(r->candidate);
	free(r->trusted);
	free(r);
	return NULL;
}

void webhook_register_set_leader(struct webhook_register *r, bool leads)
{
	r->leads = leads;
	webhook_register_look(r);
}

const char *webhook_register_trusted(const struct webhook_register *r)
{
	return r->trusted;
}

/* ---- the end ---- */

static void stopped(struct webhook_register *r)
{
	r->done(r->done_user);
}

static void on_deleted(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;

	r->calls[CALL_STOP] = NULL;
	if (!result->ok && result->status != 404)
		log_error("webhook: cannot take the registration away", "error", result->message,
			  NULL);
	stopped(r);
}

static void on_unconverted(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;
	struct kube_ref ref = {&kube_validating_webhooks, NULL, WEBHOOK_CONFIGURATION, NULL};

	if (!result->ok && result->status != 404)
		log_error("webhook: cannot take the conversion away", "error", result->message,
			  NULL);
	r->calls[CALL_STOP] =
		kube_client_delete(r->spec.options->client, &ref, NULL, on_deleted, r);
}

/* Absent, on its way out, or without replicas: nobody comes after us. */
static bool is_abandoned(const struct kube_result *result)
{
	struct json_object *replicas =
		kube_json_get(kube_json_get(result->body, "spec"), "replicas");

	if (!result->ok)
		return result->status == 404;
	return *kube_meta_str(result->body, "deletionTimestamp") ||
	       (json_object_is_type(replicas, json_type_int) && json_object_get_int(replicas) == 0);
}

/* Ours belongs to our Namespace; that of MetalLB, which has the same name, to nobody. */
static bool is_ours(struct json_object *configuration)
{
	struct json_object *owners =
		kube_json_get(kube_json_get(configuration, "metadata"), "ownerReferences");

	return !configuration || (json_object_is_type(owners, json_type_array) &&
				  json_object_array_length(owners) > 0);
}

static void on_deployment(void *user, const struct kube_result *result)
{
	struct webhook_register *r = user;
	struct kube_ref ref = {&kube_crds, NULL, WEBHOOK_CRD, NULL};

	r->calls[CALL_STOP] = NULL;
	if (!is_abandoned(result) || !is_ours(live(r, WATCH_CONFIGURATION))) {
		if (!result->ok && result->status != 404)
			log_warn("webhook: cannot read our Deployment", "error", result->message,
				 NULL);
		stopped(r);
		return;
	}
	log_info("webhook: our Deployment is gone, taking the registration away", NULL);
	r->calls[CALL_STOP] = kube_client_patch(r->spec.options->client, &ref, KUBE_PATCH_MERGE,
						webhook_conversion_none, NULL, on_unconverted, r);
}

void webhook_register_stop(struct webhook_register *r, void (*done)(void *user), void *user)
{
	const struct webhook_options *o = r->spec.options;

	r->stopping = true;
	r->done = done;
	r->done_user = user;
	ev_timer_stop(r->loop, &r->timer);
	if (*o->deployment)
		ask(r, CALL_STOP, &kube_deployments, o->ns, o->deployment, on_deployment);
	else
		stopped(r);
}
