/*
 * Registration and the per-pool gauges.
 */
#include "operator/metrics.h"

#include "metallb/xalloc.h"

struct operator_metrics operator_metrics;

static struct metric *total[FAM_COUNT + 1], *in_use[FAM_COUNT + 1]; /* the last: both families */

static struct metric *pool_gauge(const char *name, const char *help)
{
	static const char *const labels[] = {"pool", NULL};

	return metric_new(METRIC_GAUGE, name, help, labels, NULL, 0);
}

void operator_metrics_init(void)
{
	struct operator_metrics *m = &operator_metrics;

	total[FAM_COUNT] =
		pool_gauge("metallb_allocator_addresses_total", "Usable addresses of the pool");
	total[FAM_V4] = pool_gauge("metallb_allocator_ipv4_addresses_total",
				   "Usable IPv4 addresses of the pool");
	total[FAM_V6] = pool_gauge("metallb_allocator_ipv6_addresses_total",
				   "Usable IPv6 addresses of the pool");
	in_use[FAM_COUNT] = pool_gauge("metallb_allocator_addresses_in_use_total",
				       "Addresses of the pool that Services have");
	in_use[FAM_V4] = pool_gauge("metallb_allocator_ipv4_addresses_in_use_total",
				    "IPv4 addresses of the pool that Services have");
	in_use[FAM_V6] = pool_gauge("metallb_allocator_ipv6_addresses_in_use_total",
				    "IPv6 addresses of the pool that Services have");
	m->updates = metric_new(METRIC_COUNTER, "metallb_k8s_client_updates_total",
				"Changes of Kubernetes objects that were processed", NULL, NULL, 0);
	m->update_errors = metric_new(METRIC_COUNTER, "metallb_k8s_client_update_errors_total",
				      "Changes of Kubernetes objects that could not be carried out",
				      NULL, NULL, 0);
	m->config_loaded = metric_new(METRIC_GAUGE, "metallb_k8s_client_config_loaded_bool",
				      "1 when a configuration was loaded", NULL, NULL, 0);
	m->config_stale = metric_new(METRIC_GAUGE, "metallb_k8s_client_config_stale_bool",
				     "1 when some of the newest configuration is not in force",
				     NULL, NULL, 0);
	m->leader = metric_new(METRIC_GAUGE, "metallb_operator_leader_bool",
			       "1 while this replica leads", NULL, NULL, 0);
	metric_set(m->config_loaded, NULL, 0);
	metric_set(m->config_stale, NULL, 0);
	metric_set(m->leader, NULL, 0);
	metric_add(m->updates, NULL, 0);
	metric_add(m->update_errors, NULL, 0);
}

void operator_metrics_set_pool(const struct alloc_counters *c)
{
	double all = 0, used = 0;

	for (unsigned f = 0; f < FAM_COUNT; f++) {
		metric_set(total[f], METRIC_VALUES(c->pool), (double)c->capacity[f]);
		metric_set(in_use[f], METRIC_VALUES(c->pool), (double)c->in_use[f]);
		all += (double)c->capacity[f];
		used += (double)c->in_use[f];
	}
	metric_set(total[FAM_COUNT], METRIC_VALUES(c->pool), all);
	metric_set(in_use[FAM_COUNT], METRIC_VALUES(c->pool), used);
}

void operator_metrics_del_pool(const char *pool)
{
	for (unsigned f = 0; f <= FAM_COUNT; f++) {
		metric_del(total[f], METRIC_VALUES(pool));
		metric_del(in_use[f], METRIC_VALUES(pool));
	}
}
