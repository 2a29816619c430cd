/*
 * Admission: from the bytes of an AdmissionReview to those of its answer. See admit.h.
 *
 * A refusal is 403 as MetalLB's is; an object that cannot be decoded is 400. Writes of the status
 * subresource are not judged.
 */
#include <stdarg.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/admit_impl.h"
#include "operator/review.h"

#define GROUP "admission.k8s.io"
#define KIND  "AdmissionReview"

void admit_verdict_fini(struct admit_verdict *v)
{
	buf_fini(&v->message);
	for (size_t i = 0; i < v->n_warnings; i++)
		free(v->warnings[i]);
	v->n_warnings = 0;
}

bool verdict_refuse(struct admit_verdict *v, int code, const char *fmt, ...)
{
	va_list ap;

	if (v->allowed) {
		v->allowed = false;
		v->code = code;
	} else {
		buf_add_str(&v->message, "; ");
	}
	va_start(ap, fmt);
	buf_vprintf(&v->message, fmt, ap);
	va_end(ap);
	return false;
}

void verdict_warn(struct admit_verdict *v, const char *fmt, ...)
{
	va_list ap;

	if (v->n_warnings == ADMIT_WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	v->warnings[v->n_warnings++] = xvasprintf(fmt, ap);
	va_end(ap);
}

static void admit_delete(const struct admit_snapshot *s, const struct api_object *old,
			 struct admit_verdict *v)
{
	if (old->kind == API_IPADDRESSPOOL)
		admit_warn_pool_use(s, NULL, (const void *)old, v);
	else if (old->kind == API_BFDPROFILE)
		admit_check_bfd_use(s, (const void *)old, v);
}

void admit_object(const struct admit_snapshot *s, enum admit_operation op,
		  const struct api_object *object, const struct api_object *old,
		  struct admit_verdict *v)
{
	*v = (struct admit_verdict){.allowed = true, .code = 200};
	if (op == ADMIT_DELETE) {
		/* elsewhere it counts for nothing */
		if (strcmp(old->meta.namespace, s->ns) == 0)
			admit_delete(s, old, v);
		return;
	}
	if (op == ADMIT_UPDATE && object->meta.deleting)
		return; /* only finalizers go */
	if (strcmp(object->meta.namespace, s->ns) != 0) {
		if (op == ADMIT_CREATE)
			verdict_refuse(v, 403,
				       "%s %s/%s: metadata.namespace: must be created in "
				       "the namespace %s",
				       api_kind_info(object->kind)->kind, object->meta.namespace,
				       object->meta.name, s->ns);
		return;
	}
	if (object->kind == API_METALLB) {
		admit_check_metallb(s, (const void *)object, op == ADMIT_CREATE, v);
		return;
	}
	admit_check_config(s, object, v);
	if (v->allowed && op == ADMIT_UPDATE && object->kind == API_IPADDRESSPOOL)
		admit_warn_pool_use(s, (const void *)object, (const void *)old, v);
}

/* ---- the review ---- */

static void object_freep(struct api_object **o)
{
	*o = api_object_free(*o);
}

static bool parse_operation(const char *text, enum admit_operation *op)
{
	static const char *const names[] = {"CREATE", "UPDATE", "DELETE"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*op = (enum admit_operation)i;
			return true;
		}
	return false;
}

/* request.object or request.oldObject. NULL with a refusal in v. */
static struct api_object *decode(struct json_object *request, const char *member,
				 enum api_kind kind, struct admit_verdict *v)
{
	struct json_object *json = review_get(request, member, json_type_object);
	struct api_object *object;
	enum api_kind found;
	struct err err = {0};

	if (!json) {
		verdict_refuse(v, 400, "request.%s is missing", member);
		return NULL;
	}
	if (!api_kind_find(review_str(json, "apiVersion"), review_str(json, "kind"), &found) ||
	    found != kind) {
		verdict_refuse(v, 400, "request.%s is a %.100s of %.100s, not a %s", member,
			       review_str(json, "kind"), review_str(json, "apiVersion"),
			       api_kind_info(kind)->kind);
		return NULL;
	}
	object = api_decode(kind, json, &err);
	if (!object)
		verdict_refuse(v, 400, "%s", err.msg);
	return object;
}

/* What MetalLB's schema forbids to change: it is looked at only where both versions have it. */
static void check_fixed(struct json_object *request, enum api_kind kind, struct admit_verdict *v)
{
	static const char name[] = "enableGracefulRestart";
	struct json_object *object = review_get(request, "object", json_type_object);
	struct json_object *old = review_get(request, "oldObject", json_type_object);
	struct json_object *is =
		review_get(review_get(object, "spec", json_type_object), name, json_type_boolean);
	struct json_object *was =
		review_get(review_get(old, "spec", json_type_object), name, json_type_boolean);
	struct json_object *meta = review_get(object, "metadata", json_type_object);

	if (kind == API_BGPPEER && is && was &&
	    json_object_get_boolean(is) != json_object_get_boolean(was))
		verdict_refuse(v, 403, "BGPPeer %s/%s: spec.%s: cannot be changed once it is set",
			       review_str(meta, "namespace"), review_str(meta, "name"), name);
}

static void judge(const struct admit_snapshot *s, enum api_kind kind, struct json_object *request,
		  struct admit_verdict *v)
{
	_cleanup_(object_freep) struct api_object *object = NULL;
	_cleanup_(object_freep) struct api_object *old = NULL;
	const char *operation = review_str(request, "operation");
	enum admit_operation op;

	*v = (struct admit_verdict){.allowed = true, .code = 200};
	if (*review_str(request, "subResource"))
		return;
	if (!parse_operation(operation, &op)) {
		verdict_refuse(v, 400, "request.operation: \"%.20s\" is not handled here",
			       operation);
		return;
	}
	if (op != ADMIT_DELETE && !(object = decode(request, "object", kind, v)))
		return;
	if (op == ADMIT_UPDATE || op == ADMIT_DELETE) {
		old = decode(request, "oldObject", kind, v);
		/* A stored object that no longer passes may still be corrected and deleted. */
		if (!old && !review_get(request, "oldObject", json_type_object))
			return;
		if (!old) {
			admit_verdict_fini(v);
			*v = (struct admit_verdict){.allowed = true, .code = 200};
			if (op == ADMIT_DELETE)
				return;
		}
	}
	admit_object(s, op, object, old, v);
	if (op == ADMIT_UPDATE)
		check_fixed(request, kind, v);
}

static void add_verdict(const struct admit_verdict *v, struct buf *out)
{
	buf_printf(out, ",\"allowed\":%s", v->allowed ? "true" : "false");
	if (!v->allowed) {
		buf_printf(out, ",\"status\":{\"code\":%d,\"reason\":\"%s\",\"message\":", v->code,
			   v->code == 403 ? "Forbidden" : "BadRequest");
		buf_add_json_str(out, buf_str(&v->message), v->message.len);
		buf_add_char(out, '}');
	}
	for (size_t i = 0; i < v->n_warnings; i++) {
		buf_add_str(out, i ? "," : ",\"warnings\":[");
		buf_add_json_str(out, v->warnings[i], strlen(v->warnings[i]));
	}
	buf_add_str(out, v->n_warnings ? "]}}" : "}}");
}

static bool same_member(struct json_object *a, struct json_object *b, const char *name)
{
	return json_object_equal(review_get(a, name, json_type_object),
				 review_get(b, name, json_type_object));
}

/* Not a dry run, and not an update that leaves all that is judged here as it was. */
static bool changes(struct json_object *request)
{
	struct json_object *object = review_get(request, "object", json_type_object);
	struct json_object *old = review_get(request, "oldObject", json_type_object);

	if (json_object_get_boolean(review_get(request, "dryRun", json_type_boolean)))
		return false;
	return !object || !old || !same_member(object, old, "spec") ||
	       !same_member(review_get(object, "metadata", json_type_object),
			    review_get(old, "metadata", json_type_object), "labels");
}

int admit_review(const struct admit_snapshot *s, enum api_kind kind, const char *body, size_t len,
		 struct buf *out, struct admit_outcome *outcome)
{
	struct review r;
	struct err err = {0};
	struct admit_verdict v;

	if (!review_decode(&r, body, len, GROUP, KIND, &err)) {
		buf_printf(out, "%s\n", err.msg);
		return 400;
	}
	judge(s, kind, r.request, &v);
	review_begin(&r, KIND, out);
	add_verdict(&v, out);
	*outcome = (struct admit_outcome){v.allowed, v.allowed && changes(r.request)};
	admit_verdict_fini(&v);
	review_fini(&r);
	return 200;
}
