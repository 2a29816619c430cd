/*
 * Rules that one field's schema cannot express. MetalLB has them as CEL in its CRDs; ours are plain
 * so that old servers take them, and the admission webhook runs these.
 */
#include <stdio.h>
#include <string.h>

#include "lib/api/check.h"
#include "metallb/duration.h"

#define SEC_NS INT64_C(1000000000)

static json_object *member(json_object *json, const char *outer, const char *name)
{
	return decode_member(decode_member(json, outer), name);
}

static int64_t int_or(json_object *v, int64_t absent)
{
	int64_t n;

	return v && json_integer(v, &n) ? n : absent;
}

static void check_bgpadvertisement(struct check *c, json_object *json)
{
	json_object *services = member(json, "spec", "serviceSelectors");
	int64_t v4 = int_or(member(json, "spec", "aggregationLength"), 32);
	int64_t v6 = int_or(member(json, "spec", "aggregationLengthV6"), 128);

	if (services && json_object_array_length(services) > 0 && (v4 != 32 || v6 != 128))
		check_add_at(c, "spec", SCHEMA_INVALID,
			     "serviceSelectors cannot be used with an aggregationLength other than "
			     "32 or an aggregationLengthV6 other than 128");
}

static void check_connect_time(struct check *c, json_object *json)
{
	json_object *v = member(json, "spec", "connectTime");
	int64_t ns;

	if (!v)
		return;
	if (!duration_parse(json_object_get_string(v), &ns) || ns < SEC_NS || ns > 65535 * SEC_NS ||
	    ns % SEC_NS != 0)
		check_add_at(c, "spec.connectTime", SCHEMA_INVALID,
			     "\"%.100s\" is not whole seconds from 1s to 65535s",
			     json_object_get_string(v));
}

/* As a transition rule: only looked at when both the old and the new object have the field. */
static void check_unchanged(struct check *c, json_object *json, json_object *old, const char *outer,
			    const char *name)
{
	json_object *now = member(json, outer, name), *before = member(old, outer, name);
	char path[64];

	if (!now || !before || json_object_equal(now, before))
		return;
	snprintf(path, sizeof(path), "%s.%s", outer, name);
	check_add_at(c, path, SCHEMA_INVALID, "cannot be changed");
}

void check_rules(struct check *c, enum api_kind kind, const char *api_version, json_object *json,
		 json_object *old)
{
	switch (kind) {
	case API_BGPADVERTISEMENT:
		check_bgpadvertisement(c, json);
		break;
	case API_BGPPEER:
		if (strcmp(api_version, "metallb.io/v1beta1") == 0)
			break;
		check_connect_time(c, json);
		check_unchanged(c, json, old, "spec", "enableGracefulRestart");
		break;
	case API_SERVICEL2STATUS:
	case API_SERVICEBGPSTATUS:
		check_unchanged(c, json, old, "status", "node");
		check_unchanged(c, json, old, "status", "serviceName");
		check_unchanged(c, json, old, "status", "serviceNamespace");
		break;
	default:
		break;
	}
}
