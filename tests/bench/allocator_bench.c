/*
 * What an allocation and a release cost when the pool is nearly empty and when it is nearly full,
 * in a /16 and a /8, and 10^6 allocations in a row. Prints one JSON object per figure:
 * {"bench", "metric", "unit", "value", "runs", "min", "max"}.
 *
 * "ordered": the pool was filled from its start. "scattered": at random, so that the taken
 * addresses make as many runs as they can; in the /8 the filling is done in the pool itself,
 * without a Service for each of millions of addresses.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metallb/xalloc.h"
#include "operator/allocator_impl.h"
#include "operator/choose.h"

#define OPS  20000u /* of one measurement */
#define RUNS 5u
#define LIVE 4096u /* Services that are released and given an address again */

static uint64_t random_state;

static uint32_t next_random(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A configuration of one pool with one prefix. */
struct fixture {
	struct config config;
	struct config_pool pool;
	struct config_range range;
	struct prefix prefix;
	struct allocator *a;
};

static void fixture_init(struct fixture *f, const char *prefix)
{
	struct allocator_options opt = {0};

	*f = (struct fixture){0};
	if (!prefix_parse(prefix, &f->prefix))
		abort();
	f->range = (struct config_range){
		prefix, {f->prefix.ip, prefix_last(&f->prefix)}, &f->prefix, 1};
	f->pool = (struct config_pool){
		.name = "p", .ranges = &f->range, .n_ranges = 1, .auto_assign = true};
	f->config = (struct config){.pools = &f->pool, .n_pools = 1};
	f->a = allocator_new(&opt);
	allocator_set_config(f->a, &f->config);
}

static void fixture_fini(struct fixture *f)
{
	allocator_free(f->a);
}

static struct alloc_service service(char key[24], unsigned i)
{
	static const struct labels none;
	static const struct service_port port = {"", SVC_TCP, 80};

	snprintf(key, 24, "default/s%u", i);
	return (struct alloc_service){
		.key = key,
		.ns = "default",
		.labels = &none,
		.sharing_key = "",
		.backend_key = "",
		.ports = &port,
		.n_ports = 1,
	};
}

static void allocate(struct fixture *f, unsigned i)
{
	struct alloc_want want = {.fam = {true, false}, .pool = ""};
	char key[24];
	struct alloc_service svc = service(key, i);
	struct alloc_ips ips;

	if (!allocator_allocate(f->a, &svc, &want, &ips, NULL)) {
		fprintf(stderr, "allocator_bench: no address for %s\n", key);
		exit(1);
	}
}

static void release(struct fixture *f, unsigned i)
{
	char key[24];

	snprintf(key, sizeof(key), "default/s%u", i);
	allocator_release(f->a, key);
}

static void print_figure(const char *metric, const char *unit, const double *v, size_t n)
{
	double sum = 0, min = v[0], max = v[0];

	for (size_t i = 0; i < n; i++) {
		sum += v[i];
		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
	}
	printf("{\"bench\":\"allocator\",\"metric\":\"%s\",\"unit\":\"%s\",\"value\":%.4g,"
	       "\"runs\":%zu,\"min\":%.4g,\"max\":%.4g}\n",
	       metric, unit, sum / (double)n, n, min, max);
	fflush(stdout);
}

/* Take n addresses: the first ones, or n at random (the fewer of taken and free are drawn). */
static void fill(struct fixture *f, uint64_t n, bool scattered)
{
	struct pool *p = &f->a->pools[0];
	uint64_t size = prefix_size(&f->prefix), draw = n > size / 2 ? size - n : n;
	struct ip_range all = {f->prefix.ip, f->prefix.ip}, hit;
	bool del = n > size / 2;
	struct ip ip;

	if (!scattered || del) {
		(void)ip_add(&f->prefix.ip, (scattered ? size : n) - 1, &all.last);
		runs_add(&p->taken, &all);
	}
	for (uint64_t drawn = 0; scattered && drawn < draw;) {
		(void)ip_add(&f->prefix.ip, next_random() % size, &ip);
		if (runs_find(&p->taken, &ip, &hit) != del)
			continue;
		if (del)
			runs_del(&p->taken, &ip);
		else
			runs_add(&p->taken, &(struct ip_range){ip, ip});
		drawn++;
	}
}

/* Seconds of one release and one allocation at this level. */
static double churn(struct fixture *f)
{
	double start = now_s();

	for (unsigned i = 0; i < OPS; i++) {
		unsigned who = next_random() % LIVE;

		release(f, who);
		allocate(f, who);
	}
	return (now_s() - start) / OPS;
}

static double measure_level(const char *prefix, unsigned percent, bool scattered)
{
	double values[RUNS], sum = 0;
	struct fixture f;
	char metric[64];

	random_state = percent;
	fixture_init(&f, prefix);
	uint64_t n = prefix_size(&f.prefix) * percent / 100;

	fill(&f, n > LIVE ? n - LIVE : 1, scattered);
	for (unsigned i = 0; i < LIVE && i < n; i++)
		allocate(&f, i);
	for (unsigned i = (unsigned)n; i < LIVE; i++)
		allocate(&f, i);
	for (unsigned r = 0; r < RUNS; r++) {
		values[r] = churn(&f) * 1e6;
		sum += values[r];
	}
	snprintf(metric, sizeof(metric), "release and allocate, %s %u%% full, %s",
		 strchr(prefix, '/'), percent, scattered ? "scattered" : "ordered");
	print_figure(metric, "us", values, RUNS);
	fixture_fini(&f);
	return sum / RUNS;
}

/* 10^6 Services get an address each and give it back. */
static void measure_million(const char *prefix, unsigned n)
{
	struct fixture f;
	double start, up, down;
	char metric[64];

	fixture_init(&f, prefix);
	start = now_s();
	for (unsigned i = 0; i < n; i++)
		allocate(&f, i);
	up = (now_s() - start) / n * 1e6;
	start = now_s();
	for (unsigned i = 0; i < n; i++)
		release(&f, i);
	down = (now_s() - start) / n * 1e6;
	snprintf(metric, sizeof(metric), "allocate %u in a row, %s", n, strchr(prefix, '/'));
	print_figure(metric, "us each", &up, 1);
	snprintf(metric, sizeof(metric), "release %u in a row, %s", n, strchr(prefix, '/'));
	print_figure(metric, "us each", &down, 1);
	fixture_fini(&f);
}

int main(void)
{
	static const char *const prefixes[] = {"10.0.0.0/16", "10.0.0.0/8"};
	static const unsigned levels[] = {1, 10, 50, 90, 99};

	for (size_t p = 0; p < ARRAY_SIZE(prefixes); p++)
		for (int scattered = 0; scattered < 2; scattered++) {
			double first = 0, last = 0, ratio;
			char metric[64];

			for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
				last = measure_level(prefixes[p], levels[i], scattered);
				first = i == 0 ? last : first;
			}
			ratio = last / first;
			snprintf(metric, sizeof(metric), "cost at 99%% over cost at 1%%, %s, %s",
				 strchr(prefixes[p], '/'), scattered ? "scattered" : "ordered");
			print_figure(metric, "ratio", &ratio, 1);
		}
	measure_million("10.0.0.0/8", 1000000);
	return 0;
}
