/*
 * Go's flag syntax: -x, --x, --x=value, --x value; booleans only take a value behind '='. Pure.
 */
#include "operator/options.h"

#include <assert.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"

enum flag_type { FLAG_TEXT, FLAG_BOOL, FLAG_NUMBER };

struct flag {
	const char *name, *env, *initial, *help;
	enum flag_type type;
	size_t offset;
};

#define AT(field) offsetof(struct options, field)

static const struct flag flags[] = {
	{"help", NULL, "false", "print this and exit", FLAG_BOOL, AT(help)},
	{"version", NULL, "false", "print the version and exit", FLAG_BOOL, AT(version)},
	{"namespace", "METALLB_NAMESPACE", "", "own namespace; default: that of the pod", FLAG_TEXT,
	 AT(namespace)},
	{"kubeconfig", NULL, "", "kubeconfig file; default: $KUBECONFIG, then the pod's account",
	 FLAG_TEXT, AT(kubeconfig)},
	{"context", NULL, "", "context of the kubeconfig", FLAG_TEXT, AT(context)},
	{"log-level", NULL, "info", "all, debug, info, warn, error or none", FLAG_TEXT,
	 AT(log_level_text)},
	{"log-format", NULL, "json", "json or text", FLAG_TEXT, AT(log_format_text)},
	{"port", NULL, "9120", "HTTPS port of the metrics; 0 = off", FLAG_NUMBER, AT(port)},
	{"health-probe-port", NULL, "17472", "HTTP port of /healthz and /readyz; 0 = off",
	 FLAG_NUMBER, AT(health_port)},
	{"lb-class", NULL, "", "serve only Services of this loadBalancerClass", FLAG_TEXT,
	 AT(lb_class)},
	{"ml-secret-name", "METALLB_ML_SECRET_NAME", "",
	 "Secret with the speakers' gossip key, made when absent", FLAG_TEXT, AT(ml_secret_name)},
	{"deployment", "METALLB_DEPLOYMENT", "", "own Deployment, which owns that Secret",
	 FLAG_TEXT, AT(deployment)},
	{"pod-name", "METALLB_POD_NAME", "", "own pod, which owns the ConfigurationState",
	 FLAG_TEXT, AT(pod_name)},
	{"leader-elect", NULL, "true", "write only while holding the Lease metallb-controller",
	 FLAG_BOOL, AT(leader_elect)},
	{"webhook-mode", NULL, "enabled", "enabled, disabled or onlywebhook", FLAG_TEXT,
	 AT(webhook_mode_text)},
	{"webhook-port", NULL, "9443", "HTTPS port of the webhooks", FLAG_NUMBER, AT(webhook_port)},
	{"webhook-http2", NULL, "false", "offer HTTP/2 on the webhook port", FLAG_BOOL,
	 AT(webhook_http2)},
	{"webhook-secret", NULL, "metallb-webhook-cert", "Secret with the webhooks' certificate",
	 FLAG_TEXT, AT(webhook_secret)},
	{"cert-service-name", NULL, "metallb-webhook-service", "Service of the webhooks", FLAG_TEXT,
	 AT(cert_service_name)},
	{"cert-dir", NULL, "/tmp/k8s-webhook-server/serving-certs",
	 "directory of the webhooks' certificate when it is not rotated", FLAG_TEXT, AT(cert_dir)},
	{"disable-cert-rotation", NULL, "false", "somebody else makes the webhooks' certificate",
	 FLAG_BOOL, AT(disable_cert_rotation)},
	{"tls-min-version", NULL, "", "VersionTLS12 or VersionTLS13 (default)", FLAG_TEXT,
	 AT(tls_min_version)},
	{"tls-cipher-suites", NULL, "", "comma list; only with VersionTLS12", FLAG_TEXT,
	 AT(tls_cipher_suites)},
	{"tls-curve-preferences", NULL, "", "comma list of curve numbers", FLAG_TEXT,
	 AT(tls_curve_preferences)},
	{"metrics-cert-dir", NULL, "", "directory of tls.crt and tls.key for the metrics",
	 FLAG_TEXT, AT(metrics_cert_dir)},
	{"pprof-bind-address", NULL, "", "accepted and ignored: there is no Go profiler here",
	 FLAG_TEXT, AT(pprof)},
	{"manage-speakers", NULL, "true",
	 "keep the speakers as the MetalLB resource says; needs --deployment", FLAG_BOOL,
	 AT(manage_speakers)},
	{"speaker-image", "SPEAKER_IMAGE", "", "image of the speakers; default: the own pod's",
	 FLAG_TEXT, AT(speaker_image)},
	{"speaker-port", "METRICS_PORT", "9120", "HTTPS port of the speakers' metrics", FLAG_NUMBER,
	 AT(speaker_metrics_port)},
	{"speaker-health-probe-port", "OPERAND_LIVENESS_PORT", "17472",
	 "HTTP port of the speakers' /healthz and /readyz", FLAG_NUMBER, AT(speaker_health_port)},
	{"ml-bind-port", "MEMBER_LIST_BIND_PORT", "7946", "port of the speakers' gossip",
	 FLAG_NUMBER, AT(ml_bind_port)},
	{"frrk8s-namespace", "FRRK8S_EXTERNAL_NAMESPACE", "",
	 "namespace of an external frr-k8s, where the MetalLB resource does not say", FLAG_TEXT,
	 AT(frrk8s_namespace)},
	{"rollout-deadline", "METALLB_ROLLOUT_DEADLINE", "300",
	 "seconds without progress after which a rollout of the speakers counts as stuck",
	 FLAG_NUMBER, AT(rollout_deadline_s)},
	{"deploy-podmonitors", "DEPLOY_PODMONITORS", "false", "make PodMonitors", FLAG_BOOL,
	 AT(deploy_podmonitors)},
	{"deploy-servicemonitors", "DEPLOY_SERVICEMONITORS", "false", "make ServiceMonitors",
	 FLAG_BOOL, AT(deploy_servicemonitors)},
	{"disable-network-policies", "DISABLE_NETWORK_POLICIES", "false",
	 "make no NetworkPolicy for the operator", FLAG_BOOL, AT(disable_network_policies)},
	{"dual-stack-two-pools", NULL, "true",
	 "dual stack from two pools when none has both families", FLAG_BOOL,
	 AT(dual_stack_two_pools)},
	{"avoid-addresses", NULL, "true", "honour spec.avoidAddresses of pools", FLAG_BOOL,
	 AT(avoid_addresses)},
	{"avoid-node-addresses", NULL, "true", "never give out a node's own address unasked",
	 FLAG_BOOL, AT(avoid_node_addresses)},
	{"remember-addresses", NULL, "true",
	 "a Service made again within 24 h gets its old address if it is free", FLAG_BOOL,
	 AT(remember_addresses)},
	{"explain-pending", NULL, "true",
	 "condition "
	 "metallb.io/Allocated and every pool's reason in events",
	 FLAG_BOOL, AT(explain_pending)},
};

