/*
 * A fixed table of pairs; the one heard longest ago makes room for a new one, so that a flood of
 * claims with invented senders costs nothing.
 */
#include "speaker/layer2/conflict.h"

#include "metallb/xalloc.h"

struct pair {
	struct ip ip; /* IP_NONE: free */
	struct mac mac;
	usec_t first, last; /* of an unbroken row of claims */
	usec_t told;        /* 0: never */
};

struct conflicts {
	struct pair pairs[CONFLICTS_MAX];
	size_t n;
	uint64_t count;
};

struct conflicts *conflicts_new(void)
{
	return xcalloc(1, sizeof(struct conflicts));
}

struct conflicts *conflicts_free(struct conflicts *c)
{
	free(c);
	return NULL;
}

/* The pair of this claim, or the place for it. */
static struct pair *pair_get(struct conflicts *c, const struct responder_claim *claim)
{
	struct pair *oldest = &c->pairs[0];

	for (size_t i = 0; i < c->n; i++) {
		struct pair *p = &c->pairs[i];

		if (mac_eq(&p->mac, &claim->mac) && ip_eq(&p->ip, &claim->ip))
			return p;
		if (p->last < oldest->last)
			oldest = p;
	}
	if (c->n < CONFLICTS_MAX)
		oldest = &c->pairs[c->n++];
	*oldest = (struct pair){claim->ip, claim->mac, claim->when, claim->when, 0};
	return oldest;
}

bool conflicts_add(struct conflicts *c, const struct responder_claim *claim)
{
	struct pair *p = pair_get(c, claim);

	c->count++;
	if (claim->when - p->last > CONFLICT_FORGET)
		p->first = claim->when;
	p->last = claim->when;
	if (p->last - p->first < CONFLICT_CONFIRM)
		return false;
	if (p->told && p->last - p->told < CONFLICT_SAY_EACH)
		return false;
	p->told = p->last;
	return true;
}

void conflicts_forget(struct conflicts *c, const struct ip *ip)
{
	for (size_t i = 0; i < c->n;) {
		if (ip_eq(&c->pairs[i].ip, ip))
			c->pairs[i] = c->pairs[--c->n];
		else
			i++;
	}
}

uint64_t conflicts_count(const struct conflicts *c)
{
	return c->count;
}
