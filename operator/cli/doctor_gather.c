/*
 * All questions at once: lists page by page, single objects, access reviews, and one object that
 * the webhook must refuse, with dryRun.
 */
#include "operator/cli/doctor_gather.h"

#include <ev.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/kube_proxy.h"
#include "operator/manifests/embed.h"
#include "operator/webhook_rules.h"

#define PAGE       500
#define LEASE_NAME "metallb-controller"

static const struct kube_resource access_reviews = {
	.group = "authorization.k8s.io",
	.version = "v1",
	.plural = "subjectaccessreviews",
	.kind = "SubjectAccessReview",
};
static const struct kube_resource self_reviews = {
	.group = "authorization.k8s.io",
	.version = "v1",
	.plural = "selfsubjectaccessreviews",
	.kind = "SelfSubjectAccessReview",
};

struct gather {
	struct kube_client *client;
	struct ev_loop *loop;
	struct doctor_facts *facts;
	size_t n_open;
};

/* One question; it frees itself when it is answered. */
struct question {
	struct gather *g;
	enum doctor_fact fact;
	struct kube_ref ref;
	const char *selector;     /* of fields, or NULL */
	struct json_object *list; /* what came so far; NULL: not a list */
	struct json_object *right;
};

static void finish(struct question *q)
{
	struct gather *g = q->g;

	json_object_put(q->list);
	free(q);
	if (--g->n_open == 0)
		ev_break(g->loop, EVBREAK_ALL);
}

static struct question *begin(struct gather *g, enum doctor_fact fact)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->g = g;
	q->fact = fact;
	g->n_open++;
	return q;
}

static void note_date(struct gather *g, const struct kube_result *r)
{
	/* the header has whole seconds: the middle of them */
	if (r->date > 0)
		g->facts->now = r->date * USEC_PER_SEC + USEC_PER_SEC / 2;
}

static void note_problem(struct question *q, const struct kube_result *r)
{
	struct doctor_known *k = &q->g->facts->known[q->fact];

	if (r->status != 404)
		k->problem = xstrdup(r->message);
}

/* ---- objects and lists ---- */

static void on_object(void *user, const struct kube_result *r)
{
	struct question *q = user;

	note_date(q->g, r);
	if (r->ok)
		q->g->facts->known[q->fact].value = json_object_get(r->body);
	else
		note_problem(q, r);
	finish(q);
}

static void ask_object(struct gather *g, enum doctor_fact fact,
		       const struct kube_resource *resource, const char *ns, const char *name)
{
	struct question *q = begin(g, fact);

	q->ref = (struct kube_ref){.resource = resource, .ns = ns, .name = name};
	kube_client_get(g->client, &q->ref, on_object, q);
}

static void on_page(void *user, const struct kube_result *r);

static void ask_page(struct question *q, const char *token)
{
	struct kube_list_options opt = {
		.limit = PAGE, .continue_token = token, .field_selector = q->selector};

	kube_client_list(q->g->client, &q->ref, &opt, on_page, q);
}

static void on_page(void *user, const struct kube_result *r)
{
	struct question *q = user;

	note_date(q->g, r);
	if (!r->ok) {
		note_problem(q, r);
		finish(q);
		return;
	}
	struct json_object *items = kube_json_get(r->body, "items");
	const char *token = kube_json_str(kube_json_get(r->body, "metadata"), "continue");

	for (size_t i = 0; items && i < json_object_array_length(items); i++)
		json_object_array_add(q->list,
				      json_object_get(json_object_array_get_idx(items, i)));
	if (*token) {
		ask_page(q, token);
		return;
	}
	struct json_object *whole = json_object_new_object();

	json_object_object_add(whole, "items", json_object_get(q->list));
	q->g->facts->known[q->fact].value = whole;
	finish(q);
}

static void ask_list(struct gather *g, enum doctor_fact fact, const struct kube_resource *resource,
		     const char *ns, const char *selector)
{
	struct question *q = begin(g, fact);

	q->ref = (struct kube_ref){.resource = resource, .ns = ns};
	q->selector = selector;
	q->list = json_object_new_array();
	ask_page(q, NULL);
}

/* ---- rights ---- */

