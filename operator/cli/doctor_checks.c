/*
 * What follows from the facts about ourselves: CRDs, programs, leader, webhooks, rights, pools and
 * pending Services. Pure.
 */
#include <stdarg.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/kube.h"
#include "metallb/xalloc.h"
#include "operator/cli/doctor_impl.h"
#include "operator/rival.h"

#define INSTALL "kubectl apply -k config/default"
#define NAMED   5 /* how many of many are named */

const char *const doctor_fact_names[FACT_COUNT] = {
	[FACT_VERSION] = "version",
	[FACT_CRDS] = "crds",
	[FACT_DEPLOYMENTS] = "deployments",
	[FACT_DAEMONSETS] = "daemonsets",
	[FACT_PODS] = "pods",
	[FACT_LEASE] = "lease",
	[FACT_NODE_LEASES] = "node-leases",
	[FACT_NODES] = "nodes",
	[FACT_SERVICES] = "services",
	[FACT_EVENTS] = "events",
	[FACT_REASONS] = "reasons",
	[FACT_POOLS] = "pools",
	[FACT_METALLBS] = "metallbs",
	[FACT_STATES] = "states",
	[FACT_KUBE_PROXY] = "kube-proxy",
	[FACT_WEBHOOK] = "webhook",
	[FACT_PROBE] = "probe",
};

/* ---- saying and reading ---- */

