/*
 * What follows from the facts about the cluster around us: kube-proxy, MetalLB and other load
 * balancers, gossip between the nodes, addresses of nodes, clocks. Pure.
 */
#include <string.h>

#include "metallb/api.h"
#include "metallb/clock.h"
#include "metallb/config.h"
#include "metallb/ip.h"
#include "metallb/kube.h"
#include "metallb/xalloc.h"
#include "operator/cli/doctor_impl.h"
#include "operator/kube_proxy.h"
#include "operator/rival.h"

#define AHEAD_MAX  (5 * USEC_PER_SEC)  /* of a clock */
#define BEHIND_MAX (60 * USEC_PER_SEC) /* leases are renewed every 10 s */
#define EVENT_AGE  (180 * USEC_PER_SEC)

/* ---- kube-proxy ---- */

void doctor_check_kube_proxy(struct doctor *d)
{
	json_object *map = doctor_need(d, FACT_KUBE_PROXY);
	_cleanup_(buf_fini) struct buf mode = {0};

	if (!map)
		return;
	switch (kube_proxy_check(map, &mode)) {
	case KUBE_PROXY_FINE:
		doctor_say(d, OK, NULL, "mode %s does not stand in the way", buf_str(&mode));
		break;
	case KUBE_PROXY_LOOSE:
		doctor_say(d, BAD, "kubectl metallb doctor --fix strict-arp",
			   "mode ipvs without strictARP: every node answers ARP for every address");
		break;
	case KUBE_PROXY_UNKNOWN:
		doctor_say(d, UNKNOWN, NULL,
			   "not checked: ConfigMap " KUBE_PROXY_NS "/" KUBE_PROXY_CONFIG
			   " holds no configuration");
		break;
	}
}

/* ---- MetalLB and others ---- */

static size_t say_metallb(struct doctor *d, enum doctor_fact fact)
{
	json_object *list = d->f->known[fact].value;
	const char *image;
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *o = doctor_item(list, i);
		enum rival_kind kind = rival_of(o, &image);

		if (kind != RIVAL_METALLB_CONTROLLER && kind != RIVAL_METALLB_SPEAKER)
			continue;
		n++;
		doctor_say(d, BAD, "docs/migration.md",
			   "MetalLB's %s runs beside us: %s/%s with image %s",
			   kind == RIVAL_METALLB_SPEAKER ? "speaker" : "controller",
			   kube_meta_str(o, "namespace"), kube_meta_str(o, "name"), image);
	}
	return n;
}

void doctor_check_metallb(struct doctor *d)
{
	if (!doctor_need(d, FACT_DEPLOYMENTS) || !doctor_need(d, FACT_DAEMONSETS))
		return;
	if (say_metallb(d, FACT_DEPLOYMENTS) + say_metallb(d, FACT_DAEMONSETS) == 0)
		doctor_say(d, OK, NULL, "does not run beside us");
}

/* Programs that take Services without a class, by a part of their image. */
static const char *other_product(json_object *workload)
{
	static const struct {
		const char *image, *product;
	} known[] = {
		{"klipper-lb", "the ServiceLB of k3s"},
		{"purelb/allocator", "PureLB"},
		{"openelb", "OpenELB"},
		{"kube-vip-cloud-provider", "kube-vip"},
		{"kube-loxilb", "LoxiLB"},
	};
	json_object *template = kube_json_get(kube_json_get(workload, "spec"), "template");
	json_object *list = kube_json_get(kube_json_get(template, "spec"), "containers");

	for (size_t c = 0; c < doctor_count(list); c++)
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			if (strstr(kube_json_str(doctor_item(list, c), "image"), known[i].image))
				return known[i].product;
	return NULL;
}

static size_t say_products(struct doctor *d, enum doctor_fact fact)
{
	json_object *list = d->f->known[fact].value;
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(list); i++) {
		json_object *o = doctor_item(list, i);
		const char *product = other_product(o);

		if (!product)
			continue;
		n++;
		doctor_say(d, BAD,
			   "remove it, or give the operator and the speakers --lb-class=NAME and "
			   "your Services that loadBalancerClass",
			   "%s (%s/%s) serves the same Services as we do", product,
			   kube_meta_str(o, "namespace"), kube_meta_str(o, "name"));
	}
	return n;
}

/* ---- pools as ranges ---- */

struct pools {
	struct api_object **objs;
	size_t n;
	struct config *cfg;
	struct config_report *report;
};

