/*
 * Files of the source tree that the programs carry: what the operator renders from, the CRDs, the
 * rights.
 */
#ifndef OPERATOR_MANIFESTS_EMBED_H
#define OPERATOR_MANIFESTS_EMBED_H

#include <stddef.h>

struct embedded {
	const char *name; /* "speaker.yaml" */
	const char *text; /* NUL-terminated */
	size_t len;       /* without the NUL */
};

extern const struct embedded embedded_manifests[], embedded_crds[];
extern const size_t embedded_manifests_n, embedded_crds_n;
/* config/rbac; only in kubectl-metallb */
extern const struct embedded embedded_rbac[];
extern const size_t embedded_rbac_n;

#endif
