/*
 * The books: bookings by Service, users by address, addresses by sharing key, and the index from
 * addresses to pools. Selection among pools is in choose.c, the reasons in explain.c.
 *
 * Owns copies of all it keeps but the configuration, which the caller holds until the next one.
 */
#include "operator/allocator.h"

#include <assert.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "operator/allocator_impl.h"

void alloc_ips_format(const struct alloc_ips *ips, struct buf *out)
{
	char text[IP_STR_MAX];

	for (size_t i = 0; i < ips->n; i++) {
		buf_add_str(out, i ? ", " : "");
		buf_add_str(out, ip_format(&ips->ip[i], text));
	}
}

static struct address *find_address(const struct allocator *a, const struct ip *ip)
{
	return table_find_n(&a->addresses, ip, sizeof(*ip));
}

struct booking *allocator_booking(const struct allocator *a, const char *key)
{
	return table_find(&a->bookings, key);
}

/* ---- addresses by sharing key ---- */

/* Position of the first item >= ip. */
static size_t share_position(const struct share *s, const struct ip *ip)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ip_cmp(&s->items[mid], ip) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void share_add(struct allocator *a, const char *key, const struct ip *ip)
{
	struct share *s = table_find(&a->shares, key);

	if (!s) {
		s = xcalloc(1, sizeof(*s));
		table_set(&a->shares, key, s);
	}
	size_t at = share_position(s, ip);

	ARRAY_GROW(s->items, s->n, s->cap);
	memmove(&s->items[at + 1], &s->items[at], (s->n - at) * sizeof(*s->items));
	s->items[at] = *ip;
	s->n++;
}

static void share_free(struct share *s)
{
	free(s->items);
	free(s);
}

static void share_del(struct allocator *a, const char *key, const struct ip *ip)
{
	struct share *s = table_find(&a->shares, key);
	size_t at = share_position(s, ip);

	assert(at < s->n && ip_eq(&s->items[at], ip));
	s->n--;
	memmove(&s->items[at], &s->items[at + 1], (s->n - at) * sizeof(*s->items));
	if (s->n == 0)
		share_free(table_del(&a->shares, key));
}

/* ---- bookings ---- */

static void user_add(struct allocator *a, struct booking *b, struct user *u, const struct ip *ip)
{
	struct address *addr = find_address(a, ip);

	if (!addr) {
		const struct place *place = allocator_place_of(a, ip);

		assert(place);
		addr = xcalloc(1, sizeof(*addr));
		addr->ip = *ip;
		addr->pool = place->pool;
		addr->range = place->number;
		list_init(&addr->users);
		table_set_n(&a->addresses, ip, sizeof(*ip), addr);
		pool_take(addr->pool, ip);
		if (b->sharing_key[0])
			share_add(a, b->sharing_key, ip);
	}
	u->booking = b;
	u->address = addr;
	list_add_tail(&addr->users, &u->link);
}

/* The pool may be gone while a new configuration is taken over: then only the books change. */
static void user_del(struct allocator *a, struct user *u)
{
	struct address *addr = u->address;

	list_del(&u->link);
	if (!list_is_empty(&addr->users))
		return;
	if (addr->pool)
		pool_release(addr->pool, &addr->ip, addr->range);
	if (u->booking->sharing_key[0])
		share_del(a, u->booking->sharing_key, &addr->ip);
	table_del_n(&a->addresses, &addr->ip, sizeof(addr->ip));
	free(addr);
}

/* Most Services have neither key: no memory for an empty text. */
static char no_key[] = "";

static char *key_dup(const char *key)
{
	return key[0] ? xstrdup(key) : no_key;
}

static void key_free(char *key)
{
	if (key != no_key)
		free(key);
}

static void booking_free(struct booking *b)
{
	free(b->key);
	key_free(b->sharing_key);
	key_free(b->backend_key);
	free(b->ports);
	free(b);
}

void allocator_release(struct allocator *a, const char *key)
{
	struct booking *b = table_del(&a->bookings, key);

	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		user_del(a, &b->users[i]);
	booking_free(b);
}