static void pools_init(struct pools *p, json_object *list)
{
	struct config_options opt = {.ignore_references = true};
	struct objects objs = {0};

	*p = (struct pools){.objs = xcalloc(doctor_count(list) + 1, sizeof(*p->objs))};
	for (size_t i = 0; i < doctor_count(list); i++) {
		struct err err;

		p->objs[p->n] = api_decode(API_IPADDRESSPOOL, doctor_item(list, i), &err);
		p->n += p->objs[p->n] != NULL; /* a bad one is told by the configuration's state */
	}
	objs.pools = (const void *)p->objs;
	objs.n_pools = p->n;
	config_build(&objs, &opt, &p->cfg, &p->report);
}

static void pools_fini(struct pools *p)
{
	config_report_free(p->report);
	config_free(p->cfg);
	for (size_t i = 0; i < p->n; i++)
		api_object_free(p->objs[i]);
	free(p->objs);
}

/* The name of a pool that has any address of the prefix; NULL: none. */
static const char *pools_hit(const struct pools *p, const struct prefix *prefix)
{
	for (size_t i = 0; i < p->cfg->n_pools; i++) {
		const struct config_pool *pool = &p->cfg->pools[i];

		for (size_t k = 0; k < pool->n_ranges; k++)
			for (size_t m = 0; m < pool->ranges[k].n_prefixes; m++)
				if (prefix_overlaps(&pool->ranges[k].prefixes[m], prefix))
					return pool->name;
	}
	return NULL;
}

static const char *pools_hit_text(const struct pools *p, const char *text)
{
	struct prefix prefix;
	struct ip ip;

	if (ip_parse(text, &ip))
		prefix = prefix_of(&ip, IP_BITS(ip.family));
	else if (!prefix_parse(text, &prefix))
		return NULL;
	return pools_hit(p, &prefix);
}

/* Services of our class whose address no pool of ours has. */
static size_t say_strangers(struct doctor *d, const struct pools *p)
{
	json_object *services = d->f->known[FACT_SERVICES].value;
	const char *class = doctor_operator_arg(d, "lb-class");
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(services); i++) {
		json_object *s = doctor_item(services, i), *spec = kube_json_get(s, "spec");
		json_object *lb = kube_json_get(kube_json_get(s, "status"), "loadBalancer");
		json_object *first = doctor_count(kube_json_get(lb, "ingress"))
					     ? doctor_item(kube_json_get(lb, "ingress"), 0)
					     : NULL;
		const char *ip = kube_json_str(first, "ip");

		if (!first || strcmp(kube_json_str(spec, "type"), "LoadBalancer") != 0 ||
		    strcmp(kube_json_str(spec, "loadBalancerClass"), class) != 0 ||
		    pools_hit_text(p, ip))
			continue;
		n++;
		doctor_say(d, BAD, NULL,
			   "%s/%s has %s, which is in no pool of ours: another controller "
			   "serves it, or its pool is gone",
			   kube_meta_str(s, "namespace"), kube_meta_str(s, "name"),
			   *ip ? ip : kube_json_str(first, "hostname"));
	}
	return n;
}

void doctor_check_others(struct doctor *d)
{
	const char *class = doctor_operator_arg(d, "lb-class");
	struct pools p;
	size_t n = 0;

	if (!doctor_need(d, FACT_DEPLOYMENTS) || !doctor_need(d, FACT_DAEMONSETS) ||
	    !doctor_need(d, FACT_SERVICES) || !doctor_need(d, FACT_POOLS))
		return;
	if (!*class)
		n = say_products(d, FACT_DEPLOYMENTS) + say_products(d, FACT_DAEMONSETS);
	pools_init(&p, d->f->known[FACT_POOLS].value);
	n += say_strangers(d, &p);
	pools_fini(&p);
	if (n == 0)
		doctor_say(d, OK, NULL, "nobody else serves Services of %s%s",
			   *class ? "class " : "no class", class);
}

/* ---- gossip ---- */

/* Speakers tell by an event when a Ready speaker is not reached. */
void doctor_check_gossip(struct doctor *d)
{
	json_object *events = doctor_need(d, FACT_EVENTS);
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(events); i++) {
		json_object *e = doctor_item(events, i);
		usec_t at;

		if (strcmp(kube_json_str(e, "reason"), "gossipUnreachable") != 0 ||
		    !clock_parse_rfc3339(kube_json_str(e, "lastTimestamp"), &at) ||
		    (d->f->now && d->f->now - at > EVENT_AGE))
			continue;
		n++;
		doctor_say(d, BAD, "open TCP and UDP port 7946 between the nodes", "%s",
			   kube_json_str(e, "message"));
	}
	if (events && n == 0)
		doctor_say(d, OK, NULL,
			   "no speaker has told in the last %d s that it cannot reach another",
			   (int)(EVENT_AGE / USEC_PER_SEC));
}

