/*
 * Writing UPDATEs (RFC 4271 sections 4.3 and 5, RFC 4760, RFC 8950, RFC 1997, RFC 8092, RFC 6793).
 * Pure.
 *
 * IPv4 with an IPv4 next hop goes into the classic fields; everything else into MP_REACH_NLRI,
 * which then comes first (RFC 7606 section 5.1). IPv4 withdrawals are always classic. Attributes
 * come in ascending order of their type otherwise.
 */
#include <assert.h>

#include "speaker/bgp/message.h"

enum {
	ATTR_ORIGIN = 1,
	ATTR_AS_PATH = 2,
	ATTR_NEXT_HOP = 3,
	ATTR_LOCAL_PREF = 5,
	ATTR_COMMUNITIES = 8,
	ATTR_MP_REACH = 14,
	ATTR_MP_UNREACH = 15,
	ATTR_AS4_PATH = 17,
	ATTR_LARGE_COMMUNITIES = 32,
	FLAG_OPTIONAL = 0x80,
	FLAG_TRANSITIVE = 0x40,
	FLAG_EXTENDED = 0x10,
	AS_SEQUENCE = 2,
};

static void put_attr(struct wr *w, unsigned flags, uint8_t type, size_t len)
{
	if (len > 255)
		flags |= FLAG_EXTENDED;
	wr_u8(w, (uint8_t)flags);
	wr_u8(w, type);
	if (len > 255)
		wr_u16(w, (uint16_t)len);
	else
		wr_u8(w, (uint8_t)len);
}

static void put_as_path(struct wr *w, const struct bgp_encoding *enc)
{
	put_attr(w, FLAG_TRANSITIVE, ATTR_AS_PATH, enc->ibgp ? 0 : enc->as4 ? 6 : 4);
	if (enc->ibgp)
		return;
	wr_u8(w, AS_SEQUENCE);
	wr_u8(w, 1);
	if (enc->as4)
		wr_u32(w, enc->local_asn);
	else
		wr_u16(w, (uint16_t)(enc->local_asn > 0xFFFF ? BGP_AS_TRANS : enc->local_asn));
}

/* RFC 6793 section 4.2.2: only when the path has an AS that two octets cannot hold. */
static void put_as4_path(struct wr *w, const struct bgp_encoding *enc)
{
	if (enc->ibgp || enc->as4 || enc->local_asn <= 0xFFFF)
		return;
	put_attr(w, FLAG_OPTIONAL | FLAG_TRANSITIVE, ATTR_AS4_PATH, 6);
	wr_u8(w, AS_SEQUENCE);
	wr_u8(w, 1);
	wr_u32(w, enc->local_asn);
}

static uint32_t community_u32(const struct community_value *c)
{
	return (c->v[0] & 0xFFFF) << 16 | (c->v[1] & 0xFFFF);
}

static void put_communities(struct wr *w, const struct bgp_attrs *a, bool gshut)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_communities; i++) {
		if (a->communities[i].large)
			continue;
		if (community_u32(&a->communities[i]) == BGP_GSHUT_COMMUNITY)
			gshut = false; /* already among them */
		n++;
	}
	n += gshut;
	if (n == 0)
		return;
	put_attr(w, FLAG_OPTIONAL | FLAG_TRANSITIVE, ATTR_COMMUNITIES, n * 4);
	for (size_t i = 0; i < a->n_communities; i++) {
		if (a->communities[i].large)
			continue;
		if (gshut && community_u32(&a->communities[i]) > BGP_GSHUT_COMMUNITY) {
			wr_u32(w, BGP_GSHUT_COMMUNITY); /* ascending */
			gshut = false;
		}
		wr_u32(w, community_u32(&a->communities[i]));
	}
	if (gshut)
		wr_u32(w, BGP_GSHUT_COMMUNITY);
}

static void put_large_communities(struct wr *w, const struct bgp_attrs *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_communities; i++)
		n += a->communities[i].large;
	if (n == 0)
		return;
	put_attr(w, FLAG_OPTIONAL | FLAG_TRANSITIVE, ATTR_LARGE_COMMUNITIES, n * 12);
	for (size_t i = 0; i < a->n_communities; i++)
		for (size_t k = 0; k < 3 && a->communities[i].large; k++)
			wr_u32(w, a->communities[i].v[k]);
}

/* All attributes but MP_REACH_NLRI. next_hop: IP_NONE when MP_REACH_NLRI carries it. */
static void put_attrs(struct wr *w, const struct bgp_encoding *enc, const struct bgp_attrs *a,
		      const struct ip *next_hop)
{
	uint32_t local_pref = a->local_pref ? a->local_pref : enc->default_local_pref;

	put_attr(w, FLAG_TRANSITIVE, ATTR_ORIGIN, 1);
	wr_u8(w, 0); /* IGP */
	put_as_path(w, enc);
	if (next_hop->family == IP_V4) {
		put_attr(w, FLAG_TRANSITIVE, ATTR_NEXT_HOP, 4);
		wr_bytes(w, next_hop->b, 4);
	}
	if (enc->ibgp) {
		put_attr(w, FLAG_TRANSITIVE, ATTR_LOCAL_PREF, 4);
		wr_u32(w, enc->gshut ? 0 : local_pref); /* RFC 8326 section 4.3 */
	}
	put_communities(w, a, enc->gshut);
	put_as4_path(w, enc);
	put_large_communities(w, a);
}

