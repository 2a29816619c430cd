/*
 * memberlist's settings file: what it sets, and that a bad one is refused whole, by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/settings.h"

static struct swim_config start(void)
{
	struct swim_config cfg = swim_config_lan();

	strcpy(cfg.name, "self");
	return cfg;
}

static const char settings[] =
	"{\"TCPTimeout\":\"10s\",\"IndirectChecks\":3,\"RetransmitMult\":4,\"SuspicionMult\":5,"
	"\"SuspicionMaxTimeoutMult\":6,\"PushPullInterval\":\"30s\",\"ProbeTimeout\":\"500ms\","
	"\"ProbeInterval\":\"2s\",\"DisableTcpPings\":true,\"AwarenessMaxMultiplier\":8,"
	"\"GossipNodes\":3,\"GossipInterval\":\"200ms\",\"GossipToTheDeadTime\":\"30s\","
	"\"GossipVerifyIncoming\":true,\"GossipVerifyOutgoing\":true,\"EnableCompression\":false,"
	"\"HandoffQueueDepth\":1024,\"UDPBufferSize\":1400,\"QueueCheckInterval\":\"30s\"}";

static void test_settings(void **state)
{
	struct swim_config cfg = start();
	struct err err = {0};

	(void)state;
	assert_true(gossip_config_parse(settings, strlen(settings), &cfg, &err));
	assert_int_equal(cfg.suspicion_mult, 5);
	assert_int_equal(cfg.probe_interval, 2 * USEC_PER_SEC);
	assert_false(cfg.tcp_pings);
	assert_false(cfg.compression);
	assert_string_equal(cfg.name, "self");
}

static void test_settings_bad(void **state)
{
	static const struct {
		const char *from, *to, *named;
	} cases[] = {
		{"\"TCPTimeout\":\"10s\",", "", "TCPTimeout"},
		{"\"SuspicionMult\":5,", "", "SuspicionMult"},
		{"\"SuspicionMult\":5", "\"SuspicionMult\":0", "SuspicionMult"},
		{"\"GossipNodes\":3", "\"GossipNodes\":\"3\"", "GossipNodes"},
		{"\"200ms\"", "200", "GossipInterval"},
		{"\"200ms\"", "\"soon\"", "GossipInterval"},
		{"\"UDPBufferSize\":1400", "\"UDPBufferSize\":100000", "UDPBufferSize"},
		{"\"EnableCompression\":false", "\"EnableCompression\":0", "EnableCompression"},
		{"\"QueueCheckInterval\":\"30s\"}", "", "config.json"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strstr(settings, cases[i].from);
		struct swim_config cfg = start(), before = cfg;
		struct err err = {0};

		assert_non_null(at);
		_cleanup_free_ char *text = xasprintf("%.*s%s%s", (int)(at - settings), settings,
						      cases[i].to, at + strlen(cases[i].from));
		assert_false(gossip_config_parse(text, strlen(text), &cfg, &err));
		if (!strstr(err.msg, cases[i].named))
			fail_msg("\"%s\" does not name %s", err.msg, cases[i].named);
		assert_int_equal(cfg.suspicion_mult, before.suspicion_mult);
		assert_int_equal(cfg.probe_interval, before.probe_interval);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_settings_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
