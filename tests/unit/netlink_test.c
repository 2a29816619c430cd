/*
 * Netlink messages as Linux 6 sent them (tests/vectors/netlink), through parser and link table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "metallb/arena.h"
#include "metallb/xalloc.h"
#include "speaker/links.h"

struct recording {
	FILE *f;
	char *line;
	size_t cap;
};

static struct recording recording_open(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/tests/vectors/netlink/%s", SOURCE_DIR, name);
	struct recording r = {.f = fopen(path, "r")};

	assert_non_null(r.f);
	assert_true(getline(&r.line, &r.cap, r.f) > 0); /* the first title */
	return r;
}

static void recording_close(struct recording *r)
{
	fclose(r->f);
	free(r->line);
}

static size_t hex_decode(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	while (sscanf(hex + 2 * n, "%2x", &v) == 1)
		out[n++] = (uint8_t)v;
	return n;
}

/* Apply what is recorded under the next title, which must be this one. */
static bool section_apply(struct recording *r, const char *title, struct links *links)
{
	bool changed = false;

	r->line[strcspn(r->line, "\n")] = '\0';
	assert_string_equal(r->line + 2, title);
	while (getline(&r->line, &r->cap, r->f) > 0 && r->line[0] != '#') {
		static uint8_t data[65536];
		const uint8_t *p = data;
		size_t len = hex_decode(r->line, data);
		struct nl_event e;
		const char *reason;

		while (netlink_parse(&p, &len, &e, &reason)) {
			assert_null(reason);
			changed |= links_apply(links, &e);
		}
		assert_null(reason);
	}
	return changed;
}

/* The interface as layer 2 may use it; ifindex 0 when it may not. */
static struct responder_link usable(const struct links *links, const char *name)
{
	struct responder_link link;

	for (size_t pos = 0; links_usable_next(links, &pos, &link);)
		if (strcmp(link.name, name) == 0)
			return link;
	return (struct responder_link){0};
}

static bool excluded(void *user, const char *name)
{
	return strcmp(name, user) == 0;
}

static void test_events(void **state)
{
	struct recording r = recording_open("events.hex");
	struct links *links = links_new(NULL, NULL);
	struct ip ip;

	(void)state;
	assert_true(section_apply(&r, "veth pair made", links));
	assert_int_equal(usable(links, "eth0").ifindex, 0); /* not up */
	assert_true(section_apply(&r, "both up", links));
	assert_true(usable(links, "eth0").arp && usable(links, "eth0").ndp);
	assert_true(ip_parse("fe80::ff:fe00:1", &ip));
	struct ip link_local = usable(links, "eth0").link_local;

	assert_true(ip_eq(&link_local, &ip));
	assert_true(section_apply(&r, "IPv4 address", links));
	assert_true(ip_parse("192.0.2.1", &ip));
	assert_true(links_has_address(links, usable(links, "eth0").ifindex, &ip));
	assert_false(links_has_address(links, 99, &ip));
	assert_true(section_apply(&r, "bridge made and up", links));
	assert_true(section_apply(&r, "eth0 becomes a port of br0", links));
	assert_int_equal(usable(links, "eth0").ifindex, 0);
	assert_true(usable(links, "br0").arp);
	assert_true(section_apply(&r, "eth0 leaves br0", links));
	assert_true(usable(links, "eth0").arp);
	assert_true(section_apply(&r, "eth0 gets another hardware address", links));
	assert_int_equal(usable(links, "eth0").mac.b[5], 0x11);
	assert_true(section_apply(&r, "eth1 down: eth0 loses its carrier", links));
	assert_int_equal(usable(links, "eth0").ifindex, 0);
	assert_true(section_apply(&r, "eth1 up again", links));
	assert_true(usable(links, "eth0").arp);
	assert_true(section_apply(&r, "eth0 renamed", links));
	assert_int_equal(usable(links, "eth0").ifindex, 0);
	assert_true(usable(links, "lan0").arp && usable(links, "lan0").ndp);
	assert_true(section_apply(&r, "NOARP", links));
	assert_int_equal(usable(links, "lan0").ifindex, 0);
	assert_true(section_apply(&r, "ARP on again", links));
	assert_true(usable(links, "lan0").arp);
	assert_true(section_apply(&r, "IPv4 address removed", links));
	assert_true(ip_parse("192.0.2.1", &ip));
	assert_false(links_has_address(links, usable(links, "lan0").ifindex, &ip));
	assert_true(usable(links, "lan0").arp); /* an address it needs not */
	assert_true(section_apply(&r, "pair deleted", links));
	assert_int_equal(usable(links, "lan0").ifindex, 0);
	links_free(links);
	recording_close(&r);
}

