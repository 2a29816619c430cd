/*
 * YAML text, and kubeconfig made of it. Promises: a value that was read can be written and is no
 * larger than the bounds allow; a configuration that was accepted has a server and a namespace, and
 * at most one form of each certificate.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kube/kubeconfig.h"
#include "metallb/yaml.h"

static bool on_document(void *user, struct json_object *value, size_t line, struct err *err)
{
	size_t *last = user;

	(void)err;
	if (line < *last || !value || !json_object_to_json_string(value))
		__builtin_trap();
	*last = line;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = {0};
	size_t line = 0;
	struct json_object *o = yaml_parse_one((const char *)data, len, &err);
	struct kubeconfig_file file = {.path = "dir/config", .object = o};
	struct kube_config *c;

	if (!o && !err.msg[0])
		__builtin_trap();
	if (!yaml_parse_stream((const char *)data, len, on_document, &line, &err) && o)
		__builtin_trap();
	err.msg[0] = '\0';
	c = kubeconfig_build(&file, 1, NULL, &err);
	if (!c && !err.msg[0])
		__builtin_trap();
	if (c && (!c->server || !c->ns || (c->ca_file && c->ca_data) ||
		  (c->cert_file && c->cert_data) || (c->key_file && c->key_data)))
		__builtin_trap();
	kube_config_free(c);
	json_object_put(o);
	return 0;
}
