/*
 * The webhooks' server and what belongs to it; see webhook.h.
 *
 * A verdict takes well under a millisecond and needs nothing from outside. But after a write has
 * been allowed the next review waits until that write has come back by the watch, for a moment at
 * most: of two objects that exclude each other, applied one right after the other, the second is
 * refused. And an object that is refused because of others is judged again for a moment: what it
 * collides with may be deleted already, by way of another replica.
 */
#include "operator/webhook.h"

#include <assert.h>
#include <ev.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/list.h"
#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/serve.h"
#include "metallb/xalloc.h"
#include "operator/admit.h"
#include "operator/convert.h"
#include "operator/webhook_certs.h"
#include "operator/webhook_register.h"
#include "operator/webhook_rules.h"
#include "operator/webhook_store.h"

/* Until everybody has learned that this replica is gone; within the Pod's grace period. */
#define DRAIN_S    2.5
#define ROUTES_MAX 16
/* For an allowed write to be seen; some never are, being refused elsewhere. */
#define SEEN_TIME (500 * USEC_PER_MSEC)
/* For a deletion to be seen, which would turn a refusal. */
#define DOUBT_STEP  (50 * USEC_PER_MSEC)
#define DOUBT_STEPS 5u
#define DOUBTED_MAX 32u
#define JSON        "application/json"

struct webhook {
	struct ev_loop *loop;
	struct webhook_options options;
	struct serve *serve;
	struct webhook_store *store;
	struct webhook_certs *certs;
	struct webhook_register *registration;
	struct webhook_path {
		struct webhook *webhook;
		enum api_kind kind;
	} paths[ROUTES_MAX];
	struct serve_route routes[ROUTES_MAX];
	size_t n_routes;
	struct log_limit limit;
	usec_t unseen_until; /* a write that was allowed is still to be seen */
	struct list parked;  /* struct parked, in the order of arrival */
	struct list doubted; /* the same, refused so far */
	size_t n_doubted;
	ev_timer resume, doubt;
	ev_timer drain;
	bool unregistered, drained;
	void (*done)(void *user);
	void *done_user;
};

/* One set for the process. */
static struct metric *requests, *durations;

static void metrics_init(void)
{
	static const char *const labels[] = {"path", "verdict", NULL};
	static const char *const path[] = {"path", NULL};
	static const double buckets[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025,
					 0.005,  0.01,    0.025,  0.1,   1};

	if (requests)
		return;
	requests = metric_new(METRIC_COUNTER, "metallb_webhook_requests_total",
			      "Requests to the webhooks, by what was answered.", labels, NULL, 0);
	durations = metric_new(METRIC_HISTOGRAM, "metallb_webhook_request_duration_seconds",
			       "Time to make an answer.", path, buckets, ARRAY_SIZE(buckets));
}

static void count(const struct serve_request *r, const char *verdict, usec_t since)
{
	const char *path = serve_request_path(r);

	metric_add(requests, METRIC_VALUES(path, verdict), 1);
	metric_observe(durations, METRIC_VALUES(path),
		       (double)(clock_now() - since) / (double)USEC_PER_SEC);
}

static void answer(struct serve_request *r, int status, struct buf *out)
{
	serve_reply(r, status, status == 200 ? JSON : "text/plain; charset=utf-8", out);
}

static void log_refusal(struct webhook *w, const struct serve_request *r, const struct buf *out)
{
	unsigned suppressed;

	if (log_limit_ok(&w->limit, clock_now(), USEC_PER_SEC, 20, &suppressed))
		log_info("webhook: refused", "path", serve_request_path(r), "answer", buf_str(out),
			 "suppressed", log_int(suppressed), NULL);
}

/* A review that waits for the write before it, or for the end of what it collides with. */
struct parked {
	struct list link;
	const struct webhook_path *path;
	struct serve_request *request;
	unsigned steps; /* how often it was refused */
};

static struct parked *park(struct list *list, const struct webhook_path *p, struct serve_request *r)
{
	struct parked *parked = xcalloc(1, sizeof(*parked));

	parked->path = p;
	parked->request = r;
	list_add_tail(list, &parked->link);
	return parked;
}

static void unpark(struct parked *parked)
{
	list_del(&parked->link);
	free(parked);
}

static struct admit_snapshot empty_snapshot(const struct webhook *w)
{
	return (struct admit_snapshot){
		.ns = w->options.ns,
		.backend = w->options.backend,
		.frrk8s_namespace_known = w->options.frrk8s_namespace_known,
		.objs.bgp_extras = "",
	};
}