static void test_dump(void **state)
{
	struct recording r = recording_open("dump.hex");
	struct links *links = links_new(excluded, (void *)"eth1");
	struct arena *a = arena_new();

	(void)state;
	links_dump_begin(links);
	assert_true(section_apply(&r, "dump of links", links));
	assert_true(section_apply(&r, "dump of addresses", links));
	assert_false(links_dump_end(links));
	assert_true(usable(links, "eth0").arp && usable(links, "eth0").ndp);
	assert_int_equal(usable(links, "eth1").ifindex, 0); /* excluded */
	assert_int_equal(usable(links, "lo").ifindex, 0);
	struct strs names = links_names(links, a);

	for (size_t i = 0; i < names.n; i++)
		assert_string_not_equal(names.items[i], "eth1");
	assert_string_equal(links_name(links, usable(links, "eth0").ifindex), "eth0");
	/* a dump that no longer tells of anything */
	links_dump_begin(links);
	assert_true(links_dump_end(links));
	assert_int_equal(usable(links, "eth0").ifindex, 0);
	arena_free(a);
	links_free(links);
	recording_close(&r);
}

static void test_broken(void **state)
{
	static const struct {
		uint8_t data[24];
		size_t len;
		const char *reason;
		bool goes_on;
	} cases[] = {
		{{0}, 0, NULL, false},
		{{20, 0, 0, 0}, 4, "short message header", false},
		{{20, 0, 0, 0}, 16, "bad message length", false},
		{{4, 0, 0, 0}, 16, "bad message length", false},
		{{16, 0, 0, 0, 16, 0}, 16, "short link message", true},
		{{16, 0, 0, 0, 20, 0}, 16, "short address message", true},
		{{16, 0, 0, 0, 2, 0}, 16, "short error message", true},
		{{16, 0, 0, 0, 3, 0}, 16, NULL, true},
		{{24, 0, 0, 0, 20, 0, [16] = 2}, 24, "address message without an address", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *p = cases[i].data;
		size_t len = cases[i].len;
		struct nl_event e;
		const char *reason;

		assert_int_equal(netlink_parse(&p, &len, &e, &reason), cases[i].goes_on);
		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
	}
}

static struct nl_event event_next(struct recording *r)
{
	static uint8_t data[65536];
	const uint8_t *p = data;
	const char *reason;
	struct nl_event e;
	size_t len;

	assert_true(getline(&r->line, &r->cap, r->f) > 0);
	len = hex_decode(r->line, data);
	assert_true(netlink_parse(&p, &len, &e, &reason));
	assert_null(reason);
	assert_int_equal(len, 0);
	assert_true(getline(&r->line, &r->cap, r->f) > 0 || feof(r->f)); /* the next title */
	return e;
}

/* What the kernel says when it is asked for the way to far away by an interface. */
static void test_routes(void **state)
{
	static const char *const v4[] = {"192.0.2.254", "192.0.2.9"};
	static const char *const v6[] = {"fe80::fe", "2001:db8:1::9"};
	struct recording r = recording_open("routes.hex");
	struct ip gateway, own;
	struct nl_event e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_true(ip_parse(i ? v6[0] : v4[0], &gateway));
		assert_true(ip_parse(i ? v6[1] : v4[1], &own));
		e = event_next(&r);
		assert_int_equal(e.type, NL_ROUTE);
		assert_int_equal(e.ifindex, 3);
		assert_true(ip_eq(&e.gateway, &gateway) && ip_eq(&e.ip, &own));
	}
	e = event_next(&r); /* no route: IPv4 takes the far end for a neighbour */
	assert_int_equal(e.type, NL_ROUTE);
	assert_int_equal(e.gateway.family, IP_NONE);
	e = event_next(&r);
	assert_int_equal(e.type, NL_ERROR);
	recording_close(&r);
}

