/*
 * ServiceL2Status and ServiceBGPStatus: for each service and protocol that this node announces, one
 * object in the own namespace, owned by the speaker's pod. Who announces in layer 2 removes what
 * other nodes left behind; who does not removes only its own.
 *
 * Per service and protocol one request is under way at a time; after each, the state is looked at
 * again. Failures come back with a growing delay.
 */
#include <assert.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

#define IN_FLIGHT_MAX 8
#define SETTLE        (100 * USEC_PER_MSEC) /* changes in quick succession are written once */
#define SEEN_WITHIN   (10 * USEC_PER_SEC)   /* a created object is expected to be seen by then */
#define LOOK_AGAIN    (2 * USEC_PER_SEC)    /* while something that is needed is not known yet */

#define LABEL_NODE      "metallb.io/node"
#define LABEL_SERVICE   "metallb.io/service-name"
#define LABEL_NAMESPACE "metallb.io/service-namespace"

struct proto {
	const char *prefix; /* of keys and of generated names */
	const struct kube_resource *resource;
	enum watch_kind watch;
	bool one_node; /* objects of other nodes are out of date */
};

static const struct proto protos[] = {
	{"l2", &kube_servicel2statuses, WATCH_L2STATUSES, true},
	{"bgp", &kube_servicebgpstatuses, WATCH_BGPSTATUSES, false},
};

/* An object that was created but not yet seen by the watch. */
struct created {
	char *name;
	usec_t until;
	bool written; /* its status, too */
};

struct status_writer {
	struct announcer *an;
	struct owned_index objects[ARRAY_SIZE(protos)]; /* by service */
	struct kube_queue *queue;                       /* "l2 namespace/name", "bgp ..." */
	struct table created;                           /* same keys -> struct created */
	struct table calls;                             /* same keys -> struct call under way */
	ev_timer timer;
};

struct call {
	struct status_writer *w;
	char *key;
	struct kube_call *call;
	bool creates;
};

/* What an object should say. */
struct wanted {
	bool exists;
	const char *list_name; /* "interfaces" or "peers" */
	struct strs list;
};

static void writer_arm(struct status_writer *w)
{
	usec_t due = kube_queue_deadline(w->queue), now = clock_now();

	ev_timer_stop(w->an->loop, &w->timer);
	if (due == USEC_NEVER || kube_queue_active(w->queue) >= IN_FLIGHT_MAX)
		return;
	ev_timer_set(&w->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(w->an->loop, &w->timer);
}

static void proto_touch(struct status_writer *w, const struct proto *p, const char *service)
{
	_cleanup_free_ char *key = xasprintf("%s %s", p->prefix, service);

	kube_queue_add_after(w->queue, key, clock_now() + SETTLE);
}

void status_drained(struct status_writer *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		table_for_each (&w->objects[i].owners, e)
			proto_touch(w, &protos[i], e->key);
	writer_arm(w);
}

void status_touch(struct status_writer *w, const char *service)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		proto_touch(w, &protos[i], service);
	writer_arm(w);
}

/* ---- objects ---- */

/* "namespace/name" by the labels; NULL when they are not there. The caller frees. */
static char *object_service(const struct service_status *s)
{
	const char *name = labels_get(&s->obj.meta.labels, LABEL_SERVICE);
	const char *ns = labels_get(&s->obj.meta.labels, LABEL_NAMESPACE);

	return name && ns && labels_get(&s->obj.meta.labels, LABEL_NODE) ? kube_key(ns, name)
									 : NULL;
}

static void created_forget(struct status_writer *w, const char *key)
{
	struct created *c = table_del(&w->created, key);

	if (!c)
		return;
	free(c->name);
	free(c);
}

static bool is_mine(const struct status_writer *w, const struct service_status *s)
{
	return strcmp(labels_get(&s->obj.meta.labels, LABEL_NODE), w->an->opt->node_name) == 0;
}

static void object_seen(struct status_writer *w, const struct proto *p, const char *service,
			const struct service_status *s)
{
	_cleanup_free_ char *key = xasprintf("%s %s", p->prefix, service);
	const struct created *c = table_find(&w->created, key);

	if (c && strcmp(c->name, s->obj.meta.name) == 0)
		created_forget(w, key);
}

