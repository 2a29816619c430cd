/*
 * The MetalLB resource and the operator's environment to the objects that run the system. Pure.
 */
#ifndef OPERATOR_RENDER_H
#define OPERATOR_RENDER_H

#include "metallb/api.h"
#include "metallb/buf.h"
#include "metallb/kube.h"

#define RENDER_OBJECTS_MAX 8
#define RENDER_NAME        "metallb"          /* of the one MetalLB resource that counts */
#define RENDER_SPEAKER     "speaker"          /* the DaemonSet and its container */
#define RENDER_CONTAINER   "controller"       /* of the operator's own pods */
#define RENDER_MANAGER     "metallb-operator" /* field manager of server-side apply */

/* On what we apply: the sum of what was asked for, so that a field that is not asked for any more
 * is seen to be a difference. */
#define RENDER_SUM "metallb.io/applied"
/* On any object of ours, set by a person: "true" = leave it alone. */
#define RENDER_UNMANAGED "metallb.io/unmanaged"
#define RENDER_VERSION   "metallb.io/version"
/* On our own Deployment: its container's resources are the MetalLB resource's. */
#define RENDER_RESOURCES "metallb.io/applied-resources"

extern const struct kube_resource render_pod_monitors, render_service_monitors;

enum render_monitors { MONITORS_NONE, MONITORS_POD, MONITORS_SERVICE };

/* What the resource does not say. Everything is borrowed; texts are never NULL. */
struct render_env {
	const char *ns, *version;
	const char *image;        /* of the speaker */
	const char *pull_secrets; /* JSON list, or "" */
	const char *ml_secret;    /* with the gossip key; "" = no gossip key */
	/* Our own flags, which hold where the resource is silent. */
	const char *log_level, *lb_class, *backend, *frrk8s_namespace;
	const char *tls_min_version, *tls_cipher_suites, *tls_curves;
	int64_t metrics_port, health_port, ml_port;
	bool network_policy;
	enum render_monitors monitors;
};

struct render_object {
	const struct kube_resource *resource;
	const char *name; /* borrowed from json */
	struct json_object *json;
	char sum[24];
};

struct rendered {
	struct render_object items[RENDER_OBJECTS_MAX]; /* in the order of their making */
	size_t n;
};

/* The effective texts: the resource's, else the environment's. m may be NULL. */
const char *render_log_level(const struct metallb *m, const char *own);
const char *render_lb_class(const struct metallb *m, const char *own);
const char *render_backend(const struct metallb *m, const char *own);

/* The DaemonSet is the last. */
void render_installation(const struct metallb *m, const struct render_env *env,
			 struct rendered *out);
void rendered_fini(struct rendered *r);
const struct render_object *rendered_find(const struct rendered *r,
					  const struct kube_resource *resource, const char *name);

/*
 * What the resource says of the operator's own pods, for server-side apply to its Deployment
 * `name`. NULL: nothing, and nothing of ours is in `live` that would have to go.
 */
struct json_object *render_controller(const struct metallb *m, const char *ns, const char *name,
				      struct json_object *live);

/* The resource that is made when there is none. */
void render_default(const char *ns, struct buf *out);

/* As text for the API server, which may read it as YAML: "/" stands for itself. Borrowed from o. */
const char *render_text(struct json_object *o);

/* How an object that is there differs from what is wanted. */
enum render_drift {
	DRIFT_NONE,
	DRIFT_FIELDS, /* to be applied */
	DRIFT_MORE,   /* somebody has added entries to our lists, which applying does not remove */
};
enum render_drift render_compare(const struct render_object *want, struct json_object *live);
/* A JSON patch that puts the DaemonSet's pods back to what is wanted, whatever was added. */
void render_replace(const struct render_object *want, struct json_object *live, struct buf *out);
/*
 * A JSON patch that takes the resources away which an earlier MetalLB resource gave our own
 * Deployment; false when it gave none, or the present one gives some. (Applying without them is not
 * enough: to a server of 1.20 they belong to kubectl, too, once it has created the Deployment.)
 */
bool render_take_resources(const struct metallb *m, struct json_object *live, struct buf *out);
/* Has somebody asked for this object to be left alone? */
bool render_is_unmanaged(struct json_object *live);
/* metadata.annotations[key]; "" when absent. */
const char *render_annotation(struct json_object *o, const char *key);

#endif
