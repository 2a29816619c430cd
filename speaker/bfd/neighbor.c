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
#include "speaker/netlink_ask.h"

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

int bfd_neighbor(const struct ip *ip, unsigned ifindex, uint8_t mac[MAC_LEN])
{
	_Alignas(struct nlmsghdr) uint8_t buf[NETLINK_ASK_MAX] = {0};
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	bool v6 = ip->family == IP_V6;
	struct ndmsg *nd;
	ssize_t n;

	head->nlmsg_type = RTM_GETNEIGH;
	head->nlmsg_flags = NLM_F_REQUEST;
	nd = mnl_nlmsg_put_extra_header(head, sizeof(*nd));
	nd->ndm_family = v6 ? AF_INET6 : AF_INET;
	nd->ndm_ifindex = (int)ifindex;
	mnl_attr_put(head, NDA_DST, v6 ? 16 : 4, ip->b);
	n = netlink_ask(buf);
	if (n < 0)
		return (int)n;
	return mnl_nlmsg_ok(head, (int)n) ? answer_take(head, mac) : -EBADMSG;
}
