/*
 * What several unit tests need: addresses from text, and a random source that repeats itself.
 */
#ifndef TESTS_UNIT_HELPERS_H
#define TESTS_UNIT_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metallb/ip.h"

static inline struct ip ip_of(const char *text)
{
	struct ip ip = {0};

	assert_true(ip_parse(text, &ip));
	return ip;
}

/* user: the state, an uint32_t. */
static inline void random_fill(void *user, void *buf, size_t n)
{
	uint32_t *x = user;
	uint8_t *p = buf;

	for (size_t i = 0; i < n; i++) {
		*x = *x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(*x >> 24);
	}
}

#endif
