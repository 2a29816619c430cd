/*
 * Inside of the allocator, shared by allocator.c (books), choose.c (selection) and explain.c.
 */
#ifndef OPERATOR_ALLOCATOR_IMPL_H
#define OPERATOR_ALLOCATOR_IMPL_H

#include "metallb/list.h"
#include "metallb/table.h"
#include "operator/allocator.h"

/* One use of an address by a booking. */
struct user {
	struct list link; /* in address.users */
	struct booking *booking;
	struct address *address;
};

/* An address in use. All users have the same sharing and backend key. */
struct address {
	struct ip ip;
	struct pool *pool;
	size_t range;
	struct list users;
};

struct booking {
	char *key, *sharing_key, *backend_key;
	uint32_t *ports; /* protocol << 16 | port */
	size_t n_ports;
	struct user users[ALLOC_IPS_MAX];
	size_t n;
};

/* The addresses that are in use under one sharing key, ascending. */
struct share {
	struct ip *items;
	size_t n, cap;
};

/* A range of some pool; the index of all is ordered by address, they do not overlap. */
struct place {
	struct ip_range range;
	struct pool *pool;
	size_t number;
};

struct pool_list {
	struct pool **items;
	size_t n, cap;
};

struct allocator {
	struct allocator_options opt;
	struct pool *pools; /* by name */
	size_t n_pools;
	struct place *places;
	size_t n_places;
	struct pool_list generic;  /* autoAssign, no serviceAllocation; by name */
	struct pool_list selector; /* autoAssign, serviceAllocation without namespaces */
	struct table by_ns;        /* namespace -> pool_list of autoAssign pools that list it */
	struct node_ips nodes;
	struct table bookings;  /* key -> booking */
	struct table addresses; /* bytes of struct ip -> address */
	struct table shares;    /* sharing key -> share */
};

const struct place *allocator_place_of(const struct allocator *a, const struct ip *ip);
struct booking *allocator_booking(const struct allocator *a, const char *key);
bool allocator_pool_serves(const struct pool *p, const struct alloc_service *svc);
/* May svc use this address beside those who have it? */
bool allocator_check_sharing(const struct allocator *a, const struct alloc_service *svc,
			     const struct ip *ip, struct err *err);
/* Put it into the books, replacing svc's booking; all checks have been made. */
void allocator_book(struct allocator *a, const struct alloc_service *svc,
		    const struct alloc_ips *ips);
void allocator_drop_pools(struct allocator *a);
/* "a, b" */
void alloc_ips_format(const struct alloc_ips *ips, struct buf *out);

#endif
