/*
 * The old configuration, walked by tables: one row per key with its kind of value and the field
 * that it becomes. Every scalar is read as the text that was written, so that a password 0123 stays
 * one. MetalLB refused keys that it did not know, and so does this.
 *
 * Names: pools and BFD profiles had free names, resources have not; what must change is noted.
 * Peers had none: peer-1, peer-2 ... in their order. A peer's password becomes a Secret.
 */
#include "operator/cli/old_config.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/config.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/cli/old_walk.h"

#define NAME_LEN_MAX 60 /* of a name made here; room for what is added to it */

struct conv {
	struct old_walk walk; /* the first member: callbacks get a pointer to it */
	const char *ns;
	json_object *items, *notes;
	struct table pools;  /* old name -> xstrdup'ed new name */
	struct table bfds;   /* the same */
	struct table taken;  /* "Kind/name" of what was made */
	json_object *alias;  /* bgp-communities, borrowed; NULL: none */
	json_object *layer2; /* names of the pools of protocol layer2 */
	size_t n_peers;
};

static void note(struct conv *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct conv *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	_cleanup_free_ char *s = xvasprintf(fmt, ap);

	va_end(ap);
	json_object_array_add(c->notes, json_object_new_string(s));
}

static const char *get_text(json_object *o, const char *key)
{
	json_object *v = old_get(o, key);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static void set_text(json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, json_object_new_string(s));
}

/* ---- names and objects ---- */

/* What a resource may be called: lower case letters, digits, '-' and '.', no other at the ends. */
static char *clean_name(const char *old)
{
	char *s = xstrndup(old, NAME_LEN_MAX);
	size_t n = 0;

	for (char *p = s; *p; p++) {
		char ch = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
		bool good = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
		bool inner = n > 0 && s[n - 1] != '-' && s[n - 1] != '.';

		if (good || inner)
			s[n++] = good || ch == '.' ? ch : '-';
	}
	while (n > 0 && (s[n - 1] == '-' || s[n - 1] == '.'))
		n--;
	s[n] = '\0';
	return s;
}

/* A name of this kind that nothing has yet; the caller frees. */
static char *new_name(struct conv *c, const char *kind, const char *wanted)
{
	for (unsigned i = 1;; i++) {
		char *name = i == 1 ? xstrdup(wanted) : xasprintf("%s-%u", wanted, i);
		_cleanup_free_ char *key = xasprintf("%s/%s", kind, name);

		if (!table_find(&c->taken, key)) {
			table_set(&c->taken, key, c);
			return name;
		}
		free(name);
	}
}

/* The resource's name for an old one, remembered in names; NULL when there is none to give. */
static const char *give_name(struct conv *c, const char *kind, struct table *names, json_object *in)
{
	const char *old = get_text(in, "name");

	if (!*old) {
		old_fail(&c->walk, "has no name");
		return NULL;
	}
	size_t before = old_enter_key(&c->walk, "name");

	if (table_find(names, old)) {
		old_fail(&c->walk, "\"%.100s\" is there already", old);
		return NULL;
	}
	_cleanup_free_ char *clean = clean_name(old);
	char *name = new_name(c, kind, *clean ? clean : "unnamed");

	table_set(names, old, name);
	if (strcmp(name, old) != 0)
		note(c, "%s \"%s\" is called \"%s\" now%s", kind, old, name,
		     strcmp(kind, "IPAddressPool") == 0
			     ? ": Services that ask for it by annotation need the new name"
			     : "");
	old_leave(&c->walk, before);
	return name;
}

/* An object without its spec, added to the items. */
static json_object *add_object(struct conv *c, const char *api, const char *kind, const char *name)
{
	json_object *o = json_object_new_object(), *meta = json_object_new_object();

	set_text(o, "apiVersion", api);
	set_text(o, "kind", kind);
	set_text(meta, "name", name);
	set_text(meta, "namespace", c->ns);
	json_object_object_add(o, "metadata", meta);
	json_object_array_add(c->items, o);
	return o;
}

static json_object *add_spec(struct conv *c, const char *api, const char *kind, const char *name)
{
	json_object *o = add_object(c, api, kind, name), *spec = json_object_new_object();

	json_object_object_add(o, "spec", spec);
	return spec;
}

#define V1 "metallb.io/v1beta1"
#define V2 "metallb.io/v1beta2"

/* ---- bfd-profiles, bgp-communities ---- */

