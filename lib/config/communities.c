/*
 * BGP communities: their text, the aliases that Community objects define, and the communities of
 * an advertisement.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/config/build.h"

/* Decimal digits up to max. */
static bool parse_part(const char *s, size_t n, uint64_t max, uint32_t *out)
{
	uint64_t v = 0;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
		if (v > max)
			return false;
	}
	*out = (uint32_t)v;
	return true;
}

static size_t count_parts(const char *s)
{
	size_t n = 1;

	for (; *s; s++)
		n += *s == ':';
	return n;
}

bool config_parse_community(const char *s, struct community_value *out)
{
	size_t parts = count_parts(s);
	struct community_value v = {.large = parts == 4};
	uint64_t max = v.large ? UINT32_MAX : UINT16_MAX;

	if (parts != 2 && parts != 4)
		return false;
	if (v.large) {
		if (strncmp(s, "large:", 6) != 0)
			return false;
		s += 6;
	}
	for (size_t i = 0; i < (v.large ? 3 : 2); i++) {
		size_t n = strcspn(s, ":");

		if (!parse_part(s, n, max, &v.v[i]))
			return false;
		s += n + (s[n] == ':');
	}
	*out = v;
	return true;
}

/* Checks first, so that one bad alias leaves none of the object behind. */
static bool check_aliases(struct build *b, const struct community *c)
{
	struct table own;
	bool ok = true;

	table_init(&own);
	for (size_t i = 0; i < c->n_aliases && ok; i++) {
		const struct community_alias *a = &c->aliases[i];
		const char *field = arena_printf(b->scratch, "spec.communities[%zu]", i);
		struct community_value v;

		if (table_find(&b->aliases, a->name) || table_set(&own, a->name, b))
			ok = build_refuse(b, &c->obj, field, "the name \"%s\" is defined already",
					  a->name);
		else if (!config_parse_community(a->value, &v))
			ok = build_refuse(b, &c->obj, field,
					  "\"%s\" is not a community (a:b or large:a:b:c)",
					  a->value);
	}
	table_fini(&own);
	return ok;
}

void build_communities(struct build *b)
{
	size_t n = b->objs->n_communities;
	const struct api_object **order = build_order(b, b->objs->communities, n);

	for (size_t i = 0; i < n; i++) {
		const struct community *c = (const void *)order[i];

		if (!check_aliases(b, c))
			continue;
		for (size_t j = 0; j < c->n_aliases; j++) {
			struct community_value *v = arena_alloc(b->scratch, sizeof(*v));
			bool ok = config_parse_community(c->aliases[j].value, v);

			if (ok)
				table_set(&b->aliases, c->aliases[j].name, v);
		}
	}
}

static int value_cmp(const void *x, const void *y)
{
	const struct community_value *a = x, *b = y;

	if (a->large != b->large)
		return a->large - b->large;
	for (int i = 0; i < 3; i++)
		if (a->v[i] != b->v[i])
			return a->v[i] < b->v[i] ? -1 : 1;
	return 0;
}

/*
 * A text that has the shape of a value but is none is a mistake; any other could be an alias that
 * is not defined yet.
 */
static bool refuse_community(struct build *b, const struct bgpadvertisement *in, size_t i)
{
	const char *text = in->communities.items[i];
	const char *field = arena_printf(b->scratch, "spec.communities[%zu]", i);
	size_t parts = count_parts(text);

	/* MetalLB's admission lets only texts without ':' pass as aliases to come */
	if (parts == 2 || parts == 4 || b->opt->ignore_references)
		return build_refuse(b, &in->obj, field,
				    "\"%s\" is not a community (a:b or large:a:b:c)", text);
	return build_refuse_transient(b, &in->obj, field,
				      "\"%s\" is neither a community nor a name that a Community "
				      "defines",
				      text);
}

bool build_communities_of(struct build *b, const struct bgpadvertisement *in,
			  struct config_bgpadv *out)
{
	struct community_value *values = arena_calloc(b->arena, in->communities.n, sizeof(*values));
	size_t n = 0, m = 0;

	for (size_t i = 0; i < in->communities.n; i++) {
		const char *text = in->communities.items[i];
		const struct community_value *alias = table_find(&b->aliases, text);

		if (alias)
			values[n++] = *alias;
		else if (config_parse_community(text, &values[n]))
			n++;
		else if (b->opt->ignore_references && !strchr(text, ':'))
			continue;
		else
			return refuse_community(b, in, i);
	}
	if (n > 1)
		qsort(values, n, sizeof(*values), value_cmp);
	for (size_t i = 0; i < n; i++)
		if (m == 0 || value_cmp(&values[m - 1], &values[i]) != 0)
			values[m++] = values[i];
	out->communities = values;
	out->n_communities = m;
	return true;
}
