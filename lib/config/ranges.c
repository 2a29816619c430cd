/*
 * spec.addresses and spec.avoidAddresses: CIDRs and ranges as text.
 */
#include <stdio.h>
#include <string.h>

#include "lib/config/build.h"

/* Shown of a text that is refused. */
#define SHOWN 100

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* An address between optional spaces. */
static bool parse_bound(const char *s, size_t n, struct ip *out)
{
	while (n > 0 && is_space(*s)) {
		s++;
		n--;
	}
	while (n > 0 && is_space(s[n - 1]))
		n--;
	return ip_parse_n(s, n, out);
}

static bool parse_range(const char *text, struct ip_range *r, struct err *err)
{
	const char *dash = strchr(text, '-');

	if (!parse_bound(text, (size_t)(dash - text), &r->first))
		return err_set(err, "\"%.*s\" starts with no IP address", SHOWN, text);
	if (!parse_bound(dash + 1, strlen(dash + 1), &r->last))
		return err_set(err, "\"%.*s\" ends with no IP address", SHOWN, text);
	if (r->first.family != r->last.family)
		return err_set(err, "\"%.*s\" goes from one address family to the other", SHOWN,
			       text);
	if (ip_cmp(&r->first, &r->last) > 0)
		return err_set(err, "\"%.*s\" starts behind its end", SHOWN, text);
	return true;
}

/* Go's reading: leading zeros of the length are fine, and host bits are cut off. */
static bool parse_cidr(const char *text, struct ip_range *r, struct err *err)
{
	const char *slash = strchr(text, '/');
	char plain[PREFIX_STR_MAX + 1];
	struct prefix p;

	if (!slash && ip_parse(text, &r->first))
		return err_set(err, "\"%s\" has no prefix length; write %s/%u for one address",
			       text, text, IP_BITS(r->first.family));
	if (slash) {
		const char *len = slash + 1;

		while (len[0] == '0' && len[1])
			len++;
		int n = snprintf(plain, sizeof(plain), "%.*s/%s", (int)(slash - text), text, len);

		if (n > 0 && (size_t)n < sizeof(plain) && prefix_parse(plain, &p)) {
			*r = (struct ip_range){p.ip, prefix_last(&p)};
			return true;
		}
		if (ip_parse_n(text, (size_t)(slash - text), &r->first) &&
		    r->first.family == IP_V4 && strchr(text, ':'))
			return err_set(err, "\"%.*s\" is an IPv4-mapped prefix; write it as IPv4",
				       SHOWN, text);
	}
	return err_set(err, "\"%.*s\" is neither a CIDR nor a range of addresses", SHOWN, text);
}

static bool parse_entry(const char *text, struct ip_range *r, struct err *err)
{
	return strchr(text, '-') ? parse_range(text, r, err) : parse_cidr(text, r, err);
}

/* avoidAddresses takes single addresses, too. */
static bool build_avoid(struct build *b, struct pool_work *p)
{
	const struct strs *in = &p->in->avoid_addresses;
	struct ip_range *out = arena_calloc(b->arena, in->n, sizeof(*out));
	struct err err;

	for (size_t i = 0; i < in->n; i++) {
		const char *field = arena_printf(b->scratch, "spec.avoidAddresses[%zu]", i);

		if (ip_parse(in->items[i], &out[i].first))
			out[i].last = out[i].first;
		else if (!parse_entry(in->items[i], &out[i], &err))
			return build_refuse_ours(b, &p->in->obj, field, "%s", err.msg);
	}
	p->out->avoid = out;
	p->out->n_avoid = in->n;
	return true;
}

/* As MetalLB compares addresses of both families: IPv4 mapped into IPv6. */
static int mapped_cmp(const struct ip *a, const struct ip *b)
{
	static const uint8_t head[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t x[16], y[16];

	memcpy(x, a->b, 16);
	memcpy(y, b->b, 16);
	if (a->family == IP_V4) {
		memcpy(x, head, 12);
		memcpy(x + 12, a->b, 4);
	}
	if (b->family == IP_V4) {
		memcpy(y, head, 12);
		memcpy(y + 12, b->b, 4);
	}
	return memcmp(x, y, 16);
}

/* MetalLB takes these for addresses; they help nobody. */
static bool is_tolerated(const char *text)
{
	struct ip first, last;
	const char *dash = strchr(text, '-');

	if (dash)
		return parse_bound(text, (size_t)(dash - text), &first) &&
		       parse_bound(dash + 1, strlen(dash + 1), &last) &&
		       first.family != last.family && mapped_cmp(&first, &last) <= 0;
	return strchr(text, ':') && strchr(text, '.') && strchr(text, '/') &&
	       ip_parse_n(text, (size_t)(strchr(text, '/') - text), &first);
}

static bool build_range(struct build *b, struct pool_work *p, const char *text,
			struct config_range *out, struct err *err)
{
	struct prefix prefixes[PREFIXES_PER_RANGE];
	unsigned least = 128;

	if (!parse_entry(text, &out->range, err))
		return false;
	out->text = copy_str(b->arena, text);
	out->n_prefixes = prefix_summarize(&out->range, prefixes);
	out->prefixes = arena_memdup(b->arena, prefixes, out->n_prefixes * sizeof(*prefixes));
	for (size_t i = 0; i < out->n_prefixes; i++)
		if (prefixes[i].len < least)
			least = prefixes[i].len;

	bool v4 = out->range.first.family == IP_V4;
	unsigned *worst = v4 ? &p->least_v4 : &p->least_v6;

	*(v4 ? &p->has_v4 : &p->has_v6) = true;
	if (least >= *worst) {
		*worst = least;
		*(v4 ? &p->least_v4_text : &p->least_v6_text) = out->text;
	}
	return true;
}

/* What is allowed, but hardly meant. */
static void warn_range(struct build *b, const struct pool_work *p, const char *field,
		       const struct config_range *r)
{
	const char *slash = strchr(r->text, '/');
	char buf[PREFIX_STR_MAX];
	struct ip ip;

	if (r->prefixes[0].len == 0)
		build_warn(b, &p->in->obj, field, "\"%s\" is every address there is", r->text);
	else if (slash && ip_parse_n(r->text, (size_t)(slash - r->text), &ip) &&
		 !ip_eq(&ip, &r->range.first))
		build_warn(b, &p->in->obj, field, "\"%s\" means %s", r->text,
			   prefix_format(&r->prefixes[0], buf));
}

bool build_ranges(struct build *b, struct pool_work *p)
{
	const struct strs *in = &p->in->addresses;
	struct config_range *out = arena_calloc(b->arena, in->n, sizeof(*out));
	struct err err;

	if (in->n == 0)
		return build_refuse(b, &p->in->obj, "spec.addresses", "the pool has no addresses");
	for (size_t i = 0; i < in->n; i++) {
		const char *field = arena_printf(b->scratch, "spec.addresses[%zu]", i);

		if (build_range(b, p, in->items[i], &out[i], &err)) {
			warn_range(b, p, field, &out[i]);
			continue;
		}
		if (is_tolerated(in->items[i]))
			return build_refuse_ours(b, &p->in->obj, field, "%s", err.msg);
		return build_refuse(b, &p->in->obj, field, "%s", err.msg);
	}
	p->out->ranges = out;
	p->out->n_ranges = in->n;
	return build_avoid(b, p);
}
