/*
 * AES-GCM by libcrypto, the key ring, label headers. Pure.
 */
#include "speaker/gossip/seal.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/message.h"

#define BLOCK 16

static size_t ring_index(const struct gsp_keyring *ring, const void *key, size_t len)
{
	size_t i;

	for (i = 0; i < ring->n; i++)
		if (ring->keys[i].len == len && memcmp(ring->keys[i].bytes, key, len) == 0)
			break;
	return i;
}

const char *gsp_keyring_add(struct gsp_keyring *ring, const void *key, size_t len)
{
	if (len != 16 && len != 24 && len != 32)
		return "a key must have 16, 24 or 32 bytes";
	if (ring_index(ring, key, len) < ring->n)
		return NULL;
	if (ring->n == GSP_KEYS_MAX)
		return "too many keys";
	memcpy(ring->keys[ring->n].bytes, key, len);
	ring->keys[ring->n++].len = len;
	return NULL;
}

const char *gsp_keyring_use(struct gsp_keyring *ring, const void *key, size_t len)
{
	size_t i = ring_index(ring, key, len);

	if (i == ring->n)
		return "the key is not in the ring";
	struct gsp_key chosen = ring->keys[i];

	memmove(&ring->keys[1], &ring->keys[0], i * sizeof(ring->keys[0]));
	ring->keys[0] = chosen;
	return NULL;
}

const char *gsp_keyring_remove(struct gsp_keyring *ring, const void *key, size_t len)
{
	size_t i = ring_index(ring, key, len);

	if (i == ring->n)
		return NULL;
	if (i == 0)
		return "the primary key cannot be removed";
	memmove(&ring->keys[i], &ring->keys[i + 1], (ring->n - i - 1) * sizeof(ring->keys[0]));
	ring->n--;
	return NULL;
}

bool gsp_derive_key(const void *secret, size_t len, struct gsp_key *key)
{
	/* SHA-256 of nothing: MetalLB appends it to the secret and keeps the first 32 bytes */
	static const uint8_t tail[GSP_KEY_MAX] = {
		0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
		0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
		0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
	};
	size_t n = len < GSP_KEY_MAX ? len : GSP_KEY_MAX;

	if (len == 0)
		return false;
	memcpy(key->bytes, secret, n);
	memcpy(key->bytes + n, tail, GSP_KEY_MAX - n);
	key->len = GSP_KEY_MAX;
	return true;
}

static const EVP_CIPHER *cipher_for(size_t key_len)
{
	switch (key_len) {
	case 16:
		return EVP_aes_128_gcm();
	case 24:
		return EVP_aes_192_gcm();
	case 32:
		return EVP_aes_256_gcm();
	default:
		return NULL;
	}
}

static void ctx_freep(EVP_CIPHER_CTX **ctx)
{
	EVP_CIPHER_CTX_free(*ctx);
}

/*
 * One pass of AES-GCM over len bytes. tag: written when encrypting, checked when decrypting. A NULL
 * input or AAD is never handed to OpenSSL, which would take it for another call.
 */
static bool gcm(bool encrypt, const struct gsp_key *key, const uint8_t *nonce, const void *in,
		size_t len, const void *aad, size_t aad_len, uint8_t *out, uint8_t *tag)
{
	_cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;

	if (!ctx || len > INT32_MAX || aad_len > INT32_MAX || !cipher_for(key->len))
		return false;
	if (EVP_CipherInit_ex(ctx, cipher_for(key->len), NULL, key->bytes, nonce, encrypt) != 1)
		return false;
	if (aad_len && EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1)
		return false;
	if (len && EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1)
		return false;
	if (!encrypt && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, GSP_TAG_LEN, tag) != 1)
		return false;
	if (EVP_CipherFinal_ex(ctx, out + len, &n) != 1)
		return false;
	return !encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, GSP_TAG_LEN, tag) == 1;
}

bool gsp_seal(const struct gsp_keyring *ring, unsigned version, const struct random_source *random,
	      const void *plain, size_t len, const void *aad, size_t aad_len, struct buf *out)
{
	size_t pad = version == 0 ? BLOCK - len % BLOCK : 0;
	_cleanup_free_ uint8_t *in = xmalloc(len + pad);
	_cleanup_free_ uint8_t *sealed = xmalloc(len + pad + BLOCK);
	uint8_t head[1 + GSP_NONCE_LEN] = {(uint8_t)version}, tag[GSP_TAG_LEN];

	assert(ring->n > 0 && version <= 1);
	if (len)
		memcpy(in, plain, len);
	memset(in + len, (int)pad, pad);
	random->fill(random->user, head + 1, GSP_NONCE_LEN);
	if (!gcm(true, &ring->keys[0], head + 1, in, len + pad, aad, aad_len, sealed, tag))
		return false;
	buf_add(out, head, sizeof(head));
	buf_add(out, sealed, len + pad);
	buf_add(out, tag, sizeof(tag));
	return true;
}

const char *gsp_open(const struct gsp_keyring *ring, const void *blob, size_t len, const void *aad,
		     size_t aad_len, struct buf *out)
{
	struct rd r = rd_init(blob, len);
	uint8_t version = rd_u8(&r);
	const uint8_t *nonce = rd_take(&r, GSP_NONCE_LEN);

	if (r.bad || rd_left(&r) < GSP_TAG_LEN)
		return "encrypted message is too short";
	if (version > 1)
		return "unknown encryption version";
	size_t n = rd_left(&r) - GSP_TAG_LEN;
	const uint8_t *sealed = rd_take(&r, n);
	uint8_t tag[GSP_TAG_LEN];
	_cleanup_free_ uint8_t *plain = xmalloc(n + BLOCK);
	bool opened = false;

	rd_copy(&r, tag, sizeof(tag));
	if (version == 0 && n < BLOCK)
		return "encrypted message is too short";
	for (size_t i = 0; i < ring->n && !opened; i++)
		opened = gcm(false, &ring->keys[i], nonce, sealed, n, aad, aad_len, plain, tag);
	if (!opened)
		return "no key opens the message";
	if (version == 0) {
		if (plain[n - 1] < 1 || plain[n - 1] > BLOCK)
			return "bad padding";
		n -= plain[n - 1];
	}
	buf_add(out, plain, n);
	return NULL;
}

const char *gsp_strip_label(struct rd *r, const char *label)
{
	struct rd from = *r;
	const uint8_t *got = (const uint8_t *)"";
	uint8_t n = 0;

	if (rd_left(r) > 0 && *r->p == GSP_LABEL) {
		rd_u8(&from);
		n = rd_u8(&from);
		got = rd_take(&from, n);
		if (from.bad || n == 0)
			return "label header is truncated";
		*r = from;
	}
	if (strlen(label) != n || memcmp(label, got, n) != 0)
		return n ? "another label" : "no label";
	return NULL;
}

void gsp_add_label(const char *label, struct buf *out)
{
	size_t n = strlen(label);

	assert(n <= GSP_LABEL_MAX);
	if (n == 0)
		return;
	buf_add_char(out, (char)GSP_LABEL);
	buf_add_char(out, (char)n);
	buf_add(out, label, n);
}
