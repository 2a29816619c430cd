/*
 * The BGP engine as a program of its own, for tests against real routers: one JSON object per line
 * on stdin is a command, each gets one line of reply on stdout; events come as lines in between.
 *
 *   bgp_probe [--node NAME] [--listen PORT] [--restarted]
 *   {"cmd": "peers", "backend": "frr", "peers": [{"name": "r1", "address": "192.0.2.1", ...}]}
 *   {"cmd": "routes", "peer": "r1", "routes": [{"prefix": "198.51.100.1/32", ...}]}
 *   {"cmd": "routes", "peer": "r1", "count": 10000, "first": "10.0.0.0"}
 *   add, del, status, drain, undrain, shutdown, bfd, quit
 */
#include <ev.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>

#include "metallb/buf.h"
#include "metallb/duration.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/bgp/bgp.h"
#include "tests/probe/probe.h"

#define PEERS_MAX       64
#define COMMUNITIES_MAX 300

struct probe {
	struct ev_loop *loop;
	struct bgp *bgp;
	struct buf in;
	ev_io input;
};

static void on_event(void *user, const struct bgp_event *ev)
{
	static const char *const names[] = {"up",     "down",     "failed",
					    "notice", "neighbor", "drained"};
	struct json_object *o = json_object_new_object();

	(void)user;
	json_object_object_add(o, "event", json_object_new_string(names[ev->type]));
	json_object_object_add(o, "peer", json_object_new_string(ev->peer));
	json_object_object_add(o, "text", json_object_new_string(ev->text));
	say(o);
}

/* ---- peers ---- */

static bool get_duration(struct json_object *o, const char *key, int64_t *ns)
{
	const char *s = str(o, key);

	*ns = DURATION_UNSET;
	return !*s || duration_parse(s, ns);
}

static bool get_peer(struct json_object *o, enum bgp_backend backend, struct bgp_peer_config *out)
{
	struct config_peer p = {
		.name = str(o, "name"),
		.my_asn = (uint32_t)num(o, "my_asn", 0),
		.peer_asn = (uint32_t)num(o, "peer_asn", 0),
		.local_asn = (uint32_t)num(o, "local_asn", 0),
		.dynamic_asn = str(o, "dynamic_asn"),
		.interface = str(o, "interface"),
		.port = (uint16_t)num(o, "port", 179),
		.password = str(o, "password"),
		.vrf = str(o, "vrf"),
		.bfd_profile = "",
		.graceful_restart = flag(o, "graceful_restart"),
		.ebgp_multihop = flag(o, "ebgp_multihop"),
		.dual_stack = flag(o, "dual_stack"),
	};

	if (!get_ip(o, "address", &p.address) || !get_ip(o, "source", &p.source_address) ||
	    !get_ip(o, "router_id", &p.router_id) || !get_duration(o, "hold", &p.hold_ns) ||
	    !get_duration(o, "keepalive", &p.keepalive_ns) ||
	    !get_duration(o, "connect", &p.connect_ns))
		return false;
	bgp_peer_config_build(&p, backend, out);
	out->gtsm_hops = (uint8_t)num(o, "gtsm_hops", 0);
	out->llgr_s = (uint32_t)num(o, "llgr", 0);
	out->restart_s = (uint16_t)num(o, "restart", out->restart_s);
	return true;
}

static void cmd_peers(struct probe *p, struct json_object *o)
{
	struct bgp_peer_config cfg[PEERS_MAX];
	struct json_object *list = json_object_object_get(o, "peers");
	size_t n = list ? json_object_array_length(list) : 0;
	enum bgp_backend backend =
		strcmp(str(o, "backend"), "native") == 0 ? BACKEND_NATIVE : BACKEND_FRR;
	struct err err = {0};

	if (n > PEERS_MAX) {
		reply("peers", false, "too many peers");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!get_peer(json_object_array_get_idx(list, i), backend, &cfg[i])) {
			reply("peers", false, "bad address or duration");
			return;
		}
	bool ok = bgp_set_peers(p->bgp, cfg, n, &err);

	reply("peers", ok, err.msg);
}

/* ---- routes ---- */

struct routes {
	struct bgp_route *items;
	size_t n;
	struct community_value **communities; /* of each */
};

