/*
 * kubectl metallb doctor: facts gathered from a cluster, and what follows from them. The checks are
 * pure; doctor_gather.c asks the API server, doctor.c prints.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "metallb/err.h"

struct json_object;

/* Each is an object, or a list {"items": [...]}. */
enum doctor_fact {
	FACT_VERSION,     /* of the API server */
	FACT_CRDS,        /* all of the cluster */
	FACT_DEPLOYMENTS, /* all of the cluster */
	FACT_DAEMONSETS,  /* all of the cluster */
	FACT_PODS,        /* of our namespace */
	FACT_LEASE,       /* of the operator */
	FACT_NODE_LEASES,
	FACT_NODES,
	FACT_SERVICES, /* all of the cluster */
	FACT_EVENTS,   /* of our namespace */
	FACT_REASONS,  /* events AllocationFailed, of the cluster */
	FACT_POOLS,
	FACT_METALLBS,
	FACT_STATES, /* ConfigurationStates */
	FACT_KUBE_PROXY,
	FACT_WEBHOOK, /* its configuration */
	FACT_PROBE, /* {"status": 403, "message": ...}: the answer to a pool that must be refused */
	FACT_COUNT
};

extern const char *const doctor_fact_names[FACT_COUNT];

struct doctor_known {
	struct json_object *value; /* NULL: not known */
	char *problem;             /* why not, for a person; NULL: it does not exist */
};

struct doctor_facts {
	const char *ns;
	int64_t now; /* of the API server, microseconds since 1970; 0: not known */
	struct doctor_known known[FACT_COUNT];
	/* [{account, right, allowed, problem}], account "" for the person */
	struct json_object *rights;
	struct json_object *crds; /* as this version has them, [CustomResourceDefinition] */
};

/*
 * Appends {check, verdict, message, fix} for everything that was looked at; verdict is "ok", "bad",
 * "note" (worth knowing) or "unknown" (could not be checked). Whether nothing is bad.
 */
bool doctor_check(const struct doctor_facts *f, struct json_object *findings);
void doctor_facts_fini(struct doctor_facts *f);

/* ---- rights.c: what our service accounts may do, from config/rbac ---- */

/* [{account, verb, group, resource, subresource, name, namespace}]; namespace "" = everywhere. */
struct json_object *rights_of(const char *yaml, const char *ns, struct err *err);

#endif
