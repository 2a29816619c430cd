/*
 * What this node answers for: services, their addresses, and the interfaces there are. An address
 * that several services use is answered for while one of them is announced, on every interface that
 * any of them allows.
 */
#include "speaker/layer2/responder.h"

#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/layer2/responder_impl.h"

struct responder *responder_new(const struct responder_options *opt)
{
	struct responder *r = xcalloc(1, sizeof(*r));

	r->opt = *opt;
	r->probes = probes_new(opt->random);
	r->uplinks = uplinks_new(opt->uplink, opt->random);
	table_init(&r->services);
	table_init(&r->addresses);
	table_init(&r->counts);
	table_init(&r->groups);
	return r;
}

static void address_free(struct address *addr)
{
	free(addr->bindings);
	free(addr);
}

static void service_entry_free(struct service_entry *s)
{
	arena_free(s->arena);
	free(s);
}

struct responder *responder_free(struct responder *r)
{
	if (!r)
		return NULL;
	table_for_each (&r->services, s)
		service_entry_free(s->value);
	table_for_each (&r->addresses, a)
		address_free(a->value);
	table_for_each (&r->counts, c)
		free(c->value);
	groups_fini(r);
	probes_free(r->probes);
	uplinks_free(r->uplinks);
	table_fini(&r->services);
	table_fini(&r->addresses);
	table_fini(&r->counts);
	deadlines_fini(&r->deadlines);
	free(r->links);
	free(r);
	return NULL;
}

struct address *responder_find_address(const struct responder *r, const struct ip *ip)
{
	return table_find_n(&r->addresses, ip, sizeof(*ip));
}

bool responder_has_ip(const struct responder *r, const struct ip *ip)
{
	return responder_find_address(r, ip) != NULL;
}

bool responder_has_service(const struct responder *r, const char *service)
{
	return table_find(&r->services, service) != NULL;
}

/* ---- interfaces ---- */

const struct responder_link *responder_find_link(const struct responder *r, unsigned ifindex)
{
	for (size_t i = 0; i < r->n_links; i++)
		if (r->links[i].ifindex == ifindex)
			return &r->links[i];
	return NULL;
}

bool link_carries(const struct responder_link *link, enum ip_family family)
{
	return family == IP_V4 ? link->arp : link->ndp;
}

static bool where_allows(const struct announce_l2_ip *where, const char *name)
{
	if (where->all_interfaces)
		return true;
	for (size_t i = 0; i < where->interfaces.n; i++)
		if (strcmp(where->interfaces.items[i], name) == 0)
			return true;
	return false;
}

bool address_allows(const struct address *addr, const struct responder_link *link)
{
	for (size_t i = 0; i < addr->n_bindings; i++)
		if (where_allows(addr->bindings[i], link->name))
			return true;
	return false;
}

/* Could what was announced before have been heard, or heard rightly, on the changed link. */
static bool link_needs_burst(const struct responder_link *old, const struct responder_link *new)
{
	return !mac_eq(&old->mac, &new->mac) || strcmp(old->name, new->name) != 0 ||
	       (new->arp && !old->arp) || (new->ndp && !old->ndp);
}

void responder_link_set(struct responder *r, const struct responder_link *link, usec_t now)
{
	struct responder_link *old = NULL;

	for (size_t i = 0; i < r->n_links; i++)
		if (r->links[i].ifindex == link->ifindex)
			old = &r->links[i];
	bool burst = !old || link_needs_burst(old, link);

	if (!old) {
		ARRAY_GROW(r->links, r->n_links, r->cap_links);
		old = &r->links[r->n_links++];
	}
	*old = *link;
	r->groups_dirty = true;
	if (!burst)
		return;
	table_for_each (&r->addresses, e) {
		struct address *addr = e->value;

		if (link_carries(link, addr->ip.family) && address_allows(addr, link))
			burst_start(r, addr, now);
	}
}

void responder_link_del(struct responder *r, unsigned ifindex)
{
	for (size_t i = 0; i < r->n_links; i++) {
		if (r->links[i].ifindex != ifindex)
			continue;
		r->links[i] = r->links[--r->n_links];
		r->groups_dirty = true;
		return;
	}
}

/* ---- services ---- */

static struct responder_counts *counts_get(struct responder *r, const struct ip *ip)
{
	struct responder_counts *c = table_find_n(&r->counts, ip, sizeof(*ip));

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->ip = *ip;
		table_set_n(&r->counts, ip, sizeof(*ip), c);
	}
	return c;
}

const struct responder_counts *responder_counts_next(const struct responder *r, size_t *pos)
{
	struct table_entry *e = table_next(&r->counts, pos);

	return e ? e->value : NULL;
}

static struct address *address_get(struct responder *r, const struct ip *ip)
{
	struct address *addr = responder_find_address(r, ip);

	if (!addr) {
		addr = xcalloc(1, sizeof(*addr));
		addr->ip = *ip;
		addr->counts = counts_get(r, ip);
		table_set_n(&r->addresses, ip, sizeof(*ip), addr);
		r->groups_dirty = true;
	}
	return addr;
}

