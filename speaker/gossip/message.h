/*
 * memberlist's messages as structs: encode, decode, and the layers around them (compound, compress,
 * CRC). Encryption and labels are in seal.h. Pure.
 *
 * Decoded byte strings point into the bytes they were decoded from.
 */
#ifndef GOSSIP_MESSAGE_H
#define GOSSIP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/wire.h"

enum gsp_type {
	GSP_PING = 0,
	GSP_INDIRECT_PING = 1,
	GSP_ACK = 2,
	GSP_SUSPECT = 3,
	GSP_ALIVE = 4,
	GSP_DEAD = 5,
	GSP_PUSH_PULL = 6,
	GSP_COMPOUND = 7,
	GSP_USER = 8,
	GSP_COMPRESS = 9,
	GSP_ENCRYPT = 10,
	GSP_NACK = 11,
	GSP_CRC = 12,
	GSP_ERROR = 13,
	GSP_LABEL = 244,
};

enum gsp_state { GSP_ST_ALIVE = 0, GSP_ST_SUSPECT = 1, GSP_ST_DEAD = 2, GSP_ST_LEFT = 3 };

#define GSP_COMPOUND_PARTS_MAX 255
#define GSP_DEPTH_MAX          8           /* compound and compress inside each other */
#define GSP_PLAIN_MAX          (40u << 20) /* decompressed bytes */
#define GSP_VSN_LEN            6

/* A byte string; p is NULL for nil (which means the same as empty, but is other bytes). */
struct gsp_bytes {
	const uint8_t *p;
	size_t n;
};

/* The fields of all messages; which of them a type has is in the tables of message.c. */
struct gsp_msg {
	struct gsp_bytes node, name, from, source_node, addr, target, source_addr, payload, meta,
		vsn, buf, error;
	uint32_t seq_no, incarnation;
	uint16_t port, source_port;
	uint8_t algo;
	int64_t nodes, user_state_len, user_msg_len, state;
	bool nack, join;
};

/* Append type byte and body. type: any whose body is a map. */
void gsp_encode(enum gsp_type type, const struct gsp_msg *m, struct buf *out);
/* Append one node state of a push/pull (a map without a type byte). */
void gsp_encode_node_state(const struct gsp_msg *m, struct buf *out);

/*
 * Decode the map at r (behind the type byte) and advance r past it. NULL when good, else the
 * reason; then nothing of *m may be used.
 */
const char *gsp_decode(enum gsp_type type, struct rd *r, struct gsp_msg *m);
const char *gsp_decode_node_state(struct rd *r, struct gsp_msg *m);

/* Join messages (each with its type byte) to one compound; at most GSP_COMPOUND_PARTS_MAX. */
void gsp_compound(const struct gsp_bytes *parts, size_t n, struct buf *out);
/* Append the compressed form of a whole message: type 9 and its map. */
void gsp_compress(const void *msg, size_t len, struct buf *out);
/* Append the plain message that the body r of a compress message holds. NULL or the reason. */
const char *gsp_decompress(struct rd *r, struct buf *out);
/* CRC-32 (IEEE 802.3), as the CRC header carries it. */
uint32_t gsp_crc32(const void *data, size_t len);

/*
 * Take one decrypted packet apart: CRC, compress, compound to any depth up to GSP_DEPTH_MAX; every
 * plain message is handed to `on_message` (type byte first). NULL, or the reason why (the rest of)
 * the packet was dropped.
 */
typedef void (*gsp_on_message)(void *user, const uint8_t *msg, size_t len);
const char *gsp_unpack(const uint8_t *packet, size_t len, gsp_on_message on_message, void *user);

#endif
