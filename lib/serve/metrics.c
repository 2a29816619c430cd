/*
 * The metrics endpoint. Who may read it is decided by the API server: authentication.k8s.io/v1
 * TokenReview, authorization.k8s.io/v1 SubjectAccessReview. When the API server cannot be asked the
 * answer is 503, never the figures.
 */
#include <ev.h>
#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#include "authcache.h"
#include "metallb/kube_client.h"
#include "metallb/list.h"
#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/serve_metrics.h"
#include "metallb/x509.h"
#include "metallb/xalloc.h"

#define CONNECTIONS_MAX  32
#define REVIEWS_MAX      16 /* being asked at a time */
#define SELF_SIGNED_DAYS 365
#define CONTENT_TYPE     "text/plain; version=0.0.4; charset=utf-8"

static const struct kube_resource tokenreviews = {"authentication.k8s.io", "v1", "tokenreviews",
						  "TokenReview", false};
static const struct kube_resource accessreviews = {
	"authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", false};

struct serve_metrics {
	struct serve *serve;
	struct serve_certdir *certdir;
	struct kube_client *kube;
	void (*refresh)(void *user);
	void *user;
	struct authcache cache;
	struct list reviews; /* struct asking */
	size_t n_reviews;
	struct serve_route route;
};

/* One request whose token is being reviewed. */
struct asking {
	struct list link;
	struct serve_metrics *metrics;
	struct serve_request *request;
	struct kube_call *call;
	uint8_t hash[AUTHCACHE_HASH];
};

static void answer(struct serve_metrics *m, struct serve_request *r, int status)
{
	struct buf out = {0};

	switch (status) {
	case 200:
		if (m->refresh)
			m->refresh(m->user);
		metrics_format(&out);
		serve_reply(r, 200, CONTENT_TYPE, &out);
		return;
	case 401:
		serve_reply_text(r, 401, "Authentication failed\n");
		return;
	case 403:
		serve_reply_text(r, 403, "Authorization denied for /metrics\n");
		return;
	default:
		serve_reply_text(r, 503, "the API server cannot be asked\n");
		return;
	}
}

static void asking_free(struct asking *a)
{
	list_del(&a->link);
	a->metrics->n_reviews--;
	free(a);
}

/* status: 0 when there is no verdict */
static void asking_end(struct asking *a, int status)
{
	if (status)
		authcache_add(&a->metrics->cache, a->hash, status, clock_now());
	answer(a->metrics, a->request, status);
	asking_free(a);
}

static bool json_true(struct json_object *o, const char *name)
{
	struct json_object *v = kube_json_get(o, name);

	return json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

static void on_access(void *user, const struct kube_result *result)
{
	struct asking *a = user;

	a->call = NULL;
	if (!result->ok) {
		log_warn("metrics: SubjectAccessReview failed", "error", result->message, NULL);
		asking_end(a, 0);
		return;
	}
	asking_end(a, json_true(kube_json_get(result->body, "status"), "allowed") ? 200 : 403);
}

/* The TokenReview's user as a SubjectAccessReview's subject. */
static char *access_review(struct json_object *user)
{
	static const char *const fields[][2] = {
		{"username", "user"}, {"groups", "groups"}, {"uid", "uid"}, {"extra", "extra"}};
	struct json_object *spec = json_object_new_object();
	struct json_object *attributes = json_object_new_object();
	struct json_object *root = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct json_object *v = kube_json_get(user, fields[i][0]);

		if (v)
			json_object_object_add(spec, fields[i][1], json_object_get(v));
	}
	json_object_object_add(attributes, "path", json_object_new_string("/metrics"));
	json_object_object_add(attributes, "verb", json_object_new_string("get"));
	json_object_object_add(spec, "nonResourceAttributes", attributes);
	json_object_object_add(root, "apiVersion",
			       json_object_new_string("authorization.k8s.io/v1"));
	json_object_object_add(root, "kind", json_object_new_string("SubjectAccessReview"));
	json_object_object_add(root, "spec", spec);
	char *text = xstrdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));

	json_object_put(root);
	return text;
}