static bool lost_is(const struct links *links, const char *names)
{
	struct arena *a = arena_new();
	struct strs lost = links_lost(links, a);
	_cleanup_free_ char *text = xstrdup("");

	for (size_t i = 0; i < lost.n; i++) {
		char *more = xasprintf("%s %s", text, lost.items[i]);

		free(text);
		text = more;
	}
	bool same = strcmp(text, names) == 0;

	arena_free(a);
	return same;
}

/* An interface behind which no way leads on counts as lost; all of them, as a node without one. */
static void test_uplinks(void **state)
{
	struct links *links = links_new(NULL, NULL);
	struct nl_event e = {.type = NL_LINK_NEW,
			     .flags = IFF_UP | IFF_LOWER_UP | IFF_BROADCAST,
			     .hardware = ARPHRD_ETHER,
			     .has_mac = true};

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		e.ifindex = i;
		snprintf(e.name, sizeof(e.name), "eth%u", i);
		links_apply(links, &e);
	}
	assert_true(lost_is(links, ""));
	assert_true(links_set_uplink(links, 1, RESPONDER_UPLINK_ALIVE));
	assert_false(links_set_uplink(links, 1, RESPONDER_UPLINK_ALIVE));
	assert_true(links_set_uplink(links, 2, RESPONDER_UPLINK_DEAD));
	assert_true(lost_is(links, " eth2"));
	assert_true(links_set_uplink(links, 1, RESPONDER_UPLINK_DEAD));
	assert_true(lost_is(links, " * eth1 eth2"));
	assert_true(links_set_uplink(links, 2, RESPONDER_UPLINK_UNKNOWN));
	assert_true(lost_is(links, " * eth1"));
	e.ifindex = 1;
	snprintf(e.name, sizeof(e.name), "eth1");
	e.flags &= ~(unsigned)IFF_LOWER_UP;
	links_apply(links, &e);
	assert_true(lost_is(links, " eth1")); /* no carrier, so nothing is known of its gateway */
	assert_false(links_set_uplink(links, 9, RESPONDER_UPLINK_DEAD));
	links_free(links);
}

/* Every cut of every recorded datagram: read to its end, or refused, never past it. */
static void test_cut(void **state)
{
	struct recording r = recording_open("events.hex");

	(void)state;
	while (getline(&r.line, &r.cap, r.f) > 0) {
		static uint8_t data[65536];
		size_t full = r.line[0] == '#' ? 0 : hex_decode(r.line, data);

		for (size_t cut = 0; cut < full; cut += 7) {
			uint8_t *copy = xmemdup(data, cut);
			const uint8_t *p = copy;
			size_t len = cut;
			struct nl_event e;
			const char *reason;

			while (netlink_parse(&p, &len, &e, &reason))
				assert_true(len < cut);
			free(copy);
		}
	}
	recording_close(&r);
}

/* ---- kinds of interfaces that the kernel of a test machine may lack, as rtnetlink(7) tells ----
 */

struct device {
	unsigned ifindex;
	const char *name, *kind, *slave_kind; /* kinds may be NULL */
	unsigned flags, lower, master;        /* 0: none */
	uint16_t hardware;                    /* 0: Ethernet */
};

