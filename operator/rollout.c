/*
 * From the state of the DaemonSet and its pods to sentences that a person can act on. Pure.
 */
#include "operator/rollout.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"

#define NODES_NAMED 3 /* in one message */

static const char *str(struct json_object *o, const char *name)
{
	return kube_json_str(o, name);
}

static struct json_object *first(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0
		       ? json_object_array_get_idx(list, 0)
		       : NULL;
}

/* ---- pods ---- */

static struct json_object *find_condition(struct json_object *status, const char *type)
{
	struct json_object *list = kube_json_get(status, "conditions");

	if (!json_object_is_type(list, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *c = json_object_array_get_idx(list, i);

		if (strcmp(str(c, "type"), type) == 0)
			return c;
	}
	return NULL;
}

static bool is_true(struct json_object *condition)
{
	return strcmp(str(condition, "status"), "True") == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static char *waiting_problem(struct json_object *box, struct json_object *waiting)
{
	const char *reason = str(waiting, "reason"), *message = str(waiting, "message");
	struct json_object *last = kube_json_get(kube_json_get(box, "lastState"), "terminated");

	if (strstr(reason, "ImagePull") || strstr(reason, "InvalidImage") ||
	    strstr(reason, "ErrImage"))
		return xasprintf("image %s cannot be pulled (%s%s%s)", str(box, "image"), reason,
				 *message ? ": " : "", message);
	if (strcmp(reason, "CrashLoopBackOff") == 0) {
		struct json_object *code = kube_json_get(last, "exitCode");

		if (code)
			return xasprintf("it keeps ending with exit code %d",
					 json_object_get_int(code));
		return xstrdup("it keeps ending");
	}
	if (ends_with(reason, "Error"))
		return xasprintf("it cannot be started (%s%s%s)", reason, *message ? ": " : "",
				 message);
	return xstrdup("it is being started");
}

static char *problem_of(struct json_object *pod)
{
	struct json_object *status = kube_json_get(pod, "status");
	struct json_object *box = first(kube_json_get(status, "containerStatuses"));
	struct json_object *state = kube_json_get(box, "state");
	struct json_object *waiting = kube_json_get(state, "waiting");
	struct json_object *ended = kube_json_get(state, "terminated");
	struct json_object *scheduled = find_condition(status, "PodScheduled");

	if (*kube_meta_str(pod, "deletionTimestamp"))
		return xstrdup("the old one is ending");
	if (is_true(find_condition(status, "Ready")))
		return xstrdup("");
	if (waiting)
		return waiting_problem(box, waiting);
	if (ended)
		return xasprintf("it ended with exit code %d",
				 json_object_get_int(kube_json_get(ended, "exitCode")));
	if (kube_json_get(state, "running"))
		return xasprintf("it runs but is not ready (see its log: kubectl logs -n %s %s)",
				 kube_meta_str(pod, "namespace"), kube_meta_str(pod, "name"));
	if (scheduled && !is_true(scheduled))
		return xasprintf("it cannot be scheduled (%s)", str(scheduled, "message"));
	if (*str(status, "message"))
		return xstrdup(str(status, "message"));
	return xstrdup("it is being started");
}

/* The node that a pod which is not bound yet is meant for. */
static const char *intended_node(struct json_object *spec)
{
	struct json_object *o = kube_json_get(kube_json_get(spec, "affinity"), "nodeAffinity");

	o = kube_json_get(o, "requiredDuringSchedulingIgnoredDuringExecution");
	o = first(kube_json_get(o, "nodeSelectorTerms"));
	o = first(kube_json_get(o, "matchFields"));
	o = first(kube_json_get(o, "values"));
	return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
}

void *speaker_pod_decode(struct json_object *o, struct err *err)
{
	struct speaker_pod *p = xcalloc(1, sizeof(*p));
	struct json_object *spec = kube_json_get(o, "spec");
	const char *node = str(spec, "nodeName");

	(void)err;
	p->name = xstrdup(kube_meta_str(o, "name"));
	p->node = xstrdup(*node ? node : intended_node(spec));
	p->problem = problem_of(o);
	p->ready = !*p->problem;
	return p;
}

void speaker_pod_free(void *pod)
{
	struct speaker_pod *p = pod;

	if (!p)
		return;
	free(p->node);
	free(p->name);
	free(p->problem);
	free(p);
}

/* ---- the DaemonSet ---- */

static int64_t number(struct json_object *o, const char *name)
{
	struct json_object *v = kube_json_get(o, name);

	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
}

void rollout_read(struct json_object *daemonset, struct rollout *out)
{
	struct json_object *status = kube_json_get(daemonset, "status");
	int64_t generation = number(kube_json_get(daemonset, "metadata"), "generation");

	*out = (struct rollout){
		.exists = daemonset != NULL,
		.observed = number(status, "observedGeneration") >= generation &&
			    kube_json_get(status, "observedGeneration"),
		.desired = number(status, "desiredNumberScheduled"),
		.updated = number(status, "updatedNumberScheduled"),
		.ready = number(status, "numberReady"),
		.available = number(status, "numberAvailable"),
	};
}

bool rollout_equal(const struct rollout *a, const struct rollout *b)
{
	return a->exists == b->exists && a->observed == b->observed && a->desired == b->desired &&
	       a->updated == b->updated && a->ready == b->ready && a->available == b->available;
}

bool rollout_is_done(const struct rollout *r)
{
	return r->exists && r->observed && r->updated >= r->desired && r->ready >= r->desired &&
	       r->available >= r->desired;
}

/* ---- the verdict ---- */

static void add_pods(const struct install_facts *f, struct buf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_pods; i++) {
		const struct speaker_pod *p = f->pods[i];

		if (p->ready || n++ >= NODES_NAMED)
			continue;
		buf_printf(out, "; speaker not ready on %s: %s", *p->node ? p->node : p->name,
			   p->problem);
	}
	if (n > NODES_NAMED)
		buf_printf(out, "; and on %zu more nodes", n - NODES_NAMED);
}

static void add_progress(const struct install_facts *f, struct buf *out)
{
	const struct rollout *r = &f->rollout;

	if (!r->exists)
		buf_add_str(out, "the speakers are being made");
	else
		buf_printf(out,
			   "%" PRId64 " of %" PRId64 " nodes have speaker %s, %" PRId64
			   " of %" PRId64 " speakers are ready",
			   r->updated, r->desired, f->image, r->ready, r->desired);
	add_pods(f, out);
}

static void degrade(struct install_verdict *v, const char *reason)
{
	v->state = INSTALL_DEGRADED;
	v->reason = reason;
}

static void judge_rollout(const struct install_facts *f, struct install_verdict *v)
{
	bool done = rollout_is_done(&f->rollout);

	if (f->rolled_back) {
		degrade(v, "RolledBack");
		buf_printf(&v->message,
			   "speaker %s did not get ready; the previous one is %s%s. Another "
			   "image or a change of this resource is tried again",
			   f->failed_image,
			   done ? "running again" : "being put back: ", done ? "" : f->image);
		return;
	}
	if (done && f->frr_missing) {
		degrade(v, "FRRConfigurationMissing");
		buf_add_str(
			&v->message,
			"no BGP session runs: the API server has no FRRConfiguration "
			"(frrk8s.metallb.io/v1beta1); install frr-k8s, or set spec.bgpBackend to "
			"native or frr");
		return;
	}
	if (done) {
		v->state = INSTALL_AVAILABLE;
		v->reason = f->rollback_asked ? "RolledBackOnRequest" : "Available";
		v->upgradeable = !f->rollback_asked;
		buf_printf(&v->message, "speaker %s is ready on %" PRId64 " nodes", f->image,
			   f->rollout.desired);
		if (f->rollback_asked)
			buf_add_str(&v->message, "; the annotation " HISTORY_ROLLBACK
						 " keeps it at the previous one");
		return;
	}
	v->state = f->stalled ? INSTALL_DEGRADED : INSTALL_PROGRESSING;
	v->reason = f->stalled ? "RolloutStalled" : "Progressing";
	add_progress(f, &v->message);
	if (f->stalled)
		buf_add_str(&v->message, "; the other nodes keep what they have");
}

void install_judge(const struct install_facts *f, struct install_verdict *v)
{
	*v = (struct install_verdict){0};
	if (f->wrong_name) {
		degrade(v, "IncorrectMetalLBResourceName");
		buf_printf(&v->message,
			   "Incorrect MetalLB resource name: %s; the one that counts is metallb",
			   f->wrong_name);
	} else if (*f->invalid) {
		degrade(v, "InvalidSpec");
		buf_printf(&v->message, "%s; what runs is left as it is", f->invalid);
	} else if (*f->failure) {
		degrade(v, f->forbidden ? "Forbidden" : "FailedToSyncMetalLBResources");
		buf_add_str(&v->message, f->failure);
		if (f->forbidden)
			buf_add_str(&v->message,
				    "; the operator's ServiceAccount needs this right: apply "
				    "config/rbac");
	} else {
		judge_rollout(f, v);
	}
	if (*f->note)
		buf_printf(&v->message, "; %s", f->note);
}

/* ---- conditions ---- */

static const struct api_condition *old_condition(const struct metallb *m, const char *type)
{
	for (size_t i = 0; i < m->n_conditions; i++)
		if (strcmp(m->conditions[i].type, type) == 0)
			return &m->conditions[i];
	return NULL;
}

/* Appends one condition; returns whether it differs from what is there. */
static bool add_condition(const struct metallb *m, struct api_condition *c, usec_t wall,
			  struct buf *out)
{
	const struct api_condition *old = old_condition(m, c->type);
	bool same = old && strcmp(old->status, c->status) == 0;