static bool parse_number(const char *text, int64_t *out)
{
	int64_t v = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (*text - '0');
		if (v > UINT16_MAX)
			return false;
	}
	*out = v;
	return true;
}

/* The words that Go's strconv.ParseBool knows. */
static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*out = strcmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool set_flag(struct options *o, const struct flag *f, const char *value, struct err *err)
{
	void *at = (char *)o + f->offset;

	switch (f->type) {
	case FLAG_TEXT:
		*(const char **)at = value;
		return true;
	case FLAG_BOOL:
		return parse_bool(value, at) ||
		       err_set(err, "--%s: \"%s\" is neither true nor false", f->name, value);
	case FLAG_NUMBER:
		return parse_number(value, at) ||
		       err_set(err, "--%s: \"%s\" is no number up to 65535", f->name, value);
	}
	assert(0 && "a known type");
	return false;
}

static const struct flag *find_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
			return &flags[i];
	return len == 1 && *name == 'h' ? &flags[0] : NULL;
}

static bool parse_argv(struct options *o, int argc, char **argv, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *name = arg + strspn(arg, "-");
		size_t dashes = (size_t)(name - arg), len = strcspn(name, "=");

		if (dashes == 0 || dashes > 2 || len == 0)
			return err_set(err, "unexpected argument \"%s\"", arg);
		const struct flag *f = find_flag(name, len);
		const char *value = name[len] ? name + len + 1 : NULL;

		if (!f)
			return err_set(err, "unknown flag --%.*s", (int)len, name);
		if (!value && f->type == FLAG_BOOL)
			value = "true";
		else if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value)
			return err_set(err, "--%s needs a value", f->name);
		if (!set_flag(o, f, value, err))
			return false;
	}
	return true;
}

static bool check_words(struct options *o, struct err *err)
{
	static const char *const modes[] = {"enabled", "disabled", "onlywebhook"};
	size_t mode = 0;

	if (!log_parse_level(o->log_level_text, &o->log_level))
		return err_set(err, "--log-level: unknown level \"%s\"", o->log_level_text);
	o->log_text = strcmp(o->log_format_text, "text") == 0;
	if (!o->log_text && strcmp(o->log_format_text, "json") != 0)
		return err_set(err, "--log-format: \"%s\" is neither json nor text",
			       o->log_format_text);
	while (mode < ARRAY_SIZE(modes) && strcmp(modes[mode], o->webhook_mode_text) != 0)
		mode++;
	if (mode == ARRAY_SIZE(modes))
		return err_set(err, "--webhook-mode: unknown mode \"%s\"", o->webhook_mode_text);
	o->webhook_mode = (enum webhook_mode)mode;
	o->backend = strcmp(o->bgp_type, "frr") == 0       ? BACKEND_FRR
		     : strcmp(o->bgp_type, "frr-k8s") == 0 ? BACKEND_FRR_K8S
							   : BACKEND_NATIVE;
	if (o->deploy_podmonitors && o->deploy_servicemonitors)
		return err_set(err, "--deploy-podmonitors and --deploy-servicemonitors exclude "
				    "each other");
	if (o->rollout_deadline_s == 0)
		return err_set(err, "--rollout-deadline: 0 is no time");
	return true;
}

bool options_parse(struct options *o, int argc, char **argv, options_env_fn env, struct err *err)
{
	*o = (struct options){0};
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *v = flags[i].env ? env(flags[i].env) : NULL;

		if (!set_flag(o, &flags[i], v && *v ? v : flags[i].initial, err))
			return false;
	}
	const char *type = env("METALLB_BGP_TYPE");

	o->bgp_type = type ? type : "";
	return parse_argv(o, argc, argv, err) && check_words(o, err);
}

void options_usage(struct buf *out)
{
	buf_add_str(out, "Usage: operator [FLAGS]\n\n"
			 "Gives addresses from IPAddressPools to Services of type LoadBalancer and "
			 "serves the\nwebhooks of the metallb.io resources.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct flag *f = &flags[i];

		buf_printf(out, "  --%s\n        %s", f->name, f->help);
		if (f->initial[0] && f->type != FLAG_BOOL)
			buf_printf(out, " (default %s)", f->initial);
		else if (strcmp(f->initial, "true") == 0)
			buf_add_str(out, " (default true)");
		if (f->env)
			buf_printf(out, " [$%s]", f->env);
		buf_add_char(out, '\n');
	}
}
