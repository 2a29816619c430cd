/*
 * config_build(): the steps in their order. Each step takes the objects of one kind, leaves out bad
 * ones with a reason, and hands on the rest; later steps see only what earlier ones kept.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"
#include "metallb/xalloc.h"

static int peer_cmp(const void *x, const void *y)
{
	return strcmp(((const struct config_peer *)x)->name, ((const struct config_peer *)y)->name);
}

static int adv_cmp(const void *x, const void *y)
{
	return strcmp((*(const struct config_bgpadv *const *)x)->name,
		      (*(const struct config_bgpadv *const *)y)->name);
}

static void emit_peers(struct build *b)
{
	struct config_peer *out = arena_calloc(b->arena, b->n_peers, sizeof(*out));
	size_t n = 0;

	for (size_t i = 0; i < b->n_peers; i++)
		if (!b->peers[i].bad)
			out[n++] = *b->peers[i].out;
	if (n > 1)
		qsort(out, n, sizeof(*out), peer_cmp);
	b->cfg->peers = out;
	b->cfg->n_peers = n;
}

/* The good ones of a list, by name. */
static const struct config_bgpadv **emit_advs(struct build *b, struct adv_work *const *list,
					      size_t n, size_t *n_out)
{
	const struct config_bgpadv **out = arena_calloc(b->arena, n, sizeof(*out));
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (!list[i]->bad)
			out[m++] = list[i]->out;
	if (m > 1)
		qsort(out, m, sizeof(*out), adv_cmp);
	*n_out = m;
	return out;
}

static void emit_pools(struct build *b)
{
	struct config_pool *out = arena_calloc(b->arena, b->n_pools, sizeof(*out));

	for (size_t i = 0; i < b->n_pools; i++) {
		struct pool_work *p = &b->pools[i];

		out[i] = *p->out;
		out[i].l2advs = arena_memdup(b->arena, p->l2advs, p->n_l2advs * sizeof(*p->l2advs));
		out[i].n_l2advs = p->n_l2advs;
		out[i].bgpadvs = emit_advs(b, p->bgpadvs, p->n_bgpadvs, &out[i].n_bgpadvs);
		free(p->l2advs);
		free(p->bgpadvs);
	}
	b->cfg->pools = out;
	b->cfg->n_pools = b->n_pools;
}

static void emit(struct build *b)
{
	struct adv_work **all = arena_calloc(b->scratch, b->n_advs, sizeof(*all));

	for (size_t i = 0; i < b->n_advs; i++)
		all[i] = &b->advs[i];
	b->cfg->bgpadvs = emit_advs(b, all, b->n_advs, &b->cfg->n_bgpadvs);
	emit_peers(b);
	emit_pools(b);
	build_spans(b);
}

static void build_free(struct build *b)
{
	struct arena *a = b->report->arena;

	b->report->findings =
		arena_memdup(a, b->findings, b->report->n_findings * sizeof(*b->findings));
	free(b->findings);
	nodes_fini(b);
	table_fini(&b->aliases);
	table_fini(&b->pool_names);
	table_fini(&b->peer_names);
	table_fini(&b->bfd_names);
	arena_free(b->scratch);
}

void config_build(const struct objects *objs, const struct config_options *opt, struct config **out,
		  struct config_report **report)
{
	struct config_options options = *opt;
	struct build b = {.objs = objs, .opt = &options, .scratch = arena_new()};
	struct arena *report_arena = arena_new();

	if (!options.node)
		options.node = "";
	b.arena = arena_new();
	b.cfg = arena_alloc(b.arena, sizeof(*b.cfg));
	b.report = arena_alloc(report_arena, sizeof(*b.report));
	b.report->arena = report_arena;
	b.cfg->arena = b.arena;
	b.cfg->backend = options.backend;
	b.cfg->bgp_extras = objs->bgp_extras ? copy_str(b.arena, objs->bgp_extras) : "";
	nodes_init(&b);
	build_bfds(&b);
	build_communities(&b);
	build_peers(&b);
	check_peer_pairs(&b);
	build_pools(&b);
	build_l2advs(&b);
	build_bgpadvs(&b);
	check_local_prefs(&b);
	check_echo_mode(&b);
	emit(&b);
	build_free(&b);
	*out = b.cfg;
	*report = b.report;
}

struct config *config_free(struct config *cfg)
{
	if (cfg)
		arena_free(cfg->arena);
	return NULL;
}
