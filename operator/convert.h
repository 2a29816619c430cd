/*
 * The conversion webhook of BGPPeer between v1beta1 and v1beta2. Pure.
 */
#ifndef OPERATOR_CONVERT_H
#define OPERATOR_CONVERT_H

#include <stddef.h>

#include "metallb/buf.h"

/* Where a v1beta1 object carries what only v1beta2 can say, as JSON. */
#define CONVERT_ANNOTATION "metallb.io/v1beta2-fields"

/* A ConversionReview's bytes to the answer's. Returns the HTTP status: 200, or 400 with a text. */
int convert_review(const char *body, size_t len, struct buf *out);

#endif
