/*
 * Adj-rib-out: the wanted and the sent side of each prefix, and the UPDATEs between them. See
 * rib.h.
 */
#include "speaker/bgp/rib.h"

#include <assert.h>
#include <stdlib.h>

#include "metallb/xalloc.h"

/* Without a session nothing is paced: any time far ahead of all others. */
#define SESSIONLESS (USEC_NEVER / 2)

static size_t family_index(const struct prefix *p)
{
	return p->ip.family == IP_V6;
}

static unsigned family_bit(const struct prefix *p)
{
	return p->ip.family == IP_V6 ? BGP_FAMILY_V6 : BGP_FAMILY_V4;
}

void bgp_rib_init(struct bgp_rib *rib)
{
	*rib = (struct bgp_rib){.next_due = USEC_NEVER};
	table_init(&rib->shared);
}

/* ---- shared attributes ---- */

/* Canonical bytes of a route's attributes; the caller frees. */
static uint8_t *attrs_key(const struct bgp_route *r, size_t *len)
{
	size_t cap = sizeof(struct ip) + 4 + r->n_communities * 13;
	uint8_t *key = xmalloc(cap);
	struct wr w = wr_init(key, cap);

	wr_u8(&w, r->next_hop.family);
	wr_bytes(&w, r->next_hop.b, sizeof(r->next_hop.b));
	wr_u32(&w, r->local_pref);
	for (size_t i = 0; i < r->n_communities; i++) {
		wr_u8(&w, r->communities[i].large);
		for (size_t k = 0; k < 3; k++)
			wr_u32(&w, k < 2 || r->communities[i].large ? r->communities[i].v[k] : 0);
	}
	assert(!w.bad);
	*len = wr_len(&w);
	return key;
}

static struct bgp_shared *shared_get(struct bgp_rib *rib, const struct bgp_route *r)
{
	size_t len;
	uint8_t *key = attrs_key(r, &len);
	struct bgp_shared *s = table_find_n(&rib->shared, key, len);

	if (s) {
		free(key);
		s->refs++;
		return s;
	}
	s = xcalloc(1, sizeof(*s));
	s->attrs = (struct bgp_attrs){.next_hop = r->next_hop,
				      .local_pref = r->local_pref,
				      .n_communities = r->n_communities};
	if (r->n_communities)
		s->attrs.communities =
			xmemdup(r->communities, r->n_communities * sizeof(*r->communities));
	s->refs = 1;
	s->key = key;
	s->key_len = len;
	table_set_n(&rib->shared, key, len, s);
	return s;
}

static void shared_put(struct bgp_rib *rib, struct bgp_shared *s)
{
	if (!s || --s->refs > 0)
		return;
	table_del_n(&rib->shared, s->key, s->key_len);
	free((void *)(uintptr_t)s->attrs.communities);
	free(s->key);
	free(s);
}

/* ---- entries ---- */

static bool is_dirty(const struct bgp_entry *e)
{
	return e->want != e->sent || (e->force && e->want);
}

/* Every change of an entry goes through a pair of these, so that the counts are right. */
static void entry_uncount(struct bgp_rib *rib, const struct bgp_entry *e)
{
	size_t f = family_index(&e->prefix);

	rib->n_sent -= e->sent != NULL;
	rib->n_want -= e->want != NULL;
	if (!is_dirty(e))
		return;
	rib->n_dirty[f]--;
	if (e->want)
		e->want->n_dirty[f]--;
}

static void entry_count(struct bgp_rib *rib, const struct bgp_entry *e)
{
	size_t f = family_index(&e->prefix), at = (size_t)(e - rib->entries);

	rib->n_sent += e->sent != NULL;
	rib->n_want += e->want != NULL;
	if (!is_dirty(e))
		return;
	rib->n_dirty[f]++;
	if (e->want)
		e->want->n_dirty[f]++;
	if (at < rib->scan_from)
		rib->scan_from = at;
	rib->next_due = 0;
}

static void entry_set_want(struct bgp_rib *rib, struct bgp_entry *e, struct bgp_shared *want)
{
	struct bgp_shared *old = e->want;

	if (old != want) {
		entry_uncount(rib, e);
		e->want = want;
		if (!want)
			e->force = false;
		entry_count(rib, e);
	}
	shared_put(rib, old);
}

