/*
 * Requests for one object, one at a time; what to do next is decided in speaker/frrk8s/sync.c.
 */
#include "speaker/frrk8s.h"

#include <ev.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/kube_informer.h"
#include "metallb/kube_queue.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/frrk8s/sync.h"

#define SETTLE    (100 * USEC_PER_MSEC) /* changes in quick succession are written once */
#define OBJECT    "object"
#define LEFTOVERS "leftovers"
#define MISSING                                                                                    \
	"no BGP session: the API server has no FRRConfiguration (frrk8s.metallb.io/v1beta1); "     \
	"install frr-k8s, or choose the backend native or frr"

static const struct kube_resource resource = {
	.group = "frrk8s.metallb.io",
	.version = "v1beta1",
	.plural = "frrconfigurations",
	.kind = "FRRConfiguration",
	.namespaced = true,
};

struct frrk8s {
	struct frrk8s_options o;
	struct ev_loop *loop;
	bool active; /* the backend is frr-k8s */
	const char *ns;
	char *name, *selector;
	struct frr_sync sync;
	struct kube_informer *informer; /* NULL when not active */
	struct kube_queue *queue;       /* OBJECT, LEFTOVERS */
	ev_timer timer;
	struct kube_call *object_call, *leftover_call;
	enum frr_step step; /* under way */
	json_object *sending;
	const char *problem_reason;
	char *problem; /* NULL: none */
};

