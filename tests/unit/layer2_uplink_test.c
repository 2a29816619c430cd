/*
 * Gateways that answer, stop to, and answer again, on fake links of one node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/layer2/arp.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/uplink.h"
#include "tests/unit/helpers.h"

#define MS      USEC_PER_MSEC
#define TIMEOUT (1000 * MS)

static uint32_t random_state = 7;
static const struct random_source source = {random_fill, &random_state};

/* The gateways 192.0.2.1 on eth0, 198.51.100.1 and fe80::1 on eth1: do they answer now. */
struct lab {
	struct responder *r;
	usec_t now;
	bool answers, answers_v4, answers_v6;
	struct mac mac; /* of the one on eth0 */
	unsigned asked, asked_all, changes;
};

static void link_set(struct lab *lab, unsigned ifindex, bool ndp)
{
	struct responder_link link = {.ifindex = ifindex,
				      .mac = {{2, 0, 0, 0, 0, (uint8_t)ifindex}},
				      .arp = true,
				      .ndp = ndp,
				      .link_local = ip_of("fe80::9")};

	snprintf(link.name, sizeof(link.name), "eth%u", ifindex - 1);
	responder_link_set(lab->r, &link, lab->now);
}

static void gateways_set(struct lab *lab, size_t n)
{
	struct responder_gateway all[] = {
		{1, ip_of("192.0.2.9"), ip_of("192.0.2.1")},
		{2, ip_of("198.51.100.9"), ip_of("198.51.100.1")},
		{2, ip_of("2001:db8::9"), ip_of("fe80::1")},
	};

	responder_set_gateways(lab->r, all, n, lab->now);
}

static struct lab lab_make(usec_t timeout)
{
	struct responder_options opt = {.uplink = timeout, .random = &source};
	struct lab lab = {.r = responder_new(&opt), .mac = {{2, 1, 1, 1, 1, 1}}};

	link_set(&lab, 1, false);
	link_set(&lab, 2, true);
	return lab;
}

static void arp_answer(struct lab *lab, const struct arp_packet *q, const struct mac *mac)
{
	struct arp_packet a = {.eth_dst = q->eth_src,
			       .eth_src = *mac,
			       .op = ARP_OP_REPLY,
			       .sender_mac = *mac,
			       .sender_ip = q->target_ip,
			       .target_mac = q->sender_mac,
			       .target_ip = q->sender_ip};
	uint8_t frame[ARP_FRAME_LEN];
	struct l2_frame reply;

	arp_encode(&a, frame);
	responder_recv_arp(lab->r, mac_eq(mac, &lab->mac) ? 1 : 2, frame, sizeof(frame), lab->now,
			   &reply);
}

static void ndp_answer(struct lab *lab, const struct ndp_packet *q)
{
	struct mac mac = {{2, 3, 3, 3, 3, 3}};
	struct ndp_packet a = {.eth_dst = q->eth_src,
			       .eth_src = mac,
			       .src = q->target,
			       .dst = q->src,
			       .type = NDP_ADVERTISE,
			       .flags = NDP_FLAG_SOLICITED | NDP_FLAG_ROUTER,
			       .target = q->target};
	uint8_t frame[NDP_FRAME_LEN];
	struct l2_frame reply;
	size_t n;

	ndp_encode(&a, frame, &n);
	responder_recv_ndp(lab->r, 2, frame, n, lab->now, &reply);
}

static void question_take(struct lab *lab, const struct l2_frame *f)
{
	static const struct mac other = {{2, 2, 2, 2, 2, 2}};
	struct arp_packet q;
	struct ndp_packet s;

	lab->asked++;
	if (f->ethertype == ETHERTYPE_IPV6_VALUE) {
		struct ip own = ip_of("fe80::9");

		assert_null(ndp_decode(&s, f->data, f->len));
		assert_true(ip_eq(&s.src, &own)); /* a link-local gateway, from such an address */
		if (lab->answers_v6)
			ndp_answer(lab, &s);
		return;
	}
	assert_null(arp_decode(&q, f->data, f->len));
	assert_int_equal(q.op, ARP_OP_REQUEST);
	lab->asked_all += mac_is_broadcast(&q.eth_dst);
	if (f->ifindex == 1) {
		if (lab->answers && (mac_is_broadcast(&q.eth_dst) || mac_eq(&q.eth_dst, &lab->mac)))
			arp_answer(lab, &q, &lab->mac);
	} else if (lab->answers_v4) {
		arp_answer(lab, &q, &other);
	}
}

/* Time passes, all that is due happens. */
static void run(struct lab *lab, usec_t time)
{
	usec_t end = lab->now + time;
	struct l2_frame f;

	for (;;) {
		while (responder_output(lab->r, lab->now, &f))
			question_take(lab, &f);
		lab->changes += responder_take_uplink_change(lab->r);
		usec_t due = responder_deadline(lab->r);

		if (due > end)
			break;
		lab->now = due > lab->now ? due : lab->now;
	}
	lab->now = end;
}

