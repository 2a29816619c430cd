/*
 * The subset of MessagePack that memberlist's messages use: flat maps of integers, booleans and
 * byte strings. Reading skips what is not known. Bounds are checked here, before any library sees
 * the bytes: msgpack-c reserves memory by the announced count. Pure.
 */
#ifndef GOSSIP_MSGPACK_H
#define GOSSIP_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/wire.h"

#define MPACK_DEPTH_MAX 16

/* The length of the one element at r, all nested ones included; r is not moved. 0: truncated, too
 * deep, or a reserved format. */
size_t mpack_scan(const struct rd *r);

enum mpack_type {
	MPACK_NIL,
	MPACK_BOOL,
	MPACK_UINT,
	MPACK_NEGATIVE,
	MPACK_BYTES,
	MPACK_ARRAY,
	MPACK_MAP,
	MPACK_OTHER
};

struct mpack_value {
	enum mpack_type type;
	uint64_t u;       /* MPACK_UINT; MPACK_BOOL: 0 or 1 */
	int64_t i;        /* MPACK_NEGATIVE */
	const uint8_t *p; /* MPACK_BYTES: points into the input */
	size_t n;         /* MPACK_BYTES: length; MPACK_ARRAY, MPACK_MAP: elements, pairs */
};

/*
 * Read a map of values one level deep: on_pair is called for each pair. Nested values are reported
 * as MPACK_ARRAY, MPACK_MAP or MPACK_OTHER; an array's elements as bytes where all of them are
 * small integers (old encoders wrote byte strings so), in `scratch` memory that lives until the
 * return. Returns NULL, or the reason. A nil in place of the map is an empty map. An array in place
 * of the map calls on_pair with key NULL, in order.
 */
typedef const char *(*mpack_on_pair)(void *user, const uint8_t *key, size_t key_len, size_t index,
				     const struct mpack_value *v);
const char *mpack_read_map(struct rd *r, mpack_on_pair on_pair, void *user);

/* Writing: the old raw family for every string, as all peers read it. */
void mpack_add_map(struct buf *out, uint32_t n_pairs);
void mpack_add_bytes(struct buf *out, const void *p, size_t n);
void mpack_add_nil(struct buf *out);
void mpack_add_bool(struct buf *out, bool v);
void mpack_add_uint(struct buf *out, uint64_t v);
/* As go-msgpack 2 writes Go's int: signed formats above 127. */
void mpack_add_int(struct buf *out, int64_t v);

#endif
