/*
 * TCP for BGP: connecting, listening, reading within a budget, writing, closing so that a last
 * NOTIFICATION arrives. Part of the shell: no decision of the protocol is made here.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/io.h"

static void on_sock(struct ev_loop *loop, ev_io *w, int revents);

static struct bgp_sock *sock_new(struct bgp *b, struct bgp_peer *p, size_t conn, int fd,
				 bool connecting)
{
	struct bgp_sock *s = xcalloc(1, sizeof(*s));

	s->bgp = b;
	s->peer = p;
	s->conn = conn;
	s->fd = fd;
	s->connecting = connecting;
	list_init(&s->link);
	ev_init(&s->timer, NULL);
	ev_io_init(&s->io, on_sock, fd, connecting ? EV_WRITE : EV_READ);
	ev_io_start(b->loop, &s->io);
	p->conn[conn].io = s;
	p->conn[conn].is_open = true;
	return s;
}

void bgp_sock_destroy(struct bgp_sock *s)
{
	if (s->peer) {
		s->peer->conn[s->conn].io = NULL;
		bgp_peer_closed(s->peer, s->conn);
	} else {
		s->bgp->n_lingering--;
	}
	list_del(&s->link);
	ev_timer_stop(s->bgp->loop, &s->timer);
	ev_io_stop(s->bgp->loop, &s->io);
	close(s->fd);
	free(s);
}

static void want_events(struct bgp_sock *s, int events)
{
	if ((s->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(s->bgp->loop, &s->io);
	ev_io_set(&s->io, s->fd, events);
	ev_io_start(s->bgp->loop, &s->io);
}

static usec_t now_of(const struct bgp_sock *s)
{
	(void)s;
	return clock_now();
}

/* Sends what is in tx, as much as the kernel takes and the budget allows. */
void bgp_sock_flush(struct bgp_sock *s)
{
	struct buf *tx = &s->peer->conn[s->conn].tx;
	size_t budget = BGP_WRITE_BUDGET;

	if (s->connecting)
		return;
	while (tx->len > 0 && budget > 0) {
		ssize_t n = send(s->fd, tx->data, tx->len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) /* other errors come back from the read side */
			break;
		budget -= (size_t)n < budget ? (size_t)n : budget;
		bgp_peer_sent(s->peer, s->conn, (size_t)n, now_of(s));
	}
	want_events(s, tx->len > 0 ? EV_READ | EV_WRITE : EV_READ);
}

/* ---- closing ---- */

static void on_linger_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	bgp_sock_destroy(container_of(w, struct bgp_sock, timer));
}

static void on_linger(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bgp_sock *s = container_of(w, struct bgp_sock, io);
	char buf[4096];
	ssize_t n = recv(s->fd, buf, sizeof(buf), 0);

	(void)loop;
	(void)revents;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		bgp_sock_destroy(s);
}

/*
 * Closing a socket with unread input makes the kernel send RST, which can overtake a NOTIFICATION:
 * so end our side only and wait a little for the peer's.
 */
void bgp_sock_close(struct bgp_sock *s)
{
	struct bgp *b = s->bgp;
	struct bgp_conn *c = &s->peer->conn[s->conn];

	if (!s->connecting)
		bgp_sock_flush(s);
	if (s->connecting || c->tx.len > 0 || b->n_lingering >= BGP_LINGER_MAX ||
	    shutdown(s->fd, SHUT_WR) < 0) {
		bgp_sock_destroy(s);
		return;
	}
	c->io = NULL;
	bgp_peer_closed(s->peer, s->conn);
	s->peer = NULL;
	b->n_lingering++;
	list_add_tail(&b->lingering, &s->link);
	ev_io_stop(b->loop, &s->io);
	ev_io_init(&s->io, on_linger, s->fd, EV_READ);
	ev_io_start(b->loop, &s->io);
	ev_timer_init(&s->timer, on_linger_timeout, BGP_LINGER_TIME, 0.);
	ev_timer_start(b->loop, &s->timer);
}

/* The connection is over: tell the peer's machine why. */
static void sock_lost(struct bgp_sock *s, int error)
{
	struct bgp_peer *p = s->peer;
	size_t conn = s->conn;

	/* the engine may want to send nothing more, but it asks for the close in its own way */
	bgp_peer_disconnected(p, conn, error, clock_now());
	bgp_sock_destroy(s);
}

