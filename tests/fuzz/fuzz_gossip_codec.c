/*
 * The gossip codec's promises on any bytes: no read out of bounds, bounded memory, and a message
 * that decodes also encodes to something that decodes to the same.
 *
 * The first byte picks what the rest is: a packet, a push/pull body, LZW data, a sealed blob.
 */
#include <stdint.h>
#include <stdlib.h>

#include "speaker/gossip/lzw.h"
#include "speaker/gossip/message.h"
#include "speaker/gossip/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_message(void *user, const uint8_t *msg, size_t len)
{
	static const enum gsp_type maps[] = {GSP_PING,  GSP_INDIRECT_PING, GSP_ACK,  GSP_SUSPECT,
					     GSP_ALIVE, GSP_DEAD,          GSP_NACK, GSP_ERROR};
	struct buf once = {0}, twice = {0};
	struct gsp_msg m;

	(void)user;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		struct rd r = rd_init(msg + 1, len - 1);

		if (msg[0] != maps[i] || gsp_decode(maps[i], &r, &m))
			continue;
		gsp_encode(maps[i], &m, &once);
		r = rd_init(once.data + 1, once.len - 1);
		if (gsp_decode(maps[i], &r, &m))
			abort();
		gsp_encode(maps[i], &m, &twice);
		if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
			abort();
	}
	buf_fini(&once);
	buf_fini(&twice);
}

static void push_pull(struct rd *r)
{
	struct gsp_msg m;

	if (gsp_decode(GSP_PUSH_PULL, r, &m))
		return;
	for (int i = 0; i < 1000 && !gsp_decode_node_state(r, &m); i++)
		if (m.name.n > 0 && !m.name.p)
			abort();
}

static void lzw(const uint8_t *data, size_t len)
{
	struct buf packed = {0}, plain = {0};

	if (!lzw_decompress(data, len, 1u << 20, &plain) && plain.len > 1u << 20)
		abort();
	buf_clear(&plain);
	lzw_compress(data, len, &packed);
	if (lzw_decompress(packed.data, packed.len, len, &plain) || plain.len != len ||
	    (len && memcmp(plain.data, data, len) != 0))
		abort();
	buf_fini(&packed);
	buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct gsp_keyring ring = {.keys = {{.bytes = {1}, .len = 16}}, .n = 1};
	struct buf plain = {0};

	if (len < 1)
		return 0;
	struct rd r = rd_init(data + 1, len - 1);
	switch (data[0] & 3) {
	case 0:
		if (!gsp_strip_label(&r, ""))
			gsp_unpack(r.p, rd_left(&r), on_message, NULL);
		break;
	case 1:
		push_pull(&r);
		break;
	case 2:
		lzw(data + 1, len - 1);
		break;
	default:
		if (!gsp_open(&ring, data + 1, len - 1, "", 0, &plain) && plain.len > len)
			abort();
	}
	buf_fini(&plain);
	return 0;
}
