/*
 * One router per (AS, router ID, VRF), the neighbours in it, and for each what it is told. frr-k8s
 * merges this with what other FRRConfigurations say of the node, so nothing is received from a
 * neighbour unless one of those asks for it.
 *
 * Order is by the texts that MetalLB sorts by: an object says the same thing in the same way.
 */
#include "speaker/frrk8s/configuration.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/duration.h"
#include "metallb/xalloc.h"

#define HOSTNAME_LABEL "kubernetes.io/hostname"

struct neighbor {
	const struct config_peer *peer;
	const char *router_key, *key;
};

/* A route of a neighbour with its prefix as text. */
struct path {
	const char *text;
	const struct announce_path *path;
};

struct texts {
	const char **items;
	size_t n, cap;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void texts_add(struct texts *t, const char *s)
{
	ARRAY_GROW(t->items, t->n, t->cap);
	t->items[t->n++] = s;
}

static void texts_sort_unique(struct texts *t)
{
	size_t n = 0;

	if (t->n > 1)
		qsort(t->items, t->n, sizeof(*t->items), by_text);
	for (size_t i = 0; i < t->n; i++)
		if (n == 0 || strcmp(t->items[n - 1], t->items[i]) != 0)
			t->items[n++] = t->items[i];
	t->n = n;
}

/* ---- JSON: members that are not set are left out ---- */

static void add_text(json_object *o, const char *name, const char *value)
{
	if (value && *value)
		json_object_object_add(o, name, json_object_new_string(value));
}

static void add_number(json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static void add_flag(json_object *o, const char *name, bool on)
{
	if (on)
		json_object_object_add(o, name, json_object_new_boolean(true));
}

static void add_ip(json_object *o, const char *name, const struct ip *ip)
{
	char text[IP_STR_MAX];

	if (ip->family != IP_NONE)
		add_text(o, name, ip_format(ip, text));
}

static void add_duration(json_object *o, const char *name, int64_t ns)
{
	char text[40];

	if (ns != DURATION_UNSET)
		add_text(o, name, duration_format(ns, text));
}

static json_object *texts_json(const struct texts *t)
{
	json_object *out = json_object_new_array();

	for (size_t i = 0; i < t->n; i++)
		json_object_array_add(out, json_object_new_string(t->items[i]));
	return out;
}

/* ---- routes of a neighbour ---- */

static bool has_community(const struct announce_path *p, const char *community)
{
	char text[48];

	for (size_t i = 0; i < p->n_communities; i++)
		if (strcmp(announce_community_format(&p->communities[i], text), community) == 0)
			return true;
	return false;
}

static json_object *prefixes_with(const struct path *paths, size_t n, uint32_t pref,
				  const char *community)
{
	json_object *out = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		if (community ? has_community(paths[i].path, community)
			      : paths[i].path->local_pref == pref)
			json_object_array_add(out, json_object_new_string(paths[i].text));
	return out;
}

static json_object *with_communities(const struct path *paths, size_t n, struct arena *a)
{
	json_object *out = json_object_new_array();
	struct texts all = {0};
	char text[48];

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < paths[i].path->n_communities; j++)
			texts_add(&all,
				  arena_strdup(a, announce_community_format(
							  &paths[i].path->communities[j], text)));
	texts_sort_unique(&all);
	for (size_t i = 0; i < all.n; i++) {
		json_object *entry = json_object_new_object();

		json_object_object_add(entry, "prefixes", prefixes_with(paths, n, 0, all.items[i]));
		add_text(entry, "community", all.items[i]);
		json_object_array_add(out, entry);
	}
	free(all.items);
	return out;
}

static json_object *with_local_prefs(const struct path *paths, size_t n)
{
	json_object *out = json_object_new_array();
	uint32_t last = 0;

	/* the next higher preference, until there is none */
	for (;;) {
		uint32_t next = 0;

		for (size_t i = 0; i < n; i++) {
			uint32_t pref = paths[i].path->local_pref;

			if (pref > last && (next == 0 || pref < next))
				next = pref;
		}
		if (next == 0)
			return out;
		json_object *entry = json_object_new_object();

		json_object_object_add(entry, "prefixes", prefixes_with(paths, n, next, NULL));
		add_number(entry, "localPref", next);
		json_object_array_add(out, entry);
		last = next;
	}
}

static void add_unless_empty(json_object *o, const char *name, json_object *list)
{
	if (json_object_array_length(list) > 0)
		json_object_object_add(o, name, list);
	else
		json_object_put(list);
}

/* A session carries its own family, unless it is to carry both. */
static bool carries(const struct config_peer *p, const struct prefix *prefix)
{
	return p->dual_stack || p->address.family == IP_NONE ||
	       p->address.family == prefix->ip.family;
}

/* What the neighbour is told; its prefixes are added to `all`. */
static json_object *advertise_json(const struct frr_input *in, const struct config_peer *peer,
				   struct arena *a, struct texts *all)
{
	json_object *out = json_object_new_object(), *allowed = json_object_new_object();
	size_t n_found, n = 0;
	const struct announce_path *found =
		announce_paths_build(in->routes, in->n_routes, peer->name, a, &n_found);
	struct path *paths = arena_calloc(a, n_found, sizeof(*paths));
	struct texts own = {0};
	char text[PREFIX_STR_MAX];

