/*
 * Making certificates: keys, CAs and serving certificates, ECDSA P-256, and their PEM text. By
 * OpenSSL; pure but for its random numbers. What cannot fail but for a lack of memory aborts.
 */
#ifndef METALLB_X509_H
#define METALLB_X509_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#define X509_BACKDATE_S 3600 /* notBefore lies in the past: clocks differ */

EVP_PKEY *x509_make_key(void);
X509 *x509_make_ca(EVP_PKEY *key, const char *common_name, int64_t now_s, int64_t days);
/* For DNS names, at least one. ca NULL: signed by itself. */
X509 *x509_make_serving(EVP_PKEY *key, const char *const *names, size_t n_names, X509 *ca,
			EVP_PKEY *ca_key, int64_t now_s, int64_t days);
/* PEM texts, the caller's to free. */
char *x509_write(X509 *const *items, size_t n);
char *x509_write_key(EVP_PKEY *key);

#endif
