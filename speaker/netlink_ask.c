/*
 * A socket of its own for each question: nothing else arrives on it.
 */
#include "speaker/netlink_ask.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <sys/time.h>

static ssize_t ask(struct mnl_socket *sock, uint8_t *buf)
{
	const struct nlmsghdr *head = (const void *)buf;
	struct timeval limit = {.tv_sec = 1};
	ssize_t n;

	if (setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) <
		    0 ||
	    mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, head, head->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(sock, buf, NETLINK_ASK_MAX);
	return n < 0 ? -errno : n;
}

ssize_t netlink_ask(uint8_t buf[NETLINK_ASK_MAX])
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	ssize_t n;

	if (!sock)
		return -errno;
	n = ask(sock, buf);
	mnl_socket_close(sock);
	return n;
}