/* ---- nodes ---- */

static size_t say_overlaps(struct doctor *d, const struct pools *p, json_object *node)
{
	json_object *addresses = kube_json_get(kube_json_get(node, "status"), "addresses");
	json_object *cidrs = kube_json_get(kube_json_get(node, "spec"), "podCIDRs");
	const char *name = kube_meta_str(node, "name"), *pool;
	size_t n = 0;

	for (size_t i = 0; i < doctor_count(addresses); i++) {
		const char *a = kube_json_str(doctor_item(addresses, i), "address");

		if (!(pool = pools_hit_text(p, a)))
			continue;
		n++;
		doctor_say(d, BAD, "take it out of the pool, or name it in spec.avoidAddresses",
			   "address %s of node %s is in pool %s", a, name, pool);
	}
	for (size_t i = 0; i < doctor_count(cidrs); i++) {
		const char *c = json_object_get_string(doctor_item(cidrs, i));

		if (!c || !(pool = pools_hit_text(p, c)))
			continue;
		n++;
		doctor_say(d, BAD, "choose addresses that the cluster does not use itself",
			   "pool %s has addresses of node %s's pods (%s)", pool, name, c);
	}
	return n;
}

void doctor_check_nodes(struct doctor *d)
{
	json_object *nodes = doctor_need(d, FACT_NODES);
	struct pools p;
	size_t n = 0;

	if (!nodes || !doctor_need(d, FACT_POOLS))
		return;
	pools_init(&p, d->f->known[FACT_POOLS].value);
	for (size_t i = 0; i < doctor_count(nodes); i++)
		n += say_overlaps(d, &p, doctor_item(nodes, i));
	if (n == 0)
		doctor_say(d, OK, NULL, "no pool has addresses of the %zu nodes or of their pods",
			   doctor_count(nodes));
	pools_fini(&p);
}

/* ---- clocks ---- */

static bool node_is_ready(json_object *nodes, const char *name)
{
	for (size_t i = 0; i < doctor_count(nodes); i++) {
		json_object *node = doctor_item(nodes, i);
		json_object *list = kube_json_get(kube_json_get(node, "status"), "conditions");

		if (strcmp(kube_meta_str(node, "name"), name) != 0)
			continue;
		for (size_t k = 0; k < doctor_count(list); k++) {
			json_object *c = doctor_item(list, k);

			if (strcmp(kube_json_str(c, "type"), "Ready") == 0)
				return strcmp(kube_json_str(c, "status"), "True") == 0;
		}
	}
	return false;
}

/* A lease carries its writer's clock. Whether something was said. */
static bool say_clock(struct doctor *d, json_object *lease, const char *whose, bool alive)
{
	usec_t renewed;

	if (!clock_parse_rfc3339(doctor_text(lease, "spec", "renewTime"), &renewed))
		return false;
	int64_t ahead = renewed - d->f->now;

	if (ahead > AHEAD_MAX)
		doctor_say(d, BAD, "synchronise the clocks (NTP)",
			   "the clock of %s is %lld s ahead of the API server's", whose,
			   (long long)(ahead / USEC_PER_SEC));
	else if (alive && -ahead > BEHIND_MAX)
		doctor_say(d, BAD, "synchronise the clocks (NTP)",
			   "the clock of %s seems to be %lld s behind the API server's: it is "
			   "Ready, and its lease is that old",
			   whose, (long long)(-ahead / USEC_PER_SEC));
	else
		return false;
	return true;
}

void doctor_check_clocks(struct doctor *d)
{
	json_object *leases = doctor_need(d, FACT_NODE_LEASES);
	json_object *own = d->f->known[FACT_LEASE].value;
	size_t n = 0;

	if (!leases || d->f->now == 0) {
		if (leases)
			doctor_say(d, UNKNOWN, NULL,
				   "not checked: the server does not tell its time");
		return;
	}
	for (size_t i = 0; i < doctor_count(leases); i++) {
		json_object *lease = doctor_item(leases, i);
		const char *name = kube_meta_str(lease, "name");
		_cleanup_free_ char *whose = xasprintf("node %s", name);

		n += say_clock(d, lease, whose, node_is_ready(d->f->known[FACT_NODES].value, name));
	}
	n += own && say_clock(d, own, "the operator", false);
	if (n == 0)
		doctor_say(d, OK, NULL, "those of %zu nodes agree with the API server's",
			   doctor_count(leases));
}
