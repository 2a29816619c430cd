/*
 * Whether an object is as it was asked for. Servers add defaults and others add what is theirs, so
 * "equal" is not the question. Pure.
 */
#ifndef OPERATOR_COVERS_H
#define OPERATOR_COVERS_H

#include <stdbool.h>

struct json_object;

/* Every member of want is in have with the same value. Lists entry by entry, but entries with a
 * name in any order and among others. */
bool json_covers(struct json_object *have, struct json_object *want);
/* have covers want, but a list with names in it has entries that want does not. */
bool json_has_more(struct json_object *have, struct json_object *want);

#endif
