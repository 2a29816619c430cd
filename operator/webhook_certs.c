/*
 * The shell around certs.c: watches the Secret, loads what it holds into the server, and writes the
 * next step when this replica leads. Whoever deletes or damages the Secret changes nothing for
 * clients: each replica goes on serving what it has, and the leader puts that back.
 */
#include "operator/webhook_certs.h"

#include <ev.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/serve_metrics.h"
#include "metallb/xalloc.h"
#include "operator/certs.h"

#define LOOK_S  60.0 /* for expiry */
#define RETRY_S 2.0  /* after a write that failed */

struct webhook_certs {
	struct ev_loop *loop;
	struct webhook_certs_spec spec;
	char *selector;
	char *names[3];
	struct kube_informer *informer; /* of struct certs */
	struct serve_certdir *certdir;  /* instead, with --disable-cert-rotation */
	struct certs current;           /* served */
	char *admin_ca;
	struct kube_call *call;
	ev_timer timer;
	bool leads;
};

static void certs_freep(struct certs *c)
{
	certs_fini(c);
}

static struct certs certs_copy(const struct certs *c)
{
	return (struct certs){
		.ca_crt = xstrdup(c->ca_crt ? c->ca_crt : ""),
		.ca_key = xstrdup(c->ca_key ? c->ca_key : ""),
		.tls_crt = xstrdup(c->tls_crt ? c->tls_crt : ""),
		.tls_key = xstrdup(c->tls_key ? c->tls_key : ""),
	};
}

static void *decode(struct json_object *o, struct err *err)
{
	struct secret *s = (struct secret *)(void *)api_decode(API_SECRET, o, err);
	struct certs *c;

	if (!s)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	for (size_t i = 0; i < s->n_items; i++) {
		const struct secret_item *item = &s->items[i];
		char **to = strcmp(item->key, "ca.crt") == 0    ? &c->ca_crt
			    : strcmp(item->key, "ca.key") == 0  ? &c->ca_key
			    : strcmp(item->key, "tls.crt") == 0 ? &c->tls_crt
			    : strcmp(item->key, "tls.key") == 0 ? &c->tls_key
								: NULL;

		if (to && !*to && item->len <= CERTS_PEM_MAX)
			*to = xstrndup((const char *)item->value, item->len);
	}
	api_object_free(&s->obj);
	return c;
}

static void free_value(void *value)
{
	certs_fini(value);
	free(value);
}

static struct certs_spec spec_now(const struct webhook_certs *c)
{
	struct certs_spec spec = {
		.n_names = ARRAY_SIZE(c->names),
		.now_s = clock_wall() / USEC_PER_SEC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(c->names); i++)
		spec.names[i] = c->names[i];
	return spec;
}

static void start_timer(struct webhook_certs *c, double seconds)
{
	ev_timer_stop(c->loop, &c->timer);
	ev_timer_set(&c->timer, seconds, 0.);
	ev_timer_start(c->loop, &c->timer);
}

static void on_written(void *user, const struct kube_result *result)
{
	struct webhook_certs *c = user;

	c->call = NULL;
	if (!result->ok)
		log_error("webhook: cannot store the certificates", "error", result->message, NULL);
	/* the informer tells of what was written; this is for the case that it does not */
	start_timer(c, RETRY_S);
}

static void write_secret(struct webhook_certs *c, const struct certs *next, bool exists)
{
	const struct webhook_options *o = c->spec.options;
	_cleanup_(buf_fini) struct buf body = {0};
	struct kube_ref ref = {&kube_secrets, o->ns, o->secret_name, NULL};

	if (!exists)
		buf_printf(&body,
			   "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"Opaque\","
			   "\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\","
			   "\"labels\":{\"app\":\"metallb\"}},\"data\":{",
			   o->secret_name, o->ns);
	else
		buf_add_str(&body, "{\"data\":{");
	certs_encode_data(next, &body);
	buf_add_str(&body, "}}");
	if (exists) {
		c->call = kube_client_patch(o->client, &ref, KUBE_PATCH_MERGE, buf_str(&body), NULL,
					    on_written, c);
	} else {
		ref.name = NULL;
		c->call = kube_client_create(o->client, &ref, buf_str(&body), on_written, c);
	}
	explicit_bzero(body.data, body.len);
}

/* Serve it, when it can be served and is not what is served already. */
static void use(struct webhook_certs *c, const struct certs *have, const struct certs_spec *spec)
{
	bool new_bundle;
	struct err err;

	if (!have->tls_crt || certs_equal(have, &c->current))
		return;
	if (!certs_check_serving(have, spec, &err) ||
	    !serve_set_certificate(c->spec.serve, have->tls_crt, strlen(have->tls_crt),
				   have->tls_key, strlen(have->tls_key), &err)) {
		log_warn("webhook: the Secret's certificate is not usable", "secret",
			 c->spec.options->secret_name, "error", err.msg, NULL);
		return;
	}
	new_bundle = !c->current.ca_crt || strcmp(c->current.ca_crt, have->ca_crt) != 0;
	certs_fini(&c->current);
	c->current = certs_copy(have);
	log_info("webhook: certificate loaded", "secret", c->spec.options->secret_name, NULL);
	if (new_bundle)
		c->spec.on_bundle(c->spec.user);
}