/* The peer was told. */
static void entry_set_sent(struct bgp_rib *rib, struct bgp_entry *e)
{
	struct bgp_shared *old = e->sent;

	entry_uncount(rib, e);
	e->sent = e->want;
	e->force = false;
	if (e->sent)
		e->sent->refs++;
	entry_count(rib, e);
	shared_put(rib, old);
}

/* Index of the first entry not below p; *found says whether it is p. */
static size_t entry_find(const struct bgp_rib *rib, const struct prefix *p, bool *found)
{
	size_t lo = 0, hi = rib->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (prefix_cmp(&rib->entries[mid].prefix, p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = lo < rib->n && prefix_cmp(&rib->entries[lo].prefix, p) == 0;
	return lo;
}

static void refill(struct bgp_entry *e, usec_t now)
{
	usec_t n = (now - e->refilled) / BGP_PACE_INTERVAL;

	if (e->tokens >= BGP_PACE_BURST || n <= 0)
		return;
	if (n >= BGP_PACE_BURST - e->tokens)
		e->tokens = BGP_PACE_BURST;
	else
		e->tokens = (uint8_t)(e->tokens + n);
	e->refilled += n * BGP_PACE_INTERVAL;
}

/* Forget entries that neither side has and whose pacing has run out. */
static void compact(struct bgp_rib *rib, usec_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < rib->n; i++) {
		struct bgp_entry *e = &rib->entries[i];

		refill(e, now);
		if (e->want || e->sent || e->tokens < BGP_PACE_BURST)
			rib->entries[n++] = *e;
	}
	if (n != rib->n)
		rib->scan_from = 0;
	rib->n = n;
}

static struct bgp_entry entry_make(const struct prefix *p)
{
	return (struct bgp_entry){.prefix = *p, .tokens = BGP_PACE_BURST};
}

/* ---- the wanted side ---- */

const char *bgp_route_check(const struct bgp_route *r)
{
	if (r->prefix.ip.family != IP_V4 && r->prefix.ip.family != IP_V6)
		return "no address family";
	if (r->prefix.len > IP_BITS(r->prefix.ip.family))
		return "prefix length too large";
	if (r->n_communities > BGP_COMMUNITIES_MAX)
		return "more than 256 communities";
	if (r->prefix.ip.family == IP_V6 && r->next_hop.family == IP_V4)
		return "an IPv6 prefix with an IPv4 next hop";
	return NULL;
}

void bgp_rib_add(struct bgp_rib *rib, const struct bgp_route *route)
{
	bool found;
	size_t at = entry_find(rib, &route->prefix, &found);

	if (!found) {
		ARRAY_GROW(rib->entries, rib->n, rib->cap);
		memmove(&rib->entries[at + 1], &rib->entries[at],
			(rib->n - at) * sizeof(*rib->entries));
		rib->entries[at] = entry_make(&route->prefix);
		rib->n++;
		if (rib->scan_from > at)
			rib->scan_from = at;
	}
	entry_set_want(rib, &rib->entries[at], shared_get(rib, route));
}

void bgp_rib_del(struct bgp_rib *rib, const struct prefix *prefix)
{
	bool found;
	size_t at = entry_find(rib, prefix, &found);

	if (found)
		entry_set_want(rib, &rib->entries[at], NULL);
}

void bgp_rib_clear(struct bgp_rib *rib)
{
	for (size_t i = 0; i < rib->n; i++)
		entry_set_want(rib, &rib->entries[i], NULL);
}

void bgp_rib_unpace(struct bgp_rib *rib)
{
	for (size_t i = 0; i < rib->n; i++)
		rib->entries[i].tokens = BGP_PACE_BURST;
	rib->scan_from = 0;
	rib->next_due = 0;
}

static int route_ptr_cmp(const void *a, const void *b)
{
	const struct bgp_route *x = *(const struct bgp_route *const *)a;
	const struct bgp_route *y = *(const struct bgp_route *const *)b;
	int c = prefix_cmp(&x->prefix, &y->prefix);

	return c ? c : x < y ? -1 : x > y;
}

/* Entries for all prefixes of `sorted`: a merge into a new array, dead entries left out. */
static void merge_entries(struct bgp_rib *rib, const struct bgp_route *const *sorted, size_t n)
{
	struct bgp_entry *out = xreallocarray(NULL, rib->n + n ? rib->n + n : 1, sizeof(*out));
	size_t i = 0, k = 0, m = 0;

	while (i < rib->n || k < n) {
		int c = i == rib->n ? 1
			: k == n    ? -1
				    : prefix_cmp(&rib->entries[i].prefix, &sorted[k]->prefix);

		out[m++] = c <= 0 ? rib->entries[i] : entry_make(&sorted[k]->prefix);
		i += c <= 0;
		while (c >= 0 && k < n && prefix_cmp(&out[m - 1].prefix, &sorted[k]->prefix) == 0)
			k++;
	}
	free(rib->entries);
	rib->entries = out;
	rib->cap = rib->n + n ? rib->n + n : 1;
	rib->n = m;
	rib->scan_from = 0;
}

void bgp_rib_set(struct bgp_rib *rib, const struct bgp_route *routes, size_t n)
{
	_cleanup_free_ const struct bgp_route **sorted =
		xreallocarray(NULL, n ? n : 1, sizeof(*sorted));
	size_t k = 0;
	bool grow = false;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &routes[i];
	qsort(sorted, n, sizeof(*sorted), route_ptr_cmp);
	for (size_t i = 0, j = 0; i < n && !grow; i++) {
		while (j < rib->n && prefix_cmp(&rib->entries[j].prefix, &sorted[i]->prefix) < 0)
			j++;
		grow = j == rib->n || prefix_cmp(&rib->entries[j].prefix, &sorted[i]->prefix) != 0;
	}
	if (grow)
		merge_entries(rib, sorted, n);
	for (size_t i = 0; i < rib->n; i++) {
		struct bgp_entry *e = &rib->entries[i];
		const struct bgp_route *r = NULL;

		for (; k < n && prefix_cmp(&sorted[k]->prefix, &e->prefix) == 0; k++)
			r = sorted[k];
		entry_set_want(rib, e, r ? shared_get(rib, r) : NULL);
	}
	assert(k == n);
	rib->complete = true;
	rib->next_due = 0;
	if (rib->families == 0)
		compact(rib, SESSIONLESS);
}

/* ---- the session ---- */

void bgp_rib_start(struct bgp_rib *rib, unsigned families, bool eor)
{
	bgp_rib_stop(rib);
	rib->families = families;
	rib->eor = eor ? families : 0;
	rib->next_due = 0;
	rib->scan_from = 0;
}

void bgp_rib_stop(struct bgp_rib *rib)
{
	rib->families = rib->eor = 0;
	for (size_t i = 0; i < rib->n; i++) {
		struct bgp_entry *e = &rib->entries[i];
		struct bgp_shared *old = e->sent;

		entry_uncount(rib, e);
		e->sent = NULL;
		e->force = false;
		e->tokens = BGP_PACE_BURST;
		entry_count(rib, e);
		shared_put(rib, old);
	}
	compact(rib, SESSIONLESS);
}

void bgp_rib_resend(struct bgp_rib *rib, unsigned families)
{
	for (size_t i = 0; i < rib->n; i++) {
		struct bgp_entry *e = &rib->entries[i];

		if (!e->want || !(family_bit(&e->prefix) & families))
			continue;
		entry_uncount(rib, e);
		e->force = true;
		entry_count(rib, e);
	}
}

/* Dirty and allowed now; a dirty one that has to wait moves *due forward. */
static bool is_sendable(const struct bgp_rib *rib, struct bgp_entry *e, usec_t now, usec_t *due)
{
	if (!is_dirty(e) || !(family_bit(&e->prefix) & rib->families))
		return false;
	refill(e, now);
	if (e->tokens > 0 || e->force)
		return true;
	if (e->refilled + BGP_PACE_INTERVAL < *due)
		*due = e->refilled + BGP_PACE_INTERVAL;
	return false;
}

static void spend(struct bgp_rib *rib, struct bgp_entry *e, usec_t now)
{
	/* the first announcement in a session is free */
	if (e->sent && !e->force) {
		if (e->tokens == BGP_PACE_BURST)
			e->refilled = now;
		e->tokens = (uint8_t)(e->tokens - (e->tokens > 0));
	}
	entry_set_sent(rib, e);
}

/* All that can ride along with the announcement of `first`. 0: its family has no next hop. */
static size_t put_announcements(struct bgp_rib *rib, size_t first, const struct bgp_encoding *enc,
				usec_t now, uint8_t *out)
{
	struct bgp_shared *want = rib->entries[first].want;
	size_t f = family_index(&rib->entries[first].prefix);
	usec_t due = USEC_NEVER;
	struct bgp_update u;

	if (!bgp_update_begin(&u, out, enc, &want->attrs,
			      (enum ip_family)rib->entries[first].prefix.ip.family))
		return 0;
	for (size_t i = first; i < rib->n && want->n_dirty[f] > 0; i++) {
		struct bgp_entry *e = &rib->entries[i];

		if (e->want != want || family_index(&e->prefix) != f ||
		    !is_sendable(rib, e, now, &due))
			continue;
		if (!bgp_update_add(&u, &e->prefix))
			break;
		spend(rib, e, now);
	}
	return bgp_update_end(&u);
}

static size_t put_withdrawals(struct bgp_rib *rib, size_t first, usec_t now, uint8_t *out)
{
	size_t f = family_index(&rib->entries[first].prefix);
	usec_t due = USEC_NEVER;
	struct bgp_update u;

	bgp_update_begin_withdraw(&u, out, (enum ip_family)rib->entries[first].prefix.ip.family);
	for (size_t i = first; i < rib->n && rib->n_dirty[f] > 0; i++) {
		struct bgp_entry *e = &rib->entries[i];

		if (e->want || family_index(&e->prefix) != f || !is_sendable(rib, e, now, &due))
			continue;
		if (!bgp_update_add(&u, &e->prefix))
			break;
		spend(rib, e, now);
	}
	return bgp_update_end(&u);
}

static size_t put_eor(struct bgp_rib *rib, uint8_t *out)
{
	unsigned family = rib->eor & BGP_FAMILY_V4 ? BGP_FAMILY_V4 : BGP_FAMILY_V6;

	rib->eor &= ~family;
	return bgp_update_encode_eor(out, family == BGP_FAMILY_V4 ? IP_V4 : IP_V6);
}

size_t bgp_rib_output(struct bgp_rib *rib, const struct bgp_encoding *enc, usec_t now,
		      uint8_t out[BGP_MSG_MAX])
{
	size_t first_withdraw = SIZE_MAX, len = 0;
	usec_t due = USEC_NEVER;

	if (rib->families == 0 || now < rib->next_due)
		return 0;
	for (size_t i = rib->scan_from; i < rib->n && len == 0; i++) {
		struct bgp_entry *e = &rib->entries[i];

		if (!is_sendable(rib, e, now, &due))
			continue;
		if (!e->want) {
			if (first_withdraw == SIZE_MAX)
				first_withdraw = i;
			continue;
		}
		len = put_announcements(rib, i, enc, now, out);
		if (len && first_withdraw == SIZE_MAX && due == USEC_NEVER)
			rib->scan_from = i;
	}
	if (len)
		return len;
	if (first_withdraw != SIZE_MAX)
		return put_withdrawals(rib, first_withdraw, now, out);
	rib->scan_from = due == USEC_NEVER ? rib->n : 0;
	if (rib->n > 2 * rib->n_want + 64)
		compact(rib, now);
	if (rib->eor && rib->complete)
		return put_eor(rib, out);
	rib->next_due = due;
	return 0;
}

usec_t bgp_rib_deadline(const struct bgp_rib *rib)
{
	return rib->families ? rib->next_due : USEC_NEVER;
}

static size_t dirty_of_session(const struct bgp_rib *rib)
{
	return (rib->families & BGP_FAMILY_V4 ? rib->n_dirty[0] : 0) +
	       (rib->families & BGP_FAMILY_V6 ? rib->n_dirty[1] : 0);
}

bool bgp_rib_is_settled(const struct bgp_rib *rib)
{
	return dirty_of_session(rib) == 0;
}

size_t bgp_rib_pending(const struct bgp_rib *rib)
{
	return rib->families ? dirty_of_session(rib) : rib->n_want;
}

void bgp_rib_fini(struct bgp_rib *rib)
{
	bgp_rib_clear(rib);
	bgp_rib_stop(rib);
	assert(table_count(&rib->shared) == 0);
	table_fini(&rib->shared);
	free(rib->entries);
	*rib = (struct bgp_rib){0};
}

void bgp_rib_move(struct bgp_rib *to, struct bgp_rib *from)
{
	bgp_rib_stop(from);
	*to = *from;
	bgp_rib_init(from);
}
