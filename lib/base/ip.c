/*
 * Addresses, prefixes, ranges. Text rules are Go's (net.ParseIP, net.IP.String). Pure.
 */
#include "metallb/ip.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef unsigned __int128 u128;

static const uint8_t mapped_head[12] = {[10] = 0xff, [11] = 0xff};

static u128 to_num(const struct ip *ip)
{
	unsigned n = ip->family == IP_V4 ? 4 : 16;
	u128 v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | ip->b[i];
	return v;
}

static struct ip from_num(enum ip_family family, u128 v)
{
	struct ip ip = {.family = (uint8_t)family};
	unsigned n = family == IP_V4 ? 4 : 16;

	for (unsigned i = n; i-- > 0; v >>= 8)
		ip.b[i] = (uint8_t)v;
	return ip;
}

static u128 all_ones(enum ip_family family)
{
	return family == IP_V4 ? 0xffffffffu : ~(u128)0;
}

static u128 host_mask(enum ip_family family, unsigned len)
{
	unsigned bits = IP_BITS(family) - len;

	return bits == 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
}

struct ip ip_from_v4(const void *four)
{
	struct ip ip = {.family = IP_V4};

	memcpy(ip.b, four, 4);
	return ip;
}

struct ip ip_from_v6(const void *sixteen)
{
	struct ip ip = {.family = IP_V6};

	if (memcmp(sixteen, mapped_head, sizeof(mapped_head)) == 0)
		return ip_from_v4((const uint8_t *)sixteen + 12);
	memcpy(ip.b, sixteen, 16);
	return ip;
}

