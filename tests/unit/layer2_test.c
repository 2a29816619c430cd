/*
 * Layer 2: ARP and NDP frames, the answers of the responder, its bursts and its groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/deadlines.h"
#include "metallb/xalloc.h"
#include "speaker/layer2/arp.h"
#include "speaker/layer2/conflict.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/responder.h"
#include "tests/unit/helpers.h"

static const struct mac our_mac = {{2, 0, 0, 0, 0, 1}}, his_mac = {{2, 0, 0, 0, 0, 9}};
static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static uint32_t random_state = 7;
static const struct random_source source = {random_fill, &random_state};

/* arping of Debian (iputils) asking 192.0.2.9 from 192.0.2.2, as captured. */
static const uint8_t arping_request[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x09, 0x08, 0x06,
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x09,
	0xc0, 0x00, 0x02, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc0, 0x00, 0x02, 0x09};

static void test_arp_decode(void **state)
{
	static const struct {
		const char *reason;
		size_t at; /* byte to overwrite */
		uint8_t value;
		size_t len;
	} cases[] = {
		{NULL, 0, 0xff, 42},
		{"short frame", 0, 0xff, 41},
		{"short frame", 0, 0xff, 13},
		{"short frame", 0, 0xff, 0},
		{"not ARP", 13, 0x00, 42},
		{"not Ethernet addresses", 15, 6, 42},
		{"not Ethernet addresses", 18, 8, 42},
		{"not IPv4 addresses", 17, 1, 42},
		{"not IPv4 addresses", 19, 16, 42},
		{"unknown operation", 21, 3, 42},
		{"bad sender hardware address", 22, 0x03, 42},
	};
	struct arp_packet p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t frame[sizeof(arping_request)];

		memcpy(frame, arping_request, sizeof(frame));
		frame[cases[i].at] = cases[i].value;
		const char *reason = arp_decode(&p, frame, cases[i].len);

		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
	}
	assert_null(arp_decode(&p, arping_request, sizeof(arping_request)));
	struct ip sender = ip_of("192.0.2.2"), target = ip_of("192.0.2.9");

	assert_true(ip_eq(&p.sender_ip, &sender) && ip_eq(&p.target_ip, &target));
	assert_true(mac_eq(&p.sender_mac, &his_mac) && mac_is_broadcast(&p.eth_dst));
}

static void test_arp_tagged(void **state)
{
	uint8_t frame[sizeof(arping_request) + 4];
	struct arp_packet p;

	(void)state;
	memcpy(frame, arping_request, 12);
	memcpy(frame + 12, (const uint8_t[]){0x81, 0x00, 0x00, 0x00}, 4);
	memcpy(frame + 16, arping_request + 12, sizeof(arping_request) - 12);
	assert_null(arp_decode(&p, frame, sizeof(frame)));
	assert_int_equal(p.op, ARP_OP_REQUEST);
	assert_string_equal(arp_decode(&p, frame, 17), "short frame");
}

/* A solicitation of Linux's kernel for fd00:1c0b::4d:0, as captured. */
static const uint8_t kernel_solicitation[] = {
	0x33, 0x33, 0xff, 0x4d, 0x00, 0x00, 0x02, 0x4d, 0x1c, 0x0b, 0x00, 0x06, 0x86, 0xdd, 0x60,
	0x0b, 0x9e, 0x88, 0x00, 0x20, 0x3a, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x4d, 0x1c, 0xff, 0xfe, 0x0b, 0x00, 0x06, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x4d, 0x00, 0x00, 0x87, 0x00, 0x27, 0xbc, 0x00, 0x00,
	0x00, 0x00, 0xfd, 0x00, 0x1c, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x4d, 0x00, 0x00, 0x01, 0x01, 0x02, 0x4d, 0x1c, 0x0b, 0x00, 0x06};

