/*
 * Two tables: the addresses of each service, and the services of each address. A group is what can
 * be reached from a service by going back and forth between them.
 */
#include "metallb/share.h"

#include <assert.h>
#include <string.h>

#include "metallb/table.h"
#include "metallb/xalloc.h"

struct member {
	char *key;
	struct ip *ips;
	size_t n_ips;
};

struct users {
	struct member **items;
	size_t n, cap;
};

struct share_index {
	struct table services;  /* key -> struct member */
	struct table addresses; /* struct ip -> struct users */
};

struct share_index *share_index_new(void)
{
	struct share_index *x = xcalloc(1, sizeof(*x));

	table_init(&x->services);
	table_init(&x->addresses);
	return x;
}

static void member_free(struct member *m)
{
	free(m->key);
	free(m->ips);
	free(m);
}

static void users_free(struct users *u)
{
	free(u->items);
	free(u);
}

struct share_index *share_index_free(struct share_index *x)
{
	if (!x)
		return NULL;
	table_for_each (&x->services, e)
		member_free(e->value);
	table_for_each (&x->addresses, e)
		users_free(e->value);
	table_fini(&x->services);
	table_fini(&x->addresses);
	free(x);
	return NULL;
}

static struct users *users_find(const struct share_index *x, const struct ip *ip)
{
	return table_find_n(&x->addresses, ip, sizeof(*ip));
}

static void user_add(struct share_index *x, const struct ip *ip, struct member *m)
{
	struct users *u = users_find(x, ip);

	if (!u) {
		u = xcalloc(1, sizeof(*u));
		table_set_n(&x->addresses, ip, sizeof(*ip), u);
	}
	ARRAY_GROW(u->items, u->n, u->cap);
	u->items[u->n++] = m;
}

static void user_del(struct share_index *x, const struct ip *ip, const struct member *m)
{
	struct users *u = users_find(x, ip);

	assert(u);
	for (size_t i = 0; i < u->n;) {
		if (u->items[i] == m)
			u->items[i] = u->items[--u->n];
		else
			i++;
	}
	if (u->n > 0)
		return;
	table_del_n(&x->addresses, ip, sizeof(*ip));
	users_free(u);
}

static bool member_has(const struct member *m, const struct ip *ips, size_t n)
{
	if (m->n_ips != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!ip_eq(&m->ips[i], &ips[i]))
			return false;
	return true;
}

/* A service that names an address twice uses it once. */
static size_t unique_copy(const struct ip *ips, size_t n, struct ip *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool seen = false;

		for (size_t j = 0; j < kept; j++)
			seen |= ip_eq(&out[j], &ips[i]);
		if (!seen)
			out[kept++] = ips[i];
	}
	return kept;
}

void share_index_set(struct share_index *x, const char *service, const struct ip *ips, size_t n)
{
	struct member *old = table_find(&x->services, service);

	if (old && member_has(old, ips, n))
		return;
	if (old) {
		table_del(&x->services, service);
		for (size_t i = 0; i < old->n_ips; i++)
			user_del(x, &old->ips[i], old);
		member_free(old);
	}
	if (n == 0)
		return;
	struct member *m = xcalloc(1, sizeof(*m));

	m->key = xstrdup(service);
	m->ips = xcalloc(n, sizeof(*m->ips));
	m->n_ips = unique_copy(ips, n, m->ips);
	table_set(&x->services, service, m);
	for (size_t i = 0; i < m->n_ips; i++)
		user_add(x, &m->ips[i], m);
}

static bool list_has(const struct member *const *list, size_t n, const struct member *m)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == m)
			return true;
	return false;
}

struct strs share_index_group(const struct share_index *x, const char *service, struct arena *a,
			      struct ip *shared)
{
	const struct member **list = arena_calloc(a, SHARE_GROUP_MAX, sizeof(*list));
	const char **keys = arena_calloc(a, SHARE_GROUP_MAX, sizeof(*keys));
	const struct member *first = table_find(&x->services, service);
	size_t n = 0;

	*shared = (struct ip){0};
	if (first)
		list[n++] = first;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < list[i]->n_ips; j++) {
			const struct ip *ip = &list[i]->ips[j];
			const struct users *u = users_find(x, ip);

			if (u->n > 1 && (shared->family == IP_NONE || ip_cmp(ip, shared) < 0))
				*shared = *ip;
			for (size_t k = 0; k < u->n && n < SHARE_GROUP_MAX; k++)
				if (!list_has(list, n, u->items[k]))
					list[n++] = u->items[k];
		}
	}
	for (size_t i = 0; i < n; i++)
		keys[i] = list[i]->key;
	return (struct strs){keys, n};
}
