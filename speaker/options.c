/*
 * One table of flags: name, environment variable, default, where it goes, what it is for.
 */
#include "speaker/options.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/duration.h"
#include "metallb/xalloc.h"

enum flag_type { FLAG_STR, FLAG_INT, FLAG_BOOL };

struct flag {
	const char *name, *env, *fallback;
	enum flag_type type;
	size_t offset;
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct flag flags[] = {
	{"bgp-debounce-timeout", "METALLB_BGP_DEBOUNCE_TIMEOUT", "", FLAG_STR, AT(bgp_debounce),
	 "accepted for compatibility: changes are sent at once"},
	{"bgp-drain-wait", "METALLB_BGP_DRAIN_WAIT", "5s", FLAG_STR, AT(drain_text),
	 "when this node stops announcing, routes first get the community GRACEFUL_SHUTDOWN and "
	 "are "
	 "withdrawn so much later, 0 to 20s"},
	{"bgp-listen-port", NULL, "0", FLAG_INT, AT(bgp_listen_port),
	 "TCP port for BGP sessions that peers open; 0: none"},
	{"context", NULL, "", FLAG_STR, AT(context), "context of the kubeconfig"},
	{"daemonset", "METALLB_DAEMONSET", "speaker", FLAG_STR, AT(daemonset),
	 "the speakers' DaemonSet: with the annotation metallb.io/withdraw all is withdrawn"},
	{"exclude-l2-file", NULL, "/etc/metallb/excludel2.yaml", FLAG_STR, AT(exclude_file),
	 "list of interfaces that are not used in layer 2"},
	{"frrk8s-namespace", "FRRK8S_NAMESPACE", "", FLAG_STR, AT(frrk8s_namespace),
	 "where FRRConfiguration objects go; default: own namespace"},
	{"frrk8s-secret-passthrough", NULL, "false", FLAG_BOOL, AT(frrk8s_passthrough),
	 "refer to password secrets in FRRConfiguration objects"},
	{"health-probe-port", NULL, "17472", FLAG_INT, AT(health_port),
	 "port of /healthz and /readyz on 127.0.0.1; 0: none"},
	{"host", "METALLB_HOST", "", FLAG_STR, AT(host), "accepted for compatibility"},
	{"ignore-exclude-lb", NULL, "false", FLAG_BOOL, AT(ignore_exclude_lb),
	 "announce from nodes with the label node.kubernetes.io/exclude-from-external-load-"
	 "balancers"},
	{"kubeconfig", NULL, "", FLAG_STR, AT(kubeconfig), "default: the pod's service account"},
	{"l2-keep", "METALLB_L2_KEEP", "false", FLAG_BOOL, AT(l2_keep),
	 "in layer 2 the announcing node keeps an address when a better one comes (back)"},
	{"l2-refresh", NULL, "180s", FLAG_STR, AT(refresh_text),
	 "announce addresses again about this often; 0: only when they move"},
	{"l2-uplink-check", "METALLB_L2_UPLINK_CHECK", "0", FLAG_STR, AT(uplink_text),
	 "hand layer 2 addresses over when the default gateway does not answer for about so long, "
	 "200ms to 60s; 0: it is not asked"},
	{"lb-class", NULL, "", FLAG_STR, AT(lb_class),
	 "announce Services of this spec.loadBalancerClass; default: those without one"},
	{"liveness-interval", "METALLB_LIVENESS_INTERVAL", "100ms", FLAG_STR,
	 AT(liveness_interval_text), "between two heartbeats from speaker to speaker, 20ms to 2s"},
	{"liveness-port", "METALLB_LIVENESS_PORT", "7947", FLAG_INT, AT(liveness_port),
	 "UDP port of these heartbeats, the same on all nodes; 0: gossip alone finds dead nodes"},
	{"liveness-timeout", "METALLB_LIVENESS_TIMEOUT", "600ms", FLAG_STR,
	 AT(liveness_timeout_text), "a speaker not heard for so long is dead, 3 to 50 intervals"},
	{"log-format", NULL, "json", FLAG_STR, AT(log_format), "json or text"},
	{"log-level", NULL, "info", FLAG_STR, AT(log_level_text),
	 "all, debug, info, warn, error or none"},
	{"metrics-cert-dir", NULL, "", FLAG_STR, AT(metrics_cert_dir),
	 "directory with tls.crt and tls.key for /metrics; default: self-signed"},
	{"ml-bindaddr", "METALLB_ML_BIND_ADDR", "", FLAG_STR, AT(ml_bind_address),
	 "address to gossip on; default: no gossip"},
	{"ml-bindport", "METALLB_ML_BIND_PORT", "", FLAG_STR, AT(ml_bind_port),
	 "port to gossip on; default: 7946"},
	{"ml-labels", "METALLB_ML_LABELS", "", FLAG_STR, AT(ml_labels),
	 "label selector of the speaker pods; default: no gossip"},
	{"ml-secret-key-path", "METALLB_ML_SECRET_KEY_PATH", "", FLAG_STR, AT(ml_secret_key_path),
	 "directory with the gossip key, file secretkey"},
	{"ml-wan-config", NULL, "false", FLAG_BOOL, AT(ml_wan_config),
	 "gossip with timings for slow networks"},
	{"namespace", "METALLB_NAMESPACE", "", FLAG_STR, AT(ns),
	 "own namespace; default: the service account's"},
	{"node-name", "METALLB_NODE_NAME", "", FLAG_STR, AT(node_name), "own node; required"},
	{"pod-name", "METALLB_POD_NAME", "", FLAG_STR, AT(pod_name), "own pod"},
	{"port", NULL, "9120", FLAG_INT, AT(port), "HTTPS port of /metrics; 0: none"},
	{"pprof-bind-address", NULL, "", FLAG_STR, AT(pprof_address),
	 "accepted for compatibility: there is no profiler"},
	{"shared-address-election", NULL, "service", FLAG_STR, AT(shared_election),
	 "service: as MetalLB; group: Services that share an address are elected together"},
	{"tls-cipher-suites", NULL, "", FLAG_STR, AT(tls_cipher_suites),
	 "for /metrics, comma-separated; only with VersionTLS12"},
	{"tls-curve-preferences", NULL, "", FLAG_STR, AT(tls_curves),
	 "for /metrics, comma-separated numbers"},
	{"tls-min-version", NULL, "", FLAG_STR, AT(tls_min_version),
	 "for /metrics, VersionTLS12 or VersionTLS13 (default)"},
	{"help", NULL, "false", FLAG_BOOL, AT(help), "print this and exit"},
	{"version", NULL, "false", FLAG_BOOL, AT(version), "print the version and exit"},
};

static bool parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"true", "True", "TRUE", "t", "T", "1"};
	static const char *const no[] = {"false", "False", "FALSE", "f", "F", "0"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
			*out = strcmp(s, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool parse_port(const char *s, int *out)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end || v < 0 || v > 65535)
		return false;
	*out = (int)v;
	return true;
}

