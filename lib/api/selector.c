/*
 * Label selectors as apimachinery has them: evaluation, the checks of LabelSelectorAsSelector, and
 * the canonical text of labels.Selector. Also syntax of label keys and values.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/api/metallb_kinds.h"
#include "metallb/buf.h"
#include "metallb/labels.h"
#include "metallb/xalloc.h"

static const char *const op_names[] = {
	[SEL_IN] = "In",
	[SEL_NOT_IN] = "NotIn",
	[SEL_EXISTS] = "Exists",
	[SEL_DOES_NOT_EXIST] = "DoesNotExist",
};

enum selector_op selector_op_parse(const char *text)
{
	for (unsigned i = 0; i < ARRAY_SIZE(op_names); i++)
		if (strcmp(op_names[i], text) == 0)
			return (enum selector_op)i;
	return SEL_INVALID;
}

const char *labels_get(const struct labels *l, const char *key)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(l->items[mid].key, key);

		if (c == 0)
			return l->items[mid].value;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool labels_equal(const struct labels *a, const struct labels *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
		    strcmp(a->items[i].value, b->items[i].value) != 0)
			return false;
	return true;
}

bool strs_equal(const struct strs *a, const struct strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool values_contain(const struct strs *values, const char *s)
{
	for (size_t i = 0; i < values->n; i++)
		if (strcmp(values->items[i], s) == 0)
			return true;
	return false;
}

static bool expr_matches(const struct selector_expr *e, const struct labels *labels)
{
	const char *value = labels_get(labels, e->key);

	switch (e->op) {
	case SEL_IN:
		return value && values_contain(&e->values, value);
	case SEL_NOT_IN:
		return !value || !values_contain(&e->values, value);
	case SEL_EXISTS:
		return value;
	case SEL_DOES_NOT_EXIST:
		return !value;
	case SEL_INVALID:
		break;
	}
	return false;
}

bool selector_matches(const struct selector *s, const struct labels *labels)
{
	for (size_t i = 0; i < s->match_labels.n; i++) {
		const char *value = labels_get(labels, s->match_labels.items[i].key);

		if (!value || strcmp(value, s->match_labels.items[i].value) != 0)
			return false;
	}
	for (size_t i = 0; i < s->n_exprs; i++)
		if (!expr_matches(&s->exprs[i], labels))
			return false;
	return true;
}

bool selectors_match_any(const struct selectors *s, const struct labels *labels)
{
	for (size_t i = 0; i < s->n; i++)
		if (selector_matches(&s->items[i], labels))
			return true;
	return false;
}

/* ---- syntax ---- */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name_char(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || c == '.';
}

/* Letters, digits, '-', '_', '.'; the first and last a letter or digit. */
static bool is_label_name(const char *s, size_t n)
{
	if (n == 0 || n > LABEL_NAME_MAX || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(s[i]))
			return false;
	return true;
}

bool label_check_value(const char *value, struct err *err)
{
	if (*value && !is_label_name(value, strlen(value)))
		return err_set(err,
			       "label value \"%.80s\" must be at most %u letters, digits, '-', '_' "
			       "or '.', with a letter or digit at both ends",
			       value, LABEL_NAME_MAX);
	return true;
}

bool label_check_subdomain(const char *s, size_t n)
{
	if (n == 0 || n > SUBDOMAIN_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool edge = i == 0 || i == n - 1 || s[i - 1] == '.' || s[i + 1] == '.';

		if ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9'))
			continue;
		if (edge || (s[i] != '-' && s[i] != '.'))
			return false;
	}
	return true;
}

bool label_check_key(const char *key, struct err *err)
{
	const char *slash = strchr(key, '/');
	const char *name = slash ? slash + 1 : key;

	if (slash && !label_check_subdomain(key, (size_t)(slash - key)))
		return err_set(err,
			       "label key \"%.300s\": the part before '/' must be a lower case DNS "
			       "name of at most %u characters",
			       key, SUBDOMAIN_MAX);
	if (!is_label_name(name, strlen(name)))
		return err_set(err,
			       "label key \"%.300s\": the name must be 1 to %u letters, digits, "
			       "'-', '_' or '.', with a letter or digit at both ends",
			       key, LABEL_NAME_MAX);
	return true;
}

static bool expr_check(const struct selector_expr *e, struct err *err)
{
	if (e->op == SEL_INVALID)
		return err_set(err, "\"%.80s\" is not a label selector operator", e->op_text);
	if (!label_check_key(e->key, err))
		return false;
	if ((e->op == SEL_IN || e->op == SEL_NOT_IN) && e->values.n == 0)
		return err_set(err, "key \"%.80s\": operator %s needs values", e->key, e->op_text);
	if ((e->op == SEL_EXISTS || e->op == SEL_DOES_NOT_EXIST) && e->values.n > 0)
		return err_set(err, "key \"%.80s\": operator %s takes no values", e->key,
			       e->op_text);
	for (size_t i = 0; i < e->values.n; i++)
		if (!label_check_value(e->values.items[i], err))
			return false;
	return true;
}

bool selector_check(const struct selector *s, struct err *err)
{
	for (size_t i = 0; i < s->match_labels.n; i++)
		if (!label_check_key(s->match_labels.items[i].key, err) ||
		    !label_check_value(s->match_labels.items[i].value, err))
			return false;
	for (size_t i = 0; i < s->n_exprs; i++)
		if (!expr_check(&s->exprs[i], err))
			return false;
	return true;
}

/* ---- text ---- */

struct requirement {
	const char *key, *text;
	size_t order; /* makes the sort stable */
};

static int requirement_cmp(const void *a, const void *b)
{
	const struct requirement *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *expr_format(const struct selector_expr *e, struct arena *a)
{
	struct buf b = {0};

	buf_printf(&b, "%s%s", e->op == SEL_DOES_NOT_EXIST ? "!" : "", e->key);
	if (e->op == SEL_INVALID)
		buf_printf(&b, " %s", e->op_text);
	if (e->op == SEL_IN || e->op == SEL_NOT_IN) {
		const char **values =
			arena_memdup(a, e->values.items, e->values.n * sizeof(*values));

		if (e->values.n > 1)
			qsort(values, e->values.n, sizeof(*values), text_cmp);
		buf_add_str(&b, e->op == SEL_IN ? " in (" : " notin (");
		for (size_t i = 0; i < e->values.n; i++)
			buf_printf(&b, "%s%s", i ? "," : "", values[i]);
		buf_add_char(&b, ')');
	}
	const char *text = arena_strdup(a, buf_str(&b));

	buf_fini(&b);
	return text;
}

char *selector_format(const struct selector *s, struct arena *a)
{
	size_t n = s->match_labels.n + s->n_exprs;
	struct requirement *reqs = arena_calloc(a, n, sizeof(*reqs));
	struct buf b = {0};

	for (size_t i = 0; i < s->match_labels.n; i++) {
		const struct kv *kv = &s->match_labels.items[i];

		reqs[i] = (struct requirement){kv->key,
					       arena_printf(a, "%s=%s", kv->key, kv->value), i};
	}
	for (size_t i = 0; i < s->n_exprs; i++)
		reqs[s->match_labels.n + i] = (struct requirement){
			s->exprs[i].key, expr_format(&s->exprs[i], a), s->match_labels.n + i};
	if (n > 1)
		qsort(reqs, n, sizeof(*reqs), requirement_cmp);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "," : "", reqs[i].text);
	char *text = arena_strdup(a, buf_str(&b));

	buf_fini(&b);
	return text;
}
