/*
 * What kinds there are, and the way from a JSON value to an object in an arena of its own: metadata
 * first, so that every later reason names the object, then the kind's table.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/api/schema.h"
#include "metallb/xalloc.h"

#define METALLB_GROUP "metallb.io"

static const struct api_kind_info kinds[API_KIND_COUNT] = {
	[API_IPADDRESSPOOL] = {"IPAddressPool", "ipaddresspools", METALLB_GROUP, "v1beta1", true},
	[API_L2ADVERTISEMENT] = {"L2Advertisement", "l2advertisements", METALLB_GROUP, "v1beta1",
				 true},
	[API_BGPADVERTISEMENT] = {"BGPAdvertisement", "bgpadvertisements", METALLB_GROUP, "v1beta1",
				  true},
	[API_BGPPEER] = {"BGPPeer", "bgppeers", METALLB_GROUP, "v1beta2", true},
	[API_BFDPROFILE] = {"BFDProfile", "bfdprofiles", METALLB_GROUP, "v1beta1", true},
	[API_COMMUNITY] = {"Community", "communities", METALLB_GROUP, "v1beta1", true},
	[API_SERVICEL2STATUS] = {"ServiceL2Status", "servicel2statuses", METALLB_GROUP, "v1beta1",
				 true},
	[API_SERVICEBGPSTATUS] = {"ServiceBGPStatus", "servicebgpstatuses", METALLB_GROUP,
				  "v1beta1", true},
	[API_CONFIGURATIONSTATE] = {"ConfigurationState", "configurationstates", METALLB_GROUP,
				    "v1beta1", true},
	[API_METALLB] = {"MetalLB", "metallbs", METALLB_GROUP, "v1beta1", true},
	[API_SERVICE] = {"Service", "services", "", "v1", true},
	[API_ENDPOINTSLICE] = {"EndpointSlice", "endpointslices", "discovery.k8s.io", "v1", true},
	[API_NODE] = {"Node", "nodes", "", "v1", false},
	[API_NAMESPACE] = {"Namespace", "namespaces", "", "v1", false},
	[API_POD] = {"Pod", "pods", "", "v1", true},
	[API_SECRET] = {"Secret", "secrets", "", "v1", true},
	[API_CONFIGMAP] = {"ConfigMap", "configmaps", "", "v1", true},
	[API_DAEMONSET] = {"DaemonSet", "daemonsets", "apps", "v1", true},
};

/* Served beside the default version. */
static const struct {
	const char *api_version, *kind;
	enum api_kind is;
} others[] = {
	{METALLB_GROUP "/v1beta1", "BGPPeer", API_BGPPEER},
	{"discovery.k8s.io/v1beta1", "EndpointSlice", API_ENDPOINTSLICE},
	{"v1", "Endpoints", API_ENDPOINTSLICE},
};

static bool meta_deleting(struct decoder *d, json_object *value, void *base)
{
	(void)d;
	(void)value;
	((struct meta *)base)->deleting = true;
	return true;
}

static const struct field meta_fields[] = {
	{"name", FT_STRING, 0, offsetof(struct meta, name)},
	{"namespace", FT_STRING, 0, offsetof(struct meta, namespace)},
	{"uid", FT_STRING, 0, offsetof(struct meta, uid)},
	{"resourceVersion", FT_STRING, 0, offsetof(struct meta, resource_version)},
	{"generation", FT_INT, 0, offsetof(struct meta, generation)},
	{"labels", FT_MAP, 0, offsetof(struct meta, labels)},
	{"annotations", FT_MAP, 0, offsetof(struct meta, annotations)},
	{"creationTimestamp", FT_TIME, 0, offsetof(struct meta, created)},
	{"deletionTimestamp", FT_CUSTOM, 0, .decode = meta_deleting},
};

const struct shape schema_metadata = SHAPE(meta_fields, struct meta);

