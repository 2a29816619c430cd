/*
 * What the speakers' DaemonSet and pods tell of the installation: whether a rollout is done, going
 * on or stuck, on which node and why; and the conditions of the MetalLB resource. Pure.
 */
#ifndef OPERATOR_ROLLOUT_H
#define OPERATOR_ROLLOUT_H

#include "metallb/api.h"
#include "metallb/buf.h"
#include "metallb/kube.h"

/* A speaker pod: what is looked at. */
struct speaker_pod {
	char *node, *name;
	char *problem; /* why it is not ready, for a person; "" when it is */
	bool ready;
};

/* For an informer. Never fails: a pod that cannot be read is not ready. */
void *speaker_pod_decode(struct json_object *pod, struct err *err);
void speaker_pod_free(void *pod);

/* The DaemonSet's figures. */
struct rollout {
	bool exists, observed; /* the controller has seen the present generation */
	int64_t desired, updated, ready, available;
};

void rollout_read(struct json_object *daemonset, struct rollout *out);
bool rollout_equal(const struct rollout *a, const struct rollout *b);
/* Every node that should has the present speaker, and it is ready. */
bool rollout_is_done(const struct rollout *r);

enum install_state { INSTALL_AVAILABLE, INSTALL_PROGRESSING, INSTALL_DEGRADED };

struct install_facts {
	const char *wrong_name; /* NULL: the name is right */
	const char *invalid;    /* what is wrong with the resource, or "" */
	const char *failure;    /* of the last write or read that failed, or "" */
	bool forbidden;         /* it was for want of a right */
	struct rollout rollout;
	const struct speaker_pod *const *pods;
	size_t n_pods;
	bool stalled; /* no progress for longer than the deadline */
	/* The previous speaker runs again: by itself after a stall, or on request. */
	bool rolled_back, rollback_asked;
	const char *failed_image, *image; /* of the speaker */
	bool frr_missing;                 /* the backend is frr-k8s, and that is not installed */
	const char *note;                 /* an advice that is no failure, or "" */
};

struct install_verdict {
	enum install_state state;
	const char *reason; /* for the condition that is True */
	struct buf message;
	bool upgradeable;
};

void install_judge(const struct install_facts *f, struct install_verdict *out);

/* Conditions of their own, which are there (and True) only as long as their cause is. */
#define INSTALL_STANDING_BACK "StandingBack"
#define INSTALL_LAYER2        "Layer2Hindered"
#define INSTALL_NOTICES_MAX   2

struct install_notices {
	struct install_notice {
		const char *type, *reason, *message;
	} items[INSTALL_NOTICES_MAX];
	size_t n;
};

/*
 * The conditions Available, Upgradeable, Progressing and Degraded, and the notices, as a merge
 * patch of the status. false when those that are there say the same already; a time changes only
 * with its status.
 */
bool install_patch(const struct metallb *m, const struct install_verdict *v,
		   const struct install_notices *notices, usec_t wall, struct buf *out);
/* The notices alone: the other conditions stay as they are. */
bool install_notices_patch(const struct metallb *m, const struct install_notices *notices,
			   usec_t wall, struct buf *out);

/* ---- going back ---- */

#define HISTORY_NAME          "metallb-speaker-history" /* ConfigMap: the last two that were all ready */
#define HISTORY_ROLLBACK      "metallb.io/rollback"         /* on the MetalLB: "true" = go back */
#define HISTORY_AUTO_ROLLBACK "metallb.io/auto-rollback"    /* on the MetalLB: "true" */
#define HISTORY_FAILED        "metallb.io/rolled-back-from" /* on the DaemonSet: the sum */

struct history_entry {
	const char *sum, *daemonset; /* "" when there is none; borrowed from the ConfigMap */
};

struct history {
	struct history_entry current, previous;
};

void history_read(struct json_object *configmap, struct history *out);
/* Which DaemonSet to apply: NULL = the wanted one, else an entry of the history. */
struct history_question {
	const char *wanted; /* its sum */
	const char *failed; /* HISTORY_FAILED of the DaemonSet that is there */
	bool asked, automatic, stalled;
};
const struct history_entry *history_choose(const struct history *h,
					   const struct history_question *q);
/* The ConfigMap for server-side apply after `sum` was all ready; false: nothing new. */
bool history_format(const struct history *h, const char *ns, const char *sum,
		    struct json_object *daemonset, struct buf *out);

#endif