	for (size_t i = 0; i < n_found; i++) {
		if (!carries(peer, &found[i].prefix))
			continue;
		paths[n].text = arena_strdup(a, prefix_format(&found[i].prefix, text));
		paths[n].path = &found[i];
		texts_add(&own, paths[n].text);
		texts_add(all, paths[n++].text);
	}
	if (n > 1)
		qsort(paths, n, sizeof(*paths), by_text); /* the text comes first in it */
	texts_sort_unique(&own);
	add_unless_empty(allowed, "prefixes", texts_json(&own));
	free(own.items);
	json_object_object_add(out, "allowed", allowed);
	add_unless_empty(out, "withLocalPref", with_local_prefs(paths, n));
	add_unless_empty(out, "withCommunity", with_communities(paths, n, a));
	return out;
}

/* ---- neighbours and routers ---- */

static void add_password(json_object *o, const struct config_peer *p, bool pass_secrets)
{
	json_object *secret = json_object_new_object();
	bool refer = pass_secrets && p->secret_name[0];

	if (!refer)
		add_text(o, "password", p->password);
	if (refer) {
		add_text(secret, "name", p->secret_name);
		add_text(secret, "namespace", p->secret_namespace);
	}
	json_object_object_add(o, "passwordSecret", secret);
}

static json_object *neighbor_json(const struct frr_input *in, const struct config_peer *p,
				  struct arena *a, struct texts *all)
{
	json_object *o = json_object_new_object(), *receive = json_object_new_object();

	if (p->peer_asn)
		add_number(o, "asn", p->peer_asn);
	add_text(o, "dynamicASN", p->dynamic_asn);
	if (p->local_asn)
		add_number(o, "localASN", p->local_asn);
	add_ip(o, "sourceaddress", &p->source_address);
	add_ip(o, "address", &p->address);
	add_text(o, "interface", p->interface);
	add_number(o, "port", p->port);
	add_password(o, p, in->pass_secrets);
	add_duration(o, "holdTime", p->hold_ns);
	add_duration(o, "keepaliveTime", p->keepalive_ns);
	add_duration(o, "connectTime", p->connect_ns);
	add_flag(o, "ebgpMultiHop", p->ebgp_multihop);
	add_text(o, "bfdProfile", p->bfd_profile);
	add_flag(o, "enableGracefulRestart", p->graceful_restart);
	json_object_object_add(o, "toAdvertise", advertise_json(in, p, a, all));
	json_object_object_add(receive, "allowed", json_object_new_object());
	json_object_object_add(o, "toReceive", receive);
	add_flag(o, "disableMP", p->disable_mp);
	add_flag(o, "dualStackAddressFamily", p->dual_stack);
	return o;
}

static const char *text_or_nil(const struct ip *ip, char buf[IP_STR_MAX])
{
	return ip->family == IP_NONE ? "<nil>" : ip_format(ip, buf);
}

static struct neighbor neighbor_of(const struct config_peer *p, struct arena *a)
{
	char id[IP_STR_MAX], address[IP_STR_MAX], source[IP_STR_MAX];
	const char *asn = p->peer_asn ? arena_printf(a, "%u", p->peer_asn) : p->dynamic_asn;

