/*
 * Syntax of label keys, label values and DNS subdomains, as apimachinery checks them. Pure.
 */
#ifndef METALLB_LABELS_H
#define METALLB_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

#define LABEL_NAME_MAX 63u
#define SUBDOMAIN_MAX  253u

bool label_check_key(const char *key, struct err *err); /* [prefix/]name */
bool label_check_value(const char *value, struct err *err);
bool label_check_subdomain(const char *s, size_t n); /* RFC 1123, lower case */

#endif
