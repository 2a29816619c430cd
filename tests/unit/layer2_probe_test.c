/*
 * Probes before an address is used for the first time, on a fake link with stations that answer for
 * one address, for all of them, or are nodes of the cluster.
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
#include "speaker/layer2/responder.h"
#include "tests/unit/helpers.h"

#define MS    USEC_PER_MSEC
#define START (1000 * USEC_PER_SEC)

static const struct mac own_mac = {{2, 0, 0, 0, 0, 1}};

static uint32_t random_state = 7;
static const struct random_source source = {random_fill, &random_state};

/* What a station answers for. */
struct host {
	struct mac mac;
	const char *has[3];
	bool all;      /* everything */
	bool all_near; /* everything in 192.0.2.0/24 and 2001:db8:1::/64 */
	unsigned deaf; /* to so many questions */
};

struct wire {
	struct responder *r;
	struct host *hosts;
	size_t n_hosts;
	unsigned questions;
	usec_t first, last;
};

static bool is_near(const struct ip *ip)
{
	static const uint8_t v4[] = {192, 0, 2}, v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0};

	return ip->family == IP_V4 ? memcmp(ip->b, v4, sizeof(v4)) == 0
				   : memcmp(ip->b, v6, sizeof(v6)) == 0;
}

static bool host_has(struct host *h, const struct ip *ip)
{
	bool has = h->all || (h->all_near && is_near(ip));

	for (size_t i = 0; i < ARRAY_SIZE(h->has) && h->has[i]; i++) {
		struct ip own = ip_of(h->has[i]);

		has |= ip_eq(&own, ip);
	}
	if (has && h->deaf > 0) {
		h->deaf--;
		return false;
	}
	return has;
}

static void arp_answer(struct wire *w, const struct arp_packet *q, const struct host *h, usec_t now)
{
	struct arp_packet a = {
		.eth_dst = q->sender_mac,
		.eth_src = h->mac,
		.op = ARP_OP_REPLY,
		.sender_mac = h->mac,
		.sender_ip = q->target_ip,
		.target_mac = q->sender_mac,
		.target_ip = q->sender_ip,
	};
	uint8_t frame[ARP_FRAME_LEN];
	struct l2_frame reply;

	arp_encode(&a, frame);
	assert_int_not_equal(responder_recv_arp(w->r, 1, frame, sizeof(frame), now, &reply),
			     RESPONDER_ANSWER);
}

static void ndp_answer(struct wire *w, const struct ndp_packet *q, const struct host *h, usec_t now)
{
	struct ip all = ndp_all_nodes();
	bool probe = ip_is_unspecified(&q->src);
	struct ndp_packet a = {
		.eth_dst = own_mac,
		.eth_src = h->mac,
		.src = q->target,
		.dst = probe ? all : q->src,
		.type = NDP_ADVERTISE,
		.flags = NDP_FLAG_OVERRIDE,
		.target = q->target,
		.has_lla = true,
		.lla = h->mac,
	};
	uint8_t frame[NDP_FRAME_LEN];
	struct l2_frame reply;
	size_t n;

	ndp_encode(&a, frame, &n);
	assert_int_not_equal(responder_recv_ndp(w->r, 1, frame, n, now, &reply), RESPONDER_ANSWER);
}

/* Every question as a real host would take it; the answers come at once. */
static void ask(struct wire *w, const struct l2_frame *f, usec_t now)
{
	struct arp_packet arp;
	struct ndp_packet ndp;
	bool v4 = f->ethertype == ETHERTYPE_ARP_VALUE;

	assert_null(v4 ? arp_decode(&arp, f->data, f->len) : ndp_decode(&ndp, f->data, f->len));
	if (v4) {
		assert_int_equal(arp.op, ARP_OP_REQUEST);
		assert_true(ip_is_unspecified(&arp.sender_ip));
		assert_true(mac_is_broadcast(&arp.eth_dst));
	}
	w->first = w->questions++ ? w->first : now;
	w->last = now;
	for (size_t i = 0; i < w->n_hosts; i++) {
		if (!host_has(&w->hosts[i], v4 ? &arp.target_ip : &ndp.target))
			continue;
		if (v4)
			arp_answer(w, &arp, &w->hosts[i], now);
		else
			ndp_answer(w, &ndp, &w->hosts[i], now);
	}
}

/* Until the verdict; it must come within a second. */
static struct responder_probe run(struct wire *w, usec_t start, usec_t *took)
{
	struct responder_probe result;
	struct l2_frame f;

	for (usec_t now = start; now <= start + 1000 * MS; now += MS) {
		while (responder_deadline(w->r) <= now && responder_output(w->r, now, &f))
			ask(w, &f, now);
		if (responder_probe_next(w->r, &result)) {
			assert_false(responder_probe_next(w->r, &result));
			*took = now - start;
			return result;
		}
	}
	fail_msg("no verdict within a second");
	return result;
}

static struct wire wire_make(struct host *hosts, size_t n, const char *const *nodes, size_t n_nodes)
{
	struct responder_options opt = {.random = &source};
	struct responder_link link = {.ifindex = 1,
				      .name = "eth0",
				      .mac = own_mac,
				      .arp = true,
				      .ndp = true,
				      .link_local = ip_of("fe80::1")};
	struct wire w = {.r = responder_new(&opt), .hosts = hosts, .n_hosts = n};
	struct ip ips[4];

	for (size_t i = 0; i < n_nodes; i++)
		ips[i] = ip_of(nodes[i]);
	responder_set_nodes(w.r, ips, n_nodes);
	responder_link_set(w.r, &link, START);
	return w;
}

