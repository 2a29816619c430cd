/*
 * Which interfaces may be used, as MetalLB chooses them: not excluded by name, up, no member of
 * another (bridge port, bond slave, VRF member: the master is used), not NOARP. ARP needs a
 * broadcast interface (an IPv4 address it needs not), NDP a link-local address. Of ours: Ethernet
 * only, since the frames are; and no carrier means not usable, so that its return announces anew.
 */
#include "speaker/links.h"

#include <assert.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <string.h>

#include "metallb/xalloc.h"

#define LINKS_MAX          4096u /* interfaces of one node */
#define LINK_ADDRESSES_MAX 4096u /* addresses of one interface */

struct link_address {
	struct ip ip;
	bool usable; /* not tentative, not a duplicate */
	bool seen;
};

struct link_ {
	struct nl_event info;
	bool known; /* the link itself was told of, not only its addresses */
	bool excluded, seen;
	enum responder_uplink uplink;
	struct link_address *addrs;
	size_t n_addrs, cap_addrs;
};

struct links {
	links_excluded_fn excluded;
	void *user;
	struct link_ *items;
	size_t n, cap;
};

struct links *links_new(links_excluded_fn excluded, void *user)
{
	struct links *l = xcalloc(1, sizeof(*l));

	l->excluded = excluded;
	l->user = user;
	return l;
}

struct links *links_free(struct links *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].addrs);
	free(l->items);
	free(l);
	return NULL;
}

static struct link_ *link_find(const struct links *l, unsigned ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].info.ifindex == ifindex)
			return &l->items[i];
	return NULL;
}

static struct link_ *link_get(struct links *l, unsigned ifindex)
{
	struct link_ *link = link_find(l, ifindex);

	if (link || l->n >= LINKS_MAX)
		return link;
	ARRAY_GROW(l->items, l->n, l->cap);
	link = &l->items[l->n++];
	*link = (struct link_){.info.ifindex = ifindex};
	return link;
}

static void link_remove(struct links *l, struct link_ *link)
{
	free(link->addrs);
	*link = l->items[--l->n];
	l->items[l->n] = (struct link_){0};
}

static bool info_differs(const struct nl_event *a, const struct nl_event *b)
{
	return strcmp(a->name, b->name) != 0 || a->flags != b->flags || a->master != b->master ||
	       a->has_mac != b->has_mac || memcmp(a->mac, b->mac, sizeof(a->mac)) != 0 ||
	       a->hardware != b->hardware;
}

static bool link_apply(struct links *l, const struct nl_event *e)
{
	struct link_ *link = link_get(l, e->ifindex);

	if (!link)
		return false;
	bool changed = !link->known || info_differs(&link->info, e);

	link->info = *e;
	link->known = link->seen = true;
	link->excluded = l->excluded && l->excluded(l->user, e->name);
	return changed;
}

static struct link_address *address_find(struct link_ *link, const struct ip *ip)
{
	for (size_t i = 0; i < link->n_addrs; i++)
		if (ip_eq(&link->addrs[i].ip, ip))
			return &link->addrs[i];
	return NULL;
}

static bool address_apply(struct links *l, const struct nl_event *e)
{
	struct link_ *link = link_get(l, e->ifindex);
	bool usable = !(e->addr_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) ||
		      (e->addr_flags & IFA_F_OPTIMISTIC);

	if (!link)
		return false;
	struct link_address *addr = address_find(link, &e->ip);

	if (!addr) {
		if (link->n_addrs >= LINK_ADDRESSES_MAX)
			return false;
		ARRAY_GROW(link->addrs, link->n_addrs, link->cap_addrs);
		addr = &link->addrs[link->n_addrs++];
		*addr = (struct link_address){.ip = e->ip, .usable = !usable};
	}
	bool changed = addr->usable != usable;

	addr->usable = usable;
	addr->seen = true;
	return changed;
}

static bool address_remove(struct links *l, const struct nl_event *e)
{
	struct link_ *link = link_find(l, e->ifindex);
	struct link_address *addr = link ? address_find(link, &e->ip) : NULL;

	if (!addr)
		return false;
	*addr = link->addrs[--link->n_addrs];
	return true;
}

bool links_apply(struct links *l, const struct nl_event *event)
{
	struct link_ *link;

	switch (event->type) {
	case NL_LINK_NEW:
		return link_apply(l, event);
	case NL_LINK_DEL:
		link = link_find(l, event->ifindex);
		if (link)
			link_remove(l, link);
		return link != NULL;
	case NL_ADDR_NEW:
		return address_apply(l, event);
	case NL_ADDR_DEL:
		return address_remove(l, event);
	case NL_ROUTE:
	case NL_DONE:
	case NL_ERROR:
	case NL_OTHER:
		return false;
	}
	assert(0 && "every netlink event is handled");
	return false;
}

