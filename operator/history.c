/*
 * The last two DaemonSets that were all ready, in a ConfigMap: what to go back to. Which one is to
 * run is a matter of what is there, never of what was decided before, so that another leader goes
 * on in the same way. Pure.
 */
#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/render.h"
#include "operator/rollout.h"

void history_read(struct json_object *configmap, struct history *out)
{
	struct json_object *data = kube_json_get(configmap, "data");

	*out = (struct history){
		.current = {kube_json_str(data, "current-sum"), kube_json_str(data, "current")},
		.previous = {kube_json_str(data, "previous-sum"), kube_json_str(data, "previous")},
	};
}

static const struct history_entry *usable(const struct history_entry *e, const char *wanted)
{
	return *e->sum && *e->daemonset && strcmp(e->sum, wanted) != 0 ? e : NULL;
}

/* The history is not written meanwhile (history_format is only asked about the wanted one), so that
 * the answer stays the same. */
const struct history_entry *history_choose(const struct history *h,
					   const struct history_question *q)
{
	const struct history_entry *last = usable(&h->current, q->wanted);

	if (q->asked)
		return last ? last : usable(&h->previous, q->wanted);
	if (q->automatic && (q->stalled || strcmp(q->failed, q->wanted) == 0))
		return last;
	return NULL;
}

static void add_member(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

bool history_format(const struct history *h, const char *ns, const char *sum,
		    struct json_object *daemonset, struct buf *out)
{
	struct json_object *o, *meta, *labels, *data;

	if (strcmp(h->current.sum, sum) == 0)
		return false;
	o = json_object_new_object();
	meta = json_object_new_object();
	labels = json_object_new_object();
	data = json_object_new_object();
	add_member(o, "apiVersion", "v1");
	add_member(o, "kind", "ConfigMap");
	add_member(meta, "name", HISTORY_NAME);
	add_member(meta, "namespace", ns);
	add_member(labels, "app", "metallb");
	json_object_object_add(meta, "labels", labels);
	json_object_object_add(o, "metadata", meta);
	add_member(data, "current-sum", sum);
	add_member(data, "current", render_text(daemonset));
	if (*h->current.sum) {
		add_member(data, "previous-sum", h->current.sum);
		add_member(data, "previous", h->current.daemonset);
	}
	json_object_object_add(o, "data", data);
	buf_add_str(out, render_text(o));
	json_object_put(o);
	return true;
}
