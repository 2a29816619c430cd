/*
 * Judging UPDATEs from peers: every octet is walked, nothing is kept. RFC 4271 section 6.3 as
 * revised by RFC 7606 (and 8092, 6793 for their attributes): what is wrong, how bad it is, and the
 * NOTIFICATION where the session has to end. Pure.
 */
#include "metallb/xalloc.h"
#include "speaker/bgp/message.h"

enum {
	FLAG_OPTIONAL = 0x80,
	FLAG_TRANSITIVE = 0x40,
	FLAG_EXTENDED = 0x10,
	ATTR_ORIGIN = 1,
	ATTR_AS_PATH = 2,
	ATTR_NEXT_HOP = 3,
	ATTR_LOCAL_PREF = 5,
	ATTR_AGGREGATOR = 7,
	ATTR_MP_REACH = 14,
	ATTR_MP_UNREACH = 15,
	ATTR_AS4_PATH = 17,
	ATTR_KNOWN = 33, /* table size */
};

/* What an attribute must look like. len: exact; mult: a multiple of, and not zero. */
struct attr_rule {
	const char *name; /* NULL: unknown to us */
	uint8_t flags;    /* optional and transitive bits */
	uint8_t len, mult;
	bool ibgp_only; /* from an eBGP peer: discarded unseen (RFC 7606 section 7) */
	enum bgp_verdict on_error;
};

static const struct attr_rule rules[ATTR_KNOWN] = {
	[ATTR_ORIGIN] = {"ORIGIN", FLAG_TRANSITIVE, 1, 0, false, BGP_UPDATE_WITHDRAW},
	[ATTR_AS_PATH] = {"AS_PATH", FLAG_TRANSITIVE, 0, 0, false, BGP_UPDATE_WITHDRAW},
	[ATTR_NEXT_HOP] = {"NEXT_HOP", FLAG_TRANSITIVE, 4, 0, false, BGP_UPDATE_WITHDRAW},
	[4] = {"MULTI_EXIT_DISC", FLAG_OPTIONAL, 4, 0, false, BGP_UPDATE_WITHDRAW},
	[ATTR_LOCAL_PREF] = {"LOCAL_PREF", FLAG_TRANSITIVE, 4, 0, true, BGP_UPDATE_WITHDRAW},
	[6] = {"ATOMIC_AGGREGATE", FLAG_TRANSITIVE, 0, 0, false, BGP_UPDATE_DISCARD},
	[ATTR_AGGREGATOR] = {"AGGREGATOR", FLAG_OPTIONAL | FLAG_TRANSITIVE, 0, 0, false,
			     BGP_UPDATE_DISCARD},
	[8] = {"COMMUNITIES", FLAG_OPTIONAL | FLAG_TRANSITIVE, 0, 4, false, BGP_UPDATE_WITHDRAW},
	[9] = {"ORIGINATOR_ID", FLAG_OPTIONAL, 4, 0, true, BGP_UPDATE_WITHDRAW},
	[10] = {"CLUSTER_LIST", FLAG_OPTIONAL, 0, 4, true, BGP_UPDATE_WITHDRAW},
	[ATTR_MP_REACH] = {"MP_REACH_NLRI", FLAG_OPTIONAL, 0, 0, false, BGP_UPDATE_RESET},
	[ATTR_MP_UNREACH] = {"MP_UNREACH_NLRI", FLAG_OPTIONAL, 0, 0, false, BGP_UPDATE_RESET},
	[16] = {"EXTENDED COMMUNITIES", FLAG_OPTIONAL | FLAG_TRANSITIVE, 0, 8, false,
		BGP_UPDATE_WITHDRAW},
	[ATTR_AS4_PATH] = {"AS4_PATH", FLAG_OPTIONAL | FLAG_TRANSITIVE, 0, 0, false,
			   BGP_UPDATE_DISCARD},
	[18] = {"AS4_AGGREGATOR", FLAG_OPTIONAL | FLAG_TRANSITIVE, 8, 0, false, BGP_UPDATE_DISCARD},
	[32] = {"LARGE_COMMUNITY", FLAG_OPTIONAL | FLAG_TRANSITIVE, 0, 12, false,
		BGP_UPDATE_WITHDRAW},
};

