/*
 * A built configuration in the form of the records.
 */
#ifndef METALLB_CONFIG_JSON_H
#define METALLB_CONFIG_JSON_H

#include <json-c/json.h>

#include "metallb/config.h"

json_object *config_to_json(const struct config *cfg);

#endif
