/*
 * Follows the one ConfigMap kube-system/kube-proxy; the judgement is kube_proxy.c's.
 */
#include "operator/proxy_watch.h"

#include <json-c/json.h>

#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/kube_proxy.h"

#define LOOSE                                                                                      \
	"kube-proxy runs in IPVS mode without strictARP: every node answers ARP for every "        \
	"address, and layer 2 cannot work. Mend it: kubectl metallb doctor --fix strict-arp"

struct proxy_watch {
	struct kube_recorder *recorder;
	const char *ns, *pod_name;
	struct kube_informer *informer;
};

static void *decode(struct json_object *o, struct err *err)
{
	(void)err;
	return json_object_get(o);
}

static void free_value(void *value)
{
	json_object_put(value);
}

static enum kube_proxy_arp judge(struct json_object *map)
{
	struct buf mode = {0};
	enum kube_proxy_arp arp = map ? kube_proxy_check(map, &mode) : KUBE_PROXY_UNKNOWN;

	buf_fini(&mode);
	return arp;
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct proxy_watch *w = user;
	struct kube_event_object own = {
		.resource = &kube_pods, .ns = w->ns, .name = w->pod_name, .uid = ""};
	bool was = judge(before) == KUBE_PROXY_LOOSE, is = judge(after) == KUBE_PROXY_LOOSE;

	(void)key;
	if (is && !was) {
		log_warn(LOOSE, NULL);
		if (*own.name)
			kube_recorder_event(w->recorder, &own, "Warning", "KubeProxyStrictARP",
					    LOOSE);
	} else if (was && !is) {
		log_info("kube-proxy does not stand in the way any more", NULL);
	}
}

struct proxy_watch *proxy_watch_new(struct kube_client *client, struct kube_recorder *recorder,
				    const char *ns, const char *pod_name)
{
	struct proxy_watch *w = xcalloc(1, sizeof(*w));
	struct kube_informer_spec spec = {
		.sources = {{&kube_configmaps, decode}},
		.n_sources = 1,
		.ns = KUBE_PROXY_NS,
		.field_selector = "metadata.name=" KUBE_PROXY_CONFIG,
		.free_value = free_value,
		.on_change = on_change,
		.user = w,
	};

	w->recorder = recorder;
	w->ns = ns;
	w->pod_name = pod_name;
	w->informer = kube_informer_new(client, &spec);
	return w;
}

struct proxy_watch *proxy_watch_free(struct proxy_watch *w)
{
	if (!w)
		return NULL;
	kube_informer_free(w->informer);
	free(w);
	return NULL;
}