static void put_mp_head(struct bgp_update *u, uint8_t type, enum ip_family family)
{
	wr_u8(&u->w, FLAG_OPTIONAL | FLAG_EXTENDED);
	wr_u8(&u->w, type);
	u->mp_len = wr_reserve(&u->w, 2);
	wr_u16(&u->w, family == IP_V6 ? 2 : 1);
	wr_u8(&u->w, 1);
}

static void begin(struct bgp_update *u, uint8_t *out)
{
	u->w = wr_init(out, BGP_MSG_MAX);
	u->attrs_len = 0;
	u->mp_len = u->attrs_at = NULL;
	u->withdraw = u->multiprotocol = false;
	memset(wr_reserve(&u->w, BGP_MARKER_LEN), 0xFF, BGP_MARKER_LEN);
	u->msg_len = wr_reserve(&u->w, 2);
	wr_u8(&u->w, BGP_UPDATE);
	u->withdrawn_len = wr_reserve(&u->w, 2);
	wr_patch_u16(u->withdrawn_len, 0);
}

bool bgp_update_begin(struct bgp_update *u, uint8_t out[BGP_MSG_MAX],
		      const struct bgp_encoding *enc, const struct bgp_attrs *attrs,
		      enum ip_family family)
{
	const struct ip none = {0};
	struct ip nh = attrs->next_hop.family ? attrs->next_hop : enc->next_hop[family == IP_V6];
	struct wr a = wr_init(u->attrs, sizeof(u->attrs));

	if (nh.family == IP_NONE || (family == IP_V6 && nh.family == IP_V4))
		return false;
	begin(u, out);
	u->multiprotocol = nh.family == IP_V6;
	put_attrs(&a, enc, attrs, u->multiprotocol ? &none : &nh);
	assert(!a.bad && attrs->n_communities <= BGP_COMMUNITIES_MAX);
	u->attrs_len = wr_len(&a);
	u->attrs_at = wr_reserve(&u->w, 2);
	if (u->multiprotocol) {
		put_mp_head(u, ATTR_MP_REACH, family);
		wr_u8(&u->w, 16);
		wr_bytes(&u->w, nh.b, 16);
		wr_u8(&u->w, 0);
		u->w.end -= u->attrs_len; /* they follow the NLRI */
	} else {
		wr_bytes(&u->w, u->attrs, u->attrs_len);
		wr_patch_u16(u->attrs_at, u->attrs_len);
	}
	assert(!u->w.bad);
	return true;
}

void bgp_update_begin_withdraw(struct bgp_update *u, uint8_t out[BGP_MSG_MAX],
			       enum ip_family family)
{
	begin(u, out);
	u->withdraw = true;
	if (family == IP_V6) {
		u->multiprotocol = true;
		u->attrs_at = wr_reserve(&u->w, 2);
		put_mp_head(u, ATTR_MP_UNREACH, family);
	} else {
		u->w.end -= 2; /* the empty attributes' length follows */
	}
}

bool bgp_update_add(struct bgp_update *u, const struct prefix *p)
{
	size_t n = (p->len + 7u) / 8u;
	uint8_t *at = wr_left(&u->w) >= 1 + n ? wr_reserve(&u->w, 1 + n) : NULL;

	if (!at)
		return false;
	at[0] = p->len;
	memcpy(at + 1, p->ip.b, n);
	return true;
}

size_t bgp_update_end(struct bgp_update *u)
{
	if (u->multiprotocol) {
		wr_patch_u16(u->mp_len, (size_t)(u->w.p - u->mp_len) - 2);
		u->w.end += u->attrs_len;
		wr_bytes(&u->w, u->attrs, u->attrs_len);
		wr_patch_u16(u->attrs_at, (size_t)(u->w.p - u->attrs_at) - 2);
	} else if (u->withdraw) {
		wr_patch_u16(u->withdrawn_len, (size_t)(u->w.p - u->withdrawn_len) - 2);
		u->w.end += 2;
		wr_u16(&u->w, 0);
	}
	assert(!u->w.bad);
	wr_patch_u16(u->msg_len, wr_len(&u->w));
	return wr_len(&u->w);
}

size_t bgp_update_encode_eor(uint8_t out[BGP_MSG_MAX], enum ip_family family)
{
	struct bgp_update u;

	bgp_update_begin_withdraw(&u, out, family);
	return bgp_update_end(&u);
}
