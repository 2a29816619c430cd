/*
 * Reading and writing the MessagePack that memberlist peers exchange. A scan checks every bound
 * first; only then msgpack-c unpacks, whose memory use is thereby limited by the input's length.
 * Pure.
 */
#include "speaker/gossip/msgpack.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

#include "metallb/xalloc.h"

/* How many bytes of payload and how many nested elements follow a format byte and its length. */
struct shape {
	uint64_t payload, elements;
	bool bad;
};

static uint64_t read_len(struct rd *r, unsigned bytes)
{
	return bytes == 1 ? rd_u8(r) : bytes == 2 ? rd_u16(r) : rd_u32(r);
}

static struct shape shape_of(struct rd *r)
{
	uint8_t f = rd_u8(r);

	if (f < 0x80 || f >= 0xe0 || f == 0xc0 || f == 0xc2 || f == 0xc3)
		return (struct shape){0};
	if (f < 0x90)
		return (struct shape){.elements = 2u * (f & 0x0f)};
	if (f < 0xa0)
		return (struct shape){.elements = f & 0x0f};
	if (f < 0xc0)
		return (struct shape){.payload = f & 0x1f};
	switch (f) {
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return (struct shape){.payload = read_len(r, 1u << (f - 0xc4))};
	case 0xc7:
	case 0xc8:
	case 0xc9:
		return (struct shape){.payload = read_len(r, 1u << (f - 0xc7)) + 1};
	case 0xca:
		return (struct shape){.payload = 4};
	case 0xcb:
		return (struct shape){.payload = 8};
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		return (struct shape){.payload = 1u << (f - 0xcc)};
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return (struct shape){.payload = 1u << (f - 0xd0)};
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		return (struct shape){.payload = (1u << (f - 0xd4)) + 1};
	case 0xd9:
	case 0xda:
	case 0xdb:
		return (struct shape){.payload = read_len(r, 1u << (f - 0xd9))};
	case 0xdc:
	case 0xdd:
		return (struct shape){.elements = read_len(r, 2u << (f - 0xdc))};
	case 0xde:
	case 0xdf:
		return (struct shape){.elements = 2 * read_len(r, 2u << (f - 0xde))};
	default:
		return (struct shape){.bad = true};
	}
}

size_t mpack_scan(const struct rd *from)
{
	uint64_t left[MPACK_DEPTH_MAX + 1] = {1}; /* elements still to come, per level */
	struct rd r = *from;
	unsigned depth = 0;

	for (;;) {
		while (left[depth] == 0) {
			if (depth == 0)
				return (size_t)(r.p - from->p);
			depth--;
		}
		left[depth]--;
		struct shape s = shape_of(&r);

		/* every element takes a byte, so a count beyond the rest is a lie */
		if (r.bad || s.bad || s.payload > rd_left(&r) || s.elements > rd_left(&r))
			return 0;
		rd_take(&r, (size_t)s.payload);
		if (s.elements == 0)
			continue;
		if (depth == MPACK_DEPTH_MAX)
			return 0;
		left[++depth] = s.elements;
	}
}

/* An array of small integers as the bytes it stands for; NULL when it is anything else. */
static uint8_t *array_bytes(const msgpack_object_array *a)
{
	uint8_t *bytes = xmalloc(a->size);

	for (uint32_t i = 0; i < a->size; i++) {
		const msgpack_object *o = &a->ptr[i];

		if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > 255) {
			free(bytes);
			return NULL;
		}
		bytes[i] = (uint8_t)o->via.u64;
	}
	return bytes;
}

/* *scratch is set to memory that the value points into, if any; the caller frees it. */
static struct mpack_value value_of(const msgpack_object *o, uint8_t **scratch)
{
	static const uint8_t empty;

	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
		return (struct mpack_value){.type = MPACK_NIL};
	case MSGPACK_OBJECT_BOOLEAN:
		return (struct mpack_value){.type = MPACK_BOOL, .u = o->via.boolean};
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return (struct mpack_value){.type = MPACK_UINT, .u = o->via.u64};
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return (struct mpack_value){.type = MPACK_NEGATIVE, .i = o->via.i64};
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_BIN: {
		const void *p = o->type == MSGPACK_OBJECT_STR ? o->via.str.ptr : o->via.bin.ptr;
		size_t n = o->type == MSGPACK_OBJECT_STR ? o->via.str.size : o->via.bin.size;

		return (struct mpack_value){.type = MPACK_BYTES, .p = n ? p : &empty, .n = n};
	}
	case MSGPACK_OBJECT_ARRAY:
		*scratch = array_bytes(&o->via.array);
		return (struct mpack_value){
			.type = MPACK_ARRAY, .p = *scratch, .n = o->via.array.size};
	case MSGPACK_OBJECT_MAP:
		return (struct mpack_value){.type = MPACK_MAP, .n = o->via.map.size};
	default:
		return (struct mpack_value){.type = MPACK_OTHER};
	}
}

