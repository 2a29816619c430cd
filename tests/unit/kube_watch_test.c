/*
 * The list and watch machine: every way a request can end, on a clock of our own.
 */
#include "lib/kube/watch.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/xalloc.h"

#define SEC USEC_PER_SEC

/* A machine and everything it has told, as text. */
struct bench {
	struct kube_watch *w;
	struct buf log; /* "+key " "~key " "-key " "synced " "[state] " "!problem " */
	usec_t now;
	const char *path;
};

/* random_below(n) is n / 2: a delay is exactly its middle. */
static void fill(void *user, void *buf, size_t n)
{
	const uint32_t half = 0x80000000;

	(void)user;
	assert_int_equal(n, sizeof(half));
	memcpy(buf, &half, n);
}

static const struct random_source middle = {fill, NULL};

/* spec.v as text; "bad" cannot be read, "skip" is of no interest. */
static void *decode(struct json_object *object, struct err *err)
{
	const char *v = kube_json_str(kube_json_get(object, "spec"), "v");

	if (strcmp(v, "bad") == 0) {
		(void)err_set(err, "spec.v: bad");
		return NULL;
	}
	return strcmp(v, "skip") == 0 ? NULL : xstrdup(v);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct bench *b = user;

	assert_ptr_equal(kube_store_find(kube_watch_store(b->w), key), after);
	buf_printf(&b->log, "%s%s ", !before ? "+" : after ? "~" : "-", key);
}

static void on_synced(void *user)
{
	buf_add_str(&((struct bench *)user)->log, "synced ");
}

static void on_state(void *user, const char *error)
{
	buf_printf(&((struct bench *)user)->log, "[%s] ", error ? error : "ok");
}

static void on_problem(void *user, enum kube_watch_level level, const char *key, const char *what)
{
	if (key[0] || strstr(what, "object") || strstr(what, "type"))
		buf_printf(&((struct bench *)user)->log, "!%s: %s ", key, what);
	assert_true(level <= KUBE_WATCH_WARN);
}

static void bench_init(struct bench *b, const struct kube_source *sources, size_t n)
{
	struct kube_informer_spec spec = {
		.n_sources = n,
		.free_value = free,
		.on_change = on_change,
		.on_synced = on_synced,
		.on_state = on_state,
		.user = b,
	};
	struct kube_watch_hooks hooks = {.random = &middle, .on_problem = on_problem, .user = b};

	*b = (struct bench){.now = 100 * SEC};
	memcpy(spec.sources, sources, n * sizeof(*sources));
	b->w = kube_watch_new(&spec, &hooks);
}

static void bench_fini(struct bench *b)
{
	kube_watch_free(b->w);
	buf_fini(&b->log);
}

/* Let the clock run to the machine's deadline. */
static void wait(struct bench *b)
{
	usec_t due = kube_watch_deadline(b->w);

	if (due > b->now)
		b->now = due;
	kube_watch_tick(b->w, b->now);
}

/* The next request must hold this. */
static void assert_request(struct bench *b, const char *part)
{
	assert_int_equal(kube_watch_output(b->w, b->now, &b->path), KUBE_WATCH_START);
	if (!strstr(b->path, part))
		fail_msg("%s is not in %s", part, b->path);
	assert_int_equal(kube_watch_output(b->w, b->now, &b->path), KUBE_WATCH_NOTHING);
}

static bool body(struct bench *b, const char *text)
{
	return kube_watch_recv_body(b->w, b->now, text, strlen(text));
}

static void answer(struct bench *b, int status, const char *text)
{
	kube_watch_recv_head(b->w, b->now, status, 0);
	body(b, text);
	kube_watch_recv_end(b->w, b->now, NULL);
}

static void assert_log(struct bench *b, const char *want)
{
	assert_string_equal(buf_str(&b->log), want);
	buf_clear(&b->log);
}

static usec_t delay(const struct bench *b)
{
	assert_int_equal(kube_watch_state(b->w), KUBE_WATCH_WAIT);
	return kube_watch_deadline(b->w) - b->now;
}

static const struct kube_source services[] = {{&kube_services, decode}};

#define META(name, rv)                                                                             \
	"\"metadata\":{\"namespace\":\"d\",\"name\":\"" name "\",\"resourceVersion\":\"" rv "\"}"
#define OBJ(name, rv, v)    "{" META(name, rv) ",\"spec\":{\"v\":\"" v "\"}}"
#define LIST(rv, items)     "{\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

