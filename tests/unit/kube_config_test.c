/*
 * Which configuration is found, in which order; credential files that change.
 */
#include "metallb/kube_config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/kube/credfile.h"
#include "metallb/xalloc.h"

static char dir[] = "/tmp/kube_config_test.XXXXXX";

/* The file's path, valid until the next call; the file is new each time. */
static const char *put(const char *name, const char *text)
{
	static char path[128], fresh[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(fresh, path), 0);
	return path;
}

static void put_config(const char *name, const char *context, const char *server)
{
	_cleanup_free_ char *text =
		xasprintf("{current-context: %s, contexts: [{name: %s, context: {cluster: c}}], "
			  "clusters: [{name: c, cluster: {server: 'https://%s'}}]}\n",
			  context, context, server);

	put(name, text);
}

static int set_up(void **state)
{
	(void)state;
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	setenv("HOME", dir, 1);
	return 0;
}

static void assert_server(const char *kubeconfig, const char *context, const char *server)
{
	struct kube_config_options options = {.kubeconfig = kubeconfig, .context = context};
	struct err err = {0};
	struct kube_config *c = kube_config_load(&options, &err);

	if (!c)
		fail_msg("%s", err.msg);
	assert_string_equal(c->server, server);
	kube_config_free(c);
}

static void assert_refused(const char *kubeconfig, const char *reason)
{
	struct kube_config_options options = {.kubeconfig = kubeconfig};
	struct err err = {0};

	assert_null(kube_config_load(&options, &err));
	if (!strstr(err.msg, reason))
		fail_msg("%s", err.msg);
}

static void test_order(void **state)
{
	_cleanup_free_ char *flag = xasprintf("%s/flag", dir);
	_cleanup_free_ char *list = xasprintf("%s/absent::%s/one:%s/two", dir, dir, dir);

	(void)state;
	put_config("flag", "f", "flag");
	put_config("one", "o", "one");
	put_config("two", "t", "two");
	assert_refused(NULL, "no cluster is configured: give --kubeconfig");
	setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_refused(NULL, "in-cluster: /var/run/secrets/kubernetes.io/serviceaccount/token");
	setenv("KUBECONFIG", list, 1);
	assert_server(NULL, NULL, "https://one");
	assert_server(NULL, "", "https://one");
	assert_server(flag, NULL, "https://flag");
	/* The second file's context, with the first file's cluster of that name. */
	assert_server(NULL, "t", "https://one");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBECONFIG");
	assert_int_equal(access(flag, R_OK), 0);
}

static void test_files_that_cannot_be_read(void **state)
{
	_cleanup_free_ char *absent = xasprintf("%s/absent", dir);

	(void)state;
	assert_refused(absent, "absent: No such file or directory");
	setenv("KUBECONFIG", absent, 1);
	assert_refused(NULL, "KUBECONFIG names no file that exists");
	unsetenv("KUBECONFIG");
	assert_refused(put("broken", "a: [1\n"), "broken: line 2: did not find");
	assert_refused(put("empty", ""), "empty: holds no document");
	assert_refused(dir, "Is a directory");
}

static void test_credential_file(void **state)
{
	struct credfile f;
	struct buf text = {0};
	usec_t now = 0;

	(void)state;
	credfile_init(&f, put("token", "one"));
	assert_true(credfile_changed(&f, now, false));
	assert_false(credfile_changed(&f, now + 10 * USEC_PER_SEC, false));
	now += 10 * USEC_PER_SEC;
	put("token", "two");
	assert_false(credfile_changed(&f, now + 1, false)); /* looked at a moment ago */
	assert_true(credfile_changed(&f, now + 1, true));
	put("token", "3");
	assert_true(credfile_changed(&f, now + CREDFILE_RECHECK + 1, false));
	assert_int_equal(credfile_read(f.path, &text), 0);
	assert_string_equal(buf_str(&text), "3");
	assert_int_equal(unlink(f.path), 0);
	assert_false(credfile_changed(&f, now + 100 * USEC_PER_SEC, false));
	assert_int_equal(credfile_read(f.path, &text), -ENOENT);
	credfile_fini(&f);
	credfile_init(&f, NULL);
	assert_false(credfile_changed(&f, 0, true));
	credfile_fini(&f);
	buf_fini(&text);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"flag", "one", "two", "broken", "empty", "token"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]);

		if (unlink(path) < 0 && errno != ENOENT)
			return -1;
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, set_up),
		cmocka_unit_test_setup(test_files_that_cannot_be_read, set_up),
		cmocka_unit_test_setup(test_credential_file, set_up),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
