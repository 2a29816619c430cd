/*
 * Where the API server is and who we are there: a kubeconfig or a pod's service account.
 */
#ifndef METALLB_KUBE_CONFIG_H
#define METALLB_KUBE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

/* Every string may be NULL. A pair x_file, x_data: at most one is set; data is the decoded PEM. */
struct kube_config {
	char *server; /* "https://host:port/prefix", no slash at the end; never NULL */
	char *tls_server_name;
	char *proxy_url;
	char *ca_file, *ca_data;
	char *cert_file, *cert_data;
	char *key_file, *key_data;
	char *token, *token_file; /* the file is read again when it changes */
	char *username, *password;
	char *ns;     /* the context's or the pod's namespace; "default" when none is named */
	char *source; /* for messages: "in-cluster" or the files' names */
	bool insecure;
	bool in_cluster;
};

struct kube_config_options {
	const char *kubeconfig; /* --kubeconfig: this file alone; NULL or "" = not given */
	const char *context;    /* --context; NULL or "" = current-context */
};

/*
 * In this order: options->kubeconfig, the list in $KUBECONFIG, the pod's service account,
 * ~/.kube/config. NULL with the reason when there is none or the chosen one cannot be used.
 */
struct kube_config *kube_config_load(const struct kube_config_options *options, struct err *err);
struct kube_config *kube_config_free(struct kube_config *c); /* wipes secrets; returns NULL */

#endif
