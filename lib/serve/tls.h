/*
 * The TLS side of a server: policy on an SSL_CTX, certificates that can change while it serves.
 */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include <openssl/ssl.h>

#include "metallb/serve.h"

/* A certificate with its chain and key. */
struct tls_identity {
	X509 *cert;
	EVP_PKEY *key;
	STACK_OF(X509) * chain;
};

struct tls_identity *tls_identity_new(const char *cert_pem, size_t cert_len, const char *key_pem,
				      size_t key_len, struct err *err);
struct tls_identity *tls_identity_free(struct tls_identity *id); /* NULL is fine; returns NULL */

/*
 * Put the policy on ctx. *identity is read at each handshake, so that replacing it needs nothing
 * else; it may be NULL, then handshakes fail.
 */
bool tls_setup(SSL_CTX *ctx, const struct serve_tls *tls, struct tls_identity **identity);

#endif