static bool flag_set(struct options *o, const struct flag *f, const char *value, struct err *err)
{
	char *field = (char *)o + f->offset;

	switch (f->type) {
	case FLAG_STR:
		memcpy(field, &value, sizeof(value));
		return true;
	case FLAG_INT: {
		int v;

		if (!parse_port(value, &v))
			return err_set(err, "--%s: \"%s\" is not a port", f->name, value);
		memcpy(field, &v, sizeof(v));
		return true;
	}
	case FLAG_BOOL: {
		bool v;

		if (!parse_bool(value, &v))
			return err_set(err, "--%s: \"%s\" is neither true nor false", f->name,
				       value);
		memcpy(field, &v, sizeof(v));
		return true;
	}
	}
	return err_set(err, "--%s: unknown type", f->name);
}

static const struct flag *flag_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (strlen(flags[i].name) == len && strncmp(flags[i].name, name, len) == 0)
			return &flags[i];
	return NULL;
}

static bool defaults_set(struct options *o, options_getenv_fn env, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *v = flags[i].env ? env(flags[i].env) : NULL;

		if (!flag_set(o, &flags[i], v && v[0] ? v : flags[i].fallback, err))
			return false;
	}
	o->bgp_type_text = env("METALLB_BGP_TYPE");
	return true;
}

static bool arguments_read(struct options *o, int argc, char **argv, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *name = arg, *eq;

		if (arg[0] != '-' || !arg[1])
			return err_set(err, "unexpected argument \"%s\"", arg);
		name += arg[1] == '-' ? 2 : 1;
		eq = strchr(name, '=');
		if (strcmp(name, "h") == 0)
			name = "help";
		const struct flag *f = flag_find(name, eq ? (size_t)(eq - name) : strlen(name));

		if (!f)
			return err_set(err, "unknown flag \"%s\"", arg);
		const char *value = eq ? eq + 1 : "true";

		if (!eq && f->type != FLAG_BOOL) {
			if (i + 1 == argc)
				return err_set(err, "--%s needs a value", f->name);
			value = argv[++i];
		}
		if (!flag_set(o, f, value, err))
			return false;
	}
	return true;
}

