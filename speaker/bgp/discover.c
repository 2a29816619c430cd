/*
 * The ICMPv6 socket behind unnumbered peers: one per interface. Part of the shell.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <unistd.h>

#include "metallb/xalloc.h"
#include "speaker/bgp/io.h"

#define RETRY 1.0 /* s, while the interface is not there */
#define READS 16  /* messages per turn of the loop */

static void tell_peers(struct bgp_discovery *d)
{
	struct bgp_router *r = &d->bgp->router;

	for (size_t i = 0; i < r->n_peers; i++) {
		struct bgp_peer *p = r->peers[i];

		if (p->cfg.address.family == IP_NONE && strcmp(p->cfg.interface, d->interface) == 0)
			bgp_peer_discovered(p, &d->neighbor.addr, d->ifindex, clock_now());
	}
	bgp_listeners_update(d->bgp);
}

static int hop_limit_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) {
			int v;

			memcpy(&v, CMSG_DATA(c), sizeof(v));
			return v;
		}
	return -1;
}

static void on_icmp(struct ev_loop *loop, ev_io *w, int revents)
{
	struct bgp_discovery *d = container_of(w, struct bgp_discovery, io);
	struct bgp *b = d->bgp;
	bool changed = false;

	(void)loop;
	(void)revents;
	for (int i = 0; i < READS; i++) {
		uint8_t data[1500], control[128];
		struct sockaddr_storage from = {0};
		struct iovec iov = {data, sizeof(data)};
		struct msghdr m = {.msg_name = &from,
				   .msg_namelen = sizeof(from),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(d->fd, &m, 0);

		if (n < 0)
			break;
		struct ip src = bgp_sockaddr_ip(&from);
		enum bgp_nd type = bgp_ra_decode(data, (size_t)n, &src, hop_limit_of(&m));

		changed |= bgp_neighbor_recv(&d->neighbor, type, &src, clock_now());
	}
	if (changed)
		tell_peers(d);
	bgp_io_sync(b);
}

static void send_to(const struct bgp_discovery *d, uint8_t group, const uint8_t *data, size_t len)
{
	const uint8_t bytes[16] = {0xFF, 0x02, [15] = group};
	struct ip ip = ip_from_v6(bytes);
	struct sockaddr_storage ss;
	socklen_t n = bgp_sockaddr(&ip, 0, 0, &ss);

	((struct sockaddr_in6 *)(void *)&ss)->sin6_scope_id = d->ifindex;
	if (sendto(d->fd, data, len, 0, (struct sockaddr *)&ss, n) < 0)
		log_debug("bgp: cannot send a router advertisement", "interface", d->interface,
			  "error", strerror(errno), NULL);
}

static int set_options(int fd, unsigned ifindex)
{
	struct ipv6_mreq routers = {.ipv6mr_interface = ifindex};
	struct icmp6_filter filter;
	int hops = 255, on = 1, off = 0, index = (int)ifindex;

	routers.ipv6mr_multiaddr.s6_addr[0] = 0xFF;
	routers.ipv6mr_multiaddr.s6_addr[1] = 0x02;
	routers.ipv6mr_multiaddr.s6_addr[15] = 2;
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &filter);
	ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &filter);
	if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &routers, sizeof(routers)) < 0)
		return -errno;
	return 0;
}

static int discovery_open(struct bgp_discovery *d)
{
	unsigned ifindex = if_nametoindex(d->interface);
	int fd, r;

	if (!ifindex)
		return -ENODEV;
	fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	if (fd < 0)
		return -errno;
	r = bgp_sockopt_bind_device(fd, d->interface);
	if (r == 0)
		r = set_options(fd, ifindex);
	if (r < 0) {
		close(fd);
		return r;
	}
	d->fd = fd;
	d->ifindex = ifindex;
	bgp_neighbor_init(&d->neighbor, clock_now());
	ev_io_init(&d->io, on_icmp, fd, EV_READ);
	ev_io_start(d->bgp->loop, &d->io);
	return 0;
}

static void discovery_close(struct bgp_discovery *d)
{
	if (d->fd < 0)
		return;
	ev_io_stop(d->bgp->loop, &d->io);
	close(d->fd);
	d->fd = -1;
}

static void on_discovery_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct bgp_discovery *d = container_of(w, struct bgp_discovery, timer);
	uint8_t ra[BGP_RA_LEN], rs[BGP_RS_LEN];
	bool solicit;

	(void)revents;
	/* an interface that was made anew has another index, and the old socket hears nothing */
	if (d->fd >= 0 && if_nametoindex(d->interface) != d->ifindex)
		discovery_close(d);
	if (d->fd < 0) {
		int r = discovery_open(d);

		if (r < 0)
			log_debug("bgp: no discovery yet", "interface", d->interface, "error",
				  strerror(-r), NULL);
	}
	if (d->fd >= 0 && bgp_neighbor_tick(&d->neighbor, clock_now(), &solicit)) {
		bgp_ra_encode(ra);
		send_to(d, 1, ra, sizeof(ra));
		bgp_rs_encode(rs);
		if (solicit)
			send_to(d, 2, rs, sizeof(rs));
	}
	ev_timer_set(&d->timer, RETRY, 0.);
	ev_timer_start(loop, &d->timer);
}

static struct bgp_discovery *discovery_get(struct bgp *b, const char *interface)
{
	struct list *pos;

	list_for_each (pos, &b->discoveries) {
		struct bgp_discovery *d = container_of(pos, struct bgp_discovery, link);

		if (strcmp(d->interface, interface) == 0)
			return d;
	}
	struct bgp_discovery *d = xcalloc(1, sizeof(*d));

	d->bgp = b;
	d->fd = -1;
	d->interface = xstrdup(interface);
	list_add_tail(&b->discoveries, &d->link);
	ev_timer_init(&d->timer, on_discovery_timer, 0., 0.);
	ev_timer_start(b->loop, &d->timer);
	return d;
}

static void discovery_free(struct bgp_discovery *d)
{
	discovery_close(d);
	ev_timer_stop(d->bgp->loop, &d->timer);
	list_del(&d->link);
	free(d->interface);
	free(d);
}

void bgp_discoveries_update(struct bgp *b)
{
	struct list *pos, *tmp;

	list_for_each (pos, &b->discoveries)
		container_of(pos, struct bgp_discovery, link)->used = false;
	for (size_t i = 0; i < b->router.n_peers; i++) {
		const struct bgp_peer *p = b->router.peers[i];
		struct bgp_discovery *d;

		if (p->cfg.address.family != IP_NONE)
			continue;
		d = discovery_get(b, p->cfg.interface);
		d->used = true;
		if (d->neighbor.addr.family != IP_NONE)
			tell_peers(d);
	}
	list_for_each_safe (pos, tmp, &b->discoveries) {
		struct bgp_discovery *d = container_of(pos, struct bgp_discovery, link);

		if (!d->used)
			discovery_free(d);
	}
}

void bgp_discoveries_free(struct bgp *b)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &b->discoveries)
		discovery_free(container_of(pos, struct bgp_discovery, link));
}
