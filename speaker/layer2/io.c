/*
 * Two packet sockets per interface, one for ARP and one for neighbour discovery: a packet socket
 * sees solicitations sent to the announced address itself, which a socket bound to one of the
 * host's own addresses does not. Answers go out where the question came in, before anything else is
 * done. A socket that cannot be opened is tried again every few seconds.
 */
#include "speaker/layer2/io.h"

#include <errno.h>
#include <ev.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/layer2/filter.h"
#include "speaker/layer2/memberships.h"

#define FRAMES_PER_WAKE  64   /* answers before other sockets get their turn */
#define FRAMES_PER_FLUSH 256  /* announcements before questions get their turn */
#define FRAME_MAX        2048 /* received bytes that are looked at */
#define RETRY_S          5.
#define SEND_PRIORITY    6 /* TC_PRIO_INTERACTIVE */

struct port;

struct port_socket {
	struct port *port;
	ev_io io;
	int fd;
	enum responder_verdict (*recv)(struct responder *r, unsigned ifindex, const void *frame,
				       size_t len, usec_t now, struct l2_frame *reply);
};

/* One interface. */
struct port {
	struct l2_io *io;
	struct responder_link link;
	struct port_socket arp, ndp;
	bool seen;
};

struct l2_io {
	struct ev_loop *loop;
	struct responder *responder;
	struct l2_callbacks cb;
	struct port **ports;
	size_t n_ports, cap_ports;
	struct memberships *memberships;
	struct responder_group *failed; /* groups to be joined later */
	size_t n_failed, cap_failed;
	ev_timer timer, retry;
	uint64_t overruns;
	struct log_limit limit;
};

/* ---- sending ---- */

static struct port *port_find(const struct l2_io *io, unsigned ifindex)
{
	for (size_t i = 0; i < io->n_ports; i++)
		if (io->ports[i]->link.ifindex == ifindex)
			return io->ports[i];
	return NULL;
}

static void frame_send(struct l2_io *io, const struct l2_frame *f)
{
	struct port *port = port_find(io, f->ifindex);
	int fd = -1;
	unsigned held;

	if (port)
		fd = f->ethertype == ETHERTYPE_ARP_VALUE ? port->arp.fd : port->ndp.fd;
	if (fd < 0 || send(fd, f->data, f->len, MSG_DONTWAIT) >= 0)
		return;
	const char *why = strerror(errno);

	if (log_limit_ok(&io->limit, clock_now(), 10 * USEC_PER_SEC, 5, &held))
		log_warn("layer2: cannot send", "interface", port->link.name, "error", why,
			 "suppressed", log_int(held), NULL);
}

static void groups_flush(struct l2_io *io)
{
	struct responder_group g;

	while (responder_group_next(io->responder, &g)) {
		if (!g.join) {
			memberships_leave(io->memberships, g.ifindex, &g.group);
			continue;
		}
		int r = memberships_join(io->memberships, g.ifindex, &g.group);

		if (r == 0)
			continue;
		log_warn("layer2: cannot join group, trying again", "ifindex", log_int(g.ifindex),
			 "error", strerror(-r), NULL);
		ARRAY_GROW(io->failed, io->n_failed, io->cap_failed);
		io->failed[io->n_failed++] = g;
		ev_timer_again(io->loop, &io->retry);
	}
}

void l2_io_flush(struct l2_io *io)
{
	struct l2_frame frame;
	struct responder_probe result;
	usec_t now = clock_now(), due;

	groups_flush(io);
	for (int i = 0; i < FRAMES_PER_FLUSH && responder_output(io->responder, now, &frame); i++)
		frame_send(io, &frame);
	while (responder_probe_next(io->responder, &result))
		io->cb.on_probe(io->cb.user, &result);
	if (responder_take_uplink_change(io->responder))
		io->cb.on_uplink(io->cb.user);
	ev_timer_stop(io->loop, &io->timer);
	due = responder_deadline(io->responder);
	if (due == USEC_NEVER)
		return;
	ev_timer_set(&io->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(io->loop, &io->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	l2_io_flush(w->data);
}

/* ---- receiving ---- */

static void claims_tell(struct l2_io *io)
{
	struct responder_claim claim;

	while (responder_claim_next(io->responder, &claim))
		io->cb.on_claim(io->cb.user, &claim);
}

/* One frame; false when none is waiting. */
static bool receive_one(struct port_socket *s, usec_t now)
{
	struct l2_io *io = s->port->io;
	struct l2_frame reply;
	uint8_t buf[FRAME_MAX];
	ssize_t n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR || errno == ENETDOWN; /* ENETDOWN: told once, goes on */
	switch (s->recv(io->responder, s->port->link.ifindex, buf, (size_t)n, now, &reply)) {
	case RESPONDER_ANSWER:
		frame_send(io, &reply);
		break;
	case RESPONDER_CLAIM:
		claims_tell(io);
		break;
	default:
		break; /* counted by the responder */
	}
	return true;
}

static void on_frames(struct ev_loop *loop, ev_io *w, int revents)
{
	struct port_socket *s = w->data;
	usec_t now = clock_now();

	(void)loop;
	(void)revents;
	for (int i = 0; i < FRAMES_PER_WAKE; i++)
		if (!receive_one(s, now))
			break;
	if (responder_deadline(s->port->io->responder) <= now) /* somebody answered a probe */
		l2_io_flush(s->port->io);
}

/* ---- interfaces ---- */

static int socket_bind(int fd, uint16_t ethertype, unsigned ifindex)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ethertype),
		.sll_ifindex = (int)ifindex,
	};
	int priority = SEND_PRIORITY;
	int r = ethertype == ETHERTYPE_ARP_VALUE ? filter_attach_arp(fd) : filter_attach_ndp(fd);

	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) < 0)
		return -errno;
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

