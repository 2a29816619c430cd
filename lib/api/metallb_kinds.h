/*
 * Shapes of the metallb.io kinds that have a file of their own.
 */
#ifndef METALLB_API_METALLB_KINDS_H
#define METALLB_API_METALLB_KINDS_H

#include "lib/api/schema.h"

extern const struct shape service_l2_shape, service_bgp_shape; /* status_kinds.c */
extern const struct shape configuration_state_shape;
extern const struct shape metallb_shape;    /* operator_kind.c */
extern const struct shape schema_condition; /* metav1.Condition */

extern const struct shape schema_affinity, schema_toleration, schema_resources; /* podspec.c */

enum selector_op selector_op_parse(const char *text); /* selector.c */

#endif