/* Would it be refused if there were nothing else? */
static bool is_bad_alone(const struct webhook_path *p, const char *body, size_t len)
{
	struct admit_snapshot s = empty_snapshot(p->webhook);
	_cleanup_(buf_fini) struct buf out = {0};
	struct admit_outcome alone;

	return admit_review(&s, p->kind, body, len, &out, &alone) != 200 || !alone.allowed;
}

/* Answers and returns true; false when it is refused because of others and that is not final. */
static bool judge(struct serve_request *r, const struct webhook_path *p, bool final)
{
	struct webhook *w = p->webhook;
	struct admit_snapshot s = empty_snapshot(w);
	struct buf out = {0};
	usec_t since = clock_now();
	struct admit_outcome outcome = {0};
	size_t len;
	const char *body = serve_request_body(r, &len);
	int status;

	webhook_store_snapshot(w->store, &s);
	status = admit_review(&s, p->kind, body, len, &out, &outcome);
	if (status == 200 && !outcome.allowed && !final && !is_bad_alone(p, body, len)) {
		buf_fini(&out);
		return false;
	}
	count(r, status != 200 ? "invalid" : outcome.allowed ? "allowed" : "denied", since);
	if (!outcome.allowed)
		log_refusal(w, r, &out);
	else if (outcome.changes)
		w->unseen_until = clock_now() + SEEN_TIME;
	answer(r, status, &out);
	return true;
}

static bool must_wait(const struct webhook *w)
{
	return w->unseen_until > clock_now();
}

static void start_timer(struct webhook *w, ev_timer *t, usec_t delay)
{
	ev_timer_stop(w->loop, t);
	ev_timer_set(t, (double)delay / (double)USEC_PER_SEC, 0.);
	ev_timer_start(w->loop, t);
}

static void judge_first(struct serve_request *r, const struct webhook_path *p)
{
	struct webhook *w = p->webhook;

	if (judge(r, p, w->n_doubted == DOUBTED_MAX))
		return;
	park(&w->doubted, p, r)->steps = 1;
	w->n_doubted++;
	if (!ev_is_active(&w->doubt))
		start_timer(w, &w->doubt, DOUBT_STEP);
}

static void on_doubt(struct ev_loop *loop, ev_timer *t, int events)
{
	struct webhook *w = t->data;
	struct list *pos, *tmp;

	(void)loop;
	(void)events;
	list_for_each_safe (pos, tmp, &w->doubted) {
		struct parked *parked = container_of(pos, struct parked, link);

		if (!judge(parked->request, parked->path, parked->steps == DOUBT_STEPS)) {
			parked->steps++;
			continue;
		}
		unpark(parked);
		w->n_doubted--;
	}
	if (w->n_doubted > 0)
		start_timer(w, &w->doubt, DOUBT_STEP);
}

static void on_admit(struct serve_request *r, void *user)
{
	const struct webhook_path *p = user;
	struct webhook *w = p->webhook;

	if (!webhook_store_is_synced(w->store)) {
		count(r, "early", clock_now());
		serve_reply_text(r, 503, "not ready yet\n");
		return;
	}
	if (!must_wait(w)) {
		judge_first(r, p);
		return;
	}
	park(&w->parked, p, r);
	start_timer(w, &w->resume, SEEN_TIME);
}

static void on_resume(struct ev_loop *loop, ev_timer *t, int events)
{
	struct webhook *w = t->data;

	(void)loop;
	(void)events;
	while (!list_is_empty(&w->parked) && !must_wait(w)) {
		struct parked *parked = container_of(w->parked.next, struct parked, link);
		const struct webhook_path *p = parked->path;
		struct serve_request *r = parked->request;

		list_del(&parked->link);
		assert(w->parked.next != &parked->link);
		free(parked);
		judge_first(r, p);
	}
	if (!list_is_empty(&w->parked))
		start_timer(w, &w->resume, SEEN_TIME);
}

/* The write that was allowed, or another one: what is judged next sees it. */
static void on_store_change(void *user)
{
	struct webhook *w = user;

	w->unseen_until = 0;
	if (!list_is_empty(&w->parked))
		start_timer(w, &w->resume, 0);
}

static void on_convert(struct serve_request *r, void *user)
{
	struct buf out = {0};
	usec_t since = clock_now();
	size_t len;
	const char *body = serve_request_body(r, &len);
	int status = convert_review(body, len, &out);

	(void)user;
	count(r, status == 200 ? "converted" : "invalid", since);
	answer(r, status, &out);
}

