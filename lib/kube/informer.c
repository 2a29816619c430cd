/*
 * The shell of the list and watch machine (watch.c): sends its requests, feeds it their bytes,
 * keeps its timer, writes its log lines.
 */
#include "metallb/kube_informer.h"

#include <ev.h>

#include "lib/kube/client_impl.h"
#include "lib/kube/watch.h"
#include "metallb/http.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

struct kube_informer {
	struct kube_client *client;
	struct kube_watch *watch;
	const char *plural; /* of the first source, for the log */
	struct http_call *call;
	ev_timer timer;
};

static void flush(struct kube_informer *i);

static void on_head(void *user, const struct http_head *head)
{
	struct kube_informer *i = user;

	kube_client_count(i->client, "GET", head->status);
	kube_watch_recv_head(i->watch, clock_now(), head->status, head->retry_after);
}

static bool on_data(void *user, const void *data, size_t len)
{
	struct kube_informer *i = user;

	return kube_watch_recv_body(i->watch, clock_now(), data, len);
}

static void on_done(void *user, const struct http_end *end)
{
	struct kube_informer *i = user;

	i->call = NULL;
	if (end->status == 0)
		kube_client_count(i->client, "GET", 0);
	kube_watch_recv_end(i->watch, clock_now(), end->error);
	flush(i);
}

static void start(struct kube_informer *i, const char *path)
{
	_cleanup_free_ char *url = kube_client_url(i->client, path);

	i->call = http_start(kube_client_http(i->client), &(struct http_request){
								  .method = "GET",
								  .url = url,
								  .on_head = on_head,
								  .on_data = on_data,
								  .on_done = on_done,
								  .user = i,
							  });
}

/* Do what the machine wants done, and wake up when it wants to be woken. */
static void flush(struct kube_informer *i)
{
	struct ev_loop *loop = kube_client_loop(i->client);
	usec_t now = clock_now(), due;
	enum kube_watch_order order;
	const char *path;

	while ((order = kube_watch_output(i->watch, now, &path)) != KUBE_WATCH_NOTHING) {
		if (order == KUBE_WATCH_START)
			start(i, path);
		else
			i->call = http_abandon(i->call);
	}
	due = kube_watch_deadline(i->watch);
	ev_timer_stop(loop, &i->timer);
	ev_timer_set(&i->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(loop, &i->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct kube_informer *i = t->data;

	(void)loop;
	(void)revents;
	kube_watch_tick(i->watch, clock_now());
	flush(i);
}

static void on_problem(void *user, enum kube_watch_level level, const char *key, const char *what)
{
	static const enum log_level levels[] = {
		[KUBE_WATCH_DEBUG] = LOG_DEBUG,
		[KUBE_WATCH_INFO] = LOG_INFO,
		[KUBE_WATCH_WARN] = LOG_WARN,
	};
	struct kube_informer *i = user;

	if (key[0])
		log_write(levels[level], __FILE__, __LINE__, "kube: object cannot be used",
			  "resource", i->plural, "object", key, "error", what, NULL);
	else
		log_write(levels[level], __FILE__, __LINE__, "kube: watch", "resource", i->plural,
			  "state", what, NULL);
}

struct kube_informer *kube_informer_new(struct kube_client *c,
					const struct kube_informer_spec *spec)
{
	struct kube_informer *i = xcalloc(1, sizeof(*i));
	struct kube_watch_hooks hooks = {
		.random = &random_system, .on_problem = on_problem, .user = i};

	i->client = c;
	i->plural = spec->sources[0].resource->plural;
	i->watch = kube_watch_new(spec, &hooks);
	ev_timer_init(&i->timer, on_timer, 0., 0.);
	i->timer.data = i;
	ev_timer_start(kube_client_loop(c), &i->timer);
	return i;
}

struct kube_informer *kube_informer_free(struct kube_informer *i)
{
	if (!i)
		return NULL;
	http_cancel(i->call);
	ev_timer_stop(kube_client_loop(i->client), &i->timer);
	kube_watch_free(i->watch);
	free(i);
	return NULL;
}

const struct kube_store *kube_informer_store(const struct kube_informer *i)
{
	return kube_watch_store(i->watch);
}

bool kube_informer_is_synced(const struct kube_informer *i)
{
	return kube_watch_is_synced(i->watch);
}

const char *kube_informer_error(const struct kube_informer *i)
{
	return kube_watch_error(i->watch);
}

bool kube_informer_is_not_served(const struct kube_informer *i)
{
	return kube_watch_is_not_served(i->watch);
}

size_t kube_informer_source(const struct kube_informer *i)
{
	return kube_watch_source(i->watch);
}
