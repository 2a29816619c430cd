/*
 * IP addresses, prefixes and ranges of both families: parse, format, compare, arithmetic. Pure.
 *
 * Text follows Go's net package, because hashes and comparisons of the field are made over that
 * text: an IPv4-mapped IPv6 address is an IPv4 address; IPv6 is lower case, the first longest run
 * of at least two zero groups is "::", never a mixed dotted form. No zone, no leading zeros in IPv4
 * octets, ASCII digits only.
 */
#ifndef METALLB_IP_H
#define METALLB_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_STR_MAX     46 /* with the NUL */
#define PREFIX_STR_MAX 50
#define IP_BITS(fam)   ((fam) == IP_V4 ? 32u : 128u)

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

/* Network byte order; IPv4 uses b[0..3], the rest is zero (so memcmp of whole structs works). */
struct ip {
	uint8_t family; /* enum ip_family */
	uint8_t b[16];
};

struct prefix {
	struct ip ip; /* host bits are zero */
	uint8_t len;
};

/* first <= last, one family. */
struct ip_range {
	struct ip first, last;
};

bool ip_parse(const char *s, struct ip *ip);
bool ip_parse_n(const char *s, size_t len, struct ip *ip);
char *ip_format(const struct ip *ip, char buf[IP_STR_MAX]); /* returns buf; "" for IP_NONE */
struct ip ip_from_v4(const void *four_bytes);
struct ip ip_from_v6(const void *sixteen_bytes); /* a mapped address becomes IPv4 */
/* Family first (IPv4 < IPv6), then numeric. */
int ip_cmp(const struct ip *a, const struct ip *b);
static inline bool ip_eq(const struct ip *a, const struct ip *b)
{
	return ip_cmp(a, b) == 0;
}
bool ip_is_link_local(const struct ip *ip); /* 169.254/16, fe80::/10 */
bool ip_is_multicast(const struct ip *ip);
bool ip_is_unspecified(const struct ip *ip);
/* ip + n; false on overflow past the family's last address. */
bool ip_add(const struct ip *ip, uint64_t n, struct ip *out);
/* ip - n; false below the family's first address. */
bool ip_sub(const struct ip *ip, uint64_t n, struct ip *out);
/* b - a for a <= b of one family, saturating at UINT64_MAX. */
uint64_t ip_distance(const struct ip *a, const struct ip *b);

/* "a/len"; host bits are masked off. */
bool prefix_parse(const char *s, struct prefix *p);
bool prefix_parse_n(const char *s, size_t len, struct prefix *p);
char *prefix_format(const struct prefix *p, char buf[PREFIX_STR_MAX]);
struct prefix prefix_of(const struct ip *ip, unsigned len); /* mask ip to len */
bool prefix_contains(const struct prefix *p, const struct ip *ip);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
int prefix_cmp(const struct prefix *a, const struct prefix *b); /* address, then length */
struct ip prefix_last(const struct prefix *p);
/* 2^(bits - len), saturating at UINT64_MAX. */
uint64_t prefix_size(const struct prefix *p);
/*
 * The minimal ascending list of aligned prefixes that make up the range. At most 2*128 of them.
 * Returns how many; out must have room for PREFIXES_PER_RANGE.
 */
#define PREFIXES_PER_RANGE 256
size_t prefix_summarize(const struct ip_range *range, struct prefix *out);

#endif
