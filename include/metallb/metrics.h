/*
 * Metrics in Prometheus text format 0.0.4. Series are created on first use and deleted by their
 * labels. One registry per process; shells own it. Not thread-safe.
 */
#ifndef METALLB_METRICS_H
#define METALLB_METRICS_H

#include <stddef.h>

#include "metallb/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric; /* a family: name, help, label names, series */

#define METRIC_LABELS_MAX 4

/*
 * Register a family; lives until the process ends. labels: names, NULL-terminated (or NULL).
 * For histograms `buckets` are upper bounds in ascending order, +Inf added; kept by reference.
 */
struct metric *metric_new(enum metric_type type, const char *name, const char *help,
			  const char *const *labels, const double *buckets, size_t n_buckets);
/* Label values in the order of the names, NULL-terminated; NULL for no labels. */
void metric_add(struct metric *m, const char *const *values, double v);
void metric_set(struct metric *m, const char *const *values, double v);
void metric_observe(struct metric *m, const char *const *values, double v);
void metric_del(struct metric *m, const char *const *values);
/* Delete every series whose label number `label` has that value. */
void metric_del_where(struct metric *m, size_t label, const char *value);
void metric_clear(struct metric *m);                                  /* delete all series */
double metric_get(const struct metric *m, const char *const *values); /* 0 when absent */
/* Append all families in order of registration, plus process_* figures. */
void metrics_format(struct buf *out);
/* For tests: forget everything. */
void metrics_reset(void);

#define METRIC_VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