void allocator_book(struct allocator *a, const struct alloc_service *svc,
		    const struct alloc_ips *ips)
{
	struct booking *b = xcalloc(1, sizeof(*b));

	b->key = xstrdup(svc->key);
	b->sharing_key = key_dup(svc->sharing_key);
	b->backend_key = key_dup(svc->backend_key);
	b->n_ports = svc->n_ports;
	b->ports = xreallocarray(NULL, svc->n_ports ? svc->n_ports : 1, sizeof(*b->ports));
	for (size_t i = 0; i < svc->n_ports; i++)
		b->ports[i] = (uint32_t)svc->ports[i].protocol << 16 | svc->ports[i].port;
	allocator_release(a, svc->key);
	for (; b->n < ips->n; b->n++)
		user_add(a, b, &b->users[b->n], &ips->ip[b->n]);
	table_set(&a->bookings, b->key, b);
}

bool allocator_find(const struct allocator *a, const char *key, struct alloc_booking *out)
{
	const struct booking *b = allocator_booking(a, key);

	if (!b)
		return false;
	*out = (struct alloc_booking){.sharing_key = b->sharing_key, .backend_key = b->backend_key};
	out->ips.n = b->n;
	for (size_t i = 0; i < b->n; i++) {
		out->ips.ip[i] = b->users[i].address->ip;
		out->pool[i] = b->users[i].address->pool->cfg->name;
	}
	return true;
}

/* ---- may it have them? ---- */

bool allocator_pool_serves(const struct pool *p, const struct alloc_service *svc)
{
	const struct config_pool *c = p->cfg;

	if (c->namespaces.n > 0) {
		size_t lo = 0, hi = c->namespaces.n;

		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (strcmp(c->namespaces.items[mid], svc->ns) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo == c->namespaces.n || strcmp(c->namespaces.items[lo], svc->ns) != 0)
			return false;
	}
	if (c->service_selectors.n > 0)
		return selectors_match_any(&c->service_selectors, svc->labels);
	/* With an allocation but neither list, its namespaceSelectors match no namespace. */
	return c->namespaces.n > 0 || !c->has_allocation;
}

static const char *protocol_name(enum svc_protocol p)
{
	return p == SVC_TCP ? "TCP" : p == SVC_UDP ? "UDP" : "SCTP";
}

static bool check_ports(const struct alloc_service *svc, const struct booking *other,
			const struct ip *ip, struct err *err)
{
	char text[IP_STR_MAX];

	for (size_t i = 0; i < svc->n_ports; i++) {
		const struct service_port *p = &svc->ports[i];
		uint32_t id = (uint32_t)p->protocol << 16 | p->port;

		for (size_t j = 0; j < other->n_ports; j++)
			if (other->ports[j] == id)
				return err_set(err, "port %s/%u of %s is already in use by %s",
					       protocol_name(p->protocol), p->port,
					       ip_format(ip, text), other->key);
	}
	return true;
}

bool allocator_check_sharing(const struct allocator *a, const struct alloc_service *svc,
			     const struct ip *ip, struct err *err)
{
	const struct address *addr = find_address(a, ip);
	char text[IP_STR_MAX];
	struct list *l;

	if (!addr)
		return true;
	list_for_each (l, &addr->users) {
		const struct booking *o = container_of(l, struct user, link)->booking;

		if (strcmp(o->key, svc->key) == 0)
			continue;
		if (!svc->sharing_key[0] || strcmp(o->sharing_key, svc->sharing_key) != 0)
			return err_set(err, "%s is in use by %s%s", ip_format(ip, text), o->key,
				       svc->sharing_key[0] || o->sharing_key[0]
					       ? " with another sharing key"
					       : "");
		if (strcmp(o->backend_key, svc->backend_key) != 0)
			return err_set(err,
				       "%s is in use by %s, which has the same sharing key but "
				       "another externalTrafficPolicy or, under Local, selector",
				       ip_format(ip, text), o->key);
		if (!check_ports(svc, o, ip, err))
			return false;
	}
	return true;
}

/* The pool that contains ip, if svc may have it. */
static const struct place *check_address(const struct allocator *a, const struct alloc_service *svc,
					 const struct ip *ip, enum alloc_assign why,
					 struct err *err)
{
	const struct place *place = allocator_place_of(a, ip);
	char text[IP_STR_MAX];

	ip_format(ip, text);
	if (!place) {
		err_set(err, "%s is in no pool", text);
		return NULL;
	}
	const char *pool = place->pool->cfg->name;