static void test_ndp_decode(void **state)
{
	static const struct {
		const char *reason;
		size_t at;
		uint8_t value;
		size_t len;
	} cases[] = {
		{NULL, 0, 0x33, 86},
		{"short frame", 0, 0x33, 85},
		{"short frame", 0, 0x33, 10},
		{"short frame", 19, 0x10, 86},
		{"not neighbour discovery", 13, 0x00, 86},
		{"not neighbour discovery", 20, 17, 86},
		{"hop limit is not 255", 21, 64, 86},
		{"bad checksum", 80, 0x03, 86},
	};
	struct ndp_packet p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t frame[sizeof(kernel_solicitation)];

		memcpy(frame, kernel_solicitation, sizeof(frame));
		frame[cases[i].at] = cases[i].value;
		const char *reason = ndp_decode(&p, frame, cases[i].len);

		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
	}
	assert_null(ndp_decode(&p, kernel_solicitation, sizeof(kernel_solicitation)));
	struct ip target = ip_of("fd00:1c0b::4d:0"), group = ndp_solicited_node(&target);

	assert_true(ip_eq(&p.target, &target) && ip_eq(&p.dst, &group) && p.has_lla);
	assert_int_equal(p.type, NDP_SOLICIT);
}

static size_t ndp_make(uint8_t *frame, uint8_t type, uint8_t flags, const char *src,
		       const char *dst, const char *target, const struct mac *lla)
{
	struct ndp_packet p = {.eth_dst = our_mac,
			       .eth_src = his_mac,
			       .src = ip_of(src),
			       .dst = ip_of(dst),
			       .type = type,
			       .flags = flags,
			       .target = ip_of(target),
			       .has_lla = lla != NULL};
	size_t n;

	if (lla)
		p.lla = *lla;
	ndp_encode(&p, frame, &n);
	return n;
}

static void test_ndp_rules(void **state)
{
	uint8_t f[NDP_FRAME_LEN];
	struct ndp_packet p;
	size_t n;

	(void)state;
	n = ndp_make(f, NDP_SOLICIT, 0, "::", "ff02::1:ff00:5", "fd00::5", NULL);
	assert_null(ndp_decode(&p, f, n));
	n = ndp_make(f, NDP_SOLICIT, 0, "::", "ff02::1:ff00:5", "fd00::5", &his_mac);
	assert_string_equal(ndp_decode(&p, f, n), "bad duplicate address probe");
	n = ndp_make(f, NDP_SOLICIT, 0, "::", "ff02::1", "fd00::5", NULL);
	assert_string_equal(ndp_decode(&p, f, n), "bad duplicate address probe");
	n = ndp_make(f, NDP_ADVERTISE, 0, "ff02::1", "ff02::1", "fd00::5", &his_mac);
	assert_string_equal(ndp_decode(&p, f, n), "bad source");
	n = ndp_make(f, NDP_ADVERTISE, NDP_FLAG_SOLICITED, "fe80::1", "ff02::1", "fd00::5",
		     &his_mac);
	assert_string_equal(ndp_decode(&p, f, n), "solicited advertisement to a group");
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::1", "fd00::5", "ff02::5", &his_mac);
	assert_string_equal(ndp_decode(&p, f, n), "bad target");
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::1", "fd00::5", "fd00::5", &broadcast);
	assert_string_equal(ndp_decode(&p, f, n), "bad link-layer address");
}

/* ---- the responder ---- */

static struct responder *responder_make(usec_t refresh)
{
	struct responder_options opt = {.refresh = refresh, .random = &source};
	struct responder_link eth0 = {.ifindex = 2,
				      .name = "eth0",
				      .mac = our_mac,
				      .arp = true,
				      .ndp = true,
				      .link_local = ip_of("fe80::1")};
	struct responder_link eth1 = {
		.ifindex = 3, .name = "eth1", .mac = {{2, 0, 0, 0, 0, 2}}, .arp = true};
	struct responder *r = responder_new(&opt);

	responder_link_set(r, &eth0, 0);
	responder_link_set(r, &eth1, 0);
	return r;
}

static void announce(struct responder *r, const char *service, const char *ip, const char *ifname,
		     usec_t now)
{
	struct announce_l2_ip where = {.ip = ip_of(ip),
				       .all_interfaces = !ifname,
				       .interfaces = {&ifname, ifname ? 1 : 0}};

	responder_announce(r, service, &where, 1, now);
}

static enum responder_verdict ask(struct responder *r, unsigned ifindex, uint16_t op,
				  const char *sender, const struct mac *mac, const char *target,
				  struct l2_frame *reply)
{
	struct arp_packet q = {.eth_dst = broadcast,
			       .eth_src = *mac,
			       .op = op,
			       .sender_mac = *mac,
			       .sender_ip = ip_of(sender),
			       .target_ip = ip_of(target)};
	uint8_t frame[ARP_FRAME_LEN];

