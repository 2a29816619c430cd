/*
 * What a Service asks for: addresses, a pool, families, sharing. Read from its spec and annotations
 * (both the metallb.io/ and the older metallb.universe.tf/ prefix). Pure.
 */
#ifndef OPERATOR_REQUEST_H
#define OPERATOR_REQUEST_H

#include "operator/allocator.h"

#define ANNOTATION_POOL      "metallb.io/address-pool"
#define ANNOTATION_IPS       "metallb.io/loadBalancerIPs"
#define ANNOTATION_SHARING   "metallb.io/allow-shared-ip"
#define ANNOTATION_FROM      "metallb.io/ip-allocated-from-pool"
#define DEPRECATED_PREFIX    "metallb.universe.tf"
#define REQUEST_IPS_TEXT_MAX 1024u /* bytes of the list of addresses */

/* The value under the stable key when it is there, even if empty; else under the deprecated one;
 * else "". */
const char *request_annotation(const struct service *svc, const char *stable_key);
bool request_has_deprecated(const struct service *svc);
/* The addresses asked for by annotation or spec.loadBalancerIP; out->n is 0 when there are none. */
bool request_ips(const struct service *svc, struct alloc_ips *out, struct err *err);
/* Which families these are of: one address, or two of different families. */
bool request_families_of(const struct alloc_ips *ips, bool fam[FAM_COUNT], struct err *err);
/* The families of the cluster IPs. */
bool request_families(const struct service *svc, bool fam[FAM_COUNT], struct err *err);
enum alloc_policy request_policy(const struct service *svc);
/* svc's selector as text when externalTrafficPolicy is Local, else "". The caller frees. */
char *request_backend_key(const struct service *svc);

#endif
