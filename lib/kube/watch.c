/*
 * The list and watch machine of one kind (Kubernetes API concepts: "Efficient detection of
 * changes", "Retrieving large result sets in chunks"). Bytes of answers and the clock go in,
 * requests come out; the store and the spec's callbacks get what is learned (apply.c).
 *
 *   WAIT --due--> LIST --page--> LIST ... --last page--> STREAM --end--> STREAM
 *     ^             |                                      |
 *     +--failure----+----------failure, cut----------------+      410, nonsense: to LIST again
 *
 * A failure never makes us forget: a new list is compared with the store when it is complete. Every
 * failure waits longer than the one before it, with jitter, or as long as the server says; an
 * event, or a watch that lived a while, makes the next wait short again.
 */
#include "lib/kube/watch.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/kube/status.h"
#include "lib/kube/watch_impl.h"
#include "metallb/xalloc.h"

struct kube_watch *kube_watch_new(const struct kube_informer_spec *spec,
				  const struct kube_watch_hooks *hooks)
{
	struct kube_watch *w = xcalloc(1, sizeof(*w));

	assert(spec->n_sources > 0 && spec->n_sources <= KUBE_SOURCES_MAX);
	w->spec = *spec;
	w->hooks = *hooks;
	w->store = kube_store_new(spec->free_value);
	w->must_list = true;
	w->tokener = json_tokener_new_ex(KUBE_JSON_DEPTH_MAX);
	if (!w->tokener)
		abort();
	json_tokener_set_flags(w->tokener, JSON_TOKENER_STRICT);
	kube_page_init(&w->page);
	kube_frame_init(&w->frame);
	return w;
}

struct kube_watch *kube_watch_free(struct kube_watch *w)
{
	if (!w)
		return NULL;
	kube_store_free(w->store);
	kube_page_fini(&w->page);
	kube_frame_fini(&w->frame);
	json_tokener_free(w->tokener);
	buf_fini(&w->error_body);
	buf_fini(&w->path);
	free(w->resource_version);
	free(w->continue_token);
	free(w->error);
	free(w);
	return NULL;
}

/* error NULL: all is well. The one place where the reported state changes. */
static void set_error(struct kube_watch *w, const char *error)
{
	const struct kube_resource *r = w->spec.sources[w->source].resource;

	if (!error && !w->error)
		return;
	if (error && w->error && strcmp(error, w->error) == 0)
		return;
	free(w->error);
	w->error = error ? xstrdup(error) : NULL;
	if (error) {
		kube_watch_problem(w, KUBE_WATCH_WARN, "", error);
	} else {
		_cleanup_free_ char *text = xasprintf("%s: up to date again", r->plural);

		kube_watch_problem(w, KUBE_WATCH_INFO, "", text);
	}
	if (w->spec.on_state)
		w->spec.on_state(w->spec.user, w->error);
}

static void enter(struct kube_watch *w, enum kube_watch_state state, usec_t now)
{
	w->state = state;
	w->sent = false;
	w->last_byte = now;
	w->status = 0;
	w->retry_after = 0;
	w->refusal.msg[0] = '\0';
	w->resumable = false;
	buf_fini(&w->error_body);
	if (state == KUBE_WATCH_LIST)
		kube_page_reset(&w->page);
	if (state == KUBE_WATCH_STREAM)
		kube_frame_clear(&w->frame);
}

static void wait_until(struct kube_watch *w, usec_t due)
{
	w->state = KUBE_WATCH_WAIT;
	w->due = due;
	w->sent = false;
}

/* The list from its first page, by the source that we would like best. */
static void restart_list(struct kube_watch *w)
{
	free(w->continue_token);
	w->continue_token = NULL;
	w->must_list = true;
	w->source = 0;
}

static usec_t backoff(struct kube_watch *w, bool answered)
{
	usec_t max = answered ? KUBE_BACKOFF_CUT_MAX : KUBE_BACKOFF_MAX;
	unsigned doublings = w->failures < 20 ? w->failures : 20;
	usec_t delay = KUBE_BACKOFF_BASE << doublings;

	if (delay > max)
		delay = max;
	return delay / 2 + random_below(w->hooks.random, (uint32_t)delay);
}

