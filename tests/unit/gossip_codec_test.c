/*
 * The gossip codec against packets, streams and values recorded from Go memberlist (two releases):
 * everything captured opens, decodes and encodes back to the same bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <openssl/sha.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/lzw.h"
#include "speaker/gossip/message.h"
#include "speaker/gossip/seal.h"

static struct json_object *vectors;

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v))
		fail_msg("vector without %s", key);
	return v;
}

static const char *text(struct json_object *o, const char *key)
{
	return json_object_get_string(get(o, key));
}

static void unhex(const char *hex, struct buf *out)
{
	unsigned byte;

	for (; hex[0] && hex[1]; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		buf_add_char(out, (char)byte);
	}
}

static void assert_bytes(const char *name, const void *got, size_t n, const void *want, size_t m)
{
	if (n != m || (n && memcmp(got, want, n) != 0))
		fail_msg("%s: other bytes (%zu, wanted %zu)", name, n, m);
}

/* Decode one message and encode it again. */
static void roundtrip(const char *name, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg + 1, len - 1);
	struct buf again = {0};
	struct gsp_msg m;

	if (msg[0] == GSP_USER)
		return; /* raw bytes follow */
	const char *why = gsp_decode((enum gsp_type)msg[0], &r, &m);
	if (why)
		fail_msg("%s: %s", name, why);
	gsp_encode((enum gsp_type)msg[0], &m, &again);
	assert_bytes(name, again.data, again.len, msg, len - rd_left(&r));
	buf_fini(&again);
}

struct seen {
	const char *name;
	int n;
};

static void on_message(void *user, const uint8_t *msg, size_t len)
{
	struct seen *s = user;

	roundtrip(s->name, msg, len);
	s->n++;
}

static struct gsp_keyring ring_of(struct json_object *keys)
{
	struct gsp_keyring ring = {0};

	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		struct buf key = {0};

		unhex(json_object_get_string(json_object_array_get_idx(keys, i)), &key);
		assert_null(gsp_keyring_add(&ring, key.data, key.len));
		buf_fini(&key);
	}
	return ring;
}

static void check_packet(struct json_object *c, const struct buf *bytes)
{
	struct rd r = rd_init(bytes->data, bytes->len);
	struct gsp_keyring ring = ring_of(get(c, "keys"));
	const char *label = text(c, "label");
	struct seen seen = {.name = text(c, "name")};
	struct buf plain = {0};
	const char *why = gsp_strip_label(&r, label);

	if (!why && ring.n)
		why = gsp_open(&ring, r.p, rd_left(&r), label, strlen(label), &plain);
	else if (!why)
		buf_add(&plain, r.p, rd_left(&r));
	if (!why)
		why = gsp_unpack((const uint8_t *)plain.data, plain.len, on_message, &seen);
	if (why)
		fail_msg("%s: %s", seen.name, why);
	assert_true(seen.n > 0);
	buf_fini(&plain);
}

/* The nodes of a push/pull behind its type byte; everything encodes back to the same bytes. */
static void check_push_pull(const char *name, const uint8_t *msg, size_t len)
{
	struct rd r = rd_init(msg + 1, len - 1);
	struct buf again = {0};
	struct gsp_msg head, node;

	assert_null(gsp_decode(GSP_PUSH_PULL, &r, &head));
	gsp_encode(GSP_PUSH_PULL, &head, &again);
	/* release 0.2.2 wrote a length above 127 in an unsigned format */
	if (strncmp(name, "022", 3) == 0 && (uint8_t)again.data[again.len - 3] == 0xd1)
		again.data[again.len - 3] = (char)0xcd;
	for (int64_t i = 0; i < head.nodes; i++) {
		const char *why = gsp_decode_node_state(&r, &node);

		if (why)
			fail_msg("%s: node %d: %s", name, (int)i, why);
		gsp_encode_node_state(&node, &again);
	}
	assert_int_equal(rd_left(&r), head.user_state_len);
	assert_bytes(name, again.data, again.len, msg, len - rd_left(&r));
	buf_fini(&again);
}