bool status_shows_l2(const struct status_writer *w, const char *service, bool own_too)
{
	const struct owned_list *list = owned_index_find(&w->objects[0], service);

	for (size_t i = 0; list && i < list->n; i++)
		if (own_too || !is_mine(w, list->items[i]))
			return true;
	return false;
}

struct strs status_l2_nodes(const struct status_writer *w, const char *service, struct arena *a)
{
	const struct owned_list *list = owned_index_find(&w->objects[0], service);
	const char **names = arena_calloc(a, list ? list->n : 0, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; list && i < list->n; i++)
		names[n++] = ((const struct service_status *)list->items[i])->node;
	return (struct strs){names, n};
}

void status_changed(struct status_writer *w, enum watch_kind kind,
		    const struct service_status *before, const struct service_status *after)
{
	const struct service_status *sides[] = {before, after};

	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		const struct proto *p = &protos[i];

		if (p->watch != kind)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(sides); j++) {
			_cleanup_free_ char *service = sides[j] ? object_service(sides[j]) : NULL;

			if (!service)
				continue;
			if (j == 0 && p->one_node && !after)
				firstuse_status(w->an->firstuse, service, true);
			if (j == 0) {
				owned_index_del(&w->objects[i], service, before);
			} else {
				owned_index_add(&w->objects[i], service, after);
				object_seen(w, p, service, after);
			}
			if (j == 1 && p->one_node)
				firstuse_status(w->an->firstuse, service, false);
			proto_touch(w, p, service);
		}
	}
	writer_arm(w);
}

/* ---- what should be ---- */

static struct wanted wanted_of(const struct status_writer *w, const struct proto *p,
			       const char *service, struct arena *a)
{
	const struct record *r = table_find(&w->an->records, service);
	struct wanted want = {0};

	if (p->one_node) {
		want.list_name = "interfaces";
		want.exists = record_announces_l2(r) && r->d.l2.n_ips > 0;
		if (want.exists && !r->d.l2.ips[0].all_interfaces)
			want.list = r->d.l2.ips[0].interfaces;
		return want;
	}
	want.list_name = "peers";
	if (record_announces_bgp(r))
		want.list = sessions_peers_of(w->an->sessions, r, a);
	want.exists = want.list.n > 0;
	return want;
}

static bool list_has(const struct strs *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], s) == 0)
			return true;
	return false;
}

static bool says_what_is_wanted(const struct status_writer *w, const struct service_status *s,
				const struct wanted *want, const char *ns, const char *name)
{
	const struct strs *has = strcmp(want->list_name, "peers") == 0 ? &s->peers : &s->interfaces;

	if (strcmp(s->node, w->an->opt->node_name) != 0 || strcmp(s->service_name, name) != 0 ||
	    strcmp(s->service_namespace, ns) != 0 || has->n != want->list.n)
		return false;
	for (size_t i = 0; i < has->n; i++)
		if (!list_has(&want->list, has->items[i]))
			return false;
	return true;
}

/* ---- requests ---- */

static void status_format(const struct status_writer *w, const struct wanted *want, const char *ns,
			  const char *name, struct buf *out)
{
	bool peers = strcmp(want->list_name, "peers") == 0;

	buf_add_str(out, "{\"node\":");
	buf_add_json_str(out, w->an->opt->node_name, strlen(w->an->opt->node_name));
	buf_add_str(out, ",\"serviceName\":");
	buf_add_json_str(out, name, strlen(name));
	buf_add_str(out, ",\"serviceNamespace\":");
	buf_add_json_str(out, ns, strlen(ns));
	buf_printf(out, ",\"%s\":[", want->list_name);
	for (size_t i = 0; i < want->list.n; i++) {
		buf_add_str(out, i ? "," : "");
		buf_add_str(out, peers ? "" : "{\"name\":");
		buf_add_json_str(out, want->list.items[i], strlen(want->list.items[i]));
		buf_add_str(out, peers ? "" : "}");
	}
	buf_add_str(out, "]}");
}

static void label_format(struct buf *out, const char *key, const char *value, const char *end)
{
	buf_printf(out, "\"%s\":", key);
	buf_add_json_str(out, value, strlen(value));
	buf_add_str(out, end);
}

