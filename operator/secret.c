/*
 * Makes the gossip Secret: one key, secretkey, with 16 random bytes as unpadded base64 text, owned
 * by our Deployment. Tries until it is there.
 */
#include "operator/secret.h"

#include <ev.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"

#define KEY_BYTES   16
#define RETRY_DELAY 5.

struct secret_maker {
	struct kube_client *client;
	const char *ns, *name, *deployment;
	struct kube_call *call;
	ev_timer timer;
};

static void look(struct secret_maker *m);

static void retry(struct secret_maker *m, const char *what, const char *why)
{
	log_error("cannot make the gossip secret", "step", what, "error", why, NULL);
	ev_timer_set(&m->timer, RETRY_DELAY, 0.);
	ev_timer_start(kube_client_loop(m->client), &m->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	look(w->data);
}

static void on_created(void *user, const struct kube_result *result)
{
	struct secret_maker *m = user;

	m->call = NULL;
	if (result->ok)
		log_info("gossip secret made", "secret", m->name, NULL);
	else if (result->status != 409) /* another replica was faster */
		retry(m, "create", result->message);
}

/* Standard base64 without padding. */
static void format_key(const uint8_t key[KEY_BYTES], char out[23])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < KEY_BYTES; i++) {
		bits = bits << 8 | key[i];
		for (n += 8; n >= 6; n -= 6)
			*out++ = digits[bits >> (n - 6) & 63];
	}
	*out++ = digits[bits << (6 - n) & 63];
	*out = '\0';
}

static void create(struct secret_maker *m, const char *deployment_uid)
{
	struct kube_ref ref = {&kube_secrets, m->ns, NULL, NULL};
	_cleanup_(buf_fini) struct buf body = {0};
	uint8_t key[KEY_BYTES];
	char text[23];

	random_system.fill(random_system.user, key, sizeof(key));
	format_key(key, text);
	buf_add_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":");
	buf_add_json_str(&body, m->name, strlen(m->name));
	if (deployment_uid[0]) {
		buf_add_str(&body, ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
				   "\"Deployment\",\"name\":");
		buf_add_json_str(&body, m->deployment, strlen(m->deployment));
		buf_add_str(&body, ",\"uid\":");
		buf_add_json_str(&body, deployment_uid, strlen(deployment_uid));
		buf_add_str(&body, "}]");
	}
	buf_printf(&body, "},\"stringData\":{\"secretkey\":\"%s\"}}", text);
	m->call = kube_client_create(m->client, &ref, buf_str(&body), on_created, m);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(body.data, body.len);
}

static void on_deployment(void *user, const struct kube_result *result)
{
	struct secret_maker *m = user;

	m->call = NULL;
	if (!result->ok && result->status != 404)
		retry(m, "read own Deployment", result->message);
	else
		create(m, result->ok ? kube_meta_str(result->body, "uid") : "");
}

static void on_looked(void *user, const struct kube_result *result)
{
	struct secret_maker *m = user;
	struct kube_ref ref = {&kube_deployments, m->ns, m->deployment, NULL};

	m->call = NULL;
	if (result->ok)
		return;
	if (result->status != 404)
		retry(m, "look for it", result->message);
	else if (m->deployment[0])
		m->call = kube_client_get(m->client, &ref, on_deployment, m);
	else
		create(m, "");
}

static void look(struct secret_maker *m)
{
	struct kube_ref ref = {&kube_secrets, m->ns, m->name, NULL};

	m->call = kube_client_get(m->client, &ref, on_looked, m);
}

struct secret_maker *secret_maker_new(struct kube_client *client, const char *ns, const char *name,
				      const char *deployment)
{
	struct secret_maker *m = xcalloc(1, sizeof(*m));

	m->client = client;
	m->ns = ns;
	m->name = name;
	m->deployment = deployment;
	ev_init(&m->timer, on_timer);
	m->timer.data = m;
	look(m);
	return m;
}

struct secret_maker *secret_maker_free(struct secret_maker *m)
{
	if (!m)
		return NULL;
	ev_timer_stop(kube_client_loop(m->client), &m->timer);
	if (m->call)
		kube_client_cancel(m->call);
	free(m);
	return NULL;
}
