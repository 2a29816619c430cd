/*
 * Sockets and timers of the gossip engine: one UDP socket, one TCP listener, the connections that
 * came in and those that the engine asked for. After every input the engine's outputs are carried
 * out and its one timer is armed again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/list.h"
#include "metallb/xalloc.h"
#include "speaker/gossip/gossip.h"

#define PACKETS_PER_WAKE 64         /* datagrams read before the loop turns */
#define STREAMS_MAX      128        /* connections at once, both ways together */
#define STREAM_BYTES_MAX (40 << 20) /* received on all connections together, not yet complete */
#define READ_MAX         65536
#define UDP_BUFFER       (2 << 20) /* bytes asked of the kernel for the UDP socket */

struct stream {
	struct list link;
	struct gossip *g;
	int fd;
	ev_io io;
	ev_timer timer;
	bool dialled, writing;
	uint32_t id; /* of a dialled one */
	struct buf in, out;
	size_t written;
};

struct gossip {
	struct ev_loop *loop;
	struct swim *swim;
	struct gossip_callbacks cb;
	usec_t tcp_timeout;
	struct ip addr; /* bound */
	int udp, tcp;
	ev_io udp_io, tcp_io;
	ev_timer timer;
	struct list streams;
	unsigned n_streams;
	size_t stream_bytes;
};

static void flush(struct gossip *g);

/* ---- addresses ---- */

static socklen_t to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (ip->family == IP_V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, ip->b, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip->b, 16);
	return sizeof(*v6);
}

static bool from_sockaddr(const struct sockaddr_storage *ss, struct ip *ip, uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET) {
		*ip = ip_from_v4(&v4->sin_addr);
		*port = ntohs(v4->sin_port);
		return true;
	}
	if (ss->ss_family != AF_INET6)
		return false;
	*ip = ip_from_v6(&v6->sin6_addr);
	*port = ntohs(v6->sin6_port);
	return true;
}

/* ---- streams ---- */

static void stream_close(struct stream *st)
{
	struct gossip *g = st->g;

	ev_io_stop(g->loop, &st->io);
	ev_timer_stop(g->loop, &st->timer);
	list_del(&st->link);
	g->n_streams--;
	g->stream_bytes -= st->in.len;
	close(st->fd);
	buf_fini(&st->in);
	buf_fini(&st->out);
	free(st);
}

/* The connection is over without a complete answer. */
static void stream_fail(struct stream *st)
{
	struct gossip *g = st->g;

	if (st->dialled)
		swim_stream_answered(g->swim, clock_now(), st->id, st->in.data, st->in.len, true);
	stream_close(st);
}

static void stream_wait(struct stream *st, int events)
{
	ev_io_stop(st->g->loop, &st->io);
	ev_io_set(&st->io, st->fd, events);
	ev_io_start(st->g->loop, &st->io);
}

/* Returns false when the stream is gone. */
static bool stream_write(struct stream *st)
{
	while (st->written < st->out.len) {
		ssize_t n = send(st->fd, st->out.data + st->written, st->out.len - st->written,
				 MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			stream_fail(st);
			return false;
		}
		st->written += (size_t)n;
	}
	st->writing = false;
	if (!st->dialled) { /* the answer is out: nothing more to say */
		shutdown(st->fd, SHUT_WR);
		stream_close(st);
		return false;
	}
	stream_wait(st, EV_READ);
	return true;
}

/* What the engine makes of the bytes so far. */
static void stream_consider(struct stream *st, bool eof)
{
	struct gossip *g = st->g;
	enum swim_stream_verdict v;

	if (st->dialled) {
		v = swim_stream_answered(g->swim, clock_now(), st->id, st->in.data, st->in.len,
					 eof);
		if (v != SWIM_STREAM_MORE || eof)
			stream_close(st);
		return;
	}
	v = swim_stream_accepted(g->swim, clock_now(), st->in.data, st->in.len, g->n_streams,
				 &st->out);
	if (v == SWIM_STREAM_MORE && !eof)
		return;
	if (st->out.len == 0) {
		stream_close(st);
		return;
	}
	st->writing = true;
	stream_wait(st, EV_WRITE);
	stream_write(st);
}

static void stream_read(struct stream *st)
{
	static char chunk[READ_MAX];
	ssize_t n = recv(st->fd, chunk, sizeof(chunk), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		stream_fail(st);
		return;
	}
	if (st->g->stream_bytes + (size_t)n > STREAM_BYTES_MAX) {
		st->g->cb.on_drop(st->g->cb.user, "too many bytes of incomplete streams");
		stream_fail(st);
		return;
	}
	st->g->stream_bytes += (size_t)n;
	buf_add(&st->in, chunk, (size_t)n);
	stream_consider(st, n == 0);
}