/* Take the service's word about its addresses back; those nobody speaks for any more go. */
static void service_unbind(struct responder *r, struct service_entry *s)
{
	for (size_t i = 0; i < s->n_ips; i++) {
		struct address *addr = responder_find_address(r, &s->ips[i].ip);

		assert(addr);
		for (size_t j = 0; j < addr->n_bindings;) {
			if (addr->bindings[j] == &s->ips[i])
				addr->bindings[j] = addr->bindings[--addr->n_bindings];
			else
				j++;
		}
		if (addr->n_bindings > 0)
			continue;
		burst_forget(r, addr);
		table_del_n(&r->addresses, &addr->ip, sizeof(addr->ip));
		address_free(addr);
		r->groups_dirty = true;
	}
}

static struct service_entry *service_entry_new(const struct announce_l2_ip *ips, size_t n)
{
	struct service_entry *s = xcalloc(1, sizeof(*s));

	s->arena = arena_new_for(n * sizeof(*ips));
	struct announce_l2_ip *copy = arena_calloc(s->arena, n, sizeof(*copy));

	for (size_t i = 0; i < n; i++) {
		size_t n_names = ips[i].interfaces.n;
		const char **names = arena_calloc(s->arena, n_names, sizeof(*names));

		for (size_t j = 0; j < n_names; j++)
			names[j] = arena_strdup(s->arena, ips[i].interfaces.items[j]);
		copy[i] =
			(struct announce_l2_ip){ips[i].ip, ips[i].all_interfaces, {names, n_names}};
	}
	s->ips = copy;
	s->n_ips = n;
	return s;
}

/* Does this bring the address to an interface where nobody answered for it before. */
static bool address_gains(const struct responder *r, const struct address *addr,
			  const struct announce_l2_ip *where)
{
	for (size_t i = 0; i < r->n_links; i++)
		if (link_carries(&r->links[i], where->ip.family) &&
		    where_allows(where, r->links[i].name) && !address_allows(addr, &r->links[i]))
			return true;
	return addr->n_bindings == 0;
}

void responder_announce(struct responder *r, const char *service, const struct announce_l2_ip *ips,
			size_t n, usec_t now)
{
	struct service_entry *s = service_entry_new(ips, n), *old;

	for (size_t i = 0; i < n; i++) {
		struct address *addr = address_get(r, &s->ips[i].ip);
		bool gains = address_gains(r, addr, &s->ips[i]);

		ARRAY_GROW(addr->bindings, addr->n_bindings, addr->cap_bindings);
		addr->bindings[addr->n_bindings++] = &s->ips[i];
		if (gains)
			burst_start(r, addr, now);
	}
	old = table_set(&r->services, service, s);
	if (old) {
		service_unbind(r, old);
		service_entry_free(old);
	}
	r->groups_dirty = true;
}

void responder_withdraw(struct responder *r, const char *service)
{
	struct service_entry *s = table_del(&r->services, service);

	if (!s)
		return;
	service_unbind(r, s);
	service_entry_free(s);
}

void responder_release(struct responder *r, const char *service, const struct ip *ip, usec_t now)
{
	const struct service_entry *s = table_find(&r->services, service);
	_cleanup_free_ struct announce_l2_ip *rest = NULL;
	size_t n = 0;

	if (!s)
		return;
	rest = xcalloc(s->n_ips + 1, sizeof(*rest));
	for (size_t i = 0; i < s->n_ips; i++)
		if (!ip_eq(&s->ips[i].ip, ip))
			rest[n++] = s->ips[i];
	if (n < s->n_ips)
		responder_announce(r, service, rest, n, now);
}

void responder_hush(struct responder *r, const char *service)
{
	struct service_entry *s = table_find(&r->services, service);

	for (size_t i = 0; s && i < s->n_ips; i++) {
		struct address *addr = responder_find_address(r, &s->ips[i].ip);

		assert(addr);
		if (addr->n_bindings == 1)
			burst_forget(r, addr);
	}
}

/* ---- probes and questions ---- */

void responder_probe(struct responder *r, const struct announce_l2_ip *where, usec_t now)
{
	unsigned *ifindexes = xcalloc(r->n_links, sizeof(*ifindexes));
	size_t n = 0;

	for (size_t i = 0; i < r->n_links; i++)
		if (link_carries(&r->links[i], where->ip.family) &&
		    where_allows(where, r->links[i].name))
			ifindexes[n++] = r->links[i].ifindex;
	probes_start(r->probes, &where->ip, ifindexes, n, now);
	free(ifindexes);
}

void responder_ask(struct responder *r, const struct responder_question *q)
{
	if (r->n_questions < RESPONDER_QUESTIONS_MAX)
		r->questions[r->n_questions++] = *q;
}

void responder_set_nodes(struct responder *r, const struct ip *nodes, size_t n)
{
	probes_set_nodes(r->probes, nodes, n);
}

bool responder_probe_next(struct responder *r, struct responder_probe *out)
{
	return probes_next(r->probes, out);
}

/* ---- uplinks ---- */

void responder_set_gateways(struct responder *r, const struct responder_gateway *gateways, size_t n,
			    usec_t now)
{
	uplinks_set(r->uplinks, gateways, r->opt.uplink > 0 ? n : 0, now);
}

enum responder_uplink responder_uplink(const struct responder *r, unsigned ifindex)
{
	return uplinks_state(r->uplinks, ifindex);
}

bool responder_take_uplink_change(struct responder *r)
{
	return uplinks_take_change(r->uplinks);
}
