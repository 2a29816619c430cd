/*
 * BGP messages that are wrong, and what the RFCs ask for: RFC 4271 section 6 (header, OPEN), RFC
 * 7606 (UPDATE), the words for NOTIFICATIONs, router advertisements (RFC 4861 section 6.1); and
 * what a BGPPeer means under each backend's name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "metallb/api.h"
#include "metallb/xalloc.h"
#include "speaker/bgp/message.h"
#include "speaker/bgp/ra.h"

#define HEX_MAX 512

/* Digits in pairs, blanks anywhere between them. */
static size_t hex_decode(const char *hex, uint8_t out[HEX_MAX])
{
	size_t n = 0;
	int used;
	unsigned v;

	for (; sscanf(hex, " %2x%n", &v, &used) == 1; hex += used) {
		assert_true(n < HEX_MAX);
		out[n++] = (uint8_t)v;
	}
	return n;
}

/* ---- header ---- */

struct frame_case {
	const char *name;
	uint16_t len;
	uint8_t type;
	size_t have, max;
	enum bgp_frame want;
	uint8_t subcode;
	const char *data; /* of the NOTIFICATION */
};

static const struct frame_case frame_cases[] = {
	{"nothing", 19, 4, 0, BGP_MSG_MAX, BGP_FRAME_MORE, 0, ""},
	{"part of a marker", 19, 4, 15, BGP_MSG_MAX, BGP_FRAME_MORE, 0, ""},
	{"all but the type", 19, 4, 18, BGP_MSG_MAX, BGP_FRAME_MORE, 0, ""},
	{"KEEPALIVE", 19, 4, 19, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"KEEPALIVE and more", 19, 4, 40, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"KEEPALIVE of 20", 20, 4, 20, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0014"},
	{"length 0", 0, 4, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0000"},
	{"length 18", 18, 4, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0012"},
	{"UPDATE of 22", 22, 2, 22, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0016"},
	{"UPDATE of 23", 23, 2, 23, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"UPDATE of 4096, cut", 4096, 2, 19, BGP_MSG_MAX, BGP_FRAME_MORE, 0, ""},
	{"UPDATE of 4097", 4097, 2, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "1001"},
	{"extended UPDATE", 4097, 2, 19, BGP_MSG_EXT_MAX, BGP_FRAME_MORE, 0, ""},
	{"extended UPDATE, longest", 65535, 2, 19, BGP_MSG_EXT_MAX, BGP_FRAME_MORE, 0, ""},
	{"extended OPEN", 4097, 1, 19, BGP_MSG_EXT_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "1001"},
	{"OPEN of 28", 28, 1, 28, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "001c"},
	{"OPEN of 29", 29, 1, 29, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"NOTIFICATION of 20", 20, 3, 20, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0014"},
	{"NOTIFICATION of 21", 21, 3, 21, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"ROUTE-REFRESH of 22", 22, 5, 22, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_LENGTH, "0016"},
	{"ROUTE-REFRESH of 23", 23, 5, 23, BGP_MSG_MAX, BGP_FRAME_OK, 0, ""},
	{"type 0", 19, 0, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_TYPE, "00"},
	{"type 6", 19, 6, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_TYPE, "06"},
	{"type 255", 19, 255, 19, BGP_MSG_MAX, BGP_FRAME_BAD, BGP_HDR_TYPE, "ff"},
};

static void check_data(const char *name, const struct bgp_error *e, const char *hex)
{
	uint8_t want[HEX_MAX];
	size_t n = hex_decode(hex, want);

	if (e->data_len != n || memcmp(e->data, want, n) != 0)
		fail_msg("%s: the NOTIFICATION's data differ", name);
}

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frame_cases); i++) {
		const struct frame_case *c = &frame_cases[i];
		uint8_t data[64], type = 0;
		size_t len = 0;
		struct bgp_error e = {0};

		memset(data, 0xFF, sizeof(data));
		data[16] = (uint8_t)(c->len >> 8);
		data[17] = (uint8_t)c->len;
		data[18] = c->type;
		enum bgp_frame got = bgp_frame_decode(data, c->have, c->max, &type, &len, &e);

		if (got != c->want)
			fail_msg("%s: %d instead of %d", c->name, got, c->want);
		if (got == BGP_FRAME_OK && (type != c->type || len != c->len))
			fail_msg("%s: type %u, length %zu", c->name, type, len);
		if (got == BGP_FRAME_BAD && (e.code != BGP_ERR_HEADER || e.subcode != c->subcode))
			fail_msg("%s: %u/%u, %s", c->name, e.code, e.subcode, e.why);
		check_data(c->name, &e, c->data);
	}
}

static void test_marker(void **state)
{
	(void)state;
	for (size_t i = 0; i < BGP_MARKER_LEN; i++) {
		uint8_t data[BGP_HEADER_LEN], type;
		size_t len;
		struct bgp_error e = {0};

		memset(data, 0xFF, sizeof(data));
		data[i] = 0x16;
		/* noticed at once, not only when the header is whole */
		assert_int_equal(bgp_frame_decode(data, i + 1, BGP_MSG_MAX, &type, &len, &e),
				 BGP_FRAME_BAD);
		assert_int_equal(e.code, BGP_ERR_HEADER);
		assert_int_equal(e.subcode, BGP_HDR_SYNC);
		assert_non_null(strstr(e.why, "0x16"));
	}
}

/* ---- OPEN ---- */

struct open_case {
	const char *name, *body;
	bool ok;
	uint8_t subcode;
	const char *data;
};

/* version, AS 64512, hold 90, identifier 192.0.2.1 */
#define HEAD "04 fc00 005a c0000201 "

static const struct open_case open_cases[] = {
	{"least", HEAD "00", true, 0, ""},
	{"hold 0", "04 fc00 0000 c0000201 00", true, 0, ""},
	{"hold 3", "04 fc00 0003 c0000201 00", true, 0, ""},
	{"hold 1", "04 fc00 0001 c0000201 00", false, BGP_OPEN_HOLD, ""},
	{"hold 2", "04 fc00 0002 c0000201 00", false, BGP_OPEN_HOLD, ""},
	{"version 3", "03 fc00 005a c0000201 00", false, BGP_OPEN_VERSION, "0004"},
	{"version 5", "05 fc00 005a c0000201 00", false, BGP_OPEN_VERSION, "0004"},
	{"AS 0", "04 0000 005a c0000201 00", false, BGP_OPEN_PEER_AS, ""},
	{"four-octet AS 0", HEAD "08 0206 4104 00000000", false, BGP_OPEN_PEER_AS, ""},
	{"identifier 0", "04 fc00 005a 00000000 00", false, BGP_OPEN_ID, ""},
	{"too short", "04 fc00 005a c00002", false, BGP_OPEN_UNSPECIFIC, ""},
	{"no parameters' length", "04 fc00 005a c0000201", false, BGP_OPEN_UNSPECIFIC, ""},
	{"parameters cut", HEAD "04 0202", false, BGP_OPEN_UNSPECIFIC, ""},
	{"octets behind the parameters", HEAD "00 00", false, BGP_OPEN_UNSPECIFIC, ""},
	{"parameter of one octet", HEAD "01 02", false, BGP_OPEN_UNSPECIFIC, ""},
	{"parameter past the end", HEAD "02 0205", false, BGP_OPEN_UNSPECIFIC, ""},
	{"authentication parameter", HEAD "03 0101 00", false, BGP_OPEN_PARAMETER, ""},
	{"parameter 77", HEAD "02 4d00", false, BGP_OPEN_PARAMETER, ""},
	{"empty capabilities", HEAD "02 0200", true, 0, ""},
	{"unknown capability", HEAD "06 0204 8002 abcd", true, 0, ""},
	{"capability without length", HEAD "03 0201 80", false, BGP_OPEN_UNSPECIFIC, ""},
	{"capability past its parameter", HEAD "04 0202 8001", false, BGP_OPEN_UNSPECIFIC, ""},
	{"multiprotocol of 3", HEAD "07 0205 0103 000100", false, BGP_OPEN_UNSPECIFIC, ""},
	{"four-octet AS of 2", HEAD "06 0204 4102 fc00", false, BGP_OPEN_UNSPECIFIC, ""},
	{"four-octet AS of 5", HEAD "09 0207 4105 0000fc0000", false, BGP_OPEN_UNSPECIFIC, ""},
	{"refresh of 1", HEAD "05 0203 0201 00", false, BGP_OPEN_UNSPECIFIC, ""},
	{"restart of 1", HEAD "05 0203 4001 00", false, BGP_OPEN_UNSPECIFIC, ""},
	{"restart of 5", HEAD "09 0207 4005 0078000100", false, BGP_OPEN_UNSPECIFIC, ""},
	{"next hop of 5", HEAD "09 0207 0505 0001000100", false, BGP_OPEN_UNSPECIFIC, ""},
	{"long-lived of 6", HEAD "0a 0208 4706 000101800000", false, BGP_OPEN_UNSPECIFIC, ""},
	{"extended parameters", HEAD "ff ff 0009 02 0006 4104 0000fc00", true, 0, ""},
	{"extended, other first octet", HEAD "0c ff 0009 02 0006 4104 0000fc00", true, 0, ""},
	{"extended, cut", HEAD "ff ff 0009 02 0006 4104 0000", false, BGP_OPEN_UNSPECIFIC, ""},
};

static void test_opens(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(open_cases); i++) {
		const struct open_case *c = &open_cases[i];
		uint8_t body[HEX_MAX];
		size_t n = hex_decode(c->body, body);
		struct bgp_open o;
		struct bgp_error e = {0};
		bool ok = bgp_open_decode(body, n, &o, &e);

		if (ok != c->ok)
			fail_msg("%s: %s", c->name, ok ? "taken" : e.why);
		if (ok)
			continue;
		if (e.code != BGP_ERR_OPEN || e.subcode != c->subcode || e.why[0] == '\0')
			fail_msg("%s: %u/%u, %s", c->name, e.code, e.subcode, e.why);
		check_data(c->name, &e, c->data);
	}
}

/* Whatever is cut off a good OPEN, it is refused. */
static void test_cut_opens(void **state)
{
	static const char good[] =
		HEAD "1a 0206 0104 00010001 0206 4104 0000fc00 0208 4006 c078 00010180";
	uint8_t body[HEX_MAX];
	size_t n = hex_decode(good, body);
	struct bgp_open o;
	struct bgp_error e;

	(void)state;
	assert_true(bgp_open_decode(body, n, &o, &e));
	assert_int_equal(o.caps.gr_time_s, 120);
	assert_int_equal(o.caps.gr_forwarding, BGP_FAMILY_V4);
	for (size_t len = 0; len < n; len++)
		assert_false(bgp_open_decode(body, len, &o, &e));
}

/* ---- UPDATE ---- */

#define ORIGIN "40 01 01 00 "
#define PATH4  "40 02 06 02 01 0000fc00 "
#define HOP    "40 03 04 c0000201 "
#define NLRI   "20 c6336401"

struct update_case {
	const char *name, *attrs, *nlri;
	bool ibgp;
	enum bgp_verdict want;
};

static const struct update_case update_cases[] = {
	{"plain", ORIGIN PATH4 HOP, NLRI, false, BGP_UPDATE_OK},
	{"internal", ORIGIN "40 02 00" HOP "40 05 04 00000064", NLRI, true, BGP_UPDATE_OK},
	{"no ORIGIN", PATH4 HOP, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"no AS_PATH", ORIGIN HOP, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"no NEXT_HOP", ORIGIN PATH4, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"no LOCAL_PREF inside", ORIGIN PATH4 HOP, NLRI, true, BGP_UPDATE_WITHDRAW},
	{"no attributes", "", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"ORIGIN 3", "40 01 01 03" PATH4 HOP, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"ORIGIN of 2", "40 01 02 0000" PATH4 HOP, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"ORIGIN optional", "c0 01 01 00" PATH4 HOP, NLRI, false, BGP_UPDATE_WITHDRAW},
	{"ORIGIN twice", ORIGIN ORIGIN PATH4 HOP, NLRI, false, BGP_UPDATE_DISCARD},
	{"AS_PATH, segment 0", ORIGIN HOP "40 02 06 00 01 0000fc00", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"AS_PATH, segment 5", ORIGIN HOP "40 02 06 05 01 0000fc00", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"AS_PATH, empty segment", ORIGIN HOP "40 02 02 02 00", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"AS_PATH, segment too long", ORIGIN HOP "40 02 06 02 02 0000fc00", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"NEXT_HOP of 3", ORIGIN PATH4 "40 03 03 c00002", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"NEXT_HOP of 16", ORIGIN PATH4 "40 03 10 00000000000000000000000000000001", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"MED of 3", ORIGIN PATH4 HOP "80 04 03 000000", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"LOCAL_PREF of 3 inside", ORIGIN PATH4 HOP "40 05 03 000000", NLRI, true,
	 BGP_UPDATE_WITHDRAW},
	{"LOCAL_PREF of 3 from outside", ORIGIN PATH4 HOP "40 05 03 000000", NLRI, false,
	 BGP_UPDATE_OK},
	{"ATOMIC_AGGREGATE of 1", ORIGIN PATH4 HOP "40 06 01 00", NLRI, false, BGP_UPDATE_DISCARD},
	{"AGGREGATOR of 6", ORIGIN PATH4 HOP "c0 07 06 fc00c0000201", NLRI, false,
	 BGP_UPDATE_DISCARD},
	{"AGGREGATOR of 8", ORIGIN PATH4 HOP "c0 07 08 0000fc00c0000201", NLRI, false,
	 BGP_UPDATE_OK},
	{"COMMUNITIES of 0", ORIGIN PATH4 HOP "c0 08 00", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"COMMUNITIES of 6", ORIGIN PATH4 HOP "c0 08 06 000000000000", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"ORIGINATOR_ID of 3 from outside", ORIGIN PATH4 HOP "80 09 03 000000", NLRI, false,
	 BGP_UPDATE_OK},
	{"extended communities of 7", ORIGIN PATH4 HOP "c0 10 07 00000000000000", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"AS4_PATH, malformed", ORIGIN PATH4 HOP "c0 11 01 02", NLRI, false, BGP_UPDATE_DISCARD},
	{"AS4_AGGREGATOR of 7", ORIGIN PATH4 HOP "c0 12 07 00000000000000", NLRI, false,
	 BGP_UPDATE_DISCARD},
	{"large communities of 11", ORIGIN PATH4 HOP "c0 20 0b 0000000000000000000000", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"unknown optional", ORIGIN PATH4 HOP "c0 63 02 abcd", NLRI, false, BGP_UPDATE_OK},
	{"unknown well-known", ORIGIN PATH4 HOP "40 63 02 abcd", NLRI, false, BGP_UPDATE_RESET},
	{"attribute past the end", ORIGIN PATH4 HOP "c0 08 09 00000000", NLRI, false,
	 BGP_UPDATE_WITHDRAW},
	{"attribute of one octet", ORIGIN PATH4 HOP "c0", NLRI, false, BGP_UPDATE_WITHDRAW},
	{"prefix of 33", ORIGIN PATH4 HOP, "21 c633640100", false, BGP_UPDATE_RESET},
	{"prefix cut", ORIGIN PATH4 HOP, "20 c63364", false, BGP_UPDATE_RESET},
	{"IPv6", ORIGIN PATH4 "80 0e 16 0002 01 10 20010db8000000000000000000000001 00 00", "",
	 false, BGP_UPDATE_OK},
	{"IPv4 over IPv6",
	 ORIGIN PATH4 "80 0e 1a 0001 01 10 20010db8000000000000000000000001 00 20c6336401", "",
	 false, BGP_UPDATE_OK},
	{"IPv6, next hop of 4", ORIGIN PATH4 "80 0e 0a 0002 01 04 c0000201 00 00", "", false,
	 BGP_UPDATE_RESET},
	{"IPv6, prefix of 129",
	 ORIGIN PATH4 "80 0e 27 0002 01 10 20010db8000000000000000000000001 00 "
		      "81 0000000000000000000000000000000000",
	 "", false, BGP_UPDATE_RESET},
	{"MP_REACH_NLRI cut", ORIGIN PATH4 "80 0e 04 0002 01 10", "", false, BGP_UPDATE_RESET},
	{"MP_UNREACH_NLRI cut", "80 0f 02 0002", "", false, BGP_UPDATE_RESET},
	{"MP_UNREACH_NLRI twice", "80 0f 03 000201 80 0f 03 000201", "", false, BGP_UPDATE_RESET},
	{"another family", ORIGIN PATH4 "80 0e 05 0019 46 00 00", "", false, BGP_UPDATE_OK},
};

static size_t update_body(const struct update_case *c, uint8_t body[2 * HEX_MAX])
{
	uint8_t attrs[HEX_MAX], nlri[HEX_MAX];
	size_t n_attrs = hex_decode(c->attrs, attrs), n_nlri = hex_decode(c->nlri, nlri);
	struct wr w = wr_init(body, 2 * HEX_MAX);

	wr_u16(&w, 0);
	wr_u16(&w, (uint16_t)n_attrs);
	wr_bytes(&w, attrs, n_attrs);
	wr_bytes(&w, nlri, n_nlri);
	assert_false(w.bad);
	return wr_len(&w);
}

static void test_updates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(update_cases); i++) {
		const struct update_case *c = &update_cases[i];
		uint8_t body[2 * HEX_MAX];
		size_t n = update_body(c, body);
		struct bgp_update_info info;

		bgp_update_check(body, n, true, c->ibgp, &info);
		if (info.verdict != c->want)
			fail_msg("%s: %d instead of %d (%s)", c->name, info.verdict, c->want,
				 info.error.why);
		if ((c->want == BGP_UPDATE_OK) != (info.error.why[0] == '\0'))
			fail_msg("%s: said \"%s\"", c->name, info.error.why);
		if (c->want == BGP_UPDATE_RESET && info.error.code != BGP_ERR_UPDATE)
			fail_msg("%s: code %u", c->name, info.error.code);
	}
}

