/*
 * What the files speakers*.c share.
 */
#ifndef OPERATOR_SPEAKERS_IMPL_H
#define OPERATOR_SPEAKERS_IMPL_H

#include <ev.h>

#include "metallb/kube_informer.h"
#include "operator/crds.h"
#include "operator/render.h"
#include "operator/rollout.h"
#include "operator/settings.h"
#include "operator/speakers.h"

#define SPEAKERS_WATCHES_MAX 12
#define SPEAKERS_SELECTOR    "app=metallb,component=speaker"
/* On our Deployment: the default resource has been made, or was not needed. Whoever deletes the
 * resource later means it. */
#define SPEAKERS_MARK "metallb.io/default-resource"
/* On the DaemonSet: take all announcements back. Ours says "operator", a person something else. */
#define SPEAKERS_WITHDRAW       "metallb.io/withdraw"
#define SPEAKERS_REMOVAL        "operator"
#define SPEAKERS_WITHDRAW_TIME  (20 * USEC_PER_SEC)
#define SPEAKERS_CONFLICT_DELAY (300 * USEC_PER_MSEC)
#define SPEAKERS_EXCLUDE        "metallb-excludel2"

/* One object that we look after, in an informer of its own. */
struct speakers_watch {
	const struct kube_resource *resource;
	const char *name;
	char *selector;
	struct kube_informer *informer;
	/* Of our last apply, to tell a server's way of writing a value from another value. */
	int64_t generation;
	char sum[24];
	usec_t applied_at; /* 0: its answer has been seen by the watch as well */
	char version[24];  /* resourceVersion of the answer */
};

struct speakers {
	struct speakers_spec spec;
	struct ev_loop *loop;
	struct speakers_watch watches[SPEAKERS_WATCHES_MAX];
	size_t n_watches;
	struct kube_informer *pods;    /* of struct speaker_pod */
	struct kube_informer *frr_crd; /* the CRD of frr-k8s, or nothing */
	struct crds *crds;
	char *image, *pull_secrets; /* NULL until our own pod is known */

	struct kube_call *call; /* one step at a time */
	struct speakers_watch *applying;
	bool replacing; /* the step is a JSON patch that tests the version it was made from */
	ev_timer timer;
	char *failure; /* of the last step; NULL: none */
	bool forbidden;
	usec_t retry_at, backoff;
	char *invalid; /* what is wrong with the resource; NULL: nothing */

	/* the rollout */
	struct rollout rollout;
	usec_t progress_at; /* when it last came on */
	bool rolled_back, rollback_asked;

	size_t n_monitors; /* of those of other settings, the ones that are dealt with */
	usec_t made_at;    /* the default resource; 0: not by us */

	/* the removal */
	usec_t withdraw_at; /* 0: not going on */
	bool looked[2];     /* at the two kinds of status: nothing is announced there */
	usec_t look_at;

	/* the status */
	struct kube_call *status_call;
	usec_t status_at; /* not before */
	char *told;       /* the reason of the last event */
};

/* speakers.c */
struct speakers_watch *speakers_watch_of(struct speakers *s, const struct kube_resource *resource,
					 const char *name);
/* The object that is there; NULL when there is none. */
struct json_object *speakers_live(struct speakers *s, const struct kube_resource *resource,
				  const char *name);
/* Look again, not later than then. */
void speakers_arm(struct speakers *s, usec_t at);
/* A step or a question failed: what to say, and when to try again. */
void speakers_on_failure(struct speakers *s, const struct kube_result *result, usec_t now);
bool speakers_may_write(const struct speakers *s);
bool speakers_is_stalled(const struct speakers *s, usec_t now);
const char *speakers_image_of(struct json_object *daemonset);
/* The backend is frr-k8s, and the CRD of that is not there. */
bool speakers_lack_frr(const struct speakers *s, const struct metallb *m);

/* speakers_steps.c: start the next thing to do; false: there is nothing. */
bool speakers_advance(struct speakers *s, usec_t now);
/* The watch has not shown yet what our last write of it has made. */
bool speakers_is_behind(struct speakers *s, struct speakers_watch *w, usec_t now);
/* A step's answer. */
void speakers_on_step(void *user, const struct kube_result *result);

/* What the resource (or NULL) says of our own Deployment. */
bool speakers_settle_controller(struct speakers *s, const struct metallb *m);
/* Set an annotation of an object that is there, or take it away (NULL). */
bool speakers_annotate(struct speakers *s, const struct kube_resource *resource, const char *name,
		       const char *key, const char *value);

/* speakers_monitors.c: remove a monitor of other settings; false: there is none left. */
bool speakers_drop_monitors(struct speakers *s);

/* speakers_remove.c: the resource is not there. */
bool speakers_absent(struct speakers *s, usec_t now);

/* speakers_status.c: start writing a status that differs; false: there is none. */
bool speakers_write_status(struct speakers *s, usec_t now);

#endif
