/*
 * How long config_build() takes for 1,000 pools, 1,000 advertisements of each kind and 5,000 nodes,
 * and how much memory the configuration holds. One JSON object per figure on stdout.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "metallb/config.h"
#include "metallb/xalloc.h"

#define N_POOLS 1000
#define N_ADVS  1000
#define N_NODES 5000
#define RUNS    7

static struct api_object *decode(enum api_kind kind, char *text)
{
	json_object *json = json_tokener_parse(text);
	struct err err = {.msg = ""};
	struct api_object *obj = api_decode(kind, json, &err);

	if (!obj) {
		fprintf(stderr, "config_bench: %s\n", err.msg);
		exit(1);
	}
	json_object_put(json);
	free(text);
	return obj;
}

#define META "\"metadata\":{\"name\":\"%s%d\",\"namespace\":\"metallb-system\"}"

static struct api_object *make_pool(int i)
{
	return decode(API_IPADDRESSPOOL,
		      xasprintf("{\"metadata\":{\"name\":\"pool%d\",\"labels\":{\"team\":\"t%d\"}},"
				"\"spec\":{\"addresses\":[\"10.%d.%d.0/24\",\"192.%d.%d.10-"
				"192.%d.%d.200\"]}}",
				i, i % 50, i / 256, i % 256, i / 256, i % 256, i / 256, i % 256));
}

static struct api_object *make_l2adv(int i)
{
	return decode(API_L2ADVERTISEMENT,
		      xasprintf("{" META ",\"spec\":{\"ipAddressPools\":[\"pool%d\"],"
				"\"ipAddressPoolSelectors\":[{\"matchLabels\":{\"team\":\"t%d\"}}],"
				"\"nodeSelectors\":[{\"matchLabels\":{\"rack\":\"r%d\"}}]}}",
				"l2-", i, i, i % 50, i % 200));
}

static struct api_object *make_bgpadv(int i)
{
	return decode(API_BGPADVERTISEMENT,
		      xasprintf("{" META ",\"spec\":{\"ipAddressPools\":[\"pool%d\"],"
				"\"communities\":[\"65000:%d\"],\"localPref\":%d,\"nodeSelectors\":"
				"[{\"matchExpressions\":[{\"key\":\"rack\",\"operator\":\"In\","
				"\"values\":[\"r%d\",\"r%d\"]}]}]}}",
				"bgp-", i, i, i, i % 3 * 100, i % 200, (i + 1) % 200));
}

static struct api_object *make_node(int i)
{
	return decode(API_NODE,
		      xasprintf("{\"metadata\":{\"name\":\"node%d\",\"labels\":{"
				"\"kubernetes.io/hostname\":\"node%d\",\"kubernetes.io/os\":"
				"\"linux\",\"rack\":\"r%d\",\"zone\":\"z%d\"}}}",
				i, i, i % 200, i % 3));
}

static const void **make_all(struct api_object *(*make)(int i), int n)
{
	const void **list = xcalloc((size_t)n, sizeof(*list));

	for (int i = 0; i < n; i++)
		list[i] = make(i);
	return list;
}

static void print(const char *metric, const char *unit, double *values, size_t n)
{
	double sum = 0, min = values[0], max = values[0];

	for (size_t i = 0; i < n; i++) {
		sum += values[i];
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
	}
	printf("{\"bench\":\"config\",\"metric\":\"%s\",\"unit\":\"%s\",\"value\":%.3f,"
	       "\"runs\":%zu,\"min\":%.3f,\"max\":%.3f}\n",
	       metric, unit, sum / (double)n, n, min, max);
}

static void run(const struct objects *objs, double *seconds, double *mib)
{
	struct config_options opt = {.backend = BACKEND_FRR};
	struct config *cfg;
	struct config_report *report;
	usec_t start = clock_now();

	config_build(objs, &opt, &cfg, &report);
	*seconds = (double)(clock_now() - start) / 1e6;
	*mib = (double)arena_size(cfg->arena) / 1048576.;
	if (cfg->n_pools != N_POOLS || report->n_errors > 0) {
		fprintf(stderr, "config_bench: %zu pools, %zu errors, first: %s\n", cfg->n_pools,
			report->n_errors, report->n_findings ? report->findings[0].message : "");
		exit(1);
	}
	config_report_free(report);
	config_free(cfg);
}

int main(void)
{
	const void **pools = make_all(make_pool, N_POOLS), **nodes = make_all(make_node, N_NODES);
	const void **l2advs = make_all(make_l2adv, N_ADVS);
	const void **bgpadvs = make_all(make_bgpadv, N_ADVS);
	struct objects objs = {
		.pools = (const void *)pools,
		.n_pools = N_POOLS,
		.l2advs = (const void *)l2advs,
		.n_l2advs = N_ADVS,
		.bgpadvs = (const void *)bgpadvs,
		.n_bgpadvs = N_ADVS,
		.nodes = (const void *)nodes,
		.n_nodes = N_NODES,
	};
	double seconds[RUNS], mib[RUNS], rss;
	struct rusage usage;

	for (size_t i = 0; i < RUNS; i++)
		run(&objs, &seconds[i], &mib[i]);
	getrusage(RUSAGE_SELF, &usage);
	rss = (double)usage.ru_maxrss / 1024.;
	print("build 1000 pools, 2000 advertisements, 5000 nodes", "s", seconds, RUNS);
	print("configuration in memory", "MiB", mib, RUNS);
	print("peak resident size with all objects", "MiB", &rss, 1);
	return 0;
}
