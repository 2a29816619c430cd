/*
 * What FRR 8.4, BIRD 2.0, GoBGP 3.10 and ExaBGP 4.2 say (tests/vectors/bgp, made by
 * tests/bgp/record.py): each message is framed at every cut, and read as what it means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/message.h"

#define BOTH      (BGP_FAMILY_V4 | BGP_FAMILY_V6)
#define TEXTS_MAX 2

struct router_case {
	const char *file;
	struct bgp_open open;
	uint32_t n_reach; /* of all its UPDATEs */
	unsigned eor;
	size_t n_messages;
	const char *notifications[TEXTS_MAX];
};

static const struct router_case cases[] = {
	{
		.file = "frr.hex",
		.open = {.asn = 65000,
			 .hold_s = 90,
			 .id = 0x0A000064,
			 .caps = {.multiprotocol = true,
				  .families = BOTH,
				  .refresh = true,
				  .extended_message = true,
				  .as4 = true,
				  .asn4 = 65000,
				  .gr = true,
				  .gr_restarting = true,
				  .gr_notification = true,
				  .gr_time_s = 120,
				  .llgr = true,
				  .llgr_families = BOTH}},
		.n_reach = 2,
		.eor = BOTH,
		.n_messages = 8,
		.notifications = {"Message Header Error/Bad Message Type",
				  "OPEN Message Error/Bad Peer AS"},
	},
	{
		.file = "bird.hex",
		.open = {.asn = 65000,
			 .hold_s = 90,
			 .id = 0x0A000065,
			 .caps = {.multiprotocol = true,
				  .families = BOTH,
				  .refresh = true,
				  .as4 = true,
				  .asn4 = 65000,
				  .gr = true,
				  .gr_time_s = 120,
				  .gr_families = BOTH,
				  .llgr = true}},
		.n_reach = 4,
		.eor = BOTH,
		.n_messages = 8,
		.notifications = {"Message Header Error/Bad Message Type",
				  "OPEN Message Error/Bad Peer AS"},
	},
	{
		.file = "gobgp.hex",
		.open = {.asn = 65000,
			 .hold_s = 90,
			 .id = 0x0A000066,
			 .caps = {.multiprotocol = true,
				  .families = BOTH,
				  .v4_over_v6 = true,
				  .refresh = true,
				  .as4 = true,
				  .asn4 = 65000,
				  .gr = true,
				  .gr_notification = true,
				  .gr_time_s = 20,
				  .gr_families = BOTH}},
		.n_reach = 2,
		.eor = BOTH,
		.n_messages = 7,
		.notifications = {"OPEN Message Error/Bad Peer AS"},
	},
	{
		.file = "exabgp.hex",
		.open = {.asn = 65000,
			 .hold_s = 90,
			 .id = 0x0A000067,
			 .caps = {.multiprotocol = true,
				  .families = BOTH,
				  .refresh = true,
				  .extended_message = true,
				  .as4 = true,
				  .asn4 = 65000}},
		.n_reach = 2,
		.eor = BOTH,
		.n_messages = 7,
		.notifications = {"OPEN Message Error/Bad Peer AS"},
	},
};

/* What was found in one file. */
struct found {
	size_t n_messages, n_opens, n_keepalives, n_notifications;
	uint32_t n_reach;
	unsigned eor;
};

static size_t hex_decode(const char *hex, uint8_t out[BGP_MSG_MAX])
{
	size_t n = 0;
	unsigned v;

	while (n < BGP_MSG_MAX && sscanf(hex + 2 * n, "%2x", &v) == 1)
		out[n++] = (uint8_t)v;
	return n;
}

