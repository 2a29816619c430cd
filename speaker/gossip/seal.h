/*
 * memberlist's encryption (AES-GCM), key ring and labels. Pure: the nonce comes from the caller's
 * random source.
 */
#ifndef GOSSIP_SEAL_H
#define GOSSIP_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/wire.h"

#define GSP_KEYS_MAX         8
#define GSP_KEY_MAX          32
#define GSP_LABEL_MAX        255
#define GSP_NONCE_LEN        12
#define GSP_TAG_LEN          16
#define GSP_SEAL_OVERHEAD_V1 29 /* version, nonce, tag */
#define GSP_SEAL_OVERHEAD_V0 45 /* and at most 16 bytes of padding */

struct gsp_key {
	uint8_t bytes[GSP_KEY_MAX];
	size_t len; /* 16, 24 or 32 */
};

/* keys[0] is the primary one: the only one that encrypts. Empty: no encryption. */
struct gsp_keyring {
	struct gsp_key keys[GSP_KEYS_MAX];
	size_t n;
};

/* All return NULL when done, else the reason. */
const char *gsp_keyring_add(struct gsp_keyring *ring, const void *key, size_t len);
const char *gsp_keyring_use(struct gsp_keyring *ring, const void *key, size_t len);
const char *gsp_keyring_remove(struct gsp_keyring *ring, const void *key, size_t len);

/* The key that MetalLB derives from the content of the memberlist secret; empty: no key (false). */
bool gsp_derive_key(const void *secret, size_t len, struct gsp_key *key);

/*
 * Append version, nonce, ciphertext and tag to out. version: 0 pads to 16 bytes (protocol version
 * 1), 1 does not. false when OpenSSL refuses (a key of a wrong length).
 */
bool gsp_seal(const struct gsp_keyring *ring, unsigned version, const struct random_source *random,
	      const void *plain, size_t len, const void *aad, size_t aad_len, struct buf *out);
/* Append the plaintext to out, trying every key. NULL, or the reason. */
const char *gsp_open(const struct gsp_keyring *ring, const void *blob, size_t len, const void *aad,
		     size_t aad_len, struct buf *out);

/*
 * Strip the label header from the front of r, if there is one, and compare: the received label must
 * equal the configured one (both may be empty). NULL, or the reason.
 */
const char *gsp_strip_label(struct rd *r, const char *label);
void gsp_add_label(const char *label, struct buf *out); /* nothing for an empty label */

#endif