static void arm(struct frrk8s *f)
{
	usec_t due = kube_queue_deadline(f->queue), now = clock_now();

	ev_timer_stop(f->loop, &f->timer);
	if (due == USEC_NEVER)
		return;
	ev_timer_set(&f->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(f->loop, &f->timer);
}

static void touch(struct frrk8s *f)
{
	kube_queue_add_after(f->queue, OBJECT, clock_now() + SETTLE);
	arm(f);
}

/* A piece of work ended; failed: it is tried again after a growing delay. */
static void work_done(struct frrk8s *f, const char *key, bool failed)
{
	if (failed)
		kube_queue_retry(f->queue, key, clock_now());
	else
		kube_queue_forget(f->queue, key);
	kube_queue_done(f->queue, key);
	arm(f);
}

/* ---- problems ---- */

static void problem_set(struct frrk8s *f, const char *reason, const char *text)
{
	if (text && f->problem && strcmp(f->problem, text) == 0)
		return;
	free(f->problem);
	f->problem = text ? xstrdup(text) : NULL;
	f->problem_reason = reason;
	if (!text)
		return;
	log_error("FRRConfiguration cannot be written", "name", f->name, "namespace", f->ns,
		  "error", text, NULL);
	f->o.on_problem(f->o.user, reason, text);
}

static void on_state(void *user, const char *error)
{
	struct frrk8s *f = user;

	/* Other errors are the API server's, not the object's; the informer logs them. */
	if (error && kube_informer_is_not_served(f->informer))
		problem_set(f, "frrConfigurationMissing", MISSING);
	else if (!error)
		problem_set(f, NULL, NULL);
}

/* ---- the object ---- */

static const char *step_name(enum frr_step step)
{
	return step == FRR_CREATE ? "create" : step == FRR_UPDATE ? "update" : "delete";
}

static void on_written(void *user, const struct kube_result *result)
{
	struct frrk8s *f = user;
	json_object *sending = f->sending;
	bool gone = f->step == FRR_DELETE && result->status == 404;
	/* Somebody was quicker; the watch will tell. */
	bool outrun = result->status == 409 || (f->step == FRR_UPDATE && result->status == 404);

	f->object_call = NULL;
	f->sending = NULL;
	if (result->ok || gone) {
		frr_sync_done(&f->sync, sending, f->step == FRR_DELETE ? NULL : result->body,
			      clock_now());
		log_info("FRRConfiguration written", "step", step_name(f->step), "name", f->name,
			 "namespace", f->ns, NULL);
		problem_set(f, NULL, NULL);
		kube_queue_add_after(f->queue, OBJECT, clock_now() + SETTLE);
	} else if (!outrun && result->status >= 400 && result->status < 429) {
		problem_set(f, "frrConfigurationRefused", result->message);
	} else if (!outrun) {
		log_warn("cannot write the FRRConfiguration, trying again", "name", f->name,
			 "error", result->message, NULL);
	}
	json_object_put(sending);
	work_done(f, OBJECT, !result->ok && !gone);
}

static void dump(json_object *spec)
{
	json_object *masked = spec ? frr_configuration_masked(spec) : NULL;

	log_debug("FRRConfiguration", "spec",
		  masked ? json_object_to_json_string_ext(masked, JSON_C_TO_STRING_PLAIN) : "",
		  NULL);
	json_object_put(masked);
}

/* true when a request was started. */
static bool object_step(struct frrk8s *f)
{
	usec_t due;
	struct kube_ref ref = {&resource, f->ns, f->name, NULL};
	json_object *body = NULL, *seen = f->sync.seen;
	const char *text = NULL;

	if (!kube_informer_is_synced(f->informer))
		return false; /* its first list touches the object */
	f->step = frr_sync_next(&f->sync, clock_now(), &due);
	if (due != USEC_NEVER)
		kube_queue_add_after(f->queue, OBJECT, due);
	if (f->step == FRR_NOTHING)
		return false;
	if (f->step == FRR_DELETE) {
		_cleanup_free_ char *uid = xstrdup(kube_meta_str(seen, "uid"));
		struct kube_delete_options opt = {.uid = uid, .grace_s = -1};

		f->object_call = kube_client_delete(f->o.client, &ref, &opt, on_written, f);
		return true;
	}
	dump(f->sync.wanted);
	body = frr_sync_body(&f->sync, f->step);
	text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
	f->sending = json_object_get(f->sync.wanted);
	if (f->step == FRR_CREATE) {
		ref.name = NULL;
		f->object_call = kube_client_create(f->o.client, &ref, text, on_written, f);
	} else {
		f->object_call = kube_client_update(f->o.client, &ref, text, on_written, f);
	}
	json_object_put(body);
	return true;
}

void frrk8s_set(struct frrk8s *f, const struct config *cfg, const struct config_peer *const *peers,
		size_t n_peers, const struct announce_route *const *routes, size_t n_routes)
{
	struct frr_input in = {
		.cfg = cfg,
		.peers = peers,
		.n_peers = n_peers,
		.routes = routes,
		.n_routes = n_routes,
		.node = f->o.opt->node_name,
		.pass_secrets = f->o.opt->frrk8s_passthrough || strcmp(f->ns, f->o.opt->ns) == 0,
	};
	json_object *spec = frr_configuration_spec(&in);

	if (f->problem && n_peers > 0)
		f->o.on_problem(f->o.user, f->problem_reason, f->problem);
	if (frr_sync_want(&f->sync, spec))
		touch(f);
	json_object_put(spec);
}

bool frrk8s_is_gone(const struct frrk8s *f)
{
	return !f->sync.seen;
}

/* ---- what was left behind ---- */

static void on_leftover_deleted(void *user, const struct kube_result *result)
{
	struct frrk8s *f = user;
	bool ok = result->ok || result->status == 404;

	f->leftover_call = NULL;
	if (!ok)
		log_warn("cannot remove an FRRConfiguration that is out of use", "error",
			 result->message, NULL);
	else
		kube_queue_add(f->queue, LEFTOVERS); /* are there more? */
	work_done(f, LEFTOVERS, !ok);
}

/* An object of ours under this node's name that this run does not use, or NULL. */
static json_object *leftover_find(const struct frrk8s *f, json_object *list)
{
	json_object *items = kube_json_get(list, "items");

	for (size_t i = 0; items && i < json_object_array_length(items); i++) {
		json_object *o = json_object_array_get_idx(items, i);

		if (frr_object_is_ours(o) && !kube_meta_str(o, "deletionTimestamp")[0] &&
		    (!f->active || strcmp(kube_meta_str(o, "namespace"), f->ns) != 0))
			return o;
	}
	return NULL;
}

static void on_leftovers(void *user, const struct kube_result *result)
{
	struct frrk8s *f = user;
	/* 404: frr-k8s was never here. */
	bool settled = result->ok || result->status == 404 || result->status == 403;
	json_object *o = result->ok ? leftover_find(f, result->body) : NULL;

	f->leftover_call = NULL;
	if (!result->ok && result->status != 404)
		log_warn("cannot look for FRRConfigurations that are out of use", "error",
			 result->message, NULL);
	if (!o) {
		work_done(f, LEFTOVERS, !settled);
		return;
	}
	struct kube_ref ref = {&resource, kube_meta_str(o, "namespace"), f->name, NULL};
	struct kube_delete_options opt = {.uid = kube_meta_str(o, "uid"), .grace_s = -1};

	log_info("removing an FRRConfiguration that is out of use", "name", f->name, "namespace",
		 ref.ns, NULL);
	f->leftover_call = kube_client_delete(f->o.client, &ref, &opt, on_leftover_deleted, f);
}

static void leftovers_step(struct frrk8s *f)
{
	struct kube_ref ref = {&resource, NULL, NULL, NULL};
	struct kube_list_options opt = {.field_selector = f->selector};

	f->leftover_call = kube_client_list(f->o.client, &ref, &opt, on_leftovers, f);
}

/* ---- life ---- */

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct frrk8s *f = t->data;
	const char *key;

	(void)loop;
	(void)revents;
	while (kube_queue_pop(f->queue, clock_now(), &key)) {
		if (strcmp(key, LEFTOVERS) == 0) {
			leftovers_step(f);
		} else if (!object_step(f)) {
			kube_queue_forget(f->queue, key);
			kube_queue_done(f->queue, key);
		}
	}
	arm(f);
}

