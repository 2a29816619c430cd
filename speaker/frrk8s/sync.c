/*
 * One step at a time: after each write its result is awaited from the watch, for a while, so that
 * an older state that is still on its way is not taken for somebody's change.
 */
#include "speaker/frrk8s/sync.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/xalloc.h"

#define SEEN_WITHIN (10 * USEC_PER_SEC)

static void keep(struct json_object **slot, struct json_object *o)
{
	struct json_object *old = *slot;

	*slot = json_object_get(o);
	json_object_put(old);
}

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, name, &v);
	return v;
}

static const char *meta_text(struct json_object *o, const char *name)
{
	struct json_object *v = member(member(o, "metadata"), name);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

void frr_sync_fini(struct frr_sync *s)
{
	keep(&s->wanted, NULL);
	keep(&s->seen, NULL);
	keep(&s->sent, NULL);
	keep(&s->settled, NULL);
	free(s->awaited);
	s->awaited = NULL;
}

bool frr_sync_want(struct frr_sync *s, struct json_object *spec)
{
	if (s->decided && json_object_equal(s->wanted, spec))
		return false;
	s->decided = true;
	keep(&s->wanted, spec);
	return true;
}

static bool is_awaited(const struct frr_sync *s, struct json_object *object)
{
	return object ? strcmp(meta_text(object, "resourceVersion"), s->awaited) == 0
		      : s->awaited[0] == '\0';
}

static void await(struct frr_sync *s, const char *version, usec_t now)
{
	free(s->awaited);
	s->awaited = xstrdup(version);
	s->awaited_until = now + SEEN_WITHIN;
	if (is_awaited(s, s->seen)) {
		free(s->awaited);
		s->awaited = NULL;
	}
}

void frr_sync_see(struct frr_sync *s, struct json_object *object)
{
	keep(&s->seen, object);
	if (s->awaited && is_awaited(s, object)) {
		free(s->awaited);
		s->awaited = NULL;
	}
}

enum frr_step frr_sync_next(const struct frr_sync *s, usec_t now, usec_t *due)
{
	*due = USEC_NEVER;
	if (!s->decided)
		return FRR_NOTHING;
	if (s->awaited && now < s->awaited_until) {
		*due = s->awaited_until;
		return FRR_NOTHING;
	}
	if (!s->wanted)
		return s->seen && !meta_text(s->seen, "deletionTimestamp")[0] ? FRR_DELETE
									      : FRR_NOTHING;
	if (!s->seen)
		return FRR_CREATE;
	if (s->sent && json_object_equal(s->wanted, s->sent) &&
	    json_object_equal(member(s->seen, "spec"), s->settled))
		return FRR_NOTHING;
	return FRR_UPDATE;
}

static void add_text(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

/* Others' labels, annotations and finalizers stay. */
static struct json_object *metadata_of(const struct frr_sync *s, enum frr_step step)
{
	struct json_object *old = step == FRR_UPDATE ? member(s->seen, "metadata") : NULL;
	struct json_object *meta = NULL, *annotations;

	if (!json_object_is_type(old, json_type_object) ||
	    json_object_deep_copy(old, &meta, NULL) != 0)
		meta = json_object_new_object();
	add_text(meta, "name", s->name);
	add_text(meta, "namespace", s->ns);
	annotations = member(meta, "annotations");
	if (!json_object_is_type(annotations, json_type_object)) {
		annotations = json_object_new_object();
		json_object_object_add(meta, "annotations", annotations);
	}
	add_text(annotations, FRR_WRITER_ANNOTATION, FRR_WRITER);
	return meta;
}

struct json_object *frr_sync_body(const struct frr_sync *s, enum frr_step step)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "apiVersion", "frrk8s.metallb.io/v1beta1");
	add_text(o, "kind", "FRRConfiguration");
	json_object_object_add(o, "metadata", metadata_of(s, step));
	json_object_object_add(o, "spec", json_object_get(s->wanted));
	return o;
}

void frr_sync_done(struct frr_sync *s, struct json_object *sent, struct json_object *answer,
		   usec_t now)
{
	keep(&s->sent, sent);
	keep(&s->settled, member(answer, "spec"));
	await(s, answer ? meta_text(answer, "resourceVersion") : "", now);
}

bool frr_object_is_ours(struct json_object *object)
{
	struct json_object *by =
		member(member(member(object, "metadata"), "annotations"), FRR_WRITER_ANNOTATION);

	return json_object_is_type(by, json_type_string) &&
	       strcmp(json_object_get_string(by), FRR_WRITER) == 0;
}