	if (pool_is_buggy(place->pool, ip))
		err_set(err, "%s is excluded by avoidBuggyIPs of pool %s", text, pool);
	else if (why == ALLOC_REQUESTED && pool_is_avoided(place->pool, ip))
		err_set(err, "%s is in avoidAddresses of pool %s", text, pool);
	else if (!allocator_pool_serves(place->pool, svc))
		err_set(err,
			"%s is in pool %s, whose serviceAllocation does not select the service",
			text, pool);
	else if (allocator_check_sharing(a, svc, ip, err))
		return place;
	return NULL;
}

bool allocator_assign(struct allocator *a, const struct alloc_service *svc,
		      const struct alloc_ips *ips, enum alloc_assign why, struct err *err)
{
	const struct pool *first = NULL;

	assert(ips->n > 0 && ips->n <= ALLOC_IPS_MAX);
	if (ips->n == 2 && ips->ip[0].family == ips->ip[1].family)
		return err_set(err, "two addresses of one family");
	for (size_t i = 0; i < ips->n; i++) {
		const struct place *place = check_address(a, svc, &ips->ip[i], why, err);

		if (!place)
			return false;
		if (first && first != place->pool && !a->opt.two_pools)
			return err_set(err, "the addresses are in two pools, %s and %s",
				       first->cfg->name, place->pool->cfg->name);
		first = place->pool;
	}
	allocator_book(a, svc, ips);
	return true;
}

const char *allocator_pool_of(const struct allocator *a, const struct ip *ip)
{
	const struct place *place = allocator_place_of(a, ip);

	return place ? place->pool->cfg->name : NULL;
}

const char *allocator_node_of(const struct allocator *a, const struct ip *ip)
{
	return a->opt.avoid_nodes ? node_ips_find(&a->nodes, ip) : NULL;
}

/* ---- counters ---- */

size_t allocator_n_pools(const struct allocator *a)
{
	return a->n_pools;
}

size_t allocator_n_bookings(const struct allocator *a)
{
	return table_count(&a->bookings);
}

void allocator_counters(const struct allocator *a, size_t pool, struct alloc_counters *out)
{
	const struct pool *p = &a->pools[pool];

	out->pool = p->cfg->name;
	for (unsigned f = 0; f < FAM_COUNT; f++) {
		out->capacity[f] = p->capacity[f];
		out->in_use[f] = p->in_use[f];
		out->available[f] = pool_available(p, f);
	}
}

/* ---- life ---- */

struct allocator *allocator_new(const struct allocator_options *opt)
{
	struct allocator *a = xcalloc(1, sizeof(*a));

	a->opt = *opt;
	table_init(&a->by_ns);
	table_init(&a->bookings);
	table_init(&a->addresses);
	table_init(&a->shares);
	return a;
}

struct allocator *allocator_free(struct allocator *a)
{
	if (!a)
		return NULL;
	allocator_set_config(a, NULL); /* drops every booking */
	allocator_set_nodes(a, NULL, NULL, 0);
	assert(table_count(&a->bookings) == 0 && table_count(&a->addresses) == 0);
	assert(table_count(&a->shares) == 0);
	allocator_drop_pools(a);
	table_fini(&a->by_ns);
	table_fini(&a->bookings);
	table_fini(&a->addresses);
	table_fini(&a->shares);
	free(a);
	return NULL;
}

void allocator_check(const struct allocator *a)
{
	int64_t in_use[FAM_COUNT] = {0}, counted[FAM_COUNT] = {0};

	table_for_each (&a->addresses, e) {
		const struct address *addr = e->value;
		const struct place *place = allocator_place_of(a, &addr->ip);
		struct list *l;

		assert(place && place->pool == addr->pool && place->number == addr->range);
		assert(!list_is_empty(&addr->users));
		counted[fam_of(&addr->ip)]++;
		list_for_each (l, &addr->users) {
			const struct user *u = container_of(l, struct user, link);

			assert(u->address == addr);
			assert(allocator_booking(a, u->booking->key) == u->booking);
		}
	}
	for (size_t i = 0; i < a->n_pools; i++)
		for (unsigned f = 0; f < FAM_COUNT; f++)
			in_use[f] += a->pools[i].in_use[f];
	assert(memcmp(in_use, counted, sizeof(in_use)) == 0);
}
