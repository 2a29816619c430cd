/*
 * Rendering starts from the manifests in operator/manifests, which say what everything is without a
 * word in the MetalLB resource, and changes in them what the resource and the environment say. The
 * rules of merging are MetalLB's operator's: node selector added to, tolerations appended, affinity
 * and resources replaced. Pure.
 */
#include "operator/render.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/manifests/embed.h"
#include "operator/render_impl.h"

struct json_object *render_at(struct json_object *o, const char *path)
{
	while (*path) {
		size_t n = strcspn(path, ".");
		_cleanup_free_ char *name = xstrndup(path, n);
		struct json_object *next = kube_json_get(o, name);

		if (!next) {
			next = json_object_new_object();
			json_object_object_add(o, name, next);
		}
		o = next;
		path += n + (path[n] == '.');
	}
	return o;
}

void render_set(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

struct json_object *render_named(struct json_object *list, const char *name)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (strcmp(kube_json_str(item, "name"), name) == 0)
			return item;
	}
	return NULL;
}

/* JSON text that the API server has checked against the schema. */
static struct json_object *parsed(const char *text)
{
	return *text ? json_tokener_parse(text) : NULL;
}

static void set_parsed(struct json_object *o, const char *name, const char *text)
{
	struct json_object *value = parsed(text);

	if (value)
		json_object_object_add(o, name, value);
}

static struct json_object *manifest(const char *file)
{
	struct err err;

	for (size_t i = 0; i < embedded_manifests_n; i++) {
		const struct embedded *e = &embedded_manifests[i];

		if (strcmp(e->name, file) == 0)
			return yaml_parse_one(e->text, e->len, &err);
	}
	return NULL;
}

/* ---- what holds ---- */

const char *render_log_level(const struct metallb *m, const char *own)
{
	return m && *m->log_level ? m->log_level : own;
}

const char *render_lb_class(const struct metallb *m, const char *own)
{
	return m && *m->load_balancer_class ? m->load_balancer_class : own;
}

const char *render_backend(const struct metallb *m, const char *own)
{
	return m && *m->bgp_backend ? m->bgp_backend : own;
}

/* ---- pods ---- */

static void add_labels(struct json_object *o, const struct labels *labels)
{
	for (size_t i = 0; i < labels->n; i++)
		render_set(o, labels->items[i].key, labels->items[i].value);
}

void render_pods(struct json_object *template, const char *container,
		 const struct metallb_pods *pods, const struct labels *node_selector,
		 const char *tolerations)
{
	struct json_object *spec = render_at(template, "spec");
	struct json_object *more = parsed(tolerations), *list = kube_json_get(spec, "tolerations");
	struct json_object *box = render_named(kube_json_get(spec, "containers"), container);

	if (node_selector->n > 0)
		add_labels(render_at(spec, "nodeSelector"), node_selector);
	if (json_object_is_type(more, json_type_array) && json_object_array_length(more) > 0) {
		if (!list) {
			list = json_object_new_array();
			json_object_object_add(spec, "tolerations", list);
		}
		for (size_t i = 0; i < json_object_array_length(more); i++)
			json_object_array_add(list,
					      json_object_get(json_object_array_get_idx(more, i)));
	}
	json_object_put(more);
	set_parsed(spec, "affinity", pods->affinity);
	if (*pods->priority_class_name)
		render_set(spec, "priorityClassName", pods->priority_class_name);
	if (*pods->runtime_class_name)
		render_set(spec, "runtimeClassName", pods->runtime_class_name);
	if (pods->annotations.n > 0)
		add_labels(render_at(template, "metadata.annotations"), &pods->annotations);
	if (box)
		set_parsed(box, "resources", pods->resources);
}

static void add_arg(struct json_object *args, const char *flag, const char *value)
{
	_cleanup_free_ char *text = xasprintf("--%s=%s", flag, value);

	if (*value)
		json_object_array_add(args, json_object_new_string(text));
}

