/*
 * Finds and reads what says where the API server is: a kubeconfig (kubeconfig.c) or a pod's
 * service account. In the order of precedence that controllers have: the flag, $KUBECONFIG, the
 * pod's own, the home directory's.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/kube/credfile.h"
#include "lib/kube/kubeconfig.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"

#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct files {
	struct kubeconfig_file items[KUBECONFIG_FILES_MAX];
	char *paths[KUBECONFIG_FILES_MAX];
	size_t n;
};

static void files_fini(struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		json_object_put(f->items[i].object);
		free(f->paths[i]);
	}
}

/* A missing file is passed over when may_miss. */
static bool files_add(struct files *f, const char *path, size_t len, bool may_miss, struct err *err)
{
	_cleanup_free_ char *name = xstrndup(path, len);
	struct json_object *object;
	struct buf text = {0};
	int e;

	if (f->n == KUBECONFIG_FILES_MAX)
		return err_set(err, "more than %d kubeconfig files", KUBECONFIG_FILES_MAX);
	e = credfile_read(name, &text);
	if (e < 0) {
		buf_fini(&text);
		if (e == -ENOENT && may_miss)
			return true;
		return err_set(err, "%s: %s", name, strerror(-e));
	}
	object = yaml_parse_one(buf_str(&text), text.len, err);
	if (text.data)
		explicit_bzero(text.data, text.len);
	buf_fini(&text);
	if (!object)
		return err_wrap(err, "%s", name);
	f->paths[f->n] = name;
	f->items[f->n++] = (struct kubeconfig_file){.path = name, .object = object};
	name = NULL; /* ownership moved to f->paths */
	return true;
}

static bool files_add_list(struct files *f, const char *list, struct err *err)
{
	for (;;) {
		size_t len = strcspn(list, ":");

		if (len > 0 && !files_add(f, list, len, true, err))
			return false;
		if (list[len] == '\0')
			return true;
		list += len + 1;
	}
}

static struct kube_config *load_files(const char *list, bool single, const char *context,
				      struct err *err)
{
	struct files files = {.n = 0};
	struct kube_config *c = NULL;
	bool ok = single ? files_add(&files, list, strlen(list), false, err)
			 : files_add_list(&files, list, err);

	if (ok && files.n == 0)
		ok = err_set(err, "KUBECONFIG names no file that exists: %s", list);
	if (ok)
		c = kubeconfig_build(files.items, files.n, context, err);
	if (c)
		c->source = xstrdup(list);
	files_fini(&files);
	return c;
}

static struct kube_config *load_in_cluster(const char *host, const char *port, struct err *err)
{
	struct kube_config *c;
	struct buf ns = {0};
	bool v6 = strchr(host, ':');

	if (access(ACCOUNT_DIR "/token", R_OK) < 0) {
		(void)err_set(err, "in-cluster: %s: %s", ACCOUNT_DIR "/token", strerror(errno));
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->server = xasprintf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	c->token_file = xstrdup(ACCOUNT_DIR "/token");
	c->ca_file = xstrdup(ACCOUNT_DIR "/ca.crt");
	if (credfile_read(ACCOUNT_DIR "/namespace", &ns) == 0)
		c->ns = xstrndup(buf_str(&ns), strcspn(buf_str(&ns), " \t\r\n"));
	if (!c->ns || !c->ns[0]) {
		free(c->ns);
		c->ns = xstrdup("default");
	}
	buf_fini(&ns);
	c->source = xstrdup("in-cluster");
	c->in_cluster = true;
	return c;
}

struct kube_config *kube_config_load(const struct kube_config_options *o, struct err *err)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	_cleanup_free_ char *path = NULL;

	if (o->kubeconfig && o->kubeconfig[0])
		return load_files(o->kubeconfig, true, o->context, err);
	if (list && list[0])
		return load_files(list, false, o->context, err);
	if (host && host[0] && port && port[0])
		return load_in_cluster(host, port, err);
	path = xasprintf("%s/.kube/config", home ? home : "");
	if (access(path, F_OK) == 0)
		return load_files(path, true, o->context, err);
	(void)err_set(err,
		      "no cluster is configured: give --kubeconfig, set KUBECONFIG, or run in a "
		      "pod (there is no %s)",
		      path);
	return NULL;
}