	arp_encode(&q, frame);
	return responder_recv_arp(r, ifindex, frame, sizeof(frame), 0, reply);
}

static void test_answers(void **state)
{
	struct responder *r = responder_make(0);
	struct l2_frame reply;
	struct arp_packet a;
	size_t pos = 0;

	(void)state;
	announce(r, "default/s", "192.0.2.9", "eth0", 0);
	assert_int_equal(ask(r, 2, 1, "192.0.2.2", &his_mac, "192.0.2.9", &reply),
			 RESPONDER_ANSWER);
	assert_int_equal(reply.ifindex, 2);
	assert_int_equal(reply.len, 60);
	assert_null(arp_decode(&a, reply.data, reply.len));
	struct ip vip = ip_of("192.0.2.9"), asker = ip_of("192.0.2.2");

	assert_int_equal(a.op, ARP_OP_REPLY);
	assert_true(mac_eq(&a.eth_dst, &his_mac) && mac_eq(&a.eth_src, &our_mac));
	assert_true(mac_eq(&a.sender_mac, &our_mac) && ip_eq(&a.sender_ip, &vip));
	assert_true(mac_eq(&a.target_mac, &his_mac) && ip_eq(&a.target_ip, &asker));
	/* a probe (RFC 5227) is answered, too */
	assert_int_equal(ask(r, 2, 1, "0.0.0.0", &his_mac, "192.0.2.9", &reply), RESPONDER_ANSWER);
	assert_int_equal(ask(r, 3, 1, "192.0.2.2", &his_mac, "192.0.2.9", &reply),
			 RESPONDER_OTHER_INTERFACE);
	assert_int_equal(ask(r, 2, 1, "192.0.2.2", &his_mac, "192.0.2.8", &reply),
			 RESPONDER_OTHER_IP);
	assert_int_equal(ask(r, 2, 2, "192.0.2.2", &his_mac, "192.0.2.9", &reply),
			 RESPONDER_NOT_A_QUESTION);
	assert_int_equal(ask(r, 2, 1, "192.0.2.2", &our_mac, "192.0.2.9", &reply), RESPONDER_OWN);
	assert_int_equal(ask(r, 9, 1, "192.0.2.2", &his_mac, "192.0.2.9", &reply),
			 RESPONDER_OTHER_INTERFACE);
	assert_int_equal(responder_recv_arp(r, 2, "x", 1, 0, &reply), RESPONDER_MALFORMED);
	assert_int_equal(responder_counts_next(r, &pos)->responses, 2);
	assert_int_equal(responder_verdict_count(r, RESPONDER_OTHER_INTERFACE), 2);
	responder_free(r);
}

static void test_claims(void **state)
{
	struct responder *r = responder_make(0);
	struct responder_claim claim;
	struct l2_frame reply;
	struct ip vip = ip_of("192.0.2.9");

	(void)state;
	announce(r, "default/s", "192.0.2.9", NULL, 0);
	/* an announcement of somebody else's: told, never answered */
	assert_int_equal(ask(r, 2, 1, "192.0.2.9", &his_mac, "192.0.2.9", &reply), RESPONDER_CLAIM);
	assert_true(responder_claim_next(r, &claim));
	assert_true(ip_eq(&claim.ip, &vip) && mac_eq(&claim.mac, &his_mac));
	assert_int_equal(claim.ifindex, 2);
	assert_false(responder_claim_next(r, &claim));
	for (int i = 0; i < 3 * RESPONDER_CLAIMS_MAX; i++)
		assert_int_equal(ask(r, 3, 2, "192.0.2.9", &his_mac, "192.0.2.7", &reply),
				 RESPONDER_CLAIM);
	size_t n = 0;

	while (responder_claim_next(r, &claim))
		n++;
	assert_int_equal(n, RESPONDER_CLAIMS_MAX);
	responder_free(r);
}