static void add_port_arg(struct json_object *args, const char *flag, int64_t port)
{
	_cleanup_free_ char *text = xasprintf("%" PRId64, port);

	add_arg(args, flag, text);
}

static bool is_frrk8s(const char *backend)
{
	return strncmp(backend, "frr-k8s", strlen("frr-k8s")) == 0;
}

static struct json_object *speaker_args(const struct metallb *m, const struct render_env *env)
{
	struct json_object *args = json_object_new_array();
	const char *frr_ns = *m->frrk8s_namespace ? m->frrk8s_namespace : env->frrk8s_namespace;

	add_port_arg(args, "port", env->metrics_port);
	add_port_arg(args, "health-probe-port", env->health_port);
	add_arg(args, "log-level", render_log_level(m, env->log_level));
	add_arg(args, "lb-class", render_lb_class(m, env->lb_class));
	if (is_frrk8s(render_backend(m, env->backend)) && *frr_ns) {
		add_arg(args, "frrk8s-namespace", frr_ns);
		if (m->secret_passthrough)
			add_arg(args, "frrk8s-secret-passthrough", "true");
	}
	add_arg(args, "tls-min-version", env->tls_min_version);
	add_arg(args, "tls-cipher-suites", env->tls_cipher_suites);
	add_arg(args, "tls-curve-preferences", env->tls_curves);
	return args;
}

static void add_env(struct json_object *box, const char *name, const char *value)
{
	struct json_object *item = json_object_new_object();

	render_set(item, "name", name);
	render_set(item, "value", value);
	json_object_array_add(kube_json_get(box, "env"), item);
}