static void routes_free(struct routes *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->communities ? r->communities[i] : NULL);
	free(r->communities);
	free(r->items);
}

static bool get_community(const char *s, struct community_value *c)
{
	char end;

	*c = (struct community_value){.large = strncmp(s, "large:", 6) == 0};
	if (c->large)
		return sscanf(s, "large:%u:%u:%u%c", &c->v[0], &c->v[1], &c->v[2], &end) == 3;
	return sscanf(s, "%u:%u%c", &c->v[0], &c->v[1], &end) == 2;
}

static bool get_route(struct json_object *o, struct bgp_route *r, struct community_value **out)
{
	struct json_object *list = json_object_object_get(o, "communities");
	size_t n = list ? json_object_array_length(list) : 0;

	*r = (struct bgp_route){.local_pref = (uint32_t)num(o, "local_pref", 0)};
	if (!prefix_parse(str(o, "prefix"), &r->prefix) || !get_ip(o, "next_hop", &r->next_hop) ||
	    n > COMMUNITIES_MAX)
		return false;
	*out = xcalloc(n + 1, sizeof(**out));
	for (size_t i = 0; i < n; i++)
		if (!get_community(json_object_get_string(json_object_array_get_idx(list, i)),
				   &(*out)[i]))
			return false;
	r->communities = *out;
	r->n_communities = n;
	return true;
}

static bool get_routes(struct json_object *o, struct routes *out)
{
	struct json_object *list = json_object_object_get(o, "routes");
	size_t count = (size_t)num(o, "count", 0);
	struct ip first;

	out->n = list ? json_object_array_length(list) : count;
	out->items = xcalloc(out->n + 1, sizeof(*out->items));
	out->communities = xcalloc(out->n + 1, sizeof(*out->communities));
	for (size_t i = 0; list && i < out->n; i++)
		if (!get_route(json_object_array_get_idx(list, i), &out->items[i],
			       &out->communities[i]))
			return false;
	for (size_t i = 0; !list && i < out->n; i++) {
		if (!ip_parse(str(o, "first"), &first) || !ip_add(&first, i, &first))
			return false;
		out->items[i].prefix = prefix_of(&first, IP_BITS(first.family));
	}
	return true;
}

static void cmd_routes(struct probe *p, struct json_object *o)
{
	_cleanup_(routes_free) struct routes r = {0};
	struct err err = {0};

	if (!get_routes(o, &r)) {
		reply("routes", false, "bad route");
		return;
	}
	bool ok = bgp_set_routes(p->bgp, str(o, "peer"), r.items, r.n, &err);

	reply("routes", ok, err.msg);
}

static void cmd_add(struct probe *p, struct json_object *o)
{
	_cleanup_free_ struct community_value *c = NULL;
	struct bgp_route r;
	struct err err = {0};

	if (!get_route(o, &r, &c)) {
		reply("add", false, "bad route");
		return;
	}
	bool ok = bgp_add_route(p->bgp, str(o, "peer"), &r, &err);

	reply("add", ok, err.msg);
}

static void cmd_del(struct probe *p, struct json_object *o)
{
	struct prefix prefix;

	if (!prefix_parse(str(o, "prefix"), &prefix)) {
		reply("del", false, "bad prefix");
		return;
	}
	bgp_del_route(p->bgp, str(o, "peer"), &prefix);
	reply("del", true, "");
}

/* ---- status ---- */

static void put_counters(struct json_object *o, const struct bgp_counters *c)
{
	put_num(o, "opens_sent", c->opens_sent);
	put_num(o, "opens_received", c->opens_received);
	put_num(o, "notifications_sent", c->notifications_sent);
	put_num(o, "notifications_received", c->notifications_received);
	put_num(o, "updates_sent", c->updates_sent);
	put_num(o, "updates_received", c->updates_received);
	put_num(o, "keepalives_sent", c->keepalives_sent);
	put_num(o, "keepalives_received", c->keepalives_received);
	put_num(o, "refresh_received", c->refresh_received);
	put_num(o, "total_sent", c->total_sent);
	put_num(o, "total_received", c->total_received);
	put_num(o, "prefixes_received", c->prefixes_received);
	put_num(o, "updates_malformed", c->updates_malformed);
	put_num(o, "established", c->established);
	put_num(o, "refused", c->refused);
}

