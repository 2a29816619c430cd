/*
 * What AdmissionReview and ConversionReview have in common: reading one from bytes that nobody has
 * checked, and the frame of the answer. Pure.
 */
#ifndef OPERATOR_REVIEW_H
#define OPERATOR_REVIEW_H

#include <json-c/json.h>
#include <stddef.h>

#include "metallb/buf.h"
#include "metallb/err.h"

#define REVIEW_DEPTH_MAX 64  /* nesting; the API server's own objects stay below 32 */
#define REVIEW_UID_MAX   256 /* bytes */

struct review {
	struct json_object *root;
	struct json_object *request; /* borrowed from root */
	const char *api_version, *uid;
};

/*
 * `kind` of `group` (any of its versions v1 and v1beta1, which the answer repeats) with a request
 * and its uid. false with the reason: the bytes are no such thing.
 */
bool review_decode(struct review *r, const char *body, size_t len, const char *group,
		   const char *kind, struct err *err);
void review_fini(struct review *r);
/* '{"apiVersion":...,"kind":...,"response":{"uid":...' ; the caller adds ',...' and "}}". */
void review_begin(const struct review *r, const char *kind, struct buf *out);

/* A member as text: "" when it is absent or something else. */
const char *review_str(struct json_object *o, const char *name);
/* A member of a type, or NULL. */
struct json_object *review_get(struct json_object *o, const char *name, enum json_type type);

#endif