static void test_ndp_answers(void **state)
{
	struct responder *r = responder_make(0);
	struct l2_frame reply;
	struct ndp_packet a;
	uint8_t f[NDP_FRAME_LEN];
	struct ip vip = ip_of("fd00::5"), asker = ip_of("fe80::9"), all = ndp_all_nodes();
	size_t n;

	(void)state;
	announce(r, "default/s", "fd00::5", NULL, 0);
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::9", "ff02::1:ff00:5", "fd00::5", &his_mac);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_ANSWER);
	assert_null(ndp_decode(&a, reply.data, reply.len));
	assert_int_equal(a.type, NDP_ADVERTISE);
	assert_int_equal(a.flags, NDP_FLAG_SOLICITED);
	assert_true(ip_eq(&a.target, &vip) && ip_eq(&a.dst, &asker) && ip_eq(&a.src, &vip));
	assert_true(a.has_lla && mac_eq(&a.lla, &our_mac) && mac_eq(&a.eth_dst, &his_mac));
	/* to the address itself: a neighbour that checks whether we are still there */
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::9", "fd00::5", "fd00::5", &his_mac);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_ANSWER);
	/* somebody wants the address: all nodes are told that it is taken */
	n = ndp_make(f, NDP_SOLICIT, 0, "::", "ff02::1:ff00:5", "fd00::5", NULL);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_ANSWER);
	assert_null(ndp_decode(&a, reply.data, reply.len));
	assert_int_equal(a.flags, NDP_FLAG_OVERRIDE);
	assert_true(ip_eq(&a.dst, &all));
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::9", "ff02::1:ff00:5", "fd00::5", NULL);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_NO_SENDER);
	n = ndp_make(f, NDP_ADVERTISE, NDP_FLAG_OVERRIDE, "fe80::9", "ff02::1", "fd00::5",
		     &his_mac);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_CLAIM);
	n = ndp_make(f, NDP_SOLICIT, 0, "fe80::9", "ff02::1:ff00:6", "fd00::6", &his_mac);
	assert_int_equal(responder_recv_ndp(r, 2, f, n, 0, &reply), RESPONDER_OTHER_IP);
	/* eth1 has no link-local address */
	assert_int_equal(responder_recv_ndp(r, 3, f, n, 0, &reply), RESPONDER_OTHER_INTERFACE);
	responder_free(r);
}

static size_t drain(struct responder *r, usec_t now)
{
	struct l2_frame f;
	size_t n = 0;

	while (responder_output(r, now, &f))
		n++;
	return n;
}

static void test_burst(void **state)
{
	struct responder *r = responder_make(0);
	struct l2_frame f;
	struct arp_packet a;
	usec_t now = 0;

	(void)state;
	announce(r, "default/s", "192.0.2.9", NULL, 0);
	assert_true(responder_output(r, 0, &f));
	assert_null(arp_decode(&a, f.data, f.len));
	assert_int_equal(a.op, ARP_OP_REQUEST);
	assert_true(mac_is_broadcast(&a.target_mac) && ip_eq(&a.sender_ip, &a.target_ip));
	assert_true(responder_output(r, 0, &f));
	assert_null(arp_decode(&a, f.data, f.len));
	assert_int_equal(a.op, ARP_OP_REPLY);
	assert_int_equal(drain(r, 0), 2); /* the same on eth1 */
	for (int round = 1; round < RESPONDER_ROUNDS; round++) {
		now += RESPONDER_INTERVAL;
		assert_int_equal(responder_deadline(r), now);
		assert_int_equal(drain(r, now - 1), 0);
		assert_int_equal(drain(r, now), 4);
	}
	assert_true(responder_deadline(r) == USEC_NEVER);
	/* the same once more is quiet, another interface is not */
	announce(r, "default/s", "192.0.2.9", NULL, now);
	assert_true(responder_deadline(r) == USEC_NEVER);
	announce(r, "default/s", "192.0.2.9", "eth0", now);
	assert_true(responder_deadline(r) == USEC_NEVER);
	announce(r, "default/t", "192.0.2.9", "eth1", now);
	assert_int_equal(drain(r, now), 4);
	responder_withdraw(r, "default/s");
	responder_withdraw(r, "default/t");
	assert_true(responder_deadline(r) == USEC_NEVER);
	assert_false(responder_has_ip(r, &a.sender_ip));
	responder_free(r);
}

