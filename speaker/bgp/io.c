/*
 * The BGP engine on the event loop: the calls of bgp.h, one timer for all deadlines, and the
 * sockets as the router wants them. Part of the shell.
 */
#include <errno.h>
#include <stdlib.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/io.h"

static void sync_peer(struct bgp *b, struct bgp_peer *p)
{
	for (size_t i = 0; i < BGP_CONNS; i++) {
		struct bgp_conn *c = &p->conn[i];

		if (c->want_close && c->io)
			bgp_sock_close(c->io);
		if (c->want_connect)
			bgp_sock_connect(b, p, i);
		if (c->io)
			bgp_sock_flush(c->io);
		/* a flush can end a drain */
		if (c->want_close && c->io)
			bgp_sock_close(c->io);
	}
}

static void arm_timer(struct bgp *b)
{
	usec_t due = b->router.shared.events.n ? 0 : bgp_router_deadline(&b->router);
	usec_t now = clock_now();

	ev_timer_stop(b->loop, &b->timer);
	if (due == USEC_NEVER)
		return;
	/* the loop's idea of now may be older than ours */
	ev_now_update(b->loop);
	ev_timer_set(&b->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(b->loop, &b->timer);
}

void bgp_io_sync(struct bgp *b)
{
	for (size_t i = 0; i < b->router.n_peers; i++)
		sync_peer(b, b->router.peers[i]);
	for (size_t i = 0; i < b->router.n_dying; i++)
		sync_peer(b, b->router.dying[i]);
	bgp_router_reap(&b->router);
	arm_timer(b);
}

/* A callback may call anything in bgp.h, so the queue is taken away first. */
static void deliver(struct bgp *b)
{
	struct bgp_events q = b->router.shared.events;

	b->router.shared.events = (struct bgp_events){0};
	for (size_t i = 0; i < q.n && b->on_event; i++)
		b->on_event(b->user, &q.items[i]);
	free(q.items);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct bgp *b = container_of(w, struct bgp, timer);

	(void)loop;
	(void)revents;
	bgp_router_tick(&b->router, clock_now());
	deliver(b);
	bgp_io_sync(b);
}

int bgp_new(struct bgp **out, struct ev_loop *loop, const struct bgp_options *opt,
	    bgp_event_fn *on_event, void *user)
{
	struct ip addr;
	struct bgp *b;

	if (opt->listen_addr && *opt->listen_addr && !ip_parse(opt->listen_addr, &addr))
		return -EINVAL;
	b = xcalloc(1, sizeof(*b));
	b->loop = loop;
	b->on_event = on_event;
	b->user = user;
	b->listen_port = opt->listen_port;
	b->listen_addr = opt->listen_addr && *opt->listen_addr ? xstrdup(opt->listen_addr) : NULL;
	list_init(&b->listeners);
	list_init(&b->discoveries);
	list_init(&b->lingering);
	bgp_router_init(&b->router, &random_system, opt->node_name, opt->restarted);
	ev_timer_init(&b->timer, on_timer, 0., 0.);
	*out = b;
	return 0;
}

static void close_peers(struct bgp_peer **peers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < BGP_CONNS; k++)
			if (peers[i]->conn[k].io)
				bgp_sock_destroy(peers[i]->conn[k].io);
}

struct bgp *bgp_free(struct bgp *b)
{
	struct list *pos, *tmp;

	if (!b)
		return NULL;
	close_peers(b->router.peers, b->router.n_peers);
	close_peers(b->router.dying, b->router.n_dying);
	list_for_each_safe (pos, tmp, &b->lingering)
		bgp_sock_destroy(container_of(pos, struct bgp_sock, link));
	bgp_listeners_free(b);
	bgp_discoveries_free(b);
	ev_timer_stop(b->loop, &b->timer);
	bgp_router_fini(&b->router);
	free(b->listen_addr);
	free(b);
	return NULL;
}

bool bgp_set_peers(struct bgp *b, const struct bgp_peer_config *peers, size_t n, struct err *err)
{
	if (!bgp_router_set_peers(&b->router, peers, n, clock_now(), err))
		return false;
	bgp_discoveries_update(b);
	bgp_listeners_update(b);
	bgp_io_sync(b);
	return true;
}

bool bgp_set_routes(struct bgp *b, const char *peer, const struct bgp_route *routes, size_t n,
		    struct err *err)
{
	bool ok = bgp_router_set_routes(&b->router, peer, routes, n, clock_now(), err);

	bgp_io_sync(b);
	return ok;
}

bool bgp_add_route(struct bgp *b, const char *peer, const struct bgp_route *route, struct err *err)
{
	bool ok = bgp_router_add_route(&b->router, peer, route, clock_now(), err);

	bgp_io_sync(b);
	return ok;
}

void bgp_del_route(struct bgp *b, const char *peer, const struct prefix *prefix)
{
	bgp_router_del_route(&b->router, peer, prefix, clock_now());
	bgp_io_sync(b);
}

void bgp_drain(struct bgp *b, usec_t wait, bool end, const char *reason)
{
	bgp_router_drain(&b->router, wait, end, reason, clock_now());
	bgp_io_sync(b);
}

void bgp_undrain(struct bgp *b)
{
	bgp_router_undrain(&b->router, clock_now());
	bgp_io_sync(b);
}

bool bgp_is_drained(const struct bgp *b)
{
	return bgp_router_is_drained(&b->router);
}

void bgp_shutdown(struct bgp *b, const char *reason)
{
	bgp_router_shutdown(&b->router, reason, clock_now());
	bgp_io_sync(b);
}

static void bfd(struct bgp *b, const char *peer, bool up)
{
	struct bgp_peer *p = bgp_router_find(&b->router, peer);

	if (!p)
		return;
	bgp_peer_bfd(p, up, clock_now());
	bgp_io_sync(b);
}

void bgp_bfd_down(struct bgp *b, const char *peer)
{
	bfd(b, peer, false);
}

void bgp_bfd_up(struct bgp *b, const char *peer)
{
	bfd(b, peer, true);
}

bool bgp_peer_status(const struct bgp *b, const char *peer, struct bgp_peer_status *out)
{
	const struct bgp_peer *p = bgp_router_find(&b->router, peer);

	if (p)
		bgp_peer_get_status(p, out);
	return p != NULL;
}

size_t bgp_peer_count(const struct bgp *b)
{
	return b->router.n_peers;
}

void bgp_peer_status_at(const struct bgp *b, size_t i, struct bgp_peer_status *out)
{
	bgp_peer_get_status(b->router.peers[i], out);
}
