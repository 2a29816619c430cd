/*
 * The allocator: which Service has which addresses, and which ones a Service may get. The rules are
 * MetalLB's; docs/compatibility.md, "Allocation", lists where they differ and how to switch that
 * off.
 *
 * Pure. Everything is told to it: the configuration, the addresses of nodes, who asks.
 */
#ifndef OPERATOR_ALLOCATOR_H
#define OPERATOR_ALLOCATOR_H

#include "metallb/buf.h"
#include "metallb/config.h"
#include "operator/pool.h"

#define ALLOC_IPS_MAX 2 /* addresses of one Service: one of each family */

struct allocator;

struct allocator_options {
	bool two_pools;       /* dual stack from two pools when no single one has both families */
	bool avoid_addresses; /* spec.avoidAddresses counts */
	bool avoid_nodes;     /* a node's own address is never given out automatically */
};

/* Who asks. All borrowed for the call. */
struct alloc_service {
	const char *key, *ns; /* key: "namespace/name" */
	const struct labels *labels;
	const char *sharing_key; /* "" = does not share */
	const char *backend_key; /* "" unless externalTrafficPolicy is Local */
	const struct service_port *ports;
	size_t n_ports;
};

enum alloc_policy { ALLOC_SINGLE, ALLOC_PREFER_DUAL, ALLOC_REQUIRE_DUAL };

/* What it wants. */
struct alloc_want {
	bool fam[FAM_COUNT];
	enum alloc_policy policy;
	bool v6_first;           /* matters where only one family can be had */
	const char *pool;        /* only from this one; "" = any */
	const struct ip *prefer; /* take these when they are free and allowed; may be NULL */
	size_t n_prefer;
};

struct alloc_ips {
	struct ip ip[ALLOC_IPS_MAX];
	size_t n;
};

/* A booking as others may see it. */
struct alloc_booking {
	struct alloc_ips ips;
	const char *pool[ALLOC_IPS_MAX]; /* name of the pool of each address */
	const char *sharing_key, *backend_key;
};

/* Are addresses that a Service holds checked, or ones that it asks for? */
enum alloc_assign { ALLOC_HELD, ALLOC_REQUESTED };

struct alloc_counters {
	const char *pool;
	int64_t capacity[FAM_COUNT], in_use[FAM_COUNT], available[FAM_COUNT];
};

struct allocator *allocator_new(const struct allocator_options *opt);
struct allocator *allocator_free(struct allocator *a);

/*
 * Take over a configuration: bookings whose addresses are still covered stay, others are dropped.
 * cfg is borrowed until the next call; NULL = no pools.
 */
void allocator_set_config(struct allocator *a, const struct config *cfg);
/* The addresses that nodes have, with the nodes' names; copied. Sorted or not. */
void allocator_set_nodes(struct allocator *a, const struct ip *ips, const char *const *names,
			 size_t n);
/* Node that has ip when such addresses are to be avoided, or NULL. */
const char *allocator_node_of(const struct allocator *a, const struct ip *ip);

/* Book exactly these addresses, replacing what was booked under the key. */
bool allocator_assign(struct allocator *a, const struct alloc_service *svc,
		      const struct alloc_ips *ips, enum alloc_assign why, struct err *err);
/* Choose and book; *out is in the order IPv4, IPv6. */
bool allocator_allocate(struct allocator *a, const struct alloc_service *svc,
			const struct alloc_want *want, struct alloc_ips *out, struct err *err);
/* Add an address of the other family from the pool of the one that is booked. */
bool allocator_add_family(struct allocator *a, const struct alloc_service *svc,
			  struct alloc_ips *out, struct err *err);
void allocator_release(struct allocator *a, const char *key);
/* False when nothing is booked under the key. Strings are valid until the booking changes. */
bool allocator_find(const struct allocator *a, const char *key, struct alloc_booking *out);
/* Name of the pool whose ranges hold ip, or NULL. */
const char *allocator_pool_of(const struct allocator *a, const struct ip *ip);

size_t allocator_n_pools(const struct allocator *a);
void allocator_counters(const struct allocator *a, size_t pool, struct alloc_counters *out);
size_t allocator_n_bookings(const struct allocator *a);

/*
 * Why no pool served: "pool a: namespace not selected; pool b: 16 of 16 in use", in the order of
 * names, cut at max bytes with a count of those not named. fam: the families that are missing.
 */
void allocator_explain(struct allocator *a, const struct alloc_service *svc,
		       const struct alloc_want *want, const struct alloc_ips *requested,
		       const bool fam[FAM_COUNT], size_t max, struct buf *out);

/* Panics when the books do not add up; for tests. */
void allocator_check(const struct allocator *a);

#endif
