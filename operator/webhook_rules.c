/*
 * The table of webhooks and their registration (admissionregistration.k8s.io/v1,
 * apiextensions.k8s.io/v1). Names and paths are MetalLB's, so that ours takes the place of its
 * configuration.
 *
 * Deletions are entries of their own: when we are gone they must not keep anybody from cleaning up.
 */
#include "operator/webhook_rules.h"

#include <json-c/json.h>
#include <openssl/evp.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/certs.h"
#include "operator/review.h"

#define WRITE_TIMEOUT_S  10
#define DELETE_TIMEOUT_S 2

#define POOL "/validate-metallb-io-v1beta1-ipaddresspool"
#define BFD  "/validate-metallb-io-v1beta1-bfdprofile"

const struct webhook_rule webhook_rules[] = {
	{"bgppeersvalidationwebhook", "/validate-metallb-io-v1beta2-bgppeer", API_BGPPEER,
	 "v1beta2", "bgppeers", "\"CREATE\",\"UPDATE\"", false},
	{"ipaddresspoolvalidationwebhook", POOL, API_IPADDRESSPOOL, "v1beta1", "ipaddresspools",
	 "\"CREATE\",\"UPDATE\"", false},
	{"bgpadvertisementvalidationwebhook", "/validate-metallb-io-v1beta1-bgpadvertisement",
	 API_BGPADVERTISEMENT, "v1beta1", "bgpadvertisements", "\"CREATE\",\"UPDATE\"", false},
	{"l2advertisementvalidationwebhook", "/validate-metallb-io-v1beta1-l2advertisement",
	 API_L2ADVERTISEMENT, "v1beta1", "l2advertisements", "\"CREATE\",\"UPDATE\"", false},
	{"communityvalidationwebhook", "/validate-metallb-io-v1beta1-community", API_COMMUNITY,
	 "v1beta1", "communities", "\"CREATE\",\"UPDATE\"", false},
	{"bfdprofilevalidationwebhook", BFD, API_BFDPROFILE, "v1beta1", "bfdprofiles",
	 "\"CREATE\",\"UPDATE\"", false},
	{"metallbvalidationwebhook", "/validate-metallb-io-v1beta1-metallb", API_METALLB, "v1beta1",
	 "metallbs", "\"CREATE\",\"UPDATE\"", false},
	{"bfdprofiledeletionwebhook", BFD, API_BFDPROFILE, "v1beta1", "bfdprofiles", "\"DELETE\"",
	 true},
	{"ipaddresspooldeletionwebhook", POOL, API_IPADDRESSPOOL, "v1beta1", "ipaddresspools",
	 "\"DELETE\"", true},
};
const size_t webhook_n_rules = ARRAY_SIZE(webhook_rules);

static void add_client(const struct webhook_target *t, const char *path, struct buf *out)
{
	buf_printf(out,
		   "\"clientConfig\":{\"service\":{\"namespace\":\"%s\",\"name\":\"%s\","
		   "\"path\":\"%s\",\"port\":%d}",
		   t->ns, t->service, path, WEBHOOK_SERVICE_PORT);
	if (*t->ca_bundle) {
		buf_add_str(out, ",\"caBundle\":\"");
		certs_add_base64(out, t->ca_bundle);
		buf_add_char(out, '"');
	}
	buf_add_char(out, '}');
}

static void add_rule(const struct webhook_target *t, const struct webhook_rule *r, struct buf *out)
{
	buf_printf(out, "{\"name\":\"%s.metallb.io\",", r->name);
	add_client(t, r->path, out);
	buf_printf(out,
		   ",\"rules\":[{\"apiGroups\":[\"metallb.io\"],\"apiVersions\":[\"%s\"],"
		   "\"operations\":[%s],\"resources\":[\"%s\"],\"scope\":\"Namespaced\"}],"
		   "\"failurePolicy\":\"%s\",\"matchPolicy\":\"Equivalent\","
		   "\"sideEffects\":\"None\",\"timeoutSeconds\":%d,"
		   "\"admissionReviewVersions\":[\"v1\",\"v1beta1\"]}",
		   r->version, r->operations, r->plural,
		   t->fail && !r->is_delete ? "Fail" : "Ignore",
		   r->is_delete ? DELETE_TIMEOUT_S : WRITE_TIMEOUT_S);
}

void webhook_rules_format(const struct webhook_target *t, struct buf *out)
{
	buf_add_str(
		out,
		"{\"apiVersion\":\"admissionregistration.k8s.io/v1\",\"kind\":"
		"\"ValidatingWebhookConfiguration\",\"metadata\":{\"name\":\"" WEBHOOK_CONFIGURATION
		"\",\"labels\":{\"app\":\"metallb\"}");
	if (*t->ns_uid)
		buf_printf(out,
			   ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
			   "\"name\":\"%s\",\"uid\":\"%s\"}]",
			   t->ns, t->ns_uid);
	buf_add_str(out, "},\"webhooks\":[");
	for (size_t i = 0; i < webhook_n_rules; i++) {
		if (i)
			buf_add_char(out, ',');
		add_rule(t, &webhook_rules[i], out);
	}
	buf_add_str(out, "]}");
}

void webhook_conversion_format(const struct webhook_target *t, struct buf *out)
{
	buf_add_str(out, "{\"spec\":{\"conversion\":{\"strategy\":\"Webhook\",\"webhook\":{");
	add_client(t, WEBHOOK_CONVERT_PATH, out);
	buf_add_str(out, ",\"conversionReviewVersions\":[\"v1\",\"v1beta1\"]}}}}");
}

const char webhook_conversion_none[] =
	"{\"spec\":{\"conversion\":{\"strategy\":\"None\",\"webhook\":null}}}";

/* The entry of our first rule, which judges writes. */
static struct json_object *first_webhook(struct json_object *configuration)
{
	struct json_object *list = review_get(configuration, "webhooks", json_type_array);
	_cleanup_free_ char *name = xasprintf("%s.metallb.io", webhook_rules[0].name);

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *w = json_object_array_get_idx(list, i);

		if (strcmp(review_str(w, "name"), name) == 0)
			return w;
	}
	return NULL;
}

const char *webhook_json_policy(struct json_object *configuration)
{
	return review_str(first_webhook(configuration), "failurePolicy");
}

static char *bundle_of(struct json_object *parent)
{
	struct json_object *client = review_get(parent, "clientConfig", json_type_object);
	const char *text = review_str(client, "caBundle");
	size_t n = strlen(text);
	_cleanup_free_ char *out = NULL;
	char *done;
	int len;

	if (n == 0 || n % 4 != 0 || n > 2 * CERTS_PEM_MAX)
		return NULL;
	out = xcalloc(n / 4 * 3 + 1, 1);
	len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
	if (len < 0)
		return NULL;
	done = out;
	out = NULL; /* ownership moved */
	return done;
}

char *webhook_json_bundle(struct json_object *configuration)
{
	return bundle_of(first_webhook(configuration));
}

char *webhook_json_conversion_bundle(struct json_object *crd)
{
	struct json_object *spec = review_get(crd, "spec", json_type_object);
	struct json_object *conversion = review_get(spec, "conversion", json_type_object);

	return bundle_of(review_get(conversion, "webhook", json_type_object));
}
