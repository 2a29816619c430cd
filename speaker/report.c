/*
 * What this node does and why, for a person: GET /status, as JSON.
 */
#include <json-c/json.h>
#include <net/if.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/bfd/bfd.h"
#include "speaker/bgp/bgp.h"

static void text_add(struct json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, json_object_new_string(text ? text : ""));
}

static void address_add(struct json_object *to, const char *key, const struct ip *ip)
{
	char text[IP_STR_MAX];

	text_add(to, key, ip_format(ip, text));
}

static void count_add(struct json_object *to, const char *key, uint64_t n)
{
	json_object_object_add(to, key, json_object_new_uint64(n));
}

static void seconds_add(struct json_object *to, const char *key, usec_t time)
{
	usec_t ms = time / USEC_PER_MSEC;

	json_object_object_add(to, key, json_object_new_double((double)ms / 1e3));
}

/* ---- sessions ---- */

static struct json_object *bgp_peer_report(const struct bgp_peer_status *st, usec_t now)
{
	struct json_object *o = json_object_new_object();

	text_add(o, "peer", st->name);
	address_add(o, "address", &st->address);
	count_add(o, "port", st->port);
	text_add(o, "interface", st->interface);
	text_add(o, "vrf", st->vrf);
	text_add(o, "state", bgp_state_format(st->state));
	seconds_add(o, "stateSeconds", now - st->since);
	text_add(o, "lastError", st->last_error);
	text_add(o, "lastNotification", st->last_notification);
	count_add(o, "peerASN", st->peer_asn);
	address_add(o, "localAddress", &st->local_address);
	count_add(o, "announcedPrefixes", st->announced);
	count_add(o, "pendingPrefixes", st->pending);
	json_object_object_add(o, "gracefulRestart", json_object_new_boolean(st->graceful_restart));
	return o;
}

static struct json_object *bfd_session_report(const struct bfd_session_status *st, usec_t now)
{
	struct json_object *o = json_object_new_object();
	char interface[IF_NAMESIZE] = "";

	address_add(o, "address", &st->path->remote);
	text_add(o, "interface",
		 st->path->ifindex ? if_indextoname(st->path->ifindex, interface) : "");
	text_add(o, "vrf", st->path->vrf);
	json_object_object_add(o, "multihop", json_object_new_boolean(st->path->multihop));
	text_add(o, "state", bfd_state_format(st->state));
	text_add(o, "remoteState", bfd_state_format(st->remote_state));
	seconds_add(o, "stateSeconds", now - st->since);
	text_add(o, "lastDiagnostic", bfd_diag_format(st->last_diag));
	seconds_add(o, "detectionSeconds", st->detection_time);
	seconds_add(o, "transmitSeconds", st->tx_interval);
	count_add(o, "timesUp", st->counters.up);
	count_add(o, "timesDown", st->counters.down);
	return o;
}

static void sessions_add(const struct announcer *an, struct json_object *to, usec_t now)
{
	struct json_object *peers = json_object_new_array(), *paths = json_object_new_array();
	const struct bgp *bgp = sessions_bgp(an->sessions);
	const struct bfd *bfd = sessions_bfd(an->sessions);

	for (size_t i = 0; bgp && i < bgp_peer_count(bgp); i++) {
		struct bgp_peer_status st;

		bgp_peer_status_at(bgp, i, &st);
		json_object_array_add(peers, bgp_peer_report(&st, now));
	}
	for (size_t i = 0; bfd && i < bfd_session_count(bfd); i++) {
		struct bfd_session_status st;

		bfd_session_status_at(bfd, i, &st);
		json_object_array_add(paths, bfd_session_report(&st, now));
	}
	json_object_object_add(to, "bgp", peers);
	json_object_object_add(to, "bfd", paths);
}

/* ---- layer 2 and services ---- */

static const char *uplink_text(enum responder_uplink state)
{
	return state == RESPONDER_UPLINK_DEAD    ? "dead"
	       : state == RESPONDER_UPLINK_ALIVE ? "alive"
						 : "unknown";
}

static void interfaces_add(const struct announcer *an, struct json_object *to)
{
	struct json_object *all = json_object_new_array();
	struct responder_link link;

	for (size_t pos = 0; links_usable_next(an->links, &pos, &link);) {
		struct json_object *o = json_object_new_object();

		text_add(o, "name", link.name);
		json_object_object_add(o, "arp", json_object_new_boolean(link.arp));
		json_object_object_add(o, "ndp", json_object_new_boolean(link.ndp));
		text_add(o, "uplink", uplink_text(responder_uplink(an->responder, link.ifindex)));
		json_object_array_add(all, o);
	}
	json_object_object_add(to, "interfaces", all);
}

static void explanation_add(struct json_object *to, const char *key,
			    void (*explain)(const struct announce_decision *d, struct buf *out),
			    const struct announce_decision *d)
{
	_cleanup_(buf_fini) struct buf text = {0};

	explain(d, &text);
	text_add(to, key, buf_str(&text));
}

static void services_add(const struct announcer *an, struct json_object *to)
{
	struct json_object *all = json_object_new_array();

	table_for_each (&an->records, e) {
		const struct record *r = e->value;
		struct json_object *o = json_object_new_object(), *ips = json_object_new_array();
		char text[IP_STR_MAX];

		text_add(o, "service", e->key);
		for (size_t i = 0; i < r->d.n_ips; i++)
			json_object_array_add(
				ips, json_object_new_string(ip_format(&r->d.ips[i], text)));
		json_object_object_add(o, "addresses", ips);
		explanation_add(o, "layer2", announce_l2_explain, &r->d);
		explanation_add(o, "bgp", announce_bgp_explain, &r->d);
		json_object_array_add(all, o);
	}
	json_object_object_add(to, "services", all);
}

void announcer_report(const struct announcer *an, struct buf *out)
{
	struct json_object *o = json_object_new_object();
	usec_t now = clock_now();

	text_add(o, "node", an->opt->node_name);
	text_add(o, "version", METALLB_VERSION);
	json_object_object_add(o, "ready", json_object_new_boolean(an->settled));
	members_report(an->members, o);
	interfaces_add(an, o);
	sessions_add(an, o, now);
	services_add(an, o);
	buf_add_str(out, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	buf_add_str(out, "\n");
	json_object_put(o);
}
