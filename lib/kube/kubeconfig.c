/*
 * kubeconfig (v1 Config, as kubectl reads it): clusters, users and contexts by name, merged over
 * several files. Pure: the files have been read, and nothing they name is opened here.
 *
 * Left out, with an error that says so: exec and auth-provider plugins, impersonation.
 */
#include "lib/kube/kubeconfig.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/buf.h"
#include "metallb/kube.h"
#include "metallb/xalloc.h"

#define DATA_MAX ((size_t)1 << 20) /* of one decoded certificate or key */

/* A named entry and where it was found. */
struct entry {
	struct json_object *value; /* NULL: none */
	const char *path;          /* of its file */
	const char *list;          /* "clusters" */
	const char *name;
};

static struct json_object *find_in(struct json_object *list, const char *name, const char *member)
{
	if (!json_object_is_type(list, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (strcmp(kube_json_str(item, "name"), name) == 0)
			return kube_json_get(item, member);
	}
	return NULL;
}

static bool find_entry(const struct kubeconfig_file *files, size_t n, const char *list,
		       const char *member, const char *name, struct entry *out, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct json_object *all = kube_json_get(files[i].object, list);
		struct json_object *found = find_in(all, name, member);

		if (all && !json_object_is_type(all, json_type_array))
			return err_set(err, "%s: %s is not a list", files[i].path, list);
		if (!json_object_is_type(found, json_type_object))
			continue;
		*out = (struct entry){
			.value = found, .path = files[i].path, .list = list, .name = name};
		return true;
	}
	return err_set(err, "no entry \"%s\" in %s", name, list);
}

static bool entry_err(struct err *err, const struct entry *e, const char *field, const char *why)
{
	return err_set(err, "%s: %s \"%s\": %s: %s", e->path, e->list, e->name, field, why);
}

/* A text field, or *out NULL when it is absent, null or empty. */
static bool get_str(const struct entry *e, const char *field, char **out, struct err *err)
{
	struct json_object *value = kube_json_get(e->value, field);

	*out = NULL;
	if (!value)
		return true;
	if (!json_object_is_type(value, json_type_string))
		return entry_err(err, e, field, "not a string");
	if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return entry_err(err, e, field, "holds a NUL");
	if (json_object_get_string_len(value) > 0)
		*out = xstrdup(json_object_get_string(value));
	return true;
}

static bool get_bool(const struct entry *e, const char *field, bool *out, struct err *err)
{
	struct json_object *value = kube_json_get(e->value, field);

	*out = json_object_get_boolean(value);
	return !value || json_object_is_type(value, json_type_boolean) ||
	       entry_err(err, e, field, "not a boolean");
}

/* A file name, made relative to the kubeconfig's folder. */
static bool get_path(const struct entry *e, const char *field, char **out, struct err *err)
{
	const char *slash;
	char *name;

	assert(e->path);
	slash = strrchr(e->path, '/');
	if (!get_str(e, field, &name, err))
		return false;
	if (name && name[0] != '/' && slash) {
		*out = xasprintf("%.*s/%s", (int)(slash - e->path), e->path, name);
		free(name);
	} else {
		*out = name;
	}
	return true;
}

static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* RFC 4648, 4; NULL when it is not base64, or holds a NUL. */
static char *decode_base64(const char *s)
{
	struct buf out = {0};
	uint32_t bits = 0;
	size_t n = 0, padding = 0;

	for (; *s; s++) {
		int v = base64_value(*s);

		if (*s == '\n' || *s == '\r')
			continue;
		if (*s == '=' && ++padding <= 2)
			continue;
		if (v < 0 || padding > 0)
			goto bad;
		bits = bits << 6 | (uint32_t)v;
		if (n++ % 4 == 0)
			continue;
		char c = (char)(bits >> (6 - 2 * ((n - 1) % 4)));
		if (c == '\0' || out.len >= DATA_MAX)
			goto bad;
		buf_add_char(&out, c);
	}
	if ((n + padding) % 4 == 0)
		return buf_steal(&out);
bad:
	buf_fini(&out);
	return NULL;
}

static bool get_data(const struct entry *e, const char *field, char **out, struct err *err)
{
	_cleanup_free_ char *text = NULL;

	if (!get_str(e, field, &text, err))
		return false;
	*out = text ? decode_base64(text) : NULL;
	return !text || *out || entry_err(err, e, field, "not the base64 of a PEM text");
}

/* x and x-data; the data wins, as in kubectl. */
static bool get_pem(const struct entry *e, const char *field, const char *data_field, char **file,
		    char **data, struct err *err)
{
	if (!get_data(e, data_field, data, err) || !get_path(e, field, file, err))
		return false;
	if (*data && *file) {
		free(*file);
		*file = NULL;
	}
	return true;
}