/* The request failed, or its answer was no good: say why and wait. */
static void fail(struct kube_watch *w, usec_t now, const char *error)
{
	bool stream = w->state == KUBE_WATCH_STREAM;
	bool answered = stream && w->status == 200;
	const char *own = w->refusal.msg[0] ? w->refusal.msg : error;
	struct json_object *body = kube_json_parse(buf_str(&w->error_body), w->error_body.len);
	struct buf text = {0};
	usec_t delay;

	kube_failure_format(
		&(struct kube_failure){
			.verb = stream ? "watch" : "list",
			.resource = w->spec.sources[w->source].resource,
			.error = own,
			.status = w->status,
			.body = body,
			.text = buf_str(&w->error_body),
			.text_len = w->error_body.len,
		},
		&text);
	json_object_put(body);
	/* A watch that is cut once is everyday life; only when it goes on it is worth a warning. */
	if (answered && w->failures == 0)
		kube_watch_problem(w, KUBE_WATCH_DEBUG, "", buf_str(&text));
	else
		set_error(w, buf_str(&text));
	buf_fini(&text);
	delay = backoff(w, answered);
	if (w->retry_after > 0)
		delay += w->retry_after < KUBE_RETRY_AFTER_MAX ? w->retry_after
							       : KUBE_RETRY_AFTER_MAX;
	w->failures++;
	wait_until(w, now + delay);
}

/* 404: the server does not have this kind; try the next source. */
static void not_served(struct kube_watch *w, usec_t now)
{
	struct buf text = {0};

	w->must_list = true;
	if (w->source + 1 < w->spec.n_sources) {
		w->source++;
		enter(w, KUBE_WATCH_LIST, now);
		return;
	}
	buf_add_str(&text, "kind not served:");
	for (size_t i = 0; i < w->spec.n_sources; i++) {
		buf_printf(&text, "%s %s of ", i ? "," : "", w->spec.sources[i].resource->kind);
		kube_api_version(w->spec.sources[i].resource, &text);
	}
	restart_list(w);
	w->not_served = w->not_served ? w->not_served * 2 : KUBE_NOT_SERVED_BASE;
	if (w->not_served > KUBE_NOT_SERVED_MAX)
		w->not_served = KUBE_NOT_SERVED_MAX;
	set_error(w, buf_str(&text));
	buf_fini(&text);
	wait_until(w, now + w->not_served / 2 +
			      random_below(w->hooks.random, (uint32_t)w->not_served));
}

static void list_page_done(struct kube_watch *w, usec_t now)
{
	struct err err;

	if (!kube_page_end(&w->page, &err)) {
		fail(w, now, err.msg);
		return;
	}
	free(w->continue_token);
	w->continue_token = NULL;
	if (w->page.continue_token && w->page.continue_token[0]) {
		w->continue_token = xstrdup(w->page.continue_token);
		enter(w, KUBE_WATCH_LIST, now);
		return;
	}
	free(w->resource_version);
	w->resource_version = xstrdup(w->page.resource_version);
	w->must_list = false;
	w->not_served = 0;
	set_error(w, NULL);
	kube_watch_apply_list_end(w);
	enter(w, KUBE_WATCH_STREAM, now);
}

static void list_ended(struct kube_watch *w, usec_t now, const char *error)
{
	if (error || w->refusal.msg[0]) {
		fail(w, now, error);
	} else if (w->status == 200) {
		list_page_done(w, now);
	} else if (w->status == 404) {
		not_served(w, now);
	} else {
		fail(w, now, NULL);
		/* The continue token has expired, or is not liked. */
		if (w->status >= 400 && w->status < 429)
			restart_list(w);
	}
}

/* Does this answer mean that we cannot go on from our resourceVersion? */
static bool needs_list(const struct kube_watch *w)
{
	if (w->refusal.msg[0])
		return !w->resumable;
	return w->status >= 400 && w->status < 500 && w->status != 401 && w->status != 403 &&
	       w->status != 408 && w->status != 429;
}

static void stream_ended(struct kube_watch *w, usec_t now, const char *error)
{
	bool settled = w->status == 200 && now - w->began >= KUBE_WATCH_SETTLED;

	bool list = needs_list(w);

	if (settled)
		w->failures = 0;
	if (settled && !error && !w->refusal.msg[0])
		enter(w, KUBE_WATCH_STREAM, now);
	else if (w->status == 200 && !error && !w->refusal.msg[0])
		fail(w, now, "the server ended the stream early");
	else
		fail(w, now, error);
	if (list)
		restart_list(w);
}

static void on_item(void *user, struct json_object *item)
{
	kube_watch_apply_item(user, item);
}

static bool on_line(void *user, const char *line, size_t len, struct err *err)
{
	return kube_watch_apply_line(user, line, len, err);
}

void kube_watch_recv_head(struct kube_watch *w, usec_t now, int status, usec_t retry_after)
{
	assert(w->state != KUBE_WATCH_WAIT && w->sent);
	w->status = status;
	w->retry_after = retry_after;
	w->last_byte = w->began = now;
	if (w->state == KUBE_WATCH_STREAM && status == 200)
		set_error(w, NULL);
}