struct raw_update {
	const char *name, *body;
	enum bgp_verdict want;
	uint8_t subcode;
	unsigned eor;
	uint32_t n_withdrawn;
};

static const struct raw_update raw_updates[] = {
	{"End-of-RIB", "0000 0000", BGP_UPDATE_OK, 0, BGP_FAMILY_V4, 0},
	{"End-of-RIB, IPv6", "0000 0006 80 0f 03 0002 01", BGP_UPDATE_OK, 0, BGP_FAMILY_V6, 0},
	{"two withdrawn", "0007 18 cb0071 10 0a01 0000", BGP_UPDATE_OK, 0, 0, 2},
	{"withdrawn past the end", "0009 18 cb0071", BGP_UPDATE_RESET, BGP_UPD_ATTR_LIST, 0, 0},
	{"attributes past the end", "0000 0009 40 01", BGP_UPDATE_RESET, BGP_UPD_ATTR_LIST, 0, 0},
	{"withdrawn of 33", "0006 21 cb00710000 0000", BGP_UPDATE_RESET, BGP_UPD_NETWORK, 0, 0},
	{"empty", "", BGP_UPDATE_RESET, BGP_UPD_ATTR_LIST, 0, 0},
};

static void test_update_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(raw_updates); i++) {
		const struct raw_update *c = &raw_updates[i];
		uint8_t body[HEX_MAX];
		size_t n = hex_decode(c->body, body);
		struct bgp_update_info info;

		bgp_update_check(body, n, true, false, &info);
		if (info.verdict != c->want || info.error.subcode != c->subcode ||
		    info.eor != c->eor || info.n_withdrawn != c->n_withdrawn)
			fail_msg("%s: verdict %d, subcode %u, end of %u, %u withdrawn (%s)",
				 c->name, info.verdict, info.error.subcode, info.eor,
				 info.n_withdrawn, info.error.why);
	}
}

