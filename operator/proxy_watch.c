/*
 * Follows the one ConfigMap kube-system/kube-proxy; the judgement is kube_proxy.c's.
 */
#include "operator/proxy_watch.h"

#include <json-c/json.h>

#include "metallb/kube_informer.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/kube_proxy.h"

const char proxy_watch_loose[] =
	"kube-proxy runs in IPVS mode without strictARP: every node answers ARP for every "
	"address, and layer 2 cannot work. Mend it: kubectl metallb doctor --fix strict-arp";

struct proxy_watch {
	struct proxy_watch_spec spec;
	struct kube_informer *informer;
	bool loose;
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
		.resource = &kube_pods, .ns = w->spec.ns, .name = w->spec.pod_name, .uid = ""};
	bool was = w->loose;

	(void)key;
	(void)before;
	w->loose = judge(after) == KUBE_PROXY_LOOSE;
	if (w->loose == was)
		return;
	if (!w->loose)
		log_info("kube-proxy does not stand in the way any more", NULL);
	else
		log_warn(proxy_watch_loose, NULL);
	if (w->loose && *own.name)
		kube_recorder_event(w->spec.recorder, &own, "Warning", PROXY_WATCH_REASON,
				    proxy_watch_loose);
	w->spec.on_change(w->spec.user);
}

bool proxy_watch_is_loose(const struct proxy_watch *w)
{
	return w->loose;
}

struct proxy_watch *proxy_watch_new(const struct proxy_watch_spec *spec)
{
	struct proxy_watch *w = xcalloc(1, sizeof(*w));
	struct kube_informer_spec informer = {
		.sources = {{&kube_configmaps, decode}},
		.n_sources = 1,
		.ns = KUBE_PROXY_NS,
		.field_selector = "metadata.name=" KUBE_PROXY_CONFIG,
		.free_value = free_value,
		.on_change = on_change,
		.user = w,
	};

	w->spec = *spec;
	w->informer = kube_informer_new(spec->client, &informer);
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
