/*
 * The gossip queue against a plain model of it: whose turn it is, what is skipped because it does
 * not fit, what replaces what, and when something has been told often enough.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/swim_private.h"

#define NAMES 60

static uint64_t seed = 7;

static void fill(void *user, void *p, size_t n)
{
	(void)user;
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)p)[i] = (uint8_t)(seed >> 56);
	}
}

static const struct random_source source = {fill, NULL};

/* What the queue holds about one name. */
struct told {
	bool queued;
	unsigned transmits, id;
	size_t len;
	uint32_t incarnation;
};

static bool is_earlier(const struct told *a, const struct told *b)
{
	if (a->transmits != b->transmits)
		return a->transmits < b->transmits;
	if (a->len != b->len)
		return a->len > b->len;
	return a->id > b->id;
}

/* The next of the model that fits and was not taken in this round. */
static struct told *model_next(struct told *all, const bool *taken, size_t budget)
{
	struct told *best = NULL;

	for (size_t i = 0; i < NAMES; i++)
		if (all[i].queued && !taken[i] && all[i].len + 2 <= budget &&
		    (!best || is_earlier(&all[i], best)))
			best = &all[i];
	return best;
}

static void name_of(unsigned i, char name[64])
{
	snprintf(name, 64, "%.*s%u", (int)(i * 7 % 40),
		 "nodes-with-names-of-many-different-lengths", i);
}

static void queue_one(struct swim *s, struct told *all, unsigned i, unsigned id)
{
	char name[64];
	struct gsp_msg m = {.incarnation = id};
	struct buf encoded = {0};

	name_of(i, name);
	m.node = m.from = swim_text(name);
	swim_broadcast(s, name, GSP_DEAD, &m);
	gsp_encode(GSP_DEAD, &m, &encoded);
	all[i] = (struct told){true, 0, id, encoded.len, id};
	buf_fini(&encoded);
	assert_true(swim_is_queued(s, name));
}

static void take_some(struct swim *s, struct told *all, size_t budget)
{
	unsigned limit = swim_retransmit_limit(s->cfg.retransmit_mult, s->n_members);
	struct gsp_bytes parts[GSP_COMPOUND_PARTS_MAX];
	bool taken[NAMES] = {false};
	struct buf mem = {0};
	size_t n = swim_take_broadcasts(s, budget, 2, parts, ARRAY_SIZE(parts), &mem), i = 0;

	for (struct told *t; (t = model_next(all, taken, budget)); i++) {
		struct gsp_msg m;

		assert_true(i < n);
		struct rd r = rd_init(parts[i].p + 1, parts[i].n - 1);

		assert_null(gsp_decode(GSP_DEAD, &r, &m));
		assert_int_equal(m.incarnation, t->incarnation);
		assert_int_equal(parts[i].n, t->len);
		budget -= t->len + 2;
		taken[t - all] = true;
		t->transmits++;
	}
	assert_int_equal(i, n);
	for (size_t j = 0; j < NAMES; j++) {
		char name[64];

		all[j].queued &= all[j].transmits < limit;
		name_of((unsigned)j, name);
		assert_int_equal(swim_is_queued(s, name), all[j].queued);
	}
	buf_fini(&mem);
}

static void like_the_model(void **state)
{
	struct swim_config cfg = swim_config_lan();
	struct told all[NAMES] = {{false}};

	(void)state;
	strcpy(cfg.name, "self");
	cfg.addr = ip_from_v4((const uint8_t[4]){10, 0, 0, 1});
	struct swim *s = swim_new(&cfg, &source, USEC_PER_SEC);
	struct buf mem = {0};
	struct gsp_bytes own[4];

	while (swim_take_broadcasts(s, 1400, 2, own, ARRAY_SIZE(own), &mem) > 0)
		; /* what it says about itself */
	for (unsigned id = 1; id < 3000; id++) {
		if (random_below(&source, 3) > 0)
			queue_one(s, all, random_below(&source, NAMES), id);
		else
			take_some(s, all, random_below(&source, 1400));
	}
	buf_fini(&mem);
	swim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(like_the_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
