/*
 * Checks of the selectors and lists of one field. MetalLB refuses what is there twice: a value in
 * an expression, an expression in a selector, a selector in a list, a name in a list of names.
 */
#include <string.h>

#include "lib/config/build.h"
#include "metallb/buf.h"

/* Text of a selector as written: matchLabels, then the expressions in their order. */
static const char *selector_key(const struct selector *s, struct arena *a)
{
	struct buf b = {0};

	for (size_t i = 0; i < s->match_labels.n; i++)
		buf_printf(&b, "%s=%s,", s->match_labels.items[i].key,
			   s->match_labels.items[i].value);
	buf_add_char(&b, ';');
	for (size_t i = 0; i < s->n_exprs; i++) {
		struct strs values = sorted_strs(a, &s->exprs[i].values);

		buf_printf(&b, "%s %s", s->exprs[i].key, s->exprs[i].op_text);
		for (size_t j = 0; j < values.n; j++)
			buf_printf(&b, " %s", values.items[j]);
		buf_add_char(&b, ';');
	}
	const char *key = arena_strdup(a, buf_str(&b));

	buf_fini(&b);
	return key;
}

const char *selectors_key(const struct selectors *s, struct arena *a)
{
	struct buf b = {0};

	for (size_t i = 0; i < s->n; i++)
		buf_printf(&b, "%s\n", selector_key(&s->items[i], a));
	const char *key = arena_strdup(a, buf_str(&b));

	buf_fini(&b);
	return key;
}

static const char *find_repeat(struct build *b, const struct strs *s)
{
	if (s->n < 2)
		return NULL;
	struct strs sorted = sorted_strs(b->scratch, s);

	if (sorted.n == s->n)
		return NULL;
	struct table seen;
	const char *found = NULL;

	table_init(&seen);
	for (size_t i = 0; i < s->n && !found; i++)
		if (table_set(&seen, s->items[i], b))
			found = s->items[i];
	table_fini(&seen);
	return found;
}

bool check_repeats(struct build *b, const struct api_object *obj, const char *field,
		   const struct strs *s)
{
	const char *twice = find_repeat(b, s);

	if (twice)
		return build_refuse(b, obj, field, "\"%s\" is listed twice", twice);
	return true;
}

static bool check_exprs(struct build *b, const struct api_object *obj, const char *field,
			const struct selector *s)
{
	const char **texts = arena_calloc(b->scratch, s->n_exprs, sizeof(*texts));

	for (size_t i = 0; i < s->n_exprs; i++) {
		const struct selector_expr *e = &s->exprs[i];
		const char *twice = find_repeat(b, &e->values);
		struct selector one = {.exprs = e, .n_exprs = 1};

		if (twice)
			return build_refuse(b, obj, field,
					    "value \"%s\" occurs twice in the expression on \"%s\"",
					    twice, e->key);
		texts[i] = selector_key(&one, b->scratch);
	}
	if (find_repeat(b, &(struct strs){texts, s->n_exprs}))
		return build_refuse(b, obj, field, "the selector has the same expression twice");
	return true;
}

bool check_selectors(struct build *b, const struct api_object *obj, const char *field,
		     const struct selectors *s)
{
	const char **texts = arena_calloc(b->scratch, s->n, sizeof(*texts));
	struct err err;

	for (size_t i = 0; i < s->n; i++) {
		const char *at = arena_printf(b->scratch, "%s[%zu]", field, i);

		if (!check_exprs(b, obj, at, &s->items[i]))
			return false;
		if (!selector_check(&s->items[i], &err))
			return build_refuse(b, obj, at, "%s", err.msg);
		texts[i] = selector_key(&s->items[i], b->scratch);
	}
	if (find_repeat(b, &(struct strs){texts, s->n}))
		return build_refuse(b, obj, field, "the same selector is listed twice");
	return true;
}
