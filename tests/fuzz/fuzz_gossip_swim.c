/*
 * The membership engine under any sequence of packets, streams, answers and time: it lives, never
 * forgets or buries itself while it has not left, keeps its bounds, and its deadline moves on.
 *
 * Input: steps of one byte (what), one byte (size or time), and the bytes of a message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "speaker/gossip/swim.h"

#define STEPS_MAX 200
#define TICKS_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fill(void *user, void *p, size_t n)
{
	uint32_t *seed = user;

	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 1664525 + 1013904223;
		((uint8_t *)p)[i] = (uint8_t)(*seed >> 24);
	}
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void take(struct swim *s, uint32_t *dial)
{
	struct swim_output o;

	while (swim_next_output(s, &o)) {
		if (o.type == SWIM_OUT_DIAL)
			*dial = o.id;
		if (o.type == SWIM_OUT_DROP)
			must(o.why != NULL);
		buf_fini(&o.data);
	}
}

static void check(const struct swim *s, bool leaving)
{
	struct swim_member m;
	size_t n = 0;

	while (swim_member_at(s, n, &m)) {
		must(m.name[0] && strlen(m.name) <= SWIM_NAME_MAX);
		n++;
	}
	must(n <= SWIM_MEMBERS_MAX);
	must(swim_health_score(s) < 8);
	if (leaving)
		return;
	must(swim_member_find(s, "self", &m) && m.state == GSP_ST_ALIVE && m.addr.b[3] == 1);
}

static void tick_until(struct swim *s, usec_t now, uint32_t *dial)
{
	for (int i = 0; i < TICKS_MAX && swim_deadline(s) <= now; i++) {
		usec_t due = swim_deadline(s);

		swim_tick(s, due);
		must(swim_deadline(s) >= due);
		take(s, dial);
	}
}

static void stream_in(struct swim *s, usec_t now, const uint8_t *p, size_t n, unsigned busy)
{
	struct buf reply = {0};

	swim_stream_accepted(s, now, p, n, busy, &reply);
	must(reply.len <= SWIM_STREAM_MAX);
	buf_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint32_t seed = 7, dial = 0;
	const struct random_source source = {fill, &seed};
	const uint8_t own[4] = {10, 0, 0, 1}, other[4] = {10, 0, 0, 2};
	struct ip peer = ip_from_v4(other);
	struct swim_config cfg = swim_config_lan();
	usec_t now = 1000 * USEC_PER_SEC;
	bool leaving = false;

	strcpy(cfg.name, "self");
	cfg.addr = ip_from_v4(own);
	cfg.port = SWIM_PORT_DEFAULT;
	struct swim *s = swim_new(&cfg, &source, now);

	for (int step = 0; step < STEPS_MAX && len >= 2; step++) {
		uint8_t what = data[0] & 7, arg = data[1];
		size_t n = arg < len - 2 ? arg : len - 2;
		const uint8_t *msg = data + 2;

		switch (what) {
		case 0:
		case 1:
			swim_recv_packet(s, now, &peer, cfg.port, msg, n);
			break;
		case 2:
			stream_in(s, now, msg, n, data[0] >> 3);
			break;
		case 3:
			swim_stream_answered(s, now, dial, msg, n, data[0] & 8);
			break;
		case 4:
			swim_join(s, now, &peer, cfg.port);
			n = 0;
			break;
		case 5:
			swim_send_failed(s, now, &peer, cfg.port);
			n = 0;
			break;
		case 6:
			if (arg == 0xff) {
				swim_leave(s, now);
				leaving = true;
			}
			n = 0;
			break;
		default:
			now += arg * 50 * USEC_PER_MSEC;
			tick_until(s, now, &dial);
			n = 0;
			break;
		}
		take(s, &dial);
		check(s, leaving);
		data += 2 + n;
		len -= 2 + n;
	}
	swim_free(s);
	return 0;
}