/* ---- NOTIFICATION ---- */

static const struct {
	const char *body, *text;
} notifications[] = {
	{"", "error 0/0"},
	{"06", "Cease"},
	{"0602", "Cease/Administrative Shutdown"},
	{"0602 05 68656c6c6f", "Cease/Administrative Shutdown: \"hello\""},
	{"0604 03 610a62", "Cease/Administrative Reset: \"a?b\""},
	{"0602 09 68656c6c6f", "Cease/Administrative Shutdown"}, /* longer than what is there */
	{"0602 00", "Cease/Administrative Shutdown"},
	{"0609 0602 02 6f6b", "Cease/Hard Reset (Cease/Administrative Shutdown): \"ok\""},
	{"0609 06", "Cease/Hard Reset"},
	{"060a", "Cease/BFD Down"},
	{"0202", "OPEN Message Error/Bad Peer AS"},
	{"0205", "OPEN Message Error/5"},
	{"0400", "Hold Timer Expired"},
	{"06ff", "Cease/255"},
	{"0701", "ROUTE-REFRESH Message Error/Invalid Message Length"},
	{"0801", "error 8/1"},
	{"ffff", "error 255/255"},
};

static void test_notifications(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(notifications); i++) {
		uint8_t body[HEX_MAX];
		size_t n = hex_decode(notifications[i].body, body);
		struct bgp_error e;
		char text[BGP_TEXT_MAX];

		bgp_notification_decode(body, n, &e);
		bgp_error_format(&e, text);
		assert_string_equal(text, notifications[i].text);
	}
}