struct check {
	struct bgp_update_info *info;
	bool as4, ibgp;
	bool seen[256];
	size_t n_attrs;
};

/* The strongest verdict and its first reason stay. */
#define VERDICT(c, v, subcode, data, len, ...)                                                     \
	do {                                                                                       \
		if ((v) > (c)->info->verdict) {                                                    \
			(c)->info->verdict = (v);                                                  \
			bgp_error_set(&(c)->info->error, BGP_ERR_UPDATE, (subcode), (data), (len), \
				      __VA_ARGS__);                                                \
		}                                                                                  \
	} while (0)

/* Count prefixes; false on a length that the family cannot have or that runs past the field. */
static bool count_nlri(struct rd r, unsigned bits, uint32_t *n)
{
	while (rd_left(&r) > 0) {
		uint8_t len = rd_u8(&r);

		rd_take(&r, (len + 7u) / 8u);
		if (r.bad || len > bits)
			return false;
		(*n)++;
	}
	return true;
}

/* Segments of 1..255 AS numbers of `size` octets, types 1..4 (RFC 5065 has 3 and 4). */
static bool as_path_fits(struct rd v, size_t size)
{
	while (rd_left(&v) > 0) {
		uint8_t type = rd_u8(&v), n = rd_u8(&v);

		rd_take(&v, n * size);
		if (v.bad || n == 0 || type < 1 || type > 4)
			return false;
	}
	return !v.bad;
}

/* RFC 7606 sections 5.3 and 7.11. SAFIs and AFIs that are not ours are counted as nothing. */
static bool mp_reach_fits(struct check *c, struct rd v)
{
	uint16_t afi = rd_u16(&v);
	uint8_t safi = rd_u8(&v), nh_len = rd_u8(&v);

	rd_take(&v, nh_len);
	rd_u8(&v);
	if (v.bad)
		return false;
	if (safi != 1 || (afi != 1 && afi != 2))
		return true;
	if (nh_len != 16 && nh_len != 32 && !(afi == 1 && nh_len == 4))
		return false;
	return count_nlri(v, afi == 1 ? 32 : 128, &c->info->n_reach);
}

static bool mp_unreach_fits(struct check *c, struct rd v)
{
	uint16_t afi = rd_u16(&v);
	uint8_t safi = rd_u8(&v);

	if (v.bad)
		return false;
	if (safi != 1 || (afi != 1 && afi != 2))
		return true;
	if (rd_left(&v) == 0)
		c->info->eor = afi == 1 ? BGP_FAMILY_V4 : BGP_FAMILY_V6;
	return count_nlri(v, afi == 1 ? 32 : 128, &c->info->n_withdrawn);
}

static bool value_fits(struct check *c, uint8_t type, const struct attr_rule *rule, struct rd v)
{
	size_t n = rd_left(&v);

	switch (type) {
	case ATTR_ORIGIN:
		return n == 1 && v.p[0] <= 2;
	case ATTR_AS_PATH:
		return as_path_fits(v, c->as4 ? 4 : 2);
	case ATTR_AS4_PATH:
		return as_path_fits(v, 4);
	case ATTR_AGGREGATOR:
		return n == (c->as4 ? 8u : 6u);
	case ATTR_MP_REACH:
		return mp_reach_fits(c, v);
	case ATTR_MP_UNREACH:
		return mp_unreach_fits(c, v);
	default:
		return rule->mult ? n > 0 && n % rule->mult == 0 : n == rule->len;
	}
}

static void check_unknown(struct check *c, uint8_t flags, uint8_t type, const uint8_t *at, size_t n)
{
	if (!(flags & FLAG_OPTIONAL))
		VERDICT(c, BGP_UPDATE_RESET, BGP_UPD_WELL_KNOWN, at, n,
			"UPDATE: attribute %u claims to be well-known and is not", type);
}

