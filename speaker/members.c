/*
 * Gossip as MetalLB uses memberlist: the node's name, the pod's address, the key from the mounted
 * secret (a changed file is noticed, the old key still read with), joining every speaker pod whose
 * address is no member's.
 */
#include "speaker/members.h"

#include <errno.h>
#include <ev.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/metrics.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "speaker/detector.h"
#include "speaker/gather.h"
#include "speaker/gossip/gossip.h"
#include "speaker/gossip/settings.h"

#define SETTINGS_FILE "/etc/metallb/memberlist/config.json"
#define FILE_MAX      ((size_t)1 << 20)
#define PODS_MAX      SWIM_MEMBERS_MAX
#define REJOIN_S      15.
#define KEY_WAIT_S    1. /* between looks for a key that is not there yet */
#define SETTLE_S      3.
#define TELL_AFTER    2 /* rounds of joining */
#define TELL_ROUNDS   8

/* The pod of another speaker. */
struct other {
	struct ip ip;
	char *node;
	bool ready;
};

struct members {
	struct ev_loop *loop;
	const struct options *opt;
	struct members_callbacks cb;
	struct detector *detector; /* NULL: off, or not bound yet */
	usec_t lost_at;
	bool able;
	const struct links *links; /* as last told */
	struct gossip *gossip;     /* NULL: not configured, or its key is not there yet */
	struct gsp_keyring ring;
	uint16_t port;
	struct ip own;
	struct other *pods;
	size_t n_pods, cap_pods;
	struct table unreached; /* address as text -> rounds that its Ready pod was no member */
	ev_timer rejoin, settle;
	bool pods_known, settled;
	bool trusted; /* gossip's list, not the pods' readiness, is what counts */
	struct metric *dropped, *by_state, *health;
};

/* ---- files ---- */

/* NULL when there is none (errno ENOENT) or it cannot be read. The caller frees. */
static char *file_read(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return NULL;
	char *text = xmalloc(FILE_MAX + 1);

	*len = fread(text, 1, FILE_MAX, f);
	bool bad = ferror(f);

	text[*len] = '\0';
	fclose(f);
	if (!bad)
		return text;
	free(text);
	errno = EIO;
	return NULL;
}

/* Make the file's key the one that seals; *changed says whether it was not before. */
static bool key_load(struct members *m, bool *changed, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/secretkey", m->opt->ml_secret_key_path);
	size_t len;
	_cleanup_free_ char *secret = file_read(path, &len);
	struct gsp_key key;
	const char *why = NULL;

	*changed = false;
	if (!secret)
		return err_set(err, "%s: %s", path, strerror(errno));
	if (!gsp_derive_key(secret, len, &key))
		return true;
	if (m->ring.n > 0 && m->ring.keys[0].len == key.len &&
	    memcmp(m->ring.keys[0].bytes, key.bytes, key.len) == 0)
		return true;
	if (m->ring.n == GSP_KEYS_MAX)
		why = gsp_keyring_remove(&m->ring, m->ring.keys[GSP_KEYS_MAX - 1].bytes,
					 m->ring.keys[GSP_KEYS_MAX - 1].len);
	if (!why)
		why = gsp_keyring_add(&m->ring, key.bytes, key.len);
	if (!why)
		why = gsp_keyring_use(&m->ring, key.bytes, key.len);
	*changed = !why;
	return !why || err_set(err, "%s: %s", path, why);
}

/* The secret's mount is optional: its file comes when somebody has made the secret. */
static bool key_is_missing(const struct members *m)
{
	_cleanup_free_ char *path = xasprintf("%s/secretkey", m->opt->ml_secret_key_path);
	size_t len;
	_cleanup_free_ char *secret = NULL;

	if (!m->opt->ml_secret_key_path[0])
		return false;
	secret = file_read(path, &len);
	return !secret && errno == ENOENT;
}

