/*
 * TLS of our servers, by OpenSSL: what the flags say, and certificates that are exchanged while
 * connections stay open. Each handshake takes the certificate that is current then; there are no
 * session tickets, so nothing of an old one lives on.
 *
 * Cipher suites are written with their IANA names, curves with their numbers of the TLS registry,
 * as MetalLB's flags have them.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "metallb/xalloc.h"

#define FLAG_MAX 4096

/* Curves that programs in Go know; NULL: OpenSSL cannot do it. */
static const struct {
	long id;
	const char *name;
} curves_known[] = {
	{23, "P-256"}, {24, "P-384"}, {25, "P-521"}, {29, "X25519"},
	{4587, NULL},  {4588, NULL},  {4589, NULL},
};

static const char *openssl_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return reason ? reason : "unknown reason";
}

/* Append ":name", refusing one that is already there. */
static bool list_add(struct buf *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = buf_str(list); *p; p += strcspn(p, ":"), p += *p == ':')
		if (strcspn(p, ":") == n && strncmp(p, name, n) == 0)
			return false;
	if (list->len > 0)
		buf_add_char(list, ':');
	buf_add_str(list, name);
	return true;
}

static bool ciphers_add(struct buf *list, const char *name, struct err *err)
{
	const char *openssl = OPENSSL_cipher_name(name);

	if (strncmp(name, "TLS_", 4) != 0 || !openssl || strcmp(openssl, "(NONE)") == 0)
		return err_set(err, "--tls-cipher-suites: unknown cipher suite \"%s\"", name);
	/* Those of TLS 1.3 cannot be chosen one by one; naming one is no mistake. */
	if (strncmp(openssl, "TLS_", 4) != 0)
		(void)list_add(list, openssl);
	return true;
}

static bool curves_add(struct buf *list, const char *text, struct err *err)
{
	char *end;
	long id = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end)
		return err_set(err, "--tls-curve-preferences: \"%s\" is not a number", text);
	for (size_t i = 0; i < ARRAY_SIZE(curves_known); i++) {
		if (curves_known[i].id != id)
			continue;
		if (curves_known[i].name && !list_add(list, curves_known[i].name))
			return err_set(err, "--tls-curve-preferences: %ld is there twice", id);
		return true;
	}
	return err_set(err, "--tls-curve-preferences: unknown curve %ld", id);
}

/* Each item of a comma list, without the spaces around it. */
static bool flag_each(const char *flag, const char *text, struct buf *list,
		      bool (*add)(struct buf *, const char *, struct err *), struct err *err)
{
	if (strlen(text) > FLAG_MAX)
		return err_set(err, "%s: longer than %d bytes", flag, FLAG_MAX);
	_cleanup_free_ char *copy = xstrdup(text);
	char *rest = copy;

	for (char *item; (item = strsep(&rest, ","));) {
		item += strspn(item, " ");
		item[strcspn(item, " ")] = '\0';
		if (!add(list, item, err))
			return false;
	}
	return true;
}

static bool parse_version(int *version, const char *text, struct err *err)
{
	if (!text || !*text || strcmp(text, "VersionTLS13") == 0)
		*version = TLS1_3_VERSION;
	else if (strcmp(text, "VersionTLS12") == 0)
		*version = TLS1_2_VERSION;
	else
		return err_set(err,
			       "--tls-min-version: \"%s\" is neither VersionTLS12 nor VersionTLS13",
			       text);
	return true;
}