static void check_open(const struct router_case *c, const uint8_t *body, size_t len)
{
	const struct bgp_open *want = &c->open;
	struct bgp_open got;
	struct bgp_error e;

	if (!bgp_open_decode(body, len, &got, &e))
		fail_msg("%s: %s", c->file, e.why);
	assert_int_equal(got.asn, want->asn);
	assert_int_equal(got.hold_s, want->hold_s);
	assert_int_equal(got.id, want->id);
	assert_int_equal(got.caps.multiprotocol, want->caps.multiprotocol);
	assert_int_equal(got.caps.families, want->caps.families);
	assert_int_equal(got.caps.v4_over_v6, want->caps.v4_over_v6);
	assert_int_equal(got.caps.refresh, want->caps.refresh);
	assert_int_equal(got.caps.extended_message, want->caps.extended_message);
	assert_int_equal(got.caps.as4, want->caps.as4);
	assert_int_equal(got.caps.asn4, want->caps.asn4);
	assert_int_equal(got.caps.gr, want->caps.gr);
	assert_int_equal(got.caps.gr_restarting, want->caps.gr_restarting);
	assert_int_equal(got.caps.gr_notification, want->caps.gr_notification);
	assert_int_equal(got.caps.gr_time_s, want->caps.gr_time_s);
	assert_int_equal(got.caps.gr_families, want->caps.gr_families);
	assert_int_equal(got.caps.gr_forwarding, want->caps.gr_forwarding);
	assert_int_equal(got.caps.llgr, want->caps.llgr);
	assert_int_equal(got.caps.llgr_time_s, want->caps.llgr_time_s);
	assert_int_equal(got.caps.llgr_families, want->caps.llgr_families);
}

static void check_update(const struct router_case *c, struct found *f, const uint8_t *body,
			 size_t len)
{
	struct bgp_update_info info;

	bgp_update_check(body, len, true, false, &info);
	if (info.verdict != BGP_UPDATE_OK)
		fail_msg("%s: %s", c->file, info.error.why);
	assert_int_equal(info.n_withdrawn, 0);
	f->n_reach += info.n_reach;
	f->eor |= info.eor;
}

static void check_notification(const struct router_case *c, struct found *f, const uint8_t *body,
			       size_t len)
{
	struct bgp_error e;
	char text[BGP_TEXT_MAX];

	assert_true(f->n_notifications < TEXTS_MAX && c->notifications[f->n_notifications]);
	bgp_notification_decode(body, len, &e);
	bgp_error_format(&e, text);
	assert_string_equal(text, c->notifications[f->n_notifications++]);
}

static void check_message(const struct router_case *c, struct found *f, const uint8_t *data,
			  size_t n)
{
	const uint8_t *body = data + BGP_HEADER_LEN;
	struct bgp_error e;
	uint8_t type;
	size_t len;

	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(bgp_frame_decode(data, cut, BGP_MSG_MAX, &type, &len, &e),
				 BGP_FRAME_MORE);
	assert_int_equal(bgp_frame_decode(data, n, BGP_MSG_MAX, &type, &len, &e), BGP_FRAME_OK);
	assert_int_equal(len, n);
	f->n_messages++;
	len -= BGP_HEADER_LEN;
	switch (type) {
	case BGP_OPEN:
		f->n_opens++;
		check_open(c, body, len);
		break;
	case BGP_UPDATE:
		check_update(c, f, body, len);
		break;
	case BGP_NOTIFICATION:
		check_notification(c, f, body, len);
		break;
	case BGP_KEEPALIVE:
		f->n_keepalives++;
		break;
	default:
		fail_msg("%s: a message of type %u", c->file, type);
	}
}

static void test_recordings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path =
			xasprintf("%s/tests/vectors/bgp/%s", SOURCE_DIR, cases[i].file);
		_cleanup_free_ char *line = NULL;
		FILE *file = fopen(path, "r");
		struct found f = {0};
		size_t cap = 0;

		assert_non_null(file);
		while (getline(&line, &cap, file) > 0) {
			uint8_t data[BGP_MSG_MAX];

			if (line[0] != '#')
				check_message(&cases[i], &f, data, hex_decode(line, data));
		}
		fclose(file);
		assert_int_equal(f.n_messages, cases[i].n_messages);
		assert_int_equal(f.n_opens, 1);
		assert_int_equal(f.n_keepalives, 1);
		assert_int_equal(f.n_reach, cases[i].n_reach);
		assert_int_equal(f.eor, cases[i].eor);
		for (size_t j = f.n_notifications; j < TEXTS_MAX; j++)
			assert_null(cases[i].notifications[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recordings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
