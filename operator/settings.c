/*
 * One informer. A resource that cannot be decoded is kept with the reason, which goes into its
 * status.
 */
#include "operator/settings.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/kube_informer.h"
#include "metallb/xalloc.h"
#include "operator/render.h"

struct settings {
	struct kube_informer *informer;
	const char *ns;
	void (*on_change)(void *user);
	void *user;
};

/* Without its spec, so that there is something to write a status to. */
static struct api_object *decode_rest(struct json_object *o, struct err *err)
{
	static const char *const members[] = {"apiVersion", "kind", "metadata", "status"};
	struct json_object *rest = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_object_object_add(rest, members[i],
				       json_object_get(kube_json_get(o, members[i])));
	struct api_object *decoded = api_decode(API_METALLB, rest, err);

	json_object_put(rest);
	return decoded;
}

static void *decode(struct json_object *o, struct err *err)
{
	struct api_object *whole = api_decode(API_METALLB, o, err), *rest = NULL;
	struct err ignored;

	if (!whole && !(rest = decode_rest(o, &ignored)))
		return NULL;
	struct setting *s = xcalloc(1, sizeof(*s));

	s->metallb = (struct metallb *)(void *)(whole ? whole : rest);
	s->name = xstrdup(kube_meta_str(o, "name"));
	s->has_image = *kube_json_str(kube_json_get(o, "spec"), "image");
	s->problem = xstrdup(whole ? "" : err->msg);
	return s;
}

static void free_value(void *value)
{
	struct setting *s = value;

	arena_free(s->metallb->obj.arena);
	free(s->name);
	free(s->problem);
	free(s);
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	struct settings *s = user;

	(void)key;
	(void)before;
	(void)after;
	s->on_change(s->user);
}

static void on_synced(void *user)
{
	struct settings *s = user;

	s->on_change(s->user);
}

struct settings *settings_new(struct kube_client *client, const char *ns,
			      void (*changed)(void *user), void *user)
{
	struct settings *s = xcalloc(1, sizeof(*s));
	struct kube_informer_spec spec = {
		.sources = {{&kube_metallbs, decode}},
		.n_sources = 1,
		.ns = ns,
		.free_value = free_value,
		.on_change = on_change,
		.on_synced = on_synced,
		.user = s,
	};

	s->ns = ns;
	s->on_change = changed;
	s->user = user;
	s->informer = kube_informer_new(client, &spec);
	return s;
}

struct settings *settings_free(struct settings *s)
{
	if (!s)
		return NULL;
	kube_informer_free(s->informer);
	free(s);
	return NULL;
}

bool settings_are_known(const struct settings *s)
{
	return kube_informer_is_synced(s->informer);
}

const struct kube_store *settings_store(const struct settings *s)
{
	return kube_informer_store(s->informer);
}

const struct setting *settings_find(const struct settings *s)
{
	return kube_store_find_ns(settings_store(s), s->ns, RENDER_NAME);
}

const struct metallb *settings_metallb(const struct settings *s)
{
	const struct setting *found = settings_find(s);

	return found && !*found->problem ? found->metallb : NULL;
}

enum bgp_backend settings_backend(const char *text)
{
	if (strcmp(text, "frr") == 0)
		return BACKEND_FRR;
	return strncmp(text, "frr-k8s", strlen("frr-k8s")) == 0 ? BACKEND_FRR_K8S : BACKEND_NATIVE;
}