static bool convert_bfd(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;
	static const struct old_field fields[] = {
		{"name", OLD_ELSEWHERE, NULL, 0},
		{"receive-interval", OLD_NUMBER, "receiveInterval", UINT32_MAX},
		{"transmit-interval", OLD_NUMBER, "transmitInterval", UINT32_MAX},
		{"detect-multiplier", OLD_NUMBER, "detectMultiplier", UINT32_MAX},
		{"echo-interval", OLD_NUMBER, "echoInterval", UINT32_MAX},
		{"echo-mode", OLD_BOOL, "echoMode", 0},
		{"passive-mode", OLD_BOOL, "passiveMode", 0},
		{"minimum-ttl", OLD_NUMBER, "minimumTtl", UINT32_MAX},
		{0},
	};

	(void)user;
	if (!json_object_is_type(in, json_type_object))
		return old_fail(&c->walk, "must be a map");
	const char *name = give_name(c, "BFDProfile", &c->bfds, in);

	return name && old_read_fields(&c->walk, fields, in, add_spec(c, V1, "BFDProfile", name));
}

static bool convert_communities(struct conv *c, json_object *root)
{
	size_t outer = old_enter_key(&c->walk, "bgp-communities");
	struct community_value v;

	c->alias = old_get(root, "bgp-communities");
	if (c->alias && !json_object_is_type(c->alias, json_type_object))
		return old_fail(&c->walk, "must be a map");
	if (c->alias && json_object_object_length(c->alias) > 0) {
		json_object *list = json_object_new_array();

		json_object_object_add(add_spec(c, V1, "Community", "communities"), "communities",
				       list);
		json_object_object_foreach(c->alias, name, value)
		{
			json_object *one = json_object_new_object();
			size_t before = old_enter_key(&c->walk, name);

			json_object_array_add(list, one);
			if (!old_need_text(&c->walk, value))
				return false;
			if (!config_parse_community(json_object_get_string(value), &v))
				return old_fail(&c->walk, "\"%.100s\" is not a community (a:b)",
						json_object_get_string(value));
			set_text(one, "name", name);
			json_object_object_add(one, "value", json_object_get(value));
			old_leave(&c->walk, before);
		}
	}
	old_leave(&c->walk, outer);
	return true;
}

/* ---- address-pools ---- */

/* Each is an alias or a community itself. */
static bool check_communities(struct conv *c, json_object *list)
{
	size_t outer = old_enter_key(&c->walk, "communities");
	struct community_value v;

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(list, i));
		size_t before = old_enter_item(&c->walk, i);

		if (!(c->alias && old_get(c->alias, s)) && !config_parse_community(s, &v))
			return old_fail(&c->walk,
					"\"%.100s\" is neither in bgp-communities nor a community",
					s);
		old_leave(&c->walk, before);
	}
	old_leave(&c->walk, outer);
	return true;
}

/* The spec of a new advertisement of one pool. */
static json_object *add_bgpadv(struct conv *c, const char *pool)
{
	_cleanup_free_ char *name = new_name(c, "BGPAdvertisement", pool);
	json_object *spec = add_spec(c, V1, "BGPAdvertisement", name);
	json_object *pools = json_object_new_array();

	json_object_array_add(pools, json_object_new_string(pool));
	json_object_object_add(spec, "ipAddressPools", pools);
	return spec;
}

static bool convert_bgpadv(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;
	static const struct old_field fields[] = {
		{"aggregation-length", OLD_NUMBER, "aggregationLength", 32},
		{"aggregation-length-v6", OLD_NUMBER, "aggregationLengthV6", 128},
		{"localpref", OLD_NUMBER, "localPref", UINT32_MAX},
		{"communities", OLD_TEXTS, "communities", 0},
		{0},
	};
	json_object *spec = add_bgpadv(c, user);

	return old_read_fields(&c->walk, fields, in, spec) &&
	       check_communities(c, old_get(spec, "communities"));
}

static bool convert_protocol(struct conv *c, json_object *in, char *pool)
{
	const char *protocol = get_text(in, "protocol");
	json_object *adverts = old_get(in, "bgp-advertisements");

	if (!*protocol)
		return old_fail(&c->walk, "has no protocol");
	if (strcmp(protocol, "bgp") == 0) {
		if (!old_each(&c->walk, in, "bgp-advertisements", convert_bgpadv, pool))
			return false;
		/* without any, each address is announced by itself */
		if (!adverts || json_object_array_length(adverts) == 0)
			add_bgpadv(c, pool);
		return true;
	}
	if (strcmp(protocol, "layer2") != 0) {
		old_enter_key(&c->walk, "protocol");
		return old_fail(&c->walk, "\"%.100s\" is neither layer2 nor bgp", protocol);
	}
	if (adverts) {
		old_enter_key(&c->walk, "bgp-advertisements");
		return old_fail(&c->walk, "a layer2 pool has none");
	}
	json_object_array_add(c->layer2, json_object_new_string(pool));
	return true;
}

