/*
 * Runs in a treap ordered by their first address: a binary search tree whose shape comes from a
 * pseudo-random priority of each node, so its depth is O(log n) whatever the order of insertion.
 * Runs never touch or overlap each other.
 */
#include "operator/runs.h"

#include <assert.h>

#include "metallb/xalloc.h"

struct run {
	struct ip first, last;
	uint32_t priority;
	struct run *left, *right;
};

void runs_init(struct runs *r)
{
	*r = (struct runs){0};
}

void runs_fini(struct runs *r)
{
	/* Rotate left children away, so that no recursion or stack is needed. */
	for (struct run *n = r->root, *next; n; n = next) {
		if (n->left) {
			next = n->left;
			n->left = next->right;
			next->right = n;
			continue;
		}
		next = n->right;
		free(n);
	}
	runs_init(r);
}

/* The next number of a splitmix64 sequence. */
static uint32_t next_priority(struct runs *r)
{
	uint64_t z = (r->order += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

/* Cut the tree at n in two: *left gets what starts before `first`, *right the others. */
static void split(struct run *n, const struct ip *first, struct run **left, struct run **right)
{
	while (n) {
		if (ip_cmp(&n->first, first) < 0) {
			*left = n;
			left = &n->right;
			n = n->right;
		} else {
			*right = n;
			right = &n->left;
			n = n->left;
		}
	}
	*left = *right = NULL;
}

/* Join two trees; everything in left starts before everything in right. */
static void merge(struct run **at, struct run *left, struct run *right)
{
	while (left && right) {
		if (left->priority >= right->priority) {
			*at = left;
			at = &left->right;
			left = left->right;
		} else {
			*at = right;
			at = &right->left;
			right = right->left;
		}
	}
	*at = left ? left : right;
}

static void insert(struct runs *r, const struct ip_range *range)
{
	struct run *n = xcalloc(1, sizeof(*n)), **at = &r->root;

	n->first = range->first;
	n->last = range->last;
	n->priority = next_priority(r);
	while (*at && (*at)->priority >= n->priority)
		at = ip_cmp(&(*at)->first, &n->first) < 0 ? &(*at)->right : &(*at)->left;
	split(*at, &n->first, &n->left, &n->right);
	*at = n;
	r->count++;
}

/* The last run that starts at or before ip. */
static struct run *floor_run(const struct runs *r, const struct ip *ip)
{
	struct run *best = NULL;

	for (struct run *n = r->root; n;) {
		if (ip_cmp(&n->first, ip) <= 0) {
			best = n;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

/* The first run that starts behind ip. */
static struct run *above_run(const struct runs *r, const struct ip *ip)
{
	struct run *best = NULL;

	for (struct run *n = r->root; n;) {
		if (ip_cmp(&n->first, ip) > 0) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

void runs_del_run(struct runs *r, const struct ip *first)
{
	struct run **at = &r->root;

	for (int c; *at && (c = ip_cmp(&(*at)->first, first)) != 0;)
		at = c < 0 ? &(*at)->right : &(*at)->left;
	struct run *n = *at;

	assert(n);
	merge(at, n->left, n->right);
	free(n);
	r->count--;
}

/* b starts no later than right behind a. */
static bool touches(const struct ip *a_last, const struct ip *b_first)
{
	struct ip next;

	if (a_last->family != b_first->family)
		return false;
	return !ip_add(a_last, 1, &next) || ip_cmp(b_first, &next) <= 0;
}

void runs_add(struct runs *r, const struct ip_range *range)
{
	struct run *n = floor_run(r, &range->first);

	assert(range->first.family == range->last.family);
	if (n && touches(&n->last, &range->first)) {
		if (ip_cmp(&n->last, &range->last) >= 0)
			return;
		n->last = range->last;
	} else {
		insert(r, range);
		n = floor_run(r, &range->first);
	}
	for (struct run *above; (above = above_run(r, &n->first)) != NULL;) {
		if (!touches(&n->last, &above->first))
			return;
		if (ip_cmp(&above->last, &n->last) > 0)
			n->last = above->last;
		runs_del_run(r, &above->first);
	}
}

void runs_del(struct runs *r, const struct ip *ip)
{
	struct run *n = floor_run(r, ip);

	if (!n || n->first.family != ip->family || ip_cmp(&n->last, ip) < 0)
		return;
	bool at_first = ip_eq(&n->first, ip), at_last = ip_eq(&n->last, ip);
	struct ip_range rest = {.last = n->last};

	if (at_first && at_last) {
		runs_del_run(r, ip);
		return;
	}
	if (at_first) {
		(void)ip_add(ip, 1, &n->first); /* there is one more: ip is not the last */
		return;
	}
	(void)ip_sub(ip, 1, &n->last);
	if (!at_last) {
		(void)ip_add(ip, 1, &rest.first);
		insert(r, &rest);
	}
}

bool runs_find(const struct runs *r, const struct ip *ip, struct ip_range *out)
{
	const struct run *n = floor_run(r, ip);

	if (!n || n->first.family != ip->family || ip_cmp(&n->last, ip) < 0)
		return false;
	*out = (struct ip_range){n->first, n->last};
	return true;
}