/* ---- an open connection ---- */

static void sock_connected(struct bgp_sock *s)
{
	struct bgp_local local;
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0)
		error = -bgp_sock_local(s->fd, s->peer->cfg.interface, &local);
	if (error) {
		sock_lost(s, error);
		return;
	}
	s->connecting = false;
	want_events(s, EV_READ);
	bgp_peer_connected(s->peer, s->conn, &local, clock_now());
}

static void sock_read(struct bgp_sock *s)
{
	uint8_t buf[BGP_READ_BUDGET];
	ssize_t n = recv(s->fd, buf, sizeof(buf), 0);

	if (n > 0)
		bgp_peer_recv(s->peer, s->conn, buf, (size_t)n, clock_now());
	else if (n == 0)
		sock_lost(s, 0);
	else if (errno != EAGAIN && errno != EINTR)
		sock_lost(s, errno);
}

static void on_sock(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bgp_sock *s = container_of(w, struct bgp_sock, io);
	struct bgp *b = s->bgp;

	(void)loop;
	if (s->connecting)
		sock_connected(s);
	else if (revents & EV_READ)
		sock_read(s);
	/* EV_WRITE: bgp_io_sync() flushes */
	bgp_io_sync(b);
}

/* ---- connecting ---- */

static int prepare(int fd, const struct bgp_peer *p, int family)
{
	const struct bgp_peer_config *cfg = &p->cfg;
	const char *device = *cfg->interface ? cfg->interface : cfg->vrf;
	struct sockaddr_storage ss = {0};
	int r = bgp_sockopt_set(fd, cfg, family);

	if (r == 0 && *device)
		r = bgp_sockopt_bind_device(fd, device);
	if (r == 0 && *cfg->password)
		r = bgp_sockopt_set_md5(fd, &p->remote, cfg->password);
	if (r == 0 && cfg->source.family == p->remote.family) {
		socklen_t len = bgp_sockaddr(&cfg->source, 0, p->ifindex, &ss);

		if (bind(fd, (struct sockaddr *)&ss, len) < 0)
			r = -errno;
	}
	return r;
}