static void on_stream(struct ev_loop *loop, ev_io *io, int events)
{
	struct stream *st = io->data;
	struct gossip *g = st->g;

	(void)loop;
	if (events & EV_WRITE)
		stream_write(st);
	else
		stream_read(st);
	flush(g);
}

static void on_stream_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct stream *st = timer->data;
	struct gossip *g = st->g;

	(void)loop;
	(void)events;
	stream_fail(st);
	flush(g);
}

static struct stream *stream_new(struct gossip *g, int fd, bool dialled, usec_t timeout)
{
	struct stream *st = xcalloc(1, sizeof(*st));

	st->g = g;
	st->fd = fd;
	st->dialled = dialled;
	st->writing = dialled;
	ev_io_init(&st->io, on_stream, fd, dialled ? EV_WRITE : EV_READ);
	ev_timer_init(&st->timer, on_stream_timeout, (double)timeout / 1e6, 0.);
	st->io.data = st->timer.data = st;
	ev_io_start(g->loop, &st->io);
	ev_timer_start(g->loop, &st->timer);
	list_add_tail(&g->streams, &st->link);
	g->n_streams++;
	return st;
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct gossip *g = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = accept4(g->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (g->n_streams >= STREAMS_MAX) {
			g->cb.on_drop(g->cb.user, "too many connections");
			close(fd);
			continue;
		}
		stream_new(g, fd, false, g->tcp_timeout);
	}
}

static void dial(struct gossip *g, struct swim_output *o)
{
	struct sockaddr_storage ss, local;
	socklen_t len = to_sockaddr(&o->addr, o->port, &ss);
	int fd = g->n_streams < STREAMS_MAX
			 ? socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
			 : -1;
	usec_t now = clock_now();
	socklen_t local_len = to_sockaddr(&g->addr, 0, &local);

	/* from the bound address, so that the peer sees the node that it knows */
	if (fd >= 0 && g->addr.family == o->addr.family && !ip_is_unspecified(&g->addr) &&
	    bind(fd, (struct sockaddr *)&local, local_len) < 0) {
		close(fd);
		fd = -1;
	}
	if (fd < 0 || (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)) {
		if (fd >= 0)
			close(fd);
		swim_stream_answered(g->swim, now, o->id, NULL, 0, true);
		return;
	}
	struct stream *st = stream_new(g, fd, true, o->deadline > now ? o->deadline - now : 1000);

	st->id = o->id;
	st->out = o->data;
	o->data = (struct buf){0};
}

/* ---- datagrams ---- */

static void send_packet(struct gossip *g, const struct swim_output *o)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(&o->addr, o->port, &ss);

	if (sendto(g->udp, o->data.data, o->data.len, 0, (struct sockaddr *)&ss, len) >= 0)
		return;
	if (errno == EAGAIN || errno == ENOBUFS)
		g->cb.on_drop(g->cb.user, "send buffer is full");
	else
		swim_send_failed(g->swim, clock_now(), &o->addr, o->port);
}

static void on_udp(struct ev_loop *loop, ev_io *io, int events)
{
	static uint8_t packet[READ_MAX];
	struct gossip *g = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < PACKETS_PER_WAKE; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		uint16_t port;
		struct ip from;
		ssize_t n =
			recvfrom(g->udp, packet, sizeof(packet), 0, (struct sockaddr *)&ss, &len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (from_sockaddr(&ss, &from, &port))
			swim_recv_packet(g->swim, clock_now(), &from, port, packet, (size_t)n);
	}
	flush(g);
}

/* ---- carrying out ---- */

static void carry_out(struct gossip *g, struct swim_output *o)
{
	switch (o->type) {
	case SWIM_OUT_PACKET:
		send_packet(g, o);
		break;
	case SWIM_OUT_DIAL:
		dial(g, o);
		break;
	case SWIM_OUT_JOIN:
	case SWIM_OUT_LEAVE:
	case SWIM_OUT_UPDATE:
	case SWIM_OUT_CONFLICT:
		g->cb.on_member(g->cb.user, o->type, o->name);
		break;
	case SWIM_OUT_JOINED:
		g->cb.on_joined(g->cb.user, &o->addr, o->why);
		break;
	case SWIM_OUT_DROP:
		g->cb.on_drop(g->cb.user, o->why);
		break;
	}
	buf_fini(&o->data);
}

