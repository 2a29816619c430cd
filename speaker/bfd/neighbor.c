/*
 * One question to the kernel's neighbour table (RTM_GETNEIGH, Linux 5.0): answered at once.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "speaker/bfd/io.h"

#define MAC_LEN   6
#define NUD_KNOWN (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

struct answer {
	uint8_t *mac;
	bool found;
};

static int on_attribute(const struct nlattr *attr, void *user)
{
	struct answer *a = user;

	if (mnl_attr_get_type(attr) == NDA_LLADDR && mnl_attr_get_payload_len(attr) == MAC_LEN) {
		memcpy(a->mac, mnl_attr_get_payload(attr), MAC_LEN);
		a->found = true;
	}
	return MNL_CB_OK;
}

static int answer_take(const struct nlmsghdr *head, uint8_t mac[MAC_LEN])
{
	struct answer a = {.mac = mac};
	struct ndmsg nd;

	if (head->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(head) < sizeof(nd))
		return -EHOSTUNREACH;
	memcpy(&nd, mnl_nlmsg_get_payload(head), sizeof(nd));
	if (!(nd.ndm_state & NUD_KNOWN) || mnl_attr_parse(head, sizeof(nd), on_attribute, &a) < 0 ||
	    !a.found)
		return -EHOSTUNREACH;
	return 0;
}

static int ask(struct mnl_socket *sock, const struct ip *ip, unsigned ifindex, uint8_t mac[MAC_LEN])
{
	_Alignas(struct nlmsghdr) uint8_t buf[4096] = {0};
	struct timeval limit = {.tv_sec = 1};
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct ndmsg *nd;
	ssize_t n;

	head->nlmsg_type = RTM_GETNEIGH;
	head->nlmsg_flags = NLM_F_REQUEST;
	nd = mnl_nlmsg_put_extra_header(head, sizeof(*nd));
	nd->ndm_family = AF_INET6;
	nd->ndm_ifindex = (int)ifindex;
	mnl_attr_put(head, NDA_DST, 16, ip->b);
	if (setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) <
		    0 ||
	    mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(sock, head, head->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(sock, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_nlmsg_ok(head, (int)n) ? answer_take(head, mac) : -EBADMSG;
}

int bfd_neighbor(const struct ip *ip, unsigned ifindex, uint8_t mac[MAC_LEN])
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int r;

	if (!sock)
		return -errno;
	r = ask(sock, ip, ifindex, mac);
	mnl_socket_close(sock);
	return r;
}