static void on_review(void *user, const struct kube_result *r)
{
	struct question *q = user;
	struct json_object *status = kube_json_get(r->body, "status");
	bool allowed = r->ok && json_object_get_boolean(kube_json_get(status, "allowed"));

	json_object_object_add(q->right, "allowed", json_object_new_boolean(allowed));
	if (!r->ok)
		json_object_object_add(q->right, "problem", json_object_new_string(r->message));
	finish(q);
}

static void copy(struct json_object *to, const char *key, const char *value)
{
	if (*value)
		json_object_object_add(to, key, json_object_new_string(value));
}

/* "patch services/status in kube-system" */
static struct json_object *describe(struct json_object *r)
{
	const char *sub = kube_json_str(r, "subresource"), *name = kube_json_str(r, "name");
	const char *ns = kube_json_str(r, "namespace");
	_cleanup_free_ char *s = xasprintf("%s %s%s%s%s%s%s%s", kube_json_str(r, "verb"),
					   kube_json_str(r, "resource"), *sub ? "/" : "", sub,
					   *name ? " " : "", name, *ns ? " in " : "", ns);

	return json_object_new_string(s);
}

static struct json_object *attributes_of(struct json_object *r)
{
	static const char *const keys[] = {"verb",        "group", "resource",
					   "subresource", "name",  "namespace"};
	struct json_object *attributes = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		copy(attributes, keys[i], kube_json_str(r, keys[i]));
	return attributes;
}

static void ask_right(struct gather *g, struct json_object *r)
{
	const char *account = kube_json_str(r, "account");
	struct question *q = begin(g, FACT_COUNT);
	struct json_object *review = json_object_new_object(), *spec = json_object_new_object();

	q->ref = (struct kube_ref){.resource = *account ? &access_reviews : &self_reviews};
	q->right = json_object_new_object();
	copy(q->right, "account", account);
	json_object_object_add(q->right, "right", describe(r));
	json_object_array_add(g->facts->rights, q->right);
	if (*account) {
		_cleanup_free_ char *user =
			xasprintf("system:serviceaccount:%s:%s", g->facts->ns, account);
		_cleanup_free_ char *of_ns = xasprintf("system:serviceaccounts:%s", g->facts->ns);
		struct json_object *groups = json_object_new_array();

		json_object_array_add(groups, json_object_new_string("system:serviceaccounts"));
		json_object_array_add(groups, json_object_new_string(of_ns));
		json_object_array_add(groups, json_object_new_string("system:authenticated"));
		copy(spec, "user", user);
		json_object_object_add(spec, "groups", groups);
	}
	json_object_object_add(spec, "resourceAttributes", attributes_of(r));
	copy(review, "apiVersion", "authorization.k8s.io/v1");
	copy(review, "kind", q->ref.resource->kind);
	json_object_object_add(review, "spec", spec);
	kube_client_create(g->client, &q->ref, json_object_to_json_string(review), on_review, q);
	json_object_put(review);
}

/* What a person needs who configures us. */
static void ask_own_rights(struct gather *g)
{
	static const char *const kinds[] = {"ipaddresspools", "l2advertisements",
					    "bgpadvertisements", "bgppeers"};
	static const char *const verbs[] = {"create", "update", "delete"};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t v = 0; v < ARRAY_SIZE(verbs); v++) {
			struct json_object *r = json_object_new_object();

			copy(r, "group", "metallb.io");
			copy(r, "resource", kinds[k]);
			copy(r, "verb", verbs[v]);
			copy(r, "namespace", g->facts->ns);
			ask_right(g, r);
			json_object_put(r);
		}
}

static bool ask_rights(struct gather *g, struct err *err)
{
	_cleanup_(buf_fini) struct buf yaml = {0};

	for (size_t i = 0; i < embedded_rbac_n; i++)
		buf_printf(&yaml, "%s\n---\n", embedded_rbac[i].text);
	struct json_object *rights = rights_of(buf_str(&yaml), g->facts->ns, err);

	if (!rights)
		return false;
	for (size_t i = 0; i < json_object_array_length(rights); i++)
		ask_right(g, json_object_array_get_idx(rights, i));
	json_object_put(rights);
	ask_own_rights(g);
	return true;
}

/* ---- the webhook ---- */