void links_dump_begin(struct links *l)
{
	for (size_t i = 0; i < l->n; i++) {
		l->items[i].seen = false;
		for (size_t j = 0; j < l->items[i].n_addrs; j++)
			l->items[i].addrs[j].seen = false;
	}
}

bool links_dump_end(struct links *l)
{
	bool changed = false;

	for (size_t i = 0; i < l->n;) {
		struct link_ *link = &l->items[i];

		if (!link->seen) {
			link_remove(l, link);
			changed = true;
			continue;
		}
		for (size_t j = 0; j < link->n_addrs;) {
			if (link->addrs[j].seen) {
				j++;
				continue;
			}
			link->addrs[j] = link->addrs[--link->n_addrs];
			changed = true;
		}
		i++;
	}
	return changed;
}

struct strs links_names(const struct links *l, struct arena *a)
{
	const char **names = arena_calloc(a, l->n, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].known && !l->items[i].excluded)
			names[n++] = arena_strdup(a, l->items[i].info.name);
	return (struct strs){names, n};
}

const char *links_name(const struct links *l, unsigned ifindex)
{
	const struct link_ *link = link_find(l, ifindex);

	return link ? link->info.name : "";
}

bool links_has_address(const struct links *l, unsigned ifindex, const struct ip *ip)
{
	struct link_ *link = link_find(l, ifindex);

	return link && address_find(link, ip);
}

/* ---- what may be used ---- */

static struct ip link_local_of(const struct link_ *link)
{
	for (size_t i = 0; i < link->n_addrs; i++)
		if (link->addrs[i].ip.family == IP_V6 && link->addrs[i].usable &&
		    ip_is_link_local(&link->addrs[i].ip))
			return link->addrs[i].ip;
	return (struct ip){0};
}

/* All but the carrier. */
static bool link_is_fit(const struct link_ *link)
{
	return link->known && !link->excluded && link->info.master == 0 &&
	       (link->info.flags & IFF_UP) && !(link->info.flags & IFF_NOARP) &&
	       link->info.has_mac && link->info.hardware == ARPHRD_ETHER;
}

static bool link_is_usable(const struct link_ *link)
{
	return link_is_fit(link) && (link->info.flags & IFF_LOWER_UP);
}

bool links_set_uplink(struct links *l, unsigned ifindex, enum responder_uplink state)
{
	struct link_ *link = link_find(l, ifindex);

	if (!link || link->uplink == state)
		return false;
	link->uplink = state;
	return true;
}

static bool ways_out_are_lost(const struct links *l)
{
	bool dead = false;

	for (size_t i = 0; i < l->n; i++) {
		if (!link_is_usable(&l->items[i]))
			continue;
		if (l->items[i].uplink == RESPONDER_UPLINK_ALIVE)
			return false;
		dead |= l->items[i].uplink == RESPONDER_UPLINK_DEAD;
	}
	return dead;
}

struct strs links_lost(const struct links *l, struct arena *a)
{
	const char **names = arena_calloc(a, l->n + 1, sizeof(*names));
	size_t n = 0;

	if (ways_out_are_lost(l))
		names[n++] = ANNOUNCE_LOST_WAYS_OUT;
	for (size_t i = 0; i < l->n; i++) {
		const struct link_ *link = &l->items[i];

		if (link_is_fit(link) &&
		    (!link_is_usable(link) || link->uplink == RESPONDER_UPLINK_DEAD))
			names[n++] = arena_strdup(a, link->info.name);
	}
	return (struct strs){names, n};
}

bool links_usable_next(const struct links *l, size_t *pos, struct responder_link *out)
{
	while (*pos < l->n) {
		const struct link_ *link = &l->items[(*pos)++];

		if (!link_is_usable(link))
			continue;
		*out = (struct responder_link){.ifindex = link->info.ifindex,
					       .arp = link->info.flags & IFF_BROADCAST,
					       .link_local = link_local_of(link)};
		out->ndp = out->link_local.family == IP_V6;
		memcpy(out->name, link->info.name, sizeof(out->name));
		memcpy(out->mac.b, link->info.mac, sizeof(out->mac.b));
		if (out->arp || out->ndp)
			return true;
	}
	return false;
}
