/*
 * What is in use: pools by Services, BFD profiles by peers.
 *
 * A pool may be shrunk or deleted under its Services, as with MetalLB: they lose their addresses.
 * Whoever does it is told which.
 */
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/admit_impl.h"

static void config_freep(struct config **c)
{
	*c = config_free(*c);
}

/* A configuration of pools alone, for their ranges. */
static struct config *build_pools_of(const struct ipaddresspool *const *pools, size_t n)
{
	struct objects objs = {.pools = pools, .n_pools = n};
	struct config_options opt = {.ignore_references = true};
	struct config_report *report;
	struct config *cfg;

	config_build(&objs, &opt, &cfg, &report);
	config_report_free(report);
	return cfg;
}

static bool same_addresses(const struct ipaddresspool *a, const struct ipaddresspool *b)
{
	if (a->addresses.n != b->addresses.n)
		return false;
	for (size_t i = 0; i < a->addresses.n; i++)
		if (strcmp(a->addresses.items[i], b->addresses.items[i]) != 0)
			return false;
	return true;
}

/* All pools but the one of this name, then the new one when there is. */
static struct config *build_rest(const struct admit_snapshot *s, const struct ipaddresspool *object,
				 const struct ipaddresspool *old)
{
	_cleanup_free_ const struct ipaddresspool **pools =
		xmalloc((s->objs.n_pools + 1) * sizeof(struct ipaddresspool *));
	size_t n = 0;

	for (size_t i = 0; i < s->objs.n_pools; i++)
		if (strcmp(s->objs.pools[i]->obj.meta.name, old->obj.meta.name) != 0)
			pools[n++] = s->objs.pools[i];
	if (object)
		pools[n++] = object;
	return build_pools_of(pools, n);
}

/* An address of the Service that is in `had` and not in `has`. */
static bool loses(const struct admit_service *svc, const struct config *had,
		  const struct config *has)
{
	for (size_t i = 0; i < svc->n_ips; i++)
		if (config_pool_of(had, &svc->ips[i]) && !config_pool_of(has, &svc->ips[i]))
			return true;
	return false;
}

void admit_warn_pool_use(const struct admit_snapshot *s, const struct ipaddresspool *object,
			 const struct ipaddresspool *old, struct admit_verdict *v)
{
	_cleanup_(config_freep) struct config *had = NULL;
	_cleanup_(config_freep) struct config *has = NULL;
	_cleanup_(buf_fini) struct buf names = {0};
	size_t n = 0;

	if (!old || s->n_services == 0 || (object && same_addresses(object, old)))
		return;
	had = build_pools_of(&old, 1);
	has = build_rest(s, object, old);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct admit_service *svc = s->services[i];

		if (!loses(svc, had, has))
			continue;
		if (n++ < ADMIT_NAMES_MAX)
			buf_printf(&names, "%s%s/%s", n > 1 ? ", " : "", svc->namespace, svc->name);
	}
	if (n > 0)
		verdict_warn(v, "IPAddressPool %s: %zu Service%s lose%s %s address%s: %s%s",
			     old->obj.meta.name, n, n > 1 ? "s" : "", n > 1 ? "" : "s",
			     n > 1 ? "their" : "its", n > 1 ? "es" : "", buf_str(&names),
			     n > ADMIT_NAMES_MAX ? ", ..." : "");
}

void admit_check_bfd_use(const struct admit_snapshot *s, const struct bfdprofile *old,
			 struct admit_verdict *v)
{
	_cleanup_(buf_fini) struct buf names = {0};
	size_t n = 0;

	for (size_t i = 0; i < s->objs.n_peers; i++) {
		const struct bgppeer *p = s->objs.peers[i];

		if (strcmp(p->bfd_profile, old->obj.meta.name) != 0)
			continue;
		if (n++ < ADMIT_NAMES_MAX)
			buf_printf(&names, "%s%s", n > 1 ? ", " : "", p->obj.meta.name);
	}
	if (n > 0)
		verdict_refuse(v, 403, "BFDProfile %s/%s: used by BGPPeer%s %s%s",
			       old->obj.meta.namespace, old->obj.meta.name, n > 1 ? "s" : "",
			       buf_str(&names), n > ADMIT_NAMES_MAX ? ", ..." : "");
}
