/*
 * Which nodes a list of selectors picks. Equal lists are evaluated once; a selector with an
 * equality looks only at the nodes that have that label. Equal results share one sorted list of
 * names and an id, so that later checks compare ids or bits, not names.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"
#include "metallb/xalloc.h"

struct label_nodes {
	uint32_t *items;
	size_t n, cap;
};

static int node_cmp(const void *x, const void *y)
{
	const struct node *const *a = x, *const *b = y;

	return strcmp((*a)->obj.meta.name, (*b)->obj.meta.name);
}

void nodes_init(struct build *b)
{
	struct node_cache *c = &b->nodes;
	size_t n = b->objs->n_nodes, m = 0;
	const struct node **sorted = arena_memdup(b->scratch, b->objs->nodes, n * sizeof(*sorted));

	if (n > 1)
		qsort(sorted, n, sizeof(*sorted), node_cmp);
	c->names = arena_calloc(b->arena, n, sizeof(*c->names));
	c->labels = arena_calloc(b->scratch, n, sizeof(*c->labels));
	for (size_t i = 0; i < n; i++) {
		const char *name = sorted[i]->obj.meta.name;

		if (m > 0 && strcmp(c->names[m - 1], name) == 0)
			continue;
		c->names[m] = arena_strdup(b->arena, name);
		c->labels[m++] = &sorted[i]->obj.meta.labels;
	}
	c->n_nodes = m;
	c->n_words = m / 64 + 1;
	table_init(&c->by_selectors);
	table_init(&c->by_bits);
	table_init(&c->by_label);
}

void nodes_fini(struct build *b)
{
	table_for_each (&b->nodes.by_label, e) {
		struct label_nodes *l = e->value;

		free(l->items);
	}
	table_fini(&b->nodes.by_selectors);
	table_fini(&b->nodes.by_bits);
	table_fini(&b->nodes.by_label);
}

static const char *label_key(struct build *b, const char *key, const char *value)
{
	return arena_printf(b->scratch, "%s=%s", key, value);
}

static void index_labels(struct build *b)
{
	struct node_cache *c = &b->nodes;

	for (size_t i = 0; i < c->n_nodes; i++)
		for (size_t j = 0; j < c->labels[i]->n; j++) {
			const struct kv *kv = &c->labels[i]->items[j];
			const char *key = label_key(b, kv->key, kv->value);
			struct label_nodes *l = table_find(&c->by_label, key);

			if (!l) {
				l = arena_alloc(b->scratch, sizeof(*l));
				table_set(&c->by_label, key, l);
			}
			ARRAY_GROW(l->items, l->n, l->cap);
			l->items[l->n++] = (uint32_t)i;
		}
	c->indexed = true;
}

static void set_bit(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

/* How many nodes have the key with one of the values. */
static size_t count_with(struct build *b, const char *key, const struct strs *values)
{
	size_t n = 0;

	for (size_t i = 0; i < values->n; i++) {
		const struct label_nodes *l =
			table_find(&b->nodes.by_label, label_key(b, key, values->items[i]));

		n += l ? l->n : 0;
	}
	return n;
}

/* The requirement that the fewest nodes fulfil among those that name values; false: none does. */
static bool narrowest(struct build *b, const struct selector *s, const char **key,
		      struct strs *values)
{
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < s->match_labels.n; i++) {
		const struct kv *kv = &s->match_labels.items[i];
		struct strs one = {&kv->value, 1};
		size_t n = count_with(b, kv->key, &one);

		if (n < least) {
			least = n;
			*key = kv->key;
			*values = one;
		}
	}
	for (size_t i = 0; i < s->n_exprs; i++) {
		const struct selector_expr *e = &s->exprs[i];
		size_t n = e->op == SEL_IN ? count_with(b, e->key, &e->values) : SIZE_MAX;

		if (n < least) {
			least = n;
			*key = e->key;
			*values = e->values;
		}
	}
	return least != SIZE_MAX;
}

static void match_one(struct build *b, const struct selector *s, uint64_t *bits)
{
	struct node_cache *c = &b->nodes;
	struct strs values;
	const char *key;

	if (!c->indexed)
		index_labels(b);
	if (!narrowest(b, s, &key, &values)) {
		for (size_t i = 0; i < c->n_nodes; i++)
			if (selector_matches(s, c->labels[i]))
				set_bit(bits, i);
		return;
	}
	for (size_t i = 0; i < values.n; i++) {
		const struct label_nodes *l =
			table_find(&c->by_label, label_key(b, key, values.items[i]));

		for (size_t j = 0; l && j < l->n; j++)
			if (selector_matches(s, c->labels[l->items[j]]))
				set_bit(bits, l->items[j]);
	}
}

/* The set with these bits, shared with every other selection of the same nodes. */
static struct node_set *set_of_bits(struct build *b, uint64_t *bits)
{
	struct node_cache *c = &b->nodes;
	size_t size = c->n_words * sizeof(*bits), n = 0;
	struct node_set *set = table_find_n(&c->by_bits, bits, size);

	if (set)
		return set;
	for (size_t i = 0; i < c->n_words; i++)
		n += (size_t)__builtin_popcountll(bits[i]);
	set = arena_alloc(b->scratch, sizeof(*set));
	set->bits = bits;
	set->id = c->n_sets++;
	set->all = n == c->n_nodes;
	if (set->all) {
		set->names = (struct strs){c->names, n};
	} else {
		const char **names = arena_calloc(b->arena, n, sizeof(*names));
		size_t m = 0;

		for (size_t i = 0; i < c->n_nodes; i++)
			if (bits[i / 64] >> (i % 64) & 1)
				names[m++] = c->names[i];
		set->names = (struct strs){names, n};
	}
	table_set_n(&c->by_bits, bits, size, set);
	return set;
}

const struct node_set *nodes_select(struct build *b, const struct selectors *s)
{
	struct node_cache *c = &b->nodes;
	const char *key = selectors_key(s, b->scratch);
	struct node_set *set = table_find(&c->by_selectors, key);

	if (set)
		return set;
	uint64_t *bits = arena_calloc(b->scratch, c->n_words, sizeof(*bits));

	for (size_t i = 0; i < s->n; i++)
		match_one(b, &s->items[i], bits);
	for (size_t i = 0; s->n == 0 && i < c->n_nodes; i++)
		set_bit(bits, i);
	set = set_of_bits(b, bits);
	table_set(&c->by_selectors, key, set);
	return set;
}

bool node_sets_meet(const struct build *b, const struct node_set *x, const struct node_set *y)
{
	for (size_t i = 0; i < b->nodes.n_words; i++)
		if (x->bits[i] & y->bits[i])
			return true;
	return false;
}