static void set(json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void doctor_say(struct doctor *d, enum verdict verdict, const char *fix, const char *fmt, ...)
{
	static const char *const names[] = {
		[OK] = "ok", [BAD] = "bad", [NOTE] = "note", [UNKNOWN] = "unknown"};
	json_object *o = json_object_new_object();
	va_list ap;

	va_start(ap, fmt);
	_cleanup_free_ char *message = xvasprintf(fmt, ap);

	va_end(ap);
	d->n_bad += verdict == BAD;
	set(o, "check", d->check);
	set(o, "verdict", names[verdict]);
	set(o, "message", message);
	set(o, "fix", fix ? fix : "");
	json_object_array_add(d->findings, o);
}

json_object *doctor_need(struct doctor *d, enum doctor_fact fact)
{
	const struct doctor_known *k = &d->f->known[fact];

	if (!k->value)
		doctor_say(d, UNKNOWN, NULL, "not checked: %s",
			   k->problem ? k->problem : "the server does not have it");
	return k->value;
}

size_t doctor_count(json_object *list)
{
	if (json_object_is_type(list, json_type_object))
		list = kube_json_get(list, "items");
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

json_object *doctor_item(json_object *list, size_t i)
{
	if (json_object_is_type(list, json_type_object))
		list = kube_json_get(list, "items");
	return json_object_array_get_idx(list, i);
}

const char *doctor_text(json_object *o, const char *outer, const char *inner)
{
	return kube_json_str(kube_json_get(o, outer), inner);
}

int64_t doctor_int(json_object *o, const char *outer, const char *inner)
{
	return json_object_get_int64(kube_json_get(kube_json_get(o, outer), inner));
}

static json_object *find(json_object *list, const char *name)
{
	for (size_t i = 0; i < doctor_count(list); i++)
		if (strcmp(kube_meta_str(doctor_item(list, i), "name"), name) == 0)
			return doctor_item(list, i);
	return NULL;
}

/* The condition when it is True, else NULL. */
static json_object *true_condition(json_object *o, const char *type)
{
	json_object *list = kube_json_get(kube_json_get(o, "status"), "conditions");

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *c = doctor_item(list, i);

		if (strcmp(kube_json_str(c, "type"), type) == 0)
			return strcmp(kube_json_str(c, "status"), "True") == 0 ? c : NULL;
	}
	return NULL;
}

static bool has_condition(json_object *o, const char *type)
{
	return true_condition(o, type) != NULL;
}

/* ---- CRDs ---- */

static json_object *properties(json_object *version)
{
	return kube_json_get(kube_json_get(version, "schema"), "openAPIV3Schema");
}

/* The first field of ours that theirs does not have, as a path in `path`. */
static bool find_missing(json_object *ours, json_object *theirs, struct buf *path)
{
	json_object *fields = kube_json_get(ours, "properties");
	json_object *items = kube_json_get(ours, "items");
	size_t before = path->len;

	if (items)
		return find_missing(items, kube_json_get(theirs, "items"), path);
	if (!json_object_is_type(fields, json_type_object))
		return false;
	json_object_object_foreach(fields, name, field)
	{
		json_object *other = kube_json_get(kube_json_get(theirs, "properties"), name);

		buf_printf(path, "%s%s", before ? "." : "", name);
		if (!other || find_missing(field, other, path))
			return true;
		path->len = before;
	}
	return false;
}

static json_object *find_version(json_object *crd, const char *name)
{
	json_object *list = kube_json_get(kube_json_get(crd, "spec"), "versions");

	for (size_t i = 0; i < doctor_count(list); i++)
		if (strcmp(kube_json_str(doctor_item(list, i), "name"), name) == 0)
			return doctor_item(list, i);
	return NULL;
}

/* What is wrong with theirs, in `why`; nothing when it is empty. */
static void judge_crd(json_object *ours, json_object *theirs, struct buf *why)
{
	json_object *versions = kube_json_get(kube_json_get(ours, "spec"), "versions");
	_cleanup_(buf_fini) struct buf path = {0};

	if (!theirs)
		buf_add_str(why, "is not there");
	else if (!has_condition(theirs, "Established"))
		buf_add_str(why, "is not served yet");
	for (size_t i = 0; i < doctor_count(versions) && why->len == 0; i++) {
		json_object *version = doctor_item(versions, i);
		const char *v = kube_json_str(version, "name");
		json_object *other = find_version(theirs, v);

		buf_clear(&path);
		if (!json_object_get_boolean(kube_json_get(other, "served")))
			buf_printf(why, "does not serve %s", v);
		else if (find_missing(properties(version), properties(other), &path))
			buf_printf(why,
				   "does not know %s of %s: it is MetalLB's, or of an older "
				   "version",
				   buf_str(&path), v);
	}
}

static void check_crds(struct doctor *d)
{
	json_object *have = doctor_need(d, FACT_CRDS);
	size_t n = doctor_count(d->f->crds), bad = 0;

	if (!have)
		return;
	for (size_t i = 0; i < n; i++) {
		json_object *ours = doctor_item(d->f->crds, i);
		const char *name = kube_meta_str(ours, "name");
		_cleanup_(buf_fini) struct buf why = {0};

		judge_crd(ours, find(have, name), &why);
		if (why.len == 0)
			continue;
		bad++;
		doctor_say(d, BAD, "kubectl apply -k crds", "%s %s", name, buf_str(&why));
	}
	if (bad == 0)
		doctor_say(d, OK, NULL, "all %zu are served as version " METALLB_VERSION " needs",
			   n);
}

/* ---- programs ---- */

static json_object *find_ours(const struct doctor *d, enum doctor_fact fact, enum rival_kind kind)
{
	json_object *list = d->f->known[fact].value;
	const char *image;

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *o = doctor_item(list, i);

		if (strcmp(kube_meta_str(o, "namespace"), d->f->ns) == 0 &&
		    rival_of(o, &image) == kind)
			return o;
	}
	return NULL;
}

const char *doctor_operator_arg(const struct doctor *d, const char *name)
{
	json_object *o = find_ours(d, FACT_DEPLOYMENTS, RIVAL_OUR_OPERATOR);
	json_object *template = kube_json_get(kube_json_get(o, "spec"), "template");
	json_object *containers = kube_json_get(kube_json_get(template, "spec"), "containers");
	size_t len = strlen(name);

	for (size_t c = 0; c < doctor_count(containers); c++) {
		json_object *args = kube_json_get(doctor_item(containers, c), "args");

		for (size_t i = 0; i < doctor_count(args); i++) {
			const char *arg = json_object_get_string(doctor_item(args, i));

			arg += strspn(arg, "-");
			if (strncmp(arg, name, len) == 0 && arg[len] == '=')
				return arg + len + 1;
		}
	}
	return "";
}

