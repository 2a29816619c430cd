/*
 * The operator's metrics, under MetalLB's names.
 */
#ifndef OPERATOR_METRICS_H
#define OPERATOR_METRICS_H

#include "metallb/metrics.h"
#include "operator/allocator.h"

struct operator_metrics {
	struct metric *updates, *update_errors, *config_loaded, *config_stale;
	struct metric *leader;
};

extern struct operator_metrics operator_metrics;

/* Once, before anything else of the operator is made. */
void operator_metrics_init(void);
void operator_metrics_set_pool(const struct alloc_counters *c);
void operator_metrics_del_pool(const char *pool);

#endif
