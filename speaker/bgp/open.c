/*
 * The OPEN message: capabilities (RFC 5492), classic and extended optional parameters (RFC 9072),
 * multiprotocol (4760), extended next hop (8950), four-octet AS (6793), graceful restart (4724,
 * 8538), long-lived stale routes (9494), route refresh (2918), extended messages (8654). Pure.
 *
 * Unknown capabilities are skipped, as RFC 5492 asks; a capability with a length that its RFC does
 * not allow is malformed and refused.
 */
#include "speaker/bgp/message.h"

enum {
	PARAM_CAPABILITIES = 2,
	PARAM_EXTENDED = 255, /* RFC 9072 */
	CAP_MULTIPROTOCOL = 1,
	CAP_REFRESH = 2,
	CAP_EXTENDED_NEXT_HOP = 5,
	CAP_EXTENDED_MESSAGE = 6,
	CAP_GRACEFUL_RESTART = 64,
	CAP_AS4 = 65,
	CAP_LLGR = 71,
	GR_RESTARTING = 0x8000,
	GR_NOTIFICATION = 0x4000,
	GR_FORWARDING = 0x80,
	SAFI_UNICAST = 1,
};

static unsigned family_of(uint16_t afi, uint8_t safi)
{
	if (safi != SAFI_UNICAST)
		return 0;
	return afi == 1 ? BGP_FAMILY_V4 : afi == 2 ? BGP_FAMILY_V6 : 0;
}

static void put_family(struct wr *w, unsigned family)
{
	wr_u16(w, family == BGP_FAMILY_V4 ? 1 : 2);
}

static const unsigned families[] = {BGP_FAMILY_V4, BGP_FAMILY_V6};

static void put_gr(struct wr *w, const struct bgp_caps *c)
{
	unsigned flags = (c->gr_restarting ? GR_RESTARTING : 0u) |
			 (c->gr_notification ? GR_NOTIFICATION : 0u);

	wr_u8(w, CAP_GRACEFUL_RESTART);
	uint8_t *len = wr_reserve(w, 1);
	uint8_t *start = w->p;

	wr_u16(w, (uint16_t)(flags | (c->gr_time_s & BGP_RESTART_MAX)));
	for (size_t i = 0; i < 2; i++) {
		if (!(c->gr_families & families[i]))
			continue;
		put_family(w, families[i]);
		wr_u8(w, SAFI_UNICAST);
		wr_u8(w, c->gr_forwarding & families[i] ? GR_FORWARDING : 0);
	}
	if (len && !w->bad)
		*len = (uint8_t)(w->p - start);
}

static void put_llgr(struct wr *w, const struct bgp_caps *c)
{
	wr_u8(w, CAP_LLGR);
	uint8_t *len = wr_reserve(w, 1);
	uint8_t *start = w->p;

	for (size_t i = 0; i < 2; i++) {
		if (!(c->llgr_families & families[i]))
			continue;
		put_family(w, families[i]);
		wr_u8(w, SAFI_UNICAST);
		wr_u8(w, GR_FORWARDING);
		wr_u8(w, (uint8_t)(c->llgr_time_s >> 16));
		wr_u16(w, (uint16_t)c->llgr_time_s);
	}
	if (len && !w->bad)
		*len = (uint8_t)(w->p - start);
}

static void put_caps(struct wr *w, const struct bgp_caps *c)
{
	for (size_t i = 0; i < 2; i++) {
		if (!(c->families & families[i]) || !c->multiprotocol)
			continue;
		wr_u8(w, CAP_MULTIPROTOCOL);
		wr_u8(w, 4);
		put_family(w, families[i]);
		wr_u16(w, SAFI_UNICAST);
	}
	if (c->refresh) {
		wr_u8(w, CAP_REFRESH);
		wr_u8(w, 0);
	}
	if (c->v4_over_v6) {
		wr_u8(w, CAP_EXTENDED_NEXT_HOP);
		wr_u8(w, 6);
		wr_u16(w, 1);
		wr_u16(w, SAFI_UNICAST);
		wr_u16(w, 2);
	}
	if (c->extended_message) {
		wr_u8(w, CAP_EXTENDED_MESSAGE);
		wr_u8(w, 0);
	}
	if (c->gr)
		put_gr(w, c);
	if (c->as4) {
		wr_u8(w, CAP_AS4);
		wr_u8(w, 4);
		wr_u32(w, c->asn4);
	}
	if (c->llgr)
		put_llgr(w, c);
}

