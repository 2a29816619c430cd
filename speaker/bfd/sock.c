/*
 * UDP for BFD: one receiving socket per family and port, one sending socket per family, for all
 * sessions of a VRF. The local address and the interface of each packet travel as control messages,
 * and so does the hop limit that the engine checks. Part of the shell.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/io.h"

#define SOURCE_PORT_MIN   49152 /* RFC 5881 section 4 */
#define SOURCE_PORTS      16384
#define SOURCE_PORT_TRIES 64
#define TOS_NETWORK       0xC0 /* class selector 6, as routers send it */
#define CONTROL_MAX       128

static int option_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int address_bind(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int r = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
				   : bind(fd, (struct sockaddr *)&v4, sizeof(v4));

	return r < 0 ? -errno : 0;
}

/* A socket of the VRF; IPv6 ones take no IPv4. */
static int socket_open(const char *vrf, int family, int *fd)
{
	int r = 0;

	*fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (*vrf && setsockopt(*fd, SOL_SOCKET, SO_BINDTODEVICE, vrf, (socklen_t)strlen(vrf)) < 0)
		r = -errno;
	if (r == 0 && family == AF_INET6)
		r = option_set(*fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	return r;
}

static int ttl_set(int fd, int family)
{
	int r;

	if (family == AF_INET6) {
		r = option_set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, BFD_TTL);
		return r < 0 ? r : option_set(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_NETWORK);
	}
	r = option_set(fd, IPPROTO_IP, IP_TTL, BFD_TTL);
	return r < 0 ? r : option_set(fd, IPPROTO_IP, IP_TOS, TOS_NETWORK);
}

static int rx_prepare(int fd, int family, uint16_t port)
{
	int r;

	if (family == AF_INET6) {
		r = option_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		if (r == 0)
			r = option_set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	} else {
		r = option_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (r == 0)
			r = option_set(fd, IPPROTO_IP, IP_RECVTTL, 1);
	}
	return r < 0 ? r : address_bind(fd, family, port);
}

static int tx_prepare(int fd, int family)
{
	int r = ttl_set(fd, family);

	for (int i = 0; r == 0 && i < SOURCE_PORT_TRIES; i++) {
		uint16_t port =
			(uint16_t)(SOURCE_PORT_MIN + random_below(&random_system, SOURCE_PORTS));

		r = address_bind(fd, family, port);
		if (r != -EADDRINUSE)
			return r;
		r = i + 1 < SOURCE_PORT_TRIES ? 0 : r;
	}
	return r;
}

static void open_failed(const struct bfd_net *n, int family, int port, int error)
{
	log_warn("bfd: cannot open a socket", "family", family == AF_INET6 ? "IPv6" : "IPv4",
		 "port", log_int(port), "vrf", n->vrf, "error", strerror(-error), NULL);
}

/* ---- receiving ---- */

static void control_take(struct msghdr *m, struct bfd_datagram *d)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct in_pktinfo v4;
		struct in6_pktinfo v6;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&v4, CMSG_DATA(c), sizeof(v4));
			d->to = ip_from_v4(&v4.ipi_addr);
			d->ifindex = (unsigned)v4.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&v6, CMSG_DATA(c), sizeof(v6));
			d->to = ip_from_v6(&v6.ipi6_addr);
			d->ifindex = v6.ipi6_ifindex;
		} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
			   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
			memcpy(&d->ttl, CMSG_DATA(c), sizeof(d->ttl));
		}
	}
}

/* false: nothing waits. */
static bool packet_read(struct bfd_rx *rx, usec_t now)
{
	struct bfd *b = rx->net->bfd;
	uint8_t data[256];
	char control[CONTROL_MAX], text[IP_STR_MAX];
	struct sockaddr_storage from = {0};
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(rx->fd, &m, 0);
	unsigned held;

	if (n < 0)
		return errno == EINTR;
	struct bfd_datagram d = {.data = data,
				 .len = (size_t)n,
				 .ttl = -1,
				 .multihop = rx->port == BFD_PORT_MULTIHOP,
				 .vrf = rx->net->vrf};

	d.from = from.ss_family == AF_INET6
			 ? ip_from_v6(&((struct sockaddr_in6 *)(void *)&from)->sin6_addr)
			 : ip_from_v4(&((struct sockaddr_in *)(void *)&from)->sin_addr);
	control_take(&m, &d);
	const char *why = bfd_engine_recv(&b->engine, &d, now);

	if (why && log_limit_ok(&b->drop_log, now, 10 * USEC_PER_SEC, 3, &held))
		log_debug("bfd: packet dropped", "from", ip_format(&d.from, text), "reason", why,
			  "suppressed", log_int(held), NULL);
	return true;
}

static void rx_read(struct bfd_rx *rx, usec_t now)
{
	for (int i = 0; rx->fd >= 0 && i < BFD_READ_BUDGET; i++)
		if (!packet_read(rx, now))
			return;
}

void bfd_net_read(struct bfd_net *n, usec_t now)
{
	for (size_t i = 0; i < BFD_RX_COUNT; i++)
		rx_read(&n->rx[i], now);
}

static void on_packets(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bfd_rx *rx = container_of(w, struct bfd_rx, io);
	struct bfd *b = rx->net->bfd;

	(void)loop;
	(void)revents;
	rx_read(rx, clock_now());
	bfd_io_settle(b);
}

