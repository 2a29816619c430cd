/*
 * The configuration of MetalLB v0.9 to v0.12. Promises: it is refused with a reason, or every
 * resource has a kind, a name that a resource may have and no other resource of its kind has, and
 * the namespace that was asked for.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/cli/old_config.h"

static const char *text(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		__builtin_trap();
	return json_object_get_string(v);
}

static void check_item(struct table *seen, json_object *item)
{
	json_object *meta;

	if (!json_object_object_get_ex(item, "metadata", &meta))
		__builtin_trap();
	const char *name = text(meta, "name");
	size_t n = strlen(name);
	_cleanup_free_ char *key = xasprintf("%s/%s", text(item, "kind"), name);

	if (n == 0 || n > 253 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != n ||
	    strchr("-.", name[0]) || strchr("-.", name[n - 1]))
		__builtin_trap();
	if (strcmp(text(meta, "namespace"), "ns") != 0 || !*text(item, "apiVersion"))
		__builtin_trap();
	if (table_set(seen, key, seen))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_object *items = json_object_new_array(), *notes = json_object_new_array();
	struct table seen;
	struct err err = {0};

	table_init(&seen);
	if (!old_config_convert((const char *)data, len, "ns", items, notes, &err)) {
		if (!err.msg[0])
			__builtin_trap();
	} else {
		for (size_t i = 0; i < json_object_array_length(items); i++)
			check_item(&seen, json_object_array_get_idx(items, i));
	}
	table_fini(&seen);
	json_object_put(items);
	json_object_put(notes);
	return 0;
}