static void check_stream(struct json_object *c, const char *hex, bool dialer)
{
	const char *name = text(c, "name"), *label = text(c, "label");
	struct gsp_keyring ring = ring_of(get(c, "keys"));
	struct buf bytes = {0}, plain = {0}, aad = {0};
	const char *why = NULL;

	unhex(hex, &bytes);
	struct rd r = rd_init(bytes.data, bytes.len);
	if (dialer)
		why = gsp_strip_label(&r, label);
	if (!why && ring.n) {
		buf_add(&aad, r.p, 5);
		buf_add_str(&aad, label);
		assert_int_equal(rd_u8(&r), GSP_ENCRYPT);
		size_t n = rd_u32(&r);
		assert_int_equal(n, rd_left(&r));
		why = gsp_open(&ring, r.p, n, aad.data, aad.len, &plain);
	} else if (!why) {
		buf_add(&plain, r.p, rd_left(&r));
	}
	if (!why && plain.data[0] == GSP_COMPRESS) {
		struct rd body = rd_init(plain.data + 1, plain.len - 1);
		struct buf inner = {0};

		why = gsp_decompress(&body, &inner);
		buf_fini(&plain);
		plain = inner;
	}
	if (why)
		fail_msg("%s: %s", name, why);
	if (plain.data[0] == GSP_PUSH_PULL)
		check_push_pull(name, (const uint8_t *)plain.data, plain.len);
	else
		roundtrip(name, (const uint8_t *)plain.data, plain.len);
	buf_fini(&bytes);
	buf_fini(&plain);
	buf_fini(&aad);
}

static void test_captured(void **state)
{
	struct json_object *all = get(vectors, "captured");
	int packets = 0, streams = 0;

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *c = json_object_array_get_idx(all, i);
		struct buf bytes = {0};

		if (strcmp(text(c, "kind"), "packet") == 0) {
			unhex(text(c, "hex"), &bytes);
			check_packet(c, &bytes);
			packets++;
		} else if (strcmp(text(c, "kind"), "stream") == 0) {
			bool dialer = strncmp(text(c, "shape"), "dialer", 6) == 0;

			check_stream(c, text(c, "hex"), dialer);
			streams++;
		}
		buf_fini(&bytes);
	}
	assert_int_equal(packets, 147);
	assert_int_equal(streams, 36);
}

static void test_messages(void **state)
{
	struct json_object *all = get(get(vectors, "codec"), "messages");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *v = json_object_array_get_idx(all, i);
		struct buf bytes = {0}, again = {0};
		struct gsp_msg m;

		unhex(text(v, "hex"), &bytes);
		if ((uint8_t)bytes.data[0] == 0xff) {
			struct rd r = rd_init(bytes.data + 1, bytes.len - 1);

			assert_null(gsp_decode_node_state(&r, &m));
			gsp_encode_node_state(&m, &again);
			assert_bytes(text(v, "name"), again.data, again.len, bytes.data + 1,
				     bytes.len - 1);
		} else if (bytes.data[0] == GSP_USER) {
			struct rd r = rd_init(bytes.data + 1, bytes.len - 1);

			assert_null(gsp_decode(GSP_USER, &r, &m));
			gsp_encode(GSP_USER, &m, &again);
			assert_bytes(text(v, "name"), again.data, again.len, bytes.data, bytes.len);
		} else {
			roundtrip(text(v, "name"), (const uint8_t *)bytes.data, bytes.len);
		}
		buf_fini(&bytes);
		buf_fini(&again);
	}
}

static void test_leniency(void **state)
{
	struct json_object *all = get(vectors, "decoder_leniency");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *v = json_object_array_get_idx(all, i);
		const char *name = text(v, "name");
		enum gsp_type type = strncmp(name, "alive", 5) == 0 ? GSP_ALIVE
				     : strncmp(name, "hdr", 3) == 0 ? GSP_PUSH_PULL
				     : strncmp(name, "ack", 3) == 0 ? GSP_ACK
								    : GSP_PING;
		struct buf bytes = {0};
		struct gsp_msg m;

		unhex(text(v, "hex"), &bytes);
		struct rd r = rd_init(bytes.data, bytes.len);
		const char *why = gsp_decode(type, &r, &m);
		bool want = json_object_get_boolean(get(v, "head_ok"));
		if (want != (why == NULL))
			fail_msg("%s: %s", name, why ? why : "accepted");
		if (want && type == GSP_PING && strstr(text(v, "head"), "SeqNo:1 "))
			assert_int_equal(m.seq_no, 1);
		if (strcmp(name, "ping: SourceAddr array of ints") == 0)
			assert_bytes(name, m.source_addr.p, m.source_addr.n, "\x7f\0\0\1", 4);
		if (strcmp(name, "hdr: Nodes int16 200") == 0)
			assert_int_equal(m.nodes, 200);
		buf_fini(&bytes);
	}
}