static void on_token(void *user, const struct kube_result *result)
{
	struct asking *a = user;
	struct json_object *status = kube_json_get(result->body, "status");

	a->call = NULL;
	if (!result->ok) {
		log_warn("metrics: TokenReview failed", "error", result->message, NULL);
		asking_end(a, 0);
		return;
	}
	if (!json_true(status, "authenticated")) {
		asking_end(a, 401);
		return;
	}
	_cleanup_free_ char *body = access_review(kube_json_get(status, "user"));
	struct kube_ref ref = {.resource = &accessreviews};

	a->call = kube_client_create(a->metrics->kube, &ref, body, on_access, a);
}

static void ask(struct serve_metrics *m, struct serve_request *r, const char *token,
		const uint8_t hash[AUTHCACHE_HASH])
{
	_cleanup_(buf_fini) struct buf body = {0};
	struct asking *a = xcalloc(1, sizeof(*a));
	struct kube_ref ref = {.resource = &tokenreviews};

	a->metrics = m;
	a->request = r;
	memcpy(a->hash, hash, AUTHCACHE_HASH);
	list_add_tail(&m->reviews, &a->link);
	m->n_reviews++;
	buf_add_str(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\","
			   "\"spec\":{\"token\":");
	buf_add_json_str(&body, token, strlen(token));
	buf_add_str(&body, "}}");
	a->call = kube_client_create(m->kube, &ref, buf_str(&body), on_token, a);
	explicit_bzero(body.data, body.len);
}

static void on_metrics(struct serve_request *r, void *user)
{
	static const char scheme[] = "Bearer ";
	struct serve_metrics *m = user;
	const char *auth = serve_request_authorization(r);
	uint8_t hash[AUTHCACHE_HASH];
	int status;

	if (strncasecmp(auth, scheme, sizeof(scheme) - 1) != 0 || !auth[sizeof(scheme) - 1]) {
		answer(m, r, 401);
		return;
	}
	auth += sizeof(scheme) - 1;
	authcache_hash(auth, hash);
	status = authcache_find(&m->cache, hash, clock_now());
	if (status || m->n_reviews >= REVIEWS_MAX)
		answer(m, r, status);
	else
		ask(m, r, auth, hash);
}

static bool use_self_signed(struct serve *s, struct err *err)
{
	static const char *const names[] = {"localhost"};
	EVP_PKEY *key = x509_make_key();
	X509 *x = x509_make_serving(key, names, 1, NULL, NULL, clock_wall() / USEC_PER_SEC,
				    SELF_SIGNED_DAYS);
	_cleanup_free_ char *cert = x509_write(&x, 1);
	_cleanup_free_ char *secret = x509_write_key(key);
	bool ok = serve_set_certificate(s, cert, strlen(cert), secret, strlen(secret), err);

	explicit_bzero(secret, strlen(secret));
	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

bool serve_metrics_new(struct ev_loop *loop, const struct serve_metrics_options *o,
		       struct serve_metrics **out, struct err *err)
{
	struct serve_metrics *m = xcalloc(1, sizeof(*m));
	struct serve_options serve = {
		.name = "metrics",
		.address = o->address,
		.port = o->port,
		.routes = &m->route,
		.n_routes = 1,
		.tls = o->tls,
		.max_connections = CONNECTIONS_MAX,
	};
	int r;

	m->kube = o->kube;
	m->refresh = o->refresh;
	m->user = o->user;
	m->route = (struct serve_route){SERVE_GET, "/metrics", NULL, on_metrics, m};
	list_init(&m->reviews);
	r = serve_new(loop, &serve, &m->serve);
	if (r < 0) {
		serve_metrics_free(m);
		return err_set(err, "cannot serve metrics on port %u: %s", o->port, strerror(-r));
	}
	if (o->cert_dir && *o->cert_dir) {
		m->certdir = serve_certdir_new(loop, m->serve, o->cert_dir, NULL, NULL);
	} else if (!use_self_signed(m->serve, err)) {
		serve_metrics_free(m);
		return false;
	}
	*out = m;
	return true;
}

struct serve_metrics *serve_metrics_free(struct serve_metrics *m)
{
	struct list *pos, *tmp;

	if (!m)
		return NULL;
	serve_certdir_free(m->certdir);
	serve_free(m->serve);
	list_for_each_safe (pos, tmp, &m->reviews) {
		struct asking *a = container_of(pos, struct asking, link);

		kube_client_cancel(a->call);
		serve_reply_text(a->request, 503, "");
		asking_free(a);
	}
	free(m);
	return NULL;
}

uint16_t serve_metrics_port(const struct serve_metrics *m)
{
	return serve_port(m->serve);
}