bool serve_tls_parse(struct serve_tls *tls, const char *min_version, const char *ciphers,
		     const char *curves, struct err *err)
{
	_cleanup_(buf_fini) struct buf cipher_list = {0};
	_cleanup_(buf_fini) struct buf group_list = {0};
	int version = TLS1_3_VERSION;

	if (!parse_version(&version, min_version, err))
		return false;
	if (ciphers && *ciphers) {
		if (version != TLS1_2_VERSION)
			return err_set(err, "--tls-cipher-suites needs "
					    "--tls-min-version=VersionTLS12");
		if (!flag_each("--tls-cipher-suites", ciphers, &cipher_list, ciphers_add, err))
			return false;
	}
	if (curves && *curves) {
		if (!flag_each("--tls-curve-preferences", curves, &group_list, curves_add, err))
			return false;
		if (group_list.len == 0)
			return err_set(err, "--tls-curve-preferences: this build of OpenSSL has "
					    "none of these curves");
	}
	*tls = (struct serve_tls){.min_version = version};
	if (cipher_list.len > 0)
		tls->ciphers = buf_steal(&cipher_list);
	if (group_list.len > 0)
		tls->groups = buf_steal(&group_list);
	return true;
}

void serve_tls_fini(struct serve_tls *tls)
{
	free(tls->ciphers);
	free(tls->groups);
	*tls = (struct serve_tls){0};
}

struct tls_identity *tls_identity_free(struct tls_identity *id)
{
	if (id) {
		X509_free(id->cert);
		EVP_PKEY_free(id->key);
		sk_X509_pop_free(id->chain, X509_free);
		free(id);
	}
	return NULL;
}

static void tls_identity_freep(struct tls_identity **id)
{
	*id = tls_identity_free(*id);
}

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}

/* An encrypted key must not make OpenSSL ask at a terminal. */
static int no_password(char *buf, int size, int writing, void *user)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

static bool read_certificates(struct tls_identity *id, const char *pem, size_t len, struct err *err)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)len);
	X509 *x;

	if (!bio)
		abort();
	id->cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	if (!id->cert)
		return err_set(err, "the certificate is not PEM: %s", openssl_reason());
	id->chain = sk_X509_new_null();
	if (!id->chain)
		abort();
	while ((x = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		if (sk_X509_push(id->chain, x) <= 0)
			abort();
	/* the end of the text is reported as an error too */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return err_set(err, "the certificate's chain is not PEM: %s", openssl_reason());
	ERR_clear_error();
	return true;
}

struct tls_identity *tls_identity_new(const char *cert_pem, size_t cert_len, const char *key_pem,
				      size_t key_len, struct err *err)
{
	_cleanup_(tls_identity_freep) struct tls_identity *id = xcalloc(1, sizeof(*id));
	struct tls_identity *done;

	ERR_clear_error();
	if (cert_len > SERVE_CERT_MAX || key_len > SERVE_CERT_MAX) {
		err_set(err, "a certificate or key of more than %zu bytes", SERVE_CERT_MAX);
		return NULL;
	}
	if (!read_certificates(id, cert_pem, cert_len, err))
		return NULL;
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(key_pem, (int)key_len);
	if (!bio)
		abort();
	id->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (!id->key) {
		err_set(err, "the key is not unencrypted PEM");
		ERR_clear_error();
		return NULL;
	}
	if (X509_check_private_key(id->cert, id->key) != 1) {
		err_set(err, "the key does not belong to the certificate");
		ERR_clear_error();
		return NULL;
	}
	done = id;
	id = NULL; /* ownership moved */
	return done;
}

static int on_handshake(SSL *ssl, void *user)
{
	struct tls_identity **id = user;

	if (!*id)
		return 0;
	return SSL_use_cert_and_key(ssl, (*id)->cert, (*id)->key, (*id)->chain, 1);
}

bool tls_setup(SSL_CTX *ctx, const struct serve_tls *tls, struct tls_identity **identity)
{
	SSL_CTX_set_options(ctx,
			    SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cert_cb(ctx, on_handshake, identity);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
	    SSL_CTX_set_min_proto_version(ctx, tls->min_version) != 1)
		return false;
	if (tls->ciphers && SSL_CTX_set_cipher_list(ctx, tls->ciphers) != 1)
		return false;
	return !tls->groups || SSL_CTX_set1_groups_list(ctx, tls->groups) == 1;
}
