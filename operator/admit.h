/*
 * Admission: whether an object may be written or deleted, given all others. The rules of the
 * configuration are those of config_build() itself; what is here is the frame around it. Pure.
 */
#ifndef OPERATOR_ADMIT_H
#define OPERATOR_ADMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/buf.h"
#include "metallb/config.h"

#define ADMIT_WARNINGS_MAX 16
#define ADMIT_NAMES_MAX    10 /* Services that a warning names */
#define ADMIT_FINDINGS_MAX 10 /* reasons in one refusal */

/* A Service of type LoadBalancer: what is asked of it here. */
struct admit_service {
	const char *namespace, *name;
	const struct ip *ips;
	size_t n_ips;
};

/* What there is now; everything is borrowed. */
struct admit_snapshot {
	const char *ns; /* where the objects must be */
	enum bgp_backend backend;
	struct objects objs;
	/* What config_build() makes of objs, for the shortcut past building all of it; or NULL. */
	const struct config *current;
	const struct admit_service *const *services;
	size_t n_services;
	bool frrk8s_namespace_known; /* of an external frr-k8s, from the environment */
};

enum admit_operation { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE };

struct admit_verdict {
	bool allowed;
	int code;           /* of a refusal: 400, 403, 409 ... */
	struct buf message; /* why not */
	char *warnings[ADMIT_WARNINGS_MAX];
	size_t n_warnings;
};

void admit_verdict_fini(struct admit_verdict *v);

/*
 * The verdict on decoded objects. object is NULL for a deletion, old for a creation. v is
 * initialised here.
 */
void admit_object(const struct admit_snapshot *s, enum admit_operation op,
		  const struct api_object *object, const struct api_object *old,
		  struct admit_verdict *v);

struct admit_outcome {
	bool allowed;
	bool changes; /* the API server will store something that differs, unless others refuse it
		       */
};

/*
 * An AdmissionReview's bytes (admission.k8s.io v1 or v1beta1) to the answer's, for objects of
 * `kind`. Returns the HTTP status: 200, or 400 with a text. *outcome is set with 200.
 */
int admit_review(const struct admit_snapshot *s, enum api_kind kind, const char *body, size_t len,
		 struct buf *out, struct admit_outcome *outcome);

#endif