/* Why a container does not run: "ErrImagePull: ...". */
static const char *waiting_reason(json_object *pod, const char **message)
{
	json_object *list = kube_json_get(kube_json_get(pod, "status"), "containerStatuses");

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *state = kube_json_get(doctor_item(list, i), "state");
		const char *reason = doctor_text(state, "waiting", "reason");

		*message = doctor_text(state, "waiting", "message");
		if (*reason)
			return reason;
	}
	*message = "";
	return kube_json_str(kube_json_get(pod, "status"), "phase");
}

static void say_pods(struct doctor *d, enum rival_kind kind)
{
	json_object *pods = d->f->known[FACT_PODS].value;
	const char *image, *message;
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(pods); i++) {
		json_object *pod = doctor_item(pods, i);

		if (rival_of(pod, &image) != kind || has_condition(pod, "Ready") || ++n > NAMED)
			continue;
		const char *reason = waiting_reason(pod, &message);

		doctor_say(d, BAD, NULL, "pod %s on node %s is not Ready: %s%s%s",
			   kube_meta_str(pod, "name"), doctor_text(pod, "spec", "nodeName"), reason,
			   *message ? ": " : "", message);
	}
}

static void check_program(struct doctor *d, enum doctor_fact fact, enum rival_kind kind,
			  const char *what)
{
	if (!doctor_need(d, fact))
		return;
	json_object *o = find_ours(d, fact, kind);

	if (!o) {
		doctor_say(d, BAD, INSTALL, "there is no %s of ours in namespace %s", what,
			   d->f->ns);
		return;
	}
	bool set_of_nodes = fact == FACT_DAEMONSETS;
	int64_t want = set_of_nodes ? doctor_int(o, "status", "desiredNumberScheduled")
				    : doctor_int(o, "spec", "replicas");
	int64_t have = doctor_int(o, "status", set_of_nodes ? "numberReady" : "readyReplicas");

	if (want == 0)
		doctor_say(d, BAD, NULL, "the %s is wanted on no node", what);
	else if (have < want)
		doctor_say(d, BAD, NULL, "%lld of %lld pods of the %s are Ready", (long long)have,
			   (long long)want, what);
	else
		doctor_say(d, OK, NULL, "%s: %lld of %lld pods are Ready", what, (long long)have,
			   (long long)want);
	if (have < want)
		say_pods(d, kind);
}

static void check_programs(struct doctor *d)
{
	check_program(d, FACT_DEPLOYMENTS, RIVAL_OUR_OPERATOR, "operator");
	check_program(d, FACT_DAEMONSETS, RIVAL_OUR_SPEAKER, "speaker");
}

/* What the operator says about the speakers in the MetalLB resource. */
static void check_rollout(struct doctor *d)
{
	json_object *list = doctor_need(d, FACT_METALLBS), *c;

	if (!list)
		return;
	if (doctor_count(list) == 0)
		doctor_say(d, NOTE, "kubectl apply -f config/samples/metallb.yaml",
			   "there is no MetalLB resource: the operator keeps no speakers");
	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *o = doctor_item(list, i);
		const char *name = kube_meta_str(o, "name");

		if ((c = true_condition(o, "Degraded")))
			doctor_say(d, BAD, NULL, "MetalLB %s is Degraded: %s", name,
				   kube_json_str(c, "message"));
		else if ((c = true_condition(o, "Progressing")))
			doctor_say(d, NOTE, NULL, "MetalLB %s is Progressing: %s", name,
				   kube_json_str(c, "message"));
		else
			doctor_say(d, OK, NULL, "MetalLB %s is as it should be", name);
	}
}