static void on_probe(void *user, const struct kube_result *r)
{
	struct question *q = user;
	struct doctor_known *k = &q->g->facts->known[FACT_PROBE];

	if (r->status == 0) {
		k->problem = xstrdup(r->message);
	} else {
		k->value = json_object_new_object();
		json_object_object_add(k->value, "status", json_object_new_int(r->status));
		json_object_object_add(k->value, "message", json_object_new_string(r->message));
	}
	finish(q);
}

static void ask_probe(struct gather *g)
{
	struct question *q = begin(g, FACT_PROBE);
	_cleanup_(buf_fini) struct buf body = {0};

	q->ref = (struct kube_ref){.resource = &kube_ipaddresspools, .ns = g->facts->ns};
	buf_add_str(&body, "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"IPAddressPool\","
			   "\"metadata\":{\"name\":\"doctor-probe\",\"namespace\":");
	buf_add_json_str(&body, g->facts->ns, strlen(g->facts->ns));
	buf_add_str(&body, "},\"spec\":{\"addresses\":[\"no address\"]}}");
	kube_client_try(g->client, &q->ref, buf_str(&body), on_probe, q);
}

/* ---- all of it ---- */

static void ask_all(struct gather *g)
{
	const char *ns = g->facts->ns;

	ask_list(g, FACT_CRDS, &kube_crds, NULL, NULL);
	ask_list(g, FACT_DEPLOYMENTS, &kube_deployments, NULL, NULL);
	ask_list(g, FACT_DAEMONSETS, &kube_daemonsets, NULL, NULL);
	ask_list(g, FACT_PODS, &kube_pods, ns, NULL);
	ask_object(g, FACT_LEASE, &kube_leases, ns, LEASE_NAME);
	ask_list(g, FACT_NODE_LEASES, &kube_leases, "kube-node-lease", NULL);
	ask_list(g, FACT_NODES, &kube_nodes, NULL, NULL);
	ask_list(g, FACT_SERVICES, &kube_services, NULL, NULL);
	ask_list(g, FACT_EVENTS, &kube_events, ns, NULL);
	ask_list(g, FACT_REASONS, &kube_events, NULL, "reason=AllocationFailed");
	ask_list(g, FACT_POOLS, &kube_ipaddresspools, ns, NULL);
	ask_list(g, FACT_METALLBS, &kube_metallbs, ns, NULL);
	ask_list(g, FACT_STATES, &kube_configurationstates, ns, NULL);
	ask_object(g, FACT_KUBE_PROXY, &kube_configmaps, KUBE_PROXY_NS, KUBE_PROXY_CONFIG);
	ask_object(g, FACT_WEBHOOK, &kube_validating_webhooks, NULL, WEBHOOK_CONFIGURATION);
	ask_probe(g);
}

static bool parse_crds(struct json_object *list, struct err *err)
{
	for (size_t i = 0; i < embedded_crds_n; i++) {
		struct json_object *crd =
			yaml_parse_one(embedded_crds[i].text, embedded_crds[i].len, err);

		if (!crd)
			return err_wrap(err, "%s", embedded_crds[i].name);
		json_object_array_add(list, crd);
	}
	return true;
}

static void on_version(void *user, const struct kube_result *r)
{
	struct question *q = user;

	note_date(q->g, r);
	if (r->ok && r->body)
		q->g->facts->known[FACT_VERSION].value = json_object_get(r->body);
	else
		q->g->facts->known[FACT_VERSION].problem = xstrdup(r->message);
	finish(q);
}

bool doctor_gather(struct kube_client *client, const char *ns, struct doctor_facts *facts,
		   struct err *err)
{
	struct gather g = {.client = client, .loop = kube_client_loop(client), .facts = facts};
	const struct doctor_known *version = &facts->known[FACT_VERSION];

	facts->ns = ns;
	facts->rights = json_object_new_array();
	facts->crds = json_object_new_array();
	if (!parse_crds(facts->crds, err))
		return false;
	kube_client_get_path(client, "/version", on_version, begin(&g, FACT_VERSION));
	ev_run(g.loop, 0);
	if (!version->value)
		return err_set(err, "%s", version->problem ? version->problem : "no answer");
	if (!ask_rights(&g, err))
		return false;
	ask_all(&g);
	ev_run(g.loop, 0);
	return true;
}