/* "host:port" means http; one slash too many at the end is dropped. */
static bool get_server(const struct entry *e, char **out, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!get_str(e, "server", &text, err))
		return false;
	if (!text)
		return entry_err(err, e, "server", "missing");
	if (strncmp(text, "https://", 8) != 0 && strncmp(text, "http://", 7) != 0) {
		if (strstr(text, "://"))
			return entry_err(err, e, "server", "must begin with https:// or http://");
		*out = xasprintf("http://%s", text);
	} else {
		*out = xstrdup(text);
	}
	for (len = strlen(*out); len > 0 && (*out)[len - 1] == '/'; len--)
		(*out)[len - 1] = '\0';
	return true;
}

static bool read_cluster(struct kube_config *c, const struct entry *e, struct err *err)
{
	return get_server(e, &c->server, err) &&
	       get_str(e, "tls-server-name", &c->tls_server_name, err) &&
	       get_str(e, "proxy-url", &c->proxy_url, err) &&
	       get_bool(e, "insecure-skip-tls-verify", &c->insecure, err) &&
	       get_pem(e, "certificate-authority", "certificate-authority-data", &c->ca_file,
		       &c->ca_data, err);
}

static bool check_user(const struct kube_config *c, const struct entry *e, struct err *err)
{
	if ((c->cert_file || c->cert_data) != (c->key_file || c->key_data))
		return entry_err(err, e, "client-certificate",
				 "a certificate and its key are needed together");
	if (c->password && !c->username)
		return entry_err(err, e, "password", "needs a username");
	return true;
}

static bool read_user(struct kube_config *c, const struct entry *e, struct err *err)
{
	static const struct {
		const char *field, *why;
	} unsupported[] = {
		{"exec", "credential plugins are not supported; use a token or a certificate"},
		{"auth-provider", "not supported; use a token or a certificate"},
		{"as", "impersonation is not supported"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (kube_json_get(e->value, unsupported[i].field))
			return entry_err(err, e, unsupported[i].field, unsupported[i].why);
	if (!get_str(e, "token", &c->token, err) ||
	    !get_path(e, "tokenFile", &c->token_file, err) ||
	    !get_str(e, "username", &c->username, err) ||
	    !get_str(e, "password", &c->password, err) ||
	    !get_pem(e, "client-certificate", "client-certificate-data", &c->cert_file,
		     &c->cert_data, err) ||
	    !get_pem(e, "client-key", "client-key-data", &c->key_file, &c->key_data, err))
		return false;
	return check_user(c, e, err);
}

static const char *current_context(const struct kubeconfig_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = kube_json_str(files[i].object, "current-context");

		if (name[0])
			return name;
	}
	return NULL;
}

static bool read_context(struct kube_config *c, const struct kubeconfig_file *files, size_t n,
			 const char *context, struct err *err)
{
	_cleanup_free_ char *cluster_name = NULL, *user_name = NULL;
	struct entry e = {0}, cluster = {0}, user = {0};

	if (!find_entry(files, n, "contexts", "context", context, &e, err) ||
	    !get_str(&e, "cluster", &cluster_name, err) || !get_str(&e, "user", &user_name, err) ||
	    !get_str(&e, "namespace", &c->ns, err))
		return false;
	if (!cluster_name)
		return entry_err(err, &e, "cluster", "missing");
	if (!find_entry(files, n, "clusters", "cluster", cluster_name, &cluster, err) ||
	    !read_cluster(c, &cluster, err))
		return false;
	if (!user_name)
		return true;
	return find_entry(files, n, "users", "user", user_name, &user, err) &&
	       read_user(c, &user, err);
}

static char *wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
	return NULL;
}

struct kube_config *kube_config_free(struct kube_config *c)
{
	if (!c)
		return NULL;
	char *const open[] = {c->server,     c->tls_server_name, c->proxy_url, c->ca_file,
			      c->ca_data,    c->cert_file,       c->cert_data, c->key_file,
			      c->token_file, c->username,        c->ns,        c->source};
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		free(open[i]);
	wipe(c->key_data);
	wipe(c->token);
	wipe(c->password);
	free(c);
	return NULL;
}

struct kube_config *kubeconfig_build(const struct kubeconfig_file *files, size_t n,
				     const char *context, struct err *err)
{
	struct kube_config *c;

	for (size_t i = 0; i < n; i++)
		if (!json_object_is_type(files[i].object, json_type_object)) {
			(void)err_set(err, "%s: not a kubeconfig", files[i].path);
			return NULL;
		}
	if (!context || !context[0])
		context = current_context(files, n);
	if (!context) {
		(void)err_set(err, "no current-context is set, and none was asked for");
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	if (!read_context(c, files, n, context, err))
		return kube_config_free(c);
	if (!c->ns)
		c->ns = xstrdup("default");
	return c;
}
