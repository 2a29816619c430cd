/*
 * Promise: any bytes get an answer; a 200 is JSON with all parts of a response.
 */
#include <stdint.h>

#include "metallb/xalloc.h"
#include "operator/convert.h"
#include "operator/review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void json_putp(struct json_object **o)
{
	json_object_put(*o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	_cleanup_(buf_fini) struct buf out = {0};
	_cleanup_(json_putp) struct json_object *answer = NULL;
	struct json_object *response;

	if (convert_review((const char *)data, len, &out) != 200)
		return 0;
	answer = json_tokener_parse(buf_str(&out));
	response = review_get(answer, "response", json_type_object);
	if (!response || !*review_str(response, "uid") ||
	    !review_get(response, "convertedObjects", json_type_array) ||
	    !review_get(response, "result", json_type_object))
		__builtin_trap();
	return 0;
}
