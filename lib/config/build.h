/*
 * Internals of config_build(): the working state that its steps share, and one function per step.
 */
#ifndef METALLB_CONFIG_BUILD_H
#define METALLB_CONFIG_BUILD_H

#include "metallb/config.h"
#include "metallb/table.h"

/* What a node selection found: names sorted; `id` is equal for equal sets. */
struct node_set {
	struct strs names; /* in the configuration's arena */
	uint64_t *bits;    /* by node number, in scratch memory */
	size_t id;
	bool all;
};

struct node_cache {
	size_t n_nodes, n_words, n_sets;
	const char **names; /* sorted; in the configuration's arena */
	const struct labels **labels;
	struct table by_selectors; /* text of the selectors -> struct node_set */
	struct table by_bits;      /* content -> struct node_set */
	struct table by_label;     /* "key=value" -> struct label_nodes; filled on first use */
	bool indexed;
};

/* An advertisement on its way to a pool, with what the pairwise checks compare. */
struct adv_work {
	const struct bgpadvertisement *in;
	struct config_bgpadv *out;
	const struct node_set *nodes;
	struct strs peers; /* sorted, unique; empty: all */
	size_t class;      /* equal for equal localPref, lengths, peers, nodes, plain selectors */
	bool bad;
};

struct pool_work {
	const struct ipaddresspool *in;
	struct config_pool *out;
	bool has_v4, has_v6;
	/* The largest of the least specific prefixes' lengths of all entries: what an
	 * aggregation length must not be below. And the entry it comes from. */
	unsigned least_v4, least_v6;
	const char *least_v4_text, *least_v6_text;
	const struct config_l2adv **l2advs;
	size_t n_l2advs, cap_l2advs;
	struct adv_work **bgpadvs;
	size_t n_bgpadvs, cap_bgpadvs;
};

struct peer_work {
	const struct bgppeer *in;
	const struct node_set *nodes;
	struct config_peer *out;
	bool bad;
};

struct build {
	const struct objects *objs;
	const struct config_options *opt;
	struct config *cfg;
	struct arena *arena;   /* the configuration's */
	struct arena *scratch; /* freed at the end of the build */
	struct config_report *report;
	size_t cap_findings;
	struct config_finding *findings;
	struct node_cache nodes;
	struct table aliases; /* community name -> struct community_value */
	struct table pool_names, peer_names, bfd_names;
	struct pool_work *pools; /* valid ones; by name once build_pools() is done */
	size_t n_pools;
	struct peer_work *peers;
	size_t n_peers;
	struct adv_work *advs; /* older first */
	size_t n_advs, n_classes;
};

/* ---- findings (report.c) ---- */

/* An error that MetalLB's check of the whole configuration reports, too. Returns false. */
bool build_refuse(struct build *b, const struct api_object *obj, const char *field, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* An error that only we make of it. */
bool build_refuse_ours(struct build *b, const struct api_object *obj, const char *field,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A reference that may still come. */
bool build_refuse_transient(struct build *b, const struct api_object *obj, const char *field,
			    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void build_warn(struct build *b, const struct api_object *obj, const char *field, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

/* ---- order and copies (copy.c) ---- */

/* Pointers to the n objects, older first: by creation time, then name; opt->newest comes last. */
const struct api_object **build_order(struct build *b, const void *list, size_t n);

const char *copy_str(struct arena *a, const char *s);
struct strs copy_strs(struct arena *a, const struct strs *s);
struct labels copy_labels(struct arena *a, const struct labels *l);
struct selectors copy_selectors(struct arena *a, const struct selectors *s);
/* Sorted, each once; the texts are not copied. */
struct strs sorted_strs(struct arena *a, const struct strs *s);
bool strs_has(const struct strs *sorted, const char *s);

/* ---- selectors (selectors.c) ---- */

/* Syntax, and MetalLB's refusal of repetitions within and among the selectors of one field. */
bool check_selectors(struct build *b, const struct api_object *obj, const char *field,
		     const struct selectors *s);
/* Texts that occur twice. */
bool check_repeats(struct build *b, const struct api_object *obj, const char *field,
		   const struct strs *s);
/* The selectors' texts, each on a line, in order: equal for equal lists. */
const char *selectors_key(const struct selectors *s, struct arena *a);

/* ---- nodes (nodes.c) ---- */

void nodes_init(struct build *b);
void nodes_fini(struct build *b);
/* The nodes that any of the selectors matches; no selectors: all. The selectors are well-formed. */
const struct node_set *nodes_select(struct build *b, const struct selectors *s);
bool node_sets_meet(const struct build *b, const struct node_set *x, const struct node_set *y);

/* ---- steps ---- */

void build_bfds(struct build *b);        /* bfds.c */
void build_communities(struct build *b); /* communities.c */
bool build_communities_of(struct build *b, const struct bgpadvertisement *in,
			  struct config_bgpadv *out);
void build_peers(struct build *b);                       /* peers.c */
void check_peer_pairs(struct build *b);                  /* peer_pairs.c: limits of frr-k8s */
void build_pools(struct build *b);                       /* pools.c */
bool build_ranges(struct build *b, struct pool_work *p); /* ranges.c */
/* Leave out pools that overlap an older one; overlap.c. */
void check_overlaps(struct build *b);
void build_l2advs(struct build *b); /* l2advs.c */
/* Call fn for each valid pool that names and selectors pick (all when both are empty). */
void pools_select(struct build *b, const struct api_object *obj, const struct strs *names,
		  const struct selectors *selectors,
		  void (*fn)(struct build *b, struct pool_work *p, void *user), void *user);
void build_bgpadvs(struct build *b);     /* bgpadvs.c */
void check_local_prefs(struct build *b); /* localpref.c */
void check_echo_mode(struct build *b);   /* bfds.c */
void build_spans(struct build *b);       /* lookup.c */

#endif
