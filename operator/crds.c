/*
 * One CRD after the other: read, made when there is none, else planned (crd_plan.c) and written
 * with the resourceVersion it was read with. What fails is told and tried again later.
 */
#include "operator/crds.h"

#include <ev.h>
#include <json-c/json.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/crd_plan.h"
#include "operator/manifests/embed.h"
#include "operator/render.h"

#define RETRY_S 15.

struct crds {
	struct crds_spec spec;
	size_t i; /* of the embedded ones, the one under way */
	struct json_object *ours;
	struct kube_call *call;
	ev_timer timer;
	bool creating, settled;
	struct buf problem, next_problem;
};

static void look(struct crds *c);

static void finish(struct crds *c)
{
	bool changed = !c->settled || strcmp(buf_str(&c->problem), buf_str(&c->next_problem)) != 0;

	buf_fini(&c->problem);
	c->problem = c->next_problem;
	c->next_problem = (struct buf){0};
	c->settled = true;
	c->i = 0;
	if (c->problem.len > 0) {
		ev_timer_set(&c->timer, RETRY_S, 0.);
		ev_timer_start(kube_client_loop(c->spec.client), &c->timer);
	}
	if (changed)
		c->spec.on_change(c->spec.user);
}

static void next(struct crds *c)
{
	json_object_put(c->ours);
	c->ours = NULL;
	c->i++;
	look(c);
}

static void note(struct crds *c, const char *text)
{
	log_warn("CRD", "name", kube_meta_str(c->ours, "name"), "problem", text, NULL);
	buf_printf(&c->next_problem, "%s%s", c->next_problem.len ? "; " : "", text);
}

static void on_written(void *user, const struct kube_result *result)
{
	struct crds *c = user;

	c->call = NULL;
	if (result->ok)
		log_info(c->creating ? "CRD made" : "CRD upgraded", "name",
			 kube_meta_str(c->ours, "name"), NULL);
	else
		note(c, result->message);
	next(c);
}

/* By server-side apply, which needs the right to create for this name only. Not by force: somebody
 * else may be making it. */
static void create(struct crds *c)
{
	static const struct kube_patch_options own = {RENDER_MANAGER, false};
	struct kube_ref ref = {&kube_crds, NULL, kube_meta_str(c->ours, "name"), NULL};

	c->creating = true;
	c->call = kube_client_patch(c->spec.client, &ref, KUBE_PATCH_APPLY, render_text(c->ours),
				    &own, on_written, c);
}

static void update(struct crds *c, struct json_object *want)
{
	struct kube_ref ref = {&kube_crds, NULL, kube_meta_str(c->ours, "name"), NULL};

	c->creating = false;
	c->call = kube_client_update(c->spec.client, &ref, render_text(want), on_written, c);
}

static bool may_write(struct crds *c)
{
	if (c->spec.may_write(c->spec.user))
		return true;
	note(c, "not written: the lease is not held any more");
	return false;
}

static void on_read(void *user, const struct kube_result *result)
{
	struct crds *c = user;
	const char *name = kube_meta_str(c->ours, "name");
	struct json_object *want = NULL;

	c->call = NULL;
	if (result->status == 404) {
		if (may_write(c))
			create(c);
	} else if (!result->ok) {
		note(c, result->message);
	} else {
		enum crd_action action = crd_plan(result->body, c->ours, &want);

		if (action == CRD_NEWER)
			log_info("CRD is newer than this operator and stays", "name", name, NULL);
		if (action == CRD_WRITE && may_write(c))
			update(c, want);
		json_object_put(want);
	}
	if (!c->call)
		next(c);
}

static void look(struct crds *c)
{
	struct kube_ref ref = {&kube_crds, NULL, NULL, NULL};
	struct err err;

	if (c->i == embedded_crds_n) {
		finish(c);
		return;
	}
	c->ours = yaml_parse_one(embedded_crds[c->i].text, embedded_crds[c->i].len, &err);
	ref.name = kube_meta_str(c->ours, "name");
	c->call = kube_client_get(c->spec.client, &ref, on_read, c);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	look(w->data);
}

struct crds *crds_new(const struct crds_spec *spec)
{
	struct crds *c = xcalloc(1, sizeof(*c));

	c->spec = *spec;
	ev_timer_init(&c->timer, on_timer, 0., 0.);
	c->timer.data = c;
	ev_timer_start(kube_client_loop(spec->client), &c->timer);
	return c;
}

struct crds *crds_free(struct crds *c)
{
	if (!c)
		return NULL;
	ev_timer_stop(kube_client_loop(c->spec.client), &c->timer);
	kube_client_cancel(c->call);
	json_object_put(c->ours);
	buf_fini(&c->problem);
	buf_fini(&c->next_problem);
	free(c);
	return NULL;
}

bool crds_are_settled(const struct crds *c)
{
	return c->settled;
}

const char *crds_problem(const struct crds *c)
{
	return buf_str(&c->problem);
}