static int start_connect(struct bgp *b, struct bgp_peer *p, size_t conn)
{
	int family = p->remote.family == IP_V6 ? AF_INET6 : AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_storage ss;
	unsigned scope = p->ifindex;

	if (fd < 0)
		return -errno;
	if (!scope && *p->cfg.interface)
		scope = if_nametoindex(p->cfg.interface);
	int r = prepare(fd, p, family);
	socklen_t len = bgp_sockaddr(&p->remote, p->cfg.port, scope, &ss);

	if (r == 0 && connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	sock_new(b, p, conn, fd, true);
	return 0;
}

void bgp_sock_connect(struct bgp *b, struct bgp_peer *p, size_t conn)
{
	int r = start_connect(b, p, conn);

	p->conn[conn].want_connect = false;
	if (r < 0)
		bgp_peer_disconnected(p, conn, -r, clock_now());
}

/* ---- listening ---- */

static bool take(struct bgp_listener *l, int fd, const struct sockaddr_storage *from)
{
	struct bgp *b = l->bgp;
	struct ip addr = bgp_sockaddr_ip(from);
	char ifname[IF_NAMESIZE] = "";
	struct bgp_local local;

	if (from->ss_family == AF_INET6) {
		unsigned scope = ((const struct sockaddr_in6 *)(const void *)from)->sin6_scope_id;

		if (scope && !if_indextoname(scope, ifname))
			return false;
	}
	struct bgp_peer *p = bgp_router_match(&b->router, &addr, ifname, l->vrf);

	if (!p || bgp_sockopt_set(fd, &p->cfg, from->ss_family) < 0 ||
	    bgp_sock_local(fd, p->cfg.interface, &local) < 0)
		return false;
	int conn = bgp_peer_accept(p, &local, clock_now());

	if (conn < 0)
		return false;
	sock_new(b, p, (size_t)conn, fd, false);
	return true;
}

static void on_listener(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bgp_listener *l = container_of(w, struct bgp_listener, io);
	struct bgp *b = l->bgp;

	(void)loop;
	(void)revents;
	for (int i = 0; i < BGP_ACCEPTS; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		int fd = accept4(l->fd, (struct sockaddr *)&from, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		unsigned held;
		char buf[IP_STR_MAX];

		if (fd < 0)
			break;
		if (take(l, fd, &from))
			continue;
		struct ip ip = bgp_sockaddr_ip(&from);

		if (log_limit_ok(&b->refused_log, clock_now(), 10 * USEC_PER_SEC, 3, &held))
			log_info("bgp: connection refused", "from", ip_format(&ip, buf),
				 "suppressed", log_int(held), NULL);
		close(fd);
	}
	bgp_io_sync(b);
}

static int listener_open(const struct bgp *b, int family, const char *vrf)
{
	struct ip any = {.family = family == AF_INET6 ? IP_V6 : IP_V4};
	struct sockaddr_storage ss;
	int on = 1, r = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (b->listen_addr && *b->listen_addr && !ip_parse(b->listen_addr, &any))
		r = -EINVAL;
	socklen_t len = bgp_sockaddr(&any, b->listen_port, 0, &ss);

	if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		r = -errno;
	if (r == 0 && family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		r = -errno;
	if (r == 0 && *vrf)
		r = bgp_sockopt_bind_device(fd, vrf);
	if (r == 0 && (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BGP_BACKLOG) < 0))
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static void listener_free(struct bgp_listener *l)
{
	list_del(&l->link);
	ev_io_stop(l->bgp->loop, &l->io);
	close(l->fd);
	free(l->vrf);
	free(l);
}

void bgp_listeners_free(struct bgp *b)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &b->listeners)
		listener_free(container_of(pos, struct bgp_listener, link));
}

static void listener_add(struct bgp *b, int family, const char *vrf)
{
	struct list *pos;
	struct ip only;

	if (b->listen_addr && ip_parse(b->listen_addr, &only) &&
	    (only.family == IP_V6) != (family == AF_INET6))
		return;
	list_for_each (pos, &b->listeners) {
		struct bgp_listener *l = container_of(pos, struct bgp_listener, link);

		if (l->family == family && strcmp(l->vrf, vrf) == 0)
			return;
	}
	int fd = listener_open(b, family, vrf);

	if (fd < 0) {
		log_warn("bgp: cannot listen", "port", log_int(b->listen_port), "vrf", vrf, "error",
			 strerror(-fd), NULL);
		return;
	}
	struct bgp_listener *l = xcalloc(1, sizeof(*l));

	*l = (struct bgp_listener){.bgp = b, .family = family, .fd = fd, .vrf = xstrdup(vrf)};
	list_add_tail(&b->listeners, &l->link);
	ev_io_init(&l->io, on_listener, fd, EV_READ);
	ev_io_start(b->loop, &l->io);
}

/* The kernel checks MD5 before we see the connection: each listener knows every peer's key. */
static void listener_set_keys(struct bgp *b, struct bgp_listener *l)
{
	for (size_t i = 0; i < b->router.n_peers; i++) {
		const struct bgp_peer *p = b->router.peers[i];
		int family = p->remote.family == IP_V6 ? AF_INET6 : AF_INET;
		char buf[IP_STR_MAX];

		if (p->remote.family == IP_NONE || family != l->family ||
		    strcmp(p->cfg.vrf, l->vrf) != 0)
			continue;
		int r = bgp_sockopt_set_md5(l->fd, &p->remote, p->cfg.password);

		if (r < 0 && !(r == -ENOENT && !*p->cfg.password))
			log_warn("bgp: cannot set the MD5 key of a peer", "peer",
				 ip_format(&p->remote, buf), "error", strerror(-r), NULL);
	}
}

void bgp_listeners_update(struct bgp *b)
{
	struct list *pos;

	if (!b->listen_port)
		return;
	listener_add(b, AF_INET, "");
	listener_add(b, AF_INET6, "");
	for (size_t i = 0; i < b->router.n_peers; i++) {
		listener_add(b, AF_INET, b->router.peers[i]->cfg.vrf);
		listener_add(b, AF_INET6, b->router.peers[i]->cfg.vrf);
	}
	list_for_each (pos, &b->listeners)
		listener_set_keys(b, container_of(pos, struct bgp_listener, link));
}
