/*
 * Command line and environment of the operator, as MetalLB's controller takes them, plus the
 * switches of our additions.
 */
#ifndef OPERATOR_OPTIONS_H
#define OPERATOR_OPTIONS_H

#include "metallb/buf.h"
#include "metallb/config.h"
#include "metallb/err.h"
#include "metallb/log.h"

enum webhook_mode { WEBHOOK_ENABLED, WEBHOOK_DISABLED, WEBHOOK_ONLY };

/* Texts are borrowed from argv and the environment; "" when not given. */
struct options {
	bool help, version;
	const char *namespace, *ml_secret_name, *deployment, *pod_name, *lb_class;
	const char *kubeconfig, *context;
	const char *log_level_text, *log_format_text, *webhook_mode_text, *bgp_type;
	enum log_level log_level;
	bool log_text;
	int64_t port, health_port, webhook_port;
	/* certificates */
	bool disable_cert_rotation, webhook_http2;
	const char *cert_dir, *cert_service_name, *webhook_secret, *metrics_cert_dir;
	const char *tls_min_version, *tls_cipher_suites, *tls_curve_preferences;
	const char *pprof; /* accepted for compatibility; there is no Go profiler */
	enum webhook_mode webhook_mode;
	enum bgp_backend backend;
	bool leader_elect;
	/* the speakers: see render.h */
	bool manage_speakers, deploy_podmonitors, deploy_servicemonitors, disable_network_policies;
	const char *speaker_image, *frrk8s_namespace;
	int64_t speaker_metrics_port, speaker_health_port, ml_bind_port;
	int64_t rollout_deadline_s;
	/* ours, each on by default */
	bool dual_stack_two_pools, avoid_addresses, avoid_node_addresses, remember_addresses,
		explain_pending;
};

typedef const char *(*options_env_fn)(const char *name); /* getenv */

/* Defaults, then the environment, then argv. argv[0] is skipped. */
bool options_parse(struct options *o, int argc, char **argv, options_env_fn env, struct err *err);
/* The text of --help. */
void options_usage(struct buf *out);

#endif