const struct api_kind_info *api_kind_info(enum api_kind kind)
{
	assert(kind < API_KIND_COUNT);
	return &kinds[kind];
}

bool api_kind_find(const char *api_version, const char *kind, enum api_kind *out)
{
	for (unsigned k = 0; k < API_KIND_COUNT; k++) {
		char full[64];

		snprintf(full, sizeof(full), "%s%s%s", kinds[k].group, *kinds[k].group ? "/" : "",
			 kinds[k].version);
		if (strcmp(kinds[k].kind, kind) == 0 && strcmp(full, api_version) == 0) {
			*out = (enum api_kind)k;
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strcmp(others[i].kind, kind) == 0 &&
		    strcmp(others[i].api_version, api_version) == 0) {
			*out = others[i].is;
			return true;
		}
	return false;
}

char *api_key(const struct meta *meta, struct arena *a)
{
	if (!*meta->namespace)
		return arena_strdup(a, meta->name);
	return arena_printf(a, "%s/%s", meta->namespace, meta->name);
}

static const struct shape *kind_shape(enum api_kind kind, const char *api_version)
{
	if (kind >= API_SERVICE)
		return schema_core_shape(kind);
	return schema_metallb_shape(kind, api_version);
}

/* The head of the object; what it is called is known even if a later field refuses it. */
static bool decode_head(struct decoder *d, json_object *json, struct api_object *obj)
{
	json_object *version = decode_member(json, "apiVersion");
	json_object *meta = decode_member(json, "metadata");

	obj->meta.name = obj->meta.namespace = "";
	if (!json_object_is_type(json, json_type_object))
		return decode_refuse_type(d, json, "an object");
	obj->api_version = version ? decode_string(d, version) : "";
	if (!obj->api_version)
		return false;

	size_t mark = decode_enter(d, "metadata");

	if (meta && !json_object_is_type(meta, json_type_object))
		return decode_refuse_type(d, meta, "an object");
	if (!decode_shape(d, &schema_metadata, meta, &obj->meta))
		return false;
	if (!*obj->meta.name)
		return decode_refuse(d, "name is required");
	decode_leave(d, mark);
	return true;
}

static bool decode_all(struct decoder *d, enum api_kind kind, json_object *json,
		       struct api_object **out)
{
	struct api_object head = {.kind = kind, .arena = d->arena};
	bool ok = decode_head(d, json, &head);
	const struct shape *shape = kind_shape(kind, ok ? head.api_version : "");
	struct api_object *obj = arena_alloc(d->arena, shape->size);

	*obj = head;
	*out = obj;
	return ok && decode_shape(d, shape, json, obj);
}

/*
 * Objects of a kind are of about one size in a cluster: that of the larger ones is expected, since
 * an object grows with its status.
 */
static size_t expected_size[API_KIND_COUNT];

static void expect_size(enum api_kind kind, size_t used)
{
	size_t before = expected_size[kind];

	expected_size[kind] = used > before ? used : (7 * before + used) / 8;
}

struct api_object *api_decode(enum api_kind kind, struct json_object *json, struct err *err)
{
	struct arena *arena = arena_new_for(expected_size[kind]);
	struct decoder d = {.arena = arena, .err = err};
	struct api_object *obj = NULL;
	bool ok = decode_all(&d, kind, json, &obj);

	expect_size(kind, ok ? arena_used(arena) : 0);
	if (!ok) {
		err_wrap(err, "%s %s%s%s", kinds[kind].kind, obj->meta.namespace ?: "",
			 obj->meta.namespace && *obj->meta.namespace ? "/" : "",
			 obj->meta.name && *obj->meta.name ? obj->meta.name : "(no name)");
		arena_free(arena);
		obj = NULL;
	}
	buf_fini(&d.path);
	return obj;
}

struct api_object *api_object_free(struct api_object *obj)
{
	if (obj)
		arena_free(obj->arena);
	return NULL;
}