/* A service gives up one of its addresses: no word more about it, none about the others either. */
static void test_release(void **state)
{
	struct responder *r = responder_make(0);
	struct announce_l2_ip both[] = {{.ip = ip_of("192.0.2.9"), .all_interfaces = true},
					{.ip = ip_of("2001:db8::9"), .all_interfaces = true}};
	usec_t now = 10 * USEC_PER_SEC;
	struct l2_frame reply;

	(void)state;
	responder_announce(r, "default/s", both, 2, now);
	announce(r, "default/t", "192.0.2.9", "eth0", now);
	assert_int_equal(drain(r, now), 5); /* two ARP frames on each interface, NDP on one */
	responder_hush(r, "default/s");
	responder_release(r, "default/s", &both[0].ip, now);
	assert_true(responder_has_ip(r, &both[0].ip)); /* the other service's word */
	assert_int_equal(ask(r, 3, 1, "192.0.2.2", &his_mac, "192.0.2.9", &reply),
			 RESPONDER_OTHER_INTERFACE);
	responder_withdraw(r, "default/t");
	assert_false(responder_has_ip(r, &both[0].ip));
	assert_true(responder_has_ip(r, &both[1].ip));
	responder_release(r, "default/s", &both[0].ip, now);
	responder_release(r, "default/none", &both[0].ip, now);
	assert_true(responder_has_service(r, "default/s"));
	responder_release(r, "default/s", &both[1].ip, now);
	assert_false(responder_has_ip(r, &both[1].ip));
	responder_withdraw(r, "default/s");
	assert_true(responder_deadline(r) == USEC_NEVER);
	responder_free(r);
}

/* Questions go out at once, by whatever link can carry them. */
static void test_questions(void **state)
{
	struct responder *r = responder_make(0);
	struct responder_question v4 = {3, ip_of("192.0.2.1"), ip_of("192.0.2.2")};
	struct responder_question v6 = {2, ip_of("2001:db8::1"), ip_of("2001:db8::2")};
	struct responder_question gone = {9, v4.from, v4.to};
	struct responder_question deaf = {3, v6.from, v6.to}; /* eth1 has no NDP */
	struct l2_frame f;
	struct arp_packet a;
	struct ndp_packet n;

	(void)state;
	responder_ask(r, &v4);
	responder_ask(r, &gone);
	responder_ask(r, &deaf);
	assert_int_equal(responder_deadline(r), 0);
	assert_true(responder_output(r, 0, &f));
	assert_int_equal(f.ifindex, 3);
	assert_null(arp_decode(&a, f.data, f.len));
	assert_true(a.op == ARP_OP_REQUEST && mac_is_broadcast(&a.eth_dst));
	assert_true(ip_eq(&a.sender_ip, &v4.from) && ip_eq(&a.target_ip, &v4.to));
	assert_false(responder_output(r, 0, &f));
	assert_true(responder_deadline(r) == USEC_NEVER);
	responder_ask(r, &v6);
	assert_true(responder_output(r, 0, &f));
	assert_null(ndp_decode(&n, f.data, f.len));
	assert_true(n.type == NDP_SOLICIT && n.has_lla && mac_eq(&n.lla, &our_mac));
	assert_true(ip_eq(&n.src, &v6.from) && ip_eq(&n.target, &v6.to));
	for (int i = 0; i < 2 * RESPONDER_QUESTIONS_MAX; i++)
		responder_ask(r, &v4);
	assert_int_equal(drain(r, 0), RESPONDER_QUESTIONS_MAX);
	responder_free(r);
}

static void test_link_changes(void **state)
{
	struct responder *r = responder_make(0);
	struct responder_link eth0 = {.ifindex = 2,
				      .name = "eth0",
				      .mac = our_mac,
				      .arp = true,
				      .ndp = true,
				      .link_local = ip_of("fe80::1")};
	usec_t now = 100 * USEC_PER_SEC;

	(void)state;
	announce(r, "default/s", "192.0.2.9", "eth0", 0);
	for (int i = 0; i < RESPONDER_ROUNDS; i++)
		assert_int_equal(drain(r, i * RESPONDER_INTERVAL), 2);
	responder_link_set(r, &eth0, now);
	assert_true(responder_deadline(r) == USEC_NEVER); /* nothing changed */
	eth0.mac.b[5] = 7;
	responder_link_set(r, &eth0, now);
	assert_int_equal(drain(r, now), 2); /* under its new hardware address */
	responder_link_del(r, 2);
	assert_int_equal(drain(r, now + RESPONDER_INTERVAL), 0);
	responder_link_set(r, &eth0, now + RESPONDER_INTERVAL);
	assert_int_equal(drain(r, now + RESPONDER_INTERVAL), 2);
	responder_free(r);
}

