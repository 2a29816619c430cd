/*
 * The netlink socket: subscribe first, then dump links and addresses, then follow. When the kernel
 * had to drop messages (ENOBUFS) or a dump was interrupted, everything is asked for again and what
 * is no longer told of is removed.
 */
#include "speaker/netlink.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/netlink_ask.h"

#define NETLINK_BUFFER   ((size_t)64 << 10)
#define NETLINK_RCVBUF   (4 << 20)
#define NETLINK_PER_WAKE 64 /* datagrams before other things get their turn */

enum dump { DUMP_NONE, DUMP_LINKS, DUMP_ADDRESSES };

struct netlink {
	struct ev_loop *loop;
	struct mnl_socket *sock;
	struct links *links;
	void (*on_change)(void *user);
	void *user;
	ev_io io;
	ev_timer retry;
	enum dump dump;
	bool again; /* the running dump is not to be trusted */
	unsigned seq;
	uint8_t *buf;
};

static void dump_request(struct netlink *nl, uint16_t type)
{
	_Alignas(struct nlmsghdr) char buf[128] = {0};
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);

	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	head->nlmsg_seq = ++nl->seq;
	mnl_nlmsg_put_extra_header(head, type == RTM_GETLINK ? sizeof(struct ifinfomsg)
							     : sizeof(struct ifaddrmsg));
	if (mnl_socket_sendto(nl->sock, head, head->nlmsg_len) < 0) {
		log_error("netlink: cannot ask for interfaces", "error", strerror(errno), NULL);
		nl->dump = DUMP_NONE;
		ev_timer_again(nl->loop, &nl->retry);
	}
}

static void dump_start(struct netlink *nl)
{
	nl->again = false;
	nl->dump = DUMP_LINKS;
	links_dump_begin(nl->links);
	dump_request(nl, RTM_GETLINK);
}

/* A dump's part is complete; true when that changed what is known. */
static bool dump_done(struct netlink *nl)
{
	if (nl->dump == DUMP_NONE)
		return false;
	if (nl->again) {
		dump_start(nl);
		return false;
	}
	if (nl->dump == DUMP_LINKS) {
		nl->dump = DUMP_ADDRESSES;
		dump_request(nl, RTM_GETADDR);
		return false;
	}
	nl->dump = DUMP_NONE;
	return links_dump_end(nl->links);
}

static bool event_handle(struct netlink *nl, const struct nl_event *e)
{
	nl->again |= e->interrupted;
	if (e->type == NL_DONE)
		return dump_done(nl);
	if (e->type == NL_ERROR && e->error != 0) {
		log_error("netlink: request refused", "error", strerror(-e->error), NULL);
		nl->dump = DUMP_NONE;
		ev_timer_again(nl->loop, &nl->retry);
		return false;
	}
	return links_apply(nl->links, e);
}

static bool datagram_handle(struct netlink *nl, const uint8_t *p, size_t len)
{
	struct nl_event event;
	const char *reason;
	bool changed = false;

	while (netlink_parse(&p, &len, &event, &reason)) {
		if (reason)
			log_warn("netlink: message ignored", "reason", reason, NULL);
		changed |= event_handle(nl, &event);
	}
	if (reason)
		log_warn("netlink: rest of a datagram ignored", "reason", reason, NULL);
	return changed;
}

/* One datagram; false when none is waiting. */
static bool receive_one(struct netlink *nl, bool *changed, int *error)
{
	ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, NETLINK_BUFFER);

	*error = 0;
	if (n >= 0) {
		*changed |= datagram_handle(nl, nl->buf, (size_t)n);
		return true;
	}
	if (errno == EINTR)
		return true;
	if (errno == ENOBUFS || errno == ENOSPC) {
		log_warn("netlink: messages were lost, asking for everything again", NULL);
		if (nl->dump == DUMP_NONE)
			dump_start(nl);
		else
			nl->again = true;
		return true;
	}
	*error = errno;
	return false;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct netlink *nl = w->data;
	bool changed = false;
	int error = 0;

	(void)loop;
	(void)revents;
	for (int i = 0; i < NETLINK_PER_WAKE; i++)
		if (!receive_one(nl, &changed, &error))
			break;
	if (error != 0 && error != EAGAIN)
		log_error("netlink: receive failed", "error", strerror(error), NULL);
	if (changed)
		nl->on_change(nl->user);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct netlink *nl = w->data;

	(void)revents;
	ev_timer_stop(loop, w);
	if (nl->dump == DUMP_NONE)
		dump_start(nl);
}

