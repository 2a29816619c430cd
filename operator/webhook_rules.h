/*
 * What the webhooks are called, which objects they see, and the texts that register them with the
 * API server. Pure.
 */
#ifndef OPERATOR_WEBHOOK_RULES_H
#define OPERATOR_WEBHOOK_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/api.h"
#include "metallb/buf.h"

#define WEBHOOK_CONFIGURATION "metallb-webhook-configuration"
#define WEBHOOK_CRD           "bgppeers.metallb.io" /* the one with a conversion */
#define WEBHOOK_CONVERT_PATH  "/convert"
#define WEBHOOK_SERVICE_PORT  443

struct json_object;

struct webhook_rule {
	const char *name; /* without ".metallb.io" */
	const char *path;
	enum api_kind kind;
	const char *version, *plural;
	const char *operations; /* members of a JSON list */
	bool is_delete;         /* never stands in the way: failurePolicy Ignore, a short timeout */
};

extern const struct webhook_rule webhook_rules[];
extern const size_t webhook_n_rules;

struct webhook_target {
	const char *ns, *ns_uid; /* ns_uid "": no owner */
	const char *service;
	const char *ca_bundle; /* PEM; "": somebody else puts it in */
	bool fail;             /* failurePolicy Fail, else Ignore */
};

/* The ValidatingWebhookConfiguration, for server-side apply. */
void webhook_rules_format(const struct webhook_target *t, struct buf *out);
/* A merge patch of the CRD: conversion by us, or none. */
void webhook_conversion_format(const struct webhook_target *t, struct buf *out);
extern const char webhook_conversion_none[];

/* failurePolicy of what judges writes; "" when there is none. */
const char *webhook_json_policy(struct json_object *configuration);
/* The CA bundles, as PEM; NULL when there is none. The caller's to free. */
char *webhook_json_bundle(struct json_object *configuration);
char *webhook_json_conversion_bundle(struct json_object *crd);

#endif
