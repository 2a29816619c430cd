/*
 * Framing and the small messages: KEEPALIVE, NOTIFICATION, ROUTE-REFRESH (RFC 4271 section 4,
 * RFC 2918, RFC 9003), and the meaning of NOTIFICATIONs in words. Pure.
 */
#include "speaker/bgp/message.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "metallb/xalloc.h"

bool bgp_error_set(struct bgp_error *e, uint8_t code, uint8_t subcode, const void *data, size_t len,
		   const char *fmt, ...)
{
	va_list ap;

	if (len > sizeof(e->data))
		len = sizeof(e->data);
	e->code = code;
	e->subcode = subcode;
	e->data_len = (uint16_t)len;
	if (len)
		memcpy(e->data, data, len);
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
	return false;
}

/* The longest prefix of s, at most max bytes, that does not cut a UTF-8 character. */
static size_t utf8_cut(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n <= max)
		return n;
	n = max;
	while (n > 0 && ((uint8_t)s[n] & 0xC0) == 0x80)
		n--;
	return n;
}

void bgp_error_set_cease(struct bgp_error *e, uint8_t subcode, const char *text)
{
	size_t n = text ? utf8_cut(text, BGP_SHUTDOWN_MAX) : 0;

	bgp_error_set(e, BGP_ERR_CEASE, subcode, NULL, 0, "%s", text ? text : "");
	if (n == 0 || (subcode != BGP_CEASE_SHUTDOWN && subcode != BGP_CEASE_RESET))
		return;
	e->data[0] = (uint8_t)n;
	memcpy(e->data + 1, text, n);
	e->data_len = (uint16_t)(n + 1);
}

void bgp_error_wrap_hard(struct bgp_error *e)
{
	assert(e->code == BGP_ERR_CEASE);
	if (e->data_len > sizeof(e->data) - 2)
		e->data_len = 0; /* the text goes; code and subcode matter */
	memmove(e->data + 2, e->data, e->data_len);
	e->data[0] = e->code;
	e->data[1] = e->subcode;
	e->data_len = (uint16_t)(e->data_len + 2);
	e->subcode = BGP_CEASE_HARD_RESET;
}

static const char *const code_names[] = {
	[BGP_ERR_HEADER] = "Message Header Error",
	[BGP_ERR_OPEN] = "OPEN Message Error",
	[BGP_ERR_UPDATE] = "UPDATE Message Error",
	[BGP_ERR_HOLD] = "Hold Timer Expired",
	[BGP_ERR_FSM] = "FSM Error",
	[BGP_ERR_CEASE] = "Cease",
	[7] = "ROUTE-REFRESH Message Error",
};

#define SUBCODES 13
static const char *const subcode_names[ARRAY_SIZE(code_names)][SUBCODES] = {
	[BGP_ERR_HEADER] = {[1] = "Connection Not Synchronized",
			    [2] = "Bad Message Length",
			    [3] = "Bad Message Type"},
	[BGP_ERR_OPEN] = {[1] = "Unsupported Version Number",
			  [2] = "Bad Peer AS",
			  [3] = "Bad BGP Identifier",
			  [4] = "Unsupported Optional Parameter",
			  [6] = "Unacceptable Hold Time",
			  [7] = "Unsupported Capability",
			  [11] = "Role Mismatch"},
	[BGP_ERR_UPDATE] = {[1] = "Malformed Attribute List",
			    [2] = "Unrecognized Well-known Attribute",
			    [3] = "Missing Well-known Attribute",
			    [4] = "Attribute Flags Error",
			    [5] = "Attribute Length Error",
			    [6] = "Invalid ORIGIN Attribute",
			    [8] = "Invalid NEXT_HOP Attribute",
			    [9] = "Optional Attribute Error",
			    [10] = "Invalid Network Field",
			    [11] = "Malformed AS_PATH"},
	[BGP_ERR_FSM] = {[1] = "Unexpected Message in OpenSent",
			 [2] = "Unexpected Message in OpenConfirm",
			 [3] = "Unexpected Message in Established"},
	[BGP_ERR_CEASE] = {[1] = "Maximum Number of Prefixes Reached",
			   [2] = "Administrative Shutdown",
			   [3] = "Peer De-configured",
			   [4] = "Administrative Reset",
			   [5] = "Connection Rejected",
			   [6] = "Other Configuration Change",
			   [7] = "Connection Collision Resolution",
			   [8] = "Out of Resources",
			   [9] = "Hard Reset",
			   [10] = "BFD Down"},
	[7] = {[1] = "Invalid Message Length"},
};

static void put_names(char out[BGP_TEXT_MAX], uint8_t code, uint8_t subcode)
{
	const char *name = code < ARRAY_SIZE(code_names) ? code_names[code] : NULL;
	const char *sub = name && subcode < SUBCODES ? subcode_names[code][subcode] : NULL;

	if (!name)
		snprintf(out, BGP_TEXT_MAX, "error %u/%u", code, subcode);
	else if (sub)
		snprintf(out, BGP_TEXT_MAX, "%s/%s", name, sub);
	else if (subcode)
		snprintf(out, BGP_TEXT_MAX, "%s/%u", name, subcode);
	else
		snprintf(out, BGP_TEXT_MAX, "%s", name);
}

/* RFC 9003: a length octet and that many bytes of UTF-8; shown with control characters as '?'. */
static void put_shutdown_text(char out[BGP_TEXT_MAX], const uint8_t *data, size_t len)
{
	size_t at = strlen(out), n = len ? data[0] : 0;

	if (n == 0 || n > len - 1 || at + 5 >= BGP_TEXT_MAX)
		return;
	at += (size_t)snprintf(out + at, BGP_TEXT_MAX - at, ": \"");
	for (size_t i = 0; i < n && at + 2 < BGP_TEXT_MAX; i++)
		out[at++] = (char)(data[1 + i] < 0x20 || data[1 + i] == 0x7F ? '?' : data[1 + i]);
	out[at++] = '"';
	out[at] = '\0';
}

