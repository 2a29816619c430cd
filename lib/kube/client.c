/*
 * Single requests to the API server: builds paths and bodies, reads answers. The transport is
 * http.c; retries and their pace are the caller's (kube_queue.h).
 */
#include "metallb/kube_client.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/kube/client_impl.h"
#include "lib/kube/status.h"
#include "metallb/http.h"
#include "metallb/list.h"
#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/xalloc.h"

struct kube_client {
	struct ev_loop *loop;
	struct http *http;
	char *server, *host;
	struct list calls;
	size_t n_calls;
};

struct kube_call {
	struct list in_client;
	struct kube_client *client;
	struct http_call *http;
	const char *verb, *method; /* constants */
	const struct kube_resource *resource;
	char *ns, *name; /* for messages; or NULL */
	kube_done_fn done;
	void *user;
	bool any_body; /* a body that is not JSON is all right */
};

struct kube_client *kube_client_new(struct ev_loop *loop, const struct kube_config *config,
				    const char *program, struct err *err)
{
	_cleanup_free_ char *agent = xasprintf("%s/%s", program, METALLB_VERSION);
	struct kube_client *c = xcalloc(1, sizeof(*c));
	const char *host = strstr(config->server, "://");
	struct http_options options = {
		.user_agent = agent,
		.tls_server_name = config->tls_server_name,
		.proxy_url = config->proxy_url,
		.ca_file = config->ca_file,
		.ca_data = config->ca_data,
		.cert_file = config->cert_file,
		.cert_data = config->cert_data,
		.key_file = config->key_file,
		.key_data = config->key_data,
		.token = config->token,
		.token_file = config->token_file,
		.username = config->username,
		.password = config->password,
		.insecure = config->insecure,
	};

	list_init(&c->calls);
	c->loop = loop;
	c->server = xstrdup(config->server);
	c->host = xstrdup(host ? host + 3 : config->server);
	c->http = http_new(loop, &options, err);
	if (!c->http) {
		(void)err_wrap(err, "%s", config->source ? config->source : config->server);
		return kube_client_free(c);
	}
	return c;
}

static void call_free(struct kube_call *call)
{
	list_del(&call->in_client);
	call->client->n_calls--;
	free(call->ns);
	free(call->name);
	free(call);
}

struct kube_client *kube_client_free(struct kube_client *c)
{
	if (!c)
		return NULL;
	http_free(c->http);
	while (!list_is_empty(&c->calls))
		call_free(container_of(c->calls.next, struct kube_call, in_client));
	free(c->server);
	free(c->host);
	free(c);
	return NULL;
}

struct ev_loop *kube_client_loop(const struct kube_client *c)
{
	return c->loop;
}

struct http *kube_client_http(const struct kube_client *c)
{
	return c->http;
}

const char *kube_client_server(const struct kube_client *c)
{
	return c->server;
}

size_t kube_client_busy(const struct kube_client *c)
{
	return c->n_calls;
}

char *kube_client_url(const struct kube_client *c, const char *path)
{
	return xasprintf("%s%s", c->server, path);
}

/* The names that client-go gives to the same figures. */
void kube_client_count(const struct kube_client *c, const char *method, int status)
{
	static const char *const labels[] = {"code", "host", "method", NULL};
	static struct metric *requests;
	char code[16];

	if (!requests)
		requests = metric_new(METRIC_COUNTER, "rest_client_requests_total",
				      "Number of HTTP requests, partitioned by status code, "
				      "method, and host.",
				      labels, NULL, 0);
	snprintf(code, sizeof(code), "%d", status);
	metric_add(requests, METRIC_VALUES(status ? code : "<error>", c->host, method), 1);
}

/* Why the call failed; "" when it did not. */
static void explain(const struct kube_call *call, const struct http_end *end,
		    struct json_object *body, struct buf *out)
{
	bool success = end->status >= 200 && end->status < 300;
	const char *error = end->error;

	if (!error && success && !body && !call->any_body)
		error = "the answer is not JSON";
	if (!error && success)
		return;
	kube_failure_format(&(struct kube_failure){.verb = call->verb,
						   .resource = call->resource,
						   .ns = call->ns,
						   .name = call->name,
						   .error = error,
						   .status = end->status,
						   .body = body,
						   .text = end->body,
						   .text_len = end->body_len},
			    out);
}

