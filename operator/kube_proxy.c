/*
 * The ConfigMap holds a KubeProxyConfiguration as YAML under a key of any name. It is mended as
 * text, so that a person's comments stay, and read again to see that nothing else has changed.
 */
#include "operator/kube_proxy.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/kube.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"

/* The first text of `data` that is a KubeProxyConfiguration, read; the caller puts it. */
static json_object *find_config(json_object *configmap, const char **key, const char **text)
{
	json_object *data = kube_json_get(configmap, "data");

	if (!json_object_is_type(data, json_type_object))
		return NULL;
	json_object_object_foreach(data, name, value)
	{
		struct err err;

		if (!json_object_is_type(value, json_type_string))
			continue;
		const char *s = json_object_get_string(value);
		json_object *conf = yaml_parse_one(s, strlen(s), &err);

		if (strcmp(kube_json_str(conf, "kind"), "KubeProxyConfiguration") == 0) {
			*key = name;
			*text = s;
			return conf;
		}
		json_object_put(conf);
	}
	return NULL;
}

static bool is_strict(json_object *conf)
{
	return json_object_get_boolean(kube_json_get(kube_json_get(conf, "ipvs"), "strictARP"));
}

enum kube_proxy_arp kube_proxy_check(struct json_object *configmap, struct buf *mode)
{
	const char *key, *text;
	json_object *conf = find_config(configmap, &key, &text);

	if (!conf)
		return KUBE_PROXY_UNKNOWN;
	const char *name = kube_json_str(conf, "mode");
	bool loose = strcmp(name, "ipvs") == 0 && !is_strict(conf);

	buf_add_str(mode, *name ? name : "iptables"); /* the default on Linux */
	json_object_put(conf);
	return loose ? KUBE_PROXY_LOOSE : KUBE_PROXY_FINE;
}

/* ---- mending ---- */

static const char *line_start(const char *text, size_t line)
{
	while (--line > 0 && *text) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return text;
}

/* "strictARP: false" on this line becomes true. */
static bool replace_value(const char *text, size_t line, struct buf *out)
{
	const char *start = line_start(text, line);
	const char *at = strstr(start, "strictARP");

	if (!at || at > start + strcspn(start, "\n"))
		return false;
	at += strcspn(at, ":\n");
	if (*at != ':')
		return false;
	at++;
	at += strspn(at, " ");
	buf_add(out, text, (size_t)(at - text));
	buf_add_str(out, "true");
	buf_add_str(out, at + strcspn(at, " ,}\r\n"));
	return true;
}

/* A line of its own in the block that starts behind the line of "ipvs:". */
static void insert_line(const char *text, size_t line, json_object *ipvs, struct buf *out)
{
	const char *start = line_start(text, line), *end = start + strcspn(start, "\n");
	size_t indent = 2;
	bool block =
		json_object_is_type(ipvs, json_type_object) && json_object_object_length(ipvs) > 0;

	if (block) {
		json_object_object_foreach(ipvs, first, value)
		{
			_cleanup_free_ char *path = xasprintf("ipvs.%s", first);
			const char *child =
				line_start(text, yaml_line_of(text, strlen(text), path));

			(void)value;
			indent = strspn(child, " ");
			break;
		}
		buf_add(out, text, (size_t)(end - text));
	} else {
		buf_add(out, text, (size_t)(start - text));
		buf_add_str(out, "ipvs:");
	}
	buf_printf(out, "\n%*sstrictARP: true%s", (int)indent, "", end);
}

static void edit(const char *text, json_object *conf, struct buf *out)
{
	size_t len = strlen(text), line = yaml_line_of(text, len, "ipvs.strictARP");
	json_object *ipvs = kube_json_get(conf, "ipvs");

	if (line > 0) {
		if (!replace_value(text, line, out))
			buf_clear(out);
		return;
	}
	line = yaml_line_of(text, len, "ipvs");
	if (line > 0) {
		insert_line(text, line, ipvs, out);
		return;
	}
	buf_add_str(out, text);
	buf_printf(out, "%sipvs:\n  strictARP: true\n",
		   len > 0 && text[len - 1] != '\n' ? "\n" : "");
}

/* What the text must say afterwards. */
static void set_strict(json_object *conf)
{
	json_object *ipvs = kube_json_get(conf, "ipvs");

	if (!json_object_is_type(ipvs, json_type_object)) {
		ipvs = json_object_new_object();
		json_object_object_add(conf, "ipvs", ipvs);
	}
	json_object_object_add(ipvs, "strictARP", json_object_new_boolean(true));
}

bool kube_proxy_set_strict_arp(struct json_object *configmap, const char **key, struct buf *text,
			       struct err *err)
{
	const char *old;
	json_object *conf = find_config(configmap, key, &old);
	struct err why;

	if (!conf)
		return err_set(err, "ConfigMap " KUBE_PROXY_NS "/" KUBE_PROXY_CONFIG
				    " holds no KubeProxyConfiguration");
	buf_clear(text);
	edit(old, conf, text);
	set_strict(conf);
	json_object *now = yaml_parse_one(buf_str(text), text->len, &why);
	bool ok = now && json_object_equal(now, conf);

	json_object_put(now);
	json_object_put(conf);
	return ok || err_set(err, "%s cannot be mended as text: set ipvs.strictARP to true by hand",
			     *key);
}