	return (struct neighbor){
		.peer = p,
		.router_key = arena_printf(a, "%u@%s@%s", p->my_asn, text_or_nil(&p->router_id, id),
					   p->vrf),
		.key = arena_printf(
			a, "%s@%s-%u@%s%s%s", asn,
			p->interface[0] ? p->interface : ip_format(&p->address, address), p->my_asn,
			text_or_nil(&p->source_address, source), p->vrf[0] ? "/" : "", p->vrf),
	};
}

static int neighbor_cmp(const void *pa, const void *pb)
{
	const struct neighbor *a = pa, *b = pb;
	int r = strcmp(a->router_key, b->router_key);

	if (r == 0)
		r = strcmp(a->key, b->key);
	return r ? r : strcmp(a->peer->name, b->peer->name);
}

/* The router of list[0] with those behind it that share its key; *n gets their number. */
static json_object *router_json(const struct frr_input *in, const struct neighbor *list, size_t max,
				struct arena *a, size_t *n)
{
	json_object *o = json_object_new_object(), *neighbors = json_object_new_array();
	const struct config_peer *p = list[0].peer;
	struct texts all = {0};

	add_number(o, "asn", p->my_asn);
	add_ip(o, "id", &p->router_id);
	add_text(o, "vrf", p->vrf);
	for (*n = 0; *n < max && strcmp(list[*n].router_key, list[0].router_key) == 0; (*n)++)
		json_object_array_add(neighbors, neighbor_json(in, list[*n].peer, a, &all));
	json_object_object_add(o, "neighbors", neighbors);
	texts_sort_unique(&all);
	add_unless_empty(o, "prefixes", texts_json(&all));
	free(all.items);
	return o;
}

static json_object *routers_json(const struct frr_input *in, struct arena *a)
{
	struct neighbor *list = arena_calloc(a, in->n_peers, sizeof(*list));
	json_object *out = json_object_new_array();

	for (size_t i = 0; i < in->n_peers; i++)
		list[i] = neighbor_of(in->peers[i], a);
	qsort(list, in->n_peers, sizeof(*list), neighbor_cmp);
	for (size_t i = 0, n; i < in->n_peers; i += n)
		json_object_array_add(out, router_json(in, &list[i], in->n_peers - i, a, &n));
	return out;
}

/* ---- BFD ---- */

static json_object *bfd_json(const struct config_bfd *b)
{
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = {
		{"receiveInterval", b->receive_interval},
		{"transmitInterval", b->transmit_interval},
		{"detectMultiplier", b->detect_multiplier},
		{"echoInterval", b->echo_interval},
		{"minimumTtl", b->minimum_ttl},
	};
	json_object *o = json_object_new_object();

	add_text(o, "name", b->name);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].value != BFD_UNSET)
			add_number(o, numbers[i].name, numbers[i].value);
	json_object_object_add(o, "echoMode", json_object_new_boolean(b->echo_mode));
	json_object_object_add(o, "passiveMode", json_object_new_boolean(b->passive_mode));
	return o;
}

/* ---- the whole ---- */

json_object *frr_configuration_spec(const struct frr_input *in)
{
	_cleanup_(arena_freep) struct arena *a = arena_new();
	json_object *spec, *bgp, *bfds, *selector, *labels;

	if (in->n_peers == 0)
		return NULL;
	spec = json_object_new_object();
	bgp = json_object_new_object();
	bfds = json_object_new_array();
	selector = json_object_new_object();
	labels = json_object_new_object();
	json_object_object_add(bgp, "routers", routers_json(in, a));
	for (size_t i = 0; i < in->cfg->n_bfds; i++)
		json_object_array_add(bfds, bfd_json(&in->cfg->bfds[i]));
	add_unless_empty(bgp, "bfdProfiles", bfds);
	json_object_object_add(spec, "bgp", bgp);
	json_object_object_add(spec, "raw", json_object_new_object());
	add_text(labels, HOSTNAME_LABEL, in->node);
	json_object_object_add(selector, "matchLabels", labels);
	json_object_object_add(spec, "nodeSelector", selector);
	return spec;
}

char *frr_configuration_name(const char *node)
{
	return xasprintf("metallb-%s", node);
}

static void mask(json_object *v)
{
	if (json_object_is_type(v, json_type_array))
		for (size_t i = 0; i < json_object_array_length(v); i++)
			mask(json_object_array_get_idx(v, i));
	if (!json_object_is_type(v, json_type_object))
		return;
	json_object_object_foreach(v, key, member)
	{
		if (strcmp(key, "password") == 0 && json_object_is_type(member, json_type_string))
			json_object_set_string(member, "<redacted>");
		else
			mask(member);
	}
}

json_object *frr_configuration_masked(json_object *spec)
{
	json_object *copy = NULL;

	if (json_object_deep_copy(spec, &copy, NULL) == 0)
		mask(copy);
	return copy;
}
