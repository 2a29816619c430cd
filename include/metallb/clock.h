/*
 * Time as the cores see it: microseconds of a monotonic clock, passed in as a parameter. Only
 * shells call clock_now().
 */
#ifndef METALLB_CLOCK_H
#define METALLB_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef int64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_NEVER    INT64_MAX

usec_t clock_now(void);  /* CLOCK_MONOTONIC */
usec_t clock_wall(void); /* CLOCK_REALTIME, since the epoch */

/* A random source handed to cores: fills buf with n bytes. */
struct random_source {
	void (*fill)(void *user, void *buf, size_t n);
	void *user;
};
/* The kernel's generator (getrandom). Only shells use it. */
extern const struct random_source random_system;

static inline uint32_t random_u32(const struct random_source *r)
{
	uint32_t v;

	r->fill(r->user, &v, sizeof(v));
	return v;
}

/* Uniform in [0, n), n > 0. */
static inline uint32_t random_below(const struct random_source *r, uint32_t n)
{
	return (uint32_t)(((uint64_t)random_u32(r) * n) >> 32);
}

/* RFC 3339 in UTC with seconds ("2026-01-02T03:04:05Z"); buf of 32 bytes. Pure. */
char *clock_format_rfc3339(usec_t wall, char buf[32]);
/* With microseconds, as Leases and events use (MicroTime). */
char *clock_format_rfc3339_micro(usec_t wall, char buf[40]);
/* Accepts fractions and numeric offsets; false when it is not RFC 3339. */
_Bool clock_parse_rfc3339(const char *s, usec_t *wall);

#endif
