/*
 * The plan of a set of objects as one JSON value:
 *
 *   services: [{namespace, name, addresses, pool, reason,
 *               layer2: [{address, node, interfaces}], layer2Reasons: {text: [nodes]},
 *               bgp: [{prefix, peer, localPref, communities, nodes}], bgpReasons: ...,
 *               sharesWith: ["namespace/name"], electedTogether}]
 *
 * The last two where Services that share an address are elected together (group_shared).
 *   findings: [{severity, kind, namespace, name, field, reason}]
 */
#ifndef CLI_PLAN_MODEL_H
#define CLI_PLAN_MODEL_H

#include "operator/cli/cli.h"

json_object *plan_model(const struct cli_options *opt, struct docs *docs);

#endif