static void test_dead_and_back(void **state)
{
	struct lab lab = lab_make(TIMEOUT);

	(void)state;
	gateways_set(&lab, 1);
	run(&lab, 5 * TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_UNKNOWN); /* never answered */
	assert_int_equal(lab.changes, 0);
	lab.answers = true;
	run(&lab, TIMEOUT / 2);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	assert_int_equal(lab.changes, 1);
	lab.asked_all = lab.asked = 0;
	run(&lab, 100 * TIMEOUT);
	assert_int_equal(lab.asked_all, 0); /* it alone is asked, and no one else disturbed */
	assert_in_range(lab.asked, 100 * UPLINK_MISSES, 140 * UPLINK_MISSES);
	lab.answers = false;
	run(&lab, TIMEOUT / 2);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	run(&lab, TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_DEAD);
	assert_int_equal(lab.changes, 2);
	assert_true(lab.asked_all >= 1);
	lab.answers = true;
	run(&lab, TIMEOUT / UPLINK_MISSES);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_DEAD); /* one is not enough */
	run(&lab, TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	assert_int_equal(lab.changes, 3);
	responder_free(lab.r);
}

/* Another station has the address now, as with VRRP: found before the gateway is called dead. */
static void test_another_station(void **state)
{
	struct lab lab = lab_make(TIMEOUT);

	(void)state;
	gateways_set(&lab, 1);
	lab.answers = true;
	run(&lab, 5 * TIMEOUT);
	lab.mac.b[5] = 2;
	run(&lab, 5 * TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	assert_int_equal(lab.changes, 1);
	responder_free(lab.r);
}

/* One lost answer in two is not four in a row; a process that did not run has missed none. */
static void test_no_false_alarm(void **state)
{
	struct lab lab = lab_make(TIMEOUT);

	(void)state;
	gateways_set(&lab, 1);
	lab.answers = true;
	run(&lab, TIMEOUT);
	for (int i = 0; i < 100; i++) {
		lab.answers = i % 2;
		run(&lab, TIMEOUT / UPLINK_MISSES);
	}
	lab.answers = true;
	run(&lab, TIMEOUT);
	lab.now += 60 * USEC_PER_SEC;
	run(&lab, TIMEOUT);
	assert_int_equal(lab.changes, 1);
	responder_free(lab.r);
}

/* Of two gateways on an interface one is enough; interfaces are apart. */
static void test_two_families(void **state)
{
	struct lab lab = lab_make(TIMEOUT);

	(void)state;
	gateways_set(&lab, 3);
	lab.answers = lab.answers_v4 = lab.answers_v6 = true;
	run(&lab, 2 * TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 2), RESPONDER_UPLINK_ALIVE);
	lab.answers_v4 = false;
	run(&lab, 2 * TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 2), RESPONDER_UPLINK_ALIVE);
	lab.answers_v6 = false;
	run(&lab, 2 * TIMEOUT);
	assert_int_equal(responder_uplink(lab.r, 2), RESPONDER_UPLINK_DEAD);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	assert_int_equal(responder_uplink(lab.r, 3), RESPONDER_UPLINK_UNKNOWN);
	/* the routes that named them are gone: nothing is known */
	lab.changes = 0;
	gateways_set(&lab, 1);
	run(&lab, 1);
	assert_int_equal(lab.changes, 1);
	assert_int_equal(responder_uplink(lab.r, 2), RESPONDER_UPLINK_UNKNOWN);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	responder_free(lab.r);
}

/* An interface without carrier is asked nothing, and nothing is held against its gateway. */
static void test_link_gone(void **state)
{
	struct lab lab = lab_make(TIMEOUT);

	(void)state;
	gateways_set(&lab, 1);
	lab.answers = true;
	run(&lab, TIMEOUT);
	responder_link_del(lab.r, 1);
	lab.asked = 0;
	run(&lab, 10 * TIMEOUT);
	assert_int_equal(lab.asked, 0);
	assert_int_equal(responder_uplink(lab.r, 1), RESPONDER_UPLINK_ALIVE);
	link_set(&lab, 1, false);
	run(&lab, TIMEOUT);
	assert_true(lab.asked > 0);
	assert_int_equal(lab.changes, 1);
	responder_free(lab.r);
}

static void test_off(void **state)
{
	struct lab lab = lab_make(0);

	(void)state;
	gateways_set(&lab, 3);
	run(&lab, 10 * TIMEOUT);
	assert_int_equal(lab.asked, 0);
	responder_free(lab.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_and_back),  cmocka_unit_test(test_another_station),
		cmocka_unit_test(test_no_false_alarm), cmocka_unit_test(test_two_families),
		cmocka_unit_test(test_link_gone),      cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
