/*
 * What a failed request says: one line that names verb and resource, and the server's own words,
 * cut to a bounded length. Pure.
 */
#include "lib/kube/status.h"

#include <json-c/json.h>
#include <limits.h>
#include <string.h>

#include "lib/kube/page.h"

struct json_object *kube_json_parse(const char *text, size_t len)
{
	struct json_tokener *tokener;
	struct json_object *value;

	if (len >= INT_MAX)
		return NULL;
	tokener = json_tokener_new_ex(KUBE_JSON_DEPTH_MAX);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	value = json_tokener_parse_ex(tokener, text, (int)len);
	/* A number at the very end is complete only now. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		value = json_tokener_parse_ex(tokener, "", 1);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(value);
		value = NULL;
	}
	json_tokener_free(tokener);
	return value;
}

/* Text from outside for a one-line message: control characters become spaces. */
static void add_outside_text(struct buf *out, const char *text, size_t len)
{
	size_t n = len < KUBE_STATUS_TEXT_MAX ? len : KUBE_STATUS_TEXT_MAX;

	/* Do not cut a UTF-8 sequence in two. */
	while (n < len && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		buf_add_char(out, (unsigned char)text[i] < ' ' ? ' ' : text[i]);
	if (n < len)
		buf_add_str(out, "...");
}

static const char *status_word(int status)
{
	static const struct {
		int status;
		const char *word;
	} words[] = {
		{400, "Bad Request"}, {401, "Unauthorized"},      {403, "Forbidden"},
		{404, "Not Found"},   {405, "Not Allowed"},       {409, "Conflict"},
		{410, "Gone"},        {413, "Too Large"},         {415, "Unsupported Type"},
		{422, "Invalid"},     {429, "Too Many Requests"}, {500, "Internal Error"},
		{502, "Bad Gateway"}, {503, "Unavailable"},       {504, "Timeout"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].status == status)
			return words[i].word;
	return "";
}

void kube_failure_format(const struct kube_failure *f, struct buf *out)
{
	const char *message = kube_json_str(f->body, "message");

	buf_add_str(out, f->verb);
	if (f->resource) {
		buf_printf(out, " %s", f->resource->plural);
		if (f->resource->group[0])
			buf_printf(out, ".%s", f->resource->group);
	}
	if (f->name)
		buf_printf(out, " %s%s%s", f->ns ? f->ns : "", f->ns && f->ns[0] ? "/" : "",
			   f->name);
	buf_add_str(out, ": ");
	if (f->error) {
		buf_add_str(out, f->error);
		return;
	}
	buf_printf(out, "%d", f->status);
	if (status_word(f->status)[0])
		buf_printf(out, " %s", status_word(f->status));
	if (message[0]) {
		buf_add_str(out, ": ");
		add_outside_text(out, message, strlen(message));
	} else if (f->text && f->text_len > 0) {
		buf_add_str(out, ": ");
		add_outside_text(out, f->text, f->text_len);
	}
}
