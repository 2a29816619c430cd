/*
 * The uplink check: which gateways the kernel's default routes name, and what follows when they are
 * dead for this node. The other speakers are told like of a lost carrier; when one of them can take
 * an address over it does, and the Service is told why.
 */
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

#define LOOK_S       5. /* at the routes */
#define GATEWAYS_MAX 64

struct uplink {
	struct announcer *an;
	ev_timer timer;
	struct responder_gateway gateways[GATEWAYS_MAX]; /* that are asked */
	size_t n_gateways;
	char *why; /* a gateway that does not answer; NULL: they all do */
};

/* The gateways by this interface as text, to be freed. */
static char *gateways_text(const struct uplink *u, unsigned ifindex)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < u->n_gateways; i++) {
		char ip[IP_STR_MAX];

		if (u->gateways[i].ifindex != ifindex)
			continue;
		char *more = xasprintf("%s%s%s", text, *text ? " and " : "",
				       ip_format(&u->gateways[i].ip, ip));

		free(text);
		text = more;
	}
	return text;
}

static void state_tell(struct uplink *u, const struct responder_link *link,
		       enum responder_uplink state)
{
	_cleanup_free_ char *gateways = gateways_text(u, link->ifindex);

	if (state == RESPONDER_UPLINK_DEAD) {
		log_warn("layer2: the gateway does not answer", "interface", link->name, "gateway",
			 gateways, NULL);
		free(u->why);
		u->why = xasprintf("node \"%s\" handed it over: its gateway %s on interface %s "
				   "does not answer",
				   u->an->opt->node_name, gateways, link->name);
	} else if (state == RESPONDER_UPLINK_ALIVE) {
		log_info("layer2: the gateway answers", "interface", link->name, "gateway",
			 gateways, NULL);
	}
}

void uplink_changed(struct uplink *u)
{
	struct responder_link link;
	bool changed = false, dead = false;

	for (size_t pos = 0; links_usable_next(u->an->links, &pos, &link);) {
		enum responder_uplink state = responder_uplink(u->an->responder, link.ifindex);

		dead |= state == RESPONDER_UPLINK_DEAD;
		if (!links_set_uplink(u->an->links, link.ifindex, state))
			continue;
		state_tell(u, &link, state);
		changed = true;
	}
	if (!dead) {
		free(u->why);
		u->why = NULL;
	}
	if (changed)
		links_tell(u->an);
}

void uplink_look(struct uplink *u)
{
	struct responder_link link;

	if (!u)
		return;
	u->n_gateways = 0;
	for (size_t pos = 0; links_usable_next(u->an->links, &pos, &link);) {
		for (int v6 = 0; v6 < 2 && u->n_gateways < GATEWAYS_MAX; v6++) {
			struct responder_gateway *g = &u->gateways[u->n_gateways];

			g->ifindex = link.ifindex;
			u->n_gateways +=
				netlink_gateway(link.ifindex, v6 ? IP_V6 : IP_V4, &g->ip, &g->from);
		}
	}
	responder_set_gateways(u->an->responder, u->gateways, u->n_gateways, clock_now());
	uplink_changed(u); /* an interface may be back, and nothing known of it yet */
	l2_io_flush(u->an->l2);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	uplink_look(w->data);
}

const char *uplink_why(const struct uplink *u)
{
	return u ? u->why : NULL;
}

struct uplink *uplink_new(struct announcer *an)
{
	struct uplink *u;

	if (an->opt->uplink == 0)
		return NULL;
	u = xcalloc(1, sizeof(*u));
	u->an = an;
	ev_timer_init(&u->timer, on_look, LOOK_S, LOOK_S);
	u->timer.data = u;
	ev_timer_start(an->loop, &u->timer);
	return u;
}

struct uplink *uplink_free(struct uplink *u)
{
	if (!u)
		return NULL;
	ev_timer_stop(u->an->loop, &u->timer);
	free(u->why);
	free(u);
	return NULL;
}