	c->last_transition = same && old->last_transition ? old->last_transition : wall;
	c->observed_generation = m->obj.meta.generation;
	api_condition_format(c, out);
	return !same || strcmp(old->reason, c->reason) != 0 ||
	       strcmp(old->message, c->message) != 0 ||
	       old->observed_generation != m->obj.meta.generation;
}

static bool add_notices(const struct metallb *m, const struct install_notices *notices, usec_t wall,
			const char *sep, struct buf *out)
{
	bool differs = false;

	for (size_t i = 0; i < notices->n; i++) {
		struct api_condition c = {
			.type = notices->items[i].type,
			.status = "True",
			.reason = notices->items[i].reason,
			.message = notices->items[i].message,
		};

		buf_add_str(out, i ? "," : sep);
		differs |= add_condition(m, &c, wall, out);
	}
	return differs;
}

static bool is_notice(const char *type)
{
	return strcmp(type, INSTALL_STANDING_BACK) == 0 || strcmp(type, INSTALL_LAYER2) == 0;
}

bool install_notices_patch(const struct metallb *m, const struct install_notices *notices,
			   usec_t wall, struct buf *out)
{
	const char *sep = "";
	size_t n = 0;

	buf_add_str(out, "{\"metadata\":{\"resourceVersion\":");
	buf_add_json_str(out, m->obj.meta.resource_version, strlen(m->obj.meta.resource_version));
	buf_add_str(out, "},\"status\":{\"conditions\":[");
	for (size_t i = 0; i < m->n_conditions; i++) {
		if (is_notice(m->conditions[i].type))
			continue;
		buf_add_str(out, sep);
		api_condition_format(&m->conditions[i], out);
		sep = ",";
		n++;
	}
	bool differs = add_notices(m, notices, wall, sep, out);

	buf_add_str(out, "]}}");
	return differs || m->n_conditions != n + notices->n;
}

bool install_patch(const struct metallb *m, const struct install_verdict *v,
		   const struct install_notices *notices, usec_t wall, struct buf *out)
{
	const struct {
		const char *type;
		bool is, tells;
		const char *otherwise; /* Kubernetes 1.20 refuses an empty message */
	} list[] = {
		{"Available", v->state == INSTALL_AVAILABLE, v->state == INSTALL_AVAILABLE,
		 "not everything runs as it should"},
		{"Upgradeable", v->upgradeable, v->state == INSTALL_DEGRADED,
		 v->upgradeable                    ? "an upgrade may begin"
		 : v->state == INSTALL_PROGRESSING ? "a rollout is going on"
						   : "the speakers are kept at the previous image"},
		{"Progressing", v->state == INSTALL_PROGRESSING, v->state == INSTALL_PROGRESSING,
		 "nothing is under way"},
		{"Degraded", v->state == INSTALL_DEGRADED, v->state == INSTALL_DEGRADED,
		 "nothing has failed"},
	};
	bool differs = m->n_conditions != ARRAY_SIZE(list) + notices->n;

	buf_add_str(out, "{\"status\":{\"conditions\":[");
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		struct api_condition c = {
			.type = list[i].type,
			.status = list[i].is ? "True" : "False",
			.reason = list[i].tells ? v->reason : list[i].type,
			.message = list[i].tells ? buf_str(&v->message) : list[i].otherwise,
		};

		if (i > 0)
			buf_add_char(out, ',');
		differs |= add_condition(m, &c, wall, out);
	}
	differs |= add_notices(m, notices, wall, ",", out);
	buf_add_str(out, "]}}");
	return differs;
}
