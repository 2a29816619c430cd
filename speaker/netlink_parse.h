/*
 * Route netlink messages (rtnetlink(7)) about links, addresses and routes as plain data. Pure:
 * bytes in, structs out.
 */
#ifndef METALLB_SPEAKER_NETLINK_PARSE_H
#define METALLB_SPEAKER_NETLINK_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/ip.h"

#define NL_NAME_MAX 16

enum nl_type {
	NL_LINK_NEW, /* or changed */
	NL_LINK_DEL,
	NL_ADDR_NEW,
	NL_ADDR_DEL,
	NL_ROUTE, /* the answer to a question for one */
	NL_DONE,  /* a dump is complete */
	NL_ERROR, /* error below 0 says why a request failed */
	NL_OTHER
};

struct nl_event {
	enum nl_type type;
	bool interrupted; /* the dump that this belongs to is not consistent */
	int error;
	unsigned ifindex;
	/* links */
	char name[NL_NAME_MAX];
	unsigned flags;    /* IFF_* */
	uint16_t hardware; /* ARPHRD_* */
	unsigned master;   /* ifindex, or 0 */
	bool has_mac;      /* of six bytes */
	uint8_t mac[6];
	/* addresses */
	struct ip ip;
	unsigned addr_flags; /* IFA_F_* */
	/* routes: ip is this node's address in it; IP_NONE: none is told */
	struct ip gateway; /* IP_NONE: it needs none */
};

/*
 * The next message of a datagram: *data and *len move on behind it. *reason says what was wrong
 * with it, or is NULL; a message that is wrong in itself comes as NL_OTHER. false at the end, or
 * (with a reason) when the rest cannot be read.
 */
bool netlink_parse(const uint8_t **data, size_t *len, struct nl_event *event, const char **reason);

#endif
