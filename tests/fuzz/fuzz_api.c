/*
 * Promise: whatever the JSON of an object, its kind's decoder either refuses it with a reason that
 * names the kind, or yields an object with a name; the schema check and the selector text cope with
 * the same bytes. The first byte picks the kind.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "metallb/api.h"
#include "metallb/schema.h"
#include "metallb/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_decoded(const struct api_object *obj)
{
	const struct ipaddresspool *pool = (const void *)obj;

	if (!*obj->meta.name)
		__builtin_trap();
	if (obj->kind != API_IPADDRESSPOOL)
		return;
	for (size_t i = 0; i < pool->service_selectors.n; i++) {
		const struct selector *s = &pool->service_selectors.items[i];

		(void)selector_format(s, obj->arena);
		if (selector_check(s, NULL))
			(void)selector_matches(s, &obj->meta.labels);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = {.msg = ""};
	struct schema_report report;

	if (len < 2 || len > 1 << 20)
		return 0;
	enum api_kind kind = (enum api_kind)(data[0] % API_KIND_COUNT);
	json_tokener *tok = json_tokener_new_ex(API_DEPTH_MAX);
	json_object *json = json_tokener_parse_ex(tok, (const char *)data + 1, (int)len - 1);

	json_tokener_free(tok);
	struct api_object *obj = api_decode(kind, json, &err);

	if (obj)
		check_decoded(obj);
	else if (strncmp(err.msg, api_kind_info(kind)->kind, strlen(api_kind_info(kind)->kind)))
		__builtin_trap();
	api_object_free(obj);
	if (kind <= API_METALLB) {
		api_schema_check(kind, json, json, &report);
		schema_report_fini(&report);
	}
	json_object_put(json);
	return 0;
}
