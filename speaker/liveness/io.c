/*
 * What has arrived is read before the clock is looked at: a datagram that waited while this process
 * did not run was heard in time.
 */
#include "speaker/liveness/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/xalloc.h"

#define PACKETS_PER_WAKE 256
#define SEND_PRIORITY    6 /* TC_PRIO_INTERACTIVE */

struct liveness_io {
	struct ev_loop *loop;
	struct liveness *engine;
	uint16_t port;
	int fd;
	liveness_output_fn on_output;
	void *user;
	ev_io io;
	ev_timer timer;
	bool flushing;
};

static socklen_t to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss)
{
	*ss = (struct sockaddr_storage){0};
	if (ip->family == IP_V4) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ss;

		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, ip->b, 4);
		return sizeof(*sin);
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(port);
	memcpy(&sin6->sin6_addr, ip->b, 16);
	return sizeof(*sin6);
}

/* A datagram that cannot be sent is one that got lost; the engine sends others. */
static void packet_send(const struct liveness_io *io, const struct liveness_output *o)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(&o->addr, io->port, &ss);
	struct liveness_output lost = {.type = LIVENESS_OUT_DROP, .why = "cannot be sent"};

	if (sendto(io->fd, o->data.data, o->data.len, MSG_DONTWAIT, (struct sockaddr *)&ss, len) <
		    0 &&
	    errno != ECONNREFUSED)
		io->on_output(io->user, &lost);
}

void liveness_io_flush(struct liveness_io *io)
{
	struct liveness_output o;

	if (io->flushing)
		return; /* fed from within on_output: the loop below goes on */
	io->flushing = true;
	while (liveness_next_output(io->engine, &o)) {
		if (o.type == LIVENESS_OUT_PACKET)
			packet_send(io, &o);
		else
			io->on_output(io->user, &o);
		buf_fini(&o.data);
	}
	io->flushing = false;
	usec_t due = liveness_deadline(io->engine), now = clock_now();

	ev_timer_stop(io->loop, &io->timer);
	ev_timer_set(&io->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(io->loop, &io->timer);
}

static void receive(struct liveness_io *io)
{
	static uint8_t packet[LIVENESS_MESSAGE_MAX + 1];

	for (int i = 0; i < PACKETS_PER_WAKE; i++) {
		ssize_t n = recv(io->fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (n >= 0)
			liveness_recv(io->engine, packet, (size_t)n, clock_now());
		else if (errno != EINTR && errno != ECONNREFUSED)
			break;
	}
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct liveness_io *io = w->data;

	(void)loop;
	(void)revents;
	receive(io);
	liveness_io_flush(io);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct liveness_io *io = w->data;

	(void)loop;
	(void)revents;
	receive(io);
	liveness_tick(io->engine, clock_now());
	liveness_io_flush(io);
}

static int socket_bind(const struct ip *addr, uint16_t port, int *out)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(addr, port, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int priority = SEND_PRIORITY;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) < 0 ||
	    bind(fd, (struct sockaddr *)&ss, len) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

int liveness_io_new(struct ev_loop *loop, const struct liveness_config *cfg, const struct ip *addr,
		    uint16_t port, liveness_output_fn on_output, void *user,
		    struct liveness_io **out, struct err *err)
{
	struct liveness_io *io;
	char text[IP_STR_MAX];
	int fd = -1, r = socket_bind(addr, port, &fd);

	if (r < 0) {
		err_set(err, "liveness: cannot bind %s port %u: %s", ip_format(addr, text), port,
			strerror(-r));
		return r;
	}
	io = xcalloc(1, sizeof(*io));
	io->loop = loop;
	io->fd = fd;
	io->port = port;
	io->on_output = on_output;
	io->user = user;
	io->engine = liveness_new(cfg, &random_system, clock_now());
	ev_io_init(&io->io, on_readable, fd, EV_READ);
	ev_timer_init(&io->timer, on_timer, 0., 0.);
	io->io.data = io->timer.data = io;
	ev_io_start(loop, &io->io);
	liveness_io_flush(io);
	*out = io;
	return 0;
}

struct liveness_io *liveness_io_free(struct liveness_io *io)
{
	if (!io)
		return NULL;
	ev_io_stop(io->loop, &io->io);
	ev_timer_stop(io->loop, &io->timer);
	close(io->fd);
	liveness_free(io->engine);
	free(io);
	return NULL;
}

struct liveness *liveness_io_engine(const struct liveness_io *io)
{
	return io->engine;
}
