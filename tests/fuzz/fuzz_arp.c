/*
 * Any bytes as an ARP frame to a node that announces 192.0.2.9: an answer is only ever about that
 * address, with the node's own hardware address, to one station.
 */
#include <stdlib.h>

#include "speaker/layer2/arp.h"
#include "speaker/layer2/responder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct responder_link link = {
		.ifindex = 2, .name = "eth0", .mac = {{2, 0, 0, 0, 0, 1}}, .arp = true};
	static struct responder *r;
	static struct ip ip;
	struct l2_frame reply;
	struct arp_packet a;

	if (!r) {
		struct responder_options opt = {0};
		struct announce_l2_ip where = {.all_interfaces = true};

		if (!ip_parse("192.0.2.9", &where.ip))
			abort();
		ip = where.ip;
		r = responder_new(&opt);
		responder_link_set(r, &link, 0);
		responder_announce(r, "default/s", &where, 1, 0);
	}
	if (responder_recv_arp(r, 2, data, len, 0, &reply) != RESPONDER_ANSWER)
		return 0;
	if (arp_decode(&a, reply.data, reply.len) || a.op != ARP_OP_REPLY ||
	    !ip_eq(&a.sender_ip, &ip) || !mac_eq(&a.sender_mac, &link.mac) ||
	    !mac_is_station(&a.eth_dst))
		abort();
	return 0;
}