static const struct old_field pool_fields[] = {
	{"name", OLD_ELSEWHERE, NULL, 0},
	{"protocol", OLD_ELSEWHERE, NULL, 0},
	{"bgp-advertisements", OLD_ELSEWHERE, NULL, 0},
	{"addresses", OLD_TEXTS, "addresses", 0},
	{"auto-assign", OLD_BOOL, "autoAssign", 0},
	{"avoid-buggy-ips", OLD_BOOL, "avoidBuggyIPs", 0},
	{0},
};

static bool convert_pool(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;

	(void)user;
	if (!json_object_is_type(in, json_type_object))
		return old_fail(&c->walk, "must be a map");
	const char *name = give_name(c, "IPAddressPool", &c->pools, in);

	if (!name)
		return false;
	json_object *spec = add_spec(c, V1, "IPAddressPool", name);

	if (!old_read_fields(&c->walk, pool_fields, in, spec))
		return false;
	return old_get(spec, "addresses") || old_fail(&c->walk, "has no addresses");
}

/* In the same order as the pools, once all of them are there. */
static bool convert_announcing(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;

	(void)user;
	return convert_protocol(c, in, table_find(&c->pools, get_text(in, "name")));
}

/* ---- peers ---- */

static bool convert_requirement(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;
	static const struct old_field fields[] = {
		{"key", OLD_TEXT, "key", 0},
		{"operator", OLD_TEXT, "operator", 0},
		{"values", OLD_TEXTS, "values", 0},
		{0},
	};
	json_object *list = user, *one = json_object_new_object();

	json_object_array_add(list, one);
	if (!old_read_fields(&c->walk, fields, in, one))
		return false;
	if (!old_get(one, "key") || !old_get(one, "operator"))
		return old_fail(&c->walk, "needs a key and an operator");
	return true;
}

static bool convert_labels(struct conv *c, json_object *in, json_object *out)
{
	size_t outer = old_enter_key(&c->walk, "match-labels");
	json_object *labels = old_get(in, "match-labels");

	if (labels && !json_object_is_type(labels, json_type_object))
		return old_fail(&c->walk, "must be a map");
	if (labels) {
		json_object *copy = json_object_new_object();

		json_object_object_add(out, "matchLabels", copy);
		json_object_object_foreach(labels, key, v)
		{
			size_t before = old_enter_key(&c->walk, key);

			if (!old_need_text(&c->walk, v))
				return false;
			json_object_object_add(copy, key, json_object_get(v));
			old_leave(&c->walk, before);
		}
	}
	old_leave(&c->walk, outer);
	return true;
}

static bool convert_selector(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;
	static const struct old_field fields[] = {
		{"match-labels", OLD_ELSEWHERE, NULL, 0},
		{"match-expressions", OLD_ELSEWHERE, NULL, 0},
		{0},
	};
	json_object *list = user, *one = json_object_new_object();

	json_object_array_add(list, one);
	if (!old_read_fields(&c->walk, fields, in, one) || !convert_labels(c, in, one))
		return false;
	if (!old_get(in, "match-expressions"))
		return true;
	json_object *reqs = json_object_new_array();

	json_object_object_add(one, "matchExpressions", reqs);
	return old_each(&c->walk, in, "match-expressions", convert_requirement, reqs);
}

static void add_password(struct conv *c, const char *peer, json_object *spec)
{
	_cleanup_free_ char *wanted = xasprintf("%s-password", peer);
	_cleanup_free_ char *name = new_name(c, "Secret", wanted);
	json_object *o = add_object(c, "v1", "Secret", name), *data = json_object_new_object();
	json_object *ref = json_object_new_object();

	set_text(o, "type", "kubernetes.io/basic-auth");
	set_text(data, "username", "");
	json_object_object_add(data, "password", json_object_get(old_get(spec, "password")));
	json_object_object_add(o, "stringData", data);
	set_text(ref, "name", name);
	json_object_object_add(spec, "passwordSecret", ref);
	json_object_object_del(spec, "password");
}

