/*
 * BGP messages as bytes: decoders stay inside their input and keep their promises, NOTIFICATIONs
 * that they ask for can be written, and an OPEN that was read survives being written again.
 */
#include "speaker/bgp/message.h"

static void try_open(const uint8_t *body, size_t len)
{
	uint8_t out[BGP_MSG_MAX];
	struct wr w = wr_init(out, sizeof(out));
	struct bgp_open o, again;
	struct bgp_error e;

	if (!bgp_open_decode(body, len, &o, &e))
		return;
	if (o.asn == 0 || o.id == 0 || o.hold_s == 1 || o.hold_s == 2)
		__builtin_trap();
	bgp_open_encode(&w, &o);
	if (w.bad ||
	    !bgp_open_decode(out + BGP_HEADER_LEN, wr_len(&w) - BGP_HEADER_LEN, &again, &e))
		__builtin_trap();
	if (again.id != o.id || again.hold_s != o.hold_s || (o.caps.as4 && again.asn != o.asn))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bgp_error e;
	struct bgp_update_info info;
	uint8_t out[BGP_MSG_MAX], type;
	struct wr w = wr_init(out, sizeof(out));
	char text[BGP_TEXT_MAX];
	size_t n;

	switch (bgp_frame_decode(data, len, BGP_MSG_EXT_MAX, &type, &n, &e)) {
	case BGP_FRAME_BAD:
		bgp_notification_encode(&w, &e);
		if (w.bad)
			__builtin_trap();
		break;
	case BGP_FRAME_OK:
		if (n > len || n < BGP_HEADER_LEN)
			__builtin_trap();
		break;
	default:
		break;
	}
	if (len < BGP_HEADER_LEN)
		return 0;
	const uint8_t *body = data + BGP_HEADER_LEN;

	len -= BGP_HEADER_LEN;
	try_open(body, len);
	bgp_notification_decode(body, len, &e);
	bgp_error_format(&e, text);
	bgp_refresh_decode(body, len);
	for (int i = 0; i < 4; i++) {
		bgp_update_check(body, len, i & 1, i & 2, &info);
		if ((info.verdict == BGP_UPDATE_OK) != (info.error.code == 0))
			__builtin_trap();
	}
	return 0;
}
