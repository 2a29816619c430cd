/*
 * The broadcast queue and gossip: what is news, how often it was told, and to whom it goes next.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

#define MESSAGE_MIN 28 /* bytes of the shortest one that is ever queued */

unsigned swim_retransmit_limit(unsigned mult, size_t n)
{
	return mult * (unsigned)ceil(log10((double)n + 1));
}

static void broadcast_free(struct broadcast *b)
{
	buf_fini(&b->msg);
	free(b);
}

/* What decides whose turn it is: least told first, then the longest, then the newest. */
struct turn {
	unsigned transmits;
	size_t len;
	uint64_t id;
};

static struct turn turn_of(const struct broadcast *b)
{
	return (struct turn){b->transmits, b->msg.len, b->id};
}

static bool is_before(const struct broadcast *b, const struct turn *t)
{
	if (b->transmits != t->transmits)
		return b->transmits < t->transmits;
	if (b->msg.len != t->len)
		return b->msg.len > t->len;
	return b->id > t->id;
}

/* The first place from `low` on that does not come before the turn. */
static size_t queue_place(const struct swim *s, size_t low, struct turn turn)
{
	size_t high = s->n_queue;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_before(s->queue[middle], &turn))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void queue_insert(struct swim *s, struct broadcast *b)
{
	size_t i = queue_place(s, 0, turn_of(b));

	ARRAY_GROW(s->queue, s->n_queue, s->cap_queue);
	memmove(&s->queue[i + 1], &s->queue[i], (s->n_queue - i) * sizeof(s->queue[0]));
	s->queue[i] = b;
	s->n_queue++;
}

static void queue_remove(struct swim *s, struct broadcast *b)
{
	size_t i = queue_place(s, 0, turn_of(b));

	assert(i < s->n_queue && s->queue[i] == b);
	memmove(&s->queue[i], &s->queue[i + 1], (s->n_queue - i - 1) * sizeof(s->queue[0]));
	s->n_queue--;
}

void swim_queue_free(struct swim *s)
{
	for (size_t i = 0; i < s->n_queue; i++)
		broadcast_free(s->queue[i]);
	free(s->queue);
	table_fini(&s->news);
}

void swim_broadcast(struct swim *s, const char *name, enum gsp_type type, const struct gsp_msg *m)
{
	size_t len = strlen(name);
	struct broadcast *b = xcalloc(1, sizeof(*b) + len + 1), *old;

	memcpy(b->name, name, len);
	gsp_encode(type, m, &b->msg);
	b->id = s->next_broadcast++;
	/* news about a member replaces what was said of it before */
	old = table_set(&s->news, name, b);
	if (old) {
		queue_remove(s, old);
		broadcast_free(old);
	}
	queue_insert(s, b);
}

bool swim_is_queued(const struct swim *s, const char *name)
{
	return table_find(&s->news, name) != NULL;
}

/* The places up to `end` from which broadcasts were taken (NULL) are closed. */
static void queue_close(struct swim *s, size_t end)
{
	size_t n = 0;

	for (size_t i = 0; i < end; i++)
		if (s->queue[i])
			s->queue[n++] = s->queue[i];
	memmove(&s->queue[n], &s->queue[end], (s->n_queue - end) * sizeof(s->queue[0]));
	s->n_queue -= end - n;
}

static void told_once_more(struct swim *s, struct broadcast *b, unsigned limit)
{
	if (++b->transmits < limit) {
		queue_insert(s, b);
		return;
	}
	table_del(&s->news, b->name);
	broadcast_free(b);
}

size_t swim_take_broadcasts(struct swim *s, size_t budget, size_t overhead, struct gsp_bytes *parts,
			    size_t max, struct buf *mem)
{
	unsigned limit = swim_retransmit_limit(s->cfg.retransmit_mult, s->n_members);
	struct broadcast *taken[GSP_COMPOUND_PARTS_MAX];
	size_t n = 0, end = 0, offset = mem->len;

	assert(max <= ARRAY_SIZE(taken));
	for (size_t i = 0; i < s->n_queue && n < max && budget >= MESSAGE_MIN + overhead;) {
		struct broadcast *b = s->queue[i];

		if (b->msg.len + overhead > budget) { /* on to those that are short enough */
			i = queue_place(s, i,
					(struct turn){b->transmits, budget - overhead, UINT64_MAX});
			continue;
		}
		budget -= b->msg.len + overhead;
		buf_add(mem, b->msg.data, b->msg.len);
		parts[n].n = b->msg.len;
		taken[n++] = b;
		s->queue[i++] = NULL;
		end = i;
	}
	queue_close(s, end);
	for (size_t i = 0; i < n; offset += parts[i++].n) {
		parts[i].p = (const uint8_t *)mem->data + offset;
		told_once_more(s, taken[i], limit);
	}
	return n;
}

static void swap(struct member **a, size_t i, size_t j)
{
	struct member *m = a[i];

	a[i] = a[j];
	a[j] = m;
}

/* The first k fitting ones of a shuffled copy of a small list. */
static size_t pick_few(struct swim *s, size_t k, swim_filter ok, const void *arg,
		       struct member **out)
{
	size_t n = s->n_members, found = 0;
	_cleanup_free_ struct member **copy = xmemdup(s->members, n * sizeof(*copy));

	for (size_t i = 0; i < n && found < k; i++) {
		swap(copy, i, i + random_below(s->random, (uint32_t)(n - i)));
		if (ok(s, copy[i], arg))
			out[found++] = copy[i];
	}
	return found;
}

size_t swim_pick(struct swim *s, size_t k, swim_filter ok, const void *arg, struct member **out)
{
	size_t n = s->n_members, found = 0;

	if (n < 3 * k)
		return pick_few(s, k, ok, arg, out);
	for (size_t tries = 0; tries < 3 * n && found < k; tries++) {
		struct member *m = s->members[random_below(s->random, (uint32_t)n)];
		bool taken = false;

		for (size_t i = 0; i < found; i++)
			taken |= out[i] == m;
		if (!taken && ok(s, m, arg))
			out[found++] = m;
	}
	return found;
}

static bool hears_gossip(const struct swim *s, const struct member *m, const void *arg)
{
	const usec_t *now = arg;

	if (m == s->self || m->state == GSP_ST_LEFT)
		return false;
	return m->state != GSP_ST_DEAD || *now - m->changed <= s->cfg.gossip_to_the_dead;
}

void swim_gossip(struct swim *s, usec_t now)
{
	size_t budget = s->cfg.udp_buffer - 2 - swim_seal_overhead(s), n;
	struct member *to[16];

	if (s->n_queue == 0)
		return;
	n = swim_pick(s, s->cfg.gossip_nodes < 16 ? s->cfg.gossip_nodes : 16, hears_gossip, &now,
		      to);
	for (size_t i = 0; i < n; i++) {
		struct gsp_bytes parts[GSP_COMPOUND_PARTS_MAX];
		struct buf mem = {0}, msg = {0};
		struct ip addr = swim_member_addr(to[i]);
		size_t k = swim_take_broadcasts(s, budget, 2, parts, ARRAY_SIZE(parts), &mem);

		if (k == 1)
			buf_add(&msg, parts[0].p, parts[0].n);
		else if (k > 1)
			gsp_compound(parts, k, &msg);
		if (k > 0)
			swim_send(s, &addr, to[i]->port, to[i], &msg);
		buf_fini(&mem);
		buf_fini(&msg);
		if (k == 0)
			break;
	}
}