static void object_format(const struct status_writer *w, const struct proto *p,
			  const struct pod *pod, const struct wanted *want, const char *ns,
			  const char *name, struct buf *out)
{
	buf_printf(out,
		   "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"%s\",\"metadata\":{"
		   "\"generateName\":\"%s-\",\"labels\":{",
		   p->resource->kind, p->prefix);
	label_format(out, LABEL_NODE, w->an->opt->node_name, ",");
	label_format(out, LABEL_SERVICE, name, ",");
	label_format(out, LABEL_NAMESPACE, ns, "},\"ownerReferences\":[{");
	buf_add_str(out, "\"apiVersion\":\"v1\",\"kind\":\"Pod\",");
	label_format(out, "name", pod->obj.meta.name, ",");
	label_format(out, "uid", pod->obj.meta.uid, "}]},\"status\":");
	status_format(w, want, ns, name, out);
	buf_add_char(out, '}');
}

static struct call *call_new(struct status_writer *w, const char *key)
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->w = w;
	c->key = xstrdup(key);
	table_set(&w->calls, key, c);
	return c;
}

static void call_free(struct call *c)
{
	free(c->key);
	free(c);
}

static void created_note(struct status_writer *w, const char *key, json_object *body)
{
	struct created *c = xcalloc(1, sizeof(*c));

	c->name = xstrdup(kube_meta_str(body, "name"));
	c->until = clock_now() + SEEN_WITHIN;
	created_forget(w, key);
	table_set(&w->created, key, c);
}

static void on_done(void *user, const struct kube_result *result)
{
	struct call *c = user;
	struct status_writer *w = c->w;

	table_del(&w->calls, c->key);
	if (result->ok || result->status == 404 || result->status == 409) {
		if (result->ok && c->creates && result->body)
			created_note(w, c->key, result->body);
		kube_queue_forget(w->queue, c->key);
		kube_queue_add_after(w->queue, c->key, clock_now() + SETTLE);
	} else {
		log_warn("cannot write service status, trying again", "status", c->key, "error",
			 result->message, NULL);
		kube_queue_retry(w->queue, c->key, clock_now());
	}
	kube_queue_done(w->queue, c->key);
	call_free(c);
	writer_arm(w);
}

static void object_delete(struct status_writer *w, const struct proto *p, const char *key,
			  const struct service_status *s)
{
	struct kube_ref ref = {p->resource, w->an->opt->ns, s->obj.meta.name, NULL};
	struct kube_delete_options opt = {.uid = s->obj.meta.uid, .grace_s = -1};
	struct call *c = call_new(w, key);

	c->call = kube_client_delete(w->an->client, &ref, &opt, on_done, c);
}

static void object_create(struct status_writer *w, const struct proto *p, const char *key,
			  const struct pod *pod, const struct wanted *want, const char *ns,
			  const char *name)
{
	struct kube_ref ref = {p->resource, w->an->opt->ns, NULL, NULL};
	struct call *c = call_new(w, key);
	struct buf body = {0};

	c->creates = true;
	object_format(w, p, pod, want, ns, name, &body);
	c->call = kube_client_create(w->an->client, &ref, buf_str(&body), on_done, c);
	buf_fini(&body);
}

static void object_write(struct status_writer *w, const struct proto *p, const char *key,
			 const char *object, const struct wanted *want, const char *ns,
			 const char *name)
{
	struct kube_ref ref = {p->resource, w->an->opt->ns, object, "status"};
	struct call *c = call_new(w, key);
	struct buf body = {0};

	buf_add_str(&body, "{\"status\":");
	status_format(w, want, ns, name, &body);
	buf_add_char(&body, '}');
	c->call = kube_client_patch(w->an->client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
				    on_done, c);
	buf_fini(&body);
}

/* ---- one step towards what should be ---- */

/* An object that should not be there, or NULL; *mine gets the one that may stay. */
static const struct service_status *superfluous_find(const struct status_writer *w,
						     const struct proto *p,
						     const struct owned_list *list, bool wanted,
						     const struct service_status **mine)
{
	*mine = NULL;
	for (size_t i = 0; list && i < list->n; i++) {
		const struct service_status *s = list->items[i];

		if (s->obj.meta.deleting)
			continue;
		if (!is_mine(w, s)) {
			if (p->one_node && wanted)
				return s;
		} else if (!wanted || *mine) {
			return s;
		} else {
			*mine = s;
		}
	}
	return NULL;
}

