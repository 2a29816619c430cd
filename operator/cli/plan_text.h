/*
 * The values of a plan (plan_model.h) for a person; what the commands that show them share.
 */
#ifndef CLI_PLAN_TEXT_H
#define CLI_PLAN_TEXT_H

#include <json-c/json.h>

json_object *plan_member(json_object *o, const char *name);
const char *plan_str(json_object *o, const char *name); /* "" when absent */

/* The caller frees these. */
char *plan_join(json_object *list);       /* "a, b" of a list of texts */
char *plan_layer2_text(json_object *svc); /* "10.0.0.1 by node1 on eth0; ..." */
char *plan_route_text(json_object *route);

/* One line for each reason, with the nodes that have it. */
void plan_print_reasons(const char *what, json_object *reasons);
void plan_print_findings(json_object *list);
/* Whom it shares an address with, where that counts in the election. */
void plan_print_group(json_object *svc);

#endif
