/*
 * The Kubernetes API client: kinds and references to objects. The parts:
 *
 *   kube_config.h    where the server is, credentials
 *   kube_client.h    get, list, create, update, patch, delete
 *   kube_informer.h  list and watch one kind into a kube_store.h
 *   kube_queue.h     work queue of keys
 *   kube_event.h     Events, aggregated
 *   kube_lease.h     leader election
 */
#ifndef METALLB_KUBE_H
#define METALLB_KUBE_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/buf.h"

struct json_object;

struct kube_resource {
	const char *group; /* "" for the core group */
	const char *version;
	const char *plural; /* "services" */
	const char *kind;   /* "Service" */
	bool namespaced;
};

extern const struct kube_resource kube_namespaces, kube_nodes, kube_pods, kube_services,
	kube_endpoints, kube_secrets, kube_configmaps, kube_serviceaccounts, kube_events,
	kube_endpointslices, kube_endpointslices_v1beta1, kube_leases, kube_deployments,
	kube_daemonsets, kube_crds, kube_networkpolicies, kube_validating_webhooks, kube_roles,
	kube_rolebindings, kube_clusterroles, kube_clusterrolebindings;
extern const struct kube_resource kube_ipaddresspools, kube_l2advertisements,
	kube_bgpadvertisements, kube_bgppeers, kube_bfdprofiles, kube_communities,
	kube_servicel2statuses, kube_servicebgpstatuses, kube_configurationstates, kube_metallbs;

/* Names one object (or, with name NULL, a collection). Strings are borrowed. */
struct kube_ref {
	const struct kube_resource *resource;
	const char *ns; /* NULL: cluster-scoped, or all namespaces */
	const char *name;
	const char *subresource; /* "status" or NULL */
};

/* "v1", "metallb.io/v1beta1" */
void kube_api_version(const struct kube_resource *resource, struct buf *out);
/* "/api/v1/namespaces/NS/services/NAME/status", each part percent-encoded. */
void kube_path(const struct kube_ref *ref, struct buf *out);
/* Append one query parameter: '?' or '&' as needed, both parts percent-encoded. */
void kube_path_query(struct buf *out, const char *name, const char *value);

/*
 * Keys: "namespace/name", or "name" for cluster-scoped objects. split cuts key in place: *ns is ""
 * when there is none.
 */
char *kube_key(const char *ns, const char *name); /* the caller frees */
void kube_key_split(char *key, const char **ns, const char **name);

/* Reading objects; "" or NULL when absent or of another type. Borrowed. */
struct json_object *kube_json_get(struct json_object *o, const char *name);
const char *kube_json_str(struct json_object *o, const char *name); /* "" when absent */
/* metadata.NAME as text: name, namespace, uid, resourceVersion ... */
const char *kube_meta_str(struct json_object *o, const char *name);

#endif
