/*
 * The BFD engine as a program of its own, for tests against real routers: one JSON object per line
 * on stdin is a command, each gets one line of reply on stdout; events come as lines in between,
 * with the time of the monotonic clock.
 *
 *   {"cmd": "sessions", "sessions": [{"remote": "192.0.2.1", "tx_ms": 100, ...}]}
 *   status, quit
 */
#include <ev.h>
#include <net/if.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/bfd/bfd.h"
#include "tests/probe/probe.h"

struct probe {
	struct ev_loop *loop;
	struct bfd *bfd;
	struct buf in;
	ev_io input;
};

static void put_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static void on_event(void *user, const struct bfd_event *ev)
{
	struct json_object *o = json_object_new_object();
	char text[IP_STR_MAX];

	(void)user;
	put_str(o, "event", ev->up ? "up" : "down");
	put_str(o, "peer", ip_format(&ev->path.remote, text));
	put_str(o, "text", ev->up ? "" : bfd_reason_format(ev->reason));
	put_str(o, "diag", bfd_diag_format(ev->diag));
	put_num(o, "at_us", (uint64_t)clock_now());
	say(o);
}

static bool get_session(struct json_object *o, struct bfd_session_config *out)
{
	*out = (struct bfd_session_config){
		.path = {.multihop = flag(o, "multihop")},
		.params = {.min_tx = (uint32_t)num(o, "tx_ms", 300) * 1000,
			   .min_rx = (uint32_t)num(o, "rx_ms", 300) * 1000,
			   .mult = (uint8_t)num(o, "mult", 3),
			   .passive = flag(o, "passive"),
			   .echo = (uint32_t)num(o, "echo_ms", 0) * 1000,
			   .echo_rx = (uint32_t)num(o, "echo_rx_ms", 0) * 1000},
		.min_ttl = (uint8_t)num(o, "min_ttl", 254),
	};
	if (*str(o, "interface"))
		out->path.ifindex = if_nametoindex(str(o, "interface"));
	strncpy(out->path.vrf, str(o, "vrf"), sizeof(out->path.vrf) - 1);
	return get_ip(o, "remote", &out->path.remote) && get_ip(o, "local", &out->path.local);
}

static void cmd_sessions(struct probe *p, struct json_object *o)
{
	struct json_object *list = json_object_object_get(o, "sessions");
	size_t n = list ? json_object_array_length(list) : 0;
	_cleanup_free_ struct bfd_session_config *cfgs = xcalloc(n + 1, sizeof(*cfgs));

	for (size_t i = 0; i < n; i++)
		if (!get_session(json_object_array_get_idx(list, i), &cfgs[i])) {
			reply("sessions", false, "bad address");
			return;
		}
	bfd_set_sessions(p->bfd, cfgs, n);
	reply("sessions", true, "");
}

static struct json_object *session_json(const struct bfd_session_status *st)
{
	struct json_object *o = json_object_new_object();
	char text[IP_STR_MAX];

	put_str(o, "name", ip_format(&st->path->remote, text));
	put_str(o, "state", bfd_state_format(st->state));
	put_str(o, "remote_state", bfd_state_format(st->remote_state));
	put_str(o, "last_diag", bfd_diag_format(st->last_diag));
	put_num(o, "detection_us", (uint64_t)st->detection_time);
	put_num(o, "tx_us", (uint64_t)st->tx_interval);
	put_num(o, "received", st->counters.received);
	put_num(o, "sent", st->counters.sent);
	put_num(o, "echo_received", st->counters.echo_received);
	put_num(o, "echo_sent", st->counters.echo_sent);
	put_num(o, "up", st->counters.up);
	put_num(o, "down", st->counters.down);
	return o;
}

static void cmd_status(struct probe *p)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *drops = json_object_new_object();
	const char *reason;
	uint64_t n;

	for (size_t i = 0; i < bfd_session_count(p->bfd); i++) {
		struct bfd_session_status st;

		bfd_session_status_at(p->bfd, i, &st);
		json_object_array_add(list, session_json(&st));
	}
	for (size_t i = 0; (reason = bfd_drops_at(p->bfd, i, &n)); i++)
		put_num(drops, reason, n);
	put_str(o, "reply", "status");
	json_object_object_add(o, "peers", list);
	json_object_object_add(o, "drops", drops);
	put_usage(o);
	say(o);
}

static void on_input(struct ev_loop *loop, ev_io *w, int revents)
{
	struct probe *p = (struct probe *)w->data;
	struct json_object *o;

	(void)revents;
	if (!lines_read(&p->in))
		ev_break(loop, EVBREAK_ALL);
	while (lines_next(&p->in, &o)) {
		const char *cmd = o ? str(o, "cmd") : "";

		if (strcmp(cmd, "sessions") == 0)
			cmd_sessions(p, o);
		else if (strcmp(cmd, "status") == 0)
			cmd_status(p);
		else if (o)
			reply(cmd, false, "unknown command");
		json_object_put(o);
	}
}

int main(void)
{
	struct probe p = {.loop = ev_default_loop(0)};

	log_set_level(LOG_DEBUG);
	p.bfd = bfd_new(p.loop, on_event, &p);
	p.input.data = &p;
	ev_io_init(&p.input, on_input, STDIN_FILENO, EV_READ);
	ev_io_start(p.loop, &p.input);
	ev_run(p.loop, 0);
	p.bfd = bfd_free(p.bfd);
	buf_fini(&p.in);
	return 0;
}
