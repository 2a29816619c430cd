/*
 * Comparison of what is there with what was asked for. Lists whose entries have a name are maps for
 * the API server (containers, env, volumes, webhooks); all others are one value. Pure.
 */
#include "operator/covers.h"

#include <json-c/json.h>
#include <string.h>

static bool is_named(struct json_object *list)
{
	struct json_object *name = NULL, *first = NULL;

	if (json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0)
		first = json_object_array_get_idx(list, 0);
	return json_object_is_type(first, json_type_object) &&
	       json_object_object_get_ex(first, "name", &name) &&
	       json_object_is_type(name, json_type_string);
}

static size_t length(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static struct json_object *find_covering(struct json_object *have, struct json_object *want)
{
	for (size_t i = 0; i < length(have); i++) {
		struct json_object *item = json_object_array_get_idx(have, i);

		if (json_covers(item, want))
			return item;
	}
	return NULL;
}

static bool list_covers(struct json_object *have, struct json_object *want)
{
	size_t n = json_object_array_length(want);

	if (!json_object_is_type(have, json_type_array) || length(have) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!json_covers(json_object_array_get_idx(have, i),
				 json_object_array_get_idx(want, i)))
			return false;
	return true;
}

static bool named_list_covers(struct json_object *have, struct json_object *want)
{
	for (size_t i = 0; i < json_object_array_length(want); i++)
		if (!find_covering(have, json_object_array_get_idx(want, i)))
			return false;
	return true;
}

bool json_covers(struct json_object *have, struct json_object *want)
{
	if (json_object_is_type(want, json_type_array))
		return is_named(want) ? named_list_covers(have, want) : list_covers(have, want);
	if (!json_object_is_type(want, json_type_object))
		return json_object_equal(have, want);
	json_object_object_foreach(want, key, value)
	{
		struct json_object *v;

		if (!json_object_is_type(have, json_type_object) ||
		    !json_object_object_get_ex(have, key, &v) || !json_covers(v, value))
			return false;
	}
	return true;
}

static bool list_has_more(struct json_object *have, struct json_object *want)
{
	if (!is_named(want))
		return false;
	if (length(have) > json_object_array_length(want))
		return true;
	for (size_t i = 0; i < json_object_array_length(want); i++) {
		struct json_object *w = json_object_array_get_idx(want, i);

		if (json_has_more(find_covering(have, w), w))
			return true;
	}
	return false;
}

bool json_has_more(struct json_object *have, struct json_object *want)
{
	if (json_object_is_type(want, json_type_array))
		return list_has_more(have, want);
	if (!json_object_is_type(want, json_type_object) ||
	    !json_object_is_type(have, json_type_object))
		return false;
	json_object_object_foreach(want, key, value)
	{
		struct json_object *v = NULL;

		if (json_object_object_get_ex(have, key, &v) && json_has_more(v, value))
			return true;
	}
	return false;
}