static void fixed_nonce(void *user, void *out, size_t n)
{
	const struct buf *nonce = user;

	assert_int_equal(n, nonce->len);
	memcpy(out, nonce->data, n);
}

static void test_encrypt(void **state)
{
	struct json_object *all = get(get(vectors, "codec"), "encrypt");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *v = json_object_array_get_idx(all, i);
		struct buf key = {0}, nonce = {0}, aad = {0}, plain = {0}, want = {0}, got = {0};
		struct buf opened = {0};
		struct gsp_keyring ring = {0};
		struct random_source random = {fixed_nonce, &nonce};

		unhex(text(v, "key"), &key);
		unhex(text(v, "nonce"), &nonce);
		unhex(text(v, "aad"), &aad);
		unhex(text(v, "plain"), &plain);
		unhex(text(v, "out"), &want);
		assert_null(gsp_keyring_add(&ring, key.data, key.len));
		assert_true(gsp_seal(&ring, (unsigned)json_object_get_int(get(v, "version")),
				     &random, plain.data, plain.len, aad.data, aad.len, &got));
		assert_bytes("sealed", got.data, got.len, want.data, want.len);
		assert_null(gsp_open(&ring, got.data, got.len, aad.data, aad.len, &opened));
		assert_bytes("opened", opened.data, opened.len, plain.data, plain.len);
		for (size_t j = 0; j < got.len; j++) { /* any flipped bit is noticed */
			struct buf junk = {0};

			got.data[j] ^= 1;
			if (j > 0 || got.data[0] > 1)
				assert_non_null(gsp_open(&ring, got.data, got.len, aad.data,
							 aad.len, &junk));
			got.data[j] ^= 1;
			buf_fini(&junk);
		}
		buf_fini(&key), buf_fini(&nonce), buf_fini(&aad), buf_fini(&plain);
		buf_fini(&want), buf_fini(&got), buf_fini(&opened);
	}
}

/* The plaintexts that the vectors give by rule: zeros, or the generator "lcg mod M, N bytes". */
static void make_plain(struct json_object *v, struct buf *out)
{
	struct json_object *plain;
	unsigned mod = 1, n = (unsigned)json_object_get_int(get(v, "plain_len"));
	uint32_t s = 12345;

	if (json_object_object_get_ex(v, "plain", &plain)) {
		unhex(json_object_get_string(plain), out);
		return;
	}
	if (strncmp(text(v, "name"), "lcg", 3) == 0)
		assert_int_equal(sscanf(text(v, "name"), "lcg mod %u", &mod), 1);
	for (unsigned i = 0; i < n; i++) {
		s = s * 1103515245u + 12345u;
		buf_add_char(out, (char)((s >> 16 & 0xff) % mod));
	}
}

static void assert_sha256(const struct buf *b, const char *want)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char hex[2 * SHA256_DIGEST_LENGTH + 1];

	SHA256((const unsigned char *)buf_str(b), b->len, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(hex, want);
}

static void test_lzw(void **state)
{
	struct json_object *all = get(get(vectors, "codec"), "lzw");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *v = json_object_array_get_idx(all, i);
		struct buf plain = {0}, packed = {0}, again = {0};

		make_plain(v, &plain);
		assert_sha256(&plain, text(v, "plain_sha256"));
		lzw_compress(plain.data, plain.len, &packed);
		assert_sha256(&packed, text(v, "lzw_sha256"));
		const char *why = lzw_decompress(packed.data, packed.len, plain.len, &again);
		if (why)
			fail_msg("%s: %s", text(v, "name"), why);
		assert_bytes(text(v, "name"), again.data, again.len, plain.data, plain.len);
		if (plain.len) {
			buf_clear(&again);
			assert_non_null(
				lzw_decompress(packed.data, packed.len, plain.len - 1, &again));
		}
		buf_clear(&again);
		assert_non_null(lzw_decompress(packed.data, packed.len - 1, 1u << 21, &again));
		buf_fini(&plain), buf_fini(&packed), buf_fini(&again);
	}
}

