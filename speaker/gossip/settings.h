/*
 * memberlist's optional settings file.
 */
#ifndef GOSSIP_SETTINGS_H
#define GOSSIP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"
#include "speaker/gossip/swim.h"

/*
 * memberlist's optional settings file (config.json of the ConfigMap metallb-memberlist-config) laid
 * over cfg. false with the reason naming the field. Pure.
 */
bool gossip_config_parse(const char *json, size_t len, struct swim_config *cfg, struct err *err);

#endif
