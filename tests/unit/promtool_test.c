/*
 * What metrics_format() writes is what Prometheus itself takes: promtool check metrics.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "metallb/metrics.h"
#include "metallb/xalloc.h"

static int promtool(const char *text, size_t n)
{
	FILE *f = popen("promtool check metrics", "w");
	int status;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_output(void **state)
{
	static const double buckets[] = {0.001, 0.01, 0.1, 1};
	static const char *const labels[] = {"pool", "path", NULL};
	_cleanup_(buf_fini) struct buf out = {0};

	(void)state;
	metrics_reset();
	struct metric *counter =
		metric_new(METRIC_COUNTER, "test_requests_total", "Requests.", labels, NULL, 0);
	struct metric *gauge = metric_new(METRIC_GAUGE, "test_level", "A level.", NULL, NULL, 0);
	struct metric *histogram = metric_new(METRIC_HISTOGRAM, "test_duration_seconds",
					      "How long.", labels, buckets, ARRAY_SIZE(buckets));

	metric_add(counter, METRIC_VALUES("a", "quote \" back \\ line \n end"), 3);
	metric_set(gauge, NULL, -1.5e300);
	for (int i = 0; i < 100; i++)
		metric_observe(histogram, METRIC_VALUES("a", "/x"), i / 50.0);
	metrics_format(&out);
	assert_int_equal(promtool(out.data, out.len), 0);
	/* the check itself can fail */
	buf_add_str(&out, "test_level{ 5\n");
	assert_int_not_equal(promtool(out.data, out.len), 0);
	metrics_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_output)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