static void on_done(void *user, const struct http_end *end)
{
	struct kube_call *call = user;
	struct json_object *body = NULL;
	struct buf message = {0};

	kube_client_count(call->client, call->method, end->error ? 0 : end->status);
	if (!end->error && end->body_len > 0)
		body = kube_json_parse(end->body, end->body_len);
	explain(call, end, body, &message);
	struct kube_result result = {
		.ok = message.len == 0,
		.status = end->error ? 0 : end->status,
		.reason = message.len ? kube_json_str(body, "reason") : "",
		.message = buf_str(&message),
		.retry_after = end->retry_after,
		.body = body,
		.warning = end->warning,
		.date = end->date,
	};
	kube_done_fn done = call->done;
	void *done_user = call->user;

	call_free(call);
	if (done)
		done(done_user, &result);
	else if (!result.ok)
		log_warn("kube: request failed", "error", result.message, NULL);
	json_object_put(body);
	buf_fini(&message);
}

struct request {
	const char *verb, *method;
	const struct kube_ref *ref; /* for messages; or NULL */
	const char *path;
	const char *body, *content_type;
	kube_done_fn done;
	void *user;
	bool any_body;
};

static struct kube_call *start(struct kube_client *c, const struct request *r)
{
	struct kube_call *call = xcalloc(1, sizeof(*call));
	_cleanup_free_ char *url = kube_client_url(c, r->path);

	call->client = c;
	call->verb = r->verb;
	call->method = r->method;
	call->done = r->done;
	call->user = r->user;
	call->any_body = r->any_body;
	if (r->ref) {
		call->resource = r->ref->resource;
		call->ns = r->ref->ns ? xstrdup(r->ref->ns) : NULL;
		call->name = r->ref->name ? xstrdup(r->ref->name) : NULL;
	}
	list_add_tail(&c->calls, &call->in_client);
	c->n_calls++;
	call->http = http_start(c->http, &(struct http_request){
						 .method = r->method,
						 .url = url,
						 .content_type = r->content_type,
						 .accept = r->any_body ? "*/*" : NULL,
						 .body = r->body,
						 .body_len = r->body ? strlen(r->body) : 0,
						 .total_timeout = KUBE_REQUEST_TIMEOUT,
						 /* thousands of writes must not cost us the lead */
						 .urgent = call->resource == &kube_leases,
						 /* and nobody waits for an Event */
						 .patient = call->resource == &kube_events,
						 .on_done = on_done,
						 .user = call,
					 });
	return call;
}

/* start() with the path of r->ref, plus what is in query already. */
static struct kube_call *start_ref(struct kube_client *c, struct request *r, struct buf *path)
{
	struct kube_call *call;

	r->path = buf_str(path);
	call = start(c, r);
	buf_fini(path);
	return call;
}

struct kube_call *kube_client_get(struct kube_client *c, const struct kube_ref *ref,
				  kube_done_fn done, void *user)
{
	struct buf path = {0};
	struct request r = {.verb = "get", .method = "GET", .ref = ref, .done = done, .user = user};

	kube_path(ref, &path);
	return start_ref(c, &r, &path);
}

struct kube_call *kube_client_list(struct kube_client *c, const struct kube_ref *ref,
				   const struct kube_list_options *options, kube_done_fn done,
				   void *user)
{
	struct kube_ref collection = {.resource = ref->resource, .ns = ref->ns};
	struct buf path = {0};
	struct request r = {
		.verb = "list", .method = "GET", .ref = &collection, .done = done, .user = user};
	char limit[16];

	kube_path(&collection, &path);
	if (options && options->label_selector)
		kube_path_query(&path, "labelSelector", options->label_selector);
	if (options && options->field_selector)
		kube_path_query(&path, "fieldSelector", options->field_selector);
	if (options && options->limit > 0) {
		snprintf(limit, sizeof(limit), "%u", options->limit);
		kube_path_query(&path, "limit", limit);
	}
	if (options && options->continue_token)
		kube_path_query(&path, "continue", options->continue_token);
	return start_ref(c, &r, &path);
}

