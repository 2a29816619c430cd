/*
 * The registry of metrics and its text format (Prometheus exposition 0.0.4). The one global of the
 * process, owned by the shell. Series live in a table under their label values joined by NUL.
 */
#include "metallb/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metallb/clock.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

struct series {
	double value; /* the sum, for a histogram */
	uint64_t count;
	uint64_t *bucket; /* per bound, not cumulative */
};

struct metric {
	enum metric_type type;
	const char *name, *help;
	const char *labels[METRIC_LABELS_MAX];
	size_t n_labels, n_buckets;
	const double *buckets;
	struct table series;
};

static struct metric **metrics;
static size_t n_metrics, cap_metrics;

struct metric *metric_new(enum metric_type type, const char *name, const char *help,
			  const char *const *labels, const double *buckets, size_t n_buckets)
{
	struct metric *m = xcalloc(1, sizeof(*m));

	m->type = type;
	m->name = name;
	m->help = help;
	m->buckets = buckets;
	m->n_buckets = n_buckets;
	for (; labels && labels[m->n_labels]; m->n_labels++) {
		assert(m->n_labels < METRIC_LABELS_MAX);
		m->labels[m->n_labels] = labels[m->n_labels];
	}
	ARRAY_GROW(metrics, n_metrics, cap_metrics);
	metrics[n_metrics++] = m;
	return m;
}

/* Label values joined, each followed by NUL. */
static void make_key(const struct metric *m, const char *const *values, struct buf *key)
{
	for (size_t i = 0; i < m->n_labels; i++) {
		assert(values && values[i]);
		buf_add(key, values[i], strlen(values[i]) + 1);
	}
	if (!m->n_labels)
		buf_add(key, "", 0);
}

static struct series *series_find(const struct metric *m, const char *const *values)
{
	struct buf key = {0};

	make_key(m, values, &key);
	struct series *s = table_find_n(&m->series, key.data, key.len);
	buf_fini(&key);
	return s;
}

static struct series *series_get(struct metric *m, const char *const *values)
{
	struct buf key = {0};

	make_key(m, values, &key);
	struct series *s = table_find_n(&m->series, key.data, key.len);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		if (m->n_buckets)
			s->bucket = xcalloc(m->n_buckets, sizeof(*s->bucket));
		table_set_n(&m->series, key.data, key.len, s);
	}
	buf_fini(&key);
	return s;
}

static void series_free(struct series *s)
{
	if (s)
		free(s->bucket);
	free(s);
}

void metric_add(struct metric *m, const char *const *values, double v)
{
	series_get(m, values)->value += v;
}

void metric_set(struct metric *m, const char *const *values, double v)
{
	series_get(m, values)->value = v;
}

void metric_observe(struct metric *m, const char *const *values, double v)
{
	struct series *s = series_get(m, values);

	assert(m->type == METRIC_HISTOGRAM);
	s->value += v;
	s->count++;
	for (size_t i = 0; i < m->n_buckets; i++)
		if (v <= m->buckets[i]) {
			s->bucket[i]++;
			break;
		}
}

void metric_del(struct metric *m, const char *const *values)
{
	struct buf key = {0};

	make_key(m, values, &key);
	series_free(table_del_n(&m->series, key.data, key.len));
	buf_fini(&key);
}

static const char *label_value(const struct table_entry *e, size_t label)
{
	const char *p = e->key;

	while (label-- > 0)
		p += strlen(p) + 1;
	return p;
}

void metric_del_where(struct metric *m, size_t label, const char *value)
{
	assert(label < m->n_labels);
	table_for_each (&m->series, e) {
		if (strcmp(label_value(e, label), value) == 0) {
			struct series *s = e->value;

			table_del_n(&m->series, e->key, e->key_len);
			series_free(s);
		}
	}
}

void metric_clear(struct metric *m)
{
	table_for_each (&m->series, e)
		series_free(e->value);
	table_fini(&m->series);
	table_init(&m->series);
}

double metric_get(const struct metric *m, const char *const *values)
{
	const struct series *s = series_find(m, values);

	return s ? s->value : 0;
}

static void add_label_text(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			buf_add_char(out, '\\');
		if (*s == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_char(out, *s);
	}
}

static void add_labels(struct buf *out, const struct metric *m, const struct table_entry *e,
		       const char *le)
{
	const char *sep = "{";

	for (size_t i = 0; i < m->n_labels; i++, sep = ",") {
		buf_printf(out, "%s%s=\"", sep, m->labels[i]);
		add_label_text(out, label_value(e, i));
		buf_add_char(out, '"');
	}
	if (le) {
		buf_printf(out, "%sle=\"%s\"", sep, le);
		sep = ",";
	}
	if (*sep == ',')
		buf_add_char(out, '}');
}

static void add_number(struct buf *out, double v)
{
	if (v == floor(v) && fabs(v) < 1e15)
		buf_printf(out, " %.0f\n", v);
	else
		buf_printf(out, " %.17g\n", v);
}

static void format_histogram(struct buf *out, const struct metric *m, const struct table_entry *e)
{
	const struct series *s = e->value;
	uint64_t below = 0;
	char le[32];

	for (size_t i = 0; i <= m->n_buckets; i++) {
		below = i < m->n_buckets ? below + s->bucket[i] : s->count;
		if (i < m->n_buckets)
			snprintf(le, sizeof(le), "%g", m->buckets[i]);
		else
			strcpy(le, "+Inf");
		buf_printf(out, "%s_bucket", m->name);
		add_labels(out, m, e, le);
		add_number(out, (double)below);
	}
	buf_printf(out, "%s_sum", m->name);
	add_labels(out, m, e, NULL);
	add_number(out, s->value);
	buf_printf(out, "%s_count", m->name);
	add_labels(out, m, e, NULL);
	add_number(out, (double)s->count);
}

static void format_process(struct buf *out)
{
	static usec_t started;
	struct rusage ru;
	long pages = 0;
	FILE *f;

	if (!started)
		started = clock_wall();
	getrusage(RUSAGE_SELF, &ru);
	double cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		     (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	buf_printf(out,
		   "# HELP process_cpu_seconds_total User and system CPU time in seconds.\n"
		   "# TYPE process_cpu_seconds_total counter\n"
		   "process_cpu_seconds_total %.6f\n",
		   cpu);
	f = fopen("/proc/self/statm", "re");
	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	buf_printf(out,
		   "# HELP process_resident_memory_bytes Resident memory in bytes.\n"
		   "# TYPE process_resident_memory_bytes gauge\n"
		   "process_resident_memory_bytes %lld\n",
		   (long long)pages * sysconf(_SC_PAGESIZE));
}

void metrics_format(struct buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	for (size_t i = 0; i < n_metrics; i++) {
		const struct metric *m = metrics[i];

		if (!table_count(&m->series))
			continue;
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
			   types[m->type]);
		table_for_each (&m->series, e) {
			if (m->type == METRIC_HISTOGRAM) {
				format_histogram(out, m, e);
				continue;
			}
			buf_add_str(out, m->name);
			add_labels(out, m, e, NULL);
			add_number(out, ((const struct series *)e->value)->value);
		}
	}
	format_process(out);
}

void metrics_reset(void)
{
	for (size_t i = 0; i < n_metrics; i++) {
		table_for_each (&metrics[i]->series, e) {
			series_free(e->value);
		}
		table_fini(&metrics[i]->series);
		free(metrics[i]);
	}
	free(metrics);
	metrics = NULL;
	n_metrics = cap_metrics = 0;
}
