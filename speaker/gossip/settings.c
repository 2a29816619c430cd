/*
 * The settings file config.json of the ConfigMap metallb-memberlist-config. Every duration must be
 * there, as in MetalLB; absent numbers and booleans, which MetalLB silently takes as 0 and false,
 * are refused, since a 0 here never works. Pure.
 */
#include "speaker/gossip/settings.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/duration.h"
#include "metallb/xalloc.h"

enum kind { DURATION, COUNT, SIZE, FLAG, IGNORED_COUNT, IGNORED_DURATION };

#define COUNT_MAX 1000000

static const struct setting {
	const char *name;
	enum kind kind;
	size_t off;
	int64_t min; /* of counts; durations must be positive */
} settings[] = {
	{"TCPTimeout", DURATION, offsetof(struct swim_config, tcp_timeout), 0},
	{"IndirectChecks", COUNT, offsetof(struct swim_config, indirect_checks), 0},
	{"RetransmitMult", COUNT, offsetof(struct swim_config, retransmit_mult), 1},
	{"SuspicionMult", COUNT, offsetof(struct swim_config, suspicion_mult), 1},
	{"SuspicionMaxTimeoutMult", COUNT, offsetof(struct swim_config, suspicion_max_mult), 1},
	{"PushPullInterval", DURATION, offsetof(struct swim_config, push_pull_interval), 0},
	{"ProbeTimeout", DURATION, offsetof(struct swim_config, probe_timeout), 0},
	{"ProbeInterval", DURATION, offsetof(struct swim_config, probe_interval), 0},
	{"DisableTcpPings", FLAG, offsetof(struct swim_config, tcp_pings), 0},
	{"AwarenessMaxMultiplier", COUNT, offsetof(struct swim_config, awareness_max), 1},
	{"GossipNodes", COUNT, offsetof(struct swim_config, gossip_nodes), 1},
	{"GossipInterval", DURATION, offsetof(struct swim_config, gossip_interval), 0},
	{"GossipToTheDeadTime", DURATION, offsetof(struct swim_config, gossip_to_the_dead), 0},
	{"GossipVerifyIncoming", FLAG, offsetof(struct swim_config, verify_incoming), 0},
	{"GossipVerifyOutgoing", FLAG, offsetof(struct swim_config, verify_outgoing), 0},
	{"EnableCompression", FLAG, offsetof(struct swim_config, compression), 0},
	{"HandoffQueueDepth", IGNORED_COUNT, 0, 1},
	{"UDPBufferSize", SIZE, offsetof(struct swim_config, udp_buffer), 576},
	{"QueueCheckInterval", IGNORED_DURATION, 0, 0},
};

static bool take_duration(const struct setting *s, struct json_object *v, struct swim_config *cfg,
			  struct err *err)
{
	int64_t ns;
	usec_t usec;

	if (!json_object_is_type(v, json_type_string) ||
	    !duration_parse(json_object_get_string(v), &ns))
		return err_set(err, "%s: not a duration such as \"1s\"", s->name);
	if (ns < 1000000)
		return err_set(err, "%s: must be at least 1ms", s->name);
	usec = ns / 1000;
	if (s->kind == DURATION)
		memcpy((char *)cfg + s->off, &usec, sizeof(usec));
	return true;
}

static bool take_count(const struct setting *s, struct json_object *v, struct swim_config *cfg,
		       struct err *err)
{
	int64_t n = json_object_get_int64(v);
	unsigned u = (unsigned)n;
	size_t size = (size_t)n;

	if (!json_object_is_type(v, json_type_int) || n < s->min || n > COUNT_MAX)
		return err_set(err, "%s: not a number from %lld to %d", s->name, (long long)s->min,
			       COUNT_MAX);
	if (s->kind == SIZE && n > 65507)
		return err_set(err, "%s: larger than a UDP datagram", s->name);
	if (s->kind == COUNT)
		memcpy((char *)cfg + s->off, &u, sizeof(u));
	else if (s->kind == SIZE)
		memcpy((char *)cfg + s->off, &size, sizeof(size));
	return true;
}

static bool take_flag(const struct setting *s, struct json_object *v, struct swim_config *cfg,
		      struct err *err)
{
	bool on = json_object_get_boolean(v);

	if (!json_object_is_type(v, json_type_boolean))
		return err_set(err, "%s: not true or false", s->name);
	if (strcmp(s->name, "DisableTcpPings") == 0)
		on = !on;
	memcpy((char *)cfg + s->off, &on, sizeof(on));
	return true;
}

static bool take(const struct setting *s, struct json_object *root, struct swim_config *cfg,
		 struct err *err)
{
	struct json_object *v;

	if (!json_object_object_get_ex(root, s->name, &v))
		return err_set(err, "%s: missing (every setting must be given)", s->name);
	switch (s->kind) {
	case DURATION:
	case IGNORED_DURATION:
		return take_duration(s, v, cfg, err);
	case FLAG:
		return take_flag(s, v, cfg, err);
	default:
		return take_count(s, v, cfg, err);
	}
}

bool gossip_config_parse(const char *json, size_t len, struct swim_config *cfg, struct err *err)
{
	struct json_tokener *tok = json_tokener_new_ex(8);
	struct swim_config next = *cfg;
	struct json_object *root = NULL;
	bool ok = len < 65536;

	if (ok)
		root = json_tokener_parse_ex(tok, json, (int)len);
	json_tokener_free(tok);
	if (!root || !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return err_set(err, "config.json: not a JSON object");
	}
	for (size_t i = 0; ok && i < ARRAY_SIZE(settings); i++)
		ok = take(&settings[i], root, &next, err);
	json_object_put(root);
	if (!ok)
		return err_wrap(err, "config.json");
	*cfg = next;
	return true;
}