static const char *const nodes[] = {"192.0.2.2", "2001:db8:1::2"};

static void probe(struct wire *w, const char *ip, usec_t now)
{
	struct announce_l2_ip where = {.ip = ip_of(ip), .all_interfaces = true};

	responder_probe(w->r, &where, now);
}

static void verdicts(void **state)
{
	static const struct {
		const char *what;
		struct host hosts[2];
		int taken_by; /* index, -1: free */
		usec_t at_most;
	} cases[] = {
		{"nobody", {{.mac = {{0}}}}, -1, 700 * MS},
		{"a host", {{{{2, 0, 0, 0, 0, 9}}, {"192.0.2.50", "2001:db8:1::50"}}}, 0, 310 * MS},
		{"a host that hears the last probe only",
		 {{{{2, 0, 0, 0, 0, 9}}, {"192.0.2.50", "2001:db8:1::50"}, .deaf = 2}},
		 0,
		 710 * MS},
		{"another address's host",
		 {{{{2, 0, 0, 0, 0, 9}}, {"192.0.2.51", "2001:db8:1::51"}}},
		 -1,
		 700 * MS},
		{"a router for all", {{{{2, 0, 0, 0, 0, 9}}, .all = true}}, -1, 700 * MS},
		{"a router for the subnet",
		 {{{{2, 0, 0, 0, 0, 9}}, .all_near = true}},
		 -1,
		 700 * MS},
		{"a host beside a router for all",
		 {{{{2, 0, 0, 0, 0, 8}}, .all = true},
		  {{{2, 0, 0, 0, 0, 9}}, {"192.0.2.50", "2001:db8:1::50"}}},
		 1,
		 310 * MS},
		{"a node of the cluster, by either of its addresses",
		 {{{{2, 0, 0, 0, 0, 9}}, {"192.0.2.50", "2001:db8:1::50", "192.0.2.2"}}},
		 -1,
		 700 * MS},
	};
	static const char *const addresses[] = {"192.0.2.50", "2001:db8:1::50"};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const char *ip = addresses[i % 2];
		struct host hosts[2];
		usec_t took;

		memcpy(hosts, cases[i / 2].hosts, sizeof(hosts));
		struct wire w = wire_make(hosts, 2, nodes, ARRAY_SIZE(nodes));
		int by = cases[i / 2].taken_by;

		probe(&w, ip, START);
		struct responder_probe result = run(&w, START, &took);

		print_message("%s, %s\n", cases[i / 2].what, ip);
		assert_int_equal(result.taken, by >= 0);
		if (by >= 0)
			assert_true(mac_eq(&result.mac, &hosts[by].mac));
		assert_in_range(took, 0, cases[i / 2].at_most);
		assert_int_equal(responder_deadline(w.r), USEC_NEVER);
		responder_free(w.r);
	}
}

/* Ten addresses that a router answers for: it is asked who it is once. */
static void a_router_is_asked_once(void **state)
{
	struct host router = {.mac = {{2, 0, 0, 0, 0, 9}}, .all = true};
	struct wire w = wire_make(&router, 1, nodes, ARRAY_SIZE(nodes));
	struct responder_probe result;
	struct l2_frame f;
	unsigned results = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		char ip[32];

		snprintf(ip, sizeof(ip), "192.0.2.%u", 100 + i);
		probe(&w, ip, START);
		probe(&w, ip, START); /* runs already */
	}
	for (usec_t now = START; now < START + 2000 * MS; now += MS) {
		while (responder_output(w.r, now, &f))
			ask(&w, &f, now);
		while (responder_probe_next(w.r, &result)) {
			assert_false(result.taken);
			results++;
		}
	}
	assert_int_equal(results, 10);
	/* three probes each, and twice: four witnesses and two nodes */
	assert_int_equal(w.questions, 10 * 3 + 2 * (4 + 2));
	responder_free(w.r);
}

/* Only where the address would be announced, and only probes: three, 200 ms apart. */
static void probes_where_it_would_be(void **state)
{
	struct wire w = wire_make(NULL, 0, NULL, 0);
	const char *names[] = {"eth7"};
	struct announce_l2_ip elsewhere = {.ip = ip_of("192.0.2.51"), .interfaces = {names, 1}};
	struct responder_probe result;
	struct l2_frame f;
	usec_t took;

	(void)state;
	probe(&w, "192.0.2.50", START);
	result = run(&w, START, &took);
	assert_false(result.taken);
	assert_int_equal(w.questions, 3);
	assert_int_equal(w.last - w.first, 400 * MS);
	responder_probe(w.r, &elsewhere, START);
	assert_false(responder_output(w.r, START + 100 * MS, &f));
	responder_free(w.r);
}

/* A flood of claims with invented senders while a probe runs: taken, and nothing grows. */
static void a_flood_of_claims(void **state)
{
	struct wire w = wire_make(NULL, 0, nodes, ARRAY_SIZE(nodes));
	struct ip ip = ip_of("192.0.2.50");
	struct arp_packet q = {.target_ip = ip};
	usec_t took;

	(void)state;
	probe(&w, "192.0.2.50", START);
	for (unsigned i = 0; i < 10000; i++) {
		struct host h = {.mac = {{2, 1, (uint8_t)(i >> 8), (uint8_t)i, 0, 0}}};

		arp_answer(&w, &q, &h, START + 10 * MS);
	}
	assert_true(run(&w, START + 10 * MS, &took).taken);
	assert_in_range(w.questions, 1, 3 + 4 * 2 * (4 + 2));
	responder_free(w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(a_router_is_asked_once),
		cmocka_unit_test(probes_where_it_would_be),
		cmocka_unit_test(a_flood_of_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