static bool backend_check(struct options *o, struct err *err)
{
	const char *t = o->bgp_type_text ? o->bgp_type_text : "";

	if (strcmp(t, "") == 0 || strcmp(t, "native") == 0)
		o->backend = BACKEND_NATIVE;
	else if (strcmp(t, "frr") == 0)
		o->backend = BACKEND_FRR;
	else if (strcmp(t, "frr-k8s") == 0 || strcmp(t, "frr-k8s-external") == 0)
		o->backend = BACKEND_FRR_K8S;
	else
		return err_set(err, "METALLB_BGP_TYPE: unknown type \"%s\"", t);
	if (o->frrk8s_passthrough && (o->backend != BACKEND_FRR_K8S || !o->frrk8s_namespace[0]))
		return err_set(err, "--frrk8s-secret-passthrough needs METALLB_BGP_TYPE frr-k8s "
				    "and --frrk8s-namespace");
	return true;
}

static bool refresh_check(struct options *o, struct err *err)
{
	int64_t ns;

	if (!duration_parse(o->refresh_text, &ns) || ns < 0 || (ns > 0 && ns < 10000000000) ||
	    ns > 86400000000000)
		return err_set(err, "--l2-refresh: \"%s\" is neither 0 nor a time from 10s to 24h",
			       o->refresh_text);
	o->refresh = ns / 1000;
	return true;
}

static bool uplink_check(struct options *o, struct err *err)
{
	int64_t ns;

	if (!duration_parse(o->uplink_text, &ns) || ns < 0 || (ns > 0 && ns < 200000000) ||
	    ns > 60000000000)
		return err_set(err,
			       "--l2-uplink-check: \"%s\" is neither 0 nor a time from 200ms to "
			       "60s",
			       o->uplink_text);
	if (ns > 0 && o->liveness_port == 0)
		return err_set(err, "--l2-uplink-check needs --liveness-port: by it the others "
				    "learn that a gateway does not answer");
	o->uplink = ns / 1000;
	return true;
}

static bool liveness_check(struct options *o, struct err *err)
{
	int64_t interval, timeout;

	if (!duration_parse(o->liveness_interval_text, &interval) || interval < 20000000 ||
	    interval > 2000000000)
		return err_set(err, "--liveness-interval: \"%s\" is no time from 20ms to 2s",
			       o->liveness_interval_text);
	if (!duration_parse(o->liveness_timeout_text, &timeout) || timeout < 3 * interval ||
	    timeout > 50 * interval)
		return err_set(err, "--liveness-timeout: \"%s\" is not 3 to 50 times the interval",
			       o->liveness_timeout_text);
	o->liveness_interval = interval / 1000;
	o->liveness_timeout = timeout / 1000;
	return true;
}

static bool drain_check(struct options *o, struct err *err)
{
	int64_t ns;

	if (!duration_parse(o->drain_text, &ns) || ns < 0 || ns > 20000000000)
		return err_set(err, "--bgp-drain-wait: \"%s\" is no time from 0 to 20s",
			       o->drain_text);
	o->drain_wait = ns / 1000;
	return true;
}

static bool values_check(struct options *o, struct err *err)
{
	if (!log_parse_level(o->log_level_text, &o->log_level))
		return err_set(err, "--log-level: unknown level \"%s\"", o->log_level_text);
	if (strcmp(o->log_format, "json") != 0 && strcmp(o->log_format, "text") != 0)
		return err_set(err, "--log-format: \"%s\" is neither json nor text", o->log_format);
	o->group_shared = strcmp(o->shared_election, "group") == 0;
	if (!o->group_shared && strcmp(o->shared_election, "service") != 0)
		return err_set(err,
			       "--shared-address-election: \"%s\" is neither service nor "
			       "group",
			       o->shared_election);
	if (!o->node_name[0])
		return err_set(err, "--node-name or METALLB_NODE_NAME must be set");
	return refresh_check(o, err) && uplink_check(o, err) && liveness_check(o, err) &&
	       drain_check(o, err) && backend_check(o, err);
}

bool options_parse(struct options *o, int argc, char **argv, options_getenv_fn env, struct err *err)
{
	*o = (struct options){0};
	if (!defaults_set(o, env, err) || !arguments_read(o, argc, argv, err))
		return false;
	return o->help || o->version || values_check(o, err);
}

void options_print_help(void)
{
	puts("Announces the addresses of LoadBalancer Services from this node: ARP, NDP, BGP.\n\n"
	     "Usage: speaker --node-name=NODE [flags]\n");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		printf("  --%-26s %s", flags[i].name, flags[i].help);
		if (flags[i].type != FLAG_BOOL && flags[i].fallback[0])
			printf(" (default %s)", flags[i].fallback);
		printf("%s%s\n", flags[i].env ? "; environment " : "",
		       flags[i].env ? flags[i].env : "");
	}
	puts("\nMETALLB_BGP_TYPE: native (default), frr, frr-k8s, frr-k8s-external.");
}
