/*
 * One object, one request at a time: the next step towards what is wanted, a pause after a failure.
 */
#include "metallb/config_state.h"

#include <ev.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/clock.h"
#include "metallb/kube.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

#define RETRY_DELAY      10. /* s */
#define STATE_ERRORS_MAX 8192u

struct config_state {
	struct config_state_spec spec;
	struct ev_loop *loop;
	struct kube_call *call;
	ev_timer timer;
	char *errors;  /* wanted; NULL = nothing known yet */
	char *pod_uid; /* "" when there is no pod to own it */
	bool created, dirty;
};

static void next(struct config_state *s);

static void retry(struct config_state *s, const char *what, const char *why)
{
	log_error("cannot write the ConfigurationState", "step", what, "error", why, NULL);
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_set(&s->timer, RETRY_DELAY, 0.);
	ev_timer_start(s->loop, &s->timer);
}

static void on_pod(void *user, const struct kube_result *result)
{
	struct config_state *s = user;

	s->call = NULL;
	if (!result->ok && result->status != 404) {
		retry(s, "read own pod", result->message);
		return;
	}
	s->pod_uid = xstrdup(result->ok ? kube_meta_str(result->body, "uid") : "");
	next(s);
}

static void on_created(void *user, const struct kube_result *result)
{
	struct config_state *s = user;

	s->call = NULL;
	if (!result->ok) {
		retry(s, "create", result->message);
		return;
	}
	s->created = true;
	next(s);
}

static void on_status(void *user, const struct kube_result *result)
{
	struct config_state *s = user;

	s->call = NULL;
	if (result->ok) {
		next(s);
		return;
	}
	if (result->status == 404)
		s->created = false; /* somebody deleted it */
	s->dirty = true;
	if (result->status == 404)
		next(s);
	else
		retry(s, "write status", result->message);
}

static void add_owner(const struct config_state *s, struct buf *body)
{
	const char *pod = s->spec.pod_name;

	if (!s->pod_uid[0])
		return;
	buf_add_str(body,
		    ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":");
	buf_add_json_str(body, pod, strlen(pod));
	buf_add_str(body, ",\"uid\":");
	buf_add_json_str(body, s->pod_uid, strlen(s->pod_uid));
	buf_add_str(body, "}]");
}

/* Server-side apply: made when absent, and taken over from the pod that wrote it before. */
static void create(struct config_state *s)
{
	struct kube_ref ref = {&kube_configurationstates, s->spec.ns, s->spec.name, NULL};
	struct kube_patch_options opt = {.field_manager = s->spec.field_manager, .force = true};
	_cleanup_(buf_fini) struct buf body = {0};

	buf_add_str(&body, "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"ConfigurationState\","
			   "\"metadata\":{\"name\":");
	buf_add_json_str(&body, s->spec.name, strlen(s->spec.name));
	buf_add_str(&body, ",\"labels\":{\"metallb.io/component-type\":");
	buf_add_json_str(&body, s->spec.component, strlen(s->spec.component));
	if (s->spec.node) {
		buf_add_str(&body, ",\"metallb.io/node-name\":");
		buf_add_json_str(&body, s->spec.node, strlen(s->spec.node));
	}
	buf_add_str(&body, "}");
	add_owner(s, &body);
	buf_add_str(&body, "}}");
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_APPLY, buf_str(&body), &opt,
				    on_created, s);
}

static void write_status(struct config_state *s)
{
	struct kube_ref ref = {&kube_configurationstates, s->spec.ns, s->spec.name, "status"};
	size_t len = strnlen(s->errors, STATE_ERRORS_MAX);
	_cleanup_(buf_fini) struct buf body = {0}, message = {0};
	char now[32];

	/* Never an empty text: API servers before 1.21 take it for null in a custom resource. */
	if (len > 0)
		buf_printf(&message, "configuration error: %.*s", (int)len, s->errors);
	else
		buf_add_str(&message, s->spec.valid_text);
	s->dirty = false;
	buf_printf(&body,
		   "{\"status\":{\"result\":\"%s\",\"errorSummary\":", len ? "Invalid" : "Valid");
	if (len > 0)
		buf_add_json_str(&body, buf_str(&message), message.len);
	else
		buf_add_str(&body, "null");
	buf_printf(&body,
		   ",\"conditions\":[{\"type\":\"%s\",\"status\":\"%s\","
		   "\"reason\":\"%s\",\"lastTransitionTime\":\"%s\",\"message\":",
		   s->spec.condition, len ? "False" : "True",
		   len ? "ConfigurationError" : "Reconciled",
		   clock_format_rfc3339(clock_wall(), now));
	buf_add_json_str(&body, buf_str(&message), message.len);
	buf_add_str(&body, "}]}}");
	s->call = kube_client_patch(s->spec.client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
				    on_status, s);
}

/* Take the next step towards what is wanted. */
static void next(struct config_state *s)
{
	struct kube_ref pod = {&kube_pods, s->spec.ns, s->spec.pod_name, NULL};

	if (s->call || !s->errors || !s->dirty ||
	    (s->spec.may_write && !s->spec.may_write(s->spec.user)))
		return;
	if (!s->pod_uid && !s->spec.pod_name[0])
		s->pod_uid = xstrdup("");
	if (!s->pod_uid)
		s->call = kube_client_get(s->spec.client, &pod, on_pod, s);
	else if (!s->created)
		create(s);
	else
		write_status(s);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	next(w->data);
}

void config_state_set(struct config_state *s, const char *errors)
{
	if (s->errors && strcmp(s->errors, errors) == 0)
		return;
	free(s->errors);
	s->errors = xstrdup(errors);
	s->dirty = true;
	next(s);
}

struct config_state *config_state_new(const struct config_state_spec *spec)
{
	struct config_state *s = xcalloc(1, sizeof(*s));

	s->spec = *spec;
	s->loop = kube_client_loop(spec->client);
	ev_init(&s->timer, on_timer);
	s->timer.data = s;
	return s;
}

struct config_state *config_state_free(struct config_state *s)
{
	if (!s)
		return NULL;
	ev_timer_stop(s->loop, &s->timer);
	if (s->call)
		kube_client_cancel(s->call);
	free(s->errors);
	free(s->pod_uid);
	free(s);
	return NULL;
}