/* Listed a and b at version 10, watching. */
static void bench_start(struct bench *b)
{
	bench_init(b, services, 1);
	wait(b);
	assert_request(b, "/api/v1/services?limit=500");
	answer(b, 200, LIST("10", OBJ("a", "3", "x") "," OBJ("b", "4", "x")));
	assert_log(b, "+d/a +d/b synced ");
	assert_request(b,
		       "watch=true&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=360");
	kube_watch_recv_head(b->w, b->now, 200, 0);
}

static void test_events(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	body(&b, EVENT("ADDED", OBJ("c", "11", "x")) EVENT("MODIFIED", OBJ("a", "12", "y")));
	body(&b, EVENT("DELETED", OBJ("b", "13", "x")) EVENT("BOOKMARK", "{" META("", "20") "}"));
	assert_log(&b, "+d/c ~d/a -d/b ");
	body(&b, EVENT("DELETED", OBJ("unknown", "21", "x")) EVENT("ADDED", OBJ("c", "11", "x")));
	assert_log(&b, "");
	assert_string_equal(kube_store_find(kube_watch_store(b.w), "d/a"), "y");
	assert_null(kube_watch_error(b.w));
	bench_fini(&b);
}

static void test_objects_that_cannot_be_used(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	body(&b, EVENT("MODIFIED", OBJ("a", "11", "bad")));
	assert_log(&b, "!d/a: spec.v: bad ");
	body(&b, EVENT("MODIFIED", OBJ("b", "12", "skip")) EVENT("MODIFIED", OBJ("b", "13", "x")));
	assert_log(&b, "-d/b +d/b ");
	body(&b, EVENT("ADDED", "{\"metadata\":{\"namespace\":\"d\"}}") EVENT("ODD", "{}"));
	assert_log(&b, "!: an object whose metadata.name is missing or not a string "
		       "!: a watch event of unknown type \"ODD\" ");
	assert_true(body(&b, EVENT("ADDED", OBJ("a/b", "14", "x"))));
	assert_log(&b, "!a/b: an object whose metadata.name or metadata.namespace holds a slash ");
	assert_string_equal(kube_store_find(kube_watch_store(b.w), "d/a"), "x");
	bench_fini(&b);
}

static void test_pages_and_expired_token(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, services, 1);
	wait(&b);
	assert_request(&b, "limit=500");
	answer(&b, 200,
	       "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"t/1\"},\"items\":[" OBJ(
		       "a", "1", "x") "]}");
	assert_request(&b, "limit=500&continue=t%2F1");
	answer(&b, 410, "{\"message\":\"expired\"}");
	assert_log(&b, "+d/a [list services: 410 Gone: expired] ");
	wait(&b);
	assert_request(&b, "limit=500");
	assert_null(strstr(b.path, "continue"));
	answer(&b, 200, LIST("9", OBJ("b", "2", "x")));
	assert_log(&b, "+d/b [ok] -d/a synced ");
	bench_fini(&b);
}

static void test_relist_keeps_what_is_known(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	assert_false(body(
		&b, EVENT("ERROR", "{\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}")));
	kube_watch_recv_end(b.w, b.now, "refused by the reader");
	wait(&b);
	assert_request(&b, "limit=500");
	assert_int_equal(kube_store_count(kube_watch_store(b.w)), 2);
	answer(&b, 500, "");
	assert_int_equal(kube_store_count(kube_watch_store(b.w)), 2);
	wait(&b);
	assert_request(&b, "limit=500");
	assert_log(&b, "[list services: 500 Internal Error] ");
	answer(&b, 200,
	       LIST("30", OBJ("a", "3", "x") "," OBJ("b", "29", "bad") "," OBJ("n", "28", "x")));
	assert_log(&b, "!d/b: spec.v: bad +d/n [ok] ");
	assert_true(kube_watch_is_synced(b.w));
	bench_fini(&b);
}

static void test_error_event_that_is_not_410_resumes(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	assert_false(
		body(&b, EVENT("ADDED", OBJ("c", "11", "x")) EVENT("ERROR", "{\"code\":500}")));
	kube_watch_recv_end(b.w, b.now, "refused by the reader");
	wait(&b);
	assert_request(&b, "resourceVersion=11");
	bench_fini(&b);
}