static void set_number(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static void set_ports(struct json_object *template, struct json_object *box,
		      const struct render_env *env)
{
	struct json_object *ports = kube_json_get(box, "ports");
	_cleanup_free_ char *metrics = xasprintf("%" PRId64, env->metrics_port);
	_cleanup_free_ char *gossip = xasprintf("%" PRId64, env->ml_port);

	set_number(render_named(ports, "metricshttps"), "containerPort", env->metrics_port);
	set_number(render_named(ports, "memberlist-tcp"), "containerPort", env->ml_port);
	set_number(render_named(ports, "memberlist-udp"), "containerPort", env->ml_port);
	set_number(render_at(box, "livenessProbe.httpGet"), "port", env->health_port);
	set_number(render_at(box, "readinessProbe.httpGet"), "port", env->health_port);
	render_set(render_at(template, "metadata.annotations"), "prometheus.io/port", metrics);
	add_env(box, "METALLB_ML_BIND_PORT", gossip);
}

static struct json_object *speaker(const struct metallb *m, const struct render_env *env)
{
	struct json_object *o = manifest("speaker.yaml");
	struct json_object *template = render_at(o, "spec.template");
	struct json_object *spec = render_at(template, "spec");
	struct json_object *box = render_named(kube_json_get(spec, "containers"), RENDER_SPEAKER);
	const char *backend = render_backend(m, env->backend);

	render_set(box, "image", env->image);
	json_object_object_add(box, "args", speaker_args(m, env));
	set_ports(template, box, env);
	if (*backend && strcmp(backend, "native") != 0)
		add_env(box, "METALLB_BGP_TYPE", backend);
	set_parsed(spec, "imagePullSecrets", env->pull_secrets);
	if (*env->ml_secret)
		render_set(render_at(render_named(kube_json_get(spec, "volumes"), "memberlist"),
				     "secret"),
			   "secretName", env->ml_secret);
	render_set(render_at(o, "metadata.annotations"), RENDER_VERSION, env->version);
	render_pods(template, RENDER_SPEAKER, &m->speaker, &m->node_selector,
		    m->speaker_tolerations);
	return o;
}

/* ---- all of it ---- */

const struct kube_resource render_pod_monitors = {"monitoring.coreos.com", "v1", "podmonitors",
						  "PodMonitor", true};
const struct kube_resource render_service_monitors = {"monitoring.coreos.com", "v1",
						      "servicemonitors", "ServiceMonitor", true};

const char *render_text(struct json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* FNV-1a: to tell one text from another that we made, not to defend anything. */
static void sum(const char *text, char out[24])
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	snprintf(out, 24, "%016" PRIx64, h);
}

void render_seal(struct json_object *o, char out[24])
{
	sum(render_text(o), out);
	render_set(render_at(o, "metadata.annotations"), RENDER_SUM, out);
}

/* The DaemonSet has no owner: the garbage collector would end the speakers before they have
 * withdrawn anything. */
static void set_owner(struct json_object *o, const struct meta *owner)
{
	struct json_object *refs = json_object_new_array(), *ref = json_object_new_object();

	render_set(ref, "apiVersion", "metallb.io/v1beta1");
	render_set(ref, "kind", "MetalLB");
	render_set(ref, "name", owner->name);
	render_set(ref, "uid", owner->uid);
	json_object_object_add(ref, "controller", json_object_new_boolean(true));
	json_object_array_add(refs, ref);
	json_object_object_add(render_at(o, "metadata"), "ownerReferences", refs);
}

static void add(struct rendered *out, const struct kube_resource *resource, const char *ns,
		const struct meta *owner, struct json_object *json)
{
	struct render_object *item = &out->items[out->n++];

	render_set(render_at(json, "metadata"), "namespace", ns);
	if (owner && *owner->uid)
		set_owner(json, owner);
	item->resource = resource;
	item->json = json;
	render_seal(json, item->sum);
	item->name = kube_meta_str(json, "name");
}

static void add_monitors(struct rendered *out, enum render_monitors which, const char *ns,
			 const struct meta *owner, int64_t port)
{
	static const char *const names[] = {"controller", "speaker"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *pods = xasprintf("pod_monitor_%s.yaml", names[i]);
		_cleanup_free_ char *monitor = xasprintf("service_monitor_%s.yaml", names[i]);
		_cleanup_free_ char *service = xasprintf("monitor_service_%s.yaml", names[i]);

		if (which == MONITORS_POD) {
			add(out, &render_pod_monitors, ns, owner, manifest(pods));
		} else if (which == MONITORS_SERVICE) {
			struct json_object *s = manifest(service);
			struct json_object *ports =
				kube_json_get(kube_json_get(s, "spec"), "ports");

			if (strcmp(names[i], RENDER_SPEAKER) == 0)
				set_number(json_object_array_get_idx(ports, 0), "port", port);
			add(out, &kube_services, ns, owner, s);
			add(out, &render_service_monitors, ns, owner, manifest(monitor));
		}
	}
}

void render_installation(const struct metallb *m, const struct render_env *env,
			 struct rendered *out)
{
	const struct meta *owner = &m->obj.meta;

	out->n = 0;
	add(out, &kube_configmaps, env->ns, owner, manifest("exclude_l2.yaml"));
	if (env->network_policy)
		add(out, &kube_networkpolicies, env->ns, owner, manifest("network_policy.yaml"));
	add_monitors(out, env->monitors, env->ns, owner, env->metrics_port);
	add(out, &kube_daemonsets, env->ns, NULL, speaker(m, env));
}

void rendered_fini(struct rendered *r)
{
	while (r->n > 0)
		json_object_put(r->items[--r->n].json);
}

const struct render_object *rendered_find(const struct rendered *r,
					  const struct kube_resource *resource, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->items[i].resource == resource && strcmp(r->items[i].name, name) == 0)
			return &r->items[i];
	return NULL;
}

void render_default(const char *ns, struct buf *out)
{
	buf_add_str(out, "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"MetalLB\",\"metadata\":"
			 "{\"name\":\"" RENDER_NAME "\",\"namespace\":");
	buf_add_json_str(out, ns, strlen(ns));
	buf_add_str(out, "},\"spec\":{}}");
}
