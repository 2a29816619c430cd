/*
 * The difference between a Service and its wanted state, as a merge patch (RFC 7386) of its status
 * subresource. The resourceVersion in it makes the API server refuse the patch when the Service has
 * changed meanwhile.
 */
#include "metallb/buf.h"
#include "metallb/xalloc.h"
#include "operator/request.h"
#include "operator/services.h"

static bool ingress_differs(const struct service *svc, const struct services_result *r)
{
	struct ip ip;

	if (svc->ingress.n != r->ips.n)
		return true;
	for (size_t i = 0; i < r->ips.n; i++)
		if (svc->ingress_hostnames.items[i][0] || !ip_parse(svc->ingress.items[i], &ip) ||
		    !ip_eq(&ip, &r->ips.ip[i]))
			return true;
	return false;
}

static bool pool_differs(const struct service *svc, const struct services_result *r)
{
	const char *now = labels_get(&svc->obj.meta.annotations, ANNOTATION_FROM);

	return now && r->pool ? strcmp(now, r->pool) != 0 : now || r->pool;
}

static const struct api_condition *find_condition(const struct service *svc)
{
	for (size_t i = 0; i < svc->n_conditions; i++)
		if (strcmp(svc->conditions[i].type, SERVICES_CONDITION) == 0)
			return &svc->conditions[i];
	return NULL;
}

static bool condition_differs(const struct service *svc, const struct services_result *r)
{
	const struct api_condition *now = find_condition(svc);
	const struct services_condition *want = &r->condition;

	if (r->keep_condition)
		return false;
	if (!want->wanted || !now)
		return want->wanted != (now != NULL);
	return strcmp(now->status, want->status ? "True" : "False") != 0 ||
	       strcmp(now->reason, want->reason) != 0 || strcmp(now->message, want->message) != 0;
}

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\":", name);
	buf_add_json_str(out, value, strlen(value));
}

/* The whole list: a merge patch replaces lists. Conditions of others stay as they are. */
static void add_conditions(struct buf *out, const struct service *svc,
			   const struct services_result *r, usec_t wall)
{
	const struct api_condition *now = find_condition(svc);
	const char *status = r->condition.status ? "True" : "False";
	const char *sep = "";

	buf_add_str(out, "\"conditions\":[");
	for (size_t i = 0; i < svc->n_conditions; i++) {
		if (&svc->conditions[i] == now)
			continue;
		buf_add_str(out, sep);
		api_condition_format(&svc->conditions[i], out);
		sep = ",";
	}
	if (r->condition.wanted) {
		bool same = now && strcmp(now->status, status) == 0 && now->last_transition;

		buf_add_str(out, sep);
		api_condition_format(
			&(struct api_condition){
				.type = SERVICES_CONDITION,
				.status = status,
				.reason = r->condition.reason,
				.message = r->condition.message,
				.observed_generation = svc->obj.meta.generation,
				.last_transition = same ? now->last_transition : wall,
			},
			out);
	}
	buf_add_char(out, ']');
}

static void add_ingress(struct buf *out, const struct alloc_ips *ips)
{
	char text[IP_STR_MAX];

	buf_add_str(out, "\"loadBalancer\":{\"ingress\":");
	if (ips->n == 0)
		buf_add_str(out, "null");
	for (size_t i = 0; i < ips->n; i++)
		buf_printf(out, "%s{\"ip\":\"%s\"}", i ? "," : "[", ip_format(&ips->ip[i], text));
	buf_add_str(out, ips->n ? "]}" : "}");
}

bool services_patch(const struct service *svc, const struct services_result *r, bool conditions,
		    usec_t wall, struct buf *out)
{
	bool ingress = r->ours && !r->keep && ingress_differs(svc, r);
	bool pool = r->ours && !r->keep && pool_differs(svc, r);
	bool condition = r->ours && conditions && condition_differs(svc, r);

	if (!ingress && !pool && !condition)
		return false;
	if (!out)
		return true;
	buf_add_str(out, "{\"metadata\":{");
	add_member(out, "resourceVersion", svc->obj.meta.resource_version);
	if (pool && r->pool) {
		buf_add_str(out, ",\"annotations\":{");
		add_member(out, ANNOTATION_FROM, r->pool);
		buf_add_char(out, '}');
	} else if (pool) {
		buf_add_str(out, ",\"annotations\":{\"" ANNOTATION_FROM "\":null}");
	}
	buf_add_str(out, "},\"status\":{");
	if (ingress)
		add_ingress(out, &r->ips);
	buf_add_str(out, ingress && condition ? "," : "");
	if (condition)
		add_conditions(out, svc, r, wall);
	buf_add_str(out, "}}");
	return true;
}
