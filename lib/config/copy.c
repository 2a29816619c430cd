/*
 * Deep copies into the configuration's arena, and the order in which objects are taken: where two
 * contradict each other, the older one stays.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"

const char *copy_str(struct arena *a, const char *s)
{
	return *s ? arena_strdup(a, s) : "";
}

struct strs copy_strs(struct arena *a, const struct strs *s)
{
	const char **items = arena_calloc(a, s->n, sizeof(*items));

	for (size_t i = 0; i < s->n; i++)
		items[i] = copy_str(a, s->items[i]);
	return (struct strs){items, s->n};
}

struct labels copy_labels(struct arena *a, const struct labels *l)
{
	struct kv *items = arena_calloc(a, l->n, sizeof(*items));

	for (size_t i = 0; i < l->n; i++)
		items[i] =
			(struct kv){copy_str(a, l->items[i].key), copy_str(a, l->items[i].value)};
	return (struct labels){items, l->n};
}

static struct selector copy_selector(struct arena *a, const struct selector *s)
{
	struct selector_expr *exprs = arena_calloc(a, s->n_exprs, sizeof(*exprs));

	for (size_t i = 0; i < s->n_exprs; i++)
		exprs[i] = (struct selector_expr){
			.key = copy_str(a, s->exprs[i].key),
			.op_text = copy_str(a, s->exprs[i].op_text),
			.op = s->exprs[i].op,
			.values = copy_strs(a, &s->exprs[i].values),
		};
	return (struct selector){copy_labels(a, &s->match_labels), exprs, s->n_exprs};
}

struct selectors copy_selectors(struct arena *a, const struct selectors *s)
{
	struct selector *items = arena_calloc(a, s->n, sizeof(*items));

	for (size_t i = 0; i < s->n; i++)
		items[i] = copy_selector(a, &s->items[i]);
	return (struct selectors){items, s->n};
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct strs sorted_strs(struct arena *a, const struct strs *s)
{
	const char **items = arena_memdup(a, s->items, s->n * sizeof(*items));
	size_t n = 0;

	if (s->n > 1)
		qsort(items, s->n, sizeof(*items), text_cmp);
	for (size_t i = 0; i < s->n; i++)
		if (n == 0 || strcmp(items[n - 1], items[i]) != 0)
			items[n++] = items[i];
	return (struct strs){items, n};
}

bool strs_has(const struct strs *sorted, const char *s)
{
	return sorted->n > 0 &&
	       bsearch(&s, sorted->items, sorted->n, sizeof(*sorted->items), text_cmp);
}

struct ordered {
	const struct api_object *obj;
	bool newest;
};

static int older_first(const void *x, const void *y)
{
	const struct ordered *p = x, *q = y;
	const struct meta *a = &p->obj->meta, *b = &q->obj->meta;

	if (p->newest != q->newest)
		return p->newest - q->newest;
	if (a->created != b->created)
		return a->created < b->created ? -1 : 1;
	int c = strcmp(a->name, b->name);

	return c ? c : strcmp(a->namespace, b->namespace);
}

const struct api_object **build_order(struct build *b, const void *list, size_t n)
{
	const struct api_object *const *in = list;
	struct ordered *order = arena_calloc(b->scratch, n, sizeof(*order));
	const struct api_object **out = arena_calloc(b->scratch, n, sizeof(*out));

	for (size_t i = 0; i < n; i++)
		order[i] = (struct ordered){in[i], in[i] == b->opt->newest};
	if (n > 1)
		qsort(order, n, sizeof(*order), older_first);
	for (size_t i = 0; i < n; i++)
		out[i] = order[i].obj;
	return out;
}
