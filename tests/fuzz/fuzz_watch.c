/*
 * The list and watch machine against a server that sends anything, at any time. The input is a row
 * of steps, split at 0xff: 'H' a head (its next byte picks the status), 'B' a piece of a body, 'E'
 * a planned end, 'C' a cut, 'T' time passes. Promises: the callbacks and the store always agree,
 * synced is told once, there is always a next deadline, and at most one request is under way.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kube/watch.h"
#include "metallb/xalloc.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

struct world {
	struct kube_watch *w;
	size_t n_known, n_synced;
	usec_t now;
	bool open; /* a request is under way */
	bool head;
};

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 7, n);
}

static const struct random_source seven = {fill, NULL};

static void *decode(struct json_object *object, struct err *err)
{
	if (kube_json_get(object, "bad")) {
		(void)err_set(err, "bad");
		return NULL;
	}
	return kube_json_get(object, "skip") ? NULL : xstrdup(kube_meta_str(object, "name"));
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct world *x = user;

	CHECK(before || after);
	CHECK(kube_store_find(kube_watch_store(x->w), key) == after);
	x->n_known += !before;
	x->n_known -= !after;
	CHECK(x->n_known == kube_store_count(kube_watch_store(x->w)));
}

static void on_synced(void *user)
{
	struct world *x = user;

	x->n_synced++;
	CHECK(x->n_synced == 1 && kube_watch_is_synced(x->w));
}

static void settle(struct world *x)
{
	enum kube_watch_order order;
	const char *path;

	while ((order = kube_watch_output(x->w, x->now, &path)) != KUBE_WATCH_NOTHING) {
		CHECK(x->open == (order == KUBE_WATCH_STOP));
		x->open = order == KUBE_WATCH_START;
		x->head = false;
		CHECK(!x->open || path[0] == '/');
	}
	CHECK(x->open == (kube_watch_state(x->w) != KUBE_WATCH_WAIT));
	CHECK(kube_watch_deadline(x->w) < USEC_NEVER);
}

static void end(struct world *x, const char *error)
{
	x->open = false;
	kube_watch_recv_end(x->w, x->now, error);
}

static void step(struct world *x, const uint8_t *p, size_t len)
{
	static const int statuses[] = {200, 200, 200, 200, 410, 404, 403, 429, 500, 400};

	switch (p[0]) {
	case 'H':
		if (x->open && !x->head) {
			x->head = true;
			kube_watch_recv_head(x->w, x->now,
					     statuses[len > 1 ? p[1] % ARRAY_SIZE(statuses) : 0],
					     len > 2 ? p[2] * USEC_PER_SEC : 0);
		}
		break;
	case 'B':
		if (x->head && x->open && !kube_watch_recv_body(x->w, x->now, p + 1, len - 1))
			end(x, "refused by the reader");
		break;
	case 'E':
		if (x->head && x->open)
			end(x, NULL);
		break;
	case 'C':
		if (x->open)
			end(x, "cut");
		break;
	default:
		x->now = kube_watch_deadline(x->w) > x->now ? kube_watch_deadline(x->w) : x->now;
		kube_watch_tick(x->w, x->now);
	}
	settle(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world x = {.now = USEC_PER_SEC};
	struct kube_informer_spec spec = {
		.sources = {{&kube_services, decode}, {&kube_nodes, decode}},
		.n_sources = 2,
		.free_value = free,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = &x,
	};
	struct kube_watch_hooks hooks = {.random = &seven};

	x.w = kube_watch_new(&spec, &hooks);
	step(&x, (const uint8_t *)"T", 1);
	while (len > 0) {
		const uint8_t *stop = memchr(data, 0xff, len);
		size_t n = stop ? (size_t)(stop - data) : len;

		if (n > 0)
			step(&x, data, n);
		n += stop != NULL;
		data += n;
		len -= n;
	}
	kube_watch_free(x.w);
	return 0;
}