static void socket_open(struct port_socket *s, uint16_t ethertype)
{
	struct port *port = s->port;
	/* Protocol 0: nothing arrives before the filter is in place and bind() names the rest. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -errno : socket_bind(fd, ethertype, port->link.ifindex);

	if (r < 0) {
		log_error("layer2: cannot listen, trying again", "interface", port->link.name,
			  "protocol", ethertype == ETHERTYPE_ARP_VALUE ? "ARP" : "NDP", "error",
			  strerror(-r), NULL);
		if (fd >= 0)
			close(fd);
		ev_timer_again(port->io->loop, &port->io->retry);
		return;
	}
	s->fd = fd;
	ev_io_init(&s->io, on_frames, fd, EV_READ);
	s->io.data = s;
	ev_io_start(port->io->loop, &s->io);
}

static void socket_overruns_add(struct port_socket *s)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (s->fd >= 0 && getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		s->port->io->overruns += stats.tp_drops;
}

static void socket_close(struct port_socket *s)
{
	if (s->fd < 0)
		return;
	socket_overruns_add(s);
	ev_io_stop(s->port->io->loop, &s->io);
	close(s->fd);
	s->fd = -1;
}

/* Open what the interface can do now, close what it cannot do any more. */
static void port_sync(struct port *port)
{
	if (port->link.arp && port->arp.fd < 0)
		socket_open(&port->arp, ETHERTYPE_ARP_VALUE);
	else if (!port->link.arp)
		socket_close(&port->arp);
	if (port->link.ndp && port->ndp.fd < 0)
		socket_open(&port->ndp, ETHERTYPE_IPV6_VALUE);
	else if (!port->link.ndp)
		socket_close(&port->ndp);
}

static struct port *port_new(struct l2_io *io, const struct responder_link *link)
{
	struct port *port = xcalloc(1, sizeof(*port));

	port->io = io;
	port->link = *link;
	port->arp = (struct port_socket){.port = port, .fd = -1, .recv = responder_recv_arp};
	port->ndp = (struct port_socket){.port = port, .fd = -1, .recv = responder_recv_ndp};
	ARRAY_GROW(io->ports, io->n_ports, io->cap_ports);
	io->ports[io->n_ports++] = port;
	log_info("layer2: using interface", "interface", link->name, "arp",
		 link->arp ? "true" : "false", "ndp", link->ndp ? "true" : "false", NULL);
	return port;
}

static void port_free(struct port *port)
{
	socket_close(&port->arp);
	socket_close(&port->ndp);
	free(port);
}

void l2_io_set_links(struct l2_io *io, const struct links *links)
{
	struct responder_link link;
	usec_t now = clock_now();

	for (size_t i = 0; i < io->n_ports; i++)
		io->ports[i]->seen = false;
	for (size_t pos = 0; links_usable_next(links, &pos, &link);) {
		struct port *port = port_find(io, link.ifindex);

		if (!port)
			port = port_new(io, &link);
		port->link = link;
		port->seen = true;
		port_sync(port);
		responder_link_set(io->responder, &link, now);
	}
	for (size_t i = 0; i < io->n_ports;) {
		struct port *port = io->ports[i];

		if (port->seen) {
			i++;
			continue;
		}
		log_info("layer2: interface not usable any more", "interface", port->link.name,
			 NULL);
		responder_link_del(io->responder, port->link.ifindex);
		port_free(port);
		io->ports[i] = io->ports[--io->n_ports];
	}
	l2_io_flush(io);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct l2_io *io = w->data;
	struct responder_group *failed = io->failed;
	size_t n = io->n_failed;

	(void)revents;
	ev_timer_stop(loop, w);
	io->failed = NULL;
	io->n_failed = io->cap_failed = 0;
	for (size_t i = 0; i < io->n_ports; i++)
		port_sync(io->ports[i]);
	for (size_t i = 0; i < n; i++) {
		if (!port_find(io, failed[i].ifindex) ||
		    memberships_join(io->memberships, failed[i].ifindex, &failed[i].group) == 0)
			continue;
		ARRAY_GROW(io->failed, io->n_failed, io->cap_failed);
		io->failed[io->n_failed++] = failed[i];
		ev_timer_again(loop, w);
	}
	free(failed);
}

/* ---- life ---- */

struct l2_io *l2_io_new(struct ev_loop *loop, struct responder *responder,
			const struct l2_callbacks *cb)
{
	struct l2_io *io = xcalloc(1, sizeof(*io));

	io->loop = loop;
	io->responder = responder;
	io->cb = *cb;
	io->memberships = memberships_new();
	ev_timer_init(&io->timer, on_timer, 0., 0.);
	io->timer.data = io;
	ev_timer_init(&io->retry, on_retry, 0., RETRY_S);
	io->retry.data = io;
	return io;
}

struct l2_io *l2_io_free(struct l2_io *io)
{
	if (!io)
		return NULL;
	ev_timer_stop(io->loop, &io->timer);
	ev_timer_stop(io->loop, &io->retry);
	for (size_t i = 0; i < io->n_ports; i++)
		port_free(io->ports[i]);
	free(io->ports);
	memberships_free(io->memberships);
	free(io->failed);
	free(io);
	return NULL;
}

uint64_t l2_io_overruns(struct l2_io *io)
{
	for (size_t i = 0; i < io->n_ports; i++) {
		socket_overruns_add(&io->ports[i]->arp);
		socket_overruns_add(&io->ports[i]->ndp);
	}
	return io->overruns;
}
