/*
 * Any bytes as a frame of neighbour discovery, as they are and with their checksum made right: an
 * answer is only ever about the announced address, with the node's own hardware address.
 */
#include <stdlib.h>
#include <string.h>

#include "speaker/layer2/ndp.h"
#include "speaker/layer2/responder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct mac our_mac = {{2, 0, 0, 0, 0, 1}};
static struct ip ip;

static struct responder *responder_make(void)
{
	struct responder_link link = {.ifindex = 2, .name = "eth0", .mac = our_mac, .ndp = true};
	struct announce_l2_ip where = {.all_interfaces = true};
	struct responder_options opt = {0};
	struct responder *r = responder_new(&opt);

	if (!ip_parse("fe80::1", &link.link_local) || !ip_parse("fd00::5", &where.ip))
		abort();
	ip = where.ip;
	responder_link_set(r, &link, 0);
	responder_announce(r, "default/s", &where, 1, 0);
	return r;
}

static void try(struct responder *r, const uint8_t *data, size_t len)
{
	struct l2_frame reply;
	struct ndp_packet a;

	if (responder_recv_ndp(r, 2, data, len, 0, &reply) != RESPONDER_ANSWER)
		return;
	if (ndp_decode(&a, reply.data, reply.len) || a.type != NDP_ADVERTISE ||
	    !ip_eq(&a.target, &ip) || !a.has_lla || !mac_eq(&a.lla, &our_mac))
		abort();
}

/* The one's complement sum over pseudo header and message. */
static void checksum_fix(uint8_t *f, size_t len)
{
	size_t payload = (size_t)(f[18] << 8 | f[19]);
	uint32_t sum = (uint32_t)payload + 58;

	if (payload < 4 || payload > len - 54)
		return;
	f[56] = f[57] = 0;
	for (size_t i = 22; i < 54 + payload; i++)
		sum += (i % 2) ? f[i] : (uint32_t)f[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	f[56] = (uint8_t)(~sum >> 8);
	f[57] = (uint8_t)~sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct responder *r;
	uint8_t fixed[512];

	if (!r)
		r = responder_make();
	try(r, data, len);
	if (len >= 58 && len <= sizeof(fixed)) {
		memcpy(fixed, data, len);
		checksum_fix(fixed, len);
		try(r, fixed, len);
	}
	return 0;
}
