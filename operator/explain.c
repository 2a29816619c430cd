/*
 * Why a Service waits: one reason for each pool, in the order of their names.
 */
#include <inttypes.h>

#include "metallb/xalloc.h"
#include "operator/allocator_impl.h"
#include "operator/choose.h"

#define REST_MAX 40 /* bytes of "; and N more pools" */

static bool lists_namespace(const struct pool *p, const char *ns)
{
	for (size_t i = 0; i < p->cfg->namespaces.n; i++)
		if (strcmp(p->cfg->namespaces.items[i], ns) == 0)
			return true;
	return false;
}

static void explain_selection(const struct pool *p, const struct alloc_service *svc,
			      struct buf *out)
{
	if (p->cfg->namespaces.n > 0 && !lists_namespace(p, svc->ns))
		buf_add_str(out, "namespace not selected");
	else if (p->cfg->service_selectors.n > 0)
		buf_add_str(out, "labels not selected");
	else
		buf_add_str(out, "no namespace selected");
}

static void explain_family(struct allocator *a, struct pool *p, const struct alloc_service *svc,
			   unsigned fam, struct buf *out)
{
	struct ip ip;

	if (!p->has[fam])
		buf_printf(out, "no %s addresses", fam_name(fam));
	else if (allocator_offer(a, p, svc, fam, &ip))
		buf_printf(out, "has %s addresses", fam_name(fam));
	else if (p->in_use[fam] >= p->capacity[fam])
		buf_printf(out, "%" PRId64 " of %" PRId64 " %s in use", p->in_use[fam],
			   p->capacity[fam], fam_name(fam));
	else
		buf_printf(out, "%" PRId64 " of %" PRId64 " %s in use, nodes have the others",
			   p->in_use[fam], p->capacity[fam], fam_name(fam));
}

static void explain_requested(const struct allocator *a, const struct pool *p,
			      const struct alloc_service *svc, const struct alloc_ips *ips,
			      struct buf *out)
{
	char text[IP_STR_MAX];

	for (size_t i = 0; i < ips->n; i++) {
		const struct ip *ip = &ips->ip[i];
		const struct place *place = allocator_place_of(a, ip);
		struct err err = {0};

		buf_add_str(out, i ? ", " : "");
		if (!place || place->pool != p)
			buf_printf(out, "does not contain %s", ip_format(ip, text));
		else if (pool_is_buggy(p, ip))
			buf_printf(out, "%s is excluded by avoidBuggyIPs", ip_format(ip, text));
		else if (pool_is_avoided(p, ip))
			buf_printf(out, "%s is in avoidAddresses", ip_format(ip, text));
		else if (!allocator_pool_serves(p, svc))
			explain_selection(p, svc, out);
		else if (!allocator_check_sharing(a, svc, ip, &err))
			buf_add_str(out, err.msg);
		else
			buf_printf(out, "has %s", ip_format(ip, text));
	}
}

static void explain_pool(struct allocator *a, struct pool *p, const struct alloc_service *svc,
			 const struct alloc_want *want, const bool fam[FAM_COUNT], struct buf *out)
{
	const char *sep = "";

	if (want->pool[0] && strcmp(want->pool, p->cfg->name) != 0) {
		buf_add_str(out, "another pool is asked for");
		return;
	}
	if (!want->pool[0] && !p->cfg->auto_assign) {
		buf_add_str(out, "autoAssign is false");
		return;
	}
	if (!allocator_pool_serves(p, svc)) {
		explain_selection(p, svc, out);
		return;
	}
	for (unsigned f = 0; f < FAM_COUNT; f++) {
		if (!fam[f])
			continue;
		buf_add_str(out, sep);
		explain_family(a, p, svc, f, out);
		sep = ", ";
	}
}

void allocator_explain(struct allocator *a, const struct alloc_service *svc,
		       const struct alloc_want *want, const struct alloc_ips *requested,
		       const bool fam[FAM_COUNT], size_t max, struct buf *out)
{
	_cleanup_(buf_fini) struct buf part = {0};
	size_t start = out->len;

	if (a->n_pools == 0)
		buf_add_str(out, "there is no pool");
	for (size_t i = 0; i < a->n_pools; i++) {
		struct pool *p = &a->pools[i];

		buf_clear(&part);
		buf_printf(&part, "%spool %s: ", i ? "; " : "", p->cfg->name);
		if (requested && requested->n > 0)
			explain_requested(a, p, svc, requested, &part);
		else
			explain_pool(a, p, svc, want, fam, &part);
		if (out->len - start + part.len + REST_MAX > max) {
			buf_printf(out, "%s%zu more pools", i ? "; and " : "none of ",
				   a->n_pools - i);
			return;
		}
		buf_add(out, part.data, part.len);
	}
}
