/*
 * The broadcast queue and gossip: what is news, how often it was told, and to whom it goes next.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

unsigned swim_retransmit_limit(unsigned mult, size_t n)
{
	return mult * (unsigned)ceil(log10((double)n + 1));
}

static void broadcast_free(struct broadcast *b)
{
	buf_fini(&b->msg);
	free(b);
}

static void queue_remove(struct swim *s, size_t i)
{
	broadcast_free(s->queue[i]);
	memmove(&s->queue[i], &s->queue[i + 1], (s->n_queue - i - 1) * sizeof(s->queue[0]));
	s->n_queue--;
}

void swim_broadcast(struct swim *s, const char *name, enum gsp_type type, const struct gsp_msg *m)
{
	struct broadcast *b = xcalloc(1, sizeof(*b));

	/* news about a member replaces what was said of it before */
	for (size_t i = 0; i < s->n_queue; i++)
		if (strcmp(s->queue[i]->name, name) == 0) {
			queue_remove(s, i);
			break;
		}
	strcpy(b->name, name);
	gsp_encode(type, m, &b->msg);
	b->id = s->next_broadcast++;
	ARRAY_GROW(s->queue, s->n_queue, s->cap_queue);
	s->queue[s->n_queue++] = b;
}

bool swim_is_queued(const struct swim *s, const char *name)
{
	for (size_t i = 0; i < s->n_queue; i++)
		if (strcmp(s->queue[i]->name, name) == 0)
			return true;
	return false;
}

/* Least told first, then the longest, then the newest. */
static int by_turn(const void *pa, const void *pb)
{
	const struct broadcast *a = *(struct broadcast *const *)pa;
	const struct broadcast *b = *(struct broadcast *const *)pb;

	if (a->transmits != b->transmits)
		return a->transmits < b->transmits ? -1 : 1;
	if (a->msg.len != b->msg.len)
		return a->msg.len > b->msg.len ? -1 : 1;
	return a->id > b->id ? -1 : a->id < b->id;
}

size_t swim_take_broadcasts(struct swim *s, size_t budget, size_t overhead, struct gsp_bytes *parts,
			    size_t max, struct buf *mem)
{
	unsigned limit = swim_retransmit_limit(s->cfg.retransmit_mult, s->n_members);
	size_t n = 0, offset = mem->len;

	if (s->n_queue > 1)
		qsort(s->queue, s->n_queue, sizeof(s->queue[0]), by_turn);
	for (size_t i = 0; i < s->n_queue && n < max;) {
		struct broadcast *b = s->queue[i];
		size_t cost = b->msg.len + overhead;

		if (cost > budget) {
			i++;
			continue;
		}
		budget -= cost;
		buf_add(mem, b->msg.data, b->msg.len);
		parts[n++].n = b->msg.len;
		if (++b->transmits >= limit)
			queue_remove(s, i);
		else
			i++;
	}
	for (size_t i = 0; i < n; offset += parts[i++].n)
		parts[i].p = (const uint8_t *)mem->data + offset;
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