/* None of ours has been seen: make one, unless one was made a moment ago. */
static bool missing_handle(struct status_writer *w, const struct proto *p, const char *key,
			   const struct wanted *want, const char *ns, const char *name)
{
	const struct pod *pod = gather_pod(w->an->watches, w->an->opt->ns, w->an->opt->pod_name);
	struct created *c = table_find(&w->created, key);

	if (c && clock_now() > c->until) {
		created_forget(w, key);
		c = NULL;
	}
	if (c && !c->written) {
		c->written = true;
		object_write(w, p, key, c->name, want, ns, name);
		return true;
	}
	if (c || !pod) {
		kube_queue_add_after(w->queue, key, c ? c->until + 1 : clock_now() + LOOK_AGAIN);
		return false;
	}
	object_create(w, p, key, pod, want, ns, name);
	return true;
}

/* true when a request was started. */
static bool status_step(struct status_writer *w, const char *key)
{
	size_t i = strncmp(key, protos[0].prefix, strlen(protos[0].prefix)) == 0 ? 0 : 1;
	const struct proto *p = &protos[i];
	const char *service = strchr(key, ' ') + 1, *ns, *name;
	_cleanup_(arena_freep) struct arena *a = arena_new();
	struct wanted want = wanted_of(w, p, service, a);
	const struct service_status *mine, *extra;

	if (!watches_kind_is_synced(w->an->watches, p->watch)) {
		kube_queue_add_after(w->queue, key, clock_now() + LOOK_AGAIN);
		return false;
	}
	if (!p->one_node && !want.exists && sessions_is_draining(w->an->sessions))
		return false; /* status_drained() comes */
	kube_key_split(arena_strdup(a, service), &ns, &name);
	extra = superfluous_find(w, p, owned_index_find(&w->objects[i], service), want.exists,
				 &mine);
	if (extra) {
		object_delete(w, p, key, extra);
		return true;
	}
	if (!want.exists) {
		created_forget(w, key);
		return false;
	}
	if (!mine)
		return missing_handle(w, p, key, &want, ns, name);
	if (says_what_is_wanted(w, mine, &want, ns, name))
		return false;
	object_write(w, p, key, mine->obj.meta.name, &want, ns, name);
	return true;
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct status_writer *w = t->data;
	const char *key;

	(void)loop;
	(void)revents;
	while (kube_queue_active(w->queue) < IN_FLIGHT_MAX &&
	       kube_queue_pop(w->queue, clock_now(), &key)) {
		if (status_step(w, key))
			continue;
		kube_queue_forget(w->queue, key);
		kube_queue_done(w->queue, key);
	}
	writer_arm(w);
}

/* ---- life ---- */

struct status_writer *status_writer_new(struct announcer *an)
{
	struct status_writer *w = xcalloc(1, sizeof(*w));

	w->an = an;
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		owned_index_init(&w->objects[i]);
	w->queue = kube_queue_new(0, 0, &random_system);
	table_init(&w->created);
	table_init(&w->calls);
	ev_timer_init(&w->timer, on_timer, 0., 0.);
	w->timer.data = w;
	if (!an->opt->pod_name[0]) /* the objects' owner, without which they would stay for ever */
		log_warn("no --pod-name: service statuses are not written", NULL);
	return w;
}

struct status_writer *status_writer_free(struct status_writer *w)
{
	if (!w)
		return NULL;
	ev_timer_stop(w->an->loop, &w->timer);
	table_for_each (&w->calls, e) {
		struct call *c = e->value;

		kube_client_cancel(c->call);
		call_free(c);
	}
	table_fini(&w->calls);
	table_for_each (&w->created, e) {
		struct created *c = e->value;

		free(c->name);
		free(c);
	}
	table_fini(&w->created);
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		owned_index_fini(&w->objects[i]);
	kube_queue_free(w->queue);
	free(w);
	return NULL;
}
