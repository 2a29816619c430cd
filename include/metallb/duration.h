/*
 * Durations in Go's syntax, as Kubernetes and MetalLB write them: "90s", "1m30s", "1.5h", "250ms",
 * "0". Pure.
 */
#ifndef METALLB_DURATION_H
#define METALLB_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds; false when s is not a duration or does not fit into 64 bits. */
bool duration_parse(const char *s, int64_t *ns);
/* As Go's Duration.String() prints it: "1m30s", "250ms", "0s". buf of 40 bytes; returns buf. */
char *duration_format(int64_t ns, char buf[40]);

#endif