static size_t attribute(uint8_t *at, uint16_t type, const void *value, size_t n)
{
	struct rtattr head = {.rta_len = (unsigned short)RTA_LENGTH(n), .rta_type = type};

	memcpy(at, &head, sizeof(head));
	memcpy(at + RTA_LENGTH(0), value, n);
	return RTA_SPACE(n);
}

/* IFLA_LINKINFO with the kinds, and data that means nothing here. */
static size_t link_info(uint8_t *at, const struct device *d)
{
	uint8_t nested[256] = {0};
	const uint32_t data[4] = {10, 0, 1, 2};
	size_t n = 0;

	if (d->kind) {
		n += attribute(nested + n, IFLA_INFO_KIND, d->kind, strlen(d->kind) + 1);
		n += attribute(nested + n, IFLA_INFO_DATA, data, sizeof(data));
	}
	if (d->slave_kind) {
		n += attribute(nested + n, IFLA_INFO_SLAVE_KIND, d->slave_kind,
			       strlen(d->slave_kind) + 1);
		n += attribute(nested + n, IFLA_INFO_SLAVE_DATA, data, sizeof(data));
	}
	return n ? attribute(at, IFLA_LINKINFO, nested, n) : 0;
}

static bool device_tell(struct links *links, const struct device *d)
{
	uint8_t msg[1024] = {0};
	const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)d->ifindex};
	struct ifinfomsg info = {.ifi_type = d->hardware ? d->hardware : ARPHRD_ETHER,
				 .ifi_index = (int)d->ifindex,
				 .ifi_flags = d->flags};
	size_t n = NLMSG_LENGTH(sizeof(info));
	const uint8_t *p = msg;
	struct nl_event e;
	const char *reason;

	memcpy(msg + NLMSG_LENGTH(0), &info, sizeof(info));
	n += attribute(msg + n, IFLA_IFNAME, d->name, strlen(d->name) + 1);
	n += attribute(msg + n, IFLA_ADDRESS, mac, sizeof(mac));
	if (d->lower)
		n += attribute(msg + n, IFLA_LINK, &d->lower, sizeof(d->lower));
	if (d->master)
		n += attribute(msg + n, IFLA_MASTER, &d->master, sizeof(d->master));
	n += link_info(msg + n, d);
	struct nlmsghdr head = {.nlmsg_len = (uint32_t)n, .nlmsg_type = RTM_NEWLINK};

	memcpy(msg, &head, sizeof(head));
	assert_true(netlink_parse(&p, &n, &e, &reason));
	assert_null(reason);
	assert_int_equal(n, 0);
	return links_apply(links, &e);
}

static void device_forget(struct links *links, const char *name)
{
	struct nl_event e = {.type = NL_LINK_DEL, .ifindex = usable(links, name).ifindex};

	assert_true(links_apply(links, &e));
}

#define UP      (IFF_UP | IFF_BROADCAST | IFF_MULTICAST | IFF_RUNNING)
#define CARRIER IFF_LOWER_UP

/* A VLAN stands for itself: used, and its own carrier counts. */
static void test_vlan(void **state)
{
	struct links *links = links_new(NULL, NULL);
	struct device eth = {2, "eth0", .flags = UP | CARRIER};
	struct device vlan = {5, "eth0.100", "vlan", .flags = UP | CARRIER, .lower = 2};

	(void)state;
	assert_true(device_tell(links, &eth));
	assert_true(device_tell(links, &vlan));
	assert_false(device_tell(links, &vlan)); /* nothing new */
	assert_true(usable(links, "eth0").arp && usable(links, "eth0.100").arp);
	assert_int_equal(usable(links, "eth0.100").mac.b[5], 5);
	vlan.flags &= ~(unsigned)CARRIER;
	assert_true(device_tell(links, &vlan));
	assert_int_equal(usable(links, "eth0.100").ifindex, 0);
	assert_true(usable(links, "eth0").arp);
	vlan.flags |= CARRIER;
	vlan.name = "storage"; /* renamed, with the carrier back */
	assert_true(device_tell(links, &vlan));
	assert_int_equal(usable(links, "eth0.100").ifindex, 0);
	assert_int_equal(usable(links, "storage").ifindex, 5);
	device_forget(links, "storage");
	assert_true(usable(links, "eth0").arp);
	links_free(links);
}