static bool config_make(struct members *m, struct swim_config *cfg, struct err *err)
{
	const struct options *o = m->opt;
	size_t len;
	_cleanup_free_ char *settings = file_read(SETTINGS_FILE, &len);
	bool changed;

	if (!settings && errno != ENOENT)
		return err_set(err, "%s: %s", SETTINGS_FILE, strerror(errno));
	*cfg = o->ml_wan_config && !settings ? swim_config_wan() : swim_config_lan();
	if (settings && !gossip_config_parse(settings, len, cfg, err))
		return err_wrap(err, "%s", SETTINGS_FILE);
	if (settings)
		log_info("gossip: settings", "file", SETTINGS_FILE, NULL);
	if (strlen(o->node_name) > SWIM_NAME_MAX)
		return err_set(err, "--node-name is longer than %d bytes", SWIM_NAME_MAX);
	memcpy(cfg->name, o->node_name, strlen(o->node_name) + 1);
	if (!ip_parse(o->ml_bind_address, &cfg->addr))
		return err_set(err, "--ml-bindaddr: \"%s\" is not an address", o->ml_bind_address);
	if (o->ml_bind_port[0]) {
		char *end;
		long port = strtol(o->ml_bind_port, &end, 10);

		if (*end || port < 1 || port > 65535)
			return err_set(err, "--ml-bindport: \"%s\" is not a port", o->ml_bind_port);
		cfg->port = (uint16_t)port;
	}
	m->port = cfg->port = cfg->port ? cfg->port : SWIM_PORT_DEFAULT;
	m->own = cfg->addr;
	if (!o->ml_secret_key_path[0]) {
		log_warn("no --ml-secret-key-path: gossip is not encrypted", NULL);
		return true;
	}
	if (!key_load(m, &changed, err))
		return false;
	cfg->keyring = m->ring;
	return true;
}

/* ---- what gossip tells ---- */

static void settled_now(struct members *m, const char *how)
{
	if (m->trusted)
		return;
	m->settled = m->trusted = true;
	ev_timer_stop(m->loop, &m->settle);
	log_info("gossip: members are known", "by", how, NULL);
	m->cb.on_change(m->cb.user);
}

static void on_member(void *user, enum swim_output_type what, const char *name)
{
	struct members *m = user;

	switch (what) {
	case SWIM_OUT_JOIN:
		log_info("gossip: node joined", "node", name, NULL);
		break;
	case SWIM_OUT_LEAVE:
		m->lost_at = clock_now();
		log_info("gossip: node left or died", "node", name, NULL);
		break;
	case SWIM_OUT_CONFLICT:
		log_error("gossip: another address claims the name of a node", "node", name, NULL);
		break;
	default:
		break;
	}
	if (m->gossip)
		detector_set_members(m->detector, gossip_swim(m->gossip));
	m->cb.on_change(m->cb.user);
}

static void on_joined(void *user, const struct ip *addr, const char *why)
{
	struct members *m = user;
	char text[IP_STR_MAX];

	if (!why) {
		settled_now(m, "exchange");
		return;
	}
	log_warn("gossip: cannot join", "address", ip_format(addr, text), "error", why, NULL);
}

static void on_drop(void *user, const char *why)
{
	struct members *m = user;

	metric_add(m->dropped, METRIC_VALUES(why), 1);
}

/* ---- what the detector tells ---- */

static void on_detected(void *user)
{
	struct members *m = user;

	m->cb.on_change(m->cb.user);
}

static void on_died(void *user)
{
	struct members *m = user;

	m->lost_at = clock_now();
}

/* Do not wait for the next round of joining. */
static void on_alive(void *user, const struct ip *addr)
{
	struct members *m = user;

	gossip_join(m->gossip, addr, m->port);
}

static bool announces(void *user, const struct ip *ip)
{
	struct members *m = user;

	return m->cb.announces(m->cb.user, ip);
}

static void on_answer(void *user, const char *node, const struct ip *ip, bool yes)
{
	struct members *m = user;

	m->cb.on_answer(m->cb.user, node, ip, yes);
}

static void on_paused(void *user)
{
	struct members *m = user;

	m->cb.on_paused(m->cb.user);
}

