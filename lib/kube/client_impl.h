/*
 * What the parts of the client share. Private to lib/kube.
 */
#ifndef LIB_KUBE_CLIENT_IMPL_H
#define LIB_KUBE_CLIENT_IMPL_H

#include "metallb/kube_client.h"

/* rest_client_requests_total; status 0: no answer. */
void kube_client_count(const struct kube_client *c, const char *method, int status);
/* The server's URL followed by path; the caller frees. */
char *kube_client_url(const struct kube_client *c, const char *path);
/* As kube_client_cancel, and the connection, which hangs, serves no new requests. */
struct kube_call *kube_client_abandon(struct kube_call *call);

#endif