/* ---- opening ---- */

static bool rx_open(struct bfd_rx *rx, int family)
{
	int fd, r;

	if (rx->fd >= 0)
		return true;
	r = socket_open(rx->net->vrf, family, &fd);
	if (r == 0)
		r = rx_prepare(fd, family, rx->port);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		if (r == -EAFNOSUPPORT) /* a node without that family has no peers in it */
			return true;
		open_failed(rx->net, family, rx->port, r);
		return false;
	}
	rx->fd = fd;
	ev_io_init(&rx->io, on_packets, fd, EV_READ);
	ev_set_priority(&rx->io, EV_MAXPRI);
	ev_io_start(rx->net->bfd->loop, &rx->io);
	return true;
}

static bool tx_open(struct bfd_net *n, int family)
{
	int *tx = &n->tx[family == AF_INET6], fd, r;

	if (*tx >= 0)
		return true;
	r = socket_open(n->vrf, family, &fd);
	if (r == 0)
		r = tx_prepare(fd, family);
	if (r == 0) {
		*tx = fd;
		return true;
	}
	if (fd >= 0)
		close(fd);
	if (r == -EAFNOSUPPORT)
		return true;
	open_failed(n, family, 0, r);
	return false;
}

bool bfd_net_open(struct bfd_net *n)
{
	static const int family[BFD_RX_COUNT] = {AF_INET, AF_INET6, AF_INET, AF_INET6};
	bool complete = true;

	n->vrf_index = *n->vrf ? if_nametoindex(n->vrf) : 0;
	for (size_t i = 0; i < BFD_RX_COUNT; i++)
		complete &= rx_open(&n->rx[i], family[i]);
	complete &= tx_open(n, AF_INET);
	complete &= tx_open(n, AF_INET6);
	return complete;
}

bool bfd_net_is_stale(const struct bfd_net *n)
{
	return *n->vrf && if_nametoindex(n->vrf) != n->vrf_index;
}

struct bfd_net *bfd_net_new(struct bfd *b, const char *vrf)
{
	static const uint16_t ports[BFD_RX_COUNT] = {
		[BFD_RX_V4] = BFD_PORT,
		[BFD_RX_V6] = BFD_PORT,
		[BFD_RX_V4_MULTIHOP] = BFD_PORT_MULTIHOP,
		[BFD_RX_V6_MULTIHOP] = BFD_PORT_MULTIHOP,
	};
	struct bfd_net *n = xcalloc(1, sizeof(*n));

	n->bfd = b;
	snprintf(n->vrf, sizeof(n->vrf), "%s", vrf);
	n->tx[0] = n->tx[1] = -1;
	for (size_t i = 0; i < BFD_RX_COUNT; i++)
		n->rx[i] = (struct bfd_rx){.net = n, .fd = -1, .port = ports[i]};
	list_add_tail(&b->nets, &n->link);
	return n;
}

void bfd_net_free(struct bfd_net *n)
{
	for (size_t i = 0; i < BFD_RX_COUNT; i++) {
		if (n->rx[i].fd < 0)
			continue;
		ev_io_stop(n->bfd->loop, &n->rx[i].io);
		close(n->rx[i].fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(n->tx); i++)
		if (n->tx[i] >= 0)
			close(n->tx[i]);
	list_del(&n->link);
	free(n);
}

/* ---- sending ---- */

static void control_add(struct msghdr *m, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = m->msg_control;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	m->msg_controllen = CMSG_SPACE(len);
}

static void destination_set(struct msghdr *m, const struct bfd_path *p, uint16_t port,
			    struct sockaddr_storage *to)
{
	if (p->remote.family == IP_V6) {
		struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
		struct in6_pktinfo info = {.ipi6_ifindex = p->ifindex};

		memcpy(&s6.sin6_addr, p->remote.b, 16);
		s6.sin6_scope_id = ip_is_link_local(&p->remote) ? p->ifindex : 0;
		if (p->local.family == IP_V6)
			memcpy(&info.ipi6_addr, p->local.b, 16);
		memcpy(to, &s6, sizeof(s6));
		m->msg_namelen = sizeof(s6);
		control_add(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
		struct in_pktinfo info = {.ipi_ifindex = (int)p->ifindex};

		memcpy(&s4.sin_addr, p->remote.b, 4);
		if (p->local.family == IP_V4)
			memcpy(&info.ipi_spec_dst, p->local.b, 4);
		memcpy(to, &s4, sizeof(s4));
		m->msg_namelen = sizeof(s4);
		control_add(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
}

int bfd_net_send(const struct bfd_net *n, const struct bfd_send *out)
{
	int fd = n->tx[out->path->remote.family == IP_V6];
	uint8_t data[BFD_PACKET_LEN];
	_Alignas(struct cmsghdr) char control[CONTROL_MAX] = {0};
	struct sockaddr_storage to = {0};
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {
		.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};

	if (fd < 0)
		return -ENOTCONN;
	memcpy(data, out->data, sizeof(data));
	destination_set(&m, out->path, out->path->multihop ? BFD_PORT_MULTIHOP : BFD_PORT, &to);
	return sendmsg(fd, &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}