/* One attribute, its header at `at`, `n` octets in all. */
static void check_attr(struct check *c, uint8_t flags, uint8_t type, struct rd v, const uint8_t *at,
		       size_t n)
{
	const struct attr_rule *rule = type < ATTR_KNOWN ? &rules[type] : &rules[0];

	if (!rule->name) {
		check_unknown(c, flags, type, at, n);
		return;
	}
	if (c->seen[type]) {
		bool mp = type == ATTR_MP_REACH || type == ATTR_MP_UNREACH;

		VERDICT(c, mp ? BGP_UPDATE_RESET : BGP_UPDATE_DISCARD, BGP_UPD_ATTR_LIST, NULL, 0,
			"UPDATE: %s appears twice", rule->name);
		return;
	}
	c->seen[type] = true;
	if (rule->ibgp_only && !c->ibgp)
		return;
	if ((flags & (FLAG_OPTIONAL | FLAG_TRANSITIVE)) != rule->flags)
		VERDICT(c, BGP_UPDATE_WITHDRAW, BGP_UPD_FLAGS, at, n, "UPDATE: %s has flags 0x%02x",
			rule->name, flags);
	else if (!value_fits(c, type, rule, v))
		VERDICT(c, rule->on_error, BGP_UPD_OPTIONAL, at, n,
			"UPDATE: %s is malformed (%zu octets)", rule->name, n);
}

/* RFC 7606 section 3 (j): an attribute that overruns its list ends the walk. */
static void check_attrs(struct check *c, struct rd r)
{
	while (rd_left(&r) > 0) {
		const uint8_t *at = r.p;
		uint8_t flags = rd_u8(&r), type = rd_u8(&r);
		size_t len = flags & FLAG_EXTENDED ? rd_u16(&r) : rd_u8(&r);
		struct rd v = rd_sub(&r, len);

		if (r.bad) {
			VERDICT(c, BGP_UPDATE_WITHDRAW, BGP_UPD_ATTR_LIST, NULL, 0,
				"UPDATE: attribute %u runs past the attributes", type);
			return;
		}
		c->n_attrs++;
		check_attr(c, flags, type, v, at, (size_t)(r.p - at));
	}
}

static void check_missing(struct check *c, bool classic)
{
	static const uint8_t needed[] = {ATTR_ORIGIN, ATTR_AS_PATH, ATTR_NEXT_HOP, ATTR_LOCAL_PREF};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		uint8_t type = needed[i];

		if (c->seen[type] || (type == ATTR_NEXT_HOP && !classic) ||
		    (type == ATTR_LOCAL_PREF && !c->ibgp))
			continue;
		VERDICT(c, BGP_UPDATE_WITHDRAW, BGP_UPD_MISSING, &type, 1, "UPDATE: %s is missing",
			rules[type].name);
	}
}

void bgp_update_check(const uint8_t *body, size_t len, bool as4, bool ibgp,
		      struct bgp_update_info *info)
{
	struct check c = {.info = info, .as4 = as4, .ibgp = ibgp};
	struct rd r = rd_init(body, len);

	*info = (struct bgp_update_info){.verdict = BGP_UPDATE_OK};
	struct rd withdrawn = rd_sub(&r, rd_u16(&r));
	struct rd attrs = rd_sub(&r, rd_u16(&r));

	if (r.bad) {
		VERDICT(&c, BGP_UPDATE_RESET, BGP_UPD_ATTR_LIST, NULL, 0,
			"UPDATE: the lengths of withdrawn routes and attributes do not fit");
		return;
	}
	if (rd_left(&withdrawn) == 0 && rd_left(&attrs) == 0 && rd_left(&r) == 0)
		info->eor = BGP_FAMILY_V4;
	bool classic = rd_left(&r) > 0;

	if (!count_nlri(withdrawn, 32, &info->n_withdrawn) || !count_nlri(r, 32, &info->n_reach))
		VERDICT(&c, BGP_UPDATE_RESET, BGP_UPD_NETWORK, NULL, 0,
			"UPDATE: a prefix is malformed");
	check_attrs(&c, attrs);
	if (info->n_withdrawn > 0 || c.n_attrs > 1)
		info->eor &= rd_left(&attrs) == 0 ? BGP_FAMILY_V4 : 0;
	if (classic || c.seen[ATTR_MP_REACH])
		check_missing(&c, classic);
}
