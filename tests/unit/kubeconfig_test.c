/*
 * kubeconfig files: contexts, merging, file and data forms, refusals.
 */
#include "lib/kube/kubeconfig.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "metallb/yaml.h"

static struct json_object *parse(const char *text)
{
	struct err err;
	struct json_object *o = yaml_parse_one(text, strlen(text), &err);

	if (!o)
		fail_msg("%s", err.msg);
	return o;
}

static struct kube_config *build(const char *text, const char *context, struct err *err)
{
	struct json_object *o = parse(text);
	struct kubeconfig_file file = {.path = "/etc/kube/config", .object = o};
	struct kube_config *c = kubeconfig_build(&file, 1, context, err);

	json_object_put(o);
	return c;
}

static const char full[] =
	"current-context: one\n"
	"contexts:\n"
	"- {name: one, context: {cluster: c1, user: u1, namespace: ns1}}\n"
	"- {name: two, context: {cluster: c2, user: u2}}\n"
	"- {name: bare, context: {cluster: c2}}\n"
	"clusters:\n"
	"- {name: c1, cluster: {server: 'https://a:6443/', certificate-authority: pki/ca.crt,\n"
	"   tls-server-name: api, proxy-url: 'http://p:1'}}\n"
	"- {name: c2, cluster: {server: 'b:80', certificate-authority-data: Q0E=,\n"
	"   certificate-authority: x, insecure-skip-tls-verify: true}}\n"
	"users:\n"
	"- {name: u1, user: {client-certificate: /abs.crt, client-key-data: S0VZ}}\n"
	"- {name: u2, user: {token: t, tokenFile: tf, username: joe, password: pw}}\n";

static void test_contexts(void **state)
{
	struct err err = {0};
	struct kube_config *c = build(full, NULL, &err);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->server, "https://a:6443");
	assert_string_equal(c->ca_file, "/etc/kube/pki/ca.crt");
	assert_null(c->ca_data);
	assert_string_equal(c->tls_server_name, "api");
	assert_string_equal(c->proxy_url, "http://p:1");
	assert_string_equal(c->cert_file, "/abs.crt");
	assert_string_equal(c->key_data, "KEY");
	assert_string_equal(c->ns, "ns1");
	assert_false(c->insecure);
	kube_config_free(c);

	c = build(full, "two", &err);
	assert_string_equal(c->server, "http://b:80");
	assert_string_equal(c->ca_data, "CA");
	assert_null(c->ca_file);
	assert_true(c->insecure);
	assert_string_equal(c->token, "t");
	assert_string_equal(c->token_file, "/etc/kube/tf");
	assert_string_equal(c->username, "joe");
	assert_string_equal(c->password, "pw");
	assert_string_equal(c->ns, "default");
	kube_config_free(c);

	c = build(full, "bare", &err);
	assert_null(c->token);
	kube_config_free(c);
}

static void test_merge_first_wins(void **state)
{
	struct json_object *a = parse("contexts: [{name: x, context: {cluster: c, user: u}}]\n"
				      "users: [{name: u, user: {tokenFile: t}}]\n");
	struct json_object *b = parse("current-context: x\n"
				      "contexts: [{name: x, context: {cluster: wrong}}]\n"
				      "clusters: [{name: c, cluster: {server: 'https://s', "
				      "certificate-authority: ca}}]\n"
				      "users: [{name: u, user: {token: wrong}}]\n");
	struct kubeconfig_file files[] = {{"/a/one", a}, {"/b/two", b}};
	struct err err = {0};
	struct kube_config *c = kubeconfig_build(files, 2, NULL, &err);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->server, "https://s");
	assert_string_equal(c->ca_file, "/b/ca");
	assert_string_equal(c->token_file, "/a/t");
	assert_null(c->token);
	kube_config_free(c);
	json_object_put(a);
	json_object_put(b);
}

#define WITH(cluster, user)                                                                        \
	"current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"              \
	"clusters: [{name: c, cluster: {" cluster "}}]\nusers: [{name: u, user: {" user "}}]\n"

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"[]", "/etc/kube/config: not a kubeconfig"},
		{"{}", "no current-context is set, and none was asked for"},
		{"current-context: x", "no entry \"x\" in contexts"},
		{"{current-context: x, contexts: 7}", "/etc/kube/config: contexts is not a list"},
		{"{current-context: x, contexts: [7, {name: x}, {name: x, context: 5}]}",
		 "no entry \"x\" in contexts"},
		{"{current-context: x, contexts: [{name: x, context: {user: u}}]}",
		 "/etc/kube/config: contexts \"x\": cluster: missing"},
		{"{current-context: x, contexts: [{name: x, context: {cluster: c}}]}",
		 "no entry \"c\" in clusters"},
		{WITH("", ""), "/etc/kube/config: clusters \"c\": server: missing"},
		{WITH("server: 5", ""), "/etc/kube/config: clusters \"c\": server: not a string"},
		{WITH("server: 'ftp://x'", ""),
		 "/etc/kube/config: clusters \"c\": server: must begin with https:// or http://"},
		{WITH("server: s, insecure-skip-tls-verify: 'yes'", ""),
		 "/etc/kube/config: clusters \"c\": insecure-skip-tls-verify: not a boolean"},
		{WITH("server: s, certificate-authority-data: '%'", ""),
		 "/etc/kube/config: clusters \"c\": certificate-authority-data: not the base64 of "
		 "a "
		 "PEM text"},
		{WITH("server: s, certificate-authority-data: AAAA", ""),
		 "/etc/kube/config: clusters \"c\": certificate-authority-data: not the base64 of "
		 "a "
		 "PEM text"},
		{WITH("server: s", "exec: {command: aws}"),
		 "/etc/kube/config: users \"u\": exec: credential plugins are not supported; use a "
		 "token or a certificate"},
		{WITH("server: s", "auth-provider: {name: gcp}"),
		 "/etc/kube/config: users \"u\": auth-provider: not supported; use a token or a "
		 "certificate"},
		{WITH("server: s", "as: other"),
		 "/etc/kube/config: users \"u\": as: impersonation is not supported"},
		{WITH("server: s", "client-certificate: x"),
		 "/etc/kube/config: users \"u\": client-certificate: a certificate and its key are "
		 "needed together"},
		{WITH("server: s", "password: x"),
		 "/etc/kube/config: users \"u\": password: needs a username"},
		{WITH("server: \"a\\0b\"", ""),
		 "/etc/kube/config: clusters \"c\": server: holds a NUL"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {0};

		assert_null(build(cases[i].text, NULL, &err));
		assert_string_equal(err.msg, cases[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contexts),
		cmocka_unit_test(test_merge_first_wins),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