/* ---- router advertisements ---- */

static const struct {
	const char *name, *data, *source;
	int hop_limit;
	enum bgp_nd want;
} ra_cases[] = {
	{"plain", "8600 0000 00 00 0000 00000000 00000000", "fe80::1", 255, BGP_ND_ADVERTISEMENT},
	{"with an option", "8600 0000 40 00 0708 00000000 00000000 0101 020000000001", "fe80::1",
	 255, BGP_ND_ADVERTISEMENT},
	{"forwarded", "8600 0000 00 00 0000 00000000 00000000", "fe80::1", 254, BGP_ND_OTHER},
	{"global source", "8600 0000 00 00 0000 00000000 00000000", "2001:db8::1", 255,
	 BGP_ND_OTHER},
	{"code 1", "8601 0000 00 00 0000 00000000 00000000", "fe80::1", 255, BGP_ND_OTHER},
	{"short", "8600 0000 00 00 0000 00000000 000000", "fe80::1", 255, BGP_ND_OTHER},
	{"option of length 0", "8600 0000 00 00 0000 00000000 00000000 0100 000000000000",
	 "fe80::1", 255, BGP_ND_OTHER},
	{"option past the end", "8600 0000 00 00 0000 00000000 00000000 0102 000000000000",
	 "fe80::1", 255, BGP_ND_OTHER},
	{"half an option", "8600 0000 00 00 0000 00000000 00000000 01", "fe80::1", 255,
	 BGP_ND_OTHER},
	{"solicitation", "8500 0000 00000000", "fe80::2", 255, BGP_ND_SOLICITATION},
	{"solicitation, unspecified source", "8500 0000 00000000", "::", 255, BGP_ND_SOLICITATION},
	{"solicitation, short", "8500 0000 000000", "fe80::2", 255, BGP_ND_OTHER},
	{"neighbour solicitation", "8700 0000 00000000", "fe80::2", 255, BGP_ND_OTHER},
	{"nothing", "", "fe80::2", 255, BGP_ND_OTHER},
};

