/*
 * operator/certs: renewing in steps, healing what was changed, what is trusted meanwhile.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "operator/certs.h"

#define DAY ((int64_t)86400)
#define T0  ((int64_t)1700000000)

static const struct certs_spec spec0 = {
	.names = {"metallb-webhook-service.metallb-system.svc",
		  "metallb-webhook-service.metallb-system.svc.cluster.local"},
	.n_names = 2,
	.now_s = T0,
};

static struct certs_spec at(int64_t now)
{
	struct certs_spec spec = spec0;

	spec.now_s = now;
	return spec;
}

/* One step that must be needed, for the given reason; replaces *c. */
static void step(struct certs *c, const char *trusted, int64_t now, const char *why)
{
	struct certs_spec spec = at(now);
	struct certs next;
	struct err err = {0};

	assert_true(certs_next(c, trusted, &spec, &next, &err));
	assert_string_equal(err.msg, why);
	certs_fini(c);
	*c = next;
	assert_true(certs_check_serving(c, &spec, &err));
}

static void no_step(const struct certs *c, const char *trusted, int64_t now)
{
	struct certs_spec spec = at(now);
	struct certs next;
	struct err err = {0};

	if (certs_next(c, trusted, &spec, &next, &err))
		fail_msg("%s", err.msg);
}

static size_t count_certs(const char *pem)
{
	size_t n = 0;

	for (const char *p = pem; (p = strstr(p, "BEGIN CERTIFICATE")); p++)
		n++;
	return n;
}

static struct certs copy(const struct certs *c)
{
	return (struct certs){xstrdup(c->ca_crt), xstrdup(c->ca_key), xstrdup(c->tls_crt),
			      xstrdup(c->tls_key)};
}

static void replace(char **text, const char *with)
{
	free(*text);
	*text = xstrdup(with);
}

static X509 *parse(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return x;
}

static void test_first(void **state)
{
	struct certs c = {0};

	(void)state;
	step(&c, NULL, T0, "ca.crt is missing or unreadable");
	assert_int_equal(count_certs(c.ca_crt), 1);
	no_step(&c, NULL, T0);
	no_step(&c, c.ca_crt, T0 + 100 * DAY);

	X509 *x = parse(c.tls_crt), *ca = parse(c.ca_crt);
	char name[128];

	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
	assert_string_equal(name, spec0.names[0]);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
	assert_int_equal(X509_check_host(x, spec0.names[1], 0, 0, NULL), 1);
	assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(x)), 256);
	X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_organizationName, name,
				  sizeof(name));
	assert_string_equal(name, "metallb");
	X509_free(x);
	X509_free(ca);
	certs_fini(&c);
}

static void test_renew_serving(void **state)
{
	struct certs c = {0}, before;

	(void)state;
	step(&c, NULL, T0, "ca.crt is missing or unreadable");
	before = copy(&c);
	no_step(&c, c.ca_crt, T0 + (365 - 90) * DAY - 1);
	step(&c, c.ca_crt, T0 + (365 - 90) * DAY + 1, "tls.crt expires in less than 90 days");
	assert_string_equal(c.ca_crt, before.ca_crt);
	assert_string_equal(c.ca_key, before.ca_key);
	assert_string_not_equal(c.tls_crt, before.tls_crt);
	no_step(&c, c.ca_crt, T0 + (365 - 90) * DAY + 1);
	certs_fini(&before);
	certs_fini(&c);
}

/* The CA in its last 90 days: trusted first, then used, then the old one forgotten. */
static void test_renew_ca(void **state)
{
	const int64_t late = T0 + (3650 - 90) * DAY + 1;
	struct certs c = {0}, before;

	(void)state;
	step(&c, NULL, T0, "ca.crt is missing or unreadable");
	_cleanup_free_ char *old = xstrdup(c.ca_crt);
	step(&c, old, late - 2, "tls.crt has expired or is not valid yet");
	before = copy(&c);

	step(&c, old, late, "the CA expires in less than 90 days");
	assert_int_equal(count_certs(c.ca_crt), 2);
	assert_non_null(strstr(c.ca_crt, old));
	assert_string_equal(c.tls_crt, before.tls_crt); /* still the one that is trusted */
	assert_false(certs_is_trusted(c.ca_crt, old));
	no_step(&c, old, late + 10);

	assert_true(certs_is_trusted(c.ca_crt, c.ca_crt));
	_cleanup_free_ char *both = xstrdup(c.ca_crt);
	step(&c, both, late + 20, "the new CA is trusted everywhere: a certificate signed by it");
	assert_string_not_equal(c.tls_crt, before.tls_crt);
	assert_string_equal(c.ca_crt, both);
	no_step(&c, both, late + 20 + CERTS_SETTLE_S - 1);
	step(&c, both, late + 20 + CERTS_SETTLE_S + 1,
	     "nobody serves a certificate of the former CA any more");
	assert_int_equal(count_certs(c.ca_crt), 1);
	assert_null(strstr(c.ca_crt, old));
	no_step(&c, both, late + 2 * CERTS_SETTLE_S);
	certs_fini(&before);
	certs_fini(&c);
}