bool kube_watch_recv_body(struct kube_watch *w, usec_t now, const void *data, size_t len)
{
	bool ok;

	assert(w->state != KUBE_WATCH_WAIT && w->sent);
	w->last_byte = now;
	if (w->status != 200) {
		size_t room = KUBE_ERROR_BODY_MAX - w->error_body.len;

		buf_add(&w->error_body, data, len < room ? len : room);
		return true;
	}
	if (w->state == KUBE_WATCH_LIST)
		ok = kube_page_recv(&w->page, data, len, on_item, w, &w->refusal);
	else
		ok = kube_frame_recv(&w->frame, data, len, on_line, w, &w->refusal);
	return ok;
}

void kube_watch_recv_end(struct kube_watch *w, usec_t now, const char *error)
{
	assert(w->state != KUBE_WATCH_WAIT && w->sent);
	if (w->state == KUBE_WATCH_LIST)
		list_ended(w, now, error);
	else
		stream_ended(w, now, error);
}

static usec_t silence_max(const struct kube_watch *w)
{
	return w->state == KUBE_WATCH_STREAM && w->status == 200 ? KUBE_WATCH_SILENCE
								 : KUBE_LIST_SILENCE;
}

void kube_watch_tick(struct kube_watch *w, usec_t now)
{
	if (now < kube_watch_deadline(w))
		return;
	if (w->state != KUBE_WATCH_WAIT) {
		(void)err_set(&w->refusal, "no data for %d s, the connection is given up",
			      (int)(silence_max(w) / USEC_PER_SEC));
		w->resumable = true;
		w->must_stop = true;
		fail(w, now, NULL);
	} else if (w->must_list) {
		enter(w, KUBE_WATCH_LIST, now);
	} else {
		enter(w, KUBE_WATCH_STREAM, now);
	}
}

usec_t kube_watch_deadline(const struct kube_watch *w)
{
	if (w->state == KUBE_WATCH_WAIT)
		return w->due;
	return w->last_byte + silence_max(w);
}

static void add_number_query(struct buf *out, const char *name, uint32_t value)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", value);
	kube_path_query(out, name, text);
}

static void build_path(struct kube_watch *w)
{
	struct kube_ref ref = {.resource = w->spec.sources[w->source].resource, .ns = w->spec.ns};

	buf_clear(&w->path);
	kube_path(&ref, &w->path);
	if (w->spec.label_selector)
		kube_path_query(&w->path, "labelSelector", w->spec.label_selector);
	if (w->spec.field_selector)
		kube_path_query(&w->path, "fieldSelector", w->spec.field_selector);
	if (w->state == KUBE_WATCH_LIST) {
		add_number_query(&w->path, "limit", KUBE_LIST_LIMIT);
		if (w->continue_token)
			kube_path_query(&w->path, "continue", w->continue_token);
		return;
	}
	kube_path_query(&w->path, "watch", "true");
	kube_path_query(&w->path, "allowWatchBookmarks", "true");
	kube_path_query(&w->path, "resourceVersion", w->resource_version);
	add_number_query(&w->path, "timeoutSeconds",
			 KUBE_WATCH_SECONDS + random_below(w->hooks.random, KUBE_WATCH_SECONDS));
}

enum kube_watch_order kube_watch_output(struct kube_watch *w, usec_t now, const char **path)
{
	if (w->must_stop) {
		w->must_stop = false;
		return KUBE_WATCH_STOP;
	}
	if (w->state == KUBE_WATCH_WAIT || w->sent)
		return KUBE_WATCH_NOTHING;
	/* A first page counts the objects anew. */
	if (w->state == KUBE_WATCH_LIST && !w->continue_token)
		kube_store_sweep(w->store);
	build_path(w);
	w->sent = true;
	w->last_byte = now;
	*path = buf_str(&w->path);
	return KUBE_WATCH_START;
}

enum kube_watch_state kube_watch_state(const struct kube_watch *w)
{
	return w->state;
}

const struct kube_store *kube_watch_store(const struct kube_watch *w)
{
	return w->store;
}

bool kube_watch_is_synced(const struct kube_watch *w)
{
	return w->synced;
}

const char *kube_watch_error(const struct kube_watch *w)
{
	return w->error;
}

bool kube_watch_is_not_served(const struct kube_watch *w)
{
	return w->not_served > 0;
}

size_t kube_watch_source(const struct kube_watch *w)
{
	return w->source;
}
