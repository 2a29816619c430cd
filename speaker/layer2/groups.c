/*
 * Which solicited-node groups (RFC 4291 §2.7.1) this node must be in: one for each announced IPv6
 * address on each interface that announces it. Worked out anew whenever addresses or interfaces
 * changed, and told as the difference to what was told before, so that an interface that appears
 * later joins everything and nothing is left joined.
 */
#include "metallb/xalloc.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/responder_impl.h"

void groups_fini(struct responder *r)
{
	table_for_each (&r->groups, e)
		free(e->value);
	table_fini(&r->groups);
	free(r->group_ops);
}

static void op_add(struct responder *r, const struct group_member *m, bool join)
{
	ARRAY_GROW(r->group_ops, r->n_group_ops, r->cap_group_ops);
	r->group_ops[r->n_group_ops++] = (struct responder_group){m->ifindex, m->group, join};
}

/* Key: the interface's number and the three bytes in which groups differ. */
static void member_want(struct responder *r, unsigned ifindex, const struct ip *ip)
{
	struct ip group = ndp_solicited_node(ip);
	uint8_t key[sizeof(ifindex) + 3];

	memcpy(key, &ifindex, sizeof(ifindex));
	memcpy(key + sizeof(ifindex), &group.b[13], 3);
	struct group_member *m = table_find_n(&r->groups, key, sizeof(key));

	if (!m) {
		m = xcalloc(1, sizeof(*m));
		m->ifindex = ifindex;
		m->group = group;
		table_set_n(&r->groups, key, sizeof(key), m);
		op_add(r, m, true);
	}
	m->wanted = true;
}

static void groups_update(struct responder *r)
{
	table_for_each (&r->groups, e)
		((struct group_member *)e->value)->wanted = false;
	table_for_each (&r->addresses, e) {
		const struct address *addr = e->value;

		if (addr->ip.family != IP_V6)
			continue;
		for (size_t i = 0; i < r->n_links; i++)
			if (r->links[i].ndp && address_allows(addr, &r->links[i]))
				member_want(r, r->links[i].ifindex, &addr->ip);
	}
	table_for_each (&r->groups, e) {
		struct group_member *m = e->value;

		if (m->wanted)
			continue;
		op_add(r, m, false);
		table_del_n(&r->groups, e->key, e->key_len);
		free(m);
	}
	r->groups_dirty = false;
}

bool responder_group_next(struct responder *r, struct responder_group *out)
{
	if (r->next_group_op == r->n_group_ops) {
		r->next_group_op = r->n_group_ops = 0;
		if (r->groups_dirty)
			groups_update(r);
		if (r->n_group_ops == 0)
			return false;
	}
	*out = r->group_ops[r->next_group_op++];
	return true;
}