static void test_router_advertisements(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ra_cases); i++) {
		uint8_t data[HEX_MAX];
		size_t n = hex_decode(ra_cases[i].data, data);
		struct ip source;

		assert_true(ip_parse(ra_cases[i].source, &source));
		if (bgp_ra_decode(data, n, &source, ra_cases[i].hop_limit) != ra_cases[i].want)
			fail_msg("%s", ra_cases[i].name);
	}
}

/* ---- what a BGPPeer means ---- */

#define S  INT64_C(1000000000)
#define NO DURATION_UNSET

static const struct defaults_case {
	const char *name;
	enum bgp_backend backend;
	uint32_t peer_asn;
	const char *dynamic;
	bool multihop;
	int64_t hold_ns, keepalive_ns, connect_ns;
	uint16_t hold_s, keepalive_s, connect_s;
	uint32_t local_pref;
	uint8_t ttl;
} defaults_cases[] = {
	{"native", BACKEND_NATIVE, 65000, "", false, NO, NO, NO, 90, 30, 30, 0, 0},
	{"native, inside", BACKEND_NATIVE, 64512, "", false, NO, NO, NO, 90, 30, 30, 0, 0},
	{"native, multihop", BACKEND_NATIVE, 65000, "", true, NO, NO, NO, 90, 30, 30, 0, 0},
	{"native, hold 9", BACKEND_NATIVE, 65000, "", false, 9 * S, NO, NO, 9, 3, 30, 0, 0},
	{"native, hold 0", BACKEND_NATIVE, 65000, "", false, 0, NO, NO, 0, 0, 30, 0, 0},
	{"frr", BACKEND_FRR, 65000, "", false, NO, NO, NO, 180, 60, 30, 100, 1},
	{"frr, inside", BACKEND_FRR, 64512, "", false, NO, NO, NO, 180, 60, 30, 100, 255},
	{"frr, multihop", BACKEND_FRR, 65000, "", true, NO, NO, NO, 180, 60, 30, 100, 255},
	{"frr, internal", BACKEND_FRR, 0, "internal", false, NO, NO, NO, 180, 60, 30, 100, 255},
	{"frr, external", BACKEND_FRR, 0, "external", false, NO, NO, NO, 180, 60, 30, 100, 1},
	{"frr, timers", BACKEND_FRR, 65000, "", false, 9 * S, 2 * S, 5 * S, 9, 2, 5, 100, 1},
	{"frr, no timers", BACKEND_FRR, 65000, "", false, 0, 0, NO, 0, 0, 30, 100, 1},
	{"frr, half a second", BACKEND_FRR, 65000, "", false, 3 * S, S / 2, NO, 3, 1, 30, 100, 1},
};

