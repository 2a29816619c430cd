/*
 * MetalLB's configuration of v0.9 to v0.12, the text under the key `config` of a ConfigMap, as the
 * resources that came after it. Pure.
 */
#ifndef CLI_OLD_CONFIG_H
#define CLI_OLD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

struct json_object;

#define OLD_CONFIG_MAX ((size_t)1 << 20) /* bytes: what a ConfigMap holds */

/*
 * Appends to the array `items` the resources, in an order in which admission takes them one by one,
 * and to the array `notes` texts that a person should read (names that had to change). ns is the
 * namespace of the resources. False with the line and the key when the text says something that
 * MetalLB did not know; the arrays may then hold some of it.
 */
bool old_config_convert(const char *text, size_t len, const char *ns, struct json_object *items,
			struct json_object *notes, struct err *err);

#endif