/* A route for each path of the table, and the conversion. */
static void make_routes(struct webhook *w)
{
	for (size_t i = 0; i < webhook_n_rules; i++) {
		const struct webhook_rule *rule = &webhook_rules[i];
		size_t k = 0;

		while (k < w->n_routes && strcmp(w->routes[k].path, rule->path) != 0)
			k++;
		if (k < w->n_routes)
			continue;
		w->paths[k] = (struct webhook_path){w, rule->kind};
		w->routes[w->n_routes++] =
			(struct serve_route){SERVE_POST, rule->path, JSON, on_admit, &w->paths[k]};
	}
	w->routes[w->n_routes++] =
		(struct serve_route){SERVE_POST, WEBHOOK_CONVERT_PATH, JSON, on_convert, w};
}

static void on_bundle(void *user)
{
	struct webhook *w = user;

	if (w->registration)
		webhook_register_look(w->registration);
}

static const char *get_trusted(void *user)
{
	struct webhook *w = user;

	return w->registration ? webhook_register_trusted(w->registration) : NULL;
}

static const char *get_bundle(void *user)
{
	struct webhook *w = user;

	return webhook_is_ready(w) ? webhook_certs_bundle(w->certs) : NULL;
}

static void on_trusted(void *user)
{
	struct webhook *w = user;

	if (w->certs)
		webhook_certs_look(w->certs);
}

static void finish(struct webhook *w)
{
	void (*done)(void *user) = w->done;

	if (!w->unregistered || !w->drained || !done)
		return;
	w->done = NULL;
	done(w->done_user);
}

static void on_unregistered(void *user)
{
	struct webhook *w = user;

	w->unregistered = true;
	finish(w);
}

static void on_drained(struct ev_loop *loop, ev_timer *t, int events)
{
	struct webhook *w = t->data;

	(void)loop;
	(void)events;
	w->drained = true;
	finish(w);
}

static void start_parts(struct webhook *w)
{
	struct webhook_certs_spec certs = {
		.options = &w->options,
		.serve = w->serve,
		.on_bundle = on_bundle,
		.trusted = get_trusted,
		.user = w,
	};
	struct webhook_register_spec registration = {
		.options = &w->options,
		.bundle = get_bundle,
		.on_trusted = on_trusted,
		.user = w,
	};

	w->store = webhook_store_new(w->options.client, w->options.ns, on_store_change, w);
	w->certs = webhook_certs_new(w->loop, &certs);
	w->registration = webhook_register_new(w->loop, &registration);
}

struct webhook *webhook_new(struct ev_loop *loop, const struct webhook_options *options,
			    struct err *err)
{
	struct webhook *w = xcalloc(1, sizeof(*w));
	struct serve_options serve = {
		.name = "webhook",
		.port = options->port,
		.routes = w->routes,
		.tls = options->tls,
	};
	int r;

	metrics_init();
	w->loop = loop;
	w->options = *options;
	make_routes(w);
	serve.n_routes = w->n_routes;
	list_init(&w->parked);
	list_init(&w->doubted);
	ev_timer_init(&w->drain, on_drained, DRAIN_S, 0.);
	ev_timer_init(&w->resume, on_resume, 0., 0.);
	ev_timer_init(&w->doubt, on_doubt, 0., 0.);
	w->drain.data = w->resume.data = w->doubt.data = w;
	r = serve_new(loop, &serve, &w->serve);
	if (r < 0) {
		err_set(err, "cannot serve webhooks on port %u: %s", options->port, strerror(-r));
		free(w);
		return NULL;
	}
	start_parts(w);
	return w;
}

static void drop_parked(struct list *list)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, list) {
		struct parked *parked = container_of(pos, struct parked, link);

		serve_reply_text(parked->request, 503, "");
		unpark(parked);
	}
}

struct webhook *webhook_free(struct webhook *w)
{
	if (!w)
		return NULL;
	ev_timer_stop(w->loop, &w->drain);
	ev_timer_stop(w->loop, &w->resume);
	ev_timer_stop(w->loop, &w->doubt);
	drop_parked(&w->parked);
	drop_parked(&w->doubted);
	webhook_register_free(w->registration);
	webhook_certs_free(w->certs);
	serve_free(w->serve);
	webhook_store_free(w->store);
	free(w);
	return NULL;
}

bool webhook_is_ready(const struct webhook *w)
{
	return serve_has_certificate(w->serve) && webhook_store_is_synced(w->store);
}

void webhook_set_backend(struct webhook *w, enum bgp_backend backend)
{
	if (w->options.backend == backend)
		return;
	w->options.backend = backend;
	webhook_store_forget(w->store);
}

void webhook_set_leader(struct webhook *w, bool leads)
{
	webhook_certs_set_leader(w->certs, leads);
	webhook_register_set_leader(w->registration, leads);
}

void webhook_stop(struct webhook *w, void (*done)(void *user), void *user)
{
	w->done = done;
	w->done_user = user;
	serve_drain(w->serve);
	ev_timer_start(w->loop, &w->drain);
	webhook_register_stop(w->registration, on_unregistered, w);
}
