/*
 * Interfaces left out of layer 2 by name: /etc/metallb/excludel2.yaml, a list of regular
 * expressions under announcedInterfacesToExclude.
 */
#ifndef METALLB_SPEAKER_EXCLUDE_H
#define METALLB_SPEAKER_EXCLUDE_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

struct exclude;

#define EXCLUDE_FILE_MAX     ((size_t)1 << 20) /* as large as a ConfigMap can be */
#define EXCLUDE_PATTERNS_MAX 1000u

/* From the YAML text. NULL with a reason. */
struct exclude *exclude_parse(const char *text, size_t len, struct err *err);
/* From a file; one that does not exist excludes nothing. */
struct exclude *exclude_load(const char *path, struct err *err);
struct exclude *exclude_free(struct exclude *x);
/* An unanchored match of any pattern. */
bool exclude_matches(const struct exclude *x, const char *name);

#endif