static void check_leader(struct doctor *d)
{
	json_object *lease = doctor_need(d, FACT_LEASE);
	const char *holder = doctor_text(lease, "spec", "holderIdentity");
	int64_t duration = doctor_int(lease, "spec", "leaseDurationSeconds") * USEC_PER_SEC;
	usec_t renewed;

	if (!lease)
		return;
	if (!*holder) {
		doctor_say(d, BAD, NULL, "no replica of the operator leads");
		return;
	}
	if (!clock_parse_rfc3339(doctor_text(lease, "spec", "renewTime"), &renewed) ||
	    d->f->now == 0)
		doctor_say(d, UNKNOWN, NULL, "not checked: the time of the renewal is not known");
	else if (d->f->now - renewed > duration + USEC_PER_SEC)
		doctor_say(d, BAD, "kubectl -n metallb-system logs deployment/controller",
			   "the Lease of %s ran out %lld s ago: nobody gives out addresses", holder,
			   (long long)((d->f->now - renewed - duration) / USEC_PER_SEC));
	else
		doctor_say(d, OK, NULL, "%s leads", holder);
}

/* ---- webhooks ---- */

static void check_webhook(struct doctor *d)
{
	const struct doctor_known *config = &d->f->known[FACT_WEBHOOK];
	json_object *probe = d->f->known[FACT_PROBE].value;
	const char *message = kube_json_str(probe, "message");
	int64_t status = json_object_get_int64(kube_json_get(probe, "status"));

	if (!config->value && !config->problem) {
		doctor_say(d, BAD, "kubectl -n metallb-system logs deployment/controller",
			   "no webhook is registered: nothing checks what is applied");
		return;
	}
	if (!probe)
		(void)doctor_need(d, FACT_PROBE);
	else if (strstr(message, "denied the request"))
		doctor_say(d, OK, NULL, "a pool that is no pool is refused");
	else if (status >= 200 && status < 300)
		doctor_say(d, BAD, NULL,
			   "a pool that is no pool was accepted: the webhook is not asked");
	else if (strstr(message, "failed calling webhook"))
		doctor_say(d, BAD, "let the API server reach the operator's pods on TCP port 9443",
			   "the API server cannot reach it: %s", message);
	else
		doctor_say(d, UNKNOWN, NULL, "not checked: %s", message);
}

/* ---- rights ---- */

static void check_rights(struct doctor *d)
{
	_cleanup_(buf_fini) struct buf missing = {0}, own = {0};
	size_t n_missing = 0, n_own = 0, n_asked = 0;
	const char *problem = "";

	for (size_t i = 0; i < doctor_count(d->f->rights); i++) {
		json_object *r = doctor_item(d->f->rights, i);
		const char *account = kube_json_str(r, "account");

		if (*kube_json_str(r, "problem")) {
			problem = kube_json_str(r, "problem");
			continue;
		}
		n_asked += *account != '\0';
		if (json_object_get_boolean(kube_json_get(r, "allowed")))
			continue;
		if (!*account && n_own++ < NAMED)
			buf_printf(&own, "%s%s", own.len ? ", " : "", kube_json_str(r, "right"));
		if (*account && n_missing++ < NAMED)
			buf_printf(&missing, "%s%s may not %s", missing.len ? ", " : "", account,
				   kube_json_str(r, "right"));
	}
	if (n_missing > 0)
		doctor_say(d, BAD, "kubectl apply -k config/rbac", "%s%s", buf_str(&missing),
			   n_missing > NAMED ? " and more" : "");
	else if (n_asked > 0)
		doctor_say(d, OK, NULL, "%zu rights looked at, the service accounts have theirs",
			   n_asked);
	if (n_own > 0)
		doctor_say(d, NOTE, NULL, "you yourself may not %s", buf_str(&own));
	if (*problem)
		doctor_say(d, UNKNOWN, NULL, "not checked: %s", problem);
}

/* ---- configuration and Services ---- */

