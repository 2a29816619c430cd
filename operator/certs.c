/*
 * Certificates of the webhooks, by OpenSSL (X.509 v3, RFC 5280). See certs.h for the rules.
 *
 * Left out: certificates brought by the administrator, which are used as they are.
 */
#include "operator/certs.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "metallb/x509.h"
#include "metallb/xalloc.h"

#define DAY_S          ((int64_t)86400)
#define CA_COMMON_NAME "cert"

/* Certificates read from PEM text. */
struct bundle {
	X509 *items[CERTS_BUNDLE_MAX];
	size_t n;
};

static void x509_freep(X509 **x)
{
	X509_free(*x);
}

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static void bundle_fini(struct bundle *b)
{
	for (size_t i = 0; i < b->n; i++)
		X509_free(b->items[i]);
	b->n = 0;
}

void certs_fini(struct certs *c)
{
	free(c->ca_crt);
	free(c->ca_key);
	free(c->tls_crt);
	free(c->tls_key);
	*c = (struct certs){0};
}

static bool text_equal(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool certs_equal(const struct certs *a, const struct certs *b)
{
	return text_equal(a->ca_crt, b->ca_crt) && text_equal(a->ca_key, b->ca_key) &&
	       text_equal(a->tls_crt, b->tls_crt) && text_equal(a->tls_key, b->tls_key);
}

/* ---- reading ---- */

static int no_password(char *buf, int size, int writing, void *user)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

/* As many as can be read; what follows a broken one is not looked at. */
static void bundle_init(struct bundle *b, const char *pem)
{
	*b = (struct bundle){0};
	if (!pem || strlen(pem) > CERTS_PEM_MAX)
		return;
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x;

	while (b->n < CERTS_BUNDLE_MAX && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		b->items[b->n++] = x;
	ERR_clear_error();
}

static EVP_PKEY *read_key(const char *pem)
{
	if (!pem || strlen(pem) > CERTS_PEM_MAX)
		return NULL;
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	ERR_clear_error();
	return key;
}

static bool bundle_has(const struct bundle *b, const X509 *x)
{
	for (size_t i = 0; i < b->n; i++)
		if (X509_cmp(b->items[i], x) == 0)
			return true;
	return false;
}

/* Add a copy of the reference, when it is new and there is room. */
static void bundle_add(struct bundle *b, X509 *x)
{
	if (b->n == CERTS_BUNDLE_MAX || bundle_has(b, x))
		return;
	X509_up_ref(x);
	b->items[b->n++] = x;
}

/* Valid at `at`, seconds since the epoch. */
static bool is_valid_at(const X509 *x, int64_t at)
{
	time_t t = (time_t)at;

	return X509_cmp_time(X509_get0_notBefore(x), &t) < 0 &&
	       X509_cmp_time(X509_get0_notAfter(x), &t) > 0;
}

static bool is_key_of(X509 *x, EVP_PKEY *key)
{
	bool ok = key && X509_check_private_key(x, key) == 1;

	ERR_clear_error();
	return ok;
}

static bool is_signed_by(X509 *x, X509 *ca)
{
	bool ok = X509_check_ca(ca) == 1 && X509_check_issued(ca, x) == X509_V_OK &&
		  X509_verify(x, X509_get0_pubkey(ca)) == 1;

	ERR_clear_error();
	return ok;
}

static bool has_names(X509 *x, const struct certs_spec *spec)
{
	for (size_t i = 0; i < spec->n_names; i++)
		if (X509_check_host(x, spec->names[i], 0, 0, NULL) != 1)
			return false;
	return true;
}

/* ---- deciding ---- */

/* What there is, read. */
struct state {
	struct bundle cas; /* the first is the one that signs, when ca_key is set */
	struct bundle trusted;
	EVP_PKEY *ca_key; /* NULL: there is no CA that can sign */
	X509 *tls;        /* NULL: nothing that can be served */
	EVP_PKEY *tls_key;
	size_t signer; /* of tls, in cas */
};

static void state_fini(struct state *s)
{
	bundle_fini(&s->cas);
	bundle_fini(&s->trusted);
	EVP_PKEY_free(s->ca_key);
	X509_free(s->tls);
	EVP_PKEY_free(s->tls_key);
}

static bool read_serving(struct state *s, const struct certs *c, const struct certs_spec *spec,
			 struct err *err)
{
	struct bundle chain;

	bundle_init(&chain, c->tls_crt);
	_cleanup_(x509_freep) X509 *x = chain.n > 0 ? chain.items[0] : NULL;
	_cleanup_(pkey_freep) EVP_PKEY *key = read_key(c->tls_key);

	for (size_t i = 1; i < chain.n; i++)
		X509_free(chain.items[i]);
	if (!x)
		return err_set(err, "tls.crt is missing or unreadable");
	if (!key)
		return err_set(err, "tls.key is missing or unreadable");
	if (!is_key_of(x, key))
		return err_set(err, "tls.key does not belong to tls.crt");
	if (!has_names(x, spec))
		return err_set(err, "tls.crt is not for %s", spec->names[0]);
	if (!is_valid_at(x, spec->now_s))
		return err_set(err, "tls.crt has expired or is not valid yet");
	for (s->signer = 0; s->signer < s->cas.n; s->signer++)
		if (is_signed_by(x, s->cas.items[s->signer]))
			break;
	if (s->signer == s->cas.n)
		return err_set(err, "tls.crt is not signed by any of ca.crt");
	s->tls = x;
	s->tls_key = key;
	x = NULL; /* ownership moved */
	key = NULL;
	return true;
}

static bool read_ca(struct state *s, const struct certs *c, int64_t now, struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = read_key(c->ca_key);

	if (s->cas.n == 0)
		return err_set(err, "ca.crt is missing or unreadable");
	if (!key)
		return err_set(err, "ca.key is missing or unreadable");
	if (X509_check_ca(s->cas.items[0]) != 1)
		return err_set(err, "ca.crt is not a CA");
	if (!is_key_of(s->cas.items[0], key))
		return err_set(err, "ca.key does not belong to ca.crt");
	if (!is_valid_at(s->cas.items[0], now))
		return err_set(err, "ca.crt has expired or is not valid yet");
	if (!is_valid_at(s->cas.items[0], now + CERTS_RENEW_DAYS * DAY_S))
		return err_set(err, "the CA expires in less than %d days", CERTS_RENEW_DAYS);
	s->ca_key = key;
	key = NULL; /* ownership moved */
	return true;
}

static void issue(struct state *s, const struct certs_spec *spec, struct certs *next)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = x509_make_key();
	_cleanup_(x509_freep) X509 *x =
		x509_make_serving(key, spec->names, spec->n_names, s->cas.items[0], s->ca_key,
				  spec->now_s, CERTS_SERVING_DAYS);

	next->tls_crt = x509_write(&x, 1);
	next->tls_key = x509_write_key(key);
}

static void keep_serving(const struct certs *have, struct certs *next)
{
	next->tls_crt = xstrdup(have->tls_crt);
	next->tls_key = xstrdup(have->tls_key);
}

/* A new CA, in front of all that are trusted somewhere. */
static void replace_ca(struct state *s, const struct certs_spec *spec)
{
	struct bundle all = {0};
	EVP_PKEY *key = x509_make_key();
	X509 *ca = x509_make_ca(key, CA_COMMON_NAME, spec->now_s, CERTS_CA_DAYS);

	bundle_add(&all, ca);
	X509_free(ca);
	if (s->tls) /* first of the old ones, where the bound cannot cut it off */
		bundle_add(&all, s->cas.items[s->signer]);
	for (size_t i = 0; i < s->cas.n; i++)
		if (is_valid_at(s->cas.items[i], spec->now_s))
			bundle_add(&all, s->cas.items[i]);
	for (size_t i = 0; i < s->trusted.n; i++)
		if (is_valid_at(s->trusted.items[i], spec->now_s))
			bundle_add(&all, s->trusted.items[i]);
	bundle_fini(&s->cas);
	s->cas = all;
	EVP_PKEY_free(s->ca_key);
	s->ca_key = key;
}

static void write_ca(const struct state *s, struct certs *next)
{
	next->ca_crt = x509_write(s->cas.items, s->cas.n);
	next->ca_key = x509_write_key(s->ca_key);
}

/* Whether the certificate that is served was made more than CERTS_SETTLE_S ago. */
static bool is_settled(const struct state *s, int64_t now)
{
	time_t t = (time_t)(now - CERTS_SETTLE_S - X509_BACKDATE_S);

	return X509_cmp_time(X509_get0_notBefore(s->tls), &t) < 0;
}

/* With a CA that can sign and a certificate that can be served. */
static bool next_of_good(struct state *s, const struct certs *have, const struct certs_spec *spec,
			 struct certs *next, struct err *why)
{
	if (s->signer != 0) {
		/* the second step of a renewal of the CA */
		if (!bundle_has(&s->trusted, s->cas.items[0]))
			return false;
		write_ca(s, next);
		issue(s, spec, next);
		err_set(why, "the new CA is trusted everywhere: a certificate signed by it");
		return true;
	}
	if (!is_valid_at(s->tls, spec->now_s + CERTS_RENEW_DAYS * DAY_S)) {
		write_ca(s, next);
		issue(s, spec, next);
		err_set(why, "tls.crt expires in less than %d days", CERTS_RENEW_DAYS);
		return true;
	}
	if (s->cas.n > 1 && is_settled(s, spec->now_s)) {
		while (s->cas.n > 1)
			X509_free(s->cas.items[--s->cas.n]);
		write_ca(s, next);
		keep_serving(have, next);
		err_set(why, "nobody serves a certificate of the former CA any more");
		return true;
	}
	return false;
}

bool certs_next(const struct certs *have, const char *trusted, const struct certs_spec *spec,
		struct certs *next, struct err *why)
{
	_cleanup_(state_fini) struct state s = {0};
	struct err ca_error = {0}, tls_error = {0};
	struct certs out = {0};
	bool ca_ok, tls_ok;

	assert(spec->n_names > 0 && spec->n_names <= CERTS_NAMES_MAX);
	bundle_init(&s.cas, have->ca_crt);
	bundle_init(&s.trusted, trusted);
	tls_ok = read_serving(&s, have, spec, &tls_error);
	ca_ok = read_ca(&s, have, spec->now_s, &ca_error);
	if (ca_ok && tls_ok) {
		if (!next_of_good(&s, have, spec, &out, why))
			return false;
		*next = out;
		return true;
	}
	if (!ca_ok)
		replace_ca(&s, spec);
	write_ca(&s, &out);
	/* what replicas serve now and the API server trusts stays until the new CA is trusted */
	if (tls_ok)
		keep_serving(have, &out);
	else
		issue(&s, spec, &out);
	err_set(why, "%s", ca_ok ? tls_error.msg : ca_error.msg);
	*next = out;
	return true;
}

bool certs_check_serving(const struct certs *c, const struct certs_spec *spec, struct err *err)
{
	_cleanup_(state_fini) struct state s = {0};

	bundle_init(&s.cas, c->ca_crt);
	return read_serving(&s, c, spec, err);
}

bool certs_is_trusted(const char *bundle, const char *trusted)
{
	_cleanup_(bundle_fini) struct bundle want = {0};
	_cleanup_(bundle_fini) struct bundle have = {0};

	bundle_init(&want, bundle);
	bundle_init(&have, trusted);
	for (size_t i = 0; i < want.n; i++)
		if (!bundle_has(&have, want.items[i]))
			return false;
	return want.n > 0;
}

void certs_add_base64(struct buf *out, const char *text)
{
	size_t n = strlen(text);
	_cleanup_free_ char *encoded = xmalloc((n + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)text, (int)n);
	buf_add_str(out, encoded);
}

void certs_encode_data(const struct certs *c, struct buf *out)
{
	const struct {
		const char *key, *text;
	} items[] = {
		{"ca.crt", c->ca_crt},
		{"ca.key", c->ca_key},
		{"tls.crt", c->tls_crt},
		{"tls.key", c->tls_key},
	};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		buf_printf(out, "%s\"%s\":\"", i ? "," : "", items[i].key);
		certs_add_base64(out, items[i].text ? items[i].text : "");
		buf_add_char(out, '"');
	}
}
