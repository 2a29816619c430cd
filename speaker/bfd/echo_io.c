/*
 * The packet socket of the echo function: packets from us to us would never leave by way of the
 * kernel's routes, nor be let in again. A filter in the kernel keeps all other packets out. Part of
 * the shell.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/io.h"

/* Offsets in an IPv4 packet. */
enum { FRAGMENT = 6, PROTOCOL = 9, DESTINATION_PORT = 2 };

static int filter_attach(int fd)
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
	struct sock_fprog prog = {.len = ARRAY_SIZE(code), .filter = (struct sock_filter *)code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

void bfd_echo_read(struct bfd *b, usec_t now)
{
	uint8_t data[256];

	for (int i = 0; b->echo_fd >= 0 && i < BFD_READ_BUDGET; i++) {
		ssize_t n = recv(b->echo_fd, data, sizeof(data), 0);

		if (n < 0)
			return;
		(void)bfd_engine_recv_echo(&b->engine, data, (size_t)n, now); /* counted there */
	}
}

static void on_echo(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bfd *b = container_of(w, struct bfd, echo_io);

	(void)loop;
	(void)revents;
	bfd_echo_read(b, clock_now());
	bfd_io_settle(b);
}

int bfd_echo_open(struct bfd *b)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int fd, r;

	if (b->echo_fd >= 0)
		return 0;
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : filter_attach(fd);
	if (r == 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		r = -errno;
	if (r < 0) {
		log_warn("bfd: cannot open a socket for echoes", "error", strerror(-r), NULL);
		if (fd >= 0)
			close(fd);
		return r;
	}
	b->echo_fd = fd;
	ev_io_init(&b->echo_io, on_echo, fd, EV_READ);
	ev_set_priority(&b->echo_io, EV_MAXPRI);
	ev_io_start(b->loop, &b->echo_io);
	return 0;
}

void bfd_echo_close(struct bfd *b)
{
	if (b->echo_fd < 0)
		return;
	ev_io_stop(b->loop, &b->echo_io);
	close(b->echo_fd);
	b->echo_fd = -1;
}

/* The kernel knows the peer's hardware address from the control packets. */
static int hardware_address(const struct bfd *b, const struct bfd_send *out, struct sockaddr_ll *to)
{
	struct sockaddr_in peer = {.sin_family = AF_INET};
	struct arpreq req = {0};

	if (!if_indextoname(out->ifindex, req.arp_dev))
		return -ENODEV;
	memcpy(&peer.sin_addr, out->path->remote.b, 4);
	memcpy(&req.arp_pa, &peer, sizeof(peer));
	if (ioctl(b->echo_fd, SIOCGARP, &req) < 0)
		return -errno;
	if (!(req.arp_flags & ATF_COM))
		return -EHOSTUNREACH;
	*to = (struct sockaddr_ll){.sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_IP),
				   .sll_ifindex = (int)out->ifindex,
				   .sll_halen = ETHER_ADDR_LEN};
	memcpy(to->sll_addr, req.arp_ha.sa_data, ETHER_ADDR_LEN);
	return 0;
}

int bfd_echo_send(const struct bfd *b, const struct bfd_send *out)
{
	struct sockaddr_ll to;
	int r = b->echo_fd < 0 ? -ENOTCONN : hardware_address(b, out, &to);

	if (r < 0)
		return r;
	return sendto(b->echo_fd, out->data, BFD_ECHO_LEN, MSG_DONTWAIT, (struct sockaddr *)&to,
		      sizeof(to)) < 0
		       ? -errno
		       : 0;
}
