/*
 * Certificates of the webhooks: a CA of our own and a serving certificate signed by it, ECDSA
 * P-256. Decides when to renew them and in which steps, so that the API server trusts what every
 * replica serves at any moment.
 *
 * Pure but for OpenSSL's random numbers; time is a parameter.
 */
#ifndef OPERATOR_CERTS_H
#define OPERATOR_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/err.h"

#define CERTS_NAMES_MAX    4
#define CERTS_BUNDLE_MAX   8 /* certificates in a CA bundle */
#define CERTS_PEM_MAX      ((size_t)64 << 10)
#define CERTS_CA_DAYS      3650
#define CERTS_SERVING_DAYS 365
#define CERTS_RENEW_DAYS   90 /* left when a certificate is renewed */
/* How long a CA that signs no more is still trusted: all replicas have the new certificate within
 * seconds; this is for those that cannot reach the API server. */
#define CERTS_SETTLE_S 3600

/* PEM texts; NULL when absent. */
struct certs {
	char *ca_crt; /* the CA that signs, then those still to be trusted */
	char *ca_key;
	char *tls_crt, *tls_key;
};

struct certs_spec {
	const char *names[CERTS_NAMES_MAX]; /* DNS; the first is the common name too */
	size_t n_names;
	int64_t now_s; /* wall clock, since the epoch */
};

void certs_fini(struct certs *c);
bool certs_equal(const struct certs *a, const struct certs *b);

/*
 * The next step from what there is (`have`, any part of which may be missing or wrong), when
 * `trusted` is the CA bundle that the API server uses now (PEM; NULL or "": none). false: nothing
 * to do. true: *next is to be stored, and err says why.
 *
 * Renewing the CA takes two steps: first the new one is added to the bundle, and only when it is
 * trusted a certificate signed by it is served.
 */
bool certs_next(const struct certs *have, const char *trusted, const struct certs_spec *spec,
		struct certs *next, struct err *why);

/* Whether c can be served: key and certificate belong together, for these names, not expired,
 * signed by one of the bundle. */
bool certs_check_serving(const struct certs *c, const struct certs_spec *spec, struct err *err);
/* Whether every certificate of `bundle` is also in `trusted`. */
bool certs_is_trusted(const char *bundle, const char *trusted);

/* Append c as the members of a Secret's "data" object (without braces). */
void certs_encode_data(const struct certs *c, struct buf *out);
/* Append text in base64, without quotes. */
void certs_add_base64(struct buf *out, const char *text);

#endif
