/*
 * Options of BGP's TCP sockets: MD5 signatures (RFC 2385), TTL and GTSM (RFC 5082), binding to an
 * interface or VRF, and the addresses of our end. Part of the shell.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/tcp.h>
#include <net/if.h>

#include "speaker/bgp/io.h"

#define IP_MAX_TTL  255
#define TOS_NETWORK 0xC0 /* class selector 6, as routers send it */

socklen_t bgp_sockaddr(const struct ip *ip, uint16_t port, unsigned scope,
		       struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ip->family == IP_V6) {
		struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)(void *)out;

		s6->sin6_family = AF_INET6;
		s6->sin6_port = htons(port);
		memcpy(&s6->sin6_addr, ip->b, 16);
		s6->sin6_scope_id = ip_is_link_local(ip) ? scope : 0;
		return sizeof(*s6);
	}
	struct sockaddr_in *s4 = (struct sockaddr_in *)(void *)out;

	s4->sin_family = AF_INET;
	s4->sin_port = htons(port);
	memcpy(&s4->sin_addr, ip->b, 4);
	return sizeof(*s4);
}

struct ip bgp_sockaddr_ip(const struct sockaddr_storage *ss)
{
	/* every caller has it filled in by the kernel */
	if (ss->ss_family == AF_INET6) // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult)
		return ip_from_v6(&((const struct sockaddr_in6 *)(const void *)ss)->sin6_addr);
	if (ss->ss_family == AF_INET)
		return ip_from_v4(&((const struct sockaddr_in *)(const void *)ss)->sin_addr);
	return (struct ip){0};
}

int bgp_sockopt_set_md5(int fd, const struct ip *peer, const char *password)
{
	struct tcp_md5sig sig = {0};
	struct sockaddr_storage ss = {0};
	size_t n = password ? strlen(password) : 0;

	if (n > TCP_MD5SIG_MAXKEYLEN)
		return -EINVAL;
	bgp_sockaddr(peer, 0, 0, &ss);
	memcpy(&sig.tcpm_addr, &ss, sizeof(ss));
	sig.tcpm_keylen = (uint16_t)n;
	if (n)
		memcpy(sig.tcpm_key, password, n);
	return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &sig, sizeof(sig)) < 0 ? -errno : 0;
}

int bgp_sockopt_bind_device(int fd, const char *name)
{
	socklen_t n = (socklen_t)strlen(name);

	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, n) < 0 ? -errno : 0;
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_ttl(int fd, const struct bgp_peer_config *cfg, int family)
{
	int ttl = cfg->gtsm_hops ? IP_MAX_TTL : cfg->ttl;
	int r = 0;

	if (ttl)
		r = family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl)
				       : set_int(fd, IPPROTO_IP, IP_TTL, ttl);
	if (r < 0 || !cfg->gtsm_hops)
		return r;
	ttl = IP_MAX_TTL + 1 - cfg->gtsm_hops;
	return family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl)
				  : set_int(fd, IPPROTO_IP, IP_MINTTL, ttl);
}

int bgp_sockopt_set(int fd, const struct bgp_peer_config *cfg, int family)
{
	int r = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	if (r == 0)
		r = family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_NETWORK)
				       : set_int(fd, IPPROTO_IP, IP_TOS, TOS_NETWORK);
	return r < 0 ? r : set_ttl(fd, cfg, family);
}

/* The first usable address of each family on the interface. */
static void add_interface(const struct ifaddrs *list, const char *name, struct bgp_local *out)
{
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct sockaddr_storage ss = {0};

		if (!i->ifa_addr || strcmp(i->ifa_name, name) != 0)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in6));
		struct ip ip = bgp_sockaddr_ip(&ss);

		if (ip.family == IP_V4 && out->v4.family == IP_NONE)
			out->v4 = ip;
		if (ip.family == IP_V6 && out->v6.family == IP_NONE && !ip_is_link_local(&ip))
			out->v6 = ip;
	}
}

static const char *find_interface(const struct ifaddrs *list, const struct ip *addr)
{
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct sockaddr_storage ss = {0};

		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in6));
		else
			continue;
		struct ip ip = bgp_sockaddr_ip(&ss);

		if (ip_eq(&ip, addr))
			return i->ifa_name;
	}
	return NULL;
}

int bgp_sock_local(int fd, const char *interface, struct bgp_local *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ifaddrs *list;

	*out = (struct bgp_local){0};
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	out->addr = bgp_sockaddr_ip(&ss);
	if (getifaddrs(&list) < 0)
		return -errno;
	const char *name = *interface ? interface : find_interface(list, &out->addr);

	if (name)
		add_interface(list, name, out);
	freeifaddrs(list);
	return 0;
}
