/*
 * What render.c and render_live.c share.
 */
#ifndef OPERATOR_RENDER_IMPL_H
#define OPERATOR_RENDER_IMPL_H

#include "operator/render.h"

/* The object at "a.b.c", made where there is none. */
struct json_object *render_at(struct json_object *o, const char *path);
void render_set(struct json_object *o, const char *name, const char *value);
/* The entry with that name, or NULL. */
struct json_object *render_named(struct json_object *list, const char *name);
/* The overrides of a pod template. */
void render_pods(struct json_object *template, const char *container,
		 const struct metallb_pods *pods, const struct labels *node_selector,
		 const char *tolerations);
/* Put the sum of an object into it. */
void render_seal(struct json_object *o, char out[24]);

#endif