static void test_how_a_watch_ends(void **state)
{
	static const struct {
		int status;
		const char *error;
		const char *next; /* of the request that follows */
	} cases[] = {
		{200, NULL, "resourceVersion=10"}, {200, "reset", "resourceVersion=10"},
		{500, NULL, "resourceVersion=10"}, {429, NULL, "resourceVersion=10"},
		{403, NULL, "resourceVersion=10"}, {401, NULL, "resourceVersion=10"},
		{410, NULL, "limit=500"},          {404, NULL, "limit=500"},
		{400, NULL, "limit=500"},          {0, "refused", "resourceVersion=10"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bench b;

		bench_start(&b);
		kube_watch_recv_end(b.w, b.now, "cut");
		wait(&b);
		assert_request(&b, "resourceVersion=10");
		if (cases[i].status)
			kube_watch_recv_head(b.w, b.now, cases[i].status, 0);
		kube_watch_recv_end(b.w, b.now, cases[i].error);
		assert_int_equal(kube_watch_state(b.w), KUBE_WATCH_WAIT);
		wait(&b);
		assert_request(&b, cases[i].next);
		bench_fini(&b);
	}
}

static void test_planned_end_resumes_at_once(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	b.now += 300 * SEC;
	kube_watch_recv_end(b.w, b.now, NULL);
	assert_request(&b, "resourceVersion=10");
	assert_log(&b, "");
	bench_fini(&b);
}

static void test_backoff(void **state)
{
	static const usec_t want[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000};
	struct bench b;

	(void)state;
	bench_init(&b, services, 1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		wait(&b);
		assert_request(&b, "limit=500");
		kube_watch_recv_end(b.w, b.now, "no route");
		assert_int_equal(delay(&b) / USEC_PER_MSEC, want[i]);
	}
	assert_log(&b, "[list services: no route] ");
	wait(&b);
	assert_request(&b, "limit=500");
	answer(&b, 200, LIST("1", ""));
	assert_log(&b, "[ok] synced ");
	/* The list is there; only an event proves that all is well. */
	assert_request(&b, "watch=true");
	kube_watch_recv_head(b.w, b.now, 200, 0);
	body(&b, EVENT("ADDED", OBJ("a", "2", "x")));
	kube_watch_recv_end(b.w, b.now, "cut");
	assert_int_equal(delay(&b) / USEC_PER_MSEC, 100);
	bench_fini(&b);
}

static void test_cut_streams_wait_a_second_at_most(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b);
	for (int i = 0; i < 12; i++) {
		kube_watch_recv_end(b.w, b.now, "cut");
		assert_true(delay(&b) <= KUBE_BACKOFF_CUT_MAX);
		wait(&b);
		assert_request(&b, "resourceVersion=10");
		kube_watch_recv_head(b.w, b.now, 200, 0);
	}
	/* One that lived a while was a good one. */
	b.now += KUBE_WATCH_SETTLED;
	kube_watch_recv_end(b.w, b.now, "cut");
	assert_int_equal(delay(&b) / USEC_PER_MSEC, 100);
	bench_fini(&b);
}

static void test_retry_after(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, services, 1);
	wait(&b);
	assert_request(&b, "limit=500");
	kube_watch_recv_head(b.w, b.now, 429, 7 * SEC);
	kube_watch_recv_end(b.w, b.now, NULL);
	assert_true(delay(&b) >= 7 * SEC && delay(&b) < 8 * SEC);
	wait(&b);
	assert_request(&b, "limit=500");
	kube_watch_recv_head(b.w, b.now, 503, 86400 * SEC);
	kube_watch_recv_end(b.w, b.now, NULL);
	assert_true(delay(&b) < KUBE_RETRY_AFTER_MAX + SEC);
	bench_fini(&b);
}

static void test_silence(void **state)
{
	struct bench b;
	usec_t began;

	(void)state;
	bench_start(&b);
	began = b.now;
	b.now += 50 * SEC;
	body(&b, "\n");
	assert_true(kube_watch_deadline(b.w) == b.now + KUBE_WATCH_SILENCE);
	wait(&b);
	assert_true(b.now == began + 50 * SEC + KUBE_WATCH_SILENCE);
	assert_int_equal(kube_watch_output(b.w, b.now, &b.path), KUBE_WATCH_STOP);
	assert_int_equal(kube_watch_output(b.w, b.now, &b.path), KUBE_WATCH_NOTHING);
	wait(&b);
	assert_request(&b, "resourceVersion=10");
	wait(&b); /* not even a head this time */
	assert_int_equal(kube_watch_output(b.w, b.now, &b.path), KUBE_WATCH_STOP);
	assert_log(&b, "[watch services: no data for 30 s, the connection is given up] ");
	bench_fini(&b);
}

