/*
 * The pure part of reading kubeconfig files. Private to lib/kube.
 */
#ifndef LIB_KUBE_KUBECONFIG_H
#define LIB_KUBE_KUBECONFIG_H

#include "metallb/kube_config.h"

struct json_object;

#define KUBECONFIG_FILES_MAX 64

struct kubeconfig_file {
	const char *path;           /* relative file names in it are relative to its folder */
	struct json_object *object; /* borrowed */
};

/*
 * The chosen context (NULL or "": current-context) of several files merged as kubectl does: for
 * each name, and for current-context, the first file that has it wins.
 */
struct kube_config *kubeconfig_build(const struct kubeconfig_file *files, size_t n,
				     const char *context, struct err *err);

#endif