/* Dotted quad of exactly len characters: 1..3 digits each, no leading zero. */
static bool parse_v4(const char *s, size_t len, uint8_t out[4])
{
	size_t i = 0;

	for (int octet = 0; octet < 4; octet++) {
		unsigned v = 0;
		size_t start = i;

		if (octet && (i >= len || s[i++] != '.'))
			return false;
		if (octet)
			start = i;
		for (; i < len && s[i] >= '0' && s[i] <= '9' && i - start < 4; i++)
			v = v * 10 + (unsigned)(s[i] - '0');
		if (i == start || i - start > 3 || v > 255 || (s[start] == '0' && i - start > 1))
			return false;
		out[octet] = (uint8_t)v;
	}
	return i == len;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One group of 1..4 hex digits at s[*i]; -1 when there is none. */
static int parse_group(const char *s, size_t len, size_t *i)
{
	size_t start = *i;
	int v = 0, d;

	while (*i < len && (d = hex_digit(s[*i])) >= 0) {
		if (*i - start == 4)
			return -1;
		v = v << 4 | d;
		(*i)++;
	}
	return *i == start ? -1 : v;
}

static bool parse_v6(const char *s, size_t len, uint8_t out[16])
{
	int gap = -1, n = 0; /* n: bytes so far; gap: where "::" stood */
	size_t i = 0;

	memset(out, 0, 16);
	if (len >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		i = 2;
	}
	while (i < len) {
		size_t start = i;
		int v = parse_group(s, len, &i);

		if (i < len && s[i] == '.') {
			if (n > 12 || (gap < 0 && n != 12) ||
			    !parse_v4(s + start, len - start, out + n))
				return false;
			n += 4;
			i = len;
			break;
		}
		if (v < 0 || n > 14)
			return false;
		out[n++] = (uint8_t)(v >> 8);
		out[n++] = (uint8_t)v;
		if (i == len)
			break;
		if (s[i++] != ':' || i == len)
			return false;
		if (s[i] == ':') {
			if (gap >= 0)
				return false;
			gap = n;
			i++;
		}
	}
	if (gap < 0)
		return n == 16;
	if (n > 14)
		return false;
	memmove(out + 16 - (n - gap), out + gap, (size_t)(n - gap));
	memset(out + gap, 0, (size_t)(16 - n));
	return true;
}

bool ip_parse_n(const char *s, size_t len, struct ip *ip)
{
	uint8_t b[16];

	if (len >= IP_STR_MAX || memchr(s, '\0', len))
		return false;
	if (!memchr(s, ':', len)) {
		if (!parse_v4(s, len, b))
			return false;
		*ip = ip_from_v4(b);
		return true;
	}
	if (!parse_v6(s, len, b))
		return false;
	*ip = ip_from_v6(b);
	return true;
}

bool ip_parse(const char *s, struct ip *ip)
{
	return ip_parse_n(s, strlen(s), ip);
}

char *ip_format(const struct ip *ip, char buf[IP_STR_MAX])
{
	uint16_t g[8];
	int best = -1, best_len = 1;
	char *p = buf;

	*p = '\0';
	if (ip->family == IP_V4)
		snprintf(buf, IP_STR_MAX, "%u.%u.%u.%u", ip->b[0], ip->b[1], ip->b[2], ip->b[3]);
	if (ip->family != IP_V6)
		return buf;
	for (int i = 0; i < 8; i++)
		g[i] = (uint16_t)(ip->b[2 * i] << 8 | ip->b[2 * i + 1]);
	for (int i = 0, run = 0; i < 8; i++) {
		run = g[i] ? 0 : run + 1;
		if (run > best_len) {
			best_len = run;
			best = i - run + 1;
		}
	}
	for (int i = 0; i < 8;) {
		if (i == best) {
			p += snprintf(p, 3, "::");
			i += best_len;
			continue;
		}
		p += snprintf(p, 6, "%s%x", i && i != best + best_len ? ":" : "", g[i]);
		i++;
	}
	return buf;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	int c = memcmp(a->b, b->b, sizeof(a->b));

	return (c > 0) - (c < 0);
}

bool ip_is_link_local(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return ip->b[0] == 169 && ip->b[1] == 254;
	return ip->family == IP_V6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

bool ip_is_multicast(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return (ip->b[0] & 0xf0) == 0xe0;
	return ip->family == IP_V6 && ip->b[0] == 0xff;
}

bool ip_is_unspecified(const struct ip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->b, zero, sizeof(zero)) == 0;
}

bool ip_add(const struct ip *ip, uint64_t n, struct ip *out)
{
	u128 v = to_num(ip);

	if (all_ones(ip->family) - v < n)
		return false;
	*out = from_num(ip->family, v + n);
	return true;
}

bool ip_sub(const struct ip *ip, uint64_t n, struct ip *out)
{
	u128 v = to_num(ip);

	if (v < n)
		return false;
	*out = from_num(ip->family, v - n);
	return true;
}

uint64_t ip_distance(const struct ip *a, const struct ip *b)
{
	assert(a->family == b->family);
	u128 d = to_num(b) - to_num(a);

	return d > UINT64_MAX ? UINT64_MAX : (uint64_t)d;
}

struct prefix prefix_of(const struct ip *ip, unsigned len)
{
	assert(len <= IP_BITS(ip->family));
	u128 v = to_num(ip) & ~host_mask(ip->family, len);

	return (struct prefix){.ip = from_num(ip->family, v), .len = (uint8_t)len};
}

bool prefix_parse_n(const char *s, size_t len, struct prefix *p)
{
	const char *slash = memchr(s, '/', len);
	unsigned bits = 0;
	struct ip ip;

	if (!slash || !ip_parse_n(s, (size_t)(slash - s), &ip))
		return false;
	size_t n = len - (size_t)(slash + 1 - s);
	if (n < 1 || n > 3 || (n > 1 && slash[1] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (slash[1 + i] < '0' || slash[1 + i] > '9')
			return false;
		bits = bits * 10 + (unsigned)(slash[1 + i] - '0');
	}
	/* "::ffff:10.0.0.0/104" has an IPv4 address but an IPv6 length */
	if (ip.family == IP_V4 && memchr(s, ':', (size_t)(slash - s)))
		return false;
	if (bits > IP_BITS(ip.family))
		return false;
	*p = prefix_of(&ip, bits);
	return true;
}

bool prefix_parse(const char *s, struct prefix *p)
{
	return prefix_parse_n(s, strlen(s), p);
}

char *prefix_format(const struct prefix *p, char buf[PREFIX_STR_MAX])
{
	char ip[IP_STR_MAX];

	snprintf(buf, PREFIX_STR_MAX, "%s/%u", ip_format(&p->ip, ip), p->len);
	return buf;
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
	if (p->ip.family != ip->family)
		return false;
	return ((to_num(&p->ip) ^ to_num(ip)) & ~host_mask(ip->family, p->len) &
		all_ones(ip->family)) == 0;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_contains(a, &b->ip) : prefix_contains(b, &a->ip);
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int c = ip_cmp(&a->ip, &b->ip);

	return c ? c : (a->len > b->len) - (a->len < b->len);
}

struct ip prefix_last(const struct prefix *p)
{
	return from_num(p->ip.family, to_num(&p->ip) | host_mask(p->ip.family, p->len));
}

uint64_t prefix_size(const struct prefix *p)
{
	unsigned bits = IP_BITS(p->ip.family) - p->len;

	return bits >= 64 ? UINT64_MAX : (uint64_t)1 << bits;
}

size_t prefix_summarize(const struct ip_range *range, struct prefix *out)
{
	enum ip_family family = range->first.family;
	u128 first = to_num(&range->first), last = to_num(&range->last);
	size_t n = 0;

	assert(family == range->last.family && first <= last);
	for (;;) {
		/* the largest block that starts at `first`, is aligned and does not pass `last` */
		unsigned bits = 0, max = IP_BITS(family);

		while (bits < max) {
			u128 mask = bits + 1 == 128 ? ~(u128)0 : ((u128)1 << (bits + 1)) - 1;

			if ((first & mask) != 0 || last - first < mask)
				break;
			bits++;
		}
		assert(n < PREFIXES_PER_RANGE);
		out[n++] = (struct prefix){from_num(family, first), (uint8_t)(max - bits)};
		u128 size = bits == 128 ? 0 : (u128)1 << bits;
		if (size == 0 || last - first < size)
			return n;
		first += size;
	}
}
