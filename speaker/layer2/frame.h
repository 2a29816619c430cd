/*
 * What layer 2 puts on the wire: one Ethernet frame for one interface.
 */
#ifndef METALLB_LAYER2_FRAME_H
#define METALLB_LAYER2_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAC_LEN              6
#define L2_FRAME_MAX         96 /* bytes: an ARP frame has 60, a neighbour advertisement 86 */
#define ETHERTYPE_ARP_VALUE  0x0806
#define ETHERTYPE_IPV6_VALUE 0x86dd

struct mac {
	uint8_t b[MAC_LEN];
};

struct l2_frame {
	unsigned ifindex;
	uint16_t ethertype;
	uint16_t len;
	uint8_t data[L2_FRAME_MAX];
};

static inline bool mac_eq(const struct mac *a, const struct mac *b)
{
	return memcmp(a->b, b->b, MAC_LEN) == 0;
}

static inline bool mac_is_broadcast(const struct mac *m)
{
	static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

	return mac_eq(m, &broadcast);
}

/* The address of one station: not zero, not a group. */
static inline bool mac_is_station(const struct mac *m)
{
	static const struct mac zero;

	return !(m->b[0] & 1) && !mac_eq(m, &zero);
}

#endif
