/*
 * Netlink messages and their attributes are in host byte order, each aligned to four bytes. A
 * length that does not fit ends the walk: a message we cannot find the end of hides all behind it.
 */
#include "speaker/netlink_parse.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct attr {
	uint16_t type;
	const uint8_t *data;
	size_t len;
};

/* The next attribute of a region; false at its end or when it is broken. */
static bool attr_next(const uint8_t **p, size_t *len, struct attr *a)
{
	struct nlattr head;

	if (*len < sizeof(head))
		return false;
	memcpy(&head, *p, sizeof(head));
	if (head.nla_len < sizeof(head) || head.nla_len > *len)
		return false;
	*a = (struct attr){(uint16_t)(head.nla_type & (uint16_t)NLA_TYPE_MASK), *p + sizeof(head),
			   head.nla_len - sizeof(head)};
	size_t step = NLA_ALIGN(head.nla_len);

	step = step < *len ? step : *len;
	*p += step;
	*len -= step;
	return true;
}

static unsigned attr_u32(const struct attr *a)
{
	uint32_t v = 0;

	if (a->len >= sizeof(v))
		memcpy(&v, a->data, sizeof(v));
	return v;
}

/* An address of that family; an attribute of another length changes nothing. */
static void attr_ip(const struct attr *a, int family, struct ip *out)
{
	if (a->len != (family == AF_INET ? 4u : 16u))
		return;
	*out = family == AF_INET ? ip_from_v4(a->data) : ip_from_v6(a->data);
}

static const char *link_parse(const uint8_t *p, size_t len, struct nl_event *e)
{
	struct ifinfomsg info;
	struct attr a;

	if (len < sizeof(info))
		return "short link message";
	memcpy(&info, p, sizeof(info));
	if (info.ifi_family != AF_UNSPEC) { /* a bridge tells of its ports: not of the device */
		e->type = NL_OTHER;
		return NULL;
	}
	if (info.ifi_index <= 0)
		return "link without a number";
	e->ifindex = (unsigned)info.ifi_index;
	e->flags = info.ifi_flags;
	e->hardware = info.ifi_type;
	p += NLMSG_ALIGN(sizeof(info));
	len -= NLMSG_ALIGN(sizeof(info));
	while (attr_next(&p, &len, &a)) {
		if (a.type == IFLA_IFNAME && a.len > 0 && a.len <= sizeof(e->name)) {
			memcpy(e->name, a.data, a.len);
			e->name[a.len - 1] = '\0';
		} else if (a.type == IFLA_MASTER) {
			e->master = attr_u32(&a);
		} else if (a.type == IFLA_ADDRESS && a.len == sizeof(e->mac)) {
			e->has_mac = true;
			memcpy(e->mac, a.data, a.len);
		}
	}
	return e->name[0] ? NULL : "link without a name";
}

/* The local address; where none is given, the attribute for the peer's holds it. */
static const char *addr_parse(const uint8_t *p, size_t len, struct nl_event *e)
{
	struct ifaddrmsg info;
	struct attr a;

	if (len < sizeof(info))
		return "short address message";
	memcpy(&info, p, sizeof(info));
	e->ifindex = info.ifa_index;
	e->addr_flags = info.ifa_flags;
	p += NLMSG_ALIGN(sizeof(info));
	len -= NLMSG_ALIGN(sizeof(info));
	while (attr_next(&p, &len, &a)) {
		if (a.type == IFA_FLAGS)
			e->addr_flags = attr_u32(&a);
		if (a.type == IFA_LOCAL || (a.type == IFA_ADDRESS && e->ip.family == IP_NONE))
			attr_ip(&a, info.ifa_family, &e->ip);
	}
	return e->ip.family != IP_NONE ? NULL : "address message without an address";
}

static const char *route_parse(const uint8_t *p, size_t len, struct nl_event *e)
{
	struct rtmsg info;
	struct attr a;

	if (len < sizeof(info))
		return "short route message";
	memcpy(&info, p, sizeof(info));
	p += NLMSG_ALIGN(sizeof(info));
	len -= NLMSG_ALIGN(sizeof(info));
	while (attr_next(&p, &len, &a)) {
		if (a.type == RTA_OIF)
			e->ifindex = attr_u32(&a);
		else if (a.type == RTA_PREFSRC)
			attr_ip(&a, info.rtm_family, &e->ip);
		else if (a.type == RTA_GATEWAY)
			attr_ip(&a, info.rtm_family, &e->gateway);
	}
	return e->ifindex ? NULL : "route without an interface";
}

static const char *message_parse(const struct nlmsghdr *head, const uint8_t *p, size_t len,
				 struct nl_event *e)
{
	int error = 0;

	switch (head->nlmsg_type) {
	case RTM_NEWLINK:
		e->type = NL_LINK_NEW;
		return link_parse(p, len, e);
	case RTM_DELLINK:
		e->type = NL_LINK_DEL;
		return link_parse(p, len, e);
	case RTM_NEWADDR:
		e->type = NL_ADDR_NEW;
		return addr_parse(p, len, e);
	case RTM_DELADDR:
		e->type = NL_ADDR_DEL;
		return addr_parse(p, len, e);
	case RTM_NEWROUTE:
		e->type = NL_ROUTE;
		return route_parse(p, len, e);
	case NLMSG_DONE:
		e->type = NL_DONE;
		return NULL;
	case NLMSG_ERROR:
		if (len < sizeof(error))
			return "short error message";
		memcpy(&error, p, sizeof(error));
		e->type = NL_ERROR;
		e->error = error;
		return NULL;
	default:
		e->type = NL_OTHER;
		return NULL;
	}
}

bool netlink_parse(const uint8_t **data, size_t *len, struct nl_event *event, const char **reason)
{
	struct nlmsghdr head;

	*reason = NULL;
	if (*len == 0)
		return false;
	if (*len < sizeof(head)) {
		*reason = "short message header";
		return false;
	}
	memcpy(&head, *data, sizeof(head));
	if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > *len) {
		*reason = "bad message length";
		return false;
	}
	*event = (struct nl_event){.interrupted = head.nlmsg_flags & NLM_F_DUMP_INTR};
	*reason = message_parse(&head, *data + sizeof(head), head.nlmsg_len - sizeof(head), event);
	size_t step = NLMSG_ALIGN((size_t)head.nlmsg_len);

	step = step < *len ? step : *len;
	*data += step;
	*len -= step;
	if (*reason)
		event->type = NL_OTHER; /* this message only; those behind it are fine */
	return true;
}