static void *object_decode(json_object *json, struct err *err)
{
	err->msg[0] = '\0';
	return json_object_get(json);
}

static void object_free(void *value)
{
	json_object_put(value);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct frrk8s *f = user;

	(void)key;
	(void)before;
	frr_sync_see(&f->sync, after);
	touch(f);
	if (!after)
		f->o.on_gone(f->o.user);
}

static void on_synced(void *user)
{
	touch(user);
}

static void informer_start(struct frrk8s *f)
{
	struct kube_informer_spec spec = {
		.sources = {{&resource, object_decode}},
		.n_sources = 1,
		.ns = f->ns,
		.field_selector = f->selector,
		.free_value = object_free,
		.on_change = on_change,
		.on_synced = on_synced,
		.on_state = on_state,
		.user = f,
	};

	f->informer = kube_informer_new(f->o.client, &spec);
}

struct frrk8s *frrk8s_new(const struct frrk8s_options *options)
{
	const struct options *opt = options->opt;
	struct frrk8s *f = xcalloc(1, sizeof(*f));

	f->o = *options;
	f->loop = kube_client_loop(options->client);
	f->active = opt->backend == BACKEND_FRR_K8S;
	f->ns = opt->frrk8s_namespace[0] ? opt->frrk8s_namespace : opt->ns;
	f->name = frr_configuration_name(opt->node_name);
	f->selector = xasprintf("metadata.name=%s", f->name);
	f->sync.ns = f->ns;
	f->sync.name = f->name;
	f->queue = kube_queue_new(0, 0, &random_system);
	ev_timer_init(&f->timer, on_timer, 0., 0.);
	f->timer.data = f;
	if (f->active)
		informer_start(f);
	kube_queue_add(f->queue, LEFTOVERS);
	arm(f);
	return f;
}

struct frrk8s *frrk8s_free(struct frrk8s *f)
{
	if (!f)
		return NULL;
	ev_timer_stop(f->loop, &f->timer);
	if (f->object_call)
		kube_client_cancel(f->object_call);
	if (f->leftover_call)
		kube_client_cancel(f->leftover_call);
	kube_informer_free(f->informer);
	kube_queue_free(f->queue);
	frr_sync_fini(&f->sync);
	json_object_put(f->sending);
	free(f->problem);
	free(f->name);
	free(f->selector);
	free(f);
	return NULL;
}