static void flush(struct gossip *g)
{
	struct swim_output o;
	usec_t due, now;

	while (swim_next_output(g->swim, &o))
		carry_out(g, &o);
	due = swim_deadline(g->swim);
	now = clock_now();
	ev_timer_stop(g->loop, &g->timer);
	ev_timer_set(&g->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(g->loop, &g->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct gossip *g = timer->data;

	(void)loop;
	(void)events;
	swim_tick(g->swim, clock_now());
	flush(g);
}

/* ---- life ---- */

static int bind_socket(const struct swim_config *cfg, int type, int *out)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(&cfg->addr, cfg->port, &ss);
	int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	int size = UDP_BUFFER;

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	else
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || (type == SOCK_STREAM && listen(fd, 64))) {
		int r = -errno;

		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

/*
 * Bound to every address: advertise the one that packets to elsewhere would come from. Nothing is
 * sent.
 */
static int own_address(const struct ip *bound, struct ip *out)
{
	struct ip elsewhere;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint16_t port;
	int r = 0;

	ip_parse(bound->family == IP_V4 ? "192.0.2.1" : "2001:db8::1", &elsewhere);
	int fd = socket(bound->family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	len = to_sockaddr(&elsewhere, 9, &ss);
	if (connect(fd, (struct sockaddr *)&ss, len) < 0)
		r = -errno;
	len = sizeof(ss);
	if (r == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		r = -errno;
	close(fd);
	return r == 0 && !from_sockaddr(&ss, out, &port) ? -EAFNOSUPPORT : r;
}

static void gossip_freep(struct gossip **g)
{
	*g = gossip_free(*g);
}

int gossip_new(struct ev_loop *loop, const struct swim_config *cfg,
	       const struct gossip_callbacks *cb, struct gossip **out, struct err *err)
{
	_cleanup_(gossip_freep) struct gossip *g = xcalloc(1, sizeof(*g));
	char addr[IP_STR_MAX];
	int r;

	g->loop = loop;
	g->cb = *cb;
	g->tcp_timeout = cfg->tcp_timeout;
	g->addr = cfg->addr;
	g->udp = g->tcp = -1;
	list_init(&g->streams);
	ev_init(&g->timer, on_timer);
	r = bind_socket(cfg, SOCK_DGRAM, &g->udp);
	if (r == 0)
		r = bind_socket(cfg, SOCK_STREAM, &g->tcp);
	if (r < 0) {
		err_set(err, "gossip: cannot bind %s port %u: %s", ip_format(&cfg->addr, addr),
			cfg->port, strerror(-r));
		return r;
	}
	struct swim_config own = *cfg;

	r = ip_is_unspecified(&cfg->addr) ? own_address(&cfg->addr, &own.addr) : 0;
	if (r < 0) {
		err_set(err, "gossip: no address to advertise for %s: %s",
			ip_format(&cfg->addr, addr), strerror(-r));
		return r;
	}
	g->swim = swim_new(&own, &random_system, clock_now());
	ev_io_init(&g->udp_io, on_udp, g->udp, EV_READ);
	ev_io_init(&g->tcp_io, on_accept, g->tcp, EV_READ);
	g->udp_io.data = g->tcp_io.data = g->timer.data = g;
	ev_io_start(loop, &g->udp_io);
	ev_io_start(loop, &g->tcp_io);
	flush(g);
	*out = g;
	g = NULL;
	return 0;
}

struct gossip *gossip_free(struct gossip *g)
{
	struct list *pos, *tmp;

	if (!g)
		return NULL;
	if (g->swim) {
		ev_io_stop(g->loop, &g->udp_io);
		ev_io_stop(g->loop, &g->tcp_io);
		ev_timer_stop(g->loop, &g->timer);
	}
	list_for_each_safe (pos, tmp, &g->streams) {
		stream_close(container_of(pos, struct stream, link));
	}
	if (g->udp >= 0)
		close(g->udp);
	if (g->tcp >= 0)
		close(g->tcp);
	swim_free(g->swim);
	free(g);
	return NULL;
}

void gossip_join(struct gossip *g, const struct ip *addr, uint16_t port)
{
	swim_join(g->swim, clock_now(), addr, port);
	flush(g);
}

void gossip_leave(struct gossip *g)
{
	swim_leave(g->swim, clock_now());
	flush(g);
}

bool gossip_has_left(const struct gossip *g)
{
	return swim_has_left(g->swim);
}

void gossip_set_keyring(struct gossip *g, const struct gsp_keyring *ring)
{
	swim_set_keyring(g->swim, ring);
}

const struct swim *gossip_swim(const struct gossip *g)
{
	return g->swim;
}
