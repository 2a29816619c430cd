/*
 * The packet sockets of the echo function: packets from us to us would never leave by way of the
 * kernel's routes, nor be let in again. A filter in the kernel keeps all other packets out. Part of
 * the shell.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/io.h"

/* Offsets in an IPv4 packet, in an IPv6 one, and in a UDP header. */
enum { FRAGMENT = 6, PROTOCOL = 9, NEXT_HEADER = 6, IPV6_HEADER = 40, DESTINATION_PORT = 2 };

static int filter_attach(int fd, const struct sock_filter *code, size_t n)
{
	struct sock_fprog prog = {.len = (unsigned short)n, .filter = (struct sock_filter *)code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int filter_attach_v6(int fd)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)SKF_AD_OFF + SKF_AD_PKTTYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NEXT_HEADER),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, IPV6_HEADER + DESTINATION_PORT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BFD_ECHO_PORT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	return filter_attach(fd, code, ARRAY_SIZE(code));
}

static int filter_attach_v4(int fd)
{
	static const struct sock_filter code[] = {
		/* none that this host sends, or that is for another one */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)SKF_AD_OFF + SKF_AD_PKTTYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 8),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PROTOCOL),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, FRAGMENT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, DESTINATION_PORT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BFD_ECHO_PORT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	return filter_attach(fd, code, ARRAY_SIZE(code));
}

static void socket_read(struct bfd_echo_socket *s, usec_t now)
{
	uint8_t data[256];

	for (int i = 0; s->fd >= 0 && i < BFD_READ_BUDGET; i++) {
		ssize_t n = recv(s->fd, data, sizeof(data), 0);

		if (n < 0)
			return;
		/* counted there */
		(void)bfd_engine_recv_echo(&s->bfd->engine, data, (size_t)n, now);
	}
}

void bfd_echo_read(struct bfd *b, usec_t now)
{
	for (size_t i = 0; i < ARRAY_SIZE(b->echo); i++)
		socket_read(&b->echo[i], now);
}

static void on_echo(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bfd_echo_socket *s = container_of(w, struct bfd_echo_socket, io);

	(void)loop;
	(void)revents;
	socket_read(s, clock_now());
	bfd_io_settle(s->bfd);
}

static struct bfd_echo_socket *socket_of(struct bfd *b, enum ip_family family)
{
	return &b->echo[family == IP_V6];
}

int bfd_echo_open(struct bfd *b, enum ip_family family)
{
	struct bfd_echo_socket *s = socket_of(b, family);
	struct sockaddr_ll any = {.sll_family = AF_PACKET,
				  .sll_protocol = htons(family == IP_V6 ? ETH_P_IPV6 : ETH_P_IP)};
	int fd, r;

	if (s->fd >= 0)
		return 0;
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : family == IP_V6 ? filter_attach_v6(fd) : filter_attach_v4(fd);
	if (r == 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		r = -errno;
	if (r < 0) {
		log_warn("bfd: cannot open a socket for echoes", "error", strerror(-r), NULL);
		if (fd >= 0)
			close(fd);
		return r;
	}
	s->bfd = b;
	s->fd = fd;
	ev_io_init(&s->io, on_echo, fd, EV_READ);
	ev_set_priority(&s->io, EV_MAXPRI);
	ev_io_start(b->loop, &s->io);
	return 0;
}

void bfd_echo_close(struct bfd *b, enum ip_family family)
{
	struct bfd_echo_socket *s = socket_of(b, family);

	if (s->fd < 0)
		return;
	ev_io_stop(b->loop, &s->io);
	close(s->fd);
	s->fd = -1;
}

int bfd_echo_send(const struct bfd *b, const struct bfd_send *out)
{
	bool v6 = out->path->remote.family == IP_V6;
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_IP),
				 .sll_ifindex = (int)out->ifindex,
				 .sll_halen = ETHER_ADDR_LEN};
	int fd = b->echo[v6].fd;
	/* the kernel knows it from the control packets */
	int r = fd < 0 ? -ENOTCONN : bfd_neighbor(&out->path->remote, out->ifindex, to.sll_addr);

	if (r < 0)
		return r;
	return sendto(fd, out->data, out->len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}