static void test_backend_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(defaults_cases); i++) {
		const struct defaults_case *c = &defaults_cases[i];
		struct config_peer peer = {
			.name = "tor",
			.my_asn = 64512,
			.peer_asn = c->peer_asn,
			.dynamic_asn = c->dynamic,
			.interface = "",
			.vrf = "",
			.password = "",
			.hold_ns = c->hold_ns,
			.keepalive_ns = c->keepalive_ns,
			.connect_ns = c->connect_ns,
			.ebgp_multihop = c->multihop,
		};
		struct bgp_peer_config got;

		assert_true(ip_parse("192.0.2.1", &peer.address));
		bgp_peer_config_build(&peer, c->backend, &got);
		if (got.hold_s != c->hold_s || got.keepalive_s != c->keepalive_s ||
		    got.connect_s != c->connect_s || got.default_local_pref != c->local_pref ||
		    got.ttl != c->ttl)
			fail_msg("%s: %u/%u, connect %u, preference %u, TTL %u", c->name,
				 got.hold_s, got.keepalive_s, got.connect_s, got.default_local_pref,
				 got.ttl);
		assert_int_equal(got.port, 179);
		assert_int_equal(got.local_asn, 64512);
		assert_int_equal(got.families, BGP_FAMILY_V4);
	}
}