static bool may_write(const struct webhook_certs *c)
{
	const struct webhook_options *o = c->spec.options;

	return c->leads && !c->call && o->may_write(o->user);
}

/* As the leader: the next step, or what we serve when the Secret lost it. */
static void repair(struct webhook_certs *c, const struct certs *have, bool exists,
		   const struct certs_spec *spec)
{
	const char *trusted = c->spec.trusted(c->spec.user);
	_cleanup_(certs_freep) struct certs next = {0};
	_cleanup_(certs_freep) struct certs other = {0};
	struct err why, unused;

	if (!certs_next(have, trusted, spec, &next, &why))
		return;
	if (c->current.tls_crt && !certs_equal(&c->current, have) &&
	    !certs_next(&c->current, trusted, spec, &other, &unused)) {
		log_warn("webhook: putting the certificates back", "secret",
			 c->spec.options->secret_name, "reason", why.msg, NULL);
		write_secret(c, &c->current, exists);
		return;
	}
	log_info("webhook: new certificates", "secret", c->spec.options->secret_name, "reason",
		 why.msg, NULL);
	write_secret(c, &next, exists);
}

void webhook_certs_look(struct webhook_certs *c)
{
	static const struct certs none;
	const struct webhook_options *o = c->spec.options;
	struct certs_spec spec = spec_now(c);
	const struct certs *have;

	if (!c->informer || !kube_informer_is_synced(c->informer))
		return;
	have = kube_store_find_ns(kube_informer_store(c->informer), o->ns, o->secret_name);
	use(c, have ? have : &none, &spec);
	if (may_write(c))
		repair(c, have ? have : &none, have != NULL, &spec);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct webhook_certs *c = t->data;

	(void)loop;
	(void)events;
	start_timer(c, LOOK_S);
	webhook_certs_look(c);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	(void)key;
	(void)before;
	(void)after;
	start_timer(user, 0.);
}

static void on_synced(void *user)
{
	start_timer(user, 0.);
}

static void on_admin_ca(void *user, const char *pem)
{
	struct webhook_certs *c = user;

	free(c->admin_ca);
	c->admin_ca = xstrdup(pem);
	c->spec.on_bundle(c->spec.user);
}

static void watch_secret(struct webhook_certs *c)
{
	const struct webhook_options *o = c->spec.options;
	struct kube_informer_spec spec = {
		.sources = {{&kube_secrets, decode}},
		.n_sources = 1,
		.ns = o->ns,
		.free_value = free_value,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = c,
	};

	c->selector = xasprintf("metadata.name=%s", o->secret_name);
	spec.field_selector = c->selector;
	c->informer = kube_informer_new(o->client, &spec);
}

struct webhook_certs *webhook_certs_new(struct ev_loop *loop, const struct webhook_certs_spec *spec)
{
	struct webhook_certs *c = xcalloc(1, sizeof(*c));
	const struct webhook_options *o = spec->options;

	c->loop = loop;
	c->spec = *spec;
	c->names[0] = xasprintf("%s.%s.svc", o->service_name, o->ns);
	c->names[1] = xasprintf("%s.%s.svc.cluster.local", o->service_name, o->ns);
	c->names[2] = xasprintf("%s.%s", o->service_name, o->ns);
	ev_timer_init(&c->timer, on_timer, LOOK_S, 0.);
	c->timer.data = c;
	if (o->disable_cert_rotation) {
		c->certdir = serve_certdir_new(loop, spec->serve, o->cert_dir, on_admin_ca, c);
	} else {
		watch_secret(c);
		start_timer(c, LOOK_S);
	}
	return c;
}

struct webhook_certs *webhook_certs_free(struct webhook_certs *c)
{
	if (!c)
		return NULL;
	ev_timer_stop(c->loop, &c->timer);
	kube_client_cancel(c->call);
	kube_informer_free(c->informer);
	serve_certdir_free(c->certdir);
	certs_fini(&c->current);
	for (size_t i = 0; i < ARRAY_SIZE(c->names); i++)
		free(c->names[i]);
	free(c->selector);
	free(c->admin_ca);
	free(c);
	return NULL;
}

void webhook_certs_set_leader(struct webhook_certs *c, bool leads)
{
	c->leads = leads;
	if (leads && c->informer)
		start_timer(c, 0.);
}

const char *webhook_certs_bundle(const struct webhook_certs *c)
{
	const char *text = c->certdir ? c->admin_ca : c->current.ca_crt;

	return text ? text : "";
}