void bgp_error_format(const struct bgp_error *e, char out[BGP_TEXT_MAX])
{
	const uint8_t *data = e->data;
	size_t len = e->data_len;
	uint8_t subcode = e->subcode;

	put_names(out, e->code, subcode);
	if (e->code == BGP_ERR_CEASE && subcode == BGP_CEASE_HARD_RESET && len >= 2) {
		char inner[BGP_TEXT_MAX];
		size_t at = strlen(out);

		put_names(inner, data[0], data[1]);
		snprintf(out + at, BGP_TEXT_MAX - at, " (%s)", inner);
		subcode = data[0] == BGP_ERR_CEASE ? data[1] : 0;
		data += 2;
		len -= 2;
	}
	if (e->code == BGP_ERR_CEASE &&
	    (subcode == BGP_CEASE_SHUTDOWN || subcode == BGP_CEASE_RESET))
		put_shutdown_text(out, data, len);
}

/* RFC 4271 section 6.1: the least length of each type; the greatest is the caller's. */
static size_t min_len(uint8_t type)
{
	switch (type) {
	case BGP_OPEN:
		return 29;
	case BGP_UPDATE:
		return 23;
	case BGP_NOTIFICATION:
		return 21;
	case BGP_ROUTE_REFRESH:
		return 23;
	default:
		return BGP_HEADER_LEN;
	}
}

enum bgp_frame bgp_frame_decode(const uint8_t *data, size_t n, size_t max, uint8_t *type,
				size_t *len, struct bgp_error *e)
{
	struct rd r = rd_init(data, n);

	for (size_t i = 0; i < n && i < BGP_MARKER_LEN; i++)
		if (data[i] != 0xFF) {
			bgp_error_set(e, BGP_ERR_HEADER, BGP_HDR_SYNC, NULL, 0,
				      "octet %zu of the marker is 0x%02x, not 0xff: no BGP", i,
				      data[i]);
			return BGP_FRAME_BAD;
		}
	if (n < BGP_HEADER_LEN)
		return BGP_FRAME_MORE;
	rd_take(&r, BGP_MARKER_LEN);
	uint16_t l = rd_u16(&r);
	uint8_t t = rd_u8(&r);
	uint8_t wire[2] = {(uint8_t)(l >> 8), (uint8_t)l};

	/* OPEN and KEEPALIVE never grow (RFC 8654 section 4) */
	if (t == BGP_OPEN || t == BGP_KEEPALIVE)
		max = BGP_MSG_MAX;
	if (l < BGP_HEADER_LEN || l > max) {
		bgp_error_set(e, BGP_ERR_HEADER, BGP_HDR_LENGTH, wire, 2,
			      "message length %u is outside %d..%zu", l, BGP_HEADER_LEN, max);
		return BGP_FRAME_BAD;
	}
	if (t < BGP_OPEN || t > BGP_ROUTE_REFRESH) {
		bgp_error_set(e, BGP_ERR_HEADER, BGP_HDR_TYPE, &t, 1, "message type %u is unknown",
			      t);
		return BGP_FRAME_BAD;
	}
	if (l < min_len(t) || (t == BGP_KEEPALIVE && l != BGP_HEADER_LEN)) {
		bgp_error_set(e, BGP_ERR_HEADER, BGP_HDR_LENGTH, wire, 2,
			      "message length %u does not fit type %u", l, t);
		return BGP_FRAME_BAD;
	}
	*type = t;
	*len = l;
	return n < l ? BGP_FRAME_MORE : BGP_FRAME_OK;
}

static void put_header(struct wr *w, uint8_t type, size_t body)
{
	static const uint8_t marker[BGP_MARKER_LEN] = {
		0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
		0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	};

	wr_bytes(w, marker, sizeof(marker));
	wr_u16(w, (uint16_t)(BGP_HEADER_LEN + body));
	wr_u8(w, type);
}

void bgp_keepalive_encode(struct wr *w)
{
	put_header(w, BGP_KEEPALIVE, 0);
}

void bgp_notification_encode(struct wr *w, const struct bgp_error *e)
{
	put_header(w, BGP_NOTIFICATION, 2u + e->data_len);
	wr_u8(w, e->code);
	wr_u8(w, e->subcode);
	wr_bytes(w, e->data, e->data_len);
}

void bgp_notification_decode(const uint8_t *body, size_t len, struct bgp_error *e)
{
	struct rd r = rd_init(body, len);

	*e = (struct bgp_error){.code = rd_u8(&r)};
	e->subcode = rd_u8(&r);
	size_t n = rd_left(&r);

	if (n > sizeof(e->data))
		n = sizeof(e->data);
	e->data_len = (uint16_t)n;
	rd_copy(&r, e->data, n);
}

/* RFC 2918 section 3; AFI of a single family. */
void bgp_refresh_encode(struct wr *w, unsigned family)
{
	put_header(w, BGP_ROUTE_REFRESH, 4);
	wr_u16(w, family == BGP_FAMILY_V6 ? 2 : 1);
	wr_u8(w, 0);
	wr_u8(w, 1);
}

unsigned bgp_refresh_decode(const uint8_t *body, size_t len)
{
	struct rd r = rd_init(body, len);
	uint16_t afi = rd_u16(&r);
	uint8_t subtype = rd_u8(&r), safi = rd_u8(&r);

	if (r.bad || subtype != 0 || safi != 1)
		return 0;
	return afi == 1 ? BGP_FAMILY_V4 : afi == 2 ? BGP_FAMILY_V6 : 0;
}
