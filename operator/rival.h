/*
 * Telling MetalLB's workloads from our own. Both may carry the same names, labels and environment;
 * what runs in the container tells them apart. Pure; shared by the operator, which stands back
 * while MetalLB's controller is Ready, and by `kubectl metallb doctor`.
 */
#ifndef OPERATOR_RIVAL_H
#define OPERATOR_RIVAL_H

#include <stdbool.h>

struct json_object;

enum rival_kind {
	RIVAL_NONE,               /* something else */
	RIVAL_OUR_OPERATOR,       /* a container whose command is /operator, with METALLB_ names */
	RIVAL_OUR_SPEAKER,        /* the same of /speaker */
	RIVAL_METALLB_CONTROLLER, /* MetalLB's, by image or by environment */
	RIVAL_METALLB_SPEAKER,
};

/* A Deployment, DaemonSet or Pod. *image gets the image of the container that decided. */
enum rival_kind rival_of(struct json_object *workload, const char **image);
/* Does a Deployment have a Pod that is Ready? */
bool rival_is_ready(struct json_object *deployment);

#endif