/* Needs a key: nobody may say by a bare datagram that he lives. */
static void detector_begin(struct members *m)
{
	struct detector_callbacks cb = {on_detected, on_died,   on_alive, announces,
					on_answer,   on_paused, m};
	struct err err;

	if (m->detector || m->opt->liveness_port == 0 || m->ring.n == 0)
		return;
	if (m->opt->liveness_port == m->port) {
		log_error("liveness: --liveness-port is the port of gossip", NULL);
		return;
	}
	m->detector = detector_new(m->loop, m->opt, &m->own, &m->ring, &cb, &err);
	if (!m->detector) {
		log_error("liveness: cannot start, trying again", "error", err.msg, NULL);
		return;
	}
	detector_set_members(m->detector, gossip_swim(m->gossip));
	if (m->links)
		detector_set_self(m->detector, m->links, m->able);
}

/* ---- joining ---- */

static bool address_is_member(const struct members *m, const struct ip *ip)
{
	const struct swim *s = gossip_swim(m->gossip);
	struct swim_member member;

	for (size_t i = 0; swim_member_at(s, i, &member); i++)
		if (ip_eq(&member.addr, ip) && swim_member_is_usable(s, member.name))
			return true;
	return false;
}

/* How many pods are no members yet. */
static size_t join_missing(struct members *m)
{
	size_t missing = 0;

	for (size_t i = 0; i < m->n_pods; i++) {
		if (address_is_member(m, &m->pods[i].ip))
			continue;
		missing++;
		gossip_join(m->gossip, &m->pods[i].ip, m->port);
	}
	return missing;
}

/*
 * One more round is over. A pod that is Ready but no member for some of them is told, and again
 * every now and then: something between the nodes drops gossip.
 */
static void count_unreached(struct members *m)
{
	for (size_t i = 0; i < m->n_pods; i++) {
		const struct other *o = &m->pods[i];
		char text[IP_STR_MAX];

		ip_format(&o->ip, text);
		uintptr_t rounds = (uintptr_t)table_find(&m->unreached, text) + 1;

		if (!o->ready || address_is_member(m, &o->ip)) {
			table_del(&m->unreached, text);
			continue;
		}
		table_set(&m->unreached, text, (void *)rounds);
		if (rounds % TELL_ROUNDS == TELL_AFTER)
			m->cb.on_unreached(m->cb.user, o->node, &o->ip);
	}
}

static void rejoin_every(struct members *m, double seconds)
{
	m->rejoin.repeat = seconds;
	ev_timer_again(m->loop, &m->rejoin);
}

static bool gossip_begin(struct members *m, struct err *err)
{
	struct gossip_callbacks cb = {on_member, on_joined, on_drop, m};
	struct swim_config cfg;

	if (!config_make(m, &cfg, err) || gossip_new(m->loop, &cfg, &cb, &m->gossip, err) < 0)
		return false;
	detector_begin(m);
	return true;
}

static void key_refresh(struct members *m)
{
	bool changed = false;
	struct err err;

	if (m->opt->ml_secret_key_path[0] && !key_load(m, &changed, &err))
		log_error("gossip: cannot read the key", "error", err.msg, NULL);
	if (changed) {
		log_info("gossip: new key", NULL);
		gossip_set_keyring(m->gossip, &m->ring);
		detector_set_keyring(m->detector, &m->ring);
	}
	detector_begin(m);
}

static void on_rejoin(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct members *m = w->data;
	struct err err;

	(void)loop;
	(void)revents;
	if (m->gossip) {
		key_refresh(m);
		count_unreached(m);
	} else {
		if (key_is_missing(m))
			return;
		if (!gossip_begin(m, &err)) {
			log_error("gossip: cannot start", "error", err.msg, NULL);
			return;
		}
		log_info("gossip: started", NULL);
		rejoin_every(m, REJOIN_S);
	}
	if (join_missing(m) == 0)
		settled_now(m, "nobody to join");
}