static const char *report(const msgpack_object *key, const msgpack_object *value, size_t index,
			  mpack_on_pair on_pair, void *user)
{
	_cleanup_free_ uint8_t *scratch = NULL, *key_scratch = NULL;
	struct mpack_value k = {0}, v = value_of(value, &scratch);

	if (key) {
		k = value_of(key, &key_scratch);
		if (k.type != MPACK_BYTES)
			return "a key is not a string";
	}
	const char *why = on_pair(user, k.p, k.n, index, &v);

	return why;
}

static const char *walk(const msgpack_object *o, mpack_on_pair on_pair, void *user)
{
	const char *why = NULL;

	if (o->type == MSGPACK_OBJECT_NIL)
		return NULL;
	if (o->type == MSGPACK_OBJECT_MAP) {
		for (uint32_t i = 0; !why && i < o->via.map.size; i++)
			why = report(&o->via.map.ptr[i].key, &o->via.map.ptr[i].val, i, on_pair,
				     user);
		return why;
	}
	if (o->type == MSGPACK_OBJECT_ARRAY) {
		for (uint32_t i = 0; !why && i < o->via.array.size; i++)
			why = report(NULL, &o->via.array.ptr[i], i, on_pair, user);
		return why;
	}
	return "neither a map nor an array";
}

const char *mpack_read_map(struct rd *r, mpack_on_pair on_pair, void *user)
{
	size_t len = mpack_scan(r), used = 0;
	msgpack_unpacked u;

	if (len == 0)
		return "truncated or malformed MessagePack";
	msgpack_unpacked_init(&u);
	msgpack_unpack_return got = msgpack_unpack_next(&u, (const char *)r->p, len, &used);
	const char *why = got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES
				  ? walk(&u.data, on_pair, user)
				  : "malformed MessagePack";

	msgpack_unpacked_destroy(&u);
	rd_take(r, len);
	return why;
}

static int to_buf(void *user, const char *p, size_t n)
{
	buf_add(user, p, n);
	return 0;
}

static msgpack_packer packer(struct buf *out)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, out, to_buf);
	return pk;
}

void mpack_add_map(struct buf *out, uint32_t n_pairs)
{
	msgpack_packer pk = packer(out);

	msgpack_pack_map(&pk, n_pairs);
}

void mpack_add_bytes(struct buf *out, const void *p, size_t n)
{
	msgpack_packer pk = packer(out);

	msgpack_pack_v4raw(&pk, n);
	msgpack_pack_v4raw_body(&pk, p, n);
}

void mpack_add_nil(struct buf *out)
{
	msgpack_packer pk = packer(out);

	msgpack_pack_nil(&pk);
}

void mpack_add_bool(struct buf *out, bool v)
{
	msgpack_packer pk = packer(out);

	if (v)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void mpack_add_uint(struct buf *out, uint64_t v)
{
	msgpack_packer pk = packer(out);

	msgpack_pack_uint64(&pk, v);
}

void mpack_add_int(struct buf *out, int64_t v)
{
	uint8_t raw[9];
	struct wr w = wr_init(raw, sizeof(raw));

	if (v < 128) {
		msgpack_packer pk = packer(out);

		msgpack_pack_int64(&pk, v);
		return;
	}
	if (v <= INT16_MAX) {
		wr_u8(&w, 0xd1);
		wr_u16(&w, (uint16_t)v);
	} else if (v <= INT32_MAX) {
		wr_u8(&w, 0xd2);
		wr_u32(&w, (uint32_t)v);
	} else {
		wr_u8(&w, 0xd3);
		wr_u64(&w, (uint64_t)v);
	}
	buf_add(out, raw, wr_len(&w));
}
