/*
 * One write at a time, made from the resource as the watch shows it and refused by the server when
 * that is out of date; the conditions of others stay.
 */
#include "operator/notice.h"

#include <ev.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "operator/render.h"
#include "operator/settings.h"

#define RETRY_S    5.
#define CONFLICT_S 0.3

struct notice {
	struct notice_spec spec;
	struct kube_call *call;
	ev_timer timer;
};

static void look_in(struct notice *n, double seconds)
{
	ev_timer_stop(kube_client_loop(n->spec.client), &n->timer);
	ev_timer_set(&n->timer, seconds, 0.);
	ev_timer_start(kube_client_loop(n->spec.client), &n->timer);
}

static void on_written(void *user, const struct kube_result *result)
{
	struct notice *n = user;

	n->call = NULL;
	if (!result->ok && result->status != 404 && result->status != 409)
		log_error("cannot write the status of the MetalLB resource", "error",
			  result->message, NULL);
	look_in(n, result->ok || result->status == 409 ? CONFLICT_S : RETRY_S);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct notice *n = w->data;
	const struct setting *set = settings_find(n->spec.settings);
	struct kube_ref ref = {&kube_metallbs, n->spec.ns, RENDER_NAME, "status"};
	_cleanup_(buf_fini) struct buf body = {0};
	struct install_notices notices = {0};

	(void)loop;
	(void)events;
	if (n->call || !set || !n->spec.may_write(n->spec.user))
		return;
	n->spec.gather(n->spec.user, &notices);
	if (install_notices_patch(set->metallb, &notices, clock_wall(), &body))
		n->call = kube_client_patch(n->spec.client, &ref, KUBE_PATCH_MERGE, buf_str(&body),
					    NULL, on_written, n);
}

void notice_touch(struct notice *n)
{
	if (!n->call)
		look_in(n, 0.);
}

struct notice *notice_new(const struct notice_spec *spec)
{
	struct notice *n = xcalloc(1, sizeof(*n));

	n->spec = *spec;
	ev_init(&n->timer, on_timer);
	n->timer.data = n;
	notice_touch(n);
	return n;
}

struct notice *notice_free(struct notice *n)
{
	if (!n)
		return NULL;
	ev_timer_stop(kube_client_loop(n->spec.client), &n->timer);
	kube_client_cancel(n->call);
	free(n);
	return NULL;
}