static void test_heal(void **state)
{
	struct certs good = {0}, other = {0};
	struct certs_spec foreign = {.names = {"elsewhere.example"}, .n_names = 1, .now_s = T0};
	struct err err;

	(void)state;
	step(&good, NULL, T0, "ca.crt is missing or unreadable");
	assert_true(certs_next(&other, NULL, &foreign, &other, &err));
	const struct {
		size_t field;
		const char *text, *why;
		bool keeps_ca, keeps_tls;
	} cases[] = {
		{offsetof(struct certs, tls_crt), "", "tls.crt is missing or unreadable", true,
		 false},
		{offsetof(struct certs, tls_crt), "garbage", "tls.crt is missing or unreadable",
		 true, false},
		{offsetof(struct certs, tls_crt), other.tls_crt,
		 "tls.key does not belong to tls.crt", true, false},
		{offsetof(struct certs, tls_key), "-----BEGIN PRIVATE KEY-----\nAAAA\n",
		 "tls.key is missing or unreadable", true, false},
		{offsetof(struct certs, tls_key), other.tls_key,
		 "tls.key does not belong to tls.crt", true, false},
		{offsetof(struct certs, ca_key), "", "ca.key is missing or unreadable", false,
		 true},
		{offsetof(struct certs, ca_key), other.ca_key, "ca.key does not belong to ca.crt",
		 false, true},
		{offsetof(struct certs, ca_crt), "", "ca.crt is missing or unreadable", false,
		 false},
		{offsetof(struct certs, ca_crt), other.ca_crt, "ca.key does not belong to ca.crt",
		 false, false},
		{offsetof(struct certs, ca_crt), good.tls_crt, "ca.crt is not a CA", false, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct certs c = copy(&good);

		replace((char **)((char *)&c + cases[i].field), cases[i].text);
		step(&c, good.ca_crt, T0 + DAY, cases[i].why);
		assert_int_equal(strcmp(c.ca_key, good.ca_key) == 0, cases[i].keeps_ca);
		assert_int_equal(strcmp(c.tls_crt, good.tls_crt) == 0, cases[i].keeps_tls);
		/* whoever still serves the good one goes on being trusted */
		assert_non_null(strstr(c.ca_crt, good.ca_crt));
		certs_fini(&c);
	}

	/* consistent in itself, but for other names */
	step(&other, NULL, T0, "tls.crt is not for metallb-webhook-service.metallb-system.svc");
	certs_fini(&good);
	certs_fini(&other);
}

/* However often the CA is lost, the bundle stays bounded, newest first. */
static void test_bounded(void **state)
{
	struct certs c = {0};

	(void)state;
	for (int i = 0; i < 3 * CERTS_BUNDLE_MAX; i++) {
		_cleanup_free_ char *trusted = c.ca_crt ? xstrdup(c.ca_crt) : NULL;

		if (c.ca_key)
			replace(&c.ca_key, "lost");
		step(&c, trusted, T0 + i,
		     i ? "ca.key is missing or unreadable" : "ca.crt is missing or unreadable");
		assert_in_range(count_certs(c.ca_crt), 1, CERTS_BUNDLE_MAX);
	}
	certs_fini(&c);
	_cleanup_free_ char *huge = xmalloc(CERTS_PEM_MAX + 2);
	memset(huge, 'A', CERTS_PEM_MAX + 1);
	huge[CERTS_PEM_MAX + 1] = '\0';
	c.ca_crt = xstrdup(huge);
	step(&c, huge, T0, "ca.crt is missing or unreadable");
	certs_fini(&c);
}

static void test_encode(void **state)
{
	struct certs c = {.ca_crt = "a", .ca_key = "bb", .tls_crt = "ccc", .tls_key = NULL};
	_cleanup_(buf_fini) struct buf out = {0};

	(void)state;
	certs_encode_data(&c, &out);
	assert_string_equal(buf_str(&out), "\"ca.crt\":\"YQ==\",\"ca.key\":\"YmI=\","
					   "\"tls.crt\":\"Y2Nj\",\"tls.key\":\"\"");
	assert_true(certs_equal(&c, &c));
	assert_false(certs_equal(&c, &(struct certs){0}));
	assert_false(certs_is_trusted("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),    cmocka_unit_test(test_renew_serving),
		cmocka_unit_test(test_renew_ca), cmocka_unit_test(test_heal),
		cmocka_unit_test(test_bounded),  cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
