/*
 * The datagrams by which speakers watch each other, sealed with the gossip key. Pure.
 *
 *	"MLCL" | seal version 1: nonce, ciphertext, tag (the four octets are authenticated with it)
 *	plain: type(1) session(8) token(8) counter(8) from to | by type:
 *	HELLO   issue(8)
 *	BEAT    generation(4) BFD control packet(24)
 *	POKE    -
 *	ASK     nonce(8) address
 *	ANSWER  nonce(8) generation(4) flags(1) address macs lost down
 *
 * Names are a length octet and bytes; lists a count octet and items; an address its family and 16
 * octets. What is fresh is proven by session, token and counter (BEAT) or by the nonce (ANSWER);
 * HELLO, POKE and ASK prove nothing and only make the receiver ask or answer.
 */
#ifndef LIVENESS_MESSAGE_H
#define LIVENESS_MESSAGE_H

#include "metallb/buf.h"
#include "metallb/ip.h"
#include "speaker/bfd/packet.h"
#include "speaker/gossip/seal.h"
#include "speaker/layer2/frame.h"

#define LIVENESS_NAME_MAX      253 /* a node's name */
#define LIVENESS_INTERFACE_MAX 15
#define LIVENESS_MACS_MAX      16
#define LIVENESS_LOST_MAX      16
#define LIVENESS_DOWN_MAX      8
#define LIVENESS_MESSAGE_MAX   4096 /* octets of a datagram */

enum liveness_type {
	LIVENESS_HELLO = 1, /* a session may begin: the token to send in it */
	LIVENESS_BEAT,      /* a heartbeat of a session */
	LIVENESS_POKE,      /* something changed here: ask */
	LIVENESS_ASK,
	LIVENESS_ANSWER
};

/* What a node says of itself and of those it watches. */
struct liveness_state {
	bool able; /* would announce what it is elected for */
	struct mac macs[LIVENESS_MACS_MAX];
	size_t n_macs;
	char lost[LIVENESS_LOST_MAX][LIVENESS_INTERFACE_MAX + 1]; /* interfaces without carrier */
	size_t n_lost;
	char down[LIVENESS_DOWN_MAX][LIVENESS_NAME_MAX + 1]; /* nodes not heard any more */
	size_t n_down;
};

bool liveness_state_eq(const struct liveness_state *a, const struct liveness_state *b);

struct liveness_message {
	enum liveness_type type;
	uint64_t session, token, counter;
	char from[LIVENESS_NAME_MAX + 1], to[LIVENESS_NAME_MAX + 1];
	uint64_t issue, nonce;
	uint32_t generation; /* of the sender's state */
	struct bfd_packet bfd;
	struct ip ip;   /* asked about, or IP_NONE */
	bool announces; /* ANSWER: the sender announces ip, and means to go on */
	struct liveness_state state;
};

/* Append the datagram. false when the cipher refuses. */
bool liveness_encode(const struct liveness_message *m, const struct gsp_keyring *ring,
		     const struct random_source *random, struct buf *out);
/* NULL, or why the datagram is to be dropped. */
const char *liveness_decode(const void *data, size_t len, const struct gsp_keyring *ring,
			    struct liveness_message *m) __attribute__((warn_unused_result));
/* The inside of a datagram alone, for tests. */
const char *liveness_decode_plain(const void *data, size_t len, struct liveness_message *m)
	__attribute__((warn_unused_result));

#endif
