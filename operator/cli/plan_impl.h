/*
 * Inside the plan's model: plan_model.c reads the objects and gives addresses, plan_announce.c says
 * who announces them.
 */
#ifndef CLI_PLAN_IMPL_H
#define CLI_PLAN_IMPL_H

#include "metallb/announce.h"
#include "metallb/share.h"
#include "metallb/table.h"
#include "operator/cli/plan_model.h"
#include "operator/services.h"

/* A Service that is ours, as it will be once its status is written. */
struct item {
	struct announce_service in;
	const char *key; /* "namespace/name" */
	json_object *out;
};

struct model {
	const struct cli_options *opt;
	struct docs *docs;
	struct doc_lists lists;
	struct config *cfg;
	struct config_report *report;
	struct services *services;
	struct arena *arena;
	struct announce_view **views; /* one per node */
	const struct node *const *nodes;
	size_t n_nodes;
	struct strs speakers; /* nodes with a Ready speaker; items NULL: not known */
	struct table slices;  /* "namespace/service" -> struct slice_list */
	struct item *items;
	size_t n_items;
	struct table by_key;        /* -> struct item */
	struct share_index *shares; /* NULL: every Service is elected alone */
	json_object *out, *findings;
};

struct slice_list {
	const struct endpointslice **items;
	size_t n, cap;
};

static inline json_object *text(const char *s)
{
	return json_object_new_string(s);
}

static inline void set(json_object *obj, const char *key, json_object *v)
{
	json_object_object_add(obj, key, v);
}

/* plan_announce.c, in this order: */
void plan_find_speakers(struct model *m);
void plan_start_views(struct model *m);
void plan_share_all(struct model *m); /* once all addresses are known */
void plan_announce(struct model *m, const struct item *item);

#endif