static void test_refresh(void **state)
{
	const usec_t refresh = 180 * USEC_PER_SEC;
	struct responder *r = responder_make(refresh);
	usec_t now = 0, last;

	(void)state;
	announce(r, "default/s", "192.0.2.9", "eth0", 0);
	for (int i = 0; i < RESPONDER_ROUNDS; i++, now += RESPONDER_INTERVAL)
		drain(r, now);
	last = now - RESPONDER_INTERVAL;
	for (int i = 0; i < 50; i++) {
		now = responder_deadline(r);
		assert_in_range(now - last, refresh * 3 / 4, refresh * 5 / 4);
		assert_int_equal(drain(r, now), 2);
		last = now;
	}
	responder_burst_all(r, now, USEC_PER_SEC);
	assert_in_range(responder_deadline(r), now, now + USEC_PER_SEC);
	responder_free(r);
}

static void test_groups(void **state)
{
	struct responder *r = responder_make(0);
	struct responder_link eth1 = {.ifindex = 3,
				      .name = "eth1",
				      .mac = his_mac,
				      .ndp = true,
				      .link_local = ip_of("fe80::2")};
	struct ip want = ip_of("ff02::1:ff00:5");
	struct responder_group g;

	(void)state;
	announce(r, "default/s", "fd00::5", NULL, 0);
	announce(r, "default/t", "fd01::5", NULL, 0); /* the same group */
	assert_true(responder_group_next(r, &g));
	assert_true(g.join && g.ifindex == 2 && ip_eq(&g.group, &want));
	assert_false(responder_group_next(r, &g));
	responder_link_set(r, &eth1, 0); /* an interface that can do it now */
	assert_true(responder_group_next(r, &g));
	assert_true(g.join && g.ifindex == 3);
	responder_withdraw(r, "default/s");
	assert_false(responder_group_next(r, &g));
	responder_withdraw(r, "default/t");
	for (int i = 0; i < 2; i++) {
		assert_true(responder_group_next(r, &g));
		assert_false(g.join);
	}
	assert_false(responder_group_next(r, &g));
	responder_free(r);
}

static void test_conflicts(void **state)
{
	struct conflicts *c = conflicts_new();
	struct responder_claim claim = {ip_of("192.0.2.9"), his_mac, 2, 0};

	(void)state;
	assert_false(conflicts_add(c, &claim)); /* once: an address on its way */
	claim.when = CONFLICT_CONFIRM - 1;
	assert_false(conflicts_add(c, &claim));
	claim.when = CONFLICT_CONFIRM;
	assert_true(conflicts_add(c, &claim));
	claim.when += 10;
	assert_false(conflicts_add(c, &claim)); /* told already */
	conflicts_forget(c, &claim.ip);
	claim.when += CONFLICT_CONFIRM;
	assert_false(conflicts_add(c, &claim));
	claim.when += CONFLICT_FORGET + 1; /* too far apart */
	assert_false(conflicts_add(c, &claim));
	for (uint32_t i = 0; i < 3 * CONFLICTS_MAX; i++) {
		memcpy(&claim.mac.b[2], &i, sizeof(i));
		assert_false(conflicts_add(c, &claim));
	}
	assert_int_equal(conflicts_count(c), 6 + 3 * CONFLICTS_MAX);
	conflicts_free(c);
}

static void test_deadlines(void **state)
{
	struct deadline items[200] = {0};
	struct deadlines h = {0};
	usec_t last = -1;

	(void)state;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_SIZE(items); i++)
			deadlines_set(&h, &items[i], random_below(&source, 1000));
	for (size_t i = 0; i < ARRAY_SIZE(items); i += 3)
		deadlines_set(&h, &items[i], USEC_NEVER);
	size_t n = 0;

	for (struct deadline *d; (d = deadlines_first(&h)); n++) {
		assert_true(d->due >= last);
		last = d->due;
		deadlines_set(&h, d, USEC_NEVER);
	}
	assert_int_equal(n, 133);
	deadlines_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_decode),   cmocka_unit_test(test_arp_tagged),
		cmocka_unit_test(test_ndp_decode),   cmocka_unit_test(test_ndp_rules),
		cmocka_unit_test(test_answers),      cmocka_unit_test(test_claims),
		cmocka_unit_test(test_ndp_answers),  cmocka_unit_test(test_burst),
		cmocka_unit_test(test_link_changes), cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_groups),       cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_conflicts),    cmocka_unit_test(test_release),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
