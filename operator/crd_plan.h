/*
 * Whether and how a CRD that is there is brought to the one that the operator carries. Pure.
 */
#ifndef OPERATOR_CRD_PLAN_H
#define OPERATOR_CRD_PLAN_H

#include <stddef.h>

struct json_object;

#define CRD_SCHEMA_VERSION "metallb.io/schema-version" /* annotation: a number */

enum crd_action {
	CRD_CURRENT, /* the same schema version: left as it is */
	CRD_NEWER,   /* of a later operator: left as it is */
	CRD_WRITE,   /* *update is to be put */
};

/*
 * *update carries live's resourceVersion, conversion and everything else that is not the schema's.
 * A version in which objects are still stored stays, with live's schema, if ours is without it.
 */
enum crd_action crd_plan(struct json_object *live, struct json_object *ours,
			 struct json_object **update);

#endif