static void test_peer_fields(void **state)
{
	struct config_peer peer = {
		.name = "tor",
		.my_asn = 64512,
		.local_asn = 64600,
		.dynamic_asn = "external",
		.interface = "eth1",
		.vrf = "red",
		.password = "secret",
		.port = 1179,
		.hold_ns = NO,
		.keepalive_ns = NO,
		.connect_ns = NO,
		.graceful_restart = true,
	};
	struct bgp_peer_config got;

	(void)state;
	assert_true(ip_parse("10.0.0.9", &peer.router_id));
	bgp_peer_config_build(&peer, BACKEND_FRR, &got);
	assert_int_equal(got.local_asn, 64600);
	assert_int_equal(got.dynamic, BGP_DYNAMIC_EXTERNAL);
	assert_int_equal(got.families, BGP_FAMILY_V4 | BGP_FAMILY_V6);
	assert_int_equal(got.router_id, 0x0A000009);
	assert_int_equal(got.port, 1179);
	assert_true(got.graceful_restart);
	assert_string_equal(got.interface, "eth1");
	assert_string_equal(got.vrf, "red");
	assert_string_equal(got.password, "secret");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_marker),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_cut_opens),
		cmocka_unit_test(test_updates),
		cmocka_unit_test(test_update_lengths),
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_router_advertisements),
		cmocka_unit_test(test_backend_defaults),
		cmocka_unit_test(test_peer_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
