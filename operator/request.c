/*
 * Annotations and spec fields of a Service, read as MetalLB reads them.
 */
#include "operator/request.h"

#include <stdio.h>

#include "metallb/buf.h"
#include "metallb/xalloc.h"

const char *request_annotation(const struct service *svc, const char *stable_key)
{
	const struct labels *all = &svc->obj.meta.annotations;
	const char *v = labels_get(all, stable_key);
	char old[64];

	if (v)
		return v;
	snprintf(old, sizeof(old), "%s%s", DEPRECATED_PREFIX, strchr(stable_key, '/'));
	v = labels_get(all, old);
	return v ? v : "";
}

bool request_has_deprecated(const struct service *svc)
{
	const struct labels *all = &svc->obj.meta.annotations;

	for (size_t i = 0; i < all->n; i++)
		if (strncmp(all->items[i].key, DEPRECATED_PREFIX, strlen(DEPRECATED_PREFIX)) == 0)
			return true;
	return false;
}

bool request_families_of(const struct alloc_ips *ips, bool fam[FAM_COUNT], struct err *err)
{
	fam[FAM_V4] = fam[FAM_V6] = false;
	for (size_t i = 0; i < ips->n; i++) {
		unsigned f = fam_of(&ips->ip[i]);

		if (fam[f])
			return err_set(err, "two %s addresses", fam_name(f));
		fam[f] = true;
	}
	return ips->n > 0 || err_set(err, "no address");
}

static bool parse_list(const char *text, struct alloc_ips *out, struct err *err)
{
	struct alloc_ips ips = {0};
	bool fam[FAM_COUNT];

	if (strlen(text) > REQUEST_IPS_TEXT_MAX)
		return err_set(err, "annotation %s is longer than %u bytes", ANNOTATION_IPS,
			       REQUEST_IPS_TEXT_MAX);
	for (const char *p = text;; p++) {
		size_t n = strcspn(p, ","), skip = strspn(p, " \t\n\r\v\f");
		size_t len = n;
		struct ip ip;

		if (skip > n)
			skip = n;
		while (len > skip && strchr(" \t\n\r\v\f", p[len - 1]))
			len--;
		if (!ip_parse_n(p + skip, len - skip, &ip))
			return err_set(err, "annotation %s: \"%.*s\" is not an IP address",
				       ANNOTATION_IPS, (int)(len - skip), p + skip);
		if (ips.n == ALLOC_IPS_MAX)
			return err_set(err, "annotation %s: more than %d addresses", ANNOTATION_IPS,
				       ALLOC_IPS_MAX);
		ips.ip[ips.n++] = ip;
		p += n;
		if (!*p)
			break;
	}
	if (!request_families_of(&ips, fam, err))
		return err_wrap(err, "annotation %s", ANNOTATION_IPS);
	*out = ips;
	return true;
}

bool request_ips(const struct service *svc, struct alloc_ips *out, struct err *err)
{
	const char *list = request_annotation(svc, ANNOTATION_IPS), *one = svc->load_balancer_ip;
	struct alloc_ips ips = {0};

	if (list[0] && one[0])
		return err_set(err, "both annotation %s and spec.loadBalancerIP are set",
			       ANNOTATION_IPS);
	if (list[0])
		return parse_list(list, out, err);
	if (one[0]) {
		if (!ip_parse(one, &ips.ip[0]))
			return err_set(err, "spec.loadBalancerIP: \"%s\" is not an IP address",
				       one);
		ips.n = 1;
	}
	*out = ips;
	return true;
}

bool request_families(const struct service *svc, bool fam[FAM_COUNT], struct err *err)
{
	const char *const *texts = svc->cluster_ips.items;
	size_t n = svc->cluster_ips.n;
	struct alloc_ips ips = {0};

	if (n == 0) {
		texts = &svc->cluster_ip;
		n = 1;
	}
	if (n > ALLOC_IPS_MAX)
		return err_set(err, "spec.clusterIPs: more than %d addresses", ALLOC_IPS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!ip_parse(texts[i], &ips.ip[i]))
			return err_set(err, "cluster IP \"%s\" is not an IP address", texts[i]);
		ips.n++;
	}
	if (!request_families_of(&ips, fam, err))
		return err_wrap(err, "spec.clusterIPs");
	return true;
}

enum alloc_policy request_policy(const struct service *svc)
{
	if (strcmp(svc->ip_family_policy, "RequireDualStack") == 0)
		return ALLOC_REQUIRE_DUAL;
	if (strcmp(svc->ip_family_policy, "PreferDualStack") == 0)
		return ALLOC_PREFER_DUAL;
	return ALLOC_SINGLE;
}

char *request_backend_key(const struct service *svc)
{
	struct buf out = {0};

	/* labels are sorted by key, so equal selectors give equal text */
	if (strcmp(svc->external_traffic_policy, "Local") == 0)
		for (size_t i = 0; i < svc->selector.n; i++)
			buf_printf(&out, "%s%s=%s", i ? "," : "", svc->selector.items[i].key,
				   svc->selector.items[i].value);
	return buf_steal(&out);
}
