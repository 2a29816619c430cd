/*
 * One informer per kind.
 */
#include "speaker/watches.h"

#include <assert.h>
#include <string.h>

#include "metallb/api.h"
#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

struct watch {
	struct watches *all;
	enum watch_kind kind;
	struct kube_informer *informer;
	bool synced;
};

struct watches {
	struct watches_options opt;
	struct watch items[WATCH_COUNT];
	char *daemonset_selector;
	bool synced;
};

#define DECODER(name, kind)                                                                        \
	static void *decode_##name(struct json_object *json, struct err *err)                      \
	{                                                                                          \
		return api_decode(kind, json, err);                                                \
	}

DECODER(slice, API_ENDPOINTSLICE)
DECODER(node, API_NODE)
DECODER(pod, API_POD)
DECODER(pool, API_IPADDRESSPOOL)
DECODER(l2adv, API_L2ADVERTISEMENT)
DECODER(bgpadv, API_BGPADVERTISEMENT)
DECODER(peer, API_BGPPEER)
DECODER(bfd, API_BFDPROFILE)
DECODER(community, API_COMMUNITY)
DECODER(secret, API_SECRET)
DECODER(configmap, API_CONFIGMAP)
DECODER(daemonset, API_DAEMONSET)
DECODER(l2status, API_SERVICEL2STATUS)
DECODER(bgpstatus, API_SERVICEBGPSTATUS)

/* A service of another type is of no interest, and most are. */
static void *decode_service(struct json_object *json, struct err *err)
{
	const char *type = kube_json_str(kube_json_get(json, "spec"), "type");

	err->msg[0] = '\0';
	if (strcmp(type, "LoadBalancer") != 0)
		return NULL;
	return api_decode(API_SERVICE, json, err);
}

static void object_free(void *value)
{
	api_object_free(value);
}

struct watch_info {
	struct kube_source sources[3];
	bool own_ns;
	bool optional; /* deciding goes on without it */
	const char *field_selector;
};

static const struct watch_info infos[WATCH_COUNT] = {
	[WATCH_SERVICES] = {{{&kube_services, decode_service}}},
	[WATCH_SLICES] = {{{&kube_endpointslices, decode_slice},
			   {&kube_endpointslices_v1beta1, decode_slice},
			   {&kube_endpoints, decode_slice}}},
	[WATCH_NODES] = {{{&kube_nodes, decode_node}}},
	[WATCH_PODS] = {{{&kube_pods, decode_pod}}, .own_ns = true},
	[WATCH_POOLS] = {{{&kube_ipaddresspools, decode_pool}}, .own_ns = true},
	[WATCH_L2ADVS] = {{{&kube_l2advertisements, decode_l2adv}}, .own_ns = true},
	[WATCH_BGPADVS] = {{{&kube_bgpadvertisements, decode_bgpadv}}, .own_ns = true},
	[WATCH_PEERS] = {{{&kube_bgppeers, decode_peer}}, .own_ns = true},
	[WATCH_BFDS] = {{{&kube_bfdprofiles, decode_bfd}}, .own_ns = true},
	[WATCH_COMMUNITIES] = {{{&kube_communities, decode_community}}, .own_ns = true},
	[WATCH_SECRETS] = {{{&kube_secrets, decode_secret}}, .own_ns = true},
	[WATCH_CONFIGMAPS] = {{{&kube_configmaps, decode_configmap}},
			      .own_ns = true,
			      .field_selector = "metadata.name=bgpextras"},
	/* MetalLB's manifests give no right to read it */
	[WATCH_DAEMONSETS] = {{{&kube_daemonsets, decode_daemonset}},
			      .own_ns = true,
			      .optional = true},
	[WATCH_L2STATUSES] = {{{&kube_servicel2statuses, decode_l2status}},
			      .own_ns = true,
			      .optional = true},
	[WATCH_BGPSTATUSES] = {{{&kube_servicebgpstatuses, decode_bgpstatus}},
			       .own_ns = true,
			       .optional = true},
};

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct watch *w = user;

	w->all->opt.on_change(w->all->opt.user, w->kind, key, before, after);
}

static void on_synced(void *user)
{
	struct watch *w = user;
	struct watches *all = w->all;

	w->synced = true;
	if (all->synced)
		return;
	for (size_t i = 0; i < WATCH_COUNT; i++)
		if (!all->items[i].synced && !infos[i].optional)
			return;
	all->synced = true;
	all->opt.on_synced(all->opt.user);
}

static void watch_start(struct watch *w, struct kube_client *client)
{
	const struct watch_info *info = &infos[w->kind];
	const struct watches_options *opt = &w->all->opt;
	struct kube_informer_spec spec = {
		.ns = info->own_ns ? opt->ns : NULL,
		.label_selector = w->kind == WATCH_PODS ? opt->pod_labels : NULL,
		.field_selector = w->kind == WATCH_DAEMONSETS ? w->all->daemonset_selector
							      : info->field_selector,
		.free_value = object_free,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = w,
	};

	for (size_t i = 0; i < ARRAY_SIZE(info->sources) && info->sources[i].resource; i++)
		spec.sources[spec.n_sources++] = info->sources[i];
	w->informer = kube_informer_new(client, &spec);
}

struct watches *watches_new(struct kube_client *client, const struct watches_options *opt)
{
	struct watches *w = xcalloc(1, sizeof(*w));

	w->opt = *opt;
	w->daemonset_selector = xasprintf("metadata.name=%s", opt->daemonset);
	for (size_t i = 0; i < WATCH_COUNT; i++) {
		w->items[i].all = w;
		w->items[i].kind = (enum watch_kind)i;
		watch_start(&w->items[i], client);
	}
	return w;
}

struct watches *watches_free(struct watches *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < WATCH_COUNT; i++)
		kube_informer_free(w->items[i].informer);
	free(w->daemonset_selector);
	free(w);
	return NULL;
}

const struct kube_store *watches_store(const struct watches *w, enum watch_kind kind)
{
	assert(kind < WATCH_COUNT);
	return kube_informer_store(w->items[kind].informer);
}

bool watches_is_synced(const struct watches *w)
{
	return w->synced;
}

bool watches_kind_is_synced(const struct watches *w, enum watch_kind kind)
{
	assert(kind < WATCH_COUNT);
	return w->items[kind].synced;
}