static void on_settle(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	settled_now(w->data, "timeout");
}

static void pods_clear(struct members *m)
{
	while (m->n_pods > 0)
		free(m->pods[--m->n_pods].node);
}

void members_set_pods(struct members *m, const struct watches *w)
{
	const struct kube_store *store = watches_store(w, WATCH_PODS);
	const struct pod *pod;
	size_t pos = 0;

	pods_clear(m);
	while ((pod = kube_store_next(store, &pos, NULL)) && m->n_pods < PODS_MAX) {
		struct ip ip;

		if (!ip_parse(pod->pod_ip, &ip) || ip_eq(&ip, &m->own) ||
		    strcmp(pod->node_name, m->opt->node_name) == 0)
			continue;
		ARRAY_GROW(m->pods, m->n_pods, m->cap_pods);
		m->pods[m->n_pods++] = (struct other){ip, xstrdup(pod->node_name), pod->ready};
	}
	if (m->gossip && join_missing(m) == 0)
		settled_now(m, "nobody to join");
	if (m->pods_known || m->settled)
		return;
	m->pods_known = true;
	ev_timer_start(m->loop, &m->settle);
}

bool members_is_settled(const struct members *m)
{
	return m->settled;
}

/* The fast detector knows better than gossip. */
static bool is_out(const struct members *m, const char *name)
{
	enum liveness_verdict v = detector_verdict(m->detector, name);

	return v == LIVENESS_DEAD || v == LIVENESS_UNABLE;
}

struct strs members_list(const struct members *m, const struct watches *w, struct arena *a)
{
	if (!m->trusted)
		return gather_speakers(w, m->opt->node_name, a);
	const struct swim *s = gossip_swim(m->gossip);
	struct swim_member member;
	const char **names, *name;
	size_t max = 1, n = 0;

	while (swim_member_at(s, max - 1, &member))
		max++;
	for (size_t pos = 0; detector_next(m->detector, &pos);)
		max++;
	names = arena_calloc(a, max, sizeof(*names));
	names[n++] = m->opt->node_name;
	for (size_t i = 0; swim_member_at(s, i, &member); i++)
		if (strcmp(member.name, m->opt->node_name) != 0 &&
		    swim_member_is_usable(s, member.name) && !is_out(m, member.name))
			names[n++] = arena_strdup(a, member.name);
	for (size_t pos = 0; (name = detector_next(m->detector, &pos));)
		if (detector_verdict(m->detector, name) == LIVENESS_PROVEN)
			names[n++] = arena_strdup(a, name);
	return (struct strs){names, n};
}

usec_t members_take_loss(struct members *m)
{
	usec_t at = m->lost_at;

	m->lost_at = 0;
	return at;
}

void members_set_self(struct members *m, const struct links *links, bool able)
{
	m->links = links;
	m->able = able;
	detector_set_self(m->detector, links, able);
}

const struct announce_lost *members_lost(const struct members *m, const struct links *links,
					 struct arena *a, size_t *n)
{
	const struct announce_lost *others = detector_lost(m->detector, a, n);
	struct announce_lost *all = arena_calloc(a, *n + 1, sizeof(*all));
	struct strs own = links_lost(links, a);

	if (!m->detector)
		return NULL; /* the others know nothing of it, either */
	if (*n > 0)
		memcpy(all, others, *n * sizeof(*all));
	if (own.n > 0)
		all[(*n)++] = (struct announce_lost){m->opt->node_name, own};
	return all;
}

const char *members_node_of_mac(const struct members *m, const struct mac *mac)
{
	return detector_node_of_mac(m->detector, mac);
}

bool members_ask(struct members *m, const char *node, const struct ip *ip, struct ip *own,
		 struct ip *other)
{
	struct swim_member member;

	if (!detector_ask(m->detector, node, ip) ||
	    !swim_member_find(gossip_swim(m->gossip), node, &member))
		return false;
	*own = m->own;
	*other = member.addr;
	return true;
}

/* ---- life ---- */