static void check_config(struct doctor *d)
{
	json_object *states = doctor_need(d, FACT_STATES);
	size_t bad = 0;

	for (size_t i = 0; i < doctor_count(states); i++) {
		json_object *o = doctor_item(states, i);

		if (strcmp(doctor_text(o, "status", "result"), "Invalid") != 0)
			continue;
		bad++;
		doctor_say(d, BAD, NULL, "%s: %s", kube_meta_str(o, "name"),
			   doctor_text(o, "status", "errorSummary"));
	}
	if (states && bad == 0)
		doctor_say(d, OK, NULL, "no program reports a mistake in it");
	if (d->f->known[FACT_POOLS].value && doctor_count(d->f->known[FACT_POOLS].value) == 0)
		doctor_say(d, NOTE, "kubectl apply -f config/samples/layer2.yaml, after adjusting",
			   "there is no IPAddressPool: no Service can get an address");
}

/* The condition says it best; before Kubernetes 1.24 there is only the event. */
static const char *pending_reason(const struct doctor *d, json_object *service)
{
	json_object *list = kube_json_get(kube_json_get(service, "status"), "conditions");
	json_object *events = d->f->known[FACT_REASONS].value;
	const char *uid = kube_meta_str(service, "uid"), *reason = "";

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *c = doctor_item(list, i);

		if (strcmp(kube_json_str(c, "type"), "metallb.io/Allocated") == 0)
			return kube_json_str(c, "message");
	}
	for (size_t i = 0; i < doctor_count(events); i++) {
		json_object *e = doctor_item(events, i);

		if (*uid && strcmp(doctor_text(e, "involvedObject", "uid"), uid) == 0)
			reason = kube_json_str(e, "message");
	}
	return reason;
}

static void check_services(struct doctor *d)
{
	json_object *services = doctor_need(d, FACT_SERVICES);
	const char *class = doctor_operator_arg(d, "lb-class");
	size_t pending = 0, served = 0;

	for (size_t i = 0; i < doctor_count(services); i++) {
		json_object *s = doctor_item(services, i), *spec = kube_json_get(s, "spec");
		json_object *lb = kube_json_get(kube_json_get(s, "status"), "loadBalancer");

		if (strcmp(kube_json_str(spec, "type"), "LoadBalancer") != 0 ||
		    strcmp(kube_json_str(spec, "loadBalancerClass"), class) != 0)
			continue;
		if (doctor_count(kube_json_get(lb, "ingress")) > 0) {
			served++;
			continue;
		}
		const char *reason = pending_reason(d, s);

		if (++pending <= NAMED)
			doctor_say(d, BAD, NULL, "%s/%s has no address: %s",
				   kube_meta_str(s, "namespace"), kube_meta_str(s, "name"),
				   *reason ? reason : "nobody says why");
	}
	if (pending > NAMED)
		doctor_say(d, BAD, NULL, "%zu more have none", pending - NAMED);
	if (services && pending == 0)
		doctor_say(d, OK, NULL, "%zu of type LoadBalancer, all with an address", served);
}

/* ---- all of it ---- */

bool doctor_check(const struct doctor_facts *f, struct json_object *findings)
{
	static const struct {
		const char *name;
		void (*check)(struct doctor *d);
	} checks[] = {
		{"crds", check_crds},
		{"programs", check_programs},
		{"rollout", check_rollout},
		{"leader", check_leader},
		{"webhook", check_webhook},
		{"rights", check_rights},
		{"kube-proxy", doctor_check_kube_proxy},
		{"metallb", doctor_check_metallb},
		{"other-controllers", doctor_check_others},
		{"gossip", doctor_check_gossip},
		{"node-addresses", doctor_check_nodes},
		{"clocks", doctor_check_clocks},
		{"configuration", check_config},
		{"services", check_services},
	};
	struct doctor d = {.f = f, .findings = findings};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		d.check = checks[i].name;
		checks[i].check(&d);
	}
	return d.n_bad == 0;
}

void doctor_facts_fini(struct doctor_facts *f)
{
	for (size_t i = 0; i < FACT_COUNT; i++) {
		json_object_put(f->known[i].value);
		free(f->known[i].problem);
	}
	json_object_put(f->rights);
	json_object_put(f->crds);
	*f = (struct doctor_facts){0};
}