static int netlink_open(struct netlink *nl)
{
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
	int size = NETLINK_RCVBUF;

	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Needs a privilege that we may lack; the default size then has to do. */
	if (setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size,
		       sizeof(size)) < 0 &&
	    setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		return -errno;
	return 0;
}

/* The first dump, waited for: the kernel answers at once. */
static int netlink_dump_wait(struct netlink *nl)
{
	struct timeval limit = {.tv_sec = 5};
	int fd = mnl_socket_get_fd(nl->sock), error = 0;
	bool changed = false;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	dump_start(nl);
	while (nl->dump != DUMP_NONE)
		if (!receive_one(nl, &changed, &error))
			return error == EAGAIN ? -ETIMEDOUT : -error;
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int netlink_new(struct ev_loop *loop, struct links *links, void (*on_change)(void *user),
		void *user, struct netlink **out)
{
	struct netlink *nl = xcalloc(1, sizeof(*nl));
	int r;

	nl->loop = loop;
	nl->links = links;
	nl->on_change = on_change;
	nl->user = user;
	nl->buf = xmalloc(NETLINK_BUFFER);
	ev_timer_init(&nl->retry, on_retry, 0., 1.);
	nl->retry.data = nl;
	r = netlink_open(nl);
	if (r == 0)
		r = netlink_dump_wait(nl);
	if (r < 0) {
		netlink_free(nl);
		return r;
	}
	ev_io_init(&nl->io, on_readable, mnl_socket_get_fd(nl->sock), EV_READ);
	nl->io.data = nl;
	ev_io_start(loop, &nl->io);
	*out = nl;
	return 0;
}

struct netlink *netlink_free(struct netlink *nl)
{
	if (!nl)
		return NULL;
	ev_io_stop(nl->loop, &nl->io);
	ev_timer_stop(nl->loop, &nl->retry);
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl->buf);
	free(nl);
	return NULL;
}

/* ---- one question ---- */

/* An address that no network has (RFC 5737, RFC 3849): its way is the default route. */
static void far_put(struct nlmsghdr *head, enum ip_family family)
{
	static const uint8_t v4[4] = {192, 0, 2, 1};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

	mnl_attr_put(head, RTA_DST, family == IP_V4 ? sizeof(v4) : sizeof(v6),
		     family == IP_V4 ? v4 : v6);
}

bool netlink_gateway(unsigned ifindex, enum ip_family family, struct ip *gateway, struct ip *from)
{
	_Alignas(struct nlmsghdr) uint8_t buf[NETLINK_ASK_MAX] = {0};
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct nl_event event = {.type = NL_OTHER};
	struct rtmsg *route;
	const uint8_t *p = buf;
	const char *reason;

	head->nlmsg_type = RTM_GETROUTE;
	head->nlmsg_flags = NLM_F_REQUEST;
	route = mnl_nlmsg_put_extra_header(head, sizeof(*route));
	route->rtm_family = family == IP_V4 ? AF_INET : AF_INET6;
	route->rtm_dst_len = (uint8_t)IP_BITS(family);
	far_put(head, family);
	mnl_attr_put_u32(head, RTA_OIF, ifindex);
	ssize_t n = netlink_ask(buf);
	size_t len = n > 0 ? (size_t)n : 0;

	if (!netlink_parse(&p, &len, &event, &reason) || reason || event.type != NL_ROUTE ||
	    event.ifindex != ifindex)
		return false;
	*gateway = event.gateway;
	*from = event.ip;
	return gateway->family == family && from->family == family;
}
