/*
 * Promise: whatever the texts in a pool, an advertisement, a peer and a community, the build ends,
 * every object is either in the configuration or has a finding, and no two ranges overlap. The
 * input is a JSON list of objects with apiVersion and kind.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "metallb/config.h"
#include "metallb/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define OBJECTS_MAX 16

struct lists {
	struct objects objs;
	const void *items[API_KIND_COUNT][OBJECTS_MAX];
	size_t n[API_KIND_COUNT];
};

static void load(struct lists *l, json_object *json)
{
	for (size_t i = 0; i < json_object_array_length(json) && i < OBJECTS_MAX; i++) {
		json_object *obj = json_object_array_get_idx(json, i), *v = NULL, *k = NULL;
		enum api_kind kind;

		if (!json_object_is_type(obj, json_type_object) ||
		    !json_object_object_get_ex(obj, "apiVersion", &v) ||
		    !json_object_object_get_ex(obj, "kind", &k) ||
		    !api_kind_find(json_object_get_string(v) ?: "", json_object_get_string(k) ?: "",
				   &kind))
			continue;
		struct api_object *decoded = api_decode(kind, obj, NULL);

		if (decoded)
			l->items[kind][l->n[kind]++] = decoded;
	}
	l->objs = (struct objects){
		.pools = (const void *)l->items[API_IPADDRESSPOOL],
		.n_pools = l->n[API_IPADDRESSPOOL],
		.l2advs = (const void *)l->items[API_L2ADVERTISEMENT],
		.n_l2advs = l->n[API_L2ADVERTISEMENT],
		.bgpadvs = (const void *)l->items[API_BGPADVERTISEMENT],
		.n_bgpadvs = l->n[API_BGPADVERTISEMENT],
		.peers = (const void *)l->items[API_BGPPEER],
		.n_peers = l->n[API_BGPPEER],
		.bfds = (const void *)l->items[API_BFDPROFILE],
		.n_bfds = l->n[API_BFDPROFILE],
		.communities = (const void *)l->items[API_COMMUNITY],
		.n_communities = l->n[API_COMMUNITY],
		.nodes = (const void *)l->items[API_NODE],
		.n_nodes = l->n[API_NODE],
		.namespaces = (const void *)l->items[API_NAMESPACE],
		.n_namespaces = l->n[API_NAMESPACE],
		.secrets = (const void *)l->items[API_SECRET],
		.n_secrets = l->n[API_SECRET],
	};
}

static void check(const struct config *cfg, const struct config_report *report,
		  const struct objects *objs)
{
	size_t bad = report->n_errors + report->n_transient;

	for (size_t i = 1; i < cfg->n_spans; i++)
		if (ip_cmp(&cfg->spans[i - 1].range.last, &cfg->spans[i].range.first) >= 0)
			__builtin_trap();
	if (cfg->n_pools + bad < objs->n_pools || cfg->n_peers + bad < objs->n_peers ||
	    cfg->n_bgpadvs + bad < objs->n_bgpadvs)
		__builtin_trap();
	for (size_t i = 0; i < cfg->n_pools; i++)
		if (config_find_pool(cfg, cfg->pools[i].name) != &cfg->pools[i] ||
		    config_pool_of(cfg, &cfg->pools[i].ranges[0].range.last) != &cfg->pools[i])
			__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const enum bgp_backend backends[] = {BACKEND_NATIVE, BACKEND_FRR_K8S};
	struct lists l = {.n = {0}};

	if (len > 1 << 20)
		return 0;
	json_tokener *tok = json_tokener_new_ex(API_DEPTH_MAX);
	json_object *json = json_tokener_parse_ex(tok, (const char *)data, (int)len);

	json_tokener_free(tok);
	if (json_object_is_type(json, json_type_array))
		load(&l, json);
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		struct config_options opt = {.backend = backends[i]};
		struct config *cfg;
		struct config_report *report;

		config_build(&l.objs, &opt, &cfg, &report);
		check(cfg, report, &l.objs);
		if (!config_equal(cfg, cfg))
			__builtin_trap();
		config_report_free(report);
		config_free(cfg);
	}
	for (size_t k = 0; k < API_KIND_COUNT; k++)
		for (size_t i = 0; i < l.n[k]; i++)
			api_object_free((void *)(uintptr_t)l.items[k][i]);
	json_object_put(json);
	return 0;
}
