/*
 * The speaker's command line and environment. Flags are written as Go programs take them (--x=y,
 * --x y, -x=y); the environment gives defaults.
 */
#ifndef METALLB_SPEAKER_OPTIONS_H
#define METALLB_SPEAKER_OPTIONS_H

#include <stdbool.h>

#include "metallb/clock.h"
#include "metallb/config.h"
#include "metallb/err.h"
#include "metallb/log.h"

/* Strings belong to argv or the environment. */
struct options {
	bool help, version;
	const char *ns, *node_name, *pod_name, *host, *lb_class;
	const char *kubeconfig, *context;
	const char *log_level_text, *log_format;
	enum log_level log_level;
	int port, health_port, bgp_listen_port;
	const char *daemonset; /* of the speakers */
	const char *metrics_cert_dir, *tls_min_version, *tls_cipher_suites, *tls_curves;
	const char *pprof_address;
	const char *ml_bind_address, *ml_bind_port, *ml_labels, *ml_secret_key_path;
	bool ml_wan_config;
	bool ignore_exclude_lb;
	const char *bgp_type_text, *bgp_debounce, *frrk8s_namespace;
	bool frrk8s_passthrough;
	enum bgp_backend backend;
	const char *exclude_file;
	const char *refresh_text, *shared_election;
	usec_t refresh; /* of layer 2 announcements; 0 = off */
	const char *uplink_text;
	usec_t uplink; /* a gateway that does not answer for so long is dead; 0 = off */
	const char *drain_text;
	usec_t drain_wait; /* between GRACEFUL_SHUTDOWN and the withdrawal */
	int liveness_port; /* 0 = off */
	const char *liveness_interval_text, *liveness_timeout_text;
	usec_t liveness_interval, liveness_timeout;
	bool l2_keep;
	bool group_shared; /* services that share an address are elected together */
};

typedef const char *(*options_getenv_fn)(const char *name);

/* false with a reason that names the flag. */
bool options_parse(struct options *o, int argc, char **argv, options_getenv_fn env,
		   struct err *err);
void options_print_help(void);

#endif