void bgp_open_encode(struct wr *w, const struct bgp_open *o)
{
	uint8_t caps_buf[255];
	struct wr caps = wr_init(caps_buf, sizeof(caps_buf));
	uint8_t *start = w->p;

	put_caps(&caps, &o->caps);
	for (size_t i = 0; i < BGP_MARKER_LEN; i++)
		wr_u8(w, 0xFF);
	uint8_t *len = wr_reserve(w, 2);

	wr_u8(w, BGP_OPEN);
	wr_u8(w, BGP_VERSION);
	wr_u16(w, (uint16_t)(o->asn > 0xFFFF ? BGP_AS_TRANS : o->asn));
	wr_u16(w, o->hold_s);
	wr_u32(w, o->id);
	/* ours fit into the classic form: all that put_caps() can write is below 253 octets */
	if (wr_len(&caps) == 0) {
		wr_u8(w, 0);
	} else {
		wr_u8(w, (uint8_t)(wr_len(&caps) + 2));
		wr_u8(w, PARAM_CAPABILITIES);
		wr_u8(w, (uint8_t)wr_len(&caps));
		wr_bytes(w, caps_buf, wr_len(&caps));
	}
	if (!w->bad)
		wr_patch_u16(len, (size_t)(w->p - start));
}

static void get_gr(struct rd *v, struct bgp_caps *c)
{
	uint16_t head = rd_u16(v);

	/* the last one of several counts (RFC 4724 section 3) */
	c->gr = true;
	c->gr_restarting = head & GR_RESTARTING;
	c->gr_notification = head & GR_NOTIFICATION;
	c->gr_time_s = head & BGP_RESTART_MAX;
	c->gr_families = c->gr_forwarding = 0;
	while (rd_left(v) >= 4) {
		uint16_t afi = rd_u16(v);
		unsigned family = family_of(afi, rd_u8(v));
		uint8_t flags = rd_u8(v);

		c->gr_families |= family;
		if (flags & GR_FORWARDING)
			c->gr_forwarding |= family;
	}
}

static void get_llgr(struct rd *v, struct bgp_caps *c)
{
	c->llgr = true;
	while (rd_left(v) >= 7) {
		uint16_t afi = rd_u16(v);
		unsigned family = family_of(afi, rd_u8(v));

		rd_u8(v);
		uint32_t time_s = (uint32_t)rd_u8(v) << 16;

		time_s |= rd_u16(v);
		c->llgr_families |= family;
		if (family && time_s > c->llgr_time_s)
			c->llgr_time_s = time_s;
	}
}

static void get_next_hop_caps(struct rd *v, struct bgp_caps *c)
{
	while (rd_left(v) >= 6) {
		uint16_t afi = rd_u16(v), safi = rd_u16(v), nh = rd_u16(v);

		if (afi == 1 && safi == SAFI_UNICAST && nh == 2)
			c->v4_over_v6 = true;
	}
}