static struct kube_call *create(struct kube_client *c, const struct kube_ref *ref, bool dry_run,
				const char *body, kube_done_fn done, void *user)
{
	struct kube_ref collection = {.resource = ref->resource, .ns = ref->ns};
	struct buf path = {0};
	struct request r = {.verb = "create",
			    .method = "POST",
			    .ref = ref,
			    .body = body,
			    .done = done,
			    .user = user};

	kube_path(&collection, &path);
	if (dry_run)
		kube_path_query(&path, "dryRun", "All");
	return start_ref(c, &r, &path);
}

struct kube_call *kube_client_create(struct kube_client *c, const struct kube_ref *ref,
				     const char *body, kube_done_fn done, void *user)
{
	return create(c, ref, false, body, done, user);
}

struct kube_call *kube_client_try(struct kube_client *c, const struct kube_ref *ref,
				  const char *body, kube_done_fn done, void *user)
{
	return create(c, ref, true, body, done, user);
}

struct kube_call *kube_client_update(struct kube_client *c, const struct kube_ref *ref,
				     const char *body, kube_done_fn done, void *user)
{
	struct buf path = {0};
	struct request r = {.verb = "update",
			    .method = "PUT",
			    .ref = ref,
			    .body = body,
			    .done = done,
			    .user = user};

	kube_path(ref, &path);
	return start_ref(c, &r, &path);
}

struct kube_call *kube_client_patch(struct kube_client *c, const struct kube_ref *ref,
				    enum kube_patch type, const char *body,
				    const struct kube_patch_options *options, kube_done_fn done,
				    void *user)
{
	static const char *const types[] = {
		[KUBE_PATCH_MERGE] = "application/merge-patch+json",
		[KUBE_PATCH_JSON] = "application/json-patch+json",
		[KUBE_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
		[KUBE_PATCH_APPLY] = "application/apply-patch+yaml",
	};
	struct buf path = {0};
	struct request r = {.verb = "patch",
			    .method = "PATCH",
			    .ref = ref,
			    .body = body,
			    .content_type = types[type],
			    .done = done,
			    .user = user};

	kube_path(ref, &path);
	if (options && options->field_manager)
		kube_path_query(&path, "fieldManager", options->field_manager);
	if (options && options->force && type == KUBE_PATCH_APPLY)
		kube_path_query(&path, "force", "true");
	return start_ref(c, &r, &path);
}

static void add_member(struct json_object *o, const char *name, const char *value)
{
	if (value)
		json_object_object_add(o, name, json_object_new_string(value));
}

static struct json_object *delete_body(const struct kube_delete_options *options)
{
	struct json_object *body = json_object_new_object();

	add_member(body, "kind", "DeleteOptions");
	add_member(body, "apiVersion", "v1");
	if (!options)
		return body;
	add_member(body, "propagationPolicy", options->propagation);
	if (options->grace_s >= 0)
		json_object_object_add(body, "gracePeriodSeconds",
				       json_object_new_int(options->grace_s));
	if (options->uid || options->resource_version) {
		struct json_object *preconditions = json_object_new_object();

		add_member(preconditions, "uid", options->uid);
		add_member(preconditions, "resourceVersion", options->resource_version);
		json_object_object_add(body, "preconditions", preconditions);
	}
	return body;
}

struct kube_call *kube_client_delete(struct kube_client *c, const struct kube_ref *ref,
				     const struct kube_delete_options *options, kube_done_fn done,
				     void *user)
{
	struct json_object *body = delete_body(options);
	struct kube_call *call;
	struct buf path = {0};
	struct request r = {.verb = "delete",
			    .method = "DELETE",
			    .ref = ref,
			    .body = json_object_to_json_string(body),
			    .done = done,
			    .user = user};

	kube_path(ref, &path);
	call = start_ref(c, &r, &path);
	json_object_put(body);
	return call;
}

struct kube_call *kube_client_get_path(struct kube_client *c, const char *path, kube_done_fn done,
				       void *user)
{
	struct request r = {.verb = "get",
			    .method = "GET",
			    .path = path,
			    .done = done,
			    .user = user,
			    .any_body = true};

	return start(c, &r);
}

struct kube_call *kube_client_cancel(struct kube_call *call)
{
	if (!call)
		return NULL;
	http_cancel(call->http);
	call_free(call);
	return NULL;
}

struct kube_call *kube_client_abandon(struct kube_call *call)
{
	if (!call)
		return NULL;
	http_abandon(call->http);
	call_free(call);
	return NULL;
}
