/*
 * Telling MetalLB's workloads from our own. Both may carry the same names, labels and environment;
 * what runs in the container tells them apart. Pure; shared by the operator, which stands back
 * while MetalLB's controller is Ready, and by `kubectl metallb doctor`.
 */
#ifndef OPERATOR_RIVAL_H
#define OPERATOR_RIVAL_H

#include "metallb/clock.h"

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

#define RIVAL_PATIENCE (60 * USEC_PER_SEC)

/* What is remembered between looks; all zero at first. */
struct rival_watch {
	usec_t seen; /* MetalLB's controller was Ready then, or first looked for */
};

/*
 * The name of the Deployment of MetalLB's controller that is in charge, NULL when none is: one that
 * is Ready, or that wants replicas and may get Ready again. deployments is a list, of one
 * namespace. Borrowed from it.
 */
const char *rival_in_charge(struct rival_watch *w, struct json_object *deployments, usec_t now);

#endif