/* false: the value has a length that the capability's RFC does not allow. */
static bool get_cap(uint8_t code, struct rd v, struct bgp_caps *c)
{
	switch (code) {
	case CAP_MULTIPROTOCOL: {
		uint16_t afi = rd_u16(&v);
		uint16_t safi = rd_u16(&v); /* the first octet is reserved */

		c->multiprotocol = true;
		c->families |= family_of(afi, (uint8_t)safi);
		break;
	}
	case CAP_REFRESH:
		c->refresh = true;
		break;
	case CAP_EXTENDED_NEXT_HOP:
		get_next_hop_caps(&v, c);
		break;
	case CAP_EXTENDED_MESSAGE:
		c->extended_message = true;
		break;
	case CAP_GRACEFUL_RESTART:
		get_gr(&v, c);
		break;
	case CAP_AS4:
		c->as4 = true;
		c->asn4 = rd_u32(&v);
		break;
	case CAP_LLGR:
		get_llgr(&v, c);
		break;
	default:
		return true;
	}
	return !v.bad && rd_left(&v) == 0;
}

static bool get_caps(struct rd r, struct bgp_caps *c, struct bgp_error *e)
{
	while (rd_left(&r) > 0) {
		uint8_t code = rd_u8(&r);
		uint8_t len = rd_u8(&r);
		struct rd v = rd_sub(&r, len);

		if (r.bad)
			return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_UNSPECIFIC, NULL, 0,
					     "OPEN: capability %u runs past its parameter", code);
		if (!get_cap(code, v, c))
			return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_UNSPECIFIC, NULL, 0,
					     "OPEN: capability %u has a wrong length %u", code,
					     len);
	}
	return true;
}

static bool get_params(struct rd r, bool extended, struct bgp_caps *c, struct bgp_error *e)
{
	while (rd_left(&r) > 0) {
		uint8_t type = rd_u8(&r);
		size_t len = extended ? rd_u16(&r) : rd_u8(&r);
		struct rd v = rd_sub(&r, len);

		if (r.bad)
			return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_UNSPECIFIC, NULL, 0,
					     "OPEN: optional parameter %u is cut short", type);
		if (type != PARAM_CAPABILITIES)
			return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_PARAMETER, NULL, 0,
					     "OPEN: optional parameter %u is unknown", type);
		if (!get_caps(v, c, e))
			return false;
	}
	return true;
}

/* The parameters' frame: RFC 4271 section 4.2, or RFC 9072 section 2 when type 255 comes first. */
static bool get_param_block(struct rd *r, struct bgp_caps *c, struct bgp_error *e)
{
	size_t len = rd_u8(r);
	bool extended = len > 0 && rd_left(r) >= 3 && r->p[0] == PARAM_EXTENDED;

	if (extended) {
		rd_u8(r);
		len = rd_u16(r);
	}
	struct rd params = rd_sub(r, len);

	if (r->bad || rd_left(r) != 0)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_UNSPECIFIC, NULL, 0,
				     "OPEN: the length of the optional parameters does not fit");
	return get_params(params, extended, c, e);
}

bool bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *o, struct bgp_error *e)
{
	static const uint8_t version4[2] = {0, BGP_VERSION};
	struct rd r = rd_init(body, len);
	struct bgp_open got = {0};
	uint8_t version = rd_u8(&r);

	got.asn = rd_u16(&r);
	got.hold_s = rd_u16(&r);
	got.id = rd_u32(&r);
	if (r.bad)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_UNSPECIFIC, NULL, 0,
				     "OPEN: too short");
	if (version != BGP_VERSION)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_VERSION, version4, 2,
				     "OPEN: version %u instead of 4", version);
	if (!get_param_block(&r, &got.caps, e))
		return false;
	if (got.caps.as4)
		got.asn = got.caps.asn4;
	if (!got.caps.multiprotocol)
		got.caps.families = BGP_FAMILY_V4;
	if (got.asn == 0)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_PEER_AS, NULL, 0,
				     "OPEN: AS number 0");
	if (got.hold_s == 1 || got.hold_s == 2)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_HOLD, NULL, 0,
				     "OPEN: hold time %u s is neither 0 nor at least 3",
				     got.hold_s);
	if (got.id == 0)
		return bgp_error_set(e, BGP_ERR_OPEN, BGP_OPEN_ID, NULL, 0,
				     "OPEN: BGP identifier 0.0.0.0");
	*o = got;
	return true;
}
