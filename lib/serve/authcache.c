/*
 * Verdicts on bearer tokens; see authcache.h.
 */
#include "authcache.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void authcache_hash(const char *token, uint8_t hash[AUTHCACHE_HASH])
{
	if (EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* SHA-256 is always there */
}

int authcache_find(const struct authcache *c, const uint8_t hash[AUTHCACHE_HASH], usec_t now)
{
	for (size_t i = 0; i < AUTHCACHE_MAX; i++) {
		const struct authcache_entry *e = &c->entries[i];

		if (e->status && e->expires > now && memcmp(e->hash, hash, AUTHCACHE_HASH) == 0)
			return e->status;
	}
	return 0;
}

void authcache_add(struct authcache *c, const uint8_t hash[AUTHCACHE_HASH], int status, usec_t now)
{
	struct authcache_entry *use = &c->entries[0];

	for (size_t i = 0; i < AUTHCACHE_MAX; i++) {
		struct authcache_entry *e = &c->entries[i];

		if (e->status && memcmp(e->hash, hash, AUTHCACHE_HASH) == 0) {
			use = e;
			break;
		}
		if (!e->status || (use->status && e->expires < use->expires))
			use = e;
	}
	memcpy(use->hash, hash, AUTHCACHE_HASH);
	use->status = status;
	use->expires = now + (status == 200 ? AUTHCACHE_ALLOW : AUTHCACHE_DENY);
}
