/*
 * Verdicts on bearer tokens, for a while. Pure; keeps no token, only its SHA-256.
 */
#ifndef SERVE_AUTHCACHE_H
#define SERVE_AUTHCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/clock.h"

#define AUTHCACHE_MAX  64
#define AUTHCACHE_HASH 32
/* A token or a right that is taken back works on for so long. */
#define AUTHCACHE_ALLOW (60 * USEC_PER_SEC)
#define AUTHCACHE_DENY  (10 * USEC_PER_SEC)

struct authcache {
	struct authcache_entry {
		uint8_t hash[AUTHCACHE_HASH];
		int status; /* HTTP: 200, 401, 403; 0: unused */
		usec_t expires;
	} entries[AUTHCACHE_MAX];
};

void authcache_hash(const char *token, uint8_t hash[AUTHCACHE_HASH]);
/* 0: not known */
int authcache_find(const struct authcache *c, const uint8_t hash[AUTHCACHE_HASH], usec_t now);
/* Pushes out the entry that would expire first. */
void authcache_add(struct authcache *c, const uint8_t hash[AUTHCACHE_HASH], int status, usec_t now);

#endif
