/*
 * A walk through MetalLB's old configuration: where it stands, values by table, refusals that name
 * line and key. Pure; private to old_config.c. After a refusal the walk is over.
 */
#ifndef CLI_OLD_WALK_H
#define CLI_OLD_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/err.h"

struct json_object;

struct old_walk {
	const char *text;
	size_t len;
	struct buf path; /* of the value in hand */
	struct err *err;
};

enum old_type { OLD_TEXT, OLD_NUMBER, OLD_BOOL, OLD_DURATION, OLD_TEXTS, OLD_ELSEWHERE };

/* A table of them ends with a row without key. */
struct old_field {
	const char *key;
	enum old_type type;
	const char
		*to;  /* field of the spec; NULL with OLD_ELSEWHERE: read by who knows the object */
	uint64_t max; /* OLD_NUMBER */
};

/* Returns false. */
bool old_fail(struct old_walk *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Go in; the result is what old_leave() wants to come out again. */
size_t old_enter_key(struct old_walk *c, const char *key);
size_t old_enter_item(struct old_walk *c, size_t i);
void old_leave(struct old_walk *c, size_t before);

struct json_object *old_get(struct json_object *o, const char *key); /* NULL when absent */
bool old_need_text(struct old_walk *c, struct json_object *v);
/* All keys of `in` that have a field go to `out`; null is the same as not there. */
bool old_read_fields(struct old_walk *c, const struct old_field *fields, struct json_object *in,
		     struct json_object *out);
/* The items of the list under key; absent or null is empty. */
typedef bool (*old_item_fn)(struct old_walk *c, struct json_object *item, void *user);
bool old_each(struct old_walk *c, struct json_object *in, const char *key, old_item_fn fn,
	      void *user);

#endif