/* A bond is used and its members are not, whichever of them carries. */
static void test_bond(void **state)
{
	struct links *links = links_new(NULL, NULL);
	struct device bond = {7, "bond0", "bond", .flags = UP | IFF_MASTER | CARRIER};
	struct device one = {2, "eth0", NULL, "bond", UP | IFF_SLAVE | CARRIER, .master = 7};
	struct device two = {3, "eth1", NULL, "bond", UP | IFF_SLAVE | CARRIER, .master = 7};

	(void)state;
	assert_true(device_tell(links, &one)); /* a member may be told of before its bond */
	assert_true(device_tell(links, &bond));
	assert_true(device_tell(links, &two));
	assert_true(usable(links, "bond0").arp);
	assert_int_equal(usable(links, "eth0").ifindex + usable(links, "eth1").ifindex, 0);
	one.flags &= ~(unsigned)CARRIER; /* one cable pulled: nothing changes for the bond */
	device_tell(links, &one);
	assert_true(usable(links, "bond0").arp);
	two.flags &= ~(unsigned)CARRIER;
	bond.flags &= ~(unsigned)CARRIER;
	device_tell(links, &two);
	assert_true(device_tell(links, &bond));
	assert_int_equal(usable(links, "bond0").ifindex, 0);
	two.flags |= CARRIER;
	two.master = 0; /* released: an interface of its own again */
	two.slave_kind = NULL;
	assert_true(device_tell(links, &two));
	assert_true(usable(links, "eth1").arp);
	links_free(links);
}

/* A VRF itself does no ARP, and its members are not used, as with MetalLB. */
static void test_vrf(void **state)
{
	struct links *links = links_new(NULL, NULL);
	struct device vrf = {8, "red", "vrf", .flags = UP | IFF_MASTER | IFF_NOARP | CARRIER};
	struct device eth = {2, "eth0", .flags = UP | CARRIER};
	struct arena *a = arena_new();

	(void)state;
	device_tell(links, &vrf);
	device_tell(links, &eth);
	assert_int_equal(usable(links, "red").ifindex, 0);
	assert_true(usable(links, "eth0").arp);
	eth.master = 8;
	eth.slave_kind = "vrf";
	assert_true(device_tell(links, &eth));
	assert_int_equal(usable(links, "eth0").ifindex, 0);
	assert_int_equal(links_names(links, a).n, 2); /* but both are there */
	eth.master = 0;
	eth.slave_kind = NULL;
	assert_true(device_tell(links, &eth));
	assert_true(usable(links, "eth0").arp);
	arena_free(a);
	links_free(links);
}

/* Tunnels and the like have no Ethernet addresses, whatever else they have. */
static void test_other_hardware(void **state)
{
	static const struct device others[] = {
		{2, "wg0", "wireguard", .flags = UP | CARRIER, .hardware = ARPHRD_NONE},
		{3, "tunl0", "ipip", .flags = UP | CARRIER, .hardware = ARPHRD_TUNNEL},
		{4, "ib0", "ipoib", .flags = UP | CARRIER, .hardware = ARPHRD_INFINIBAND},
		{5, "kube-ipvs0", "dummy", .flags = IFF_BROADCAST | IFF_NOARP},
	};
	struct links *links = links_new(NULL, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_true(device_tell(links, &others[i]));
		assert_int_equal(usable(links, others[i].name).ifindex, 0);
	}
	links_free(links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),  cmocka_unit_test(test_dump),
		cmocka_unit_test(test_broken),  cmocka_unit_test(test_routes),
		cmocka_unit_test(test_uplinks), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_vlan),    cmocka_unit_test(test_bond),
		cmocka_unit_test(test_vrf),     cmocka_unit_test(test_other_hardware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