static void test_sources_in_turn(void **state)
{
	static const struct kube_source sources[] = {
		{&kube_endpointslices, decode},
		{&kube_endpointslices_v1beta1, decode},
		{&kube_endpoints, decode},
	};
	struct bench b;

	(void)state;
	bench_init(&b, sources, 3);
	wait(&b);
	assert_request(&b, "/apis/discovery.k8s.io/v1/endpointslices?");
	answer(&b, 404, "404 page not found");
	assert_request(&b, "/apis/discovery.k8s.io/v1beta1/endpointslices?");
	answer(&b, 404, "404 page not found");
	assert_request(&b, "/api/v1/endpoints?");
	assert_int_equal(kube_watch_source(b.w), 2);
	answer(&b, 404, "404 page not found");
	assert_log(&b, "[kind not served: EndpointSlice of discovery.k8s.io/v1, EndpointSlice of "
		       "discovery.k8s.io/v1beta1, Endpoints of v1] ");
	assert_true(delay(&b) == KUBE_NOT_SERVED_BASE);
	wait(&b);
	assert_request(&b, "/v1/endpointslices?");
	answer(&b, 404, "");
	assert_request(&b, "/v1beta1/endpointslices?");
	answer(&b, 200, LIST("5", OBJ("a", "1", "x")));
	assert_log(&b, "+d/a [ok] synced ");
	assert_request(&b, "/v1beta1/endpointslices?watch=true");
	assert_true(kube_watch_is_synced(b.w));
	/* After an upgrade the better source is found by the next list; nothing is forgotten. */
	answer(&b, 404, "");
	wait(&b);
	buf_clear(&b.log);
	assert_request(&b, "/v1/endpointslices?limit");
	answer(&b, 200, LIST("6", OBJ("a", "1", "x")));
	assert_log(&b, "[ok] ");
	assert_int_equal(kube_watch_source(b.w), 0);
	bench_fini(&b);
}

static void test_kind_that_comes_later(void **state)
{
	struct bench b;
	usec_t began;

	(void)state;
	bench_init(&b, services, 1);
	began = b.now;
	for (int i = 0; i < 8; i++) {
		wait(&b);
		assert_request(&b, "limit=500");
		answer(&b, 404, "");
		assert_true(delay(&b) <= KUBE_NOT_SERVED_MAX);
	}
	assert_true(b.now - began == (1 + 2 + 4 + 8 + 16 + 30 + 30) * SEC);
	wait(&b);
	assert_request(&b, "limit=500");
	answer(&b, 200, LIST("5", ""));
	assert_log(&b, "[kind not served: Service of v1] [ok] synced ");
	bench_fini(&b);
}

static void test_selectors_and_namespace(void **state)
{
	struct kube_informer_spec spec = {
		.sources = {{&kube_pods, decode}},
		.n_sources = 1,
		.ns = "metallb-system",
		.label_selector = "app=metallb,component=speaker",
		.field_selector = "spec.nodeName=n1",
		.free_value = free,
		.on_change = on_change,
	};
	struct kube_watch_hooks hooks = {.random = &middle};
	struct kube_watch *w = kube_watch_new(&spec, &hooks);
	const char *path;

	(void)state;
	kube_watch_tick(w, 1);
	assert_int_equal(kube_watch_output(w, 1, &path), KUBE_WATCH_START);
	assert_string_equal(path, "/api/v1/namespaces/metallb-system/pods"
				  "?labelSelector=app%3Dmetallb%2Ccomponent%3Dspeaker"
				  "&fieldSelector=spec.nodeName%3Dn1&limit=500");
	kube_watch_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_objects_that_cannot_be_used),
		cmocka_unit_test(test_pages_and_expired_token),
		cmocka_unit_test(test_relist_keeps_what_is_known),
		cmocka_unit_test(test_error_event_that_is_not_410_resumes),
		cmocka_unit_test(test_how_a_watch_ends),
		cmocka_unit_test(test_planned_end_resumes_at_once),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_cut_streams_wait_a_second_at_most),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_sources_in_turn),
		cmocka_unit_test(test_kind_that_comes_later),
		cmocka_unit_test(test_selectors_and_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
