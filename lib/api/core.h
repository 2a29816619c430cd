/*
 * Shapes of core kinds that have a file of their own.
 */
#ifndef METALLB_API_CORE_H
#define METALLB_API_CORE_H

#include "lib/api/schema.h"

extern const struct shape endpointslice_shape; /* endpoints.c */

#endif