static struct json_object *peer_json(const struct bgp_peer_status *s)
{
	struct json_object *o = json_object_new_object();
	char ip[IP_STR_MAX];

	json_object_object_add(o, "name", json_object_new_string(s->name));
	json_object_object_add(o, "address", json_object_new_string(ip_format(&s->address, ip)));
	json_object_object_add(o, "state", json_object_new_string(bgp_state_format(s->state)));
	json_object_object_add(o, "last_error", json_object_new_string(s->last_error));
	json_object_object_add(o, "last_notification",
			       json_object_new_string(s->last_notification));
	json_object_object_add(o, "graceful_restart", json_object_new_boolean(s->graceful_restart));
	put_num(o, "peer_asn", s->peer_asn);
	put_num(o, "hold", s->hold_s);
	put_num(o, "keepalive", s->keepalive_s);
	put_num(o, "families", s->families);
	put_num(o, "announced", s->announced);
	put_num(o, "pending", s->pending);
	put_counters(o, &s->counters);
	return o;
}

static void cmd_status(struct probe *p)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < bgp_peer_count(p->bgp); i++) {
		struct bgp_peer_status s;

		bgp_peer_status_at(p->bgp, i, &s);
		json_object_array_add(list, peer_json(&s));
	}
	json_object_object_add(o, "reply", json_object_new_string("status"));
	json_object_object_add(o, "peers", list);
	put_usage(o);
	say(o);
}

/* ---- the rest ---- */

static void cmd_other(struct probe *p, const char *cmd, struct json_object *o)
{
	if (strcmp(cmd, "drain") == 0)
		bgp_drain(p->bgp, num(o, "wait_ms", 0) * USEC_PER_MSEC, !flag(o, "keep"),
			  str(o, "reason"));
	else if (strcmp(cmd, "undrain") == 0)
		bgp_undrain(p->bgp);
	else if (strcmp(cmd, "shutdown") == 0)
		bgp_shutdown(p->bgp, str(o, "reason"));
	else if (strcmp(cmd, "bfd") == 0 && flag(o, "up"))
		bgp_bfd_up(p->bgp, str(o, "peer"));
	else if (strcmp(cmd, "bfd") == 0)
		bgp_bfd_down(p->bgp, str(o, "peer"));
	else if (strcmp(cmd, "quit") == 0)
		ev_break(p->loop, EVBREAK_ALL);
	else {
		reply(cmd, false, "unknown command");
		return;
	}
	reply(cmd, true, "");
}

static void run_command(struct probe *p, struct json_object *o)
{
	const char *cmd = str(o, "cmd");

	if (strcmp(cmd, "peers") == 0)
		cmd_peers(p, o);
	else if (strcmp(cmd, "routes") == 0)
		cmd_routes(p, o);
	else if (strcmp(cmd, "add") == 0)
		cmd_add(p, o);
	else if (strcmp(cmd, "del") == 0)
		cmd_del(p, o);
	else if (strcmp(cmd, "status") == 0)
		cmd_status(p);
	else
		cmd_other(p, cmd, o);
}

static void on_input(struct ev_loop *loop, ev_io *w, int revents)
{
	struct probe *p = (struct probe *)w->data;
	struct json_object *o;

	(void)revents;
	if (!lines_read(&p->in))
		ev_break(loop, EVBREAK_ALL);
	while (lines_next(&p->in, &o)) {
		if (o)
			run_command(p, o);
		json_object_put(o);
	}
}

int main(int argc, char **argv)
{
	struct probe p = {.loop = ev_default_loop(0)};
	struct bgp_options opt = {.node_name = "node1"};

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--restarted") == 0)
			opt.restarted = true;
		else if (strcmp(argv[i], "--node") == 0 && i + 1 < argc)
			opt.node_name = argv[++i];
		else if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc)
			opt.listen_port = (uint16_t)atoi(argv[++i]);
		else
			return 2;
	}
	if (bgp_new(&p.bgp, p.loop, &opt, on_event, &p) < 0)
		return 1;
	p.input.data = &p;
	ev_io_init(&p.input, on_input, STDIN_FILENO, EV_READ);
	ev_io_start(p.loop, &p.input);
	ev_run(p.loop, 0);
	p.bgp = bgp_free(p.bgp);
	buf_fini(&p.in);
	return 0;
}
