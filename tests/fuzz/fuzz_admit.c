/*
 * Promise: any bytes as a review of any kind, held against a few objects that are there, get an
 * answer; a 200 is a JSON response with a verdict, and a refusal has a reason.
 */
#include <stdint.h>

#include "metallb/xalloc.h"
#include "operator/admit.h"
#include "operator/review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const texts[] = {
	"{\"apiVersion\":\"metallb.io/"
	"v1beta1\",\"kind\":\"IPAddressPool\",\"metadata\":{\"name\":\"a\","
	"\"namespace\":\"n\"},\"spec\":{\"addresses\":[\"10.0.0.0/24\",\"fc00::/120\"]}}",
	"{\"apiVersion\":\"metallb.io/"
	"v1beta1\",\"kind\":\"BGPAdvertisement\",\"metadata\":{\"name\":"
	"\"a\",\"namespace\":\"n\"},\"spec\":{\"aggregationLength\":24,\"localPref\":5}}",
	"{\"apiVersion\":\"metallb.io/v1beta2\",\"kind\":\"BGPPeer\",\"metadata\":{\"name\":\"a\","
	"\"namespace\":\"n\"},\"spec\":{\"myASN\":1,\"peerASN\":2,\"peerAddress\":\"10.1.1.1\","
	"\"bfdProfile\":\"a\"}}",
	"{\"apiVersion\":\"metallb.io/"
	"v1beta1\",\"kind\":\"Community\",\"metadata\":{\"name\":\"a\","
	"\"namespace\":\"n\"},\"spec\":{\"communities\":[{\"name\":\"x\",\"value\":\"1:2\"}]}}",
};
static const enum api_kind kinds[] = {API_IPADDRESSPOOL, API_BGPADVERTISEMENT, API_BGPPEER,
				      API_COMMUNITY};

static const struct admit_snapshot *snapshot(void)
{
	static const void *objects[ARRAY_SIZE(texts)];
	static struct admit_snapshot s;
	static const struct ip address = {IP_V4, {10, 0, 0, 7}};
	static const struct admit_service service = {"n", "svc", &address, 1};
	static const struct admit_service *const services[] = {&service};

	for (size_t i = 0; i < ARRAY_SIZE(texts) && !objects[i]; i++) {
		struct json_object *json = json_tokener_parse(texts[i]);
		struct err err;

		objects[i] = api_decode(kinds[i], json, &err);
		json_object_put(json);
		if (!objects[i])
			__builtin_trap();
	}
	s = (struct admit_snapshot){
		.ns = "n",
		.backend = BACKEND_FRR_K8S,
		.objs = {.pools = (const void *)&objects[0],
			 .n_pools = 1,
			 .bgpadvs = (const void *)&objects[1],
			 .n_bgpadvs = 1,
			 .peers = (const void *)&objects[2],
			 .n_peers = 1,
			 .communities = (const void *)&objects[3],
			 .n_communities = 1,
			 .bgp_extras = ""},
		.services = services,
		.n_services = 1,
	};
	return &s;
}

/* The first byte chooses the kind, the rest is the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	_cleanup_(buf_fini) struct buf out = {0};
	struct json_object *answer, *response, *verdict;
	struct admit_outcome outcome;

	if (len == 0)
		return 0;
	if (admit_review(snapshot(), (enum api_kind)(data[0] % (API_METALLB + 1)),
			 (const char *)data + 1, len - 1, &out, &outcome) != 200)
		return 0;
	answer = json_tokener_parse(buf_str(&out));
	response = review_get(answer, "response", json_type_object);
	verdict = review_get(response, "allowed", json_type_boolean);
	if (!*review_str(response, "uid") || !verdict ||
	    (bool)json_object_get_boolean(verdict) != outcome.allowed ||
	    (!outcome.allowed &&
	     !*review_str(review_get(response, "status", json_type_object), "message")))
		__builtin_trap();
	json_object_put(answer);
	return 0;
}
