/*
 * Writing one entry of a status.conditions list. Pure.
 */
#include "metallb/api.h"

#include <inttypes.h>
#include <string.h>

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\":", name);
	buf_add_json_str(out, value, strlen(value));
	buf_add_char(out, ',');
}

void api_condition_format(const struct api_condition *c, struct buf *out)
{
	char time[32];

	buf_add_char(out, '{');
	add_member(out, "type", c->type);
	add_member(out, "status", c->status);
	add_member(out, "reason", c->reason);
	add_member(out, "message", c->message);
	buf_printf(out, "\"lastTransitionTime\":\"%s\"",
		   clock_format_rfc3339(c->last_transition, time));
	if (c->observed_generation)
		buf_printf(out, ",\"observedGeneration\":%" PRId64, c->observed_generation);
	buf_add_char(out, '}');
}
