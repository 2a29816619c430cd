/*
 * Certificates made here (X.509 v3, RFC 5280): the CA of the webhooks, what is signed by it, and
 * the one of a metrics endpoint that nobody has signed. See x509.h.
 */
#include "metallb/x509.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"

#define DAY_S        ((int64_t)86400)
#define SERIAL_BYTES 16
#define COMMON_MAX   64 /* bytes of a common name */
#define ORGANIZATION "metallb"

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static char *bio_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);

	return xstrndup(data, (size_t)n);
}

static BIO *bio_new(void)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio)
		abort();
	return bio;
}

char *x509_write(X509 *const *items, size_t n)
{
	_cleanup_(bio_freep) BIO *bio = bio_new();

	for (size_t i = 0; i < n; i++)
		if (PEM_write_bio_X509(bio, items[i]) != 1)
			abort();
	return bio_text(bio);
}

char *x509_write_key(EVP_PKEY *key)
{
	_cleanup_(bio_freep) BIO *bio = bio_new();

	if (PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		abort();
	return bio_text(bio);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);

	if (!ext || X509_add_ext(x, ext, -1) != 1)
		abort();
	X509_EXTENSION_free(ext);
}

static void set_serial(X509 *x)
{
	unsigned char bytes[SERIAL_BYTES];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		abort();
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, of full length */
	BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);

	if (!n || !BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)))
		abort();
	BN_free(n);
}

/* All that a CA and a serving certificate have in common; unsigned. */
static X509 *new_certificate(const char *common_name, EVP_PKEY *key, int64_t now, int64_t days)
{
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;

	if (!x || X509_set_version(x, X509_VERSION_3) != 1 ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(now - X509_BACKDATE_S)) ||
	    !ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(now + days * DAY_S)) ||
	    X509_set_pubkey(x, key) != 1 ||
	    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)ORGANIZATION,
				       -1, -1, 0) != 1 ||
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
				       (const unsigned char *)common_name, -1, -1, 0) != 1)
		abort();
	set_serial(x);
	return x;
}

EVP_PKEY *x509_make_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		abort();
	return key;
}

X509 *x509_make_ca(EVP_PKEY *key, const char *common_name, int64_t now_s, int64_t days)
{
	X509 *x = new_certificate(common_name, key, now_s, days);

	if (X509_set_issuer_name(x, X509_get_subject_name(x)) != 1)
		abort();
	add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
	add_extension(x, x, NID_subject_key_identifier, "hash");
	if (X509_sign(x, key, EVP_sha256()) <= 0)
		abort();
	return x;
}

X509 *x509_make_serving(EVP_PKEY *key, const char *const *names, size_t n_names, X509 *ca,
			EVP_PKEY *ca_key, int64_t now_s, int64_t days)
{
	_cleanup_(buf_fini) struct buf list = {0};
	const char *common = strlen(names[0]) <= COMMON_MAX ? names[0] : ORGANIZATION;
	X509 *x = new_certificate(common, key, now_s, days);
	X509 *issuer = ca ? ca : x;

	for (size_t i = 0; i < n_names; i++)
		buf_printf(&list, "%sDNS:%s", i ? "," : "", names[i]);
	if (X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1)
		abort();
	add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(x, issuer, NID_key_usage, "critical,digitalSignature");
	add_extension(x, issuer, NID_ext_key_usage, "serverAuth");
	add_extension(x, issuer, NID_subject_key_identifier, "hash");
	if (ca)
		add_extension(x, issuer, NID_authority_key_identifier, "keyid");
	add_extension(x, issuer, NID_subject_alt_name, buf_str(&list));
	if (X509_sign(x, ca ? ca_key : key, EVP_sha256()) <= 0)
		abort();
	return x;
}