bool members_new(struct ev_loop *loop, const struct options *opt,
		 const struct members_callbacks *cb, struct members **out, struct err *err)
{
	struct members *m = xcalloc(1, sizeof(*m));

	m->loop = loop;
	m->opt = opt;
	m->cb = *cb;
	table_init(&m->unreached);
	ev_timer_init(&m->rejoin, on_rejoin, REJOIN_S, REJOIN_S);
	m->rejoin.data = m;
	ev_timer_init(&m->settle, on_settle, SETTLE_S, 0.);
	m->settle.data = m;
	if (!opt->ml_labels[0] || !opt->ml_bind_address[0]) {
		m->settled = true;
		*out = m;
		return true;
	}
	m->dropped = metric_new(METRIC_COUNTER, "metallb_memberlist_dropped_total",
				"Gossip messages that were dropped",
				(const char *const[]){"reason", NULL}, NULL, 0);
	m->by_state = metric_new(METRIC_GAUGE, "metallb_memberlist_members",
				 "Nodes by what gossip holds of their speaker",
				 (const char *const[]){"state", NULL}, NULL, 0);
	m->health =
		metric_new(METRIC_GAUGE, "metallb_memberlist_health_score",
			   "Trouble of this speaker itself to keep up, 0 is none", NULL, NULL, 0);
	if (key_is_missing(m)) {
		log_warn("gossip: no key yet, going by the readiness of speaker pods", NULL);
		m->settled = true; /* until gossip works with the others */
	} else if (!gossip_begin(m, err)) {
		members_free(m);
		return false;
	}
	rejoin_every(m, m->gossip ? REJOIN_S : KEY_WAIT_S);
	*out = m;
	return true;
}

struct members *members_free(struct members *m)
{
	if (!m)
		return NULL;
	ev_timer_stop(m->loop, &m->rejoin);
	ev_timer_stop(m->loop, &m->settle);
	detector_free(m->detector);
	gossip_free(m->gossip);
	pods_clear(m);
	free(m->pods);
	table_fini(&m->unreached);
	free(m);
	return NULL;
}

void members_leave(struct members *m)
{
	if (!m->gossip)
		return;
	ev_timer_stop(m->loop, &m->rejoin);
	detector_leave(m->detector);
	gossip_leave(m->gossip);
}

bool members_has_left(const struct members *m)
{
	return !m->gossip || gossip_has_left(m->gossip);
}

static const char *const state_names[] = {
	[GSP_ST_ALIVE] = "alive",
	[GSP_ST_SUSPECT] = "suspect",
	[GSP_ST_DEAD] = "dead",
	[GSP_ST_LEFT] = "left",
};

void members_report(const struct members *m, struct json_object *to)
{
	struct json_object *all = json_object_new_array();
	struct swim_member member;

	for (size_t i = 0; m->gossip && swim_member_at(gossip_swim(m->gossip), i, &member); i++) {
		struct json_object *o = json_object_new_object();
		char text[IP_STR_MAX];

		json_object_object_add(o, "node", json_object_new_string(member.name));
		json_object_object_add(o, "address",
				       json_object_new_string(ip_format(&member.addr, text)));
		json_object_object_add(o, "gossip",
				       json_object_new_string(state_names[member.state]));
		json_object_object_add(o, "heartbeats",
				       json_object_new_string(liveness_verdict_text(
					       detector_verdict(m->detector, member.name))));
		json_object_array_add(all, o);
	}
	json_object_object_add(to, "speakers", all);
}

void members_sync_metrics(const struct members *m)
{
	double n[ARRAY_SIZE(state_names)] = {0};
	struct swim_member member;

	if (!m->gossip)
		return;
	const struct swim *s = gossip_swim(m->gossip);

	for (size_t i = 0; swim_member_at(s, i, &member); i++)
		n[member.state]++;
	for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
		metric_set(m->by_state, METRIC_VALUES(state_names[i]), n[i]);
	metric_set(m->health, NULL, swim_health_score(s));
	detector_sync_metrics(m->detector);
}