static void test_key(void **state)
{
	struct gsp_key key;
	struct buf want = {0};

	(void)state;
	assert_true(gsp_derive_key("abcdefghijklmnopqrstuv", 22, &key));
	unhex("6162636465666768696a6b6c6d6e6f70717273747576e3b0c44298fc1c149afb", &want);
	assert_bytes("key", key.bytes, key.len, want.data, want.len);
	assert_false(gsp_derive_key("", 0, &key));
	assert_true(gsp_derive_key("0123456789012345678901234567890123456789", 40, &key));
	assert_memory_equal(key.bytes, "01234567890123456789012345678901", 32);
	buf_fini(&want);
}

static void test_keyring(void **state)
{
	const char *a = "aaaaaaaaaaaaaaaa", *b = "bbbbbbbbbbbbbbbb", *c = "cccccccccccccccc";
	struct gsp_keyring ring = {0};

	(void)state;
	assert_non_null(gsp_keyring_add(&ring, a, 15));
	assert_null(gsp_keyring_add(&ring, a, 16));
	assert_null(gsp_keyring_add(&ring, b, 16));
	assert_null(gsp_keyring_add(&ring, c, 16));
	assert_null(gsp_keyring_add(&ring, b, 16));
	assert_int_equal(ring.n, 3);
	assert_non_null(gsp_keyring_remove(&ring, a, 16));
	assert_null(gsp_keyring_use(&ring, c, 16));
	assert_memory_equal(ring.keys[1].bytes, a, 16);
	assert_memory_equal(ring.keys[2].bytes, b, 16);
	assert_null(gsp_keyring_remove(&ring, a, 16));
	assert_int_equal(ring.n, 2);
	assert_non_null(gsp_keyring_use(&ring, a, 16));
}

static void count_message(void *user, const uint8_t *msg, size_t len)
{
	(void)msg;
	(void)len;
	(*(int *)user)++;
}

static void test_hostile(void **state)
{
	static const struct {
		const char *name, *hex;
	} refused[] = {
		{"a map of 2^26 pairs in 5 bytes", "df04000000"},
		{"an array of 2^32-1", "ddffffffff"},
		{"nested too deeply", "9191919191919191919191919191919191919191919100"},
		{"reserved format", "c1"},
		{"string past the end", "a5616263"},
	};
	uint8_t nest[64];
	int n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct buf bytes = {0};
		struct gsp_msg m;

		unhex(refused[i].hex, &bytes);
		struct rd r = rd_init(bytes.data, bytes.len);
		if (!gsp_decode(GSP_PING, &r, &m))
			fail_msg("%s: accepted", refused[i].name);
		buf_fini(&bytes);
	}
	/* compounds inside compounds, deeper than any peer nests them */
	for (size_t i = 0; i < sizeof(nest); i += 4) {
		size_t left = sizeof(nest) - i - 4;

		memcpy(nest + i, (uint8_t[]){7, 1, 0, (uint8_t)left}, 4);
	}
	assert_non_null(gsp_unpack(nest, sizeof(nest), count_message, &n));
	assert_non_null(gsp_unpack((const uint8_t *)"\x0c\0\0\0\0\0", 6, count_message, &n));
	assert_non_null(gsp_unpack(nest, 0, count_message, &n));
	/* earlier parts count, the one past the end does not */
	n = 0;
	assert_non_null(gsp_unpack((const uint8_t *)"\7\2\0\1\0\5\2x", 8, count_message, &n));
	assert_int_equal(n, 1);
}

static int load(void **state)
{
	(void)state;
	vectors = json_object_from_file(SOURCE_DIR "/tests/vectors/memberlist/vectors.json");
	return vectors ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	json_object_put(vectors);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages), cmocka_unit_test(test_leniency),
		cmocka_unit_test(test_encrypt),  cmocka_unit_test(test_lzw),
		cmocka_unit_test(test_captured), cmocka_unit_test(test_key),
		cmocka_unit_test(test_keyring),  cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
