/*
 * The objects of a running cluster, for a plan. One list per kind, one after the other; kinds that
 * the server does not have, or that we may not read, are named on stderr and left out.
 */
#include <ev.h>
#include <stdio.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/xalloc.h"
#include "operator/cli/input.h"

#define PAGE     500
#define SPEAKERS "app=metallb,component=speaker"

struct load {
	struct docs *docs;
	struct ev_loop *loop;
	struct kube_client *client;
	const struct kube_resource *resource;
	const char *selector; /* of labels, or NULL */
	char *next;           /* continue token of the next page */
	bool failed, missing;
	struct err *err;
};

static struct json_object *meta_of(struct json_object *list)
{
	return kube_json_get(list, "metadata");
}

static void on_list(void *user, const struct kube_result *r)
{
	struct load *l = user;

	ev_break(l->loop, EVBREAK_ONE);
	free(l->next);
	l->next = NULL;
	if (!r->ok) {
		l->missing = r->status == 404 || r->status == 403;
		l->failed = true;
		err_set(l->err, "%s", r->message);
		return;
	}
	const char *token = kube_json_str(meta_of(r->body), "continue");

	if (*token)
		l->next = xstrdup(token);
	docs_add(l->docs, json_object_get(r->body), "cluster", 0);
}

static bool load_kind(struct load *l, const struct kube_resource *resource, const char *ns)
{
	struct kube_ref ref = {.resource = resource, .ns = ns};

	l->resource = resource;
	l->failed = l->missing = false;
	do {
		struct kube_list_options opt = {
			.label_selector = l->selector, .limit = PAGE, .continue_token = l->next};

		kube_client_list(l->client, &ref, &opt, on_list, l);
		ev_run(l->loop, 0);
	} while (l->next && !l->failed);
	return !l->failed;
}

/* Kinds of our namespace, each with the selector of its objects; what cannot be had is left out. */
static bool load_ours(struct load *l)
{
	static const struct {
		const struct kube_resource *resource;
		const char *selector;
	} ours[] = {
		{&kube_ipaddresspools, NULL},    {&kube_l2advertisements, NULL},
		{&kube_bgpadvertisements, NULL}, {&kube_bgppeers, NULL},
		{&kube_bfdprofiles, NULL},       {&kube_communities, NULL},
		{&kube_secrets, NULL},           {&kube_pods, SPEAKERS},
		{&kube_servicel2statuses, NULL}, {&kube_servicebgpstatuses, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		l->selector = ours[i].selector;
		if (load_kind(l, ours[i].resource, l->docs->ns)) {
			l->docs->knows_speakers |= ours[i].resource == &kube_pods;
			continue;
		}
		if (!l->missing)
			return false;
		fprintf(stderr, "kubectl-metallb: %s\n", l->err->msg);
	}
	return true;
}

static bool load_all(struct load *l)
{
	const struct kube_resource *core[] = {&kube_nodes, &kube_namespaces, &kube_services};

	for (size_t i = 0; i < ARRAY_SIZE(core); i++)
		if (!load_kind(l, core[i], NULL))
			return false;
	if (!load_kind(l, &kube_endpointslices, NULL) &&
	    !(l->missing && load_kind(l, &kube_endpointslices_v1beta1, NULL)))
		return false;
	return load_ours(l);
}

char *docs_context_namespace(const char *kubeconfig, const char *context, struct err *err)
{
	struct kube_config_options options = {.kubeconfig = kubeconfig, .context = context};
	struct kube_config *config = kube_config_load(&options, err);
	char *ns = config ? xstrdup(config->ns) : NULL;

	kube_config_free(config);
	return ns;
}

bool docs_load_cluster(struct docs *d, const char *kubeconfig, const char *context, struct err *err)
{
	struct kube_config_options options = {.kubeconfig = kubeconfig, .context = context};
	struct kube_config *config = kube_config_load(&options, err);

	if (!config)
		return false;
	struct load l = {.docs = d, .loop = ev_default_loop(0), .err = err};

	l.client = kube_client_new(l.loop, config, "kubectl-metallb", err);
	bool ok = l.client && load_all(&l);

	free(l.next);
	kube_client_free(l.client);
	kube_config_free(config);
	return ok;
}