/* References and what a peer must have. */
static bool check_peer(struct conv *c, json_object *spec)
{
	static const char *const needed[][2] = {
		{"myASN", "my-asn"}, {"peerASN", "peer-asn"}, {"peerAddress", "peer-address"}};
	const char *bfd = get_text(spec, "bfdProfile");

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!old_get(spec, needed[i][0]))
			return old_fail(&c->walk, "has no %s", needed[i][1]);
	if (!*bfd) {
		json_object_object_del(spec, "bfdProfile");
		return true;
	}
	const char *name = table_find(&c->bfds, bfd);

	if (!name) {
		old_enter_key(&c->walk, "bfd-profile");
		return old_fail(&c->walk, "\"%.100s\" is not in bfd-profiles", bfd);
	}
	set_text(spec, "bfdProfile", name);
	return true;
}

static const struct old_field peer_fields[] = {
	{"my-asn", OLD_NUMBER, "myASN", UINT32_MAX},
	{"peer-asn", OLD_NUMBER, "peerASN", UINT32_MAX},
	{"peer-address", OLD_TEXT, "peerAddress", 0},
	{"source-address", OLD_TEXT, "sourceAddress", 0},
	{"peer-port", OLD_NUMBER, "peerPort", 16384},
	{"hold-time", OLD_DURATION, "holdTime", 0},
	{"keepalive-time", OLD_DURATION, "keepaliveTime", 0},
	{"router-id", OLD_TEXT, "routerID", 0},
	{"node-selectors", OLD_ELSEWHERE, NULL, 0},
	{"password", OLD_TEXT, "password", 0},
	{"bfd-profile", OLD_TEXT, "bfdProfile", 0},
	{"ebgp-multihop", OLD_BOOL, "ebgpMultiHop", 0},
	{0},
};

static bool convert_peer(struct old_walk *w, json_object *in, void *user)
{
	struct conv *c = (struct conv *)w;
	json_object *spec = json_object_new_object();
	_cleanup_free_ char *name = xasprintf("peer-%zu", ++c->n_peers);

	(void)user;
	if (!old_read_fields(&c->walk, peer_fields, in, spec) || !check_peer(c, spec))
		goto bad;
	if (old_get(in, "node-selectors")) {
		json_object *selectors = json_object_new_array();

		json_object_object_add(spec, "nodeSelectors", selectors);
		if (!old_each(&c->walk, in, "node-selectors", convert_selector, selectors))
			goto bad;
	}
	if (*get_text(spec, "password"))
		add_password(c, name, spec);
	else
		json_object_object_del(spec, "password");
	json_object_object_add(add_object(c, V2, "BGPPeer", name), "spec", spec);
	return true;
bad:
	json_object_put(spec);
	return false;
}

/* ---- the whole ---- */

static bool convert_root(struct conv *c, json_object *root)
{
	static const struct old_field fields[] = {
		{"peers", OLD_ELSEWHERE, NULL, 0},
		{"address-pools", OLD_ELSEWHERE, NULL, 0},
		{"bgp-communities", OLD_ELSEWHERE, NULL, 0},
		{"bfd-profiles", OLD_ELSEWHERE, NULL, 0},
		{0},
	};

	if (!root)
		return true; /* nothing configured is a configuration */
	if (!old_read_fields(&c->walk, fields, root, NULL) ||
	    !old_each(&c->walk, root, "address-pools", convert_pool, NULL) ||
	    !old_each(&c->walk, root, "bfd-profiles", convert_bfd, NULL) ||
	    !convert_communities(c, root) ||
	    !old_each(&c->walk, root, "peers", convert_peer, NULL) ||
	    !old_each(&c->walk, root, "address-pools", convert_announcing, NULL))
		return false;
	if (json_object_array_length(c->layer2) > 0)
		json_object_object_add(add_spec(c, V1, "L2Advertisement", "layer2"),
				       "ipAddressPools", json_object_get(c->layer2));
	return true;
}

static void free_names(struct table *names)
{
	table_for_each (names, e)
		free(e->value);
	table_fini(names);
}

bool old_config_convert(const char *text, size_t len, const char *ns, json_object *items,
			json_object *notes, struct err *err)
{
	struct conv c = {.walk = {.text = text, .len = len, .err = err},
			 .ns = ns,
			 .items = items,
			 .notes = notes};
	json_object *root = NULL;

	if (len > OLD_CONFIG_MAX)
		return err_set(err, "larger than %zu bytes", OLD_CONFIG_MAX);
	if (!yaml_parse_text(text, len, &root, err))
		return false;
	table_init(&c.pools);
	table_init(&c.bfds);
	table_init(&c.taken);
	c.layer2 = json_object_new_array();
	bool ok = convert_root(&c, root);

	json_object_put(c.layer2);
	json_object_put(root);
	free_names(&c.pools);
	free_names(&c.bfds);
	table_fini(&c.taken);
	buf_fini(&c.walk.path);
	return ok;
}
