/*
 * One address pool in use: which of its addresses are taken, which are never handed out, the lowest
 * free one, and how many there are. Its memory grows with the addresses in use, not with its size.
 *
 * Pure; the allocator decides who takes what.
 */
#ifndef OPERATOR_POOL_H
#define OPERATOR_POOL_H

#include "metallb/config.h"
#include "operator/runs.h"

/* Index of per-family figures. */
enum { FAM_V4, FAM_V6, FAM_COUNT };

static inline unsigned fam_of(const struct ip *ip)
{
	return ip->family == IP_V4 ? FAM_V4 : FAM_V6;
}

static inline const char *fam_name(unsigned fam)
{
	return fam == FAM_V4 ? "IPv4" : "IPv6";
}

/* Addresses that nodes have: never given out automatically. Sorted, unique. */
struct node_ips {
	struct ip *items;
	const char **names; /* of the nodes, parallel */
	size_t n;
};

struct pool {
	const struct config_pool *cfg;
	const struct node_ips *nodes;
	struct runs taken;      /* taken addresses, and the excluded ones that border on them */
	struct ip_range *avoid; /* sorted, merged */
	size_t n_avoid;
	size_t open[FAM_COUNT];      /* no range of the family before this one has a free address */
	int64_t capacity[FAM_COUNT]; /* INT64_MAX stands for 2^62 and more */
	int64_t in_use[FAM_COUNT];   /* distinct addresses */
	bool has[FAM_COUNT];         /* some range is of this family */
};

/* avoid: whether spec.avoidAddresses counts. cfg and nodes are borrowed. */
void pool_init(struct pool *p, const struct config_pool *cfg, const struct node_ips *nodes,
	       bool avoid);
void pool_fini(struct pool *p);
/* range: the number of the range that holds ip. */
void pool_take(struct pool *p, const struct ip *ip);
void pool_release(struct pool *p, const struct ip *ip, size_t range);
/* ip may not be used at all: avoidBuggyIPs. */
bool pool_is_buggy(const struct pool *p, const struct ip *ip);
/* ip is in spec.avoidAddresses. */
bool pool_is_avoided(const struct pool *p, const struct ip *ip);
/* The lowest free address of one range; false when there is none. */
bool pool_lowest_in_range(const struct pool *p, size_t range, struct ip *out);
/* The lowest free address of a family, in the order of spec.addresses. */
bool pool_lowest(struct pool *p, unsigned fam, struct ip *out);
/* Capacity less what is in use, never below zero. */
int64_t pool_available(const struct pool *p, unsigned fam);
/* The name of the node that has ip, or NULL. */
const char *node_ips_find(const struct node_ips *nodes, const struct ip *ip);

#endif
